//! What one turn of the quorum core may cost.
//!
//! Whatever is done to the state is charged to its meter: requests taken in, znodes looked at and changed, ACLs compared, bytes
//! hashed and copied, versions let go of. Who asks for much takes what is left of a turn; the rest of all that waits, from
//! shards, learners or the leader, keeps its order and goes on in the next one. Where core and shard have one thread nobody's
//! ping waits longer than for that; and for one transaction, which no turn cuts ([`limits::txn_cost`]).

use crate::cost::Cost;
use crate::limits;
use std::cell::Cell;

/// Of a turn.
#[derive(Debug, Default)]
pub(super) struct Budget {
    /// What the meter showed when the turn began.
    begun: Cost,
    /// Something waits for nothing but the next turn.
    has_left_over: Cell<bool>,
}

impl Budget {
    /// The budget is whole: the meter shows `reading` now.
    pub(crate) fn begin(&mut self, reading: Cost) {
        self.begun = reading;
    }

    /// What the turn has cost so far, where the meter shows `reading`.
    pub(crate) fn spent(&self, reading: Cost) -> Cost {
        reading.less(self.begun)
    }

    /// Whether the turn has cost so much. Whoever asks has something to do, and does that in the next turn then.
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

    /// Whether something waits for the next turn.
    pub(crate) fn has_left_over(&self) -> bool {
        self.has_left_over.get()
    }

    /// The same; and it goes on now.
    pub(crate) fn take_left_over(&mut self) -> bool {
        self.has_left_over.take()
    }
}
