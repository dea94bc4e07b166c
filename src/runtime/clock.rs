//! The time, read once per turn.

use crate::server::message::Clock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A source of [`Clock`] readings that share one start.
#[derive(Clone, Copy)]
pub(crate) struct Clocks {
    start: Instant,
}

impl Clocks {
    /// Starts counting now.
    pub(crate) fn start() -> Self {
        Clocks { start: Instant::now() }
    }

    /// The time now.
    pub(crate) fn now(&self) -> Clock {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { mono_ms: self.start.elapsed().as_millis() as i64, wall_ms: wall.as_millis() as i64 }
    }
}
