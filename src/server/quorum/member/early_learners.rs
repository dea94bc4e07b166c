//! Learners that connect before this server knows that it leads.
//!
//! Whoever supports a leader is sure of it as soon as a quorum is, which may be before the leader itself is. ZooKeeper opens
//! its quorum port only then, so an early learner is refused and tries again after a pause. Here it is heard: what it
//! says waits until this server leads, and it is sent away when this server follows somebody else.

use crate::limits;
use crate::zab::leader::PeerId;
use std::collections::BTreeMap;

/// Them, and what each has said so far.
#[derive(Default)]
pub(crate) struct EarlyLearners {
    learners: BTreeMap<PeerId, Vec<u8>>,
}

impl EarlyLearners {
    /// One has come. False: there are too many.
    pub(crate) fn hold(&mut self, peer: PeerId) -> bool {
        let has_room = self.learners.len() < limits::EARLY_LEARNERS;
        if has_room {
            self.learners.insert(peer, vec![]);
        }
        has_room
    }

    /// One has said something. Nobody says much before it is answered: false, that was too much.
    pub(crate) fn said(&mut self, peer: PeerId, bytes: &[u8]) -> bool {
        let Some(said) = self.learners.get_mut(&peer) else { return true };
        said.extend_from_slice(bytes);
        let is_little = said.len() <= limits::EARLY_BYTES;
        if !is_little {
            self.remove(peer);
        }
        is_little
    }

    /// Its connection is over.
    pub(crate) fn remove(&mut self, peer: PeerId) {
        self.learners.remove(&peer);
    }

    /// All of them, and what each has said.
    pub(crate) fn take(&mut self) -> BTreeMap<PeerId, Vec<u8>> {
        std::mem::take(&mut self.learners)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Zxid;
    use crate::jute::quorum::{LearnerInfo, Packet, PacketType};
    use crate::server::message::Clock;
    use crate::server::quorum::{Effect, Input, PeerInput};
    use crate::sim::disk::SimDisk;
    use crate::sim::server::{SimOptions, SimServer, member_options};
    use crate::zab::voters::ServerId;

    const LEARNER: PeerId = PeerId(7);

    /// Server 1, which has not looked for a leader yet.
    fn server(members: &str) -> SimServer {
        let options = member_options(members);
        SimServer::start(&SimDisk::new(), Clock::default(), SimOptions::default(), Some(options))
    }

    fn introduction() -> Vec<u8> {
        let (mut info, mut bytes) = (vec![], vec![]);
        LearnerInfo { server: ServerId(2).0, protocol: 0x10000, config_version: 0 }.put(&mut info);
        let packet = Packet { data: Some(&info), ..Packet::bare(PacketType::ObserverInfo, Zxid::ZERO) };
        packet.put(&mut bytes);
        bytes
    }

    fn closed(server: &mut SimServer) -> Vec<PeerId> {
        let closed = |effect| if let Effect::CloseLearner(peer) = effect { Some(peer) } else { None };
        server.take_effects().into_iter().filter_map(closed).collect()
    }

    #[test]
    fn a_learner_that_comes_before_the_leader_leads_is_answered_when_it_does() {
        let mut server = server("server.1=10.0.0.1:2888:3888\nserver.2=10.0.0.2:2888:3888:observer\n");
        server.quorum.step(Input::Peer(PeerInput::Learner(LEARNER)));
        server.quorum.step(Input::Peer(PeerInput::FromLearner { peer: LEARNER, bytes: &introduction() }));
        assert_eq!(closed(&mut server), []);
        server.quorum.step(Input::Deadline);
        let answered =
            |effect: &Effect| matches!(effect, Effect::ToLearner { peer: LEARNER, bytes } if !bytes.is_empty());
        let mut effects = server.take_effects();
        // The leader's own promise comes first.
        if let Some(written) = effects.iter().find_map(|effect| match effect {
            Effect::Record(record) => record.written(),
            _ => None,
        }) {
            server.quorum.step(Input::Peer(written));
            effects.extend(server.take_effects());
        }
        assert!(effects.iter().any(answered), "LEADERINFO");
    }

    #[test]
    fn learners_that_wait_are_few_and_say_little() {
        let mut server = server("server.1=10.0.0.1:2888:3888\nserver.2=10.0.0.2:2888:3888\n");
        for peer in 0..=limits::EARLY_LEARNERS as u64 {
            server.quorum.step(Input::Peer(PeerInput::Learner(PeerId(peer))));
        }
        assert_eq!(closed(&mut server), [PeerId(limits::EARLY_LEARNERS as u64)]);
        server.quorum.step(Input::Peer(PeerInput::FromLearner { peer: LEARNER, bytes: &vec![0; limits::EARLY_BYTES] }));
        assert_eq!(closed(&mut server), []);
        server.quorum.step(Input::Peer(PeerInput::FromLearner { peer: LEARNER, bytes: &[0] }));
        assert_eq!(closed(&mut server), [LEARNER]);
        server.quorum.step(Input::Peer(PeerInput::LearnerGone(PeerId(8))));
        server.quorum.step(Input::Peer(PeerInput::Learner(LEARNER)));
        server.quorum.step(Input::Peer(PeerInput::Learner(PeerId(8))));
        assert_eq!(closed(&mut server), [], "there is room again");
    }
}
