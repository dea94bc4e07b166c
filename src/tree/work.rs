//! The work that is done in slices, and its progress: the transaction at the head, the counting for a quota, and the
//! search for outlived znodes.

use super::applied::Applied;
use super::quota::Usage;
use super::walk::Walk;
use crate::cost::Cost;
use crate::ids::{SessionId, Zxid};
use crate::jute::wire::put_bytes;
use crate::limits;
use std::sync::Arc;

/// The rest of the transaction at the head.
#[derive(Debug)]
pub(super) enum Work {
    /// A session ends, by a decision of this server: its log entry is being made.
    Close { ending: Ending, list: List },
    /// A session ends, by a decision of the leader or the log.
    Apply { ending: Ending, entry: Arc<[u8]> },
    /// A quota was made, and the usage of its subtree is being counted; everything else is done. `applied`: the result,
    /// if the transaction was applied and not prepared.
    Count { counting: Counting, applied: Option<Applied> },
}

/// The progress of a session's end.
#[derive(Debug)]
pub(super) struct Ending {
    pub(crate) zxid: Zxid,
    pub(crate) session: SessionId,
    /// Bytes of the entry's list of paths that are done.
    pub(crate) listed: usize,
    /// The last path that was looked at, of those that the session owns.
    pub(crate) last: Option<Box<[u8]>>,
    /// How many paths of the list did not exist any more.
    pub(crate) passed_over: u32,
}

impl Ending {
    pub(crate) fn new(zxid: Zxid, session: SessionId) -> Ending {
        Ending { zxid, session, listed: 0, last: None, passed_over: 0 }
    }
}

/// The list of paths in the entry that is being made.
#[derive(Debug)]
pub(super) struct List {
    /// The place of the list's count.
    pub(crate) at: usize,
    pub(crate) count: i32,
    /// There are too many paths to list: a server that applies the entry deletes what the session owns, as for any path
    /// that is not listed.
    pub(crate) is_given_up: bool,
}

impl List {
    pub(crate) fn add(&mut self, path: &[u8], txn: &mut Vec<u8>) {
        if self.is_given_up {
            return;
        }
        self.count += 1;
        put_bytes(txn, path);
        if txn.len() - self.at > limits::CLOSE_SESSION_PATHS {
            txn.truncate(self.at + 4);
            (self.count, self.is_given_up) = (0, true);
        }
    }
}

/// The rest of making a quota: its subtree is counted in slices. Between the slices the tree does not change.
#[derive(Debug)]
pub(super) struct Counting {
    pub(crate) zxid: Zxid,
    /// The quota's znode (one of two) that was created, and the bytes of its data.
    pub(crate) made: (Box<[u8]>, i64),
    pub(crate) prefix: Box<[u8]>,
    pub(crate) walk: Walk,
    pub(crate) usage: Usage,
}

/// When a transaction counts a new quota's subtree.
#[derive(Debug)]
pub(super) enum Countings {
    /// At once, up to this cost: [`Cost::ENDLESS`] for a transaction that is applied.
    AtOnce(Cost),
    /// After everything else: the transaction has one operation, and this is the rest of it.
    AtTheEnd(Option<Counting>),
}

impl Countings {
    /// Whether there was more to count than the limit allows; then it was not counted.
    pub(crate) fn are_too_many(&self) -> bool {
        matches!(self, Countings::AtOnce(Cost::NONE))
    }
}

/// The progress of the search: first containers, then znodes with a time to live.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    pub(crate) ttls: bool,
    /// The last path looked at; `None`: at the start of its set.
    pub(crate) last: Option<Box<[u8]>>,
}
