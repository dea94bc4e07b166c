//! A member of an ensemble, the owner of a core: elections, the two roles (following and leading), and the changes
//! between them.
//!
//! `zab` decides; the member carries out its decisions on the core. Work outside (connections, epochs on disk,
//! truncation of the log) leaves as [`Effect`](super::interface::Effect)s, and its results come back as
//! [`PeerInput`](super::interface::PeerInput)s. Transactions are applied at the head when they are proposed, above
//! everything that readers see. The watermark follows transactions that are both durable here and committed. So at the
//! end of a role the tree is exactly the state of the log, and the election is told only this state.
//!
//! Inputs come in through `dispatch`, effects leave through `outbox`. What each role does is in `joining`, `following`
//! and `leading`; what a member without a role does is in `voting` and `read_only`; the end of a role is in `leaving`.
//! The data of each role is in `roles`.

mod applying;
mod dispatch;
mod early_learners;
mod epochs;
mod following;
mod forwarded;
mod forwarded_identities;
mod handover;
mod joining;
mod leading;
mod leaving;
mod outbox;
mod owners;
mod passwords;
mod read_only;
mod reconfig;
mod records;
mod requests;
mod roles;
mod session_queue;
mod status;
mod upgrade;
mod voting;

use super::core::{Core, LocalRules};
use super::interface::{Effect, EnsembleOptions, Record, ServerState};
use crate::fatal::{Fatal, Reason};
use crate::ids::Zxid;
use crate::zab::agreed::Agreed;
use crate::zab::election::{self, Election};
use crate::zab::epochs::Epochs;
use crate::zab::history::{History, HistoryLimits};
use crate::zab::links::{self, Links};
use early_learners::EarlyLearners;
use outbox::Outbox;
use records::Records;
use roles::Role;
use session_queue::SessionQueues;

/// A member. See the module's text.
pub struct Member {
    pub(super) core: Core,
    options: EnsembleOptions,
    election: Election,
    links: Links,
    /// As on disk.
    epochs: Epochs,
    /// As on disk when all requested writes are done.
    epochs_asked: Epochs,
    /// `Some` only between two roles; otherwise the role owns it.
    history: Option<History>,
    has_database: bool,
    role: Role,
    outbox: Outbox,
    /// Requests of sessions that are under way or wait for those.
    requests: SessionQueues,
    /// See [`crate::zab::leader::Options::heard_epoch`].
    heard_epoch: i64,
    /// The process is to end.
    stopping: bool,
    /// This server gave up the lead, and is no candidate for a while.
    yields: bool,
    search: Search,
    /// Learners that connected before this server led.
    early_learners: EarlyLearners,
    records: Records,
    /// The present agreement beside transactions.
    agreed: Agreed,
    /// How often shards were told how to check passwords: the number of the last time.
    passwords_number: u64,
    /// The server's log output has said how passwords are made.
    passwords_said: bool,
}

/// How a member looks for a leader.
struct Search {
    /// An observer does not look for a leader before this time, monotonic ms.
    rests_until_ms: i64,
    /// When this member began to look for a leader, monotonic ms.
    since_ms: i64,
    /// How often an observer has tried a voter in place of the leader.
    masters_asked: u64,
    /// How many voters in a row disconnected this observer before it was up to date.
    masters_failed: usize,
    /// Reads are served without a leader.
    reads_only: bool,
}

impl Member {
    /// A member that has not looked for a leader yet: it serves no client until it leads or follows. The core must be
    /// new, and made for a member.
    pub(super) fn new(mut core: Core, mut options: EnsembleOptions) -> Member {
        assert!(core.options().member && core.is_at_rest(false), "a member from the beginning, or never");
        assert_eq!(options.history.last(), core.head(), "the log's end is the tree's");
        options.config = records::config_at_start(&core, &options.config);
        let settings = options.settings.clone();
        core.sessions.locals.set_rules(LocalRules {
            opens: settings.local_sessions,
            upgrades: settings.local_session_upgrading,
            server: options.id.0 as u8,
            // Twice the time that a learner may lag behind before it is dropped.
            echo_ms: 2 * i64::from(settings.sync_limit) * core.config().tick_ms(),
        });
        let times = election::Settings {
            min_notification_interval_ms: i64::from(settings.min_notification_ms),
            max_notification_interval_ms: i64::from(settings.max_notification_ms),
            adopt_configs: core.config().reconfig_enabled,
            ..election::Settings::default()
        };
        let config = options.config.clone();
        let addresses = options.election_addresses.clone();
        let addresses: Vec<_> = addresses.iter().map(|(host, port)| (host.as_str(), *port)).collect();
        let history = std::mem::replace(&mut options.history, History::new(HistoryLimits::default(), Zxid::ZERO));
        let mut member = Member {
            core,
            election: Election::new(options.id, config.clone(), times),
            links: Links::new(options.id, &config, &addresses, settings.multi_address, links::Settings::default()),
            epochs: options.epochs,
            epochs_asked: options.epochs,
            history: Some(history),
            has_database: options.has_database,
            role: Role::Leaving,
            outbox: Outbox::default(),
            requests: SessionQueues::default(),
            heard_epoch: 0,
            stopping: false,
            yields: false,
            search: Search {
                rests_until_ms: i64::MIN,
                since_ms: i64::MAX,
                masters_asked: 0,
                masters_failed: 0,
                reads_only: false,
            },
            early_learners: EarlyLearners::default(),
            records: Records::default(),
            agreed: options.secrets.held.at(options.epochs.current),
            passwords_number: 0,
            passwords_said: false,
            options,
        };
        member.begin_secrets();
        member.publish_status();
        member
    }

    /// This server's state in its ensemble.
    pub(super) fn server_state(&self) -> ServerState {
        match &self.role {
            Role::Leaving | Role::Looking | Role::Joining(_) | Role::Stopped => ServerState::Looking,
            Role::Following(following) if following.is_observer() => ServerState::Observing,
            Role::Following(_) => ServerState::Following,
            Role::Leading(_) => ServerState::Leading,
        }
    }

    /// Whether clients are served.
    pub(super) fn serves(&self) -> bool {
        match &self.role {
            Role::Following(following) => following.serves,
            Role::Leading(leading) => leading.serves,
            _ => false,
        }
    }

    /// Whether the process may end.
    pub(super) fn is_idle(&self) -> bool {
        let may_stop = !self.stopping || matches!(self.role, Role::Stopped);
        may_stop && self.core.is_at_rest(self.serves())
    }

    /// Whether one more request may be forwarded to the leader; always true if this server does not follow.
    fn leader_takes(&self) -> bool {
        match &self.role {
            Role::Following(following) => following.under_way.has_room(),
            _ => true,
        }
    }

    /// On a follower: bytes of requests that the leader has. On a leader: bytes of requests that learners have
    /// forwarded.
    #[cfg(any(test, feature = "sim"))]
    pub(super) fn bytes_under_way(&self) -> usize {
        match &self.role {
            Role::Following(following) => following.under_way.bytes(),
            Role::Leading(leading) => leading.forwarded.bytes(),
            _ => 0,
        }
    }

    /// On a leader: how many sessions are connected to learners.
    #[cfg(test)]
    pub(super) fn owned_sessions(&self) -> usize {
        if let Role::Leading(leading) = &self.role { leading.owned() } else { 0 }
    }

    /// So many ticks, ms.
    fn ticks_ms(&self, ticks: u32) -> i64 {
        i64::from(ticks) * self.core.config().tick_ms()
    }

    /// Whether more bytes from the leader may be taken in: those that wait here are below their limit.
    pub(super) fn takes_from_leader(&self) -> bool {
        match &self.role {
            Role::Following(following) => following.inbox.len() < following.inbox_limit,
            _ => true,
        }
    }

    /// Takes the work to do outside, in order.
    pub(super) fn take_effects(&mut self) -> Vec<Effect> {
        self.outbox.take()
    }

    /// The last transaction that is known to be committed. The visible zxid may be an epoch's first, which no
    /// transaction has.
    fn committed_in(&self, history: &History) -> Zxid {
        let shown = self.core.shown();
        history.at_or_before(shown).unwrap_or(shown).min(history.last())
    }

    /// Asks for these epochs to be written.
    fn write_epochs(&mut self, epochs: Epochs) {
        self.epochs_asked = epochs;
        self.outbox.push(Effect::Record(Record::Epochs(epochs)));
    }

    /// The state may be wrong: the process is to end.
    fn fail(&mut self, reason: Reason, detail: impl Into<String>) {
        self.outbox.push(Effect::Fail(Fatal::new(reason, detail)));
    }
}
