//! The data of a member that follows: bytes and outputs of the leader that wait, a snapshot on its way, and the
//! requests of clients under way. What is done with it is in [`crate::server::quorum::member`]'s `following`.

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

/// The role of a follower or an observer.
pub(crate) struct Following {
    pub learner: Learner,
    pub gate: Gate<Output>,
    pub kind: LearnerKind,
    /// Bytes from the leader that are not decoded yet.
    pub inbox: Vec<u8>,
    /// From so many bytes in `inbox` on, the connection is not read.
    pub inbox_limit: usize,
    /// Outputs that may be executed, and wait until the log has room or is truncated.
    pub outputs: VecDeque<Output>,
    pub leader: ServerId,
    /// The server at the other end: the leader, or a follower that serves observers for it.
    pub master: ServerId,
    /// The log is being truncated, or begun anew.
    pub cutting: bool,
    /// A proposed configuration is being written to the files.
    pub recording: bool,
    pub serves: bool,
    /// Sessions heard of since the last PING, with their timeouts.
    pub touched: BTreeMap<SessionId, i32>,
    /// Connections that want to resume a session: the newest one for each session.
    pub resumes: BTreeMap<SessionId, (i32, Live)>,
    /// New sessions that clients asked for; each client is told when its session is open.
    pub opening: BTreeSet<SessionId>,
    /// The receiver of a snapshot that is coming.
    pub receiving: Option<Box<StreamReceiver>>,
    /// The state that is built from the snapshot, until it is complete.
    pub staged: Option<Box<Rebuild>>,
    /// That state, while it is being written to disk.
    pub installing: Option<Box<State>>,
    /// Outputs from requests of clients, in this turn.
    pub fresh: Vec<Output>,
    pub under_way: UnderWay,
}

impl Following {
    pub(crate) fn is_observer(&self) -> bool {
        self.kind == LearnerKind::Observer
    }

    /// Whether another voter in place of the leader did not bring this server up to date.
    pub(crate) fn fails_behind_a_master(&self) -> bool {
        self.master != self.leader && !self.serves
    }

    /// Ends the role: returns the log's end in memory, and the connections that still wait to resume a session.
    pub(crate) fn into_parts(self) -> (History, Vec<(ShardId, ConnId)>) {
        let waiting = self.resumes.into_values().map(|(_, live)| (live.shard, live.conn)).collect();
        (self.learner.into_history(), waiting)
    }

    /// Forwards a write. Returns its bytes, which are under way until it comes back; `None`: the learner does not take
    /// it.
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

    /// Requests a new session; false: the learner does not take it.
    pub(crate) fn create_session(&mut self, session: SessionId, timeout_ms: i32, auth: Auth) -> bool {
        let mut body = vec![];
        put_int(&mut body, timeout_ms);
        let Some(bytes) = self.forward(session, 0, OpCode::CreateSession, &body, auth) else { return false };
        self.under_way.creates(session, bytes);
        true
    }

    /// Forwards a sync. Returns its bytes, which are under way until it is answered; `None`: the learner does not take
    /// it.
    pub(crate) fn sync(&mut self, tag: u64, session: SessionId, cxid: i32, body: &[u8], auth: Auth) -> Option<usize> {
        let request = ForwardedRequest { session, cxid, op: OpCode::Sync.wire(), body };
        let bytes = request_bytes(body, &auth);
        self.learner.sync(tag, request, auth, &mut self.fresh).ok()?;
        self.under_way.begun(bytes);
        Some(bytes)
    }
}
