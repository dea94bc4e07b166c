//! Learners that connect before this server knows that it leads.
//!
//! A learner may see the quorum for its leader before the leader itself sees it. ZooKeeper opens the quorum port only
//! when it leads, so it refuses an early learner, which tries again after a pause. This server accepts the connection
//! and keeps the learner's bytes until it leads; when it follows another server, it closes the connection.

use crate::limits;
use crate::zab::leader::PeerId;
use std::collections::BTreeMap;

/// The early learners, each with the bytes received from it so far.
#[derive(Default)]
pub(crate) struct EarlyLearners {
    learners: BTreeMap<PeerId, Vec<u8>>,
}

impl EarlyLearners {
    /// Adds a learner that has connected. Returns false if there are too many already: the caller closes the
    /// connection.
    pub(crate) fn add(&mut self, peer: PeerId) -> bool {
        let has_room = self.learners.len() < limits::EARLY_LEARNERS;
        if has_room {
            self.learners.insert(peer, vec![]);
        }
        has_room
    }

    /// Keeps bytes that a learner has sent. Returns false if they are too many before the first answer: the learner is
    /// removed, and the caller closes the connection.
    pub(crate) fn receive(&mut self, peer: PeerId, bytes: &[u8]) -> bool {
        let Some(buffer) = self.learners.get_mut(&peer) else { return true };
        buffer.extend_from_slice(bytes);
        let is_within_limit = buffer.len() <= limits::EARLY_LEARNER_BYTES;
        if !is_within_limit {
            self.remove(peer);
        }
        is_within_limit
    }

    /// Forgets a learner whose connection has ended.
    pub(crate) fn remove(&mut self, peer: PeerId) {
        self.learners.remove(&peer);
    }

    /// Removes all learners and returns them, each with its bytes.
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

    /// Server 1, before its first election.
    fn server(members: &str) -> SimServer {
        let options = member_options(members);
        SimServer::start(&SimDisk::new(), Clock::default(), SimOptions::default(), Some(options))
    }

    fn observer_info() -> Vec<u8> {
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
    fn an_early_learner_is_answered_when_the_server_leads() {
        let mut server = server("server.1=10.0.0.1:2888:3888\nserver.2=10.0.0.2:2888:3888:observer\n");
        server.quorum.step(Input::Peer(PeerInput::Learner(LEARNER)));
        server.quorum.step(Input::Peer(PeerInput::FromLearner { peer: LEARNER, bytes: &observer_info() }));
        assert_eq!(closed(&mut server), []);
        server.quorum.step(Input::Deadline);
        let answered =
            |effect: &Effect| matches!(effect, Effect::ToLearner { peer: LEARNER, bytes } if !bytes.is_empty());
        let mut effects = server.take_effects();
        // The leader's own promise of the epoch must be durable first.
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
    fn the_number_and_the_bytes_of_early_learners_are_limited() {
        let mut server = server("server.1=10.0.0.1:2888:3888\nserver.2=10.0.0.2:2888:3888\n");
        for peer in 0..=limits::EARLY_LEARNERS as u64 {
            server.quorum.step(Input::Peer(PeerInput::Learner(PeerId(peer))));
        }
        assert_eq!(closed(&mut server), [PeerId(limits::EARLY_LEARNERS as u64)]);
        server
            .quorum
            .step(Input::Peer(PeerInput::FromLearner { peer: LEARNER, bytes: &vec![0; limits::EARLY_LEARNER_BYTES] }));
        assert_eq!(closed(&mut server), []);
        server.quorum.step(Input::Peer(PeerInput::FromLearner { peer: LEARNER, bytes: &[0] }));
        assert_eq!(closed(&mut server), [LEARNER]);
        server.quorum.step(Input::Peer(PeerInput::LearnerGone(PeerId(8))));
        server.quorum.step(Input::Peer(PeerInput::Learner(LEARNER)));
        server.quorum.step(Input::Peer(PeerInput::Learner(PeerId(8))));
        assert_eq!(closed(&mut server), [], "there is room again");
    }
}
