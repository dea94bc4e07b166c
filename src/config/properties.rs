//! The syntax of zoo.cfg: Java's properties files.
//!
//! A logical line is `key = value`, `key : value` or `key value`. Lines starting with `#` or `!` are
//! comments, a backslash at the end of a line continues it, and `\t \n \r \f \uXXXX` are escapes
//! (a backslash before any other character stands for that character). Source of the rules: java.util.Properties.load. One
//! difference: a line that is valid UTF-8 is read as UTF-8, and only another line as ISO 8859-1; Java reads every line as
//! ISO 8859-1.

use std::collections::BTreeSet;

/// One `key = value`, unescaped and trimmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The number of the entry's first line, from 1.
    pub line: u32,
    pub key: String,
    pub value: String,
}

/// A logical line that cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MalformedLine {
    /// The number of the line, from 1.
    pub line: u32,
    /// The mistake, and what was expected.
    pub problem: &'static str,
}

const BAD_ESCAPE: &str = "a \\u escape without a character; expected four hexadecimal digits, surrogates in pairs";
pub(super) const NO_KEY: &str = "a value without a key; expected key=value";

/// Parses a file into its entries, in order. Malformed lines are all returned; the other lines are parsed nevertheless.
pub(crate) fn parse(bytes: &[u8]) -> (Vec<Entry>, Vec<MalformedLine>) {
    let mut entries = Vec::new();
    let mut malformed = Vec::new();
    for (line, bytes) in logical_lines(bytes) {
        let text =
            String::from_utf8(bytes).unwrap_or_else(|error| error.into_bytes().into_iter().map(char::from).collect());
        match parse_entry(line, &text) {
            Ok(entry) => entries.push(entry),
            Err(problem) => malformed.push(MalformedLine { line, problem }),
        }
    }
    (entries, malformed)
}

/// The file without the entries for whose keys `is_dropped` holds; all other bytes stay as they are, comments and line ends
/// included.
pub(crate) fn without_keys(bytes: &[u8], is_dropped: impl Fn(&str) -> bool) -> Vec<u8> {
    let dropped: BTreeSet<u32> =
        parse(bytes).0.into_iter().filter(|entry| is_dropped(&entry.key)).map(|entry| entry.line).collect();
    let mut kept = Vec::with_capacity(bytes.len());
    let (mut at, mut continued, mut drop) = (0, false, false);
    for (index, line) in natural_lines(bytes).into_iter().enumerate() {
        let end = at + line.len();
        let terminator_length = match &bytes[end..] {
            [b'\r', b'\n', ..] => 2,
            rest => rest.len().min(1),
        };
        if !continued {
            drop = dropped.contains(&(index as u32 + 1));
        }
        if !drop {
            kept.extend_from_slice(&bytes[at..end + terminator_length]);
        }
        at = end + terminator_length;
        let text = line.trim_ascii_start();
        let is_comment = !continued && matches!(text.first(), None | Some(b'#' | b'!'));
        continued = !is_comment && text.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1;
    }
    kept
}

/// The logical lines, each with the number of its first natural line: comments and blank lines are left out, continued lines
/// are joined.
fn logical_lines(bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let mut logical: Vec<(u32, Vec<u8>)> = Vec::new();
    let mut continued = false;
    for (index, line) in natural_lines(bytes).into_iter().enumerate() {
        let start = line.iter().position(|byte| !is_whitespace(*byte)).unwrap_or(line.len());
        let line = &line[start..];
        if !continued && (line.is_empty() || line[0] == b'#' || line[0] == b'!') {
            continue;
        }
        let backslashes = line.iter().rev().take_while(|byte| **byte == b'\\').count();
        let continues = backslashes % 2 == 1;
        let text = if continues { &line[..line.len() - 1] } else { line };
        match logical.last_mut() {
            Some((_, joined)) if continued => joined.extend_from_slice(text),
            _ => logical.push((index as u32 + 1, text.to_vec())),
        }
        continued = continues;
    }
    logical
}

/// The natural lines (Java's word): they end at `\n`, `\r` or `\r\n`.
fn natural_lines(bytes: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let mut rest = bytes;
    while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
        lines.push(&rest[..end]);
        let skip = if rest[end..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = &rest[end + skip..];
    }
    lines.push(rest);
    lines
}

fn is_whitespace(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0c)
}

fn parse_entry(line: u32, text: &str) -> Result<Entry, &'static str> {
    let bytes = text.as_bytes();
    let mut end = bytes.len();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'=' | b':' => {
                end = at;
                break;
            }
            byte if is_whitespace(byte) => {
                end = at;
                break;
            }
            _ => {}
        }
        at += 1;
    }
    let mut value = text[end..].trim_start_matches([' ', '\t', '\x0c']);
    if let Some(rest) = value.strip_prefix(['=', ':']) {
        value = rest;
    }
    let key = unescape(&text[..end])?.trim().to_owned();
    if key.is_empty() {
        return Err(NO_KEY);
    }
    Ok(Entry { line, key, value: unescape(value)?.trim().to_owned() })
}

fn unescape(text: &str) -> Result<String, &'static str> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\x0c'),
            Some('u') => {
                let mut unit = parse_utf16_unit(&mut chars)?;
                if (0xd800..0xdc00).contains(&unit) {
                    if chars.next() != Some('\\') || chars.next() != Some('u') {
                        return Err(BAD_ESCAPE);
                    }
                    let low = parse_utf16_unit(&mut chars)?;
                    if !(0xdc00..0xe000).contains(&low) {
                        return Err(BAD_ESCAPE);
                    }
                    unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                }
                out.push(char::from_u32(unit).ok_or(BAD_ESCAPE)?);
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    Ok(out)
}

fn parse_utf16_unit(chars: &mut std::str::Chars<'_>) -> Result<u32, &'static str> {
    let mut unit = 0;
    for _ in 0..4 {
        unit = unit * 16 + chars.next().and_then(|c| c.to_digit(16)).ok_or(BAD_ESCAPE)?;
    }
    Ok(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Vec<(u32, String, String)> {
        let (entries, malformed) = parse(text.as_bytes());
        assert_eq!(malformed, []);
        entries.into_iter().map(|entry| (entry.line, entry.key, entry.value)).collect()
    }

    fn one(text: &str) -> (String, String) {
        let (_, key, value) = entries(text).remove(0);
        (key, value)
    }

    #[test]
    fn entries_are_removed_and_the_rest_stays_as_it_is() {
        let text = b"# server.9=c \\\r\na=1\r\nserver.1=h:1:2\n  server.2 = h:\\\n   3:4\n\n!x\nb=2\\\n 3\rserver.3=x";
        let left = without_keys(text, |key| key.starts_with("server."));
        assert_eq!(
            String::from_utf8_lossy(&left),
            "# server.9=c \\\r\na=1\r\n\n!x\nb=2\\\n 3\r",
            "{}",
            String::from_utf8_lossy(text)
        );
        assert_eq!(without_keys(text, |_| false), text);
        assert!(parse(&left).0.iter().all(|entry| !entry.key.starts_with("server.")));
    }

    #[test]
    fn separators() {
        for text in ["a=b", "a:b", "a b", "  a = b  ", "a\t:\tb", "a  b", "\x0ca=b"] {
            assert_eq!(one(text), ("a".into(), "b".into()), "{text:?}");
        }
        assert_eq!(one("a==b"), ("a".into(), "=b".into()));
        assert_eq!(one("a = = b"), ("a".into(), "= b".into()));
        assert_eq!(one("a"), ("a".into(), String::new()));
        assert_eq!(one("server.1=h:1:2;3"), ("server.1".into(), "h:1:2;3".into()));
    }

    #[test]
    fn comments_blank_lines_and_line_ends() {
        let text = "# one\r\n! two \\\n\n   \na=1\r  # three\rb=2";
        assert_eq!(entries(text), [(5, "a".into(), "1".into()), (7, "b".into(), "2".into())]);
    }

    #[test]
    fn continuation() {
        let text = "list=a,\\\n    b,\\\r\n\t c\nnext=x\\\\\nlast=y\\";
        assert_eq!(
            entries(text),
            [(1, "list".into(), "a,b,c".into()), (4, "next".into(), "x\\".into()), (5, "last".into(), "y".into()),]
        );
        // A comment is not continued, but a continued line may look like one.
        assert_eq!(entries("a=1\\\n#2"), [(1, "a".into(), "1#2".into())]);
    }

    #[test]
    fn escapes() {
        assert_eq!(one(r"a\=b\ c=d\tee\q\u00e9"), ("a=b c".into(), "d\teeqé".into()));
        assert_eq!(one(r"smile=\ud83d\ude00"), ("smile".into(), "😀".into()));
        assert_eq!(one("dir=/däta"), ("dir".into(), "/däta".into()));
    }

    #[test]
    fn what_is_not_utf8_is_iso_8859_1() {
        let (entries, malformed) = parse(b"# gr\xfc\xdfe\ndir=/d\xe4ta\nother=/d\xc3\xa4ta\n");
        assert_eq!(malformed, []);
        let values: Vec<_> = entries.iter().map(|entry| entry.value.as_str()).collect();
        assert_eq!(values, ["/däta", "/däta"]);
    }

    #[test]
    fn malformed_lines_are_all_reported_and_the_rest_is_read() {
        let (entries, malformed) = parse(b"a=\\u00g1\n\nc=\\ud800\\n\nok=1\n=v\nd=\\udc00\ne=\\ud800\\u0041");
        assert_eq!(entries, [Entry { line: 4, key: "ok".into(), value: "1".into() }]);
        let lines: Vec<_> = malformed.iter().map(|line| (line.line, line.problem)).collect();
        assert_eq!(lines, [(1, BAD_ESCAPE), (3, BAD_ESCAPE), (5, NO_KEY), (6, BAD_ESCAPE), (7, BAD_ESCAPE)]);
    }
}
