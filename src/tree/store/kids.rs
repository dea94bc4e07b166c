//! The children of one incarnation of a znode: their set, and the versioned numbers about them.
//!
//! The set has path hashes, which are only hints where to look: a child's own versions decide whether the child exists
//! at a zxid. The numbers (count, cversion, pzxid) have a version chain of their own, so that creating a child never
//! copies its parent's data. A znode gets this object with its first child or the first number that differs from a new
//! znode's.
//!
//! # Unsafe
//!
//! Same rules as for blocks: the writer alone links and frees; an entry is freed through limbo. The object lives
//! while `refs` counts a linked block or a pending record that names it; then it goes to limbo with everything that
//! it still contains.

use super::ledger;
use super::limbo::{Garbage, Limbo};
use super::segment::HashSlot;
use super::spare::Spare;
use super::sync::{Acquire, AtomicI32, AtomicI64, AtomicPtr, AtomicU32, Guard, Relaxed, Release};
use super::table::Table;

pub(super) struct Kids {
    /// Newest first; an empty chain means the numbers of a new znode.
    pub(super) stat: AtomicPtr<ChildStat>,
    pub(super) set: Table<HashSlot>,
    /// Linked blocks and pending records that point here. Writer only.
    refs: AtomicU32,
}

/// One version of the numbers about a znode's children.
pub(super) struct ChildStat {
    /// The stamp: the transaction that applied this version.
    pub(super) zxid: i64,
    pub(super) next: AtomicPtr<ChildStat>,
    /// The version after this one. Writer only.
    pub(super) newer: AtomicPtr<ChildStat>,
    /// How many of the older versions were not published when this one was made; perhaps too high. Writer only.
    pub(super) depth: u16,
    // Atomic because the writer changes the newest version in place while its transaction is not published: readers
    // only ever look at its stamp then.
    cversion: AtomicI32,
    count: AtomicI32,
    pzxid: AtomicI64,
    guard: Guard,
}

/// The numbers themselves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ChildNumbers {
    /// The stored counter: creations of children.
    pub(super) cversion: i32,
    /// Children now.
    pub(super) count: i32,
    /// Zxid that last created or deleted a child.
    pub(super) pzxid: i64,
}

impl ChildStat {
    fn create(
        (zxid, depth): (i64, u16),
        next: *mut ChildStat,
        numbers: ChildNumbers,
        spare: &mut Spare,
    ) -> *mut ChildStat {
        ledger::count(1);
        let stat = spare.take(size_of::<ChildStat>()).cast::<ChildStat>();
        let version = ChildStat {
            zxid,
            next: AtomicPtr::new(next),
            newer: AtomicPtr::new(std::ptr::null_mut()),
            depth,
            cversion: AtomicI32::new(numbers.cversion),
            count: AtomicI32::new(numbers.count),
            pzxid: AtomicI64::new(numbers.pzxid),
            guard: Guard::default(),
        };
        // SAFETY: the piece has the size and alignment of a version.
        unsafe { stat.write(version) };
        stat
    }

    fn numbers(&self) -> ChildNumbers {
        ChildNumbers {
            cversion: self.cversion.load(Relaxed),
            count: self.count.load(Relaxed),
            pzxid: self.pzxid.load(Relaxed),
        }
    }

    fn overwrite(&self, numbers: ChildNumbers) {
        self.cversion.store(numbers.cversion, Relaxed);
        self.count.store(numbers.count, Relaxed);
        self.pzxid.store(numbers.pzxid, Relaxed);
    }

    /// A version, unlinked, as garbage to free later.
    fn garbage(stat: *mut ChildStat) -> Garbage {
        // SAFETY: limbo calls this once, when no thread looks at the version any more.
        Garbage::new(stat.cast(), |stat, spare| unsafe { ChildStat::free(stat.cast(), spare) })
    }

    /// Frees one version.
    ///
    /// # Safety
    /// `stat` is an unlinked ChildStat that no thread looks at any more.
    unsafe fn free(stat: *mut ChildStat, spare: &mut Spare) {
        ledger::count(-1);
        // SAFETY: the caller's promise.
        unsafe {
            (*stat).guard.freed();
            stat.drop_in_place();
            spare.give(stat.cast(), size_of::<ChildStat>());
        }
    }
}

impl Kids {
    /// A new object with one reference.
    pub(super) fn create() -> *mut Kids {
        ledger::count(1);
        Box::into_raw(Box::new(Kids {
            stat: AtomicPtr::new(std::ptr::null_mut()),
            set: Table::small(),
            refs: AtomicU32::new(1),
        }))
    }

    /// The object, to which nothing points any more, as garbage to free later.
    fn garbage(kids: *mut Kids) -> Garbage {
        // SAFETY: limbo calls this once, when no thread looks at the object any more.
        Garbage::new(kids.cast(), |kids, spare| unsafe { Kids::free(kids.cast(), spare) })
    }

    /// One more block or record points to the object.
    ///
    /// # Safety
    /// The caller is the writer; `kids` is null or live.
    pub(super) unsafe fn keep(kids: *mut Kids) {
        // SAFETY: the caller's promise.
        if let Some(kids) = unsafe { kids.as_ref() } {
            kids.refs.store(kids.refs.load(Relaxed) + 1, Relaxed);
        }
    }

    /// One block or record less points to the object; after the last one it goes to limbo.
    ///
    /// # Safety
    /// The caller is the writer; `kids` is null or live, and what named it is unlinked.
    pub(super) unsafe fn release(kids: *mut Kids, limbo: &mut Limbo) {
        // SAFETY: the caller's promise.
        unsafe {
            if let Some(object) = kids.as_ref() {
                let left =
                    object.refs.load(Relaxed).checked_sub(1).expect("a children object is released once per holder");
                object.refs.store(left, Relaxed);
                if left == 0 {
                    limbo.retire(Kids::garbage(kids));
                }
            }
        }
    }

    /// Frees the object, its set and its numbers.
    ///
    /// # Safety
    /// `kids` came from [`Kids::create`] and no thread looks at it any more.
    unsafe fn free(kids: *mut Kids, spare: &mut Spare) {
        ledger::count(-1);
        // SAFETY: the caller's promise; the versions left in the chain belong to this object alone.
        unsafe {
            let object = &*kids;
            object.set.dismantle(|()| ());
            let mut stat = object.stat.load(Relaxed);
            while !stat.is_null() {
                let next = (*stat).next.load(Relaxed);
                ChildStat::free(stat, spare);
                stat = next;
            }
            drop(Box::from_raw(kids));
        }
    }

    /// The numbers that a reader at `zxid` sees, if they are not those of a new znode. Counts the newer ones on the
    /// way.
    ///
    /// # Safety
    /// The caller is the writer or an online reader since the object was loaded.
    #[inline]
    pub(super) unsafe fn numbers(&self, zxid: i64, passed: &mut usize) -> Option<ChildNumbers> {
        let mut stat = self.stat.load(Acquire);
        // SAFETY: object and chain outlive the caller's turn.
        while let Some(version) = unsafe { stat.as_ref() } {
            version.guard.touch();
            if version.zxid <= zxid {
                return Some(version.numbers());
            }
            stat = version.next.load(Acquire);
            *passed += 1;
        }
        None
    }

    /// Stamps new numbers at the head. Returns the new version, or None if the head had that stamp already. `depth` is
    /// stored in the new version.
    ///
    /// # Safety
    /// The caller is the writer, and `zxid` is not published yet.
    pub(super) unsafe fn push(
        &self,
        zxid: i64,
        numbers: ChildNumbers,
        depth: u16,
        spare: &mut Spare,
    ) -> Option<*mut ChildStat> {
        let head = self.stat.load(Relaxed);
        // SAFETY: the head is live; the writer is the caller.
        unsafe {
            if let Some(version) = head.as_ref() {
                if version.zxid == zxid {
                    version.overwrite(numbers);
                    return None;
                }
                let new = ChildStat::create((zxid, depth), head, numbers, spare);
                version.newer.store(new, Relaxed);
                self.stat.store(new, Release);
                return Some(new);
            }
        }
        let new = ChildStat::create((zxid, 0), head, numbers, spare);
        self.stat.store(new, Release);
        Some(new)
    }

    /// Removes the newest version again.
    ///
    /// # Safety
    /// The caller is the writer, and the version was never published.
    pub(super) unsafe fn pop(&self, limbo: &mut Limbo) {
        // SAFETY: the caller's promise.
        unsafe {
            let head = self.stat.load(Relaxed);
            let older = (*head).next.load(Relaxed);
            if let Some(older) = older.as_ref() {
                older.newer.store(std::ptr::null_mut(), Relaxed);
            }
            self.stat.store(older, Release);
            limbo.retire(ChildStat::garbage(head));
        }
    }

    /// Takes a superseded version out of its chain.
    ///
    /// # Safety
    /// The caller is the writer, `stat` is linked below a newer version, and no reader point needs it.
    pub(super) unsafe fn unlink(stat: *mut ChildStat, limbo: &mut Limbo) {
        // SAFETY: the caller's promise.
        unsafe {
            let (newer, older) = ((*stat).newer.load(Relaxed), (*stat).next.load(Relaxed));
            if let Some(older) = older.as_ref() {
                older.newer.store(newer, Relaxed);
            }
            (*newer).next.store(older, Release);
            limbo.retire(ChildStat::garbage(stat));
        }
    }
}

/// Frees a children object of a tree that is taken down, with its last holder.
///
/// # Safety
/// No other code uses the tree; `kids` is null or live; each holder calls once.
pub(super) unsafe fn drop_ref(kids: *mut Kids, spare: &mut Spare) {
    // SAFETY: the caller's promise.
    unsafe {
        if let Some(object) = kids.as_ref() {
            let left = object.refs.load(Relaxed) - 1;
            object.refs.store(left, Relaxed);
            if left == 0 {
                Kids::free(kids, spare);
            }
        }
    }
}
