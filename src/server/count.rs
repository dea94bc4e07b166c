//! Counter cells, each with one writer and any number of readers.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// Whether events are counted and timed: always, except in the build that `tools/steady metrics` compares with, to show
/// what counting costs.
pub(crate) const COUNTS: bool = !cfg!(corral_uncounted);

/// A counter with one writer.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// Adds to the counter.
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        // One writer: no read-modify-write instruction is needed.
        if COUNTS {
            self.set(self.value().wrapping_add(n));
        }
    }

    /// The counter's value.
    pub(crate) fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Sets the counter.
    #[inline]
    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }
}

/// Count, sum, minimum and maximum of a measurement with one writer, milliseconds.
#[derive(Debug)]
pub(crate) struct Summary {
    count: Count,
    sum: Count,
    min: AtomicI64,
    max: AtomicI64,
}

impl Default for Summary {
    fn default() -> Self {
        Summary {
            count: Count::default(),
            sum: Count::default(),
            min: AtomicI64::new(i64::MAX),
            max: AtomicI64::new(0),
        }
    }
}

impl Summary {
    /// Adds one measurement.
    #[inline]
    pub(crate) fn record(&self, ms: i64) {
        if !COUNTS {
            return;
        }
        let ms = ms.max(0);
        self.count.add(1);
        self.sum.add(ms as u64);
        if ms < self.min.load(Relaxed) {
            self.min.store(ms, Relaxed);
        }
        if ms > self.max.load(Relaxed) {
            self.max.store(ms, Relaxed);
        }
    }

    /// The measurements since the last reset.
    pub(crate) fn read(&self) -> SummaryValues {
        let count = self.count.value();
        let min = if count == 0 { 0 } else { self.min.load(Relaxed) };
        SummaryValues { count, sum: self.sum.value(), min, max: self.max.load(Relaxed) }
    }

    /// Forgets everything.
    pub(crate) fn reset(&self) {
        self.count.set(0);
        self.sum.set(0);
        self.min.store(i64::MAX, Relaxed);
        self.max.store(0, Relaxed);
    }
}

/// The measurements of a [`Summary`], milliseconds; all zero if there were none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SummaryValues {
    /// How many measurements.
    pub count: u64,
    /// All of them added.
    pub sum: u64,
    /// The least one.
    pub min: i64,
    /// The greatest one.
    pub max: i64,
}

impl SummaryValues {
    /// The average with four decimals, rounded half up, as ZooKeeper rounds it; 0 without measurements.
    pub(crate) fn average(&self) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        let (sum, count) = (u128::from(self.sum), u128::from(self.count));
        let ten_thousandths = (sum * 20_000 + count) / (2 * count);
        ten_thousandths as f64 / 10_000.0
    }

    /// The measurements of both.
    pub(crate) fn and(self, other: SummaryValues) -> SummaryValues {
        match (self.count, other.count) {
            (_, 0) => self,
            (0, _) => other,
            _ => SummaryValues {
                count: self.count + other.count,
                sum: self.sum + other.sum,
                min: self.min.min(other.min),
                max: self.max.max(other.max),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_starts_at_zero_and_resets() {
        let summary = Summary::default();
        assert_eq!(summary.read(), SummaryValues::default());
        summary.record(5);
        summary.record(2);
        assert_eq!(summary.read(), SummaryValues { count: 2, sum: 7, min: 2, max: 5 });
        summary.reset();
        assert_eq!(summary.read(), SummaryValues::default());
    }

    #[test]
    fn averages_round_half_up() {
        let average = |sum, count| SummaryValues { count, sum, ..SummaryValues::default() }.average();
        assert_eq!(average(0, 0), 0.0);
        assert_eq!(average(1, 3), 0.3333);
        assert_eq!(average(2, 3), 0.6667);
        assert_eq!(average(1, 20_000), 0.0001);
        assert_eq!(average(1, 20_001), 0.0);
        assert_eq!(average(u64::MAX, 1), u64::MAX as f64);
    }

    #[test]
    fn what_measured_nothing_has_no_part_in_the_least() {
        let (nothing, some) = (SummaryValues::default(), SummaryValues { count: 1, sum: 5, min: 5, max: 5 });
        assert_eq!((nothing.and(some), some.and(nothing)), (some, some));
        let more = SummaryValues { count: 2, sum: 5, min: 1, max: 4 };
        assert_eq!(some.and(more), SummaryValues { count: 3, sum: 10, min: 1, max: 5 });
    }
}
