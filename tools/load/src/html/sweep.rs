//! How a target behaves on the way to its capacity: latency over the offered rate, and the figures of each step.

use super::figures;
use super::out::Out;
use super::plot::{self, Scale};
use super::units::{self, UNKNOWN};
use crate::document::{Document, Run, Spectrum, Step, Sweep};

const WIDTH: f64 = 1040.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = WIDTH - 40.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = HEIGHT - 44.0;

/// What is drawn over the rate: its class in the style sheet, its name, and where it is found.
type Measure = (&'static str, &'static str, fn(&Spectrum) -> f64);
const MEASURES: [Measure; 4] = [
    ("max", "max", |spectrum| spectrum.max_us),
    ("p999", "p99.9", |spectrum| spectrum.p999_us),
    ("p99", "p99", |spectrum| spectrum.p99_us),
    ("p50", "p50", |spectrum| spectrum.p50_us),
];

/// A step with its run, where the document has it.
struct Known<'a> {
    step: &'a Step,
    run: Option<(usize, &'a Run)>,
}

impl Known<'_> {
    fn spectrum(&self) -> Option<&Spectrum> {
        let (_, run) = self.run?;
        run.latency.first().map(|all| &all.corrected).filter(|spectrum| spectrum.count > 0)
    }
}

/// A section for each sweep.
pub fn sections(out: &mut Out, document: &Document) {
    for (index, sweep) in document.sweeps.iter().enumerate() {
        let run = |step: &Step| document.runs.iter().enumerate().find(|(_, run)| run.name == step.run);
        let mut steps: Vec<Known> = sweep.steps.iter().map(|step| Known { step, run: run(step) }).collect();
        steps.sort_by(|a, b| a.step.rate.total_cmp(&b.step.rate));
        let label = steps.iter().find_map(|known| Some(known.run?.1.target.label.as_str()));
        let of = label.filter(|label| !label.is_empty()).map(|label| format!(" of {label}")).unwrap_or_default();
        let heading = format!("Capacity{of}: {}", units::rate(sweep.capacity));
        super::section(out, &format!("sweep-{}", index + 1), &heading);
        out.leaf(
            "p",
            &[("class", "note")],
            "Latency (corrected) at shares of the capacity, offered at a constant rate. A service that is to keep its \
             latencies runs where the curves are still flat.",
        );
        figure(out, sweep, &steps);
        table(out, &steps);
        out.close();
    }
}

fn figure(out: &mut Out, sweep: &Sweep, steps: &[Known]) {
    let known: Vec<(f64, &Spectrum)> =
        steps.iter().filter_map(|known| Some((known.step.rate, known.spectrum()?))).collect();
    if known.is_empty() {
        return;
    }
    let highest = known.iter().map(|(rate, _)| *rate).fold(sweep.capacity, f64::max);
    let across = Scale::linear(highest, (LEFT, RIGHT));
    let values = known.iter().flat_map(|(_, spectrum)| MEASURES.map(|(_, _, of)| of(spectrum)));
    let up = Scale::logarithmic(values, (BOTTOM, TOP));
    out.open("figure", &[("class", "sweep")]).open("div", &[("class", "wide")]);
    plot::begin(out, WIDTH, HEIGHT, "Latency over the offered rate");
    plot::horizontals(out, &up, LEFT, RIGHT, units::time);
    for rate in across.ticks() {
        let x = across.at(rate);
        plot::rule(out, "grid", (x, TOP), (x, BOTTOM));
        plot::label(out, "tick", (x, BOTTOM + 18.0), "middle", &units::rate(rate));
    }
    plot::label(out, "axis", ((LEFT + RIGHT) / 2.0, HEIGHT - 6.0), "middle", "offered rate");
    let x = across.at(sweep.capacity);
    plot::rule(out, "capacity", (x, TOP), (x, BOTTOM));
    let capacity = format!("capacity {}", units::rate(sweep.capacity));
    plot::label(out, "tick", (x - 8.0, BOTTOM - 8.0), "end", &capacity);
    for (class, name, of) in MEASURES {
        let points: Vec<(f64, f64)> =
            known.iter().map(|(rate, spectrum)| (across.at(*rate), up.at(of(spectrum)))).collect();
        plot::path(out, &format!("line {class}"), &plot::line(points.iter().map(|point| Some(*point))));
        for ((x, y), (rate, spectrum)) in points.into_iter().zip(&known) {
            let [x, y] = [x, y].map(plot::px);
            out.open("circle", &[("class", &format!("dot {class}")), ("cx", &x), ("cy", &y), ("r", "4")]);
            let text = format!("{name} {} at {}", units::time(of(spectrum)), units::rate(*rate));
            out.leaf("title", &[], &text).close();
        }
    }
    plot::heading(
        out,
        TOP,
        (LEFT, RIGHT),
        "Latency",
        &[("p50", "p50"), ("p99", "p99"), ("p999", "p99.9"), ("max", "max")],
    );
    out.close().close().close();
}

fn table(out: &mut Out, steps: &[Known]) {
    out.open("div", &[("class", "wide")]).open("table", &[("class", "steps")]);
    figures::heads(out, &["share", "offered", "answered", "p50", "p99", "p99.9", "max", "server CPU", "CPU/op"]);
    out.open("tbody", &[]);
    for known in steps {
        out.open("tr", &[]).open("th", &[("scope", "row")]);
        let share = units::percent(known.step.share * 100.0);
        match known.run {
            Some((index, _)) => out.leaf("a", &[("href", &format!("#run-{}", index + 1))], &share),
            None => out.text(&share),
        };
        out.close();
        let run = known.run.map(|(_, run)| run);
        let time =
            |of: fn(&Spectrum) -> f64| known.spectrum().map_or(UNKNOWN.into(), |spectrum| units::time(of(spectrum)));
        let figures = [
            units::rate(known.step.rate),
            run.map_or(UNKNOWN.into(), |run| units::rate(run.throughput)),
            time(|spectrum| spectrum.p50_us),
            time(|spectrum| spectrum.p99_us),
            time(|spectrum| spectrum.p999_us),
            time(|spectrum| spectrum.max_us),
            run.and_then(|run| run.server.cpu_percent).map_or(UNKNOWN.into(), units::percent),
            run.and_then(|run| run.server.cpu_us_per_op).map_or(UNKNOWN.into(), units::time),
        ];
        for figure in figures {
            out.leaf("td", &[("class", "n")], &figure);
        }
        out.close();
    }
    out.close().close().close();
}
