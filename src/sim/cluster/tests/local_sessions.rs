//! Sessions that one server alone knows: what they may do, where they end, and how they become sessions of the ensemble.

use super::super::*;
use super::roles::with_an_observer;
use super::steps::*;
use crate::ids::SessionId;
use crate::jute::{ErrorCode, OpCode};
use crate::sim::bodies::{create, multi, path_alone, path_and};

const EPHEMERAL: i32 = 1;

/// Three voters and an observer that open local sessions.
fn started(seed: u64, upgrades: bool) -> Cluster {
    with_an_observer(seed, |cluster| {
        cluster.settings.local_sessions = true;
        cluster.settings.local_session_upgrading = upgrades;
    })
}

/// The leader, a follower, the observer.
fn kinds(cluster: &Cluster) -> [Place; 3] {
    let leader = cluster.leader().expect("somebody leads");
    [leader, (leader + 1) % 3, 3]
}

fn local_count(cluster: &mut Cluster, place: Place) -> u64 {
    cluster.run(TICK_MS, |_| false);
    cluster.server(place).unwrap().stats.core.local_sessions.value()
}

/// The body of a create without data.
fn created(path: &str, flags: i32) -> Vec<u8> {
    create(path.as_bytes(), b"", flags)
}

#[test]
fn a_local_session_begins_and_ends_without_a_transaction() {
    let mut cluster = started(81, false);
    comes_to_rest(&mut cluster);
    for place in kinds(&cluster) {
        let before = cluster.digest(place);
        let (conn, id) = session(&mut cluster, place, 2_000);
        assert_eq!((id.0 >> 56, local_count(&mut cluster, place)), (place as i64 + 1, 1));
        ask(&mut cluster, place, conn, 1, OpCode::Exists, &path_and(b"/", false));
        ask(&mut cluster, place, conn, 2, OpCode::Sync, &path_alone(b"/"));
        assert_eq!(told(&mut cluster, place, conn, 2), [(1, 0), (2, 0)]);
        ask(&mut cluster, place, conn, 3, OpCode::CloseSession, &[]);
        assert_eq!(told(&mut cluster, place, conn, 1), [(3, 0)]);
        assert_eq!(local_count(&mut cluster, place), 0);
        assert_eq!(cluster.digest(place), before, "server {}", place + 1);
        let late = connect(&mut cluster, place, id, 2_000);
        assert_eq!(granted(&mut cluster, place, late), SessionId::NONE, "it is over");
    }
}

#[test]
fn a_local_session_writes_and_watches() {
    let mut cluster = started(82, false);
    for place in kinds(&cluster) {
        let path = format!("/{place}");
        let (conn, id) = session(&mut cluster, place, 2_000);
        ask(&mut cluster, place, conn, 1, OpCode::Exists, &path_and(path.as_bytes(), true));
        assert_eq!(told(&mut cluster, place, conn, 1), [(1, ErrorCode::NoNode.wire())]);
        ask(&mut cluster, place, conn, 2, OpCode::Create, &created(&path, 0));
        ask(&mut cluster, place, conn, 3, OpCode::CloseSession, &[]);
        // The close waits for the answer to the write.
        assert_eq!(told(&mut cluster, place, conn, 3), [(-1, 0), (2, 0), (3, 0)]);
        comes_to_rest(&mut cluster);
        assert!((0..4).all(|other| has(&mut cluster, other, &path) && !knows(&mut cluster, other, id)));
    }
}

#[test]
fn a_local_session_lives_as_long_as_its_server_hears_of_it() {
    let mut cluster = started(83, false);
    for place in kinds(&cluster) {
        let (conn, _) = session(&mut cluster, place, 400);
        goes_on_asking(&mut cluster, place, conn, 0);
        assert!(has_ended(&mut cluster, place, conn), "it is silent");
        assert_eq!(local_count(&mut cluster, place), 0);
        assert_eq!(cluster.server(place).unwrap().stats.core.stale_sessions_expired.value(), 1);
    }
}

#[test]
fn a_local_session_is_taken_up_on_its_own_server_alone() {
    let mut cluster = started(84, true);
    for place in kinds(&cluster) {
        let (conn, id) = session(&mut cluster, place, 2_000);
        for other in (0..4).filter(|other| *other != place) {
            let refused = connect(&mut cluster, other, id, 2_000);
            assert_eq!(granted(&mut cluster, other, refused), SessionId::NONE, "server {}", other + 1);
        }
        let again = connect(&mut cluster, place, id, 2_000);
        assert_eq!(granted(&mut cluster, place, again), id);
        assert!(has_ended(&mut cluster, place, conn), "one connection speaks for it");
        ask(&mut cluster, place, again, 1, OpCode::Exists, &path_and(b"/", false));
        assert_eq!(told(&mut cluster, place, again, 1), [(1, 0)]);
    }
}

#[test]
fn a_local_session_ends_with_its_servers_leader() {
    let mut cluster = started(85, true);
    let [leader, follower, observer] = kinds(&cluster);
    let sessions = [follower, observer].map(|place| (place, session(&mut cluster, place, 2_000)));
    cluster.crash(leader);
    for (place, (conn, id)) in sessions {
        assert!(has_ended(&mut cluster, place, conn), "server {}", place + 1);
        assert!(cluster.run(5_000, |cluster| cluster.serves(place)), "there is another leader");
        let late = connect(&mut cluster, place, id, 2_000);
        assert_eq!(granted(&mut cluster, place, late), SessionId::NONE, "server {}", place + 1);
    }
}

#[test]
fn an_ephemeral_is_refused_to_a_local_session_and_nothing_else_is() {
    let refused = ErrorCode::EphemeralOnLocalSession.wire();
    let mut cluster = started(86, false);
    for place in kinds(&cluster) {
        let path = |name: &str| format!("/{place}-{name}");
        let (conn, id) = session(&mut cluster, place, 2_000);
        ask(&mut cluster, place, conn, 1, OpCode::Create, &created(&path("a"), 0));
        ask(&mut cluster, place, conn, 2, OpCode::Create2, &created(&path("e"), EPHEMERAL));
        ask(&mut cluster, place, conn, 3, OpCode::Create, &created(&path("b"), 0));
        let creates = [(path("m"), 0), (path("n"), EPHEMERAL), (path("o"), 0)];
        let creates = creates.map(|(path, flags)| (OpCode::Create, created(&path, flags)));
        ask(&mut cluster, place, conn, 4, OpCode::Multi, &multi(&creates));
        ask(&mut cluster, place, conn, 5, OpCode::Multi, &multi(&creates[..1]));
        let frames = answers(&mut cluster, place, conn, 5);
        assert_eq!(
            errors(&frames),
            [(1, 0), (2, refused), (3, 0), (4, 0), (5, 0)],
            "in order, on server {}",
            place + 1
        );
        let results: Vec<i32> = frames[3].3.chunks(13).take(3).map(|result| read_int(&result[9..])).collect();
        assert_eq!(results, [0, refused, ErrorCode::RuntimeInconsistency.wire()]);
        comes_to_rest(&mut cluster);
        for other in 0..4 {
            let found = ["a", "b", "m", "e", "n", "o"].map(|name| has(&mut cluster, other, &path(name)));
            assert_eq!(found, [true, true, true, false, false, false], "on server {}", other + 1);
            assert!(!knows(&mut cluster, other, id));
        }
    }
}

fn read_int(bytes: &[u8]) -> i32 {
    i32::from_be_bytes(bytes[..4].try_into().unwrap())
}

#[test]
fn a_local_session_becomes_global_with_its_first_ephemeral() {
    let mut cluster = started(87, true);
    for place in kinds(&cluster) {
        let path = |name: &str| format!("/{place}-{name}");
        let (conn, id) = session(&mut cluster, place, 1_000);
        ask(&mut cluster, place, conn, 1, OpCode::Create, &created(&path("a"), 0));
        ask(&mut cluster, place, conn, 2, OpCode::Create2, &created(&path("e"), EPHEMERAL));
        ask(&mut cluster, place, conn, 3, OpCode::Exists, &path_and(path("e").as_bytes(), false));
        ask(&mut cluster, place, conn, 4, OpCode::Multi, &multi(&[(OpCode::Create, created(&path("f"), EPHEMERAL))]));
        ask(&mut cluster, place, conn, 5, OpCode::Sync, &path_alone(b"/"));
        ask(&mut cluster, place, conn, 6, OpCode::Create, &created(&path("b"), 0));
        assert_eq!(told(&mut cluster, place, conn, 6), [(1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0)]);
        comes_to_rest(&mut cluster);
        assert_eq!(local_count(&mut cluster, place), 0);
        assert!((0..4).all(|other| knows(&mut cluster, other, id)), "of server {}", place + 1);
        // Its server tells the leader of it from now on.
        goes_on_asking(&mut cluster, place, conn, 10);
        let elsewhere = (place + 1) % 4;
        let moved = connect(&mut cluster, elsewhere, id, 1_000);
        assert_eq!(granted(&mut cluster, elsewhere, moved), id);
        let ephemerals = [path("e"), path("f")];
        assert!(ephemerals.iter().all(|path| has(&mut cluster, elsewhere, path)));
        ask(&mut cluster, elsewhere, moved, 40, OpCode::CloseSession, &[]);
        assert_eq!(told(&mut cluster, elsewhere, moved, 1), [(40, 0)]);
        comes_to_rest(&mut cluster);
        for other in 0..4 {
            assert!(!knows(&mut cluster, other, id) && has(&mut cluster, other, &path("b")));
            assert!(ephemerals.iter().all(|path| !has(&mut cluster, other, path)));
        }
    }
}

/// The leader goes at some moment between the wish for an ephemeral and the answer, or a little later.
#[test]
fn a_leader_lost_in_the_middle_of_an_upgrade_leaves_no_ephemeral_without_a_session() {
    let (mut global, mut forgotten, mut answered) = (0, 0, 0);
    for delay_ms in 0..24 {
        let mut cluster = started(100 + delay_ms as u64, true);
        let [leader, follower, _] = kinds(&cluster);
        let (conn, id) = session(&mut cluster, follower, 800);
        ask(&mut cluster, follower, conn, 1, OpCode::Create, &created("/e", EPHEMERAL));
        ask(&mut cluster, follower, conn, 2, OpCode::Create, &created("/f", EPHEMERAL));
        cluster.act(follower);
        cluster.run(delay_ms, |_| false);
        answered += usize::from(!cluster.server(follower).unwrap().frames(conn).is_empty());
        cluster.crash(leader);
        assert!(has_ended(&mut cluster, follower, conn));
        let others = [follower, 3 - leader - follower, 3];
        assert!(cluster.run(5_000, |cluster| others.iter().all(|place| cluster.serves(*place))));
        let is_global = knows(&mut cluster, follower, id);
        assert!(is_global || !has(&mut cluster, follower, "/e"), "an ephemeral of nobody, after {delay_ms} ms");
        assert!(has(&mut cluster, follower, "/e") || !has(&mut cluster, follower, "/f"));
        let late = connect(&mut cluster, others[1], id, 800);
        let answer = granted(&mut cluster, others[1], late);
        assert_eq!(answer, if is_global { id } else { SessionId::NONE }, "after {delay_ms} ms");
        if is_global {
            global += 1;
        } else {
            forgotten += 1;
        }
        // Nobody says anything any more.
        cluster.start(leader);
        let is_over = |cluster: &mut Cluster| (0..4).all(|place| !knows(cluster, place, id));
        assert!(cluster.run(5_000, is_over));
        comes_to_rest(&mut cluster);
        assert!((0..4).all(|place| !has(&mut cluster, place, "/e") && !has(&mut cluster, place, "/f")));
    }
    assert!(global > 2 && forgotten > 2 && answered > 2, "{global} global, {forgotten} forgotten, {answered} answered");
}

/// What the client of before had asked for is dropped with its connection, and the session is what it became.
#[test]
fn a_client_that_comes_back_in_the_middle_of_an_upgrade_has_its_session() {
    let mut cluster = started(88, true);
    let [leader, follower, _] = kinds(&cluster);
    let (conn, id) = session(&mut cluster, follower, 1_500);
    cluster.clog(follower, leader);
    ask(&mut cluster, follower, conn, 1, OpCode::Create, &created("/e", EPHEMERAL));
    ask(&mut cluster, follower, conn, 2, OpCode::CloseSession, &[]);
    cluster.act(follower);
    let again = connect(&mut cluster, follower, id, 400);
    assert_eq!(granted(&mut cluster, follower, again), id, "its server knows it");
    ask(&mut cluster, follower, again, 3, OpCode::Create, &created("/f", EPHEMERAL));
    cluster.act(follower);
    assert!(cluster.run(100, |_| false) || !knows(&mut cluster, leader, id));
    assert_eq!(local_count(&mut cluster, follower), 1);
    cluster.unclog(follower, leader);
    assert_eq!(told(&mut cluster, follower, again, 1), [(3, 0)]);
    comes_to_rest(&mut cluster);
    for place in 0..4 {
        assert!(knows(&mut cluster, place, id) && has(&mut cluster, place, "/f") && !has(&mut cluster, place, "/e"));
        // The timeout that the leader was told.
        let state = cluster.server(place).unwrap().quorum.state();
        assert_eq!(state.session_timeout_ms(id), Some(1_500));
    }
}

/// The leader answers for the session while its createSession is not committed: the observer that the client has gone to
/// hears of it afterwards, and the client, which was told that it has its session, is not told again.
#[test]
fn who_went_elsewhere_in_the_middle_of_an_upgrade_is_told_once_that_it_has_its_session() {
    let mut cluster = started(93, true);
    let [leader, follower, observer] = kinds(&cluster);
    let other = 3 - leader - follower;
    let (conn, id) = session(&mut cluster, follower, 1_500);
    cluster.clog(other, leader);
    ask(&mut cluster, follower, conn, 1, OpCode::Create, &created("/e", EPHEMERAL));
    cluster.act(follower);
    assert!(cluster.run(100, |cluster| knows(cluster, leader, id)));
    cluster.clog(follower, leader);
    let gone = connect(&mut cluster, observer, id, 1_500);
    assert_eq!(granted(&mut cluster, observer, gone), id, "the leader knows it");
    assert!(!knows(&mut cluster, observer, id));
    cluster.unclog(follower, leader);
    cluster.unclog(other, leader);
    comes_to_rest(&mut cluster);
    assert!(knows(&mut cluster, observer, id));
    ask(&mut cluster, observer, gone, 2, OpCode::Exists, &path_and(b"/", false));
    assert_eq!(told(&mut cluster, observer, gone, 1), [(2, 0)]);
}

/// A server passes on what a session asked for, and the leader has ended the session meanwhile. Its ephemerals are gone: what
/// it did in their name is not done any more, though the leader would not know its session from another server's own.
#[test]
fn what_is_passed_on_behind_the_end_of_a_global_session_is_refused() {
    let mut cluster = started(89, true);
    let [leader, follower, _] = kinds(&cluster);
    let (conn, id) = session(&mut cluster, follower, 200);
    ask(&mut cluster, follower, conn, 1, OpCode::Create, &created("/e", EPHEMERAL));
    assert_eq!(told(&mut cluster, follower, conn, 1), [(1, 0)]);
    cluster.clog(follower, leader);
    ask(&mut cluster, follower, conn, 2, OpCode::Create, &created("/late", 0));
    cluster.act(follower);
    assert!(cluster.run(400, |cluster| !knows(cluster, leader, id)), "nobody tells the leader of it");
    assert!(cluster.run(60, |cluster| shows_all(cluster, leader)), "its end is committed");
    cluster.unclog(follower, leader);
    comes_to_rest(&mut cluster);
    assert!((0..4).all(|place| !has(&mut cluster, place, "/late") && !has(&mut cluster, place, "/e")));
}

/// A leader that is cut off opens local sessions until it knows; none of them outlives that.
#[test]
fn a_leader_that_gives_up_forgets_its_local_sessions() {
    let mut cluster = started(90, true);
    let [leader, ..] = kinds(&cluster);
    let (conn, id) = session(&mut cluster, leader, 2_000);
    isolate(&mut cluster, leader);
    ask(&mut cluster, leader, conn, 1, OpCode::Create, &created("/e", EPHEMERAL));
    cluster.act(leader);
    assert!(has_ended(&mut cluster, leader, conn), "nobody follows it");
    assert_eq!(local_count(&mut cluster, leader), 0);
    assert!(cluster.run(5_000, |cluster| cluster.leader().is_some()), "the others go on");
    cluster.heal();
    comes_to_rest(&mut cluster);
    assert!((0..4).all(|place| !knows(&mut cluster, place, id) && !has(&mut cluster, place, "/e")));
}

/// More waits behind a sync than a group of the log holds: each transaction has its place in the log nevertheless.
#[test]
fn what_waits_behind_a_sync_goes_on_as_far_as_the_log_has_room() {
    let mut cluster = started(91, true);
    let [leader, ..] = kinds(&cluster);
    let (conn, _) = session(&mut cluster, leader, 2_000);
    ask(&mut cluster, leader, conn, 1, OpCode::Sync, &path_alone(b"/"));
    for n in 2..12 {
        let flags = if n == 7 { EPHEMERAL } else { 0 };
        ask(&mut cluster, leader, conn, n, OpCode::Create, &create(format!("/{n}").as_bytes(), &[7; 6_000], flags));
    }
    let all: Vec<_> = (1..12).map(|xid| (xid, 0)).collect();
    assert_eq!(told(&mut cluster, leader, conn, 11), all);
    comes_to_rest(&mut cluster);
    (0..4).for_each(|place| cluster.crash(place));
    (0..4).for_each(|place| cluster.start(place));
    comes_to_rest(&mut cluster);
    assert!((2..12).all(|n| n == 7 || (0..4).all(|place| has(&mut cluster, place, &format!("/{n}")))));
}
