//! What one turn of the quorum core may cost.
//!
//! All work on the state is charged to the state's meter: requests taken in, znodes looked at and changed, ACLs
//! compared, bytes hashed and copied, versions freed. Expensive requests use up the rest of a turn. Everything that
//! still waits, from shards, learners or the leader, keeps its order and continues in the next turn. When core and
//! shard share a thread, a ping waits at most for one turn and one transaction, which is never split
//! ([`limits::txn_cost`]).

use crate::cost::Cost;
use crate::limits;
use std::cell::Cell;

/// The budget of a turn.
#[derive(Debug, Default)]
pub(super) struct Budget {
    /// What the meter showed when the turn began.
    begun: Cost,
    /// Some work waits only for the next turn.
    has_left_over: Cell<bool>,
    /// The last turn left work over, which has not continued yet.
    continues: bool,
}

impl Budget {
    /// The budget is whole: the meter shows `reading` now.
    pub(crate) fn begin(&mut self, reading: Cost) {
        self.begun = reading;
        self.continues |= self.has_left_over.take();
    }

    /// What the turn has cost so far, where the meter shows `reading`.
    pub(crate) fn spent(&self, reading: Cost) -> Cost {
        reading.less(self.begun)
    }

    /// Whether the turn has cost `limit` or more. If so, the caller has work that it leaves for the next turn.
    pub(crate) fn has_spent(&self, reading: Cost, limit: Cost) -> bool {
        let is_spent = self.spent(reading) >= limit;
        if is_spent {
            self.has_left_over.set(true);
        }
        is_spent
    }

    /// Whether the whole turn is spent; see [`Budget::has_spent`].
    #[inline]
    pub(crate) fn is_spent(&self, reading: Cost) -> bool {
        self.has_spent(reading, limits::CORE_TURN)
    }

    /// Whether something waits for a turn.
    pub(crate) fn has_left_over(&self) -> bool {
        self.continues || self.has_left_over.get()
    }

    /// Whether the last turn left work over, which continues now: said once a turn.
    pub(crate) fn take_left_over(&mut self) -> bool {
        std::mem::take(&mut self.continues)
    }
}
