//! What members of an ensemble do besides electing and agreeing: catching up from the log on disk, handing over,
//! observing, and what they say of themselves.

use super::super::*;
use super::steps::{all_serve, start_all};
use super::writers::{Client, converge, started_with, usual, work};
use crate::ids::{ConnId, SessionId};
use crate::jute::OpCode;
use crate::limits;
use crate::server::quorum::Input;
use crate::server::stats::Mode;
use crate::sim::bodies::{create, path_and};
use crate::zab::history::HistoryLimits;

/// So little in memory that whoever was away for a moment lacks more.
fn forgetful(cluster: &mut Cluster) {
    cluster.history_limits = HistoryLimits { count: 20, bytes: 1 << 20 };
}

/// The same, with leaders that never send the log on disk.
fn unread(cluster: &mut Cluster) {
    forgetful(cluster);
    cluster.settings.snapshot_size_factor = None;
}

/// Who is elected before all are connected may be left by its voter, which hears of a better candidate a moment later: a dozen
/// of these runs. It does not wait for nobody as long as initLimit, which is ten ticks.
#[test]
fn servers_that_start_at_nearly_the_same_time_serve_together() {
    for seed in 0..3_000 {
        let mut cluster = Cluster::new(3, seed);
        for place in 0..3 {
            let after_ms = cluster.pick(20) as i64;
            cluster.run(after_ms, |_| false);
            cluster.start(place);
        }
        assert!(cluster.run(8 * TICK_MS, all_serve), "seed {seed}: {:?}", cluster.server_states());
    }
}

/// One follower is away while much happens. How many parts of the log were read to bring it back.
fn follower_away(tell: fn(&mut Cluster)) -> u64 {
    let mut cluster = started_with(3, 11, tell);
    let mut clients: Vec<Client> = (0..4).map(Client::new).collect();
    work(&mut cluster, &mut clients, 500);
    let leader = cluster.leader().unwrap();
    let away = (leader + 1) % 3;
    cluster.crash(away);
    work(&mut cluster, &mut clients, 2_000);
    cluster.start(away);
    assert!(cluster.run(5_000, |cluster| cluster.serves(away)), "{:?}", cluster.server_states());
    converge(&mut cluster, &mut clients);
    assert_eq!(cluster.leader(), Some(leader));
    cluster.coverage.of("log read for a learner")
}

#[test]
fn a_follower_far_behind_is_brought_up_to_date_from_the_log() {
    assert!(follower_away(forgetful) > 0);
}

#[test]
fn the_log_is_not_sent_where_that_is_forbidden() {
    assert_eq!(follower_away(unread), 0);
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
        let mut cluster = started_with(3 + 2 * (seed as usize % 2), 20 + seed, usual);
        let mut clients: Vec<Client> = (0..4).map(Client::new).collect();
        work(&mut cluster, &mut clients, 700);
        let leader = cluster.leader().unwrap();
        let took_ms = idle_after(&mut cluster, leader);
        assert!(took_ms <= 60, "some disk writes and round trips, not {took_ms} ms");
        cluster.crash(leader);
        let stopped_ms = cluster.now_ms;
        assert!(cluster.run(1_000, |cluster| cluster.leader().is_some()), "{:?}", cluster.server_states());
        let took_ms = cluster.now_ms - stopped_ms;
        // No vote had to be said again, and no limit of silence has passed.
        assert!(took_ms <= 120, "elected and established at once, not after {took_ms} ms");
        work(&mut cluster, &mut clients, 500);
        converge(&mut cluster, &mut clients);
    }
}

#[test]
fn whoever_does_not_lead_stops_at_once() {
    let mut cluster = started_with(3, 31, usual);
    let mut clients: Vec<Client> = (0..4).map(Client::new).collect();
    work(&mut cluster, &mut clients, 500);
    let leader = cluster.leader().unwrap();
    let follower = (leader + 1) % 3;
    assert!(idle_after(&mut cluster, follower) <= 10);
    cluster.crash(follower);
    // The last but one: the quorum is gone, and it looks for a leader.
    let other = (leader + 2) % 3;
    cluster.crash(leader);
    assert!(cluster.run(3_000, |cluster| cluster.server_state(other) == Some(ServerState::Looking)));
    assert!(idle_after(&mut cluster, other) <= 10);
    cluster.crash(other);
    converge(&mut cluster, &mut clients);
}

#[test]
fn a_leader_without_a_quorum_stops_within_its_bound() {
    let mut cluster = started_with(3, 32, usual);
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
    let mut cluster = started_with(3, 33, |cluster| cluster.settings.slow_write_ms = Some(300));
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
    assert!(other(&cluster), "{:?}", cluster.server_states());
    cluster.slow_disk(leader, 0);
    let follows = |cluster: &mut Cluster| cluster.server_state(leader) == Some(ServerState::Following);
    assert!(cluster.run(5_000, follows), "{:?}", cluster.server_states());
    converge(&mut cluster, &mut clients);
    assert_ne!(cluster.leader(), Some(leader));
}

/// Nobody could take over: the leader stays, and serves again.
#[test]
fn a_leader_without_a_successor_stays() {
    let mut cluster = started_with(1, 34, usual);
    let mut clients: Vec<Client> = (0..2).map(Client::new).collect();
    work(&mut cluster, &mut clients, 300);
    let leader = cluster.leader().unwrap();
    cluster.server(leader).unwrap().quorum.step(Input::HandOver);
    work(&mut cluster, &mut clients, limits::HAND_OVER_MS + 200);
    assert_eq!((cluster.leader(), cluster.elections()), (Some(leader), 1));
    converge(&mut cluster, &mut clients);
}

/// Three voters and an observer, changed by `tell` before they started.
pub(super) fn with_an_observer(seed: u64, tell: impl FnOnce(&mut Cluster)) -> Cluster {
    let mut cluster = Cluster::with_observers(3, 1, seed);
    tell(&mut cluster);
    start_all(&mut cluster);
    cluster
}

#[test]
fn an_observer_serves_and_does_not_count() {
    let mut cluster = with_an_observer(41, usual);
    assert_eq!(cluster.server_state(3), Some(ServerState::Observing));
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
    assert!(cluster.run(3_000, |cluster| cluster.leader().is_none()), "{:?}", cluster.server_states());
    assert!(cluster.run(3_000, |cluster| !cluster.serves(3)), "{:?}", cluster.server_states());
    converge(&mut cluster, &mut clients);
    assert_eq!(cluster.server_state(3), Some(ServerState::Observing));
}

/// It is gone while much happens, and its leader changes: by snapshot, from the log, from memory.
#[test]
fn an_observer_comes_back_to_whoever_leads() {
    for (seed, tell) in [(42, usual as fn(&mut Cluster)), (43, forgetful), (44, unread)] {
        let mut cluster = with_an_observer(seed, tell);
        let mut clients: Vec<Client> = (0..4).map(Client::new).collect();
        for _ in 0..3 {
            work(&mut cluster, &mut clients, 500);
            cluster.crash(3);
            let leader = cluster.leader().unwrap();
            cluster.crash(leader);
            assert!(cluster.run(3_000, |cluster| cluster.leader().is_some()), "{:?}", cluster.server_states());
            work(&mut cluster, &mut clients, 1_000);
            cluster.start(leader);
            cluster.start(3);
            assert!(cluster.run(3_000, |cluster| cluster.serves(3)), "{:?}", cluster.server_states());
        }
        converge(&mut cluster, &mut clients);
        assert_eq!(cluster.coverage.of("log read for a learner") > 0, seed == 43);
    }
}

/// No voter of these takes observers in.
#[test]
fn an_observer_that_finds_no_voter_to_take_it_in_follows_the_leader() {
    for seed in 46..49 {
        let mut cluster = with_an_observer(seed, |cluster| cluster.settings.observer_master_port = Some(2889));
        let mut clients: Vec<Client> = (0..4).map(Client::new).collect();
        work(&mut cluster, &mut clients, 300);
        let leader = cluster.leader().unwrap();
        cluster.crash(leader);
        let is_back = |cluster: &mut Cluster| cluster.serves(3) && cluster.leader().is_some_and(|now| now != leader);
        assert!(cluster.run(15_000, is_back), "{:?}", cluster.server_states());
        cluster.start(leader);
        converge(&mut cluster, &mut clients);
        let followed = cluster.members[3].server.as_ref().unwrap().stats.quorum.master.value();
        assert_eq!(Some(followed as usize - 1), cluster.leader());
    }
}

#[test]
fn what_a_member_is_stands_in_its_counters() {
    let mut cluster = with_an_observer(45, usual);
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

/// Who reads the counters of a leader that serves finds those it serves with, and not at the next tick only.
#[test]
fn a_leader_that_serves_says_who_follows() {
    let mut cluster = Cluster::new(3, 46);
    (0..3).for_each(|place| cluster.start(place));
    assert!(cluster.run(5_000, |cluster| cluster.leader().is_some()));
    let leader = cluster.leader().unwrap();
    let stats = cluster.server(leader).unwrap().stats.clone();
    assert_eq!(stats.quorum.mode(), Mode::Leader);
    assert!(stats.quorum.learners.value() >= 1 && stats.quorum.synced_followers.value() >= 1);
    assert!(cluster.run(5_000, all_serve), "{:?}", cluster.server_states());
    let said = || [&stats.quorum.learners, &stats.quorum.synced_followers].map(|count| count.value());
    assert_eq!(said(), [2, 2]);
    let follower = (leader + 1) % 3;
    cluster.crash(follower);
    assert!(cluster.run(TICK_MS / 4, |_| said() == [1, 1]), "it is gone");
}

#[test]
fn a_leader_that_is_not_to_serve_takes_no_clients() {
    let mut cluster = started_with(3, 51, |cluster| cluster.settings.leader_serves = false);
    assert!(cluster.run(3_000, all_serve), "{:?}", cluster.server_states());
    let leader = cluster.leader().unwrap();
    assert_eq!(greeted(&mut cluster, leader, SessionId::NONE, None), None);
    let others: Vec<Place> = (0..3).filter(|place| *place != leader).collect();
    let mut clients: Vec<Client> = others.iter().map(|place| Client::at(*place, *place)).collect();
    work(&mut cluster, &mut clients, 500);
    assert!(clients.iter().all(|client| client.has_written(20)), "what learners pass on is carried out");
    assert_eq!(cluster.leader(), Some(leader));
    converge(&mut cluster, &mut clients);
}

/// What a connection is answered: its session and whether it is for reads; `None` if it is closed without an answer.
fn greeted(
    cluster: &mut Cluster,
    place: Place,
    resume: SessionId,
    read_only: Option<bool>,
) -> Option<(ConnId, SessionId, bool)> {
    let conn = cluster.server(place).unwrap().greet(resume, 300, 0, read_only);
    cluster.act(place);
    let mut answer = vec![];
    let is_answered = |cluster: &mut Cluster| {
        let server = cluster.server(place).unwrap();
        answer.extend(server.output(conn));
        !answer.is_empty() || server.ended.contains(&conn)
    };
    assert!(cluster.run(1_000, is_answered), "an answer or an end");
    let session = answer.get(12..20)?;
    let reads_only = read_only.is_some() && answer[40] != 0;
    Some((conn, SessionId(i64::from_be_bytes(session.try_into().unwrap())), reads_only))
}

/// The error and the body a reader is answered, and at what zxid.
fn asked(cluster: &mut Cluster, place: Place, conn: ConnId, op: OpCode, body: &[u8]) -> (i32, i64, Vec<u8>) {
    cluster.server(place).unwrap().request(conn, 7, op, body);
    cluster.act(place);
    let mut frames = vec![];
    let is_answered = |cluster: &mut Cluster| {
        frames.extend(cluster.server(place).unwrap().frames(conn));
        !frames.is_empty()
    };
    assert!(cluster.run(1_000, is_answered), "{op:?} is answered");
    let [(7, zxid, error, body)] = &frames[..] else { panic!("{frames:?}") };
    (*error, *zxid, body.clone())
}

fn mode(cluster: &mut Cluster, place: Place) -> Mode {
    cluster.server(place).unwrap().stats.quorum.mode()
}

/// A cluster of which one server is left, what it looks at, and when it found itself alone.
fn left_alone(seed: u64, reads: bool) -> (Cluster, Vec<Client>, Place, i64) {
    let mut cluster = started_with(3, seed, |cluster| cluster.config.read_only_mode = reads);
    let mut clients: Vec<Client> = (0..3).map(Client::new).collect();
    work(&mut cluster, &mut clients, 500);
    let alone = (cluster.leader().unwrap() + 1) % 3;
    (0..3).filter(|place| *place != alone).for_each(|place| cluster.crash(place));
    assert!(cluster.run(3_000, |cluster| mode(cluster, alone) == Mode::NotServing), "{:?}", cluster.server_states());
    let since_ms = cluster.now_ms;
    (cluster, clients, alone, since_ms)
}

#[test]
fn a_member_without_a_leader_serves_reads_to_those_that_ask_for_no_more() {
    let (mut cluster, mut clients, alone, since_ms) = left_alone(52, true);
    assert_eq!(greeted(&mut cluster, alone, SessionId::NONE, Some(true)), None, "it looks for a leader first");
    assert!(cluster.run(3_000, |cluster| mode(cluster, alone) == Mode::ReadOnly), "{:?}", cluster.server_states());
    let waited_ms = cluster.now_ms - since_ms;
    assert!((2_000..=2_100).contains(&waited_ms), "{waited_ms} ms");
    assert!(!cluster.serves(alone));
    assert_eq!(greeted(&mut cluster, alone, SessionId::NONE, None), None);
    assert_eq!(greeted(&mut cluster, alone, SessionId::NONE, Some(false)), None);

    let shown = cluster.digest(alone).unwrap();
    let (conn, session, true) = greeted(&mut cluster, alone, SessionId::NONE, Some(true)).unwrap() else { panic!() };
    let path = clients[0].path(clients[0].acknowledged[0]);
    let body = path_and(path.as_bytes(), true);
    let (error, zxid, data) = asked(&mut cluster, alone, conn, OpCode::GetData, &body);
    assert_eq!((error, Zxid(zxid)), (0, shown.0));
    assert!(data[4..].starts_with(b"value"));
    let written = create(b"/of-a-reader", b"", 0);
    for (op, body) in [(OpCode::Create, &written), (OpCode::Sync, &path_and(path.as_bytes(), false))] {
        assert_eq!(asked(&mut cluster, alone, conn, op, body), (-119, shown.0.0, vec![]), "{op:?}");
    }
    let ephemerals = asked(&mut cluster, alone, conn, OpCode::GetEphemerals, &[0; 4]);
    assert_eq!(ephemerals, (0, shown.0.0, vec![0; 4]));
    // A read behind a write keeps its place.
    let server = cluster.server(alone).unwrap();
    server.request(conn, 1, OpCode::Create, &written);
    server.request(conn, 2, OpCode::Exists, &path_and(b"/of-a-reader", false));
    cluster.act(alone);
    let mut frames = vec![];
    assert!(cluster.run(1_000, |cluster| {
        frames.extend(cluster.server(alone).unwrap().frames(conn));
        frames.len() == 2
    }));
    let errors: Vec<_> = frames.iter().map(|(xid, _, error, _)| (*xid, *error)).collect();
    assert_eq!(errors, [(1, -119), (2, -101)]);

    // On another connection: the first one is closed.
    let (second, same, true) = greeted(&mut cluster, alone, session, Some(true)).unwrap() else { panic!() };
    assert_eq!(same, session);
    assert!(cluster.server(alone).unwrap().ended.contains(&conn));
    assert_eq!(asked(&mut cluster, alone, second, OpCode::CloseSession, &[]), (0, shown.0.0, vec![]));
    let (_, refused, _) = greeted(&mut cluster, alone, session, Some(true)).unwrap();
    assert_eq!(refused, SessionId::NONE, "it was closed");

    // One of the ensemble's is neither taken up nor declared over.
    let global = cluster.server(alone).unwrap().quorum.state().sessions().next().unwrap().0;
    assert_eq!(greeted(&mut cluster, alone, global, Some(true)), None);

    // Nothing of it has left a trace, and when there is a leader again all readers have to go.
    let (third, session, true) = greeted(&mut cluster, alone, SessionId::NONE, Some(true)).unwrap() else { panic!() };
    assert_eq!(cluster.digest(alone), Some(shown));
    let other = (alone + 1) % 3;
    cluster.start(other);
    assert!(cluster.run(3_000, |cluster| cluster.serves(alone)), "{:?}", cluster.server_states());
    let server = cluster.server(alone).unwrap();
    assert!(server.ended.contains(&third));
    assert!(server.quorum.state().session_timeout_ms(session).is_none());
    assert_ne!(mode(&mut cluster, alone), Mode::ReadOnly);
    let (_, _, false) = greeted(&mut cluster, alone, SessionId::NONE, Some(true)).unwrap() else { panic!() };
    converge(&mut cluster, &mut clients);
}

#[test]
fn silent_readers_expire() {
    let (mut cluster, mut clients, alone, _) = left_alone(53, true);
    assert!(cluster.run(3_000, |cluster| mode(cluster, alone) == Mode::ReadOnly));
    let silent = greeted(&mut cluster, alone, SessionId::NONE, Some(true)).unwrap();
    let heard = greeted(&mut cluster, alone, SessionId::NONE, Some(true)).unwrap();
    for _ in 0..10 {
        asked(&mut cluster, alone, heard.0, OpCode::Exists, &path_and(b"/", false));
        cluster.run(100, |_| false);
    }
    let ended = &cluster.server(alone).unwrap().ended;
    assert!(ended.contains(&silent.0) && !ended.contains(&heard.0));
    let (_, refused, _) = greeted(&mut cluster, alone, silent.1, Some(true)).unwrap();
    assert_eq!(refused, SessionId::NONE);
    // The process ends: they do not keep it.
    assert!(idle_after(&mut cluster, alone) <= 10);
    assert!(cluster.run(100, |cluster| cluster.server(alone).unwrap().ended.contains(&heard.0)));
    cluster.crash(alone);
    converge(&mut cluster, &mut clients);
}

#[test]
fn reads_are_not_served_without_a_leader_unless_that_is_wanted() {
    let (mut cluster, mut clients, alone, _) = left_alone(54, false);
    assert!(!cluster.run(5_000, |cluster| mode(cluster, alone) != Mode::NotServing));
    assert_eq!(greeted(&mut cluster, alone, SessionId::NONE, Some(true)), None);
    converge(&mut cluster, &mut clients);
}

/// The log's end may be taken back by a leader: that a client comes too early, and is sent away, shows it to nobody. Nor is
/// it read where reads are served.
#[test]
fn what_may_be_taken_back_is_not_shown_when_a_client_is_sent_away() {
    let (mut cluster, mut clients, alone, _) = left_alone(55, true);
    cluster.crash(alone);
    cluster.start(alone);
    let found = cluster.server(alone).unwrap().quorum.state().digest();
    assert!(cluster.digest(alone).unwrap().0 <= Zxid::ZERO, "there is no snapshot: nothing is known to be committed");
    for read_only in [None, Some(true)] {
        assert_eq!(greeted(&mut cluster, alone, SessionId::NONE, read_only), None);
        cluster.run(2_000, |_| false);
        assert!(cluster.digest(alone).unwrap().0 <= Zxid::ZERO, "and nothing was shown");
    }
    assert_eq!(cluster.digest(alone).unwrap().1, found, "though it is there");
    assert_eq!(mode(&mut cluster, alone), Mode::NotServing);
    converge(&mut cluster, &mut clients);
}

/// The ms between a follower's first attempt to reach its leader, of which nothing is ever heard, and the next one.
fn tries_again_after_ms(connect_limit: Option<u32>) -> i64 {
    let mut cluster = Cluster::new(3, 56);
    cluster.settings.connect_limit = connect_limit;
    (0..3).for_each(|place| cluster.start(place));
    let mut dials: Vec<(u64, Place, i64)> = vec![];
    let has_tried_twice = |cluster: &mut Cluster| {
        let Cluster { queue, network, now_ms, .. } = cluster;
        queue.retain(|_, event| {
            let Event::Connected { wire, to } = event else { return true };
            let Some(place) = network.to_leader(*wire) else { return true };
            if *to == 0 {
                dials.push((*wire, place, *now_ms));
            }
            false
        });
        dials.iter().filter(|(_, place, _)| *place == dials[0].1).count() == 2
    };
    assert!(cluster.run(5_000, has_tried_twice), "{:?}", cluster.server_states());
    let times: Vec<i64> = dials.iter().filter(|(_, place, _)| *place == dials[0].1).map(|(_, _, at)| *at).collect();
    times[1] - times[0]
}

#[test]
fn a_leader_is_waited_for_as_long_as_was_said() {
    let (soon, late) = (tries_again_after_ms(Some(3)), tries_again_after_ms(None));
    assert!((300..700).contains(&soon) && late >= 1_000, "{soon} and {late} ms");
}
