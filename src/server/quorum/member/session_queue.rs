//! What a session has under way in an ensemble: so that its replies leave in the order of its requests.
//!
//! Most of what a session asks for is answered by a transaction, and transactions come in order. A sync, and on a follower
//! the list of a session's ephemerals or what concerns a session of this server alone, are not: the latter wait for the
//! writes before them, and behind a sync, or a session that is becoming a global one, everything waits.

use crate::acl::Identities;
use crate::ids::{ConnId, SessionId};
use crate::jute::OpCode;
use crate::server::message::{Command, ShardId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// The queues of all sessions that have something under way.
#[derive(Default)]
pub(crate) struct SessionQueues {
    pub queues: BTreeMap<SessionId, SessionQueue>,
    /// Sessions of which something that waited could go on if there were room for it.
    pub crowded: BTreeSet<SessionId>,
    /// Syncs under way, by tag.
    pub syncs: BTreeMap<u64, Syncing>,
    pub next_sync: u64,
}

impl SessionQueues {
    /// The role is over: nothing of it is answered.
    pub(crate) fn clear(&mut self) {
        self.queues.clear();
        self.crowded.clear();
        self.syncs.clear();
    }

    /// The queue of a session.
    pub(crate) fn of(&mut self, session: SessionId) -> &mut SessionQueue {
        self.queues.entry(session).or_default()
    }
}

/// A sync that waits for its answer.
pub(crate) struct Syncing {
    pub session: SessionId,
    pub shard: ShardId,
    pub conn: ConnId,
    pub xid: i32,
    /// May be null.
    pub path: Option<Vec<u8>>,
    /// What it comes to while it is under way to the leader.
    pub bytes: usize,
}

/// What a session waits for.
#[derive(Default)]
pub(crate) struct SessionQueue {
    /// Its writes that the leader has, in order.
    pub writes: VecDeque<Passed>,
    /// A sync is under way.
    pub syncing: bool,
    /// What waits for that, or for the writes.
    pub held: VecDeque<Held>,
}

/// A write that was passed on to the leader.
#[derive(Clone, Copy)]
pub(crate) struct Passed {
    pub xid: i32,
    /// Whose request it is.
    pub conn: ConnId,
    /// What it comes to while it is under way.
    pub bytes: usize,
}

/// A request that waits.
pub(crate) struct Held {
    pub shard: ShardId,
    pub conn: ConnId,
    pub xid: i32,
    pub what: Plain,
    pub body: Vec<u8>,
    /// Who its client was when it asked: what it says of itself later does not count for this.
    pub identities: Arc<Identities>,
}

/// A request of a session, without what only new sessions need.
#[derive(Clone, Copy)]
pub(crate) enum Plain {
    Write(OpCode),
    Sync,
    Ephemerals { all: bool },
}

impl Plain {
    /// `None`: it is another one.
    pub(crate) fn of(ask: &Command) -> Option<Plain> {
        match ask {
            Command::Write(op) => Some(Plain::Write(*op)),
            Command::Sync => Some(Plain::Sync),
            Command::Ephemerals { all } => Some(Plain::Ephemerals { all: *all }),
            _ => None,
        }
    }

    /// As a shard asks it.
    pub(crate) fn command(self) -> Command {
        match self {
            Plain::Write(op) => Command::Write(op),
            Plain::Sync => Command::Sync,
            Plain::Ephemerals { all } => Command::Ephemerals { all },
        }
    }
}

impl SessionQueue {
    /// Whether a request waits for what is under way. `is_own`: it is answered by this server.
    pub(crate) fn must_wait(&self, is_own: bool) -> bool {
        self.syncing || (is_own && !self.writes.is_empty())
    }

    /// Whether nothing is under way, and nothing waits.
    pub(crate) fn is_done(&self) -> bool {
        self.writes.is_empty() && !self.syncing && self.held.is_empty()
    }
}
