//! The entrance of a member: passes each event (from shards, peers, the disk and the clock) to the file that handles
//! it, and runs the waiting work in a fixed order.

use super::Member;
use super::roles::Role;
use super::voting::Verdict;
use crate::ids::{SessionId, Zxid};
use crate::jute::election::PeerState;
use crate::server::message::{Command, Inbound, Item, Response, ShardId};
use crate::server::quorum::interface::PeerInput;
use crate::zab::election::{self, Settled};
use crate::zab::epochs::Epochs;
use crate::zab::leader;
use crate::zab::links;

impl Member {
    /// Takes the requests and reports that a shard sent.
    pub(in crate::server::quorum) fn handle(&mut self, mut inbound: Inbound) {
        if !self.core.decides()
            && let Some(touched) = inbound.touched.take()
        {
            // The leader is told of these sessions even while requests wait here, so that they stay alive.
            self.touched_here(&touched.sessions);
            self.core.touched(inbound.shard, &touched);
        }
        self.core.backlog.push(inbound);
        self.work();
    }

    /// Continues waiting work, as far as there is room: first the leader's messages, then requests of learners, then of
    /// this server's clients.
    pub(in crate::server::quorum) fn work(&mut self) {
        self.resume_under_way();
        self.read_leader();
        self.resume_crowded();
        self.work_forwarded();
        self.work_backlog();
        self.propose_all();
        self.advance_hand_over();
        self.forward_fresh();
    }

    fn work_backlog(&mut self) {
        while let Some(mut pending) = self.core.next_pending() {
            while let Some(item) = pending.item() {
                if !self.core.has_room() || !self.leader_takes() {
                    return self.core.backlog.put_back(pending);
                }
                self.core.charge_request(item.body.len());
                self.item(pending.inbound.shard, item, &pending.inbound.bytes);
                pending.done();
            }
        }
    }

    /// Continues the incomplete transaction, if there is one.
    fn resume_under_way(&mut self) {
        if let Some(applying) = self.core.resume() {
            self.applied(&applying);
        }
    }

    /// The write of the log is on disk.
    pub(in crate::server::quorum) fn written(&mut self) {
        if let Some(durable) = self.core.written() {
            self.log_durable(durable);
            self.work();
        }
    }

    /// Half a tick has passed.
    pub(in crate::server::quorum) fn tick(&mut self) {
        self.core.tick();
        self.core.expire_local();
        self.tick_ensemble();
        if self.core.decides() {
            let closed = self.core.expire();
            self.disown(&closed);
            self.core.begin_sweep();
            self.core.reap();
        }
        self.core.reclaim();
        self.work();
    }

    /// The latest time by which [`Member::elapse`] must be called, monotonic ms: elections, redials, the end of a role
    /// and the search for outlived znodes need finer times than ticks.
    pub(in crate::server::quorum) fn deadline_ms(&self) -> Option<i64> {
        let reaps = self.core.deadline_ms();
        let retry = match &self.role {
            Role::Stopped => return reaps,
            Role::Joining(joining) => joining.retry_at_ms,
            // At once, when no write is under way any more.
            Role::Leaving => (self.core.is_log_idle() && self.epochs == self.epochs_asked)
                .then_some(self.search.rests_until_ms.max(self.core.now_ms())),
            _ => None,
        };
        [self.election.deadline_ms(), self.links.deadline_ms(), retry, reaps].into_iter().flatten().min()
    }

    /// The time of [`Member::deadline_ms`] has come.
    pub(in crate::server::quorum) fn elapse(&mut self) {
        self.tick_ensemble();
        if self.core.decides() && self.core.begin_sweep() {
            self.core.reap();
        }
        self.work();
    }

    /// Continues the work that the last turn left over.
    pub(in crate::server::quorum) fn carry_on(&mut self) {
        if !self.core.goes_on() {
            return;
        }
        self.resume_under_way();
        if self.core.decides() {
            let closed = self.core.close_expired();
            self.disown(&closed);
            self.core.delete_reaped();
        }
        self.work();
    }

    /// Sessions have expired: they have no owner any more.
    fn disown(&mut self, sessions: &[SessionId]) {
        if let Role::Leading(leading) = &mut self.role {
            sessions.iter().for_each(|session| leading.owners.remove(*session));
        }
    }

    /// Takes in an event of this member's connections to the others, or the result of an effect.
    pub(in crate::server::quorum) fn peer(&mut self, input: PeerInput<'_>) {
        let mut verdict = Verdict::default();
        match input {
            PeerInput::Dialled { peer, link } => self.link(links::Input::Dialled { peer, link }, &mut verdict),
            PeerInput::DialFailed { peer } => self.link(links::Input::DialFailed { peer }, &mut verdict),
            PeerInput::Accepted { link, initial } => {
                self.link(links::Input::Accepted { link, initial }, &mut verdict);
            }
            PeerInput::Received { link, bytes } => self.link(links::Input::Received { link, bytes }, &mut verdict),
            PeerInput::Written { link } => self.link(links::Input::Written { link }, &mut verdict),
            PeerInput::Closed { link } => self.link(links::Input::Closed { link }, &mut verdict),
            PeerInput::Learner(peer) => self.learner_connected(peer),
            PeerInput::FromLearner { peer, bytes } => self.learner_sent(peer, bytes),
            PeerInput::LearnerGone(peer) => self.learner_gone(peer),
            PeerInput::Leader => self.leader_connected(),
            PeerInput::NoLeader => self.no_leader(),
            PeerInput::FromLeader(bytes) => self.leader_sent(bytes),
            PeerInput::LeaderGone => self.leader_gone(),
            PeerInput::EpochsWritten(epochs) => {
                self.epochs = epochs;
                self.epochs_durable(epochs);
            }
            PeerInput::ConfigWritten(number) => self.config_written(number),
            PeerInput::LogCut(zxid) => self.log_cut(zxid),
            PeerInput::LogCutFailed(to) => self.log_cut_failed(to),
            PeerInput::SnapshotInstalled(zxid) => self.snapshot_installed(zxid),
            PeerInput::LogRead { peer, part } => self.step_leader(leader::Input::LogRead(peer, part)),
            PeerInput::SnapshotProgress(peer) => self.step_leader(leader::Input::SnapshotProgress(peer)),
            PeerInput::SnapshotSent { peer, zxid } => self.step_leader(leader::Input::SnapshotSent(peer, zxid)),
        }
        self.heed(verdict);
        self.work();
    }

    /// Half a tick has passed, or a deadline has come.
    fn tick_ensemble(&mut self) {
        self.tick_role();
        let mut verdict = self.elect(election::Input::Tick);
        self.link(links::Input::Tick, &mut verdict);
        self.heed(verdict);
        self.publish_status();
    }

    fn tick_role(&mut self) {
        match &self.role {
            Role::Leaving => self.left(),
            Role::Looking => self.tick_looking(),
            Role::Stopped => {}
            Role::Joining(_) => self.tick_joining(),
            Role::Following(_) => self.tick_following(),
            Role::Leading(_) => self.tick_leading(),
        }
    }

    /// An election has ended: this server leads, or has found a leader to follow.
    pub(super) fn take_role(&mut self, settled: &Settled) {
        if !matches!(self.role, Role::Looking) {
            return;
        }
        let leader = settled.vote.leader;
        if settled.state != PeerState::Looking {
            self.end_reading();
        }
        tracing::info!(leader = leader.0, state = ?settled.state, round = settled.round, "elected");
        match settled.state {
            PeerState::Leading => self.lead(),
            PeerState::Looking => {}
            PeerState::Following | PeerState::Observing => {
                self.dismiss_early_learners();
                self.join(leader, settled.state == PeerState::Observing);
            }
        }
    }

    /// Handles one item from a shard, by this member's role.
    fn item(&mut self, shard: ShardId, item: &Item, bytes: &[u8]) {
        match (&item.what, &self.role) {
            (Command::Collect(_) | Command::Collected { .. } | Command::Identities(_), _) => {
                self.core.execute(shard, item, bytes);
            }
            (Command::Disconnected { .. }, _) => {
                self.drop_held(shard, item);
                self.core.execute(shard, item, bytes);
            }
            (Command::WrongPassword { passwords }, _) => self.wrong_password(shard, item, *passwords),
            (_, Role::Leading(leading)) if leading.serves => self.leading_item(shard, item, bytes),
            (_, Role::Following(following)) if following.serves => self.following_item(shard, item, bytes),
            (_, Role::Looking) => self.reading_item(shard, item),
            _ => self.core.respond(shard, item.conn, Response::Close),
        }
    }

    fn epochs_durable(&mut self, epochs: Epochs) {
        match &self.role {
            Role::Following(_) => self.epochs_durable_following(epochs),
            Role::Leading(_) => self.epochs_durable_leading(epochs),
            Role::Leaving => self.left(),
            Role::Looking | Role::Joining(_) | Role::Stopped => {}
        }
    }

    /// The log has reached the disk up to `zxid`.
    fn log_durable(&mut self, zxid: Zxid) {
        match &self.role {
            Role::Leaving => self.left(),
            Role::Following(_) => self.log_durable_following(zxid),
            Role::Leading(_) => self.log_durable_leading(zxid),
            Role::Looking | Role::Joining(_) | Role::Stopped => {}
        }
    }
}
