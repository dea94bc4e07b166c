//! A member that finds no leader and serves reads, to clients that accept a read-only server (`readonlymode.enabled`).
//!
//! Clients see the state that is known to be committed; it does not change. All sessions are local ones, and end with
//! the search for a leader, when all connections are closed. (ZooKeeper 3.9: `ReadOnlyZooKeeperServer`,
//! `ReadOnlyRequestProcessor`; there a session can be opened only if local sessions are enabled, and clients see the
//! log's end even if it may not be committed.)

use super::Member;
use crate::ids::Zxid;
use crate::jute::wire::put_int;
use crate::jute::{ErrorCode, OpCode, reply};
use crate::server::message::{Command, Item, Response, ShardId};
use crate::server::quorum::core::Live;

/// So long a member looks for a leader at least before it serves reads (ZooKeeper 3.9, `QuorumPeer.run`).
const READ_ONLY_AFTER_MS: i64 = 2_000;

impl Member {
    /// Time has passed without a leader: after long enough, reads are served.
    pub(super) fn tick_looking(&mut self) {
        let config = self.core.config();
        let after_ms = READ_ONLY_AFTER_MS.max(config.tick_ms());
        let is_time = config.read_only_mode && self.core.now_ms() - self.search.since_ms >= after_ms;
        let shown = self.core.shown();
        // A server that knows no committed transaction serves nothing: an empty tree would be wrong.
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
        // The zxid of the state that clients see.
        let shown = self.core.shown();
        match &item.what {
            Command::NewSession { timeout_ms, identities, or_read_only: true } => {
                self.core.open_local(*timeout_ms, Live::of(shard, conn, identities), true);
            }
            // A server that may be behind does not decide about a session of the ensemble: the client tries other
            // servers, and keeps its session until there is a leader again.
            Command::Resume { timeout_ms, identities, or_read_only: true }
                if self.core.sessions.locals.gave(session)
                    && self.core.state().session_timeout_ms(session).is_none() =>
            {
                if !self.core.sessions.locals.knows(session) {
                    return self.core.respond(shard, conn, Response::Refused);
                }
                let live = Live::of(shard, conn, identities);
                self.core.resume_local(session, *timeout_ms, live, true);
            }
            Command::Write(OpCode::CloseSession) if is_owner => self.core.close_local(shard, item, shown),
            Command::Write(_) | Command::Sync if is_owner => {
                self.core.reply(shard, conn, |out| reply::put_bare(out, item.xid, shown, ErrorCode::NotReadOnly));
            }
            // A local session has no ephemerals.
            Command::Ephemerals { .. } if is_owner => {
                self.core.reply(shard, conn, |out| reply::put_reply(out, item.xid, shown, |out| put_int(out, 0)));
            }
            _ => self.core.respond(shard, conn, Response::Close),
        }
    }
}
