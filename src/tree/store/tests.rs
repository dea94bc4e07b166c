//! Tests of the store: against a model, with reading threads, of single edge cases, and under loom; and helpers for
//! several of these.

#[cfg(not(loom))]
mod edge;
#[cfg(not(loom))]
mod model;
#[cfg(not(loom))]
mod stress;
#[cfg(loom)]
mod under_loom;

use super::NewZnode;
use crate::acl::AclId;
use crate::jute::StatPersisted;

/// A new persistent znode made by that transaction.
pub(in crate::tree) fn znode(zxid: i64, data: Option<&[u8]>) -> NewZnode<'_> {
    NewZnode { data, acl: AclId::OPEN, stat: StatPersisted::new(zxid, 0, 0) }
}
