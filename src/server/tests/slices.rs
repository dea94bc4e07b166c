//! Reads that take many turns: other clients are served meanwhile, and each answer is the state of one moment.

use super::costs::{Client, introduce};
use super::*;
use crate::cost::Cost;
use crate::jute::{AclEntry, ErrorCode};
use crate::limits::{ACL_ENTRIES, HEAVY_COST, LIGHT_COST, READS_IN_SLICES, SLICE_COST, TURN_COST};
use crate::tree::store::MAX_PINS;
use std::collections::BTreeSet;

const WIDE: usize = 5 * SLICE;

pub(super) type Names = BTreeSet<Vec<u8>>;

fn child(parent: &str, n: usize) -> Vec<u8> {
    format!("{parent}/n{n:06}").into_bytes()
}

/// Creates a znode with so many children.
fn plant(server: &mut Server, conn: ConnId, parent: &str, count: usize, flags: i32) {
    server.request(conn, 1, OpCode::Create, &create(parent.as_bytes(), b"", 0));
    server.settle();
    for first in (0..count).step_by(1000) {
        let ops: Vec<_> = (first..(first + 1000).min(count))
            .map(|n| (OpCode::Create, create(&child(parent, n), b"", flags)))
            .collect();
        server.request(conn, 1, OpCode::Multi, &multi(&ops));
        server.settle();
        assert!(server.frames(conn).iter().all(|frame| frame.2 == 0));
    }
    assert!(server.shard.wants_input(conn), "it is still there");
}

/// A server with a wide znode, the connection that created it, a reader and a neighbour.
fn ground() -> (Server, ConnId, ConnId, ConnId) {
    let mut server = Server::new(16 << 20);
    let (writer, _) = server.connect(SessionId::NONE, 2000);
    let (reader, _) = server.connect(SessionId::NONE, 2000);
    let (neighbour, _) = server.connect(SessionId::NONE, 2000);
    plant(&mut server, writer, "/wide", WIDE, 0);
    (server, writer, reader, neighbour)
}

pub(super) fn names(reader: &mut Reader<'_>) -> Names {
    let count = reader.count().unwrap().unwrap();
    let names: Names = (0..count).map(|_| reader.string().unwrap().to_vec()).collect();
    assert_eq!(names.len(), count, "each once");
    names
}

fn planted(count: usize) -> Names {
    (0..count).map(|n| child("", n)[1..].to_vec()).collect()
}

/// Runs turns until the connection gets frames; returns the number of turns and the frames.
fn turns_until_told(server: &mut Server, conn: ConnId) -> (usize, Vec<Frame>) {
    for turns in 0..200 {
        let frames = server.frames(conn);
        if !frames.is_empty() {
            return (turns, frames);
        }
        server.turn();
    }
    panic!("no answer in 200 turns");
}

#[test]
fn a_neighbour_is_answered_between_the_slices_of_a_listing() {
    let (mut server, writer, reader, neighbour) = ground();
    server.request(reader, 7, OpCode::GetChildren2, &path_and(b"/wide", true));
    let mut turns = 0;
    while server.frames(reader).is_empty() {
        turns += 1;
        assert!(turns < 100);
        server.request(neighbour, turns, OpCode::Exists, &path_and(b"/wide", false));
        assert_eq!(server.frames(neighbour)[0].0, turns, "at once");
        server.request(writer, turns, OpCode::SetData, &set_data(b"/wide"));
        server.turn();
        assert_eq!(server.frames(writer)[0].0, turns, "in that turn");
    }
    assert!(turns as usize >= WIDE / SLICE / 2, "{turns} turns");
}

#[test]
fn a_listing_is_the_state_at_its_pin_and_its_watch_is_set_there() {
    let (mut server, writer, reader, neighbour) = ground();
    let pinned = server.zxid();
    server.request(reader, 7, OpCode::GetChildren2, &path_and(b"/wide", true));
    // One child is created and one deleted during the listing. The first of the two changes fires the watch, after the
    // reply.
    server.request(writer, 2, OpCode::Create, &create(b"/wide/new", b"", 0));
    server.request(writer, 3, OpCode::Delete, &delete(&child("/wide", WIDE - 1)));
    server.turn();
    assert_eq!(server.frames(writer).len(), 2, "both are done");
    assert!(server.frames(reader).is_empty(), "the event waits behind the reply");
    let (turns, frames) = turns_until_told(&mut server, reader);
    assert!(turns > 0);
    let shape: Vec<_> = frames.iter().map(|frame| (frame.0, frame.1, frame.2)).collect();
    assert_eq!(shape, [(7, pinned, 0), (-1, pinned + 1, 0)]);
    assert_eq!(names(&mut Reader::new(&frames[0].3)), planted(WIDE));
    // The watch is used up, and a new read sees the present state.
    server.request(neighbour, 8, OpCode::GetChildren, &path_and(b"/wide", false));
    let (_, frames) = turns_until_told(&mut server, neighbour);
    let mut now = planted(WIDE - 1);
    now.insert(b"new".to_vec());
    assert_eq!(names(&mut Reader::new(&frames[0].3)), now);
    server.request(writer, 4, OpCode::Create, &create(b"/wide/newer", b"", 0));
    server.settle();
    assert!(server.frames(reader).is_empty());
}

#[test]
fn a_subtree_is_counted_as_it_was() {
    let (mut server, writer, reader, _) = ground();
    for parent in ["/wide/n000003", "/wide/n000004"] {
        for n in 0..10 {
            server.request(writer, 2, OpCode::Create, &create(&child(parent, n), b"", 0));
        }
    }
    server.settle();
    server.frames(writer);
    let mut body = vec![];
    put_bytes(&mut body, b"/wide");
    server.request(reader, 7, OpCode::GetAllChildrenNumber, &body);
    server.request(writer, 3, OpCode::Create, &create(b"/wide/n000004/late", b"", 0));
    let (turns, frames) = turns_until_told(&mut server, reader);
    assert!(turns >= WIDE / SLICE / 2, "{turns} turns");
    assert_eq!(Reader::new(&frames[0].3).int(), Ok(WIDE as i32 + 20));
    server.request(reader, 8, OpCode::GetAllChildrenNumber, &body);
    let (_, frames) = turns_until_told(&mut server, reader);
    assert_eq!(Reader::new(&frames[0].3).int(), Ok(WIDE as i32 + 21));
}

#[test]
fn what_was_sent_while_a_read_went_on_does_not_confuse_its_reply() {
    let (mut server, writer, reader, _) = ground();
    server.request(writer, 2, OpCode::Create, &create(b"/data", &[1; 10_000], 0));
    server.settle();
    server.frames(writer);
    server.request(reader, 6, OpCode::GetData, &path_and(b"/data", true));
    let mut body = vec![];
    put_bytes(&mut body, b"/wide");
    server.request(reader, 7, OpCode::GetAllChildrenNumber, &body);
    server.request(writer, 3, OpCode::SetData, &set_data(b"/data"));
    server.turn();
    // All bytes before the reply in slices are sent, and they are longer than the bytes that will come.
    assert_eq!(server.frames(reader).iter().map(|frame| frame.0).collect::<Vec<_>>(), [6]);
    let (_, frames) = turns_until_told(&mut server, reader);
    assert_eq!(frames.iter().map(|frame| frame.0).collect::<Vec<_>>(), [7, -1]);
    assert_eq!(server.stats.shards[0].last_response.value(), 4 + 16 + 4);
}

#[test]
fn a_multi_read_goes_on_where_it_was_left() {
    let (mut server, writer, reader, _) = ground();
    let (data, list) = (path_and(b"/wide/n000001", false), path_and(b"/wide", false));
    let ops = [(OpCode::GetData, data.clone()), (OpCode::GetChildren, list), (OpCode::GetData, data)];
    server.request(reader, 7, OpCode::MultiRead, &multi(&ops));
    server.request(writer, 3, OpCode::Create, &create(b"/wide/late", b"", 0));
    let (turns, frames) = turns_until_told(&mut server, reader);
    assert!(turns >= WIDE / SLICE / 2, "{turns} turns");
    let mut reply = Reader::new(&frames[0].3);
    let head = |reply: &mut Reader<'_>| (reply.int().unwrap(), reply.bool().unwrap(), reply.int().unwrap());
    for op in [OpCode::GetData, OpCode::GetChildren, OpCode::GetData] {
        assert_eq!(head(&mut reply), (op.wire(), false, 0));
        match op {
            OpCode::GetChildren => assert_eq!(names(&mut reply), planted(WIDE)),
            _ => {
                assert_eq!(reply.buffer(), Ok(Some(&b""[..])));
                // A Stat: six long and five int fields.
                (0..68 / 4).for_each(|_| _ = reply.int().unwrap());
            }
        }
    }
    assert_eq!((head(&mut reply), reply.rest().len()), ((-1, true, -1), 0));
}

#[test]
fn many_ephemerals_are_looked_for_by_the_shard() {
    let mut server = Server::new(16 << 20);
    let (owner, _) = server.connect(SessionId::NONE, 2000);
    let (other, _) = server.connect(SessionId::NONE, 2000);
    plant(&mut server, owner, "/mine", 2 * SLICE, 1);
    plant(&mut server, other, "/others", 100, 1);
    let mut body = vec![];
    put_bytes(&mut body, b"/mine/n0000");
    server.request(owner, 7, OpCode::GetEphemerals, &body);
    // Later requests are answered after it.
    server.request(owner, 8, OpCode::Create, &create(b"/mine/n000000/x", b"", 0));
    server.request(owner, 9, OpCode::Create, &create(b"/mine/n00009z", b"", 1));
    server.turn();
    server.request(other, 2, OpCode::Delete, &delete(&child("/mine", 5)));
    let (turns, mut frames) = turns_until_told(&mut server, owner);
    assert!(turns >= 2, "{turns} turns");
    server.settle();
    frames.extend(server.frames(owner));
    assert_eq!(frames.iter().map(|frame| (frame.0, frame.2)).collect::<Vec<_>>(), [(7, 0), (8, -108), (9, 0)]);
    let expected: Names = (0..100).map(|n| child("/mine", n)).collect();
    assert_eq!(names(&mut Reader::new(&frames[0].3)), expected);
}

#[test]
fn set_watches_in_slices_misses_nothing() {
    let (mut server, writer, reader, _) = ground();
    let seen = server.zxid();
    let mut body = vec![];
    put_long(&mut body, seen);
    put_int(&mut body, WIDE as i32);
    (0..WIDE).for_each(|n| put_bytes(&mut body, &child("/wide", n)));
    put_int(&mut body, 0);
    put_int(&mut body, 0);
    server.request(reader, -8, OpCode::SetWatches, &body);
    let set = |server: &mut Server, n: usize| {
        server.request(writer, 2, OpCode::SetData, &set_data(&child("/wide", n)));
        server.turn();
    };
    // One read whose watch is set already, and one whose watch is not.
    set(&mut server, 0);
    set(&mut server, WIDE - 1);
    let mut frames = vec![];
    for _ in 0..100 {
        frames.extend(server.frames(reader));
        server.turn();
    }
    let mut told: Vec<_> = frames.iter().map(|frame| (frame.0, frame.1, frame.3.len())).collect();
    told.sort();
    let event = 4 + 4 + 4 + child("/wide", 0).len();
    assert_eq!(told, [(-8, seen + 2, 0), (-1, -1, event), (-1, seen + 1, event)]);
    assert_eq!(server.stats.shards[0].watches.value() as usize, WIDE - 2);
}

#[test]
fn more_of_them_than_there_are_pins_wait_for_their_turn() {
    let (mut server, writer, first, _) = ground();
    let mut readers = vec![first];
    for _ in 0..READS_IN_SLICES + 1 {
        readers.push(server.connect(SessionId::NONE, 2000).0);
    }
    let pinned = server.zxid();
    for reader in &readers {
        server.request(*reader, 7, OpCode::GetChildren, &path_and(b"/wide", true));
    }
    // One connection whose read has begun, and one whose read waits, end without notice.
    server.shard.disconnected(readers.remove(0));
    server.shard.disconnected(readers.pop().unwrap());
    server.request(writer, 2, OpCode::Create, &create(b"/wide/new", b"", 0));
    let mut told = vec![vec![]; readers.len()];
    for _ in 0..200 {
        server.turn();
        for (told, reader) in told.iter_mut().zip(&readers) {
            told.extend(server.frames(*reader));
        }
    }
    for (at, told) in told.iter().enumerate() {
        let began_at_once = at < READS_IN_SLICES - 1;
        // A read that waited sees the state of the moment when it begins, and gets no older events.
        let zxid = told[0].1;
        assert_eq!(told[0].0, 7);
        let mut expected = planted(WIDE);
        if began_at_once {
            assert_eq!((zxid, told.len(), told[1].0), (pinned, 2, -1));
        } else {
            assert!(zxid > pinned && told.len() == 1, "{at}");
            expected.insert(b"new".to_vec());
        }
        assert_eq!(names(&mut Reader::new(&told[0].3)), expected);
    }
    server.settle();
    assert!(!server.shard.is_busy() && server.shard.may_sleep(), "nothing is left of those who went");
    // Their pins are free again.
    assert_eq!(server.free_pins(), MAX_PINS);
}

#[test]
fn requests_around_a_long_read_keep_their_order() {
    let (mut server, _, reader, _) = ground();
    let before = server.zxid();
    server.request(reader, 1, OpCode::Create, &create(b"/wide/mine", b"", 0));
    server.request(reader, 2, OpCode::GetChildren, &path_and(b"/wide", true));
    server.request(reader, 3, OpCode::Create, &create(b"/wide/later", b"", 0));
    server.request(reader, -2, OpCode::Ping, &[]);
    server.request(reader, 4, OpCode::Exists, &path_and(b"/wide/later", false));
    let mut frames = vec![];
    for _ in 0..100 {
        server.turn();
        frames.extend(server.frames(reader));
    }
    let shape: Vec<_> = frames.iter().map(|frame| (frame.0, frame.1 - before, frame.2)).collect();
    assert_eq!(shape, [(1, 1, 0), (2, 1, 0), (-1, 2, 0), (3, 2, 0), (-2, 2, 0), (4, 2, 0)]);
    let mut expected = planted(WIDE);
    expected.insert(b"mine".to_vec());
    assert_eq!(names(&mut Reader::new(&frames[1].3)), expected);
}

#[test]
fn a_session_lives_while_its_long_read_keeps_it_from_being_heard() {
    let (mut server, _, reader, _) = ground();
    server.at(100);
    server.request(reader, 7, OpCode::GetChildren, &path_and(b"/wide", false));
    server.request(reader, -2, OpCode::Ping, &[]);
    server.shard.tick();
    let inbound = server.shard.take_outbound().unwrap();
    server.at(200);
    server.shard.tick();
    let touched = server.shard.take_outbound().unwrap().touched.unwrap();
    assert_eq!(touched.sessions, inbound.touched.unwrap().sessions[..1]);
}

#[test]
fn a_listing_that_there_is_no_memory_for_is_refused() {
    let mut server = Server::with(SimOptions { memory: short_of_replies(100_000), ..SimOptions::default() });
    let (conn, _) = server.connect(SessionId::NONE, 2000);
    plant(&mut server, conn, "/wide", WIDE, 0);
    server.request(conn, 7, OpCode::GetChildren, &path_and(b"/wide", true));
    let (_, frames) = turns_until_told(&mut server, conn);
    assert_eq!((frames[0].0, frames[0].2, frames[0].3.len()), (7, -127, 0));
    assert_eq!(server.stats.shards[0].throttled.value(), 1);
    server.request(conn, 8, OpCode::Exists, &path_and(b"/wide", false));
    assert_eq!(server.frames(conn)[0].2, 0, "the connection goes on");
}

/// As many reads as may be pinned, `waiting` more that wait to begin, and a client without a request. The permission of
/// a waiting read is checked when it begins, by the ACL of that moment.
fn waiting_to_begin(everybody_reads: bool, waiting: usize) -> (Server, Vec<Client>, Client) {
    let (mut server, writer, _, _) = ground();
    let mut clients: Vec<Client> = (0..READS_IN_SLICES + waiting).map(|_| Client::new(&mut server)).collect();
    let mut other = Client::new(&mut server);
    clients.iter_mut().chain([&mut other]).for_each(|client| introduce(&mut server, client));
    for client in &mut clients {
        client.ask(&mut server, 7, OpCode::GetChildren, &path_and(b"/wide", false));
        server.at(server.now_ms);
    }
    let mut body = path_alone(b"/wide");
    put_int(&mut body, ACL_ENTRIES as i32);
    for n in 1..ACL_ENTRIES {
        AclEntry { perms: 1, scheme: b"digest", id: format!("u{n}:h").as_bytes() }.put(&mut body);
    }
    // Every client may read it, or every client may delete its children.
    let perms = if everybody_reads { 1 } else { 8 };
    AclEntry { perms, scheme: b"world", id: b"anyone" }.put(&mut body);
    put_int(&mut body, -1);
    server.request(writer, 2, OpCode::SetAcl, &body);
    server.turn();
    assert_eq!(server.frames(writer)[0].2, 0);
    (server, clients, other)
}

#[test]
fn no_more_reads_begin_in_a_turn_than_it_has_room_for() {
    let (mut server, mut clients, _) = waiting_to_begin(false, 60);
    let (mut refused, mut turns) = (0, 0);
    while clients.iter().any(|client| !client.asked.is_empty()) {
        server.turn();
        assert!(server.shard.spent() <= TURN_COST, "{:?}", server.shard.spent());
        for client in &mut clients {
            refused += client.take(&mut server).iter().filter(|frame| frame.2 == ErrorCode::NoAuth.wire()).count();
        }
        turns += 1;
        assert!(turns < 1000);
    }
    assert_eq!(refused, 60, "whoever had not begun");
}

/// A waiting read begins in every turn in which that is possible.
#[test]
fn a_read_that_waits_begins_however_much_others_ask_for() {
    let (mut server, mut clients, mut busy) = waiting_to_begin(true, 1);
    for turns in 0.. {
        if clients.iter().all(|client| client.asked.is_empty()) {
            break;
        }
        server.at(server.now_ms);
        let mut bytes = vec![];
        (0..20).for_each(|_| busy.frame(&mut bytes, 1, OpCode::Exists, &path_and(b"/wide", false)));
        server.shard.received(busy.conn, &bytes);
        assert!(server.shard.spent() >= HEAVY_COST, "{:?}", server.shard.spent());
        server.shard.end_turn();
        busy.take(&mut server);
        clients.iter_mut().for_each(|client| _ = client.take(&mut server));
        assert!(turns < 100);
    }
}

#[test]
fn what_it_takes_to_begin_a_read_is_charged_to_its_client() {
    let (mut server, mut clients, _) = waiting_to_begin(true, 1);
    let conn = clients[READS_IN_SLICES].conn;
    let check = Cost::COMPARISON * 2 * ACL_ENTRIES;
    let mut before = server.shard.recent_cost(conn);
    for turns in 0.. {
        server.turn();
        let after = server.shard.recent_cost(conn);
        if after > before {
            // This read waits behind the others: nothing is listed for it yet.
            let more = after.less(before);
            assert!(more >= check.less(LIGHT_COST) && more < SLICE_COST, "{more:?}");
            break;
        }
        before = after;
        assert!(turns < 1000);
    }
    while !clients[READS_IN_SLICES].asked.is_empty() {
        server.turn();
        let told = clients[READS_IN_SLICES].take(&mut server);
        assert!(told.iter().all(|frame| names(&mut Reader::new(&frame.3)).len() == WIDE));
    }
}
