//! ACL lists by number: a znode carries four bytes, and equal lists are stored once.
//!
//! One thread interns, any number of threads read without a lock: the table only grows, in chunks that
//! double in size, and each slot is written once. A number stays valid while the process lives, because
//! verdicts about it are cached.

use crate::ids::hash_state;
use crate::jute::{AclList, Reader};
use hashbrown::HashTable;
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
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

type Chunk = Box<[OnceLock<Box<[u8]>>]>;

/// The lists, for readers.
pub struct AclTable {
    chunks: [OnceLock<Chunk>; CHUNKS],
    len: AtomicU32,
    bytes: AtomicU64,
}

impl AclTable {
    /// A table that knows [`AclId::OPEN`] only, and the one interner that can add to it.
    pub fn new() -> (Arc<AclTable>, Interner) {
        let table = Arc::new(AclTable {
            chunks: [const { OnceLock::new() }; CHUNKS],
            len: AtomicU32::new(1),
            bytes: AtomicU64::new(0),
        });
        table.put(AclId::OPEN, OPEN_LIST);
        (Arc::clone(&table), Interner { table, index: HashTable::new() })
    }

    /// The list with that number.
    ///
    /// # Panics
    /// If no interner of this table gave the number out.
    #[inline]
    pub fn list(&self, id: AclId) -> AclList<'_> {
        AclList::of_checked(self.bytes(id))
    }

    /// The wire bytes (count and entries) of the list with that number. Panics as [`AclTable::list`] does.
    #[inline]
    pub fn bytes(&self, id: AclId) -> &[u8] {
        let (chunk, slot) = position(id);
        self.chunks[chunk]
            .get()
            .and_then(|slots| slots[slot].get())
            .expect("the ACL number was given out by the interner")
    }

    /// How many lists there are, [`AclId::OPEN`] included.
    pub fn len(&self) -> u32 {
        self.len.load(Ordering::Acquire)
    }

    /// Never: [`AclId::OPEN`] is always there.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all lists together.
    pub fn total_bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn put(&self, id: AclId, list: &[u8]) {
        let (chunk, slot) = position(id);
        let slots = self.chunks[chunk].get_or_init(|| (0..FIRST_CHUNK << chunk).map(|_| OnceLock::new()).collect());
        slots[slot].set(list.into()).expect("an ACL number is given out once");
        self.bytes.fetch_add(list.len() as u64, Ordering::Relaxed);
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

/// The one that gives numbers out.
#[derive(Debug)]
pub struct Interner {
    table: Arc<AclTable>,
    /// The numbers, found by the bytes of their lists.
    index: HashTable<u32>,
}

impl Interner {
    /// The number of a list given as wire bytes (count and entries, nothing after). The bytes must have
    /// been checked, by [`AclList::read`] or by having come out of [`super::fix_up`].
    ///
    /// # Panics
    /// If the bytes are no list, or 2^32 different lists exist.
    pub fn intern(&mut self, list: &[u8]) -> AclId {
        if list == OPEN_LIST {
            return AclId::OPEN;
        }
        let state = hash_state();
        let hash = state.hash_one(list);
        if let Some(&id) = self.index.find(hash, |&id| self.table.bytes(AclId(id)) == list) {
            return AclId(id);
        }
        let mut reader = Reader::new(list);
        let whole = matches!(AclList::read(&mut reader), Ok(Some(_))) && reader.rest().is_empty();
        assert!(whole, "only checked ACL lists are interned");
        let id = self.table.len();
        self.table.put(AclId(id), list);
        let next = id.checked_add(1).expect("fewer than 2^32 different ACLs");
        self.table.len.store(next, Ordering::Release);
        self.index.insert_unique(hash, id, |&id| state.hash_one(self.table.bytes(AclId(id))));
        AclId(id)
    }

    /// The number of a list as decoded from a transaction or a snapshot; null counts as empty.
    pub fn intern_list(&mut self, list: Option<AclList<'_>>) -> AclId {
        let mut bytes = Vec::new();
        match list {
            Some(list) => list.put(&mut bytes),
            None => bytes.extend_from_slice(&[0; 4]),
        }
        self.intern(&bytes)
    }

    /// The table it adds to.
    pub fn table(&self) -> &Arc<AclTable> {
        &self.table
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
    fn numbers_are_dense_and_stay() {
        let (table, mut interner) = AclTable::new();
        for n in 1..5000 {
            assert_eq!(interner.intern(&numbered(n)), AclId(n));
        }
        for n in 1..5000 {
            assert_eq!(interner.intern(&numbered(n)), AclId(n));
            assert_eq!(table.bytes(AclId(n)), numbered(n));
        }
        assert_eq!(table.len(), 5000);
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
                let len = table.len();
                // Whoever sees the length sees every list below it.
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
