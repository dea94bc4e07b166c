//! Whole servers in scenes of a few steps: each was found broken once.

use super::super::*;
use super::steps::*;
use crate::ids::SessionId;
use crate::jute::OpCode;
use crate::server::quorum::Input;
use crate::sim::bodies::{create, path_alone, path_and};

#[test]
fn a_leader_tells_of_the_ephemerals_of_a_session_that_a_follower_closes() {
    let (mut cluster, leader, follower) = started(1);
    let (owner, _) = session(&mut cluster, follower, 2000);
    ask(&mut cluster, follower, owner, 1, OpCode::Create, &create(b"/e", b"", 1));
    answers(&mut cluster, follower, owner, 1);
    let (watcher, _) = session(&mut cluster, leader, 2000);
    ask(&mut cluster, leader, watcher, 1, OpCode::Exists, &path_and(b"/e", true));
    assert_eq!(answers(&mut cluster, leader, watcher, 1)[0].2, 0);
    ask(&mut cluster, follower, owner, 2, OpCode::CloseSession, &[]);
    answers(&mut cluster, follower, owner, 1);
    let event = &answers(&mut cluster, leader, watcher, 1)[0];
    assert_eq!((event.0, event.3[3]), (-1, 2), "deleted");
}

#[test]
fn a_sync_on_a_follower_is_answered_behind_the_writes_before_it() {
    let (mut cluster, _, follower) = started(2);
    let (conn, _) = session(&mut cluster, follower, 2000);
    ask(&mut cluster, follower, conn, 1, OpCode::Create, &create(b"/a", b"", 0));
    ask(&mut cluster, follower, conn, 2, OpCode::Create, &create(b"/a/b", b"", 0));
    ask(&mut cluster, follower, conn, 3, OpCode::Sync, &path_alone(b"/"));
    ask(&mut cluster, follower, conn, 4, OpCode::Exists, &path_and(b"/a/b", false));
    assert_eq!(told(&mut cluster, follower, conn, 4), [(1, 0), (2, 0), (3, 0), (4, 0)]);
}

#[test]
fn who_waits_for_what_is_never_committed_is_sent_away_when_the_role_ends() {
    let (mut cluster, leader, _) = started(3);
    let (conn, id) = session(&mut cluster, leader, 200);
    cluster.server(leader).unwrap().shard.disconnected(conn);
    cluster.act(leader);
    isolate(&mut cluster, leader);
    // The session is expired by a transaction that no other server will ever have.
    let is_over = |cluster: &mut Cluster| !knows(cluster, leader, id);
    assert!(cluster.run(1_000, is_over), "the session expires before the leader gives up");
    assert!(cluster.serves(leader));
    let late = connect(&mut cluster, leader, id, 200);
    assert!(has_ended(&mut cluster, leader, late), "a client that is told nothing waits for ever");
    assert!(!cluster.serves(leader));
}

#[test]
fn a_server_without_a_leader_shows_nothing_that_is_not_committed() {
    let (mut cluster, leader, _) = started(4);
    let (conn, _) = session(&mut cluster, leader, 2000);
    isolate(&mut cluster, leader);
    let (before, _) = cluster.digest(leader).unwrap();
    ask(&mut cluster, leader, conn, 1, OpCode::Create, &create(b"/a", b"", 0));
    cluster.act(leader);
    assert!(has_ended(&mut cluster, leader, conn), "the leader gives up");
    let late = connect(&mut cluster, leader, SessionId::NONE, 2000);
    assert!(has_ended(&mut cluster, leader, late), "nobody is served");
    let server = cluster.server(leader).unwrap();
    assert!(server.quorum.state().find(b"/a").is_some(), "it is at the head");
    assert_eq!(cluster.digest(leader).unwrap().0, before, "and not shown");
}

/// A server comes back while another leads epoch 2. That one is lost as soon as `is_time`, and the server finds its place
/// again.
fn leader_is_lost_while_a_server_catches_up(bytes: usize, is_time: impl Fn(&Member) -> bool) {
    let (mut cluster, first, _) = started(5);
    cluster.crash(first);
    assert!(cluster.run(5_000, |cluster| cluster.leader().is_some()), "another one leads");
    let second = cluster.leader().unwrap();
    let (conn, _) = session(&mut cluster, second, 2000);
    for n in 0..6 {
        ask(&mut cluster, second, conn, n, OpCode::Create, &create(format!("/{n}").as_bytes(), &vec![7; bytes], 0));
    }
    answers(&mut cluster, second, conn, 6);
    cluster.slow_disk(first, 50);
    cluster.start(first);
    assert!(cluster.run(5_000, |cluster| is_time(&cluster.members[first])), "it is brought up to date");
    assert_eq!((cluster.members[first].epochs.current, cluster.members[first].log.last().epoch()), (1, 2));
    cluster.crash(second);
    assert!(cluster.run(5_000, |cluster| cluster.leader().is_some()), "a third one leads");
    assert!(cluster.run(5_000, |cluster| cluster.serves(first)), "and the server has its place");
    assert!(cluster.members[first].epochs.current >= 2);
}

#[test]
fn a_role_that_ends_before_its_leader_is_acknowledged_leaves_epochs_that_are_those_of_the_log() {
    leader_is_lost_while_a_server_catches_up(6_000, |member| member.log.last().epoch() == 2);
}

#[test]
fn a_role_that_ends_while_epochs_are_written_is_not_followed_by_another_before_they_are() {
    let is_writing = |member: &Member| member.log.last().epoch() == 2 && !member.records.is_empty();
    leader_is_lost_while_a_server_catches_up(100, is_writing);
}

/// The network of these scenes, not a server: what it reorders no connection would.
#[test]
fn a_connection_keeps_its_order_through_clogs_and_pauses() {
    for clog_first in [true, false] {
        let (mut cluster, leader, follower) = started(6);
        let (conn, _) = session(&mut cluster, follower, 2000);
        let hold_up = |cluster: &mut Cluster, by_clog: bool| match by_clog {
            true => cluster.clog(follower, leader),
            false => cluster.pause(leader, true),
        };
        for (xid, path) in [(1, b"/a".as_slice()), (2, b"/a/b")] {
            hold_up(&mut cluster, clog_first == (xid == 1));
            ask(&mut cluster, follower, conn, xid, OpCode::Create, &create(path, b"", 0));
            cluster.act(follower);
            cluster.run(20, |_| false);
        }
        if clog_first {
            cluster.unclog(follower, leader);
            cluster.pause(leader, false);
        } else {
            cluster.pause(leader, false);
            cluster.unclog(follower, leader);
        }
        assert_eq!(told(&mut cluster, follower, conn, 2), [(1, 0), (2, 0)], "clogged first: {clog_first}");
    }
}

/// A leader takes a snapshot before its epoch has a transaction, as for a learner that is far behind, and its machine goes
/// down: the next start found a snapshot beyond the end of its log, and refused.
#[test]
fn a_snapshot_before_the_first_transaction_of_an_epoch_is_of_the_last_one_before() {
    let (mut cluster, leader, _) = started(31);
    session(&mut cluster, leader, 2_000);
    (0..3).for_each(|place| cluster.crash(place));
    (0..3).for_each(|place| cluster.start(place));
    assert!(cluster.run(5_000, |cluster| (0..3).all(|place| cluster.serves(place))));
    let leader = cluster.leader().unwrap();
    let shown = cluster.digest(leader).unwrap().0;
    assert_eq!(shown.counter(), 0, "nobody has written in this epoch");
    cluster.server(leader).unwrap().quorum.step(Input::WantSnapshot);
    let written = cluster.server(leader).unwrap().write_snapshot().unwrap();
    assert!(written < shown && written.counter() > 0, "{written}");
    cluster.crash(leader);
    cluster.try_start(leader).expect("a disk that is well");
    assert!(cluster.run(5_000, |cluster| (0..3).all(|place| cluster.serves(place))));
}

/// A follower leaves its leader and comes back. What it has at its log's end is on two of five disks then, and it is told to
/// cut it off, as ZooKeeper tells it, too; before it hears of that, so many others have acknowledged the same.
fn comes_back_while_others_acknowledge(count: usize) -> (Cluster, Place, Zxid) {
    let (mut cluster, leader) = started_of(5, 8);
    let (conn, _) = session(&mut cluster, leader, 2_000);
    let last = cluster.members[leader].log.last();
    assert!(cluster.run(1_000, |cluster| cluster.members.iter().all(|member| member.log.last() == last)));
    let place = (leader + 1) % 5;
    let others: Vec<Place> = (0..5).filter(|other| ![leader, place].contains(other)).collect();
    others.iter().for_each(|other| cluster.clog(leader, *other));
    ask(&mut cluster, leader, conn, 1, OpCode::Create, &create(b"/a", b"", 0));
    cluster.act(leader);
    let tail = last.next();
    assert!(cluster.run(100, |cluster| cluster.members[place].log.last() == tail));
    // Its acknowledgement arrives.
    cluster.run(10, |_| false);
    assert!(cluster.reset(leader, place) > 0);
    assert!(cluster.run(300, |cluster| !cluster.serves(place)), "it has lost its leader");
    assert!(
        cluster.run(300, |cluster| cluster.server_state(place) == Some(ServerState::Following)),
        "and finds it again"
    );
    // It says where it stands, and what it is answered is slow to come.
    cluster.slow(leader, place, 60);
    cluster.run(100, |_| false);
    others.iter().take(count).for_each(|other| cluster.unclog(leader, *other));
    assert!(cluster.run(25, |cluster| others[..count].iter().all(|other| cluster.members[*other].log.last() == tail)));
    assert_eq!((cluster.members[place].log.last(), cluster.coverage.of("sync by truncation")), (tail, 0));
    let is_cut = |cluster: &mut Cluster| cluster.coverage.of("sync by truncation") == 1;
    assert!(cluster.run(200, is_cut), "it is told to cut its log");
    assert_eq!(cluster.members[place].log.last(), last);
    (cluster, place, tail)
}

/// What a quorum of the others has may be committed by then: its leader has it, and sends it again.
#[test]
fn what_a_follower_cuts_off_may_be_committed_without_it() {
    let (mut cluster, place, tail) = comes_back_while_others_acknowledge(2);
    assert_eq!(cluster.oracle.last(), tail, "three of five have it");
    assert!(
        cluster.run(500, |cluster| cluster.digest(place).is_some_and(|(shown, _)| shown == tail)),
        "it has it again"
    );
    assert_eq!(cluster.elections(), 1);
}

/// What it acknowledged before it came back counts no more: with it three of five would have it, and do not.
#[test]
fn what_a_follower_acknowledged_before_it_came_back_does_not_count() {
    let (mut cluster, place, tail) = comes_back_while_others_acknowledge(1);
    assert!(cluster.oracle.last() < tail, "two of five have it");
    assert!(cluster.run(500, |cluster| cluster.oracle.last() == tail), "and three when it has it again");
    assert_eq!(cluster.members[place].log.last(), tail);
    assert_eq!(cluster.elections(), 1);
}

/// A leader is lost before anything of its epoch is committed, and the next one has nothing to send but a snapshot. What its
/// clients were shown was the beginning of that epoch: the state that takes its place ends before that.
#[test]
fn a_state_from_before_an_epoch_takes_the_place_of_one_that_has_shown_its_beginning() {
    let (mut cluster, leader, follower) = started(9);
    isolate(&mut cluster, leader);
    let conn = connect(&mut cluster, leader, SessionId::NONE, 2_000);
    assert!(has_ended(&mut cluster, leader, conn), "nobody follows it");
    let shown = cluster.digest(leader).unwrap().0;
    assert!(shown.counter() == 0 && cluster.members[leader].log.last() > shown);
    assert!(cluster.run(5_000, |cluster| cluster.serves(follower)), "the others go on");
    cluster.heal();
    assert!(cluster.run(5_000, |cluster| (0..3).all(|place| cluster.serves(place))));
    assert!(cluster.coverage.of("snapshot installed") > 0);
    let (conn, _) = session(&mut cluster, leader, 2_000);
    ask(&mut cluster, leader, conn, 1, OpCode::Exists, &path_and(b"/", false));
    assert_eq!(answers(&mut cluster, leader, conn, 1)[0].2, 0);
}

/// What the leader knows of a session that speaks through a learner is forgotten with the session, however it ends.
#[test]
fn a_leader_forgets_who_spoke_for_sessions_that_are_over() {
    let (mut cluster, leader, follower) = started(93);
    let sessions: Vec<_> = (0..3).map(|_| session(&mut cluster, follower, 2_000)).collect();
    let owned = |cluster: &mut Cluster| cluster.server(leader).unwrap().quorum.owned_sessions();
    assert_eq!(owned(&mut cluster), 3);
    let (closes, _) = sessions[0];
    ask(&mut cluster, follower, closes, 1, OpCode::CloseSession, &[]);
    assert_eq!((told(&mut cluster, follower, closes, 1), owned(&mut cluster)), (vec![(1, 0)], 2));
    let are_over = |cluster: &mut Cluster| sessions.iter().all(|(_, id)| !knows(cluster, leader, *id));
    assert!(cluster.run(10_000, are_over), "they expire");
    assert_eq!(owned(&mut cluster), 0);
}

/// Batches that come with a role count like those of requests: a shard that has taken in all of them may sleep.
#[test]
fn shards_with_nothing_to_do_do_not_stand_still() {
    let (mut cluster, leader, _) = started(40);
    cluster.crash(leader);
    cluster.start(leader);
    assert!(cluster.run(10_000, all_serve));
    // Every tick looks for shards that stand still.
    assert!(!cluster.run(3 * crate::limits::SHARD_STALL_MS, |_| false));
    assert!(all_serve(&mut cluster));
}
