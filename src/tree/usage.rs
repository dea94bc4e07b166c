//! The usage of the subtrees of quotas: counted when a quota is made and after loading, updated by every change, and
//! written where ZooKeeper's tools read it (ZooKeeper 3.9, `DataTree.updateQuotaForPath`, `DataTree.setupQuota`).
//!
//! Counting looks at every znode of the subtree, so a client decides how much work it is. The count belongs to the
//! transaction that made the quota: all members count the same tree, and nothing changes until the count is done. A
//! request of one operation counts in slices, at the end of its transaction ([`super::under_way`]); for a multi the
//! work is bounded, see [`Countings`].

use super::path::{self, PathHash};
use super::quota::{QuotaNode, Usage, stats_path};
use super::state::State;
use super::store::{Writer, Znode};
use super::walk::Walk;
use super::work::{Counting, Countings};
use crate::cost::Cost;
use crate::ids::Zxid;
use crate::limits;
use std::collections::BTreeMap;

fn with(usage: Usage, znode: &Znode<'_>) -> Usage {
    usage.plus(1, znode.data().map_or(0, <[u8]>::len) as i64)
}

impl State {
    /// Calls `make`, which may make at most one quota. The counting for it is returned, for [`State::count`].
    pub(super) fn count_later<T>(&mut self, make: impl FnOnce(&mut State) -> T) -> (T, Option<Counting>) {
        self.countings = Countings::AtTheEnd(None);
        let made = make(self);
        match std::mem::replace(&mut self.countings, Countings::AtOnce(Cost::ENDLESS)) {
            Countings::AtTheEnd(counting) => (made, counting),
            Countings::AtOnce(_) => unreachable!("who makes one quota says nothing of others"),
        }
    }

    /// One of the two znodes of a quota was created. ZooKeeper counts when the znode with the usage is created, usually
    /// the second of the two. If it was created first, its text is out of date by now.
    pub(super) fn quota_node_created(
        &mut self,
        zxid: Zxid,
        path: &[u8],
        (prefix, node): (&[u8], QuotaNode),
        data: Option<&[u8]>,
    ) {
        let data = data.unwrap_or_default();
        if node == QuotaNode::Limits {
            self.index.quotas.add(zxid, prefix, data);
        }
        let stats = stats_path(prefix);
        if self.store.find(&stats, path::hash(&stats)).is_none() {
            return self.use_quota(zxid, path, 1, data.len() as i64);
        }
        let top = self.find(prefix).map_or_else(Usage::default, |znode| with(Usage::default(), &znode));
        let made = (path.into(), data.len() as i64);
        let mut counting = Counting { zxid, made, prefix: prefix.into(), walk: Walk::below(prefix), usage: top };
        match self.countings {
            Countings::AtTheEnd(ref mut last) => *last = Some(counting),
            Countings::AtOnce(limit) => {
                let begun = self.meter().reading();
                let is_done = self.count(&mut counting, begun + limit);
                let left = limit.less(self.meter().reading().less(begun));
                self.countings = Countings::AtOnce(if is_done { left } else { Cost::NONE });
            }
        }
    }

    /// Continues until everything is counted and written, or the meter shows `until`. False if there is more.
    pub(super) fn count(&mut self, counting: &mut Counting, until: Cost) -> bool {
        let Counting { zxid, ref made, ref prefix, ref mut walk, ref mut usage } = *counting;
        loop {
            let left = until.less(self.meter().reading()).min(limits::SLICE_COST);
            if !walk.slice(&self.store.head(), left, &mut |znode| *usage = with(*usage, znode)) {
                break;
            }
            if self.meter().reading() >= until {
                return false;
            }
        }
        let stats = stats_path(prefix);
        self.index.quotas.set_used(zxid, prefix, Some(*usage));
        write_usage(&mut self.store, &mut self.scratch.text, (&stats, path::hash(&stats)), *usage);
        // The new znode counts towards its own quota, too, and once more if it is inside the subtree: as in ZooKeeper.
        self.use_quota(zxid, &made.0, 1, made.1);
        true
    }

    /// One of the two znodes of a quota was deleted.
    pub(super) fn quota_node_deleted(&mut self, zxid: Zxid, prefix: &[u8], node: QuotaNode) {
        match node {
            QuotaNode::Limits => self.index.quotas.remove(zxid, prefix),
            QuotaNode::Stats => self.index.quotas.set_used(zxid, prefix, None),
        }
    }

    /// Adds to the usage of the quota of `path`, if there is one.
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

    /// Counts all quotas after loading; each znode is looked at once. A quota's usage includes subtrees that have
    /// quotas of their own.
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

/// Writes the usage where tools read it. Of the znode's Stat only the length changes.
fn write_usage(store: &mut Writer, text: &mut Vec<u8>, (path, hash): (&[u8], PathHash), usage: Usage) {
    let Some(znode) = store.find(path, hash) else { return };
    let stat = znode.stat();
    text.clear();
    usage.put(text);
    store.set_data(path, hash, Some(text), stat.version, stat.mzxid, stat.mtime);
}
