//! What a read may see and may cost: the tree at one zxid, the caller's identities, and the memory and budget that are
//! left.

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

/// The context of a read.
pub(crate) struct Scope<'a> {
    /// The tree at `zxid`.
    pub view: View<'a>,
    pub acls: &'a AclTable,
    pub identities: &'a Identities,
    pub watches: &'a mut Watches,
    /// The connection's slot, under which watches are kept.
    pub slot: u32,
    pub zxid: Zxid,
    pub skip_acl: bool,
    /// How a stored owner is shown to clients.
    pub owners: OwnerRules,
    /// The memory from which answers are taken.
    pub replies: &'a Pot,
    /// Names were left out of a list for want of memory: the list is refused, even if there is memory again later.
    pub is_cut: bool,
    /// The request was refused for want of memory.
    pub is_throttled: bool,
    /// What the view's meter showed when this step began; and (`budget`) what the step may cost.
    pub begun: Cost,
    pub budget: Cost,
    /// The read cannot continue in slices: it is refused if it exceeds the budget.
    pub is_bound: bool,
}

/// Whether a connection with these identities may read a znode with this ACL. The cost of the check is charged.
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

    /// The znode at a path, if it exists and its ACL permits the access.
    #[inline]
    pub(super) fn permitted(&self, op: OpCode, path: &[u8]) -> Result<Znode<'a>, ErrorCode> {
        let znode = self.find(path).ok_or(ErrorCode::NoNode)?;
        let is_allowed = op.needs().is_none_or(|needed| self.allows(&znode, needed.perms));
        if is_allowed { Ok(znode) } else { Err(ErrorCode::NoAuth) }
    }

    /// Sets a watch, if the request wants one.
    ///
    /// # Errors
    ///
    /// A watch beyond the limit is refused with "throttled, not executed at all": the only error of the protocol that
    /// blames neither the request nor the tree, and that the clients of Java, C and Python know by name.
    pub(super) fn watch(&mut self, wanted: bool, path: &[u8], mode: WatchMode) -> Result<(), ErrorCode> {
        if wanted && !self.watches.add(self.slot, path, mode) {
            return Err(ErrorCode::ThrottledOp);
        }
        Ok(())
    }

    /// The length of the longest answer that is possible now, bytes.
    pub(super) fn longest_answer(&self) -> usize {
        self.replies.room().clamp(limits::SHORT_ANSWER, limits::LONGEST_ANSWER)
    }

    /// Whether an answer of this length is refused.
    pub(super) fn is_too_long(&self, length: usize) -> bool {
        self.is_cut || length > self.longest_answer()
    }

    /// Checks that an answer may be so long.
    ///
    /// # Errors
    ///
    /// A longer answer is refused as throttled, not executed at all: no watch is set yet.
    #[inline]
    pub(super) fn has_memory_for(&self, length: usize) -> Result<(), ErrorCode> {
        if length <= limits::SHORT_ANSWER || length <= self.longest_answer() {
            Ok(())
        } else {
            Err(ErrorCode::ThrottledOp)
        }
    }

    /// Sets the watch of a listing, when the names are listed or the state is pinned.
    pub(super) fn watch_of(&mut self, request: &Request<'_>) -> Result<(), ErrorCode> {
        match *request {
            Request::GetChildren { path, watch } | Request::GetChildren2 { path, watch } => {
                self.watch(watch, path, WatchMode::Child)
            }
            _ => Ok(()),
        }
    }

    /// Charges work that the view does not see.
    pub(super) fn charge(&self, cost: Cost) {
        self.view.meter().charge(cost);
    }

    /// What this step has cost so far.
    pub(crate) fn spent(&self) -> Cost {
        self.view.meter().reading().less(self.begun)
    }

    /// What this step may still cost.
    pub(super) fn cost_left(&self) -> Cost {
        self.budget.less(self.spent())
    }

    /// How many znodes this slice may still look at; at least one, so that each slice makes progress.
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
