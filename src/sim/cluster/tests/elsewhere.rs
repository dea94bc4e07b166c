//! What has gone wrong in other servers of this kind, with whole servers: `docs/history.md` tells of each, and of what is
//! told by a script or a unit instead.

use super::super::*;
use super::steps::*;
use crate::ids::SessionId;
use crate::jute::{ErrorCode, OpCode};
use crate::server::quorum::Input;
use crate::sim::bodies::{auth, create, create_of_ones_own, multi, path_alone, path_and};

fn write(cluster: &mut Cluster, place: Place, path: &str) {
    let (conn, _) = session(cluster, place, 2_000);
    ask(cluster, place, conn, 1, OpCode::Create, &create(path.as_bytes(), b"", 0));
    assert_eq!(answers(cluster, place, conn, 1)[0].2, 0);
}

/// How a leader that was cut off comes back.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Return {
    /// Nothing has been written meanwhile: it is told to cut its log.
    Cut,
    /// The same, and its connection ends while it does.
    Interrupted,
    /// The same, and meanwhile its leader gives up, and says that it looks for one itself.
    Left,
    /// The others have gone on: it is sent their state.
    Replaced,
}

/// A leader is cut off with a transaction that nobody else will ever have, while its log takes so long to write, and comes
/// back when there is another leader.
fn a_leader_is_cut_off(seed: u64, disk_ms: i64, comes_back: Return) {
    let (mut cluster, first, other) = started(seed);
    let (conn, _) = session(&mut cluster, first, 2_000);
    isolate(&mut cluster, first);
    cluster.slow_disk(first, disk_ms);
    ask(&mut cluster, first, conn, 1, OpCode::Create, &create(b"/lost", b"", 0));
    cluster.act(first);
    let has_given_up = |cluster: &mut Cluster| cluster.server_state(first) == Some(ServerState::Looking);
    assert!(cluster.run(3_000, has_given_up), "nobody follows it");
    assert_eq!(cluster.members[first].write.is_some(), disk_ms > 0, "its last write is under way");
    assert!(has(&mut cluster, first, "/lost"), "it is in memory");
    assert!(cluster.run(3_000, |cluster| cluster.leader().is_some() && cluster.serves(other)), "the others go on");
    if comes_back == Return::Replaced {
        write(&mut cluster, other, "/kept");
    }
    cluster.cut_ms = match comes_back {
        Return::Interrupted => 200,
        Return::Left => 3_000,
        Return::Cut | Return::Replaced => cluster.cut_ms,
    };
    cluster.heal();
    let is_cutting = |cluster: &mut Cluster| cluster.queue.values().any(|event| matches!(event, Event::CutLog { .. }));
    if matches!(comes_back, Return::Interrupted | Return::Left) {
        assert!(cluster.run(5_000, is_cutting), "it is told to cut its log");
    }
    if comes_back == Return::Left {
        let leader = cluster.leader().expect("somebody leads");
        let third = 3 - first - leader;
        cluster.crash(third);
        let looks = |cluster: &mut Cluster| cluster.server_state(leader) == Some(ServerState::Looking);
        assert!(cluster.run(2_500, looks), "without the third it has no quorum");
        // What it says of that comes in the middle of the cut.
        cluster.run(100, |_| false);
        assert!(is_cutting(&mut cluster));
        cluster.start(third);
    }
    if comes_back == Return::Interrupted {
        let server = cluster.server(first).unwrap();
        server.quorum.step(Input::WantSnapshot);
        assert!(server.write_snapshot().is_none(), "it would be of what is being taken back");
        cluster.disconnect(|ends| ends.contains(&first));
    }
    comes_to_rest(&mut cluster);
    let how = if comes_back == Return::Replaced { "snapshot installed" } else { "sync by truncation" };
    assert!(cluster.coverage.of(how) > 0, "{how}");
    if comes_back != Return::Replaced {
        write(&mut cluster, other, "/kept");
        comes_to_rest(&mut cluster);
    }
    for round in ["in memory", "from disk"] {
        for place in 0..3 {
            assert!(!has(&mut cluster, place, "/lost"), "server {}, {round}", place + 1);
            assert!(has(&mut cluster, place, "/kept"), "server {}, {round}", place + 1);
        }
        // What is in memory is what a start makes of the disk.
        (0..3).for_each(|place| cluster.crash(place));
        (0..3).for_each(|place| cluster.start(place));
        comes_to_rest(&mut cluster);
    }
}

#[test]
fn memory_goes_back_with_the_log_of_a_former_leader() {
    a_leader_is_cut_off(61, 0, Return::Cut);
}

#[test]
fn memory_of_a_former_leader_is_replaced_with_its_log() {
    a_leader_is_cut_off(69, 0, Return::Replaced);
}

#[test]
fn a_role_whose_last_write_is_under_way_is_followed_by_no_other() {
    a_leader_is_cut_off(62, 1_500, Return::Replaced);
}

#[test]
fn a_truncation_that_is_interrupted_is_done_before_anything_else_begins() {
    a_leader_is_cut_off(63, 0, Return::Interrupted);
}

#[test]
fn a_leader_that_looks_again_does_not_end_a_truncation() {
    a_leader_is_cut_off(66, 0, Return::Left);
}

/// The leader of these has more than its followers when it is elected; a quorum has it when the follower has written it
/// down, whose disk is slow.
#[test]
fn what_a_follower_lacked_is_on_its_disk_before_its_epoch_is_and_before_it_counts() {
    let (mut cluster, leader, slow) = started(64);
    let (conn, _) = session(&mut cluster, leader, 2_000);
    (0..3).filter(|place| *place != leader).for_each(|place| cluster.crash(place));
    for n in 0..6 {
        ask(&mut cluster, leader, conn, n, OpCode::Create, &create(format!("/{n}").as_bytes(), &[7; 6_000], 0));
    }
    cluster.act(leader);
    let is_alone = |cluster: &mut Cluster| cluster.server_state(leader) == Some(ServerState::Looking);
    assert!(cluster.run(3_000, is_alone), "nobody follows it");
    let tail = cluster.members[leader].log.last();
    assert!(cluster.members[slow].log.last() < tail);
    cluster.slow_disk(slow, 60);
    cluster.start(slow);
    let mut was_behind = false;
    let is_led = |cluster: &mut Cluster| {
        let Member { log, epochs, .. } = &cluster.members[slow];
        let lacks = log.last() < tail;
        was_behind |= lacks && epochs.accepted > 1;
        assert!(!lacks || epochs.current <= 1, "an epoch on the disk of a server that ends at {}", log.last());
        let serves = cluster.serves(leader) || cluster.serves(slow);
        assert!(!serves || !lacks, "one disk of three has {tail}, and clients are served");
        serves
    };
    assert!(cluster.run(5_000, is_led), "two of three are a quorum");
    assert!(was_behind, "there was a time in which it lacked something");
}

#[test]
fn a_snapshot_between_multis_holds_each_whole_or_not_at_all() {
    const MULTIS: i32 = 12;
    let both = |n: i32| [format!("/{n}-a"), format!("/{n}-b")];
    let creates = |n: i32| both(n).map(|path| (OpCode::Create, create(path.as_bytes(), b"", 0)));
    let mut behind = 0;
    for captured in 0..MULTIS {
        let (mut cluster, leader, _) = started(65);
        let (conn, _) = session(&mut cluster, leader, 2_000);
        for n in 0..MULTIS {
            ask(&mut cluster, leader, conn, n, OpCode::Multi, &multi(&creates(n)));
            cluster.act(leader);
            if n == captured {
                cluster.server(leader).unwrap().quorum.step(Input::WantSnapshot);
            }
            cluster.run(1, |_| false);
        }
        answers(&mut cluster, leader, conn, MULTIS as usize);
        let shown = cluster.digest(leader).unwrap().0;
        let snapshot = cluster.server(leader).unwrap().quorum.last_snapshot();
        assert!(snapshot > Zxid::ZERO, "a snapshot was written");
        behind += usize::from(snapshot < shown);
        cluster.crash(leader);
        cluster.try_start(leader).unwrap_or_else(|fatal| panic!("captured at {captured}: {fatal}"));
        assert_eq!(cluster.members[leader].started_from, snapshot, "the start goes on from the snapshot");
        for path in (0..MULTIS).flat_map(both) {
            assert!(has(&mut cluster, leader, &path), "{path} is lost, captured at {captured}");
        }
        comes_to_rest(&mut cluster);
    }
    assert!(behind > 6, "{behind}: transactions went on while a snapshot was taken");
}

#[test]
fn a_session_that_is_over_is_refused_on_every_server_and_never_replaced() {
    let (mut cluster, _, follower) = started(66);
    let (conn, id) = session(&mut cluster, follower, 300);
    cluster.server(follower).unwrap().shard.disconnected(conn);
    assert!((0..3).all(|place| knows(&mut cluster, place, id)));
    let is_over = |cluster: &mut Cluster| (0..3).all(|place| !knows(cluster, place, id));
    assert!(cluster.run(3_000, is_over), "it expires");
    comes_to_rest(&mut cluster);
    for place in 0..3 {
        let before = cluster.digest(place);
        let conn = connect(&mut cluster, place, id, 300);
        assert_eq!(granted(&mut cluster, place, conn), SessionId::NONE, "server {}", place + 1);
        assert!(has_ended(&mut cluster, place, conn), "and the connection is over");
        assert_eq!(cluster.digest(place), before, "nothing has become of it");
    }
}

#[test]
fn reads_on_a_follower_keep_their_session_alive() {
    let (mut cluster, leader, follower) = started(67);
    let (conn, id) = session(&mut cluster, follower, 400);
    goes_on_asking(&mut cluster, follower, conn, 0);
    assert!(knows(&mut cluster, leader, id), "it was heard of for 2 s");
    assert!(cluster.run(2_000, |cluster| !knows(cluster, leader, id)), "and is over when it is silent");
    assert!(has_ended(&mut cluster, follower, conn));
}

/// What a client says of itself counts for what it asks afterwards, wherever its requests have to wait meanwhile; and what
/// comes of it is the same on all servers.
#[test]
fn a_request_is_judged_by_who_its_client_was_when_it_asked() {
    let (mut cluster, leader, follower) = started(68);
    for (place, name) in [(leader, "leader"), (follower, "follower")] {
        for waits in [false, true] {
            let paths = ["before", "after"].map(|when| format!("/{name}-{waits}-{when}"));
            let (conn, _) = session(&mut cluster, place, 2_000);
            if waits {
                ask(&mut cluster, place, conn, 1, OpCode::Sync, &path_alone(b"/"));
            }
            ask(&mut cluster, place, conn, 2, OpCode::Create, &create_of_ones_own(paths[0].as_bytes()));
            ask(&mut cluster, place, conn, -4, OpCode::Auth, &auth());
            ask(&mut cluster, place, conn, 3, OpCode::Create, &create_of_ones_own(paths[1].as_bytes()));
            let mut told = told(&mut cluster, place, conn, 3 + usize::from(waits));
            told.sort_unstable();
            let invalid = ErrorCode::InvalidAcl.wire();
            let expected = [(-4, 0), (1, 0), (2, invalid), (3, 0)];
            let expected: Vec<_> = expected.into_iter().filter(|(xid, _)| waits || *xid != 1).collect();
            assert_eq!(told, expected, "on the {name}, behind a sync: {waits}");
            comes_to_rest(&mut cluster);
            for other in 0..3 {
                let (conn, _) = session(&mut cluster, other, 2_000);
                ask(&mut cluster, other, conn, 1, OpCode::GetData, &path_and(paths[1].as_bytes(), false));
                assert_eq!(answers(&mut cluster, other, conn, 1)[0].2, ErrorCode::NoAuth.wire(), "a stranger");
                ask(&mut cluster, other, conn, -4, OpCode::Auth, &auth());
                ask(&mut cluster, other, conn, 2, OpCode::GetData, &path_and(paths[1].as_bytes(), false));
                assert_eq!(answers(&mut cluster, other, conn, 2)[1].2, 0, "its owner");
            }
        }
    }
}

/// Bytes that differ from what the leader sent, past every checksum: the transaction says what the tree should have become.
#[test]
fn a_tree_that_is_not_its_leaders_is_noticed_at_once() {
    let (mut cluster, leader, _) = started(70);
    let (conn, _) = session(&mut cluster, leader, 2_000);
    // The followers log nothing: the oracle compares what is logged.
    let followers: Vec<Place> = (0..3).filter(|place| *place != leader).collect();
    followers.iter().for_each(|place| cluster.slow_disk(*place, 10_000));
    ask(&mut cluster, leader, conn, 1, OpCode::Create, &create(b"/a", b"value", 0));
    cluster.act(leader);
    let mut changed = 0;
    for event in cluster.queue.values_mut() {
        if let Event::Bytes { bytes, .. } = event
            && let Some(at) = bytes.windows(5).position(|window| window == b"value")
        {
            bytes[at] ^= 1;
            changed += 1;
        }
    }
    assert_eq!(changed, 2, "proposals on their way");
    let mismatches = |cluster: &mut Cluster, place: Place| {
        let server = cluster.server(place).unwrap();
        server.stats.core.digest_mismatches.value()
    };
    let have_noticed = |cluster: &mut Cluster| followers.iter().all(|place| mismatches(cluster, *place) == 1);
    assert!(cluster.run(100, have_noticed), "both of them");
    assert_eq!(mismatches(&mut cluster, leader), 0);
}
