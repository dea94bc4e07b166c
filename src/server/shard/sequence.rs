//! Takes in the published sequence: events, answers, and the reads that waited for answers.

use super::Shard;
use super::conn::{Pending, Phase};
use super::request::Incoming;
use super::state::Taking;
use crate::acl::AclId;
use crate::cost::Cost;
use crate::ids::{ConnId, SessionId, Zxid};
use crate::jute::{OpCode, connect, reply};
use crate::limits;
use crate::server::message::{Answer, Batch, Command, Element, Response};
use crate::server::scope::may_read;
use std::ops::Range;

impl Shard {
    /// Takes in all batches that were published and not taken in yet; of a transaction with very many changes only as
    /// many as this turn may tell.
    pub fn take_in(&mut self) {
        // However many connections received bytes: a long transaction has one share of each turn.
        let is_spent = self.sequence.taking.is_some() && self.spent() >= limits::HEAVY_COST;
        if is_spent || self.sequence.taking.is_none() && !self.sequence.cursor.is_behind() {
            return;
        }
        let published = self.tree.store.published();
        while let Some(mut taking) = self.sequence.taking.take().or_else(|| self.next_batch(published)) {
            let batch = &taking.batch;
            while let Some(element) = batch.elements.get(taking.elements) {
                if !self.step(batch, element, &mut taking.changes) {
                    self.sequence.taking = Some(taking);
                    return;
                }
                (taking.elements, taking.changes) = (taking.elements + 1, 0);
            }
            self.tree.applied = self.tree.applied.max(batch.last_zxid);
            // A shard that slept without a point is further ahead already, at the zxid that was published when it woke.
            if self.tree.reader.point().is_some_and(|point| point < self.tree.applied) {
                self.tree.reader.advance(self.tree.applied);
            }
        }
        self.unread.paused.append(&mut self.unread.until_told);
    }

    fn next_batch(&mut self, published: Zxid) -> Option<Taking> {
        let batch = self.sequence.cursor.advance(published)?;
        let batches = &self.stats().batches;
        batches.set(batches.value() + 1);
        Some(Taking { batch, elements: 0, changes: 0 })
    }

    /// One step of the sequence: first events, then the new state, then the answer. False if events are left for
    /// another turn; `told` is the number of changes that are told.
    fn step(&mut self, batch: &Batch, element: &Element, told: &mut usize) -> bool {
        if !element.changes.is_empty() && !self.watches.is_empty() {
            while !self.fire(batch, element, told) {
                // A usual transaction is told in one turn, whatever the turn has cost. During longer ones, pings get a
                // part of each turn.
                if self.spent() >= limits::HEAVY_COST {
                    return false;
                }
            }
        }
        self.tree.applied = self.tree.applied.max(element.zxid);
        match &element.answer {
            Some(Answer { what: Response::Collect(collect), .. }) => self.deposit(collect),
            Some(Answer { what: Response::Passwords { number, passwords }, .. }) => {
                (self.passwords_number, self.passwords) = (*number, passwords.clone());
            }
            Some(Answer { shard, what: Response::Adopt(adoption), .. }) if *shard == self.options.shard => {
                if let Some(adopted) = adoption.take() {
                    self.adopt(adopted);
                }
            }
            Some(Answer { shard, conn, what }) if *shard == self.options.shard => {
                self.told(batch, element.zxid, *conn, what);
            }
            _ => {}
        }
        true
    }

    fn told(&mut self, batch: &Batch, zxid: Zxid, id: ConnId, what: &Response) {
        match what {
            Response::Reply { frame, close } => self.reply(batch, zxid, id, frame, *close),
            Response::Ephemerals { prefix } => {
                self.list_ephemerals(id, &batch.replies[prefix.start as usize..prefix.end as usize]);
            }
            Response::Opened { session, timeout_ms, read_only } => {
                self.opened(id, *session, *timeout_ms, *read_only, zxid);
            }
            Response::Refused => self.refuse(id),
            Response::Gone => self.taken_up(id),
            Response::Close => {
                // The session no longer belongs to this connection: its end is not reported.
                if let Some(conn) = self.conns.find(id) {
                    conn.session = SessionId::NONE;
                }
                self.end(id);
            }
            Response::Collect(_) | Response::Adopt(_) | Response::Passwords { .. } => {
                unreachable!("the shard's business, seen before")
            }
            Response::Collected(question) => self.collected(id, question),
        }
    }

    /// The quorum core has answered the oldest request of this connection that it has.
    fn reply(&mut self, batch: &Batch, zxid: Zxid, id: ConnId, frame: &Range<u32>, close: bool) {
        let Some(conn) = self.conns.find(id) else { return };
        let Some(Pending::Core { xid, op, since_ms, bytes }) = conn.pending.pop_front() else {
            unreachable!("the quorum core answers what it was asked, in order");
        };
        let before = conn.output.len();
        conn.queued.in_core -= 1;
        conn.stops.is_barred &= op != OpCode::GetEphemerals;
        let has_waiting = conn.may_answer();
        conn.output.extend_from_slice(&batch.replies[frame.start as usize..frame.end as usize]);
        self.begin_work();
        self.tree.reader.meter().charge(Cost::REQUEST + Cost::bytes(frame.len()));
        self.core_has_answered(1, bytes);
        let now = self.clock.mono_ms;
        let latency = now - since_ms;
        self.stats().update_latency.record(latency);
        self.answered(id, before, xid, op.short_name(), since_ms, zxid);
        if close {
            // Requests after a closeSession are not answered.
            if let Some(conn) = self.conns.find(id) {
                conn.session = SessionId::NONE;
                conn.pending.clear();
                conn.close(now);
                let expected = std::mem::take(&mut conn.cost.expected);
                self.expect_nothing(expected);
            }
            return;
        }
        if has_waiting {
            self.run_waiting(id);
        }
    }

    /// Runs the requests that waited for the answer just given, up to the next one the core has. The state they see is
    /// that answer's, as the rest of the batch has not been looked at yet. A read with no request for the core behind
    /// it waits for another turn, and sees that turn's state, if this turn has used up its budget.
    pub(super) fn run_waiting(&mut self, id: ConnId) {
        while let Some(conn) = self.conns.find(id) {
            let is_between = conn.awaits_core();
            if !conn.may_answer() {
                return;
            }
            if !is_between && self.must_put_off(id) {
                return self.pause(id);
            }
            let Some(conn) = self.conns.find(id) else { return };
            let Some(Pending::Local { frame, since_ms, identities, price }) = conn.pending.pop_front() else { return };
            conn.queued.waiting_bytes -= frame.len();
            conn.account_requests();
            // If the request was a possible wide read, nothing was accepted behind it; now it is known whether it is
            // one.
            conn.stops.is_barred &= !conn.pending.is_empty();
            self.expect_no_more(id, price, is_between);
            self.begin_work();
            match Incoming::read(&frame) {
                Some(asked) => self.answer(id, &asked, since_ms, &identities, is_between.then_some(price)),
                None => unreachable!("its header has been read before it was let wait"),
            }
            self.settle(id);
        }
    }

    fn opened(&mut self, id: ConnId, session: SessionId, timeout_ms: i32, read_only: bool, zxid: Zxid) {
        let password = self.passwords.password(session);
        let now = self.clock.mono_ms;
        let Some(conn) = self.conns.find(id) else {
            // The client has disconnected meanwhile: the session lives until it expires.
            return self.submit(id, session, 0, Command::Disconnected { owed: false }, &[]);
        };
        let since_ms = conn.since_ms;
        conn.session = session;
        conn.timeout_ms = timeout_ms;
        conn.phase = Phase::Open;
        conn.since_ms = now;
        let before = conn.output.len();
        self.budget.mark = self.tree.reader.meter().reading();
        connect::put_accepted(&mut conn.output, session, &password, timeout_ms, conn.read_only.map(|_| read_only));
        self.answered(id, before, 0, OpCode::CreateSession.short_name(), since_ms, zxid);
    }

    /// Fires the watches of this shard's connections for changes of one transaction that are not told yet. False if
    /// changes are left.
    fn fire(&mut self, batch: &Batch, element: &Element, told: &mut usize) -> bool {
        let (turn, limit) = (self.budget.turn, self.output_limit());
        self.sequence.fires += u64::from(*told == 0);
        let first = element.changes.start as usize + *told;
        let upto = (element.changes.end as usize).min(first + limits::CHANGES_TOLD);
        let Shard { watches, conns, tree, edge, rules, sequence, .. } = self;
        let meter = tree.reader.meter();
        let mut event = vec![];
        let mut over = vec![];
        meter.charge(Cost::COMPARISON * (2 * (upto - first)));
        for change in batch.changes.range(first..upto) {
            watches.fire(&change, &mut |kind, path, acl, slots| {
                event.clear();
                reply::put_event(&mut event, kind, element.zxid, path);
                meter.charge((Cost::ZNODE + Cost::bytes(event.len())) * slots.len());
                let is_open = acl == AclId::OPEN || rules.skip_acl;
                for slot in slots {
                    let Some(conn) = conns.at(*slot) else { continue };
                    // The permission is checked now, not when the watch was set: the ACL may have changed since. A
                    // transaction may change many znodes with the same ACL, which is checked once.
                    if !is_open {
                        let (step, judged, mut is_allowed) = conn.caller.verdict;
                        if (step, judged) != (sequence.fires, acl) {
                            is_allowed = may_read(&tree.acls, acl, &conn.caller.identities, meter);
                            conn.caller.verdict = (sequence.fires, acl, is_allowed);
                        }
                        if !is_allowed {
                            continue;
                        }
                    }
                    let before = conn.output.len();
                    conn.output.extend_from_slice(&event);
                    conn.stats.sent += 1;
                    if conn.put(turn, before) > limit {
                        over.push(conn.id);
                    }
                    conn.mark_dirty(&mut edge.dirty);
                }
            });
        }
        for id in over {
            self.end_of_unread(id);
        }
        self.count_watches();
        *told = upto - element.changes.start as usize;
        upto == element.changes.end as usize
    }
}
