//! The identifiers that everything else speaks of: transactions, sessions, connections.
//!
//! Newtypes, so that a session cannot be passed where a zxid is meant. Both print the way ZooKeeper's
//! tools print them: `0x` and lower-case hex without padding.

use std::fmt;

/// A transaction id: the epoch in the high 32 bits, a counter within the epoch in the low 32.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Zxid(pub i64);

impl Zxid {
    /// Before the first transaction of the first epoch.
    pub const ZERO: Zxid = Zxid(0);

    /// The largest number of a transaction within its epoch: the one after it is not used, as in ZooKeeper.
    pub const LAST_COUNTER: u32 = u32::MAX - 1;

    /// The first half: which leader's reign this transaction belongs to.
    pub fn epoch(self) -> i64 {
        (self.0 as u64 >> 32) as i64
    }

    /// The second half: the transaction's number within its epoch.
    pub fn counter(self) -> u32 {
        self.0 as u32
    }

    /// The next transaction of the same epoch.
    pub fn next(self) -> Zxid {
        Zxid(self.0 + 1)
    }
}

impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A session id, as handed out in a ConnectResponse and shown in `ephemeralOwner`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SessionId(pub i64);

impl SessionId {
    /// No session: what a new client asks with, and who the server itself is in its own transactions.
    pub const NONE: SessionId = SessionId(0);
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One connection of one shard. The slot is reused after the connection ends, the generation is not, so
/// an answer that arrives late never reaches a stranger.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnId {
    /// Index in the shard's table of connections.
    pub slot: u32,
    /// How often that slot had been given away before.
    pub generation: u32,
}

/// The hasher state of every map in the core: the same in every run, so that no order depends on a seed.
pub fn fixed_state() -> ahash::RandomState {
    ahash::RandomState::with_seeds(
        0x243f_6a88_85a3_08d3,
        0x1319_8a2e_0370_7344,
        0xa409_3822_299f_31d0,
        0x082e_fa98_ec4e_6c89,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zxid_halves() {
        let zxid = Zxid(0x5_ffff_fffe);
        assert_eq!((zxid.epoch(), zxid.counter()), (5, 0xffff_fffe));
        assert_eq!(zxid.next(), Zxid(0x5_ffff_ffff));
        assert_eq!(zxid.to_string(), "0x5fffffffe");
        assert_eq!(SessionId(-1).to_string(), "0xffffffffffffffff");
    }
}
