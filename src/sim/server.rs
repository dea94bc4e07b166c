//! One server in virtual time: both brains wired by hand. No socket, no thread; the disk says "written" when its user does.

use super::disk::SimDisk;
use crate::acl::AuthConfig;
use crate::ids::{ConnId, SessionId, Zxid};
use crate::jute::wire::{Reader, put_bool, put_bytes, put_int, put_long};
use crate::jute::{AclEntry, OpCode};
use crate::limits;
use crate::server::message::Clock;
use crate::server::quorum::{Quorum, QuorumOptions, SnapshotRule};
use crate::server::shard::{Shard, ShardOptions};
use crate::server::stats::Stats;
use crate::session::{Passwords, SessionIds};
use crate::storage::disk::Disk;
use crate::storage::log::frame::DirectoryId;
use crate::storage::log::segment::{self, Position, PreparedSegment, SegmentId};
use crate::storage::log::writer::{LogOptions, LogWriter, SegmentRequest};
use crate::tree::owner::OwnerRules;
use crate::tree::state::{State, StateOptions};
use crate::watch::WatchLimits;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Its `tickTime`.
pub const TICK_MS: i64 = 100;

/// What a server in virtual time is told.
#[derive(Clone, Copy, Debug)]
pub struct SimOptions {
    /// A connection is ended when it leaves so many bytes unread.
    pub output_limit: usize,
    pub watches: WatchLimits,
    /// How many shards the quorum brain believes in; only the first is there, the others never take anything in.
    pub shards: usize,
    /// Znodes that one read looks at in one go.
    pub slice: usize,
}

impl Default for SimOptions {
    fn default() -> Self {
        SimOptions { output_limit: 16 << 20, watches: WatchLimits::default(), shards: 1, slice: limits::SLICE }
    }
}

/// A standalone server of one shard.
pub struct SimServer {
    pub shard: Shard,
    pub quorum: Quorum,
    pub stats: Arc<Stats>,
    pub now_ms: i64,
}

/// A reply or event frame: xid, zxid, error, body.
pub type Frame = (i32, i64, i32, Vec<u8>);

impl SimServer {
    /// An empty one; a connection is ended when it leaves so many bytes unread.
    pub fn new(output_limit: usize) -> SimServer {
        SimServer::with(SimOptions { output_limit, ..SimOptions::default() })
    }

    /// An empty one.
    pub fn with(sim: SimOptions) -> SimServer {
        let SimOptions { output_limit, watches, shards, slice } = sim;
        let disk = SimDisk::new();
        let dir = Path::new("data");
        disk.make_dir(dir).unwrap();
        let begun = segment::begin(&disk, dir, DirectoryId([7; 16]), SegmentId(1), 64 << 20, Position::default(), &[]);
        let options = LogOptions::default();
        let log = LogWriter::new(&begun.unwrap(), options).unwrap();
        let stats = Arc::new(Stats::new(shards));
        let state = State::new(StateOptions::default());
        let (store, acls) = (state.store().store(), state.acls());
        let quorum_options = QuorumOptions {
            shards,
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
            shards,
            max_frame: 0xf_ffff,
            output_limit,
            setup_deadline_ms: 1000,
            min_timeout_ms: 200,
            max_timeout_ms: 2000,
            outstanding_limit: 1000,
            watches,
            slice,
            auth: AuthConfig::default(),
            enforced_schemes: vec![],
            skip_acl: false,
            owners: OwnerRules::default(),
            is_word: |_| false,
        };
        let passwords = Passwords::ZooKeeper;
        let cursor = quorum.cursor();
        let reader = store.reader().unwrap();
        let mut shard = Shard::new(options, reader, store, acls, passwords, cursor, Zxid::ZERO, stats.clone());
        shard.unpark();
        SimServer { shard, quorum, stats, now_ms: 0 }
    }

    /// The time, for both brains, ms.
    pub fn at(&mut self, now_ms: i64) {
        self.now_ms = now_ms;
        let clock = Clock { mono_ms: now_ms, wall_ms: now_ms };
        self.shard.begin(clock);
        self.quorum.begin(clock);
    }

    /// Hands requests over; the disk does nothing yet. Whether a write is wanted.
    pub fn prepare(&mut self) -> bool {
        self.shard.end_turn();
        if let Some(inbound) = self.shard.take_outbound() {
            self.quorum.handle(inbound);
        }
        self.quorum.next_write().is_some()
    }

    /// Goes on until nothing is left to do, the disk included.
    pub fn settle(&mut self) {
        for _ in 0..100 {
            let mut worked = false;
            if let Some(SegmentRequest { id, capacity }) = self.quorum.log().needs_segment() {
                self.quorum.log().segment_ready(PreparedSegment { id, capacity, recycled: false });
            }
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

    /// One turn of a loop whose disk is fast: at most one slice is done in it.
    pub fn turn(&mut self) {
        self.at(self.now_ms);
        if self.prepare() {
            self.quorum.written();
        }
        while self.quorum.publish_answers() {}
        self.shard.take_in();
    }

    /// The newest zxid that may be read.
    pub fn zxid(&self) -> i64 {
        self.stats.core.zxid.load(Relaxed)
    }

    /// How many more pins the tree has room for.
    pub fn free_pins(&self) -> usize {
        let mut reader = self.quorum.state().store().store().reader().unwrap();
        let at = reader.resume();
        let pins: Vec<_> = std::iter::from_fn(|| reader.pin(at).ok()).collect();
        pins.len()
    }

    /// Half a tick has passed, and it is `now_ms`.
    pub fn tick(&mut self, now_ms: i64) {
        self.at(now_ms);
        self.shard.tick();
        self.quorum.tick();
        self.settle();
        // What the shard reported in this tick counts from the next on.
        self.quorum.tick();
        self.settle();
    }

    /// The connection has sent a frame with this payload.
    pub fn send(&mut self, id: ConnId, payload: &[u8]) {
        let mut frame = vec![];
        put_bytes(&mut frame, payload);
        self.shard.received(id, &frame);
    }

    /// The connection has sent a request.
    pub fn request(&mut self, id: ConnId, xid: i32, op: OpCode, body: &[u8]) {
        let mut frame = Vec::with_capacity(12 + body.len());
        put_int(&mut frame, 8 + body.len() as i32);
        put_int(&mut frame, xid);
        put_int(&mut frame, op.wire());
        frame.extend_from_slice(body);
        self.shard.received(id, &frame);
    }

    /// What the connection was sent since the last call.
    pub fn output(&mut self, id: ConnId) -> Vec<u8> {
        let bytes = self.shard.unsent(id).to_vec();
        self.shard.sent(id, bytes.len());
        bytes
    }

    /// The same, cut into frames.
    pub fn frames(&mut self, id: ConnId) -> Vec<Frame> {
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
    pub fn connect(&mut self, resume: SessionId, timeout_ms: i32) -> (ConnId, SessionId) {
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

/// The body of a create with the open ACL.
pub fn create(path: &[u8], data: &[u8], flags: i32) -> Vec<u8> {
    let mut body = Vec::with_capacity(64 + path.len() + data.len());
    put_bytes(&mut body, path);
    put_bytes(&mut body, data);
    put_int(&mut body, 1);
    AclEntry { perms: 31, scheme: b"world", id: b"anyone" }.put(&mut body);
    put_int(&mut body, flags);
    body
}

/// The body of exists, getData and getChildren.
pub fn path_and(path: &[u8], watch: bool) -> Vec<u8> {
    let mut body = Vec::with_capacity(8 + path.len());
    put_bytes(&mut body, path);
    put_bool(&mut body, watch);
    body
}
