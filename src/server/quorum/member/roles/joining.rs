//! The data of a member that connects to the leader it has found, and the time limits of that.

use crate::zab::voters::ServerId;

/// How long a leader may refuse connections: a server that was just elected may not know it yet, and a server that is
/// gone will never accept. (ZooKeeper 3.9 tries five times, every 100 ms.)
const LEADER_REFUSES_MS: i64 = 1_000;

/// The connection attempts to a leader, or to a voter in its place.
#[derive(Clone, Copy)]
pub(crate) struct Joining {
    pub leader: ServerId,
    /// The server that was dialled last.
    pub master: ServerId,
    pub observer: bool,
    /// Until this time voters are tried in place of the leader. An attempt that began earlier may take longer.
    pub masters_until_ms: i64,
    /// When this observer began to try the leader itself. The leader gets its full time, no matter how long voters were
    /// tried before.
    pub leader_since_ms: Option<i64>,
    pub retry_at_ms: Option<i64>,
    pub attempts: u32,
}

impl Joining {
    /// Whether the leader has refused connections for too long.
    pub(crate) fn has_refused(&self, now: i64) -> bool {
        self.leader_since_ms.is_some_and(|since_ms| now >= since_ms + LEADER_REFUSES_MS)
    }

    /// Whether the time for connecting to the leader, `limit_ms`, is over.
    pub(crate) fn is_over(&self, now: i64, limit_ms: i64) -> bool {
        self.leader_since_ms.is_some_and(|since_ms| now >= since_ms + limit_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The attempts on voters may take longer than planned: a host that is off does not answer until the attempt times
    /// out.
    #[test]
    fn the_leader_has_its_own_time() {
        let (leader, master) = (ServerId(1), ServerId(2));
        let (leader_since_ms, retry_at_ms, attempts) = (None, None, 0);
        let (observer, masters_until_ms) = (true, 4_000);
        let masters = Joining { leader, master, observer, masters_until_ms, leader_since_ms, retry_at_ms, attempts };
        for now in [0, 5_000, 9_000] {
            assert!(!masters.has_refused(now) && !masters.is_over(now, 8_000), "at {now}");
        }
        let itself = Joining { master: leader, leader_since_ms: Some(9_000), ..masters };
        assert_eq!([9_999, 10_000].map(|now| itself.has_refused(now)), [false, true]);
        assert_eq!([16_999, 17_000].map(|now| itself.is_over(now, 8_000)), [false, true]);
    }
}
