//! What several of the store's and the tree's tests need.

use super::NewZnode;
use crate::acl::AclId;
use crate::jute::StatPersisted;

/// A new persistent znode made by that transaction.
pub(in crate::tree) fn znode(zxid: i64, data: Option<&[u8]>) -> NewZnode<'_> {
    NewZnode { data, acl: AclId::OPEN, stat: StatPersisted::new(zxid, 0, 0) }
}
