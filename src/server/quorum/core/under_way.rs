//! Transactions that may take longer than a turn: the end of a session with very many ephemerals.
//!
//! Such a one is begun like any other, and goes on in the turns that follow with what is left of their budgets. Until it is
//! complete nothing else is prepared or applied: what comes meanwhile waits in its order, no snapshot is of the state as it is
//! now. Its entry is handed to the log, and whoever asked for it is told, when it is complete. If this server's role ends before,
//! it never was.

use crate::ids::{ConnId, SessionId, Zxid};
use crate::server::message::ShardId;
use crate::tree::apply::Applied;
use crate::tree::state::Outcome;
use crate::zab::history::Txn;

/// A transaction that is not complete.
pub(super) struct UnderWay {
    pub zxid: Zxid,
    /// Its own: that of the gathering group leaves with the group.
    pub outcome: Outcome,
    pub then: Then,
}

/// What follows when a transaction is complete.
pub(crate) enum Then {
    /// Its answer goes to whoever asked here, if anybody did.
    Answer(Option<(ShardId, ConnId)>),
    /// A session is over. Who asked for that here, and the xid; an expired session's connection is closed without a word.
    End { session: SessionId, asked: Option<(ShardId, ConnId, i32)> },
    /// It is the leader's, which decided on it.
    Applied(Txn),
}

/// A transaction of a leader that has been applied at the head and is not in the log yet.
pub(crate) struct Applying {
    pub txn: Txn,
    pub applied: Applied,
    /// Where what it changed and answered begins.
    pub changes: usize,
    pub reply: usize,
}
