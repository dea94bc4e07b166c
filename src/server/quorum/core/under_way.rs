//! Transactions that may take longer than a turn: the end of a session with very many ephemerals.
//!
//! Such a transaction begins like any other, and continues in later turns with the rest of their budgets. Until it is
//! complete nothing else is prepared or applied: requests that come meanwhile wait in order, and no snapshot is
//! captured. When it is complete, its entry goes to the log and its client gets the answer. If the role ends before,
//! the transaction is undone as if it had never begun.

use crate::ids::{ConnId, SessionId, Zxid};
use crate::server::message::ShardId;
use crate::tree::apply::Applied;
use crate::tree::state::Outcome;
use crate::zab::history::Txn;

/// A transaction that is not complete.
pub(super) struct UnderWay {
    pub(crate) zxid: Zxid,
    /// The transaction's own outcome: the one of the gathering group leaves with the group.
    pub(crate) outcome: Outcome,
    pub(crate) then: Then,
}

/// What follows when a transaction is complete.
pub(crate) enum Then {
    /// The answer goes to this connection, if the request came from this server.
    Answer(Option<(ShardId, ConnId)>),
    /// A session is over. `asked`: the connection of this server that requested it, and the xid; an expired session's
    /// connection is closed without an answer.
    End { session: SessionId, asked: Option<(ShardId, ConnId, i32)> },
    /// A leader's transaction, which was applied.
    Applied(Txn),
}

/// A transaction of a leader that has been applied at the head and is not in the log yet.
pub(crate) struct Applying {
    pub txn: Txn,
    pub applied: Applied,
    /// Where its changes begin in the gathering group's outcome, and (`reply`) its reply.
    pub changes: usize,
    pub reply: usize,
}
