//! Containers and znodes with a time to live are deleted when their time is over, however long a tick is.

use super::*;
use crate::limits;
use crate::server::quorum::Input;
use crate::sim::bodies::create_ttl;

/// A server with long ticks that searches for them at this interval.
fn with_interval(container_check_interval_ms: u32) -> (Server, ConnId) {
    let config = Config { container_check_interval_ms, tick_time_ms: 3000, extended_types: true, ..config() };
    let mut server = Server::with(config.into());
    let (conn, _) = server.connect(SessionId::NONE, 2000);
    (server, conn)
}

fn has(server: &mut Server, conn: ConnId, path: &[u8]) -> bool {
    server.request(conn, 1, OpCode::Exists, &path_and(path, false));
    server.settle();
    server.frames(conn).last().unwrap().2 == 0
}

#[test]
fn a_short_life_ends_within_a_long_tick() {
    let (mut server, conn) = with_interval(50);
    for born_ms in [0, 400, 800] {
        server.pass(born_ms, 3000);
        server.request(conn, 1, OpCode::CreateTtl, &create_ttl(b"/short", 100));
        server.settle();
        server.pass(born_ms + 99, 3000);
        assert!(has(&mut server, conn, b"/short"), "it lives as long as was said");
        server.pass(born_ms + 150, 3000);
        assert!(!has(&mut server, conn, b"/short"), "and not as long as a tick");
    }
}

/// An empty container does not wait for a tick either.
#[test]
fn a_container_goes_with_its_last_child() {
    let (mut server, conn) = with_interval(50);
    server.request(conn, 1, OpCode::CreateContainer, &create(b"/container", b"", 4));
    server.request(conn, 2, OpCode::Create, &create(b"/container/child", b"", 0));
    server.settle();
    server.pass(300, 3000);
    assert!(has(&mut server, conn, b"/container"));
    server.request(conn, 3, OpCode::Delete, &delete(b"/container/child"));
    server.settle();
    server.pass(400, 3000);
    assert!(!has(&mut server, conn, b"/container"));
}

/// The interval has a minimum, whatever the operator sets: each search looks at thousands of znodes.
#[test]
fn it_is_not_looked_for_more_often_than_there_is_time_for() {
    for interval_ms in [0, 1, 9] {
        let (mut server, _) = with_interval(interval_ms);
        let mut calls = 0;
        while server.now_ms < 1000 {
            let at_ms = server.quorum.deadline_ms().expect("it is looked for");
            server.at(at_ms.max(server.now_ms));
            server.quorum.step(Input::Deadline);
            calls += 1;
            assert!(calls <= 1000 / limits::REAP_INTERVAL_MS + 1, "{interval_ms}");
        }
    }
}

/// Some turns may pass between finding a znode and deleting it, and by then another znode may have the path.
#[test]
fn what_was_found_is_looked_at_again_before_it_is_deleted() {
    let (mut server, conn) = with_interval(50);
    for path in [&b"/gone"[..], b"/again", b"/set", b"/parent"] {
        server.request(conn, 1, OpCode::CreateTtl, &create_ttl(path, 100));
    }
    server.request(conn, 2, OpCode::CreateContainer, &create(b"/container", b"", 4));
    server.request(conn, 3, OpCode::Create, &create(b"/container/child", b"", 0));
    server.request(conn, 4, OpCode::Create, &create(b"/busy", b"", 0));
    server.settle();
    server.pass(140, 3000);
    server.request(conn, 5, OpCode::Delete, &delete(b"/container/child"));
    server.settle();
    server.frames(conn);
    // So many changes wait for the disk that nothing more is prepared.
    for _ in 0..limits::VERSIONS_AHEAD + 50 {
        server.request(conn, 6, OpCode::SetData, &set_data(b"/busy"));
    }
    assert!(server.prepare());
    server.at(150);
    server.quorum.step(Input::Deadline);
    // All znodes are found. Meanwhile:
    server.request(conn, 7, OpCode::Delete, &delete(b"/again"));
    server.request(conn, 8, OpCode::Create, &create(b"/again", b"", 0));
    server.request(conn, 9, OpCode::SetData, &set_data(b"/set"));
    server.request(conn, 10, OpCode::Create, &create(b"/parent/child", b"", 0));
    server.request(conn, 11, OpCode::Create, &create(b"/container/child", b"", 0));
    assert!(!server.prepare());
    server.quorum.step(Input::Written);
    server.settle();
    assert!(server.frames(conn).iter().all(|frame| frame.2 == 0), "all of it is done before the first is deleted");
    assert!(has(&mut server, conn, b"/gone"), "it is found, and not deleted yet");
    server.at(200);
    server.quorum.step(Input::Deadline);
    server.settle();
    assert!(!has(&mut server, conn, b"/gone"));
    for path in [&b"/again"[..], b"/set", b"/parent", b"/container"] {
        assert!(has(&mut server, conn, path), "{}", String::from_utf8_lossy(path));
    }
}
