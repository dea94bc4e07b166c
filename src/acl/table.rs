//! ACL lists by number: a znode carries four bytes, and equal lists are stored once, as long as anything names them.
//!
//! One thread interns and frees, any number of threads read without a lock. A list is named by the versions of znodes
//! that carry its number, which the tree's store counts, and by changes that are on their way to whoever watches, which
//! hold it. When neither is left it is freed, and its number is given out again. The slots lie in chunks that double in
//! size, so that they never move.
//!
//! # Unsafe
//! Readers borrow lists that they do not hold. A slot is a pointer made by `Arc::into_raw`, and invariants are: (1) only
//! the interner stores into slots, one list at a time into an empty one; (2) it empties a slot only when no version
//! carries the number any more, counting those that wait until every reader has passed a quiescent point, when nobody holds
//! the list, and while nobody reads all of them; (3) whoever else asks for a number has it from a version it may look at,
//! or from changes that hold the list, and keeps the borrow no longer than those. Tested below, under miri, and by the
//! tree's own tests.

use crate::ids::hash_state;
use crate::jute::{AclList, Reader};
use hashbrown::HashTable;
use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// The number of an interned ACL.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AclId(pub u32);

impl AclId {
    /// `world:anyone` with every permission: what nearly all znodes have. Known without a look-up.
    pub const OPEN: AclId = AclId(0);
}

impl fmt::Debug for AclId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "acl#{}", self.0)
    }
}

/// The list behind [`AclId::OPEN`], as it stands on the wire.
const OPEN_LIST: &[u8] = b"\0\0\0\x01\0\0\0\x1f\0\0\0\x05world\0\0\0\x06anyone";

/// Slots in the first chunk; each further chunk has as many as all before it, plus these.
const FIRST_CHUNK: u64 = 64;
/// Enough chunks for every 32-bit number.
const CHUNKS: usize = 27;
/// Lists looked at in one call of [`Interner::free`], besides twice those that have come since the last.
const STEPS: usize = 256;

/// A list, in as many hands as need it beyond the tree.
pub(crate) struct StoredAcl {
    bytes: Box<[u8]>,
    hash: u64,
}

impl fmt::Debug for StoredAcl {
    /// Without the list: a digest is as good as its password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an ACL of {} bytes", self.bytes.len())
    }
}

type Chunk = Box<[AtomicPtr<StoredAcl>]>;

/// The lists, for readers.
pub struct AclTable {
    chunks: [OnceLock<Chunk>; CHUNKS],
    /// Numbers that were ever given out.
    numbers: AtomicU32,
    lists: AtomicU32,
    bytes: AtomicU64,
    /// How many read all lists at the moment.
    readers: AtomicU32,
}

impl AclTable {
    /// A table that knows [`AclId::OPEN`] only, and the one interner that can add to it.
    pub(crate) fn new() -> (Arc<AclTable>, Interner) {
        let table = Arc::new(AclTable {
            chunks: [const { OnceLock::new() }; CHUNKS],
            numbers: AtomicU32::new(0),
            lists: AtomicU32::new(0),
            bytes: AtomicU64::new(0),
            readers: AtomicU32::new(0),
        });
        let mut interner = Interner {
            table: Arc::clone(&table),
            index: HashTable::new(),
            spare: vec![],
            idle: VecDeque::new(),
            recent: 0,
        };
        let open = interner.add(OPEN_LIST, 0);
        debug_assert_eq!(open, AclId::OPEN);
        (table, interner)
    }

    /// The list with that number, see [`AclTable::bytes`].
    #[inline]
    pub fn list(&self, id: AclId) -> AclList<'_> {
        AclList::of_checked(self.bytes(id))
    }

    /// The wire bytes (count and entries) of the list with that number, which the caller has from a version of a znode or
    /// from a change, and keeps no longer than that.
    ///
    /// # Panics
    /// If there is no list with that number.
    #[inline]
    pub fn bytes(&self, id: AclId) -> &[u8] {
        self.find(id).expect("an ACL's number is its own while something names it")
    }

    fn find(&self, id: AclId) -> Option<&[u8]> {
        self.stored(id).map(|list| &*list.bytes)
    }

    fn stored(&self, id: AclId) -> Option<&StoredAcl> {
        let list = self.slot(id)?.load(Ordering::Acquire);
        // SAFETY: null, or a list that is not freed while the caller may look at it (invariants 2 and 3).
        unsafe { list.as_ref() }
    }

    fn slot(&self, id: AclId) -> Option<&AtomicPtr<StoredAcl>> {
        let (chunk, slot) = position(id);
        self.chunks[chunk].get().map(|slots| &slots[slot])
    }

    /// How many lists there are, [`AclId::OPEN`] included.
    pub(crate) fn len(&self) -> u32 {
        self.lists.load(Ordering::Relaxed)
    }

    /// Never: [`AclId::OPEN`] is always there.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all lists together.
    pub(crate) fn total_bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for AclTable {
    fn drop(&mut self) {
        for slot in self.chunks.iter_mut().filter_map(OnceLock::get_mut).flat_map(|slots| slots.iter_mut()) {
            let list = *slot.get_mut();
            if !list.is_null() {
                // SAFETY: a slot's pointer came from an Arc that nobody else gives back, and the table goes.
                drop(unsafe { Arc::from_raw(list) });
            }
        }
    }
}

impl fmt::Debug for AclTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AclTable").field("len", &self.len()).field("bytes", &self.total_bytes()).finish()
    }
}

/// Chunk and slot of a number: chunk `k` starts at `FIRST_CHUNK * (2^k - 1)`.
fn position(id: AclId) -> (usize, usize) {
    let shifted = u64::from(id.0) + FIRST_CHUNK;
    let chunk = shifted.ilog2() - FIRST_CHUNK.ilog2();
    (chunk as usize, (shifted - (FIRST_CHUNK << chunk)) as usize)
}

/// Every list there is, for whoever writes them down: none is freed while this lives.
#[derive(Debug)]
pub(crate) struct AllAcls(Arc<AclTable>);

impl AllAcls {
    /// Number and wire bytes of each but [`AclId::OPEN`], in the order of their numbers. Lists that are interned meanwhile
    /// may be among them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (AclId, &[u8])> {
        let numbers = 1..self.0.numbers.load(Ordering::Acquire);
        numbers.filter_map(|id| self.0.find(AclId(id)).map(|list| (AclId(id), list)))
    }
}

impl Drop for AllAcls {
    fn drop(&mut self) {
        self.0.readers.fetch_sub(1, Ordering::Release);
    }
}

/// The one that gives numbers out, and takes them back.
#[derive(Debug)]
pub(crate) struct Interner {
    table: Arc<AclTable>,
    /// The numbers, found by the bytes of their lists.
    index: HashTable<u32>,
    /// Numbers that belong to no list any more.
    spare: Vec<u32>,
    /// Numbers that may have no name: of new lists, and of lists that have lost one.
    idle: VecDeque<AclId>,
    /// How many have come to those since some were looked at: freeing keeps that pace.
    recent: usize,
}

impl Interner {
    /// The number of a list given as wire bytes (count and entries, nothing after). The bytes must have
    /// been checked, by [`AclList::read`] or by having come out of [`super::fix_up`].
    ///
    /// A version has to carry the number before [`Interner::free`] is called the next time, or it is taken back.
    ///
    /// # Panics
    /// If the bytes are no list, or 2^32 different lists exist.
    pub(crate) fn intern(&mut self, list: &[u8]) -> AclId {
        if list == OPEN_LIST {
            return AclId::OPEN;
        }
        let hash = hash_state().hash_one(list);
        if let Some(&id) = self.index.find(hash, |&id| self.table.bytes(AclId(id)) == list) {
            return AclId(id);
        }
        let mut reader = Reader::new(list);
        let whole = matches!(AclList::read(&mut reader), Ok(Some(_))) && reader.rest().is_empty();
        assert!(whole, "only checked ACL lists are interned");
        let id = self.add(list, hash);
        let Interner { table, index, idle, .. } = self;
        index.insert_unique(hash, id.0, |&id| table.stored(AclId(id)).map_or(0, |list| list.hash));
        idle.push_back(id);
        self.recent += 1;
        id
    }

    /// The number of a list as decoded from a transaction or a snapshot; null counts as empty.
    #[cfg(test)]
    pub(crate) fn intern_list(&mut self, list: Option<AclList<'_>>) -> AclId {
        let mut bytes = Vec::new();
        match list {
            Some(list) => list.put(&mut bytes),
            None => bytes.extend_from_slice(&[0; 4]),
        }
        self.intern(&bytes)
    }

    fn add(&mut self, list: &[u8], hash: u64) -> AclId {
        let table = &self.table;
        let id = self.spare.pop().unwrap_or_else(|| table.numbers.load(Ordering::Relaxed));
        let (chunk, slot) = position(AclId(id));
        let empty = |_| AtomicPtr::new(std::ptr::null_mut());
        let slots = table.chunks[chunk].get_or_init(|| (0..FIRST_CHUNK << chunk).map(empty).collect());
        let stored = Arc::new(StoredAcl { bytes: list.into(), hash });
        slots[slot].store(Arc::into_raw(stored).cast_mut(), Ordering::Release);
        if id == table.numbers.load(Ordering::Relaxed) {
            let next = id.checked_add(1).expect("fewer than 2^32 different ACLs");
            table.numbers.store(next, Ordering::Release);
        }
        table.lists.fetch_add(1, Ordering::Relaxed);
        table.bytes.fetch_add(list.len() as u64, Ordering::Relaxed);
        AclId(id)
    }

    /// A hold on the list with that number, for what outlives the versions that carry it: it is not freed before the
    /// hold is given up. `None` for [`AclId::OPEN`], which always is there.
    #[inline]
    pub(crate) fn hold(&self, id: AclId) -> Option<Arc<StoredAcl>> {
        if id == AclId::OPEN {
            return None;
        }
        let list = self.table.slot(id)?.load(Ordering::Relaxed).cast_const();
        if list.is_null() {
            return None;
        }
        // SAFETY: a slot's pointer came from an Arc, whose count the slot itself keeps above nought.
        unsafe {
            Arc::increment_strong_count(list);
            Some(Arc::from_raw(list))
        }
    }

    /// Every list, none of which is freed while this lives.
    pub(crate) fn all(&self) -> AllAcls {
        self.table.readers.fetch_add(1, Ordering::Relaxed);
        AllAcls(Arc::clone(&self.table))
    }

    /// These numbers have lost a name.
    pub(crate) fn lost(&mut self, numbers: impl Iterator<Item = AclId>) {
        let before = self.idle.len();
        self.idle.extend(numbers);
        self.recent += self.idle.len() - before;
    }

    /// Frees lists that nothing names, of those that were interned or have lost a name since they were looked at. `is_named`
    /// says whether a version carries the number. Does a bounded amount of work.
    pub(crate) fn free(&mut self, is_named: impl Fn(AclId) -> bool) {
        if self.idle.is_empty() || self.table.readers.load(Ordering::Acquire) > 0 {
            return;
        }
        let steps = STEPS + 2 * std::mem::take(&mut self.recent);
        for _ in 0..steps.min(self.idle.len()) {
            let Some(id) = self.idle.pop_front() else { return };
            if !is_named(id) && !self.take_back(id) {
                self.idle.push_back(id);
            }
        }
    }

    /// Frees a list that no version names, unless somebody holds it.
    fn take_back(&mut self, id: AclId) -> bool {
        let Some(slot) = self.table.slot(id) else { return true };
        let list = slot.load(Ordering::Relaxed).cast_const();
        if list.is_null() {
            return true; // it had lost a name twice
        }
        // SAFETY: the slot's pointer came from an Arc; it is given up for good only if nobody else has it.
        let mut list = std::mem::ManuallyDrop::new(unsafe { Arc::from_raw(list) });
        let Some(stored) = Arc::get_mut(&mut list) else { return false };
        let (hash, length) = (stored.hash, stored.bytes.len() as u64);
        if let Ok(entry) = self.index.find_entry(hash, |&other| other == id.0) {
            entry.remove();
        }
        slot.store(std::ptr::null_mut(), Ordering::Release);
        drop(std::mem::ManuallyDrop::into_inner(list));
        self.table.lists.fetch_sub(1, Ordering::Relaxed);
        self.table.bytes.fetch_sub(length, Ordering::Relaxed);
        self.spare.push(id.0);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jute::AclEntry;
    use crate::jute::codes::perms;
    use crate::jute::wire::put_int;

    fn wire(entries: &[AclEntry<'_>]) -> Vec<u8> {
        let mut out = vec![];
        put_int(&mut out, entries.len() as i32);
        entries.iter().for_each(|entry| entry.put(&mut out));
        out
    }

    fn numbered(n: u32) -> Vec<u8> {
        wire(&[AclEntry { perms: perms::READ, scheme: b"digest", id: n.to_string().as_bytes() }])
    }

    #[test]
    fn the_open_list_is_number_zero() {
        let (table, mut interner) = AclTable::new();
        let open = wire(&[AclEntry { perms: perms::ALL, scheme: b"world", id: b"anyone" }]);
        assert_eq!(interner.intern(&open), AclId::OPEN);
        assert_eq!(table.bytes(AclId::OPEN), open);
        assert_eq!(table.list(AclId::OPEN).iter().next().unwrap().id, b"anyone");
        assert_eq!((table.len(), table.is_empty()), (1, false));
    }

    #[test]
    fn numbers_are_dense_and_stay_while_they_are_named() {
        let (table, mut interner) = AclTable::new();
        for n in 1..5000 {
            assert_eq!(interner.intern(&numbered(n)), AclId(n));
        }
        for n in 1..5000 {
            assert_eq!(interner.intern(&numbered(n)), AclId(n));
            assert_eq!(table.bytes(AclId(n)), numbered(n));
        }
        assert_eq!(table.len(), 5000);
        while !interner.idle.is_empty() {
            interner.free(|_| true);
        }
        assert_eq!((table.len(), table.bytes(AclId(4999))), (5000, &*numbered(4999)));
    }

    #[test]
    fn what_nothing_names_is_freed_and_its_number_used_again() {
        let (table, mut interner) = AclTable::new();
        let open = table.total_bytes();
        let [a, b, c] = [1, 2, 3].map(|n| interner.intern(&numbered(n)));
        let held = interner.hold(b);
        interner.free(|acl| acl == c);
        assert_eq!((table.len(), table.bytes(b), table.bytes(c)), (3, &*numbered(2), &*numbered(3)));
        // The number is another list's now, and the list has another number when it comes again.
        assert_eq!(interner.intern(&numbered(4)), a);
        assert_eq!(interner.intern(&numbered(1)), AclId(4));
        interner.lost([c, c].into_iter());
        let writing = interner.all();
        interner.free(|_| false);
        assert_eq!(
            writing.iter().map(|(id, _)| id.0).collect::<Vec<_>>(),
            [1, 2, 3, 4],
            "none goes while all are read"
        );
        drop(writing);
        interner.free(|_| false);
        assert_eq!(interner.all().iter().collect::<Vec<_>>(), [(b, &*numbered(2))]);
        drop(held);
        interner.free(|_| false);
        assert_eq!((table.len(), table.total_bytes(), interner.index.len()), (1, open, 0));
        assert_eq!(interner.hold(AclId::OPEN).map(|_| ()), None);
    }

    #[test]
    fn every_number_has_a_place_of_its_own() {
        let mut expected = (0, 0);
        for id in 0..10_000 {
            assert_eq!(position(AclId(id)), expected);
            expected.1 += 1;
            if expected.1 == (FIRST_CHUNK as usize) << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
        let (chunk, slot) = position(AclId(u32::MAX));
        assert!(chunk < CHUNKS && slot < (FIRST_CHUNK as usize) << chunk);
    }

    #[test]
    fn null_and_empty_are_one_list() {
        let (table, mut interner) = AclTable::new();
        let null = interner.intern_list(None);
        assert_eq!(interner.intern(&wire(&[])), null);
        assert!(table.list(null).is_empty());
    }

    #[test]
    #[should_panic(expected = "only checked ACL lists")]
    fn unchecked_bytes_are_refused() {
        AclTable::new().1.intern(&[0, 0, 0, 2, 1]);
    }

    #[test]
    fn other_threads_read_while_lists_come() {
        let (table, mut interner) = AclTable::new();
        let reader = std::thread::spawn(move || {
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
            let mut seen = 1;
            while seen < 2000 && std::time::Instant::now() < deadline {
                let len = table.numbers.load(Ordering::Acquire);
                // Whoever sees how many numbers there are sees every list below.
                for n in seen..len {
                    assert_eq!(table.bytes(AclId(n)), numbered(n));
                }
                seen = len;
                std::thread::yield_now();
            }
            seen
        });
        for n in 1..2000 {
            interner.intern(&numbered(n));
        }
        assert_eq!(reader.join().unwrap(), 2000);
    }
}
