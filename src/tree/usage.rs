//! What the subtrees of quotas use: counted when a quota is made and after loading, kept up by every change, and written where
//! ZooKeeper's tools look for it (ZooKeeper 3.9, `DataTree.updateQuotaForPath`, `DataTree.setupQuota`).
//!
//! Counting looks at every znode of the subtree, so a client decides how much it is. It belongs to the transaction that made
//! the quota: all members count the same tree, and nothing changes until it is done. What several of one multi may look at is
//! bounded, see [`Countings`].

use super::path::{self, PathHash};
use super::quota::{QuotaNode, Usage, stats_path};
use super::state::State;
use super::store::{View, Writer, Znode};
use super::walk::Walk;
use crate::cost::Cost;
use crate::ids::Zxid;
use crate::limits;
use std::collections::BTreeMap;

/// A subtree that is being counted, a slice at a time; in between the tree stands still.
#[derive(Debug)]
struct Counting {
    walk: Walk,
    usage: Usage,
}

impl Counting {
    /// Of the subtree at `top`, which need not be there.
    fn of(view: &View<'_>, top: &[u8]) -> Counting {
        let usage = view.get(top, path::hash(top)).map_or_else(Usage::default, |znode| with(Usage::default(), &znode));
        Counting { walk: Walk::below(top), usage }
    }

    /// Goes on for so much. Returns whether there is more.
    fn slice(&mut self, view: &View<'_>, budget: Cost) -> bool {
        self.walk.slice(view, budget, &mut |znode| self.usage = with(self.usage, znode))
    }
}

fn with(usage: Usage, znode: &Znode<'_>) -> Usage {
    usage.plus(1, znode.data().map_or(0, <[u8]>::len) as i64)
}

/// What the countings of one transaction may cost yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Countings(Cost);

impl Countings {
    /// As much as there is to count: what others have decided is carried out.
    pub const ANY: Countings = Countings(Cost::ENDLESS);
    /// Those of a multi that is prepared.
    pub const OF_A_MULTI: Countings = Countings(limits::COUNTED_IN_MULTI);

    /// More was to be counted, and has not been.
    pub fn are_too_many(self) -> bool {
        self.0 == Cost::NONE
    }
}

impl State {
    /// One of the two znodes of a quota has come. ZooKeeper counts when the one with the usage does, which is the second of
    /// the two; should it have come first, what it says is out of date by now.
    pub(super) fn quota_node_created(&mut self, zxid: Zxid, prefix: &[u8], node: QuotaNode, data: Option<&[u8]>) {
        if node == QuotaNode::Limits {
            self.index.quotas.add(zxid, prefix, data.unwrap_or_default());
        }
        let stats = stats_path(prefix);
        let hash = path::hash(&stats);
        if self.store.find(&stats, hash).is_none() {
            return;
        }
        let head = self.store.head();
        let begun = head.meter().reading();
        let mut counting = Counting::of(&head, prefix);
        loop {
            let left = self.countings.0.less(head.meter().reading().less(begun));
            if !counting.slice(&head, left.min(limits::SLICE_COST)) {
                break;
            }
            if left == Cost::NONE {
                self.countings = Countings(Cost::NONE);
                return;
            }
        }
        self.countings.0 = self.countings.0.less(head.meter().reading().less(begun));
        self.index.quotas.set_used(zxid, prefix, Some(counting.usage));
        write_usage(&mut self.store, &mut self.scratch.text, (&stats, hash), counting.usage);
    }

    /// One of the two is gone.
    pub(super) fn quota_node_deleted(&mut self, zxid: Zxid, prefix: &[u8], node: QuotaNode) {
        match node {
            QuotaNode::Limits => self.index.quotas.remove(zxid, prefix),
            QuotaNode::Stats => self.index.quotas.set_used(zxid, prefix, None),
        }
    }

    /// Adds to what the quota of `path` uses, if there is one.
    #[inline]
    pub(super) fn use_quota(&mut self, zxid: Zxid, path: &[u8], count: i64, bytes: i64) {
        if !self.index.quotas.is_empty() {
            self.use_nearest_quota(zxid, path, count, bytes);
        }
    }

    fn use_nearest_quota(&mut self, zxid: Zxid, path: &[u8], count: i64, bytes: i64) {
        let State { index, store, scratch, .. } = self;
        let Some((stats, hash, used)) = index.quotas.add_used(zxid, path, count, bytes) else { return };
        write_usage(store, &mut scratch.text, (stats, hash), used);
    }

    /// Counts all of them after loading, looking at each znode once. All of a subtree counts for its quota, also what has
    /// one of its own.
    pub(super) fn count_all(&mut self) {
        let State { index, store, scratch, head: zxid, .. } = self;
        let quotas = &index.quotas;
        let prefixes = quotas.prefixes();
        let mut all: BTreeMap<&[u8], Usage> = prefixes.iter().map(|prefix| (*prefix, Usage::default())).collect();
        let above = |prefix: &[u8]| quotas.nearest_prefix(path::parent(prefix).unwrap_or_default());
        let head = store.head();
        for top in prefixes.iter().filter(|prefix| above(prefix).is_none()) {
            let mut add = |znode: &Znode<'_>| {
                let nearest = quotas.nearest_prefix(znode.path()).expect("it is below one");
                let usage = all.get_mut(nearest).expect("all are there");
                *usage = with(*usage, znode);
            };
            if let Some(znode) = head.get(top, path::hash(top)) {
                add(&znode);
            }
            let mut walk = Walk::below(top);
            while walk.slice(&head, limits::SLICE_COST, &mut add) {}
        }
        for prefix in prefixes.iter().rev() {
            if let Some(above) = above(prefix) {
                let within = all[prefix];
                let usage = all.get_mut(above).expect("all are there");
                *usage = usage.plus(within.count, within.bytes);
            }
        }
        let all: Vec<(Box<[u8]>, Usage)> = all.into_iter().map(|(prefix, usage)| (prefix.into(), usage)).collect();
        for (prefix, usage) in all {
            let stats = stats_path(&prefix);
            let hash = path::hash(&stats);
            if store.find(&stats, hash).is_some() {
                index.quotas.set_used(*zxid, &prefix, Some(usage));
                write_usage(store, &mut scratch.text, (&stats, hash), usage);
            }
        }
        index.quotas.publish(*zxid);
    }
}

/// Writes it where tools look for it. The znode's Stat does not move but for the length.
fn write_usage(store: &mut Writer, text: &mut Vec<u8>, (path, hash): (&[u8], PathHash), usage: Usage) {
    let Some(znode) = store.find(path, hash) else { return };
    let stat = znode.stat();
    text.clear();
    usage.put(text);
    store.set_data(path, hash, Some(text), stat.version, stat.mzxid, stat.mtime);
}
