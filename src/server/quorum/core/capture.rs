//! Snapshots of a core's state: captured at its head, pinned when the head is on disk. When they are due is in
//! [`super::snapshots`].

use super::Core;
use super::snapshots::Capture;
use crate::ids::Zxid;
use crate::server::snapshot::SnapshotJob;
use crate::tree::store::Reader;

impl Core {
    /// The start replayed so many transactions. They count towards the next snapshot, so that the next start does not
    /// replay them again.
    pub(crate) fn count_replayed(&mut self, txns: u64) {
        self.plan.replayed(txns);
    }

    /// Whether it is time for a snapshot, and the state can be captured.
    #[inline]
    pub(in crate::server::quorum) fn is_snapshot_due(&self) -> bool {
        self.plan.is_due(self.clock.mono_ms)
    }

    /// Captures the state now, whether a snapshot is due or not, unless one is being made or the state is about to be
    /// replaced.
    pub(in crate::server::quorum) fn capture_snapshot(&mut self, serves: bool) {
        if !self.plan.is_free() || self.under_way.is_some() {
            return;
        }
        let head = self.head();
        let sessions = self.state.sessions().collect();
        let digest = self.options.config.digest_enabled.then(|| self.state.digest());
        // An epoch's first zxid has no transaction. A start that found a snapshot of that zxid would expect a log that
        // reaches it.
        let logged = if head.counter() == 0 { self.logged() } else { head };
        self.plan.begin(Capture { zxid: head, logged, sessions, digest });
        if self.is_at_rest(serves) {
            self.plan.published(head);
        }
    }

    /// A snapshot that can be written now.
    #[inline]
    pub(in crate::server::quorum) fn take_snapshot_job(&mut self) -> Option<Box<SnapshotJob>> {
        if !self.plan.is_pinned() {
            return None;
        }
        let (capture, reader, pin) = self.plan.take_pinned()?;
        let Capture { logged, sessions, digest, .. } = capture;
        let acls = Some(self.state.all_acls());
        Some(Box::new(SnapshotJob { zxid: logged, sessions, digest, acls, reader, pin, log_from: None }))
    }

    /// A snapshot of `zxid` has been written in `took_ms`; its reader comes back.
    pub(in crate::server::quorum) fn snapshot_done(&mut self, zxid: Zxid, reader: Reader, took_ms: i64) {
        self.plan.written(zxid, reader, took_ms, self.clock.mono_ms);
        self.stats.core.snapshot_time.record(took_ms);
    }

    /// The zxid of the newest snapshot, or of the state the server started from.
    #[cfg(test)]
    pub(in crate::server::quorum) fn last_snapshot(&self) -> Zxid {
        self.plan.last()
    }

    /// Transactions are being taken back, or another state is being written: the state is not captured meanwhile.
    pub(in crate::server::quorum) fn hold_snapshots(&mut self) {
        self.plan.hold();
    }

    /// The state may be captured again.
    pub(in crate::server::quorum) fn release_snapshots(&mut self) {
        self.plan.release();
    }
}
