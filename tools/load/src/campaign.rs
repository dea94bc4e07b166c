//! Several runs that belong together: two targets in turn, and the search for the capacity with runs below it.

use crate::background::{Background, Present};
use crate::document::{Comparison, Document, Run, Step, Sweep, Target};
use crate::engine::{self, Load, Targets, Watcher};
use crate::failure::{Failure, Result, While};
use crate::sample::Sampled;
use crate::statistics::{self, Figure};
use crate::to_document;
use crate::znodes;
use std::time::Duration;

/// Somebody who looks on and keeps what the server told meanwhile.
pub trait Onlooker: Watcher {
    /// A run of this name begins on these targets.
    fn next(&mut self, name: &str, targets: &Targets);

    /// What was sampled since the window of the last run opened.
    fn sampled(&mut self) -> Result<Option<Sampled>>;
}

/// A side of a comparison, or what a sweep is about.
pub struct Side {
    pub targets: Targets,
    pub told: Target,
}

/// Measures a load whose znodes stand, and tells of it.
pub fn measure(name: &str, side: &Side, load: &Load, onlooker: &mut dyn Onlooker) -> Result<Run> {
    onlooker.next(name, &side.targets);
    let outcome = engine::measure(&side.targets, load, onlooker).during(|| side.told.label.clone());
    // Also after a failure: a sampler that goes on would be the next run's.
    let sampled = onlooker.sampled()?;
    Ok(to_document::load_run(name, &side.told, load, &outcome?, sampled))
}

/// Measures `a` and `b` in turn, `rounds` times each, each under its load and beside its background, which comes before
/// the round's warming up and is gone when the round ends. Who begins a round changes, A B B A A B, so that it is no
/// advantage to come second.
pub fn compare(
    document: &mut Document,
    sides: [(&Side, &Load, Background); 2],
    rounds: usize,
    onlooker: &mut dyn Onlooker,
) -> Result<()> {
    if rounds < 2 {
        return Err(Failure::new("a comparison takes at least two rounds"));
    }
    let [(a, ..), (b, ..)] = sides;
    let names = if a.told.label == b.told.label {
        [format!("A: {}", a.told.label), format!("B: {}", b.told.label)]
    } else {
        [a.told.label.clone(), b.told.label.clone()]
    };
    for (side, load, _) in sides {
        znodes::plant(side.targets.addresses[0], &load.workload).during(|| side.told.label.clone())?;
    }
    let mut runs: [Vec<Run>; 2] = [vec![], vec![]];
    for round in 1..=rounds {
        let order = if round % 2 == 1 { [0, 1] } else { [1, 0] };
        for number in order {
            let name = format!("{}, round {round}", names[number]);
            let (side, load, background) = sides[number];
            let present = background.invite(side.targets.addresses[0]).during(|| side.told.label.clone())?;
            let run = measure(&name, side, load, onlooker);
            present.map_or(Ok(()), Present::send_away)?;
            runs[number].push(run?);
        }
    }
    let comparison = verdicts(&names, &runs);
    let [a, b] = runs;
    document.runs.extend(a.into_iter().zip(b).flat_map(|(a, b)| [a, b]));
    document.comparisons.push(comparison);
    Ok(())
}

fn verdicts([a, b]: &[String; 2], runs: &[Vec<Run>; 2]) -> Comparison {
    type Reader = fn(&Run) -> f64;
    let figures: [(Figure, Reader); 7] = [
        (Figure { name: "throughput", more_is_better: true }, |run| run.throughput),
        (Figure { name: "mean", more_is_better: false }, |run| run.latency[0].corrected.mean_us),
        (Figure { name: "p50", more_is_better: false }, |run| run.latency[0].corrected.p50_us),
        (Figure { name: "p99", more_is_better: false }, |run| run.latency[0].corrected.p99_us),
        (Figure { name: "p99.9", more_is_better: false }, |run| run.latency[0].corrected.p999_us),
        (Figure { name: "max", more_is_better: false }, |run| run.latency[0].corrected.max_us),
        (Figure { name: "server CPU/op", more_is_better: false }, |run| run.server.cpu_us_per_op.unwrap_or(f64::NAN)),
    ];
    let values = |side: usize, read: Reader| runs[side].iter().map(read).collect::<Vec<f64>>();
    let rows = figures
        .into_iter()
        .filter_map(|(figure, read)| statistics::compare(figure, &values(0, read), &values(1, read)));
    Comparison { a: a.clone(), b: b.clone(), rows: rows.collect() }
}

/// How a sweep goes about it.
pub struct Search {
    /// How long one probe of the search takes.
    pub probe: Duration,
    /// How often the interval that holds the knee is halved.
    pub halvings: usize,
    /// Shares of the capacity that are run in full.
    pub shares: Vec<f64>,
}

/// A server keeps up with a rate when its p99 is at most this many times what it is at a tenth of the closed loop's
/// throughput, or less than [`KNEE_FLOOR_US`], and at most one in a hundred operations is late by the end.
const KNEE: f64 = 10.0;
const KNEE_FLOOR_US: f64 = 10_000.0;
/// Where the search begins, in shares of the closed loop's throughput.
const LOW: f64 = 0.1;
const HIGH: f64 = 1.1;
/// One hiccup of the machine is no overload: a probe that fails is made again.
const PROBES: usize = 2;

/// Finds the highest rate the target keeps up with, and runs the load at shares of it.
///
/// The closed loop gives a first guess. The knee is looked for by halving, in an open loop.
pub fn sweep(
    document: &mut Document,
    side: &Side,
    load: &Load,
    search: &Search,
    onlooker: &mut dyn Onlooker,
) -> Result<()> {
    znodes::plant(side.targets.addresses[0], &load.workload)?;
    let closed = Load { rate: None, ..load.clone() };
    let closed = measure("closed loop", side, &closed, onlooker)?;
    let guess = closed.throughput;
    if guess < 10.0 {
        return Err(Failure::new("the closed loop has come to nothing"));
    }
    document.runs.push(closed);
    let mut probe = |rate: f64| -> Result<(f64, bool)> {
        let warm_up = load.warm_up.min(search.probe / 2);
        let load = Load { rate: Some(rate), window: search.probe, warm_up, ..load.clone() };
        onlooker.next(&format!("probe at {}", crate::summary::per_second(rate)), &side.targets);
        let outcome = engine::measure(&side.targets, &load, onlooker);
        onlooker.sampled()?;
        let outcome = outcome?;
        // What was answered within the window, late or not, without what the drain after it has brought.
        let answered: u64 = outcome.timeline.iter().map(|slice| slice.operations).sum();
        let is_answered = answered as f64 >= 0.99 * rate * search.probe.as_secs_f64();
        Ok((outcome.all().corrected().p99_us, is_answered))
    };
    let (mut low, mut high) = (LOW * guess, HIGH * guess);
    let (calm_us, is_answered) = probe(low)?;
    if !is_answered {
        return Err(Failure::new("an open loop of a tenth of the closed loop's throughput is too much already"));
    }
    let limit_us = (KNEE * calm_us).max(KNEE_FLOOR_US);
    for _ in 0..search.halvings {
        let middle = (low + high) / 2.0;
        let mut keeps_up = false;
        for _ in 0..PROBES {
            let (p99_us, is_answered) = probe(middle)?;
            keeps_up = is_answered && p99_us <= limit_us;
            if keeps_up {
                break;
            }
        }
        *if keeps_up { &mut low } else { &mut high } = middle;
    }
    let capacity = low;
    let mut steps = vec![];
    for share in &search.shares {
        let rate = capacity * share;
        let name = format!("{:.0} % of capacity", 100.0 * share);
        let load = Load { rate: Some(rate), ..load.clone() };
        document.runs.push(measure(&name, side, &load, onlooker)?);
        steps.push(Step { share: *share, rate, run: name });
    }
    document.sweeps.push(Sweep { capacity, steps });
    Ok(())
}
