//! Sets of znodes beside the tree: each session's ephemerals, containers, znodes with a time to live, and quotas.
//!
//! All but the quotas follow from paths and owners alone, so two calls keep them right when a znode is created or
//! deleted, or when one of these is undone. The sets are sorted, so that their order does not depend on history. Quotas
//! undo their changes themselves.

use super::owner::{Kind, OwnerRules};
use super::quota::Quotas;
use crate::ids::SessionId;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// Paths in order.
pub type Paths = BTreeSet<Box<[u8]>>;

/// The sets.
#[derive(Debug)]
pub struct Index {
    rules: OwnerRules,
    /// No session has an empty set here.
    ephemerals: BTreeMap<SessionId, Paths>,
    ephemeral_count: usize,
    containers: Paths,
    ttls: Paths,
    /// Every quota with the usage of its subtree.
    pub quotas: Quotas,
}

impl Index {
    /// The index of an empty tree.
    pub(crate) fn new(rules: OwnerRules) -> Self {
        Index {
            rules,
            ephemerals: BTreeMap::new(),
            ephemeral_count: 0,
            containers: Paths::new(),
            ttls: Paths::new(),
            quotas: Quotas::default(),
        }
    }

    /// A znode was created.
    #[inline]
    pub(crate) fn created(&mut self, path: &[u8], owner: i64) {
        match self.rules.kind(owner) {
            Kind::Persistent => {}
            Kind::Container => {
                self.containers.insert(path.into());
            }
            Kind::Ttl { .. } => {
                self.ttls.insert(path.into());
            }
            Kind::Ephemeral(session) => {
                let added = self.ephemerals.entry(session).or_default().insert(path.into());
                self.ephemeral_count += usize::from(added);
            }
        }
    }

    /// A znode was deleted.
    #[inline]
    pub(crate) fn deleted(&mut self, path: &[u8], owner: i64) {
        match self.rules.kind(owner) {
            Kind::Persistent => {}
            Kind::Container => {
                self.containers.remove(path);
            }
            Kind::Ttl { .. } => {
                self.ttls.remove(path);
            }
            Kind::Ephemeral(session) => {
                if let Some(paths) = self.ephemerals.get_mut(&session) {
                    self.ephemeral_count -= usize::from(paths.remove(path));
                    if paths.is_empty() {
                        self.ephemerals.remove(&session);
                    }
                }
            }
        }
    }

    /// The ephemerals of a session.
    pub(crate) fn ephemerals(&self, session: SessionId) -> Option<&Paths> {
        self.ephemerals.get(&session)
    }

    /// Every session that owns a znode, with its paths, in order.
    pub(crate) fn owners(&self) -> impl Iterator<Item = (SessionId, &Paths)> {
        self.ephemerals.iter().map(|(session, paths)| (*session, paths))
    }

    /// How many ephemerals there are.
    pub(crate) fn ephemeral_count(&self) -> usize {
        self.ephemeral_count
    }

    /// All containers.
    pub fn containers(&self) -> &Paths {
        &self.containers
    }

    /// All znodes with a time to live.
    pub fn ttls(&self) -> &Paths {
        &self.ttls
    }
}

/// The paths after `last`; without `last` all.
pub(crate) fn after<'a>(paths: &'a Paths, last: Option<&[u8]>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let from = last.map_or(Bound::Unbounded, Bound::Excluded);
    paths.range::<[u8], _>((from, Bound::Unbounded)).map(|path| &**path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::owner::{CONTAINER, ttl_owner};

    #[test]
    fn follows_what_comes_and_goes() {
        let mut index = Index::new(OwnerRules { extended_types: true, emulate_353_ttl: false });
        let ttl = ttl_owner(5).unwrap();
        for (path, owner) in [(&b"/b"[..], 7), (b"/a", 7), (b"/c", CONTAINER), (b"/t", ttl), (b"/p", 0)] {
            index.created(path, owner);
        }
        assert_eq!(
            index.ephemerals(SessionId(7)).unwrap().iter().map(|path| &**path).collect::<Vec<_>>(),
            [b"/a", b"/b"]
        );
        assert_eq!((index.ephemeral_count(), index.containers().len(), index.ttls().len()), (2, 1, 1));
        for (path, owner) in [(&b"/b"[..], 7), (b"/a", 7), (b"/c", CONTAINER), (b"/t", ttl), (b"/p", 0)] {
            index.deleted(path, owner);
        }
        assert_eq!(index.owners().count(), 0);
        assert!(index.ephemeral_count() == 0 && index.containers().is_empty() && index.ttls().is_empty());
    }

    #[test]
    fn resumes_after_a_path() {
        let paths: Paths = [&b"/a"[..], b"/b", b"/c"].into_iter().map(Into::into).collect();
        assert_eq!(after(&paths, Some(b"/a")).collect::<Vec<_>>(), [b"/b", b"/c"]);
        assert_eq!(after(&paths, None).count(), 3);
    }
}
