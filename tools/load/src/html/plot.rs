//! The parts plots are drawn from: scales with their ticks, paths, the frame.
//!
//! Drawn here rather than by a crate: what a report needs is a few polylines and texts whose colours follow the style
//! sheet (light and dark), and crates of plots write colours and fonts into every element.

use super::out::Out;

/// From values to pixels, along one axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    logarithmic: bool,
    low: f64,
    high: f64,
    /// Between two marks, where these are equally far apart.
    step: f64,
    from_px: f64,
    to_px: f64,
}

/// Marks are so far apart at least, in pixels, and there are so many of them at most.
const APART: f64 = 28.0;
const MARKS: f64 = 12.0;

impl Scale {
    /// From 0 to a round value that is not less than `high`.
    pub fn linear(high: f64, (from_px, to_px): (f64, f64)) -> Scale {
        let high = if high.is_finite() && high > 0.0 { high } else { 1.0 };
        let step = step(high, from_px, to_px);
        Scale { logarithmic: false, low: 0.0, high: (high / step - 1e-9).ceil() * step, step, from_px, to_px }
    }

    /// From `low` to `high` as they are.
    pub fn exact(low: f64, high: f64, (from_px, to_px): (f64, f64)) -> Scale {
        let high = if high > low && high.is_finite() { high } else { low + 1.0 };
        Scale { logarithmic: false, low, high, step: step(high - low, from_px, to_px), from_px, to_px }
    }

    /// Logarithmic, around all `values` that are more than zero, from one 1, 2 or 5 times a power of ten to another.
    pub fn logarithmic(values: impl Iterator<Item = f64>, (from_px, to_px): (f64, f64)) -> Scale {
        let (mut low, mut high) = (f64::INFINITY, 0.0f64);
        for value in values.filter(|value| value.is_finite() && *value > 0.0) {
            (low, high) = (low.min(value), high.max(value));
        }
        if high == 0.0 {
            (low, high) = (1.0, 10.0);
        }
        let (low, mut high) = (round_down(low), round_up(high));
        if high < low * 4.0 {
            high = round_up(low * 4.0);
        }
        Scale { logarithmic: true, low, high, step: f64::NAN, from_px, to_px }
    }

    /// Where `value` is, in pixels; what is beyond the ends is at the ends, and what is no number at the lower one.
    pub fn at(&self, value: f64) -> f64 {
        let place = |value: f64| if self.logarithmic { value.max(f64::MIN_POSITIVE).ln() } else { value };
        let share = (place(value) - place(self.low)) / (place(self.high) - place(self.low));
        let share = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) };
        self.from_px + share * (self.to_px - self.from_px)
    }

    /// The values that are marked: round ones.
    pub fn ticks(&self) -> Vec<f64> {
        if !self.logarithmic {
            let first = (self.low / self.step).ceil();
            let last = (self.high / self.step + 1e-9).floor();
            return (0..=(last - first) as usize).map(|n| (first + n as f64) * self.step).collect();
        }
        let powers = (self.high / self.low).log10();
        let room = ((self.to_px - self.from_px).abs() / APART).clamp(2.0, MARKS);
        let factors: &[f64] = if powers * 3.0 <= room { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let every = (powers / room).ceil().max(1.0) as usize;
        let first = self.low.log10().floor() as i32;
        let last = self.high.log10().ceil() as i32;
        (first..=last)
            .step_by(every)
            .flat_map(|power| factors.iter().map(move |factor| factor * 10f64.powi(power)))
            .filter(|value| (self.low * 0.999..=self.high * 1.001).contains(value))
            .collect()
    }
}

/// A round step from mark to mark, as short as it may be over so many pixels.
fn step(range: f64, from_px: f64, to_px: f64) -> f64 {
    round_up(range / ((to_px - from_px).abs() / APART).clamp(2.0, MARKS))
}

/// The greatest of 1, 2, 5 times a power of ten that is not more than `value`, which is more than zero.
fn round_down(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let factor = [5.0, 2.0, 1.0].into_iter().find(|factor| value >= factor * power * (1.0 - 1e-9));
    factor.map_or(power / 2.0, |factor| factor * power)
}

/// The least of 1, 2, 5 times a power of ten that is not less than `value`, which is more than zero.
fn round_up(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| value <= factor * power * (1.0 + 1e-9));
    factor.map_or(10.0 * power, |factor| factor * power)
}

/// A coordinate, to a tenth of a pixel.
pub fn px(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// The path along `points`; where one is missing the line is broken. A point with no neighbour becomes a dot.
pub fn line(points: impl Iterator<Item = Option<(f64, f64)>>) -> String {
    let mut path = String::new();
    let mut drawn = 0;
    for point in points.map(|point| point.filter(|(x, y)| x.is_finite() && y.is_finite())).chain([None]) {
        match point {
            Some((x, y)) => {
                path += if drawn == 0 { "M" } else { "L" };
                path += &format!("{} {}", px(x), px(y));
                drawn += 1;
            }
            None => {
                path += if drawn == 1 { "h.1" } else { "" };
                drawn = 0;
            }
        }
    }
    path
}

/// The area between the line along `points`, with no point missing, and `base_px`.
pub fn area(points: &[(f64, f64)], base_px: f64) -> String {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return String::new() };
    let top = line(points.iter().map(|point| Some(*point)));
    format!("{top}L{} {base}L{} {base}Z", px(last.0), px(first.0), base = px(base_px))
}

/// Begins a drawing of `width` by `height` that scales with the page. `label`: what it shows, for those who hear it.
pub fn begin(out: &mut Out, width: f64, height: f64, label: &str) {
    let view = format!("0 0 {} {}", px(width), px(height));
    let attributes = [("viewBox", view.as_str()), ("role", "img"), ("aria-label", label)];
    out.open("svg", &attributes);
}

/// A straight line.
pub fn rule(out: &mut Out, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(px);
    out.empty("line", &[("class", class), ("x1", &x1), ("y1", &y1), ("x2", &x2), ("y2", &y2)]);
}

/// A text. `anchor`: start, middle or end.
pub fn label(out: &mut Out, class: &str, (x, y): (f64, f64), anchor: &str, text: &str) {
    let [x, y] = [x, y].map(px);
    out.leaf("text", &[("class", class), ("x", &x), ("y", &y), ("text-anchor", anchor)], text);
}

/// A path, when there is anything to draw.
pub fn path(out: &mut Out, class: &str, path: &str) {
    if !path.is_empty() {
        out.empty("path", &[("class", class), ("d", path)]);
    }
}

/// The marks of a vertical axis at `left_px`, each with its line to `right_px`.
pub fn horizontals(out: &mut Out, scale: &Scale, left_px: f64, right_px: f64, unit: fn(f64) -> String) {
    for value in scale.ticks() {
        let y = scale.at(value);
        rule(out, "grid", (left_px, y), (right_px, y));
        label(out, "tick", (left_px - 8.0, y + 4.0), "end", &unit(value));
    }
}

/// The name of a panel above its `top_px`, and of its lines, by their classes, in their colours.
pub fn heading(out: &mut Out, top_px: f64, (left_px, right_px): (f64, f64), name: &str, lines: &[(&str, &str)]) {
    label(out, "panel", (left_px, top_px - 9.0), "start", name);
    let mut end = right_px;
    for (class, text) in lines.iter().rev() {
        // The letters' widths are not known here: these are wide ones.
        let start = end - text.chars().count() as f64 * 8.2 - 4.0;
        label(out, "tick", (start, top_px - 9.0), "start", text);
        rule(out, &format!("line {class}"), (start - 24.0, top_px - 13.0), (start - 8.0, top_px - 13.0));
        end = start - 24.0 - 14.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PX: (f64, f64) = (100.0, 0.0);

    #[test]
    fn linear_scales_end_at_round_values() {
        let scale = Scale::linear(87_000.0, PX);
        assert_eq!(scale.ticks(), [0.0, 50_000.0, 100_000.0]);
        assert_eq!((scale.at(0.0), scale.at(50_000.0), scale.at(1e9)), (100.0, 50.0, 0.0));
        for high in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Scale::linear(high, PX).ticks().last(), Some(&1.0), "{high}");
        }
        let time = Scale::exact(0.0, 2.35, (0.0, 235.0));
        assert_eq!(time.ticks(), [0.0, 0.5, 1.0, 1.5, 2.0]);
        assert_eq!(time.at(1.0), 100.0);
    }

    #[test]
    fn logarithmic_scales_hold_all_values() {
        let scale = Scale::logarithmic([130.0, 0.0, f64::NAN, 4100.0].into_iter(), (300.0, 0.0));
        assert_eq!((scale.low, scale.high), (100.0, 5000.0));
        let ticks: Vec<f64> = scale.ticks().into_iter().map(f64::round).collect();
        assert_eq!(ticks, [100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0]);
        assert!((scale.at(100.0) - 300.0).abs() < 1e-9 && scale.at(0.0) == 300.0);
        let wide = Scale::logarithmic([0.5, 2e6].into_iter(), (300.0, 0.0));
        assert!((4..=8).contains(&wide.ticks().len()), "{:?}", wide.ticks());
        assert!(Scale::logarithmic([7.0].into_iter(), PX).ticks().len() >= 2);
        assert!(Scale::logarithmic(std::iter::empty(), PX).ticks().len() >= 2);
    }

    #[test]
    fn round_values_are_round_to_themselves() {
        for value in [1e-3, 0.02, 5.0, 1000.0, 2e5] {
            assert!((round_up(value) / value - 1.0).abs() < 1e-6, "{value}");
            assert!((round_down(value) / value - 1.0).abs() < 1e-6, "{value}");
        }
        assert_eq!((round_down(4.9), round_up(5.1)), (2.0, 10.0));
    }

    #[test]
    fn lines_break_where_nothing_is_known() {
        let points = [Some((0.0, 1.0)), Some((1.0, 2.25)), None, Some((3.0, 4.0)), Some((f64::NAN, 1.0)), None];
        assert_eq!(line(points.into_iter()), "M0 1L1 2.2M3 4h.1");
        assert_eq!(line([None, None].into_iter()), "");
        assert_eq!(area(&[(0.0, 1.0), (2.0, 3.0)], 9.0), "M0 1L2 3L2 9L0 9Z");
        assert_eq!(area(&[], 9.0), "");
    }
}
