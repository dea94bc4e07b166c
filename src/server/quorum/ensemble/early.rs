//! Learners that connect before this server knows that it leads.
//!
//! Whoever supports a leader is sure of it as soon as a quorum is, which may be before the leader itself is. ZooKeeper opens
//! its quorum port only then, so an early learner is refused and tries again after a pause. Here it is heard: what it
//! says waits until this server leads, and it is sent away when this server follows somebody else.

use super::{Effect, Ensemble, Role};
use crate::limits;
use crate::server::quorum::Quorum;
use crate::zab::leader::PeerId;
use std::collections::BTreeMap;

/// Them, and what each has said so far.
#[derive(Default)]
pub(super) struct Early {
    learners: BTreeMap<PeerId, Vec<u8>>,
}

impl Early {
    pub(super) fn remove(&mut self, peer: PeerId) {
        self.learners.remove(&peer);
    }
}

impl Ensemble {
    /// A learner has come, and this server does not lead.
    pub(super) fn hold_early(&mut self, peer: PeerId) {
        let may_lead = matches!(self.role, Role::Looking | Role::Leaving);
        if may_lead && self.early.learners.len() < limits::EARLY_LEARNERS {
            self.early.learners.insert(peer, vec![]);
        } else {
            self.effects.push(Effect::CloseLearner(peer));
        }
    }

    /// It has said something. Nobody says much before it is answered.
    pub(super) fn keep_early(&mut self, peer: PeerId, bytes: &[u8]) {
        let Some(said) = self.early.learners.get_mut(&peer) else { return };
        said.extend_from_slice(bytes);
        if said.len() > limits::EARLY_BYTES {
            self.early.remove(peer);
            self.effects.push(Effect::CloseLearner(peer));
        }
    }

    /// Somebody else leads.
    pub(super) fn dismiss_early(&mut self) {
        for peer in std::mem::take(&mut self.early.learners).into_keys() {
            self.effects.push(Effect::CloseLearner(peer));
        }
    }
}

impl Quorum {
    /// This server leads now.
    pub(super) fn take_in_early(&mut self, ensemble: &mut Ensemble) {
        for (peer, said) in std::mem::take(&mut ensemble.early.learners) {
            self.learner_connected(ensemble, peer);
            self.learner_sent(ensemble, peer, &said);
        }
    }
}
