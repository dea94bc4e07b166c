//! The quorum brain as a member of an ensemble: elections, the two roles, and the changes between them.
//!
//! `zab` decides; this carries out what it says on the tree, the log and the sequence that the shards read. What is to be
//! done outside (connections, epochs on disk, cutting the log) leaves as [`Effect`]s, and what came of it comes back as
//! [`PeerInput`]s. Transactions are applied at the head as they are proposed, above everything a reader sees, and the
//! watermark follows what is both durable here and committed; so the end of a role leaves a tree that is exactly the
//! log, and an election is told of nothing else.
//!
//! What each role does is in `joining`, `following` and `leading`, what a member without one does in `read_only`, and the end
//! of a role in `leaving`.

mod applying;
mod asked;
mod claimed;
mod early;
mod following;
mod forwarded;
mod handover;
mod interface;
mod joining;
mod leading;
mod leaving;
mod owners;
mod read_only;
mod reconfig;
mod rollover;
mod secrets;
mod shown;
mod told;
mod upgrade;
mod voting;

use super::Quorum;
use super::local::LocalRules;
use crate::fatal::{Fatal, Reason};
use crate::ids::{ConnId, SessionId, Zxid};
use crate::jute::election::PeerState;
use crate::server::message::{Ask, Item, ShardId, Tell};
use crate::storage::log::writer::LogWriter;
use crate::zab::agreed::Agreed;
use crate::zab::election::{self, Election, Settled};
use crate::zab::epochs::Epochs;
use crate::zab::history::{History, HistoryLimits};
use crate::zab::leader::{self, PeerId};
use crate::zab::links::{self, Links};
use asked::Asked;
use early::Early;
use following::Following;
pub use interface::{Effect, EnsembleOptions, Listen, PeerInput, Record, RoleSettings, Standing};
use joining::Joining;
use leading::Leading;
use reconfig::Records;
pub use secrets::MemberSecrets;
use std::collections::{BTreeMap, BTreeSet};
use voting::Verdict;

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
    /// See [`leader::Options::heard_epoch`].
    heard_epoch: i64,
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
    /// How many of them in a row have let this observer go before it was up to date.
    masters_failed: usize,
    /// Reads are served without a leader.
    reads_only: bool,
    /// Learners that came before this server led.
    early: Early,
    records: Records,
    /// What is agreed on beside transactions, as of now.
    agreed: Agreed,
    /// The log says how passwords are made.
    passwords_said: bool,
}

/// A sync that waits for its answer.
struct Syncing {
    session: SessionId,
    shard: ShardId,
    conn: ConnId,
    xid: i32,
    /// May be null.
    path: Option<Vec<u8>>,
    /// What it comes to while it is under way to the leader.
    bytes: usize,
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
            heard_epoch: 0,
            stopping: false,
            yields: false,
            rests_until_ms: i64::MIN,
            looks_since_ms: i64::MAX,
            masters_asked: 0,
            masters_failed: 0,
            reads_only: false,
            early: Early::default(),
            records: Records::default(),
            agreed: options.secrets.held.at(options.epochs.current),
            passwords_said: false,
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

    /// Truth is in doubt: the process is to end.
    fn fail(&mut self, reason: Reason, detail: impl Into<String>) {
        self.effects.push(Effect::Fail(Fatal::new(reason, detail)));
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
        options.config = self.config_at_start(&options.config);
        self.locals.set_rules(LocalRules {
            opens: options.roles.settings.local_sessions,
            upgrades: options.roles.settings.local_session_upgrading,
            server: options.id.0 as u8,
            // Twice what a learner may lag behind without being given up.
            echo_ms: 2 * options.sync_limit * options.tick_ms,
        });
        let mut ensemble = Ensemble::new(options);
        self.begin_secrets(&mut ensemble);
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
            let mut verdict = Verdict::default();
            match input {
                PeerInput::Dialled { peer, link } => {
                    ensemble.link(links::Input::Dialled { peer, link }, now, &mut verdict);
                }
                PeerInput::DialFailed { peer } => ensemble.link(links::Input::DialFailed { peer }, now, &mut verdict),
                PeerInput::Accepted { link, initial } => {
                    ensemble.link(links::Input::Accepted { link, initial }, now, &mut verdict);
                }
                PeerInput::Received { link, bytes } => {
                    ensemble.link(links::Input::Received { link, bytes }, now, &mut verdict);
                }
                PeerInput::Written { link } => ensemble.link(links::Input::Written { link }, now, &mut verdict),
                PeerInput::Closed { link } => ensemble.link(links::Input::Closed { link }, now, &mut verdict),
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
                PeerInput::LogCutFailed(to) => core.log_cut_failed(ensemble, to),
                PeerInput::SnapshotInstalled(zxid) => core.snapshot_installed(ensemble, zxid),
                PeerInput::LogRead { peer, part } => core.step_leader(ensemble, leader::Input::LogRead(peer, part)),
                PeerInput::SnapshotProgress(peer) => core.step_leader(ensemble, leader::Input::SnapshotProgress(peer)),
                PeerInput::SnapshotSent { peer, zxid } => {
                    core.step_leader(ensemble, leader::Input::SnapshotSent(peer, zxid));
                }
            }
            core.heed(ensemble, verdict);
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

    /// As a leader: how many sessions speak through learners.
    #[cfg(test)]
    pub(crate) fn owned_sessions(&self) -> usize {
        match self.ensemble.as_deref() {
            Some(Ensemble { role: Role::Leading(leading), .. }) => leading.owned(),
            _ => 0,
        }
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
            let mut verdict = ensemble.elect(election::Input::Tick, now);
            ensemble.link(links::Input::Tick, now, &mut verdict);
            core.heed(ensemble, verdict);
            core.tell_standing(ensemble);
        });
    }

    /// When an election, a redial or the end of a role wants to go on, ms.
    pub(super) fn ensemble_deadline_ms(&self) -> Option<i64> {
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

    fn tick_role(&mut self, ensemble: &mut Ensemble) {
        match &ensemble.role {
            Role::Leaving => self.left(ensemble),
            Role::Looking => self.tick_looking(ensemble),
            Role::Stopped => {}
            Role::Joining(_) => self.tick_joining(ensemble),
            Role::Following(_) => self.tick_following(ensemble),
            Role::Leading(_) => self.tick_leading(ensemble),
        }
    }

    /// An election has ended: this server leads, or has somebody to follow.
    fn take_role(&mut self, ensemble: &mut Ensemble, settled: &Settled) {
        if !matches!(ensemble.role, Role::Looking) {
            return;
        }
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
                ensemble.join(leader, settled.state == PeerState::Observing, self.clock.mono_ms);
            }
        }
    }

    /// One item from a shard, as this member's place has it.
    pub(super) fn member_item(&mut self, ensemble: &mut Ensemble, shard: ShardId, item: &Item, bytes: &[u8]) {
        match (&item.what, &ensemble.role) {
            (Ask::Collect(_) | Ask::Collected { .. } | Ask::Identities(_), _) => self.lone_item(shard, item, bytes),
            (Ask::Disconnected { .. }, _) => {
                self.drop_held(ensemble, shard, item);
                self.lone_item(shard, item, bytes);
            }
            (Ask::WrongPassword { passwords }, _) => self.wrong_password(ensemble, shard, item, *passwords),
            (_, Role::Leading(leading)) if leading.serves() => self.leading_item(ensemble, shard, item, bytes),
            (_, Role::Following(following)) if following.serves() => self.following_item(ensemble, shard, item, bytes),
            (_, Role::Looking) => self.reading_item(ensemble, shard, item),
            _ => self.tell(shard, item.conn, Tell::Close),
        }
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
