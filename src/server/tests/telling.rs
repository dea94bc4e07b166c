//! The watchers of a transaction with very many changes are told over several turns: no request is accepted in between,
//! and waiting connections are not looked at again and again.

use super::core::{plant_ephemerals, turn};
use super::costs::{Client, introduce};
use super::slices::names;
use super::*;
use crate::cost::Cost;
use crate::jute::ErrorCode;
use crate::limits::{ACL_ENTRIES, HEAVY_COST, READS_IN_SLICES};
use crate::sim::bodies::create_guarded;

/// More changes than are told in one turn.
const OWNED: usize = 40_000;

/// The znode whose deletion is told first.
const FIRST: &[u8] = b"/own/n0";

/// A server, a client whose session with very many ephemerals is about to end, and a client that watches each of them:
/// telling it takes many turns.
fn ground() -> (Server, Client, Client) {
    let mut server = Server::new(64 << 20);
    let (leaver, _) = plant_ephemerals(&mut server, OWNED);
    let mut listener = Client::new(&mut server);
    let mut body = path_alone(b"/own");
    put_int(&mut body, 1);
    listener.must(&mut server, OpCode::AddWatch, &body);
    (server, leaver, listener)
}

/// A client that was told of a deletion does not see the znode any more, whatever its request: a new one, one that was
/// put off, or a read that has waited to begin.
#[test]
fn who_is_told_of_a_part_of_a_transaction_sees_no_state_without_it() {
    let (mut server, mut leaver, mut listener) = ground();
    let (mut asker, mut queue, mut lister) =
        (Client::new(&mut server), Client::new(&mut server), Client::new(&mut server));
    queue.must(&mut server, OpCode::Create, &create_guarded(b"/dear", ACL_ENTRIES));
    introduce(&mut server, &mut queue);
    for client in [&mut asker, &mut queue] {
        client.must(&mut server, OpCode::Exists, &path_and(FIRST, true));
    }
    lister.must(&mut server, OpCode::GetChildren, &path_and(b"/own", true));
    // Reads that hold all pins, and one more.
    let mut blockers: Vec<Client> = (0..READS_IN_SLICES).map(|_| Client::new(&mut server)).collect();
    for client in blockers.iter_mut().chain([&mut lister]) {
        client.ask(&mut server, 1, OpCode::GetChildren, &path_and(b"/own", false));
    }
    // Reads behind a write, of which each turn has room for a few.
    let mut bytes = vec![];
    queue.frame(&mut bytes, 2, OpCode::SetData, &set_data(b"/own"));
    for _ in 0..600 {
        queue.frame(&mut bytes, 3, OpCode::Exists, &path_and(b"/dear", false));
        queue.frame(&mut bytes, 4, OpCode::Exists, &path_and(FIRST, false));
    }
    server.shard.received(queue.conn, &bytes);
    turn(&mut server);
    leaver.ask(&mut server, 1, OpCode::CloseSession, &[]);

    let mut clients = [asker, queue, lister];
    let (mut told, mut between, mut turns) = ([false; 3], 0, 0);
    while clients.iter().any(|client| !client.asked.is_empty()) || !leaver.asked.is_empty() {
        turn(&mut server);
        leaver.take(&mut server);
        listener.take(&mut server);
        for (n, client) in clients.iter_mut().enumerate() {
            for (xid, _, error, body) in client.take_all(&mut server) {
                let is_without = match (n, xid) {
                    (_, -1) => {
                        told[n] = true;
                        continue;
                    }
                    (2, _) => names(&mut Reader::new(&body)).contains(&FIRST[5..]),
                    (_, 3) => continue,
                    _ => error != ErrorCode::NoNode.wire(),
                };
                assert!(!told[n] || !is_without, "client {n} was told that it is gone, and sees it");
            }
        }
        // The transaction is being told now.
        if told == [true; 3] && !leaver.asked.is_empty() {
            between += 1;
            if between == 1 {
                clients[0].ask(&mut server, 1, OpCode::Exists, &path_and(FIRST, false));
                blockers.drain(..).for_each(|client| server.shard.disconnected(client.conn));
            }
        }
        turns += 1;
        assert!(turns < 10_000);
    }
    assert!(between > READS_IN_SLICES, "{between} turns in which a part was told");
}

/// Many clients send requests while the transaction is told: each connection is looked at when its bytes come and when
/// everything is told, and not in every turn.
#[test]
fn who_asks_while_a_transaction_is_told_is_not_looked_at_before_that_is_done() {
    let (mut server, mut leaver, mut listener) = ground();
    let (conn, session) = server.connect(SessionId::NONE, 2000);
    let mut clients: Vec<Client> = (1..200).map(|_| Client::new(&mut server)).collect();
    clients.push(Client::on(conn));
    leaver.ask(&mut server, 1, OpCode::CloseSession, &[]);
    while listener.events == 0 {
        turn(&mut server);
        listener.take(&mut server);
    }
    let mut looked_at = vec![];
    server.shard.take_interest(&mut looked_at);
    looked_at.clear();
    clients.iter_mut().for_each(|client| client.ask(&mut server, 1, OpCode::Exists, &path_and(FIRST, false)));
    // The client may have sent much, and is not read: it does not count as silent.
    server.shard.tick();
    server.shard.take_outbound();
    server.shard.tick();
    let touched = server.shard.take_outbound().and_then(|inbound| inbound.touched).expect("a tick tells of sessions");
    assert!(touched.sessions.contains(&session));
    let mut turns = 0;
    while !leaver.asked.is_empty() {
        assert!(clients.iter_mut().all(|client| client.take(&mut server).is_empty()), "nobody is answered");
        assert!(server.shard.spent() < HEAVY_COST + Cost::ZNODE * 4096, "{:?}", server.shard.spent());
        turn(&mut server);
        server.shard.take_interest(&mut looked_at);
        listener.take(&mut server);
        leaver.take(&mut server);
        turns += 1;
        assert!(turns < 1000);
    }
    assert!(turns > 3, "{turns} turns");
    // Its socket is not read for some time, and is read again later.
    assert!(looked_at.len() <= 2 * clients.len(), "{} looks in {turns} turns", looked_at.len());
    server.settle();
    let gone = |frame: &Frame| frame.2 == ErrorCode::NoNode.wire();
    assert!(clients.iter_mut().all(|client| client.take(&mut server).iter().all(gone) && client.asked.is_empty()));
}
