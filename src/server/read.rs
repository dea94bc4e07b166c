//! Reads, answered by a shard from the tree as it was at one zxid.
//!
//! The decision whether the caller may see a znode, the answer and the registration of the watch are one
//! step at one zxid. Orders of checks and shapes of replies are ZooKeeper 3.9's (`FinalRequestProcessor`).

use crate::acl::{AclId, AclTable, Identities, mask_digests};
use crate::ids::Zxid;
use crate::jute::codes::perms;
use crate::jute::reply::{put_bare, put_event, put_multi_end, put_multi_error, put_multi_ok, put_reply};
use crate::jute::request::{MultiOps, Request, SetWatches};
use crate::jute::wire::{put_buffer, put_bytes, put_int};
use crate::jute::{AddWatchMode, ErrorCode, EventType, OpCode, WatcherType};
use crate::tree::owner::OwnerRules;
use crate::tree::path;
use crate::tree::store::{View, Znode};
use crate::watch::{WatchMode, Watches};

/// What a read needs to know.
pub struct Scope<'a> {
    /// The tree at `zxid`.
    pub view: View<'a>,
    pub acls: &'a AclTable,
    pub identities: &'a Identities,
    pub watches: &'a mut Watches,
    /// The connection's slot, under which watches are kept.
    pub slot: u32,
    pub zxid: Zxid,
    pub skip_acl: bool,
    /// What of a stored owner is shown.
    pub owners: OwnerRules,
    /// Bytes above which the results of a multiRead are refused.
    pub reply_limit: usize,
    /// Znodes looked at beyond the one asked for.
    pub walked: usize,
}

/// Whether a connection with these identities may read what that ACL protects.
#[inline]
pub fn may_read(acls: &AclTable, acl: AclId, identities: &Identities) -> bool {
    acl == AclId::OPEN || identities.allows(acls.list(acl), perms::READ)
}

/// Appends the reply frame to `request`, after any events it makes.
pub fn answer(scope: &mut Scope<'_>, xid: i32, request: &Request<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    if let Err(error) = try_answer(scope, xid, request, out) {
        out.truncate(start);
        put_bare(out, xid, scope.zxid, error);
    }
}

fn try_answer(scope: &mut Scope<'_>, xid: i32, request: &Request<'_>, out: &mut Vec<u8>) -> Result<(), ErrorCode> {
    let zxid = scope.zxid;
    match *request {
        Request::Exists { path, watch } => {
            if path.contains(&0) {
                return Err(ErrorCode::BadArguments);
            }
            match scope.readable(path) {
                Ok(znode) => put_reply(out, xid, zxid, |out| scope.put_stat(out, &znode)),
                Err(ErrorCode::NoNode) => {
                    // The one watch that may be set on what is not there.
                    scope.watch(watch, path, WatchMode::Data);
                    return Err(ErrorCode::NoNode);
                }
                Err(error) => return Err(error),
            }
            scope.watch(watch, path, WatchMode::Data);
        }
        Request::GetData { path, watch } => {
            let znode = scope.readable(path)?;
            put_reply(out, xid, zxid, |out| scope.put_data(out, &znode));
            scope.watch(watch, path, WatchMode::Data);
        }
        Request::GetChildren { path, watch } => {
            scope.readable(path)?;
            put_reply(out, xid, zxid, |out| scope.put_children(out, path));
            scope.watch(watch, path, WatchMode::Child);
        }
        Request::GetChildren2 { path, watch } => {
            let znode = scope.readable(path)?;
            put_reply(out, xid, zxid, |out| {
                scope.put_children(out, path);
                scope.put_stat(out, &znode);
            });
            scope.watch(watch, path, WatchMode::Child);
        }
        Request::GetAcl { path } => scope.acl(xid, path, out)?,
        Request::GetAllChildrenNumber { path } => {
            scope.readable(path)?;
            // Under its other name the root counts itself: ZooKeeper counts the keys that begin with "/".
            let number = scope.descendants(root_or(path)) + i32::from(path.is_empty());
            put_reply(out, xid, zxid, |out| put_int(out, number));
        }
        Request::MultiRead(ops) => scope.multi_read(xid, ops, out)?,
        Request::SetWatches(watches) => {
            scope.set_watches(&watches, out);
            put_bare(out, xid, zxid, ErrorCode::Ok);
        }
        Request::AddWatch { path, mode } => {
            let mode = match AddWatchMode::from_wire(mode) {
                Some(AddWatchMode::Persistent) => WatchMode::Persistent,
                Some(AddWatchMode::PersistentRecursive) => WatchMode::PersistentRecursive,
                None => return Err(ErrorCode::MarshallingError),
            };
            scope.watch(true, path, mode);
            put_reply(out, xid, zxid, |out| put_int(out, 0));
        }
        Request::CheckWatches { path, kind } => {
            let kind = WatcherType::from_wire(kind).ok_or(ErrorCode::MarshallingError)?;
            if !scope.watches.check(scope.slot, path, kind) {
                return Err(ErrorCode::NoWatcher);
            }
            put_bare(out, xid, zxid, ErrorCode::Ok);
        }
        Request::RemoveWatches { path, kind } => {
            let kind = WatcherType::from_wire(kind).ok_or(ErrorCode::MarshallingError)?;
            if !scope.watches.remove(scope.slot, path, kind) {
                return Err(ErrorCode::NoWatcher);
            }
            put_bare(out, xid, zxid, ErrorCode::Ok);
        }
        Request::WhoAmI => put_reply(out, xid, zxid, |out| scope.put_identities(out)),
        _ => unreachable!("writes go to the quorum core, pings are answered before"),
    }
    Ok(())
}

/// Reads take the empty string for the root, as ZooKeeper's tree holds it under both names.
fn root_or(path: &[u8]) -> &[u8] {
    if path.is_empty() { b"/" } else { path }
}

impl<'a> Scope<'a> {
    fn find(&self, path: &[u8]) -> Option<Znode<'a>> {
        let path = root_or(path);
        self.view.get(path, path::hash(path))
    }

    fn allows(&self, znode: &Znode<'_>, wanted: i32) -> bool {
        let acl = znode.acl();
        acl == AclId::OPEN || self.skip_acl || self.identities.allows(self.acls.list(acl), wanted)
    }

    fn readable(&self, path: &[u8]) -> Result<Znode<'a>, ErrorCode> {
        let znode = self.find(path).ok_or(ErrorCode::NoNode)?;
        if self.allows(&znode, perms::READ) { Ok(znode) } else { Err(ErrorCode::NoAuth) }
    }

    fn watch(&mut self, wanted: bool, path: &[u8], mode: WatchMode) {
        if wanted {
            self.watches.add(self.slot, path, mode);
        }
    }

    fn put_stat(&self, out: &mut Vec<u8>, znode: &Znode<'_>) {
        self.owners.shown(znode.owner(), znode.stat()).put(out);
    }

    fn put_data(&self, out: &mut Vec<u8>, znode: &Znode<'_>) {
        put_buffer(out, znode.data());
        self.put_stat(out, znode);
    }

    fn put_children(&mut self, out: &mut Vec<u8>, path: &[u8]) {
        let path = root_or(path);
        let at = out.len();
        put_int(out, 0);
        let mut count = 0;
        self.view.children(path, path::hash(path), &mut |name| {
            put_bytes(out, name);
            count += 1;
        });
        self.walked += count as usize;
        out[at..at + 4].copy_from_slice(&i32::to_be_bytes(count));
    }

    /// The number of znodes below `path`.
    fn descendants(&mut self, path: &[u8]) -> i32 {
        let mut total = 0;
        let mut open = vec![path.to_vec()];
        while let Some(parent) = open.pop() {
            self.view.children(&parent, path::hash(&parent), &mut |name| {
                total += 1;
                let mut child = parent.clone();
                if child.last() != Some(&b'/') {
                    child.push(b'/');
                }
                child.extend_from_slice(name);
                if self.find(&child).is_some_and(|znode| znode.num_children() > 0) {
                    open.push(child);
                }
            });
        }
        self.walked += total as usize;
        total
    }

    /// getACL needs READ or ADMIN; whoever lacks ADMIN is not shown the hashes of digest identities.
    fn acl(&self, xid: i32, path: &[u8], out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        let znode = self.find(path).ok_or(ErrorCode::NoNode)?;
        if !self.allows(&znode, perms::READ | perms::ADMIN) {
            return Err(ErrorCode::NoAuth);
        }
        let is_admin = self.allows(&znode, perms::ADMIN);
        let list = self.acls.list(znode.acl());
        put_reply(out, xid, self.zxid, |out| {
            if is_admin {
                list.put(out);
            } else {
                mask_digests(list, out);
            }
            self.put_stat(out, &znode);
        });
        Ok(())
    }

    /// A frame of a megabyte can name sixty thousand znodes of a megabyte each: results beyond what a
    /// connection may have unsent are not even gathered.
    fn multi_read(&mut self, xid: i32, ops: MultiOps<'_>, out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        let start = out.len();
        let mut is_over = false;
        put_reply(out, xid, self.zxid, |out| {
            for op in ops.iter() {
                is_over |= out.len() - start > self.reply_limit;
                if is_over {
                    return;
                }
                let (Request::GetData { path, .. } | Request::GetChildren { path, .. }) = op else {
                    unreachable!("the decoder let only these two through");
                };
                match (self.readable(path), op) {
                    (Err(error), _) => put_multi_error(out, error),
                    (Ok(znode), Request::GetData { .. }) => {
                        put_multi_ok(out, OpCode::GetData);
                        self.put_data(out, &znode);
                    }
                    (Ok(_), _) => {
                        put_multi_ok(out, OpCode::GetChildren);
                        self.put_children(out, path);
                    }
                }
            }
            put_multi_end(out);
        });
        if is_over { Err(ErrorCode::MarshallingError) } else { Ok(()) }
    }

    /// Sets watches up again, or fires what they missed while the client was away. Events carry zxid -1. The
    /// paths are the client's own words, so that, as in ZooKeeper, no permission is asked.
    fn set_watches(&mut self, watches: &SetWatches<'_>, out: &mut Vec<u8>) {
        for path in watches.data.iter() {
            match self.find(path) {
                None => self.missed(EventType::NodeDeleted, path, out),
                Some(znode) if znode.mzxid() > watches.relative_zxid => {
                    self.missed(EventType::NodeDataChanged, path, out);
                }
                Some(_) => self.watch(true, path, WatchMode::Data),
            }
        }
        for path in watches.exist.iter() {
            match self.find(path) {
                Some(_) => self.missed(EventType::NodeCreated, path, out),
                None => self.watch(true, path, WatchMode::Data),
            }
        }
        for path in watches.child.iter() {
            match self.find(path) {
                None => self.missed(EventType::NodeDeleted, path, out),
                Some(znode) if znode.pzxid() > watches.relative_zxid => {
                    self.missed(EventType::NodeChildrenChanged, path, out);
                }
                Some(_) => self.watch(true, path, WatchMode::Child),
            }
        }
        for path in watches.persistent.iter() {
            self.watch(true, path, WatchMode::Persistent);
        }
        for path in watches.persistent_recursive.iter() {
            self.watch(true, path, WatchMode::PersistentRecursive);
        }
    }

    fn missed(&self, kind: EventType, path: &[u8], out: &mut Vec<u8>) {
        put_event(out, kind, Zxid(-1), path);
    }

    /// Who the connection is, one entry per identity; of a digest identity only the user's name.
    fn put_identities(&self, out: &mut Vec<u8>) {
        put_int(out, self.identities.iter().count() as i32);
        for identity in self.identities.iter() {
            put_bytes(out, &identity.scheme);
            put_bytes(out, identity.user());
        }
    }
}
