//! Sessions that own very much and end: one transaction, which takes each member several turns.

use super::super::*;
use super::steps::*;
use crate::ids::{ConnId, SessionId};
use crate::jute::OpCode;
use crate::server::quorum::Input;
use crate::sim::bodies::{create, multi};

/// As many as take some four turns.
const OWNED: usize = 15_000;

/// Three servers, an observer, and a session on one of the members that owns so many znodes.
fn planted(seed: u64, place: impl FnOnce(Place) -> Place) -> (Cluster, Place, Place, ConnId, SessionId) {
    let mut cluster = Cluster::with_observers(3, 1, seed);
    cluster.max_frame = Some(0xf_ffff);
    start_all(&mut cluster);
    let leader = cluster.leader().expect("somebody leads");
    let place = place(leader);
    let (conn, owner) = session(&mut cluster, place, 30_000);
    for first in (0..OWNED).step_by(500) {
        let child = |n| (OpCode::Create, create(format!("/owned-{n}").as_bytes(), b"", 1));
        ask(
            &mut cluster,
            place,
            conn,
            first as i32,
            OpCode::Multi,
            &multi(&(first..first + 500).map(child).collect::<Vec<_>>()),
        );
        assert_eq!(answers(&mut cluster, place, conn, 1)[0].2, 0);
    }
    comes_to_rest(&mut cluster);
    (cluster, leader, place, conn, owner)
}

fn owned(cluster: &mut Cluster, place: Place) -> usize {
    cluster.server(place).unwrap().quorum.state().ephemeral_count()
}

/// The beginning of its end: the leader has had one turn for it.
fn begin_to_close(cluster: &mut Cluster, leader: Place, conn: ConnId) {
    let server = cluster.server(leader).unwrap();
    server.request(conn, -7, OpCode::CloseSession, &[]);
    let inbound = server.shard.take_outbound().expect("it is asked");
    server.quorum.step(Input::Inbound(inbound));
    assert!(!server.quorum.may_sleep());
    let left = server.quorum.state().ephemeral_count();
    assert!(left > 0 && left < OWNED, "{left} are left after one turn");
}

#[test]
fn the_end_of_a_session_with_very_many_ephemerals_is_the_same_everywhere() {
    for seed in [811, 812] {
        let (mut cluster, leader, place, conn, owner) = planted(seed, |leader| if seed == 811 { leader } else { 3 });
        ask(&mut cluster, place, conn, -7, OpCode::CloseSession, &[]);
        assert_eq!(answers(&mut cluster, place, conn, 1)[0].2, 0);
        comes_to_rest(&mut cluster);
        for place in 0..4 {
            assert_eq!(owned(&mut cluster, place), 0);
            let server = cluster.server(place).unwrap();
            assert_eq!(server.quorum.state().session_timeout_ms(owner), None);
            assert_eq!(server.stats.core.digest_mismatches.value(), 0);
        }
        // And from the log.
        cluster.crash(leader);
        cluster.start(leader);
        comes_to_rest(&mut cluster);
        assert_eq!(owned(&mut cluster, leader), 0);
    }
}

/// What it had begun was never proposed: the session lives.
#[test]
fn a_leader_that_is_leader_no_more_takes_back_what_it_has_done_of_a_sessions_end() {
    let (mut cluster, leader, _, conn, owner) = planted(813, |leader| leader);
    begin_to_close(&mut cluster, leader, conn);
    let digests: Vec<_> = (0..4).map(|place| cluster.digest(place)).collect();
    // It has heard nothing from anybody for too long.
    cluster.now_ms += 5_000;
    cluster.server(leader).unwrap().quorum.step(Input::Tick);
    assert_ne!(cluster.server_state(leader), Some(ServerState::Leading));
    assert_eq!(owned(&mut cluster, leader), OWNED);
    let other = (leader + 1) % 3;
    assert_eq!(cluster.digest(leader), digests[other], "as everybody has it");
    cluster.act(leader);
    comes_to_rest(&mut cluster);
    assert!((0..4).all(|place| owned(&mut cluster, place) == OWNED));
    let conn = connect(&mut cluster, other, owner, 30_000);
    assert_eq!(granted(&mut cluster, other, conn), owner);
    ask(&mut cluster, other, conn, OWNED as i32, OpCode::CloseSession, &[]);
    assert_eq!(answers(&mut cluster, other, conn, 1)[0].2, 0);
    comes_to_rest(&mut cluster);
    assert!((0..4).all(|place| owned(&mut cluster, place) == 0));
}

/// Whoever stops a server waits for what it has taken.
#[test]
fn a_leader_that_is_told_to_stop_ends_what_it_has_begun_of_a_sessions_end() {
    let (mut cluster, leader, _, conn, _) = planted(814, |leader| leader);
    begin_to_close(&mut cluster, leader, conn);
    cluster.stop(leader);
    let is_idle = |cluster: &mut Cluster| cluster.server(leader).is_some_and(|server| server.quorum.is_idle());
    assert!(cluster.run(10_000, is_idle));
    cluster.crash(leader);
    cluster.start(leader);
    comes_to_rest(&mut cluster);
    assert!((0..4).all(|place| owned(&mut cluster, place) == 0));
}
