//! The only writer: adds versions at the head, takes them back, publishes them.
//!
//! # Unsafe
//!
//! Every raw pointer here is one this writer linked and has not retired: only this writer changes chains, children
//! objects and numbers, and `&mut self` allows one change at a time. Pending records name live versions because a
//! record goes (reclaim, undo) before or with what it names. Tested by the model test with its ledger, under miri,
//! and by loom.

use super::block::{Block, Data, Fields, Kind, Version};
use super::held::Held;
use super::kids::{ChildNumbers, ChildStat, Kids};
use super::limbo::Limbo;
use super::names::AclNames;
use super::queue::Queue;
use super::segment::normal;
use super::shared::{Shared, Store};
use super::stamps::Stamps;
use super::sync::{Arc, Relaxed, Release};
use super::view::{View, Znode};
use crate::acl::AclId;
use crate::cost::Meter;
use crate::ids::{Zxid, hash_state};
use crate::jute::StatPersisted;
use crate::tree::path::{self, PathHash};
use hashbrown::HashMap;

/// The values of a new znode.
#[derive(Clone, Copy, Debug)]
pub struct NewZnode<'a> {
    /// `None` is null, which is not the same as empty.
    pub data: Option<&'a [u8]>,
    /// Its ACL, interned before.
    pub acl: AclId,
    /// All its numbers but that of its children, which is counted.
    pub stat: StatPersisted,
}

/// A change that was undone, for indexes that follow the tree; they come newest first.
#[derive(Clone, Copy, Debug)]
pub enum Undone<'a> {
    /// The znode had been created, and does not exist any more.
    Created { path: &'a [u8], owner: i64 },
    /// The znode had been deleted, and exists again.
    Deleted { path: &'a [u8], owner: i64 },
    /// The znode's data or ACL had been set: the undone version and the restored one.
    Changed { undone: Znode<'a>, restored: Znode<'a> },
}

/// Records of changes, in order: undo reads them from the back, reclaim from the front.
#[derive(Clone, Copy)]
pub(super) enum Record {
    /// This block was put in front of its chain. If `replaced` is not null, the block replaced that one, which has the
    /// same stamp: no reader will ever see the replaced block; it is kept outside the chain, for an undo.
    Version { block: *mut Block, hash: u64, replaced: *mut Block },
    /// These numbers were put in front of their chain.
    Numbers { kids: *mut Kids, stat: *mut ChildStat },
}

impl Record {
    pub(super) fn zxid(self) -> i64 {
        // SAFETY: a record in the queue names a live version.
        unsafe {
            match self {
                Record::Version { block, .. } => (*block).zxid,
                Record::Numbers { stat, .. } => (*stat).zxid,
            }
        }
    }
}

/// The tree's only writer.
pub struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) stamps: Stamps,
    pub(super) records: Queue<Record>,
    /// Records made since the last reclaim, which does work in proportion.
    pub(super) recent: usize,
    pub(super) held: Vec<Held>,
    pub(super) limbo: Limbo,
    /// For a hash that several children of one znode share, by children object and hash: how many more than one.
    doubles: HashMap<(usize, u64), u32, ahash::RandomState>,
    hash: fn(&[u8]) -> PathHash,
    /// The meter for what is looked at at the head, and freed.
    pub(super) meter: Meter,
}

// SAFETY: the raw pointers are the tree's, and the tree may be changed from any one thread.
unsafe impl Send for Writer {}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

impl Writer {
    /// An empty store: not even a root, nothing published.
    pub fn new() -> Writer {
        Self::with_hash(path::hash)
    }

    /// With another path hash, for tests in which many paths have the same hash.
    pub(super) fn with_hash(hash: fn(&[u8]) -> PathHash) -> Writer {
        Writer {
            shared: Arc::new(Shared::new()),
            stamps: Stamps::new(),
            records: Queue::new(),
            recent: 0,
            held: Vec::new(),
            limbo: Limbo::new(),
            doubles: HashMap::with_hasher(hash_state()),
            hash,
            meter: Meter::default(),
        }
    }

    /// The store's handle for all others.
    pub fn store(&self) -> Store {
        Store { shared: Arc::clone(&self.shared) }
    }

    /// The stamp of the changes that follow.
    ///
    /// # Panics
    /// If it is lower than the last one or what is published.
    pub fn begin(&mut self, zxid: Zxid) {
        assert!(zxid.0 >= self.stamps.zxid, "stamps never go back");
        self.stamps.zxid = zxid.0;
    }

    /// Sets the commit watermark: readers may use everything up to `zxid` now, and it cannot be undone any more.
    ///
    /// # Panics
    /// If it lies before what was published.
    pub fn publish(&mut self, zxid: Zxid) {
        assert!(zxid.0 >= self.stamps.published, "the watermark never goes back");
        self.stamps.published = zxid.0;
        self.stamps.zxid = self.stamps.zxid.max(zxid.0);
        self.shared.published.store(zxid.0, Release);
    }

    /// The last published zxid; `Zxid(i64::MIN)` before the first.
    pub(crate) fn published(&self) -> Zxid {
        Zxid(self.stamps.published)
    }

    /// Whether so many unpublished transactions have changed some znode that some must be published before more come: a
    /// reader walks over all of those versions.
    pub(crate) fn is_crowded(&self) -> bool {
        self.stamps.is_crowded()
    }

    /// The meter for what is looked at at the head, for what is freed, and for other work of its owner.
    #[inline]
    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// A value derived from a znode's path and long data, which takes long to compute: computed once by `make`, and
    /// kept with the data. `None` if the data is short. `make` must not return 0.
    pub(crate) fn of_long_data(&self, znode: &Znode<'_>, make: impl FnOnce() -> u64) -> Option<u64> {
        let block = znode.block.as_ptr();
        // SAFETY: a znode's block is live, and this is the writer.
        unsafe {
            let known = Block::note(block)?;
            if known != 0 {
                return Some(known);
            }
            let made = make();
            Block::set_note(block, made);
            Some(made)
        }
    }

    /// The tree at the head, published or not.
    pub fn head(&self) -> View<'_> {
        View { shared: &self.shared, zxid: i64::MAX, meter: &self.meter }
    }

    /// The znode at `path` at the head.
    #[inline]
    pub fn find(&self, path: &[u8], hash: PathHash) -> Option<Znode<'_>> {
        self.head().get(path, hash)
    }

    /// Asks the processor to fetch the place where a path with this hash is looked up. Useful a few requests ahead.
    #[inline]
    pub(crate) fn prefetch(&self, hash: PathHash) {
        self.shared.table.prefetch(normal(hash.0));
    }

    /// The address of the memory that the allocator last gave for a version; 0 before the first. A caller that prepares
    /// memory in advance can expect the next addresses to follow.
    pub fn fresh_memory(&self) -> usize {
        self.limbo.spare.fresh
    }

    /// Which ACLs versions carry, superseded and unlinked ones too.
    pub(crate) fn acl_names(&mut self) -> &mut AclNames {
        &mut self.limbo.spare.names
    }

    /// Znodes at the head, the root included.
    pub(crate) fn znodes(&self) -> u64 {
        self.store().znodes()
    }

    /// Bytes of paths and data at the head.
    #[cfg(test)]
    pub(crate) fn data_bytes(&self) -> u64 {
        self.store().data_bytes()
    }

    /// Adds a znode, and one to its parent's number of children (cversion and pzxid are [`Writer::set_child_stat`]'s).
    ///
    /// # Panics
    /// If it exists, if its parent does not (only the root has none), or if the stamp is published.
    pub fn create(&mut self, path: &[u8], hash: PathHash, znode: &NewZnode<'_>) {
        self.check_stamp();
        let hash = normal(hash.0);
        let parent = self.parent_of(path);
        let siblings = parent.map_or(std::ptr::null_mut(), |parent| self.kids_of(parent));
        // SAFETY: null or a live children object. Its slot is needed at the end and likely cold.
        if let Some(siblings) = unsafe { siblings.as_ref() } {
            siblings.set.prefetch(hash);
        }
        let (kind, data) = match znode.data {
            Some(data) => (Kind::Data, data),
            None => (Kind::Null, &[][..]),
        };
        let kids = if znode.stat.cversion == 0 && znode.stat.pzxid == znode.stat.czxid {
            std::ptr::null_mut()
        } else {
            let kids = Kids::create();
            let numbers = ChildNumbers { cversion: znode.stat.cversion, count: 0, pzxid: znode.stat.pzxid };
            // SAFETY: just made; the stamp is not published.
            unsafe { (*kids).push(self.stamps.zxid, numbers, 0, &mut self.limbo.spare) };
            kids
        };
        let StatPersisted { czxid, mzxid, ctime, mtime, owner, version, aversion, .. } = znode.stat;
        let fields = Fields { czxid, mzxid, ctime, mtime, owner, version, aversion };
        let version =
            Version { zxid: self.stamps.zxid, fields, acl: znode.acl, kind, depth: 0, path, data: Data::New(data) };
        let mut replaced = std::ptr::null_mut();
        // SAFETY: the writer's own pointers, see the head of the file.
        unsafe {
            let block;
            match self.shared.find(hash, path) {
                Some((slot, below)) => {
                    assert!(Block::is_tombstone(below), "a znode is created where there is none");
                    let continues = !siblings.is_null() && (*below).kids.load(Relaxed) == siblings;
                    // A tombstone under another incarnation of the parent has an entry of its own for the versions that
                    // it hides. It stays, unless another tombstone of this transaction hides them already.
                    let under = Block::older(below);
                    let is_hidden = !under.is_null() && (*under).zxid == self.stamps.zxid && Block::is_tombstone(under);
                    (block, replaced) =
                        self.stamps.supersede(below, kids, continues || is_hidden, version, &mut self.limbo.spare);
                    slot.set_head(block);
                    if continues {
                        (*below).continued.store(true, Relaxed);
                    } else {
                        self.enter(siblings, hash);
                    }
                }
                None => {
                    block = Block::create(version, std::ptr::null_mut(), kids, &mut self.limbo.spare);
                    self.shared.table.insert(hash, block, &mut self.limbo);
                    self.enter(siblings, hash);
                }
            }
            self.record(Record::Version { block, hash, replaced });
            if let Some(parent) = parent {
                self.count_child(parent, siblings, 1);
            }
        }
        self.shared.account(1, (path.len() + data.len()) as i64);
    }

    /// Deletes a znode, and subtracts one from its parent's number of children.
    ///
    /// # Panics
    /// If it does not exist, has children, or is the root; or if the stamp is published.
    pub fn delete(&mut self, path: &[u8], hash: PathHash) {
        self.check_stamp();
        let hash = normal(hash.0);
        let parent = self.parent_of(path).expect("the root is never deleted");
        let siblings = self.kids_of(parent);
        // SAFETY: the writer's own pointers, see the head of the file.
        unsafe {
            let (slot, old) = self.shared.find(hash, path).expect("a deleted znode exists");
            assert!(!Block::is_tombstone(old), "a deleted znode exists");
            assert_eq!(Block::child_numbers(old, i64::MAX, &mut 0).count, 0, "a deleted znode has no children");
            let bytes = path.len() as i64 + i64::from((*old).data_len);
            let (fields, acl) = ((*old).fields, (*old).acl);
            let version = Version {
                zxid: self.stamps.zxid,
                fields,
                acl,
                kind: Kind::Tombstone,
                depth: 0,
                path,
                data: Data::New(&[]),
            };
            let (block, replaced) = self.stamps.supersede(old, siblings, true, version, &mut self.limbo.spare);
            Kids::keep(siblings);
            slot.set_head(block);
            self.record(Record::Version { block, hash, replaced });
            self.count_child(parent, siblings, -1);
            self.shared.account(-1, -bytes);
        }
    }

    /// Adds a version with other data. `version`, `mzxid` and `mtime` are stored as given.
    ///
    /// # Panics
    /// If the znode does not exist, or if the stamp is published.
    pub fn set_data(&mut self, path: &[u8], hash: PathHash, data: Option<&[u8]>, version: i32, mzxid: i64, mtime: i64) {
        self.check_stamp();
        let hash = normal(hash.0);
        // SAFETY: the writer's own pointers, see the head of the file.
        unsafe {
            let (slot, old) = self.shared.find(hash, path).expect("a changed znode exists");
            let fields = Fields { version, mzxid, mtime, ..(*old).fields };
            let kind = if data.is_some() { Kind::Data } else { Kind::Null };
            let data = data.unwrap_or_default();
            let bytes = data.len() as i64 - i64::from((*old).data_len);
            let version = Version {
                zxid: self.stamps.zxid,
                fields,
                acl: (*old).acl,
                kind,
                depth: 0,
                path,
                data: Data::New(data),
            };
            let (block, replaced) = self.stamps.change(old, version, &mut self.limbo.spare);
            slot.set_head(block);
            self.record(Record::Version { block, hash, replaced });
            self.shared.account(0, bytes);
        }
    }

    /// Adds a version with another ACL. `aversion` is stored as given.
    ///
    /// # Panics
    /// If the znode does not exist, or if the stamp is published.
    pub(crate) fn set_acl(&mut self, path: &[u8], hash: PathHash, acl: AclId, aversion: i32) {
        self.check_stamp();
        let hash = normal(hash.0);
        // SAFETY: the writer's own pointers, see the head of the file.
        unsafe {
            let (slot, old) = self.shared.find(hash, path).expect("a changed znode exists");
            let (fields, kind) = (Fields { aversion, ..(*old).fields }, (*old).kind);
            let version = Version { zxid: self.stamps.zxid, fields, acl, kind, depth: 0, path, data: Data::Of(old) };
            let (block, replaced) = self.stamps.change(old, version, &mut self.limbo.spare);
            slot.set_head(block);
            self.record(Record::Version { block, hash, replaced });
        }
    }

    /// Sets the numbers about the children of the znode at `path`: the stored cversion and pzxid.
    ///
    /// # Panics
    /// If the znode does not exist, or if the stamp is published.
    pub fn set_child_stat(&mut self, path: &[u8], hash: PathHash, cversion: i32, pzxid: i64) {
        self.check_stamp();
        let (_, block) = self.shared.find(normal(hash.0), path).expect("a changed znode exists");
        // SAFETY: the writer's own pointers, see the head of the file.
        unsafe {
            assert!(!Block::is_tombstone(block), "a changed znode exists");
            let kids = self.kids_of(block);
            let count = Block::child_numbers(block, i64::MAX, &mut 0).count;
            self.push_numbers(kids, ChildNumbers { cversion, count, pzxid });
        }
    }

    /// Undoes, newest first, everything stamped above `down_to`, as if it had never been done; the stamp goes back,
    /// too.
    ///
    /// # Panics
    /// If something above `down_to` is published.
    pub fn undo(&mut self, down_to: Zxid, seen: &mut impl FnMut(Undone<'_>)) {
        assert!(down_to.0 >= self.stamps.published, "what is published is not undone");
        while let Some(record) = self.records.back()
            && record.zxid() > down_to.0
        {
            self.records.pop_back();
            self.recent = self.recent.saturating_sub(1);
            // SAFETY: the writer's own pointers, see the head of the file; never published, so no reader needs them.
            unsafe {
                match record {
                    Record::Numbers { kids, .. } => {
                        (*kids).pop(&mut self.limbo);
                        Kids::release(kids, &mut self.limbo);
                    }
                    Record::Version { block, hash, replaced } => self.undo_version(block, replaced, hash, seen),
                }
            }
        }
        self.stamps.zxid = self.stamps.zxid.min(down_to.0);
        self.stamps.crowded = self.stamps.crowded.min(down_to.0);
    }

    /// # Safety
    /// `block` is the unpublished head of the chain at `hash`, and `replaced` as its record says.
    unsafe fn undo_version(
        &mut self,
        block: *mut Block,
        replaced: *mut Block,
        hash: u64,
        seen: &mut impl FnMut(Undone<'_>),
    ) {
        let meter = &self.meter;
        let znode = |block: *mut Block| Znode {
            // SAFETY: only called for blocks.
            block: unsafe { std::ptr::NonNull::new_unchecked(block) },
            zxid: i64::MAX,
            meter,
        };
        // SAFETY: the caller's promise; the block itself stays readable until limbo frees it.
        unsafe {
            let path = Block::path(block);
            let (slot, head) = self.shared.find(hash, path).expect("an undone version is linked");
            assert_eq!(head, block, "changes are undone newest first");
            let mut below = Block::older(block);
            if let Some(back) = replaced.as_ref() {
                // The version below both may have been unlinked meanwhile: only the one in the chain has the right
                // link.
                back.next.store(below, Release);
                if !below.is_null() {
                    (*below).newer.store(replaced, Relaxed);
                }
                below = replaced;
            }
            let size = |block: *mut Block| path.len() as i64 + i64::from((*block).data_len);
            if !below.is_null() {
                (*below).newer.store(std::ptr::null_mut(), Relaxed);
            }
            let lived = !below.is_null() && !Block::is_tombstone(below);
            if lived {
                slot.set_head(below);
                if Block::is_tombstone(block) {
                    self.shared.account(1, size(below));
                    seen(Undone::Deleted { path, owner: (*below).fields.owner });
                } else {
                    self.shared.account(0, size(below) - size(block));
                    seen(Undone::Changed { undone: znode(block), restored: znode(below) });
                }
            } else {
                if below.is_null() {
                    self.shared.table.remove(hash, slot, &mut self.limbo);
                } else {
                    slot.set_head(below);
                }
                if !below.is_null() && (*below).continued.load(Relaxed) {
                    (*below).continued.store(false, Relaxed);
                } else if let Some(parent) = self.parent_of(path) {
                    let siblings = (*parent).kids.load(Relaxed);
                    self.leave(siblings, hash);
                }
                self.shared.account(-1, -size(block));
                seen(Undone::Created { path, owner: (*block).fields.owner });
            }
            Kids::release((*block).kids.load(Relaxed), &mut self.limbo);
            self.limbo.retire(Block::garbage(block));
        }
    }

    /// # Safety
    /// `kids` is `parent`'s children object.
    unsafe fn count_child(&mut self, parent: *mut Block, kids: *mut Kids, change: i32) {
        // SAFETY: the caller's promise.
        unsafe {
            let numbers = Block::child_numbers(parent, i64::MAX, &mut 0);
            self.push_numbers(kids, ChildNumbers { count: numbers.count + change, ..numbers });
        }
    }

    /// # Safety
    /// `kids` is a live children object.
    unsafe fn push_numbers(&mut self, kids: *mut Kids, numbers: ChildNumbers) {
        // SAFETY: the caller's promise, and the stamp is not published.
        unsafe {
            let head = (*kids).stat.load(Relaxed);
            let depth = match head.as_ref() {
                Some(below) if below.zxid != self.stamps.zxid => self.stamps.child_depth_above(head),
                _ => 0,
            };
            if let Some(stat) = (*kids).push(self.stamps.zxid, numbers, depth, &mut self.limbo.spare) {
                Kids::keep(kids);
                self.record(Record::Numbers { kids, stat });
            }
        }
    }

    /// The head block of the parent of `path`; None for the root.
    fn parent_of(&self, path: &[u8]) -> Option<*mut Block> {
        if path == path::ROOT {
            return None;
        }
        let parent = path::parent(path).expect("a znode's path has a slash");
        let hash = normal((self.hash)(parent).0);
        let (_, block) = self.shared.find(hash, parent).expect("a znode's parent exists");
        // SAFETY: what the table shows is a live block.
        assert!(!unsafe { Block::is_tombstone(block) }, "a znode's parent exists");
        Some(block)
    }

    /// The children object of a head block, made if need be.
    fn kids_of(&mut self, block: *mut Block) -> *mut Kids {
        // SAFETY: a head block is live.
        unsafe {
            let mut kids = (*block).kids.load(Relaxed);
            if kids.is_null() {
                kids = Kids::create();
                (*block).kids.store(kids, Release);
            }
            kids
        }
    }

    /// Adds a child's hash to a set (null for the root, which has no parent).
    ///
    /// # Safety
    /// `kids` is null or a live children object.
    unsafe fn enter(&mut self, kids: *mut Kids, hash: u64) {
        // SAFETY: the caller's promise.
        unsafe {
            let Some(object) = kids.as_ref() else { return };
            if object.set.find(hash, |()| true).is_some() {
                *self.doubles.entry((kids.addr(), hash)).or_insert(0) += 1;
            } else {
                object.set.insert(hash, (), &mut self.limbo);
            }
        }
    }

    /// Takes a child's hash out of a set.
    ///
    /// # Safety
    /// `kids` is null or a live children object.
    pub(super) unsafe fn leave(&mut self, kids: *mut Kids, hash: u64) {
        // SAFETY: the caller's promise.
        unsafe {
            let Some(object) = kids.as_ref() else { return };
            if !self.doubles.is_empty()
                && let Some(more) = self.doubles.get_mut(&(kids.addr(), hash))
            {
                *more -= 1;
                if *more == 0 {
                    self.doubles.remove(&(kids.addr(), hash));
                }
                return;
            }
            let (slot, ()) = object.set.find(hash, |()| true).expect("a child is in its parent's set");
            object.set.remove(hash, slot, &mut self.limbo);
        }
    }

    fn record(&mut self, record: Record) {
        self.records.push_back(record);
        self.recent += 1;
    }

    #[inline]
    fn check_stamp(&self) {
        assert!(self.stamps.zxid > self.stamps.published, "what is published never changes");
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.dissolve();
    }
}
