//! Memory for clients: one long answer is permitted, unread bytes of all clients together have a limit, and clients
//! that ask for little are served meanwhile.

use super::*;
use crate::limits::{CHARGE_STEP, GREETING_BYTES, SHORT_ANSWER};
use crate::server::quorum::Input;

const THROTTLED: i32 = -127;

/// A server with a znode of that length, and the connection that created it.
fn with_data(options: SimOptions, length: usize) -> (Server, ConnId) {
    let mut server = Server::with(options);
    let (conn, _) = server.connect(SessionId::NONE, 2000);
    server.request(conn, 1, OpCode::Create, &create(b"/large", &vec![7; length], 0));
    server.settle();
    assert_eq!(server.frames(conn)[0].2, 0);
    (server, conn)
}

fn is_there(server: &mut Server, conn: ConnId) -> bool {
    server.settle();
    !server.ended.contains(&conn)
}

fn add_watch(path: &[u8], mode: i32) -> Vec<u8> {
    let mut body = vec![];
    put_bytes(&mut body, path);
    put_int(&mut body, mode);
    body
}

#[test]
fn what_may_be_written_can_be_read() {
    let (mut server, conn) = with_data(Config { output_limit: 100_000, ..config() }.into(), 1_000_000);
    let (reader, _) = server.connect(SessionId::NONE, 2000);
    for xid in 1..=3 {
        server.request(reader, xid, OpCode::GetData, &path_and(b"/large", false));
        let frames = server.frames(reader);
        assert_eq!((frames[0].0, frames[0].2), (xid, 0));
        assert!(frames[0].3.len() > 1_000_000);
    }
    // Behind a write, where reads are answered at once.
    server.request(conn, 2, OpCode::Create, &create(b"/a", b"", 0));
    server.request(conn, 3, OpCode::GetData, &path_and(b"/large", false));
    server.settle();
    assert_eq!(server.frames(conn).iter().map(|frame| (frame.0, frame.2)).collect::<Vec<_>>(), [(2, 0), (3, 0)]);
    // A multiRead and the answer to a write are answers, too.
    server.request(reader, 4, OpCode::MultiRead, &multi(&vec![(OpCode::GetData, path_and(b"/large", false)); 3]));
    assert_eq!(server.frames(reader)[0].2, 0);
    server.request(reader, 5, OpCode::Sync, &path_alone(&[b'x'; 300_000]));
    server.settle();
    assert_eq!(server.frames(reader)[0].2, 0);
    assert!(is_there(&mut server, reader) && is_there(&mut server, conn));
}

#[test]
fn long_names_are_listed() {
    let (mut server, conn) = with_data(Config { output_limit: 100_000, ..config() }.into(), 0);
    for n in 0..200 {
        let name = format!("/large/{n:02000}");
        server.request(conn, 2, OpCode::Create, &create(name.as_bytes(), b"", 0));
        server.settle();
        server.frames(conn);
    }
    server.request(conn, 3, OpCode::GetChildren2, &path_and(b"/large", true));
    let frames = server.frames(conn);
    assert_eq!((frames[0].0, frames[0].2), (3, 0));
    assert!(frames[0].3.len() > 400_000);
    assert!(is_there(&mut server, conn));
}

#[test]
fn what_one_turn_tells_is_no_silence_but_what_waits_for_a_turn_is() {
    let (mut server, conn) = with_data(Config { output_limit: 50_000, ..config() }.into(), 0);
    let (watcher, _) = server.connect(SessionId::NONE, 2000);
    server.request(watcher, 1, OpCode::AddWatch, &add_watch(b"/large", 1));
    server.frames(watcher);
    let path = |n: usize| format!("/large/{n:0500}").into_bytes();
    let ops: Vec<_> = (0..300).map(|n| (OpCode::Create, create(&path(n), b"", 0))).collect();
    server.request(conn, 2, OpCode::Multi, &multi(&ops));
    server.settle();
    server.frames(conn);
    assert!(is_there(&mut server, watcher), "150 000 bytes in one go");
    server.request(conn, 3, OpCode::Delete, &delete(&path(1)));
    server.turn();
    server.settle();
    assert!(!is_there(&mut server, watcher), "nothing of it was read in a whole turn, and there is more");
    assert_eq!(server.stats.shards[0].unread_ended.value(), 1);
    assert!(is_there(&mut server, conn));
}

#[test]
fn a_long_text_is_told() {
    let mut server = Server::new(100_000);
    let conn = server.shard.accept("127.0.0.1:9".parse().unwrap());
    server.shard.answer_word(conn, &[b'x'; 1_000_000]);
    assert_eq!(server.shard.unsent(conn).len(), 1_000_000);
    assert!(is_there(&mut server, conn));
}

#[test]
fn answers_in_all_have_a_ceiling_and_the_silent_make_room() {
    const SHARE: usize = 3_000_000;
    let options = SimOptions { memory: short_of_replies(SHARE), ..SimOptions::default() };
    let (mut server, conn) = with_data(options, 200_000);
    let (reader, _) = server.connect(SessionId::NONE, 2000);
    // Each sends 300 bytes of requests, whose answers would be 16 MB.
    let hostile: Vec<ConnId> = (0..100).map(|_| server.connect(SessionId::NONE, 2000).0).collect();
    for conn in &hostile {
        for xid in 1..=8 {
            server.request(*conn, xid, OpCode::GetData, &path_and(b"/large", false));
        }
    }
    let mut held = 0;
    for conn in &hostile {
        held += server.shard.unsent(*conn).len();
    }
    assert!(held <= SHARE + 100 * SHORT_ANSWER, "{held} bytes");
    assert!(held > SHARE / 2, "it is shared out, not kept: {held}");
    let stats = server.stats.clone();
    assert!(stats.shards[0].throttled.value() > 0, "and it is counted");
    // The neighbours' short requests are executed; long answers are refused as throttled.
    server.request(reader, 1, OpCode::Exists, &path_and(b"/large", true));
    server.request(reader, -2, OpCode::Ping, &[]);
    server.request(conn, 2, OpCode::SetData, &set_data(b"/"));
    server.request(reader, 3, OpCode::GetData, &path_and(b"/large", true));
    server.settle();
    let told: Vec<_> = server.frames(reader).iter().map(|frame| (frame.0, frame.2)).collect();
    assert_eq!(told, [(1, 0), (-2, 0), (3, THROTTLED)]);
    assert_eq!(server.frames(conn)[0].2, 0);
    // Connections that read nothing for two ticks are closed, until there is enough memory.
    for _ in 0..3 {
        server.tick(server.now_ms + TICK_MS / 2);
        server.settle();
    }
    assert!(!server.ended.is_empty() && server.ended.len() < hostile.len(), "{} of them", server.ended.len());
    assert!(server.ended.iter().all(|conn| hostile.contains(conn)));
    server.request(reader, 4, OpCode::GetData, &path_and(b"/large", false));
    assert_eq!(server.frames(reader)[0].2, 0);
}

#[test]
fn requests_in_all_have_a_ceiling_and_the_silent_make_room() {
    const SHARE: usize = 2_000_000;
    let shares = Shares { requests: SHARE, ..unlimited() };
    let (mut server, conn) = with_data(SimOptions { memory: Some(shares), ..SimOptions::default() }, 0);
    let hostile: Vec<ConnId> = (0..100).map(|_| server.connect(SessionId::NONE, 2000).0).collect();
    // The beginning of a long frame each, as their sockets are read.
    let mut held = 0;
    for conn in &hostile {
        let mut frame = 1_000_000_i32.to_be_bytes().to_vec();
        frame.resize(900_000, 0);
        while !frame.is_empty() {
            let part = server.shard.wants_bytes(*conn).min(frame.len());
            if part == 0 {
                break;
            }
            server.shard.received(*conn, &frame[..part]);
            frame.drain(..part);
            held += part;
        }
    }
    assert!(held > SHARE / 4 && held < SHARE + 100 * (CHARGE_STEP + GREETING_BYTES), "{held} bytes");
    // Short requests are accepted nevertheless.
    server.request(conn, 2, OpCode::Create, &create(b"/short", b"", 0));
    server.settle();
    assert_eq!(server.frames(conn)[0].2, 0);
    for _ in 0..3 {
        server.tick(server.now_ms + TICK_MS / 2);
        server.settle();
    }
    assert!(!server.ended.is_empty() && server.ended.iter().all(|conn| hostile.contains(conn)));
    server.request(conn, 3, OpCode::Create, &create(b"/long", &[1; 500_000], 0));
    server.settle();
    assert_eq!(server.frames(conn)[0].2, 0, "and then long ones, too");
}

/// A sync echoes its path, even a path of a megabyte.
#[test]
fn answers_of_the_core_have_a_ceiling_too() {
    const SHARE: usize = 1_000_000;
    let options = SimOptions { memory: short_of_replies(SHARE), ..SimOptions::default() };
    let (mut server, _) = with_data(options, 0);
    let conns: Vec<ConnId> = (0..100).map(|_| server.connect(SessionId::NONE, 2000).0).collect();
    for conn in &conns {
        server.request(*conn, 1, OpCode::Sync, &path_alone(&[b'x'; 100_000]));
        server.settle();
    }
    let held: usize = conns.iter().map(|conn| server.shard.unsent(*conn).len()).sum();
    assert!(held <= SHARE, "{held} bytes");
    assert!(held > SHARE / 2, "{held} bytes");
    // They wait, and are answered when earlier clients have read their answers.
    let mut answered = 0;
    for _ in 0..40 {
        for conn in &conns {
            answered += server.frames(*conn).len();
        }
        server.turn();
        server.settle();
    }
    assert_eq!(answered, conns.len());
}

/// Ten thousand of them could each have had a megabyte for ten seconds.
#[test]
fn before_it_has_a_session_a_connection_keeps_little() {
    let mut server = Server::new(1 << 20);
    let conn = server.shard.accept("127.0.0.1:9".parse().unwrap());
    assert_eq!(server.shard.wants_bytes(conn), GREETING_BYTES);
    server.shard.received(conn, &(GREETING_BYTES as i32).to_be_bytes());
    assert!(is_there(&mut server, conn));
    let other = server.shard.accept("127.0.0.1:9".parse().unwrap());
    server.shard.received(other, &(GREETING_BYTES as i32 + 1).to_be_bytes());
    assert!(!is_there(&mut server, other));
}

#[test]
fn a_tree_that_has_its_share_is_made_smaller_or_read_but_not_larger() {
    let shares = Shares { tree: 100_000, ..unlimited() };
    let (mut server, conn) = with_data(SimOptions { memory: Some(shares), ..SimOptions::default() }, 120_000);
    server.turn();
    let growing = [
        (OpCode::Create, create(b"/a", b"", 0)),
        (OpCode::SetData, set_data(b"/large")),
        (OpCode::Multi, multi(&[(OpCode::Delete, delete(b"/large")), (OpCode::Create, create(b"/a", b"", 0))])),
    ];
    for (xid, (op, body)) in (2..).zip(growing) {
        server.request(conn, xid, OpCode::Sync, &path_alone(b"/"));
        server.request(conn, xid, op, &body);
        server.settle();
        let told: Vec<_> = server.frames(conn).iter().map(|frame| (frame.0, frame.2)).collect();
        assert_eq!(told, [(xid, 0), (xid, THROTTLED)], "{op:?}, in its turn");
    }
    assert_eq!(server.stats.shards[0].throttled.value(), 3);
    let (other, _) = server.connect(SessionId::NONE, 2000);
    server.request(other, 1, OpCode::GetData, &path_and(b"/large", false));
    server.request(other, -2, OpCode::Ping, &[]);
    server.request(other, 2, OpCode::Multi, &multi(&[(OpCode::Delete, delete(b"/large"))]));
    server.settle();
    assert_eq!(server.frames(other).iter().map(|frame| frame.2).collect::<Vec<_>>(), [0, 0, 0]);
    server.turn();
    server.request(other, 3, OpCode::Create, &create(b"/a", b"", 0));
    server.settle();
    assert_eq!(server.frames(other)[0].2, 0, "there is room again");
}

/// A follower sends its client's identities with every write: a request of thirty bytes may have four thousand there.
#[test]
fn identities_are_counted_with_the_requests_they_go_with() {
    const SHARDS: usize = 64;
    let mut server = Server::with(SimOptions { shards: SHARDS, ..SimOptions::default() });
    let mut identities = 0;
    let conns: Vec<ConnId> = (0..800).map(|_| server.connect(SessionId::NONE, 2000).0).collect();
    for conn in &conns {
        identities = 0;
        for n in 0..30 {
            let mut body = vec![];
            put_int(&mut body, 0);
            put_bytes(&mut body, b"digest");
            put_bytes(&mut body, format!("user-{n:050}:password").as_bytes());
            server.request(*conn, -4, OpCode::Auth, &body);
            identities += 60;
        }
        server.settle();
        server.frames(*conn);
    }
    for conn in &conns {
        server.request(*conn, 1, OpCode::Delete, &delete(b"/nothing"));
    }
    let inbound = server.shard.take_outbound().unwrap();
    let bytes = inbound.items.len() * identities;
    assert!(bytes <= crate::limits::CORE_BYTES / SHARDS, "{bytes} bytes");
    server.quorum.step(Input::Inbound(inbound));
    for _ in 0..10 {
        server.settle();
    }
    for conn in &conns {
        assert_eq!(server.frames(*conn).iter().map(|frame| frame.2).collect::<Vec<_>>(), [-101], "all are answered");
    }
}

/// Clients that connect, write and disconnect leave their requests in the core: these count until the core has taken
/// them.
#[test]
fn what_the_gone_have_written_counts_until_it_is_taken_up() {
    let mut server = Server::with(SimOptions::default());
    let conns: Vec<ConnId> = (0..150).map(|_| server.connect(SessionId::NONE, 2000).0).collect();
    let long = |n: usize| create(format!("/long-{n}").as_bytes(), &vec![7; 1_000_000], 0);
    for (n, conn) in conns.into_iter().enumerate() {
        server.request(conn, 1, OpCode::Create, &long(n));
        server.shard.disconnected(conn);
        server.prepare();
        let waiting = server.quorum.backlog_bytes();
        assert!(waiting <= crate::limits::CORE_BYTES, "{waiting} bytes");
    }
    assert!(server.quorum.backlog_bytes() > crate::limits::CORE_BYTES / 2, "the disk is slow");
    server.quorum.step(Input::Written);
    for _ in 0..10 {
        server.settle();
    }
    assert_eq!((server.quorum.backlog_bytes(), server.stats.shards[0].outstanding.value()), (0, 0));
    let (conn, _) = server.connect(SessionId::NONE, 2000);
    server.request(conn, 1, OpCode::Create, &long(0));
    server.request(conn, 2, OpCode::Create, &long(1000));
    server.settle();
    let told: Vec<i32> = server.frames(conn).iter().map(|frame| frame.2).collect();
    assert_eq!(told, [-110, 0], "others are served, and what had been taken was carried out");
}
