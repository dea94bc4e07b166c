//! Paths as bytes: their hash, their parent, and which of them may name a znode.
//!
//! ZooKeeper looks a path up as it was sent and validates it late, so functions here accept invalid paths unless their
//! text says otherwise. The root is stored as `/`; the empty path is another name for it, because without the last name
//! `/a` becomes the empty path.

use crate::ids::hash_state;

/// The hash of a path, computed once and passed along. It differs between processes, so it is never stored or sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PathHash(pub u64);

/// The root's path.
pub(crate) const ROOT: &[u8] = b"/";
/// The parent of the server's own znodes.
pub(crate) const ZOOKEEPER: &[u8] = b"/zookeeper";
/// The parent of the quotas' znodes, see `quota`.
pub(crate) const QUOTA: &[u8] = b"/zookeeper/quota";
/// The znode with the text of the ensemble's membership.
pub(crate) const CONFIG: &[u8] = b"/zookeeper/config";

/// The hash of `path`, which must be the stored form (see [`stored`]).
#[inline]
pub fn hash(path: &[u8]) -> PathHash {
    PathHash(hash_state().hash_one(path))
}

/// The form under which a path is looked up: the empty path is the root.
#[inline]
pub(crate) fn stored(path: &[u8]) -> &[u8] {
    if path.is_empty() { ROOT } else { path }
}

/// The path before the last slash, in stored form, and the name after it; `None` without a slash. The root's parent is
/// the root itself.
#[inline]
pub(crate) fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let slash = path.iter().rposition(|byte| *byte == b'/')?;
    Some((stored(&path[..slash]), &path[slash + 1..]))
}

/// The parent's path, in stored form; `None` without a slash.
#[inline]
pub(crate) fn parent(path: &[u8]) -> Option<&[u8]> {
    split(path).map(|(parent, _)| parent)
}

/// The four znodes that can never be deleted (ZooKeeper 3.9, `DataTree.isSpecialPath`).
pub(crate) fn is_special(path: &[u8]) -> bool {
    path == ROOT || path == ZOOKEEPER || path == QUOTA || path == CONFIG
}

/// Whether the parent of `path` may be looked up at all: it has a slash and no NUL (ZooKeeper 3.9,
/// `PrepRequestProcessor.validatePathForCreate`).
#[inline]
pub(crate) fn has_parent(path: &[u8]) -> bool {
    path.contains(&b'/') && !path.contains(&0)
}

/// Whether `path` may name a znode (ZooKeeper 3.9, `PathUtils.validatePath`): absolute, no trailing slash,
/// no empty, `.` or `..` segment, no control character, surrogate, private-use or special character.
///
/// ZooKeeper reads invalid UTF-8 as U+FFFD, which is refused; so invalid UTF-8 is refused here.
pub(crate) fn is_valid(path: &[u8]) -> bool {
    let [b'/', rest @ ..] = path else { return false };
    if rest.is_empty() {
        return true;
    }
    // Nearly every path is printable ASCII and has no segment that is empty or begins with a dot. This is checked for
    // many bytes at once, without a branch for each.
    let is_usual = path.iter().zip(rest).fold(true, |is_usual, (before, byte)| {
        is_usual & matches!(byte, 0x20..0x7f) & !(*before == b'/' && matches!(byte, b'/' | b'.'))
    });
    is_usual && !rest.ends_with(b"/") || is_allowed_text(rest) && rest.split(|byte| *byte == b'/').all(is_segment)
}

fn is_segment(segment: &[u8]) -> bool {
    !matches!(segment, b"" | b"." | b"..")
}

fn is_allowed_text(bytes: &[u8]) -> bool {
    // Above U+FFFF a character is a pair of surrogates to ZooKeeper, and those are refused.
    let refused = |c: char| matches!(c, '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..);
    std::str::from_utf8(bytes).is_ok_and(|text| !text.chars().any(refused))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two blocks of sixteen bytes that leave the hasher in one state under the keys of the source, found in some
    /// seconds of computing. Names made of `k` of them in a row are 2^k names under one hash.
    const TWINS: [&[u8]; 2] = [b"aonleajpkoahimbp", b"dbfghhagobejnnoo"];

    fn colliding_names() -> impl Iterator<Item = Vec<u8>> {
        (0..256usize).map(|which| {
            let blocks = (0..8).flat_map(|bit| TWINS[which >> bit & 1]).copied();
            b"/a-block-ahead-.".iter().copied().chain(blocks).chain(*b"and one behind it").collect()
        })
    }

    #[test]
    fn names_that_collide_under_known_keys_do_not_under_others() {
        let hashes = || colliding_names().map(|name| hash(&name)).collect::<std::collections::BTreeSet<_>>().len();
        assert_eq!(hashes(), 1, "under the keys in the source they do");
        assert!(colliding_names().all(|name| is_valid(&name)));
        for keys in [[1, 2, 3, 4], [0x0123_4567_89ab_cdef, 0xfeed, u64::MAX, 5]] {
            assert_eq!(crate::ids::other_keys::with(keys, hashes), 256, "{keys:?}");
        }
    }

    #[test]
    fn splits_as_java_does() {
        assert_eq!(split(b"/a"), Some((&b"/"[..], &b"a"[..])));
        assert_eq!(split(b"/a/b"), Some((&b"/a"[..], &b"b"[..])));
        assert_eq!(split(b"/a/"), Some((&b"/a"[..], &b""[..])));
        assert_eq!(split(b"/"), Some((&b"/"[..], &b""[..])));
        assert_eq!(split(b"//x"), Some((&b"/"[..], &b"x"[..])));
        assert_eq!(split(b"a/b"), Some((&b"a"[..], &b"b"[..])));
        assert_eq!(split(b"abc"), None);
        assert_eq!(split(b""), None);
    }

    #[test]
    fn valid_and_invalid_paths() {
        let valid: [&[u8]; 9] =
            [b"/", b"/a", b"/a/b", b"/...", b"/.a", b"/a.", b"/..a/b", b"/a/.b/c~ d", "/é/日本\u{ffef}".as_bytes()];
        for path in valid {
            assert!(is_valid(path), "{path:?}");
        }
        let invalid: [&[u8]; 23] = [
            b"",
            b"a",
            b"/a/",
            b"//",
            b"//a",
            b"/a//b",
            b"/.",
            b"/..",
            b"/a/.",
            b"/a/../b",
            b"/./b",
            b"/.a/",
            b"/.a/..",
            b"/.a//b",
            b"/.a\x01",
            b"/a\0",
            b"/\x01",
            b"/\x1f/b",
            b"/\x7f",
            "/\u{9f}".as_bytes(),
            "/\u{f8ff}".as_bytes(),
            "/\u{fff0}".as_bytes(),
            "/😀".as_bytes(),
        ];
        for path in invalid {
            assert!(!is_valid(path), "{path:?}");
        }
        // No UTF-8: a lone continuation byte, an encoded surrogate, a truncated character.
        for path in [&b"/\x80"[..], b"/\xed\xa0\x80", b"/\xe6\x97"] {
            assert!(!is_valid(path), "{path:?}");
        }
    }
}
