//! What goes in slices, and how far each has come: the transaction at the head, the counting for a quota, and the search for
//! znodes whose time is over.

use super::applied::Applied;
use super::quota::Usage;
use super::walk::Walk;
use crate::cost::Cost;
use crate::ids::{SessionId, Zxid};
use crate::jute::wire::put_bytes;
use crate::limits;
use std::sync::Arc;

/// What is left to do of the transaction at the head.
#[derive(Debug)]
pub(super) enum Work {
    /// A session ends, as was decided here: its entry is in the making.
    Close { ending: Ending, list: List },
    /// A session ends, as somebody else has decided.
    Apply { ending: Ending, entry: Arc<[u8]> },
    /// A quota has been made, and what its subtree uses is counted; all else is done. What was applied, if it was decided
    /// elsewhere.
    Count { counting: Counting, applied: Option<Applied> },
}

/// How far the end of a session has come.
#[derive(Debug)]
pub(super) struct Ending {
    pub zxid: Zxid,
    pub session: SessionId,
    /// Bytes of the entry's list of paths that are done.
    pub listed: usize,
    /// The last path that was looked at of those the session owns.
    pub last: Option<Box<[u8]>>,
    /// Paths of the list that were gone.
    pub passed_over: u32,
}

impl Ending {
    pub(crate) fn new(zxid: Zxid, session: SessionId) -> Ending {
        Ending { zxid, session, listed: 0, last: None, passed_over: 0 }
    }
}

/// The paths in the entry that is being made.
#[derive(Debug)]
pub(super) struct List {
    /// Where its count stands.
    pub at: usize,
    pub count: i32,
    /// There are too many to list: who applies it deletes what the session owns, as for any path not listed.
    pub is_given_up: bool,
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

/// What is left to do of a quota that has been made: its subtree is counted, a slice at a time. In between the tree stands still.
#[derive(Debug)]
pub(super) struct Counting {
    pub zxid: Zxid,
    /// The one of the quota's two znodes that has come, and the bytes of its data.
    pub made: (Box<[u8]>, i64),
    pub prefix: Box<[u8]>,
    pub walk: Walk,
    pub usage: Usage,
}

/// When a transaction counts.
#[derive(Debug)]
pub(super) enum Countings {
    /// As soon as there is something to count, for so much at most: [`Cost::ENDLESS`] where others have decided.
    AtOnce(Cost),
    /// When everything else is done: it is a transaction of one operation, and this is left of it.
    AtTheEnd(Option<Counting>),
}

impl Countings {
    /// More was to be counted than may be, and has not been.
    pub(crate) fn are_too_many(&self) -> bool {
        matches!(self, Countings::AtOnce(Cost::NONE))
    }
}

/// How far the search has come: containers first, then znodes with a time to live.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    pub ttls: bool,
    /// The last path looked at; `None`: at the start of its set.
    pub last: Option<Box<[u8]>>,
}
