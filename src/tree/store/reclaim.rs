//! Reclaims old versions: which may be unlinked, when they may be freed, and how much of this one call does.
//!
//! A superseded version v may be unlinked when no point lies in [v's stamp, its successor's stamp). Records of
//! supersession are in a queue in stamp order, so a look at the front decides everything up to the lowest point of a
//! reader. Versions that a pin still needs are set aside with that pin, and looked at again when the pin is dropped. So
//! one old pin keeps one version of each chain, not all versions that were made since.
//!
//! A tombstone stays while an older version below it is held, because it hides that version from later zxids and
//! carries the znode's entry in its parent's child set. Without such a version the tombstone is unlinked, and with it
//! the entry and, at the head, the slot.
//!
//! # Unsafe
//! See [`super::writer`]. A record names its successor version, which is live because a version's own record as the
//! superseded one comes later. A held record names the superseded version; its neighbours are found through `newer`
//! and `next`, which every unlinking keeps right.

use super::block::Block;
use super::held::{Held, Waiting};
use super::kids::Kids;
use super::queue::Queue;
use super::shared::NO_POINT;
use super::sync::{Acquire, Relaxed, Release, SeqCst, fence};
use super::writer::{Record, Writer};
use crate::cost::Cost;

/// How many records are looked at and pieces are freed in one call, in addition to twice the records since the last
/// call.
const STEPS: usize = 256;

/// The most steps of one call, which take a millisecond or two: the versions of a transaction that deletes very many
/// znodes are freed in several calls.
const MOST_STEPS: usize = 16 << 10;

impl Writer {
    /// Unlinks what no reader point needs any more and frees what was unlinked before every online reader's last
    /// quiescent point. Does a bounded amount of work: some hundreds of versions, and twice as many as were made since
    /// the last call, up to a limit. Returns whether more could be done now.
    pub fn reclaim(&mut self) -> bool {
        let mut steps = (STEPS + 2 * self.recent).min(MOST_STEPS);
        let budget = steps;
        self.recent = self.recent.saturating_sub(MOST_STEPS / 2);
        // First publish, then look at the points: a reader whose point is missed here sees everything that is published
        // now (Reader::resume).
        fence(SeqCst);
        // Readers before pins: a pin is in its slot before the reader that took it moves on.
        let low = self.shared.active().iter().map(|slot| slot.point.load(Acquire)).min().unwrap_or(NO_POINT);
        let low = low.min(self.stamps.published);
        let mut pins =
            self.shared.pins.iter().map(|slot| slot.load(Acquire)).filter(|pin| *pin != NO_POINT).collect::<Vec<_>>();
        pins.sort_unstable();

        self.release_held(&pins, &mut steps);
        while steps > 0
            && let Some(record) = self.records.front()
            && record.zxid() <= low
        {
            self.records.pop_front();
            steps -= 1;
            // SAFETY: the record names a live version; see the head of the file.
            unsafe { self.retire_below(record, &pins) };
        }

        let epoch = self.limbo.turn();
        self.shared.epoch.store(epoch, Release);
        fence(SeqCst);
        let seen = self.shared.active().iter().map(|slot| slot.seen.load(Acquire)).min().unwrap_or(u64::MAX);
        // SAFETY: readers that announced `seen` at least, or come online after the fence, cannot reach older garbage.
        let freed = unsafe { self.limbo.free(seen, budget) };
        self.meter.charge(Cost::VERSION * (budget - steps + freed));
        steps == 0
    }

    /// Superseded versions that wait for a reader or a pin, and unlinked ones that wait for quiescent points.
    pub fn pending(&self) -> (usize, usize) {
        let held = self.held.iter().map(|held| held.waiting.len()).sum::<usize>();
        (self.records.len() + held, self.limbo.len())
    }

    /// Looks again at versions that were set aside for pins that are dropped now.
    fn release_held(&mut self, pins: &[i64], steps: &mut usize) {
        let mut i = 0;
        while *steps > 0 && i < self.held.len() {
            if pins.binary_search(&self.held[i].zxid).is_ok() {
                i += 1;
                continue;
            }
            let Some(waiting) = self.held[i].waiting.pop_front() else {
                self.held.swap_remove(i);
                continue;
            };
            *steps -= 1;
            // SAFETY: a held version is linked below a newer one.
            unsafe { self.unlink_or_hold(waiting, pins) };
        }
    }

    /// Unlinks the version that the record's version superseded, or sets it aside.
    ///
    /// # Safety
    /// The record was just taken from the queue.
    unsafe fn retire_below(&mut self, record: Record, pins: &[i64]) {
        // SAFETY: the caller's promise.
        unsafe {
            match record {
                Record::Version { block, hash, replaced } => {
                    if !replaced.is_null() {
                        self.drop_replaced(replaced, hash);
                    }
                    let newer = (*block).newer.load(Relaxed);
                    if !newer.is_null() && Block::older(newer) != block {
                        return; // replaced itself: the record of what stands in its place sees to the rest
                    }
                    let below = Block::older(block);
                    if !below.is_null() && !Block::is_tombstone(below) {
                        self.unlink_or_hold(Waiting::Version { block: below, hash }, pins);
                    } else if !replaced.is_null() && Block::is_tombstone(block) {
                        // The version that it deleted was never in the chain; a tombstone below is settled on its own.
                        self.settle(block, hash);
                    }
                }
                Record::Numbers { kids, stat } => {
                    let below = (*stat).next.load(Relaxed);
                    if below.is_null() {
                        Kids::release(kids, &mut self.limbo);
                    } else {
                        self.unlink_or_hold(Waiting::Numbers { kids, stat: below }, pins);
                    }
                }
            }
        }
    }

    /// Frees a version that another one of the same transaction replaced.
    ///
    /// # Safety
    ///
    /// The version is in no chain, and its record was taken from the queue.
    unsafe fn drop_replaced(&mut self, block: *mut Block, hash: u64) {
        // SAFETY: the caller's promise.
        unsafe {
            let kids = (*block).kids.load(Relaxed);
            if Block::is_tombstone(block) && !(*block).continued.load(Relaxed) {
                // Its entry is in the child set of a parent that was created and deleted in this transaction.
                self.leave(kids, hash);
            }
            Kids::release(kids, &mut self.limbo);
            self.limbo.retire(Block::garbage(block));
        }
    }

    /// # Safety
    /// The version is linked below a newer one, both at or below every reader's point.
    unsafe fn unlink_or_hold(&mut self, waiting: Waiting, pins: &[i64]) {
        // SAFETY: the caller's promise.
        unsafe {
            let (from, to) = match waiting {
                Waiting::Version { block, .. } => ((*block).zxid, (*(*block).newer.load(Relaxed)).zxid),
                Waiting::Numbers { stat, .. } => ((*stat).zxid, (*(*stat).newer.load(Relaxed)).zxid),
            };
            // The highest pin below the successor, if the version is the one that it sees.
            let before = pins.partition_point(|pin| *pin < to);
            match before.checked_sub(1).map(|i| pins[i]).filter(|pin| *pin >= from) {
                Some(pin) => self.hold(pin, waiting),
                None => match waiting {
                    Waiting::Version { block, hash } => self.unlink(block, hash),
                    Waiting::Numbers { kids, stat } => {
                        Kids::unlink(stat, &mut self.limbo);
                        Kids::release(kids, &mut self.limbo);
                    }
                },
            }
        }
    }

    fn hold(&mut self, pin: i64, waiting: Waiting) {
        match self.held.iter_mut().find(|held| held.zxid == pin) {
            Some(held) => held.waiting.push_back(waiting),
            None => {
                let mut queue = Queue::new();
                queue.push_back(waiting);
                self.held.push(Held { zxid: pin, waiting: queue });
            }
        }
    }

    /// Unlinks a superseded version that is no tombstone.
    ///
    /// # Safety
    /// As for `unlink_or_hold`, and no point needs it.
    unsafe fn unlink(&mut self, block: *mut Block, hash: u64) {
        // SAFETY: the caller's promise.
        unsafe {
            let (newer, older) = ((*block).newer.load(Relaxed), Block::older(block));
            if !older.is_null() {
                (*older).newer.store(newer, Relaxed);
            }
            (*newer).next.store(older, Release);
            Kids::release((*block).kids.load(Relaxed), &mut self.limbo);
            self.limbo.retire(Block::garbage(block));
            if Block::is_tombstone(newer) {
                self.settle(newer, hash);
            }
        }
    }

    /// Unlinks a tombstone if it hides nothing: below it there is nothing, or another tombstone.
    ///
    /// # Safety
    /// `tombstone` is linked and published; what it superseded was just unlinked.
    unsafe fn settle(&mut self, tombstone: *mut Block, hash: u64) {
        // SAFETY: the caller's promise.
        unsafe {
            let below = Block::older(tombstone);
            if !below.is_null() && !Block::is_tombstone(below) {
                return;
            }
            let siblings = (*tombstone).kids.load(Relaxed);
            if !(*tombstone).continued.load(Relaxed) {
                // The entry in the child set goes with this tombstone, unless the tombstone below shares the entry.
                if !below.is_null() && (*below).continued.load(Relaxed) {
                    (*below).continued.store(false, Relaxed);
                } else {
                    self.leave(siblings, hash);
                }
            }
            let newer = (*tombstone).newer.load(Relaxed);
            if !below.is_null() {
                (*below).newer.store(newer, Relaxed);
            }
            if !newer.is_null() {
                (*newer).next.store(below, Release);
            } else {
                let (slot, _) = self.shared.find(hash, Block::path(tombstone)).expect("a linked chain is in the table");
                if below.is_null() {
                    self.shared.table.remove(hash, slot, &mut self.limbo);
                } else {
                    slot.set_head(below);
                }
            }
            Kids::release(siblings, &mut self.limbo);
            self.limbo.retire(Block::garbage(tombstone));
        }
    }

    /// The writer is dropped: pending records give their references back; garbage that waits for readers is left to the
    /// last one of them.
    pub(super) fn dissolve(&mut self) {
        let mut numbers = Vec::new();
        while let Some(record) = self.records.pop_front() {
            match record {
                Record::Numbers { kids, .. } => numbers.push(kids),
                // SAFETY: a replaced version holds one reference, and is in no chain.
                Record::Version { replaced, .. } if !replaced.is_null() => unsafe {
                    Kids::release((*replaced).kids.load(Relaxed), &mut self.limbo);
                    self.limbo.retire(Block::garbage(replaced));
                },
                Record::Version { .. } => {}
            }
        }
        for held in &mut self.held {
            while let Some(waiting) = held.waiting.pop_front() {
                if let Waiting::Numbers { kids, .. } = waiting {
                    numbers.push(kids);
                }
            }
        }
        for kids in numbers {
            // SAFETY: each pending record held one reference.
            unsafe { Kids::release(kids, &mut self.limbo) };
        }
        let mut garbage = self.limbo.take();
        match self.shared.leftover.lock() {
            Ok(mut leftover) => leftover.append(&mut garbage),
            Err(poisoned) => poisoned.into_inner().append(&mut garbage),
        }
    }
}
