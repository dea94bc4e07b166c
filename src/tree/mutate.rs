//! The changes a transaction can make to the tree, each with all that follows from it: the parent's
//! counters, the digest, the sets, quota usage, and the change that watches hear of.
//!
//! Whoever calls has decided that the change is to be made. Everything happens at the head, under the
//! zxid that `State::begin` was given (ZooKeeper 3.9, `DataTree`).

use super::change::{Change, ChangeKind, Changes};
use super::digest::{Body, Covered};
use super::path::{self, PathHash};
use super::quota::{QuotaNode, parse_path};
use super::state::State;
use super::store::{NewZnode, Znode};
use crate::acl::AclId;
use crate::cost::Cost;
use crate::ids::Zxid;
use crate::jute::Stat;

/// When a transaction happens.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub zxid: Zxid,
    pub time_ms: i64,
}

/// A path with its hash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub path: &'a [u8],
    pub hash: PathHash,
}

impl<'a> Place<'a> {
    /// Hashes the path, in stored form.
    pub fn of(path: &'a [u8]) -> Place<'a> {
        let path = path::stored(path);
        Place { path, hash: path::hash(path) }
    }
}

/// What is known of a znode at the head, without its data.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// As shown to clients but for the owner, which is not filled in.
    pub stat: Stat,
    /// As stored.
    pub owner: i64,
    pub acl: AclId,
    /// As stored: creations of children only.
    pub cversion: i32,
    /// Of the path alone, and with the data.
    named: Body,
    body: Body,
}

impl Facts {
    fn digest(&self) -> u64 {
        self.body.digest(&Covered {
            czxid: self.stat.czxid,
            mzxid: self.stat.mzxid,
            pzxid: self.stat.pzxid,
            ctime: self.stat.ctime,
            mtime: self.stat.mtime,
            version: self.stat.version,
            cversion: self.cversion,
            aversion: self.stat.aversion,
            owner: self.owner,
        })
    }
}

/// A znode to be created.
pub(super) struct Creation<'a> {
    pub at: Place<'a>,
    pub parent: Place<'a>,
    pub data: Option<&'a [u8]>,
    pub acl: AclId,
    /// As stored.
    pub owner: i64,
    /// The parent's stored cversion after this; -1: one more than it is.
    pub parent_cversion: i32,
}

impl State {
    pub(super) fn facts(&self, place: Place<'_>) -> Option<Facts> {
        self.store.find(place.path, place.hash).map(|znode| self.facts_of(&znode))
    }

    pub(super) fn facts_of(&self, znode: &Znode<'_>) -> Facts {
        let named = self.digest.body_of_path(znode.path());
        Facts {
            stat: znode.stat(),
            owner: znode.owner(),
            acl: znode.acl(),
            cversion: znode.stored_cversion(),
            named,
            body: self.body_of(znode, named),
        }
    }

    /// The digest of a znode with long data is asked for with every child that comes or goes: that of the data is kept.
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

    /// Creates a znode that is not there under a parent that is; returns its Stat as clients see it.
    pub(super) fn create_znode(&mut self, at: At, new: &Creation<'_>, parent: &Facts, changes: &mut Changes) -> Stat {
        self.mark(at.zxid);
        let length = new.at.path.len() + new.data.map_or(0, <[u8]>::len);
        self.charge(Cost::CHANGE + Cost::bytes(2 * length));
        let znode = NewZnode {
            data: new.data,
            acl: new.acl,
            owner: new.owner,
            czxid: at.zxid.0,
            mzxid: at.zxid.0,
            ctime: at.time_ms,
            mtime: at.time_ms,
            version: 0,
            aversion: 0,
            cversion: 0,
            pzxid: at.zxid.0,
        };
        self.store.create(new.at.path, new.at.hash, &znode);
        self.digest.replace(0, self.digest.body(new.at.path, new.data).digest(&(&znode).into()));
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
        let stat = Stat {
            czxid: at.zxid.0,
            mzxid: at.zxid.0,
            ctime: at.time_ms,
            mtime: at.time_ms,
            data_length: data_length as i32,
            pzxid: at.zxid.0,
            ..Stat::default()
        };
        self.options.owners.shown(new.owner, stat)
    }

    /// What a creation does to its parent, which is all that is left of one whose znode is there already:
    /// counter and pzxid go up together, and only if the counter does.
    pub(super) fn raise_parent(&mut self, zxid: Zxid, place: Place<'_>, parent: &Facts, cversion: i32) {
        let cversion = if cversion == -1 { parent.cversion.wrapping_add(1) } else { cversion };
        if cversion > parent.cversion {
            self.set_child_stat(zxid, place, parent, cversion, parent.stat.pzxid.max(zxid.0));
        }
    }

    /// What a deletion does to its parent, whether or not the znode was there.
    pub(super) fn touch_parent(&mut self, zxid: Zxid, place: Place<'_>, parent: &Facts) {
        if zxid.0 > parent.stat.pzxid {
            self.set_child_stat(zxid, place, parent, parent.cversion, zxid.0);
        }
    }

    fn set_child_stat(&mut self, zxid: Zxid, place: Place<'_>, before: &Facts, cversion: i32, pzxid: i64) {
        self.mark(zxid);
        self.store.set_child_stat(place.path, place.hash, cversion, pzxid);
        let mut after = *before;
        after.cversion = cversion;
        after.stat.pzxid = pzxid;
        self.digest.replace(before.digest(), after.digest());
    }

    /// Deletes a znode without children.
    pub(super) fn delete_znode(
        &mut self,
        zxid: Zxid,
        (place, znode): (Place<'_>, &Facts),
        (parent_place, parent): (Place<'_>, &Facts),
        changes: &mut Changes,
    ) {
        self.mark(zxid);
        self.charge(Cost::CHANGE + Cost::bytes(place.path.len()));
        self.store.delete(place.path, place.hash);
        self.digest.replace(znode.digest(), 0);
        self.touch_parent(zxid, parent_place, parent);
        self.index.deleted(place.path, znode.owner);
        if let Some((prefix, node)) = parse_path(place.path) {
            self.quota_node_deleted(zxid, prefix, node);
        }
        self.use_quota(zxid, place.path, -1, -i64::from(znode.stat.data_length));
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
        place: Place<'_>,
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
        after.stat.data_length = data.map_or(0, <[u8]>::len) as i32;
        self.digest.replace(znode.digest(), after.digest());
        if let Some((prefix, QuotaNode::Limits)) = parse_path(place.path) {
            self.index.quotas.limit(at.zxid, prefix, data.unwrap_or_default());
        }
        let more = i64::from(after.stat.data_length) - i64::from(znode.stat.data_length);
        self.use_quota(at.zxid, place.path, 0, more);
        let change = Change {
            kind: ChangeKind::DataChanged,
            path: place.path,
            hash: place.hash,
            acl: znode.acl,
            parent_acl: znode.acl, // nobody is told of the parent
        };
        changes.push(change, &self.interner);
        self.options.owners.shown(znode.owner, after.stat)
    }

    /// Sets a znode's ACL and gives it that aversion; returns its Stat as clients see it. No watch fires.
    pub(super) fn write_acl(&mut self, zxid: Zxid, place: Place<'_>, znode: &Facts, acl: AclId, aversion: i32) -> Stat {
        self.mark(zxid);
        self.charge(Cost::CHANGE + Cost::bytes(place.path.len()));
        self.store.set_acl(place.path, place.hash, acl, aversion);
        let mut after = *znode;
        after.stat.aversion = aversion;
        self.digest.replace(znode.digest(), after.digest());
        self.options.owners.shown(znode.owner, after.stat)
    }

    /// Deletes a znode if it is there and has no children. False if not; the parent is touched all the same.
    pub(super) fn delete_if_there(&mut self, zxid: Zxid, path: &[u8], changes: &mut Changes) -> bool {
        let Some(parent_path) = path::parent(path) else { return false };
        let parent_place = Place::of(parent_path);
        let Some(parent) = self.facts(parent_place) else { return false };
        let place = Place::of(path);
        match self.facts(place) {
            Some(znode) if znode.stat.num_children == 0 && !path::is_special(path) => {
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
