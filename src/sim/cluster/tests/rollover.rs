//! Epochs that come to their end while clients write: the next one begins, whatever goes wrong on the way.

use super::super::*;
use super::reconfig::{self, Asker, Change, NOTHING};
use super::steps::{ask, isolate, rest_alone, session, start_all, told};
use super::writers::{Client, converge, work};
use crate::ids::SessionId;
use crate::jute::OpCode;
use crate::server::message::Clock;
use crate::sim::bodies::{create, path_alone};
use crate::sim::server::{SimOptions, config};
use std::collections::BTreeSet;

fn started(voters: usize, observers: usize, last_counter: u32, seed: u64) -> Cluster {
    let mut cluster = Cluster::with_observers(voters, observers, seed);
    cluster.config.last_counter = last_counter;
    start_all(&mut cluster);
    cluster
}

/// Clients on all servers write through several ends of epochs: none of them loses its connection.
fn goes_on(voters: usize, observers: usize) {
    let mut cluster = started(voters, observers, 150, 11);
    let mut clients: Vec<Client> = (0..2 * cluster.len()).map(|n| Client::at(n, n / 2)).collect();
    work(&mut cluster, &mut clients, 300);
    let connections: Vec<_> = clients.iter().map(|client| client.at).collect();
    assert!(connections.iter().all(Option::is_some));
    work(&mut cluster, &mut clients, 4_000);
    assert_eq!(connections, clients.iter().map(|client| client.at).collect::<Vec<_>>(), "nobody is sent away");
    assert!(cluster.roll_overs() >= 3, "{}", cluster.roll_overs());
    assert_eq!(cluster.elections(), 1);
    // A round takes no longer than a few writes.
    let least = clients.iter().map(|client| client.acknowledged.len()).min().unwrap_or_default();
    assert!(least > 60, "every client gets on: {least}");
    let epoch = cluster.oracle.last().epoch();
    assert_eq!(epoch, 1 + cluster.roll_overs() as i64);
    (0..cluster.len()).for_each(|place| cluster.crash(place));
    converge(&mut cluster, &mut clients);
}

#[test]
fn three_servers_go_over_into_the_next_epoch_under_load() {
    goes_on(3, 0);
}

#[test]
fn five_servers_and_an_observer_go_over_into_the_next_epoch_under_load() {
    goes_on(5, 1);
}

/// A leader that is a quorum by itself.
#[test]
fn one_server_of_an_ensemble_goes_over_by_itself() {
    let mut cluster = started(1, 1, 40, 12);
    let mut clients: Vec<Client> = (0..4).map(|n| Client::at(n, n / 2)).collect();
    work(&mut cluster, &mut clients, 2_000);
    assert!(cluster.roll_overs() >= 2 && cluster.elections() == 1, "{}", cluster.roll_overs());
    converge(&mut cluster, &mut clients);
}

/// What happens so many ms after the last transaction of an epoch was prepared; then everything heals. What was found on
/// the disks at that moment: how many have promised the next epoch, and how many have acknowledged it.
fn interrupted(voters: usize, after_ms: i64, fault: impl Fn(&mut Cluster, Place)) -> (usize, usize) {
    let mut cluster = started(voters, 1, 40, 13);
    let mut clients: Vec<Client> = (0..6).map(Client::new).collect();
    let end = Zxid(1 << 32 | 40);
    for _ in 0..3_000 {
        let is_used_up = (0..voters).any(|place| {
            let head = cluster.server(place).map(|server| server.quorum.state().head());
            head.is_some_and(|head| head >= end)
        });
        if is_used_up {
            break;
        }
        work(&mut cluster, &mut clients, 1);
    }
    let leader = cluster.leader().expect("it leads");
    assert!(cluster.server(leader).unwrap().quorum.state().head() >= end, "the epoch is used up");
    work(&mut cluster, &mut clients, after_ms);
    let having = |of: &dyn Fn(&Member) -> i64| cluster.members.iter().filter(|member| of(member) > 1).count();
    let found = (having(&|member| member.epochs.accepted), having(&|member| member.epochs.current));
    fault(&mut cluster, leader);
    work(&mut cluster, &mut clients, 1_500);
    converge(&mut cluster, &mut clients);
    assert!(cluster.oracle.last().epoch() >= 2);
    found
}

/// The same at every moment of the round: none promised, some, all, acknowledged by some, and by all.
fn interrupted_at_every_step(voters: usize, fault: impl Fn(&mut Cluster, Place)) {
    let mut seen = BTreeSet::new();
    for after_ms in 0..36 {
        let (promised, acknowledged) = interrupted(voters, after_ms, &fault);
        seen.insert((promised > 0, promised > voters / 2, acknowledged > 0, acknowledged > voters / 2));
    }
    let steps = [
        (false, false, false, false),
        (true, false, false, false),
        (true, true, false, false),
        (true, true, true, false),
        (true, true, true, true),
    ];
    for step in steps {
        assert!(seen.contains(&step), "no moment of the round was {step:?}: {seen:?}");
    }
}

fn follower(cluster: &Cluster, leader: Place) -> Place {
    (leader + 1) % cluster.voters()
}

#[test]
fn a_leader_is_lost_at_every_step_of_its_roll_over() {
    interrupted_at_every_step(3, |cluster, leader| cluster.crash(leader));
    interrupted_at_every_step(5, |cluster, leader| cluster.crash(leader));
}

#[test]
fn a_follower_is_lost_at_every_step_of_a_roll_over() {
    interrupted_at_every_step(3, |cluster, leader| cluster.crash(follower(cluster, leader)));
}

#[test]
fn a_follower_is_cut_off_at_every_step_of_a_roll_over() {
    interrupted_at_every_step(3, |cluster, leader| {
        let follower = follower(cluster, leader);
        isolate(cluster, follower);
    });
}

#[test]
fn the_power_of_all_is_lost_at_every_step_of_a_roll_over() {
    interrupted_at_every_step(3, |cluster, _| (0..cluster.len()).for_each(|place| cluster.crash(place)));
}

/// A follower whose disk is slow comes late into the epoch: it is sent what it missed, and its clients stay.
#[test]
fn a_follower_that_is_late_with_its_promise_goes_along() {
    let mut cluster = started(3, 0, 150, 14);
    let leader = cluster.leader().unwrap();
    let late = follower(&cluster, leader);
    let mut clients: Vec<Client> = (0..6).map(|n| Client::at(n, n / 2)).collect();
    work(&mut cluster, &mut clients, 200);
    let connections: Vec<_> = clients.iter().map(|client| client.at).collect();
    cluster.slow_disk(late, 60);
    let is_behind = |cluster: &Cluster| {
        let of = |place: Place| cluster.members[place].epochs.current;
        of(late) < of(leader) && cluster.oracle.last().epoch() > of(late)
    };
    let mut was_behind = false;
    for _ in 0..2_000 {
        work(&mut cluster, &mut clients, 1);
        was_behind |= is_behind(&cluster);
        if cluster.roll_overs() == 1 && !is_behind(&cluster) && was_behind {
            break;
        }
    }
    assert!(was_behind && cluster.roll_overs() >= 1, "the others went on in the next epoch without it");
    assert_eq!(connections, clients.iter().map(|client| client.at).collect::<Vec<_>>(), "nobody is sent away");
    cluster.slow_disk(late, 0);
    converge(&mut cluster, &mut clients);
    assert_eq!(cluster.elections(), 1);
}

/// A server on its own: its log goes from an epoch's last zxid to the next one's first transaction.
#[test]
fn a_server_on_its_own_goes_over_by_itself_and_finds_it_so_at_its_next_start() {
    let disk = SimDisk::new();
    let options = SimOptions::from(Config { last_counter: 4, ..config() });
    let at = |epoch: i64, counter: i64| epoch << 32 | counter;
    let expected = [
        vec![at(0, 1), at(0, 2), at(0, 3), at(0, 4), at(1, 1), at(1, 2)],
        vec![at(1, 3), at(1, 4), at(2, 1), at(2, 2), at(2, 3), at(2, 4)],
        vec![at(3, 1), at(3, 2), at(3, 3), at(3, 4), at(4, 1), at(4, 2)],
    ];
    for (start, expected) in expected.iter().enumerate() {
        let mut server = SimServer::start(&disk, Clock::default(), options.clone(), None);
        let conn = server.accept(SessionId::NONE, 2_000, 0);
        rest_alone(&mut server, &disk);
        server.output(conn);
        // Its session was the first.
        let mut zxids = vec![server.zxid()];
        for n in 1..6 {
            server.request(conn, n, OpCode::Create, &create(format!("/{start}-{n}").as_bytes(), b"", 0));
            rest_alone(&mut server, &disk);
            zxids.extend(server.frames(conn).iter().map(|frame| frame.1));
        }
        assert_eq!(&zxids, expected);
    }
}

/// Writes of a leader's client that waited behind a sync come all at once, and are more than the log has room for at a
/// time: they went into it past the one that waited for room.
#[test]
fn writes_behind_a_sync_wait_for_the_log_to_have_room() {
    let mut cluster = started(3, 0, Zxid::LAST_COUNTER, 15);
    let leader = cluster.leader().unwrap();
    let (conn, _) = session(&mut cluster, leader, 2_000);
    ask(&mut cluster, leader, conn, 1, OpCode::Sync, &path_alone(b"/"));
    for n in 0..12 {
        let data = vec![7; if n % 3 == 2 { 10 } else { 6_000 }];
        ask(&mut cluster, leader, conn, 2 + n, OpCode::Create, &create(format!("/{n}").as_bytes(), &data, 0));
    }
    assert_eq!(told(&mut cluster, leader, conn, 13), (1..=13).map(|xid| (xid, 0)).collect::<Vec<_>>());
}

/// The same at the end of an epoch: they go on with the numbers of the next one.
#[test]
fn writes_behind_a_sync_wait_for_the_next_epoch() {
    let mut cluster = started(3, 0, 5, 16);
    let leader = cluster.leader().unwrap();
    let (conn, _) = session(&mut cluster, leader, 2_000);
    for round in 0..4 {
        ask(&mut cluster, leader, conn, 20 * round, OpCode::Sync, &path_alone(b"/"));
        for n in 1..8 {
            let name = format!("/{round}-{n}");
            ask(&mut cluster, leader, conn, 20 * round + n, OpCode::Create, &create(name.as_bytes(), b"", 0));
        }
        assert_eq!(told(&mut cluster, leader, conn, 8), (0..8).map(|n| (20 * round + n, 0)).collect::<Vec<_>>());
    }
    assert!(cluster.roll_overs() >= 5 && cluster.elections() == 1, "{}", cluster.roll_overs());
}

/// Three voters and an observer whose epochs are short, and a client of the leader that has written all of the first one but
/// its last transaction.
fn before_the_last(seed: u64) -> (Cluster, Place, Asker) {
    const LAST: u32 = 60;
    let mut cluster = reconfig::started_with_epochs_of(LAST, 3, seed);
    reconfig::join(&mut cluster, "observer");
    let leader = cluster.leader().expect("somebody leads");
    let mut asker = Asker::at(&mut cluster, leader);
    let head = |cluster: &mut Cluster| cluster.server(leader).unwrap().quorum.state().head();
    while head(&mut cluster).counter() + 1 < LAST {
        let path = format!("/n{}", head(&mut cluster).counter());
        assert_eq!(asker.ask(&mut cluster, OpCode::Create, &create(path.as_bytes(), b"", 0)).expect("an answer").0, 0);
    }
    (cluster, leader, asker)
}

/// The next epoch has the new voters from its beginning.
#[test]
fn a_reconfiguration_may_be_the_last_of_its_epoch() {
    let (mut cluster, leader, mut asker) = before_the_last(21);
    let line = reconfig::line(4, "participant");
    let promote = Change { joining: Some(&line), ..NOTHING };
    assert!(asker.reconfig(&mut cluster, &promote).expect("an answer").is_ok());
    let is_over = |cluster: &mut Cluster| cluster.server(leader).unwrap().quorum.state().head() >= Zxid(2 << 32);
    let path = path_alone(b"/");
    assert_eq!(asker.ask(&mut cluster, OpCode::Create, &create(b"/next", b"", 0)).expect("an answer").0, 0);
    assert!(is_over(&mut cluster) && cluster.roll_overs() == 1 && cluster.elections() == 1);
    assert_eq!(asker.ask(&mut cluster, OpCode::Sync, &path).expect("an answer").0, 0);
    reconfig::agree(&mut cluster, &[0, 1, 2, 3], &[]);
    // With one of the old ones gone there is no quorum without the new one.
    cluster.crash((leader + 1) % 3);
    assert_eq!(asker.ask(&mut cluster, OpCode::Create, &create(b"/counts", b"", 0)).expect("an answer").0, 0);
}

/// Nobody waits for a round that its leader is not there for any more.
#[test]
fn a_leader_may_be_removed_with_the_last_of_its_epoch() {
    let (mut cluster, leader, mut asker) = before_the_last(22);
    let id = (leader + 1).to_string();
    let removed = asker.reconfig(&mut cluster, &Change { leaving: Some(&id), ..NOTHING });
    assert!(removed.is_none_or(|removed| removed.is_ok()));
    let left: Vec<Place> = (0..4).filter(|place| *place != leader).collect();
    let has_another = |cluster: &mut Cluster| cluster.leader().is_some_and(|found| found != leader);
    assert!(cluster.run(10_000, has_another), "another leads");
    let next = cluster.leader().unwrap();
    let mut asker = Asker::at(&mut cluster, next);
    assert_eq!(asker.ask(&mut cluster, OpCode::Create, &create(b"/next", b"", 0)).expect("an answer").0, 0);
    assert!(cluster.server(next).unwrap().quorum.state().head().epoch() >= 2);
    reconfig::agree(&mut cluster, &left, &[]);
    assert!(!reconfig::ids(&cluster.shown(next).unwrap()).contains(&(leader as i64 + 1)));
}
