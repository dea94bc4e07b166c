//! The changes that a transaction can make to the tree, each with everything that follows from it: the parent's
//! counters, the digest, the sets, quota usage, and the change for watches.
//!
//! The caller has already decided to make the change. Everything happens at the head, under the zxid that
//! `State::begin` was given (ZooKeeper 3.9, `DataTree`).

use super::change::{Change, ChangeKind, Changes};
use super::digest::Body;
use super::path::{self, PathHash};
use super::quota::{QuotaNode, parse_path};
use super::state::State;
use super::store::{NewZnode, Znode};
use crate::acl::AclId;
use crate::cost::Cost;
use crate::ids::Zxid;
use crate::jute::{Stat, StatPersisted};

/// A transaction's zxid and time.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub(crate) zxid: Zxid,
    pub(crate) time_ms: i64,
}

/// A path with its hash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    pub(crate) path: &'a [u8],
    pub(crate) hash: PathHash,
}

impl<'a> Target<'a> {
    /// Hashes the path, in stored form.
    pub(super) fn of(path: &'a [u8]) -> Target<'a> {
        let path = path::stored(path);
        Target { path, hash: path::hash(path) }
    }
}

/// Facts about a znode at the head, without its data.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(crate) stat: StatPersisted,
    pub(crate) num_children: i32,
    pub(crate) data_length: i32,
    pub(crate) acl: AclId,
    /// The digest's body of the path alone, and (the next field) with the data.
    named: Body,
    body: Body,
}

impl Facts {
    /// The owner as it is stored.
    fn shown(&self) -> Stat {
        self.stat.shown(self.num_children, self.data_length)
    }

    fn digest(&self) -> u64 {
        self.body.digest(&self.stat)
    }
}

/// A znode to be created.
pub(super) struct Creation<'a> {
    pub(crate) at: Target<'a>,
    pub(crate) parent: Target<'a>,
    pub(crate) data: Option<&'a [u8]>,
    pub(crate) acl: AclId,
    /// The owner as stored.
    pub(crate) owner: i64,
    /// The parent's stored cversion after the creation; -1: one more than now.
    pub(crate) parent_cversion: i32,
}

impl State {
    pub(super) fn facts(&self, place: Target<'_>) -> Option<Facts> {
        self.store.find(place.path, place.hash).map(|znode| self.facts_of(&znode))
    }

    pub(super) fn facts_of(&self, znode: &Znode<'_>) -> Facts {
        let named = self.digest.body_of_path(znode.path());
        Facts {
            stat: znode.persisted(),
            num_children: znode.num_children(),
            data_length: znode.data_length(),
            acl: znode.acl(),
            named,
            body: self.body_of(znode, named),
        }
    }

    /// Every child that is created or deleted changes the digest of its parent; for a parent with long data the CRC of
    /// the data is kept.
    fn body_of(&self, znode: &Znode<'_>, named: Body) -> Body {
        let make = || {
            let data = znode.data();
            self.charge(Cost::bytes(data.map_or(0, <[u8]>::len)));
            named.with(data)
        };
        match self.store.of_long_data(znode, || make().to_note()) {
            Some(note) => Body::of_note(note),
            None => make(),
        }
    }

    /// Creates a znode, which must not exist, under a parent, which must; returns its Stat as clients see it.
    pub(super) fn create_znode(&mut self, at: At, new: &Creation<'_>, parent: &Facts, changes: &mut Changes) -> Stat {
        self.mark(at.zxid);
        let length = new.at.path.len() + new.data.map_or(0, <[u8]>::len);
        self.charge(Cost::CHANGE + Cost::bytes(2 * length));
        let stat = StatPersisted::new(at.zxid.0, at.time_ms, new.owner);
        let znode = NewZnode { data: new.data, acl: new.acl, stat };
        self.store.create(new.at.path, new.at.hash, &znode);
        self.digest.replace(0, self.digest.body(new.at.path, new.data).digest(&stat));
        self.raise_parent(at.zxid, new.parent, parent, new.parent_cversion);
        self.index.created(new.at.path, new.owner);
        let data_length = new.data.map_or(0, <[u8]>::len);
        match parse_path(new.at.path) {
            Some(quota) => self.quota_node_created(at.zxid, new.at.path, quota, new.data),
            None => self.use_quota(at.zxid, new.at.path, 1, data_length as i64),
        }
        let change = Change {
            kind: ChangeKind::Created,
            path: new.at.path,
            hash: new.at.hash,
            acl: new.acl,
            parent_acl: parent.acl,
        };
        changes.push(change, &self.interner);
        self.owners.shown(new.owner, stat.shown(0, data_length as i32))
    }

    /// What a creation does to the parent. If the znode exists already, this is the whole creation. The counter and
    /// pzxid go up together, and only if the counter goes up.
    pub(super) fn raise_parent(&mut self, zxid: Zxid, place: Target<'_>, parent: &Facts, cversion: i32) {
        let cversion = if cversion == -1 { parent.stat.cversion.wrapping_add(1) } else { cversion };
        if cversion > parent.stat.cversion {
            self.set_child_stat(zxid, place, parent, cversion, parent.stat.pzxid.max(zxid.0));
        }
    }

    /// What a deletion does to the parent, whether or not the znode existed.
    pub(super) fn touch_parent(&mut self, zxid: Zxid, place: Target<'_>, parent: &Facts) {
        if zxid.0 > parent.stat.pzxid {
            self.set_child_stat(zxid, place, parent, parent.stat.cversion, zxid.0);
        }
    }

    fn set_child_stat(&mut self, zxid: Zxid, place: Target<'_>, before: &Facts, cversion: i32, pzxid: i64) {
        self.mark(zxid);
        self.store.set_child_stat(place.path, place.hash, cversion, pzxid);
        let mut after = *before;
        after.stat.cversion = cversion;
        after.stat.pzxid = pzxid;
        self.digest.replace(before.digest(), after.digest());
    }

    /// Deletes a znode without children.
    pub(super) fn delete_znode(
        &mut self,
        zxid: Zxid,
        (place, znode): (Target<'_>, &Facts),
        (parent_place, parent): (Target<'_>, &Facts),
        changes: &mut Changes,
    ) {
        self.mark(zxid);
        self.charge(Cost::CHANGE + Cost::bytes(place.path.len()));
        self.store.delete(place.path, place.hash);
        self.digest.replace(znode.digest(), 0);
        self.touch_parent(zxid, parent_place, parent);
        self.index.deleted(place.path, znode.stat.owner);
        if let Some((prefix, node)) = parse_path(place.path) {
            self.quota_node_deleted(zxid, prefix, node);
        }
        self.use_quota(zxid, place.path, -1, -i64::from(znode.data_length));
        let change = Change {
            kind: ChangeKind::Deleted,
            path: place.path,
            hash: place.hash,
            acl: znode.acl,
            parent_acl: parent.acl,
        };
        changes.push(change, &self.interner);
    }

    /// Sets a znode's data and gives it that version; returns its Stat as clients see it.
    pub(super) fn write_data(
        &mut self,
        at: At,
        place: Target<'_>,
        znode: &Facts,
        (data, version): (Option<&[u8]>, i32),
        changes: &mut Changes,
    ) -> Stat {
        self.mark(at.zxid);
        self.charge(Cost::CHANGE + Cost::bytes(2 * (place.path.len() + data.map_or(0, <[u8]>::len))));
        self.store.set_data(place.path, place.hash, data, version, at.zxid.0, at.time_ms);
        let mut after = *znode;
        after.body = znode.named.with(data);
        after.stat.version = version;
        after.stat.mzxid = at.zxid.0;
        after.stat.mtime = at.time_ms;
        after.data_length = data.map_or(0, <[u8]>::len) as i32;
        self.digest.replace(znode.digest(), after.digest());
        if let Some((prefix, QuotaNode::Limits)) = parse_path(place.path) {
            self.index.quotas.limit(at.zxid, prefix, data.unwrap_or_default());
        }
        let more = i64::from(after.data_length) - i64::from(znode.data_length);
        self.use_quota(at.zxid, place.path, 0, more);
        let change = Change {
            kind: ChangeKind::DataChanged,
            path: place.path,
            hash: place.hash,
            acl: znode.acl,
            parent_acl: znode.acl, // nobody is told of the parent
        };
        changes.push(change, &self.interner);
        self.owners.shown(after.stat.owner, after.shown())
    }

    /// Sets a znode's ACL and gives it that aversion; returns its Stat as clients see it. No watch fires.
    pub(super) fn write_acl(
        &mut self,
        zxid: Zxid,
        place: Target<'_>,
        znode: &Facts,
        acl: AclId,
        aversion: i32,
    ) -> Stat {
        self.mark(zxid);
        self.charge(Cost::CHANGE + Cost::bytes(place.path.len()));
        self.store.set_acl(place.path, place.hash, acl, aversion);
        let mut after = *znode;
        after.stat.aversion = aversion;
        self.digest.replace(znode.digest(), after.digest());
        self.owners.shown(after.stat.owner, after.shown())
    }

    /// Deletes a znode if it exists and has no children; otherwise returns false. The parent is touched in both cases.
    pub(super) fn delete_if_there(&mut self, zxid: Zxid, path: &[u8], changes: &mut Changes) -> bool {
        let Some(parent_path) = path::parent(path) else { return false };
        let parent_place = Target::of(parent_path);
        let Some(parent) = self.facts(parent_place) else { return false };
        let place = Target::of(path);
        match self.facts(place) {
            Some(znode) if znode.num_children == 0 && !path::is_special(path) => {
                self.delete_znode(zxid, (place, &znode), (parent_place, &parent), changes);
                true
            }
            Some(_) => false,
            None => {
                self.touch_parent(zxid, parent_place, &parent);
                false
            }
        }
    }
}
