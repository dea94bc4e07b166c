//! What sessions are called: the server's id in the top byte, then a counter that starts at the time. Two bits of it say how
//! the session's password is made.
//!
//! A session may be taken up on any member, today or after elections, restarts and snapshots: whoever checks its password has
//! to know of which kind it is, and the id is the one thing that is always there. Ids whose bits 55 and 54 are `01` have secret
//! passwords. No other server gives such an id: ZooKeeper has the time since the machine's start there (the bits are `01` from
//! 8.7 years on), versions before 3.5 and Corrals of before the time of day (`10` since 2022, `01` from 2048 on).

use crate::ids::SessionId;

/// The two bits, and how they are where the password is secret.
const KIND: u64 = 0b11 << 54;
const SECRET: u64 = 0b01 << 54;
/// How they are, or are not far from, where it is not.
const PUBLIC: u64 = 0b10 << 54;

/// Whether this session's password is made under a secret, by its id. Others may have a password that anybody can compute.
pub(crate) fn has_secret(session: SessionId) -> bool {
    session.0 as u64 & KIND == SECRET
}

/// Gives out session ids (ZooKeeper 3.9, `SessionTrackerImpl.initializeNextSessionId`).
#[derive(Clone, Debug)]
pub(crate) struct SessionIds {
    next: u64,
}

impl SessionIds {
    /// Starts at a time of `now_ms`, of which 38 bits count. Successive starts of a server should hand in
    /// growing times: with less than 65536 new sessions per ms no id then comes twice in eight years.
    pub(crate) fn new(now_ms: i64, server_id: u8) -> SessionIds {
        // Unsigned on the way down, so that the top byte is the server's alone.
        let time = ((now_ms as u64) << 24) >> 8;
        SessionIds { next: time | u64::from(server_id) << 56 }
    }

    /// The next one, of a session with a secret password or one that anybody may compute. Never [`SessionId::NONE`], nor the
    /// value that marks containers in `ephemeralOwner`: one of the two bits is set.
    pub(crate) fn next(&mut self, secret: bool) -> SessionId {
        let id = if secret { self.next & !KIND | SECRET } else { self.next | PUBLIC };
        self.next = self.next.wrapping_add(1);
        SessionId(id as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_server_id_make_the_first_id() {
        assert_eq!(SessionIds::new(0x1d52e5, 1).next(true), SessionId(0x0140_001d_52e5_0000));
        assert_eq!(SessionIds::new(0x1d52e5, 1).next(false), SessionId(0x0180_001d_52e5_0000));
        assert_eq!(SessionIds::new(-1, 0xff).next(false).0 as u64, 0xffff_ffff_ffff_0000);
        assert_eq!(SessionIds::new(1 << 40 | 5, 2).next(true), SessionId(0x0240_0000_0005_0000));
    }

    #[test]
    fn ids_count_up_and_never_mean_something_else() {
        for (now_ms, server) in [(7, 1), (0, 0), (0, 0x80), (-1, 0x7f), (-1, 0xff)] {
            let mut ids = SessionIds::new(now_ms, server);
            for secret in [true, false] {
                let first = ids.next(secret);
                assert_eq!(ids.next(secret).0, first.0 + 1);
                assert!(!matches!(first.0, 0 | i64::MIN));
            }
        }
    }

    #[test]
    fn an_id_says_how_its_password_is_made() {
        // 2001, 2014, 2026, 2040, 2050: whatever the time has in those two bits.
        for now_ms in [1 << 40, 1_400_000_000_000, 1_796_000_000_000, 2_220_000_000_000, 2_530_000_000_000] {
            let mut ids = SessionIds::new(now_ms, 3);
            assert!(has_secret(ids.next(true)) && !has_secret(ids.next(false)), "{now_ms}");
        }
        // Of a ZooKeeper, up for two minutes and for eight years; of versions that take the time of day, in 2026 and 2040.
        for ms in [0x1d52e5, 8 * 365 * 86_400_000, 1_796_000_000_000, 2_220_000_000_000_i64] {
            assert!(!has_secret(SessionId((((ms << 24) as u64) >> 8) as i64 | 1 << 56)), "{ms}");
        }
    }
}
