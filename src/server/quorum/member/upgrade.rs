//! Local sessions that create an ephemeral: such a session becomes a session of the ensemble first, or the request is
//! refused.
//!
//! A createSession for the same id goes to the leader. The session's request follows when the createSession has come
//! back as a transaction; meanwhile all requests of the session wait here. So in every log the ephemeral follows the
//! createSession: even if the leader fails in between, there is never an ephemeral without a session whose end deletes
//! it.

use super::Member;
use super::forwarded_identities::auth_of;
use super::roles::Role;
use crate::ids::SessionId;
use crate::jute::request::{Create, Request};
use crate::jute::{CreateMode, ErrorCode, MultiOps, OpCode, reply};
use crate::server::message::{Item, ShardId};

impl Member {
    /// Whether this server answers a write of a local session itself: the session's end, or an ephemeral that is not
    /// allowed.
    pub(super) fn is_local_matter(&self, session: SessionId, op: OpCode, body: &[u8]) -> bool {
        let is_refused = || !self.core.sessions.locals.upgrades() && makes_ephemeral(op, body);
        self.core.sessions.locals.knows(session) && (op == OpCode::CloseSession || is_refused())
    }

    /// Answers such a write.
    pub(super) fn settle_local(&mut self, shard: ShardId, item: &Item, op: OpCode, body: &[u8]) {
        if op == OpCode::CloseSession {
            return self.core.close_local(shard, item, self.core.head());
        }
        let zxid = self.core.head();
        self.core.reply(shard, item.conn, |out| match Request::of_checked(op, body) {
            Request::Multi(ops) => reply::put_reply(out, item.xid, zxid, |out| put_refused_multi(out, &ops)),
            _ => reply::put_bare(out, item.xid, zxid, ErrorCode::EphemeralOnLocalSession),
        });
    }

    /// Begins to make a local session one of the ensemble. False: that is not possible now.
    pub(super) fn upgrade(&mut self, session: SessionId) -> bool {
        let Some(timeout_ms) = self.core.sessions.locals.begin_upgrade(session) else { return false };
        tracing::info!(%session, "a session of this server alone becomes one of the ensemble");
        match &mut self.role {
            Role::Following(following) => {
                let auth = auth_of(&self.core.sessions, session);
                following.create_session(session, timeout_ms, auth)
            }
            Role::Leading(_) => {
                self.core.create_session(session, 0, timeout_ms);
                self.core.step(0..0, None);
                self.core.sessions.locals.finish_upgrade(session)
            }
            _ => false,
        }
    }
}

/// Whether a request creates an ephemeral, alone or with others. (ZooKeeper 3.9, `checkUpgradeSession`.)
pub(super) fn makes_ephemeral(op: OpCode, body: &[u8]) -> bool {
    if !matches!(op, OpCode::Create | OpCode::Create2 | OpCode::Multi) {
        return false;
    }
    match Request::of_checked(op, body) {
        Request::Create(create) => is_ephemeral(&create),
        Request::Multi(ops) => first_ephemeral(&ops).is_some(),
        _ => false,
    }
}

fn is_ephemeral(create: &Create<'_>) -> bool {
    matches!(create.op, OpCode::Create | OpCode::Create2)
        && CreateMode::from_wire(create.flags).is_some_and(CreateMode::is_ephemeral)
}

fn first_ephemeral(ops: &MultiOps<'_>) -> Option<usize> {
    ops.iter().position(|op| matches!(&op, Request::Create(create) if is_ephemeral(create)))
}

/// The results of a multi that was refused as a whole, because it creates an ephemeral that is not allowed.
fn put_refused_multi(out: &mut Vec<u8>, ops: &MultiOps<'_>) {
    let refused = first_ephemeral(ops);
    for at in 0..ops.iter().count() {
        reply::put_multi_error(
            out,
            match refused.map(|refused| at.cmp(&refused)) {
                Some(std::cmp::Ordering::Less) => ErrorCode::Ok,
                Some(std::cmp::Ordering::Equal) => ErrorCode::EphemeralOnLocalSession,
                _ => ErrorCode::RuntimeInconsistency,
            },
        );
    }
    reply::put_multi_end(out);
}
