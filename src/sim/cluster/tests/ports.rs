//! Servers whose own line changes while the ensemble runs: they listen where it says, connections go on, and nothing that
//! comes later needs the old ports. The simulated network lets nobody through to a port that is not listened at.

use super::super::*;
use super::reconfig::*;
use super::writers::{Client, work};
use crate::server::quorum::Listen;
use crate::zab::voters::{Member, ServerId};

/// The line of a server with all its ports moved up by so much.
fn moved_line(place: Place, [quorum, election, client]: [u16; 3]) -> String {
    let id = place + 1;
    format!("server.{id}=10.0.0.{id}:{}:{}:participant;{}", 2888 + quorum, 3888 + election, 2181 + client)
}

fn move_ports(cluster: &mut Cluster, place: Place, by: [u16; 3]) {
    reconfigure(cluster, &Change { joining: Some(&moved_line(place, by)), ..NOTHING });
}

/// Whether a server listens where that line says.
fn listens_as(cluster: &Cluster, place: Place, by: [u16; 3]) -> bool {
    let line = moved_line(place, by);
    let member = Member::parse(ServerId(place as i64 + 1), line.split_once('=').unwrap().1).unwrap();
    cluster.members[place].listens == Listen { client: member.client, peers: Some(member.addresses) }
}

#[test]
fn a_follower_moves_and_keeps_its_connections() {
    for seed in 0..3 {
        let mut cluster = started(3, 700 + seed);
        let mut clients: Vec<Client> = (0..3).map(Client::new).collect();
        work(&mut cluster, &mut clients, 300);
        let leader = cluster.leader().unwrap();
        let [follower, other] = [1, 2].map(|step| (leader + step) % 3);
        for by in [[0, 0, 7], [10, 20, 7], [0, 0, 0], [11, 20, 0], [11, 21, 8]] {
            move_ports(&mut cluster, follower, by);
            let stays = |cluster: &mut Cluster| {
                assert_eq!(
                    cluster.server_state(follower),
                    Some(ServerState::Following),
                    "{by:?}: nobody has to come again"
                );
                listens_as(cluster, follower, by)
            };
            assert!(cluster.run(2_000, stays), "{by:?}: {:?}", cluster.members[follower].listens);
            assert_eq!(cluster.leader(), Some(leader));
        }
        work(&mut cluster, &mut clients, 300);
        agree(&mut cluster, &[0, 1, 2], &clients);
        // New connections to it and from it, with nothing left of the old ones, and without the third.
        cluster.crash(other);
        cluster.reset(leader, follower);
        work(&mut cluster, &mut clients, 1_500);
        agree(&mut cluster, &[leader, follower], &clients);
        // It leads, if it is made to.
        cluster.start(other);
        agree(&mut cluster, &[0, 1, 2], &clients);
        cluster.crash(leader);
        assert!(cluster.run(10_000, |cluster| cluster.leader().is_some()), "{:?}", cluster.server_states());
        work(&mut cluster, &mut clients, 500);
        agree(&mut cluster, &[follower, other], &clients);
    }
}

#[test]
fn a_leader_whose_quorum_port_moves_hands_over_and_follows() {
    for seed in 0..3 {
        let mut cluster = started(3, 710 + seed);
        let mut clients: Vec<Client> = (0..3).map(Client::new).collect();
        work(&mut cluster, &mut clients, 300);
        let leader = cluster.leader().unwrap();
        // Where votes and clients are taken is nothing a learner asks it for.
        for by in [[0, 0, 7], [0, 20, 7]] {
            move_ports(&mut cluster, leader, by);
            assert!(cluster.run(2_000, |cluster| listens_as(cluster, leader, by)), "{by:?}");
            work(&mut cluster, &mut clients, 300);
            assert_eq!(cluster.leader(), Some(leader), "{by:?}");
        }
        let by = [10, 20, 7];
        move_ports(&mut cluster, leader, by);
        let hands_over = |cluster: &mut Cluster| cluster.leader().is_some_and(|now| now != leader);
        assert!(cluster.run(3_000, hands_over), "{:?}", cluster.server_states());
        assert!(cluster.run(2_000, |cluster| listens_as(cluster, leader, by)));
        work(&mut cluster, &mut clients, 500);
        agree(&mut cluster, &[0, 1, 2], &clients);
        assert_eq!(cluster.server_state(leader), Some(ServerState::Following));
    }
}

#[test]
fn all_move_one_after_the_other_and_start_again_from_their_files() {
    let mut cluster = started(3, 720);
    let mut clients: Vec<Client> = (0..3).map(Client::new).collect();
    for place in 0..3 {
        work(&mut cluster, &mut clients, 300);
        move_ports(&mut cluster, place, [10, 20, 30]);
        agree(&mut cluster, &[0, 1, 2], &clients);
        assert!(listens_as(&cluster, place, [10, 20, 30]), "server {}", place + 1);
    }
    (0..3).for_each(|place| cluster.crash(place));
    (0..3).for_each(|place| cluster.start(place));
    agree(&mut cluster, &[0, 1, 2], &clients);
    assert!((0..3).all(|place| listens_as(&cluster, place, [10, 20, 30])));
    work(&mut cluster, &mut clients, 500);
    agree(&mut cluster, &[0, 1, 2], &clients);
}

/// It starts with the line of before and is where nobody looks for it; what it hears from the others tells it.
#[test]
fn a_server_that_was_away_while_its_line_changed_moves_when_it_is_told() {
    let mut cluster = started(3, 730);
    let mut clients: Vec<Client> = (0..2).map(Client::new).collect();
    work(&mut cluster, &mut clients, 300);
    let away = (cluster.leader().unwrap() + 1) % 3;
    cluster.crash(away);
    move_ports(&mut cluster, away, [10, 20, 30]);
    work(&mut cluster, &mut clients, 1_000);
    cluster.start(away);
    assert!(!listens_as(&cluster, away, [10, 20, 30]));
    agree(&mut cluster, &[0, 1, 2], &clients);
    assert!(listens_as(&cluster, away, [10, 20, 30]));
}
