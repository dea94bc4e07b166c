//! What a load remembers of its operations: latencies, errors, and the middle of several runs.
//!
//! In an open loop an operation is due at an instant, whether or not the server has kept up. Its latency is counted
//! from that instant, so that a stall is seen by every operation it delays, and beside it from the instant it was
//! sent, which is what a closed loop sees.

use hdrhistogram::Histogram;
use std::collections::BTreeMap;

/// The longest latency that is told apart from longer ones: 100 seconds, in nanoseconds.
const LONGEST_NS: u64 = 100_000_000_000;
/// Significant digits of a latency.
const DIGITS: u8 = 3;

/// The percentiles that are reported, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percentiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

/// Latencies of one kind of operation.
#[derive(Clone)]
pub struct Latencies {
    from_due: Histogram<u64>,
    from_sent: Histogram<u64>,
}

impl Latencies {
    /// None yet.
    pub fn new() -> Latencies {
        let empty = Histogram::new_with_bounds(1, LONGEST_NS, DIGITS).expect("the bounds are sound");
        Latencies { from_due: empty.clone(), from_sent: empty }
    }

    /// One operation that was due, sent and answered at these instants, in nanoseconds.
    pub fn record(&mut self, due_ns: u64, sent_ns: u64, answered_ns: u64) {
        self.from_due.saturating_record(answered_ns.saturating_sub(due_ns));
        self.from_sent.saturating_record(answered_ns.saturating_sub(sent_ns));
    }

    /// Adds another thread's.
    pub fn add(&mut self, other: &Latencies) {
        self.from_due.add(&other.from_due).expect("the bounds are the same");
        self.from_sent.add(&other.from_sent).expect("the bounds are the same");
    }

    /// How many operations.
    pub fn count(&self) -> u64 {
        self.from_due.len()
    }

    /// From the instant an operation was due, which is the one it was sent at in a closed loop.
    pub fn corrected(&self) -> Percentiles {
        percentiles(&self.from_due)
    }

    /// From the instant an operation was sent.
    pub fn uncorrected(&self) -> Percentiles {
        percentiles(&self.from_sent)
    }
}

fn percentiles(histogram: &Histogram<u64>) -> Percentiles {
    let at = |quantile| histogram.value_at_quantile(quantile) as f64;
    Percentiles { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: histogram.max() as f64 }
}

/// The instants at which the operations of an open loop are due.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    start_ns: u64,
    interval_ns: f64,
    next: u64,
}

impl Schedule {
    /// `rate` operations a second from `start_ns` on.
    pub fn new(start_ns: u64, rate: f64) -> Schedule {
        Schedule { start_ns, interval_ns: 1e9 / rate, next: 0 }
    }

    /// When the next operation is due.
    pub fn due_ns(&self) -> u64 {
        self.start_ns + (self.next as f64 * self.interval_ns) as u64
    }

    /// The instant of the next operation if it has come; then the one after it is next.
    pub fn take(&mut self, now_ns: u64) -> Option<u64> {
        let due_ns = self.due_ns();
        (due_ns <= now_ns).then(|| {
            self.next += 1;
            due_ns
        })
    }
}

/// How many operations failed, by error code.
pub type Errors = BTreeMap<i32, u64>;

/// The middle value; of an even number the upper of the two. NaN of none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// A server that answers after 0.1 ms but stands still once for `stall_ms`, asked 1 000 times a second for a second
    /// by a client with one operation under way.
    fn run_with_a_stall(stall_ms: u64) -> Latencies {
        let mut latencies = Latencies::new();
        let mut schedule = Schedule::new(0, 1000.0);
        let mut free_ns = 0;
        for operation in 0..1000 {
            let due_ns = schedule.due_ns();
            assert_eq!(schedule.take(due_ns), Some(due_ns));
            let sent_ns = due_ns.max(free_ns);
            let stall_ns = if operation == 500 { stall_ms * MS } else { 0 };
            free_ns = sent_ns + stall_ns + MS / 10;
            latencies.record(due_ns, sent_ns, free_ns);
        }
        latencies
    }

    #[test]
    fn a_stall_is_counted_for_every_operation_it_delays() {
        let latencies = run_with_a_stall(200);
        assert_eq!(latencies.count(), 1000);
        let (corrected, uncorrected) = (latencies.corrected(), latencies.uncorrected());
        // About 220 operations were due before the backlog was gone; only one was under way during the stall.
        assert!(corrected.p90 > 90.0 * MS as f64, "{corrected:?}");
        assert!(corrected.p99 > 180.0 * MS as f64, "{corrected:?}");
        assert!(uncorrected.p99 < 0.2 * MS as f64, "{uncorrected:?}");
        assert!(uncorrected.max > 199.0 * MS as f64, "{uncorrected:?}");
    }

    #[test]
    fn without_a_stall_both_agree() {
        let latencies = run_with_a_stall(0);
        assert_eq!(latencies.corrected(), latencies.uncorrected());
        let p50 = latencies.corrected().p50;
        assert!((p50 / (MS as f64 / 10.0) - 1.0).abs() < 0.001, "three digits are kept: {p50}");
    }

    #[test]
    fn a_schedule_does_not_drift_and_never_runs_ahead() {
        let mut schedule = Schedule::new(7, 3.0);
        assert_eq!(schedule.take(6), None);
        let due: Vec<u64> = std::iter::from_fn(|| schedule.take(1_000_000_007)).collect();
        assert_eq!(due, [7, 333_333_340, 666_666_673, 1_000_000_007]);
        assert_eq!(schedule.take(1_000_000_007), None);
    }

    #[test]
    fn threads_are_added_up() {
        let mut all = Latencies::new();
        for latency_ns in [100, 300] {
            let mut one = Latencies::new();
            one.record(0, 0, latency_ns);
            all.add(&one);
        }
        assert_eq!(all.count(), 2);
        assert_eq!((all.corrected().p50, all.corrected().max), (100.0, 300.0));
    }

    #[test]
    fn the_median_is_the_middle_of_what_there_is() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([1.0, 2.0]), 2.0);
        assert!(median([]).is_nan());
    }
}
