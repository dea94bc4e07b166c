//! The end of the log in memory, from which a leader brings its learners up to date.
//!
//! A ring of transactions with a limit in number and in bytes. It knows every transaction after its
//! `floor` up to its `last`, without a gap, so a peer that stands anywhere in between needs no disk.
//! It belongs to the server, not to a role: leader and learner append to it what they append to the log.

use crate::ids::Zxid;
use crate::limits;
use std::collections::VecDeque;
use std::sync::Arc;

/// A transaction: its zxid, and bytes that the protocol does not interpret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Txn {
    pub(crate) zxid: Zxid,
    /// Header, record and digest, as in the log and on the wire.
    pub(crate) bytes: Arc<[u8]>,
}

/// How much a [`History`] keeps.
#[derive(Clone, Copy, Debug)]
pub struct HistoryLimits {
    /// Transactions (ZooKeeper's `commitLogCount`, at least 500 there).
    pub count: usize,
    /// Bytes of transactions: many large ones must not push everything else out of memory.
    pub bytes: usize,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        HistoryLimits { count: 50_000, bytes: limits::history(0) }
    }
}

/// The end of the log. See the module's text.
#[derive(Clone, Debug)]
pub struct History {
    limits: HistoryLimits,
    /// The transaction just before the first one kept.
    floor: Zxid,
    entries: VecDeque<Txn>,
    bytes: usize,
}

/// Whether `next` may follow `previous` in a log: the next one of the same epoch, or the first one of a
/// higher epoch. Anything else is a hole (invariant I2).
pub(crate) fn follows(previous: Zxid, next: Zxid) -> bool {
    if next.epoch() == previous.epoch() {
        previous.counter() != u32::MAX && next == previous.next()
    } else {
        next > previous && next.counter() == 1
    }
}

impl History {
    /// Nothing yet after `floor`: the zxid of the state the log goes on from.
    pub(crate) fn new(limits: HistoryLimits, floor: Zxid) -> Self {
        History { limits, floor, entries: VecDeque::new(), bytes: 0 }
    }

    /// The transaction before the first one kept; all after it are here.
    pub(crate) fn floor(&self) -> Zxid {
        self.floor
    }

    /// The end of the log.
    pub(crate) fn last(&self) -> Zxid {
        self.entries.back().map_or(self.floor, |txn| txn.zxid)
    }

    /// How many transactions are kept.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// None is kept.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Appends a transaction that the log has. Zxids only rise; the caller checks that there is no gap, because the caller
    /// knows what to do about one.
    pub(crate) fn push(&mut self, txn: Txn) {
        assert!(txn.zxid > self.last(), "{} appended after {}", txn.zxid, self.last());
        self.bytes += txn.bytes.len();
        self.entries.push_back(txn);
        while self.entries.len() > self.limits.count || self.bytes > self.limits.bytes {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes -= oldest.bytes.len();
            self.floor = oldest.zxid;
        }
    }

    /// The transactions after `zxid`, in order. Complete only if `zxid` is not below [`History::floor`].
    pub(crate) fn after(&self, zxid: Zxid) -> impl Iterator<Item = &Txn> {
        let start = self.entries.partition_point(|txn| txn.zxid <= zxid);
        self.entries.range(start..)
    }

    /// The largest zxid at or below `zxid` that is known here.
    pub(crate) fn at_or_before(&self, zxid: Zxid) -> Option<Zxid> {
        let after = self.entries.partition_point(|txn| txn.zxid <= zxid);
        match after.checked_sub(1) {
            Some(at) => Some(self.entries[at].zxid),
            None => (self.floor <= zxid).then_some(self.floor),
        }
    }

    /// Forgets what the log has lost: everything after `zxid`.
    pub(crate) fn truncate(&mut self, zxid: Zxid) {
        if zxid < self.floor {
            self.reset(zxid);
            return;
        }
        while self.entries.back().is_some_and(|txn| txn.zxid > zxid) {
            let lost = self.entries.pop_back().map_or(0, |txn| txn.bytes.len());
            self.bytes -= lost;
        }
    }

    /// Begins anew after a snapshot of `floor`.
    pub(crate) fn reset(&mut self, floor: Zxid) {
        *self = History::new(self.limits, floor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn txn(zxid: i64, length: usize) -> Txn {
        Txn { zxid: Zxid(zxid), bytes: vec![0; length].into() }
    }

    fn zxids(history: &History, after: i64) -> Vec<i64> {
        history.after(Zxid(after)).map(|txn| txn.zxid.0).collect()
    }

    #[test]
    fn what_may_follow() {
        let zxid = |epoch: i64, counter: i64| Zxid(epoch << 32 | counter);
        assert!(follows(zxid(1, 4), zxid(1, 5)));
        assert!(follows(zxid(1, 4), zxid(2, 1)) && follows(zxid(1, 4), zxid(7, 1)));
        assert!(follows(zxid(2, 0), zxid(2, 1)));
        for (previous, next) in [
            (zxid(1, 4), zxid(1, 4)),
            (zxid(1, 4), zxid(1, 6)),
            (zxid(1, 4), zxid(2, 2)),
            (zxid(1, 4), zxid(2, 0)),
            (zxid(2, 1), zxid(1, 2)),
            (zxid(1, 0xffff_ffff), zxid(2, 0)),
            (zxid(1, 4), zxid(-1, 1)),
        ] {
            assert!(!follows(previous, next), "{previous} {next}");
        }
    }

    #[test]
    fn limits_raise_the_floor() {
        let mut history = History::new(HistoryLimits { count: 3, bytes: 100 }, Zxid(10));
        for zxid in 11..=14 {
            history.push(txn(zxid, 10));
        }
        assert_eq!((history.floor(), history.last(), history.len()), (Zxid(11), Zxid(14), 3));
        history.push(txn(15, 75));
        assert_eq!((history.floor(), zxids(&history, 0)), (Zxid(12), vec![13, 14, 15]));
        history.push(txn(16, 101));
        assert_eq!((history.floor(), history.last(), history.is_empty()), (Zxid(16), Zxid(16), true));
    }

    #[test]
    fn places_are_found() {
        let mut history = History::new(HistoryLimits::default(), Zxid(4));
        for zxid in [5, 6, 9] {
            history.push(txn(zxid, 1));
        }
        assert_eq!(zxids(&history, 4), [5, 6, 9]);
        assert_eq!(zxids(&history, 6), [9]);
        assert_eq!(zxids(&history, 9), [0; 0]);
        let at = |zxid| history.at_or_before(Zxid(zxid)).map(|zxid| zxid.0);
        assert_eq!([at(3), at(4), at(5), at(8), at(20)], [None, Some(4), Some(5), Some(6), Some(9)]);
    }

    #[test]
    fn truncation_forgets_the_end() {
        let mut history = History::new(HistoryLimits { count: 10, bytes: 30 }, Zxid(4));
        for zxid in 5..=7 {
            history.push(txn(zxid, 10));
        }
        history.truncate(Zxid(6));
        assert_eq!((history.last(), history.len()), (Zxid(6), 2));
        history.push(txn(7, 10));
        assert_eq!(history.floor(), Zxid(4), "the bytes of what was lost are not counted");
        history.truncate(Zxid(2));
        assert_eq!((history.floor(), history.last()), (Zxid(2), Zxid(2)));
    }
}
