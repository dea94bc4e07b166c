//! How far the writer has come and what is published of it, and what follows for a new version: whether it takes the place of
//! one of the same transaction, and how many a reader will have to walk over to what it sees.
//!
//! # Unsafe
//! See [`super::writer`]: the pointers are the writer's own, to versions that are linked.

use super::block::{Block, Version};
use super::kids::{ChildStat, Kids};
use super::shared::NOTHING;
use super::spare::Spare;
use super::sync::Relaxed;
use crate::limits;

/// The writer's place among the zxids.
pub(super) struct Stamps {
    /// The stamp of what follows.
    pub(super) zxid: i64,
    pub(super) published: i64,
    /// Until this is published some chain has as many versions that nobody sees yet as one may have.
    pub(super) crowded: i64,
}

impl Stamps {
    pub(super) fn new() -> Stamps {
        Stamps { zxid: NOTHING, published: NOTHING, crowded: NOTHING }
    }

    pub(super) fn is_crowded(&self) -> bool {
        self.crowded > self.published
    }

    /// A new version of the same incarnation as `old`, whose path and children it takes over. Returns it, and what it replaced
    /// if it did.
    ///
    /// # Safety
    /// `old` is the head of its chain.
    pub(super) unsafe fn change(
        &mut self,
        old: *mut Block,
        version: Version<'_>,
        spare: &mut Spare,
    ) -> (*mut Block, *mut Block) {
        // SAFETY: the caller's promise.
        unsafe {
            assert!(!Block::is_tombstone(old), "a changed znode exists");
            let kids = (*old).kids.load(Relaxed);
            Kids::keep(kids);
            self.supersede(old, kids, true, version, spare)
        }
    }

    /// A new version in front of `old`, or, if that has the same stamp and `may_replace`, in its place: of what one transaction
    /// does to a znode readers see the outcome, so a chain grows by one a transaction, however often it changes the znode.
    /// Returns it, and what it replaced if it did.
    ///
    /// # Safety
    /// `old` is the head of its chain.
    pub(super) unsafe fn supersede(
        &mut self,
        old: *mut Block,
        kids: *mut Kids,
        may_replace: bool,
        version: Version<'_>,
        spare: &mut Spare,
    ) -> (*mut Block, *mut Block) {
        // SAFETY: the caller's promise.
        unsafe {
            let (below, replaced) = if may_replace && (*old).zxid == self.zxid {
                (Block::older(old), old)
            } else {
                (old, std::ptr::null_mut())
            };
            let depth = self.depth_above(below);
            let block = Block::create(Version { depth, ..version }, below, kids, spare);
            (*old).newer.store(block, Relaxed);
            if !below.is_null() {
                (*below).newer.store(block, Relaxed);
            }
            (block, replaced)
        }
    }

    /// How many versions, `below` and under it, nobody sees yet, or more.
    ///
    /// # Safety
    /// `below` is null or linked.
    #[inline]
    unsafe fn depth_above(&mut self, below: *const Block) -> u16 {
        // SAFETY: the caller's promise; only the writer unlinks.
        unsafe {
            if below.is_null() || (*below).zxid <= self.published {
                return 0;
            }
            let mut next = below;
            self.depth((*below).depth, move || {
                let block = next.as_ref()?;
                next = block.next.load(Relaxed);
                Some(block.zxid)
            })
        }
    }

    /// The same for numbers about children.
    ///
    /// # Safety
    /// `below` is null or linked.
    #[inline]
    pub(super) unsafe fn child_depth_above(&mut self, below: *const ChildStat) -> u16 {
        // SAFETY: the caller's promise; only the writer unlinks.
        unsafe {
            if below.is_null() || (*below).zxid <= self.published {
                return 0;
            }
            let mut next = below;
            self.depth((*below).depth, move || {
                let stat = next.as_ref()?;
                next = stat.next.load(Relaxed);
                Some(stat.zxid)
            })
        }
    }

    /// One more than `depth`. Where that is too many they are counted again, as some are published by now; if they are too many
    /// all the same, half of them are to be published before anything else comes.
    fn depth(&mut self, depth: u16, stamps: impl FnMut() -> Option<i64>) -> u16 {
        let depth = depth.saturating_add(1);
        if usize::from(depth) < limits::VERSIONS_AHEAD || self.is_crowded() {
            return depth;
        }
        let ahead = std::iter::from_fn(stamps).take_while(|zxid| *zxid > self.published).take(limits::VERSIONS_AHEAD);
        let (mut depth, mut middle) = (0, NOTHING);
        for zxid in ahead {
            depth += 1;
            if usize::from(depth) <= limits::VERSIONS_AHEAD / 2 {
                middle = zxid;
            }
        }
        if usize::from(depth) == limits::VERSIONS_AHEAD {
            self.crowded = middle;
        }
        depth
    }
}
