//! Counters that a shard or the quorum core writes and anybody may read.
//!
//! Each writer has its own struct, so that no two cores write the same cache line; a reader adds them up.

use crate::config::Present;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU16, AtomicU64, Ordering::Relaxed};

/// Whether what happens is counted and timed. It always is, but in the build that `tools/steady metrics` compares with, to show
/// what counting costs.
pub const COUNTS: bool = !cfg!(corral_uncounted);

/// A counter with one writer.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds to it.
    #[inline]
    pub fn add(&self, n: u64) {
        // One writer: no read-modify-write instruction is needed.
        if COUNTS {
            self.set(self.value().wrapping_add(n));
        }
    }

    /// Its value.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Sets it.
    #[inline]
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }
}

/// Count, sum, minimum and maximum of a measurement with one writer, milliseconds.
#[derive(Debug)]
pub struct Summary {
    count: Count,
    sum: Count,
    min: AtomicI64,
    max: AtomicI64,
}

impl Default for Summary {
    fn default() -> Self {
        Summary {
            count: Count::default(),
            sum: Count::default(),
            min: AtomicI64::new(i64::MAX),
            max: AtomicI64::new(0),
        }
    }
}

impl Summary {
    /// Adds one measurement.
    #[inline]
    pub fn record(&self, ms: i64) {
        if !COUNTS {
            return;
        }
        let ms = ms.max(0);
        self.count.add(1);
        self.sum.add(ms as u64);
        if ms < self.min.load(Relaxed) {
            self.min.store(ms, Relaxed);
        }
        if ms > self.max.load(Relaxed) {
            self.max.store(ms, Relaxed);
        }
    }

    /// (count, sum, min, max); all zero when nothing was recorded.
    pub fn read(&self) -> (u64, u64, i64, i64) {
        let count = self.count.value();
        let min = if count == 0 { 0 } else { self.min.load(Relaxed) };
        (count, self.sum.value(), min, self.max.load(Relaxed))
    }

    /// Forgets everything.
    pub fn reset(&self) {
        self.count.set(0);
        self.sum.set(0);
        self.min.store(i64::MAX, Relaxed);
        self.max.store(0, Relaxed);
    }
}

/// What one shard counts.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct ShardStats {
    pub received: Count,
    pub sent: Count,
    pub received_bytes: Count,
    pub sent_bytes: Count,
    /// Connections now.
    pub connections: Count,
    /// Batches of the sequence that were taken in; never reset, and counted always: who watches the shards goes by it.
    pub batches: Count,
    /// Requests waiting for the quorum core now.
    pub outstanding: Count,
    /// Watches now, both tables.
    pub watches: Count,
    pub auth_failed: Count,
    pub sessionless_expired: Count,
    /// Requests refused as throttled: no memory for their answer, or for one more watch.
    pub throttled: Count,
    /// Connections ended because their clients did not read, or kept memory that was short.
    pub unread_ended: Count,
    pub latency: Summary,
    pub read_latency: Summary,
    pub update_latency: Summary,
    /// The last reply's length; the least and the greatest follow (bytes).
    pub last_response: Count,
    pub min_response: Count,
    pub max_response: Count,
}

impl ShardStats {
    /// Forgets what `srst` resets: packets and latencies, not what is there now.
    pub fn reset(&self) {
        for count in [&self.received, &self.sent, &self.received_bytes, &self.sent_bytes] {
            count.set(0);
        }
        for count in [&self.last_response, &self.min_response, &self.max_response] {
            count.set(0);
        }
        for summary in [&self.latency, &self.read_latency, &self.update_latency] {
            summary.reset();
        }
    }

    /// Counts a reply of `length` bytes.
    #[inline]
    pub fn responded(&self, length: u64) {
        if !COUNTS {
            return;
        }
        self.last_response.set(length);
        if length > self.max_response.value() {
            self.max_response.set(length);
        }
        let min = self.min_response.value();
        if min == 0 || length < min {
            self.min_response.set(length);
        }
    }
}

/// What the quorum core counts.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct CoreStats {
    /// The newest zxid that is durable and visible.
    pub zxid: AtomicI64,
    /// Of the ensemble, or of a server on its own.
    pub sessions: Count,
    /// Of this server alone.
    pub local_sessions: Count,
    pub ephemerals: Count,
    pub transactions: Count,
    pub groups: Count,
    pub snapshots: Count,
    /// From handing a group to the disk until it is durable.
    pub fsync: Summary,
    pub snapshot_time: Summary,
    /// Requests refused as throttled: they would have cost too much, or a learner has forwarded too many.
    pub throttled: Count,
    pub stale_sessions_expired: Count,
    pub digest_mismatches: Count,
}

/// What a server is to its clients, as `srvr` says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Mode {
    Standalone,
    /// A member of an ensemble without its place in it.
    NotServing,
    Leader,
    Follower,
    Observer,
    ReadOnly,
}

impl Mode {
    const ALL: [Mode; 6] =
        [Mode::Standalone, Mode::NotServing, Mode::Leader, Mode::Follower, Mode::Observer, Mode::ReadOnly];
}

/// What the quorum core says of its ensemble; those below `master` mean something for a leader alone.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct QuorumStats {
    /// A [`Mode`].
    pub mode: AtomicU8,
    /// New sessions get passwords that anybody can compute.
    pub public_passwords: AtomicBool,
    /// The configuration that a member acts by.
    pub present: Mutex<Option<Present>>,
    pub voters: Count,
    /// Whom it follows: of an observer that may be a voter other than the leader.
    pub master: Count,
    pub learners: Count,
    pub synced_followers: Count,
    pub synced_non_voting: Count,
    pub synced_observers: Count,
    pub pending_syncs: Count,
    /// Since it was established.
    pub leader_uptime_ms: Count,
    /// Bytes of the last, least and greatest proposal; 0 before the first.
    pub last_proposal: Count,
    pub min_proposal: Count,
    pub max_proposal: Count,
    /// Epochs that began without an election, since the start.
    pub roll_overs: Count,
}

impl QuorumStats {
    /// What the server is now.
    pub fn mode(&self) -> Mode {
        let mode = self.mode.load(Relaxed);
        Mode::ALL.into_iter().find(|known| *known as u8 == mode).unwrap_or(Mode::NotServing)
    }

    /// Counts a proposal of `bytes`.
    #[inline]
    pub fn proposed(&self, bytes: u64) {
        self.last_proposal.set(bytes);
        if bytes > self.max_proposal.value() {
            self.max_proposal.set(bytes);
        }
        let min = self.min_proposal.value();
        if min == 0 || bytes < min {
            self.min_proposal.set(bytes);
        }
    }

    /// A leader begins with nothing proposed, as ZooKeeper's does.
    pub fn begin_to_lead(&self) {
        for count in [&self.last_proposal, &self.min_proposal, &self.max_proposal] {
            count.set(0);
        }
    }
}

/// Everything that counts, for whoever answers `mntr`.
#[derive(Debug)]
pub struct Stats {
    pub shards: Vec<ShardStats>,
    pub core: CoreStats,
    pub quorum: QuorumStats,
    /// Connections turned away at accept.
    pub connections_rejected: AtomicU64,
    /// Where clients are served now; 0 before the server has started.
    pub client_port: AtomicU16,
}

impl Stats {
    /// For a server of `shards` shards.
    pub fn new(shards: usize) -> Self {
        Stats {
            shards: (0..shards).map(|_| ShardStats::default()).collect(),
            core: CoreStats::default(),
            quorum: QuorumStats::default(),
            connections_rejected: AtomicU64::new(0),
            client_port: AtomicU16::new(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_is_the_one_that_was_set() {
        let quorum = QuorumStats::default();
        assert_eq!(quorum.mode(), Mode::Standalone);
        for mode in Mode::ALL {
            quorum.mode.store(mode as u8, Relaxed);
            assert_eq!(quorum.mode(), mode);
        }
        quorum.proposed(7);
        quorum.proposed(3);
        assert_eq!((quorum.last_proposal.value(), quorum.min_proposal.value(), quorum.max_proposal.value()), (3, 3, 7));
    }

    #[test]
    fn summary_starts_at_zero_and_resets() {
        let summary = Summary::default();
        assert_eq!(summary.read(), (0, 0, 0, 0));
        summary.record(5);
        summary.record(2);
        assert_eq!(summary.read(), (2, 7, 2, 5));
        summary.reset();
        assert_eq!(summary.read(), (0, 0, 0, 0));
    }
}
