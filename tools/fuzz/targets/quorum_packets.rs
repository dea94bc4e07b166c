//! Whatever comes in at the quorum port, or from a leader: a packet is decoded to what encodes to the same bytes, and a
//! member goes on.

#![no_main]

use arbitrary::Arbitrary;
use corral::ids::Zxid;
use corral::jute::quorum::{ForwardedRequest, LearnerInfo, Packet, PacketType, touches, txn_head};
use corral::jute::wire::{put_bytes, put_int, put_long};
use corral::server::quorum::{Effect, Input, PeerInput, ServerState};
use corral::sim::disk::SimDisk;
use corral::sim::server::SimServer;
use corral::zab::leader::PeerId;
use corral_fuzz::{MAX_PACKET, elapse, member, settle_member};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Part {
    /// As an honest peer begins.
    Introduce {
        observer: bool,
        server: i8,
        epoch: u8,
        protocol: u16,
    },
    AckEpoch {
        epoch: u8,
        counter: u8,
    },
    Ack {
        epoch: u8,
        counter: u8,
    },
    Request {
        session: i64,
        cxid: i32,
        op: i8,
        body: Vec<u8>,
        identities: Vec<(Vec<u8>, Vec<u8>)>,
    },
    Packet {
        kind: u8,
        epoch: u32,
        counter: u32,
        data: Option<Vec<u8>>,
        identities: Option<u8>,
    },
    Bytes(Vec<u8>),
    Wait(u8),
    Gone,
}

#[derive(Arbitrary, Debug)]
struct Story {
    leads: bool,
    parts: Vec<Part>,
}

fn zxid(epoch: u32, counter: u32) -> Zxid {
    Zxid(i64::from(epoch as i32) << 32 | i64::from(counter))
}

fn put_packet(out: &mut Vec<u8>, kind: PacketType, zxid: Zxid, data: Option<&[u8]>) {
    Packet { kind, zxid, data, auth: None }.put(out);
}

fn encode(part: &Part) -> Vec<u8> {
    let mut out = vec![];
    match part {
        Part::Introduce { observer, server, epoch, protocol } => {
            let kind = if *observer { PacketType::ObserverInfo } else { PacketType::FollowerInfo };
            let mut info = vec![];
            let protocol = 0x10000 + i32::from(*protocol % 3);
            LearnerInfo { server: i64::from(*server), protocol, config_version: 0 }.put(&mut info);
            put_packet(&mut out, kind, zxid(u32::from(*epoch), 0), Some(&info));
        }
        Part::AckEpoch { epoch, counter } => {
            let data = i32::from(*epoch).to_be_bytes();
            put_packet(&mut out, PacketType::AckEpoch, zxid(u32::from(*epoch), u32::from(*counter)), Some(&data));
        }
        Part::Ack { epoch, counter } => {
            put_packet(&mut out, PacketType::Ack, zxid(u32::from(*epoch), u32::from(*counter)), None);
        }
        Part::Request { session, cxid, op, body, identities } => {
            let mut data = vec![];
            put_long(&mut data, *session);
            put_int(&mut data, *cxid);
            put_int(&mut data, i32::from(*op));
            data.extend_from_slice(&body[..body.len().min(2000)]);
            put_int(&mut out, PacketType::Request.wire());
            put_long(&mut out, 0);
            put_bytes(&mut out, &data);
            put_int(&mut out, identities.len().min(20) as i32);
            for (scheme, id) in identities.iter().take(20) {
                put_bytes(&mut out, &scheme[..scheme.len().min(100)]);
                put_bytes(&mut out, &id[..id.len().min(1000)]);
            }
        }
        Part::Packet { kind, epoch, counter, data, identities } => {
            put_int(&mut out, i32::from(*kind));
            put_long(&mut out, zxid(*epoch, *counter).0);
            match data {
                Some(data) => put_bytes(&mut out, &data[..data.len().min(2000)]),
                None => put_int(&mut out, -1),
            }
            put_int(&mut out, identities.map_or(-1, |count| i32::from(count % 3)));
            for _ in 0..identities.map_or(0, |count| count % 3) {
                put_bytes(&mut out, b"digest");
                put_bytes(&mut out, b"a:b");
            }
        }
        Part::Bytes(bytes) => out.extend_from_slice(&bytes[..bytes.len().min(4000)]),
        Part::Wait(_) | Part::Gone => {}
    }
    out
}

/// What decodes is what is encoded, and what lies in it is read without a panic.
fn decode(bytes: &[u8]) {
    let Ok(Some((packet, length))) = Packet::decode(bytes, MAX_PACKET) else { return };
    let mut again = vec![];
    packet.put(&mut again);
    assert_eq!(again, bytes[..length]);
    let data = packet.data.unwrap_or_default();
    let _ = (LearnerInfo::decode(data), ForwardedRequest::decode(data), txn_head(data));
    if let Ok(touched) = touches(data) {
        assert!(touched.count() <= data.len());
    }
}

/// Truth may be in doubt for nobody: what a peer says ends its connection, never the process.
fn effects(server: &mut SimServer) -> Vec<Effect> {
    let effects = server.take_effects();
    for effect in &effects {
        if let Effect::Fail(fatal) = effect {
            panic!("a peer's bytes end the process: {fatal}");
        }
    }
    effects
}

fuzz_target!(|story: Story| {
    let disk = SimDisk::new();
    let alone = "server.1=10.0.0.1:2888:3888:participant\nversion=0";
    let three = "server.1=10.0.0.1:2888:3888:participant\nserver.2=10.0.0.2:2888:3888:participant\n\
                 server.3=10.0.0.3:2888:3888:participant\nversion=0";
    let mut server = member(&disk, if story.leads { alone } else { three });
    elapse(&mut server, 40);
    if story.leads {
        assert_eq!(server.quorum.server_state(), Some(ServerState::Leading), "alone it leads");
    }
    let mut peer = PeerId(1);
    server.quorum.step(Input::Peer(PeerInput::Learner(peer)));
    for part in story.parts.iter().take(40) {
        match part {
            Part::Wait(half_ticks) => elapse(&mut server, usize::from(half_ticks % 32)),
            Part::Gone => {
                server.quorum.step(Input::Peer(PeerInput::LearnerGone(peer)));
                peer = PeerId(peer.0 + 1);
                server.quorum.step(Input::Peer(PeerInput::Learner(peer)));
            }
            part => {
                let bytes = encode(part);
                decode(&bytes);
                server.quorum.step(Input::Peer(PeerInput::FromLearner { peer, bytes: &bytes }));
            }
        }
        let _ = effects(&mut server);
        settle_member(&mut server);
    }
    if story.leads {
        elapse(&mut server, 4);
        assert_eq!(
            server.quorum.server_state(),
            Some(ServerState::Leading),
            "a stranger at its port unseats no leader"
        );
        assert!(server.quorum.serves());
    }
});
