//! What a member wants done outside, in order.

use crate::server::quorum::interface::Effect;
use crate::zab::leader::PeerId;
use std::collections::BTreeMap;

/// The effects of a turn, and the messages that go with them in one piece for each connection.
#[derive(Default)]
pub(crate) struct Outbox {
    effects: Vec<Effect>,
    /// What goes to each learner in this turn, and to the leader.
    pub to_learners: BTreeMap<PeerId, Vec<u8>>,
    pub to_leader: Vec<u8>,
}

impl Outbox {
    /// One more effect.
    pub(super) fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// What was said to a learner so far goes before the effects that follow.
    pub(crate) fn flush(&mut self, peer: PeerId) {
        if let Some(bytes) = self.to_learners.remove(&peer).filter(|bytes| !bytes.is_empty()) {
            self.effects.push(Effect::ToLearner { peer, bytes });
        }
    }

    /// Ends a learner's connection behind what was said to it.
    pub(crate) fn close_learner(&mut self, peer: PeerId) {
        self.flush(peer);
        self.effects.push(Effect::CloseLearner(peer));
    }

    /// All of it.
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
