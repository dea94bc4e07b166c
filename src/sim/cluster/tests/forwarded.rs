//! What a follower's client can send, and its follower passes on: none of it costs the follower its leader.

use super::super::*;
use super::steps::*;
use crate::jute::OpCode;
use crate::jute::wire::{put_bytes, put_int};
use crate::limits;
use crate::sim::bodies::{create, create_guarded, create_of_ones_own, set_data};

/// The body of an auth packet for a user with a name of this length.
fn auth(n: usize, length: usize) -> Vec<u8> {
    let mut body = vec![];
    put_int(&mut body, 0);
    put_bytes(&mut body, b"digest");
    put_bytes(&mut body, format!("{n:0>length$}:p").as_bytes());
    body
}

/// Somebody else on the follower, who is served as if nothing had been.
fn is_served(cluster: &mut Cluster, place: Place, conn: crate::ids::ConnId, xid: i32) {
    let path = format!("/served-{xid}");
    ask(cluster, place, conn, xid, OpCode::Create, &create(path.as_bytes(), b"", 0));
    assert_eq!(told(cluster, place, conn, 1), [(xid, 0)]);
}

#[test]
fn the_identities_of_a_client_do_not_cost_its_follower_the_leader() {
    let (mut cluster, _, follower) = started(71);
    let (other, _) = session(&mut cluster, follower, 4000);
    let (greedy, _) = session(&mut cluster, follower, 4000);
    // As many as there may be, and as long: each is a digest of 29 characters, a colon and a name.
    let length = limits::IDENTITY_BYTES / (limits::IDENTITIES - 1) - "digest".len() - 30;
    for n in 0..limits::IDENTITIES - 2 {
        ask(&mut cluster, follower, greedy, -4, OpCode::Auth, &auth(n, length));
        assert_eq!(told(&mut cluster, follower, greedy, 1), [(-4, 0)], "{n}");
    }
    ask(&mut cluster, follower, greedy, 1, OpCode::Create, &create_of_ones_own(b"/own"));
    assert_eq!(told(&mut cluster, follower, greedy, 1), [(1, 0)]);
    is_served(&mut cluster, follower, other, 1);
    // What is more is refused where it is said.
    let mut refused = false;
    for n in 0..limits::IDENTITIES {
        ask(&mut cluster, follower, greedy, -4, OpCode::Auth, &auth(n, 16_000));
        refused |= told(&mut cluster, follower, greedy, 1) != [(-4, 0)];
        if refused {
            break;
        }
    }
    if !refused {
        ask(&mut cluster, follower, greedy, 2, OpCode::Create, &create_of_ones_own(b"/again"));
        cluster.run(1_000, |_| false);
    }
    is_served(&mut cluster, follower, other, 2);
    assert!(refused);
}

/// A leader takes packets of so many bytes; what is put around a frame of the longest kind makes a longer one.
#[test]
fn the_longest_frame_of_a_client_does_not_cost_its_follower_the_leader() {
    let (mut cluster, _, follower) = started(72);
    let (other, _) = session(&mut cluster, follower, 4000);
    let (greedy, _) = session(&mut cluster, follower, 4000);
    let overhead = create(b"/big", b"", 0).len() + 8;
    let body = create(b"/big", &vec![b'x'; 0xf_ffff - overhead], 0);
    for xid in 1..3 {
        ask(&mut cluster, follower, greedy, xid, OpCode::Create, &body);
        assert_eq!(told(&mut cluster, follower, greedy, 1), [(xid, -5)], "answered as what cannot be read");
        is_served(&mut cluster, follower, other, xid);
    }
    assert!(!has(&mut cluster, follower, "/big"));
}

/// So many clients, each with so many identities, come to a follower whose leader is slow, write, and go. Nobody is sent away
/// by it, and neither end keeps more than it may.
fn storm(seed: u64, clients: usize, identities: usize, data: usize) {
    let (mut cluster, leader, follower) = started(seed);
    let length = limits::IDENTITY_BYTES / (limits::IDENTITIES - 1) - "digest".len() - 30;
    let clients: Vec<_> = (0..clients)
        .map(|_| {
            let (conn, _) = session(&mut cluster, follower, 2000);
            (0..identities).for_each(|n| ask(&mut cluster, follower, conn, -4, OpCode::Auth, &auth(n, length)));
            assert!(told(&mut cluster, follower, conn, identities).iter().all(|told| *told == (-4, 0)));
            conn
        })
        .collect();
    let closed = cluster.coverage.of("connection of a learner ended");
    let body = create(b"/x", &vec![b'x'; data], 0);
    let (mut most_here, mut most_there) = (0, 0);
    cluster.slow_disk(leader, 3_000);
    for conn in clients {
        (1..=1000).for_each(|xid| ask(&mut cluster, follower, conn, xid, OpCode::Create, &body));
        cluster.act(follower);
        cluster.server(follower).unwrap().shard.disconnected(conn);
        cluster.act(follower);
        cluster.run(20, |_| false);
        let here = &cluster.server(follower).unwrap().quorum;
        assert!(here.backlog_bytes() <= limits::CORE_BYTES);
        most_here = most_here.max(here.bytes_under_way());
        most_there = most_there.max(cluster.server(leader).unwrap().quorum.bytes_under_way());
    }
    assert!(most_there > 0, "the leader is slow");
    assert!(most_there <= limits::forwarded(1 << 20), "{most_there}");
    assert!(most_here <= limits::UNDER_WAY_BYTES + limits::FORWARDED_REQUEST + (1 << 20), "{most_here}");
    cluster.slow_disk(leader, 0);
    let is_over = |cluster: &mut Cluster| cluster.server(follower).unwrap().quorum.bytes_under_way() == 0;
    assert!(cluster.run(20_000, is_over), "all of it comes back");
    let (other, _) = session(&mut cluster, follower, 2000);
    is_served(&mut cluster, follower, other, 1);
    nothing_is_under_way(&mut cluster);
    assert_eq!(cluster.coverage.of("connection of a learner ended"), closed, "nobody was sent away");
}

#[test]
fn what_is_under_way_is_bounded_in_bytes_identities_included() {
    storm(73, 14, limits::IDENTITIES - 2, 3000);
}

#[test]
fn however_many_requests_are_under_way_nobody_is_sent_away() {
    storm(74, 110, 0, 0);
}

/// Where both wait for the leader, neither has all of a turn, whatever the other asks for.
#[test]
fn what_learners_forward_leaves_the_clients_of_their_leader_a_part_of_each_turn() {
    const FORWARDED: usize = 200;
    const OWN: usize = 20;
    const BUSY: usize = limits::VERSIONS_AHEAD + 50;
    let mut cluster = Cluster::new(3, 75);
    cluster.max_frame = Some(0xf_ffff);
    start_all(&mut cluster);
    let leader = cluster.leader().expect("somebody leads");
    let follower = (leader + 1) % 3;
    let (own, _) = session(&mut cluster, leader, 2000);
    let (other, _) = session(&mut cluster, follower, 2000);
    // What the follower's client asks for costs much: long lists, held against many identities.
    for (xid, path) in [(1, &b"/left"[..]), (2, b"/right")] {
        ask(&mut cluster, leader, own, xid, OpCode::Create, &create_guarded(path, limits::ACL_ENTRIES));
        assert_eq!(told(&mut cluster, leader, own, 1), [(xid, 0)]);
    }
    ask(&mut cluster, leader, own, 3, OpCode::Create, &create(b"/busy", b"", 0));
    assert_eq!(told(&mut cluster, leader, own, 1), [(3, 0)]);
    let identities = limits::IDENTITIES - 4;
    (0..identities).for_each(|n| ask(&mut cluster, follower, other, -4, OpCode::Auth, &auth(n, 2)));
    assert!(told(&mut cluster, follower, other, identities).iter().all(|told| *told == (-4, 0)));
    comes_to_rest(&mut cluster);
    // So many changes wait for the leader's disk that nothing more is prepared: both gather.
    cluster.slow_disk(leader, 300);
    for xid in 0..BUSY as i32 {
        ask(&mut cluster, leader, own, 1000 + xid, OpCode::SetData, &set_data(b"/busy"));
    }
    cluster.act(leader);
    for n in 0..FORWARDED {
        let path: &[u8] = if n % 2 == 0 { b"/left" } else { b"/right" };
        ask(&mut cluster, follower, other, n as i32, OpCode::SetData, &set_data(path));
    }
    cluster.act(follower);
    for n in 0..OWN {
        ask(
            &mut cluster,
            leader,
            own,
            2000 + n as i32,
            OpCode::Create,
            &create(format!("/own-{n}").as_bytes(), b"", 0),
        );
    }
    cluster.act(leader);
    cluster.run(50, |_| false);
    assert!(cluster.server(leader).unwrap().quorum.bytes_under_way() >= FORWARDED * limits::FORWARDED_REQUEST);
    let (mut mine, mut others) = (vec![], vec![]);
    let is_over = |cluster: &mut Cluster| {
        mine.extend(cluster.server(leader).unwrap().frames(own));
        others.extend(cluster.server(follower).unwrap().frames(other));
        others.len() == FORWARDED && mine.len() == BUSY + OWN
    };
    assert!(cluster.run(3_000, is_over), "all are answered");
    let last = mine.iter().map(|frame| frame.1).max().unwrap();
    let before = others.iter().filter(|frame| frame.1 < last).count();
    assert!(before > 0 && before < FORWARDED / 4, "{before} of {FORWARDED} went before the last of the leader's own");
}
