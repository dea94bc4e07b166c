//! Tables of figures: all runs side by side, and the legend below a spectrum.

use super::out::Out;
use super::spectrum::Curve;
use super::units::{self, UNKNOWN};
use crate::document::{Document, Run, Spectrum};

/// The figures of the only run in large, or of all runs as a table.
pub fn summary(out: &mut Out, document: &Document, colours: &[usize]) {
    match document.runs.as_slice() {
        [] => {}
        [run] => cards(out, run),
        runs => {
            super::section(out, "summary", "Summary");
            out.open("div", &[("class", "wide")]).open("table", &[("class", "summary")]);
            heads(
                out,
                &[
                    "run",
                    "offered",
                    "answered",
                    "p50",
                    "p99",
                    "p99.9",
                    "max",
                    "errors",
                    "unavailable",
                    "CPU/op",
                    "memory",
                ],
            );
            out.open("tbody", &[]);
            for (index, (run, colour)) in runs.iter().zip(colours).enumerate() {
                row(out, index, run, *colour);
            }
            out.close().close().close().close();
        }
    }
}

fn cards(out: &mut Out, run: &Run) {
    let mut cards = vec![("answered", units::rate(run.throughput), offered(run))];
    if let Some(all) = run.latency.first().filter(|all| all.corrected.count > 0) {
        let sent = |of: fn(&Spectrum) -> f64| match &all.uncorrected {
            Some(uncorrected) => format!("{} as sent", units::time(of(uncorrected))),
            None => String::new(),
        };
        let spectrum = &all.corrected;
        if super::is_staged(run) {
            cards.push(("latencies of", all.operation.clone(), String::new()));
        }
        cards.push(("p50", units::time(spectrum.p50_us), sent(|spectrum| spectrum.p50_us)));
        cards.push(("p99", units::time(spectrum.p99_us), sent(|spectrum| spectrum.p99_us)));
        if spectrum.count >= 1000 {
            cards.push(("p99.9", units::time(spectrum.p999_us), sent(|spectrum| spectrum.p999_us)));
        }
        cards.push(("max", units::time(spectrum.max_us), sent(|spectrum| spectrum.max_us)));
    }
    if let Some(ms) = run.unavailable_ms {
        let gaps = match run.gaps.len() {
            0 => "no gap".to_owned(),
            1 => "in one gap".to_owned(),
            gaps => format!("in {gaps} gaps"),
        };
        cards.push(("unavailable", units::time(ms * 1e3), gaps));
    }
    let failed: u64 = run.errors.iter().map(|error| error.count).sum();
    cards.push(("errors", units::count(failed), format!("of {}", units::count(run.operations))));
    if let Some(us) = run.server.cpu_us_per_op {
        cards.push((
            "server CPU/op",
            units::time(us),
            run.server.cpu_percent.map_or(String::new(), |percent| format!("{} of a core", units::percent(percent))),
        ));
    }
    if let Some(mb) = run.server.rss_mb {
        cards.push(("server memory", units::megabytes(mb), "resident".into()));
    }
    out.open("div", &[("class", "cards"), ("id", "summary")]);
    for (name, figure, note) in cards {
        out.open("div", &[("class", "card")]).leaf("span", &[("class", "what")], name);
        out.leaf("span", &[("class", "figure")], &figure).leaf("span", &[("class", "sub")], &note).close();
    }
    out.close();
}

fn offered(run: &Run) -> String {
    run.workload.rate.map_or("closed loop".into(), |rate| format!("of {} offered", units::rate(rate)))
}

fn row(out: &mut Out, index: usize, run: &Run, colour: usize) {
    let latency = |of: fn(&Spectrum) -> f64| match run.latency.first() {
        Some(all) if all.corrected.count > 0 => units::time(of(&all.corrected)),
        _ => UNKNOWN.into(),
    };
    let failed: u64 = run.errors.iter().map(|error| error.count).sum();
    out.open("tr", &[]).open("th", &[("scope", "row")]);
    swatch(out, colour);
    out.leaf("a", &[("href", &format!("#run-{}", index + 1))], &super::with_stage(run)).close();
    let figures = [
        run.workload.rate.map_or("closed loop".into(), units::rate),
        units::rate(run.throughput),
        latency(|spectrum| spectrum.p50_us),
        latency(|spectrum| spectrum.p99_us),
        latency(|spectrum| spectrum.p999_us),
        latency(|spectrum| spectrum.max_us),
        units::count(failed),
        run.unavailable_ms.map_or(UNKNOWN.into(), |ms| units::time(ms * 1e3)),
        run.server.cpu_us_per_op.map_or(UNKNOWN.into(), units::time),
        run.server.rss_mb.map_or(UNKNOWN.into(), units::megabytes),
    ];
    for figure in figures {
        out.leaf("td", &[("class", "n")], &figure);
    }
    out.close();
}

/// The curves of a spectrum with their figures.
pub fn legend(out: &mut Out, curves: &[Curve]) {
    out.open("div", &[("class", "wide")]).open("table", &[("class", "legend")]);
    heads(out, &["", "operations", "mean", "p50", "p90", "p99", "p99.9", "p99.99", "max"]);
    out.open("tbody", &[]);
    for curve in curves {
        spectrum(out, curve, "", &curve.latency.corrected);
        if let Some(uncorrected) = &curve.latency.uncorrected {
            spectrum(out, curve, "as sent", uncorrected);
        }
    }
    out.close().close().close();
}

fn spectrum(out: &mut Out, curve: &Curve, how: &str, spectrum: &Spectrum) {
    let corrected = how.is_empty();
    out.open("tr", &[("class", if corrected { "" } else { "uncorrected" })]).open("th", &[("scope", "row")]);
    if corrected {
        swatch(out, curve.colour);
        out.text(curve.name);
    } else {
        out.leaf("span", &[("class", &format!("swatch uncorrected s{}", curve.colour))], "").text(how);
    }
    out.close();
    out.leaf("td", &[("class", "n")], &if corrected { units::count(spectrum.count) } else { String::new() });
    let figures = [
        (spectrum.mean_us, 1),
        (spectrum.p50_us, 2),
        (spectrum.p90_us, 10),
        (spectrum.p99_us, 100),
        (spectrum.p999_us, 1000),
        (spectrum.p9999_us, 10_000),
        (spectrum.max_us, 1),
    ];
    for (us, of) in figures {
        // The slowest of fewer operations is the maximum under another name.
        let text = if spectrum.count < of { UNKNOWN.into() } else { units::time(us) };
        out.leaf("td", &[("class", "n")], &text);
    }
    out.close();
}

/// The head of a table. The first column is text, the others are figures.
pub fn heads(out: &mut Out, names: &[&str]) {
    out.open("thead", &[]).open("tr", &[]);
    for (index, name) in names.iter().enumerate() {
        out.leaf("th", &[("scope", "col"), ("class", if index == 0 { "" } else { "n" })], name);
    }
    out.close().close();
}

/// A spot of a series' colour.
pub fn swatch(out: &mut Out, colour: usize) {
    out.leaf("span", &[("class", &format!("swatch s{colour}"))], "");
}
