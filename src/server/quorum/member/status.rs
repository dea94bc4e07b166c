//! What a member says of itself to whoever counts and watches: its place, and as a leader who follows.

use super::roles::Role;
use super::{Member, ServerState};
use crate::config::Present;
use crate::server::stats::Mode;
use std::sync::atomic::Ordering::Relaxed;

impl Member {
    /// Its place, as of now: clients are told another one at once.
    pub(super) fn publish_role(&self) {
        let mode = match (self.server_state(), self.serves()) {
            (ServerState::Looking, _) if self.search.reads_only => Mode::ReadOnly,
            (_, false) | (ServerState::Looking, _) => Mode::NotServing,
            (ServerState::Leading, _) => Mode::Leader,
            (ServerState::Following, _) => Mode::Follower,
            (ServerState::Observing, _) => Mode::Observer,
        };
        self.core.stats().quorum.mode.store(mode as u8, Relaxed);
        self.publish_config();
    }

    /// The configuration that it acts by.
    pub(super) fn publish_config(&self) {
        let membership = self.election.config().current().membership();
        let mut present = self.core.stats().quorum.present.lock().expect("no holder panics");
        if present.as_ref().is_some_and(|present| present.membership == *membership) {
            return;
        }
        *present = self.own_line().map(|own| Present { own: own.clone(), membership: membership.clone() });
    }

    /// Everything, every half tick.
    pub(super) fn publish_status(&self) {
        self.publish_role();
        self.core.stats().core.local_sessions.set(self.core.sessions.locals.len() as u64);
        let stats = &self.core.stats().quorum;
        stats.voters.set(self.election.config().current().voters().count() as u64);
        if let Role::Following(following) = &self.role {
            stats.master.set(following.master().0 as u64);
        }
        self.publish_learners();
    }

    /// Who follows this leader: told as it changes, so that a leader that says it serves has those it serves with.
    pub(super) fn publish_learners(&self) {
        let stats = &self.core.stats().quorum;
        if let Role::Leading(leading) = &self.role {
            let census = leading.leader.census();
            stats.learners.set(census.learners as u64);
            stats.synced_followers.set(census.synced_followers as u64);
            stats.synced_non_voting.set(census.synced_non_voting as u64);
            stats.synced_observers.set(census.synced_observers as u64);
            stats.pending_syncs.set(census.pending_syncs as u64);
            let leads_for_ms = leading.leads_since_ms.map_or(0, |since_ms| self.core.now_ms() - since_ms);
            stats.leader_uptime_ms.set(leads_for_ms as u64);
        }
    }
}
