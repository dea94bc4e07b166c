//! What a member says of itself to whoever counts and watches: its place, and as a leader who follows.

use super::{Ensemble, Role, Standing};
use crate::config::Present;
use crate::server::quorum::Quorum;
use crate::server::stats::Mode;
use std::sync::atomic::Ordering::Relaxed;

impl Quorum {
    /// Its place, as of now: clients are told another one at once.
    pub(super) fn tell_place(&self, ensemble: &Ensemble) {
        let mode = match (ensemble.standing(), ensemble.serves()) {
            (Standing::Looking, _) if ensemble.reads_only => Mode::ReadOnly,
            (_, false) | (Standing::Looking, _) => Mode::NotServing,
            (Standing::Leading, _) => Mode::Leader,
            (Standing::Following, _) => Mode::Follower,
            (Standing::Observing, _) => Mode::Observer,
        };
        self.stats.quorum.mode.store(mode as u8, Relaxed);
        self.tell_config(ensemble);
    }

    /// The configuration that it acts by.
    pub(super) fn tell_config(&self, ensemble: &Ensemble) {
        let membership = ensemble.election.config().current().membership();
        let mut present = self.stats.quorum.present.lock().expect("no holder panics");
        if present.as_ref().is_some_and(|present| present.membership == *membership) {
            return;
        }
        *present = ensemble.own_line().map(|own| Present { own: own.clone(), membership: membership.clone() });
    }

    /// Everything, every half tick.
    pub(super) fn tell_standing(&self, ensemble: &Ensemble) {
        self.tell_place(ensemble);
        self.stats.core.local_sessions.set(self.locals.len() as u64);
        let stats = &self.stats.quorum;
        stats.voters.set(ensemble.election.config().current().voters().count() as u64);
        if let Role::Following(following) = &ensemble.role {
            stats.master.set(following.master().0 as u64);
        }
        self.tell_learners(ensemble);
    }

    /// Who follows this leader: told as it changes, so that a leader that says it serves has those it serves with.
    pub(super) fn tell_learners(&self, ensemble: &Ensemble) {
        let stats = &self.stats.quorum;
        if let Role::Leading(leading) = &ensemble.role {
            let census = leading.leader.census();
            stats.learners.set(census.learners as u64);
            stats.synced_followers.set(census.synced_followers as u64);
            stats.synced_non_voting.set(census.synced_non_voting as u64);
            stats.synced_observers.set(census.synced_observers as u64);
            stats.pending_syncs.set(census.pending_syncs as u64);
            let leads_for_ms = leading.leads_since_ms.map_or(0, |since_ms| self.clock.mono_ms - since_ms);
            stats.leader_uptime_ms.set(leads_for_ms as u64);
        }
    }
}
