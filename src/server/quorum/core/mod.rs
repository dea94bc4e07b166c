//! The core of the quorum brain, the same for every owner: the tree's head, the log, the groups on their way from both
//! to the shards, and the sessions.
//!
//! A core prepares transactions or applies a leader's, gathers them for the log, and publishes those that are on disk
//! and committed. Elections and the connections to other members are not its concern: its owner decides what the core
//! does next. A lone server executes what its shards send; a member of an ensemble does so while it leads, and applies
//! its leader's transactions while it follows. [`Authority`] says which of these holds.
//!
//! The calls an owner makes are few: [`Core::execute`] a request, [`Core::transact`] and [`Core::transact_then`] for a
//! transaction of its own, [`Core::apply`] and [`Core::log_applied`] for a leader's, [`Core::commit`],
//! [`Core::take_back`], and [`Core::respond`], [`Core::step`] and [`Core::announce`] for what connections hear.

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

use crate::config::Config;
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
use snapshots::{SnapshotPlan, SnapshotRule};
use stall::Watchdog;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use under_way::UnderWay;
pub(super) use under_way::{Applying, Then};

/// What the core acts by, fixed at its start.
pub(crate) struct QuorumOptions {
    /// The server's configuration.
    pub config: Arc<Config>,
    pub shards: usize,
    /// A member of an ensemble: recovered transactions may not be committed yet, and no reader sees them.
    pub member: bool,
    /// From so many bytes of proposed, uncommitted transactions on nothing more is prepared:
    /// [`limits::UNCOMMITTED_BYTES`], except in tests.
    pub uncommitted_bytes: usize,
}

/// Which server decides what the next transaction is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Authority {
    /// This server alone: what is on its disk is committed.
    Alone,
    /// This server as the leader of an ensemble: the transactions it prepares are to be proposed.
    Leader,
    /// Another server, or none at the moment.
    Elsewhere,
}

/// The core. See the module's text.
pub(crate) struct Core {
    options: QuorumOptions,
    authority: Authority,
    state: State,
    groups: Groups,
    pub(super) sessions: Sessions,
    pub(super) proposals: Proposals,
    pub(super) backlog: Backlog,
    /// Nothing more is prepared: this server is about to hand over the lead.
    takes_nothing: bool,
    /// A transaction that is not complete; nothing more is prepared until it is.
    under_way: Option<UnderWay>,
    reaper: Reaper,
    plan: SnapshotPlan,
    watchdog: Watchdog,
    budget: Budget,
    clock: Clock,
    /// The time for the next transaction, ms since 1970: never goes back.
    time_ms: i64,
    last_tick_ms: i64,
    stats: Arc<Stats>,
}

impl Core {
    /// A core on recovered state: `zxid` is the last transaction in it, all of it is durable. `reader` is for
    /// snapshots.
    #[expect(clippy::too_many_arguments, reason = "the parts of a server, each used once")]
    pub(crate) fn new(
        options: QuorumOptions,
        mut state: State,
        reader: Reader,
        log: LogWriter,
        ids: SessionIds,
        zxid: Zxid,
        clock: Clock,
        stats: Arc<Stats>,
    ) -> Self {
        let (authority, committed) = if options.member {
            (Authority::Elsewhere, state.store().published())
        } else {
            state.publish(zxid);
            (Authority::Alone, Zxid(i64::MAX))
        };
        let now_ms = clock.mono_ms;
        let config = &options.config;
        let max_txn = log.max_txn();
        let outcome = Outcome { txn_limit: max_txn, cost_limit: limits::txn_cost(max_txn), ..Outcome::default() };
        stats.core.zxid.store(zxid.0, Relaxed);
        Core {
            sessions: Sessions::new(&state, ids, options.shards, config.tick_ms(), now_ms),
            groups: Groups::new(log, zxid, committed, outcome),
            watchdog: Watchdog::new(options.shards, now_ms),
            plan: SnapshotPlan::new(SnapshotRule::of(config), reader, zxid),
            reaper: Reaper::new(config, now_ms),
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

    /// A cursor into the sequence, for a shard: to be taken before anything is published.
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

    /// The reason to end the process, if a shard was stalled at the last tick.
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

    /// The server's configuration.
    pub(super) fn config(&self) -> &Config {
        &self.options.config
    }

    pub(super) fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The last zxid given out.
    pub(super) fn head(&self) -> Zxid {
        self.groups.head
    }

    /// The last zxid that readers see. It may be an epoch's first, which no transaction has.
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

    /// Whether a transaction waits for a frame of the log or is not complete: meanwhile no other one is prepared or
    /// applied.
    pub(super) fn is_busy(&self) -> bool {
        self.groups.is_full() || self.under_way.is_some()
    }

    /// Whether everything that was handed to the log is on disk.
    pub(super) fn is_written(&self) -> bool {
        self.groups.is_written()
    }

    /// Whether the log is not writing, and has nothing to write.
    pub(super) fn is_log_idle(&self) -> bool {
        self.groups.log.is_idle()
    }

    /// Whether everything that was accepted is complete, on disk here and committed, and its answers are published.
    pub(super) fn is_told(&self) -> bool {
        self.is_complete() && self.groups.is_committed()
    }

    /// For how long the log's present write has been in flight, ms; `None` if no write that carries transactions is.
    pub(super) fn write_takes_ms(&self) -> Option<i64> {
        self.groups.write_takes_ms(self.clock.mono_ms)
    }

    /// Whether nothing waits for the disk or for a shard. `serves`: groups that wait to be committed count, too.
    pub(super) fn is_at_rest(&self, serves: bool) -> bool {
        self.is_complete() && self.backlog.is_empty() && (self.groups.is_committed() || !serves)
    }

    /// Whether everything that was prepared or applied is complete, and on disk with its answers.
    fn is_complete(&self) -> bool {
        self.under_way.is_none() && self.groups.is_written() && self.groups.is_empty()
    }

    /// The first of the waiting requests. The shard's report of sessions that comes with them is taken in.
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

    /// A session id that no session has.
    pub(super) fn new_session(&mut self) -> SessionId {
        self.sessions.new_id(&self.state)
    }

    /// Whether a transaction is not complete.
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// The next write, if there is one and no other is in flight, and whether it carries transactions. The bytes are in
    /// the log writer's buffer.
    pub(super) fn next_write(&mut self) -> Option<(FrameWrite, bool)> {
        self.groups.next_write(self.clock.mono_ms)
    }

    /// The write is on disk; its transactions are published if they are committed. Returns up to where the log is
    /// durable now; `None` if the write carried no transactions.
    pub(super) fn written(&mut self) -> Option<Zxid> {
        let durable = self.groups.written()?;
        let took_ms = self.groups.write_took_ms(self.clock.mono_ms);
        self.stats.core.fsync.record(took_ms);
        if took_ms > i64::from(self.options.config.fsync_warning_ms) {
            tracing::warn!(took_ms, "a write of the log took long (fsync.warningthresholdms)");
        }
        self.publish_committed();
        Some(durable)
    }

    /// Whether anything was published since the last call: shards have a new batch to read.
    pub(super) fn take_published(&mut self) -> bool {
        self.groups.take_published()
    }

    /// Publishes the groups on disk that are committed.
    fn publish_committed(&mut self) {
        while let Some(batch) = self.groups.pop_committed() {
            self.publish(batch);
        }
    }

    /// Publishes answers that need no disk: everything they depend on is durable. To be called until it returns false:
    /// after a full group there may be more.
    pub(super) fn publish_answers(&mut self) -> bool {
        let Some(batch) = self.groups.take_answers(self.state.store().published()) else { return false };
        self.publish(batch);
        true
    }

    /// Links the batch first, then makes its zxid visible: a reader that sees the zxid finds the batch.
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

    /// Publishes these answers to connections or shards at once, at the visible zxid.
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

    /// The epoch begins: its first zxid becomes the head, unless the head is in the epoch already. `tell`: shards see
    /// it too, after the transactions on their way.
    pub(super) fn begin_epoch(&mut self, epoch: i64, tell: bool) {
        let first = first_zxid(epoch);
        // On a late learner the head may be in the new epoch already.
        if self.groups.head < first {
            self.groups.head = first;
            if tell {
                self.step(0..0, None);
            }
        }
        self.commit(first);
    }

    /// No client is served yet: everything that is committed and on disk becomes visible, at least up to `first`. There
    /// is no batch for transactions found in the log at the start or left by an earlier role. A batch whose end is not
    /// committed waits as a whole; its committed part becomes visible here. No watch misses an event: no client is
    /// connected yet.
    pub(super) fn show_committed(&mut self, first: Zxid) {
        let shown = self.groups.committed.min(self.durable()).max(first);
        if self.shown() < shown {
            self.groups.show(shown);
            self.publish(Batch { last_zxid: shown, ..Batch::default() });
        }
    }

    /// Writes the text of a configuration that comes from no transaction, unless readers may have seen a state of the
    /// same zxid.
    pub(super) fn show_config(&mut self, first: Zxid, text: &str, version: i64) {
        let stamp = self.state.head().max(first);
        if stamp > self.shown() {
            self.state.show_config(stamp, text.as_bytes(), version, self.time_ms);
        }
    }

    /// The text of the znode `/zookeeper/config` at the head; `None`: there is no such znode.
    pub(super) fn config_text(&self) -> Option<&[u8]> {
        self.state.find(CONFIG).map(|znode| znode.data().unwrap_or_default())
    }

    /// This server begins to lead: transactions it prepares from now on are to be proposed, and it decides which
    /// sessions expire.
    pub(super) fn begin_to_lead(&mut self) {
        self.sessions.begin_tracking(&self.state, self.clock.mono_ms);
        self.authority = Authority::Leader;
        self.proposals.forget_under_way();
    }

    /// This server no longer decides. Transactions that were prepared and not proposed stay among the proposals.
    pub(super) fn end_to_lead(&mut self) {
        self.authority = Authority::Elsewhere;
        self.proposals.forget_under_way();
    }

    /// True: nothing more is prepared, until it is set to false.
    pub(super) fn take_nothing(&mut self, takes_nothing: bool) {
        self.takes_nothing = takes_nothing;
    }

    /// The log was truncated after `zxid`; the same is done to the tree.
    pub(super) fn take_back(&mut self, zxid: Zxid) {
        // Only now, as a snapshot of the old state may have been under way. The visible zxid may be an epoch's first,
        // which no transaction has, so it may be after the truncation point.
        let end = zxid.max(self.shown());
        self.state.undo(end);
        self.groups.take_back(end);
    }

    /// The log continues with this writer. No write of the old writer is under way.
    pub(super) fn continue_log(&mut self, log: LogWriter) {
        assert!(self.groups.is_written(), "the log is at rest");
        self.groups.log = log;
    }

    /// Replaces the state: shards read the new one from now on. No client is connected. Fails if the new store has too
    /// few readers for all shards.
    pub(super) fn adopt(&mut self, mut state: State, zxid: Zxid) -> Result<(), StoreFull> {
        // The visible zxid may be an epoch's first, which no transaction has: it may be after the new state's last
        // transaction.
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

    /// The role is over: drops the groups that are on disk and not committed, and the gathering group. Their changes
    /// are still at the head, and become visible when they are committed. Returns the dropped answers: their
    /// connections must not wait for them any longer.
    pub(super) fn drop_unpublished(&mut self) -> Vec<Answer> {
        let unanswered = self.groups.drop_unpublished();
        // A snapshot that waits until these transactions are published is a snapshot of the present head. If this
        // server must first bring the others up to date with that snapshot, waiting would never end; and a leader may
        // still take the transactions back.
        self.plan.published(self.groups.head);
        unanswered
    }

    /// Sends a response to a connection, after everything that was prepared.
    pub(super) fn respond(&mut self, shard: ShardId, conn: ConnId, what: Response) {
        self.step(0..0, Some(Answer { shard, conn, what }));
    }

    /// Adds a step to the gathering group: changes, and what they mean for one connection.
    pub(super) fn step(&mut self, changes: Range<usize>, answer: Option<Answer>) {
        self.groups.step(changes, answer);
    }

    /// Sends a connection the reply that `put` writes.
    pub(super) fn reply(&mut self, shard: ShardId, conn: ConnId, put: impl FnOnce(&mut Vec<u8>)) {
        let frame = self.write_reply(put);
        self.respond(shard, conn, Response::Reply { frame, close: false });
    }

    /// Appends what `put` writes to the replies of the gathering group; returns where it is.
    pub(super) fn write_reply(&mut self, put: impl FnOnce(&mut Vec<u8>)) -> Range<u32> {
        let replies = &mut self.groups.outcome.reply;
        let start = replies.len() as u32;
        put(replies);
        start..replies.len() as u32
    }
}
