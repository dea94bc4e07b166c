//! The extendible hash table: a directory over segments, one writer, many readers.
//!
//! The leading bits of a hash pick the segment, its trailing bits the slot where probing begins. A segment that fills
//! up is split in two, or with few entries doubled; one that empties merges with its buddy. Each step touches one
//! segment, so no insert waits for a table to move, and an emptied table is small again. Where splitting does not help,
//! because too many hashes share their leading bits, the segment itself grows.
//!
//! # Unsafe
//!
//! Invariants: (1) the root is one segment or a directory of 2^bits segment pointers; each hash has exactly one
//! segment, found through it; (2) only the writer calls the functions marked unsafe; (3) replaced segments and
//! directories go to limbo, so a reader may continue with a loaded segment until its next quiescent point: it
//! contains everything for the reader's zxid, because that was linked before the zxid was published. Tested by the
//! model test, miri and loom.

use super::ledger;
use super::limbo::{Garbage, Limbo};
use super::segment::{Content, FULL_CAPACITY, LEAST_CAPACITY, Meta, Segment, Slot, TAG_BITS};
use super::sync::{Acquire, AtomicPtr, AtomicU32, Relaxed, Release};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};

/// Tags from here on say "a directory of 2^(tag - this) entries"; those below are a segment's capacity.
const DIRECTORY_TAG: usize = 32;
/// A directory never has more than 2^this entries: 64 Mi segments.
const MAX_DIRECTORY_BITS: u32 = 26;
/// Two buddies with together at most this many entries become one.
const MERGE_AT: usize = FULL_CAPACITY / 4;

pub(super) struct Table<S: Slot> {
    /// Tagged: a segment or a directory.
    root: AtomicPtr<S>,
    /// Segments in all. Writer only.
    segments: AtomicU32,
    /// Segments that are as deep as the directory has bits; without any it halves. Writer only.
    deepest: AtomicU32,
}

/// The root: a segment or a directory.
enum Root<S> {
    Segment(Segment<S>),
    Directory(Directory<S>),
}

/// A directory, known by its tagged pointer: an array of tagged segment pointers.
struct Directory<S> {
    entries: *mut AtomicPtr<S>,
    bits: u32,
}

impl<S> Clone for Directory<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Directory<S> {}

impl<S: Slot> Table<S> {
    pub(super) fn new(capacity: usize) -> Self {
        Table {
            root: AtomicPtr::new(Segment::<S>::create(capacity, 0).tagged),
            segments: AtomicU32::new(1),
            deepest: AtomicU32::new(0),
        }
    }

    /// The smallest table.
    pub(super) fn small() -> Self {
        Self::new(LEAST_CAPACITY)
    }

    #[inline]
    fn root(&self) -> Root<S> {
        let root = self.root.load(Acquire);
        let tag = root.addr() & TAG_BITS;
        if tag < DIRECTORY_TAG {
            Root::Segment(Segment { tagged: root })
        } else {
            let entries = root.map_addr(|address| address & !TAG_BITS).cast();
            Root::Directory(Directory { entries, bits: (tag - DIRECTORY_TAG) as u32 })
        }
    }

    #[inline]
    fn segment(&self, hash: u64) -> Segment<S> {
        match self.root() {
            Root::Segment(segment) => segment,
            Root::Directory(directory) => directory.load(directory.index(hash)),
        }
    }

    /// The first entry under `hash` for which `wanted` says yes, with its slot.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut wanted: impl FnMut(S::Entry) -> bool) -> Option<(&S, S::Entry)> {
        let segment = self.segment(hash);
        let mut i = segment.home(hash);
        loop {
            let slot = segment.slot(i);
            match slot.load() {
                Content::Empty => return None,
                Content::Full(found, entry) if found == hash && wanted(entry) => return Some((slot, entry)),
                _ => i = segment.after(i),
            }
        }
    }

    /// Asks the processor to fetch the slot where the search for `hash` begins.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        let segment = self.segment(hash);
        prefetch(segment.slot(segment.home(hash)));
    }

    /// Shows the entries of one segment: those with hashes from `from` on, in the segment that `from` belongs to.
    /// Returns where the next segment begins, or None after the last. Entries inserted or removed meanwhile may or may
    /// not be shown; every other is shown exactly once on a walk from 0, however the table splits between the calls.
    pub(super) fn walk(&self, from: u64, mut show: impl FnMut(u64, S::Entry)) -> Option<u64> {
        let segment = self.segment(from);
        for i in 1..segment.capacity() {
            if let Content::Full(hash, entry) = segment.slot(i).load()
                && hash >= from
            {
                show(hash, entry);
            }
        }
        let depth = segment.meta().depth;
        if depth == 0 {
            return None;
        }
        let shift = 64 - depth;
        ((from >> shift) + 1).checked_shl(shift).filter(|next| *next != 0)
    }

    /// Adds an entry; the caller knows that it is not there yet.
    ///
    /// # Safety
    /// The caller is the writer.
    pub(super) unsafe fn insert(&self, hash: u64, entry: S::Entry, limbo: &mut Limbo) {
        loop {
            let segment = self.segment(hash);
            let meta = segment.meta();
            if meta.used < Segment::<S>::limit(segment.capacity()) {
                segment.put(hash, entry);
                return;
            }
            self.make_room(hash, segment, meta, limbo);
        }
    }

    /// Takes the entry in `slot` out; `slot` came from [`Table::find`] and nothing was inserted since.
    ///
    /// # Safety
    /// The caller is the writer.
    pub(super) unsafe fn remove(&self, hash: u64, slot: &S, limbo: &mut Limbo) {
        let mut segment = self.segment(hash);
        segment.take(slot);
        while let Some(merged) = self.merge(hash, segment, limbo) {
            segment = merged;
        }
    }

    /// Makes room in a full segment: purges erased slots, doubles, splits, or as a last resort grows.
    fn make_room(&self, hash: u64, segment: Segment<S>, meta: Meta, limbo: &mut Limbo) {
        let capacity = segment.capacity();
        if meta.live <= Segment::<S>::limit(capacity) / 2 {
            return self.rebuild(hash, segment, capacity, limbo);
        }
        if capacity < FULL_CAPACITY {
            return self.rebuild(hash, segment, capacity * 2, limbo);
        }
        let bits = match self.root() {
            Root::Segment(_) => 0,
            Root::Directory(directory) => directory.bits,
        };
        if meta.depth < bits {
            return self.split(hash, segment, meta, limbo);
        }
        // With well spread hashes a directory has at most four entries per segment.
        let sparse = (2u64 << bits) > 4 * u64::from(self.segments.load(Relaxed)) + 16;
        if bits < MAX_DIRECTORY_BITS && !sparse {
            self.double(limbo);
            return self.split(hash, segment, meta, limbo);
        }
        self.rebuild(hash, segment, capacity * 2, limbo);
    }

    /// Replaces a segment by one of the same entries and another capacity.
    fn rebuild(&self, hash: u64, segment: Segment<S>, capacity: usize, limbo: &mut Limbo) {
        let depth = segment.meta().depth;
        let new = Segment::create(capacity, depth);
        segment.copy_to(|_| new);
        self.replace(hash, depth, new);
        limbo.retire(segment.garbage());
    }

    fn split(&self, hash: u64, segment: Segment<S>, meta: Meta, limbo: &mut Limbo) {
        let bit = 1u64 << (63 - meta.depth);
        let mut high_count = 0;
        for i in 1..segment.capacity() {
            if let Content::Full(hash, _) = segment.slot(i).load() {
                high_count += usize::from(hash & bit != 0);
            }
        }
        let depth = meta.depth + 1;
        let low = Segment::create(Segment::<S>::fitting(meta.live - high_count), depth);
        let high = Segment::create(Segment::<S>::fitting(high_count), depth);
        segment.copy_to(|hash| if hash & bit != 0 { high } else { low });
        self.replace(hash | bit, depth, high);
        self.replace(hash & !bit, depth, low);
        limbo.retire(segment.garbage());
        self.segments.store(self.segments.load(Relaxed) + 1, Relaxed);
        if let Root::Directory(directory) = self.root()
            && depth == directory.bits
        {
            self.deepest.store(self.deepest.load(Relaxed) + 2, Relaxed);
        }
    }

    /// Merges a segment with its buddy if both together are small. Returns the merged one.
    fn merge(&self, hash: u64, segment: Segment<S>, limbo: &mut Limbo) -> Option<Segment<S>> {
        let Root::Directory(directory) = self.root() else { return None };
        let meta = segment.meta();
        if meta.depth == 0 || meta.live > MERGE_AT {
            return None;
        }
        let buddy = directory.load(directory.index(hash ^ (1 << (64 - meta.depth))));
        let other = buddy.meta();
        if other.depth != meta.depth || meta.live + other.live > MERGE_AT {
            return None;
        }
        let merged = Segment::create(Segment::<S>::fitting(meta.live + other.live), meta.depth - 1);
        segment.copy_to(|_| merged);
        buddy.copy_to(|_| merged);
        self.replace(hash, meta.depth - 1, merged);
        limbo.retire(segment.garbage());
        limbo.retire(buddy.garbage());
        self.segments.store(self.segments.load(Relaxed) - 1, Relaxed);
        if meta.depth == directory.bits {
            self.deepest.store(self.deepest.load(Relaxed) - 2, Relaxed);
            self.halve(limbo);
        }
        Some(merged)
    }

    /// Makes every directory entry for hashes that share `hash`'s first `depth` bits point to `segment`.
    fn replace(&self, hash: u64, depth: u32, segment: Segment<S>) {
        match self.root() {
            Root::Segment(_) => self.root.store(segment.tagged, Release),
            Root::Directory(directory) => {
                let span = 1usize << (directory.bits - depth);
                let first = directory.index(hash) & !(span - 1);
                for i in first..first + span {
                    directory.entry(i).store(segment.tagged, Release);
                }
            }
        }
    }

    /// Twice as many directory entries.
    fn double(&self, limbo: &mut Limbo) {
        match self.root() {
            Root::Segment(segment) => {
                let directory = Directory::create(1, |_| segment);
                self.root.store(directory.tagged(), Release);
            }
            Root::Directory(old) => {
                let directory = Directory::create(old.bits + 1, |i| old.load(i / 2));
                self.root.store(directory.tagged(), Release);
                limbo.retire(old.garbage());
            }
        }
        self.deepest.store(0, Relaxed);
    }

    /// Half as many directory entries, while no segment needs the last bit.
    fn halve(&self, limbo: &mut Limbo) {
        while self.deepest.load(Relaxed) == 0 {
            let Root::Directory(old) = self.root() else { return };
            limbo.retire(old.garbage());
            if old.bits == 1 {
                self.root.store(old.load(0).tagged, Release);
                return;
            }
            let directory = Directory::create(old.bits - 1, |i| old.load(2 * i));
            let deepest = (0..1usize << directory.bits).filter(|i| directory.load(*i).meta().depth == directory.bits);
            self.deepest.store(deepest.count() as u32, Relaxed);
            self.root.store(directory.tagged(), Release);
        }
    }

    /// Frees all segments and the directory after showing every entry.
    ///
    /// # Safety
    /// No code uses the table any more, now or later.
    pub(super) unsafe fn dismantle(&self, mut show: impl FnMut(S::Entry)) {
        let mut from = Some(0);
        while let Some(hash) = from {
            let segment = self.segment(hash);
            from = self.walk(hash, |_, entry| show(entry));
            // SAFETY: the walk continues after this segment's range and never comes back.
            unsafe { Segment::<S>::free(segment.tagged.cast()) };
        }
        if let Root::Directory(directory) = self.root() {
            // SAFETY: the caller's promise.
            unsafe { Directory::<S>::free(directory.tagged().cast()) };
        }
    }

    /// Segments now, and directory entries.
    #[cfg(all(test, not(loom)))]
    pub(super) fn shape(&self) -> (usize, usize) {
        let entries = match self.root() {
            Root::Segment(_) => 1,
            Root::Directory(directory) => 1 << directory.bits,
        };
        (self.segments.load(Relaxed) as usize, entries)
    }
}

impl<S: Slot> Directory<S> {
    fn layout(bits: u32) -> Layout {
        Layout::array::<AtomicPtr<S>>(1 << bits)
            .and_then(|layout| layout.align_to(TAG_BITS + 1))
            .expect("a directory is smaller than the address space")
    }

    fn create(bits: u32, segment: impl Fn(usize) -> Segment<S>) -> Self {
        let layout = Self::layout(bits);
        ledger::count(1);
        // SAFETY: the layout is not empty and every entry is written before use.
        unsafe {
            let entries = alloc(layout).cast::<AtomicPtr<S>>();
            if entries.is_null() {
                handle_alloc_error(layout);
            }
            for i in 0..1 << bits {
                entries.add(i).write(AtomicPtr::new(segment(i).tagged));
            }
            Directory { entries, bits }
        }
    }

    /// # Safety
    /// `tagged` is a directory's tagged pointer that no code uses any more.
    unsafe fn free(tagged: *mut ()) {
        ledger::count(-1);
        let bits = ((tagged.addr() & TAG_BITS) - DIRECTORY_TAG) as u32;
        let entries = tagged.map_addr(|address| address & !TAG_BITS).cast::<AtomicPtr<S>>();
        // SAFETY: the caller's promise; the layout is the one it was created with.
        unsafe {
            for i in 0..1 << bits {
                entries.add(i).drop_in_place();
            }
            dealloc(entries.cast(), Self::layout(bits));
        }
    }

    /// A directory, replaced, as garbage to free later.
    fn garbage(self) -> Garbage {
        // SAFETY: limbo calls this once, when no thread looks at the directory any more.
        Garbage::new(self.tagged().cast(), |tagged, _| unsafe { Directory::<S>::free(tagged) })
    }

    fn tagged(self) -> *mut S {
        self.entries.cast::<S>().map_addr(|address| address | (DIRECTORY_TAG + self.bits as usize))
    }

    #[inline]
    fn index(self, hash: u64) -> usize {
        (hash >> (64 - self.bits)) as usize
    }

    #[inline]
    fn entry<'a>(self, i: usize) -> &'a AtomicPtr<S> {
        debug_assert!(i < 1 << self.bits);
        // SAFETY: i is below the number of entries.
        unsafe { &*self.entries.add(i) }
    }

    #[inline]
    fn load(self, i: usize) -> Segment<S> {
        Segment { tagged: self.entry(i).load(Acquire) }
    }
}

/// Asks the processor to fetch a cache line.
#[inline(always)]
pub(super) fn prefetch<T>(place: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch reads nothing and never faults.
    unsafe {
        std::arch::x86_64::_mm_prefetch(place.cast(), std::arch::x86_64::_MM_HINT_T0);
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = place;
}
