//! Work that takes more than a turn may: reads in slices, and the watches of connections that have ended.
//!
//! A read that has used up its budget is pinned at the state with which it began, and continues in slices; the reads
//! take turns. The read's watch is set in the step that pins the read. Later events, and everything else for that
//! connection, wait behind the reply. No further request of that connection is accepted meanwhile. Only so many reads
//! are pinned at a time; the others wait, and see the state of the moment when they begin.

use super::Shard;
use super::conn::{Asking, Pending};
use super::state::Running;
use crate::acl::Identities;
use crate::cost::Cost;
use crate::ids::{ConnId, Zxid};
use crate::jute::request::Request;
use crate::jute::{ErrorCode, OpCode, reply};
use crate::limits;
use crate::server::memory::Charge;
use crate::server::scope::Scope;
use crate::server::wide::{Step, WideRead};
use crate::tree::store::Pin;

impl Shard {
    /// The scope of a connection's read: the state at a pin, or at `applied`.
    pub(super) fn scope<'a>(
        &'a mut self,
        id: ConnId,
        identities: &'a Identities,
        pin: Option<&'a Pin>,
        budget: Cost,
    ) -> Scope<'a> {
        let (view, zxid) = match pin {
            Some(pin) => (self.tree.reader.view_pinned(pin), pin.zxid()),
            None => (self.tree.reader.view(self.tree.applied), self.tree.applied),
        };
        Scope {
            view,
            acls: &self.tree.acls,
            identities,
            watches: &mut self.watches,
            slot: id.slot,
            zxid,
            skip_acl: self.rules.skip_acl,
            owners: self.rules.owners,
            replies: &self.options.memory.replies,
            is_cut: false,
            is_throttled: false,
            begun: self.tree.reader.meter().reading(),
            budget,
            is_bound: false,
        }
    }

    /// A read has used up its budget; `out` is the reply so far. It continues in slices, or waits until it may begin
    /// again.
    pub(super) fn continue_in_slices(&mut self, id: ConnId, asking: Asking, read: WideRead, mut out: Vec<u8>) {
        let identities = self.identities_of(id);
        let Some(conn) = self.conns.find(id) else { return };
        debug_assert!(!conn.awaits_core(), "between two writes a read is refused when it is too long");
        conn.stops.is_reading = true;
        if !read.needs_pin() {
            // Events of missed changes are sent at once.
            conn.output.append(&mut out);
            let charge = Charge::on(&self.options.memory.replies);
            return self.start(Running { conn: id, asking, read, pin: None, identities, out, charge });
        }
        match self.pin() {
            Some(pin) => {
                let charge = Charge::on(&self.options.memory.replies);
                self.start(Running { conn: id, asking, read, pin: Some(pin), identities, out, charge });
            }
            None => self.wait(id, asking),
        }
    }

    /// A session has more ephemerals than the core lists: the shard searches for them, in the state of this step of the
    /// sequence.
    pub(super) fn list_ephemerals(&mut self, id: ConnId, prefix: &[u8]) {
        let Some(conn) = self.conns.find(id) else { return };
        let Some(Pending::Core { xid, op, since_ms, bytes }) = conn.pending.pop_front() else {
            unreachable!("the quorum core answers what it was asked, in order");
        };
        debug_assert!(conn.stops.is_barred && conn.pending.is_empty(), "nothing is taken behind a getEphemerals");
        conn.queued.in_core -= 1;
        (conn.stops.is_barred, conn.stops.is_reading) = (false, true);
        self.core_has_answered(1, bytes);
        let asking = Asking { xid, op, body: prefix.into(), since_ms };
        match self.pin() {
            Some(pin) => self.begin_read(id, asking, pin),
            None => self.wait(id, asking),
        }
    }

    /// A pin at `applied`; none while too many reads have one.
    fn pin(&self) -> Option<Pin> {
        if self.slices.pinned >= limits::READS_IN_SLICES {
            return None;
        }
        self.tree.reader.pin(self.tree.applied).ok()
    }

    fn wait(&mut self, id: ConnId, asking: Asking) {
        let Some(conn) = self.conns.find(id) else { return };
        conn.stops.asking = Some(asking);
        self.slices.waiting.push_back(id);
    }

    /// Begins a read that has waited.
    fn begin_read(&mut self, id: ConnId, asking: Asking, pin: Pin) {
        self.begin_work();
        let Some(conn) = self.conns.find(id) else { return };
        let (session, identities) = (conn.session, conn.caller.identities.clone());
        let scope = self.scope(id, &identities, Some(&pin), Cost::NONE);
        let read = match Request::decode(asking.op, &asking.body) {
            _ if asking.op == OpCode::GetEphemerals => Ok(Some(WideRead::ephemerals(asking.xid, session))),
            Ok(request) => WideRead::begin(&scope, asking.xid, &request),
            Err(_) => Err(ErrorCode::MarshallingError),
        };
        match read {
            Ok(Some(read)) => {
                let charge = Charge::on(&self.options.memory.replies);
                self.start(Running { conn: id, asking, read, pin: Some(pin), identities, out: vec![], charge });
            }
            Ok(None) => unreachable!("only wide reads wait"),
            Err(error) => self.end_of_read(id, &asking, Err(error), vec![], pin.zxid()),
        }
        self.settle(id);
    }

    /// The read is under way from now on: its watch is set, later events wait behind its reply.
    fn start(&mut self, running: Running) {
        let Running { conn: id, asking, pin, identities, .. } = &running;
        if let Some(pin) = pin {
            let mut scope = self.scope(*id, identities, Some(pin), Cost::NONE);
            let watched = match Request::decode(asking.op, &asking.body) {
                Ok(request) => scope.watch_of(&request),
                Err(_) => Ok(()),
            };
            if let Err(error) = watched {
                return self.end_of_read(*id, asking, Err(error), vec![], pin.zxid());
            }
            self.slices.pinned += 1;
            if let Some(conn) = self.conns.find(*id) {
                conn.hold_back();
            }
        }
        self.slices.running.push_back(running);
    }

    /// The work of one turn: a slice of one read, and some watches of ended connections.
    pub(super) fn work_off(&mut self) {
        if self.sequence.taking.is_some() {
            return;
        }
        let mut has_begun = false;
        while let Some(id) = self.slices.waiting.front().copied() {
            // A refused read takes no pin, so pins alone do not limit how many reads begin in a turn.
            if has_begun && self.spent() >= self.budget.heavy {
                break;
            }
            let Some(conn) = self.conns.find(id) else {
                self.slices.waiting.pop_front();
                continue;
            };
            let Some(asking) = conn.stops.asking.take() else { unreachable!("it waits, so it has asked") };
            let Some(pin) = self.pin() else {
                if let Some(conn) = self.conns.find(id) {
                    conn.stops.asking = Some(asking);
                }
                break;
            };
            self.slices.waiting.pop_front();
            self.begin_read(id, asking, pin);
            has_begun = true;
        }
        if let Some(running) = self.slices.running.pop_front() {
            self.slice(running);
        }
        if self.watches.has_ended() {
            let Shard { watches, conns, .. } = self;
            watches.remove_ended(limits::WATCHES_REMOVED_PER_TURN, &mut |slot| conns.free(slot));
        }
    }

    fn slice(&mut self, mut running: Running) {
        let Running { conn: id, asking, read, pin, identities, out, .. } = &mut running;
        let id = *id;
        self.begin_work();
        let step = self.conns.find(id).is_some().then(|| {
            let mut scope = self.scope(id, identities, pin.as_ref(), self.slice_cost());
            (read.advance(&mut scope, &asking.body, out, 0), scope.zxid)
        });
        self.settle(id);
        running.charge.follow(running.out.capacity());
        match step {
            Some((Ok(Step::More), _)) => {
                if running.pin.is_none()
                    && let Some(conn) = self.conns.find(id)
                {
                    conn.output.append(&mut running.out);
                    self.mark_dirty(id);
                }
                self.slices.running.push_back(running);
            }
            ended => {
                self.slices.pinned -= usize::from(running.pin.is_some());
                let Running { asking, out, pin, charge, .. } = running;
                // The reply goes to its connection, or is dropped.
                drop((pin, charge));
                // Nothing to do if the client has disconnected meanwhile.
                if let Some((step, zxid)) = ended {
                    self.end_of_read(id, &asking, step, out, zxid);
                }
            }
        }
    }

    /// Gives a connection the reply that it waited for; bytes behind the reply may be sent, and further requests
    /// accepted.
    fn end_of_read(
        &mut self,
        id: ConnId,
        asking: &Asking,
        step: Result<Step, ErrorCode>,
        mut out: Vec<u8>,
        zxid: Zxid,
    ) {
        if let Err(error) = step {
            out.clear();
            reply::put_bare(&mut out, asking.xid, zxid, error);
            self.stats().throttled.add(u64::from(error == ErrorCode::ThrottledOp));
        }
        let Some(conn) = self.conns.find(id) else { return };
        let length = out.len();
        conn.stops.is_reading = false;
        conn.release(out);
        // Without the bytes before the reply: some of them may have been freed just now.
        let before = conn.output.len() - length;
        self.answered(id, before, asking.xid, asking.op.short_name(), asking.since_ms, zxid);
        if step == Ok(Step::Over) {
            self.end_for_watches(id);
        }
    }

    /// Closes a connection whose setWatches was refused, after the answer.
    pub(super) fn end_for_watches(&mut self, id: ConnId) {
        let now = self.clock.mono_ms;
        let Some(conn) = self.conns.find(id) else { return };
        tracing::warn!(
            peer = %conn.peer, session = %conn.session,
            "connection ended: its watches exceed a limit (corral.maxWatches, corral.maxWatchBytes)"
        );
        conn.close(now);
    }
}
