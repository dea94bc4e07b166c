//! Somebody with a socket and nothing else: what is said where a server takes learners ends that connection at most.

use super::super::*;
use super::steps::*;
use crate::ids::SessionId;
use crate::jute::quorum::{ForwardedRequest, Identities, Packet, PacketType, put_identity};
use crate::jute::wire::{put_bytes, put_int};
use crate::jute::{AclEntry, OpCode};
use crate::limits;
use crate::sim::bodies::{create, path_alone};
use crate::sim::lies::introduction;
use crate::zab::epochs::{MAX_EPOCH, first_zxid};
use crate::zab::leader::PeerId;

/// One such packet was written down by the leader, and no epoch was left for another one: for ever, restarts included.
#[test]
fn an_epoch_that_somebody_makes_up_is_no_end_of_elections() {
    let (mut cluster, leader, follower) = started(401);
    let away = (leader + 2) % 3;
    cluster.crash(away);
    for kind in [PacketType::FollowerInfo, PacketType::ObserverInfo] {
        for server in [follower, away, 7] {
            for accepted in [MAX_EPOCH, MAX_EPOCH - 1, 1 << 30, 1 << 21] {
                cluster.stranger(leader, &introduction(kind, server as i64 + 1, accepted));
            }
        }
    }
    cluster.run(1_000, |_| false);
    assert_eq!((cluster.leader(), cluster.elections()), (Some(leader), 1), "it leads");
    (0..3).filter(|place| *place != away).for_each(|place| cluster.crash(place));
    // The same before anybody leads.
    for place in 0..3 {
        cluster.start(place);
        for kind in [PacketType::FollowerInfo, PacketType::ObserverInfo] {
            cluster.stranger(place, &introduction(kind, (place as i64 + 1) % 3 + 1, MAX_EPOCH - 1));
        }
    }
    comes_to_rest(&mut cluster);
    let accepted: Vec<i64> = cluster.members.iter().map(|member| member.epochs.accepted).collect();
    assert!(accepted.iter().all(|accepted| *accepted < 10), "{accepted:?}");
}

/// An observer that was made up, and has been brought up to date.
fn intruder(cluster: &mut Cluster, leader: Place) -> PeerId {
    let epoch = cluster.members[leader].epochs.accepted;
    let last = cluster.members[leader].log.last();
    let stranger = cluster.stranger(leader, &introduction(PacketType::ObserverInfo, 77, epoch));
    let says = |cluster: &mut Cluster, packet: Packet<'_>| {
        let mut bytes = vec![];
        packet.put(&mut bytes);
        cluster.goes_on(leader, stranger, &bytes);
        cluster.run(10, |_| false);
    };
    says(cluster, Packet { data: Some(&(-1_i32).to_be_bytes()), ..Packet::bare(PacketType::AckEpoch, last) });
    says(cluster, Packet::bare(PacketType::Ack, first_zxid(epoch)));
    stranger
}

/// A request of session and number.
fn forwards(
    cluster: &mut Cluster,
    leader: Place,
    stranger: PeerId,
    (session, cxid): (SessionId, i32),
    op: OpCode,
    body: &[u8],
) {
    let (mut data, mut auth, mut bytes) = (vec![], vec![], vec![]);
    ForwardedRequest { session, cxid, op: op.wire(), body }.put(&mut data);
    put_identity(&mut auth, b"super", b"");
    let auth = Some(Identities::parse(1, &auth).unwrap());
    Packet { kind: PacketType::Request, zxid: Zxid(-1), data: Some(&data), auth }.put(&mut bytes);
    cluster.goes_on(leader, stranger, &bytes);
    cluster.run(50, |_| false);
}

/// It says that its client is who may do everything, or asks as the leader itself does for what it does on its own account.
#[test]
fn what_no_learner_passes_on_is_not_carried_out() {
    let (mut cluster, leader, _) = started(402);
    let (conn, _) = session(&mut cluster, leader, 30_000);
    let (mut closed, mut data) = (vec![], vec![]);
    put_bytes(&mut closed, b"/closed");
    put_bytes(&mut closed, b"before");
    put_int(&mut closed, 1);
    AclEntry { perms: 31, scheme: b"digest", id: b"nobody:here" }.put(&mut closed);
    put_int(&mut closed, 0);
    ask(&mut cluster, leader, conn, 1, OpCode::Create, &closed);
    ask(&mut cluster, leader, conn, 2, OpCode::Create, &create(b"/empty", b"", 0));
    assert_eq!(told(&mut cluster, leader, conn, 2), [(1, 0), (2, 0)]);
    put_bytes(&mut data, b"/closed");
    put_bytes(&mut data, b"after");
    put_int(&mut data, -1);
    let stranger = intruder(&mut cluster, leader);
    let own = SessionId(0x4d00_0000_0000_0001);
    forwards(&mut cluster, leader, stranger, (own, 1), OpCode::CreateSession, &30_000_i32.to_be_bytes());
    assert!(knows(&mut cluster, leader, own), "it speaks for clients as an observer does");
    forwards(&mut cluster, leader, stranger, (own, 2), OpCode::SetData, &data);
    forwards(&mut cluster, leader, stranger, (own, 3), OpCode::DeleteContainer, &path_alone(b"/empty"));
    forwards(&mut cluster, leader, stranger, (SessionId::NONE, 4), OpCode::DeleteContainer, &path_alone(b"/empty"));
    // It was sent away with the last one.
    forwards(&mut cluster, leader, stranger, (own, 5), OpCode::CloseSession, b"");
    assert!(knows(&mut cluster, leader, own));
    let state = cluster.server(leader).unwrap().quorum.state();
    assert!(state.find(b"/empty").is_some(), "a stranger is not the leader");
    assert_eq!(state.find(b"/closed").unwrap().data(), Some(&b"before"[..]), "and not super");
}

/// A server of ZooKeeper may forward more than is kept here: it is answered as throttled, and stays. What no server forwards
/// ends the connection.
#[test]
fn what_a_learner_forwards_is_bounded_in_bytes() {
    let (mut cluster, leader, _) = started(403);
    let stranger = intruder(&mut cluster, leader);
    let own = SessionId(0x4d00_0000_0000_0002);
    forwards(&mut cluster, leader, stranger, (own, 1), OpCode::CreateSession, &30_000_i32.to_be_bytes());
    let request = |cxid: i32, path: &str, length: usize| {
        let (mut data, mut bytes) = (vec![], vec![]);
        let body = create(path.as_bytes(), &vec![b'x'; length], 0);
        ForwardedRequest { session: own, cxid, op: OpCode::Create.wire(), body: &body }.put(&mut data);
        Packet { data: Some(&data), ..Packet::bare(PacketType::Request, Zxid(-1)) }.put(&mut bytes);
        bytes
    };
    let kept = |cluster: &mut Cluster| cluster.server(leader).unwrap().quorum.bytes_under_way();
    let closed = cluster.coverage.of("connection of a learner ended");
    let bound = limits::forwarded(1 << 20);
    // These keep the log busy, and the others waiting.
    let stall = |cluster: &mut Cluster, from: i32| {
        cluster.slow_disk(leader, 200);
        for cxid in from..from + 10 {
            cluster.goes_on(leader, stranger, &request(cxid, &format!("/stall-{cxid}"), 6000));
        }
    };
    stall(&mut cluster, 2);
    let long = request(100, "/long", 400_000);
    (0..400).for_each(|_| cluster.goes_on(leader, stranger, &long));
    let most = kept(&mut cluster);
    assert!(most > bound / 2 && most <= bound, "{most}");
    cluster.slow_disk(leader, 0);
    assert!(cluster.run(350, |cluster| kept(cluster) == 0));
    assert_eq!(cluster.coverage.of("connection of a learner ended"), closed, "it is still there");
    assert!(has(&mut cluster, leader, "/stall-2"));
    stall(&mut cluster, 200);
    let short = request(100, "/x", 0).repeat(10_000);
    for _ in 0..100 {
        cluster.goes_on(leader, stranger, &short);
        assert!(kept(&mut cluster) <= limits::FORWARDED_TIMES * bound);
    }
    assert!(cluster.coverage.of("connection of a learner ended") > closed, "no server has so many clients");
    assert_eq!(kept(&mut cluster), 0);
}
