//! A member that follows, as far as it is that member's own: what the leader has sent, what waits, what clients have under way.

use crate::ids::{ConnId, SessionId};
use crate::jute::OpCode;
use crate::jute::quorum::ForwardedRequest;
use crate::jute::wire::put_int;
use crate::server::message::ShardId;
use crate::server::quorum::core::Live;
use crate::server::quorum::member::forwarded::{UnderWay, request_bytes};
use crate::server::rebuild::Rebuild;
use crate::storage::java::stream::StreamReceiver;
use crate::tree::state::State;
use crate::zab::history::History;
use crate::zab::leader::LearnerKind;
use crate::zab::learner::{Learner, Output};
use crate::zab::message::{Auth, Gate};
use crate::zab::voters::ServerId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The role.
pub(crate) struct Following {
    pub learner: Learner,
    pub gate: Gate<Output>,
    pub kind: LearnerKind,
    /// From the leader, not decoded yet.
    pub inbox: Vec<u8>,
    /// Bytes of it at which the connection is not read.
    pub inbox_limit: usize,
    /// May be carried out, and wait until the log has room or is cut.
    pub outputs: VecDeque<Output>,
    pub leader: ServerId,
    /// Whose connection this is: the leader's, or that of somebody who stands in for it.
    pub master: ServerId,
    /// The log is being cut.
    pub cutting: bool,
    /// A configuration that was proposed is being written down.
    pub recording: bool,
    pub serves: bool,
    /// Sessions heard of since the last PING, with their timeouts.
    pub touched: BTreeMap<SessionId, i32>,
    /// Clients that want a session of before: the newest one of each.
    pub resumes: BTreeMap<SessionId, (i32, Live)>,
    /// Sessions that clients asked for, who are told when they are open.
    pub opening: BTreeSet<SessionId>,
    /// A snapshot is coming: what takes it in.
    pub receiving: Option<Box<StreamReceiver>>,
    /// The state that is made of it, until it is this server's own.
    pub staged: Option<Box<Rebuild>>,
    /// That state, while it is being written down.
    pub installing: Option<Box<State>>,
    /// What requests of clients have led to.
    pub fresh: Vec<Output>,
    pub under_way: UnderWay,
}

impl Following {
    pub(crate) fn is_observer(&self) -> bool {
        self.kind == LearnerKind::Observer
    }

    pub(crate) fn leader(&self) -> ServerId {
        self.leader
    }

    pub(crate) fn master(&self) -> ServerId {
        self.master
    }

    /// Whether somebody who stands in for the leader has not brought this server up to date.
    pub(crate) fn fails_behind_a_master(&self) -> bool {
        self.master != self.leader && !self.serves
    }

    /// What the leader says next is taken in when the files say what it said before.
    pub(crate) fn wait_for_record(&mut self) {
        self.recording = true;
    }

    pub(crate) fn config_recorded(&mut self) {
        self.recording = false;
    }

    pub(crate) fn serves(&self) -> bool {
        self.serves
    }

    /// Ends the role: the log's end, and the connections that still wait for a session of before.
    pub(crate) fn into_parts(self) -> (History, Vec<(ShardId, ConnId)>) {
        let waiting = self.resumes.into_values().map(|(_, live)| (live.shard, live.conn)).collect();
        (self.learner.into_history(), waiting)
    }

    /// Passes a write on; `None` if nobody takes it, or the bytes that are under way until it comes back.
    pub(crate) fn forward(
        &mut self,
        session: SessionId,
        cxid: i32,
        op: OpCode,
        body: &[u8],
        auth: Auth,
    ) -> Option<usize> {
        let request = ForwardedRequest { session, cxid, op: op.wire(), body };
        let bytes = request_bytes(body, &auth);
        self.learner.forward(request, auth, &mut self.fresh).ok()?;
        self.under_way.begun(bytes);
        Some(bytes)
    }

    /// Asks for a session; false if nobody takes that.
    pub(crate) fn create_session(&mut self, session: SessionId, timeout_ms: i32, auth: Auth) -> bool {
        let mut body = vec![];
        put_int(&mut body, timeout_ms);
        let Some(bytes) = self.forward(session, 0, OpCode::CreateSession, &body, auth) else { return false };
        self.under_way.creates(session, bytes);
        true
    }

    /// Passes a sync on; `None` if nobody takes it, or the bytes that are under way until it is answered.
    pub(crate) fn sync(&mut self, tag: u64, session: SessionId, cxid: i32, body: &[u8], auth: Auth) -> Option<usize> {
        let request = ForwardedRequest { session, cxid, op: OpCode::Sync.wire(), body };
        let bytes = request_bytes(body, &auth);
        self.learner.sync(tag, request, auth, &mut self.fresh).ok()?;
        self.under_way.begun(bytes);
        Some(bytes)
    }
}
