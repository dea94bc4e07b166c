//! What one turn may cost, and which connections continue in it.
//!
//! Everything a shard does for its clients is charged to its reader's meter: requests taken in, znodes and versions
//! looked at, ACLs compared, bytes answered and sent. A turn that has cost its share leaves the rest to the next one.
//! When some clients have asked for much, clients that ask for little are served first. Waiting connections continue in
//! order, some of them in every turn.
//!
//! Reads between two writes of their connection cannot wait: they must see the first write and not the second. Their
//! cost is estimated when they come, and accepted up to a limit. The cost beyond the estimate (the tree may have grown)
//! is limited as well; a read that exceeds it is refused as throttled. Reads behind the last write wait like all
//! others.

use super::Shard;
use super::share::Expected;
use crate::acl::{self, AclId};
use crate::cost::Cost;
use crate::ids::ConnId;
use crate::jute::request::Request;
use crate::jute::{AnsweredBy, OpCode, Work};
use crate::limits;
use crate::tree::path;
use crate::tree::store::Znode;

impl Shard {
    pub(super) fn begin_budget(&mut self) {
        let budget = &mut self.budget;
        budget.begun = self.tree.reader.meter().reading();
        (budget.heavy, budget.all) = (limits::HEAVY_COST, limits::TURN_COST);
        budget.overrun = Cost::NONE;
        budget.has_left_over = false;
    }

    /// What this turn has cost so far.
    #[inline]
    pub fn spent(&self) -> Cost {
        self.tree.reader.meter().reading().less(self.budget.begun)
    }

    /// The sockets have been read: waiting connections get a part of this turn, whatever it has cost so far.
    pub(super) fn extend_budget(&mut self) {
        let least = self.spent() + limits::SLICE_COST;
        let budget = &mut self.budget;
        (budget.heavy, budget.all) = (budget.heavy.max(least), budget.all.max(least));
    }

    /// Work from here on is for one connection: [`Budget::charge`] or [`Shard::settle`] later names it.
    #[inline]
    pub(super) fn begin_work(&mut self) {
        self.budget.mark = self.tree.reader.meter().reading();
    }

    /// Charges work to a connection, if that was not done with an answer: not every request has an answer, or has it at
    /// once.
    #[inline]
    pub(super) fn settle(&mut self, id: ConnId) {
        let reading = self.tree.reader.meter().reading();
        if reading > self.budget.mark
            && let Some(conn) = self.conns.find(id)
        {
            self.budget.charge(conn, reading);
        }
    }

    /// The cost of a connection's recent requests.
    #[cfg(test)]
    pub(crate) fn recent_cost(&mut self, id: ConnId) -> Cost {
        let turn = self.budget.turn;
        let conn = self.conns.find(id).expect("it is there");
        conn.cost.share.charge(turn, Cost::NONE);
        conn.cost.share.cost
    }

    /// Whether a connection must wait for another turn.
    #[inline]
    pub(super) fn is_out_of_turn(&mut self, id: ConnId) -> bool {
        let spent = self.spent();
        spent >= self.budget.heavy && self.has_had_its_share(id, spent)
    }

    #[cold]
    fn has_had_its_share(&mut self, id: ConnId, spent: Cost) -> bool {
        let turn = self.budget.turn;
        let Some(conn) = self.conns.find(id) else { return false };
        conn.cost.share.charge(turn, Cost::NONE);
        let waits = spent >= self.budget.all || conn.cost.share.cost >= limits::LIGHT_COST;
        self.budget.has_left_over |= waits;
        waits
    }

    /// The estimated cost of a read that has to wait, by the present state; `None` if the cost is high or unknown.
    pub(super) fn price(&self, op: OpCode, body: &[u8], identities: &acl::Identities) -> Option<Cost> {
        let further = self.further_cost(op, body, identities)?;
        (further < limits::SLICE_COST).then_some(further + limits::BETWEEN_PRICE)
    }

    /// The cost beyond accepting the request and writing the answer; `None` if it is unknown.
    fn further_cost(&self, op: OpCode, body: &[u8], identities: &acl::Identities) -> Option<Cost> {
        if op.answered_by() != AnsweredBy::Shard {
            return Some(Cost::NONE);
        }
        let Ok(request) = Request::decode(op, body) else { return Some(Cost::NONE) };
        let view = self.tree.reader.view(self.tree.applied);
        let path = request.path().filter(|_| op.needs().is_some());
        let find = || path.and_then(|path| view.get(path::stored(path), path::hash(path::stored(path))));
        let check = |znode: Znode<'_>| match znode.acl() == AclId::OPEN || self.rules.skip_acl {
            true => Cost::NONE,
            false => acl::check_cost(self.tree.acls.list(znode.acl()), identities),
        };
        let of_znode = |cost: &dyn Fn(Znode<'_>) -> Cost| find().map_or(Cost::NONE, cost);
        Some(match op.work() {
            Work::Request => return None,
            Work::Subtree => Cost::ZNODE * 4 * self.tree.store.znodes() as usize,
            Work::Children => of_znode(&|znode| check(znode) + Cost::ZNODE * 2 * znode.num_children() as usize),
            Work::Data => of_znode(&|znode| check(znode) + Cost::bytes(znode.data().map_or(0, <[u8]>::len))),
            // getACL checks the ACL twice, and writes the list.
            Work::Acl => of_znode(&|znode| check(znode) * 3),
            Work::Bounded => of_znode(&check),
        })
    }

    /// A read begins to wait behind a write.
    pub(super) fn expect(&mut self, id: ConnId, price: Cost) {
        if let Some(conn) = self.conns.find(id) {
            conn.cost.expected.behind += price;
        }
    }

    /// Whether a request for the quorum core must wait until reads that came before it are answered: it would make them
    /// stand between two writes, and there is too much of that already.
    #[inline]
    pub(super) fn crosses_too_much(&mut self, id: ConnId, is_for_the_core: impl FnOnce() -> bool) -> bool {
        let crossing = self.budget.crossing;
        let Some(conn) = self.conns.find(id) else { return false };
        conn.stops.wants_to_cross = conn.cost.expected.exceeds(crossing) && is_for_the_core();
        conn.stops.wants_to_cross
    }

    /// A read that waited is about to run; `is_between`: it stands between two writes.
    pub(super) fn expect_no_more(&mut self, id: ConnId, price: Cost, is_between: bool) {
        let Some(conn) = self.conns.find(id) else { return };
        let expected = &mut conn.cost.expected;
        if is_between {
            expected.between = expected.between.less(price);
            self.budget.crossing = self.budget.crossing.less(price);
        } else {
            expected.behind = expected.behind.less(price);
        }
    }

    /// The reads of a connection that waited will not run.
    pub(super) fn expect_nothing(&mut self, expected: Expected) {
        self.budget.crossing = self.budget.crossing.less(expected.between);
    }

    /// What a read may cost now: a slice; or, between two writes, the estimated cost and a little more.
    pub(super) fn budget_for(&self, bound: Option<Cost>) -> Cost {
        match bound {
            Some(price) => price + limits::OVERRUN_COST.less(self.budget.overrun).max(limits::BETWEEN_COST),
            None => self.slice_cost(),
        }
    }

    /// Notes what a read between two writes has cost.
    pub(super) fn has_cost(&mut self, price: Cost, spent: Cost) {
        self.budget.overrun += spent.less(price);
    }

    /// What one slice may cost.
    pub(super) fn slice_cost(&self) -> Cost {
        Cost::ZNODE * self.options.slice
    }

    /// Bytes that one socket may be given now.
    pub(crate) fn send_share(&self) -> usize {
        if self.spent() < limits::TURN_COST { limits::SEND_PER_TURN } else { limits::SEND_IN_FULL_TURN }
    }
}
