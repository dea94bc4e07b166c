//! The quorum brain as a member of an ensemble: elections, the two roles, and the changes between them.
//!
//! `zab` decides; this carries out what it says on the tree, the log and the sequence that the shards read. What is to be
//! done outside (connections, epochs on disk, cutting the log) leaves as [`Effect`]s, and what came of it comes back as
//! [`PeerInput`]s. Transactions are applied at the head as they are proposed, above everything a reader sees, and the
//! watermark follows what is both durable here and committed; so the end of a role leaves a tree that is exactly the
//! log, and an election is told of nothing else.
//!
//! A role ends in steps: clients are told to go, nothing new is taken, the writes of log and epochs under way are awaited;
//! only then does this server look for a leader again.

mod asked;
mod early;
mod following;
mod handover;
mod interface;
mod leading;
mod masters;
mod read_only;
mod reconfig;
mod rollover;
mod told;
mod upgrade;
mod voting;

use super::Quorum;
use super::local::LocalRules;
use crate::fatal::{Fatal, Reason};
use crate::ids::{ConnId, SessionId, Zxid};
use crate::jute::election::PeerState;
use crate::server::message::{Adopted, Adoption, Answer, Ask, Batch, Element, Item, ShardId, Tell};
use crate::storage::log::writer::LogWriter;
use crate::tree::state::State;
use crate::zab::election::{self, Election, LogEnd, Settled};
use crate::zab::epochs::{Epochs, first_zxid};
use crate::zab::history::{History, HistoryLimits, Txn};
use crate::zab::leader::{self, PeerId};
use crate::zab::links::{self, Links};
use crate::zab::voters::Config;
use asked::Asked;
use early::Early;
use following::Following;
pub use interface::{Effect, EnsembleOptions, Listen, PeerInput, Record, RoleSettings, Standing};
use leading::Leading;
use masters::Joining;
use reconfig::Records;
use std::collections::{BTreeMap, BTreeSet};

enum Role {
    /// The last role is over, the writes of log and epochs are awaited.
    Leaving,
    Looking,
    /// A leader is known and is being connected to.
    Joining(Joining),
    Following(Box<Following>),
    Leading(Box<Leading>),
    /// The process is about to end.
    Stopped,
}

/// The ensemble, as this member sees it.
pub struct Ensemble {
    options: EnsembleOptions,
    election: Election,
    links: Links,
    /// On disk.
    epochs: Epochs,
    /// On disk when everything that was asked for is written.
    epochs_asked: Epochs,
    /// Here between two roles; a role has it else.
    history: Option<History>,
    has_database: bool,
    role: Role,
    effects: Vec<Effect>,
    /// What goes to each learner in this turn, and to the leader.
    to_learners: BTreeMap<PeerId, Vec<u8>>,
    to_leader: Vec<u8>,
    /// What sessions asked for that is not answered by the next transaction in line.
    asked: BTreeMap<SessionId, Asked>,
    /// Sessions of which something that waited could go on if there were room for it.
    crowded: BTreeSet<SessionId>,
    /// Syncs under way, by tag.
    syncs: BTreeMap<u64, Syncing>,
    next_sync: u64,
    /// The process is to end.
    stopping: bool,
    /// This server gave up the lead: others are to have it.
    yields: bool,
    /// An observer looks for a leader no earlier.
    rests_until_ms: i64,
    /// Since when it looks for one.
    looks_since_ms: i64,
    /// How often an observer has asked a voter to take it in.
    masters_asked: u64,
    /// Reads are served without a leader.
    reads_only: bool,
    /// Learners that came before this server led.
    early: Early,
    records: Records,
}

/// A sync that waits for its answer.
struct Syncing {
    session: SessionId,
    shard: ShardId,
    conn: ConnId,
    xid: i32,
    path: Vec<u8>,
}

impl Ensemble {
    /// A member that has not looked for a leader yet.
    pub fn new(mut options: EnsembleOptions) -> Ensemble {
        let config = options.config.clone();
        let addresses = options.election_addresses.clone();
        let addresses: Vec<_> = addresses.iter().map(|(host, port)| (host.as_str(), *port)).collect();
        let history = std::mem::replace(&mut options.history, History::new(HistoryLimits::default(), Zxid::ZERO));
        Ensemble {
            election: Election::new(options.id, config.clone(), options.election),
            links: Links::new(options.id, &config, &addresses, options.announces_all, options.links),
            epochs: options.epochs,
            epochs_asked: options.epochs,
            history: Some(history),
            has_database: options.has_database,
            role: Role::Leaving,
            effects: vec![],
            to_learners: BTreeMap::new(),
            to_leader: vec![],
            asked: BTreeMap::new(),
            crowded: BTreeSet::new(),
            syncs: BTreeMap::new(),
            next_sync: 0,
            stopping: false,
            yields: false,
            rests_until_ms: i64::MIN,
            looks_since_ms: i64::MAX,
            masters_asked: 0,
            reads_only: false,
            early: Early::default(),
            records: Records::default(),
            options,
        }
    }

    /// What this server is now.
    pub fn standing(&self) -> Standing {
        match &self.role {
            Role::Leaving | Role::Looking | Role::Joining(_) | Role::Stopped => Standing::Looking,
            Role::Following(following) if following.is_observer() => Standing::Observing,
            Role::Following(_) => Standing::Following,
            Role::Leading(_) => Standing::Leading,
        }
    }

    /// Whether the process may end, as far as the ensemble goes.
    pub fn may_stop(&self) -> bool {
        !self.stopping || matches!(self.role, Role::Stopped)
    }

    /// Whether clients are served.
    pub fn serves(&self) -> bool {
        match &self.role {
            Role::Following(following) => following.serves(),
            Role::Leading(leading) => leading.serves(),
            _ => false,
        }
    }

    /// Asks for these epochs to be written.
    fn write_epochs(&mut self, epochs: Epochs) {
        self.epochs_asked = epochs;
        self.effects.push(Effect::Record(Record::Epochs(epochs)));
    }

    /// Whether the epochs on disk are those of a log that ends at `durable`, and nothing else is being written. A role may
    /// end with a leader's transactions on disk and the acknowledgement of that leader not written yet: what a start would
    /// find and put right is put right here.
    fn has_epochs_of(&mut self, durable: Zxid) -> bool {
        if self.epochs != self.epochs_asked {
            return false;
        }
        match self.epochs.at_start(durable) {
            Ok(epochs) if epochs == self.epochs => true,
            Ok(epochs) => {
                self.write_epochs(epochs);
                false
            }
            Err(error) => {
                self.effects.push(Effect::Fail(Fatal::new(Reason::EpochsLost, error.to_string())));
                false
            }
        }
    }

    /// Observers come back after the voters, who have to find a leader first, and not all at a time (ZooKeeper 3.9,
    /// `Observer.waitForObserverElectionDelay`; where it draws a number, here a server's own number spreads them).
    fn rest(&mut self, now: i64) {
        let delay_ms = self.options.roles.observer_delay_ms;
        if delay_ms > 0 && !self.election.config().is_voter(self.options.id) {
            let spread = (self.options.id.0 as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
            self.rests_until_ms = now + 1 + (spread % delay_ms as u64) as i64;
        }
    }

    /// What there is to do.
    fn take_effects(&mut self) -> Vec<Effect> {
        for (peer, bytes) in std::mem::take(&mut self.to_learners) {
            if !bytes.is_empty() {
                self.effects.push(Effect::ToLearner { peer, bytes });
            }
        }
        if !self.to_leader.is_empty() {
            self.effects.push(Effect::ToLeader(std::mem::take(&mut self.to_leader)));
        }
        std::mem::take(&mut self.effects)
    }

    fn close_learner(&mut self, peer: PeerId) {
        if let Some(bytes) = self.to_learners.remove(&peer).filter(|bytes| !bytes.is_empty()) {
            self.effects.push(Effect::ToLearner { peer, bytes });
        }
        self.effects.push(Effect::CloseLearner(peer));
    }
}

impl Quorum {
    /// Makes this brain a member of an ensemble: it serves nobody until it has found its place. To be called once,
    /// before anything else happens.
    pub fn join(&mut self, mut options: EnsembleOptions) {
        assert!(self.ensemble.is_none() && self.elements.is_empty(), "a member from the beginning, or never");
        assert_eq!(options.history.last(), self.zxid, "the log's end is the tree's");
        self.committed = self.state.store().published();
        assert!(self.is_member, "said from the beginning");
        options.election.adopt_configs = self.reconfig_enabled();
        if !self.reconfig_enabled() {
            options.config = Config::new(options.config.current().clone(), None);
        }
        self.locals.set_rules(LocalRules {
            opens: options.roles.local_sessions,
            upgrades: options.roles.local_session_upgrading,
            server: options.id.0 as u8,
            // Twice what a learner may lag behind without being given up.
            echo_ms: 2 * options.sync_limit * options.tick_ms,
        });
        let ensemble = Ensemble::new(options);
        self.tell_standing(&ensemble);
        self.ensemble = Some(Box::new(ensemble));
    }

    /// What this server is to its ensemble; `None` if it stands alone.
    pub fn standing(&self) -> Option<Standing> {
        self.ensemble.as_ref().map(|ensemble| ensemble.standing())
    }

    /// Whether clients are served.
    pub fn serves(&self) -> bool {
        self.ensemble.as_ref().is_none_or(|ensemble| ensemble.serves())
    }

    /// Takes in what happened between this member and the others.
    pub fn peer(&mut self, input: PeerInput<'_>) {
        self.in_ensemble(|core, ensemble| {
            let now = core.clock.mono_ms;
            let mut settled = None;
            match input {
                PeerInput::Dialled { peer, link } => {
                    ensemble.link(links::Input::Dialled { peer, link }, now, &mut settled);
                }
                PeerInput::DialFailed { peer } => ensemble.link(links::Input::DialFailed { peer }, now, &mut settled),
                PeerInput::Accepted { link, initial } => {
                    ensemble.link(links::Input::Accepted { link, initial }, now, &mut settled);
                }
                PeerInput::Received { link, bytes } => {
                    ensemble.link(links::Input::Received { link, bytes }, now, &mut settled);
                }
                PeerInput::Written { link } => ensemble.link(links::Input::Written { link }, now, &mut settled),
                PeerInput::Closed { link } => ensemble.link(links::Input::Closed { link }, now, &mut settled),
                PeerInput::Learner(peer) => core.learner_connected(ensemble, peer),
                PeerInput::FromLearner { peer, bytes } => core.learner_sent(ensemble, peer, bytes),
                PeerInput::LearnerGone(peer) => core.learner_gone(ensemble, peer),
                PeerInput::Leader => core.leader_connected(ensemble),
                PeerInput::NoLeader => core.no_leader(ensemble),
                PeerInput::FromLeader(bytes) => core.leader_sent(ensemble, bytes),
                PeerInput::LeaderGone => core.leader_gone(ensemble),
                PeerInput::EpochsWritten(epochs) => {
                    ensemble.epochs = epochs;
                    core.epochs_durable(ensemble, epochs);
                }
                PeerInput::ConfigWritten(number) => core.config_written(ensemble, number),
                PeerInput::LogCut(zxid) => core.log_cut(ensemble, zxid),
                PeerInput::LogCutFailed => core.log_cut_failed(ensemble),
                PeerInput::SnapshotInstalled(zxid) => core.snapshot_installed(ensemble, zxid),
                PeerInput::LogRead { peer, part } => core.step_leader(ensemble, leader::Input::LogRead(peer, part)),
                PeerInput::SnapshotProgress(peer) => core.step_leader(ensemble, leader::Input::SnapshotProgress(peer)),
                PeerInput::SnapshotSent { peer, zxid } => {
                    core.step_leader(ensemble, leader::Input::SnapshotSent(peer, zxid));
                }
            }
            if let Some(settled) = settled {
                core.take_role(ensemble, &settled);
            }
        });
        self.work();
    }

    /// The log was cut, and goes on with this writer. Nothing of the old one is under way.
    pub fn continue_log(&mut self, log: LogWriter) {
        assert!(self.log.is_idle() && self.in_flight.is_none() && self.held.is_none(), "the log is at rest");
        self.log = log;
    }

    /// What is to be done outside, in order.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        self.ensemble.as_mut().map(|ensemble| ensemble.take_effects()).unwrap_or_default()
    }

    /// Runs `body` on the brain and its membership side by side.
    pub(super) fn in_ensemble<T: Default>(&mut self, body: impl FnOnce(&mut Quorum, &mut Ensemble) -> T) -> T {
        let Some(mut ensemble) = self.ensemble.take() else { return T::default() };
        let result = body(self, &mut ensemble);
        self.ensemble = Some(ensemble);
        result
    }

    /// Goes on with what peers have sent, as far as the log has room.
    pub(super) fn work_for_peers(&mut self) {
        self.in_ensemble(|core, ensemble| {
            core.read_leader(ensemble);
            core.ask_on_crowded(ensemble);
            core.work_forwarded(ensemble);
        });
    }

    /// Passes on what has come of this server's clients.
    pub(super) fn tell_peers(&mut self) {
        self.in_ensemble(|core, ensemble| {
            core.propose_all(ensemble);
            core.go_on_handing_over(ensemble);
            core.forward_fresh(ensemble);
        });
    }

    /// Shards have heard of these sessions.
    pub(super) fn touched_by_member(&mut self, sessions: &[SessionId]) {
        self.in_ensemble(|core, ensemble| core.touched_here(ensemble, sessions));
    }

    /// Time has passed: half a tick, as for everything else.
    pub(super) fn tick_ensemble(&mut self) {
        self.in_ensemble(|core, ensemble| {
            let now = core.clock.mono_ms;
            core.tick_role(ensemble);
            core.expire_local();
            let mut settled = ensemble.elect(election::Input::Tick, now);
            ensemble.link(links::Input::Tick, now, &mut settled);
            if let Some(settled) = settled {
                core.take_role(ensemble, &settled);
            }
            core.tell_standing(ensemble);
        });
    }

    /// The latest time by which [`Quorum::elapse`] must be called, ms: elections and redials are finer than ticks.
    pub fn deadline_ms(&self) -> Option<i64> {
        let ensemble = self.ensemble.as_ref().filter(|ensemble| !matches!(ensemble.role, Role::Stopped))?;
        let retry = match &ensemble.role {
            Role::Joining(joining) => joining.retry_at_ms,
            // At once, when nothing is awaited any more.
            Role::Leaving => (self.log.is_idle() && ensemble.epochs == ensemble.epochs_asked)
                .then_some(ensemble.rests_until_ms.max(self.clock.mono_ms)),
            _ => None,
        };
        [ensemble.election.deadline_ms(), ensemble.links.deadline_ms(), retry].into_iter().flatten().min()
    }

    /// The time of [`Quorum::deadline_ms`] has come.
    pub fn elapse(&mut self) {
        self.tick_ensemble();
        self.work();
    }

    fn tick_role(&mut self, ensemble: &mut Ensemble) {
        let now = self.clock.mono_ms;
        match &mut ensemble.role {
            Role::Leaving => self.left(ensemble),
            Role::Looking => self.tick_looking(ensemble),
            Role::Stopped => {}
            Role::Joining(joining) => {
                let mut joining = *joining;
                if now >= joining.until_ms {
                    tracing::warn!(
                        leader = joining.leader.0,
                        "the leader cannot be reached in time (connectToLearnerMasterLimit, else initLimit)"
                    );
                    self.leave_role(ensemble);
                } else if joining.retry_at_ms.is_some_and(|at_ms| now >= at_ms) {
                    joining.retry_at_ms = None;
                    ensemble.dial_leader(&mut joining, now);
                    ensemble.role = Role::Joining(joining);
                }
            }
            Role::Following(_) => self.tick_following(ensemble),
            Role::Leading(_) => self.tick_leading(ensemble),
        }
    }

    /// An election has ended: this server leads, or has somebody to follow.
    fn take_role(&mut self, ensemble: &mut Ensemble, settled: &Settled) {
        if !matches!(ensemble.role, Role::Looking) {
            return;
        }
        let now = self.clock.mono_ms;
        let leader = settled.vote.leader;
        if settled.state != PeerState::Looking {
            self.end_reading(ensemble);
        }
        tracing::info!(leader = leader.0, state = ?settled.state, round = settled.round, "elected");
        match settled.state {
            PeerState::Leading => self.lead(ensemble),
            PeerState::Looking => {}
            PeerState::Following | PeerState::Observing => {
                ensemble.dismiss_early();
                let given = &ensemble.options;
                let until_ms = now + given.roles.connect_limit.unwrap_or(given.init_limit) * given.tick_ms;
                let observer = settled.state == PeerState::Observing;
                let (master, since_ms, retry_at_ms, attempts) = (leader, now, None, 0);
                let mut joining = Joining { leader, master, observer, since_ms, until_ms, retry_at_ms, attempts };
                ensemble.dial_leader(&mut joining, now);
                ensemble.role = Role::Joining(joining);
            }
        }
    }

    /// The leader cannot be reached: one that opens its port only when it leads may not have found out yet that it does.
    fn no_leader(&mut self, ensemble: &mut Ensemble) {
        let now = self.clock.mono_ms;
        let most_ms = ensemble.options.roles.leader_connect_delay_ms;
        let Role::Joining(mut joining) = ensemble.role else { return };
        if now >= ensemble.refused_until_ms(&joining) {
            tracing::warn!(leader = joining.leader.0, "the leader refuses connections");
            return self.leave_role(ensemble);
        }
        joining.attempts += 1;
        joining.retry_at_ms = Some(now + most_ms.min(1 << (2 + joining.attempts).min(20)));
        ensemble.role = Role::Joining(joining);
    }

    /// One item from a shard, as this member's place has it.
    pub(super) fn member_item(&mut self, ensemble: &mut Ensemble, shard: ShardId, item: &Item, bytes: &[u8]) {
        match (&item.what, &ensemble.role) {
            (Ask::Collect(_) | Ask::Collected { .. } | Ask::Identities(_) | Ask::Disconnected, _) => {
                self.lone_item(shard, item, bytes);
            }
            (_, Role::Leading(leading)) if leading.serves() => self.leading_item(ensemble, shard, item, bytes),
            (_, Role::Following(following)) if following.serves() => self.following_item(ensemble, shard, item, bytes),
            (_, Role::Looking) => self.reading_item(ensemble, shard, item),
            _ => self.tell(shard, item.conn, Tell::Close),
        }
    }

    /// The role is over. Clients go first; what was asked and not proposed is dropped.
    fn leave_role(&mut self, ensemble: &mut Ensemble) {
        let mut unanswered = vec![];
        ensemble.rest(self.clock.mono_ms);
        match std::mem::replace(&mut ensemble.role, Role::Leaving) {
            Role::Following(following) => {
                ensemble.to_leader.clear();
                ensemble.effects.push(Effect::CloseLeader);
                let (history, waiting) = following.into_parts();
                ensemble.history = Some(history);
                unanswered = waiting;
            }
            Role::Leading(leading) => {
                let mut history = leading.into_history();
                // In the log, and no longer proposed.
                for (zxid, bytes) in self.proposals.drain(..) {
                    history.push(Txn { zxid, bytes: bytes.into() });
                }
                ensemble.history = Some(history);
            }
            Role::Joining(_) => ensemble.effects.push(Effect::CloseLeader),
            Role::Leaving | Role::Looking | Role::Stopped => {}
        }
        self.proposing = false;
        self.takes_nothing = false;
        ensemble.reads_only = false;
        // Whoever leads next knows nothing of these, nor does this server in another place.
        self.locals.clear();
        self.tell_place(ensemble);
        // Who asks meanwhile is not told that this server still has its place.
        ensemble.elect(election::Input::RoleEnded, self.clock.mono_ms);
        ensemble.asked.clear();
        ensemble.crowded.clear();
        ensemble.syncs.clear();
        self.dismiss_clients(unanswered);
        self.left(ensemble);
    }

    /// Looks for a leader, as soon as the log is at rest: what this server then says of itself is what its tree holds.
    fn left(&mut self, ensemble: &mut Ensemble) {
        if self.in_flight.is_some() || self.held.is_some() || !self.log.is_idle() {
            return;
        }
        if !ensemble.has_epochs_of(self.log.durable()) {
            return;
        }
        // What these told of is still at the head, and is shown when it is committed. Whom they would have answered waits
        // for nothing any more, though no session may speak for it: it is sent away like the others.
        let waiting = self.waiting.drain(..).flat_map(|batch| batch.elements);
        let answers = waiting.chain(self.elements.drain(..)).filter_map(|element| element.answer);
        let unanswered = answers.map(|answer| (answer.shard, answer.conn)).collect();
        self.outcome.changes.truncate(0);
        self.outcome.reply.clear();
        // A snapshot that waited until these are shown is of the head as it is now. They may never be shown without it, where
        // this server has to bring the others up to date first; and a leader may yet take them back.
        self.plan.published(self.zxid);
        self.dismiss_clients(unanswered);
        if ensemble.stopping {
            return self.stopped(ensemble);
        }
        if self.clock.mono_ms < ensemble.rests_until_ms {
            return;
        }
        ensemble.role = Role::Looking;
        ensemble.looks_since_ms = self.clock.mono_ms;
        let history = ensemble.history.as_ref().expect("no role has it");
        assert_eq!(history.last(), self.log.durable(), "what is reported is what is on disk");
        let log = ensemble.has_database.then_some(LogEnd { zxid: history.last(), epoch: ensemble.epochs.current });
        let now = self.clock.mono_ms;
        let yield_ms = ensemble.options.init_limit * ensemble.options.tick_ms;
        let yield_until_ms = std::mem::take(&mut ensemble.yields).then_some(now + yield_ms);
        let input = match ensemble.records.designated.take() {
            Some((leader, zxid)) => election::Input::Designated { leader, zxid, log },
            None => election::Input::Look { log, yield_until_ms },
        };
        if let Some(settled) = ensemble.elect(input, now) {
            self.take_role(ensemble, &settled);
        }
    }

    /// Closes every client's connection; sessions live on.
    fn dismiss_clients(&mut self, unanswered: Vec<(ShardId, ConnId)>) {
        let known = self.live.drain().map(|(_, live)| (live.shard, live.conn));
        let waiting = self.backlog.drain(..).flat_map(|inbound| {
            let asked = inbound.items.into_iter().filter(|item| !matches!(item.what, Ask::Collected { .. }));
            asked.map(move |item| (inbound.shard, item.conn))
        });
        let last_zxid = self.state.store().published();
        let close = |(shard, conn)| Element {
            zxid: last_zxid,
            changes: 0..0,
            answer: Some(Answer { shard, conn, what: Tell::Close }),
        };
        let elements = known.chain(unanswered).chain(waiting).map(close).collect();
        self.backlog_done = 0;
        self.has_published = true;
        self.publisher.publish(Batch { elements, last_zxid, ..Batch::default() });
    }

    /// Another state takes the place of this server's: shards read it from here on. Nobody is connected.
    fn adopt(&mut self, mut state: State, zxid: Zxid) {
        let last_zxid = self.state.store().published();
        // What is shown may be the beginning of an epoch, which no transaction has: it may lie behind the new state's end.
        let shown = zxid.max(last_zxid);
        state.publish(shown);
        let mut elements = vec![];
        for shard in 0..self.options.shards {
            let Ok(reader) = state.reader() else { continue };
            let adopted = Adopted { reader, store: state.store().store(), acls: state.acls() };
            let what = Tell::Adopt(Adoption::new(adopted));
            let conn = ConnId { slot: u32::MAX, generation: 0 };
            elements.push(Element {
                zxid: last_zxid,
                changes: 0..0,
                answer: Some(Answer { shard: shard as ShardId, conn, what }),
            });
        }
        self.has_published = true;
        self.publisher.publish(Batch { elements, last_zxid, ..Batch::default() });
        if let Ok(reader) = state.reader() {
            self.plan.begin_anew(reader, zxid);
        }
        self.state = state;
        self.zxid = shown;
        self.committed = shown;
    }

    /// The last transaction that is known to be committed. What is shown may be the beginning of an epoch, and is none.
    fn committed_in(&self, history: &History) -> Zxid {
        let shown = self.state.store().published();
        history.at_or_before(shown).unwrap_or(shown).min(history.last())
    }

    /// A new epoch begins, its first zxid is shown. All before it is committed.
    fn begin_epoch(&mut self, ensemble: &Ensemble, epoch: i64) {
        let first = first_zxid(epoch);
        self.show_config(ensemble, first);
        self.zxid = self.zxid.max(first);
        self.commit(first);
        if self.state.store().published() < first {
            self.publish(Batch { last_zxid: first, ..Batch::default() });
        }
    }

    /// Everything up to `zxid` is committed.
    fn commit(&mut self, zxid: Zxid) {
        self.committed = self.committed.max(zxid);
        self.publish_committed();
    }

    fn epochs_durable(&mut self, ensemble: &mut Ensemble, epochs: Epochs) {
        match &ensemble.role {
            Role::Following(_) => self.epochs_durable_following(ensemble, epochs),
            Role::Leading(_) => self.epochs_durable_leading(ensemble, epochs),
            Role::Leaving => self.left(ensemble),
            Role::Looking | Role::Joining(_) | Role::Stopped => {}
        }
    }

    /// The log has reached the disk up to `zxid`.
    pub(super) fn log_durable(&mut self, zxid: Zxid) {
        self.in_ensemble(|core, ensemble| match &ensemble.role {
            Role::Leaving => core.left(ensemble),
            Role::Following(_) => core.log_durable_following(ensemble, zxid),
            Role::Leading(_) => core.log_durable_leading(ensemble, zxid),
            Role::Looking | Role::Joining(_) | Role::Stopped => {}
        });
    }
}
