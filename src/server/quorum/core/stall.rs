//! Detects stalled shards. The clients of a stalled shard wait for ever, and no session of any shard expires.
//!
//! Every shard counts the batches it has taken in; the quorum core counts those it has published. A shard that is
//! behind and has taken in nothing for [`limits::SHARD_STALL_MS`] ends the process: half a server is worse than none,
//! because clients of a server that is gone connect to another one. Time in which the core itself did not run does not
//! count.

use crate::fatal::{Fatal, Reason};
use crate::limits;
use crate::server::stats::Stats;

/// How many batches a shard had taken in when it last took some.
#[derive(Clone, Copy, Debug)]
struct Seen {
    taken: u64,
    since_ms: i64,
}

/// The quorum core's watch over its shards.
pub(super) struct Watchdog {
    shards: Vec<Seen>,
    /// A shard that is stalled.
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
    /// Every shard has all batches.
    pub(super) fn new(shards: usize, now_ms: i64) -> Self {
        Watchdog { shards: vec![Seen { taken: 0, since_ms: now_ms }; shards], found: None }
    }

    /// Looks at every shard: each must take in as many batches as were published. `was_away`: the core itself has not
    /// run for some time.
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

    /// The reason to end the process, if a shard was stalled at the last look.
    pub(super) fn stalled(&self) -> Option<Fatal> {
        let Found { shard, behind, for_ms } = self.found?;
        let detail = format!("shard {shard} has taken in none of {behind} batches for {for_ms} ms");
        Some(Fatal::new(Reason::ShardStalled, detail))
    }
}
