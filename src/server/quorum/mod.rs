//! The quorum brain: everything that is ordered, without a disk or a socket in sight.
//!
//! Requests become transactions here, one after another, at the head of the tree where no reader looks.
//! Their bytes gather for the log while one group is being written; when the edge says that a group is on
//! disk, what it changed and what it answers are published to the shards as one [`Batch`]. Nothing is
//! told to a client before that.
//!
//! It also owns what must be decided in one place: which sessions live, which connection speaks for
//! each, when they expire, when containers and TTL znodes go, when a snapshot is due.

mod budget;
mod ensemble;
mod expiry;
mod local;
mod requests;
mod snapshots;
mod stall;
mod uncommitted;
mod under_way;

use crate::acl::Identities;
use crate::cost::Cost;
use crate::gather;
use crate::ids::{ConnId, SessionId, Zxid, hash_state};
use crate::jute::ErrorCode;
use crate::limits;
use crate::server::message::{Answer, Batch, Clock, Cursor, Element, Inbound, Publisher, ShardId, Tell};
use crate::server::stats::Stats;
use crate::session::{SessionIds, Tracker};
use crate::storage::log::writer::{FrameWrite, LogWriter, Refused};
use crate::tree::state::{Context, Outcome, State};
use crate::tree::store::Reader;
use budget::Budget;
use ensemble::Ensemble;
pub use ensemble::{Effect, EnsembleOptions, Listen, MemberSecrets, PeerInput, Record, RoleSettings, Standing};
use hashbrown::HashMap;
use local::LocalSessions;
use snapshots::SnapshotPlan;
pub use snapshots::{SnapshotJob, SnapshotRule};
use stall::Watchdog;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use uncommitted::Uncommitted;
use under_way::UnderWay;

/// What the quorum brain is told once.
pub struct QuorumOptions {
    pub shards: usize,
    pub tick_ms: i64,
    /// A log write that takes longer is logged as slow, ms.
    pub slow_write_ms: i64,
    /// The longest transaction the log takes, bytes.
    pub max_txn: usize,
    /// How often containers and TTL znodes are looked for, ms; at least [`limits::REAP_INTERVAL_MS`].
    pub reap_interval_ms: i64,
    /// At most this many are reaped in a minute.
    pub reap_per_minute: usize,
    pub snapshots: SnapshotRule,
    /// One of an ensemble ([`Quorum::join`]): what was recovered may not be committed yet, and nobody sees it.
    pub member: bool,
    /// Bytes of transactions that are proposed and not committed; from there on nothing more is prepared
    /// ([`limits::UNCOMMITTED_BYTES`]).
    pub uncommitted_bytes: usize,
    /// The number of an epoch's last transaction: [`Zxid::LAST_COUNTER`], or less to see what comes then.
    pub last_counter: u32,
}

/// The connection that speaks for a session.
struct Live {
    shard: ShardId,
    conn: ConnId,
    identities: Arc<Identities>,
}

/// The quorum brain. See the module's text.
pub struct Quorum {
    options: QuorumOptions,
    state: State,
    log: LogWriter,
    tracker: Tracker,
    live: HashMap<SessionId, Live, ahash::RandomState>,
    locals: LocalSessions,
    ids: SessionIds,
    /// New sessions get secret passwords, and ids that say so.
    secret_sessions: bool,
    /// How often shards were told how passwords are checked.
    passwords_number: u64,
    publisher: Publisher,
    /// The last zxid given away.
    zxid: Zxid,
    /// The time of the last transaction: never goes back.
    time_ms: i64,
    clock: Clock,
    budget: Budget,
    /// Replies and changes of the gathering group.
    outcome: Outcome,
    elements: Vec<Element>,
    /// The group that is being written.
    in_flight: Option<Batch>,
    /// Groups that are on disk and not committed: none unless in an ensemble.
    waiting: VecDeque<Batch>,
    has_published: bool,
    /// What is known to be committed; on its own a server commits whatever is on disk.
    committed: Zxid,
    ensemble: Option<Box<Ensemble>>,
    /// Whether this server is a member of an ensemble, also while `ensemble` is being worked on.
    is_member: bool,
    /// Whether transactions are to be proposed to others, and those that were prepared since it was done last.
    proposing: bool,
    proposals: Vec<(Zxid, Vec<u8>)>,
    uncommitted: Uncommitted,
    /// Nothing more is prepared: this server is about to hand over the lead.
    takes_nothing: bool,
    /// A transaction that no longer fitted the gathering frame, and the group without it. It goes first into
    /// the next frame; until then nothing more is prepared.
    held: Option<(Batch, Zxid, Vec<u8>)>,
    /// A transaction that is not complete; until it is nothing more is prepared.
    under_way: Option<UnderWay>,
    write_since_ms: i64,
    /// What shards have sent and could not be prepared yet, as the log had no room.
    backlog: VecDeque<Inbound>,
    /// Items of the backlog's first entry that are done.
    backlog_done: usize,
    /// Up to when each shard has reported the sessions it heard of.
    reported_ms: Vec<i64>,
    /// Sessions that are over and wait for their closeSession transaction.
    expired: Vec<SessionId>,
    expiry_not_before_ms: i64,
    last_tick_ms: i64,
    next_reap_ms: i64,
    /// How many znodes may still be reaped in the sweep under way, if one is, and those that have been found.
    reap_left: Option<usize>,
    reaped: VecDeque<Vec<u8>>,
    plan: SnapshotPlan,
    watchdog: Watchdog,
    stats: Arc<Stats>,
}

impl Quorum {
    /// A brain on recovered state: `zxid` is the last transaction in it, all of it is durable. `reader` is for
    /// snapshots.
    #[expect(clippy::too_many_arguments, reason = "the parts of a server, each used once")]
    pub fn new(
        mut options: QuorumOptions,
        mut state: State,
        reader: Reader,
        log: LogWriter,
        ids: SessionIds,
        zxid: Zxid,
        clock: Clock,
        stats: Arc<Stats>,
    ) -> Self {
        options.reap_interval_ms = options.reap_interval_ms.max(limits::REAP_INTERVAL_MS);
        if !options.member {
            state.publish(zxid);
        }
        let mut tracker = Tracker::new(options.tick_ms);
        for (session, timeout_ms) in state.sessions() {
            tracker.add(session, timeout_ms, clock.mono_ms);
        }
        let orphans = state.orphaned_sessions();
        let plan = SnapshotPlan::new(options.snapshots, reader, zxid);
        let (txn_limit, cost_limit) = (options.max_txn, limits::txn_cost(options.max_txn));
        let outcome = Outcome { txn_limit, cost_limit, ..Outcome::default() };
        stats.core.zxid.store(zxid.0, Relaxed);
        Quorum {
            reported_ms: vec![clock.mono_ms; options.shards],
            watchdog: Watchdog::new(options.shards, clock.mono_ms),
            next_reap_ms: clock.mono_ms + options.reap_interval_ms,
            expiry_not_before_ms: clock.mono_ms,
            last_tick_ms: clock.mono_ms,
            is_member: options.member,
            locals: LocalSessions::new(options.tick_ms),
            options,
            state,
            log,
            tracker,
            live: HashMap::with_hasher(hash_state()),
            ids,
            secret_sessions: true,
            passwords_number: 0,
            publisher: Publisher::new(),
            zxid,
            time_ms: 0,
            clock,
            budget: Budget::default(),
            outcome,
            elements: vec![],
            in_flight: None,
            waiting: VecDeque::new(),
            has_published: false,
            committed: Zxid(i64::MAX),
            ensemble: None,
            proposing: false,
            proposals: vec![],
            uncommitted: Uncommitted::default(),
            takes_nothing: false,
            held: None,
            under_way: None,
            write_since_ms: 0,
            backlog: VecDeque::new(),
            backlog_done: 0,
            // Owners of ephemerals that no session table knows: closed like those that have expired.
            expired: orphans,
            reap_left: None,
            reaped: VecDeque::new(),
            plan,
            stats,
        }
    }

    /// A place in the sequence for a shard, and a reader of the tree: to be taken before anything is published.
    pub fn cursor(&self) -> Cursor {
        self.publisher.cursor()
    }

    /// The state, for whoever sets up shards.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The log's writing end: the edge registers its buffers and hands in segments.
    pub fn log(&mut self) -> &mut LogWriter {
        &mut self.log
    }

    /// Takes what a shard has sent.
    pub fn handle(&mut self, mut inbound: Inbound) {
        if self.is_member
            && !self.proposing
            && let Some(touched) = inbound.touched.take()
        {
            // The leader is told of it whatever waits here: until it takes more requests these sessions live.
            self.touched(inbound.shard, &touched);
        }
        self.backlog.push_back(inbound);
        self.work();
    }

    /// Prepares what is waiting, as far as the log has room for it.
    fn work(&mut self) {
        self.go_on_under_way();
        if self.is_member {
            self.work_for_peers();
        }
        self.work_backlog();
        if self.is_member {
            self.tell_peers();
        }
    }

    fn work_backlog(&mut self) {
        while let Some(mut inbound) = self.backlog.pop_front() {
            if let Some(touched) = inbound.touched.take() {
                self.touched(inbound.shard, &touched);
            }
            let done = std::mem::take(&mut self.backlog_done);
            for index in done..inbound.items.len() {
                if !self.has_room() || !self.leader_takes() {
                    self.backlog_done = index;
                    self.backlog.push_front(inbound);
                    return;
                }
                let item = &inbound.items[index];
                self.state.meter().charge(Cost::REQUEST + Cost::bytes(item.body.len()));
                self.item(inbound.shard, item, &inbound.bytes);
            }
        }
    }

    /// Bytes of requests that wait to be prepared or passed on.
    #[cfg(test)]
    pub(crate) fn backlog_bytes(&self) -> usize {
        self.backlog.iter().map(|inbound| inbound.bytes.len()).sum()
    }

    /// Bytes of transactions that are proposed and not committed.
    #[cfg(test)]
    pub(crate) fn uncommitted_bytes(&self) -> usize {
        self.uncommitted.bytes()
    }

    /// The next write, if there is one and none is being written. The bytes are in the log writer's buffer.
    pub fn next_write(&mut self) -> Option<FrameWrite> {
        let write = self.log.next_write()?;
        self.write_since_ms = self.clock.mono_ms;
        // A write at the start of a segment is its header: it carries no transaction.
        if write.offset > 0 {
            assert!(self.in_flight.is_none(), "one group at a time");
            self.in_flight = Some(match self.held.take() {
                Some((batch, zxid, txn)) => {
                    self.log.append(zxid, &txn).expect("an empty frame holds any transaction");
                    batch
                }
                None => self.take_batch(),
            });
            self.work();
        }
        Some(write)
    }

    /// The write is on disk. If it was a group of transactions they are published: true, shards have something
    /// to see.
    pub fn written(&mut self) -> bool {
        let durable = self.log.written();
        let Some(batch) = self.in_flight.take() else { return false };
        assert!(self.is_member || batch.last_zxid <= durable, "nobody is told of what is not on disk");
        self.stats.core.groups.add(1);
        let took_ms = self.clock.mono_ms - self.write_since_ms;
        self.stats.core.fsync.record(took_ms);
        if took_ms > self.options.slow_write_ms {
            tracing::warn!(took_ms, "a write of the log took long (fsync.warningthresholdms)");
        }
        self.waiting.push_back(batch);
        self.publish_committed();
        if self.is_member {
            self.log_durable(durable);
        }
        self.work();
        self.take_published()
    }

    /// Whether anything was published since the last call: shards have something to see.
    pub fn take_published(&mut self) -> bool {
        std::mem::take(&mut self.has_published)
    }

    /// Publishes the groups on disk that are committed.
    fn publish_committed(&mut self) {
        while let Some(batch) = self.waiting.pop_front_if(|batch| batch.last_zxid <= self.committed) {
            self.publish(batch);
        }
    }

    /// Publishes what needs no disk: answers that wait for nothing that is not durable yet. To be called until
    /// it says false: there may be more behind a group that was full.
    pub fn publish_answers(&mut self) -> bool {
        let is_behind = self.in_flight.is_some() || !self.waiting.is_empty() || self.held.is_some();
        if self.elements.is_empty() || is_behind || !self.log.is_idle() {
            return false;
        }
        let mut batch = self.take_batch();
        if self.zxid > self.committed {
            // The head is ahead of what may be shown: of no role, or of one that has not begun to serve.
            let shown = self.state.store().published();
            batch.last_zxid = shown;
            batch.elements.iter_mut().for_each(|element| element.zxid = element.zxid.min(shown));
        }
        self.publish(batch);
        self.work();
        true
    }

    fn take_batch(&mut self) -> Batch {
        Batch {
            elements: gather::take(&mut self.elements),
            changes: self.outcome.changes.take(),
            replies: gather::take(&mut self.outcome.reply),
            last_zxid: self.zxid,
        }
    }

    /// Links the batch first, then says that its zxid may be read: whoever sees the zxid finds the batch.
    fn publish(&mut self, batch: Batch) {
        let zxid = batch.last_zxid;
        self.has_published = true;
        self.publisher.publish(batch);
        self.state.publish(zxid);
        self.plan.published(zxid);
        self.state.reclaim();
        let core = &self.stats.core;
        core.zxid.store(zxid.0, Relaxed);
        core.sessions.set(self.state.session_count() as u64);
        core.local_sessions.set(self.locals.len() as u64);
        core.ephemerals.set(self.state.ephemeral_count() as u64);
    }

    /// Whether nothing is waiting for the disk or for a shard: the server may stop. A member of an ensemble is to be told
    /// first, by [`Quorum::begin_stop`].
    pub fn is_idle(&self) -> bool {
        self.ensemble.as_ref().is_none_or(|ensemble| ensemble.may_stop()) && self.is_at_rest()
    }

    fn is_at_rest(&self) -> bool {
        self.in_flight.is_none()
            && self.held.is_none()
            && self.under_way.is_none()
            && self.log.is_idle()
            && self.backlog.is_empty()
            && self.elements.is_empty()
            && (self.waiting.is_empty() || !self.serves())
    }

    /// Adds a step that tells a connection something.
    fn tell(&mut self, shard: ShardId, conn: ConnId, what: Tell) {
        self.step(0..0, Some(Answer { shard, conn, what }));
    }

    fn step(&mut self, changes: Range<usize>, answer: Option<Answer>) {
        let changes = changes.start as u32..changes.end as u32;
        self.elements.push(Element { zxid: self.zxid, changes, answer });
    }

    /// Carries out one transaction of a session as its connection's identities; see [`Quorum::transact_as`].
    fn transact(
        &mut self,
        session: SessionId,
        cxid: i32,
        prepare: impl FnOnce(&mut State, &Context<'_>, &mut Outcome),
    ) -> (Range<usize>, Range<u32>) {
        let identities = self.live.get(&session).map(|live| live.identities.clone()).unwrap_or_default();
        self.transact_as(session, cxid, &identities, prepare)
    }

    /// Carries out one transaction: gives it a zxid, lets `prepare` fill the outcome, hands the bytes to the
    /// log. Returns the changes it made and the reply frame it wrote.
    fn transact_as(
        &mut self,
        session: SessionId,
        cxid: i32,
        identities: &Identities,
        prepare: impl FnOnce(&mut State, &Context<'_>, &mut Outcome),
    ) -> (Range<usize>, Range<u32>) {
        let (zxid, changes, reply) = self.prepare_as(session, cxid, identities, prepare);
        assert!(!self.state.is_under_way(), "what may take long is for `transact_then`");
        self.log_prepared(zxid, changes, reply)
    }

    /// Prepares one transaction, which may be under way only. Returns its zxid, and where what it changed and answered begins.
    fn prepare_as(
        &mut self,
        session: SessionId,
        cxid: i32,
        identities: &Identities,
        prepare: impl FnOnce(&mut State, &Context<'_>, &mut Outcome),
    ) -> (Zxid, usize, usize) {
        let zxid = self.next_zxid();
        let is_local = self.locals.may_ask(session);
        let context = Context { zxid, time_ms: self.time_ms, session, cxid, identities, is_local };
        let changes = self.outcome.changes.len();
        let reply = self.outcome.reply.len();
        self.outcome.txn.clear();
        prepare(&mut self.state, &context, &mut self.outcome);
        if self.outcome.txn.len() > self.options.max_txn {
            // A multi whose `auth` ACLs have grown beyond what a log frame holds: as if it had not been tried.
            self.state.undo(self.zxid);
            self.outcome.changes.truncate(changes);
            self.outcome.reply.truncate(reply);
            self.outcome.txn.clear();
            self.state.refuse(&context, ErrorCode::MarshallingError, &mut self.outcome);
        }
        if self.outcome.error == ErrorCode::ThrottledOp {
            self.throttled(session);
        }
        (zxid, changes, reply)
    }

    /// The transaction in the outcome is complete: it is proposed and logged.
    fn log_prepared(&mut self, zxid: Zxid, changes: usize, reply: usize) -> (Range<usize>, Range<u32>) {
        if self.proposing {
            self.proposals.push((zxid, self.outcome.txn.clone()));
            self.uncommitted.push(zxid, self.outcome.txn.len());
        }
        self.append_to_log(zxid, changes, reply)
    }

    /// A request would have made everybody wait for too long, or is one too many of a learner's.
    #[cold]
    fn throttled(&self, session: SessionId) {
        self.stats.core.throttled.add(1);
        tracing::debug!(%session, limit = limits::txn_cost(self.options.max_txn).units(), "refused as throttled");
    }

    /// Hands the transaction in the outcome to the log. What it changed and answered begins at `changes` and `reply`;
    /// returns where both are now.
    fn append_to_log(&mut self, zxid: Zxid, changes: usize, reply: usize) -> (Range<usize>, Range<u32>) {
        self.plan.count(self.outcome.txn.len());
        self.stats.core.transactions.add(1);
        let before = std::mem::replace(&mut self.zxid, zxid);
        match self.log.append(zxid, &self.outcome.txn) {
            Ok(()) => (changes..self.outcome.changes.len(), reply as u32..self.outcome.reply.len() as u32),
            Err(Refused::Full) => {
                let batch = Batch {
                    elements: std::mem::take(&mut self.elements),
                    changes: self.outcome.changes.split_off(changes),
                    replies: self.outcome.reply.split_off(reply),
                    last_zxid: before,
                };
                // What was split off is this transaction's, what stayed the group's: change places.
                let batch = Batch {
                    changes: std::mem::replace(&mut self.outcome.changes, batch.changes),
                    replies: std::mem::replace(&mut self.outcome.reply, batch.replies),
                    ..batch
                };
                self.held = Some((batch, zxid, std::mem::take(&mut self.outcome.txn)));
                (0..self.outcome.changes.len(), 0..self.outcome.reply.len() as u32)
            }
            Err(Refused::TooLong) => unreachable!("what is too long has been refused before"),
        }
    }
}
