//! Shards that take nothing in: the clients of such a shard wait for ever, and no session of any shard expires.
//!
//! Every shard counts the batches it has taken in, the quorum core those it has published. A shard that is behind
//! and has not moved for [`limits::SHARD_STALL_MS`] ends the process: half a server is worse than none, as its
//! clients would go elsewhere if it were gone. Time in which the core itself did not run counts for nobody.

use crate::fatal::{Fatal, Reason};
use crate::limits;
use crate::server::stats::Stats;

/// What one shard had taken in when it last moved.
#[derive(Clone, Copy, Debug)]
struct Seen {
    taken: u64,
    since_ms: i64,
}

/// What the quorum core remembers of its shards.
pub(super) struct Watchdog {
    shards: Vec<Seen>,
    /// A shard that stands still.
    found: Option<Found>,
}

#[derive(Clone, Copy, Debug)]
struct Found {
    shard: usize,
    /// Batches that wait for it.
    behind: u64,
    for_ms: i64,
}

impl Watchdog {
    /// Every shard has all there is.
    pub(super) fn new(shards: usize, now_ms: i64) -> Self {
        Watchdog { shards: vec![Seen { taken: 0, since_ms: now_ms }; shards], found: None }
    }

    /// Looks at every shard, of which each is to take in as many batches as were published. `was_away`: the core has not
    /// run for some time itself.
    pub(super) fn look(&mut self, published: u64, stats: &Stats, now_ms: i64, was_away: bool) {
        self.found = None;
        for (shard, seen) in self.shards.iter_mut().enumerate() {
            let taken = stats.shards[shard].batches.value();
            if was_away || taken != seen.taken || taken == published {
                *seen = Seen { taken, since_ms: now_ms };
            } else if now_ms - seen.since_ms > limits::SHARD_STALL_MS {
                self.found = Some(Found { shard, behind: published - taken, for_ms: now_ms - seen.since_ms });
            }
        }
    }

    /// Why the process must end: a shard stands still, as of the last look.
    pub(super) fn stalled(&self) -> Option<Fatal> {
        let Found { shard, behind, for_ms } = self.found?;
        let detail = format!("shard {shard} has taken in none of {behind} batches for {for_ms} ms");
        Some(Fatal::new(Reason::ShardStalled, detail))
    }
}
