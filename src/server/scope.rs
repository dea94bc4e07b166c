//! What a read may see and may cost: the tree at one zxid, who asks, and what is left of memory and budget.

use crate::acl::{self, AclId, AclTable, Identities};
use crate::cost::{Cost, Meter};
use crate::ids::Zxid;
use crate::jute::codes::perms;
use crate::jute::request::Request;
use crate::jute::wire::put_buffer;
use crate::jute::{ErrorCode, OpCode};
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
pub(crate) fn may_read(acls: &AclTable, acl: AclId, identities: &Identities, meter: &Meter) -> bool {
    acl == AclId::OPEN || is_allowed(acls, acl, identities, perms::READ, meter)
}

fn is_allowed(acls: &AclTable, acl: AclId, identities: &Identities, wanted: i32, meter: &Meter) -> bool {
    let list = acls.list(acl);
    meter.charge(acl::check_cost(list, identities));
    identities.allows(list, wanted)
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
    pub(crate) fn spent(&self) -> Cost {
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
}
