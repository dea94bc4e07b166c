//! A slot of the main table: from a path's hash to the chain of its versions.
//!
//! The pointer names a [`Block`]; dereferencing it is `unsafe`, by the rules of that file.

use super::block::Block;
use super::segment::{Content, Slot};
use super::sync::{Acquire, AtomicPtr, AtomicU64, Relaxed, Release};

/// A slot of the main table: the chain of a path's versions.
pub(super) struct PathSlot {
    hash: AtomicU64,
    head: AtomicPtr<Block>,
}

const ERASED_HEAD: *mut Block = std::ptr::without_provenance_mut(1);

impl PathSlot {
    /// Sets the chain's front version: adds one, or removes the front one.
    pub(super) fn set_head(&self, head: *mut Block) {
        self.head.store(head, Release);
    }
}

impl Slot for PathSlot {
    type Entry = *mut Block;

    fn new() -> Self {
        PathSlot { hash: AtomicU64::new(0), head: AtomicPtr::new(std::ptr::null_mut()) }
    }

    fn word(&self) -> &AtomicU64 {
        &self.hash
    }

    /// A slot that is being reused may give its old chain under the new hash. No reader's zxid needs the old chain, and
    /// paths are always compared: so the lookup at worst finds nothing, which is then correct.
    #[inline]
    fn load(&self) -> Content<*mut Block> {
        let head = self.head.load(Acquire);
        if head.is_null() {
            Content::Empty
        } else if head == ERASED_HEAD {
            Content::Erased
        } else {
            Content::Full(self.hash.load(Relaxed), head)
        }
    }

    fn fill(&self, hash: u64, head: *mut Block) {
        self.hash.store(hash, Relaxed);
        self.head.store(head, Release);
    }

    fn erase(&self) {
        self.head.store(ERASED_HEAD, Release);
    }

    fn clear(&self) {
        self.head.store(std::ptr::null_mut(), Release);
    }
}
