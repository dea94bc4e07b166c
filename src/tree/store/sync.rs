//! The atomics of the store: the real ones, or loom's when its models run (`--cfg loom`).
//!
//! Under loom every block also carries a cell that readers touch and that freeing writes, so that loom reports a race
//! if a block is freed while a reader may still look at it.

pub(super) use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

#[cfg(not(loom))]
pub(super) use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, fence},
};

#[cfg(loom)]
pub(super) use loom::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, fence},
};

/// Shows loom when a piece of memory is read and when it is given back; nothing at all otherwise.
#[derive(Default)]
pub(super) struct Guard {
    #[cfg(loom)]
    cell: loom::cell::UnsafeCell<()>,
}

impl Guard {
    /// A reader looks at the memory that contains this guard.
    #[inline(always)]
    pub(super) fn touch(&self) {
        #[cfg(loom)]
        self.cell.with(|_| ());
    }

    /// The memory that contains this guard is about to be freed.
    #[inline(always)]
    pub(super) fn freed(&self) {
        #[cfg(loom)]
        self.cell.with_mut(|_| ());
    }
}
