//! The memory limit (`corral.memoryLimit`), its division into shares, and the accounting of what clients use.
//!
//! Each class of memory that clients can make the server keep has a [`Pot`]: answers that wait in a connection's
//! output, requests that wait in its input, watches, and the tree, which has the rest. A holder of such memory has a
//! [`Charge`] on the pot; dropping the charge gives the bytes back. A charge follows its buffer in steps of some
//! kilobytes, so that answers from small buffers (nearly all of them) touch no shared counter. When a pot is nearly
//! used up, connections that hold most of it without progress are closed; short requests (pings, sessions, writes,
//! small reads) are answered as usual.

use crate::limits;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// One class of memory: its share, and how much of it is used. All shards use the same pot.
#[derive(Debug)]
pub(crate) struct Pot {
    share: usize,
    used: AtomicUsize,
}

impl Pot {
    /// A pot of `share` bytes, of which none are used.
    pub(crate) fn new(share: usize) -> Arc<Pot> {
        Arc::new(Pot { share, used: AtomicUsize::new(0) })
    }

    /// The size of the pot, bytes.
    pub(crate) fn share(&self) -> usize {
        self.share
    }

    /// Bytes that are charged on the pot now.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// Bytes that are left in the pot.
    #[inline]
    pub(crate) fn room(&self) -> usize {
        self.share.saturating_sub(self.used())
    }

    /// Whether three quarters of the pot are used: holders should not take more.
    #[inline]
    pub(crate) fn is_pressed(&self) -> bool {
        self.room() < self.share / 4
    }
}

/// The bytes that one holder has of a [`Pot`]; given back when dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    pot: Arc<Pot>,
    bytes: usize,
}

impl Charge {
    /// A charge of no bytes.
    pub(crate) fn on(pot: &Arc<Pot>) -> Charge {
        Charge { pot: pot.clone(), bytes: 0 }
    }

    /// The holder has so many bytes now. The pot is updated only when the difference to its last number is
    /// [`limits::CHARGE_STEP`] or more.
    #[inline]
    pub(crate) fn follow(&mut self, bytes: usize) {
        if bytes.abs_diff(self.bytes) > limits::CHARGE_STEP {
            self.set(bytes);
        }
    }

    /// The holder's bytes as the pot has them.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    #[cold]
    fn set(&mut self, bytes: usize) {
        if bytes > self.bytes {
            self.pot.used.fetch_add(bytes - self.bytes, Relaxed);
        } else {
            self.pot.used.fetch_sub(self.bytes - bytes, Relaxed);
        }
        self.bytes = bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.set(0);
        }
    }
}

/// The pots of one server.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    /// Answers of all connections that are not sent yet.
    pub replies: Arc<Pot>,
    /// Requests of all connections that have come and cannot be executed yet.
    pub requests: Arc<Pot>,
    /// Memory that no client asked for and that depends on other servers: bytes that wait for servers that do not read.
    pub others: Arc<Pot>,
    /// Bytes that watches may take.
    pub watches: usize,
    /// Bytes that the tree may take.
    pub tree: usize,
}

/// The division of a memory limit, in bytes. The shares and the tree, which has the rest, add up to the limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shares {
    pub(crate) replies: usize,
    pub(crate) requests: usize,
    pub(crate) watches: usize,
    /// For memory that no client asks for: buffers of the log, bytes on their way to other servers, pieces of
    /// snapshots, code.
    pub(crate) others: usize,
    /// The rest.
    pub(crate) tree: usize,
}

impl Shares {
    /// An eighth for each class, up to a maximum; the tree gets the rest.
    pub(crate) fn of(limit: usize) -> Shares {
        let eighth = |most: usize| (limit / 8).min(most);
        let (replies, requests) = (eighth(limits::REPLIES_SHARE), eighth(limits::REQUESTS_SHARE));
        let watches = eighth(limits::WATCHES_SHARE);
        let others = eighth(limits::OTHERS_SHARE);
        let tree = limit - replies - requests - watches - others;
        Shares { replies, requests, watches, others, tree }
    }

    /// The same shares with so many bytes for watches; the tree gets the difference.
    pub(crate) fn with_watches(self, watches: usize) -> Shares {
        Shares { watches, tree: (self.tree + self.watches).saturating_sub(watches), ..self }
    }
}

impl Memory {
    /// Pots of these shares.
    pub(crate) fn new(shares: Shares) -> Memory {
        let Shares { replies, requests, watches, others, tree } = shares;
        Memory { replies: Pot::new(replies), requests: Pot::new(requests), others: Pot::new(others), watches, tree }
    }

    /// Pots without a limit.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn unlimited() -> Memory {
        let pot = || Pot::new(usize::MAX);
        Memory { replies: pot(), requests: pot(), others: pot(), watches: usize::MAX, tree: usize::MAX }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_follows_in_steps_and_goes_by_itself() {
        let pot = Pot::new(100_000);
        let mut charge = Charge::on(&pot);
        charge.follow(limits::CHARGE_STEP);
        assert_eq!((pot.used(), pot.room()), (0, 100_000));
        charge.follow(80_000);
        assert_eq!((pot.used(), charge.bytes(), pot.is_pressed()), (80_000, 80_000, true));
        charge.follow(80_001);
        assert_eq!(pot.used(), 80_000);
        charge.follow(50_000);
        assert_eq!((pot.used(), pot.is_pressed()), (50_000, false));
        let mut other = Charge::on(&pot);
        other.follow(90_000);
        assert_eq!((pot.used(), pot.room()), (140_000, 0), "what is there already may be more than the share");
        drop(other);
        drop(charge);
        assert_eq!(pot.used(), 0);
    }

    #[test]
    fn the_shares_leave_most_to_the_tree() {
        for limit in [64 << 20, 1 << 30, 64 << 30] {
            let Shares { replies, requests, watches, others, tree } = Shares::of(limit);
            assert!(tree >= limit / 2);
            assert_eq!(replies + requests + watches + others + tree, limit);
            let more = Shares::of(limit).with_watches(watches + 1000);
            assert_eq!((more.watches, more.tree), (watches + 1000, tree - 1000));
            assert!(replies >= 8 << 20 && requests >= 8 << 20 && watches >= 8 << 20);
        }
    }
}
