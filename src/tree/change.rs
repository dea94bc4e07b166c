//! The changes that a transaction made to the tree, as far as watches need them.
//!
//! A batch of transactions collects its changes in one [`Changes`]. The paths are in one buffer, one after another, so
//! that a batch needs two allocations, however many changes it has.

use super::path::PathHash;
use crate::acl::{AclId, Interner, StoredAcl};
use crate::gather;
use std::ops::Range;
use std::sync::Arc;

/// The three things that can happen to a znode and fire a watch. setACL fires none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChangeKind {
    /// The znode was created; its parent's children changed, too.
    Created,
    /// The znode was deleted; its parent's children changed, too.
    Deleted,
    /// The znode's data was set, perhaps to the same bytes.
    DataChanged,
}

/// One change, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// What happened.
    pub kind: ChangeKind,
    /// The znode that was created, deleted or set.
    pub path: &'a [u8],
    /// The hash of `path`.
    pub hash: PathHash,
    /// The znode's ACL; of a deleted znode its last one.
    pub acl: AclId,
    /// The parent's ACL, which decides which clients may learn that the parent's children changed.
    pub parent_acl: AclId,
}

#[derive(Clone, Copy, Debug)]
struct Stored {
    kind: ChangeKind,
    start: u32,
    len: u32,
    hash: PathHash,
    acl: AclId,
    parent_acl: AclId,
}

/// The changes of some transactions, in order. They may be read long after the versions they are about were freed, so
/// they keep the ACLs that they name.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    list: Vec<Stored>,
    paths: Vec<u8>,
    /// Each with the number of the change that names it.
    acls: Vec<(u32, Arc<StoredAcl>)>,
}

impl Changes {
    /// Adds a change at the end; its ACLs are in `acls`.
    pub(crate) fn push(&mut self, change: Change<'_>, acls: &Interner) {
        let start = self.paths.len() as u32;
        let place = self.list.len() as u32;
        if change.acl != AclId::OPEN {
            self.acls.extend(acls.hold(change.acl).map(|list| (place, list)));
        }
        if change.parent_acl != change.acl && change.parent_acl != AclId::OPEN {
            self.acls.extend(acls.hold(change.parent_acl).map(|list| (place, list)));
        }
        self.paths.extend_from_slice(change.path);
        self.list.push(Stored {
            kind: change.kind,
            start,
            len: change.path.len() as u32,
            hash: change.hash,
            acl: change.acl,
            parent_acl: change.parent_acl,
        });
    }

    /// How many changes there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The changes with the given numbers, in order.
    pub fn range(&self, range: Range<usize>) -> impl Iterator<Item = Change<'_>> {
        self.list[range].iter().map(|stored| Change {
            kind: stored.kind,
            path: &self.paths[stored.start as usize..(stored.start + stored.len) as usize],
            hash: stored.hash,
            acl: stored.acl,
            parent_acl: stored.parent_acl,
        })
    }

    /// Removes the changes after the first `len`, and returns them.
    pub(crate) fn split_off(&mut self, len: usize) -> Changes {
        let start = self.list.get(len).map_or(self.paths.len(), |first| first.start as usize);
        let mut list = self.list.split_off(len);
        for stored in &mut list {
            stored.start -= start as u32;
        }
        let mut acls = self.acls.split_off(self.acls.partition_point(|(place, _)| (*place as usize) < len));
        acls.iter_mut().for_each(|(place, _)| *place -= len as u32);
        Changes { list, paths: self.paths.split_off(start), acls }
    }

    /// Takes all changes and leaves none.
    pub(crate) fn take(&mut self) -> Changes {
        let Changes { list, paths, acls } = self;
        Changes { list: gather::take(list), paths: gather::take(paths), acls: gather::take(acls) }
    }

    /// Adds other changes at the end.
    pub(crate) fn append(&mut self, mut others: Changes) {
        if self.list.is_empty() {
            *self = others;
            return;
        }
        let (start, place) = (self.paths.len() as u32, self.list.len() as u32);
        others.list.iter_mut().for_each(|stored| stored.start += start);
        others.acls.iter_mut().for_each(|(at, _)| *at += place);
        self.list.append(&mut others.list);
        self.paths.append(&mut others.paths);
        self.acls.append(&mut others.acls);
    }

    /// Forgets the changes after the first `len`: a multi that failed changed nothing.
    pub(crate) fn truncate(&mut self, len: usize) {
        if let Some(first) = self.list.get(len) {
            self.paths.truncate(first.start as usize);
            self.list.truncate(len);
            self.acls.truncate(self.acls.partition_point(|(place, _)| (*place as usize) < len));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::AclTable;

    fn change(path: &[u8]) -> Change<'_> {
        let acl = AclId::OPEN;
        Change { kind: ChangeKind::Created, path, hash: super::super::path::hash(path), acl, parent_acl: acl }
    }

    #[test]
    fn splitting_keeps_every_path() {
        let (_, acls) = AclTable::new();
        let mut changes = Changes::default();
        for path in [&b"/a"[..], b"/bb", b"/ccc"] {
            changes.push(change(path), &acls);
        }
        let tail = changes.split_off(1);
        let paths = |changes: &Changes| changes.range(0..changes.len()).map(|c| c.path.to_vec()).collect::<Vec<_>>();
        assert_eq!(paths(&changes), [b"/a".to_vec()]);
        assert_eq!(paths(&tail), [b"/bb".to_vec(), b"/ccc".to_vec()]);
        changes.push(change(b"/d"), &acls);
        changes.truncate(1);
        assert_eq!(paths(&changes), [b"/a".to_vec()]);
        changes.append(tail);
        assert_eq!(paths(&changes), [b"/a".to_vec(), b"/bb".to_vec(), b"/ccc".to_vec()]);
        let mut none = Changes::default();
        none.append(changes.split_off(1));
        assert_eq!(paths(&none), [b"/bb".to_vec(), b"/ccc".to_vec()]);
    }
}
