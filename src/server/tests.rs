//! Both brains together, in virtual time: no socket, no thread, the disk says "written" when the test does.

use crate::acl::AuthConfig;
use crate::ids::{ConnId, SessionId, Zxid};
use crate::jute::wire::{Reader, put_bool, put_bytes, put_int, put_long};
use crate::jute::{AclEntry, OpCode};
use crate::server::message::Clock;
use crate::server::quorum::{Quorum, QuorumOptions, SnapshotRule};
use crate::server::shard::{Shard, ShardOptions};
use crate::server::stats::Stats;
use crate::session::{Passwords, SessionIds};
use crate::sim::disk::SimDisk;
use crate::storage::disk::Disk;
use crate::storage::log::frame::DirectoryId;
use crate::storage::log::segment::{self, Position, SegmentId};
use crate::storage::log::writer::{LogOptions, LogWriter};
use crate::tree::owner::OwnerRules;
use crate::tree::state::{State, StateOptions};
use std::path::Path;
use std::sync::Arc;

const TICK_MS: i64 = 100;

struct Server {
    shard: Shard,
    quorum: Quorum,
    now_ms: i64,
}

/// A reply or event frame: xid, zxid, error, body.
type Frame = (i32, i64, i32, Vec<u8>);

impl Server {
    fn new(output_limit: usize) -> Server {
        let disk = SimDisk::new();
        let dir = Path::new("data");
        disk.make_dir(dir).unwrap();
        let begun = segment::begin(&disk, dir, DirectoryId([7; 16]), SegmentId(1), 64 << 20, Position::default(), &[]);
        let options = LogOptions::default();
        let log = LogWriter::new(&begun.unwrap(), options).unwrap();
        let stats = Arc::new(Stats::new(1));
        let state = State::new(StateOptions::default());
        let (store, acls) = (state.store().store(), state.acls());
        let quorum_options = QuorumOptions {
            shards: 1,
            tick_ms: TICK_MS,
            slow_write_ms: 1000,
            max_txn: options.max_txn,
            reap_interval_ms: 60_000,
            reap_per_minute: 10_000,
            snapshots: SnapshotRule { every_txns: u64::MAX, every_bytes: 0 },
        };
        let reader = store.reader().unwrap();
        let ids = SessionIds::new(5, 1);
        let quorum = Quorum::new(quorum_options, state, reader, log, ids, Zxid::ZERO, Clock::default(), stats.clone());
        let options = ShardOptions {
            shard: 0,
            shards: 1,
            max_frame: 0xf_ffff,
            output_limit,
            setup_deadline_ms: 1000,
            min_timeout_ms: 200,
            max_timeout_ms: 2000,
            outstanding_limit: 1000,
            auth: AuthConfig::default(),
            enforced_schemes: vec![],
            skip_acl: false,
            owners: OwnerRules::default(),
            is_word: |_| false,
        };
        let passwords = Passwords::ZooKeeper;
        let cursor = quorum.cursor();
        let reader = store.reader().unwrap();
        let mut shard = Shard::new(options, reader, store, acls, passwords, cursor, Zxid::ZERO, stats);
        shard.unpark();
        Server { shard, quorum, now_ms: 0 }
    }

    fn at(&mut self, now_ms: i64) {
        self.now_ms = now_ms;
        let clock = Clock { mono_ms: now_ms, wall_ms: now_ms };
        self.shard.begin(clock);
        self.quorum.begin(clock);
    }

    /// Hands requests over; the disk does nothing yet. Whether a write is wanted.
    fn prepare(&mut self) -> bool {
        self.shard.end_turn();
        if let Some(inbound) = self.shard.take_outbound() {
            self.quorum.handle(inbound);
        }
        self.quorum.next_write().is_some()
    }

    /// Goes on until nothing is left to do, the disk included.
    fn settle(&mut self) {
        for _ in 0..100 {
            let mut worked = false;
            if self.prepare() {
                self.quorum.written();
                worked = true;
            }
            while self.quorum.publish_answers() {
                worked = true;
            }
            self.shard.take_in();
            if !worked && self.shard.may_sleep() {
                return;
            }
            let mut ids = vec![];
            self.shard.take_interest(&mut ids);
            self.shard.take_ended(&mut ids);
            self.shard.take_dirty(&mut ids);
        }
    }

    fn tick(&mut self, now_ms: i64) {
        self.at(now_ms);
        self.shard.tick();
        self.quorum.tick();
        self.settle();
        // What the shard reported in this tick counts from the next on.
        self.quorum.tick();
        self.settle();
    }

    fn send(&mut self, id: ConnId, payload: &[u8]) {
        let mut frame = vec![];
        put_bytes(&mut frame, payload);
        self.shard.received(id, &frame);
    }

    fn request(&mut self, id: ConnId, xid: i32, op: OpCode, body: &[u8]) {
        let mut payload = vec![];
        put_int(&mut payload, xid);
        put_int(&mut payload, op.wire());
        payload.extend_from_slice(body);
        self.send(id, &payload);
    }

    fn output(&mut self, id: ConnId) -> Vec<u8> {
        let bytes = self.shard.unsent(id).to_vec();
        self.shard.sent(id, bytes.len());
        bytes
    }

    fn frames(&mut self, id: ConnId) -> Vec<Frame> {
        let bytes = self.output(id);
        let mut reader = Reader::new(&bytes);
        let mut frames = vec![];
        while !reader.rest().is_empty() {
            let mut frame = Reader::new(reader.string().unwrap());
            let (xid, zxid, error) = (frame.int().unwrap(), frame.long().unwrap(), frame.int().unwrap());
            frames.push((xid, zxid, error, frame.rest().to_vec()));
        }
        frames
    }

    /// A connection with a session; `resume` is an id to take up again.
    fn connect(&mut self, resume: SessionId, timeout_ms: i32) -> (ConnId, SessionId) {
        let id = self.shard.accept("127.0.0.1:9".parse().unwrap());
        let mut payload = vec![];
        put_int(&mut payload, 0);
        put_long(&mut payload, 0);
        put_int(&mut payload, timeout_ms);
        put_long(&mut payload, resume.0);
        put_bytes(&mut payload, &Passwords::ZooKeeper.password(resume));
        self.send(id, &payload);
        self.settle();
        let answer = self.output(id);
        let mut reader = Reader::new(&answer[4..]);
        reader.int().unwrap();
        reader.int().unwrap();
        (id, SessionId(reader.long().unwrap()))
    }
}

fn create(path: &[u8], data: &[u8], flags: i32) -> Vec<u8> {
    let mut body = vec![];
    put_bytes(&mut body, path);
    put_bytes(&mut body, data);
    put_int(&mut body, 1);
    AclEntry { perms: 31, scheme: b"world", id: b"anyone" }.put(&mut body);
    put_int(&mut body, flags);
    body
}

fn path_and(path: &[u8], watch: bool) -> Vec<u8> {
    let mut body = vec![];
    put_bytes(&mut body, path);
    put_bool(&mut body, watch);
    body
}

#[test]
fn nothing_is_answered_before_it_is_on_disk() {
    let mut server = Server::new(1 << 20);
    let (conn, _) = server.connect(SessionId::NONE, 1000);
    server.request(conn, 1, OpCode::Create, &create(b"/a", b"", 0));
    assert!(server.prepare(), "a write is wanted");
    server.shard.take_in();
    assert_eq!(server.frames(conn), []);
    server.quorum.written();
    server.shard.take_in();
    assert_eq!(server.frames(conn).iter().map(|frame| frame.0).collect::<Vec<_>>(), [1]);
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
    server.quorum.written();
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
    // The old one's end is not the session's: the new one goes on.
    server.shard.disconnected(old);
    server.settle();
    server.request(new, 1, OpCode::Create, &create(b"/e", b"", 1));
    server.settle();
    assert_eq!(server.frames(new)[0].2, 0);
}

#[test]
fn a_multi_read_of_more_than_a_connection_may_be_sent_is_refused() {
    let mut server = Server::new(300_000);
    let (conn, _) = server.connect(SessionId::NONE, 1000);
    server.request(conn, 1, OpCode::Create, &create(b"/big", &[1; 100_000], 0));
    server.settle();
    server.frames(conn);
    let mut body = vec![];
    for (op, done) in std::iter::repeat_n((4, false), 10).chain([(-1, true)]) {
        put_int(&mut body, op);
        put_bool(&mut body, done);
        put_int(&mut body, -1);
        if !done {
            body.extend(path_and(b"/big", false));
        }
    }
    server.request(conn, 2, OpCode::MultiRead, &body);
    let frames = server.frames(conn);
    assert_eq!((frames[0].0, frames[0].2, frames[0].3.len()), (2, -5, 0));
}

#[test]
fn many_large_answers_are_published_in_parts() {
    let mut server = Server::new(64 << 20);
    let (conn, _) = server.connect(SessionId::NONE, 1000);
    let mut body = vec![];
    put_bytes(&mut body, &[b'x'; 200_000]);
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
