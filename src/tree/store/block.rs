//! One version of a znode in one allocation: header, path, data. Long data has an allocation of its own, which versions
//! with the same data share: a thousand changes of an ACL copy no data.
//!
//! # Unsafe
//!
//! A block is raw memory: `size_of::<Block>()` bytes of header, then `path_len` bytes of path, then `data_len` bytes
//! of data, or from [`APART`] bytes on a pointer to them. Invariants: (1) everything but the atomics is written
//! before the block is linked and never again; (2) only the writer links, unlinks and frees; (3) a block is freed
//! only after every online reader has passed a quiescent point since it was unlinked ([`super::limbo`]). Accessors
//! take raw pointers, never `&Block`, so that the tail stays within the pointer's provenance. Tested by the model and
//! stress tests under miri, by loom, and by a count of allocations against frees.

use super::kids::{ChildNumbers, Kids};
use super::ledger;
use super::limbo::Garbage;
use super::spare::Spare;
use super::sync::{Acquire, AtomicBool, AtomicPtr, Guard, Relaxed};
use crate::acl::AclId;

/// The znode's state in a block's version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Kind {
    /// The znode exists and its data is null.
    Null,
    /// The znode exists and has data, perhaps empty.
    Data,
    /// The znode was deleted.
    Tombstone,
}

/// The header; path and data follow it.
#[repr(C)]
pub(super) struct Block {
    /// The stamp: the transaction that applied this version.
    pub(super) zxid: i64,
    /// The version before this one.
    pub(super) next: AtomicPtr<Block>,
    /// The version after this one; null at the head. Writer only.
    pub(super) newer: AtomicPtr<Block>,
    /// The children of this incarnation; null until it has a child or other numbers than a new znode. In a tombstone:
    /// the children object of the *parent*, which has the znode's entry.
    pub(super) kids: AtomicPtr<Kids>,
    pub(super) fields: Fields,
    pub(super) acl: AclId,
    pub(super) path_len: u32,
    pub(super) data_len: u32,
    pub(super) kind: Kind,
    /// In a tombstone: the znode was created again under the same parent incarnation, and owns the entry in the
    /// parent's child set. Writer only.
    pub(super) continued: AtomicBool,
    /// How many of the older versions were not published when this one was made; perhaps too high. Writer only.
    pub(super) depth: u16,
    guard: Guard,
}

/// A million headers are a tenth of the memory that a million znodes may take: another field must be worth its bytes.
#[cfg(not(loom))]
const _: () = assert!(size_of::<Block>() == 96);

/// The stored part of a znode's Stat, without path, data, ACL and children.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Fields {
    pub(super) czxid: i64,
    pub(super) mzxid: i64,
    pub(super) ctime: i64,
    pub(super) mtime: i64,
    pub(super) owner: i64,
    pub(super) version: i32,
    pub(super) aversion: i32,
}

/// The contents of a block, without its links.
pub(super) struct Version<'a> {
    pub(super) zxid: i64,
    pub(super) fields: Fields,
    pub(super) acl: AclId,
    pub(super) kind: Kind,
    pub(super) depth: u16,
    pub(super) path: &'a [u8],
    pub(super) data: Data<'a>,
}

/// The data of a new version.
#[derive(Clone, Copy)]
pub(super) enum Data<'a> {
    New(&'a [u8]),
    /// The data of this version, which is live.
    Of(*mut Block),
}

/// Data of so many bytes or more has its own allocation: beside a page a pointer costs nothing.
pub(super) const APART: usize = 4096;

/// Long data; its bytes follow. The count of versions that have it and the note belong to the writer; readers look only
/// at the bytes.
#[repr(C)]
struct Apart {
    versions: usize,
    note: u64,
}

impl Apart {
    fn size(length: usize) -> usize {
        size_of::<Apart>() + length
    }

    fn create(bytes: &[u8], spare: &mut Spare) -> *mut Apart {
        ledger::count(1);
        let apart = spare.take(Self::size(bytes.len())).cast::<Apart>();
        // SAFETY: header and bytes are written within the size taken, before any other code sees the pointer.
        unsafe {
            apart.write(Apart { versions: 1, note: 0 });
            apart.add(1).cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
        apart
    }
}

impl Block {
    fn size(path_len: usize, data_len: usize) -> usize {
        size_of::<Block>() + path_len + if data_len < APART { data_len } else { size_of::<*mut Apart>() }
    }

    /// The separate allocation of the data; null if there is none.
    ///
    /// # Safety
    /// `block` is a live block.
    unsafe fn apart(block: *const Block) -> *mut Apart {
        // SAFETY: the pointer was written behind the path, whatever its alignment there, before the block was linked.
        unsafe {
            if ((*block).data_len as usize) < APART {
                return std::ptr::null_mut();
            }
            block.add(1).cast::<u8>().add((*block).path_len as usize).cast::<*mut Apart>().read_unaligned()
        }
    }

    /// A new block, not linked anywhere.
    pub(super) fn create(version: Version<'_>, next: *mut Block, kids: *mut Kids, spare: &mut Spare) -> *mut Block {
        let Version { zxid, fields, acl, kind, depth, path, data } = version;
        let (data, shared) = match data {
            Data::New(bytes) => (bytes, std::ptr::null_mut()),
            // SAFETY: the caller's promise.
            Data::Of(other) => unsafe { (Block::data(other), Block::apart(other)) },
        };
        let path_len = u32::try_from(path.len()).expect("a path is shorter than 4 GiB");
        let data_len = u32::try_from(data.len()).expect("data is shorter than 4 GiB");
        ledger::count(1);
        spare.names.keep(acl);
        let block = spare.take(Self::size(path.len(), data.len())).cast::<Block>();
        // SAFETY: header and tail are written within the size taken, before any other code sees the pointer.
        unsafe {
            block.write(Block {
                zxid,
                next: AtomicPtr::new(next),
                newer: AtomicPtr::new(std::ptr::null_mut()),
                kids: AtomicPtr::new(kids),
                fields,
                acl,
                path_len,
                data_len,
                kind,
                continued: AtomicBool::new(false),
                depth,
                guard: Guard::default(),
            });
            let tail = block.add(1).cast::<u8>();
            tail.copy_from_nonoverlapping(path.as_ptr(), path.len());
            let tail = tail.add(path.len());
            if data.len() < APART {
                tail.copy_from_nonoverlapping(data.as_ptr(), data.len());
            } else {
                let apart = if shared.is_null() { Apart::create(data, spare) } else { shared };
                if !shared.is_null() {
                    (*shared).versions += 1;
                }
                tail.cast::<*mut Apart>().write_unaligned(apart);
            }
            block
        }
    }

    /// Gives the memory back.
    ///
    /// # Safety
    /// `block` came from [`Block::create`] as a `*mut Block`, is linked nowhere, and no thread looks at it any more.
    pub(super) unsafe fn free(block: *mut Block, spare: &mut Spare) {
        ledger::count(-1);
        // SAFETY: by the caller's promise this is a whole block and we are its last user.
        unsafe {
            (*block).guard.freed();
            spare.names.release((*block).acl);
            let size = Self::size((*block).path_len as usize, (*block).data_len as usize);
            let apart = Self::apart(block);
            if !apart.is_null() {
                (*apart).versions -= 1;
                if (*apart).versions == 0 {
                    ledger::count(-1);
                    spare.give(apart.cast(), Apart::size((*block).data_len as usize));
                }
            }
            block.drop_in_place();
            spare.give(block.cast(), size);
        }
    }

    /// The block, unlinked, as garbage to free later.
    pub(super) fn garbage(block: *mut Block) -> Garbage {
        // SAFETY: limbo calls this once, when no thread looks at the block any more.
        Garbage::new(block.cast(), |block, spare| unsafe { Block::free(block.cast(), spare) })
    }

    /// The path, `/` for the root.
    ///
    /// # Safety
    /// `block` is a live block and stays one for `'a`.
    #[inline]
    pub(super) unsafe fn path<'a>(block: *const Block) -> &'a [u8] {
        // SAFETY: the tail begins with `path_len` bytes of path, immutable since the block was linked.
        unsafe {
            (*block).guard.touch();
            std::slice::from_raw_parts(block.add(1).cast::<u8>(), (*block).path_len as usize)
        }
    }

    /// The data; empty for null.
    ///
    /// # Safety
    /// `block` is a live block and stays one for `'a`.
    #[inline]
    pub(super) unsafe fn data<'a>(block: *const Block) -> &'a [u8] {
        // SAFETY: `data_len` bytes of data follow the path or the header of the separate allocation, immutable since
        // the block was linked; a separate allocation lives as long as one of its versions.
        unsafe {
            (*block).guard.touch();
            let apart = Self::apart(block);
            let start = match apart.is_null() {
                true => block.add(1).cast::<u8>().add((*block).path_len as usize),
                false => apart.add(1).cast::<u8>().cast_const(),
            };
            std::slice::from_raw_parts(start, (*block).data_len as usize)
        }
    }

    /// The writer's note on long data, 0 at first; `None` if the data is short.
    ///
    /// # Safety
    /// `block` is a live block and the caller the writer.
    pub(super) unsafe fn note(block: *const Block) -> Option<u64> {
        // SAFETY: the caller's promise; no reader looks at a note.
        unsafe { Self::apart(block).as_ref().map(|apart| apart.note) }
    }

    /// Sets the note on long data, for all versions that share the data.
    ///
    /// # Safety
    /// `block` is a live block with long data and the caller the writer.
    pub(super) unsafe fn set_note(block: *const Block, note: u64) {
        // SAFETY: the caller's promise. Readers have no reference to the header, only to the bytes behind it.
        unsafe { (*Self::apart(block)).note = note };
    }

    /// Whether this version is a tombstone.
    ///
    /// # Safety
    /// `block` is a live block.
    #[inline]
    pub(super) unsafe fn is_tombstone(block: *const Block) -> bool {
        // SAFETY: the caller's promise.
        unsafe { (*block).kind == Kind::Tombstone }
    }

    /// The version that a reader at `zxid` sees, starting from the head: null if there is none; perhaps a tombstone.
    /// Counts the newer versions on the way.
    ///
    /// # Safety
    /// `block` is null or a block, and the caller is the writer or an online reader since it was loaded.
    #[inline]
    pub(super) unsafe fn at(mut block: *const Block, zxid: i64, passed: &mut usize) -> *const Block {
        // SAFETY: every block reachable through `next` outlives the caller's turn (invariant 3).
        unsafe {
            while !block.is_null() {
                (*block).guard.touch();
                if (*block).zxid <= zxid {
                    break;
                }
                block = (*block).next.load(Acquire);
                *passed += 1;
            }
        }
        block
    }

    /// The numbers that a reader at `zxid` sees about the znode's children. Counts the newer ones on the way.
    ///
    /// # Safety
    /// As for [`Block::at`], but not null.
    pub(super) unsafe fn child_numbers(block: *const Block, zxid: i64, passed: &mut usize) -> ChildNumbers {
        // SAFETY: block, children object and chain outlive the caller's turn.
        unsafe {
            let kids = (*block).kids.load(Acquire).as_ref();
            let of_new = ChildNumbers { cversion: 0, count: 0, pzxid: (*block).fields.czxid };
            kids.and_then(|kids| kids.numbers(zxid, passed)).unwrap_or(of_new)
        }
    }

    /// The older version, for the writer.
    ///
    /// # Safety
    /// `block` is a live block and the caller the writer.
    pub(super) unsafe fn older(block: *const Block) -> *mut Block {
        // SAFETY: the caller's promise.
        unsafe { (*block).next.load(Relaxed) }
    }
}
