//! What one turn of the quorum core may cost, and whether a request can be carried out in it.
//!
//! Whatever is done to the state is charged to its meter: requests taken in, znodes looked at and changed, ACLs compared, bytes
//! hashed and copied, versions let go of. Who asks for much takes what is left of a turn; the rest of all that waits, from
//! shards, learners or the leader, keeps its order and goes on in the next one. Where core and shard have one thread nobody's
//! ping waits longer than for that; and for one transaction, which no turn cuts ([`limits::txn_cost`]).

use super::Quorum;
use crate::cost::Cost;
use crate::limits;
use crate::server::message::Clock;
use std::cell::Cell;

/// Of a turn.
#[derive(Debug, Default)]
pub(super) struct Budget {
    /// What the meter showed when it began.
    begun: Cost,
    /// Something waits for nothing but the next one.
    has_left_over: Cell<bool>,
}

impl Quorum {
    /// A turn begins: the time, as of now, and a new budget. What the last one left over goes on with [`Quorum::carry_on`].
    pub fn begin(&mut self, clock: Clock) {
        self.clock = clock;
        self.time_ms = self.time_ms.max(clock.wall_ms);
        self.begin_budget();
    }

    /// What this turn has cost so far.
    pub fn spent(&self) -> Cost {
        self.state.meter().reading().less(self.budget.begun)
    }

    /// The budget is whole: a turn begins, or another state, which has another meter, has taken this one's place.
    pub(super) fn begin_budget(&mut self) {
        self.budget.begun = self.state.meter().reading();
    }

    /// Whether there is nothing that waits for the next turn: the edge may sleep until something happens.
    pub fn may_sleep(&self) -> bool {
        !self.budget.has_left_over.get() && self.under_way.is_none()
    }

    /// Goes on with what the last turn has left over.
    pub fn carry_on(&mut self) {
        if !self.budget.has_left_over.take() && self.under_way.is_none() {
            return;
        }
        self.go_on_under_way();
        if self.reaps() {
            self.close_expired();
            self.delete_reaped();
        }
        self.work();
    }

    /// Whether this turn has cost what it may. Whoever asks has something to do, and does it in the next one then.
    #[inline]
    pub(super) fn is_spent(&self) -> bool {
        let is_spent = self.spent() >= limits::CORE_TURN;
        if is_spent {
            self.budget.has_left_over.set(true);
        }
        is_spent
    }

    /// Whether requests that learners have forwarded have had their part of this turn, where clients of this server wait, too.
    pub(super) fn is_shared_out(&self) -> bool {
        let is_shared_out = !self.backlog.is_empty() && self.spent() >= limits::FORWARDED_TURN;
        if is_shared_out {
            self.budget.has_left_over.set(true);
        }
        is_shared_out
    }

    /// Whether a request can be carried out: none is waiting for a frame or is not complete, the epoch has a number for it,
    /// neither the answers gathered so far nor the versions of one znode that wait to be seen are too many, and the turn has
    /// not cost too much.
    pub(super) fn has_room(&self) -> bool {
        let uncommitted = if self.proposing { self.zxid.0 - self.committed.0 } else { 0 };
        // Who does not propose has nothing prepared but what others have decided.
        let is_crowded = (self.proposing || !self.is_member) && self.state.store().is_crowded();
        !self.takes_nothing
            && self.held.is_none()
            && self.under_way.is_none()
            && self.has_number()
            && self.outcome.reply.len() < limits::BATCH_REPLIES
            && uncommitted < limits::UNCOMMITTED_TXNS
            && self.uncommitted.bytes() < self.options.uncommitted_bytes
            && !is_crowded
            && !self.is_spent()
    }
}
