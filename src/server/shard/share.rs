//! What a connection has of its shard: what it has asked for lately, and what is expected of the reads that it waits for.

use crate::cost::Cost;
use crate::limits;

/// What a connection has asked for lately.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Share {
    pub turn: u64,
    pub cost: Cost,
}

impl Share {
    /// So much more, in this turn.
    #[inline]
    pub(crate) fn charge(&mut self, turn: u64, cost: Cost) {
        if self.turn != turn {
            self.cost = self.cost.less(limits::LIGHT_COST * (turn - self.turn) as usize);
            self.turn = turn;
        }
        self.cost += cost;
    }
}

/// What is expected of the reads of a connection that wait behind its writes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Expected {
    /// Of those that stand between two writes.
    pub between: Cost,
    /// Of those behind the last one.
    pub behind: Cost,
}

impl Expected {
    /// Whether its reads behind the last write may not come to stand between two writes as well, where so much is expected of
    /// those that do.
    pub(crate) fn exceeds(self, crossing: Cost) -> bool {
        self.behind > Cost::NONE && crossing + self.behind > limits::CROSSING_COST
    }
}
