//! Parsers of single values. Each parser's error is a text that says which values are allowed.

use std::ops::RangeInclusive;

/// The error of a parser: the allowed values, as a text that begins with "expected".
pub(crate) type Expected = String;

/// Every number that ZooKeeper's parser accepts (Java's `int`).
pub(super) const ANY_INT: RangeInclusive<i32> = i32::MIN..=i32::MAX;

/// A whole number within `range`.
pub(super) fn number<T>(value: &str, range: RangeInclusive<T>) -> Result<T, Expected>
where
    T: TryFrom<i64> + Into<i64> + Copy,
{
    let (low, high) = ((*range.start()).into(), (*range.end()).into());
    // As Java's Integer.parseInt: an optional sign and decimal digits, nothing else.
    let parsed: Option<i64> = value.parse().ok();
    parsed
        .filter(|number| (low..=high).contains(number))
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| format!("expected a whole number from {low} to {high}"))
}

/// A whole number from 1 on.
pub(super) fn positive(value: &str) -> Result<u32, Expected> {
    number(value, 1..=i32::MAX as u32)
}

/// A whole number from 0 on.
pub(super) fn non_negative(value: &str) -> Result<u32, Expected> {
    number(value, 0..=i32::MAX as u32)
}

/// A whole number from 0 on; 0 is none.
pub(super) fn positive_or_none(value: &str) -> Result<Option<u32>, Expected> {
    Ok(Some(non_negative(value)?).filter(|number| *number > 0))
}

/// Any whole number of Java's; what is less than 1 is none.
pub(super) fn any_or_none(value: &str) -> Result<Option<u32>, Expected> {
    Ok(u32::try_from(number(value, ANY_INT)?).ok().filter(|number| *number > 0))
}

/// A number of bytes within `range`, alone or followed by `K`, `M`, `G` or `T` (powers of 1024, in any case).
pub(super) fn byte_count(value: &str, range: RangeInclusive<u64>) -> Result<u64, Expected> {
    let suffixes = [('k', 10), ('m', 20), ('g', 30), ('t', 40)];
    let suffix = |last: char| suffixes.iter().find(|(name, _)| *name == last.to_ascii_lowercase());
    let (digits, shift) = match value.chars().next_back().and_then(suffix) {
        Some((_, shift)) => (&value[..value.len() - 1], *shift),
        None => (value, 0),
    };
    let number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<u64>().ok()).flatten();
    let (low, high) = (range.start(), range.end());
    number
        .and_then(|number| number.checked_mul(1 << shift))
        .filter(|bytes| range.contains(bytes))
        .ok_or_else(|| format!("expected bytes from {low} to {high}, bare or with K, M, G or T"))
}

/// A whole number in the syntax of Java's system properties (`Integer.decode`): decimal; hexadecimal after `0x` or `#`; octal
/// after `0`.
pub(super) fn java_integer(value: &str) -> Result<i64, Expected> {
    let unsigned = value.strip_prefix(['-', '+']).unwrap_or(value);
    let (digits, radix) = if let Some(digits) = ["0x", "0X", "#"].iter().find_map(|mark| unsigned.strip_prefix(mark)) {
        (digits, 16)
    } else if unsigned.len() > 1 && unsigned.starts_with('0') {
        (&unsigned[1..], 8)
    } else {
        (unsigned, 10)
    };
    let number = if digits.starts_with(['-', '+']) { None } else { i64::from_str_radix(digits, radix).ok() };
    let number = number.filter(|number| *number <= i64::from(i32::MAX));
    number
        .map(|number| if value.starts_with('-') { -number } else { number })
        .ok_or_else(|| "expected a whole number, hexadecimal with 0x in front".into())
}

/// `true` or `false`, in upper or lower case: the syntax of ZooKeeper's boolean keys.
pub(crate) fn boolean(value: &str) -> Result<bool, Expected> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("expected true or false".into()),
    }
}

/// `yes` or `no`, in upper or lower case; `true` and `false` are accepted as well.
pub(crate) fn yes_or_no(value: &str) -> Result<bool, Expected> {
    match value.to_ascii_lowercase().as_str() {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err("expected yes or no".into()),
    }
}

/// The text that [`yes_or_no`] parses as `value`.
pub(crate) fn show_yes_or_no(value: &bool) -> String {
    if *value { "yes" } else { "no" }.into()
}

/// A duration with a unit (ms, s, m, h or d), or a plain number of units of `unit_ms` milliseconds each. Returns milliseconds.
pub(crate) fn duration_ms(value: &str, unit_ms: u64) -> Result<u64, Expected> {
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let (number, suffix) = value.split_at(digits);
    let unit = match suffix.to_ascii_lowercase().as_str() {
        "" => Some(unit_ms),
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        _ => None,
    };
    let number: Option<u64> = number.parse().ok();
    unit.zip(number)
        .and_then(|(unit, number)| unit.checked_mul(number))
        .ok_or_else(|| "expected a whole number, alone or followed by ms, s, m, h or d".into())
}

/// The elements of a comma-separated list, trimmed, without empty elements.
pub(super) fn list(value: &str) -> Vec<String> {
    value.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// The text that [`list`] parses as `list`; `when_empty` for an empty list.
pub(crate) fn show_list(list: &[String], when_empty: &str) -> String {
    if list.is_empty() { when_empty.into() } else { list.join(",") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(number::<u16>("2181", 1..=65_535), Ok(2181));
        assert_eq!(number::<i32>("-1", -1..=i32::MAX), Ok(-1));
        assert_eq!(number::<u32>("+5", 0..=9), Ok(5));
        for wrong in ["", "10", "-1", "1.5", "0x5", "5 ", "five", "99999999999999999999"] {
            assert_eq!(number::<u32>(wrong, 0..=9), Err("expected a whole number from 0 to 9".into()), "{wrong:?}");
        }
    }

    #[test]
    fn sizes() {
        let range = 1 << 20..=1 << 40;
        assert_eq!(byte_count("1048576", range.clone()), Ok(1 << 20));
        assert_eq!((byte_count("1G", range.clone()), byte_count("64m", range.clone())), (Ok(1 << 30), Ok(64 << 20)));
        for wrong in ["", "G", "1K", "2T", "-1G", "+1G", "1.5G", "1GB", "1 G", "99999999999999999999T", "1é"] {
            assert!(byte_count(wrong, range.clone()).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn numbers_of_system_properties() {
        for (text, number) in
            [("10485760", 10_485_760), ("0x9fffff", 0x9f_ffff), ("#FF", 255), ("010", 8), ("0", 0), ("-0X10", -16)]
        {
            assert_eq!(java_integer(text), Ok(number), "{text}");
        }
        for wrong in ["", "64M", "0x", "--1", "0x-1", "1e6", "09", "4294967296"] {
            assert!(java_integer(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn switches() {
        assert_eq!((boolean("TRUE"), boolean("false")), (Ok(true), Ok(false)));
        assert_eq!((yes_or_no("Yes"), yes_or_no("false")), (Ok(true), Ok(false)));
        for wrong in ["", "1", "on"] {
            assert!(boolean(wrong).is_err() && yes_or_no(wrong).is_err(), "{wrong:?}");
        }
        assert!(boolean("yes").is_err());
    }

    #[test]
    fn intervals() {
        let hour = 3_600_000;
        assert_eq!(duration_ms("24", hour), Ok(24 * hour));
        assert_eq!(duration_ms("90m", hour), Ok(90 * 60_000));
        assert_eq!((duration_ms("2D", hour), duration_ms("7ms", hour)), (Ok(48 * hour), Ok(7)));
        for wrong in ["", "m", "-1", "5w", "1.5h", "99999999999999999999d", "999999999999999d"] {
            assert!(duration_ms(wrong, hour).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn lists() {
        assert_eq!(list(" ruok, ,srvr,"), ["ruok", "srvr"]);
        assert!(list("").is_empty());
    }
}
