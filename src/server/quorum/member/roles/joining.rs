//! A member that connects to the leader it has found.

use crate::zab::voters::ServerId;

/// For so long a leader may refuse connections: one that was just elected may still be in its own wait, and one that is
/// not there any more is not coming. (ZooKeeper 3.9 tries five times, every 100 ms.)
const LEADER_REFUSES_MS: i64 = 1_000;

/// A leader that is being connected to, or somebody who follows it.
#[derive(Clone, Copy)]
pub(crate) struct Joining {
    pub leader: ServerId,
    /// Who was dialled last.
    pub master: ServerId,
    pub observer: bool,
    /// Until then those are asked who stand in for the leader. An attempt begun before may take longer.
    pub masters_until_ms: i64,
    /// Since when the leader itself is asked. It has its own time, however long others were asked for in vain.
    pub leader_since_ms: Option<i64>,
    pub retry_at_ms: Option<i64>,
    pub attempts: u32,
}

impl Joining {
    /// Whether the leader has refused for as long as it may.
    pub(crate) fn has_refused(&self, now: i64) -> bool {
        self.leader_since_ms.is_some_and(|since_ms| now >= since_ms + LEADER_REFUSES_MS)
    }

    /// Whether the leader's time is over.
    pub(crate) fn is_over(&self, now: i64, limit_ms: i64) -> bool {
        self.leader_since_ms.is_some_and(|since_ms| now >= since_ms + limit_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who stands in may be asked in vain for longer than there was time for it: a host that is off answers nothing for as long
    /// as an attempt may take.
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
