//! A member that comes back to an ensemble in which nobody writes: when it serves it shows what is committed, and takes the
//! clients that have seen it.

use super::super::*;
use super::roles::with_an_observer;
use super::steps::*;
use super::writers::usual;
use crate::ids::SessionId;
use crate::jute::OpCode;
use crate::server::quorum::Input;
use crate::server::stats::Mode;
use crate::sim::bodies::create;
use crate::zab::history::HistoryLimits;

/// Writes so many znodes through the leader, and waits until all show them. What all show then.
fn write(cluster: &mut Cluster, name: &str, count: i32) -> Zxid {
    let leader = cluster.leader().expect("somebody leads");
    let (conn, _) = session(cluster, leader, 30_000);
    for n in 0..count {
        ask(cluster, leader, conn, n, OpCode::Create, &create(format!("/{name}-{n}").as_bytes(), b"", 0));
    }
    answers(cluster, leader, conn, count as usize);
    let last = cluster.digest(leader).unwrap().0;
    let running: Vec<Place> = (0..cluster.len()).filter(|place| cluster.runs(*place)).collect();
    let show = |cluster: &mut Cluster| running.iter().all(|place| cluster.digest(*place).unwrap().0 == last);
    assert!(cluster.run(2_000, show), "those that run show {last}");
    last
}

/// As soon as the member serves it shows all that was shown before, and a client that has seen that may come, though nothing
/// is written.
fn serves_what_is_committed(cluster: &mut Cluster, place: Place) {
    let last = cluster.oracle.last();
    assert!(cluster.run(10_000, |cluster| cluster.serves(place)), "server {} serves", place + 1);
    let shown = cluster.digest(place).unwrap().0;
    assert!(shown >= last, "server {} shows {shown}, and {last} was shown", place + 1);
    let conn = cluster.server(place).unwrap().accept(SessionId::NONE, 30_000, last.0);
    cluster.act(place);
    assert_ne!(granted(cluster, place, conn), SessionId::NONE, "server {}", place + 1);
}

/// A follower and an observer.
fn learners(cluster: &Cluster) -> [Place; 2] {
    [(cluster.leader().expect("somebody leads") + 1) % 3, 3]
}

fn end(cluster: &mut Cluster, place: Place, in_order: bool) {
    if in_order {
        cluster.stop(place);
        let is_idle = |cluster: &mut Cluster| cluster.server(place).is_some_and(|server| server.quorum.is_idle());
        assert!(cluster.run(5_000, is_idle));
    }
    cluster.crash(place);
}

/// It has everything, and is sent nothing: an empty DIFF.
#[test]
fn a_member_that_lacks_nothing_shows_what_is_committed_when_it_serves() {
    for (seed, in_order) in [(301, true), (302, false)] {
        let mut cluster = with_an_observer(seed, usual);
        write(&mut cluster, "a", 10);
        for place in learners(&cluster) {
            end(&mut cluster, place, in_order);
            cluster.start(place);
            serves_what_is_committed(&mut cluster, place);
            write(&mut cluster, &format!("after-{place}"), 1);
            end(&mut cluster, place, in_order);
            cluster.start(place);
            serves_what_is_committed(&mut cluster, place);
        }
        assert_eq!(cluster.elections(), 1);
    }
}

/// What was written while it was away comes from memory, from the log or as a snapshot.
#[test]
fn a_member_that_lacks_something_shows_what_is_committed_when_it_serves() {
    for (seed, counted) in [(303, None), (304, Some("log read for a learner")), (305, Some("snapshot installed"))] {
        let mut cluster = with_an_observer(seed, |cluster| {
            if seed > 303 {
                cluster.history_limits = HistoryLimits { count: 5, bytes: 1 << 20 };
            }
            if seed == 305 {
                cluster.settings.snapshot_size_factor = None;
            }
        });
        write(&mut cluster, "a", 10);
        for place in learners(&cluster) {
            end(&mut cluster, place, true);
            write(&mut cluster, &format!("away-{place}"), 20);
            cluster.start(place);
            serves_what_is_committed(&mut cluster, place);
        }
        assert!(counted.is_none_or(|counted| cluster.coverage.of(counted) > 0));
    }
}

/// What is at its log's end is not agreed on, and the leader goes on trying: what is before that is shown.
#[test]
fn a_member_whose_tail_is_not_committed_shows_what_is() {
    for restarts in [false, true] {
        let (mut cluster, leader) = started_of(5, 306);
        let last = write(&mut cluster, "a", 10);
        let place = (leader + 1) % 5;
        let others: Vec<Place> = (0..5).filter(|other| ![leader, place].contains(other)).collect();
        let (conn, _) = session(&mut cluster, leader, 30_000);
        let opened = cluster.digest(leader).unwrap().0;
        assert!(opened > last && cluster.run(1_000, |cluster| cluster.members[place].log.last() == opened));
        assert!(cluster.run(1_000, |cluster| cluster.digest(place).unwrap().0 == opened));
        others.iter().for_each(|other| cluster.clog(leader, *other));
        ask(&mut cluster, leader, conn, 1, OpCode::Create, &create(b"/tail", b"", 0));
        cluster.act(leader);
        let tail = opened.next();
        assert!(cluster.run(100, |cluster| cluster.members[place].log.last() == tail));
        if restarts {
            cluster.crash(place);
            cluster.start(place);
        } else {
            assert!(cluster.reset(leader, place) > 0);
            assert!(cluster.run(300, |cluster| !cluster.serves(place)), "it has lost its leader");
        }
        assert!(cluster.run(400, |cluster| cluster.serves(place)), "restarts: {restarts}");
        assert_eq!(cluster.digest(place).unwrap().0, opened, "{tail} is on two disks of five");
        others.iter().for_each(|other| cluster.unclog(leader, *other));
        assert!(cluster.run(1_000, |cluster| cluster.digest(place).unwrap().0 == tail), "all is agreed on");
        assert_eq!(cluster.elections(), 1);
    }
}

/// It has served readers without a leader, from what a snapshot told it to be committed.
#[test]
fn a_member_that_only_read_shows_what_is_committed_when_it_follows_again() {
    let mut cluster = with_an_observer(307, |cluster| cluster.config.read_only_mode = true);
    let first = write(&mut cluster, "a", 5);
    for place in learners(&cluster) {
        cluster.server(place).unwrap().quorum.step(Input::WantSnapshot);
        assert!(cluster.server(place).unwrap().write_snapshot().is_some());
    }
    write(&mut cluster, "b", 5);
    for place in learners(&cluster) {
        cluster.crash(place);
        isolate(&mut cluster, place);
        cluster.start(place);
        let reads = |cluster: &mut Cluster| cluster.server(place).unwrap().stats.quorum.mode() == Mode::ReadOnly;
        assert!(cluster.run(3_000, reads));
        let shown = cluster.digest(place).unwrap().0;
        let last = cluster.oracle.last();
        assert!(!cluster.serves(place) && shown >= first && shown < last, "{shown}");
        cluster.heal();
        serves_what_is_committed(&mut cluster, place);
    }
}
