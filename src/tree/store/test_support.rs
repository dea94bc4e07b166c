//! What several of the store's and the tree's tests need.

use super::NewZnode;
use crate::acl::AclId;

/// A new persistent znode made by that transaction.
pub(in crate::tree) fn znode(zxid: i64, data: Option<&[u8]>) -> NewZnode<'_> {
    NewZnode {
        data,
        acl: AclId::OPEN,
        owner: 0,
        czxid: zxid,
        mzxid: zxid,
        ctime: 0,
        mtime: 0,
        version: 0,
        aversion: 0,
        cversion: 0,
        pzxid: zxid,
    }
}

/// A small seeded generator (splitmix64).
#[cfg(not(loom))]
pub(super) struct Random(pub(super) u64);

#[cfg(not(loom))]
impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}
