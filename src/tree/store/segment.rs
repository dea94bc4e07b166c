//! Slots and segments, the parts of the extendible table.
//!
//! # Unsafe
//! A segment is a power of two of slots in one allocation of 64-byte alignment; the low six bits of every pointer to it
//! carry the logarithm of its capacity, so that a lookup needs no header. Slot 0 holds no entry but the segment's
//! [`Meta`]. Invariants: (1) only the writer stores; (2) a segment's capacity and depth never change: a bigger or
//! deeper one takes its place; (3) at least one slot is empty, so probing ends; (4) a replaced segment is freed through
//! [`super::limbo`]. Tested with the table: model, miri, loom.

use super::ledger;
use super::limbo::Garbage;
use super::sync::{Acquire, AtomicU64, Relaxed, Release};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};

/// Bits of a segment or directory pointer that are not address.
pub(super) const TAG_BITS: usize = 63;
const ALIGN: usize = TAG_BITS + 1;
/// Slots of a segment before it splits instead of growing.
pub(super) const FULL_CAPACITY: usize = if cfg!(loom) { 4 } else { 256 };
/// Slots of the smallest segment: a parent with a few children.
pub(super) const LEAST_CAPACITY: usize = if cfg!(loom) { 4 } else { 8 };

/// The content of a slot.
pub(super) enum Content<E> {
    /// Never used: probing ends here.
    Empty,
    /// Erased: probing continues.
    Erased,
    /// An entry under its hash.
    Full(u64, E),
}

/// A place for one entry, with many readers and one writer.
pub(super) trait Slot: Sized {
    type Entry: Copy;
    fn new() -> Self;
    /// The word that in slot 0 holds the segment's [`Meta`].
    fn word(&self) -> &AtomicU64;
    fn load(&self) -> Content<Self::Entry>;
    fn fill(&self, hash: u64, entry: Self::Entry);
    fn erase(&self);
    fn clear(&self);
}

/// A slot of a child set: the hash of a child's path. 0 is empty, 1 erased; hashes begin at 2 ([`normal`]).
pub(super) struct HashSlot(AtomicU64);

impl Slot for HashSlot {
    type Entry = ();

    fn new() -> Self {
        HashSlot(AtomicU64::new(0))
    }

    fn word(&self) -> &AtomicU64 {
        &self.0
    }

    #[inline]
    fn load(&self) -> Content<()> {
        match self.0.load(Acquire) {
            0 => Content::Empty,
            1 => Content::Erased,
            hash => Content::Full(hash, ()),
        }
    }

    fn fill(&self, hash: u64, (): ()) {
        self.0.store(hash, Release);
    }

    fn erase(&self) {
        self.0.store(1, Release);
    }

    fn clear(&self) {
        self.0.store(0, Release);
    }
}

/// The hash as a table uses it: 0 and 1 have other meanings in a [`HashSlot`].
#[inline]
pub(super) fn normal(hash: u64) -> u64 {
    if hash < 2 { hash + 2 } else { hash }
}

/// A segment's numbers, packed into one word. Only the writer relies on the counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Meta {
    /// How many leading bits all its hashes share; also how wide its range of hashes is.
    pub(super) depth: u32,
    /// Slots that are not empty.
    pub(super) used: usize,
    /// Slots that are full.
    pub(super) live: usize,
}

const COUNT_BITS: u32 = 28;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

/// A segment, known by its tagged pointer.
pub(super) struct Segment<S> {
    pub(super) tagged: *mut S,
}

impl<S> Clone for Segment<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Segment<S> {}

impl<S> PartialEq for Segment<S> {
    fn eq(&self, other: &Self) -> bool {
        self.tagged == other.tagged
    }
}

impl<S: Slot> Segment<S> {
    fn layout(capacity: usize) -> Layout {
        Layout::array::<S>(capacity)
            .and_then(|layout| layout.align_to(ALIGN))
            .expect("a segment is smaller than the address space")
    }

    /// A new segment without entries.
    pub(super) fn create(capacity: usize, depth: u32) -> Self {
        debug_assert!(capacity.is_power_of_two() && capacity >= LEAST_CAPACITY);
        let layout = Self::layout(capacity);
        ledger::count(1);
        // SAFETY: the layout is not empty and every slot is written before use.
        let segment = unsafe {
            let base = alloc(layout).cast::<S>();
            if base.is_null() {
                handle_alloc_error(layout);
            }
            for i in 0..capacity {
                base.add(i).write(S::new());
            }
            Segment { tagged: base.map_addr(|address| address | capacity.trailing_zeros() as usize) }
        };
        segment.set_meta(Meta { depth, used: 0, live: 0 });
        segment
    }

    /// The segment, replaced, as garbage to free later.
    pub(super) fn garbage(self) -> Garbage {
        // SAFETY: limbo calls this once, when no thread looks at the segment any more.
        Garbage::new(self.tagged.cast(), |tagged, _| unsafe { Segment::<S>::free(tagged) })
    }

    /// Gives the memory back.
    ///
    /// # Safety
    /// `tagged` is a segment's tagged pointer, in no directory, and no thread looks at it any more.
    pub(super) unsafe fn free(tagged: *mut ()) {
        ledger::count(-1);
        let segment = Segment { tagged: tagged.cast::<S>() };
        // SAFETY: the caller's promise.
        unsafe {
            for i in 0..segment.capacity() {
                segment.base().add(i).drop_in_place();
            }
            dealloc(segment.base().cast(), Self::layout(segment.capacity()));
        }
    }

    #[inline]
    pub(super) fn capacity(self) -> usize {
        1 << (self.tagged.addr() & TAG_BITS)
    }

    #[inline]
    fn base(self) -> *mut S {
        self.tagged.map_addr(|address| address & !TAG_BITS)
    }

    /// Slot `i` of `capacity`. (The table guarantees the lifetime: a segment outlives the turn in which it was found.)
    #[inline]
    pub(super) fn slot<'a>(self, i: usize) -> &'a S {
        debug_assert!(i < self.capacity());
        // SAFETY: i is below the capacity, and slots hold only atomics.
        unsafe { &*self.base().add(i) }
    }

    pub(super) fn meta(self) -> Meta {
        let word = self.slot(0).word().load(Relaxed);
        Meta {
            depth: (word >> (2 * COUNT_BITS)) as u32,
            used: ((word >> COUNT_BITS) & COUNT_MASK) as usize,
            live: (word & COUNT_MASK) as usize,
        }
    }

    fn set_meta(self, meta: Meta) {
        let word = u64::from(meta.depth) << (2 * COUNT_BITS) | (meta.used as u64) << COUNT_BITS | meta.live as u64;
        self.slot(0).word().store(word, Relaxed);
    }

    /// How many entries a segment of this capacity takes before it must make room.
    pub(super) fn limit(capacity: usize) -> usize {
        (capacity * 13 / 16).min(capacity - 2)
    }

    /// A capacity that holds `live` entries and some more.
    pub(super) fn fitting(live: usize) -> usize {
        let roomy = (live * 3 / 2 + 2).next_power_of_two().max(LEAST_CAPACITY);
        if live < Self::limit(FULL_CAPACITY) { roomy.min(FULL_CAPACITY) } else { roomy }
    }

    /// Where the search for a hash begins; never slot 0.
    #[inline]
    pub(super) fn home(self, hash: u64) -> usize {
        ((hash as usize) & (self.capacity() - 1)).max(1)
    }

    /// The slot to look at after slot `i`.
    #[inline]
    pub(super) fn after(self, i: usize) -> usize {
        ((i + 1) & (self.capacity() - 1)).max(1)
    }

    /// Adds an entry (writer).
    pub(super) fn put(self, hash: u64, entry: S::Entry) {
        let mut meta = self.meta();
        debug_assert!(meta.used < Self::limit(self.capacity()) || meta.live < meta.used);
        let mut i = self.home(hash);
        loop {
            match self.slot(i).load() {
                Content::Empty => {
                    meta.used += 1;
                    break;
                }
                Content::Erased => break,
                Content::Full(..) => i = self.after(i),
            }
        }
        self.slot(i).fill(hash, entry);
        meta.live += 1;
        self.set_meta(meta);
    }

    /// Takes the entry in `slot` out (writer).
    pub(super) fn take(self, slot: &S) {
        let mut meta = self.meta();
        // SAFETY: the slot lies in this segment.
        let mut i = unsafe { std::ptr::from_ref(slot).offset_from(self.base()) } as usize;
        debug_assert!(i > 0 && i < self.capacity());
        slot.erase();
        meta.live -= 1;
        // A search never goes beyond an empty slot, so erased slots before it may become empty, too.
        if matches!(self.slot(self.after(i)).load(), Content::Empty) {
            while matches!(self.slot(i).load(), Content::Erased) {
                self.slot(i).clear();
                meta.used -= 1;
                i = if i == 1 { self.capacity() - 1 } else { i - 1 };
            }
        }
        self.set_meta(meta);
    }

    /// Copies every entry into `target(hash)`.
    pub(super) fn copy_to(self, target: impl Fn(u64) -> Segment<S>) {
        for i in 1..self.capacity() {
            if let Content::Full(hash, entry) = self.slot(i).load() {
                target(hash).put(hash, entry);
            }
        }
    }
}
