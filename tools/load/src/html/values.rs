//! What the server told about itself while it was under load: every value that changed, with its course.

use super::figures;
use super::out::Out;
use super::plot::{self, Scale};
use super::units;
use crate::document::Sample;
use std::collections::BTreeMap;

const WIDTH: f64 = 220.0;
const HEIGHT: f64 = 26.0;
/// Points of one course: half as many as it is wide.
const POINTS: usize = 110;
/// Of more values, the number is told.
const SHOWN: usize = 300;

/// The table, folded up, if the server was asked and has told anything; of a single sample, a line.
pub fn table(out: &mut Out, samples: &[Sample]) {
    let mut courses: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for sample in samples {
        for (name, value) in sample.values.iter().filter(|(_, value)| value.is_finite()) {
            courses.entry(name).or_default().push((sample.at_ms, *value));
        }
    }
    if courses.is_empty() {
        return;
    }
    let (changed, constant): (Vec<_>, Vec<_>) =
        courses.iter().partition(|(_, course)| course.iter().any(|(_, value)| *value != course[0].1));
    let said = constant.iter().take(SHOWN).map(|(name, course)| format!("{name} {}", units::number(course[0].1)));
    let said = said.collect::<Vec<String>>().join("  ·  ");
    if let [_] = samples {
        // Seen once only: figures of a scenario, rather than a server that was watched.
        out.leaf("p", &[("class", "note told")], &said);
        return;
    }
    let end_ms = samples.last().map_or(1.0, |sample| sample.at_ms);
    out.open("details", &[("class", "values")]);
    let heading =
        format!("What the server told: {} values that changed, {} that did not", changed.len(), constant.len());
    out.leaf("summary", &[], &heading);
    if !changed.is_empty() {
        out.open("div", &[("class", "wide")]).open("table", &[]);
        figures::heads(out, &["value", "first", "least", "most", "last", "course"]);
        out.open("tbody", &[]);
        for (name, course) in changed.iter().take(SHOWN) {
            row(out, name, course, end_ms);
        }
        out.close().close().close();
    }
    if changed.len() > SHOWN {
        out.leaf("p", &[("class", "note")], &format!("… and {} more", changed.len() - SHOWN));
    }
    if !said.is_empty() {
        out.leaf("p", &[("class", "note mono")], &said);
    }
    out.close();
}

fn row(out: &mut Out, name: &str, course: &[(f64, f64)], end_ms: f64) {
    let values = || course.iter().map(|(_, value)| *value);
    let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    out.open("tr", &[]).leaf("th", &[("scope", "row"), ("class", "mono")], name);
    for value in [course[0].1, least, most, course[course.len() - 1].1] {
        out.leaf("td", &[("class", "n")], &units::number(value));
    }
    out.open("td", &[("class", "course")]);
    plot::begin(out, WIDTH, HEIGHT, &format!("course of {name}"));
    let across = Scale::exact(0.0, end_ms, (2.0, WIDTH - 2.0));
    let up = Scale::exact(least, most, (HEIGHT - 3.0, 3.0));
    let points = course.chunks(course.len().div_ceil(POINTS)).map(|chunk| {
        // Of several the one that stands out furthest from where the value began.
        let far = |value: f64| (value - course[0].1).abs();
        let &(at_ms, value) = chunk.iter().max_by(|a, b| far(a.1).total_cmp(&far(b.1))).expect("no chunk is empty");
        (across.at(at_ms), up.at(value))
    });
    // A sample holds what has changed: until the next one, a value stays.
    let mut steps: Vec<(f64, f64)> = vec![];
    for (x, y) in points {
        steps.extend(steps.last().map(|(_, before)| (x, *before)));
        steps.push((x, y));
    }
    steps.extend(steps.last().map(|(_, last)| (across.at(end_ms), *last)));
    plot::path(out, "line course", &plot::line(steps.into_iter().map(Some)));
    out.close().close().close();
}
