//! What becomes of a document: printed, drawn, judged by the limits that were stated.

use crate::args::{LimitArgs, OutputArgs};
use crate::document::{Document, FORMAT, Run, Verdict};
use crate::failure::{Failure, Result, While};
use crate::{environment, html, markdown, summary};
use std::fs;
use std::io::{Read, Write};
use std::path::Path;

/// Longest document that is read back. Bytes.
const LONGEST_DOCUMENT: u64 = 1 << 30;

/// A document of nothing yet, made here and now.
pub fn document(title: impl Into<String>, output: &OutputArgs) -> Document {
    Document {
        format: FORMAT,
        tool: environment::tool(),
        environment: environment::here(),
        title: output.title.clone().unwrap_or_else(|| title.into()),
        runs: vec![],
        comparisons: vec![],
        sweeps: vec![],
    }
}

/// Reads a document that was kept.
pub fn read(path: &Path) -> Result<Document> {
    let doing = || format!("reading {}", path.display());
    let mut text = String::new();
    let file = fs::File::open(path).during(doing)?;
    file.take(LONGEST_DOCUMENT).read_to_string(&mut text).during(doing)?;
    let document: Document = serde_json::from_str(&text).during(doing)?;
    if document.format != FORMAT {
        return Err(Failure::new(format!("{}: format {} instead of {FORMAT}", path.display(), document.format)));
    }
    Ok(document)
}

/// Prints and draws it, as was asked for.
pub fn deliver(document: &Document, output: &OutputArgs) -> Result<()> {
    if let Some(path) = &output.html {
        fs::write(path, html::render(document)).during(|| format!("writing {}", path.display()))?;
    }
    let text = if output.json {
        serde_json::to_string_pretty(document).during(|| "writing JSON".into())? + "\n"
    } else if output.markdown {
        markdown::comparisons(document)
    } else {
        summary::text(document)
    };
    std::io::stdout().write_all(text.as_bytes()).during(|| "printing".into())
}

/// Which of the stated limits were missed, in words.
pub fn missed(document: &Document, limits: &LimitArgs) -> Vec<String> {
    document.runs.iter().flat_map(|run| missed_by(run, limits)).collect()
}

fn missed_by(run: &Run, limits: &LimitArgs) -> Vec<String> {
    let mut missed = vec![];
    let mut check = |name: &str, found: f64, is_met: bool| {
        if !is_met {
            missed.push(format!("{}: {name} is missed: {found:.3}", run.name));
        }
    };
    // What was never answered has no latency, and is no reason to be content.
    let all = run.latency.first().map(|latency| &latency.corrected).filter(|spectrum| spectrum.count > 0);
    let ms = |us: fn(&crate::document::Spectrum) -> f64| all.map_or(f64::INFINITY, |spectrum| us(spectrum) / 1e3);
    if let Some(limit) = limits.max_p99 {
        let found = ms(|spectrum| spectrum.p99_us);
        check("--max-p99", found, found <= limit);
    }
    if let Some(limit) = limits.max_p999 {
        let found = ms(|spectrum| spectrum.p999_us);
        check("--max-p999", found, found <= limit);
    }
    if let Some(limit) = limits.min_throughput {
        check("--min-throughput", run.throughput, run.throughput >= limit);
    }
    if let Some(limit) = limits.max_errors {
        let found: u64 = run.errors.iter().map(|error| error.count).sum();
        check("--max-errors", found as f64, found <= limit);
    }
    if let Some(limit) = limits.max_unavailable {
        let found = run.unavailable_ms.unwrap_or(0.0);
        check("--max-unavailable", found, found <= limit);
    }
    missed
}

/// The figures in which B is worse, in words.
pub fn worse(document: &Document) -> Vec<String> {
    let rows = document.comparisons.iter().flat_map(|comparison| &comparison.rows);
    let worse = rows.filter(|row| row.verdict == Verdict::Worse);
    worse
        .map(|row| format!("{} is worse: {:.3} times ({:.3} .. {:.3})", row.figure, row.ratio, row.low, row.high))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{ErrorCount, Latency, Spectrum};

    #[test]
    fn limits_are_missed_one_by_one() {
        let corrected = Spectrum { count: 10, p99_us: 5000.0, p999_us: 9000.0, ..Spectrum::default() };
        let latency = vec![Latency { operation: "all".into(), corrected, uncorrected: None }];
        let errors = vec![ErrorCount { code: -4, count: 2 }];
        let run = Run { throughput: 100.0, latency, errors, unavailable_ms: Some(300.0), ..Run::default() };
        let missed = |limits: LimitArgs| missed_by(&run, &limits).len();
        assert_eq!(missed(LimitArgs { max_p99: Some(5.0), ..LimitArgs::default() }), 0);
        assert_eq!(missed(LimitArgs { max_p99: Some(4.9), ..LimitArgs::default() }), 1);
        assert_eq!(missed(LimitArgs { max_p999: Some(8.0), min_throughput: Some(101.0), ..LimitArgs::default() }), 2);
        assert_eq!(missed(LimitArgs { max_errors: Some(1), max_unavailable: Some(299.0), ..LimitArgs::default() }), 2);
        assert_eq!(missed(LimitArgs { max_errors: Some(2), max_unavailable: Some(300.0), ..LimitArgs::default() }), 0);
        let nothing = LimitArgs { max_p99: Some(1e9), ..LimitArgs::default() };
        assert_eq!(missed_by(&Run::default(), &nothing).len(), 1, "a run without answers meets no latency");
    }
}
