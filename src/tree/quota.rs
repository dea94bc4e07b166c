//! Quotas: which subtrees have one, their limits and their usage (ZooKeeper 3.9, `StatsTrack`, `PathTrie`,
//! `DataTree.updateQuotaStat`).
//!
//! The quota of `/a` is in `/zookeeper/quota/a/zookeeper_limits`, whose text is parsed when it is written. The server
//! itself keeps the usage of the subtree: it is counted once, when both znodes exist ([`super::usage`]), updated with
//! every change, and shown, without a transaction of its own, as the text of `zookeeper_stats` beside the limits. A
//! text that a client writes there lasts until the next write below `/a`, and is never read. A znode counts towards the
//! nearest quota at or above it only.

use super::path::{PathHash, QUOTA, hash};
use crate::ids::{Zxid, hash_state};
use crate::limits;
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::io::Write;
use std::sync::Arc;

const LIMITS: &[u8] = b"zookeeper_limits";
const STATS: &[u8] = b"zookeeper_stats";

/// Which of a quota's two znodes a path names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum QuotaNode {
    Limits,
    Stats,
}

/// For a path below `/zookeeper/quota`: the subtree, and which of the two znodes it is. The root can have no quota.
pub(crate) fn parse_path(path: &[u8]) -> Option<(&[u8], QuotaNode)> {
    let rest = path.strip_prefix(QUOTA)?;
    let slash = rest.iter().rposition(|byte| *byte == b'/')?;
    let node = match &rest[slash + 1..] {
        LIMITS => QuotaNode::Limits,
        STATS => QuotaNode::Stats,
        _ => return None,
    };
    (rest[0] == b'/' && slash > 0).then_some((&rest[..slash], node))
}

/// The path of the znode with the usage of the subtree at `prefix`.
pub(crate) fn stats_path(prefix: &[u8]) -> Box<[u8]> {
    [QUOTA, prefix, b"/", STATS].concat().into_boxed_slice()
}

/// The usage of a subtree: the number of its znodes, with the top one, and the bytes of their data.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Usage {
    pub count: i64,
    pub bytes: i64,
}

impl Usage {
    /// Adds to both.
    pub(crate) fn plus(self, count: i64, bytes: i64) -> Usage {
        Usage { count: self.count.saturating_add(count), bytes: self.bytes.saturating_add(bytes) }
    }

    /// Appends the usage as the text of a stats znode.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        write!(out, "count={},bytes={}", self.count, self.bytes).expect("a Vec takes every write");
    }
}

/// The hard limits of a quota, which refuse writes if `enforceQuota` is on; -1 is unset. Soft limits are for tools to
/// show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct HardLimits {
    pub count: i64,
    pub bytes: i64,
}

impl HardLimits {
    /// Reads the text of a limits znode. Unreadable values are unset; so are all values of a text longer than tools
    /// write ([`limits::QUOTA_TEXT`]).
    pub(crate) fn parse(text: &[u8]) -> HardLimits {
        let mut hard = HardLimits { count: -1, bytes: -1 };
        #[cfg(test)]
        tests::READ.set(tests::READ.get() + 1);
        if text.len() > limits::QUOTA_TEXT {
            return hard;
        }
        for (key, value) in pairs(text) {
            match key {
                b"countHardLimit" => hard.count = value,
                b"byteHardLimit" => hard.bytes = value,
                _ => {}
            }
        }
        hard
    }

    /// Whether a subtree that uses `used` may grow by so much.
    pub(crate) fn allow(&self, used: Usage, count: i64, bytes: i64) -> bool {
        let fits = |hard: i64, used: i64, more: i64| more == 0 || hard < 0 || used.saturating_add(more) <= hard;
        fits(self.count, used.count, count) && fits(self.bytes, used.bytes, bytes)
    }
}

/// A quota: its limits and the usage of its subtree.
#[derive(Clone, Copy, Debug)]
struct Account {
    hard: HardLimits,
    /// The usage; `None` while there is no znode to write it into.
    used: Option<Usage>,
}

#[derive(Debug)]
struct Quota {
    /// The path of the znode with the usage, which contains the subtree's path, and its hash.
    stats: Arc<[u8]>,
    hash: PathHash,
    account: Account,
    /// The last transaction that has recorded the values before it.
    marked: Option<Zxid>,
}

impl Quota {
    fn prefix(&self) -> &[u8] {
        prefix_of(&self.stats)
    }
}

fn prefix_of(stats: &[u8]) -> &[u8] {
    &stats[QUOTA.len()..stats.len() - STATS.len() - 1]
}

/// A quota's values before a transaction; `None`: there was no such quota.
#[derive(Debug)]
struct Mark {
    zxid: Zxid,
    stats: Arc<[u8]>,
    before: Option<Account>,
}

/// A name on the way to a quota.
#[derive(Debug)]
struct Node {
    above: usize,
    below: HashMap<Box<[u8]>, usize, ahash::RandomState>,
    quota: Option<Quota>,
}

impl Node {
    fn under(above: usize) -> Node {
        Node { above, below: HashMap::with_hasher(hash_state()), quota: None }
    }
}

/// All quotas, in a tree of the names in their subtrees' paths: a path's quota is found by reading the path once,
/// however many quotas there are. Every node stands for a znode below `/zookeeper/quota`, so there are no more nodes
/// than such znodes.
///
/// The usage is not part of any transaction, so its changes are recorded until they are published.
#[derive(Debug)]
pub struct Quotas {
    /// The root's node is the first.
    nodes: Vec<Node>,
    spare: Vec<usize>,
    count: usize,
    journal: VecDeque<Mark>,
}

impl Default for Quotas {
    fn default() -> Self {
        Quotas { nodes: vec![Node::under(0)], spare: vec![], count: 0, journal: VecDeque::new() }
    }
}

impl Quotas {
    /// A limits znode for the subtree was created.
    pub(crate) fn add(&mut self, zxid: Zxid, prefix: &[u8], text: &[u8]) {
        let stats: Arc<[u8]> = stats_path(prefix).into();
        self.journal.push_back(Mark { zxid, stats: Arc::clone(&stats), before: None });
        self.put(stats, Account { hard: HardLimits::parse(text), used: None }, Some(zxid));
    }

    /// The limits znode has another text.
    pub(crate) fn limit(&mut self, zxid: Zxid, prefix: &[u8], text: &[u8]) {
        if let Some(quota) = self.change(zxid, prefix) {
            quota.account.hard = HardLimits::parse(text);
        }
    }

    /// The limits znode was deleted.
    pub(crate) fn remove(&mut self, zxid: Zxid, prefix: &[u8]) {
        if let Some(Quota { stats, account, .. }) = self.take(prefix) {
            self.journal.push_back(Mark { zxid, stats, before: Some(account) });
        }
    }

    /// The subtree's usage was counted; `None`: there is no znode with the usage any more.
    pub(crate) fn set_used(&mut self, zxid: Zxid, prefix: &[u8], used: Option<Usage>) {
        if let Some(quota) = self.change(zxid, prefix) {
            quota.account.used = used;
        }
    }

    /// Adds to the usage of the quota of `path`, if there is one; returns the new usage, and the znode to write it
    /// into.
    pub(crate) fn add_used(
        &mut self,
        zxid: Zxid,
        path: &[u8],
        count: i64,
        bytes: i64,
    ) -> Option<(&[u8], PathHash, Usage)> {
        let node = self.nearest(path)?;
        let quota = mark(&mut self.journal, self.nodes[node].quota.as_mut()?, zxid);
        let used = quota.account.used?.plus(count, bytes);
        quota.account.used = Some(used);
        Some((&quota.stats, quota.hash, used))
    }

    /// Whether the quota of `path` allows its subtree to grow by so much (ZooKeeper 3.9, `ZooKeeperServer.checkQuota`).
    pub(crate) fn allow(&self, path: &[u8], count: i64, bytes: i64) -> bool {
        let account = self.nearest(path).and_then(|node| Some(self.nodes[node].quota.as_ref()?.account));
        account.is_none_or(|account| account.used.is_none_or(|used| account.hard.allow(used, count, bytes)))
    }

    /// The subtree of the quota that `path` counts towards: the longest prefix with a quota.
    pub(crate) fn nearest_prefix(&self, path: &[u8]) -> Option<&[u8]> {
        self.nearest(path).and_then(|node| Some(self.nodes[node].quota.as_ref()?.prefix()))
    }

    /// How many quotas there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are no quotas: the usual case.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The subtrees of all quotas in order: a subtree comes before those inside it.
    pub(crate) fn prefixes(&self) -> Vec<&[u8]> {
        let mut all: Vec<&[u8]> = self.nodes.iter().filter_map(|node| Some(node.quota.as_ref()?.prefix())).collect();
        all.sort_unstable();
        all
    }

    /// Takes back every change above `down_to`.
    pub(crate) fn undo(&mut self, down_to: Zxid) {
        while let Some(mark) = self.journal.pop_back_if(|mark| mark.zxid > down_to) {
            match mark.before {
                Some(account) => self.put(mark.stats, account, None),
                None => _ = self.take(prefix_of(&mark.stats)),
            }
        }
    }

    /// Changes up to `zxid` will not be taken back any more.
    pub(crate) fn publish(&mut self, zxid: Zxid) {
        while self.journal.pop_front_if(|mark| mark.zxid <= zxid).is_some() {}
    }

    fn nearest(&self, path: &[u8]) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        self.way(path).filter(|node| self.nodes[*node].quota.is_some()).last()
    }

    /// The nodes towards `path` that lead to some quota.
    fn way(&self, path: &[u8]) -> impl Iterator<Item = usize> {
        let mut node = 0;
        names(path).map_while(move |name| {
            node = *self.nodes[node].below.get(name)?;
            Some(node)
        })
    }

    fn node(&self, prefix: &[u8]) -> Option<usize> {
        let mut node = 0;
        for name in names(prefix) {
            node = *self.nodes[node].below.get(name)?;
        }
        Some(node)
    }

    /// The subtree's own quota, to be changed.
    fn change(&mut self, zxid: Zxid, prefix: &[u8]) -> Option<&mut Quota> {
        let node = self.node(prefix)?;
        Some(mark(&mut self.journal, self.nodes[node].quota.as_mut()?, zxid))
    }

    fn put(&mut self, stats: Arc<[u8]>, account: Account, marked: Option<Zxid>) {
        let mut node = 0;
        for name in names(prefix_of(&stats)) {
            node = match self.nodes[node].below.get(name) {
                Some(next) => *next,
                None => {
                    let next = self.spare.pop().unwrap_or(self.nodes.len());
                    self.nodes[node].below.insert(name.into(), next);
                    if next == self.nodes.len() {
                        self.nodes.push(Node::under(node));
                    } else {
                        self.nodes[next] = Node::under(node);
                    }
                    next
                }
            };
        }
        let hash = hash(&stats);
        let was = self.nodes[node].quota.replace(Quota { stats, hash, account, marked });
        self.count += usize::from(was.is_none());
    }

    fn take(&mut self, prefix: &[u8]) -> Option<Quota> {
        let mut node = self.node(prefix)?;
        let quota = self.nodes[node].quota.take()?;
        self.count -= 1;
        // Nodes that lead to no quota any more are removed, the lowest first.
        for name in prefix[1..].rsplit(|byte| *byte == b'/') {
            let Node { above, ref below, quota: None } = self.nodes[node] else { break };
            if !below.is_empty() {
                break;
            }
            self.nodes[above].below.remove(name);
            self.spare.push(node);
            node = above;
        }
        Some(quota)
    }
}

/// Records the values before `zxid`, once.
fn mark<'a>(journal: &mut VecDeque<Mark>, quota: &'a mut Quota, zxid: Zxid) -> &'a mut Quota {
    if quota.marked != Some(zxid) {
        quota.marked = Some(zxid);
        journal.push_back(Mark { zxid, stats: Arc::clone(&quota.stats), before: Some(quota.account) });
    }
    quota
}

/// The names in a path, which begins with a slash.
fn names(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.strip_prefix(b"/").into_iter().flat_map(|path| path.split(|byte| *byte == b'/'))
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
pub(super) mod tests {
    use super::*;
    use std::cell::Cell;

    thread_local! {
        /// Texts of limits that this thread has read.
        pub static READ: Cell<usize> = const { Cell::new(0) };
    }

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
        assert_eq!(prefix_of(&stats_path(b"/a/b")), b"/a/b");
    }

    #[test]
    fn the_longest_prefix_counts() {
        let mut quotas = Quotas::default();
        assert_eq!(quotas.nearest_prefix(b"/a"), None);
        quotas.add(Zxid(1), b"/a", b"");
        quotas.add(Zxid(2), b"/a/b/c", b"");
        for (path, prefix) in [
            (&b"/a/b"[..], Some(&b"/a"[..])),
            (b"/a", Some(b"/a")),
            (b"/a/b/c/d", Some(b"/a/b/c")),
            (b"/ab", None),
            (b"/", None),
            (b"", None),
        ] {
            assert_eq!(quotas.nearest_prefix(path), prefix, "{path:?}");
        }
        assert_eq!(quotas.prefixes(), [&b"/a"[..], b"/a/b/c"]);
        quotas.remove(Zxid(3), b"/a");
        assert_eq!((quotas.nearest_prefix(b"/a/b"), quotas.nearest_prefix(b"/a/b/c")), (None, Some(&b"/a/b/c"[..])));
        quotas.remove(Zxid(4), b"/a/b");
        quotas.remove(Zxid(4), b"/a/b/c");
        assert!(quotas.is_empty() && quotas.nodes[0].below.is_empty());
        assert_eq!(quotas.spare.len(), 3, "no step is left behind");
        quotas.undo(Zxid(2));
        assert_eq!(quotas.prefixes(), [&b"/a"[..], b"/a/b/c"]);
        assert_eq!((quotas.nodes.len(), quotas.spare.len()), (4, 0));
        quotas.undo(Zxid(0));
        assert!(quotas.is_empty() && quotas.journal.is_empty());
    }

    /// A lookup of every prefix would hash two hundred gigabytes for this path.
    #[test]
    fn a_path_is_read_once_however_many_slashes_and_quotas_there_are() {
        let mut quotas = Quotas::default();
        let deep = b"/a".repeat(1_000);
        for depth in [1, 10, 1_000] {
            quotas.add(Zxid(1), &deep[..2 * depth], b"");
        }
        let path = b"/a".repeat(500_000);
        assert_eq!(quotas.way(&path).count(), 1_000, "steps, each of one name");
        assert_eq!(quotas.nearest_prefix(&path), Some(&deep[..]));
        assert_eq!(quotas.way(&b"/b".repeat(500_000)).count(), 0);
    }

    #[test]
    fn what_is_used_comes_back() {
        let mut quotas = Quotas::default();
        let used = |quotas: &Quotas| quotas.nodes[quotas.nearest(b"/a")?].quota.as_ref()?.account.used;
        quotas.add(Zxid(1), b"/a", b"");
        assert!(quotas.add_used(Zxid(1), b"/a/x", 1, 8).is_none(), "nothing is counted yet");
        quotas.set_used(Zxid(2), b"/a", Some(Usage { count: 5, bytes: 9 }));
        quotas.publish(Zxid(2));
        for n in 0..100 {
            assert!(quotas.add_used(Zxid(3), b"/a/x", 1, n).is_some());
        }
        assert_eq!(quotas.journal.len(), 1, "once a transaction");
        quotas.set_used(Zxid(4), b"/a", None);
        quotas.remove(Zxid(5), b"/a");
        quotas.add(Zxid(5), b"/a", b"countHardLimit=1");
        quotas.set_used(Zxid(5), b"/a", Some(Usage { count: 1, bytes: 1 }));
        assert!(!quotas.allow(b"/a/b", 1, 0));
        quotas.undo(Zxid(4));
        assert_eq!(used(&quotas), None);
        quotas.undo(Zxid(3));
        assert_eq!(used(&quotas), Some(Usage { count: 105, bytes: 9 + 4950 }));
        quotas.add_used(Zxid(4), b"/a", 1, 1);
        quotas.undo(Zxid(3));
        assert_eq!(used(&quotas), Some(Usage { count: 105, bytes: 9 + 4950 }), "the same number is used again");
        quotas.undo(Zxid(2));
        assert_eq!(used(&quotas), Some(Usage { count: 5, bytes: 9 }));
        assert!(quotas.allow(b"/a/b", 1, 0));
    }

    #[test]
    fn text_as_observed() {
        let unset = HardLimits { count: -1, bytes: -1 };
        let hard = HardLimits::parse(b"count=-1,bytes=-1=;byteHardLimit=5;countHardLimit=-1");
        assert_eq!(hard, HardLimits { bytes: 5, ..unset });
        assert_eq!(HardLimits::parse(b"countHardLimit=3,,;byteHardLimit=").count, 3);
        for text in [&b""[..], b"nonsense", b"countHardLimit=x", b"=", b"\xff=1", b"count=3,bytes=8"] {
            assert_eq!(HardLimits::parse(text), unset);
        }
        let mut text = b"countHardLimit=7;".to_vec();
        text.resize(limits::QUOTA_TEXT, b';');
        assert_eq!(HardLimits::parse(&text).count, 7);
        text.push(b';');
        assert_eq!(HardLimits::parse(&text), unset, "no tool writes so much");
        let mut out = vec![];
        Usage { count: 1, bytes: 8 }.put(&mut out);
        assert_eq!(out, b"count=1,bytes=8");
    }

    #[test]
    fn only_hard_limits_refuse() {
        let used = Usage { count: 5, bytes: 100 };
        assert!(HardLimits::parse(b"count=1,bytes=1").allow(used, 1, 50));
        let hard = HardLimits { count: 6, bytes: 100 };
        assert!(hard.allow(used, 1, 0));
        assert!(!hard.allow(used, 2, 0));
        assert!(!hard.allow(used, 1, 1));
        assert!(!hard.allow(Usage { bytes: 500, ..used }, 0, -1), "still above the limit");
    }
}
