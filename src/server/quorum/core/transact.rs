//! Transactions: prepared for a request, or applied as a leader decided them; at once, or in slices if a transaction
//! may take longer than a turn.

use super::under_way::{Applying, Then, UnderWay};
use super::{Authority, Core, Live};
use crate::acl::Identities;
use crate::ids::{ConnId, SessionId, Zxid};
use crate::jute::{ErrorCode, reply};
use crate::limits;
use crate::server::message::{Answer, Response, ShardId};
use crate::tree::apply::{ApplyError, Mode};
use crate::tree::state::{Context, Outcome, State};
use crate::tree::under_way::Completed;
use crate::zab::epochs::first_zxid;
use crate::zab::history::Txn;
use std::ops::Range;

impl Core {
    /// Carries out one transaction of a session as its connection's identities; see [`Core::transact_as`].
    pub(in crate::server::quorum) fn transact(
        &mut self,
        session: SessionId,
        cxid: i32,
        prepare: impl FnOnce(&mut State, &Context<'_>, &mut Outcome),
    ) -> (Range<usize>, Range<u32>) {
        let identities = self.sessions.identities(session);
        self.transact_as(session, cxid, &identities, prepare)
    }

    /// Carries out one transaction: gives it a zxid, lets `prepare` fill the outcome, hands the bytes to the
    /// log. Returns the changes it made and the reply frame it wrote.
    pub(in crate::server::quorum) fn transact_as(
        &mut self,
        session: SessionId,
        cxid: i32,
        identities: &Identities,
        prepare: impl FnOnce(&mut State, &Context<'_>, &mut Outcome),
    ) -> (Range<usize>, Range<u32>) {
        let (zxid, changes, reply) = self.prepare_as(session, cxid, identities, prepare);
        assert!(!self.state.is_under_way(), "what may take long is for `transact_then`");
        self.log_prepared(zxid, changes, reply)
    }

    /// The error code of the last transaction.
    pub(in crate::server::quorum) fn error(&self) -> ErrorCode {
        self.groups.outcome.error
    }

    /// Prepares one transaction; it may still be under way after that. Returns its zxid, and where its changes and its
    /// reply begin.
    fn prepare_as(
        &mut self,
        session: SessionId,
        cxid: i32,
        identities: &Identities,
        prepare: impl FnOnce(&mut State, &Context<'_>, &mut Outcome),
    ) -> (Zxid, usize, usize) {
        let zxid = self.next_zxid();
        let is_local = self.sessions.locals.may_ask(session);
        let context = Context { zxid, time_ms: self.time_ms, session, cxid, identities, is_local };
        let out = &mut self.groups.outcome;
        let changes = out.changes.len();
        let reply = out.reply.len();
        out.txn.clear();
        prepare(&mut self.state, &context, out);
        if out.txn.len() > self.groups.log.max_txn() {
            // The `auth` ACLs of a multi have grown beyond a log frame: the multi is undone as if it had not been
            // tried.
            self.state.undo(self.groups.head);
            out.changes.truncate(changes);
            out.reply.truncate(reply);
            out.txn.clear();
            self.state.refuse(&context, ErrorCode::MarshallingError, out);
        }
        if out.error == ErrorCode::ThrottledOp {
            self.throttled(session);
        }
        (zxid, changes, reply)
    }

    /// The transaction in the outcome is complete: it is proposed and logged.
    fn log_prepared(&mut self, zxid: Zxid, changes: usize, reply: usize) -> (Range<usize>, Range<u32>) {
        if self.authority == Authority::Leader {
            self.proposals.push(zxid, &self.groups.outcome.txn);
        }
        self.append_to_log(zxid, changes, reply)
    }

    /// A request was refused as throttled: it would have delayed all clients for too long, or its learner exceeded its
    /// bound.
    #[cold]
    fn throttled(&self, session: SessionId) {
        self.stats.core.throttled.add(1);
        tracing::debug!(%session, limit = limits::txn_cost(self.groups.log.max_txn()).units(), "refused as throttled");
    }

    /// Hands the transaction in the outcome to the log. Its changes and its reply begin at `changes` and `reply`;
    /// returns where both are now.
    fn append_to_log(&mut self, zxid: Zxid, changes: usize, reply: usize) -> (Range<usize>, Range<u32>) {
        self.plan.count(self.groups.outcome.txn.len());
        self.stats.core.transactions.add(1);
        self.groups.append(zxid, changes, reply)
    }

    /// Whether the epoch has a zxid for the next transaction. Always true on a standalone server, which begins another
    /// epoch by itself ([`Core::next_zxid`]), and on a learner, which uses its leader's zxids.
    pub(super) fn has_number(&self) -> bool {
        self.authority != Authority::Leader || self.groups.head.counter() < self.options.config.last_counter
    }

    /// The zxid of the next transaction. A standalone server is its own quorum: it promises and acknowledges its next
    /// epoch, and its log records that.
    pub(in crate::server::quorum) fn next_zxid(&self) -> Zxid {
        let head = self.groups.head;
        if self.authority != Authority::Alone || head.counter() < self.options.config.last_counter {
            return head.next();
        }
        tracing::info!(zxid = %head, "the epoch has no further zxid: the next one begins");
        first_zxid(head.epoch() + 1).next()
    }

    /// Carries out one transaction like [`Core::transact_as`], which may not be complete when this returns.
    pub(in crate::server::quorum) fn transact_then(
        &mut self,
        session: SessionId,
        cxid: i32,
        identities: &Identities,
        prepare: impl FnOnce(&mut State, &Context<'_>, &mut Outcome),
        then: Then,
    ) {
        let (zxid, changes, reply) = self.prepare_as(session, cxid, identities, prepare);
        if self.state.is_under_way() && self.state.resume(self.slice(), &mut self.groups.outcome).is_none() {
            return self.set_aside(zxid, changes, reply, then);
        }
        let done = self.log_prepared(zxid, changes, reply);
        self.conclude(then, done);
    }

    /// The transaction in the outcome continues in a later turn. Its changes and its reply begin at `changes` and
    /// `reply`.
    fn set_aside(&mut self, zxid: Zxid, changes: usize, reply: usize, then: Then) {
        let Outcome { txn_limit, cost_limit, error, .. } = self.groups.outcome;
        let outcome = Outcome {
            txn: std::mem::take(&mut self.groups.outcome.txn),
            changes: self.groups.outcome.changes.split_off(changes),
            reply: self.groups.outcome.reply.split_off(reply),
            txn_limit,
            cost_limit,
            error,
        };
        self.under_way = Some(UnderWay { zxid, outcome, then });
    }

    /// Continues the incomplete transaction, if there is one. Returns a leader's transaction when it is complete: the
    /// caller passes it to [`Core::log_applied`].
    #[must_use]
    pub(in crate::server::quorum) fn resume(&mut self) -> Option<Applying> {
        if self.under_way.is_none() || self.is_spent() {
            return None;
        }
        let (slice, Some(mut under_way)) = (self.slice(), self.under_way.take()) else { return None };
        let Some(completed) = self.state.resume(slice, &mut under_way.outcome) else {
            self.under_way = Some(under_way);
            return None;
        };
        let UnderWay { zxid, outcome, then } = under_way;
        let out = &mut self.groups.outcome;
        let (changes, reply) = (out.changes.len(), out.reply.len());
        out.changes.append(outcome.changes);
        out.reply.extend_from_slice(&outcome.reply);
        (out.txn, out.error) = (outcome.txn, outcome.error);
        match (then, completed) {
            (Then::Applied(txn), Completed::Applied(applied)) => Some(Applying { txn, applied, changes, reply }),
            (then, _) => {
                let done = self.log_prepared(zxid, changes, reply);
                self.conclude(then, done);
                None
            }
        }
    }

    /// Applies a transaction of the leader at the head. The caller passes the result to [`Core::log_applied`]. `None`:
    /// the transaction continues in a later turn, and [`Core::resume`] returns it.
    pub(in crate::server::quorum) fn apply(&mut self, txn: Txn) -> Result<Option<Applying>, ApplyError> {
        self.charge_request(txn.bytes.len());
        let out = &mut self.groups.outcome;
        let (changes, reply) = (out.changes.len(), out.reply.len());
        let begun = self.state.begin_apply(&txn.bytes, Mode::Strict, &mut out.changes, Some(&mut out.reply))?;
        let applied = match begun {
            Some(applied) => applied,
            None => match self.state.resume(self.slice(), &mut self.groups.outcome) {
                Some(Completed::Applied(applied)) => applied,
                _ => {
                    self.set_aside(txn.zxid, changes, reply, Then::Applied(txn));
                    return Ok(None);
                }
            },
        };
        Ok(Some(Applying { txn, applied, changes, reply }))
    }

    /// Hands an applied transaction to the log, and answers a connection. The frame of a reply was written when the
    /// transaction was applied.
    pub(in crate::server::quorum) fn log_applied(
        &mut self,
        applying: &Applying,
        told: Option<(ShardId, ConnId, Response)>,
    ) {
        let Applying { txn, applied, changes, reply } = applying;
        let out = &mut self.groups.outcome;
        match &told {
            Some((.., Response::Reply { close: true, .. })) => {
                reply::put_bare(&mut out.reply, applied.header.cxid, txn.zxid, ErrorCode::Ok);
            }
            Some((.., Response::Reply { .. })) => {}
            _ => out.reply.truncate(*reply),
        }
        out.txn.clear();
        out.txn.extend_from_slice(&txn.bytes);
        let (changes, frame) = self.append_to_log(txn.zxid, *changes, *reply);
        let answer = told.map(|(shard, conn, what)| {
            let what = match what {
                Response::Reply { close, .. } => Response::Reply { frame, close },
                what => what,
            };
            Answer { shard, conn, what }
        });
        self.step(changes, answer);
    }

    /// Undoes the incomplete transaction, if there is one, as if it had never begun.
    pub(in crate::server::quorum) fn drop_under_way(&mut self) {
        if self.under_way.take().is_some() {
            self.state.undo(self.groups.head);
        }
    }

    /// A transaction is complete and handed to the log; given are its changes and its reply frame.
    fn conclude(&mut self, then: Then, (changes, frame): (Range<usize>, Range<u32>)) {
        match then {
            Then::Answer(asker) => {
                let what = Response::Reply { frame, close: false };
                self.step(changes, asker.map(|(shard, conn)| Answer { shard, conn, what }));
            }
            Then::End { session, asked } => {
                self.sessions.locals.ended(session, self.clock.mono_ms);
                let live = self.sessions.live.remove(&session);
                let answer = match asked {
                    Some((shard, conn, xid)) => {
                        let head = self.groups.head;
                        let frame = self.write_reply(|out| reply::put_bare(out, xid, head, ErrorCode::Ok));
                        Some(Answer { shard, conn, what: Response::Reply { frame, close: true } })
                    }
                    None => live.map(|Live { shard, conn, .. }| Answer { shard, conn, what: Response::Close }),
                };
                self.step(changes, answer);
            }
            Then::Applied(_) => unreachable!("what a leader decides is not decided here"),
        }
    }
}
