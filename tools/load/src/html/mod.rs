//! A document as a page: one file with its style and its drawings in it, that needs no network and no script.
//!
//! From the verdict to the detail: what stands out, the figures of all runs, comparisons and sweeps, latency spectra,
//! then each run with its timeline and what the server told meanwhile, and last the environment. Everything from the
//! document is text (see [`out`]); a policy in the page forbids it to load anything at all.

mod comparison;
mod figures;
mod findings;
mod out;
mod plot;
mod run;
mod spectrum;
mod sweep;
mod timeline;
mod units;
mod values;

use crate::document::{Document, Run};
use out::Out;
use spectrum::Curve;
use std::collections::BTreeMap;

/// What the latency of all operations together is called. Scenarios have stages instead, which do not add up: the first
/// one stands for them.
const ALL: &str = "all";
/// Colours that are told apart, in the style sheet `s0` and so on; then they begin again.
const COLOURS: usize = 8;
/// Runs in one drawing; more would hide one another.
const TOGETHER: usize = 8;
/// So many runs are shown at once; of more, each is folded up.
const UNFOLDED: usize = 4;

/// The page, complete: HTML that is XML as well, in UTF-8.
pub fn render(document: &Document) -> String {
    let mut out = Out::page();
    out.open("html", &[("lang", "en"), ("xmlns", "http://www.w3.org/1999/xhtml")]);
    head(&mut out, document);
    out.open("body", &[]).open("main", &[]);
    header(&mut out, document);
    findings::section(&mut out, document);
    let colours = colours(document);
    figures::summary(&mut out, document, &colours);
    comparison::sections(&mut out, document);
    sweep::sections(&mut out, document);
    spectra(&mut out, document, &colours);
    runs(&mut out, document);
    environment(&mut out, document);
    reading(&mut out);
    out.close().close().close();
    out.finish()
}

fn head(out: &mut Out, document: &Document) {
    out.open("head", &[]);
    out.empty("meta", &[("charset", "utf-8")]);
    let policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";
    out.empty("meta", &[("http-equiv", "Content-Security-Policy"), ("content", policy)]);
    out.empty("meta", &[("name", "viewport"), ("content", "width=device-width, initial-scale=1")]);
    out.empty("meta", &[("name", "color-scheme"), ("content", "light dark")]);
    // Browsers would otherwise ask the server of the page for one.
    out.empty("link", &[("rel", "icon"), ("href", "data:,")]);
    out.leaf("title", &[], &document.title).style(include_str!("style.css")).close();
}

fn header(out: &mut Out, document: &Document) {
    let environment = &document.environment;
    out.open("header", &[]).leaf("h1", &[], &document.title);
    let cores = match environment.cores {
        1 => "1 core".to_owned(),
        cores => format!("{cores} cores"),
    };
    let parts = [
        environment.date_utc.replace('T', " ").replace('Z', " UTC"),
        environment.cpu.clone(),
        cores,
        environment.kernel.clone(),
        format!("corral-load {}", document.tool.version),
    ];
    let parts: Vec<&str> = parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty()).collect();
    out.leaf("p", &[("class", "sub")], &parts.join("  ·  ")).close();
}

/// A colour for every run. In a comparison, where a target has several runs, one for each target, so that its sides are
/// told apart; else one for each run.
fn colours(document: &Document) -> Vec<usize> {
    let mut of_target: BTreeMap<&str, usize> = BTreeMap::new();
    for run in &document.runs {
        let next = of_target.len();
        of_target.entry(&run.target.label).or_insert(next);
    }
    let by_target = !document.comparisons.is_empty() && of_target.len() > 1;
    let colour = |(index, run): (usize, &Run)| {
        if by_target { of_target[run.target.label.as_str()] } else { index }.rem_euclid(COLOURS)
    };
    document.runs.iter().enumerate().map(colour).collect()
}

/// The spectra of all operations, of several runs in one drawing.
fn spectra(out: &mut Out, document: &Document, colours: &[usize]) {
    let names: Vec<String> = document.runs.iter().map(with_stage).collect();
    let curves: Vec<Curve> = document
        .runs
        .iter()
        .zip(&names)
        .zip(colours)
        .filter_map(|((run, name), colour)| Some(Curve::of(name, *colour, run.latency.first()?)))
        .filter(Curve::is_known)
        .collect();
    // The stages of the only run are all shown with it.
    let shown_below = matches!(document.runs.as_slice(), [run] if is_staged(run) && run.latency.len() > 1);
    if curves.is_empty() || shown_below {
        return;
    }
    section(out, "latency", "Latency spectrum");
    out.leaf(
        "p",
        &[("class", "note")],
        "How long the slowest operations took: every step to the right looks at a tenth as many of them. Solid: from \
         the instant an operation was due (corrected). Dashed: from the instant it was sent, which leaves out the time \
         it waited because the server had not kept up.",
    );
    for together in curves.chunks(TOGETHER) {
        spectrum::figure(out, "Latency by percentile", together);
    }
    out.close();
}

/// The name of a run whose first latency is shown, with that of the stage if it is but one.
fn with_stage(run: &Run) -> String {
    match run.latency.first() {
        Some(first) if is_staged(run) => format!("{}: {}", run.name, first.operation),
        _ => run.name.clone(),
    }
}

/// Whether the latencies are of the stages of a scenario.
fn is_staged(run: &Run) -> bool {
    run.latency.first().is_some_and(|first| first.operation != ALL)
}

fn runs(out: &mut Out, document: &Document) {
    if document.runs.is_empty() {
        return;
    }
    section(out, "runs", if document.runs.len() == 1 { "The run" } else { "Each run" });
    for (index, run) in document.runs.iter().enumerate() {
        run::details(out, index, run, document.runs.len() <= UNFOLDED);
    }
    out.close();
}

fn environment(out: &mut Out, document: &Document) {
    let environment = &document.environment;
    let cores = environment.cores.to_string();
    let memory = units::megabytes(environment.memory_mb as f64);
    let rows = [
        ("Measured", environment.date_utc.as_str()),
        ("Processor", &environment.cpu),
        ("Cores", &cores),
        ("Memory", &memory),
        ("Kernel", &environment.kernel),
        ("Disk", &environment.disk),
        ("Commit", environment.commit.as_deref().unwrap_or_default()),
        ("Load tool", &document.tool.version),
        ("Command", &environment.command_line),
    ];
    section(out, "environment", "Environment");
    out.open("div", &[("class", "wide")]).open("table", &[("class", "facts")]).open("tbody", &[]);
    for (name, value) in rows.into_iter().filter(|(_, value)| !value.is_empty()) {
        out.open("tr", &[]).leaf("th", &[("scope", "row")], name);
        let class = if name == "Command" { "mono" } else { "" };
        out.leaf("td", &[("class", class)], value).close();
    }
    out.close().close().close();
    out.leaf(
        "p",
        &[("class", "note")],
        "The machine the load was made on; the servers' as well, where they are local.",
    );
    out.close();
}

/// What the words mean.
fn reading(out: &mut Out) {
    let terms = [
        (
            "Corrected",
            "latency from the instant an operation was due at the offered rate. A stall counts for every operation it held up, also for those that could not be sent.",
        ),
        (
            "As sent",
            "latency from the instant the operation left the load tool: what a tool sees that waits for an answer before it sends on.",
        ),
        (
            "Open loop",
            "operations are due at a constant rate, whether or not the server keeps up. The latencies of a service that many independent clients use.",
        ),
        (
            "Closed loop",
            "each session sends as soon as it has an answer. Shows capacity; its latencies follow from the number of requests under way.",
        ),
        (
            "Unavailable",
            "the time in which nothing at all was answered though something was due; each stretch of it is a gap.",
        ),
        (
            "95 % interval",
            "where the true ratio lies, with that probability, given how much the rounds differ among themselves. A verdict other than “same” needs an interval that leaves out 1.",
        ),
        ("CPU/op", "CPU time of the server's process in the window, for each operation. 100 % is one core."),
    ];
    out.open("details", &[("class", "reading")]).leaf("summary", &[], "What the words mean").open("dl", &[]);
    for (term, meaning) in terms {
        out.leaf("dt", &[], term).leaf("dd", &[], meaning);
    }
    out.close().close();
}

/// Begins a section with its heading.
fn section(out: &mut Out, id: &str, heading: &str) {
    out.open("section", &[("id", id)]).leaf("h2", &[], heading);
}

#[cfg(test)]
mod tests;
