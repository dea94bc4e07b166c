//! What is on its way between a follower's clients and its leader, in bytes, at both ends.
//!
//! A follower has so many bytes of requests under way and no more: what is beyond waits here, in order, until some have come
//! back as transactions. So no leader of this kind is ever sent more than it takes, whatever clients do. A leader counts what
//! each learner has forwarded and is not proposed. Of what is beyond its bound, which only ZooKeeper's servers come to, it
//! keeps the heads, and answers them as throttled; a learner that goes on nevertheless is none that has clients.
//!
//! A leader reads on in either case: acknowledgements come on the same connection, and may be what it waits for.

use super::owners::Owner;
use crate::ids::SessionId;
use crate::jute::OpCode;
use crate::limits;
use crate::zab::leader::PeerId;
use crate::zab::message::Auth;
use std::collections::{BTreeMap, VecDeque};

/// What a request comes to at both ends.
pub(crate) fn request_bytes(body: &[u8], auth: &Auth) -> usize {
    limits::FORWARDED_REQUEST + body.len() + auth.bytes.len()
}

/// A follower's requests that the leader has and has not answered.
#[derive(Default)]
pub(crate) struct UnderWay {
    bytes: usize,
    /// Sessions that are being created, and what the request for each came to.
    creating: BTreeMap<SessionId, usize>,
}

impl UnderWay {
    /// One more, of so many bytes; [`UnderWay::ended`] when it is answered.
    pub(crate) fn begun(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// One of so many bytes was answered.
    pub(crate) fn ended(&mut self, bytes: usize) {
        self.bytes -= bytes;
    }

    /// One of them asks for a session.
    pub(crate) fn creates(&mut self, session: SessionId, bytes: usize) {
        if let Some(before) = self.creating.insert(session, bytes) {
            self.ended(before);
        }
    }

    /// It is there, whoever asked for it.
    pub(crate) fn created(&mut self, session: SessionId) {
        if let Some(bytes) = self.creating.remove(&session) {
            self.ended(bytes);
        }
    }

    /// Bytes of all of them.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether one more may be passed on.
    pub(crate) fn has_room(&self) -> bool {
        self.bytes < limits::UNDER_WAY_BYTES
    }
}

/// A request a learner has passed on.
pub(crate) struct Forwarded {
    pub peer: PeerId,
    /// Whether its session spoke through this learner when it came. A session may have been elsewhere since, and have come back:
    /// what it asked for there goes before this, which comes too late then.
    pub owner: Option<Owner>,
    pub session: SessionId,
    pub cxid: i32,
    pub op: i32,
    pub body: Vec<u8>,
    pub auth: Auth,
    /// Its learner had too many here: it is answered as throttled, and the rest of it was not kept.
    pub refused: bool,
}

impl Forwarded {
    fn bytes(&self) -> usize {
        request_bytes(&self.body, &self.auth)
    }

    /// Keeps the head. What ends or begins a session has no more than that.
    fn shorten(&mut self) {
        self.auth = Auth::default();
        if !matches!(OpCode::from_wire(self.op), Some(OpCode::CreateSession | OpCode::CloseSession | OpCode::Sync)) {
            self.body = vec![];
            self.refused = true;
        }
    }
}

/// What a leader's learners have passed on and it has not proposed.
#[derive(Default)]
pub(crate) struct AllForwarded {
    /// In the order they came.
    requests: VecDeque<Forwarded>,
    /// What learners asked for behind a sync that is not answered yet. A learner of ZooKeeper takes what comes for its own
    /// requests in the order of these only (3.9, `CommitProcessor`): an answer out of place ends its clients' progress.
    behind_sync: BTreeMap<PeerId, VecDeque<Forwarded>>,
    /// Bytes of each learner's, here and there.
    bytes: BTreeMap<PeerId, usize>,
}

impl AllForwarded {
    /// One more, where a learner may have so many bytes here. False: it has far more than that, and goes on.
    pub(crate) fn push(&mut self, mut request: Forwarded, limit: usize) -> bool {
        let bytes = self.bytes.entry(request.peer).or_default();
        if OpCode::from_wire(request.op) == Some(OpCode::Sync) {
            // Its path is the learner's to echo.
            request.body = vec![];
        }
        if *bytes + request.bytes() > limit {
            request.shorten();
        }
        if *bytes + request.bytes() > limits::FORWARDED_TIMES * limit {
            return false;
        }
        *bytes += request.bytes();
        self.requests.push_back(request);
        true
    }

    /// The next one, unless its learner waits for a sync that came before it.
    pub(crate) fn pop(&mut self) -> Option<Forwarded> {
        while let Some(request) = self.requests.pop_front() {
            match self.behind_sync.get_mut(&request.peer) {
                Some(behind) => behind.push_back(request),
                None => {
                    if let Some(bytes) = self.bytes.get_mut(&request.peer) {
                        *bytes -= request.bytes();
                    }
                    return Some(request);
                }
            }
        }
        None
    }

    /// What a learner asks for from now on waits for a sync of its.
    pub(crate) fn wait(&mut self, peer: PeerId) {
        self.behind_sync.insert(peer, VecDeque::new());
    }

    /// The sync is answered: what waited for it goes before what came later.
    pub(crate) fn synced(&mut self, peer: PeerId) {
        for request in self.behind_sync.remove(&peer).into_iter().flatten().rev() {
            self.requests.push_front(request);
        }
    }

    /// Whether there is any that waits for no sync.
    pub(crate) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// A learner's connection is over: whatever it asked for, nobody waits for that any more.
    pub(crate) fn forget(&mut self, peer: PeerId) {
        self.behind_sync.remove(&peer);
        if self.bytes.remove(&peer).is_some_and(|bytes| bytes > 0) {
            self.requests.retain(|request| request.peer != peer);
        }
    }

    /// Bytes of all of them.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn bytes(&self) -> usize {
        let mut all: Vec<&Forwarded> = self.requests.iter().collect();
        all.extend(self.behind_sync.values().flatten());
        let kept: usize = all.iter().map(|request| request.bytes()).sum();
        assert_eq!(kept, self.bytes.values().sum::<usize>(), "what is counted is what is kept");
        kept
    }
}
