//! The leader's transactions, as a follower carries them out: applied at the head, handed to the log, and answered to the
//! client of this server that asked for them.

use super::{Ensemble, Role};
use crate::cost::Cost;
use crate::fatal::Reason;
use crate::jute::{ErrorCode, reply};
use crate::server::message::{Answer, Tell};
use crate::server::quorum::Quorum;
use crate::server::quorum::under_way::Then;
use crate::tree::apply::{Applied, DigestCheck, Mode, SessionEvent};
use crate::tree::under_way::Completed;
use crate::zab::history::Txn;

impl Quorum {
    /// Applies a transaction of the leader at the head and appends it to the log. A client of this server that asked for
    /// it is answered.
    pub(super) fn append(&mut self, ensemble: &mut Ensemble, txn: &Txn) {
        let (changes, reply) = (self.outcome.changes.len(), self.outcome.reply.len());
        self.state.meter().charge(Cost::REQUEST + Cost::bytes(txn.bytes.len()));
        let outcome = &mut self.outcome;
        let begun = self.state.begin_apply(&txn.bytes, Mode::Strict, &mut outcome.changes, Some(&mut outcome.reply));
        let applied = match begun {
            Ok(Some(applied)) => applied,
            Ok(None) => match self.state.go_on(self.slice(), &mut self.outcome) {
                Some(Completed::Applied(applied)) => applied,
                _ => return self.set_aside(txn.zxid, changes, reply, Then::Applied(txn.clone())),
            },
            // The tree and the leader's history disagree: nothing that this server says is worth anything.
            Err(error) => {
                let what = format!("the leader's transaction {}: {error}", txn.zxid);
                return ensemble.fail(Reason::LogCorrupt, what);
            }
        };
        self.applied(ensemble, txn, &applied, changes, reply);
    }

    /// A transaction of the leader has been applied; what it changed and answered begins at `changes` and `reply`.
    pub(in crate::server::quorum) fn applied(
        &mut self,
        ensemble: &mut Ensemble,
        txn: &Txn,
        applied: &Applied,
        changes: usize,
        reply: usize,
    ) {
        if let DigestCheck::Differs { carried, ours } = applied.digest {
            let known = &self.stats.core.digest_mismatches;
            if known.value() == 0 {
                let (carried, ours) = (format!("{carried:#x}"), format!("{ours:#x}"));
                tracing::error!(zxid = %txn.zxid, carried, ours, "the tree's digest is not the leader's");
            }
            known.add(1);
        }
        let (session, cxid) = (applied.header.session, applied.header.cxid);
        let asked = ensemble.asked.get_mut(&session);
        let write = asked.and_then(|asked| asked.writes.pop_front_if(|write| write.xid == cxid));
        let asker = write.map(|write| write.conn);
        let is_opened = matches!(applied.session, Some(SessionEvent::Opened { .. }));
        if is_opened {
            self.locals.finish_upgrade(session);
        }
        // Nobody else is told: the client of a local session that becomes one of all was told long ago, and so was one
        // that has come here from another server, whose leader answered for the session before this server had it.
        let is_awaited = match &mut ensemble.role {
            Role::Following(following) => {
                if let Some(write) = write {
                    following.under_way.ended(write.bytes);
                }
                if is_opened {
                    following.under_way.created(session);
                }
                is_opened && following.opening.remove(&session)
            }
            _ => false,
        };
        let here = self.live.get(&session).map(|live| (live.shard, live.conn));
        let mine = here.filter(|(_, conn)| asker == Some(*conn));
        let told = match (applied.session, here, mine) {
            (Some(SessionEvent::Opened { timeout_ms }), Some(to), _) if is_awaited => {
                Some((to, Tell::Opened { session, timeout_ms, read_only: false }))
            }
            (Some(SessionEvent::Closed), Some(to), None) => Some((to, Tell::Close)),
            (_, _, Some(to)) if applied.error == ErrorCode::SessionMoved.wire() => Some((to, Tell::Close)),
            (closed, _, Some(to)) => {
                if closed.is_some() {
                    reply::put_bare(&mut self.outcome.reply, cxid, txn.zxid, ErrorCode::Ok);
                }
                Some((to, Tell::Reply { frame: 0..0, close: closed.is_some() }))
            }
            _ => None,
        };
        if !matches!(told, Some((_, Tell::Reply { .. }))) {
            self.outcome.reply.truncate(reply);
        }
        if applied.session == Some(SessionEvent::Closed) {
            self.live.remove(&session);
        }
        self.outcome.txn.clear();
        self.outcome.txn.extend_from_slice(&txn.bytes);
        let (changes, frame) = self.append_to_log(txn.zxid, changes, reply);
        let answer = told.map(|((shard, conn), what)| {
            let what = match what {
                Tell::Reply { close, .. } => Tell::Reply { frame, close },
                what => what,
            };
            Answer { shard, conn, what }
        });
        self.step(changes, answer);
        self.ask_on(ensemble, session);
    }
}
