//! The part that writer and readers share: the table, the commit watermark, the readers' points, the pins, the
//! counters.
//!
//! # Unsafe
//!
//! The versions are behind raw pointers, so this is Send and Sync only by the rules of [`super::block`] and
//! [`super::table`]: one writer, and readers that announce themselves. Dropping it, when the writer and every reader
//! are gone, frees the tree. Tested by the ledger of allocations in the model test, and under miri.

use super::block::Block;
use super::kids::drop_ref;
use super::limbo::Garbage;
use super::path_slot::PathSlot;
use super::segment::FULL_CAPACITY;
use super::spare::Spare;
use super::sync::{AcqRel, Acquire, Arc, AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Relaxed, Release};
use super::table::Table;
use crate::ids::Zxid;
use std::fmt;
use std::sync::Mutex;

/// The most readers of one store: one per shard, and a few for snapshots and the admin plane.
pub(crate) const MAX_READERS: usize = if cfg!(loom) { 2 } else { 128 };
/// The most pins of one store; each may keep one version of every znode.
pub(crate) const MAX_PINS: usize = if cfg!(loom) { 2 } else { 16 };

/// No more readers or pins than the store has room for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreFull {
    /// There are [`MAX_READERS`] already.
    Readers,
    /// There are [`MAX_PINS`] already.
    Pins,
}

impl fmt::Display for StoreFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreFull::Readers => write!(f, "the tree has {MAX_READERS} readers already"),
            StoreFull::Pins => write!(f, "the tree has {MAX_PINS} pins already"),
        }
    }
}

impl std::error::Error for StoreFull {}

/// No point: the reader or pin slot needs no version.
pub(super) const NO_POINT: i64 = i64::MAX;
/// The epoch of a parked reader, which holds no references.
pub(super) const OFFLINE: u64 = u64::MAX;
/// The watermark before anything is published.
pub(super) const NOTHING: i64 = i64::MIN;

/// One reader's announcements, on cache lines of its own.
#[repr(align(128))]
pub(super) struct ReaderSlot {
    /// The lowest zxid at which the reader still reads.
    pub(super) point: AtomicI64,
    /// The epoch at the reader's last quiescent point.
    pub(super) seen: AtomicU64,
    pub(super) claimed: AtomicBool,
}

pub(super) struct Shared {
    pub(super) table: Table<PathSlot>,
    pub(super) published: AtomicI64,
    pub(super) epoch: AtomicU64,
    pub(super) readers: Box<[ReaderSlot]>,
    /// Reader slots that were ever claimed.
    pub(super) reader_slots: AtomicUsize,
    /// Pinned zxids.
    pub(super) pins: Box<[AtomicI64]>,
    pub(super) znodes: AtomicI64,
    pub(super) data_bytes: AtomicI64,
    /// Garbage that still waited when the writer was dropped.
    pub(super) leftover: Mutex<Vec<Garbage>>,
}

// SAFETY: see the head of the file.
unsafe impl Send for Shared {}
// SAFETY: see the head of the file.
unsafe impl Sync for Shared {}

impl Shared {
    pub(super) fn new() -> Self {
        let reader = |_| ReaderSlot {
            point: AtomicI64::new(NO_POINT),
            seen: AtomicU64::new(OFFLINE),
            claimed: AtomicBool::new(false),
        };
        Shared {
            table: Table::new(FULL_CAPACITY),
            published: AtomicI64::new(NOTHING),
            epoch: AtomicU64::new(1),
            readers: (0..MAX_READERS).map(reader).collect(),
            reader_slots: AtomicUsize::new(0),
            pins: (0..MAX_PINS).map(|_| AtomicI64::new(NO_POINT)).collect(),
            znodes: AtomicI64::new(0),
            data_bytes: AtomicI64::new(0),
            leftover: Mutex::new(Vec::new()),
        }
    }

    /// A reader slot, parked.
    pub(super) fn claim_reader(&self) -> Result<usize, StoreFull> {
        for (i, slot) in self.readers.iter().enumerate() {
            if slot.claimed.compare_exchange(false, true, AcqRel, Relaxed).is_ok() {
                // Seen by the writer before the reader's first point: the reader's resume has a full fence in between.
                self.reader_slots.fetch_max(i + 1, AcqRel);
                return Ok(i);
            }
        }
        Err(StoreFull::Readers)
    }

    /// A pin slot, holding `zxid`.
    pub(super) fn claim_pin(&self, zxid: i64) -> Result<usize, StoreFull> {
        for (i, slot) in self.pins.iter().enumerate() {
            if slot.compare_exchange(NO_POINT, zxid, AcqRel, Relaxed).is_ok() {
                return Ok(i);
            }
        }
        Err(StoreFull::Pins)
    }

    /// The reader slots in use.
    pub(super) fn active(&self) -> &[ReaderSlot] {
        &self.readers[..self.reader_slots.load(Acquire)]
    }

    /// The head of the chain of `path`'s versions, and its slot in the table.
    #[inline]
    pub(super) fn find(&self, hash: u64, path: &[u8]) -> Option<(&PathSlot, *mut Block)> {
        // SAFETY: what the table shows is a block, alive for the caller's turn.
        self.table.find(hash, |block| unsafe { Block::path(block) } == path)
    }

    /// Adds to the counters (writer).
    pub(super) fn account(&self, znodes: i64, bytes: i64) {
        self.znodes.store(self.znodes.load(Relaxed) + znodes, Relaxed);
        self.data_bytes.store(self.data_bytes.load(Relaxed) + bytes, Relaxed);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the last user is gone: no thread looks at anything any more. Pending records gave their references
        // back when the writer went; what is left is held by the chains.
        unsafe {
            let mut spare = Spare::new();
            let leftover = match self.leftover.get_mut() {
                Ok(leftover) => std::mem::take(leftover),
                Err(poisoned) => std::mem::take(poisoned.into_inner()),
            };
            for garbage in leftover {
                garbage.free(&mut spare);
            }
            self.table.dismantle(|mut block| {
                while !block.is_null() {
                    let older = Block::older(block);
                    drop_ref((*block).kids.load(Relaxed), &mut spare);
                    Block::free(block, &mut spare);
                    block = older;
                }
            });
        }
    }
}

/// A handle to the store for all but the writer: makes readers, gives the counters.
#[derive(Clone)]
pub struct Store {
    pub(super) shared: Arc<Shared>,
}

impl Store {
    /// The commit watermark: the last zxid that readers may use; `Zxid(i64::MIN)` before the first.
    pub fn published(&self) -> Zxid {
        Zxid(self.shared.published.load(Acquire))
    }

    /// Znodes at the head, the root included.
    pub(crate) fn znodes(&self) -> u64 {
        self.shared.znodes.load(Relaxed).max(0) as u64
    }

    /// Bytes of paths and data at the head.
    pub(crate) fn data_bytes(&self) -> u64 {
        self.shared.data_bytes.load(Relaxed).max(0) as u64
    }
}

/// Tells the writer that a slot is free again.
pub(super) fn leave(slot: &ReaderSlot) {
    slot.point.store(NO_POINT, Release);
    slot.seen.store(OFFLINE, Release);
    slot.claimed.store(false, Release);
}
