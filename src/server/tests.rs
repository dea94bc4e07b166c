//! Both brains together, in virtual time: no socket, no thread, and the disk has written when the test says so.

mod bounds;
mod core;
mod costs;
mod inquiry;
mod learner;
mod memory;
mod observers;
mod outlived;
mod slices;
mod telling;

use crate::config::Config;
use crate::ids::{ConnId, SessionId, Zxid};
use crate::jute::OpCode;
use crate::jute::wire::{Reader, put_bytes, put_int, put_long};
use crate::limits::SLICE;
use crate::server::memory::Shares;
use crate::server::quorum::Input;
use crate::sim::bodies::{auth, create, create_of_ones_own, multi, path_alone, path_and, set_data};
use crate::sim::server::{Frame, SimOptions, SimServer as Server, TICK_MS, config};

fn delete(path: &[u8]) -> Vec<u8> {
    let mut body = vec![];
    put_bytes(&mut body, path);
    put_int(&mut body, -1);
    body
}

/// Shares without a limit.
fn unlimited() -> Shares {
    let all = usize::MAX;
    Shares { replies: all, requests: all, watches: all, others: all, tree: all }
}

/// Shares with so many bytes for replies, and no limit for the rest.
fn short_of_replies(replies: usize) -> Option<Shares> {
    Some(Shares { replies, ..unlimited() })
}

#[test]
fn nothing_is_answered_before_it_is_on_disk() {
    let mut server = Server::new(1 << 20);
    let (conn, _) = server.connect(SessionId::NONE, 1000);
    server.request(conn, 1, OpCode::Create, &create(b"/a", b"", 0));
    assert!(server.prepare(), "a write is wanted");
    server.shard.take_in();
    assert_eq!(server.frames(conn), []);
    server.quorum.step(Input::Written);
    server.shard.take_in();
    assert_eq!(server.frames(conn).iter().map(|frame| frame.0).collect::<Vec<_>>(), [1]);
}

/// Otherwise a server that is restarted again and again replays the same log each time.
#[test]
fn what_a_start_replays_counts_towards_the_next_snapshot() {
    let mut server = Server::with(Config { snap_count: 5, ..config() }.into());
    server.quorum.count_replayed(4);
    assert_eq!(server.write_snapshot(), None);
    server.connect(SessionId::NONE, 1000);
    assert_eq!(server.write_snapshot(), Some(Zxid(1)), "the session is the fifth");
    assert_eq!(server.write_snapshot(), None, "the count begins anew");
}

#[test]
fn reads_between_writes_see_exactly_what_came_before_them() {
    let mut server = Server::new(1 << 20);
    let (conn, _) = server.connect(SessionId::NONE, 1000);
    server.request(conn, 1, OpCode::Create, &create(b"/a", b"", 0));
    server.request(conn, 2, OpCode::Exists, &path_and(b"/b", true));
    server.request(conn, 3, OpCode::Create, &create(b"/b", b"", 0));
    server.request(conn, 4, OpCode::Exists, &path_and(b"/b", false));
    server.settle();
    let frames = server.frames(conn);
    let shape: Vec<(i32, i64, i32)> = frames.iter().map(|frame| (frame.0, frame.1, frame.2)).collect();
    // The session's own createSession was zxid 1. The watch that xid 2 set fires before xid 3 is answered.
    assert_eq!(shape, [(1, 2, 0), (2, 2, -101), (-1, 3, 0), (3, 3, 0), (4, 3, 0)]);
}

#[test]
fn a_tick_does_not_cut_off_the_answer_to_a_close() {
    let mut server = Server::new(1 << 20);
    let (conn, _) = server.connect(SessionId::NONE, 2000);
    // Older than the time a connection has to set a session up.
    for now_ms in (0..1900).step_by(50) {
        server.tick(now_ms);
        server.request(conn, -2, OpCode::Ping, &[]);
        server.frames(conn);
    }
    server.request(conn, 1, OpCode::Create, &create(b"/a", b"", 0));
    server.request(conn, 2, OpCode::CloseSession, &[]);
    assert!(server.prepare());
    server.shard.tick();
    server.quorum.step(Input::Written);
    server.shard.take_in();
    assert_eq!(server.frames(conn).iter().map(|frame| frame.0).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn the_last_sign_of_life_counts_though_the_connection_is_gone() {
    let mut server = Server::new(1 << 20);
    let (conn, session) = server.connect(SessionId::NONE, 1000);
    for now_ms in (50..=800).step_by(50) {
        server.tick(now_ms);
    }
    server.at(820);
    server.request(conn, -2, OpCode::Ping, &[]);
    server.shard.disconnected(conn);
    for now_ms in (850..=1600).step_by(50) {
        server.tick(now_ms);
    }
    assert_eq!(server.connect(session, 1000).1, session, "heard of at 820, it lives until 1900");
    let (conn, other) = server.connect(SessionId::NONE, 1000);
    server.shard.disconnected(conn);
    for now_ms in (1650..=3300).step_by(50) {
        server.tick(now_ms);
    }
    assert_eq!(server.connect(other, 1000).1, SessionId::NONE, "not heard of for too long");
}

#[test]
fn the_new_connection_of_a_session_takes_over_from_the_old_one() {
    let mut server = Server::new(1 << 20);
    let (old, session) = server.connect(SessionId::NONE, 1000);
    let (new, resumed) = server.connect(session, 1000);
    assert_eq!(resumed, session);
    assert!(!server.shard.wants_input(old), "the old one is closed");
    // The end of the old connection does not end the session: the new connection continues.
    server.shard.disconnected(old);
    server.settle();
    server.request(new, 1, OpCode::Create, &create(b"/e", b"", 1));
    server.settle();
    assert_eq!(server.frames(new)[0].2, 0);
}

/// A read waits behind a write, and its client authenticates meanwhile.
#[test]
fn a_read_that_waits_is_judged_by_who_its_client_was_when_it_asked() {
    let mut server = Server::new(1 << 20);
    let (owner, _) = server.connect(SessionId::NONE, 1000);
    server.request(owner, -4, OpCode::Auth, &auth());
    server.request(owner, 1, OpCode::Create, &create_of_ones_own(b"/secret"));
    server.settle();
    let (conn, _) = server.connect(SessionId::NONE, 1000);
    server.request(conn, 1, OpCode::Create, &create(b"/a", b"", 0));
    server.request(conn, 2, OpCode::GetData, &path_and(b"/secret", false));
    server.request(conn, -4, OpCode::Auth, &auth());
    server.request(conn, 3, OpCode::GetData, &path_and(b"/secret", false));
    server.settle();
    let told: Vec<_> = server.frames(conn).iter().map(|frame| (frame.0, frame.2)).collect();
    assert_eq!(told, [(-4, 0), (1, 0), (2, -102), (3, 0)]);
}

#[test]
fn a_multi_read_of_more_than_there_is_memory_for_is_refused() {
    let mut server = Server::with(SimOptions { memory: short_of_replies(300_000), ..SimOptions::default() });
    let (conn, _) = server.connect(SessionId::NONE, 1000);
    server.request(conn, 1, OpCode::Create, &create(b"/big", &[1; 100_000], 0));
    server.settle();
    server.frames(conn);
    let body = multi(&vec![(OpCode::GetData, path_and(b"/big", false)); 10]);
    server.request(conn, 2, OpCode::MultiRead, &body);
    let frames = server.frames(conn);
    assert_eq!((frames[0].0, frames[0].2, frames[0].3.len()), (2, -127, 0));
    assert_eq!(server.stats.shards[0].throttled.value(), 1);
}

#[test]
fn many_large_answers_are_published_in_parts() {
    let mut server = Server::new(64 << 20);
    let (conn, _) = server.connect(SessionId::NONE, 1000);
    let body = path_alone(&[b'x'; 200_000]);
    for xid in 1..=100 {
        server.request(conn, xid, OpCode::Sync, &body);
        if !server.shard.wants_input(conn) {
            server.settle();
        }
    }
    let mut answered = vec![];
    for _ in 0..200 {
        server.settle();
        answered.extend(server.frames(conn).iter().map(|frame| frame.0));
    }
    assert_eq!(answered, (1..=100).collect::<Vec<_>>(), "all of them, in order");
}
