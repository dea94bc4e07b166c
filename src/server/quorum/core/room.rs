//! The turn of a core: when it begins, what it has cost, and whether a request can be carried out in it.

use super::{Authority, Core};
use crate::cost::Cost;
use crate::limits;
use crate::server::message::Clock;

impl Core {
    /// Begins a turn: with the present time and a new budget.
    pub(in crate::server::quorum) fn begin(&mut self, clock: Clock) {
        self.clock = clock;
        self.time_ms = self.time_ms.max(clock.wall_ms);
        self.budget.begin(self.state.meter().reading());
    }

    /// What this turn has cost so far.
    pub(in crate::server::quorum) fn spent(&self) -> Cost {
        self.budget.spent(self.state.meter().reading())
    }

    /// Whether nothing waits for the next turn: the edge may sleep until the next event.
    pub(in crate::server::quorum) fn may_sleep(&self) -> bool {
        !self.budget.has_left_over() && self.under_way.is_none()
    }

    /// Whether the last turn left work over, which continues now.
    pub(in crate::server::quorum) fn goes_on(&mut self) -> bool {
        self.budget.take_left_over() || self.under_way.is_some()
    }

    /// Whether this turn's budget is used up. The caller then does its work in the next turn.
    #[inline]
    pub(in crate::server::quorum) fn is_spent(&self) -> bool {
        self.budget.is_spent(self.state.meter().reading())
    }

    /// Whether forwarded requests have had their part of this turn, if clients of this server wait as well.
    pub(in crate::server::quorum) fn is_shared_out(&self) -> bool {
        !self.backlog.is_empty() && self.budget.has_spent(self.state.meter().reading(), limits::FORWARDED_TURN)
    }

    /// How much of a transaction is done now: the rest of the turn's budget.
    pub(super) fn slice(&self) -> Cost {
        limits::CORE_TURN.less(self.spent()).max(limits::SLICE_COST)
    }

    /// Charges the turn for a request or transaction of so many bytes.
    pub(in crate::server::quorum) fn charge_request(&self, bytes: usize) {
        self.state.meter().charge(Cost::REQUEST + Cost::bytes(bytes));
    }

    /// Whether a request can be executed: no transaction waits for a frame or is incomplete, the epoch has a number
    /// left, there are not too many gathered answers, uncommitted transactions, or versions of one znode that are not
    /// visible yet, and the turn has budget left.
    pub(in crate::server::quorum) fn has_room(&self) -> bool {
        let head = self.groups.head;
        let leads = self.authority == Authority::Leader;
        let uncommitted = if leads { head.0 - self.groups.committed.0 } else { 0 };
        // A server that does not decide has prepared only what its leader decided.
        let is_crowded = self.authority != Authority::Elsewhere && self.state.store().is_crowded();
        !self.takes_nothing
            && !self.is_busy()
            && self.has_number()
            && self.groups.outcome.reply.len() < limits::BATCH_REPLIES
            && uncommitted < limits::UNCOMMITTED_TXNS
            && self.proposals.bytes() < self.options.uncommitted_bytes
            && !is_crowded
            && !self.is_spent()
    }
}
