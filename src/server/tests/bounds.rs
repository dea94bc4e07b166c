//! Limits: what one client fills up is refused, slowed down or removed in small steps, and other clients do not notice.

use super::*;
use crate::fatal::Reason;
use crate::jute::wire::put_buffer;
use crate::limits::{
    CORE_BYTES, GREETING_BYTES, IDENTITIES, IDENTITY_BYTES, SHARD_STALL_MS, WATCH_BYTES, WATCHED_PATH_BYTES,
    WATCHES_OF_ONE_ADDRESS, WATCHES_REMOVED_PER_TURN,
};
use crate::server::quorum::Input;

const THROTTLED: i32 = -127;

/// A server of so many watches for a connection, and so many bytes of watches for an address.
fn limited(max_watches: u32, bytes: usize) -> Server {
    let shares = Shares { watches: bytes.saturating_mul(WATCHES_OF_ONE_ADDRESS), ..unlimited() };
    Server::with(SimOptions { memory: Some(shares), ..Config { max_watches, ..config() }.into() })
}

fn exists(server: &mut Server, conn: ConnId, path: &str) -> i32 {
    // In a turn of its own.
    server.at(server.now_ms);
    server.request(conn, 1, OpCode::Exists, &path_and(path.as_bytes(), true));
    server.frames(conn)[0].2
}

/// The check is on the length word alone, before any byte of the frame has come.
#[test]
fn a_frame_that_is_too_long_ends_its_connection_before_it_is_kept() {
    const MAX_FRAME: i32 = 0xf_ffff;
    let mut server = Server::new(1 << 20);
    let (neighbour, _) = server.connect(SessionId::NONE, 2000);
    for with_session in [false, true] {
        // A connect request is shorter than a hundred bytes.
        let max = if with_session { MAX_FRAME } else { GREETING_BYTES as i32 };
        for (length, is_taken) in [(max, true), (max + 1, false), (i32::MAX, false), (-1, false)] {
            let conn = match with_session {
                true => server.connect(SessionId::NONE, 2000).0,
                false => server.shard.accept("127.0.0.1:9".parse().unwrap()),
            };
            server.shard.received(conn, &length.to_be_bytes());
            server.settle();
            assert_eq!(!server.ended.contains(&conn), is_taken, "{length}, with a session: {with_session}");
        }
    }
    assert_eq!(exists(&mut server, neighbour, "/"), 0, "nobody else notices");
}

#[test]
fn a_watch_too_many_is_refused_and_harms_nothing_else() {
    let mut server = limited(3, usize::MAX);
    let (conn, _) = server.connect(SessionId::NONE, 2000);
    let (other, _) = server.connect(SessionId::NONE, 2000);
    for path in ["/a", "/b", "/c"] {
        assert_eq!(exists(&mut server, conn, path), -101);
    }
    assert_eq!(exists(&mut server, conn, "/d"), THROTTLED);
    assert_eq!(exists(&mut server, conn, "/b"), -101, "it has that one already");
    let ask = |server: &mut Server, op, body: &[u8]| {
        server.request(conn, 1, op, body);
        server.frames(conn)[0].2
    };
    assert_eq!(ask(&mut server, OpCode::GetData, &path_and(b"/", true)), THROTTLED);
    assert_eq!(ask(&mut server, OpCode::GetChildren, &path_and(b"/", true)), THROTTLED);
    assert_eq!(ask(&mut server, OpCode::GetChildren, &path_and(b"/", false)), 0, "the read alone");
    let mut body = vec![];
    put_bytes(&mut body, b"/e");
    put_int(&mut body, 0);
    assert_eq!(ask(&mut server, OpCode::AddWatch, &body), THROTTLED);
    assert_eq!(exists(&mut server, other, "/d"), -101, "the limit is each connection's own");
    // Watches that were set fire, and make room.
    server.request(other, 2, OpCode::Create, &create(b"/b", b"", 0));
    server.settle();
    assert_eq!(server.frames(conn)[0].0, -1);
    assert_eq!(exists(&mut server, conn, "/d"), -101);
    assert_eq!(exists(&mut server, conn, "/e"), THROTTLED);
}

#[test]
fn a_persistent_watch_counts_twice_and_is_set_whole_or_not_at_all() {
    let mut server = limited(2, usize::MAX);
    let (conn, _) = server.connect(SessionId::NONE, 2000);
    exists(&mut server, conn, "/a");
    let mut body = vec![];
    put_bytes(&mut body, b"/b");
    put_int(&mut body, 0);
    server.request(conn, 2, OpCode::AddWatch, &body);
    assert_eq!(server.frames(conn)[0].2, THROTTLED);
    server.shard.end_turn();
    assert_eq!(server.stats.shards[0].watches.value(), 1);
    // On the path that it watches already, one more watch is enough.
    let mut body = vec![];
    put_bytes(&mut body, b"/a");
    put_int(&mut body, 0);
    server.request(conn, 3, OpCode::AddWatch, &body);
    assert_eq!(server.frames(conn)[0].2, 0);
}

#[test]
fn the_bytes_of_all_watches_are_limited_and_given_back_at_once() {
    let room = 10 * (WATCH_BYTES + WATCHED_PATH_BYTES + 100);
    let mut server = limited(u32::MAX, room);
    let long = |n: usize| format!("/{n:0>99}");
    let (conn, session) = server.connect(SessionId::NONE, 2000);
    for n in 0..10 {
        assert_eq!(exists(&mut server, conn, &long(n)), -101);
    }
    assert_eq!(exists(&mut server, conn, &long(10)), THROTTLED);
    let (other, _) = server.connect(SessionId::NONE, 2000);
    assert_eq!(exists(&mut server, other, &long(1)), THROTTLED, "of all connections together");
    // The client reconnects and sets its watches again: its old watches do not count any more, though they still exist.
    let (again, _) = server.connect(session, 2000);
    for n in 0..10 {
        assert_eq!(exists(&mut server, again, &long(n)), -101);
    }
    assert_eq!(exists(&mut server, again, &long(10)), THROTTLED);
}

#[test]
fn a_set_watches_too_many_ends_its_connection_behind_the_answer() {
    let mut server = limited(3, usize::MAX);
    let (writer, _) = server.connect(SessionId::NONE, 2000);
    server.request(writer, 1, OpCode::Create, &create(b"/changed", b"", 0));
    server.settle();
    let (conn, _) = server.connect(SessionId::NONE, 2000);
    let mut body = vec![];
    put_long(&mut body, 0);
    put_int(&mut body, 5);
    for path in ["/a", "/changed", "/b", "/c", "/d"] {
        put_bytes(&mut body, path.as_bytes());
    }
    put_int(&mut body, 0);
    put_int(&mut body, 0);
    // As "exist" watches: the one on an existing znode fires at once, and the fourth of the others is one too many.
    let data = body.len() - 8;
    let mut exist = body[..8].to_vec();
    put_int(&mut exist, 0);
    exist.extend_from_slice(&body[8..data]);
    put_int(&mut exist, 0);
    server.request(conn, -8, OpCode::SetWatches, &exist);
    let frames = server.frames(conn);
    assert_eq!(frames.iter().map(|frame| (frame.0, frame.2)).collect::<Vec<_>>(), [(-1, 0), (-8, THROTTLED)]);
    let mut ended = vec![];
    server.shard.take_ended(&mut ended);
    assert_eq!(ended, [conn]);
}

#[test]
fn the_watches_of_an_ended_connection_go_bit_by_bit() {
    let mut server = Server::new(1 << 20);
    let (conn, _) = server.connect(SessionId::NONE, 2000);
    let (other, _) = server.connect(SessionId::NONE, 2000);
    let count = 5 * WATCHES_REMOVED_PER_TURN + 1;
    for n in 0..count {
        exists(&mut server, conn, &format!("/n{n}"));
    }
    exists(&mut server, other, "/n0");
    server.shard.disconnected(conn);
    let mut left = server.stats.shards[0].watches.value() as usize;
    assert_eq!(left, count + 1, "nothing in the step that ends it");
    // Changes meanwhile are told only to living connections, also when a new connection has come.
    let late = server.shard.accept("127.0.0.1:9".parse().unwrap());
    assert_ne!(late.slot, conn.slot, "the slot rests as long as something is filed under it");
    server.request(other, 2, OpCode::Create, &create(b"/n0", b"", 0));
    server.turn();
    assert_eq!(server.frames(other).iter().map(|frame| frame.0).collect::<Vec<_>>(), [-1, 2]);
    let now = server.stats.shards[0].watches.value() as usize;
    assert!(left - now <= WATCHES_REMOVED_PER_TURN + 2, "beside those that fired: {left} {now}");
    left = now;
    let mut turns = 0;
    while left > 0 {
        assert!(!server.shard.may_sleep(), "there is work left");
        server.shard.end_turn();
        let now = server.stats.shards[0].watches.value() as usize;
        assert!(left - now <= WATCHES_REMOVED_PER_TURN, "{left} {now}");
        (left, turns) = (now, turns + 1);
        assert!(turns <= count);
    }
    server.settle();
    assert!(server.shard.may_sleep());
    let next = server.shard.accept("127.0.0.1:9".parse().unwrap());
    assert_eq!(next.slot, conn.slot, "and then it is used again");
}

#[test]
fn bytes_under_way_to_the_core_are_limited() {
    // The part of one shard of eight.
    let mut server = Server::with(SimOptions { shards: 8, ..SimOptions::default() });
    let (payload, credit) = (vec![7; 900_000], CORE_BYTES / 8);
    let conns: Vec<ConnId> = (0..20).map(|_| server.connect(SessionId::NONE, 2000).0).collect();
    let (idle, _) = server.connect(SessionId::NONE, 2000);
    for (n, conn) in conns.iter().enumerate() {
        server.request(*conn, 1, OpCode::Create, &create(format!("/n{n}").as_bytes(), &payload, 0));
    }
    let inbound = server.shard.take_outbound().unwrap();
    assert!(inbound.bytes.len() <= credit, "{} bytes", inbound.bytes.len());
    assert!(inbound.bytes.len() > credit - 1_000_000);
    let last = *conns.last().unwrap();
    assert!(!server.shard.wants_input(last), "its socket is left alone");
    // Requests that do not go to the core are answered nevertheless.
    server.request(idle, 1, OpCode::Exists, &path_and(b"/", false));
    assert_eq!(server.frames(idle)[0].2, 0);
    server.quorum.step(Input::Inbound(inbound));
    for _ in 0..10 {
        server.settle();
    }
    for conn in conns {
        assert_eq!(server.frames(conn)[0].2, 0, "all are served in the end");
        assert!(server.shard.wants_input(conn));
    }
}

#[test]
fn a_shard_that_stands_still_ends_the_process_by_name() {
    let mut server = Server::with(SimOptions { shards: 2, ..SimOptions::default() });
    let (conn, _) = server.connect(SessionId::NONE, 2000);
    // The second shard of this server never takes anything in.
    let mut at = 0;
    let wait = |server: &mut Server, at: &mut i64, upto: i64| {
        while *at < upto {
            *at += TICK_MS / 2;
            server.tick(*at);
        }
        server.quorum.stalled_shard()
    };
    // The shard is behind from the start: the session is a batch.
    assert_eq!(wait(&mut server, &mut at, SHARD_STALL_MS), None);
    let fatal = wait(&mut server, &mut at, SHARD_STALL_MS + TICK_MS).expect("the second stands still");
    assert_eq!(fatal.reason, Reason::ShardStalled);
    assert!(fatal.detail.starts_with("shard 1 "), "{fatal}");
    // The shard takes in a little: that is a sign of life.
    server.request(conn, 1, OpCode::Create, &create(b"/a", b"", 0));
    server.settle();
    server.stats.shards[1].batches.add(1);
    assert_eq!(wait(&mut server, &mut at, SHARD_STALL_MS + 2 * TICK_MS), None);
    // The core itself did not run: this time does not count.
    at += 10 * SHARD_STALL_MS;
    server.tick(at);
    assert_eq!(server.quorum.stalled_shard(), None);
    let again = at + SHARD_STALL_MS + 2 * TICK_MS;
    assert!(wait(&mut server, &mut at, again).is_some());
    // A shard that has taken in everything may sleep for any time.
    let behind = server.stats.shards[0].batches.value() - server.stats.shards[1].batches.value();
    server.stats.shards[1].batches.add(behind);
    let later = at + 3 * SHARD_STALL_MS;
    assert_eq!(wait(&mut server, &mut at, later), None);
}

fn auth_packet(scheme: Option<&[u8]>, credentials: &[u8]) -> Vec<u8> {
    let mut body = vec![];
    put_int(&mut body, 0);
    put_buffer(&mut body, scheme);
    put_bytes(&mut body, credentials);
    body
}

#[test]
fn an_auth_packet_with_a_null_scheme_is_answered_as_refused() {
    let mut server = Server::new(1 << 20);
    let (conn, _) = server.connect(SessionId::NONE, 2000);
    server.request(conn, -4, OpCode::Auth, &auth_packet(None, b"a:b"));
    let frames = server.frames(conn);
    assert_eq!(frames.iter().map(|frame| (frame.0, frame.2)).collect::<Vec<_>>(), [(-4, -115)]);
}

#[test]
fn a_sync_of_a_null_path_is_answered_with_it() {
    let mut server = Server::new(1 << 20);
    let (conn, _) = server.connect(SessionId::NONE, 2000);
    server.request(conn, 1, OpCode::Sync, &(-1i32).to_be_bytes());
    server.settle();
    let frames = server.frames(conn);
    assert_eq!((frames[0].0, frames[0].2, &frames[0].3[..]), (1, 0, &[255; 4][..]));
}

#[test]
fn a_null_id_in_an_acl_is_what_nobody_can_read_also_in_a_multi() {
    let mut server = Server::new(1 << 20);
    let (conn, _) = server.connect(SessionId::NONE, 2000);
    let mut body = vec![];
    put_bytes(&mut body, b"/a");
    put_bytes(&mut body, b"");
    put_int(&mut body, 1);
    put_int(&mut body, 31);
    put_bytes(&mut body, b"world");
    put_buffer(&mut body, None);
    put_int(&mut body, 0);
    server.request(conn, 1, OpCode::Create, &body);
    let ops = [(OpCode::Create, create(b"/b", b"", 0)), (OpCode::Create, body)];
    server.request(conn, 2, OpCode::Multi, &multi(&ops));
    server.request(conn, 3, OpCode::Exists, &path_and(b"/b", false));
    server.settle();
    let frames = server.frames(conn);
    let told: Vec<_> = frames.iter().map(|frame| (frame.0, frame.2, frame.3.len())).collect();
    assert_eq!(told, [(1, -5, 0), (2, -5, 0), (3, -101, 0)]);
}

#[test]
fn the_identities_of_a_connection_are_limited_by_number_and_by_bytes() {
    for (length, most) in [(1, IDENTITIES - 1), (1000, IDENTITY_BYTES / (1000 + 36)), (IDENTITY_BYTES, 0)] {
        let mut server = Server::new(1 << 20);
        let (conn, _) = server.connect(SessionId::NONE, 2000);
        let name = |n: usize| format!("{n:0>length$}:p");
        for n in 0..most {
            for _ in 0..2 {
                server.request(conn, -4, OpCode::Auth, &auth_packet(Some(b"digest"), name(n).as_bytes()));
                assert_eq!(server.frames(conn)[0].2, 0, "{n} of {length} bytes, again and again");
            }
        }
        server.request(conn, -4, OpCode::Auth, &auth_packet(Some(b"digest"), name(most).as_bytes()));
        assert_eq!(server.frames(conn)[0].2, -115, "{length} bytes");
    }
}

/// ACL lists that znodes had earlier do not make a snapshot longer.
#[test]
fn a_snapshot_holds_the_lists_that_are_used() {
    let mut server = Server::new(1 << 20);
    let (conn, _) = server.connect(SessionId::NONE, 2000);
    for n in 0..200i32 {
        let path = format!("/{n}");
        let mut body = create(path.as_bytes(), b"", 0);
        let perms = body.len() - 4 - (8 + 5 + 6) - 4;
        body[perms..perms + 4].copy_from_slice(&(31 | n << 8).to_be_bytes());
        server.request(conn, n, OpCode::Create, &body);
        server.settle();
        if n < 199 {
            server.request(conn, n, OpCode::Delete, &delete(path.as_bytes()));
        }
        server.settle();
        server.tick(i64::from(n));
    }
    for _ in 0..10 {
        server.settle();
        server.shard.quiesce();
        server.tick(1000);
    }
    assert!(server.frames(conn).iter().all(|frame| frame.2 == 0));
    assert_eq!(server.quorum.state().acls().len(), 3, "the open one, the configuration's, the last znode's");
    server.quorum.step(Input::WantSnapshot);
    server.settle();
    let zxid = server.write_snapshot().expect("one is asked for");
    // After the packet that announces the snapshot.
    let stream = &server.snapshot_stream(zxid)[4 + 8 + 4 + 4..];
    let sessions = i32::from_be_bytes(stream[..4].try_into().unwrap()) as usize;
    let lists = 4 + 12 * sessions;
    assert_eq!(i32::from_be_bytes(stream[lists..lists + 4].try_into().unwrap()), 2);
}

/// However long the disk takes, a znode has no more unpublished versions than a reader may walk over.
#[test]
fn a_znode_that_is_written_again_and_again_waits_for_the_disk() {
    let mut server = Server::with(SimOptions::default());
    let (conn, _) = server.connect(SessionId::NONE, 2000);
    server.request(conn, 1, OpCode::Create, &create(b"/often", b"", 0));
    server.settle();
    server.frames(conn);
    for xid in 2..902 {
        server.request(conn, xid, OpCode::SetData, &set_data(b"/often"));
    }
    assert!(server.prepare(), "a write is wanted");
    let state = server.quorum.state();
    let ahead = state.head().0 - state.store().published().0;
    let most = crate::limits::VERSIONS_AHEAD as i64;
    assert!((most / 2..=most + 1).contains(&ahead), "{ahead}: the others wait");
    server.quorum.step(Input::Written);
    for _ in 0..10 {
        server.settle();
    }
    let told: Vec<(i32, i32)> = server.frames(conn).iter().map(|frame| (frame.0, frame.2)).collect();
    assert_eq!(told, (2..902).map(|xid| (xid, 0)).collect::<Vec<_>>());
}
