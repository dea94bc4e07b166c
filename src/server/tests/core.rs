//! The cost of a turn of the quorum core is bounded: whatever clients request, however much at once, and whatever
//! remains to do for clients that have gone.

use super::costs::{Client, children, introduce};
use super::*;
use crate::cost::Cost;
use crate::jute::ErrorCode;
use crate::limits::{ACL_ENTRIES, CORE_TURN, SLICE_COST, TURN_COST, max_txn, txn_cost};
use crate::server::quorum::Input;
use crate::sim::bodies::create_guarded;
use fastrand::Rng;

fn check(path: &[u8]) -> Vec<u8> {
    delete(path)
}

/// Two znodes with the longest possible ACLs: requests for one and the other in turn need a permission check each time.
fn plant_guarded(server: &mut Server) {
    let mut planter = Client::new(server);
    for (path, entries) in [(&b"/left"[..], ACL_ENTRIES), (b"/right", ACL_ENTRIES - 1)] {
        planter.must(server, OpCode::Create, &create_guarded(path, entries));
    }
}

fn checks(count: usize) -> Vec<(OpCode, Vec<u8>)> {
    let guarded = [&b"/left"[..], b"/right"];
    (0..count).map(|n| (OpCode::Check, check(guarded[n % 2]))).collect()
}

#[test]
fn a_multi_that_everybody_would_wait_for_is_refused_as_a_whole() {
    let mut server = Server::new(1 << 20);
    plant_guarded(&mut server);
    let mut planter = Client::new(&mut server);
    introduce(&mut server, &mut planter);
    let mut ops = vec![(OpCode::Create, create(b"/a", b"", 0))];
    ops.extend(checks(1000));
    let before = server.quorum.state().digest();
    assert_eq!(planter.answer(&mut server, OpCode::Multi, &multi(&ops)).2, ErrorCode::ThrottledOp.wire());
    assert_eq!((server.quorum.state().digest(), server.stats.core.throttled.value()), (before, 1));
    assert!(server.quorum.state().find(b"/a").is_none());
    planter.must(&mut server, OpCode::Multi, &multi(&ops[..20]));
    // For the same ACL the check is done once.
    let same: Vec<_> = (0..5000).map(|_| (OpCode::Check, check(b"/left"))).collect();
    planter.must(&mut server, OpCode::Multi, &multi(&same));
    assert_eq!(server.stats.core.throttled.value(), 1);
}

/// Whatever a request may be long and is not held against long lists.
#[test]
fn a_multi_of_the_shortest_changes_is_carried_out_however_many_they_are() {
    let mut server = Server::new(16 << 20);
    let mut planter = Client::new(&mut server);
    let letters: Vec<u8> = (b'0'..=b'z').filter(u8::is_ascii_alphanumeric).collect();
    let path = |n: usize| {
        let base = letters.len();
        [b'/', letters[n / base / base % base], letters[n / base % base], letters[n % base]]
    };
    let count = (0xf_ffff - 60) / delete(&path(0)).len().max(21);
    for first in (0..count).step_by(10_000) {
        let ops: Vec<_> =
            (first..count.min(first + 10_000)).map(|n| (OpCode::Create, create(&path(n), b"", 0))).collect();
        planter.must(&mut server, OpCode::Multi, &multi(&ops));
    }
    let ops: Vec<_> = (0..count).map(|n| (OpCode::Delete, delete(&path(n)))).collect();
    let body = multi(&ops);
    assert!(body.len() > 1_040_000 && body.len() < 0xf_ffff, "{}", body.len());
    planter.must(&mut server, OpCode::Multi, &body);
    assert_eq!(server.stats.core.throttled.value(), 0);
}

/// The highest cost of a turn: a transaction that is not split, the turn itself, and the versions freed in it.
fn most() -> Cost {
    // A multi that fails is undone.
    CORE_TURN + txn_cost(max_txn(0xf_ffff)) * 2 + SLICE_COST
}

#[test]
fn writes_that_cost_much_take_many_turns_and_keep_their_order() {
    let mut server = Server::new(16 << 20);
    plant_guarded(&mut server);
    let mut clients: Vec<Client> = (0..10).map(|_| Client::new(&mut server)).collect();
    clients.iter_mut().for_each(|client| introduce(&mut server, client));
    for client in &mut clients {
        let mut bytes = vec![];
        // Each of its own list once: some twenty thousand comparisons.
        (1..=60).for_each(|xid| {
            let path: &[u8] = if xid % 2 == 0 { b"/left" } else { b"/right" };
            client.frame(&mut bytes, xid, OpCode::SetData, &set_data(path));
        });
        server.shard.received(client.conn, &bytes);
    }
    let mut turns = 0;
    while clients.iter().any(|client| !client.asked.is_empty()) {
        server.turn();
        assert!(server.quorum.spent() < CORE_TURN + SLICE_COST, "{:?}", server.quorum.spent());
        for client in &mut clients {
            // No client may set them: each request is refused, in order.
            assert!(client.take(&mut server).iter().all(|frame| frame.2 == ErrorCode::NoAuth.wire()));
        }
        turns += 1;
        assert!(turns < 1000);
    }
    assert!(turns > 10, "{turns}");
}

const OWNED: usize = 20_000;

/// A session that owns so many znodes; its connection and itself.
pub(super) fn plant_ephemerals(server: &mut Server, count: usize) -> (Client, SessionId) {
    let mut planter = Client::new(server);
    planter.must(server, OpCode::Create, &create(b"/own", b"", 0));
    let (conn, session) = server.connect(SessionId::NONE, 1000);
    for first in (0..count).step_by(1000) {
        let ops: Vec<_> = (first..count.min(first + 1000))
            .map(|n| (OpCode::Create, create(format!("/own/n{n}").as_bytes(), b"", 1)))
            .collect();
        server.request(conn, 1, OpCode::Multi, &multi(&ops));
        server.settle();
        assert_eq!(server.frames(conn)[0].2, 0);
    }
    (Client::on(conn), session)
}

/// The number of children in a Stat.
fn children_of(stat: &[u8]) -> i32 {
    i32::from_be_bytes(*stat[56..].first_chunk().unwrap())
}

/// What a turn may cost when nothing in it is a multi.
pub(super) fn turn(server: &mut Server) {
    server.turn();
    let (core, shard) = (server.quorum.spent(), server.shard.spent());
    assert!(core <= CORE_TURN + SLICE_COST, "{core:?}");
    assert!(shard <= TURN_COST + SLICE_COST, "{shard:?}");
}

#[test]
fn a_session_with_very_many_ephemerals_ends_in_slices_and_at_once_for_whoever_looks() {
    let mut server = Server::new(16 << 20);
    // More than watchers are told of in one turn.
    let count = 4 * OWNED;
    let (mut leaver, _) = plant_ephemerals(&mut server, count);
    let (mut watcher, mut neighbour) = (Client::new(&mut server), Client::new(&mut server));
    let (mut reader, mut late) = (Client::new(&mut server), Client::new(&mut server));
    let watched = [&b"/own/n0"[..], b"/own/n79999", b"/own"];
    let mut bytes = vec![];
    for (xid, path) in (1..).zip(watched) {
        let op = if path == b"/own" { OpCode::GetChildren } else { OpCode::Exists };
        watcher.frame(&mut bytes, xid, op, &path_and(path, true));
    }
    server.shard.received(watcher.conn, &bytes);
    server.settle();
    assert_eq!(watcher.take(&mut server).len(), 3);
    leaver.ask(&mut server, 7, OpCode::CloseSession, &[]);
    let (mut turns, mut seen, mut events) = (0, vec![], 0);
    while !leaver.asked.is_empty() {
        neighbour.ask(&mut server, -2, OpCode::Ping, &[]);
        assert_eq!(neighbour.take(&mut server).len(), 1, "in the turn in which it asks");
        if reader.asked.is_empty() {
            reader.ask(&mut server, 1, OpCode::Exists, &path_and(b"/own", false));
        }
        if late.asked.is_empty() {
            late.ask(&mut server, 1, OpCode::GetData, &path_and(b"/own/n0", true));
        }
        turn(&mut server);
        seen.extend(reader.take(&mut server).iter().map(|frame| children_of(&frame.3)));
        watcher.take(&mut server);
        events += std::mem::take(&mut watcher.events);
        late.take(&mut server);
        leaver.take(&mut server);
        turns += 1;
        assert!(turns < 1000);
    }
    assert!(turns > 3, "{turns}");
    assert!(seen.iter().all(|seen| *seen == count as i32 || *seen == 0) && seen.len() > 2, "all or nothing: {seen:?}");
    assert_eq!((events, late.events), (3, 1), "what is watched at the last moment is told, too");
    let state = server.quorum.state();
    assert_eq!((state.ephemeral_count(), state.find(b"/own").unwrap().num_children()), (0, 0));
}

/// No request is decided on a tree with half of a transaction.
#[test]
fn a_session_that_expires_while_the_end_of_another_is_under_way_waits_for_that() {
    let mut server = Server::new(16 << 20);
    let (mut leaver, _) = plant_ephemerals(&mut server, 4 * OWNED);
    let (_, silent) = server.connect(SessionId::NONE, 200);
    leaver.ask(&mut server, 7, OpCode::CloseSession, &[]);
    server.turn();
    let (mut ticks, mut before) = (0, 0);
    let expired = |server: &Server| server.stats.core.stale_sessions_expired.value();
    while !leaver.asked.is_empty() {
        server.at(server.now_ms + TICK_MS / 2);
        server.shard.tick();
        server.quorum.step(Input::Tick);
        if server.quorum.state().ephemeral_count() > 0 {
            assert_eq!(expired(&server), 0, "the other's end is not complete");
            before += 1;
        }
        if server.prepare() {
            server.quorum.step(Input::Written);
        }
        server.shard.take_in();
        leaver.take(&mut server);
        ticks += 1;
        assert!(ticks < 1000);
    }
    assert!(before > 8, "{before} half ticks, by when it has long been silent");
    server.settle();
    assert!(expired(&server) > 0 && server.quorum.state().session_timeout_ms(silent).is_none());
    assert_eq!(server.quorum.state().ephemeral_count(), 0);
}

#[test]
fn a_quota_of_very_many_znodes_is_counted_in_slices() {
    const STATS: &[u8] = b"/zookeeper/quota/big/zookeeper_stats";
    let mut server = Server::new(16 << 20);
    let mut planter = Client::new(&mut server);
    let places = [&b"/big"[..], b"/zookeeper/quota/big", b"/zookeeper/quota/big/zookeeper_limits"];
    places.iter().for_each(|path| planter.must(&mut server, OpCode::Create, &create(path, b"", 0)));
    for first in (0..OWNED).step_by(1000) {
        let ops: Vec<_> =
            (first..first + 1000).map(|n| (OpCode::Create, create(format!("/big/n{n}").as_bytes(), b"x", 0))).collect();
        planter.must(&mut server, OpCode::Multi, &multi(&ops));
    }
    let (mut client, mut neighbour) = (Client::new(&mut server), Client::new(&mut server));
    let mut bytes = vec![];
    client.frame(&mut bytes, 1, OpCode::Create, &create(STATS, b"", 0));
    // Requests that come meanwhile are executed after it, and count.
    client.frame(&mut bytes, 2, OpCode::Create, &create(b"/big/more", b"xyz", 0));
    server.shard.received(client.conn, &bytes);
    let (mut turns, mut answers) = (0, vec![]);
    while answers.len() < 2 {
        neighbour.ask(&mut server, -2, OpCode::Ping, &[]);
        assert_eq!(neighbour.take(&mut server).len(), 1, "in the turn in which it asks");
        turn(&mut server);
        answers.extend(client.take(&mut server).iter().map(|frame| frame.2));
        turns += 1;
        assert!(turns < 1000);
    }
    assert!(turns > 2, "{turns}");
    assert_eq!(answers, [0, 0]);
    let used = format!("count={},bytes={}", OWNED + 2, OWNED + 3);
    assert_eq!(server.quorum.state().find(STATS).unwrap().data(), Some(used.as_bytes()));
}

/// The property: any writes of any number of clients, and clients that leave many ephemerals behind.
#[test]
fn no_turn_of_the_core_costs_more_than_it_may() {
    for seed in 1..=4 {
        let mut random = Rng::with_seed(seed);
        let mut pick = |below: usize| random.usize(..below);
        let mut server = Server::new(64 << 20);
        plant_guarded(&mut server);
        let mut planter = Client::new(&mut server);
        planter.must(&mut server, OpCode::Create, &create(b"/large", &[7; 900_000], 0));
        let (leaver, _) = plant_ephemerals(&mut server, OWNED);
        let mut clients: Vec<Client> = (0..10).map(|_| Client::new(&mut server)).collect();
        clients.iter_mut().for_each(|client| introduce(&mut server, client));
        clients.push(leaver);
        let mut bytes: Vec<Vec<u8>> = vec![vec![]; clients.len()];
        for (n, client) in clients.iter_mut().enumerate() {
            for xid in 0..60 {
                let parent = ["/left", "/right", "/large", "", "/own"][pick(5)];
                let path = format!("{parent}/c{}", pick(20));
                let path = path.as_bytes();
                let (op, body) = match pick(10) {
                    0 => (OpCode::Create, create(path, &vec![1; pick(2) * pick(200_000)], 0)),
                    1 => (OpCode::Create2, create(path, b"", pick(4) as i32)),
                    2 => (OpCode::Create, create_guarded(path, 1 + pick(ACL_ENTRIES))),
                    3 => (OpCode::Delete, delete(path)),
                    4 => (OpCode::SetData, set_data([&b"/left"[..], b"/right", b"/large", path][pick(4)])),
                    5 => (OpCode::Multi, multi(&checks(pick(400)))),
                    6 => (OpCode::Multi, multi(&children(&format!("/large/c{}", pick(20)), pick(2000)).concat())),
                    7 => (OpCode::SetAcl, {
                        let mut body = create_guarded(path, 1 + pick(ACL_ENTRIES));
                        // As a create has it, but for the data between path and list; what is its flags is a version
                        // here.
                        body.drain(4 + path.len()..8 + path.len());
                        body
                    }),
                    8 => (OpCode::Sync, path_alone(path)),
                    _ => (OpCode::GetEphemerals, path_alone(b"/")),
                };
                client.frame(&mut bytes[n], xid, op, &body);
            }
        }
        let last = clients.len() - 1;
        clients[last].frame(&mut bytes[last], 60, OpCode::CloseSession, &[]);
        let (mut answered, mut dearest) = (0, Cost::NONE);
        for turns in 0.. {
            for (client, bytes) in clients.iter().zip(&mut bytes) {
                client.send(&mut server, bytes);
            }
            server.turn();
            dearest = dearest.max(server.quorum.spent());
            assert!(server.quorum.spent() <= most(), "seed {seed}: {:?} of {:?}", server.quorum.spent(), most());
            for client in &mut clients {
                answered += client.take(&mut server).len();
            }
            if clients.iter().all(|client| client.asked.is_empty()) {
                break;
            }
            assert!(turns < 20_000, "seed {seed}: {answered}");
        }
        assert!(dearest >= CORE_TURN, "seed {seed}: what is asked for is dear, {dearest:?}");
        assert!(server.stats.core.throttled.value() > 0, "seed {seed}: something is too dear");
    }
}
