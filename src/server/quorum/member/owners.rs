//! Which learner each session is connected to, as the leader knows it. A learner's request is accepted only while its
//! session is still at that learner. A session that moves to another server and back has moved twice: a request from
//! before must not be executed after the requests it sent to the other server.

use crate::ids::SessionId;
use crate::zab::leader::PeerId;
use std::collections::BTreeMap;

/// A session's owner: a learner, since one of the session's moves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    peer: PeerId,
    since: u64,
}

/// The owners of the sessions that are connected to a learner, not to the leader itself.
#[derive(Default)]
pub(crate) struct Owners {
    by_session: BTreeMap<SessionId, Owner>,
    moves: u64,
}

impl Owners {
    /// The session is connected to this learner from now on.
    pub(crate) fn moved(&mut self, session: SessionId, peer: PeerId) {
        if self.of(session, peer).is_none() {
            self.moves += 1;
            self.by_session.insert(session, Owner { peer, since: self.moves });
        }
    }

    /// The session is at no learner any more.
    pub(crate) fn remove(&mut self, session: SessionId) {
        self.by_session.remove(&session);
    }

    /// The session's owner, if it is this learner.
    pub(crate) fn of(&self, session: SessionId, peer: PeerId) -> Option<Owner> {
        self.by_session.get(&session).copied().filter(|owner| owner.peer == peer)
    }

    /// How many sessions are connected to learners.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.by_session.len()
    }
}
