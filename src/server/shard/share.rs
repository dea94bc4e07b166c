//! A connection's share of its shard: the cost of its recent requests, and the estimated cost of its waiting reads.

use crate::cost::Cost;
use crate::limits;

/// The cost of a connection's recent requests.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Share {
    pub turn: u64,
    pub cost: Cost,
}

impl Share {
    /// Adds a cost, in this turn.
    #[inline]
    pub(crate) fn charge(&mut self, turn: u64, cost: Cost) {
        if self.turn != turn {
            self.cost = self.cost.less(limits::LIGHT_COST * (turn - self.turn) as usize);
            self.turn = turn;
        }
        self.cost += cost;
    }
}

/// The estimated cost of a connection's reads that wait behind its writes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Expected {
    /// Of the reads between two writes.
    pub between: Cost,
    /// Of the reads behind the last write.
    pub behind: Cost,
}

impl Expected {
    /// Whether too much is expected: another write would put the reads behind the last write between two writes as
    /// well, where the shard's reads already have the estimated cost `crossing`.
    pub(crate) fn exceeds(self, crossing: Cost) -> bool {
        self.behind > Cost::NONE && crossing + self.behind > limits::CROSSING_COST
    }
}
