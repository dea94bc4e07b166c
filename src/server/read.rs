//! Reads, answered by a shard from the tree as it was at one zxid.
//!
//! The decision whether the caller may see a znode, the answer and the registration of the watch are one
//! step at one zxid. Orders of checks and shapes of replies are ZooKeeper 3.9's (`FinalRequestProcessor`).

use super::wide::{Step, WideRead};
use crate::acl::{self, AclId, AclTable, Identities, mask_digests};
use crate::cost::{Cost, Meter};
use crate::ids::Zxid;
use crate::jute::codes::perms;
use crate::jute::reply::{put_bare, put_reply};
use crate::jute::request::Request;
use crate::jute::wire::{put_buffer, put_bytes, put_int};
use crate::jute::{AddWatchMode, ErrorCode, OpCode, WatcherType};
use crate::limits;
use crate::server::memory::Pot;
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
    /// The memory that an answer is taken from.
    pub replies: &'a Pot,
    /// Names were left out of a list for want of memory: it is refused, whatever memory there is when it is looked at.
    pub is_cut: bool,
    /// The request was refused for want of memory.
    pub is_throttled: bool,
    /// What the view's meter showed when this step began, and what the step may cost.
    pub begun: Cost,
    pub budget: Cost,
    /// It cannot go on in slices: what would exceed the budget is refused.
    pub is_bound: bool,
}

/// Whether a connection with these identities may read what that ACL protects. What it takes to find out is charged.
#[inline]
pub fn may_read(acls: &AclTable, acl: AclId, identities: &Identities, meter: &Meter) -> bool {
    acl == AclId::OPEN || is_allowed(acls, acl, identities, perms::READ, meter)
}

fn is_allowed(acls: &AclTable, acl: AclId, identities: &Identities, wanted: i32, meter: &Meter) -> bool {
    let list = acls.list(acl);
    meter.charge(acl::check_cost(list, identities));
    identities.allows(list, wanted)
}

/// What has come of a request.
pub enum Answered {
    /// Its reply frame is there.
    Done,
    /// It is there, and the connection must end behind it; see [`Step::Over`].
    Over,
    /// The budget is used up. What the read has so far is in the output, and its watch is not set yet.
    Unfinished(WideRead),
}

/// Appends the reply frame to `request`, after any events it makes. All that it takes is charged to the view's meter.
pub fn answer(scope: &mut Scope<'_>, xid: i32, request: &Request<'_>, body: &[u8], out: &mut Vec<u8>) -> Answered {
    let start = out.len();
    let answered = match WideRead::begin(scope, xid, request) {
        Ok(None) => {
            debug_assert!(!request.op().work().is_wide(), "{request:?} goes in slices");
            let answered = try_answer(scope, xid, request, out);
            scope.charge(Cost::bytes(out.len() - start));
            answered
        }
        Ok(Some(mut read)) => match read.go_on(scope, body, out, start) {
            Ok(Step::Done) => scope.watch_of(request),
            Ok(Step::Over) => return Answered::Over,
            // Nothing of it is done: its watch is not set yet.
            Ok(Step::More) if scope.is_bound => Err(ErrorCode::ThrottledOp),
            Ok(Step::More) => return Answered::Unfinished(read),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    if let Err(error) = answered {
        scope.is_throttled = error == ErrorCode::ThrottledOp;
        out.truncate(start);
        put_bare(out, xid, scope.zxid, error);
    }
    Answered::Done
}

fn try_answer(scope: &mut Scope<'_>, xid: i32, request: &Request<'_>, out: &mut Vec<u8>) -> Result<(), ErrorCode> {
    let zxid = scope.zxid;
    match *request {
        Request::Exists { path, watch } => {
            if path.contains(&0) {
                return Err(ErrorCode::BadArguments);
            }
            match scope.permitted(OpCode::Exists, path) {
                Ok(znode) => {
                    scope.watch(watch, path, WatchMode::Data)?;
                    put_reply(out, xid, zxid, |out| scope.put_stat(out, &znode));
                }
                Err(ErrorCode::NoNode) => {
                    // The one watch that may be set on what is not there.
                    scope.watch(watch, path, WatchMode::Data)?;
                    return Err(ErrorCode::NoNode);
                }
                Err(error) => return Err(error),
            }
        }
        Request::GetData { path, watch } => {
            let znode = scope.permitted(OpCode::GetData, path)?;
            scope.has_memory_for(znode.data().map_or(0, <[u8]>::len))?;
            if scope.is_bound && Cost::bytes(znode.data().map_or(0, <[u8]>::len)) > scope.cost_left() {
                return Err(ErrorCode::ThrottledOp);
            }
            scope.watch(watch, path, WatchMode::Data)?;
            put_reply(out, xid, zxid, |out| scope.put_data(out, &znode));
        }
        Request::GetAcl { path } => scope.acl(xid, path, out)?,
        Request::AddWatch { path, mode } => {
            let mode = match AddWatchMode::from_wire(mode) {
                Some(AddWatchMode::Persistent) => WatchMode::Persistent,
                Some(AddWatchMode::PersistentRecursive) => WatchMode::PersistentRecursive,
                None => return Err(ErrorCode::MarshallingError),
            };
            scope.watch(true, path, mode)?;
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

impl<'a> Scope<'a> {
    pub(super) fn find(&self, path: &[u8]) -> Option<Znode<'a>> {
        let path = path::stored(path);
        self.view.get(path, path::hash(path))
    }

    pub(super) fn allows(&self, znode: &Znode<'_>, wanted: i32) -> bool {
        let acl = znode.acl();
        acl == AclId::OPEN || self.skip_acl || is_allowed(self.acls, acl, self.identities, wanted, self.view.meter())
    }

    /// The znode that a read is about, if it is there and its ACL lets the caller do that.
    #[inline]
    pub(super) fn permitted(&self, op: OpCode, path: &[u8]) -> Result<Znode<'a>, ErrorCode> {
        let znode = self.find(path).ok_or(ErrorCode::NoNode)?;
        let is_allowed = op.needs().is_none_or(|needed| self.allows(&znode, needed.perms));
        if is_allowed { Ok(znode) } else { Err(ErrorCode::NoAuth) }
    }

    /// Sets a watch, if it is wanted.
    ///
    /// # Errors
    /// A watch too many is refused with "throttled, not executed at all": the one error of the protocol that blames
    /// neither the request nor the tree, and that the clients of Java, C and Python know by name.
    pub(super) fn watch(&mut self, wanted: bool, path: &[u8], mode: WatchMode) -> Result<(), ErrorCode> {
        if wanted && !self.watches.add(self.slot, path, mode) {
            return Err(ErrorCode::ThrottledOp);
        }
        Ok(())
    }

    /// Bytes of the longest answer that may be given now.
    pub(super) fn longest_answer(&self) -> usize {
        self.replies.room().clamp(limits::SHORT_ANSWER, limits::LONGEST_ANSWER)
    }

    /// Whether an answer that has come to such a length is refused.
    pub(super) fn is_too_long(&self, length: usize) -> bool {
        self.is_cut || length > self.longest_answer()
    }

    /// Whether an answer may be so long.
    ///
    /// # Errors
    /// It is refused as throttled, not executed at all: no watch is set yet.
    #[inline]
    pub(super) fn has_memory_for(&self, length: usize) -> Result<(), ErrorCode> {
        if length <= limits::SHORT_ANSWER || length <= self.longest_answer() {
            Ok(())
        } else {
            Err(ErrorCode::ThrottledOp)
        }
    }

    /// Sets the watch of a listing, once it is listed or pinned.
    pub(super) fn watch_of(&mut self, request: &Request<'_>) -> Result<(), ErrorCode> {
        match *request {
            Request::GetChildren { path, watch } | Request::GetChildren2 { path, watch } => {
                self.watch(watch, path, WatchMode::Child)
            }
            _ => Ok(()),
        }
    }

    /// Something is done that the view does not see.
    pub(super) fn charge(&self, cost: Cost) {
        self.view.meter().charge(cost);
    }

    /// What this step has cost so far.
    pub fn spent(&self) -> Cost {
        self.view.meter().reading().less(self.begun)
    }

    /// What it may yet cost.
    pub(super) fn cost_left(&self) -> Cost {
        self.budget.less(self.spent())
    }

    /// Znodes that may be looked at before the read is left; one at least, so that each slice gets on.
    pub(super) fn znodes_left(&self) -> usize {
        self.cost_left().over(Cost::ZNODE).max(1)
    }

    pub(super) fn put_stat(&self, out: &mut Vec<u8>, znode: &Znode<'_>) {
        self.owners.shown(znode.owner(), znode.stat()).put(out);
    }

    pub(super) fn put_data(&self, out: &mut Vec<u8>, znode: &Znode<'_>) {
        put_buffer(out, znode.data());
        self.put_stat(out, znode);
    }

    /// getACL needs READ or ADMIN; whoever lacks ADMIN is not shown the hashes of digest identities.
    fn acl(&self, xid: i32, path: &[u8], out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        let znode = self.permitted(OpCode::GetAcl, path)?;
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

    /// Who the connection is, one entry per identity; of a digest identity only the user's name.
    fn put_identities(&self, out: &mut Vec<u8>) {
        put_int(out, self.identities.iter().count() as i32);
        for identity in self.identities.iter() {
            put_bytes(out, &identity.scheme);
            put_bytes(out, identity.user());
        }
    }
}
