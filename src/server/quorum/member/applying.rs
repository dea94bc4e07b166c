//! How a follower applies its leader's transactions: each is applied at the head, handed to the log, and answered, if a
//! client of this server requested it.

use super::Member;
use super::roles::Role;
use crate::fatal::Reason;
use crate::jute::ErrorCode;
use crate::server::message::Response;
use crate::server::quorum::core::Applying;
use crate::tree::apply::{DigestCheck, SessionEvent};
use crate::zab::history::Txn;

impl Member {
    /// Applies a transaction of the leader at the head and appends it to the log. A client of this server that
    /// requested it gets the answer.
    pub(super) fn append(&mut self, txn: Txn) {
        let zxid = txn.zxid;
        match self.core.apply(txn) {
            Ok(Some(applying)) => self.applied(&applying),
            // The transaction continues in a later turn.
            Ok(None) => {}
            // The tree does not fit the leader's history: no answer of this server can be trusted.
            Err(error) => {
                let what = format!("the leader's transaction {zxid}: {error}");
                self.fail(Reason::LogCorrupt, what);
            }
        }
    }

    /// A transaction of the leader has been applied.
    pub(super) fn applied(&mut self, applying: &Applying) {
        let Applying { txn, applied, .. } = applying;
        if let DigestCheck::Differs { carried, ours } = applied.digest {
            let known = &self.core.stats().core.digest_mismatches;
            if known.value() == 0 {
                let (carried, ours) = (format!("{carried:#x}"), format!("{ours:#x}"));
                tracing::error!(zxid = %txn.zxid, carried, ours, "the tree's digest is not the leader's");
            }
            known.add(1);
        }
        let (session, cxid) = (applied.header.session, applied.header.cxid);
        let asked = self.requests.queues.get_mut(&session);
        let write = asked.and_then(|asked| asked.writes.pop_front_if(|write| write.xid == cxid));
        let asker = write.map(|write| write.conn);
        let is_opened = matches!(applied.session, Some(SessionEvent::Opened { .. }));
        if is_opened {
            self.core.sessions.locals.finish_upgrade(session);
        }
        // No other client is told. A local session that becomes global was opened long ago. A session that came from
        // another server was confirmed by the leader before this server had it.
        let is_awaited = match &mut self.role {
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
        let here = self.core.sessions.live.get(&session).map(|live| (live.shard, live.conn));
        let mine = here.filter(|(_, conn)| asker == Some(*conn));
        let told = match (applied.session, here, mine) {
            (Some(SessionEvent::Opened { timeout_ms }), Some(to), _) if is_awaited => {
                Some((to, Response::Opened { session, timeout_ms, read_only: false }))
            }
            (Some(SessionEvent::Closed), Some(to), None) => Some((to, Response::Close)),
            (_, _, Some(to)) if applied.error == ErrorCode::SessionMoved.wire() => Some((to, Response::Close)),
            (closed, _, Some(to)) => Some((to, Response::Reply { frame: 0..0, close: closed.is_some() })),
            _ => None,
        };
        if applied.session == Some(SessionEvent::Closed) {
            self.core.sessions.live.remove(&session);
        }
        self.core.log_applied(applying, told.map(|((shard, conn), what)| (shard, conn, what)));
        self.resume_queue(session);
    }
}
