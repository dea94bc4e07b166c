//! A run over time: throughput, latency, the server's CPU and memory one below the other on the same axis, and the gaps
//! in which nothing was answered through all of them.

use super::out::Out;
use super::plot::{self, Scale};
use super::units;
use crate::document::{Run, Sample, Slice};

const WIDTH: f64 = 1040.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = WIDTH - 40.0;
/// Above each panel, for its name.
const HEADING: f64 = 30.0;
const FOOTER: f64 = 40.0;
/// More slices than that are drawn together: they would be narrower than can be seen or pointed at.
const SLOTS: usize = 600;
/// A run of one slice only is taken to be this long.
const SLICE_MS: f64 = 100.0;

/// Some slices as one.
#[derive(Clone, Debug, Default, PartialEq)]
struct Slot {
    from_ms: f64,
    to_ms: f64,
    operations: u64,
    errors: u64,
    p50_us: f64,
    p99_us: f64,
    max_us: f64,
}

impl Slot {
    fn answered_per_second(&self) -> f64 {
        self.per_second(self.operations.saturating_sub(self.errors))
    }

    fn per_second(&self, count: u64) -> f64 {
        count as f64 * 1e3 / (self.to_ms - self.from_ms).max(1e-3)
    }

    fn middle_ms(&self) -> f64 {
        (self.from_ms + self.to_ms) / 2.0
    }
}

/// What one panel shows.
#[derive(Clone, Copy)]
enum Panel {
    Throughput,
    Latency,
    Cpu,
    Memory,
}

impl Panel {
    fn height(self) -> f64 {
        match self {
            Panel::Throughput => 120.0,
            Panel::Latency => 170.0,
            Panel::Cpu | Panel::Memory => 80.0,
        }
    }
}

/// A latency of a slot, by its class in the style sheet. The last one is drawn over the others.
type Measure = (&'static str, fn(&Slot) -> f64);
const MEASURES: [Measure; 3] = [("max", |slot| slot.max_us), ("p99", |slot| slot.p99_us), ("p50", |slot| slot.p50_us)];

/// A panel of what was sampled.
struct OfSamples {
    name: &'static str,
    note: &'static str,
    /// In the style sheet.
    class: &'static str,
    text: fn(f64) -> String,
    value: fn(&Sample) -> Option<f64>,
}

const CPU: OfSamples = OfSamples {
    name: "CPU of the server",
    note: "over half a second; 100 % is one core",
    class: "cpu",
    text: units::percent,
    value: |sample| sample.cpu_percent,
};

const MEMORY: OfSamples = OfSamples {
    name: "Memory of the server",
    note: "resident",
    class: "memory",
    text: units::megabytes,
    value: |sample| sample.rss_mb,
};

/// What is drawn, and where its times are.
struct Drawing<'a> {
    run: &'a Run,
    slots: &'a [Slot],
    across: Scale,
}

/// The drawing of `run`, if it has a timeline or samples.
pub fn figure(out: &mut Out, run: &Run) {
    let slots = slots(&run.timeline);
    let samples = &run.server.samples;
    if slots.is_empty() && samples.is_empty() {
        return;
    }
    let ends = [
        run.workload.seconds * 1e3,
        slots.last().map_or(0.0, |slot| slot.to_ms),
        samples.last().map_or(0.0, |sample| sample.at_ms),
    ];
    let ends = ends.into_iter().chain(run.gaps.iter().map(|gap| gap.to_ms));
    let end_ms = ends.filter(|end_ms| end_ms.is_finite()).fold(0.0, f64::max);
    let across = Scale::exact(0.0, end_ms, (LEFT, RIGHT));
    let panels = [
        (Panel::Throughput, !slots.is_empty()),
        (Panel::Latency, !slots.is_empty()),
        (Panel::Cpu, samples.iter().any(|sample| sample.cpu_percent.is_some())),
        (Panel::Memory, samples.iter().any(|sample| sample.rss_mb.is_some())),
    ];
    let panels: Vec<Panel> = panels.into_iter().filter_map(|(panel, known)| known.then_some(panel)).collect();
    if panels.is_empty() {
        return;
    }
    let bottom = panels.iter().map(|panel| HEADING + panel.height()).sum::<f64>();

    out.open("figure", &[("class", "timeline")]).open("div", &[("class", "wide")]);
    plot::begin(out, WIDTH, bottom + FOOTER, &format!("{} over time", run.name));
    let drawing = Drawing { run, slots: &slots, across };
    drawing.verticals(out, bottom);
    let mut top = 0.0;
    for panel in panels {
        top += HEADING;
        drawing.panel(out, panel, (top + panel.height(), top));
        top += panel.height();
    }
    drawing.gap_labels(out);
    drawing.pointers(out, bottom);
    out.close().close();
    let merged = run.timeline.len().div_ceil(SLOTS);
    if merged > 1 {
        let text =
            format!("Each point stands for {merged} slices: their throughput, and the worst of their latencies.");
        out.leaf("figcaption", &[("class", "note")], &text);
    }
    out.close();
}

impl Drawing<'_> {
    /// The time axis through all panels, and the gaps.
    fn verticals(&self, out: &mut Out, bottom: f64) {
        for gap in &self.run.gaps {
            let (from, to) = (self.across.at(gap.from_ms), self.across.at(gap.to_ms));
            let [x, y, width, height] = [from, HEADING, (to - from).max(1.5), bottom - HEADING].map(plot::px);
            out.empty("rect", &[("class", "gap"), ("x", &x), ("y", &y), ("width", &width), ("height", &height)]);
        }
        for ms in self.across.ticks() {
            let x = self.across.at(ms);
            plot::rule(out, "grid", (x, HEADING), (x, bottom));
            plot::label(out, "tick", (x, bottom + 18.0), "middle", &format!("{}\u{a0}s", units::number(ms / 1e3)));
        }
        plot::label(out, "axis", ((LEFT + RIGHT) / 2.0, bottom + 36.0), "middle", "time from the end of the warm-up");
    }

    fn panel(&self, out: &mut Out, panel: Panel, up: (f64, f64)) {
        match panel {
            Panel::Throughput => self.throughput(out, up),
            Panel::Latency => self.latency(out, up),
            Panel::Cpu => self.samples(out, up, &CPU),
            Panel::Memory => self.samples(out, up, &MEMORY),
        }
    }

    fn throughput(&self, out: &mut Out, up: (f64, f64)) {
        let rates = self.slots.iter().map(Slot::answered_per_second);
        let offered = self.run.workload.rate;
        let failed = || self.slots.iter().map(|slot| (slot.errors > 0).then(|| slot.per_second(slot.errors)));
        let highest = rates.clone().chain(failed().flatten()).chain(offered).fold(0.0, f64::max);
        let scale = Scale::linear(highest, up);
        plot::horizontals(out, &scale, LEFT, RIGHT, units::rate);
        let xs = || self.slots.iter().map(|slot| self.across.at(slot.middle_ms()));
        let points: Vec<(f64, f64)> = xs().zip(rates.map(|rate| scale.at(rate))).collect();
        plot::path(out, "area throughput", &plot::area(&points, up.0));
        plot::path(out, "line throughput", &plot::line(points.into_iter().map(Some)));
        let mut names = vec![("throughput", "answered")];
        if failed().flatten().next().is_some() {
            let points = xs().zip(failed()).map(|(x, rate)| Some((x, scale.at(rate?))));
            plot::path(out, "line errors", &plot::line(points));
            names.push(("errors", "errors"));
        }
        if let Some(rate) = offered {
            plot::rule(out, "line offered", (LEFT, scale.at(rate)), (RIGHT, scale.at(rate)));
            names.push(("offered", "offered"));
        }
        plot::heading(out, up.1, (LEFT, RIGHT), "Throughput", &names);
    }

    fn latency(&self, out: &mut Out, up: (f64, f64)) {
        let values = self.slots.iter().flat_map(|slot| [slot.p50_us, slot.p99_us, slot.max_us]);
        let scale = Scale::logarithmic(values, up);
        plot::horizontals(out, &scale, LEFT, RIGHT, units::time);
        for (class, value) in MEASURES {
            let points = self.slots.iter().map(|slot| {
                // Nothing was answered: there is no latency, which is not a latency of zero.
                (slot.operations > 0).then(|| (self.across.at(slot.middle_ms()), scale.at(value(slot))))
            });
            plot::path(out, &format!("line {class}"), &plot::line(points));
        }
        plot::heading(out, up.1, (LEFT, RIGHT), "Latency", &[("p50", "p50"), ("p99", "p99"), ("max", "max")]);
    }

    fn samples(&self, out: &mut Out, up: (f64, f64), of: &OfSamples) {
        let samples = &self.run.server.samples;
        let scale = Scale::linear(samples.iter().filter_map(of.value).fold(0.0, f64::max), up);
        plot::horizontals(out, &scale, LEFT, RIGHT, of.text);
        let points = samples.iter().map(|sample| Some((self.across.at(sample.at_ms), scale.at((of.value)(sample)?))));
        plot::path(out, &format!("line {}", of.class), &plot::line(points));
        plot::heading(out, up.1, (LEFT, RIGHT), of.name, &[(of.class, of.note)]);
    }

    /// How long each gap was, above it: as many as fit beside one another.
    fn gap_labels(&self, out: &mut Out) {
        let mut free = LEFT;
        for gap in &self.run.gaps {
            let text = format!("{} without an answer", units::time((gap.to_ms - gap.from_ms) * 1e3));
            let x = self.across.at((gap.from_ms + gap.to_ms) / 2.0);
            let half = text.chars().count() as f64 * 3.2;
            let x = x.clamp(LEFT + half, RIGHT - half);
            if x - half >= free {
                plot::label(out, "gap-label", (x, HEADING + 13.0), "middle", &text);
                free = x + half + 8.0;
            }
        }
    }

    /// Over each slot an area that tells its figures to who points at it.
    fn pointers(&self, out: &mut Out, bottom: f64) {
        out.open("g", &[("class", "pointers")]);
        for slot in self.slots {
            let (from, to) = (self.across.at(slot.from_ms), self.across.at(slot.to_ms));
            let [x, y, width, height] = [from, HEADING, (to - from).max(0.5), bottom - HEADING].map(plot::px);
            out.open("rect", &[("x", &x), ("y", &y), ("width", &width), ("height", &height)]);
            let mut text = format!(
                "{} to {}: {}",
                units::time(slot.from_ms * 1e3),
                units::time(slot.to_ms * 1e3),
                units::rate(slot.answered_per_second())
            );
            if slot.operations > 0 {
                let [p50, p99, max] = [slot.p50_us, slot.p99_us, slot.max_us].map(units::time);
                text += &format!("\np50 {p50}, p99 {p99}, max {max}");
            }
            if slot.errors > 0 {
                text += &format!("\n{} errors", units::count(slot.errors));
            }
            out.leaf("title", &[], &text).close();
        }
        out.close();
    }
}

/// The slices, as many together as it takes.
fn slots(slices: &[Slice]) -> Vec<Slot> {
    let together = slices.len().div_ceil(SLOTS).max(1);
    let length_ms = match slices {
        [first, .., last] => (last.at_ms - first.at_ms) / (slices.len() - 1) as f64,
        _ => SLICE_MS,
    };
    let slot = |(slices, next): (&[Slice], Option<&[Slice]>)| {
        let worst = |of: fn(&Slice) -> f64| slices.iter().map(of).fold(0.0, f64::max);
        let last = slices.last().map_or(0.0, |slice| slice.at_ms);
        Slot {
            from_ms: slices[0].at_ms,
            to_ms: next.map_or(last + length_ms, |next| next[0].at_ms),
            operations: slices.iter().map(|slice| slice.operations).sum(),
            errors: slices.iter().map(|slice| slice.errors).sum(),
            p50_us: worst(|slice| slice.p50_us),
            p99_us: worst(|slice| slice.p99_us),
            max_us: worst(|slice| slice.max_us),
        }
    };
    let next = slices.chunks(together).skip(1).map(Some).chain([None]);
    slices.chunks(together).zip(next).map(slot).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(at_ms: f64, operations: u64, p99_us: f64) -> Slice {
        Slice { at_ms, operations, p99_us, ..Slice::default() }
    }

    #[test]
    fn slices_are_drawn_as_they_are_or_together() {
        let few = slots(&[slice(0.0, 10, 1.0), slice(100.0, 30, 5.0)]);
        assert_eq!((few[0].to_ms, few[1].to_ms, few[1].answered_per_second()), (100.0, 200.0, 300.0));
        let many: Vec<Slice> = (0..=SLOTS).map(|n| slice(n as f64 * 100.0, 10, n as f64)).collect();
        let many = slots(&many);
        assert_eq!(many.len(), SLOTS.div_ceil(2) + usize::from(SLOTS.is_multiple_of(2)));
        assert_eq!((many[1].from_ms, many[1].to_ms, many[1].p99_us), (200.0, 400.0, 3.0));
        assert_eq!(many[1].answered_per_second(), 100.0);
        assert!(slots(&[]).is_empty());
        assert_eq!(slots(&[slice(0.0, 1, 1.0)])[0].to_ms, SLICE_MS);
    }
}
