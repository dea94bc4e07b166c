//! What a leader has prepared and its quorum has not agreed on yet, in bytes: some long transactions are as much as very
//! many short ones, and whoever follows holds all of them.

use crate::ids::Zxid;
use std::collections::VecDeque;

/// The lengths of the transactions under way, in their order.
#[derive(Default)]
pub struct Uncommitted {
    lengths: VecDeque<(Zxid, usize)>,
    bytes: usize,
}

impl Uncommitted {
    /// A transaction is to be proposed.
    pub fn push(&mut self, zxid: Zxid, length: usize) {
        self.lengths.push_back((zxid, length));
        self.bytes += length;
    }

    /// Everything up to `zxid` is committed.
    pub fn commit(&mut self, zxid: Zxid) {
        while let Some((_, length)) = self.lengths.pop_front_if(|(at, _)| *at <= zxid) {
            self.bytes -= length;
        }
    }

    /// The server leads no more, or begins to.
    pub fn clear(&mut self) {
        *self = Uncommitted::default();
    }

    /// Bytes of all of them.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_committed_counts_no_more() {
        let mut uncommitted = Uncommitted::default();
        for (zxid, length) in [(7, 10), (8, 200), (9, 3000)] {
            uncommitted.push(Zxid(zxid), length);
        }
        uncommitted.commit(Zxid(6));
        assert_eq!(uncommitted.bytes(), 3210);
        uncommitted.commit(Zxid(8));
        assert_eq!(uncommitted.bytes(), 3000);
        uncommitted.commit(Zxid(20));
        assert_eq!(uncommitted.bytes(), 0);
        uncommitted.push(Zxid(10), 5);
        uncommitted.clear();
        assert_eq!(uncommitted.bytes(), 0);
    }
}
