//! What segments are called: numbers, and the names of their files.

use crate::storage::disk::ASIDE;
use std::fmt;

const LOG_PREFIX: &str = "log-";
const SPARE_PREFIX: &str = "spare-";

/// The number of a segment. Zero is none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct SegmentId(pub u64);

impl SegmentId {
    /// The number given after this one.
    pub(crate) fn next(self) -> SegmentId {
        SegmentId(self.0 + 1)
    }

    /// The name of the file while it is part of the log.
    pub fn file_name(self) -> String {
        format!("{LOG_PREFIX}{self}")
    }

    /// The name of the file when it is kept to be used again.
    pub(crate) fn spare_name(self) -> String {
        format!("{SPARE_PREFIX}{self}")
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What a file in the log's directory is, by its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Named {
    Segment(SegmentId),
    Spare(SegmentId),
    /// Begun aside and never finished.
    Aside,
}

/// Reads a file name; `None` for files that are none of the log's.
pub fn named(name: &str) -> Option<Named> {
    let id = |hex: &str| (hex.len() == 16).then(|| u64::from_str_radix(hex, 16).ok()).flatten().map(SegmentId);
    if let Some(hex) = name.strip_prefix(LOG_PREFIX) {
        match hex.strip_suffix(ASIDE) {
            Some(_) => Some(Named::Aside),
            None => id(hex).map(Named::Segment),
        }
    } else {
        name.strip_prefix(SPARE_PREFIX).and_then(id).map(Named::Spare)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let id = SegmentId(0xab);
        assert_eq!(named(&id.file_name()), Some(Named::Segment(id)));
        assert_eq!(named(&id.spare_name()), Some(Named::Spare(id)));
        assert_eq!(named("log-00000000000000ab.tmp"), Some(Named::Aside));
        for other in ["log-ab", "log-", "log.1", "snapshot-00000000000000ab", "spare-x", "log-zz000000000000ab"] {
            assert_eq!(named(other), None, "{other}");
        }
    }
}
