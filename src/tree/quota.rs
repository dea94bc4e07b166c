//! Quotas: which subtrees have one, and the text of their two znodes (ZooKeeper 3.9, `StatsTrack`,
//! `PathTrie`, `DataTree.updateQuotaStat`).
//!
//! The quota of `/a` stands in `/zookeeper/quota/a/zookeeper_limits`; what the subtree uses is written,
//! without a transaction of its own, into `zookeeper_stats` beside it. A znode counts towards the nearest
//! quota at or above it only.

use super::path::{PathHash, QUOTA, hash};
use crate::ids::hash_state;
use hashbrown::HashMap;

const LIMITS: &[u8] = b"zookeeper_limits";
const STATS: &[u8] = b"zookeeper_stats";

/// Which of a quota's two znodes a path names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QuotaNode {
    Limits,
    Stats,
}

/// The subtree a path below `/zookeeper/quota` speaks of and which of the two znodes it is. The root can have
/// no quota.
pub fn parse_path(path: &[u8]) -> Option<(&[u8], QuotaNode)> {
    let rest = path.strip_prefix(QUOTA)?;
    let slash = rest.iter().rposition(|byte| *byte == b'/')?;
    let node = match &rest[slash + 1..] {
        LIMITS => QuotaNode::Limits,
        STATS => QuotaNode::Stats,
        _ => return None,
    };
    (rest[0] == b'/' && slash > 0).then_some((&rest[..slash], node))
}

/// One quota: where its two znodes are.
#[derive(Debug)]
pub struct Quota {
    limits: (Box<[u8]>, PathHash),
    stats: (Box<[u8]>, PathHash),
}

impl Quota {
    /// The quota of the subtree at `prefix`.
    pub fn of(prefix: &[u8]) -> Quota {
        let place = |name| {
            let path = [QUOTA, prefix, b"/", name].concat();
            let hash = hash(&path);
            (path.into_boxed_slice(), hash)
        };
        Quota { limits: place(LIMITS), stats: place(STATS) }
    }

    /// Path and hash of the znode with the limits.
    pub fn limits(&self) -> (&[u8], PathHash) {
        (&self.limits.0, self.limits.1)
    }

    /// Path and hash of the znode with the usage.
    pub fn stats(&self) -> (&[u8], PathHash) {
        (&self.stats.0, self.stats.1)
    }
}

/// All quotas, by subtree.
#[derive(Debug)]
pub struct Quotas {
    by_prefix: HashMap<Box<[u8]>, Quota, ahash::RandomState>,
}

impl Default for Quotas {
    fn default() -> Self {
        Quotas { by_prefix: HashMap::with_hasher(hash_state()) }
    }
}

impl Quotas {
    /// There is now a limits znode for the subtree.
    pub fn add(&mut self, prefix: &[u8]) {
        self.by_prefix.insert(prefix.into(), Quota::of(prefix));
    }

    /// The limits znode is gone.
    pub fn remove(&mut self, prefix: &[u8]) {
        self.by_prefix.remove(prefix);
    }

    /// The quota that `path` counts towards: the longest prefix that has one.
    pub fn nearest(&self, path: &[u8]) -> Option<&Quota> {
        if self.by_prefix.is_empty() {
            return None;
        }
        let mut prefix = path;
        loop {
            if let Some(quota) = self.by_prefix.get(prefix) {
                return Some(quota);
            }
            let slash = prefix.iter().rposition(|byte| *byte == b'/')?;
            prefix = &prefix[..slash];
        }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.by_prefix.len()
    }

    /// None at all: the usual case.
    pub fn is_empty(&self) -> bool {
        self.by_prefix.is_empty()
    }

    /// The subtrees in order of their paths.
    pub fn prefixes(&self) -> Vec<&[u8]> {
        let mut all: Vec<&[u8]> = self.by_prefix.keys().map(|prefix| &**prefix).collect();
        all.sort_unstable();
        all
    }
}

/// The numbers in a quota's znode; -1 is unset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Track {
    pub count: i64,
    pub bytes: i64,
    pub count_hard: i64,
    pub byte_hard: i64,
}

impl Track {
    /// Reads the text of a limits or stats znode. What cannot be read is unset.
    pub fn parse(text: &[u8]) -> Track {
        let mut track = Track { count: -1, bytes: -1, count_hard: -1, byte_hard: -1 };
        for (key, value) in pairs(text) {
            match key {
                b"count" => track.count = value,
                b"bytes" => track.bytes = value,
                b"countHardLimit" => track.count_hard = value,
                b"byteHardLimit" => track.byte_hard = value,
                _ => {}
            }
        }
        track
    }

    /// Whether a subtree that uses `used` may grow by so much.
    pub fn allows(&self, used: &Track, count: i64, bytes: i64) -> bool {
        let fits = |hard: i64, used: i64, more: i64| more == 0 || hard < 0 || used.saturating_add(more) <= hard;
        fits(self.count_hard, used.count, count) && fits(self.byte_hard, used.bytes, bytes)
    }
}

/// Appends the text of a stats znode, keeping of the `old` text the keys that are not counted here.
pub fn put_stats(old: &[u8], count: i64, bytes: i64, out: &mut Vec<u8>) {
    use std::io::Write;
    write!(out, "count={count},bytes={bytes}").expect("a Vec takes every write");
    let mut others: Vec<_> = pairs(old).filter(|(key, _)| !matches!(*key, b"count" | b"bytes")).collect();
    if others.is_empty() {
        return;
    }
    others.sort_by_key(|(key, _)| *key); // stable: of two equal keys the later one counts
    out.push(b'=');
    for (at, (key, value)) in others.iter().enumerate() {
        if others.get(at + 1).is_none_or(|next| next.0 != *key) {
            out.push(b';');
            out.extend_from_slice(key);
            write!(out, "={value}").expect("a Vec takes every write");
        }
    }
}

/// The readable pairs of a text; a missing value is -1.
fn pairs(text: &[u8]) -> impl Iterator<Item = (&[u8], i64)> {
    text.split(|byte| matches!(byte, b',' | b';')).filter_map(|pair| {
        let mut parts = pair.split(|byte| *byte == b'=');
        let (key, value) = (parts.next()?, parts.next()?);
        let value = if value.is_empty() { -1 } else { std::str::from_utf8(value).ok()?.parse().ok()? };
        Some((key, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_quota_nodes() {
        assert_eq!(parse_path(b"/zookeeper/quota/a/b/zookeeper_limits"), Some((&b"/a/b"[..], QuotaNode::Limits)));
        assert_eq!(parse_path(b"/zookeeper/quota/a/zookeeper_stats"), Some((&b"/a"[..], QuotaNode::Stats)));
        for other in [
            &b"/zookeeper/quota/zookeeper_limits"[..],
            b"/zookeeper/quotas/a/zookeeper_limits",
            b"/zookeeper/quota/a/limits",
            b"/zookeeper/quota",
            b"/a/zookeeper_limits",
        ] {
            assert_eq!(parse_path(other), None, "{other:?}");
        }
    }

    #[test]
    fn the_longest_prefix_counts() {
        let mut quotas = Quotas::default();
        assert!(quotas.nearest(b"/a").is_none());
        quotas.add(b"/a");
        quotas.add(b"/a/b/c");
        let at = |path: &[u8]| quotas.nearest(path).map(|quota| quota.limits().0.to_vec());
        assert_eq!(at(b"/a/b").unwrap(), b"/zookeeper/quota/a/zookeeper_limits");
        assert_eq!(at(b"/a").unwrap(), b"/zookeeper/quota/a/zookeeper_limits");
        assert_eq!(at(b"/a/b/c/d").unwrap(), b"/zookeeper/quota/a/b/c/zookeeper_limits");
        assert_eq!(at(b"/ab"), None);
        assert_eq!(at(b"/"), None);
    }

    #[test]
    fn text_as_observed() {
        let track = Track::parse(b"count=-1,bytes=-1=;byteHardLimit=5;countHardLimit=-1");
        assert_eq!(track, Track { count: -1, bytes: -1, count_hard: -1, byte_hard: 5 });
        assert_eq!(Track::parse(b"count=3,,;bytes=").count, 3);
        for text in [&b""[..], b"nonsense", b"count=x", b"=", b"\xff=1"] {
            assert_eq!(Track::parse(text), Track { count: -1, bytes: -1, count_hard: -1, byte_hard: -1 });
        }
        let mut out = vec![];
        put_stats(b"count=0,bytes=0", 1, 8, &mut out);
        assert_eq!(out, b"count=1,bytes=8");
        out.clear();
        put_stats(b"z=1;count=4;a=2;z=3", 1, 8, &mut out);
        assert_eq!(out, b"count=1,bytes=8=;a=2;z=3");
    }

    #[test]
    fn only_hard_limits_refuse() {
        let used = Track { count: 5, bytes: 100, count_hard: -1, byte_hard: -1 };
        let soft = Track { count: 1, bytes: 1, count_hard: -1, byte_hard: -1 };
        assert!(soft.allows(&used, 1, 50));
        let hard = Track { count_hard: 6, byte_hard: 100, ..soft };
        assert!(hard.allows(&used, 1, 0));
        assert!(!hard.allows(&used, 2, 0));
        assert!(!hard.allows(&used, 1, 1));
        assert!(!hard.allows(&Track { bytes: 500, ..used }, 0, -1), "still above the limit");
    }
}
