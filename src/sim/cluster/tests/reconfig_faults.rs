//! Changes of the configuration under faults: what was acknowledged is known after them, and what was not may come to nothing.

use super::super::*;
use super::reconfig::*;
use super::writers::{Client, work};
use crate::jute::wire::{put_buffer, put_long};
use crate::jute::{ErrorCode, OpCode};
use crate::zab::voters::{Config, Voters};

/// A server that has acknowledged a proposal and forgotten it would act by the old configuration alone.
#[test]
fn what_is_acknowledged_is_in_the_files() {
    let newest = |config: &Config| config.all().map(Voters::version).max().unwrap();
    // Of two both have to acknowledge it; one alone has to itself.
    for (voters, seed) in [1, 2].into_iter().flat_map(|voters| (0..12).map(move |seed| (voters, seed))) {
        let mut cluster = started(voters, 60 + seed);
        let places: Vec<Place> = (0..voters).collect();
        agree(&mut cluster, &places, &[]);
        let leader = cluster.leader().unwrap();
        let mut asker = Asker::at(&mut cluster, leader);
        let mut body = vec![];
        put_buffer(&mut body, Some(format!("server.1=10.0.0.1:2888:3888;{}", 3000 + seed).as_bytes()));
        (0..2).for_each(|_| put_buffer(&mut body, None));
        put_long(&mut body, -1);
        asker.xid = 1;
        cluster.server(leader).unwrap().request(asker.conn, 1, OpCode::Reconfig, &body);
        cluster.act(leader);
        let before = cluster.file(leader).current().version();
        let answered = cluster.run(1_000, |cluster| {
            for follower in places.iter().filter(|place| **place != leader) {
                let logged = cluster.shown(*follower).unwrap().version();
                assert!(
                    newest(cluster.file(*follower)) >= logged,
                    "seed {seed}: in the log of server {}",
                    follower + 1
                );
            }
            let is_answered = !cluster.server(leader).unwrap().frames(asker.conn).is_empty();
            assert!(
                !is_answered || newest(cluster.file(leader)) > before,
                "seed {seed}: of {voters}, and it is answered"
            );
            is_answered
        });
        assert!(answered, "seed {seed}");
    }
}

#[test]
fn a_minority_cannot_reconfigure() {
    let mut cluster = started(3, 9);
    agree(&mut cluster, &[0, 1, 2], &[]);
    let leader = cluster.leader().unwrap();
    let others: Vec<Place> = (0..3).filter(|place| *place != leader).collect();
    let mut asker = Asker::at(&mut cluster, leader);
    for other in &others {
        cluster.cut(leader, *other);
        cluster.cut(*other, leader);
    }
    // It still takes the others for connected: the proposal stays one.
    let leaving = format!("{}", others[0] + 1);
    assert_eq!(asker.reconfig(&mut cluster, &Change { leaving: Some(&leaving), ..NOTHING }), None);
    let another = |cluster: &mut Cluster| others.iter().any(|place| cluster.serves(*place));
    assert!(cluster.run(10_000, another), "{:?}", cluster.server_states());
    let mut clients: Vec<Client> = (0..2).map(Client::new).collect();
    work(&mut cluster, &mut clients, 500);
    cluster.heal();
    agree(&mut cluster, &[0, 1, 2], &clients);
    for place in 0..3 {
        assert_eq!(ids(&cluster.shown(place).unwrap()), [1, 2, 3], "the proposal came to nothing");
        assert_eq!(cluster.file(place).pending(), None);
    }
}

#[test]
fn one_at_a_time() {
    let mut cluster = started(5, 10);
    agree(&mut cluster, &[0, 1, 2, 3, 4], &[]);
    let leader = cluster.leader().unwrap();
    let others: Vec<Place> = (0..5).filter(|place| *place != leader).collect();
    let (mut first, mut second) = (Asker::at(&mut cluster, leader), Asker::at(&mut cluster, leader));
    // Those who are to stay do not answer for a while.
    others.iter().for_each(|other| cluster.pause(*other, true));
    let mut body = vec![];
    put_buffer(&mut body, None);
    put_buffer(&mut body, Some((others[0] + 1).to_string().as_bytes()));
    put_buffer(&mut body, None);
    put_long(&mut body, -1);
    first.xid = 1;
    cluster.server(leader).unwrap().request(first.conn, 1, OpCode::Reconfig, &body);
    cluster.act(leader);
    let xid = 1;
    second.xid = xid;
    cluster.server(leader).unwrap().request(second.conn, xid, OpCode::Reconfig, &body);
    cluster.act(leader);
    cluster.run(50, |_| false);
    others.iter().for_each(|other| cluster.pause(*other, false));
    let mut answers = vec![];
    cluster.run(2_000, |cluster| {
        let server = cluster.server(leader).unwrap();
        for asker in [&first, &second] {
            answers.extend(server.frames(asker.conn).into_iter().map(|frame| frame.2));
        }
        answers.len() >= 2
    });
    assert_eq!(answers, [0, ErrorCode::ReconfigInProgress.wire()]);
}

/// Whatever happens to servers and network while the configuration changes back and forth, nothing acknowledged is lost.
#[test]
fn changes_survive_crashes_and_cuts() {
    let seeds = std::env::var("CORRAL_SIM_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(5);
    let mut agreed = 0;
    for seed in 0..seeds {
        let mut cluster = started(3, 2000 + seed);
        let mut clients: Vec<Client> = (0..3).map(Client::new).collect();
        work(&mut cluster, &mut clients, 300);
        join(&mut cluster, "participant");
        join(&mut cluster, "participant");
        for _ in 0..10 {
            let (a, b) = (cluster.pick(5), cluster.pick(5));
            match cluster.pick(8) {
                0 | 1 if cluster.runs(a) => cluster.crash(a),
                0..=3 if !cluster.runs(a) => cluster.start(a),
                2 if a != b => cluster.cut(a, b),
                3 => cluster.heal(),
                _ => {
                    // Asks and does not wait.
                    if let Some(leader) = cluster.leader() {
                        let (joining, leaving) = (line(b + 1, "participant"), (a + 1).to_string());
                        let asked = Change {
                            joining: Some(&joining).filter(|_| a != b).map(|line| line.as_str()),
                            leaving: Some(&leaving),
                            ..NOTHING
                        };
                        let asker = Asker::try_at(&mut cluster, leader);
                        let answer = asker.and_then(|mut asker| asker.reconfig(&mut cluster, &asked));
                        agreed += usize::from(answer.is_some_and(|answer| answer.is_ok()));
                    }
                }
            }
            let limit_ms = 50 + cluster.pick(1000) as i64;
            work(&mut cluster, &mut clients, limit_ms);
        }
        cluster.heal();
        (0..5)
            .filter(|place| !cluster.runs(*place))
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|place| cluster.start(place));
        let served = |cluster: &mut Cluster| (0..5).all(|place| cluster.serves(place));
        assert!(cluster.run(30_000, served), "seed {seed}: {:?}", cluster.server_states());
        work(&mut cluster, &mut clients, 1_000);
        agree(&mut cluster, &[0, 1, 2, 3, 4], &clients);
    }
    assert!(agreed >= seeds as usize, "{agreed} in {seeds} runs");
}
