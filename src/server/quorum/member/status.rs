//! What a member publishes about itself for metrics and clients: its role and, as a leader, its followers.

use super::roles::Role;
use super::{Member, ServerState};
use crate::config::Present;
use crate::server::stats::Mode;
use std::sync::atomic::Ordering::Relaxed;

impl Member {
    /// Publishes the present role at once, because clients see it.
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

    /// Publishes the configuration by which this member acts.
    pub(super) fn publish_config(&self) {
        let membership = self.election.config().current().membership();
        let mut present = self.core.stats().quorum.present.lock().expect("no holder panics");
        if present.as_ref().is_some_and(|present| present.membership == *membership) {
            return;
        }
        *present = self.own_line().map(|own| Present { own: own.clone(), membership: membership.clone() });
    }

    /// Publishes everything; called every half tick.
    pub(super) fn publish_status(&self) {
        self.publish_role();
        self.core.stats().core.local_sessions.set(self.core.sessions.locals.len() as u64);
        let stats = &self.core.stats().quorum;
        stats.voters.set(self.election.config().current().voters().count() as u64);
        if let Role::Following(following) = &self.role {
            stats.master.set(following.master.0 as u64);
        }
        self.publish_learners();
    }

    /// Publishes the followers at every change, so that a leader that says it serves also shows its quorum.
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
