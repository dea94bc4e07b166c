//! Memory for blocks and numbers, with a few freed pieces of each size kept warm.
//!
//! A setData takes a new block and, a moment later, gives one of the same size back. An allocator gives memory of
//! another page for the next block, which is not in the cache; here the next block is the piece that was freed last.
//! The pieces that a group of transactions gives back are kept (at most 4 MB, if every size were in use); the rest goes
//! to the allocator.
//!
//! # Unsafe
//! Pieces are raw memory from the global allocator in the layout [`layout`] says for their size; a piece is in one list
//! or in use, never both. Tested below and, with nothing kept so that a use after free cannot hide, by the store's
//! tests under miri.

use super::names::AclNames;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};

/// Sizes are multiples of this; allocators round in this range at least as much.
const GRANULE: usize = 32;
/// Pieces up to this size are kept.
const LARGEST: usize = 1024;
/// How many pieces of each size are kept. None under tools that detect a use after free.
const KEPT: usize = if cfg!(any(loom, miri)) { 0 } else { 256 };

/// The writer's lists of free pieces, by size.
pub(super) struct Spare {
    classes: [Vec<*mut u8>; LARGEST / GRANULE],
    /// The address of the memory that the allocator gave last.
    pub(super) fresh: usize,
    /// The ACLs of the versions in this memory.
    pub(super) names: AclNames,
}

/// The layout of a piece of `size` bytes.
fn layout(size: usize) -> Layout {
    let size = if size <= LARGEST { size.next_multiple_of(GRANULE) } else { size };
    Layout::from_size_align(size, 8).expect("a block is smaller than the address space").pad_to_align()
}

impl Spare {
    pub(super) fn new() -> Self {
        Spare { classes: std::array::from_fn(|_| Vec::new()), fresh: 0, names: AclNames::default() }
    }

    /// Uninitialised memory of `size` bytes, aligned to 8.
    #[inline]
    pub(super) fn take(&mut self, size: usize) -> *mut u8 {
        debug_assert!(size > 0);
        if let Some(class) = self.classes.get_mut((size - 1) / GRANULE)
            && let Some(piece) = class.pop()
        {
            return piece;
        }
        let layout = layout(size);
        // SAFETY: the size is not zero.
        let piece = unsafe { alloc(layout) };
        if piece.is_null() {
            handle_alloc_error(layout);
        }
        self.fresh = piece.addr();
        piece
    }

    /// Takes memory back.
    ///
    /// # Safety
    /// `piece` came from [`Spare::take`] of any `Spare` with the same `size`, and no code uses it any more.
    #[inline]
    #[cfg_attr(loom, expect(clippy::absurd_extreme_comparisons, reason = "nothing is kept under loom"))]
    pub(super) unsafe fn give(&mut self, piece: *mut u8, size: usize) {
        if let Some(class) = self.classes.get_mut((size - 1) / GRANULE)
            && class.len() < KEPT
        {
            class.push(piece);
            return;
        }
        // SAFETY: the layout depends on the size alone.
        unsafe { dealloc(piece, layout(size)) };
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        for (i, class) in self.classes.iter().enumerate() {
            for piece in class {
                // SAFETY: a kept piece has the layout of its class.
                unsafe { dealloc(*piece, layout((i + 1) * GRANULE)) };
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use fastrand::Rng;

    #[test]
    fn pieces_come_back_and_never_overlap() {
        let mut spare = Spare::new();
        let mut used: Vec<(*mut u8, usize, u8)> = Vec::new();
        let mut random = Rng::with_seed(1);
        for step in 0..if cfg!(miri) { 300 } else { 20_000 } {
            if used.len() < 200 && random.u8(..5) < 3 {
                let size = random.usize(1..=1300);
                let piece = spare.take(size);
                assert_eq!(piece.addr() % 8, 0);
                // SAFETY: the piece has that many bytes.
                unsafe { piece.write_bytes(step as u8, size) };
                used.push((piece, size, step as u8));
            } else if !used.is_empty() {
                let (piece, size, fill) = used.swap_remove(random.usize(..used.len()));
                // SAFETY: ours until given back.
                assert!(unsafe { std::slice::from_raw_parts(piece, size) }.iter().all(|byte| *byte == fill));
                // SAFETY: taken with that size.
                unsafe { spare.give(piece, size) };
            }
        }
        for (piece, size, _) in used {
            // SAFETY: taken with that size.
            unsafe { spare.give(piece, size) };
        }
        assert!(spare.classes.iter().all(|class| class.len() <= KEPT));
    }
}
