//! What sessions are called: the server's id in the top byte, then a counter that starts at the time.

use crate::ids::SessionId;

/// Gives out session ids (ZooKeeper 3.9, `SessionTrackerImpl.initializeNextSessionId`).
#[derive(Clone, Debug)]
pub struct SessionIds {
    next: i64,
}

impl SessionIds {
    /// Starts at a time of `now_ms`, of which 40 bits count. Successive starts of a server should hand in
    /// growing times: with less than 65536 new sessions per ms no id then comes twice.
    pub fn new(now_ms: i64, server_id: u8) -> SessionIds {
        // Unsigned on the way down, so that the top byte is the server's alone.
        let time = ((now_ms as u64) << 24) >> 8;
        SessionIds { next: (time | u64::from(server_id) << 56) as i64 }
    }

    /// The next one. Never [`SessionId::NONE`], nor the value that marks containers in `ephemeralOwner`.
    #[expect(clippy::should_implement_trait, reason = "it never ends, and nobody iterates over it")]
    pub fn next(&mut self) -> SessionId {
        while matches!(self.next, 0 | i64::MIN) {
            self.next += 1;
        }
        let id = SessionId(self.next);
        self.next = self.next.wrapping_add(1);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_server_id_make_the_first_id() {
        // Seen on a ZooKeeper server: server 1, some 120 s after boot.
        assert_eq!(SessionIds::new(0x1d52e5, 1).next(), SessionId(0x0100_001d_52e5_0000));
        assert_eq!(SessionIds::new(-1, 0xff).next().0 as u64, 0xffff_ffff_ffff_0000);
        assert_eq!(SessionIds::new(1 << 40 | 5, 2).next(), SessionId(0x0200_0000_0005_0000));
    }

    #[test]
    fn ids_count_up_and_skip_the_two_that_mean_something_else() {
        let mut ids = SessionIds::new(7, 1);
        let first = ids.next();
        assert_eq!(ids.next().0, first.0 + 1);
        assert_eq!(SessionIds::new(0, 0).next(), SessionId(1));
        assert_eq!(SessionIds::new(0, 0x80).next(), SessionId(i64::MIN + 1));
        let mut last = SessionIds { next: i64::MAX };
        assert_eq!((last.next(), last.next()), (SessionId(i64::MAX), SessionId(i64::MIN + 1)));
        let mut minus_one = SessionIds { next: -1 };
        assert_eq!((minus_one.next(), minus_one.next()), (SessionId(-1), SessionId(1)));
    }
}
