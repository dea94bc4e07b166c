//! Peers that send anything: no bytes and no order of packets bring a role down, and what a role holds for
//! them stays within its limits.

use crate::ids::Zxid;
use crate::jute::quorum::{Identities, Packet, PacketType};
use crate::jute::wire::{put_int, put_long};
use crate::zab::epochs::Epochs;
use crate::zab::history::{History, HistoryLimits, Txn};
use crate::zab::leader::{self, Leader, LearnerKind, PeerId, Proposal};
use crate::zab::learner::{self, Learner};
use crate::zab::voters::{Config, ServerId, Voters};
use fastrand::Rng;

/// What a peer may send.
struct Peer(Rng);

impl Peer {
    /// Mostly zxids that could be, sometimes none.
    fn zxid(&mut self) -> Zxid {
        match self.0.usize(..12) {
            0 => Zxid(self.0.i64(..).wrapping_sub(self.0.i64(..))),
            1 => Zxid(-1),
            2 => Zxid(i64::MIN | self.0.i64(..)),
            3 => Zxid(i64::MAX),
            _ => Zxid(self.0.i64(0..4) << 32 | self.0.i64(0..5)),
        }
    }

    fn data(&mut self, zxid: Zxid) -> Option<Vec<u8>> {
        let mut data = vec![];
        match self.0.usize(..8) {
            0 => return None,
            1 => data = (0..self.0.usize(..40)).map(|_| self.0.u8(..)).collect(),
            2 => put_int(&mut data, self.0.i32(0..4) - 1),
            3 => put_int(&mut data, 0x10000),
            4 => {
                put_long(&mut data, self.0.i64(0..5));
                put_int(&mut data, 0x10000);
                put_long(&mut data, 0);
            }
            5 => data = b"server.1=127.0.0.1:2001:3001:participant\nversion=0".to_vec(),
            _ => {
                put_long(&mut data, 1);
                put_int(&mut data, 1);
                put_long(&mut data, zxid.0);
                put_long(&mut data, 0);
                put_int(&mut data, [1, 16, -1, 77][self.0.usize(..4)]);
            }
        }
        Some(data)
    }
}

fn history() -> History {
    let mut history = History::new(HistoryLimits { count: 3, bytes: 1000 }, Zxid(1 << 32));
    for counter in 1..4 {
        history.push(Txn { zxid: Zxid(1 << 32 | counter), bytes: [].into() });
    }
    history
}

/// How far the legal order is followed before anything goes.
const LEGAL: [&[(PacketType, i64)]; 5] = [
    &[],
    &[(PacketType::LeaderInfo, 2 << 32)],
    &[(PacketType::LeaderInfo, 2 << 32), (PacketType::Diff, 1 << 32 | 3)],
    &[(PacketType::LeaderInfo, 2 << 32), (PacketType::Diff, 1 << 32 | 3), (PacketType::NewLeader, 2 << 32)],
    &[
        (PacketType::LeaderInfo, 2 << 32),
        (PacketType::Diff, 1 << 32 | 3),
        (PacketType::NewLeader, 2 << 32),
        (PacketType::UpToDate, -1),
    ],
];

#[test]
fn a_learner_survives_any_leader() {
    let mut left = 0;
    for seed in 0..20_000 {
        let mut sender = Peer(Rng::with_seed(seed));
        let kind = if seed % 2 == 0 { LearnerKind::Follower } else { LearnerKind::Observer };
        let mut options = learner::Options::new(ServerId(1), kind, 100, 10, 5);
        options.max_pending_bytes = 1000;
        let mut out = vec![];
        let epochs = Epochs { accepted: 1, current: 1 };
        let mut learner = Learner::new(options, epochs, history(), Zxid::ZERO, 0, &mut out);
        for (kind, zxid) in LEGAL[sender.0.usize(..5)] {
            let version = 0x10000i32.to_be_bytes();
            let data = (*kind == PacketType::LeaderInfo).then_some(&version[..]);
            let packet = Packet { kind: *kind, zxid: Zxid(*zxid), data, auth: None };
            learner.step(learner::Input::Packet(packet), 0, &mut out);
        }
        for now in 0..sender.0.i64(0..12) {
            let kind = PacketType::from_wire(sender.0.i32(0..21));
            let zxid = sender.zxid();
            let data = sender.data(zxid);
            let input = match sender.0.usize(..12) {
                0 => learner::Input::SnapshotReceived,
                1 => learner::Input::Tick,
                _ => learner::Input::Packet(Packet { kind, zxid, data: data.as_deref(), auth: None }),
            };
            learner.step(input, now, &mut out);
        }
        left += usize::from(learner.is_over());
        let epochs = learner.epochs();
        let history = learner.into_history();
        assert!(history.last().epoch() <= epochs.accepted, "{epochs:?} and a log to {}", history.last());
    }
    assert!(left > 5_000 && left < 19_000, "{left}");
}

#[test]
fn a_leader_survives_any_learner() {
    let mut dropped = 0;
    let mut joined = 0;
    for seed in 0..20_000 {
        let mut sender = Peer(Rng::with_seed(seed));
        let voters = Voters::parse(b"server.1=127.0.0.1:2001:3001:participant\nversion=0").unwrap();
        let epochs = Epochs { accepted: 1, current: 1 };
        let options = leader::Options::new(ServerId(1), 100, 10, 5);
        let mut leader = Leader::new(options, Config::new(voters, None), epochs, history(), Zxid::ZERO, 0);
        let mut out = vec![];
        leader.step(leader::Input::Tick, 0, &mut out);
        leader.step(leader::Input::EpochsDurable(leader.epochs()), 0, &mut out);
        leader.step(leader::Input::EpochsDurable(leader.epochs()), 0, &mut out);
        assert!(leader.is_established());
        let peer = PeerId(1);
        leader.step(leader::Input::Connected(peer), 0, &mut out);
        let mut introduction = vec![];
        put_long(&mut introduction, 2);
        put_int(&mut introduction, 0x10000);
        let current = 1i32.to_be_bytes();
        let legal = [
            (PacketType::FollowerInfo, Zxid(1 << 32), Some(&introduction[..])),
            (PacketType::AckEpoch, Zxid(1 << 32 | 2), Some(&current[..])),
            (PacketType::Ack, Zxid(2 << 32), None),
        ];
        for (kind, zxid, data) in &legal[..sender.0.usize(..4)] {
            let packet = Packet { kind: *kind, zxid: *zxid, data: *data, auth: None };
            leader.step(leader::Input::Packet(peer, packet), 0, &mut out);
        }
        for now in 0..20 {
            let kind = PacketType::from_wire(sender.0.i32(0..21));
            let zxid = sender.zxid();
            let data = sender.data(zxid);
            match sender.0.usize(..10) {
                0 => leader.step(leader::Input::Tick, now * 50, &mut out),
                1 => {
                    let proposal = Proposal { zxid: leader.next_zxid(), bytes: [].into(), config: None };
                    leader.propose(proposal, now, &mut out).unwrap();
                }
                2 => leader.step(leader::Input::SnapshotSent(peer, zxid), now, &mut out),
                3 => leader.step(leader::Input::LogRead(peer, leader::LogPart::default()), now, &mut out),
                _ => {
                    let packet = Packet { kind, zxid, data: data.as_deref(), auth: Some(Identities::NONE) };
                    leader.step(leader::Input::Packet(peer, packet), now, &mut out);
                }
            }
        }
        // One learner, whatever it sends, does not end the role of a leader that has a quorum without it.
        assert!(leader.is_established());
        dropped += usize::from(out.iter().any(|output| matches!(output, leader::Output::Drop { .. })));
        joined += leader.active().count();
    }
    assert!(dropped > 10_000 && joined > 100, "{dropped} dropped, {joined} joined");
}

#[test]
fn any_bytes_are_a_packet_or_not() {
    let mut found = 0;
    for seed in 0..20_000 {
        let mut sender = Peer(Rng::with_seed(seed));
        let mut bytes: Vec<u8> = (0..sender.0.usize(..60)).map(|_| sender.0.u8(..) & 0x83).collect();
        // Lengths that may be right, every other time.
        for at in [12, 16, 20].into_iter().filter(|_| seed % 2 == 0) {
            if bytes.len() >= at + 4 {
                bytes[at..at + 4].copy_from_slice(&(sender.0.i32(0..12) - 1).to_be_bytes());
            }
        }
        if let Ok(Some((packet, length))) = Packet::decode(&bytes, 64) {
            let mut again = vec![];
            packet.put(&mut again);
            assert_eq!(again, bytes[..length]);
            found += 1;
        }
    }
    assert!(found > 200, "{found}");
}
