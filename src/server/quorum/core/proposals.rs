//! Transactions that a leader has prepared: those to be proposed, and the bytes of those that are not committed yet.
//! Bytes, because a few long transactions are as much as very many short ones, and every follower holds all of them.

use crate::ids::Zxid;
use std::collections::VecDeque;
use std::sync::Arc;

/// See the module's text. Empty, unless this server leads.
#[derive(Default)]
pub(crate) struct Proposals {
    /// Prepared since [`Proposals::take`] was last called.
    fresh: Vec<(Zxid, Arc<[u8]>)>,
    /// The lengths of the uncommitted transactions, bytes, in their order.
    lengths: VecDeque<(Zxid, usize)>,
    bytes: usize,
}

impl Proposals {
    /// A transaction is to be proposed.
    pub(crate) fn push(&mut self, zxid: Zxid, txn: &[u8]) {
        self.fresh.push((zxid, Arc::from(txn)));
        self.lengths.push_back((zxid, txn.len()));
        self.bytes += txn.len();
    }

    /// Takes the transactions that were prepared since the last call.
    pub(crate) fn take(&mut self) -> Vec<(Zxid, Arc<[u8]>)> {
        std::mem::take(&mut self.fresh)
    }

    /// Gives back the list that was taken, with the transactions that were not proposed: none, as a rule, and its room.
    pub(crate) fn give_back(&mut self, rest: Vec<(Zxid, Arc<[u8]>)>) {
        debug_assert!(self.fresh.is_empty(), "nothing is prepared meanwhile");
        self.fresh = rest;
    }

    /// Whether all were taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.fresh.is_empty()
    }

    /// Everything up to `zxid` is committed.
    pub(crate) fn commit(&mut self, zxid: Zxid) {
        while let Some((_, length)) = self.lengths.pop_front_if(|(at, _)| *at <= zxid) {
            self.bytes -= length;
        }
    }

    /// The server no longer leads, or begins to lead: no transaction is under way. Those prepared and not taken stay.
    pub(crate) fn forget_under_way(&mut self) {
        self.lengths.clear();
        self.bytes = 0;
    }

    /// Bytes of the uncommitted transactions.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_committed_counts_no_more() {
        let mut proposals = Proposals::default();
        for (zxid, length) in [(7, 10), (8, 200), (9, 3000)] {
            proposals.push(Zxid(zxid), &vec![0; length]);
        }
        proposals.commit(Zxid(6));
        assert_eq!(proposals.bytes(), 3210);
        proposals.commit(Zxid(8));
        assert_eq!(proposals.bytes(), 3000);
        proposals.commit(Zxid(20));
        assert_eq!(proposals.bytes(), 0);
        proposals.push(Zxid(10), &[0; 5]);
        proposals.forget_under_way();
        assert_eq!((proposals.bytes(), proposals.take().len()), (0, 4), "what is prepared stays");
    }
}
