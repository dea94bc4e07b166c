//! What members of an ensemble do besides electing and agreeing: catching up from the log on disk, handing over,
//! observing, and what they say of themselves.

use super::super::*;
use super::writers::{Client, converge, standings, started_with, work};
use crate::limits;
use crate::server::stats::Mode;
use crate::zab::history::HistoryLimits;

/// So little in memory that whoever was away for a moment lacks more.
fn forgetful() -> RoleSettings {
    RoleSettings { history: HistoryLimits { count: 20, bytes: 1 << 20 }, ..RoleSettings::default() }
}

/// One follower is away while much happens. How many parts of the log were read to bring it back.
fn follower_away(settings: RoleSettings) -> u64 {
    let mut cluster = started_with(3, 11, settings);
    let mut clients: Vec<Client> = (0..4).map(Client::new).collect();
    work(&mut cluster, &mut clients, 500);
    let leader = cluster.leader().unwrap();
    let away = (leader + 1) % 3;
    cluster.crash(away);
    work(&mut cluster, &mut clients, 2_000);
    cluster.start(away);
    assert!(cluster.run(5_000, |cluster| cluster.serves(away)), "{:?}", standings(&cluster));
    converge(&mut cluster, &mut clients);
    assert_eq!(cluster.leader(), Some(leader));
    cluster.coverage.of("log read for a learner")
}

#[test]
fn a_follower_far_behind_is_brought_up_to_date_from_the_log() {
    assert!(follower_away(forgetful()) > 0);
}

#[test]
fn the_log_is_not_sent_where_that_is_forbidden() {
    assert_eq!(follower_away(RoleSettings { snapshot_size_factor: None, ..forgetful() }), 0);
}

/// The ms until a server that was told to stop may end.
fn idle_after(cluster: &mut Cluster, place: Place) -> i64 {
    let told_ms = cluster.now_ms;
    cluster.stop(place);
    let is_idle = |cluster: &mut Cluster| cluster.server(place).is_some_and(|server| server.quorum.is_idle());
    assert!(cluster.run(limits::HAND_OVER_MS + 1_000, is_idle), "server {} does not stop", place + 1);
    cluster.now_ms - told_ms
}

#[test]
fn a_leader_that_is_stopped_is_replaced_without_a_timeout() {
    for seed in 0..6 {
        let mut cluster = started_with(3 + 2 * (seed as usize % 2), 20 + seed, RoleSettings::default());
        let mut clients: Vec<Client> = (0..4).map(Client::new).collect();
        work(&mut cluster, &mut clients, 700);
        let leader = cluster.leader().unwrap();
        let took_ms = idle_after(&mut cluster, leader);
        assert!(took_ms <= 60, "some disk writes and round trips, not {took_ms} ms");
        cluster.crash(leader);
        let stopped_ms = cluster.now_ms;
        assert!(cluster.run(1_000, |cluster| cluster.leader().is_some()), "{:?}", standings(&cluster));
        let took_ms = cluster.now_ms - stopped_ms;
        // No vote had to be said again, and no limit of silence has passed.
        assert!(took_ms <= 120, "elected and established at once, not after {took_ms} ms");
        work(&mut cluster, &mut clients, 500);
        converge(&mut cluster, &mut clients);
    }
}

#[test]
fn whoever_does_not_lead_stops_at_once() {
    let mut cluster = started_with(3, 31, RoleSettings::default());
    let mut clients: Vec<Client> = (0..4).map(Client::new).collect();
    work(&mut cluster, &mut clients, 500);
    let leader = cluster.leader().unwrap();
    let follower = (leader + 1) % 3;
    assert!(idle_after(&mut cluster, follower) <= 10);
    cluster.crash(follower);
    // The last but one: the quorum is gone, and it looks for a leader.
    let other = (leader + 2) % 3;
    cluster.crash(leader);
    assert!(cluster.run(3_000, |cluster| cluster.standing(other) == Some(Standing::Looking)));
    assert!(idle_after(&mut cluster, other) <= 10);
    cluster.crash(other);
    converge(&mut cluster, &mut clients);
}

#[test]
fn a_leader_without_a_quorum_stops_within_its_bound() {
    let mut cluster = started_with(3, 32, RoleSettings::default());
    let mut clients: Vec<Client> = (0..4).map(Client::new).collect();
    work(&mut cluster, &mut clients, 500);
    let leader = cluster.leader().unwrap();
    for place in (0..3).filter(|place| *place != leader) {
        cluster.cut(leader, place);
        cluster.cut(place, leader);
    }
    work(&mut cluster, &mut clients, 20);
    idle_after(&mut cluster, leader);
    cluster.crash(leader);
    converge(&mut cluster, &mut clients);
}

#[test]
fn a_leader_with_a_slow_disk_hands_over_and_follows() {
    let settings = RoleSettings { slow_write_ms: Some(300), ..RoleSettings::default() };
    let mut cluster = started_with(3, 33, settings);
    let mut clients: Vec<Client> = (0..4).map(Client::new).collect();
    work(&mut cluster, &mut clients, 1_500);
    let leader = cluster.leader().unwrap();
    cluster.slow_disk(leader, 3_000);
    let other = |cluster: &Cluster| cluster.leader().is_some_and(|now| now != leader);
    for _ in 0..20 {
        work(&mut cluster, &mut clients, 100);
        if other(&cluster) {
            break;
        }
    }
    assert!(other(&cluster), "{:?}", standings(&cluster));
    cluster.slow_disk(leader, 0);
    let follows = |cluster: &mut Cluster| cluster.standing(leader) == Some(Standing::Following);
    assert!(cluster.run(5_000, follows), "{:?}", standings(&cluster));
    converge(&mut cluster, &mut clients);
    assert_ne!(cluster.leader(), Some(leader));
}

/// Nobody could take over: the leader stays, and serves again.
#[test]
fn a_leader_without_a_successor_stays() {
    let mut cluster = started_with(1, 34, RoleSettings::default());
    let mut clients: Vec<Client> = (0..2).map(Client::new).collect();
    work(&mut cluster, &mut clients, 300);
    let leader = cluster.leader().unwrap();
    cluster.server(leader).unwrap().quorum.hand_over();
    work(&mut cluster, &mut clients, limits::HAND_OVER_MS + 200);
    assert_eq!((cluster.leader(), cluster.elections()), (Some(leader), 1));
    converge(&mut cluster, &mut clients);
}

fn with_an_observer(seed: u64, roles: RoleSettings) -> Cluster {
    let mut cluster = Cluster::with_observers(3, 1, seed);
    cluster.roles = roles;
    (0..4).for_each(|place| cluster.start(place));
    let all_serve = |cluster: &mut Cluster| (0..4).all(|place| cluster.serves(place));
    assert!(cluster.run(5_000, all_serve), "{:?}", standings(&cluster));
    cluster
}

#[test]
fn an_observer_serves_and_does_not_count() {
    let mut cluster = with_an_observer(41, RoleSettings::default());
    assert_eq!(cluster.standing(3), Some(Standing::Observing));
    // All on the observer: what they read and write goes through it.
    let mut clients: Vec<Client> = (0..4).map(|number| Client::at(number, 3)).collect();
    work(&mut cluster, &mut clients, 1_000);
    assert!(clients.iter().all(|client| client.has_written(20)));
    // Its voice is no voter's: with it and one voter nothing is agreed on.
    let leader = cluster.leader().unwrap();
    let voters: Vec<Place> = (0..3).filter(|place| *place != leader).collect();
    cluster.crash(voters[0]);
    work(&mut cluster, &mut clients, 300);
    cluster.crash(voters[1]);
    assert!(cluster.run(3_000, |cluster| cluster.leader().is_none()), "{:?}", standings(&cluster));
    assert!(cluster.run(3_000, |cluster| !cluster.serves(3)), "{:?}", standings(&cluster));
    converge(&mut cluster, &mut clients);
    assert_eq!(cluster.standing(3), Some(Standing::Observing));
}

/// It is gone while much happens, and its leader changes: by snapshot, from the log, from memory.
#[test]
fn an_observer_comes_back_to_whoever_leads() {
    for (seed, settings) in [
        (42, RoleSettings::default()),
        (43, forgetful()),
        (44, RoleSettings { snapshot_size_factor: None, ..forgetful() }),
    ] {
        let mut cluster = with_an_observer(seed, settings);
        let mut clients: Vec<Client> = (0..4).map(Client::new).collect();
        for _ in 0..3 {
            work(&mut cluster, &mut clients, 500);
            cluster.crash(3);
            let leader = cluster.leader().unwrap();
            cluster.crash(leader);
            assert!(cluster.run(3_000, |cluster| cluster.leader().is_some()), "{:?}", standings(&cluster));
            work(&mut cluster, &mut clients, 1_000);
            cluster.start(leader);
            cluster.start(3);
            assert!(cluster.run(3_000, |cluster| cluster.serves(3)), "{:?}", standings(&cluster));
        }
        converge(&mut cluster, &mut clients);
        assert_eq!(cluster.coverage.of("log read for a learner") > 0, seed == 43);
    }
}

#[test]
fn what_a_member_is_stands_in_its_counters() {
    let mut cluster = with_an_observer(45, RoleSettings::default());
    let mut clients: Vec<Client> = (0..4).map(Client::new).collect();
    work(&mut cluster, &mut clients, 300);
    let leader = cluster.leader().unwrap();
    for place in 0..4 {
        let mode = if place == leader {
            Mode::Leader
        } else if place == 3 {
            Mode::Observer
        } else {
            Mode::Follower
        };
        assert_eq!(cluster.server(place).unwrap().stats.quorum.mode(), mode);
    }
    let stats = cluster.server(leader).unwrap().stats.clone();
    let said = [&stats.quorum.voters, &stats.quorum.learners, &stats.quorum.synced_followers];
    assert_eq!(said.map(|count| count.value()), [3, 3, 2]);
    assert_eq!((stats.quorum.synced_observers.value(), stats.quorum.synced_non_voting.value()), (1, 0));
    assert!(stats.quorum.leader_uptime_ms.value() > 200 && stats.quorum.last_proposal.value() > 0);
    let follower = (leader + 1) % 3;
    cluster.stop(leader);
    assert!(cluster.run(1_000, |cluster| cluster.server(leader).unwrap().stats.quorum.mode() == Mode::NotServing));
    let other = cluster.server(follower).unwrap().stats.clone();
    assert!(cluster.run(1_000, |_| other.quorum.mode() == Mode::NotServing), "it looks for a leader");
    assert!(cluster.run(1_000, |_| other.quorum.mode() != Mode::NotServing), "and finds one");
}
