//! Comparisons as Markdown: what becomes of the slowest operations of each kind, B beside A.

use crate::document::{Comparison, Document, Run, Spectrum, Verdict};
use crate::statistics::{self, Figure};
use crate::summary::short;
use std::fmt::Write;

/// Takes a figure from a spectrum, microseconds.
type Reader = fn(&Spectrum) -> f64;

/// The figures of the table, and where they are read.
const FIGURES: [(&str, Reader); 2] = [("p99", |s| s.p99_us), ("p99.9", |s| s.p999_us)];

/// One table of all comparisons of a document; corrected latencies, medians of the rounds, and their ratio with its
/// interval.
pub fn comparisons(document: &Document) -> String {
    let mut text = String::from("| A | B | operation | figure | A | B | B : A (95 % interval) | B is |\n");
    text.push_str("|---|---|---|---|---|---|---|---|\n");
    for comparison in &document.comparisons {
        let sides = [rounds(document, &comparison.a), rounds(document, &comparison.b)];
        let operations = sides[0].first().map_or(&[][..], |run| &run.latency[..]);
        // Of one kind alone, `all` says the same.
        let is_alone = operations.len() == 2;
        for (number, latency) in operations.iter().enumerate().skip(usize::from(is_alone)) {
            for (name, read) in FIGURES {
                write_row(
                    &mut text,
                    comparison,
                    &latency.operation,
                    name,
                    |run| run.latency.get(number).map_or(f64::NAN, |latency| read(&latency.corrected)),
                    &sides,
                );
            }
        }
    }
    text
}

fn write_row(
    text: &mut String,
    comparison: &Comparison,
    operation: &str,
    name: &'static str,
    read: impl Fn(&Run) -> f64,
    sides: &[Vec<&Run>; 2],
) {
    let [a, b] = [0, 1].map(|side| sides[side].iter().map(|run| read(run)).collect::<Vec<f64>>());
    let Some(row) = statistics::compare(Figure { name, more_is_better: false }, &a, &b) else { return };
    let verdict = match row.verdict {
        Verdict::Better => "better",
        Verdict::Same => "the same",
        Verdict::Worse => "worse",
    };
    let _ = writeln!(
        text,
        "| {} | {} | {operation} | {name} | {} | {} | {:.2} ({:.2} to {:.2}) | {verdict} |",
        cell(&comparison.a),
        cell(&comparison.b),
        short(row.a),
        short(row.b),
        row.ratio,
        row.low,
        row.high
    );
}

/// The runs of a side, in their order.
fn rounds<'d>(document: &'d Document, side: &str) -> Vec<&'d Run> {
    let prefix = format!("{side}, round ");
    document.runs.iter().filter(|run| run.name.starts_with(&prefix)).collect()
}

/// Text that does not end its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Environment, FORMAT, Latency, Tool};

    fn run(name: &str, p99_us: f64) -> Run {
        let corrected = Spectrum { count: 10, p99_us, p999_us: 2.0 * p99_us, ..Spectrum::default() };
        let latency = ["all", "get"].map(|operation| Latency {
            operation: operation.into(),
            corrected: corrected.clone(),
            uncorrected: None,
        });
        Run { name: name.into(), latency: latency.into(), ..Run::default() }
    }

    #[test]
    fn a_row_has_both_sides_and_their_ratio() {
        let document = Document {
            format: FORMAT,
            tool: Tool::default(),
            environment: Environment::default(),
            title: String::new(),
            runs: vec![
                run("a|b, round 1", 100.0),
                run("c, round 1", 200.0),
                run("c, round 2", 400.0),
                run("a|b, round 2", 200.0),
            ],
            comparisons: vec![Comparison { a: "a|b".into(), b: "c".into(), rows: vec![] }],
            sweeps: vec![],
        };
        let text = comparisons(&document);
        let rows: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(rows[0], "| a\\|b | c | get | p99 | 200 us | 400 us | 2.00 (2.00 to 2.00) | worse |");
        assert_eq!(rows.len(), 2, "p99 and p99.9 of the only kind: {text}");
    }
}
