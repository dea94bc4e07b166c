//! When a snapshot is due, and what it is made of. How a core captures one is in [`super::capture`].
//!
//! A snapshot is the state at exactly one zxid: when one is due the sessions are copied as of the last transaction
//! prepared, and as soon as that one is durable its zxid is pinned. Another thread writes the file: it walks the tree
//! at the pin, while transactions continue.

use crate::config::Config;
use crate::ids::{SessionId, Zxid};
use crate::tree::store::{Pin, Reader};

/// Snapshots are written at most 1/`SHARE` of the time: they compete with the core for memory bandwidth, disk and, on
/// few cores, processor. At some hundred thousand writes a second `snapCount` alone would always keep one under way.
const SHARE: i64 = 10;
/// The wait ends at the latest after so many times the rule's transactions or bytes, because the next start replays
/// them.
const LATEST: u64 = 10;

/// How often snapshots are taken (`snapCount`, `snapSizeLimitInKb`).
#[derive(Clone, Copy, Debug)]
pub(super) struct SnapshotRule {
    /// Transactions between two snapshots; 0: no such rule. ZooKeeper takes one after half of this number plus a random
    /// part of the other half, so that not all servers do it at once. Here a snapshot does not disturb, and is due at
    /// this number.
    every_txns: u64,
    /// Bytes of log between two snapshots; 0: no such rule.
    every_bytes: u64,
}

impl SnapshotRule {
    pub(crate) fn of(config: &Config) -> SnapshotRule {
        SnapshotRule { every_txns: u64::from(config.snap_count), every_bytes: config.snap_size_limit.unwrap_or(0) }
    }
}

/// A captured state, to be written.
pub(super) struct Capture {
    /// The zxid that is pinned.
    pub(crate) zxid: Zxid,
    /// The last transaction in the state: the snapshot is named after it.
    pub(crate) logged: Zxid,
    pub(crate) sessions: Vec<(SessionId, i32)>,
    pub(crate) digest: Option<u64>,
}

/// The state of snapshots: since the last one, and of the one being made.
pub(super) struct SnapshotPlan {
    rule: SnapshotRule,
    txns: u64,
    bytes: u64,
    /// The last snapshot taken, or the state the server started from.
    last: Zxid,
    /// Monotonic ms before which the next one would take more than its share.
    rest_until_ms: i64,
    capture: Option<Capture>,
    /// `Some` while no snapshot is being written.
    reader: Option<Reader>,
    pinned: Option<(Capture, Reader, Pin)>,
    /// The state is about to be replaced: no snapshot of it is wanted.
    is_held: bool,
}

impl SnapshotPlan {
    pub(super) fn new(rule: SnapshotRule, reader: Reader, last: Zxid) -> Self {
        SnapshotPlan {
            rule,
            txns: 0,
            bytes: 0,
            last,
            rest_until_ms: i64::MIN,
            capture: None,
            reader: Some(reader),
            pinned: None,
            is_held: false,
        }
    }

    /// Transactions are being taken back, or another state is being written. The same thread writes snapshots: it would
    /// write one of the present state only afterwards, over the new state.
    pub(super) fn hold(&mut self) {
        self.is_held = true;
        if let Some((_, reader, _)) = self.pinned.take() {
            self.reader = Some(reader);
        }
        if let (Some(_), Some(reader)) = (self.capture.take(), &mut self.reader) {
            reader.park(false);
        }
    }

    /// The truncation is done: the remaining state may be captured.
    pub(super) fn release(&mut self) {
        self.is_held = false;
    }

    /// The state was replaced by one that was just written, at `last`.
    pub(super) fn begin_anew(&mut self, reader: Reader, last: Zxid) {
        *self = SnapshotPlan::new(self.rule, reader, last);
    }

    /// A transaction of so many bytes was prepared.
    pub(super) fn count(&mut self, bytes: usize) {
        self.txns += 1;
        self.bytes += bytes as u64;
    }

    /// Whether the state can be captured now.
    pub(super) fn is_free(&self) -> bool {
        !self.is_held && self.capture.is_none() && self.pinned.is_none() && self.reader.is_some()
    }

    #[inline]
    pub(super) fn is_due(&self, now_ms: i64) -> bool {
        let factor = if now_ms < self.rest_until_ms { LATEST } else { 1 };
        let SnapshotRule { every_txns, every_bytes } = self.rule;
        let has_passed = |count: u64, limit: u64| limit > 0 && count >= limit.saturating_mul(factor);
        (has_passed(self.txns, every_txns) || has_passed(self.bytes, every_bytes)) && self.is_free()
    }

    /// Everything up to `zxid` is durable and visible: pins the capture, if it is not after `zxid`. Called before
    /// anything older is reclaimed.
    pub(super) fn published(&mut self, zxid: Zxid) {
        if self.capture.as_ref().is_none_or(|capture| capture.zxid > zxid) {
            return;
        }
        let (Some(capture), Some(mut reader)) = (self.capture.take(), self.reader.take()) else { return };
        // In an ensemble the zxid is durable but may not be committed: a truncation waits for the snapshot.
        let pin = reader.pin_ahead(capture.zxid);
        reader.park(false);
        match pin {
            Ok(pin) => self.pinned = Some((capture, reader, pin)),
            Err(error) => {
                tracing::warn!(%error, "no snapshot now");
                self.reader = Some(reader);
            }
        }
    }

    /// At the start, so many transactions come after the last snapshot.
    pub(super) fn replayed(&mut self, txns: u64) {
        self.txns += txns;
    }

    /// The state is captured: from now on nothing that it needs can be freed.
    pub(super) fn begin(&mut self, capture: Capture) {
        (self.txns, self.bytes) = (0, 0);
        self.capture = Some(capture);
        if let Some(reader) = &mut self.reader {
            reader.resume();
            reader.park(true);
        }
    }

    /// Whether a state is pinned that is not being written.
    #[inline]
    pub(super) fn is_pinned(&self) -> bool {
        self.pinned.is_some()
    }

    /// Takes the pinned capture, to be written.
    pub(super) fn take_pinned(&mut self) -> Option<(Capture, Reader, Pin)> {
        self.pinned.take()
    }

    /// A snapshot of `zxid` has been written in `took_ms`; its reader comes back.
    pub(super) fn written(&mut self, zxid: Zxid, reader: Reader, took_ms: i64, now_ms: i64) {
        self.last = zxid;
        self.rest_until_ms = now_ms + (SHARE - 1) * took_ms;
        self.reader = Some(reader);
    }

    /// The zxid of the newest snapshot, or of the state the server started from.
    #[cfg(test)]
    pub(super) fn last(&self) -> Zxid {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::store::Writer;

    const RULE: SnapshotRule = SnapshotRule { every_txns: 100, every_bytes: 1 << 20 };

    fn plan(rule: SnapshotRule) -> SnapshotPlan {
        SnapshotPlan::new(rule, Writer::new().store().reader().unwrap(), Zxid::ZERO)
    }

    #[test]
    fn one_is_due_by_number_or_by_size() {
        let mut plan = plan(RULE);
        (0..99).for_each(|_| plan.count(1));
        assert!(!plan.is_due(0));
        plan.count(1);
        assert!(plan.is_due(0));
        let mut plan = self::plan(RULE);
        plan.count(1 << 20);
        assert!(plan.is_due(0));
        let mut plan = self::plan(SnapshotRule { every_txns: 0, every_bytes: 0 });
        plan.count(1 << 30);
        assert!(!plan.is_due(0), "there is no rule");
    }

    #[test]
    fn the_next_one_waits_until_it_would_take_a_tenth_of_the_time_but_not_for_ever() {
        let mut plan = plan(RULE);
        plan.rest_until_ms = 900;
        (0..999).for_each(|_| plan.count(1));
        assert!(!plan.is_due(899));
        assert!(plan.is_due(900));
        plan.count(1);
        assert!(plan.is_due(0), "ten times the number");
        let mut plan = self::plan(RULE);
        plan.rest_until_ms = 900;
        plan.count((10 << 20) - 1);
        assert!(!plan.is_due(899));
        plan.count(1);
        assert!(plan.is_due(0), "ten times the size");
    }

    /// Such a snapshot would be written after the new state, and named after a zxid that no longer exists or belongs to
    /// the new state.
    #[test]
    fn a_state_that_is_about_to_become_another_one_is_not_captured() {
        let mut plan = plan(RULE);
        (0..100).for_each(|_| plan.count(1));
        plan.hold();
        assert!(!plan.is_due(0) && !plan.is_free());
        plan.release();
        assert!(plan.is_due(0));
        // A pinned capture that is not being written yet is given up.
        let (mut reader, zxid) = (plan.reader.take().unwrap(), Zxid(0));
        reader.resume();
        let pin = reader.pin_ahead(zxid).unwrap();
        plan.pinned = Some((Capture { zxid, logged: zxid, sessions: vec![], digest: None }, reader, pin));
        plan.hold();
        assert!(plan.pinned.is_none() && plan.reader.is_some());
        // And so is a capture that is not pinned yet: another transaction will get that zxid.
        plan.capture = Some(Capture { zxid, logged: zxid, sessions: vec![], digest: None });
        plan.hold();
        plan.release();
        plan.published(zxid);
        assert!(plan.pinned.is_none());
    }
}
