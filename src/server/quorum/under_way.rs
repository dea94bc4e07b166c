//! Transactions that may take longer than a turn: the end of a session with very many ephemerals.
//!
//! Such a one is begun like any other, and goes on in the turns that follow with what is left of their budgets. Until it is
//! complete nothing else is prepared or applied: what comes meanwhile waits in its order, no snapshot is of the state as it is
//! now. Its entry is handed to the log, and whoever asked for it is told, when it is complete. If this server's role ends before,
//! it never was.

use super::{Live, Quorum};
use crate::acl::Identities;
use crate::cost::Cost;
use crate::ids::{ConnId, SessionId, Zxid};
use crate::jute::{ErrorCode, reply};
use crate::limits;
use crate::server::message::{Answer, ShardId, Tell};
use crate::server::quorum::requests::written;
use crate::tree::state::{Context, Outcome, State};
use crate::tree::under_way::Completed;
use crate::zab::history::Txn;
use std::ops::Range;

/// A transaction that is not complete.
pub(super) struct UnderWay {
    zxid: Zxid,
    /// Its own: that of the gathering group leaves with the group.
    outcome: Outcome,
    then: Then,
}

/// What follows when a transaction is complete.
pub(super) enum Then {
    /// Its answer goes to whoever asked here, if anybody did.
    Answer(Option<(ShardId, ConnId)>),
    /// A session is over. Who asked for that here, and the xid; an expired session's connection is closed without a word.
    End { session: SessionId, asked: Option<(ShardId, ConnId, i32)> },
    /// It is the leader's, which decided on it.
    Applied(Txn),
}

impl Quorum {
    /// Carries out one transaction like [`Quorum::transact_as`], which may not be complete when this returns.
    pub(super) fn transact_then(
        &mut self,
        session: SessionId,
        cxid: i32,
        identities: &Identities,
        prepare: impl FnOnce(&mut State, &Context<'_>, &mut Outcome),
        then: Then,
    ) {
        let (zxid, changes, reply) = self.prepare_as(session, cxid, identities, prepare);
        if self.state.is_under_way() && self.state.go_on(self.slice(), &mut self.outcome).is_none() {
            return self.set_aside(zxid, changes, reply, then);
        }
        let done = self.log_prepared(zxid, changes, reply);
        self.conclude(then, done);
    }

    /// What of a transaction is done at a time: what is left of the turn.
    pub(super) fn slice(&self) -> Cost {
        limits::CORE_TURN.less(self.spent()).max(limits::SLICE_COST)
    }

    /// The transaction in the outcome goes on in another turn. What it changed and answered begins at `changes` and `reply`.
    pub(super) fn set_aside(&mut self, zxid: Zxid, changes: usize, reply: usize, then: Then) {
        let Outcome { txn_limit, cost_limit, error, .. } = self.outcome;
        let outcome = Outcome {
            txn: std::mem::take(&mut self.outcome.txn),
            changes: self.outcome.changes.split_off(changes),
            reply: self.outcome.reply.split_off(reply),
            txn_limit,
            cost_limit,
            error,
        };
        self.under_way = Some(UnderWay { zxid, outcome, then });
    }

    /// Goes on with the transaction that is not complete, if there is one.
    pub(super) fn go_on_under_way(&mut self) {
        if self.under_way.is_none() || self.is_spent() {
            return;
        }
        let (slice, Some(mut under_way)) = (self.slice(), self.under_way.take()) else { return };
        let Some(completed) = self.state.go_on(slice, &mut under_way.outcome) else {
            self.under_way = Some(under_way);
            return;
        };
        let UnderWay { zxid, outcome, then } = under_way;
        let (changes, reply) = (self.outcome.changes.len(), self.outcome.reply.len());
        self.outcome.changes.append(outcome.changes);
        self.outcome.reply.extend_from_slice(&outcome.reply);
        (self.outcome.txn, self.outcome.error) = (outcome.txn, outcome.error);
        match (then, completed) {
            (Then::Applied(txn), Completed::Applied(applied)) => {
                self.in_ensemble(|core, ensemble| core.applied(ensemble, &txn, &applied, changes, reply));
            }
            (then, _) => {
                let done = self.log_prepared(zxid, changes, reply);
                self.conclude(then, done);
            }
        }
    }

    /// The transaction that is not complete never was.
    pub(super) fn drop_under_way(&mut self) {
        if self.under_way.take().is_some() {
            self.state.undo(self.zxid);
        }
    }

    /// A transaction is complete, and with the log: what it changed, and the frame it wrote.
    fn conclude(&mut self, then: Then, (changes, frame): (Range<usize>, Range<u32>)) {
        match then {
            Then::Answer(asker) => {
                let what = Tell::Reply { frame, close: false };
                self.step(changes, asker.map(|(shard, conn)| Answer { shard, conn, what }));
            }
            Then::End { session, asked } => {
                self.locals.ended(session, self.clock.mono_ms);
                let live = self.live.remove(&session);
                let answer = match asked {
                    Some((shard, conn, xid)) => {
                        let put = |out: &mut Vec<u8>| reply::put_bare(out, xid, self.zxid, ErrorCode::Ok);
                        let frame = written(&mut self.outcome.reply, put);
                        Some(Answer { shard, conn, what: Tell::Reply { frame, close: true } })
                    }
                    None => live.map(|Live { shard, conn, .. }| Answer { shard, conn, what: Tell::Close }),
                };
                self.step(changes, answer);
            }
            Then::Applied(_) => unreachable!("what a leader decides is not decided here"),
        }
    }
}
