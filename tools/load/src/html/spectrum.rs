//! Latency by percentile: each curve over an axis on which 90, 99 and 99.9 % are equally far apart, corrected and as
//! sent, with the figures below.

use super::out::Out;
use super::plot::{self, Scale};
use super::{figures, units};
use crate::document::{Latency, Spectrum};

const WIDTH: f64 = 1040.0;
const HEIGHT: f64 = 390.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = WIDTH - 40.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = HEIGHT - 44.0;
/// One in ten million: further right there is nothing to be learnt from what a run can count.
const POWERS: f64 = 7.0;

/// The percentiles that are marked, as far as the axis goes.
const MARKS: [(f64, &str); 9] = [
    (0.0, "0 %"),
    (50.0, "50 %"),
    (90.0, "90 %"),
    (99.0, "99 %"),
    (99.9, "99.9 %"),
    (99.99, "99.99 %"),
    (99.999, "99.999 %"),
    (99.9999, "99.9999 %"),
    (99.99999, "99.99999 %"),
];

/// What is drawn for one operation of one run.
pub struct Curve<'a> {
    pub name: &'a str,
    /// Of the style sheet's series.
    pub colour: usize,
    pub latency: &'a Latency,
}

impl<'a> Curve<'a> {
    pub fn of(name: &'a str, colour: usize, latency: &'a Latency) -> Curve<'a> {
        Curve { name, colour, latency }
    }

    /// Whether there is anything to draw.
    pub fn is_known(&self) -> bool {
        self.latency.corrected.count > 0
    }

    fn spectra(&self) -> impl Iterator<Item = &'a Spectrum> + use<'a> {
        let latency = self.latency;
        [Some(&latency.corrected), latency.uncorrected.as_ref()].into_iter().flatten()
    }
}

/// The drawing with its legend, which is a table of the figures.
pub fn figure(out: &mut Out, label: &str, curves: &[Curve]) {
    // Many dashed lines among as many solid ones step back.
    let class = if curves.len() > 2 { "spectrum many" } else { "spectrum" };
    out.open("figure", &[("class", class)]).open("div", &[("class", "wide")]);
    plot::begin(out, WIDTH, HEIGHT, label);
    let most = curves.iter().flat_map(Curve::spectra).map(|spectrum| spectrum.count).max().unwrap_or(1);
    let powers = (most as f64).log10().clamp(1.0, POWERS);
    let across = Scale::exact(0.0, powers, (LEFT, RIGHT));
    let values = curves.iter().flat_map(Curve::spectra).flat_map(values);
    let up = Scale::logarithmic(values, (BOTTOM, TOP));

    plot::horizontals(out, &up, LEFT, RIGHT, units::time);
    for (percentile, text) in MARKS {
        let power = power(percentile, u64::MAX);
        if power <= powers + 0.01 {
            let x = across.at(power);
            plot::rule(out, "grid", (x, TOP), (x, BOTTOM));
            plot::label(out, "tick", (x, BOTTOM + 18.0), "middle", text);
        }
    }
    plot::label(out, "axis", ((LEFT + RIGHT) / 2.0, HEIGHT - 6.0), "middle", "share of operations that were faster");

    let place = |spectrum: &Spectrum| -> Vec<(f64, f64)> {
        let point = |&(percentile, value): &(f64, f64)| (across.at(power(percentile, spectrum.count)), up.at(value));
        spectrum.points.iter().map(point).collect()
    };
    // Between the two the operations waited to be sent. More such areas would cover one another.
    if curves.len() <= 2 {
        for curve in curves {
            if let Some(uncorrected) = &curve.latency.uncorrected {
                let mut around = place(&curve.latency.corrected);
                around.extend(place(uncorrected).into_iter().rev());
                let path = plot::line(around.into_iter().map(Some)) + "Z";
                plot::path(out, &format!("waited s{}", curve.colour), if path.len() > 1 { &path } else { "" });
            }
        }
    }
    for curve in curves {
        if let Some(uncorrected) = &curve.latency.uncorrected {
            let path = plot::line(place(uncorrected).into_iter().map(Some));
            plot::path(out, &format!("line uncorrected s{}", curve.colour), &path);
        }
        let path = plot::line(place(&curve.latency.corrected).into_iter().map(Some));
        plot::path(out, &format!("line corrected s{}", curve.colour), &path);
    }
    for curve in curves {
        dots(out, curve, &across, &up);
    }
    out.close().close();
    figures::legend(out, curves);
    out.close();
}

/// A dot at each percentile that has a name; it tells its figure to who points at it.
fn dots(out: &mut Out, curve: &Curve, across: &Scale, up: &Scale) {
    for (spectrum, how) in [(Some(&curve.latency.corrected), ""), (curve.latency.uncorrected.as_ref(), ", as sent")] {
        let Some(spectrum) = spectrum else { continue };
        let marks = [
            (50.0, spectrum.p50_us, "p50"),
            (90.0, spectrum.p90_us, "p90"),
            (99.0, spectrum.p99_us, "p99"),
            (99.9, spectrum.p999_us, "p99.9"),
            (99.99, spectrum.p9999_us, "p99.99"),
            (100.0, spectrum.max_us, "max"),
        ];
        for (percentile, value, name) in marks {
            // Of fewer operations than that, the percentile is the maximum.
            if percentile < 100.0 && 10f64.powf(-power(percentile, u64::MAX)) * (spectrum.count as f64) < 1.0 {
                continue;
            }
            let [x, y] = [across.at(power(percentile, spectrum.count)), up.at(value)].map(plot::px);
            let class = format!("dot s{}", curve.colour);
            out.open("circle", &[("class", &class), ("cx", &x), ("cy", &y), ("r", "3.5")]);
            out.leaf("title", &[], &format!("{}{how}: {name} {}", curve.name, units::time(value))).close();
        }
    }
}

/// Where a percentile lies: 90 at 1, 99 at 2, 99.9 at 3. The last of `count` operations is at the place of their share.
fn power(percentile: f64, count: u64) -> f64 {
    let left = (1.0 - percentile / 100.0).max(1.0 / count.max(1) as f64);
    -left.log10()
}

fn values(spectrum: &Spectrum) -> impl Iterator<Item = f64> {
    spectrum.points.iter().map(|(_, value)| *value).chain([spectrum.p50_us, spectrum.max_us])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_spread_by_powers_of_ten() {
        for (percentile, expected) in [(0.0, 0.0), (90.0, 1.0), (99.0, 2.0), (99.9, 3.0)] {
            assert!((power(percentile, u64::MAX) - expected).abs() < 1e-9, "{percentile}");
        }
        assert!((power(100.0, 1000) - 3.0).abs() < 1e-9, "the last of a thousand");
        assert_eq!(power(100.0, 0), 0.0);
    }
}
