//! Each session's requests that are under way or wait, so that replies leave in the order of the requests. What fills
//! and empties the queues is in `requests`.
//!
//! Most requests are answered by a transaction, and transactions come in order. Not so a sync and, on a follower,
//! getEphemerals and requests about a local session. The latter two wait for the session's writes before them. Behind a
//! sync, or while a local session becomes global, every request waits.

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
    /// Sessions with a waiting request that lacks only room.
    pub crowded: BTreeSet<SessionId>,
    /// Syncs under way, by tag.
    pub syncs: BTreeMap<u64, Syncing>,
    pub next_sync: u64,
}

impl SessionQueues {
    /// The role is over: no waiting request is answered.
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
    /// The bytes that it counts for while it is under way to the leader.
    pub bytes: usize,
}

/// The requests of a session that are under way or wait.
#[derive(Default)]
pub(crate) struct SessionQueue {
    /// The session's writes that the leader has, in order.
    pub writes: VecDeque<Passed>,
    /// A sync is under way.
    pub syncing: bool,
    /// Requests that wait for the sync or for the writes.
    pub held: VecDeque<Held>,
}

/// A write that was forwarded to the leader.
#[derive(Clone, Copy)]
pub(crate) struct Passed {
    pub xid: i32,
    /// The connection that sent the request.
    pub conn: ConnId,
    /// The bytes that it counts for while it is under way.
    pub bytes: usize,
}

/// A request that waits.
pub(crate) struct Held {
    pub shard: ShardId,
    pub conn: ConnId,
    pub xid: i32,
    pub what: Plain,
    pub body: Vec<u8>,
    /// The client's identities when it sent the request; later ones do not count for it.
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
    /// `None`: the command is none of these.
    pub(crate) fn of(ask: &Command) -> Option<Plain> {
        match ask {
            Command::Write(op) => Some(Plain::Write(*op)),
            Command::Sync => Some(Plain::Sync),
            Command::Ephemerals { all } => Some(Plain::Ephemerals { all: *all }),
            _ => None,
        }
    }

    /// The command as a shard sends it.
    pub(crate) fn command(self) -> Command {
        match self {
            Plain::Write(op) => Command::Write(op),
            Plain::Sync => Command::Sync,
            Plain::Ephemerals { all } => Command::Ephemerals { all },
        }
    }
}

impl SessionQueue {
    /// Whether a request must wait for those under way. `is_own`: this server answers the request itself.
    pub(crate) fn must_wait(&self, is_own: bool) -> bool {
        self.syncing || (is_own && !self.writes.is_empty())
    }

    /// Whether nothing is under way, and nothing waits.
    pub(crate) fn is_done(&self) -> bool {
        self.writes.is_empty() && !self.syncing && self.held.is_empty()
    }
}
