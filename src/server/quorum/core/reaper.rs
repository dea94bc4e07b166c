//! The search for containers and TTL znodes that have outlived their time.

use crate::config::Config;
use crate::limits;
use std::collections::VecDeque;

/// When the next search begins, and what the one under way has found.
pub(super) struct Reaper {
    /// At least [`limits::REAP_INTERVAL_MS`].
    interval_ms: i64,
    /// At most this many znodes are reaped in a minute.
    per_minute: usize,
    pub(crate) next_ms: i64,
    /// How many znodes the sweep under way may still reap; `None`: none is under way.
    pub(crate) left: Option<usize>,
    pub(crate) found: VecDeque<Vec<u8>>,
}

impl Reaper {
    /// The first sweep begins after one interval.
    pub(crate) fn new(config: &Config, now_ms: i64) -> Reaper {
        let interval_ms = i64::from(config.container_check_interval_ms).max(limits::REAP_INTERVAL_MS);
        let per_minute = config.container_max_per_minute as usize;
        Reaper { interval_ms, per_minute, next_ms: now_ms + interval_ms, left: None, found: VecDeque::new() }
    }

    /// Begins a sweep, if it is time. A sweep that is under way continues instead.
    pub(crate) fn begin_sweep(&mut self, now_ms: i64) -> bool {
        let is_due = now_ms >= self.next_ms;
        if is_due {
            self.next_ms = now_ms + self.interval_ms;
            let limit = self.per_minute.saturating_mul(self.interval_ms as usize).div_ceil(60_000);
            self.left.get_or_insert(limit);
        }
        is_due
    }
}
