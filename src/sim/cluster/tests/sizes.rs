//! Requests far longer than the usual ones, where the operator allows them.

use super::super::*;
use super::steps::{all_serve, ask, comes_to_rest, has, session, start_all, told};
use crate::jute::OpCode;
use crate::limits;
use crate::sim::bodies::create;

/// An ensemble whose longest request has so many bytes.
fn with_frames_of(max_frame: usize, seed: u64) -> Cluster {
    let mut cluster = Cluster::new(3, seed);
    cluster.max_frame = Some(max_frame);
    // What is in memory would do for half of it otherwise.
    cluster.history_limits.bytes = limits::history(limits::max_txn(max_frame));
    start_all(&mut cluster);
    cluster
}

#[test]
fn an_ensemble_commits_requests_as_long_as_its_operator_allows() {
    for seed in 0..3 {
        let max_frame = 10 << 20;
        let mut cluster = with_frames_of(max_frame, 40 + seed);
        let leader = cluster.leader().expect("somebody leads");
        let (follower, away) = ((leader + 1) % 3, (leader + 2) % 3);
        for (number, (place, length)) in
            [(follower, 5 << 20), (leader, 5 << 20), (follower, (10 << 20) - 200)].into_iter().enumerate()
        {
            let (conn, _) = session(&mut cluster, place, 2_000);
            let path = format!("/long-{number}");
            ask(&mut cluster, place, conn, 1, OpCode::Create, &create(path.as_bytes(), &vec![7; length], 0));
            assert_eq!(told(&mut cluster, place, conn, 1), [(1, 0)], "seed {seed}: {length} bytes on {place}");
            if number == 0 {
                cluster.crash(away);
            }
        }
        assert_eq!(cluster.leader(), Some(leader), "seed {seed}: nobody was elected anew");
        cluster.start(away);
        assert!(cluster.run(10_000, all_serve), "seed {seed}");
        comes_to_rest(&mut cluster);
        assert!((0..3).all(|number| has(&mut cluster, away, &format!("/long-{number}"))), "seed {seed}");
        assert_eq!(cluster.leader(), Some(leader), "seed {seed}: nobody was elected anew");
    }
}

/// All that a leader has proposed is kept by each of its followers, too, until a quorum has written it down.
#[test]
fn a_leader_proposes_no_more_than_may_be_kept_until_it_is_agreed_on() {
    const MOST: usize = 100_000;
    const EACH: usize = 4_000;
    let mut cluster = Cluster::new(3, 45);
    cluster.uncommitted_bytes = MOST;
    start_all(&mut cluster);
    let leader = cluster.leader().expect("somebody leads");
    let (conn, _) = session(&mut cluster, leader, 2_000);
    (0..3).filter(|place| *place != leader).for_each(|place| cluster.slow_disk(place, 200));
    for xid in 0..100 {
        let body = create(format!("/{xid}").as_bytes(), &[7; EACH], 0);
        ask(&mut cluster, leader, conn, xid, OpCode::Create, &body);
    }
    cluster.act(leader);
    cluster.run(150, |_| false);
    let kept = cluster.server(leader).unwrap().quorum.uncommitted_bytes();
    assert!((MOST..MOST + EACH + 200).contains(&kept), "{kept} bytes");
    (0..3).for_each(|place| cluster.slow_disk(place, 0));
    let all: Vec<(i32, i32)> = (0..100).map(|xid| (xid, 0)).collect();
    assert_eq!(told(&mut cluster, leader, conn, 100), all, "they had to wait");
}
