//! Figures as people read them: three significant digits, the unit that keeps them short.

/// What stands for a figure that is not known.
pub const UNKNOWN: &str = "–";

/// A time given in microseconds: `850 ns`, `12.3 µs`, `1.23 ms`, `4.5 s`.
pub fn time(us: f64) -> String {
    match us.abs() {
        0.0 => "0".into(),
        size if size < 0.9995 => scaled(us * 1e3, "ns"),
        size if size < 999.5 => scaled(us, "µs"),
        size if size < 999.5e3 => scaled(us / 1e3, "ms"),
        _ => scaled(us / 1e6, "s"),
    }
}

/// Something a second: `830 /s`, `52.3 k/s`, `1.08 M/s`.
pub fn rate(per_second: f64) -> String {
    match per_second.abs() {
        size if size < 999.5 => scaled(per_second, "/s"),
        size if size < 999.5e3 => scaled(per_second / 1e3, "k/s"),
        _ => scaled(per_second / 1e6, "M/s"),
    }
}

/// Megabytes, or gigabytes.
pub fn megabytes(mb: f64) -> String {
    if mb.abs() < 999.5 { scaled(mb, "MB") } else { scaled(mb / 1024.0, "GB") }
}

/// A share in hundredths.
pub fn percent(percent: f64) -> String {
    scaled(percent, "%")
}

/// A number of things, its thousands apart: `1 234 567`.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            // Narrow, and no place to break a line.
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// Any number: three significant digits, thousands as k, M, G.
pub fn number(value: f64) -> String {
    match value.abs() {
        size if size < 9999.5 && value.fract() == 0.0 => format!("{value:.0}"),
        size if size < 999.5 => significant(value),
        size if size < 999.5e3 => scaled(value / 1e3, "k"),
        size if size < 999.5e6 => scaled(value / 1e6, "M"),
        size if size < 999.5e9 => scaled(value / 1e9, "G"),
        _ if value.is_finite() => format!("{value:.2e}"),
        _ => UNKNOWN.into(),
    }
}

fn scaled(value: f64, unit: &str) -> String {
    // No place to break a line between them.
    if value.is_finite() { format!("{}\u{a0}{unit}", significant(value)) } else { UNKNOWN.into() }
}

/// Three significant digits, and no zeros behind them.
fn significant(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        size if size >= 0.9995 || size == 0.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    if decimals == 0 { text } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all<const N: usize>(how: fn(f64) -> String, values: [f64; N]) -> [String; N] {
        values.map(|value| how(value).replace('\u{a0}', " "))
    }

    #[test]
    fn figures_are_short() {
        assert_eq!(
            all(time, [0.0, 0.85, 12.34, 999.6, 1234.0, 99_960.0, 4_500_000.0, 123_400_000.0]),
            ["0", "850 ns", "12.3 µs", "1 ms", "1.23 ms", "100 ms", "4.5 s", "123 s"]
        );
        assert_eq!(
            all(rate, [0.0, 12.3, 1234.0, 52_340.0, 999_600.0, 1_085_000.0]),
            ["0 /s", "12.3 /s", "1.23 k/s", "52.3 k/s", "1 M/s", "1.08 M/s"]
        );
        assert_eq!(all(megabytes, [7.25, 2048.0]), ["7.25 MB", "2 GB"]);
        assert_eq!(
            all(number, [0.0, 3.0, 1500.0, 12_345.0, 0.1234, -2.5, 1e15]),
            ["0", "3", "1500", "12.3 k", "0.123", "-2.5", "1.00e15"]
        );
    }

    #[test]
    fn what_is_no_number_is_unknown() {
        for how in [time, rate, megabytes, percent, number] {
            assert_eq!(how(f64::NAN), UNKNOWN);
            assert_eq!(how(f64::INFINITY), UNKNOWN);
        }
    }

    #[test]
    fn thousands_are_apart() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567"]);
    }
}
