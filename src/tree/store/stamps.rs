//! The writer's zxid and the published one, and what follows from them for a new version: whether it replaces one of
//! the same transaction, and how many versions readers must walk over.
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
    /// The stamp of the changes that follow.
    pub(super) zxid: i64,
    pub(super) published: i64,
    /// Until this zxid is published, some chain has the most unpublished versions that a chain may have.
    pub(super) crowded: i64,
}

impl Stamps {
    pub(super) fn new() -> Stamps {
        Stamps { zxid: NOTHING, published: NOTHING, crowded: NOTHING }
    }

    pub(super) fn is_crowded(&self) -> bool {
        self.crowded > self.published
    }

    /// A new version of the same incarnation as `old`, with the path and children of `old`. Returns the new version,
    /// and the one that it replaced, or null.
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

    /// A new version in front of `old`, or, if `old` has the same stamp and `may_replace` is set, in its place: readers
    /// see only the final result of a transaction, so a chain grows by one version in a transaction, however often the
    /// transaction changes the znode. Returns the new version, and the one that it replaced, or null.
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

    /// How many versions, from `below` on, are not published yet; perhaps too high.
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

    /// `depth` plus one. If that is too many, the versions are counted again, because some may be published by now; if
    /// they are still too many, half of them must be published before anything else is prepared.
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
