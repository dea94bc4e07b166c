//! The identifiers that everything else speaks of: transactions, sessions, connections.
//!
//! Newtypes, so that a session cannot be passed where a zxid is meant. Both print the way ZooKeeper's
//! tools print them: `0x` and lower-case hex without padding.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// A transaction id: the epoch in the high 32 bits, a counter within the epoch in the low 32.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Zxid(pub i64);

impl Zxid {
    /// Before the first transaction of the first epoch.
    pub const ZERO: Zxid = Zxid(0);

    /// The largest number of a transaction within its epoch: the one after it is not used, as in ZooKeeper.
    pub(crate) const LAST_COUNTER: u32 = u32::MAX - 1;

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

/// Bytes of a session's password.
pub(crate) const PASSWORD_LEN: usize = 16;

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

/// Which shard of a server; they are numbered from 0.
pub(crate) type ShardId = u16;

/// One connection of one shard. The slot is reused after the connection ends, the generation is not, so
/// an answer that arrives late never reaches a stranger.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnId {
    /// Index in the shard's table of connections.
    pub slot: u32,
    /// How often that slot had been given away before.
    pub generation: u32,
}

impl ConnId {
    /// No connection: who asks the quorum core something from outside. No table of connections has so many slots.
    pub const NONE: ConnId = ConnId { slot: u32::MAX, generation: 0 };
}

/// The keys of all hashes. These are for simulations, tests and benchmarks, whose runs repeat; a server is given its own by
/// [`key_hashes`]. Plain words, so that a hash costs no more than reading them.
static HASH_KEYS: [AtomicU64; 4] = [
    AtomicU64::new(0x243f_6a88_85a3_08d3),
    AtomicU64::new(0x1319_8a2e_0370_7344),
    AtomicU64::new(0xa409_3822_299f_31d0),
    AtomicU64::new(0x082e_fa98_ec4e_6c89),
];

/// Whether anything was hashed yet. Looked at where assertions are on.
static HAS_HASHED: AtomicBool = AtomicBool::new(false);

/// Gives this process keys of its own for its hashes, before anything is hashed. With keys that everybody can read in the
/// source, a client computes thousands of names under one hash; the tables would search them one by one. Nothing that is written or
/// sent depends on them, but for the order of a listing, which means nothing, as in ZooKeeper.
///
/// # Panics
/// If something was hashed already: it would not be found again.
pub(crate) fn key_hashes(keys: [u64; 4]) {
    debug_assert!(!HAS_HASHED.load(Relaxed), "keys are given before the first hash");
    for (place, key) in HASH_KEYS.iter().zip(keys) {
        place.store(key, Relaxed);
    }
}

/// The state of every hasher: the same for the whole life of a process, so that no order in it depends on anything but its keys.
#[inline]
pub(crate) fn hash_state() -> ahash::RandomState {
    #[cfg(debug_assertions)]
    HAS_HASHED.store(true, Relaxed);
    #[cfg(test)]
    if let Some([k0, k1, k2, k3]) = other_keys::HERE.get() {
        return ahash::RandomState::with_seeds(k0, k1, k2, k3);
    }
    let [k0, k1, k2, k3] = &HASH_KEYS;
    ahash::RandomState::with_seeds(k0.load(Relaxed), k1.load(Relaxed), k2.load(Relaxed), k3.load(Relaxed))
}

/// Other keys for a while, for tests.
#[cfg(test)]
pub mod other_keys {
    use std::cell::Cell;

    thread_local! {
        pub(super) static HERE: Cell<Option<[u64; 4]>> = const { Cell::new(None) };
    }

    /// What `run` comes to with these keys, on this thread. It is to use nothing that was hashed outside.
    pub fn with<R>(keys: [u64; 4], run: impl FnOnce() -> R) -> R {
        struct Back;
        impl Drop for Back {
            fn drop(&mut self) {
                HERE.set(None);
            }
        }
        let _back = Back;
        HERE.set(Some(keys));
        run()
    }
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
