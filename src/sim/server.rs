//! One server in virtual time: both brains wired by hand. No socket, no thread; the disk says "written" when its user does.

use super::disk::SimDisk;
use crate::config::{Config, Settings};
use crate::fatal::{Fatal, Reason};
use crate::ids::{ConnId, PASSWORD_LEN, SessionId, Zxid};
use crate::jute::OpCode;
use crate::jute::quorum::{PROTOCOL_SECRETS, Packet, PacketType};
use crate::jute::wire::{Reader, put_bool, put_bytes, put_int, put_long};
use crate::limits;
use crate::server::memory::{Memory, Shares};
use crate::server::message::Clock;
use crate::server::quorum::{Core, Effect, EnsembleOptions, Input, MemberSecrets, Quorum, QuorumOptions, Work};
use crate::server::read_back;
use crate::server::rebuild::Rebuild;
use crate::server::shard::{Shard, ShardOptions};
use crate::server::snapshot::{SnapshotJob, write_snapshot};
use crate::server::stats::Stats;
use crate::session::{SessionIds, SessionSecret};
use crate::storage::agreed;
use crate::storage::eligibility::Eligibility;
use crate::storage::epochs::EpochFile;
use crate::storage::identity::{self, DataDirectory, Identity, Past, Starter};
use crate::storage::java::stream::StreamSender;
use crate::storage::log::seek::Stretch;
use crate::storage::log::segment::{self, PreparedSegment};
use crate::storage::log::writer::{FrameWrite, LogOptions, LogWriter, SegmentRequest};
use crate::storage::rebase;
use crate::storage::recovery::{self, RecoveryOptions};
use crate::storage::snapshot::format::file_name;
use crate::tree::state::{State, StateOptions};
use crate::zab::agreed::Held;
use crate::zab::epochs::Epochs;
use crate::zab::history::{History, HistoryLimits};
use crate::zab::leader::LogPart;
use crate::zab::voters::{self, ServerId, Voters};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The `tickTime` of servers that are told nothing else.
pub const TICK_MS: i64 = 100;

/// The configuration of servers that are told nothing else: times are short, and snapshots are taken when a test asks for
/// one.
pub fn config() -> Config {
    Config {
        tick_time_ms: TICK_MS as u32,
        min_session_timeout_ms: 200,
        max_session_timeout_ms: 2000,
        connect_timeout_ms: 1000,
        snap_count: u32::MAX,
        snap_size_limit: None,
        ..Config::default()
    }
}

/// The settings of members that are told nothing else.
pub fn settings() -> Settings {
    Settings { init_limit: 10, sync_limit: 5, ..Settings::default() }
}

/// What a server in virtual time is told.
#[derive(Clone, Debug)]
pub struct SimOptions {
    /// What its operator has written.
    pub config: Config,
    /// Shares of a ceiling; `None`: there is none.
    pub memory: Option<Shares>,
    /// How many shards the quorum brain believes in; only the first is there, the others never take anything in.
    pub shards: usize,
    /// Znodes that one read looks at in one go.
    pub slice: usize,
    /// Sizes of its log.
    pub log: LogOptions,
    /// Bytes of transactions that are proposed and not committed.
    pub uncommitted_bytes: usize,
}

impl Default for SimOptions {
    fn default() -> Self {
        config().into()
    }
}

impl From<Config> for SimOptions {
    fn from(config: Config) -> Self {
        SimOptions {
            config,
            memory: None,
            shards: 1,
            slice: limits::SLICE,
            // Small segments, so that there are several.
            log: LogOptions { max_txn: 1 << 20, buffer_bytes: 1 << 20, segment_bytes: 4 << 20 },
            uncommitted_bytes: limits::UNCOMMITTED_BYTES,
        }
    }
}

/// A member's epochs as its start finds them, put right.
fn open_epochs(disk: &SimDisk, identity: &Identity, was_born: bool, last: Zxid) -> Result<(EpochFile, Epochs), Fatal> {
    let epoch = last.epoch();
    let begun = Epochs { accepted: epoch, current: epoch };
    let first = (!was_born || identity.past == Past::Alone).then_some(begun);
    let mut file = EpochFile::open(disk, Path::new(DIR), identity.directory, first)?.epochs;
    if identity.past == Past::LeftAlone {
        let Epochs { accepted, current } = file.record();
        file.update(Epochs { accepted: accepted.max(epoch), current: current.max(epoch) })?;
    }
    let found = file.record().at_start(last).map_err(|error| Fatal::new(Reason::EpochsLost, error.to_string()))?;
    file.update(found)?;
    Ok((file, found))
}

/// The state that a disk holds, and of a member the end of its log.
fn finished(rebuild: Rebuild, is_member: bool) -> (State, Option<History>) {
    if !is_member {
        return (rebuild.finish().0, None);
    }
    let (state, history, mismatches) = rebuild.finish_member();
    assert_eq!(mismatches, 0);
    (state, Some(history))
}

/// What a member is told of secrets, which has one of its own.
pub fn member_secrets(own: u8) -> MemberSecrets {
    MemberSecrets { held: Held::own(SessionSecret([own; 32]), false), given: None, zookeeper: false }
}

/// What server 1 of these members is told: it has not looked for a leader yet.
pub fn member_options(members: &str) -> EnsembleOptions {
    EnsembleOptions {
        id: ServerId(1),
        config: voters::Config::new(Voters::parse(members.as_bytes()).expect("a configuration"), None),
        election_addresses: vec![("10.0.0.1".to_owned(), 3888)],
        settings: Arc::new(settings()),
        epochs: Epochs::default(),
        history: History::new(HistoryLimits::default(), Zxid::ZERO),
        history_limits: HistoryLimits::default(),
        has_database: true,
        max_packet: 1 << 20,
        secrets: member_secrets(1),
        protocol: PROTOCOL_SECRETS,
    }
}

/// A server of one shard, on its own or a member of an ensemble.
pub struct SimServer {
    /// Its only shard, number 0.
    pub shard: Shard,
    /// Its quorum brain, of a server on its own or of a member.
    pub quorum: Quorum,
    /// What both of them count.
    pub stats: Arc<Stats>,
    /// Its disk. Clones are the same disk, which outlives the server.
    pub disk: SimDisk,
    directory: DataDirectory,
    log_options: LogOptions,
    /// A member's.
    epochs: Option<EpochFile>,
    /// A snapshot that is to be written.
    pub(super) snapshot: Option<Box<SnapshotJob>>,
    /// What a member wants done outside.
    pub(super) effects: Vec<Effect>,
    /// The end of the log as a member found it at its start.
    pub recovered: Option<History>,
    /// Connections that the server has ended, until they are taken from here.
    pub ended: Vec<ConnId>,
    /// What its monotonic clock says, milliseconds.
    pub now_ms: i64,
    clock: Clock,
}

/// What passwords of a server on its own are made under.
const LONE_SECRET: SessionSecret = SessionSecret([7; 32]);

/// Where its files are.
pub const DIR: &str = "data";

/// A reply or event frame: xid, zxid, error, body.
pub type Frame = (i32, i64, i32, Vec<u8>);

impl SimServer {
    /// An empty one on its own; a connection is ended when it leaves so many bytes unread.
    pub fn new(output_limit: usize) -> SimServer {
        SimServer::with(Config { output_limit, ..config() }.into())
    }

    /// An empty one on its own.
    pub fn with(sim: SimOptions) -> SimServer {
        SimServer::start(&SimDisk::new(), Clock::default(), sim, None)
    }

    /// One on a disk, with what it finds there; a member of an ensemble if it is told of one.
    pub fn start(disk: &SimDisk, clock: Clock, sim: SimOptions, member: Option<EnsembleOptions>) -> SimServer {
        SimServer::try_start(disk, clock, sim, member).unwrap_or_else(|fatal| panic!("{fatal}"))
    }

    /// The same, or why it does not go on from what it finds. What a member is told of its epochs, its log's end and
    /// whether it has a database is replaced by what it finds.
    pub fn try_start(
        disk: &SimDisk,
        clock: Clock,
        sim: SimOptions,
        mut member: Option<EnsembleOptions>,
    ) -> Result<SimServer, Fatal> {
        let SimOptions { config, memory, shards, slice, log: options, uncommitted_bytes } = sim;
        let (config, is_member) = (Arc::new(config), member.is_some());
        let dir = Path::new(DIR);
        let starter = member.as_ref().map_or(Starter::Alone(None), |options| Starter::Member(options.id.0));
        let mut directory = identity::open(disk, dir, dir, starter, [7; 16])?;
        let heard = agreed::read(disk, dir, directory.identity.directory)?;
        let own = member.as_ref().map_or(LONE_SECRET, |member| member.secrets.held.newest().secret);
        let own = SessionSecret(directory.session_secret(disk, own.0)?);
        let was_born = directory.identity.born;
        let recovery = RecoveryOptions {
            snapshot_dir: dir,
            log_dir: dir,
            directory: directory.identity.directory,
            born: was_born,
            accept_log_loss: false,
            threads: 1,
        };
        let state_options = StateOptions { config: config.clone(), standalone: !is_member };
        let mut rebuild = match &member {
            Some(member) => Rebuild::for_member(state_options, member.history_limits),
            None => Rebuild::new(state_options),
        };
        let recovered = recovery::recover(disk, &recovery, &mut rebuild)?;
        if let Some(member) = &mut member {
            // One that knows of no secrets knows no such file.
            let heard = heard.clone().filter(|_| member.protocol >= PROTOCOL_SECRETS);
            member.secrets.held = agreed::of_member((disk, dir, &directory.identity), own, heard, recovered.zxid)?;
        }
        let eligibility = recovered.eligibility(&directory.identity, config.create_database);
        let mut epochs = None;
        if is_member {
            if eligibility == Eligibility::Unknown {
                directory.mark_incomplete(disk)?;
            }
            epochs = Some(open_epochs(disk, &directory.identity, was_born, recovered.zxid)?);
        }
        let opened = recovery::begin_log(disk, &recovery, &recovered, &options, 1)?;
        directory.mark_born(disk)?;
        if is_member {
            directory.mark_member(disk)?;
        }
        let mut log = LogWriter::new(&opened, options).unwrap();
        if let Some(SegmentRequest { id, capacity }) = log.needs_segment() {
            log.segment_ready(segment::prepare(disk, dir, id, capacity)?);
        }
        let (state, history) = finished(rebuild, is_member);
        let stats = Arc::new(Stats::new(shards));
        let (store, acls) = (state.store().store(), state.acls());
        let reader = store.reader().unwrap();
        let ids = SessionIds::new(clock.wall_ms + 5, directory.identity.server.max(1) as u8);
        let core_options = QuorumOptions { config: config.clone(), shards, member: is_member, uncommitted_bytes };
        let mut core = Core::new(core_options, state, reader, log, ids, recovered.zxid, clock, stats.clone());
        core.count_replayed(recovered.replayed);
        let passwords = match (&member, &epochs) {
            (Some(member), Some((_, epochs))) => member.secrets.passwords_at(epochs.current),
            _ => agreed::of_lone((disk, dir, &directory.identity), own, heard, recovered.zxid)?,
        };
        let cursor = core.cursor();
        let reader = store.reader().unwrap();
        let applied = store.published();
        let memory = memory.map_or_else(Memory::unlimited, Memory::new);
        let shard_options = ShardOptions { config, shard: 0, shards, memory, slice, is_word: |_| false };
        let mut shard = Shard::new(shard_options, reader, store, acls, passwords, cursor, applied, stats.clone());
        shard.unpark();
        let found = history.clone();
        let (quorum, file) = match (member, history, epochs) {
            (Some(member), Some(history), Some((epoch_file, epochs))) => {
                let has_database = eligibility != Eligibility::Unknown;
                (Quorum::member(core, EnsembleOptions { history, epochs, has_database, ..member }), Some(epoch_file))
            }
            _ => (Quorum::lone(core), None),
        };
        let mut server = SimServer {
            shard,
            quorum,
            stats,
            disk: disk.clone(),
            directory,
            log_options: options,
            epochs: file,
            snapshot: None,
            effects: vec![],
            recovered: found,
            ended: vec![],
            now_ms: clock.mono_ms,
            clock,
        };
        server.clock(clock);
        Ok(server)
    }

    /// The time, for both brains and both clocks, ms.
    pub fn at(&mut self, now_ms: i64) {
        self.clock(Clock { mono_ms: now_ms, wall_ms: now_ms });
    }

    /// What its clocks say, for both brains.
    pub fn clock(&mut self, clock: Clock) {
        self.now_ms = clock.mono_ms;
        self.clock = clock;
        self.shard.begin(clock);
        self.quorum.begin(clock);
    }

    /// What a member's file of epochs holds.
    pub fn epochs(&self) -> Epochs {
        self.epochs.as_ref().expect("a member's").record()
    }

    /// Makes a member's epochs durable.
    pub fn write_epochs(&mut self, epochs: Epochs) {
        self.epochs.as_mut().expect("a member's").update(epochs).expect("the disk is well");
    }

    /// Makes durable what a member has agreed on.
    pub fn write_agreed(&self, held: &Held) {
        agreed::write(&self.disk, Path::new(DIR), self.directory.identity.directory, held).expect("the disk is well");
    }

    /// A leader has brought this member up to date: that something may be missing is no longer remembered.
    pub fn mark_complete(&mut self) {
        self.directory.mark_complete(&self.disk).expect("the disk is well");
    }

    /// Whether nothing that it acknowledged can be missing on its disk.
    pub fn is_complete(&self) -> bool {
        self.directory.identity.complete
    }

    /// What the quorum brain wants done: what is for others, or to be written as a snapshot, is kept until it is asked for.
    /// The next write, and whether shards have something to see.
    pub fn take_work(&mut self, may_write: bool) -> (Option<FrameWrite>, bool) {
        let Work { write, snapshot, mut effects, published, .. } = self.quorum.ready(may_write);
        if snapshot.is_some() {
            self.snapshot = snapshot;
        }
        if !effects.is_empty() {
            self.effects.append(&mut effects);
        }
        (write, published)
    }

    /// Hands the shard's requests to the quorum brain. Whether there were any.
    pub fn hand_over_requests(&mut self) -> bool {
        self.shard.end_turn();
        let Some(inbound) = self.shard.take_outbound() else { return false };
        self.quorum.step(Input::Inbound(inbound));
        true
    }

    /// Hands requests over; the disk does nothing yet. Whether a write is wanted.
    pub fn prepare(&mut self) -> bool {
        self.hand_over_requests();
        self.take_work(true).0.is_some()
    }

    /// Goes on until nothing is left to do, the disk included.
    pub fn settle(&mut self) {
        for _ in 0..100 {
            self.shard.begin(self.clock);
            self.quorum.begin(self.clock);
            self.prepare_segment();
            self.hand_over_requests();
            let (write, mut worked) = self.take_work(true);
            if write.is_some() {
                self.quorum.step(Input::Written);
                self.take_work(false);
                worked = true;
            }
            self.shard.take_in();
            if !worked && self.shard.may_sleep() && self.quorum.may_sleep() {
                return;
            }
            let mut ids = vec![];
            self.shard.take_interest(&mut ids);
            self.shard.take_ended(&mut self.ended);
            self.shard.take_dirty(&mut ids);
        }
    }

    /// One turn of a loop whose disk is fast: at most one slice is done in it.
    pub fn turn(&mut self) {
        self.at(self.now_ms);
        if self.prepare() {
            self.quorum.step(Input::Written);
        }
        self.take_work(false);
        self.shard.take_in();
    }

    /// What a member wanted done outside since the last call.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        self.take_work(false);
        std::mem::take(&mut self.effects)
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

    fn recovery(&self) -> RecoveryOptions<'static> {
        let dir = Path::new(DIR);
        RecoveryOptions {
            snapshot_dir: dir,
            log_dir: dir,
            directory: self.directory.identity.directory,
            born: true,
            accept_log_loss: false,
            threads: 1,
        }
    }

    /// Writes the snapshot that is due, if one is; returns its zxid.
    pub fn write_snapshot(&mut self) -> Option<Zxid> {
        self.take_work(false);
        let job = self.snapshot.take()?;
        Some(self.write_job(job))
    }

    /// Writes a snapshot; returns its zxid.
    pub fn write_job(&mut self, mut job: Box<SnapshotJob>) -> Zxid {
        self.write_down(&mut job);
        let SnapshotJob { zxid, reader, pin, .. } = *job;
        drop(pin);
        self.quorum.step(Input::Snapshot { zxid, reader, took_ms: 1 });
        zxid
    }

    fn write_down(&self, job: &mut SnapshotJob) {
        let (dir, id) = (Path::new(DIR), self.directory.identity.directory);
        write_snapshot(&self.disk, dir, id, self.now_ms, job, &mut |_| {}).expect("the disk is well");
    }

    /// SNAP and the stream of the snapshot of `zxid`.
    pub fn snapshot_stream(&self, zxid: Zxid) -> Vec<u8> {
        let mut bytes = vec![];
        Packet::bare(PacketType::Snap, zxid).put(&mut bytes);
        let mut sender = StreamSender::open(&self.disk, Path::new(DIR), &file_name(zxid)).unwrap();
        while sender.piece(&mut bytes).unwrap() {}
        bytes
    }

    /// A part of its log, for another server.
    pub fn read_log(&self, stretch: &Stretch) -> LogPart {
        read_back::read_log(&self.disk, &self.recovery(), stretch)
    }

    /// Makes another server's state this one's, on disk.
    pub fn install_snapshot(&mut self, mut job: SnapshotJob) {
        let recovery = self.recovery();
        let log_from = rebase::next_segment(&self.disk, &recovery, self.quorum.log().highest()).unwrap();
        job.log_from = Some(log_from);
        self.write_down(&mut job);
        let opened = rebase::begin_behind(&self.disk, &recovery, job.zxid, log_from, &self.log_options, 1).unwrap();
        self.quorum.step(Input::Log(LogWriter::new(&opened, self.log_options).unwrap()));
        self.prepare_real_segment();
    }

    /// Cuts the log after `zxid`, as a helper thread would. False if it cannot be cut there.
    pub fn cut_log(&mut self, zxid: Zxid) -> bool {
        let recovery = self.recovery();
        let above = self.quorum.log().highest();
        match rebase::truncate(&self.disk, &recovery, zxid, above, &self.log_options, 1) {
            Ok(opened) => self.quorum.step(Input::Log(LogWriter::new(&opened, self.log_options).unwrap())),
            Err(rebase::TruncateError::Log(error)) => panic!("{error:?}"),
            Err(_) => return false,
        }
        self.prepare_real_segment();
        true
    }

    /// What the helper thread does.
    pub fn prepare_segment(&mut self) {
        if let Some(SegmentRequest { id, capacity }) = self.quorum.log().needs_segment() {
            let segment = PreparedSegment { id, capacity, recycled: false };
            self.quorum.step(Input::Segment(segment));
        }
    }

    /// The same, on the disk.
    pub fn prepare_real_segment(&mut self) {
        if let Some(SegmentRequest { id, capacity }) = self.quorum.log().needs_segment() {
            let segment = segment::prepare(&self.disk, Path::new(DIR), id, capacity).unwrap();
            self.quorum.step(Input::Segment(segment));
        }
    }

    /// Half a tick has passed, and it is `now_ms`.
    pub fn tick(&mut self, now_ms: i64) {
        self.at(now_ms);
        self.shard.tick();
        self.quorum.step(Input::Tick);
        self.settle();
        // What the shard reported in this tick counts from the next on.
        self.quorum.step(Input::Tick);
        self.settle();
    }

    /// Goes on to `end_ms` as an edge does, with a disk that is quick: half ticks of `tick_ms`, and what the quorum brain
    /// wants to be called for between them.
    pub fn pass(&mut self, end_ms: i64, tick_ms: i64) {
        let half_ms = tick_ms / 2;
        loop {
            let tick_at_ms = (self.now_ms / half_ms + 1) * half_ms;
            let alarm_ms = self.quorum.deadline_ms().map_or(i64::MAX, |at_ms| at_ms.max(self.now_ms + 1));
            let next_ms = tick_at_ms.min(alarm_ms);
            if next_ms > end_ms {
                return self.at(end_ms);
            }
            self.at(next_ms);
            if alarm_ms == next_ms {
                self.quorum.step(Input::Deadline);
            }
            if tick_at_ms == next_ms {
                self.shard.tick();
                self.quorum.step(Input::Tick);
            }
            self.settle();
        }
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

    /// A connection that asks for a session, to be answered later; `resume` is an id to take up again, with the password that
    /// this server gives it, `seen` the last zxid its client knows of.
    pub fn accept(&mut self, resume: SessionId, timeout_ms: i32, seen: i64) -> ConnId {
        self.greet(resume, timeout_ms, seen, None)
    }

    /// The same from a client that says whether a server that only reads is enough for it.
    pub fn greet(&mut self, resume: SessionId, timeout_ms: i32, seen: i64, read_only: Option<bool>) -> ConnId {
        let password = self.shard.passwords().password(resume);
        self.greet_as((resume, password), timeout_ms, seen, read_only)
    }

    /// The same from a client that shows this password.
    pub fn greet_as(
        &mut self,
        (resume, password): (SessionId, [u8; PASSWORD_LEN]),
        timeout_ms: i32,
        seen: i64,
        read_only: Option<bool>,
    ) -> ConnId {
        let id = self.shard.accept("127.0.0.1:9".parse().unwrap());
        let mut payload = vec![];
        put_int(&mut payload, 0);
        put_long(&mut payload, seen);
        put_int(&mut payload, timeout_ms);
        put_long(&mut payload, resume.0);
        put_bytes(&mut payload, &password);
        if let Some(read_only) = read_only {
            put_bool(&mut payload, read_only);
        }
        self.send(id, &payload);
        id
    }

    /// A client that sends what it likes: these bytes first, or a session and then these payloads of frames.
    pub fn nuisance(&mut self, raw: &[u8], payloads: &[Vec<u8>]) {
        let id = if raw.is_empty() {
            self.accept(SessionId::NONE, 300, 0)
        } else {
            self.shard.accept("127.0.0.1:9".parse().unwrap())
        };
        self.shard.received(id, raw);
        payloads.iter().for_each(|payload| self.send(id, payload));
    }

    /// A connection with a session; `resume` is an id to take up again.
    pub fn connect(&mut self, resume: SessionId, timeout_ms: i32) -> (ConnId, SessionId) {
        let id = self.accept(resume, timeout_ms, 0);
        self.settle();
        let answer = self.output(id);
        let mut reader = Reader::new(&answer[4..]);
        reader.int().unwrap();
        reader.int().unwrap();
        (id, SessionId(reader.long().unwrap()))
    }
}
