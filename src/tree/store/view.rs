//! Views: the tree at one zxid.
//!
//! # Unsafe
//! A view borrows its reader (or the writer), which cannot pass a quiescent point while it stands; so every block,
//! children object and segment reached from it stays allocated. What it shows is right for its zxid because that
//! zxid is held by a point or a pin. Tested by the model and stress tests, under miri, and by loom.

use super::block::{Block, Fields, Kind};
use super::kids::ChildNumbers;
use super::segment::normal;
use super::shared::Shared;
use super::sync::Acquire;
use super::table::prefetch;
use crate::acl::AclId;
use crate::cost::{Cost, Meter};
use crate::jute::{Stat, StatPersisted};
use crate::tree::path::PathHash;
use std::fmt;
use std::ptr::NonNull;

/// Children whose blocks are fetched side by side.
const BATCH: usize = 16;

/// The tree at one zxid.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub(super) shared: &'a Shared,
    pub(super) zxid: i64,
    /// The meter for everything that is looked at. It also keeps a view on its thread: a view depends on its reader's
    /// quiescent points.
    pub(super) meter: &'a Meter,
}

/// The place of a walk, which can continue in another view of the same zxid, after any number of quiescent points.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cursor {
    from: u64,
    done: bool,
}

impl Cursor {
    /// Whether the walk has ended.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }
}

impl<'a> View<'a> {
    /// The zxid of the view.
    #[cfg(test)]
    pub(crate) fn zxid(&self) -> crate::ids::Zxid {
        crate::ids::Zxid(self.zxid)
    }

    /// The meter of the view's reader.
    #[inline]
    pub(crate) fn meter(&self) -> &'a Meter {
        self.meter
    }

    /// The znode at `path`, if there is one.
    #[inline]
    pub fn get(&self, path: &[u8], hash: PathHash) -> Option<Znode<'a>> {
        self.meter.charge(Cost::ZNODE);
        let (_, head) = self.shared.find(normal(hash.0), path)?;
        self.visible(head)
    }

    /// How many children the znode at `path` has; None if there is no such znode.
    #[cfg(test)]
    pub(crate) fn child_count(&self, path: &[u8], hash: PathHash) -> Option<i32> {
        Some(self.get(path, hash)?.num_children())
    }

    /// Shows the name of every child of the znode at `path`, in no particular order. Returns whether there is such a
    /// znode.
    pub fn children(&self, path: &[u8], hash: PathHash, show: &mut impl FnMut(&[u8])) -> bool {
        let mut cursor = Cursor::default();
        self.list_children(path, hash, &mut cursor, usize::MAX, show)
    }

    /// Continues a listing of children until `max` are looked at or the cursor is done; at most one segment (some two
    /// hundred) more. Children that do not exist at this zxid count, too. Returns whether there is such a znode.
    pub fn list_children(
        &self,
        path: &[u8],
        hash: PathHash,
        cursor: &mut Cursor,
        max: usize,
        show: &mut impl FnMut(&[u8]),
    ) -> bool {
        let Some(parent) = self.get(path, hash) else {
            cursor.done = true;
            return false;
        };
        // SAFETY: the znode is alive in this view, and so is its children object.
        let Some(kids) = (unsafe { parent.block.as_ref().kids.load(Acquire).as_ref() }) else {
            cursor.done = true;
            return true;
        };
        if parent.num_children() == 0 {
            // No child exists at this zxid: those of later zxids are not looked at.
            cursor.done = true;
            return true;
        }
        // The root's children begin right after its slash.
        let prefix = if path == b"/" { 0 } else { path.len() };
        let is_child = |child: &[u8]| {
            child.len() > prefix + 1
                && child[prefix] == b'/'
                && child[..prefix] == path[..prefix]
                && !child[prefix + 1..].contains(&b'/')
        };
        let (begun, budget) = (self.meter.reading(), Cost::ZNODE * max);
        while !cursor.done && self.meter.reading().less(begun) < budget {
            let mut batch = [0; BATCH];
            let mut waiting = 0;
            let mut flush = |hashes: &[u64]| {
                self.meter.charge((Cost::ZNODE + Cost::bytes(path.len())) * hashes.len());
                for hash in hashes {
                    self.shared.table.prefetch(*hash);
                }
                for hash in hashes {
                    self.shared.table.find(*hash, |head| {
                        prefetch(head);
                        true
                    });
                }
                for hash in hashes {
                    // Several chains under one hash are rare but possible: all that are children of this znode are
                    // shown.
                    self.shared.table.find(*hash, |head| {
                        // SAFETY: the table shows blocks alive for this view.
                        let child = unsafe { Block::path(head) };
                        if is_child(child) && self.visible(head).is_some() {
                            show(&child[prefix + 1..]);
                        }
                        false
                    });
                }
            };
            let next = kids.set.walk(cursor.from, |hash, ()| {
                batch[waiting] = hash;
                waiting += 1;
                if waiting == BATCH {
                    flush(&batch);
                    waiting = 0;
                }
            });
            flush(&batch[..waiting]);
            cursor.advance(next);
        }
        true
    }

    /// Continues a walk over all znodes until `max` are looked at or the cursor is done; at most one segment (some two
    /// hundred) more. Each znode that exists at this zxid is shown exactly once, however the table changes between the
    /// calls. Returns whether there is more.
    pub fn scan(&self, cursor: &mut Cursor, max: usize, show: &mut impl FnMut(Znode<'a>)) -> bool {
        let (begun, budget) = (self.meter.reading(), Cost::ZNODE * max);
        while !cursor.done && self.meter.reading().less(begun) < budget {
            let mut batch = [std::ptr::null_mut(); BATCH];
            let mut waiting = 0;
            let mut flush = |heads: &[*mut Block]| {
                self.meter.charge(Cost::ZNODE * heads.len());
                for head in heads {
                    if let Some(znode) = self.visible(*head) {
                        show(znode);
                    }
                }
            };
            let next = self.shared.table.walk(cursor.from, |_, head| {
                prefetch(head);
                batch[waiting] = head;
                waiting += 1;
                if waiting == BATCH {
                    flush(&batch);
                    waiting = 0;
                }
            });
            flush(&batch[..waiting]);
            cursor.advance(next);
        }
        !cursor.done
    }

    #[inline]
    fn visible(&self, head: *const Block) -> Option<Znode<'a>> {
        // SAFETY: the chain is alive for this view.
        unsafe {
            let mut passed = 0;
            let block = Block::at(head, self.zxid, &mut passed).cast_mut();
            if passed > 0 {
                self.meter.charge(Cost::VERSION * passed);
            }
            let block = NonNull::new(block)?;
            if Block::is_tombstone(block.as_ptr()) {
                return None;
            }
            Some(Znode { block, zxid: self.zxid, meter: self.meter })
        }
    }
}

impl Cursor {
    fn advance(&mut self, next: Option<u64>) {
        match next {
            Some(next) => self.from = next,
            None => self.done = true,
        }
    }
}

/// A znode at the view's zxid.
#[derive(Clone, Copy)]
pub struct Znode<'a> {
    pub(super) block: NonNull<Block>,
    pub(super) zxid: i64,
    pub(super) meter: &'a Meter,
}

impl<'a> Znode<'a> {
    #[inline]
    fn block(&self) -> &'a Block {
        // SAFETY: the block is alive for 'a.
        unsafe { self.block.as_ref() }
    }

    #[inline]
    fn kids(&self) -> ChildNumbers {
        let mut passed = 0;
        // SAFETY: the block is alive for 'a.
        let numbers = unsafe { Block::child_numbers(self.block.as_ptr(), self.zxid, &mut passed) };
        if passed > 0 {
            self.meter.charge(Cost::VERSION * passed);
        }
        numbers
    }

    /// The full path; `/` for the root.
    #[inline]
    pub(crate) fn path(&self) -> &'a [u8] {
        // SAFETY: the block is alive for 'a.
        unsafe { Block::path(self.block.as_ptr()) }
    }

    /// The data; `None` for null, which is not the same as empty.
    #[inline]
    pub fn data(&self) -> Option<&'a [u8]> {
        match self.block().kind {
            // SAFETY: the block is alive for 'a.
            Kind::Data => Some(unsafe { Block::data(self.block.as_ptr()) }),
            Kind::Null | Kind::Tombstone => None,
        }
    }

    /// The Stat, except that `ephemeral_owner` is the *stored* owner here: which owners a client sees depends on the
    /// owner rules, which the caller applies.
    #[inline]
    pub fn stat(&self) -> Stat {
        let kids = self.kids();
        self.persisted_with(&kids).shown(kids.count, self.data_length())
    }

    /// The stored part of the Stat.
    #[inline]
    pub(crate) fn persisted(&self) -> StatPersisted {
        self.persisted_with(&self.kids())
    }

    #[inline]
    fn persisted_with(&self, kids: &ChildNumbers) -> StatPersisted {
        let Fields { czxid, mzxid, ctime, mtime, owner, version, aversion } = self.block().fields;
        let ChildNumbers { cversion, pzxid, .. } = *kids;
        StatPersisted { czxid, mzxid, ctime, mtime, version, cversion, aversion, owner, pzxid }
    }

    /// The length of the data, bytes; 0 for null.
    #[inline]
    pub(crate) fn data_length(&self) -> i32 {
        self.block().data_len as i32
    }

    /// The number of the ACL.
    #[inline]
    pub fn acl(&self) -> AclId {
        self.block().acl
    }

    /// The stored ephemeralOwner.
    #[inline]
    pub fn owner(&self) -> i64 {
        self.block().fields.owner
    }

    /// The stored child counter, creations only.
    pub fn stored_cversion(&self) -> i32 {
        self.kids().cversion
    }

    /// Zxid that last created or deleted a child.
    pub(crate) fn pzxid(&self) -> i64 {
        self.kids().pzxid
    }

    /// Children at this zxid.
    pub(crate) fn num_children(&self) -> i32 {
        self.kids().count
    }

    /// Zxid that last changed its data.
    #[inline]
    pub(crate) fn mzxid(&self) -> i64 {
        self.block().fields.mzxid
    }

    /// Number of changes to the data.
    #[inline]
    pub fn version(&self) -> i32 {
        self.block().fields.version
    }
}

impl fmt::Debug for Znode<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Znode")
            .field("path", &self.path().escape_ascii().to_string())
            .field("data_length", &self.data().map(<[u8]>::len))
            .field("stat", &self.stat())
            .finish()
    }
}
