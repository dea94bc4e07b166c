//! Requests about local sessions: open, resume and close; and their expiry.

use super::{Core, Live};
use crate::ids::{SessionId, Zxid};
use crate::jute::{ErrorCode, reply};
use crate::server::message::{Command, Item, Response, ShardId};

impl Core {
    /// Opens or resumes a local session; false: the item asks for something else.
    pub(in crate::server::quorum) fn local_item(&mut self, shard: ShardId, item: &Item) -> bool {
        let live = |identities: &_| Live::of(shard, item.conn, identities);
        match &item.what {
            Command::NewSession { timeout_ms, identities, .. } if self.sessions.locals.opens() => {
                self.open_local(*timeout_ms, live(identities), false);
            }
            Command::Resume { timeout_ms, identities, .. } if self.sessions.locals.knows(item.session) => {
                self.resume_local(item.session, *timeout_ms, live(identities), false);
            }
            _ => return false,
        }
        true
    }

    /// A new local session.
    pub(in crate::server::quorum) fn open_local(&mut self, timeout_ms: i32, live: Live, read_only: bool) {
        let session = self.new_session();
        self.sessions.locals.add(session, timeout_ms, self.clock.mono_ms);
        self.speak_for(session, timeout_ms, live, read_only);
    }

    /// A local session on another connection.
    pub(in crate::server::quorum) fn resume_local(
        &mut self,
        session: SessionId,
        timeout_ms: i32,
        live: Live,
        read_only: bool,
    ) {
        // The leader was told the session's old timeout.
        let fixed_ms = self.sessions.locals.upgrading_timeout_ms(session);
        if fixed_ms.is_none() {
            self.sessions.locals.resumed(session, timeout_ms, self.clock.mono_ms);
        }
        self.speak_for(session, fixed_ms.unwrap_or(timeout_ms), live, read_only);
    }

    /// A client ends its local session; the answer shows the state of `zxid`.
    pub(in crate::server::quorum) fn close_local(&mut self, shard: ShardId, item: &Item, zxid: Zxid) {
        self.sessions.locals.remove(item.session);
        self.sessions.live.remove(&item.session);
        let frame = self.write_reply(|out| reply::put_bare(out, item.xid, zxid, ErrorCode::Ok));
        self.respond(shard, item.conn, Response::Reply { frame, close: true });
    }

    /// Ends the local sessions that no shard has heard of in time.
    pub(in crate::server::quorum) fn expire_local(&mut self) {
        self.sessions.locals.forget_ended(self.clock.mono_ms);
        let Some(known_ms) = self.sessions.heard_upto_ms(self.clock.mono_ms) else { return };
        for session in self.sessions.locals.expired(known_ms) {
            tracing::info!(%session, "a session of this server alone expired");
            self.stats.core.stale_sessions_expired.add(1);
            self.close_connection_of(session);
        }
    }
}
