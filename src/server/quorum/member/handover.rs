//! How a member stops, and how a leader hands over the lead.
//!
//! A leader that hands over accepts no more requests, waits until its proposals are committed, and closes its learners'
//! connections when one learner has the whole log. The learners elect at once, without waiting for a timeout; the
//! learner with the longest log wins. A leader that stays in the ensemble (only its disk is slow) then votes for the
//! others, and is no candidate for a while.

use super::roles::{HandOver, Role};
use super::{Effect, Member};
use crate::limits;
use crate::zab::{election, leader};

impl Member {
    /// The process is to end: see [`Input::Stop`](crate::server::quorum::Input::Stop).
    pub(in crate::server::quorum) fn begin_stop(&mut self) {
        if std::mem::replace(&mut self.stopping, true) {
            return;
        }
        match &self.role {
            Role::Leading(leading) if leading.serves => self.begin_hand_over(true),
            Role::Leading(_) => self.step_leader(leader::Input::HandOver),
            _ => self.leave_role(),
        }
        self.advance_hand_over();
    }

    /// A leader is to hand over as soon as a follower has the leader's whole log; if no follower has it in time, the
    /// leader stays. In another role nothing happens.
    pub(in crate::server::quorum) fn hand_over(&mut self) {
        if matches!(&self.role, Role::Leading(leading) if leading.serves) {
            self.begin_hand_over(false);
            self.advance_hand_over();
        }
    }

    fn begin_hand_over(&mut self, stops: bool) {
        let now = self.core.now_ms();
        let Role::Leading(leading) = &mut self.role else { return };
        if leading.handing_over.is_none() || stops {
            tracing::info!(zxid = %self.core.head(), stops, "about to hand over the lead");
            leading.handing_over = Some(HandOver { stops, until_ms: now + limits::HAND_OVER_MS });
            self.core.take_nothing(true);
        }
    }

    /// A leader hands over when its write of the log takes too long: all writes wait for the leader, and its disk may
    /// be about to fail. It does not do this right after it was established: if all disks are slow, the lead would only
    /// move in a circle.
    pub(super) fn watch_disk(&mut self) {
        let now = self.core.now_ms();
        let Some(limit_ms) = self.options.settings.slow_write_ms.map(i64::from) else { return };
        let rest_ms = self.ticks_ms(self.options.settings.init_limit);
        let Role::Leading(leading) = &mut self.role else { return };
        let is_slow = self.core.write_takes_ms().is_some_and(|takes_ms| takes_ms > limit_ms);
        if is_slow && leading.serves && leading.handing_over.is_none() && now >= leading.stays_until_ms {
            tracing::warn!(limit_ms, "a write of the log does not come to its end");
            leading.stays_until_ms = now + rest_ms;
            self.begin_hand_over(false);
        }
    }

    /// Gives up the lead, if everything is ready or the time to wait is over.
    pub(super) fn advance_hand_over(&mut self) {
        let Role::Leading(leading) = &mut self.role else { return };
        let Some(HandOver { stops, until_ms }) = leading.handing_over else { return };
        let is_late = self.core.now_ms() >= until_ms;
        let is_agreed =
            !self.core.is_under_way() && self.core.proposals.is_empty() && leading.leader.outstanding() == 0;
        let has_successor = leading.leader.successor().is_some();
        let is_ready = is_agreed
            && if stops { self.core.is_told() && (has_successor || leading.leader.is_alone()) } else { has_successor };
        if is_ready || (is_late && stops) {
            self.yields = true;
            self.step_leader(leader::Input::HandOver);
        } else if is_late {
            tracing::warn!("no follower holds all that this leader has: it stays");
            leading.handing_over = None;
            self.core.take_nothing(false);
        }
    }

    /// This server looks for no leader any more. Its connections are closed, so that no other server waits for its
    /// vote.
    pub(super) fn stopped(&mut self) {
        self.role = Role::Stopped;
        self.dismiss_early_learners();
        self.elect(election::Input::RoleEnded);
        for link in self.links.close_all() {
            self.outbox.push(Effect::Close { link });
        }
    }
}
