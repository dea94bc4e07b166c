//! Through whom the sessions of a leader's learners speak: a learner's request counts while its session is still there. A session
//! that goes elsewhere and comes back has moved twice, and what it asked for before is not carried out behind what it asked for
//! elsewhere.

use crate::ids::SessionId;
use crate::zab::leader::PeerId;
use std::collections::BTreeMap;

/// That a session speaks through a learner, from one of its moves on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    peer: PeerId,
    since: u64,
}

/// Through whom each session speaks that is not connected to the leader itself.
#[derive(Default)]
pub(crate) struct Owners {
    by_session: BTreeMap<SessionId, Owner>,
    moves: u64,
}

impl Owners {
    /// The session speaks through this learner from now on.
    pub(crate) fn moved(&mut self, session: SessionId, peer: PeerId) {
        if self.of(session, peer).is_none() {
            self.moves += 1;
            self.by_session.insert(session, Owner { peer, since: self.moves });
        }
    }

    /// It speaks through none.
    pub(crate) fn remove(&mut self, session: SessionId) {
        self.by_session.remove(&session);
    }

    /// Since when it speaks through this learner, if it does.
    pub(crate) fn of(&self, session: SessionId, peer: PeerId) -> Option<Owner> {
        self.by_session.get(&session).copied().filter(|owner| owner.peer == peer)
    }

    /// How many do.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.by_session.len()
    }
}
