//! How long a session may be silent before it expires.

/// What a client gets for the timeout it asked for, in ms: the nearest within the bounds. Where the bounds
/// contradict each other the upper one wins, as in ZooKeeper.
pub(crate) fn negotiate(asked_ms: i32, min_ms: i32, max_ms: i32) -> i32 {
    asked_ms.max(min_ms).min(max_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_within_the_bounds() {
        for (asked, got) in [(i32::MIN, 4000), (0, 4000), (4000, 4000), (10_000, 10_000), (40_001, 40_000)] {
            assert_eq!(negotiate(asked, 4000, 40_000), got);
        }
        assert_eq!(negotiate(5, 10, 7), 7);
    }
}
