//! Two sides, figure by figure: the ratio with its interval drawn around 1, and the verdict in a word.

use super::figures;
use super::out::Out;
use super::plot::{self, Scale};
use super::units;
use crate::document::{Comparison, Document, Row, Verdict};

const WIDTH: f64 = 260.0;
const HEIGHT: f64 = 26.0;
const MARGIN: f64 = 8.0;
/// The drawn ratios reach from a hundredth to a hundredfold at most, so that one wide interval leaves the others some
/// width.
const FURTHEST: f64 = 100.0;

/// A section for each comparison.
pub fn sections(out: &mut Out, document: &Document) {
    for (index, comparison) in document.comparisons.iter().enumerate() {
        section(out, index, comparison);
    }
}

fn section(out: &mut Out, index: usize, comparison: &Comparison) {
    let Comparison { a, b, rows } = comparison;
    super::section(out, &format!("comparison-{}", index + 1), &format!("{b} compared with {a}"));
    let counted = |verdict| rows.iter().filter(|row| row.verdict == verdict).count();
    let note = format!(
        "Of {} figures {} better, {} the same, {} worse. Ratios are {b} / {a}; the bar is the 95 % interval.",
        rows.len(),
        counted(Verdict::Better),
        counted(Verdict::Same),
        counted(Verdict::Worse)
    );
    out.leaf("p", &[("class", "note")], &note);
    out.open("div", &[("class", "wide")]).open("table", &[("class", "comparison")]);
    figures::heads(out, &["figure", a, b, "ratio", "95 % interval", "", "verdict"]);
    out.open("tbody", &[]);
    let across = scale(rows);
    for row in rows {
        let unit = unit(&row.figure);
        out.open("tr", &[]).leaf("th", &[("scope", "row")], &row.figure);
        out.leaf("td", &[("class", "n")], &unit(row.a)).leaf("td", &[("class", "n")], &unit(row.b));
        out.leaf("td", &[("class", "n strong")], &times(row.ratio));
        out.leaf("td", &[("class", "n")], &format!("{} – {}", times(row.low), units::number(row.high)));
        out.open("td", &[("class", "forest")]);
        bar(out, row, &across);
        out.close();
        let (class, mark, word) = verdict(row.verdict);
        out.open("td", &[("class", "n")]).open("span", &[("class", &format!("verdict {class}"))]);
        out.leaf("span", &[("aria-hidden", "true")], mark).text(word).close().close().close();
    }
    out.close().close().close().close();
}

fn verdict(verdict: Verdict) -> (&'static str, &'static str, &'static str) {
    match verdict {
        Verdict::Better => ("better", "✓ ", "better"),
        Verdict::Same => ("same", "= ", "same"),
        Verdict::Worse => ("worse", "✗ ", "worse"),
    }
}

/// The interval of one row, on the scale of all rows: 1 is in the middle.
fn bar(out: &mut Out, row: &Row, across: &Scale) {
    let (class, _, word) = verdict(row.verdict);
    let said = format!("ratio {}, between {} and {}: {word}", times(row.ratio), times(row.low), times(row.high));
    plot::begin(out, WIDTH, HEIGHT, &said);
    let one = across.at(0.0);
    plot::rule(out, "one", (one, 0.0), (one, HEIGHT));
    let [low, ratio, high] = [row.low, row.ratio, row.high].map(|ratio| across.at(place(ratio)));
    let (top, bottom) = (HEIGHT / 2.0 - 4.0, HEIGHT / 2.0 + 4.0);
    let path = format!(
        "M{l} {t}V{b}M{l} {m}H{h}M{h} {t}V{b}",
        l = plot::px(low),
        h = plot::px(high),
        m = plot::px(HEIGHT / 2.0),
        t = plot::px(top),
        b = plot::px(bottom)
    );
    plot::path(out, &format!("interval {class}"), &path);
    let [x, y] = [ratio, HEIGHT / 2.0].map(plot::px);
    out.empty("circle", &[("class", &format!("ratio {class}")), ("cx", &x), ("cy", &y), ("r", "4.5")]);
    out.close();
}

/// From the reciprocal of the furthest end of an interval to that end, in logarithms.
fn scale(rows: &[Row]) -> Scale {
    let ends = rows.iter().flat_map(|row| [row.low, row.ratio, row.high]).map(|ratio| place(ratio).abs());
    let furthest = ends.fold(place(1.25), f64::max) * 1.05;
    Scale::exact(-furthest, furthest, (MARGIN, WIDTH - MARGIN))
}

fn place(ratio: f64) -> f64 {
    if ratio.is_nan() { 0.0 } else { ratio.clamp(1.0 / FURTHEST, FURTHEST).ln() }
}

fn times(ratio: f64) -> String {
    format!("×\u{202f}{}", units::number(ratio))
}

/// The unit of a figure, by its name.
fn unit(figure: &str) -> fn(f64) -> String {
    let figure = figure.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| figure.contains(word));
    match () {
        () if has(&["throughput", "capacity", "rate", "ops"]) && !has(&["cpu", "per op", "/op"]) => units::rate,
        () if has(&["_ms", "unavailable"]) => |ms| units::time(ms * 1e3),
        () if has(&["percent", "%"]) => units::percent,
        () if has(&["memory", "rss", "_mb"]) => units::megabytes,
        () if has(&["cpu", "latency", "mean", "max", "min", "_us"]) => units::time,
        () if figure.split([' ', '_']).any(is_percentile) => units::time,
        () => units::number,
    }
}

/// `p50`, `p99.9`, `p999`.
fn is_percentile(word: &str) -> bool {
    word.strip_prefix('p').is_some_and(|digits| digits.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_their_units() {
        let text = |figure: &str| unit(figure)(1500.0).replace('\u{a0}', " ");
        assert_eq!(text("throughput"), "1.5 k/s");
        assert_eq!(text("p99.9"), "1.5 ms");
        assert_eq!(text("get p50"), "1.5 ms");
        assert_eq!(text("CPU/op"), "1.5 ms");
        assert_eq!(text("cpu_us_per_op"), "1.5 ms");
        assert_eq!(text("unavailable_ms"), "1.5 s");
        assert_eq!(text("memory"), "1.46 GB");
        assert_eq!(text("pings"), "1500");
    }

    #[test]
    fn intervals_without_end_are_drawn_within_the_margins() {
        let row =
            |low, ratio, high| Row { figure: String::new(), a: 0.0, b: 0.0, ratio, low, high, verdict: Verdict::Same };
        let rows = [row(0.0, f64::NAN, f64::INFINITY), row(0.9, 1.0, 1.1)];
        let across = scale(&rows);
        for end in [0.0, 1.0, f64::INFINITY, f64::NAN] {
            let x = across.at(place(end));
            assert!((MARGIN..=WIDTH - MARGIN).contains(&x), "{end}: {x}");
        }
        assert!((across.at(place(1.0)) - WIDTH / 2.0).abs() < 1e-9);
    }
}
