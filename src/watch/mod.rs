//! The watches of one shard's connections: who is told what when a znode changes.
//!
//! There are two tables, as in ZooKeeper 3.9 (`DataTree`, `WatchManager`): the *data* table holds what
//! exists, getData and addWatch set, the *child* table what getChildren and addWatch set. A watch is a
//! connection, a path and a set of modes; adding is idempotent, modes stand side by side. One-shot is used
//! up when the watch fires, persistent and recursive stay.
//!
//! A change costs nothing while nobody watches, one look-up for its path and one for its parent while
//! nobody watches those, and one more per ancestor only while some watch is recursive; watches that do not
//! fire are never walked. Watches belong to connections and go with them.

mod groups;
mod slab;
mod table;

use crate::acl::AclId;
use crate::jute::{EventType, WatcherType};
use crate::tree::change::{Change, ChangeKind};
use crate::tree::path;
use std::collections::VecDeque;
use std::net::IpAddr;
use table::{List, Lists, Table, modes};

pub(crate) use table::WatchLimits;

/// What a client asks for when it sets a watch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum WatchMode {
    /// By exists and getData: one event of the data table.
    Data,
    /// By getChildren: one event of the child table.
    Child,
    /// By addWatch: the events of both tables.
    Persistent,
    /// By addWatch: the data table's events of the path and everything below.
    PersistentRecursive,
}

/// The watches of one shard. Connections are named by their slots, which are small numbers.
#[derive(Debug, Default)]
pub struct Watches {
    lists: Lists,
    /// Counts triggers; a connection is told at most once in each.
    round: u64,
    /// The connections of the trigger at hand.
    told: Vec<u32>,
    limits: WatchLimits,
    /// Connections that have ended and have watches left.
    ended: VecDeque<u32>,
}

impl Watches {
    /// No watches, and so many at most.
    pub fn new(limits: WatchLimits) -> Self {
        Watches { limits, ..Watches::default() }
    }

    /// A connection from this address has that slot now.
    pub(crate) fn join(&mut self, slot: u32, address: IpAddr) {
        self.lists.join(slot, address.to_canonical());
    }

    /// Sets a watch; false if there would be more than the limits allow, and then none is set.
    #[must_use]
    pub fn add(&mut self, slot: u32, path: &[u8], mode: WatchMode) -> bool {
        let hash = path::hash(path).0;
        let wanted: &[(Table, u8)] = match mode {
            WatchMode::Data => &[(Table::Data, modes::ONE_SHOT)],
            WatchMode::Child => &[(Table::Child, modes::ONE_SHOT)],
            WatchMode::Persistent => &[(Table::Data, modes::PERSISTENT), (Table::Child, modes::PERSISTENT)],
            WatchMode::PersistentRecursive => &[(Table::Data, modes::RECURSIVE)],
        };
        if !self.lists.has_room(self.limits, slot, wanted.len(), Some(path.len())) {
            // Near a limit it is counted exactly what this one would add: nothing, if it is there.
            let missing = |(table, _): &&(Table, u8)| self.lists.modes(*table, slot, path, hash) == 0;
            let added = wanted.iter().filter(missing).count();
            let new_path = self.lists.find_path(path, hash).is_none().then_some(path.len());
            if added > 0 && !self.lists.has_room(self.limits, slot, added, new_path) {
                return false;
            }
        }
        for (table, mode) in wanted {
            self.lists.add(*table, slot, path, hash, *mode);
        }
        true
    }

    /// Whether the connection has a watch of that kind on the path (checkWatches).
    pub(crate) fn check(&self, slot: u32, path: &[u8], kind: WatcherType) -> bool {
        let hash = path::hash(path).0;
        meant(kind).iter().any(|&(table, wanted)| self.lists.modes(table, slot, path, hash) & wanted != 0)
    }

    /// Removes the connection's watches of that kind on the path; false if there were none (removeWatches).
    pub(crate) fn remove(&mut self, slot: u32, path: &[u8], kind: WatcherType) -> bool {
        let hash = path::hash(path).0;
        let mut removed = false;
        for &(table, modes) in meant(kind) {
            removed |= self.lists.remove(table, slot, path, hash, modes);
        }
        removed
    }

    /// A connection has ended: none of its watches fires or counts any more. True if it had none; otherwise they take
    /// memory until [`Watches::remove_ended`] has come to them, and its slot must not be used again before.
    #[must_use]
    pub fn end_connection(&mut self, slot: u32) -> bool {
        let had_some = self.lists.end_connection(slot);
        if had_some {
            self.ended.push_back(slot);
        }
        !had_some
    }

    /// Whether watches of ended connections are left.
    pub(crate) fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Removes at most `max` watches of ended connections; `freed` is told each slot that has none left.
    pub fn remove_ended(&mut self, max: usize, freed: &mut impl FnMut(u32)) {
        let mut left = max;
        while let Some(slot) = self.ended.front().copied() {
            if !self.lists.remove_some(slot, &mut left) {
                return;
            }
            self.ended.pop_front();
            freed(slot);
        }
    }

    /// Fires what a change triggers, in ZooKeeper's order: the data table of the path and of the recursive
    /// watches above it; for a deletion the child table of the path, those aside who have just been told;
    /// for a creation or deletion the child table of the parent.
    ///
    /// `deliver` is called once per trigger that concerns anybody, with the event, its path, the ACL that
    /// decides who may learn of it (by READ; who may not has lost a one-shot watch all the same), and the
    /// connections, each once.
    pub fn fire(&mut self, change: &Change<'_>, deliver: &mut impl FnMut(EventType, &[u8], AclId, &[u32])) {
        if self.is_empty() {
            return;
        }
        let event = match change.kind {
            ChangeKind::Created => EventType::NodeCreated,
            ChangeKind::Deleted => EventType::NodeDeleted,
            ChangeKind::DataChanged => EventType::NodeDataChanged,
        };
        let counts = self.lists.counts();
        let watched = self.lists.find_path(change.path, change.hash.0);
        self.next_round();
        if counts.data > 0 {
            if let Some(at) = watched {
                self.collect(at, List::Data, false);
                self.collect(at, List::Recursive, false);
            }
            if counts.recursive > 0 {
                self.collect_above(change.path);
            }
            self.deliver(event, change.path, change.acl, deliver);
        }
        if let Some(at) = watched {
            if change.kind == ChangeKind::Deleted {
                self.collect(at, List::Child, false);
                self.deliver(event, change.path, change.acl, deliver);
            }
            self.lists.forget_if_unwatched(at);
        }
        if change.kind != ChangeKind::DataChanged
            && counts.child > 0
            && let Some(parent) = path::parent(change.path)
            && let Some(at) = self.lists.find_path(parent, path::hash(parent).0)
        {
            self.next_round();
            self.collect(at, List::Child, false);
            self.lists.forget_if_unwatched(at);
            self.deliver(EventType::NodeChildrenChanged, parent, change.parent_acl, deliver);
        }
    }

    /// No watch at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.total() == 0
    }

    /// How many watches there are in both tables together (`watch_count`). A persistent watch is in both; those of ended
    /// connections are counted until they are removed.
    pub(crate) fn total(&self) -> usize {
        let counts = self.lists.counts();
        counts.data + counts.child
    }

    /// Calls `each` with every connection and path of the data table, connection by connection: what `wchc`
    /// and `wchp` show.
    pub(crate) fn for_each_data_watch(&self, each: &mut impl FnMut(u32, &[u8])) {
        self.lists.for_each_data_watch(each);
    }

    fn next_round(&mut self) {
        self.round += 1;
    }

    fn collect(&mut self, path: u32, list: List, below: bool) {
        self.lists.collect(path, list, below, self.round, &mut self.told);
    }

    /// The recursive watches on everything that stands above the path.
    fn collect_above(&mut self, path: &[u8]) {
        let mut below = path;
        while below != path::ROOT
            && let Some(above) = path::parent(below)
        {
            if let Some(at) = self.lists.find_path(above, path::hash(above).0) {
                self.collect(at, List::Recursive, true);
            }
            below = above;
        }
    }

    fn deliver(
        &mut self,
        event: EventType,
        path: &[u8],
        acl: AclId,
        deliver: &mut impl FnMut(EventType, &[u8], AclId, &[u32]),
    ) {
        if !self.told.is_empty() {
            deliver(event, path, acl, &self.told);
            self.told.clear();
        }
    }
}

/// What checkWatches asks for and removeWatches takes away, by the kind they name.
fn meant(kind: WatcherType) -> &'static [(Table, u8)] {
    match kind {
        WatcherType::Children => &[(Table::Child, modes::ONE_SHOT)],
        WatcherType::Data => &[(Table::Data, modes::ONE_SHOT)],
        WatcherType::Any => &[(Table::Child, modes::ALL), (Table::Data, modes::ALL)],
        WatcherType::Persistent => &[(Table::Child, modes::PERSISTENT), (Table::Data, modes::PERSISTENT)],
        WatcherType::PersistentRecursive => &[(Table::Data, modes::RECURSIVE)],
    }
}

#[cfg(test)]
mod tests;
