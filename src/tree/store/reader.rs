//! Readers, one for each thread that reads the tree, and the pins that they take.
//!
//! # Unsafe
//! None here, but the safety of every view rests on this file: an online reader's `seen` is an epoch it announced when
//! it held no reference, and its `point` is at or below every zxid it reads at. Tested by loom (the resume and park
//! protocol) and by the threaded stress test.

use super::shared::{NO_POINT, OFFLINE, Shared, Store, StoreFull, leave};
use super::sync::{Acquire, Arc, Relaxed, Release, SeqCst, fence};
use super::view::View;
use crate::cost::Meter;
use crate::ids::Zxid;

/// Reads the tree at zxids from its point on. Parked when made.
pub struct Reader {
    shared: Arc<Shared>,
    slot: usize,
    point: i64,
    online: bool,
    /// The meter of its views. It also keeps the reader from being Sync: views borrow the reader, and quiescent points
    /// need it exclusively.
    meter: Meter,
}

impl Store {
    /// A new reader, parked.
    ///
    /// # Errors
    /// [`StoreFull::Readers`] if there are [`super::MAX_READERS`] already.
    pub fn reader(&self) -> Result<Reader, StoreFull> {
        Reader::new(Arc::clone(&self.shared))
    }
}

impl Reader {
    fn new(shared: Arc<Shared>) -> Result<Self, StoreFull> {
        let slot = shared.claim_reader()?;
        Ok(Reader { shared, slot, point: NO_POINT, online: false, meter: Meter::default() })
    }

    /// Goes online and returns the reader's point: the old one if it was parked with it, otherwise the zxid that is
    /// published now. Nothing that this zxid or a later one needs has been freed.
    pub fn resume(&mut self) -> Zxid {
        let slot = &self.shared.readers[self.slot];
        if !self.online {
            // Announced before the fence: whatever the writer frees without having seen this was unlinked before
            // the fence, where we cannot find it any more.
            slot.seen.store(self.shared.epoch.load(Acquire), Release);
            self.online = true;
        }
        if self.point == NO_POINT {
            slot.point.store(self.shared.published.load(Acquire), Release);
        }
        // The writer publishes, fences, then looks at the points. Either it sees ours, or we see all it published.
        fence(SeqCst);
        if self.point == NO_POINT {
            self.point = self.shared.published.load(Acquire);
            slot.point.store(self.point, Release);
        }
        Zxid(self.point)
    }

    /// The reader's point, if it has one.
    pub fn point(&self) -> Option<Zxid> {
        (self.point != NO_POINT).then_some(Zxid(self.point))
    }

    /// Moves the point forward: the reader will not read below `zxid` any more.
    ///
    /// # Panics
    /// If it has no point, or `zxid` lies before it or is not published.
    pub fn advance(&mut self, zxid: Zxid) {
        assert!(self.point != NO_POINT && zxid.0 >= self.point, "a reader's point only moves forward");
        if zxid.0 != self.point {
            assert!(zxid.0 <= self.shared.published.load(Acquire), "a reader stays at or below what is published");
            self.point = zxid.0;
            self.shared.readers[self.slot].point.store(zxid.0, Release);
        }
    }

    /// The meter for everything that is looked at through this reader, and for other work of its owner.
    #[inline]
    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Passes a quiescent point: no reference from before is held any more (the borrow says so).
    #[inline]
    pub fn quiesce(&mut self) {
        if self.online {
            let slot = &self.shared.readers[self.slot];
            let epoch = self.shared.epoch.load(Acquire);
            if slot.seen.load(Relaxed) != epoch {
                slot.seen.store(epoch, Release);
            }
        }
    }

    /// Goes offline: freeing does not wait for it until it resumes. With `hold_point` everything from its point on
    /// stays readable; without it, the reader will get the published zxid when it resumes.
    pub(crate) fn park(&mut self, hold_point: bool) {
        let slot = &self.shared.readers[self.slot];
        if !hold_point {
            self.point = NO_POINT;
            slot.point.store(NO_POINT, Release);
        }
        self.online = false;
        slot.seen.store(OFFLINE, Release);
    }

    /// The tree at `zxid`.
    ///
    /// # Panics
    /// If the reader is parked, or `zxid` lies before its point.
    #[inline]
    pub fn view(&self, zxid: Zxid) -> View<'_> {
        assert!(self.online && zxid.0 >= self.point, "a reader reads from its point on, and not while parked");
        debug_assert!(zxid.0 <= self.shared.published.load(Acquire), "a reader stays at or below what is published");
        View { shared: &self.shared, zxid: zxid.0, meter: &self.meter }
    }

    /// Keeps the tree as it is at `zxid` readable, by any reader of this store, until the pin is dropped.
    ///
    /// # Errors
    /// [`StoreFull::Pins`] if there are [`super::MAX_PINS`] already.
    ///
    /// # Panics
    /// If the reader has no point, or `zxid` lies before it or is not published.
    pub(crate) fn pin(&self, zxid: Zxid) -> Result<Pin, StoreFull> {
        assert!(zxid.0 <= self.shared.published.load(Acquire), "a pin is taken at or below what is published");
        self.pin_ahead(zxid)
    }

    /// The same for a zxid that may not be published yet. For the writer's own thread, between two transactions:
    /// nothing is added at or below `zxid` any more, and `zxid` must not be undone while the pin exists.
    pub(crate) fn pin_ahead(&self, zxid: Zxid) -> Result<Pin, StoreFull> {
        assert!(self.point != NO_POINT && zxid.0 >= self.point, "a pin is taken at or after the reader's point");
        let slot = self.shared.claim_pin(zxid.0)?;
        Ok(Pin { shared: Arc::clone(&self.shared), slot, zxid: zxid.0 })
    }

    /// The tree at a pin's zxid, which may lie before this reader's point.
    ///
    /// # Panics
    /// If the reader is parked or the pin belongs to another store.
    pub(crate) fn view_pinned<'a>(&'a self, pin: &'a Pin) -> View<'a> {
        assert!(self.online, "a parked reader reads nothing");
        assert!(Arc::ptr_eq(&self.shared, &pin.shared), "the pin belongs to this store");
        View { shared: &self.shared, zxid: pin.zxid, meter: &self.meter }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        leave(&self.shared.readers[self.slot]);
    }
}

/// Keeps one zxid readable. A pin alone does not keep memory allocated: reading at it needs an online reader.
pub(crate) struct Pin {
    shared: Arc<Shared>,
    slot: usize,
    zxid: i64,
}

impl Pin {
    /// The pinned zxid.
    pub(crate) fn zxid(&self) -> Zxid {
        Zxid(self.zxid)
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.shared.pins[self.slot].store(NO_POINT, Release);
    }
}
