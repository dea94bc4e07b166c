//! The parts of a shard's state. What is done with each is in the file named with it.

use super::conn::{Asking, Conn};
use crate::acl::{AclTable, Identities};
use crate::cost::Cost;
use crate::ids::{ConnId, SessionId, Zxid, hash_state};
use crate::server::memory::Charge;
use crate::server::message::{Cursor, Taken};
use crate::server::wide::WideRead;
use crate::tree::store::{Pin, Reader, Store};
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;

/// The tree that is read.
pub(super) struct Tree {
    pub reader: Reader,
    pub store: Store,
    pub acls: Arc<AclTable>,
    /// The state that clients are shown.
    pub applied: Zxid,
}

/// What is published, see `sequence`.
pub(super) struct Sequence {
    pub cursor: Cursor,
    /// A batch that is not taken in as a whole yet.
    pub taking: Option<Taking>,
    /// Steps in which watches were fired.
    pub fires: u64,
}

/// A batch that is being taken in. Clients are told of the changes of a long transaction over several turns; until all are
/// told, none asks for anything: who has been told of one would see a state without it, and a watch that is set meanwhile miss
/// what has been told already.
pub(super) struct Taking {
    pub batch: Taken,
    /// Its elements, and changes of the next one, that are done.
    pub elements: usize,
    pub changes: usize,
}

/// What the edge is to do with connections.
#[derive(Debug, Default)]
pub(super) struct ForEdge {
    /// They have bytes to send.
    pub dirty: Vec<ConnId>,
    /// Whether they are read has changed: their sockets are armed or disarmed.
    pub interest: Vec<ConnId>,
    /// They are over: their sockets are closed.
    pub ended: Vec<ConnId>,
}

/// Connections that are not read at the moment, see `pacing`.
#[derive(Debug, Default)]
pub(super) struct Unread {
    pub paused: Vec<ConnId>,
    /// They wait for nothing but that all is told of a long transaction: nobody looks at them before.
    pub until_told: Vec<ConnId>,
}

/// Who has been heard of since the last report to the quorum core.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub connections: Vec<ConnId>,
    /// Sessions whose connections have ended since.
    pub ended: Vec<SessionId>,
}

/// What of this shard's requests the quorum core has, see `credit`.
#[derive(Debug)]
pub(super) struct Credit {
    pub requests: usize,
    pub bytes: usize,
    /// What of these is of connections that have ended.
    pub left_behind: LeftBehind,
    /// This shard's part of the bytes that the quorum core may have.
    pub limit: usize,
}

/// Requests of connections that have ended, and their bytes.
#[derive(Debug)]
pub(super) struct LeftBehind(pub HashMap<ConnId, (usize, usize), ahash::RandomState>);

impl Default for LeftBehind {
    fn default() -> Self {
        LeftBehind(HashMap::with_hasher(hash_state()))
    }
}

/// Want of memory, see `pressure`.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    /// Requests refused for want of memory that the log knows of.
    pub refusals_told: u64,
    /// The tree has all of its share.
    pub is_tree_full: bool,
}

/// Of a turn.
#[derive(Debug, Default)]
pub(super) struct Budget {
    /// Counts turns.
    pub turn: u64,
    /// What the meter showed when it began.
    pub begun: Cost,
    /// What it may have cost when one who has asked for much goes on, and when anybody does.
    pub heavy: Cost,
    pub all: Cost,
    /// What reads between writes have cost in it beyond what was expected.
    pub overrun: Cost,
    /// Somebody waits for the next one.
    pub has_left_over: bool,
    /// What is expected of all reads that stand between writes.
    pub crossing: Cost,
    /// What the meter showed when the work began that the next answered connection is charged with.
    pub mark: Cost,
}

impl Budget {
    /// What the meter shows to have been done since the work began was done for this connection.
    #[inline]
    pub(crate) fn charge(&mut self, conn: &mut Conn, reading: Cost) {
        conn.cost.share.charge(self.turn, reading.less(self.mark));
        self.mark = reading;
    }

    /// The quorum core is asked: what waits before that stands between two writes now.
    #[inline]
    pub(crate) fn cross(&mut self, conn: &mut Conn) {
        let behind = std::mem::take(&mut conn.cost.expected.behind);
        conn.cost.expected.between += behind;
        self.crossing += behind;
    }

    /// Whether one that had too much of its reads between writes still has.
    #[inline]
    pub(crate) fn is_still_crossed_by(&self, conn: &Conn) -> bool {
        conn.stops.wants_to_cross && conn.cost.expected.exceeds(self.crossing)
    }
}

/// A read in slices.
pub(super) struct Running {
    pub conn: ConnId,
    pub asking: Asking,
    pub read: WideRead,
    /// None for setWatches, which reads at `applied`.
    pub pin: Option<Pin>,
    pub identities: Arc<Identities>,
    /// The reply so far, and what it takes of the memory for replies.
    pub out: Vec<u8>,
    pub charge: Charge,
}

/// The reads of a shard that take more than a turn.
#[derive(Default)]
pub(super) struct Slices {
    /// They take turns.
    pub running: VecDeque<Running>,
    /// How many of them have a pin.
    pub pinned: usize,
    /// Connections whose read has no pin yet, in the order they asked.
    pub waiting: VecDeque<ConnId>,
}

impl Slices {
    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }
}
