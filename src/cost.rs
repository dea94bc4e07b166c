//! One notion of cost: what a client's request makes the server do, in units that can be added up and compared with a budget.
//!
//! Requests differ by what they make the server do, not by their number or their length: a listing looks at znodes, a check
//! compares ACL entries with identities, an old state is found by walking over versions, answers are copied. Each has its
//! price here, so that a turn of a shard, a transaction and a slice of either can be held to one budget. The prices are what
//! the work takes on an ordinary core, rounded up; a unit is about sixteen nanoseconds.

use std::cell::Cell;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul};

/// An amount of work, in units of about sixteen nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Cost(u64);

impl Cost {
    /// No work at all.
    pub(crate) const NONE: Cost = Cost(0);
    /// More than any budget.
    pub(crate) const ENDLESS: Cost = Cost(u64::MAX);
    /// A request that is taken in and answered, whatever it asks.
    pub(crate) const REQUEST: Cost = Cost(8);
    /// A look-up of a znode that no cache holds, or a step of a listing.
    pub(crate) const ZNODE: Cost = Cost(16);
    /// A step along the chain of a znode's versions.
    pub(crate) const VERSION: Cost = Cost(8);
    /// An ACL entry held against an identity of the caller, beside the bytes that are compared.
    pub(crate) const COMPARISON: Cost = Cost(2);

    /// A change of a znode with all that follows from it: its version, its parent's numbers, digests, what watches hear of; or
    /// to take it back. The bytes come on top.
    pub(crate) const CHANGE: Cost = Cost(24);

    /// Bytes that are parsed, copied, hashed or answered: 128 of them are a unit, as sixteen nanoseconds copy as many.
    pub(crate) const fn bytes(count: usize) -> Cost {
        Cost(count.div_ceil(128) as u64)
    }

    /// So many times this.
    pub(crate) const fn times(self, count: usize) -> Cost {
        Cost(self.0.saturating_mul(count as u64))
    }

    /// This and that.
    pub(crate) const fn plus(self, other: Cost) -> Cost {
        Cost(self.0.saturating_add(other.0))
    }

    /// What is left of it when `other` is taken away; never below nothing.
    pub(crate) const fn less(self, other: Cost) -> Cost {
        Cost(self.0.saturating_sub(other.0))
    }

    /// How often `other` goes into it: how many znodes, say, a budget allows.
    ///
    /// # Panics
    /// If `other` is [`Cost::NONE`].
    pub const fn over(self, other: Cost) -> usize {
        (self.0 / other.0) as usize
    }

    /// The bare number, for metrics and messages.
    pub(crate) const fn units(self) -> u64 {
        self.0
    }
}

impl Add for Cost {
    type Output = Cost;

    fn add(self, other: Cost) -> Cost {
        Cost(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Cost) {
        *self = *self + other;
    }
}

impl Mul<usize> for Cost {
    type Output = Cost;

    fn mul(self, count: usize) -> Cost {
        self.times(count)
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Cost>>(costs: I) -> Cost {
        costs.fold(Cost::NONE, Add::add)
    }
}

/// Adds up what one thread has done. What a step has cost is the difference of two readings.
#[derive(Debug, Default)]
pub(crate) struct Meter(Cell<Cost>);

impl Meter {
    /// So much more has been done.
    #[inline]
    pub(crate) fn charge(&self, cost: Cost) {
        self.0.set(self.0.get() + cost);
    }

    /// All that has been done so far.
    #[inline]
    pub(crate) fn reading(&self) -> Cost {
        self.0.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_add_up_and_never_wrap() {
        assert_eq!(Cost::ZNODE * 3 + Cost::bytes(129), Cost(50));
        assert_eq!(Cost::ENDLESS + Cost::ZNODE, Cost::ENDLESS);
        assert_eq!(Cost::ENDLESS * 2, Cost::ENDLESS);
        assert_eq!(Cost::ZNODE.less(Cost::ENDLESS), Cost::NONE);
        assert_eq!([Cost::VERSION, Cost::COMPARISON].into_iter().sum::<Cost>(), Cost(10));
        assert_eq!((Cost::ZNODE * 5).over(Cost::ZNODE), 5);
        assert_eq!((Cost::bytes(0), Cost::bytes(1)), (Cost::NONE, Cost(1)));
    }
}
