//! A member that finds no leader and serves reads, to clients that say that this is enough for them
//! (`readonlymode.enabled`).
//!
//! What it shows is what it knows to be committed, and stands still. Sessions are its own alone
//! ([`crate::server::quorum::core`]), and end with the search for a leader, when all connections are closed. (ZooKeeper 3.9:
//! `ReadOnlyZooKeeperServer`, `ReadOnlyRequestProcessor`; there a session can only be opened where local sessions are
//! enabled, and the end of the log is shown that may not be committed.)

use super::Member;
use crate::ids::Zxid;
use crate::jute::wire::put_int;
use crate::jute::{ErrorCode, OpCode, reply};
use crate::server::message::{Command, Item, Response, ShardId};
use crate::server::quorum::core::Live;

impl Member {
    /// Time has passed, and no leader was found: reads are served from a certain time on.
    pub(super) fn tick_looking(&mut self) {
        let is_time = self
            .options
            .roles
            .read_only_after_ms
            .is_some_and(|after_ms| self.core.now_ms() - self.search.since_ms >= after_ms);
        let shown = self.core.shown();
        // A server that knows of nothing committed has nothing to show: an empty tree would be a lie.
        if !self.search.reads_only && is_time && shown > Zxid::ZERO {
            tracing::warn!(zxid = %shown, "no leader is found: reads are served to clients that ask for no more");
            self.search.reads_only = true;
            self.publish_role();
        }
    }

    /// The search is over, and with it the sessions of readers.
    pub(super) fn end_reading(&mut self) {
        if std::mem::take(&mut self.search.reads_only) {
            self.core.sessions.locals.clear();
            self.dismiss_clients(vec![]);
        }
    }

    /// One item from a shard of a member that looks for a leader.
    pub(super) fn reading_item(&mut self, shard: ShardId, item: &Item) {
        let (conn, session) = (item.conn, item.session);
        let is_owner = self.core.sessions.owner(shard, item).is_some();
        if !self.search.reads_only {
            return self.core.respond(shard, conn, Response::Close);
        }
        // The zxid of what it sees.
        let shown = self.core.shown();
        match &item.what {
            Command::NewSession { timeout_ms, identities, or_read_only: true } => {
                self.core.open_local(*timeout_ms, Live { shard, conn, identities: identities.clone() }, true);
            }
            // One of the ensemble's own is not judged by a server that may be behind: its client asks elsewhere, and has it
            // still when there is a leader again.
            Command::Resume { timeout_ms, identities, or_read_only: true }
                if self.core.sessions.locals.gave(session)
                    && self.core.state().session_timeout_ms(session).is_none() =>
            {
                if !self.core.sessions.locals.knows(session) {
                    return self.core.respond(shard, conn, Response::Refused);
                }
                let live = Live { shard, conn, identities: identities.clone() };
                self.core.resume_local(session, *timeout_ms, live, true);
            }
            Command::Write(OpCode::CloseSession) if is_owner => self.core.close_local(shard, item, shown),
            Command::Write(_) | Command::Sync if is_owner => {
                self.core.reply(shard, conn, |out| reply::put_bare(out, item.xid, shown, ErrorCode::NotReadOnly));
            }
            // It has none.
            Command::Ephemerals { .. } if is_owner => {
                self.core.reply(shard, conn, |out| reply::put_reply(out, item.xid, shown, |out| put_int(out, 0)));
            }
            _ => self.core.respond(shard, conn, Response::Close),
        }
    }
}
