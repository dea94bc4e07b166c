//! Questions to a running server, from a connection that has sent a four-letter word and from another thread.

use super::*;
use crate::server::facts::{Facts, Question, WordRequest};
use crate::server::inquiry::Inquirer;
use crate::server::message::{Clock, Inbound};
use crate::server::quorum::Input;
use crate::sim::disk::SimDisk;
use crate::sim::server::member_options;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

const ALL: &[Question] = &[Question::Connections, Question::Watches, Question::Sessions, Question::Digests];

/// An inquirer for a server of so many shards, and the inbox that an edge would empty.
fn inquirer(shards: usize) -> (Inquirer, Receiver<Inbound>) {
    let (sender, inbox) = channel();
    (Inquirer::new(shards, move |inbound| drop(sender.send(inbound))), inbox)
}

/// Asks on another thread, and gives the messages that have arrived to the quorum core.
fn ask(server: &mut Server, questions: &'static [Question]) -> Receiver<Facts> {
    let (inquirer, inbox) = inquirer(1);
    let facts = std::thread::spawn(move || inquirer.ask(questions)).join().unwrap();
    server.quorum.step(Input::Inbound(inbox.recv().unwrap()));
    assert_eq!(facts.try_recv().err(), Some(TryRecvError::Empty), "no shard has put its part in");
    server.settle();
    facts
}

/// A server with one client, which owns an ephemeral znode and watches it.
fn watched() -> (Server, ConnId, SessionId) {
    let mut server = Server::new(1 << 20);
    let (conn, session) = server.connect(SessionId::NONE, 1000);
    server.request(conn, 1, OpCode::Create, &create(b"/e", b"", 1));
    server.request(conn, 2, OpCode::Exists, &path_and(b"/e", true));
    server.settle();
    (server, conn, session)
}

#[test]
fn a_thread_without_a_connection_is_told_everything() {
    let mut server = Server::new(1 << 20);
    let alone = ask(&mut server, ALL).recv().unwrap();
    assert!(alone.shards.len() == 1 && alone.shards[0].connections.is_empty(), "it counts as no connection");
    assert_eq!(server.stats.shards[0].connections.value(), 0);

    let (mut server, _, session) = watched();
    let facts = ask(&mut server, ALL).recv().unwrap();
    let [shard] = &facts.shards[..] else { panic!("one shard: {facts:?}") };
    let connections: Vec<_> =
        shard.connections.iter().map(|connection| (connection.session, connection.timeout_ms)).collect();
    assert_eq!(connections, [(session, 1000)]);
    assert_eq!(shard.data_watches, [(session, b"/e".to_vec())]);
    assert_eq!(facts.core.ephemerals, [(session, vec![b"/e".to_vec()])]);
    let expiring: Vec<_> = facts.core.expiry.iter().flat_map(|(_, sessions)| sessions.clone()).collect();
    assert_eq!((expiring, facts.core.local, facts.core.global), (vec![session], None, None));
}

#[test]
fn what_is_not_asked_is_not_looked_for() {
    let (mut server, ..) = watched();
    let facts = ask(&mut server, &[Question::Watches]).recv().unwrap();
    assert!(facts.shards[0].connections.is_empty() && facts.shards[0].data_watches.len() == 1);
    assert!(facts.core.expiry.is_empty() && facts.core.ephemerals.is_empty());
    let facts = ask(&mut server, &[Question::Sessions]).recv().unwrap();
    assert!(facts.shards[0].data_watches.is_empty() && facts.core.expiry.len() == 1);
}

#[test]
fn counters_are_forgotten_on_demand() {
    let (mut server, conn, _) = watched();
    server.frames(conn);
    let counted = |server: &mut Server| {
        let facts = ask(server, &[Question::Connections]).recv().unwrap();
        (server.stats.shards[0].received.value(), facts.shards[0].connections[0].stats.received)
    };
    let (by_shard, by_connection) = counted(&mut server);
    assert!(by_shard > 0 && by_connection > 0);
    ask(&mut server, &[Question::ResetShards]).recv().unwrap();
    assert_eq!(counted(&mut server), (0, by_connection));
    ask(&mut server, &[Question::ResetConnections]).recv().unwrap();
    assert_eq!(counted(&mut server), (0, 0));
}

#[test]
fn a_word_comes_again_to_its_connection_with_the_facts() {
    let (mut server, conn, session) = watched();
    let request = WordRequest { conn, word: *b"wchc", argument: b"x".to_vec() };
    server.shard.collect(request.clone(), &[Question::Watches]);
    server.settle();
    let [(word, Some(facts))] = &server.shard.take_words()[..] else { panic!("one word, with facts") };
    assert_eq!((word, &facts.shards[0].data_watches), (&request, &vec![(session, b"/e".to_vec())]));
    // A connection that has ended meanwhile gets no answer.
    server.shard.collect(request, &[Question::Watches]);
    server.shard.disconnected(conn);
    server.settle();
    assert!(server.shard.take_words().is_empty());
}

#[test]
fn a_member_without_a_place_answers_too() {
    let members = member_options("server.1=10.0.0.1:2888:3888\nserver.2=10.0.0.2:2888:3888\n");
    let clock = Clock { mono_ms: 1, wall_ms: 1 };
    let mut server = Server::start(&SimDisk::new(), clock, SimOptions::default(), Some(members));
    let facts = ask(&mut server, ALL).recv().unwrap();
    assert_eq!(facts.core.global, Some(vec![]), "it does not decide who expires");
}

/// An asker must not wait for ever for a part that will never come.
#[test]
fn an_asker_learns_that_no_answer_will_come() {
    let mut server = Server::with(SimOptions { shards: 2, ..SimOptions::default() });
    let (inquirer, inbox) = inquirer(2);
    let facts = inquirer.ask(ALL);
    server.quorum.step(Input::Inbound(inbox.recv().unwrap()));
    server.settle();
    assert_eq!(facts.try_recv().err(), Some(TryRecvError::Empty), "the second shard has not put its part in");
    drop(server);
    assert_eq!(facts.try_recv().err(), Some(TryRecvError::Disconnected));
    // Nor does a part come when the inbox is gone.
    let facts = inquirer.ask(ALL);
    drop(inbox);
    assert_eq!(facts.try_recv().err(), Some(TryRecvError::Disconnected));
}
