//! A document as text for people.

use crate::document::{Comparison, Document, Latency, Run, Spectrum, Sweep, Verdict};
use std::fmt::Write;

/// A latency in the unit that keeps it short.
pub fn short(us: f64) -> String {
    match us {
        us if us < 10.0 => format!("{us:.1} us"),
        us if us < 1e3 => format!("{us:.0} us"),
        us if us < 100e3 => format!("{:.1} ms", us / 1e3),
        us => format!("{:.0} ms", us / 1e3),
    }
}

/// Operations a second, short.
pub fn per_second(rate: f64) -> String {
    match rate {
        rate if rate >= 1e6 => format!("{:.2} M/s", rate / 1e6),
        rate if rate >= 10e3 => format!("{:.0} k/s", rate / 1e3),
        rate if rate >= 1e3 => format!("{:.1} k/s", rate / 1e3),
        rate => format!("{rate:.0} /s"),
    }
}

/// All of a document.
pub fn text(document: &Document) -> String {
    let mut text = String::new();
    for run in &document.runs {
        write_run(&mut text, run);
        text.push('\n');
    }
    document.comparisons.iter().for_each(|comparison| write_comparison(&mut text, comparison));
    document.sweeps.iter().for_each(|sweep| write_sweep(&mut text, sweep, &document.runs));
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn write_run(text: &mut String, run: &Run) {
    let workload = &run.workload;
    let _ = write!(text, "{} on {}", run.name, run.target.label);
    let known: Vec<&str> = [&run.target.version, &run.target.mode].into_iter().flatten().map(String::as_str).collect();
    if !known.is_empty() {
        let _ = write!(text, " ({})", known.join(", "));
    }
    let _ = write!(text, "\n{}", workload.description);
    if workload.sessions > 0 {
        let _ = write!(text, "; {} sessions x {}", workload.sessions, workload.in_flight);
    }
    if let Some(rate) = workload.rate {
        let _ = write!(text, ", offered {}", per_second(rate));
    }
    let _ = writeln!(text, ", {:.1} s", workload.seconds);
    let _ = writeln!(text, "throughput   {}", per_second(run.throughput));
    for latency in &run.latency {
        write_latency(text, latency, run.latency.len());
    }
    if let Some(cpu_us) = run.server.cpu_us_per_op {
        let _ = writeln!(text, "server CPU   {cpu_us:.2} us/op");
    }
    if let (Some(percent), Some(rss_mb)) = (run.server.cpu_percent, run.server.rss_mb) {
        let _ = writeln!(text, "             {percent:.1} % of a core, {rss_mb:.1} MB");
    }
    if run.client.cpu_us_per_op > 0.0 {
        let _ = writeln!(text, "own CPU      {:.2} us/op", run.client.cpu_us_per_op);
    }
    if let [only] = &run.server.samples[..] {
        for (name, value) in &only.values {
            let _ = writeln!(text, "{name:12} {value:.2}");
        }
    }
    let count = |error: &crate::document::ErrorCount| match error.code {
        0 => format!("{} unanswered", error.count),
        code => format!("{} x {code}", error.count),
    };
    let errors: Vec<String> = run.errors.iter().map(count).collect();
    let _ = writeln!(text, "errors       {}", if errors.is_empty() { "0".to_owned() } else { errors.join(", ") });
    if let Some(unavailable_ms) = run.unavailable_ms.filter(|_| !run.gaps.is_empty()) {
        let gap = |gap: &crate::document::Gap| format!("{:.0}-{:.0}", gap.from_ms, gap.to_ms);
        let mut gaps: Vec<String> = run.gaps.iter().take(8).map(gap).collect();
        if run.gaps.len() > gaps.len() {
            gaps.push(format!("{} more", run.gaps.len() - gaps.len()));
        }
        let _ = writeln!(text, "unavailable  {unavailable_ms:.0} ms in all, at {} ms", gaps.join(", "));
    }
    for stage in &run.stages {
        let [p50, p99, p999, max] = [stage.p50_us, stage.p99_us, stage.p999_us, stage.max_us].map(short);
        let gap = stage.longest_gap_ms.map(|gap| format!("  longest gap {gap:.0} ms")).unwrap_or_default();
        let _ = writeln!(
            text,
            "{:12} {:.0} to {:.0} ms: p50 {p50}  p99 {p99}  p99.9 {p999}  max {max}{gap}",
            stage.name, stage.from_ms, stage.to_ms
        );
    }
}

fn write_latency(text: &mut String, latency: &Latency, all: usize) {
    // Of one operation alone, `all` says the same.
    if latency.operation == "all" && all == 2 || latency.corrected.count == 0 {
        return;
    }
    let _ = writeln!(text, "{:12} {}", latency.operation, percentiles(&latency.corrected));
    if let Some(uncorrected) = &latency.uncorrected {
        let _ = writeln!(text, "  as sent    {}", percentiles(uncorrected));
    }
}

/// One line of percentiles.
pub fn percentiles(spectrum: &Spectrum) -> String {
    let Spectrum { p50_us, p90_us, p99_us, p999_us, max_us, .. } = *spectrum;
    let [p50, p90, p99, p999, max] = [p50_us, p90_us, p99_us, p999_us, max_us].map(short);
    format!("p50 {p50}  p90 {p90}  p99 {p99}  p99.9 {p999}  max {max}")
}

fn write_comparison(text: &mut String, comparison: &Comparison) {
    let Comparison { a, b, rows } = comparison;
    let _ = writeln!(text, "A: {a}\nB: {b}");
    let _ = writeln!(text, "{:16} {:>12} {:>12} {:>8}  {:17} B is", "", "A", "B", "B / A", "95 % interval");
    for row in rows {
        let verdict = match row.verdict {
            Verdict::Better => "better",
            Verdict::Same => "the same",
            Verdict::Worse => "worse",
        };
        let figure = |value: f64| if row.figure == "throughput" { per_second(value) } else { short(value) };
        let interval = format!("{:.3} .. {:.3}", row.low, row.high);
        let (a, b) = (figure(row.a), figure(row.b));
        let _ = writeln!(text, "{:16} {a:>12} {b:>12} {:>8.3}  {interval:17} {verdict}", row.figure, row.ratio);
    }
    text.push('\n');
}

fn write_sweep(text: &mut String, sweep: &Sweep, runs: &[Run]) {
    let _ = writeln!(text, "capacity     {}", per_second(sweep.capacity));
    let _ = writeln!(
        text,
        "{:>6} {:>10} {:>10} {:>10} {:>10} {:>10}",
        "share", "offered", "answered", "p50", "p99", "p99.9"
    );
    for step in &sweep.steps {
        let Some(run) = runs.iter().find(|run| run.name == step.run) else { continue };
        let Some(all) = run.latency.first() else { continue };
        let Spectrum { p50_us, p99_us, p999_us, .. } = all.corrected;
        let [p50, p99, p999] = [p50_us, p99_us, p999_us].map(short);
        let (rate, throughput) = (per_second(step.rate), per_second(run.throughput));
        let share = format!("{:.0} %", 100.0 * step.share);
        let _ = writeln!(text, "{share:>6} {rate:>10} {throughput:>10} {p50:>10} {p99:>10} {p999:>10}");
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let latencies: Vec<String> = [0.85, 12.34, 1234.0, 198_400.0].map(short).to_vec();
        assert_eq!(latencies, ["0.8 us", "12 us", "1.2 ms", "198 ms"]);
        let rates: Vec<String> = [12.3, 1234.0, 52_340.0, 1_085_000.0].map(per_second).to_vec();
        assert_eq!(rates, ["12 /s", "1.2 k/s", "52 k/s", "1.08 M/s"]);
    }
}
