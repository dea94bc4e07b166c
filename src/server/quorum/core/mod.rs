//! The core of the quorum brain, whoever owns it: the tree's head, the log, the groups between the two and the shards, and
//! the sessions.
//!
//! A core prepares transactions or applies those of a leader, gathers them for the log, and publishes what is on disk and
//! committed. It does not know of elections, leaders and learners. What is next is decided by its owner
//! ([`Authority`]): a lone server carries out what its shards send; a member of an ensemble does so while it leads, and
//! applies what its leader sends while it follows.
//!
//! The calls an owner makes are few: [`Core::execute`] a request, [`Core::transact`] and [`Core::transact_then`] for a
//! transaction of its own, [`Core::apply`] and [`Core::log_applied`] for a leader's, [`Core::commit`], [`Core::take_back`], and
//! [`Core::respond`], [`Core::step`] and [`Core::announce`] for what connections hear.

mod backlog;
mod budget;
mod capture;
mod expiry;
mod groups;
mod local;
mod local_requests;
mod proposals;
mod reaper;
mod requests;
mod room;
mod sessions;
mod snapshots;
mod stall;
mod transact;
mod under_way;

use crate::fatal::Fatal;
use crate::ids::{ConnId, SessionId, Zxid};
use crate::limits;
use crate::server::message::{Adopted, Adoption, Answer, Batch, Clock, Cursor, Element, Response, ShardId, Touched};
use crate::server::stats::Stats;
use crate::session::SessionIds;
use crate::storage::log::writer::{FrameWrite, LogWriter};
use crate::tree::path::CONFIG;
use crate::tree::state::{Outcome, State};
use crate::tree::store::{Reader, StoreFull};
use crate::zab::epochs::first_zxid;
use backlog::{Backlog, Pending};
use budget::Budget;
use groups::Groups;
pub(super) use local::LocalRules;
use proposals::Proposals;
use reaper::Reaper;
pub(super) use sessions::{Live, Sessions};
use snapshots::SnapshotPlan;
pub(crate) use snapshots::SnapshotRule;
use stall::Watchdog;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use under_way::UnderWay;
pub(super) use under_way::{Applying, Then};

/// What the quorum brain is told once.
pub(crate) struct QuorumOptions {
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
    /// One of an ensemble: what was recovered may not be committed yet, and nobody sees it.
    pub member: bool,
    /// Bytes of transactions that are proposed and not committed; from there on nothing more is prepared
    /// ([`limits::UNCOMMITTED_BYTES`]).
    pub uncommitted_bytes: usize,
    /// The number of an epoch's last transaction: [`Zxid::LAST_COUNTER`], or less to see what comes then.
    pub last_counter: u32,
}

/// Who decides what the next transaction is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Authority {
    /// This server alone: what is on its disk is committed.
    Alone,
    /// This server as the leader of an ensemble: what it prepares is to be proposed.
    Leader,
    /// Another server, or nobody at the moment.
    Elsewhere,
}

/// The core. See the module's text.
pub struct Core {
    options: QuorumOptions,
    authority: Authority,
    state: State,
    groups: Groups,
    pub(super) sessions: Sessions,
    pub(super) proposals: Proposals,
    pub(super) backlog: Backlog,
    /// Nothing more is prepared: this server is about to hand over the lead.
    takes_nothing: bool,
    /// A transaction that is not complete; until it is nothing more is prepared.
    under_way: Option<UnderWay>,
    reaper: Reaper,
    plan: SnapshotPlan,
    watchdog: Watchdog,
    budget: Budget,
    clock: Clock,
    /// The time of the last transaction: never goes back.
    time_ms: i64,
    last_tick_ms: i64,
    stats: Arc<Stats>,
}

impl Core {
    /// A core on recovered state: `zxid` is the last transaction in it, all of it is durable. `reader` is for
    /// snapshots.
    #[expect(clippy::too_many_arguments, reason = "the parts of a server, each used once")]
    pub(crate) fn new(
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
        let (authority, committed) = if options.member {
            (Authority::Elsewhere, state.store().published())
        } else {
            state.publish(zxid);
            (Authority::Alone, Zxid(i64::MAX))
        };
        let now_ms = clock.mono_ms;
        let outcome =
            Outcome { txn_limit: options.max_txn, cost_limit: limits::txn_cost(options.max_txn), ..Outcome::default() };
        stats.core.zxid.store(zxid.0, Relaxed);
        Core {
            sessions: Sessions::new(&state, ids, options.shards, options.tick_ms, now_ms),
            groups: Groups::new(log, zxid, committed, outcome),
            watchdog: Watchdog::new(options.shards, now_ms),
            plan: SnapshotPlan::new(options.snapshots, reader, zxid),
            reaper: Reaper::new(options.reap_interval_ms, options.reap_per_minute, now_ms),
            authority,
            options,
            state,
            proposals: Proposals::default(),
            backlog: Backlog::default(),
            takes_nothing: false,
            under_way: None,
            budget: Budget::default(),
            clock,
            time_ms: 0,
            last_tick_ms: now_ms,
            stats,
        }
    }

    /// A place in the sequence for a shard: to be taken before anything is published.
    pub(crate) fn cursor(&self) -> Cursor {
        self.groups.publisher.cursor()
    }

    /// The state at its head.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// The log's writing end: the edge registers its buffers and hands in segments.
    pub(crate) fn log(&mut self) -> &mut LogWriter {
        &mut self.groups.log
    }

    /// Why the process must end: a shard stands still, as of the last tick.
    pub(super) fn stalled_shard(&self) -> Option<Fatal> {
        self.watchdog.stalled()
    }

    /// The monotonic time of this turn, ms.
    pub(super) fn now_ms(&self) -> i64 {
        self.clock.mono_ms
    }

    pub(super) fn options(&self) -> &QuorumOptions {
        &self.options
    }

    pub(super) fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The last zxid given away.
    pub(super) fn head(&self) -> Zxid {
        self.groups.head
    }

    /// The last zxid that readers see. It may be the beginning of an epoch, which no transaction has.
    pub(super) fn shown(&self) -> Zxid {
        self.state.store().published()
    }

    /// The last transaction that is on disk.
    pub(super) fn durable(&self) -> Zxid {
        self.groups.log.durable()
    }

    /// The last transaction that was handed to the log.
    pub(super) fn logged(&self) -> Zxid {
        self.groups.log.appended()
    }

    /// Whether a transaction waits for a frame of the log, or is not complete: nothing else is prepared or applied until then.
    pub(super) fn is_busy(&self) -> bool {
        self.groups.is_full() || self.under_way.is_some()
    }

    /// Whether all that was handed to the log is on disk.
    pub(super) fn is_written(&self) -> bool {
        self.groups.is_written()
    }

    /// Whether the log is not writing, and has nothing to write.
    pub(super) fn is_log_idle(&self) -> bool {
        self.groups.log.is_idle()
    }

    /// Whether all that was taken is complete and on disk here, and its answers are with the shards.
    pub(super) fn is_told(&self) -> bool {
        self.under_way.is_none() && self.groups.is_written() && self.groups.is_committed() && self.groups.is_empty()
    }

    /// For how long the log's write that is in flight has been so, ms.
    pub(super) fn write_takes_ms(&self) -> Option<i64> {
        self.groups.write_takes_ms(self.clock.mono_ms)
    }

    /// Whether nothing is waiting for the disk or for a shard. `serves`: what waits to be committed counts.
    pub(super) fn is_at_rest(&self, serves: bool) -> bool {
        self.under_way.is_none()
            && self.groups.is_written()
            && self.groups.is_empty()
            && self.backlog.is_empty()
            && (self.groups.is_committed() || !serves)
    }

    /// What was sent first of what waits to be carried out. Which sessions its shard had heard of is taken in.
    pub(super) fn next_pending(&mut self) -> Option<Pending> {
        let mut pending = self.backlog.pop()?;
        if let Some(touched) = pending.inbound.touched.take() {
            self.touched(pending.inbound.shard, &touched);
        }
        Some(pending)
    }

    /// A shard has heard of these sessions.
    pub(super) fn touched(&mut self, shard: ShardId, touched: &Touched) {
        self.sessions.touched(shard, &touched.sessions, touched.upto_ms, self.clock.mono_ms);
    }

    /// A session id that nobody has.
    pub(super) fn new_session(&mut self) -> SessionId {
        self.sessions.new_id(&self.state)
    }

    /// Whether a transaction is not complete.
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// The next write, if there is one and none is being written, and whether transactions go with it. The bytes are in the
    /// log writer's buffer.
    pub(super) fn next_write(&mut self) -> Option<(FrameWrite, bool)> {
        self.groups.next_write(self.clock.mono_ms)
    }

    /// The write is on disk, and what of it is committed is published. Returns up to where the log is durable now, if
    /// transactions were in the write.
    pub(super) fn written(&mut self) -> Option<Zxid> {
        let durable = self.groups.written()?;
        let took_ms = self.groups.write_took_ms(self.clock.mono_ms);
        self.stats.core.fsync.record(took_ms);
        if took_ms > self.options.slow_write_ms {
            tracing::warn!(took_ms, "a write of the log took long (fsync.warningthresholdms)");
        }
        self.publish_committed();
        Some(durable)
    }

    /// Whether anything was published since the last call: shards have something to see.
    pub(super) fn take_published(&mut self) -> bool {
        self.groups.take_published()
    }

    /// Publishes the groups on disk that are committed.
    fn publish_committed(&mut self) {
        while let Some(batch) = self.groups.pop_committed() {
            self.publish(batch);
        }
    }

    /// Publishes what needs no disk: answers that wait for nothing that is not durable yet. To be called until
    /// it says false: there may be more behind a group that was full.
    pub(super) fn publish_answers(&mut self) -> bool {
        let Some(batch) = self.groups.take_answers(self.state.store().published()) else { return false };
        self.publish(batch);
        true
    }

    /// Links the batch first, then says that its zxid may be read: whoever sees the zxid finds the batch.
    fn publish(&mut self, batch: Batch) {
        let zxid = batch.last_zxid;
        self.groups.publish(batch);
        self.state.publish(zxid);
        self.plan.published(zxid);
        self.state.reclaim();
        let core = &self.stats.core;
        core.zxid.store(zxid.0, Relaxed);
        core.sessions.set(self.state.session_count() as u64);
        core.local_sessions.set(self.sessions.locals.len() as u64);
        core.ephemerals.set(self.state.ephemeral_count() as u64);
    }

    /// Tells these connections, or shards, at once: in the state that is shown now.
    pub(super) fn announce(&mut self, answers: impl IntoIterator<Item = Answer>) {
        let last_zxid = self.shown();
        let element = |answer| Element { zxid: last_zxid, changes: 0..0, answer: Some(answer) };
        let elements = answers.into_iter().map(element).collect();
        self.groups.publish(Batch { elements, last_zxid, ..Batch::default() });
    }

    /// Everything up to `zxid` is committed.
    pub(super) fn commit(&mut self, zxid: Zxid) {
        self.groups.committed = self.groups.committed.max(zxid);
        self.proposals.commit(zxid);
        self.publish_committed();
    }

    /// The epoch begins: its first zxid is the head, if nothing in it is yet. `tell`: behind what is on its way.
    pub(super) fn begin_epoch(&mut self, epoch: i64, tell: bool) {
        let first = first_zxid(epoch);
        // Of a learner that is late the head may be in the new epoch already.
        if self.groups.head < first {
            self.groups.head = first;
            if tell {
                self.step(0..0, None);
            }
        }
        self.commit(first);
    }

    /// Nobody is served yet: everything that is committed and on disk is shown, `first` at least. No batch tells of what was
    /// found in the log at the start, or was left of a role before; and one that ends with what is not committed yet waits
    /// for that as a whole. Nobody watches what such a batch tells of and is shown here: whoever comes sees it.
    pub(super) fn show_committed(&mut self, first: Zxid) {
        let shown = self.groups.committed.min(self.durable()).max(first);
        if self.shown() < shown {
            self.groups.show(shown);
            self.publish(Batch { last_zxid: shown, ..Batch::default() });
        }
    }

    /// Writes the text of a configuration that comes from no transaction, unless readers have seen what stands there.
    pub(super) fn show_config(&mut self, first: Zxid, text: &str, version: i64) {
        let stamp = self.state.head().max(first);
        if stamp > self.shown() {
            self.state.show_config(stamp, text.as_bytes(), version, self.time_ms);
        }
    }

    /// The text of the configuration at the head; `None`: there is no such znode.
    pub(super) fn config(&self) -> Option<&[u8]> {
        self.state.find(CONFIG).map(|znode| znode.data().unwrap_or_default())
    }

    /// This server begins to lead: what it prepares from here on is to be proposed, and it decides which sessions expire.
    pub(super) fn begin_to_lead(&mut self) {
        self.sessions.begin_tracking(&self.state, self.clock.mono_ms);
        self.authority = Authority::Leader;
        self.proposals.forget_under_way();
    }

    /// This server decides no more. What was prepared and not proposed is still among the proposals.
    pub(super) fn end_to_lead(&mut self) {
        self.authority = Authority::Elsewhere;
        self.proposals.forget_under_way();
    }

    /// Nothing more is prepared, until it is said otherwise.
    pub(super) fn take_nothing(&mut self, takes_nothing: bool) {
        self.takes_nothing = takes_nothing;
    }

    /// The log was cut behind `zxid`, and so is the tree.
    pub(super) fn take_back(&mut self, zxid: Zxid) {
        // Only now: a snapshot of the state before may have been under way.
        // What is shown may be the beginning of an epoch, which no transaction has: it may lie behind the cut.
        let end = zxid.max(self.shown());
        self.state.undo(end);
        self.groups.take_back(end);
    }

    /// The log goes on with this writer. Nothing of the old one is under way.
    pub(super) fn continue_log(&mut self, log: LogWriter) {
        assert!(self.groups.is_written(), "the log is at rest");
        self.groups.log = log;
    }

    /// Another state takes the place of this one: shards read it from here on. Nobody is connected. Fails where not
    /// all of them can.
    pub(super) fn adopt(&mut self, mut state: State, zxid: Zxid) -> Result<(), StoreFull> {
        // What is shown may be the beginning of an epoch, which no transaction has: it may lie behind the new state's end.
        let shown = zxid.max(self.shown());
        state.publish(shown);
        let mut answers = vec![];
        for shard in 0..self.options.shards {
            let reader = state.reader()?;
            let adopted = Adopted { reader, store: state.store().store(), acls: state.acls() };
            answers.push(Answer::to_shard(shard as ShardId, Response::Adopt(Adoption::new(adopted))));
        }
        self.announce(answers);
        self.plan.begin_anew(state.reader()?, zxid);
        self.state = state;
        // Another state has another meter.
        self.budget.begin(self.state.meter().reading());
        self.groups.head = shown;
        self.groups.committed = shown;
        Ok(())
    }

    /// The role in which this was gathered is over: drops what is on disk and not committed, and all that has gathered. Its
    /// changes are still at the head, and are shown when they are committed. Returns what would have been told: whoever waits
    /// for that waits for nothing any more.
    pub(super) fn drop_unpublished(&mut self) -> Vec<Answer> {
        let unanswered = self.groups.drop_unpublished();
        // A snapshot that waited until these are shown is of the head as it is now. They may never be shown without it, where
        // this server has to bring the others up to date first; and a leader may yet take them back.
        self.plan.published(self.groups.head);
        unanswered
    }

    /// Tells a connection something, behind all that was prepared.
    pub(super) fn respond(&mut self, shard: ShardId, conn: ConnId, what: Response) {
        self.step(0..0, Some(Answer { shard, conn, what }));
    }

    /// Adds a step to the gathering group: changes, and what they mean for one connection.
    pub(super) fn step(&mut self, changes: Range<usize>, answer: Option<Answer>) {
        self.groups.step(changes, answer);
    }

    /// Tells a connection the reply that `put` writes.
    pub(super) fn reply(&mut self, shard: ShardId, conn: ConnId, put: impl FnOnce(&mut Vec<u8>)) {
        let frame = self.write_reply(put);
        self.respond(shard, conn, Response::Reply { frame, close: false });
    }

    /// Where among the replies of the gathering group lies what `put` writes to their end.
    pub(super) fn write_reply(&mut self, put: impl FnOnce(&mut Vec<u8>)) -> Range<u32> {
        let replies = &mut self.groups.outcome.reply;
        let start = replies.len() as u32;
        put(replies);
        start..replies.len() as u32
    }
}
