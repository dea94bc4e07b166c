//! How long a session may be silent before it expires.

/// What a client gets for the timeout it asked for, in ms: the nearest within the bounds. Where the bounds
/// contradict each other the upper one wins, as in ZooKeeper.
pub(crate) fn negotiate(asked_ms: i32, min_ms: i32, max_ms: i32) -> i32 {
    asked_ms.max(min_ms).min(max_ms)
}

/// The lower bound where the configuration names none: two ticks.
#[cfg(test)]
pub(crate) fn default_min_ms(tick_ms: i32) -> i32 {
    tick_ms.saturating_mul(2)
}

/// The upper bound where the configuration names none: twenty ticks.
#[cfg(test)]
pub(crate) fn default_max_ms(tick_ms: i32) -> i32 {
    tick_ms.saturating_mul(20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_within_the_bounds() {
        for (asked, got) in [(i32::MIN, 4000), (0, 4000), (4000, 4000), (10_000, 10_000), (40_001, 40_000)] {
            assert_eq!(negotiate(asked, default_min_ms(2000), default_max_ms(2000)), got);
        }
        assert_eq!(negotiate(5, 10, 7), 7);
        assert_eq!(default_max_ms(i32::MAX), i32::MAX);
    }
}
