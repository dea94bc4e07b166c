//! What happened when: slices of 100 ms with their counts and percentiles, and the gaps in which nothing was answered.
//!
//! Each worker keeps its own timeline; they are put together at the end. A gap of the whole load is one that all workers
//! share. An error ends no gap: who is told that it has failed has not been served.

use crate::document::{Gap, Slice, Stage};
use crate::intervention::Made;
use hdrhistogram::Histogram;
use std::time::Duration;

/// How long a slice is.
pub const SLICE: Duration = Duration::from_millis(100);
/// A measurement that takes longer than this many slices has longer ones. An hour.
const SLICES: u64 = 36_000;
/// The longest latency that a slice tells apart from longer ones, in its unit.
const LONGEST_TICKS: u64 = u32::MAX as u64;
/// The unit of latencies in a slice: fits 100 seconds into 32 bits.
const TICK_NS: u64 = 100;
/// Significant digits of a slice's percentiles.
const DIGITS: u8 = 2;

/// When operations are counted, on the clock of the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub begin_ns: u64,
    pub end_ns: u64,
}

impl Window {
    /// Whether an instant lies in it.
    pub fn holds(&self, ns: u64) -> bool {
        (self.begin_ns..self.end_ns).contains(&ns)
    }

    /// The length of a slice.
    fn slice_ns(&self) -> u64 {
        let shortest = SLICE.as_nanos() as u64;
        shortest * (self.end_ns - self.begin_ns).div_ceil(shortest * SLICES).max(1)
    }
}

/// One worker's.
pub struct Timeline {
    window: Window,
    slice_ns: u64,
    gap_ns: u64,
    slice: Open,
    closed: Vec<Closed>,
    /// When something was answered without an error last.
    answered_ns: u64,
    gaps: Vec<(u64, u64)>,
}

/// The slice that is being filled.
struct Open {
    latencies: Histogram<u32>,
    operations: u64,
    errors: u64,
    max_ns: u64,
}

/// A slice that is over: how often each latency was seen, in a few bytes.
struct Closed {
    latencies: Vec<(u32, u32)>,
    operations: u64,
    errors: u64,
    max_ns: u64,
}

impl Closed {
    fn add_to(&self, latencies: &mut Histogram<u64>) {
        for (ticks, count) in &self.latencies {
            latencies.saturating_record_n(u64::from(*ticks), u64::from(*count));
        }
    }
}

impl Timeline {
    /// Nothing yet; a stretch of `gap_ns` without an answer is a gap.
    pub fn new(window: Window, gap_ns: u64) -> Timeline {
        let latencies = Histogram::new_with_bounds(1, LONGEST_TICKS, DIGITS).expect("the bounds are sound");
        let slice = Open { latencies, operations: 0, errors: 0, max_ns: 0 };
        let (slice_ns, answered_ns) = (window.slice_ns(), window.begin_ns);
        Timeline { window, slice_ns, gap_ns, slice, closed: vec![], answered_ns, gaps: vec![] }
    }

    /// An operation was answered at `now_ns`, in the window, after `latency_ns`; instants come in order.
    pub fn answered(&mut self, now_ns: u64, latency_ns: u64, is_error: bool) {
        self.advance(now_ns);
        if !is_error {
            if now_ns - self.answered_ns >= self.gap_ns {
                self.gaps.push((self.answered_ns, now_ns));
            }
            self.answered_ns = now_ns;
        }
        let slice = &mut self.slice;
        slice.operations += 1;
        slice.errors += u64::from(is_error);
        slice.max_ns = slice.max_ns.max(latency_ns);
        slice.latencies.saturating_record((latency_ns / TICK_NS).max(1));
    }

    /// An operation was lost, which is an error but no answer.
    pub fn lost(&mut self, now_ns: u64) {
        self.advance(now_ns);
        self.slice.errors += 1;
    }

    /// Ends the slices that are over.
    fn advance(&mut self, now_ns: u64) {
        let number =
            (now_ns.clamp(self.window.begin_ns, self.window.end_ns - 1) - self.window.begin_ns) / self.slice_ns;
        while (self.closed.len() as u64) < number {
            self.close();
        }
    }

    fn close(&mut self) {
        let Open { latencies, operations, errors, max_ns } = &mut self.slice;
        let counts = latencies.iter_recorded();
        let counts = counts.map(|step| (step.value_iterated_to() as u32, step.count_at_value()));
        self.closed.push(Closed {
            latencies: counts.collect(),
            operations: std::mem::take(operations),
            errors: std::mem::take(errors),
            max_ns: std::mem::take(max_ns),
        });
        latencies.reset();
    }

    /// Ends the timeline with its window.
    pub fn end(mut self) -> Ended {
        let slices = (self.window.end_ns - self.window.begin_ns).div_ceil(self.slice_ns);
        while (self.closed.len() as u64) < slices {
            self.close();
        }
        if self.window.end_ns.saturating_sub(self.answered_ns) >= self.gap_ns {
            self.gaps.push((self.answered_ns, self.window.end_ns));
        }
        Ended {
            window: self.window,
            slice_ns: self.slice_ns,
            gap_ns: self.gap_ns,
            closed: self.closed,
            gaps: self.gaps,
        }
    }
}

/// A timeline whose window is over.
pub struct Ended {
    window: Window,
    slice_ns: u64,
    gap_ns: u64,
    closed: Vec<Closed>,
    gaps: Vec<(u64, u64)>,
}

/// Puts the workers' timelines together: the slices, and the gaps all of them share.
pub fn together(workers: &[Ended]) -> (Vec<Slice>, Vec<Gap>) {
    let Some(first) = workers.first() else { return (vec![], vec![]) };
    let mut latencies = latencies();
    let slices = (0..first.closed.len()).map(|number| {
        latencies.reset();
        let mut slice = Slice { at_ms: (number as u64 * first.slice_ns) as f64 / 1e6, ..Slice::default() };
        for closed in workers.iter().filter_map(|worker| worker.closed.get(number)) {
            slice.operations += closed.operations;
            slice.errors += closed.errors;
            slice.max_us = slice.max_us.max(closed.max_ns as f64 / 1e3);
            closed.add_to(&mut latencies);
        }
        if slice.operations > 0 {
            [slice.p50_us, slice.p99_us] = [0.5, 0.99].map(|at| at_us(&latencies, at, slice.max_us));
        }
        slice
    });
    let slices = slices.collect();
    let mut shared = first.gaps.clone();
    for worker in &workers[1..] {
        shared = both(&shared, &worker.gaps);
    }
    let ms = |ns: u64| (ns - first.window.begin_ns) as f64 / 1e6;
    let long = shared.into_iter().filter(|(from, to)| to - from >= first.gap_ns);
    (slices, long.map(|(from, to)| Gap { from_ms: ms(from), to_ms: ms(to) }).collect())
}

/// The stages into which what was made divides the window; none when nothing was. What was made lasts as long as the gaps
/// that it has caused: only then comes what was due in them.
pub fn stages(workers: &[Ended], gaps: &[Gap], made: &[Made]) -> Vec<Stage> {
    let Some(first) = workers.first().filter(|_| !made.is_empty()) else { return vec![] };
    let length_ns = first.window.end_ns - first.window.begin_ns;
    let mut stages = vec![];
    let (mut name, mut from_ns) = ("before".to_owned(), 0);
    for one in made {
        let [begun_ns, mut ended_ns] = [one.from, one.to].map(|at| (at.as_nanos() as u64).min(length_ns));
        let ns = |ms: f64| (ms * 1e6) as u64;
        let caused = gaps.iter().filter(|gap| ns(gap.from_ms) < ended_ns && ns(gap.to_ms) > begun_ns);
        ended_ns = caused.map(|gap| ns(gap.to_ms)).fold(ended_ns, u64::max);
        stages.push(stage(workers, gaps, name, (from_ns, begun_ns), true));
        stages.push(stage(workers, gaps, one.name.clone(), (begun_ns, ended_ns), false));
        (name, from_ns) = (format!("after {}", one.name), ended_ns);
    }
    stages.push(stage(workers, gaps, name, (from_ns, length_ns), true));
    stages
}

/// The stage from one instant of the window to another; of a calm one only whole slices and gaps are a part.
fn stage(workers: &[Ended], gaps: &[Gap], name: String, (from_ns, to_ns): (u64, u64), is_calm: bool) -> Stage {
    let mut latencies = latencies();
    let [from_ms, to_ms] = [from_ns, to_ns].map(|ns| ns as f64 / 1e6);
    let is_part = |begin_ms: f64, end_ms: f64| match is_calm {
        true => begin_ms >= from_ms && end_ms <= to_ms,
        false => begin_ms < to_ms && end_ms > from_ms,
    };
    let of_it = gaps.iter().filter(|gap| is_part(gap.from_ms, gap.to_ms));
    let longest_gap_ms = of_it.map(|gap| gap.to_ms - gap.from_ms).max_by(f64::total_cmp);
    let mut stage = Stage { name, from_ms, to_ms, longest_gap_ms, ..Stage::default() };
    let mut max_ns = 0;
    for worker in workers {
        for (number, closed) in (0u64..).zip(&worker.closed) {
            let at_ms = |number: u64| (number * worker.slice_ns) as f64 / 1e6;
            if is_part(at_ms(number), at_ms(number + 1)) {
                stage.operations += closed.operations;
                stage.errors += closed.errors;
                max_ns = max_ns.max(closed.max_ns);
                closed.add_to(&mut latencies);
            }
        }
    }
    stage.max_us = max_ns as f64 / 1e3;
    if !latencies.is_empty() {
        [stage.p50_us, stage.p99_us, stage.p999_us] = [0.5, 0.99, 0.999].map(|at| at_us(&latencies, at, stage.max_us));
    }
    stage
}

/// Of slices, none yet.
fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_TICKS, DIGITS).expect("the bounds are sound")
}

/// Two digits are kept; no percentile lies beyond the longest of all.
fn at_us(latencies: &Histogram<u64>, quantile: f64, max_us: f64) -> f64 {
    ((latencies.value_at_quantile(quantile) * TICK_NS) as f64 / 1e3).min(max_us)
}

/// The stretches that lie in one of `a` and in one of `b`; both are in order.
fn both(a: &[(u64, u64)], b: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let (mut i, mut j, mut shared) = (0, 0, vec![]);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        let (from, to) = (x.0.max(y.0), x.1.min(y.1));
        if from < to {
            shared.push((from, to));
        }
        if x.1 < y.1 { i += 1 } else { j += 1 }
    }
    shared
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn window(ms: u64) -> Window {
        Window { begin_ns: 1000 * MS, end_ns: (1000 + ms) * MS }
    }

    /// A worker that is answered every millisecond but for the given stretches of time.
    fn worker(ms: u64, silent: &[(u64, u64)]) -> Ended {
        let mut timeline = Timeline::new(window(ms), 50 * MS);
        for at in (0..ms).filter(|at| !silent.iter().any(|(from, to)| (*from..*to).contains(at))) {
            timeline.answered((1000 + at) * MS, (1 + at % 100) * MS, at % 10 == 5);
        }
        timeline.end()
    }

    #[test]
    fn slices_count_what_was_answered_in_them() {
        let (slices, gaps) = together(&[worker(250, &[]), worker(250, &[])]);
        assert_eq!(slices.iter().map(|slice| slice.operations).collect::<Vec<_>>(), [200, 200, 100]);
        assert_eq!(slices.iter().map(|slice| slice.errors).collect::<Vec<_>>(), [20, 20, 10]);
        assert_eq!(slices.iter().map(|slice| slice.at_ms).collect::<Vec<_>>(), [0.0, 100.0, 200.0]);
        assert!((slices[0].p50_us / 50_000.0 - 1.0).abs() < 0.02, "{slices:?}");
        assert_eq!(slices[0].max_us, 100_000.0);
        assert!(gaps.is_empty(), "{gaps:?}");
    }

    #[test]
    fn a_gap_is_one_that_all_workers_share() {
        let (_, gaps) = together(&[worker(1000, &[(100, 300), (500, 700)]), worker(1000, &[(200, 400)])]);
        assert_eq!(gaps, [Gap { from_ms: 199.0, to_ms: 300.0 }]);
        let (slices, gaps) = together(&[worker(1000, &[(900, 1000)])]);
        assert_eq!(gaps, [Gap { from_ms: 899.0, to_ms: 1000.0 }], "a gap may last to the end");
        assert_eq!((slices.len(), slices[9].operations), (10, 0));
    }

    #[test]
    fn a_server_that_never_answers_is_one_gap() {
        let (slices, gaps) = together(&[Timeline::new(window(300), 50 * MS).end()]);
        assert_eq!((slices.len(), gaps), (3, vec![Gap { from_ms: 0.0, to_ms: 300.0 }]));
    }

    #[test]
    fn errors_end_no_gap() {
        let mut timeline = Timeline::new(window(300), 50 * MS);
        for at in 0..300 {
            timeline.answered((1000 + at) * MS, MS, (100..200).contains(&at));
        }
        assert_eq!(together(&[timeline.end()]).1, [Gap { from_ms: 99.0, to_ms: 200.0 }]);
    }

    #[test]
    fn what_is_done_divides_a_run() {
        let workers = [worker(1000, &[(350, 480)])];
        let (_, gaps) = together(&workers);
        let made = |name: &str, from, to| Made {
            name: name.into(),
            from: Duration::from_millis(from),
            to: Duration::from_millis(to),
        };
        assert_eq!(stages(&workers, &gaps, &[]), []);
        // The gap lasts to 480.
        let stages = stages(&workers, &gaps, &[made("kill", 351, 420), made("restart", 700, 2000)]);
        let told: Vec<(&str, f64, f64, u64)> =
            stages.iter().map(|s| (s.name.as_str(), s.from_ms, s.to_ms, s.operations)).collect();
        let expected = [
            ("before", 0.0, 351.0, 300),
            // Two slices of it were answered in part.
            ("kill", 351.0, 480.0, 70),
            ("after kill", 480.0, 700.0, 200),
            ("restart", 700.0, 1000.0, 300),
            ("after restart", 1000.0, 1000.0, 0),
        ];
        assert_eq!(told, expected);
        let gap_ms: Vec<Option<f64>> = stages.iter().map(|stage| stage.longest_gap_ms).collect();
        assert_eq!(gap_ms, [None, Some(131.0), None, None, None], "in its full length, where it was made");
        assert!((stages[0].p50_us / 50_000.0 - 1.0).abs() < 0.02 && stages[0].max_us == 100_000.0, "{stages:?}");
        assert_eq!((stages[0].errors, stages[4].p99_us), (30, 0.0));
    }

    #[test]
    fn a_long_measurement_has_longer_slices() {
        let day = Window { begin_ns: 0, end_ns: 86_400_000 * MS };
        assert_eq!(day.slice_ns(), 2400 * MS);
        assert!(together(&[Timeline::new(day, MS).end()]).0.len() as u64 <= SLICES);
    }
}
