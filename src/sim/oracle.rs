//! The order that all servers have shown: what one shows must be what the others have shown, and what it has on disk.
//!
//! A server shows a transaction when its clients may see it. The first server to show one settles what that zxid is;
//! from then on it is committed: every other server must come to show the same, no leader may lack it, and no truncation
//! may take it away.

use super::model::Model;
use crate::ids::Zxid;
use crate::jute::txn::read_entry;
use crate::zab::history::{History, Txn, follows};

/// How far one server has been looked at.
#[derive(Clone, Default, Debug)]
pub struct Seen {
    shown: Zxid,
    /// How many of the oracle's transactions are known to be on its disk, from the first on.
    agreed: usize,
}

impl Seen {
    /// Whether the server shows more than when it was last looked at. What it shows never goes back.
    pub fn shows(&mut self, shown: Zxid) -> bool {
        assert!(shown >= self.shown, "{shown} is shown after {}", self.shown);
        let more = shown > self.shown;
        self.shown = shown;
        more
    }

    /// Whether its clients may have seen this.
    pub fn has_shown(&self, zxid: Zxid) -> bool {
        zxid <= self.shown
    }

    /// The server has started and found `found`; `log` is what it had made durable before.
    pub fn restarted(&mut self, log: &History, found: &History) {
        *self = Seen::default();
        assert!(found.last() >= log.last(), "the log ended at {}, and now does at {}", log.last(), found.last());
        let from = found.floor().max(log.floor());
        for (before, now) in log.after(from).zip(found.after(from)) {
            assert!(before == now, "{} was durable, and now it is {}", before.zxid, now.zxid);
        }
    }

    /// A transaction becomes durable behind `log` (I2).
    pub fn logged(&self, log: &History, zxid: Zxid) {
        assert!(follows(log.last(), zxid), "{zxid} is logged after {}", log.last());
    }

    /// A tree that is exactly the log has the digest that the log's last transaction carries.
    pub fn check_digest(log: &History, digest: u64) {
        let Some(last) = log.after(log.floor()).last() else { return };
        let (.., carried) = read_entry(&last.bytes).expect("it was logged");
        if let Some(carried) = carried {
            assert_eq!(carried.tree_digest as u64, digest, "the digest at {}", last.zxid);
        }
    }
}

/// The order. See the module's text.
pub struct Oracle {
    log: Vec<Txn>,
    /// The tree that the committed transactions make, at every zxid.
    pub model: Model,
}

impl Default for Oracle {
    fn default() -> Self {
        Self::new()
    }
}

impl Oracle {
    /// Nothing has been shown.
    pub fn new() -> Oracle {
        Oracle { log: vec![], model: Model::new() }
    }

    /// How many transactions are committed.
    pub fn commits(&self) -> usize {
        self.log.len()
    }

    /// The last committed one.
    pub fn last(&self) -> Zxid {
        self.log.last().map_or(Zxid::ZERO, |txn| txn.zxid)
    }

    /// The committed transaction of a zxid.
    pub fn txn(&self, zxid: Zxid) -> Option<&Txn> {
        let at = self.log.binary_search_by_key(&zxid, |txn| txn.zxid).ok()?;
        Some(&self.log[at])
    }

    fn upto(&self, zxid: Zxid) -> usize {
        self.log.partition_point(|txn| txn.zxid <= zxid)
    }

    /// A server with this log shows everything up to `shown`: those that nobody has shown before.
    pub fn shown(&mut self, log: &History, seen: &mut Seen, shown: Zxid) -> Vec<Zxid> {
        // What its log does not reach back to came in a snapshot, or has been looked at.
        seen.agreed = seen.agreed.max(self.upto(log.floor()));
        let mut fresh = vec![];
        let known = seen.agreed.checked_sub(1).map_or(Zxid::ZERO, |at| self.log[at].zxid);
        for txn in log.after(known.max(log.floor())).take_while(|txn| txn.zxid <= shown) {
            match self.log.get(seen.agreed) {
                Some(settled) => assert!(settled == txn, "{} is shown where {} was", txn.zxid, settled.zxid),
                None => {
                    assert!(follows(self.last(), txn.zxid), "{} is shown after {}", txn.zxid, self.last());
                    self.model.apply(txn);
                    self.log.push(txn.clone());
                    fresh.push(txn.zxid);
                }
            }
            seen.agreed += 1;
        }
        if let Some(next) = self.log.get(seen.agreed) {
            assert!(next.zxid > shown, "{shown} is shown without {}", next.zxid);
        }
        fresh
    }

    /// A server with this log is the leader of a new epoch: it has everything that is committed of those before (I5). It may
    /// learn late that a quorum acknowledged it, when that quorum has long gone on with the leader of a later one.
    pub fn leads(&self, log: &History, epoch: i64) {
        let before = self.log.partition_point(|txn| txn.zxid.epoch() < epoch);
        let due = &self.log[self.upto(log.floor()).min(before)..before];
        for (settled, its) in due.iter().zip(log.after(log.floor())) {
            assert!(settled == its, "a leader has {} where {} is committed", its.zxid, settled.zxid);
        }
        let last = due.last().map_or(Zxid::ZERO, |txn| txn.zxid);
        assert!(log.last() >= last, "a leader ends at {}, committed is {last}", log.last());
    }

    /// What is committed of what a server with this log loses when it cuts it behind `zxid`.
    pub fn lost(&self, log: &History, zxid: Zxid) -> Vec<Zxid> {
        log.after(zxid).filter(|lost| self.txn(lost.zxid) == Some(lost)).map(|lost| lost.zxid).collect()
    }

    /// A server cuts its log behind `zxid`.
    pub fn cut(&self, log: &mut History, seen: &mut Seen, zxid: Zxid) {
        log.truncate(zxid);
        seen.agreed = seen.agreed.min(self.upto(zxid));
    }

    /// A server has taken over another's state as of `zxid`. It may be ahead of what is committed: of a leader whose
    /// history is not on the disks of a quorum yet.
    pub fn installed(&self, seen: &mut Seen, zxid: Zxid) {
        seen.agreed = self.upto(zxid);
    }
}
