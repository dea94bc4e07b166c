//! The end of a member's work: a server that is told to stop, and a leader that makes way for another one.
//!
//! A leader that goes takes nothing more, lets what it has proposed be agreed on, and closes its learners' connections
//! when one of them holds everything. They elect at once: nobody has to find out by a timeout that the leader is gone,
//! and whoever holds most wins. A leader that stays in the ensemble, because only its disk is slow, votes for the
//! others from then on and does not stand itself for a while.

use super::{Effect, Ensemble, Role};
use crate::limits;
use crate::server::quorum::Quorum;
use crate::zab::{election, leader};

/// A leader that is going.
#[derive(Clone, Copy, Debug)]
pub(super) struct HandOver {
    /// Its process ends: it goes whether anybody can take over or not.
    stops: bool,
    until_ms: i64,
}

impl Quorum {
    /// The process is to end, and takes no more requests. [`Quorum::is_idle`] becomes true within
    /// `limits::HAND_OVER_MS` and the time of a write of the log, in whatever role; then it may end, and nothing that was
    /// acknowledged is lost. Called again it does nothing; inputs are to be given and effects to be carried out until then.
    pub fn begin_stop(&mut self) {
        self.in_ensemble(|core, ensemble| {
            if std::mem::replace(&mut ensemble.stopping, true) {
                return;
            }
            match &ensemble.role {
                Role::Leading(leading) if leading.serves() => core.begin_hand_over(ensemble, true),
                Role::Leading(_) => core.step_leader(ensemble, leader::Input::HandOver),
                _ => core.leave_role(ensemble),
            }
            core.go_on_handing_over(ensemble);
        });
    }

    /// A leader makes way for another one as soon as a follower holds all it has; if none does in time, it stays. Nothing
    /// happens in another role.
    pub fn hand_over(&mut self) {
        self.in_ensemble(|core, ensemble| {
            if matches!(&ensemble.role, Role::Leading(leading) if leading.serves()) {
                core.begin_hand_over(ensemble, false);
                core.go_on_handing_over(ensemble);
            }
        });
    }

    fn begin_hand_over(&mut self, ensemble: &mut Ensemble, stops: bool) {
        let now = self.clock.mono_ms;
        let Role::Leading(leading) = &mut ensemble.role else { return };
        if leading.handing_over.is_none() || stops {
            tracing::info!(zxid = %self.zxid, stops, "about to hand over the lead");
            leading.handing_over = Some(HandOver { stops, until_ms: now + limits::HAND_OVER_MS });
            self.takes_nothing = true;
        }
    }

    /// A leader whose write of the log takes too long makes way: everybody's writes wait for the leader's own clients and
    /// reads, and its disk may be about to fail. Not right after it was established: where all disks are slow, leading
    /// would only go round.
    pub(super) fn watch_disk(&mut self, ensemble: &mut Ensemble) {
        let now = self.clock.mono_ms;
        let Some(limit_ms) = ensemble.options.roles.settings.slow_write_ms else { return };
        let rest_ms = ensemble.options.init_limit * ensemble.options.tick_ms;
        let Role::Leading(leading) = &mut ensemble.role else { return };
        let is_slow = self.in_flight.is_some() && now - self.write_since_ms > limit_ms;
        if is_slow && leading.serves() && leading.handing_over.is_none() && now >= leading.stays_until_ms {
            tracing::warn!(limit_ms, "a write of the log does not come to its end");
            leading.stays_until_ms = now + rest_ms;
            self.begin_hand_over(ensemble, false);
        }
    }

    /// Goes, if everything is ready for that or must not be waited for any longer.
    pub(super) fn go_on_handing_over(&mut self, ensemble: &mut Ensemble) {
        let Role::Leading(leading) = &mut ensemble.role else { return };
        let Some(HandOver { stops, until_ms }) = leading.handing_over else { return };
        let is_late = self.clock.mono_ms >= until_ms;
        let is_agreed = self.under_way.is_none() && self.proposals.is_empty() && leading.leader.outstanding() == 0;
        let has_successor = leading.leader.successor().is_some();
        let is_ready = is_agreed
            && if stops { self.is_told() && (has_successor || leading.leader.is_alone()) } else { has_successor };
        if is_ready || (is_late && stops) {
            ensemble.yields = true;
            self.step_leader(ensemble, leader::Input::HandOver);
        } else if is_late {
            tracing::warn!("no follower holds all that this leader has: it stays");
            leading.handing_over = None;
            self.takes_nothing = false;
        }
    }

    /// Whether all that was taken is on disk here, and its answers are with the shards.
    fn is_told(&self) -> bool {
        let is_written =
            self.in_flight.is_none() && self.held.is_none() && self.under_way.is_none() && self.log.is_idle();
        is_written && self.waiting.is_empty() && self.elements.is_empty()
    }

    /// Looks for a leader no more. Without connections nobody waits for this server's word.
    pub(super) fn stopped(&mut self, ensemble: &mut Ensemble) {
        ensemble.role = Role::Stopped;
        ensemble.dismiss_early();
        ensemble.elect(election::Input::RoleEnded, self.clock.mono_ms);
        for link in ensemble.links.close_all() {
            ensemble.effects.push(Effect::Close { link });
        }
    }
}
