//! Requests on their way from a follower's clients to the leader, and their bytes, at both ends: [`UnderWay`] on the
//! follower, [`AllForwarded`] on the leader.
//!
//! A follower has at most so many bytes of requests under way: further ones wait on the follower, in order, until some
//! have come back as transactions. So clients cannot make a follower send more than a leader of Corral accepts. A
//! leader counts the bytes that each learner has forwarded and that are not proposed. Only ZooKeeper's learners can
//! exceed the bound: of a request beyond it the leader keeps the head and answers it as throttled. A learner that sends
//! far more than the bound is no real learner, and is disconnected.
//!
//! A leader reads all its learners' connections nevertheless: acknowledgements come on them, and it may need those to
//! continue.

use super::owners::Owner;
use crate::ids::SessionId;
use crate::jute::OpCode;
use crate::limits;
use crate::zab::leader::PeerId;
use crate::zab::message::Auth;
use std::collections::{BTreeMap, VecDeque};

/// The bytes that a request counts for at both ends.
pub(crate) fn request_bytes(body: &[u8], auth: &Auth) -> usize {
    limits::FORWARDED_REQUEST + body.len() + auth.bytes.len()
}

/// A follower's requests that the leader has and has not answered.
#[derive(Default)]
pub(crate) struct UnderWay {
    bytes: usize,
    /// Sessions that are being created, and the bytes of each one's request.
    creating: BTreeMap<SessionId, usize>,
}

impl UnderWay {
    /// Adds a request of so many bytes; [`UnderWay::ended`] is called when it is answered.
    pub(crate) fn begun(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// A request of so many bytes was answered.
    pub(crate) fn ended(&mut self, bytes: usize) {
        self.bytes -= bytes;
    }

    /// A request of so many bytes creates this session.
    pub(crate) fn creates(&mut self, session: SessionId, bytes: usize) {
        if let Some(before) = self.creating.insert(session, bytes) {
            self.ended(before);
        }
    }

    /// The session was created, whether this server requested it or not.
    pub(crate) fn created(&mut self, session: SessionId) {
        if let Some(bytes) = self.creating.remove(&session) {
            self.ended(bytes);
        }
    }

    /// Bytes of all requests.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether one more request may be forwarded.
    pub(crate) fn has_room(&self) -> bool {
        self.bytes < limits::UNDER_WAY_BYTES
    }
}

/// A request that a learner has forwarded.
pub(crate) struct Forwarded {
    pub peer: PeerId,
    /// The session's owner when the request came. If the session has moved to another server and back since then, its
    /// requests there come first, and this one is too late.
    pub owner: Option<Owner>,
    pub session: SessionId,
    pub cxid: i32,
    pub op: i32,
    pub body: Vec<u8>,
    pub auth: Auth,
    /// The learner had exceeded its bound: the request is answered as throttled, and only its head was kept.
    pub refused: bool,
}

impl Forwarded {
    fn bytes(&self) -> usize {
        request_bytes(&self.body, &self.auth)
    }

    /// Keeps only the head. A request that begins or ends a session, and a sync, needs no more and is not refused.
    fn shorten(&mut self) {
        self.auth = Auth::default();
        if !matches!(OpCode::from_wire(self.op), Some(OpCode::CreateSession | OpCode::CloseSession | OpCode::Sync)) {
            self.body = vec![];
            self.refused = true;
        }
    }
}

/// Requests that a leader's learners have forwarded and the leader has not proposed.
#[derive(Default)]
pub(crate) struct AllForwarded {
    /// In the order they came.
    requests: VecDeque<Forwarded>,
    /// Requests of learners behind a sync that is not answered yet. A learner of ZooKeeper expects the answers to its
    /// own requests in their order (3.9, `CommitProcessor`): an answer out of order stops the progress of its clients.
    behind_sync: BTreeMap<PeerId, VecDeque<Forwarded>>,
    /// Bytes of each learner's requests, in both of the above.
    bytes: BTreeMap<PeerId, usize>,
}

impl AllForwarded {
    /// Adds a request; the learner may have `limit` bytes here. False: the learner has far exceeded the limit.
    pub(crate) fn push(&mut self, mut request: Forwarded, limit: usize) -> bool {
        let bytes = self.bytes.entry(request.peer).or_default();
        if OpCode::from_wire(request.op) == Some(OpCode::Sync) {
            // The learner itself returns the path to its client.
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

    /// Takes the next request whose learner does not wait for a sync.
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

    /// A learner's later requests wait until its sync is answered.
    pub(crate) fn wait(&mut self, peer: PeerId) {
        self.behind_sync.insert(peer, VecDeque::new());
    }

    /// The learner's sync is answered: requests that waited for it come before later ones.
    pub(crate) fn synced(&mut self, peer: PeerId) {
        for request in self.behind_sync.remove(&peer).into_iter().flatten().rev() {
            self.requests.push_front(request);
        }
    }

    /// Whether no request is next; requests behind a sync do not count.
    pub(crate) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// A learner's connection is closed: its requests are dropped, because no client waits for them any more.
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
