//! What a load remembers of its operations: latencies, errors, and when each is due.
//!
//! In an open loop an operation is due at an instant, whether or not the server has kept up. Its latency is counted
//! from that instant, so that a stall is seen by every operation it delays, and beside it from the instant it was
//! sent, which is what a closed loop sees.

use crate::document::{self, Spectrum};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;

/// The longest latency that is told apart from longer ones: 100 seconds, in nanoseconds.
const LONGEST_NS: u64 = 100_000_000_000;
/// Significant digits of a latency.
const DIGITS: u8 = 3;

/// Points of a spectrum for every halved distance to 100 %.
const TICKS: u32 = 10;

/// Latencies of one kind of operation.
#[derive(Clone)]
pub struct Latencies {
    from_due: Histogram<u64>,
    /// Absent where operations are sent when they are due.
    from_sent: Option<Histogram<u64>>,
}

impl Latencies {
    /// None yet, of operations that may be sent later than they are due.
    pub fn new() -> Latencies {
        let empty = histogram();
        Latencies { from_due: empty.clone(), from_sent: Some(empty) }
    }

    /// None yet, of operations that are due when they are sent, as in a closed loop.
    pub fn at_once() -> Latencies {
        Latencies { from_due: histogram(), from_sent: None }
    }

    /// One operation that was due, sent and answered at these instants, in nanoseconds.
    pub fn record(&mut self, due_ns: u64, sent_ns: u64, answered_ns: u64) {
        self.from_due.saturating_record(answered_ns.saturating_sub(due_ns));
        if let Some(from_sent) = &mut self.from_sent {
            from_sent.saturating_record(answered_ns.saturating_sub(sent_ns));
        }
    }

    /// Adds another thread's.
    pub fn add(&mut self, other: &Latencies) {
        self.from_due.add(&other.from_due).expect("the bounds are the same");
        if let (Some(all), Some(one)) = (&mut self.from_sent, &other.from_sent) {
            all.add(one).expect("the bounds are the same");
        }
    }

    /// How many operations.
    pub fn count(&self) -> u64 {
        self.from_due.len()
    }

    /// From the instant an operation was due.
    pub fn corrected(&self) -> Spectrum {
        spectrum(&self.from_due)
    }

    /// From the instant an operation was sent, where that may be another one.
    pub fn uncorrected(&self) -> Option<Spectrum> {
        self.from_sent.as_ref().map(spectrum)
    }

    /// As a document tells them.
    pub fn told(&self, operation: &str) -> document::Latency {
        let operation = operation.to_owned();
        document::Latency { operation, corrected: self.corrected(), uncorrected: self.uncorrected() }
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_NS, DIGITS).expect("the bounds are sound")
}

fn spectrum(histogram: &Histogram<u64>) -> Spectrum {
    let us = |ns: u64| ns as f64 / 1e3;
    let at = |quantile| us(histogram.value_at_quantile(quantile));
    let point = |step: hdrhistogram::iterators::IterationValue<u64>| {
        (100.0 * step.quantile_iterated_to(), us(step.value_iterated_to()))
    };
    Spectrum {
        count: histogram.len(),
        mean_us: histogram.mean() / 1e3,
        min_us: us(histogram.min()),
        max_us: us(histogram.max()),
        p50_us: at(0.5),
        p90_us: at(0.9),
        p99_us: at(0.99),
        p999_us: at(0.999),
        p9999_us: at(0.9999),
        points: histogram.iter_quantiles(TICKS).map(point).collect(),
    }
}

/// The instants at which the operations of an open loop are due.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    start_ns: u64,
    interval_ns: f64,
    bunch_ns: u64,
    next: u64,
}

impl Schedule {
    /// `rate` operations a second from `start_ns` on.
    pub fn new(start_ns: u64, rate: f64) -> Schedule {
        Schedule::bunched(start_ns, rate, 1)
    }

    /// The same, but due together at multiples of `bunch_ns` after the start: what would be due before one is due then.
    pub fn bunched(start_ns: u64, rate: f64, bunch_ns: u64) -> Schedule {
        Schedule { start_ns, interval_ns: 1e9 / rate, bunch_ns: bunch_ns.max(1), next: 0 }
    }

    /// When the `number`th operation is due, counted from 0.
    pub fn at(&self, number: u64) -> u64 {
        self.start_ns + ((number as f64 * self.interval_ns) as u64).next_multiple_of(self.bunch_ns)
    }

    /// When the next operation is due.
    pub fn due_ns(&self) -> u64 {
        self.at(self.next)
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
        let (corrected, uncorrected) = (latencies.corrected(), latencies.uncorrected().unwrap());
        // About 220 operations were due before the backlog was gone; only one was under way during the stall.
        assert!(corrected.p90_us > 90_000.0, "{corrected:?}");
        assert!(corrected.p99_us > 180_000.0, "{corrected:?}");
        assert!(uncorrected.p99_us < 200.0, "{uncorrected:?}");
        assert!(uncorrected.max_us > 199_000.0, "{uncorrected:?}");
    }

    #[test]
    fn without_a_stall_both_agree() {
        let latencies = run_with_a_stall(0);
        assert_eq!(Some(latencies.corrected()), latencies.uncorrected());
        let p50_us = latencies.corrected().p50_us;
        assert!((p50_us / 100.0 - 1.0).abs() < 0.001, "three digits are kept: {p50_us}");
    }

    #[test]
    fn a_spectrum_rises_to_all_of_it() {
        let spectrum = run_with_a_stall(200).corrected();
        assert!(spectrum.points.is_sorted(), "{:?}", spectrum.points);
        assert_eq!(spectrum.points.last().map(|(percentile, _)| *percentile), Some(100.0));
        assert!(spectrum.min_us <= spectrum.p50_us && spectrum.p9999_us <= spectrum.max_us);
        assert!(Latencies::new().corrected().points.len() <= 1, "of nothing there is nothing to draw");
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
    fn a_bunch_is_due_together_and_never_early() {
        let mut schedule = Schedule::bunched(5, 1e6, 2500);
        let due: Vec<u64> = std::iter::from_fn(|| schedule.take(7505)).collect();
        assert_eq!(due, [5, 2505, 2505, 5005, 5005, 5005, 7505, 7505]);
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
        assert_eq!((all.corrected().p50_us, all.corrected().max_us), (0.1, 0.3));
    }
}
