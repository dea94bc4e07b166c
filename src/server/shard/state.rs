//! The parts of a shard's state. Where the code for a part has a file of its own, the part's comment names it.

use super::conn::{Asking, Conn};
use crate::acl::{AclTable, Identities};
use crate::config::Config;
use crate::cost::Cost;
use crate::ids::{ConnId, SessionId, Zxid, hash_state};
use crate::limits;
use crate::server::memory::Charge;
use crate::server::message::{Cursor, Taken};
use crate::server::wide::WideRead;
use crate::tree::owner::OwnerRules;
use crate::tree::store::{Pin, Reader, Store};
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;

/// The tree that this shard reads.
pub(super) struct Tree {
    pub(crate) reader: Reader,
    pub(crate) store: Store,
    pub(crate) acls: Arc<AclTable>,
    /// The zxid of the state that clients see.
    pub(crate) applied: Zxid,
}

/// What the configuration says of every request, copied out of it: the way there would cost each of them something.
pub(super) struct Rules {
    /// The longest frame that is accepted, bytes.
    pub(crate) max_frame: usize,
    /// Bytes that may wait for a client that does not read.
    pub(crate) output_limit: usize,
    pub(crate) skip_acl: bool,
    /// A connection must have used one of the enforced schemes of authentication.
    pub(crate) enforces_schemes: bool,
    /// How stored owners are read.
    pub(crate) owners: OwnerRules,
}

impl Rules {
    pub(crate) fn of(config: &Config) -> Rules {
        Rules {
            max_frame: config.max_buffer as usize,
            output_limit: config.output_limit,
            skip_acl: config.skip_acl,
            enforces_schemes: !config.enforced_auth_schemes.is_empty(),
            owners: OwnerRules::of(config),
        }
    }
}

/// The published sequence, see `sequence`.
pub(super) struct Sequence {
    pub(crate) cursor: Cursor,
    /// A batch that is not taken in as a whole yet.
    pub(crate) taking: Option<Taking>,
    /// Steps in which watches were fired.
    pub(crate) fires: u64,
}

/// A batch that is being taken in. Watchers are told of the changes of a long transaction over several turns. Until all
/// are told, no request is accepted: a client that was told of a change would read a state without it, and a new watch
/// would miss changes already told.
pub(super) struct Taking {
    pub(crate) batch: Taken,
    /// How many elements are done, and (the next field) how many changes of the next element.
    pub(crate) elements: usize,
    pub(crate) changes: usize,
}

/// Work for the edge, by connection.
#[derive(Debug, Default)]
pub(super) struct ForEdge {
    /// Connections that have bytes to send.
    pub(crate) dirty: Vec<ConnId>,
    /// Connections that may have begun or stopped to be read: their sockets are armed or disarmed.
    pub(crate) interest: Vec<ConnId>,
    /// Connections that are over: their sockets are closed.
    pub(crate) ended: Vec<ConnId>,
}

/// Connections that are not read at the moment, see `pacing`.
#[derive(Debug, Default)]
pub(super) struct Unread {
    pub(crate) paused: Vec<ConnId>,
    /// Connections that wait only until all watchers of a long transaction are told; they are not looked at before.
    pub(crate) until_told: Vec<ConnId>,
}

/// Sessions that were heard of since the last report to the quorum core.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(crate) connections: Vec<ConnId>,
    /// Sessions whose connections have ended since.
    pub(crate) ended: Vec<SessionId>,
}

/// The requests of this shard that the quorum core has, see `credit`.
#[derive(Debug)]
pub(super) struct Credit {
    pub(crate) requests: usize,
    pub(crate) bytes: usize,
    /// Those of connections that have ended: how many, and their bytes.
    pub(crate) left_behind: HashMap<ConnId, (usize, usize), ahash::RandomState>,
    /// From so many requests in the quorum core on, this shard stops reading the sockets whose requests they are.
    pub(crate) most_requests: usize,
    /// This shard's part of the bytes that the quorum core may have.
    pub(crate) most_bytes: usize,
}

impl Credit {
    /// That of one shard of so many, whose requests in the core may be so many together.
    pub(crate) fn of_shard(requests: usize, shards: usize) -> Credit {
        Credit {
            requests: 0,
            bytes: 0,
            left_behind: HashMap::with_hasher(hash_state()),
            most_requests: requests.div_ceil(shards).max(1),
            most_bytes: limits::CORE_BYTES / shards,
        }
    }
}

/// Lack of memory, see `pressure`.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    /// How many requests refused for lack of memory were logged.
    pub(crate) refusals_told: u64,
    /// The tree has used up its share.
    pub(crate) is_tree_full: bool,
}

/// The budget of a turn, see `budget`.
#[derive(Debug, Default)]
pub(super) struct Budget {
    /// Counts turns.
    pub(crate) turn: u64,
    /// What the meter showed when the turn began.
    pub(crate) begun: Cost,
    /// The cost of a turn up to which connections that have asked for much may continue, and up to which any connection
    /// may.
    pub(crate) heavy: Cost,
    pub(crate) all: Cost,
    /// What reads between writes have cost in this turn beyond the estimates.
    pub(crate) overrun: Cost,
    /// A connection waits for the next turn.
    pub(crate) has_left_over: bool,
    /// The estimated cost of all reads that stand between writes.
    pub(crate) crossing: Cost,
    /// What the meter showed when the present work began, which will be charged to one connection.
    pub(crate) mark: Cost,
}

impl Budget {
    /// Charges the work since the mark to this connection.
    #[inline]
    pub(crate) fn charge(&mut self, conn: &mut Conn, reading: Cost) {
        conn.cost.share.charge(self.turn, reading.less(self.mark));
        self.mark = reading;
    }

    /// A request for the quorum core was accepted: the reads that wait before it stand between two writes now.
    #[inline]
    pub(crate) fn cross(&mut self, conn: &mut Conn) {
        let behind = std::mem::take(&mut conn.cost.expected.behind);
        conn.cost.expected.between += behind;
        self.crossing += behind;
    }

    /// Whether a connection that had too many reads between writes still has.
    #[inline]
    pub(crate) fn is_still_crossed_by(&self, conn: &Conn) -> bool {
        conn.stops.wants_to_cross && conn.cost.expected.exceeds(self.crossing)
    }
}

/// A read in slices.
pub(super) struct Running {
    pub(crate) conn: ConnId,
    pub(crate) asking: Asking,
    pub(crate) read: WideRead,
    /// `None` for setWatches, which reads at `applied`.
    pub(crate) pin: Option<Pin>,
    pub(crate) identities: Arc<Identities>,
    /// The reply so far, and (the next field) the memory for replies that it uses.
    pub(crate) out: Vec<u8>,
    pub(crate) charge: Charge,
}

/// The reads of a shard that take more than a turn.
#[derive(Default)]
pub(super) struct Slices {
    /// The reads under way; they take turns.
    pub(crate) running: VecDeque<Running>,
    /// How many of them have a pin.
    pub(crate) pinned: usize,
    /// Connections whose read has no pin yet, in the order they asked.
    pub(crate) waiting: VecDeque<ConnId>,
}

impl Slices {
    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }
}
