//! Paths and names of znodes.

use uuid::Builder;

/// The parent and the name of an absolute path; the parent of a child of the root is `/`.
pub(crate) fn split(path: &str) -> (&str, &str) {
    match path.rfind('/') {
        Some(0) => ("/", &path[1..]),
        Some(at) => (&path[..at], &path[at + 1..]),
        None => ("/", path),
    }
}

/// The path of a child.
pub(crate) fn child(parent: &str, name: &str) -> String {
    if parent == "/" { format!("/{name}") } else { format!("{parent}/{name}") }
}

/// The paths from the child of the root down to the path itself.
pub(crate) fn upwards(path: &str) -> Vec<&str> {
    let ends = path.char_indices().skip(1).filter(|(_, c)| *c == '/').map(|(at, _)| at);
    ends.chain([path.len()]).map(|end| &path[..end]).filter(|part| *part != "/").collect()
}

/// The sequence number that follows the last occurrence of one of the markers in a name. Its server has put it there, with at
/// least ten characters; it is negative after 2^31 children.
pub(crate) fn sequence(name: &str, markers: &[&str]) -> Option<i32> {
    let end = markers.iter().filter_map(|marker| name.rfind(marker).map(|at| at + marker.len())).max()?;
    let digits = &name[end..];
    (digits.len() >= 10).then(|| digits.parse().ok()).flatten()
}

/// How many children `later` came after `earlier`: negative if it came before. Right across the overflow of the number.
pub(crate) fn distance(earlier: i32, later: i32) -> i32 {
    later.wrapping_sub(earlier)
}

/// A GUID in its two text forms.
pub(crate) struct Guid(uuid::Uuid);

impl Guid {
    /// A new one from random numbers.
    pub(crate) fn random(mut number: impl FnMut() -> u64) -> Guid {
        let bytes = (u128::from(number()) << 64 | u128::from(number())).to_be_bytes();
        Guid(Builder::from_random_bytes(bytes).into_uuid())
    }

    /// What Curator begins protected names with (`_c_`, GUID, `-`).
    pub(crate) fn protection(&self) -> String {
        format!("_c_{}-", self.0.hyphenated())
    }

    /// As kazoo writes it: 32 hexadecimal digits.
    pub(crate) fn simple(&self) -> String {
        self.0.simple().to_string()
    }

    /// With hyphens, as Java writes it.
    pub(crate) fn hyphenated(&self) -> String {
        self.0.hyphenated().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart() {
        assert_eq!(split("/a"), ("/", "a"));
        assert_eq!(split("/a/b/c"), ("/a/b", "c"));
        assert_eq!(child("/", "a"), "/a");
        assert_eq!(child("/a", "b"), "/a/b");
        assert_eq!(upwards("/a/bc/d"), ["/a", "/a/bc", "/a/bc/d"]);
        assert_eq!(upwards("/"), [""; 0]);
    }

    #[test]
    fn sequence_numbers_are_found_and_compared() {
        let markers = ["lock-", "__lock__"];
        assert_eq!(sequence("_c_ffffffff-ffff-4fff-bfff-ffffffffffff-lock-0000000012", &markers), Some(12));
        assert_eq!(sequence("ffffffffffff4fffbfffffffffffffff__lock__0000000003", &markers), Some(3));
        assert_eq!(sequence("lock-2147483647", &markers), Some(i32::MAX));
        assert_eq!(sequence("lock--2147483648", &markers), Some(i32::MIN));
        assert_eq!(sequence("lock--000000001", &markers), Some(-1));
        for other in ["lock-", "lock-12", "lock-00000000a1", "latch-0000000001", "0000000001"] {
            assert_eq!(sequence(other, &markers), None, "{other}");
        }
        assert!(distance(3, 12) > 0 && distance(12, 3) < 0);
        assert!(distance(i32::MAX, i32::MIN) == 1, "the number overflows, the order does not");
    }

    #[test]
    fn guids_have_the_forms_of_curator_and_kazoo() {
        let guid = Guid::random(|| u64::MAX);
        assert_eq!(guid.protection(), "_c_ffffffff-ffff-4fff-bfff-ffffffffffff-");
        assert_eq!(guid.simple(), "ffffffffffff4fffbfffffffffffffff");
    }
}
