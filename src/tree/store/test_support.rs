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
