//! The outputs of a member's turn: effects in order, and messages gathered for each connection.

use crate::server::quorum::interface::Effect;
use crate::zab::leader::PeerId;
use std::collections::BTreeMap;

/// The effects of a turn, and the bytes of its messages, gathered into one effect for each connection.
#[derive(Default)]
pub(crate) struct Outbox {
    effects: Vec<Effect>,
    /// The bytes for each learner in this turn, and (`to_leader`) for the leader.
    pub to_learners: BTreeMap<PeerId, Vec<u8>>,
    pub to_leader: Vec<u8>,
}

impl Outbox {
    /// Adds an effect.
    pub(super) fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Puts the bytes gathered for a learner before later effects.
    pub(crate) fn flush(&mut self, peer: PeerId) {
        if let Some(bytes) = self.to_learners.remove(&peer).filter(|bytes| !bytes.is_empty()) {
            self.effects.push(Effect::ToLearner { peer, bytes });
        }
    }

    /// Closes a learner's connection, after the bytes gathered for it.
    pub(crate) fn close_learner(&mut self, peer: PeerId) {
        self.flush(peer);
        self.effects.push(Effect::CloseLearner(peer));
    }

    /// Takes everything.
    pub(super) fn take(&mut self) -> Vec<Effect> {
        for (peer, bytes) in std::mem::take(&mut self.to_learners) {
            if !bytes.is_empty() {
                self.effects.push(Effect::ToLearner { peer, bytes });
            }
        }
        if !self.to_leader.is_empty() {
            self.effects.push(Effect::ToLeader(std::mem::take(&mut self.to_leader)));
        }
        std::mem::take(&mut self.effects)
    }
}
