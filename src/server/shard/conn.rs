//! One client's connection, as its shard sees it.

use super::share::{Expected, Share};
use crate::acl::{AclId, Identities, Identity};
use crate::cost::Cost;
use crate::ids::{ConnId, SessionId};
use crate::jute::OpCode;
use crate::limits;
use crate::server::facts::ConnStats;
use crate::server::memory::{Charge, Memory};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

/// The phase of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Nothing is decoded yet: a ConnectRequest or a four-letter word may come.
    Greeting,
    /// The quorum core has been asked for the session; nothing more is read.
    Opening,
    /// Requests are accepted.
    Open,
    /// No more requests are accepted; queued answers are sent, then the connection is closed.
    Closing,
}

/// A request whose answer cannot be given yet.
#[derive(Debug)]
pub(crate) enum Pending {
    /// The quorum core has it.
    Core { xid: i32, op: OpCode, since_ms: i64, bytes: usize },
    /// The request waits for those before it: header and body as received, the client's identities at that time, and
    /// the expected cost.
    Local { frame: Box<[u8]>, since_ms: i64, identities: Arc<Identities>, price: Cost },
}

/// The request of a read that is not done, or not begun.
#[derive(Debug)]
pub(crate) struct Asking {
    pub xid: i32,
    pub op: OpCode,
    /// The request's body; of getEphemerals the prefix alone.
    pub body: Box<[u8]>,
    pub since_ms: i64,
}

/// The reasons of one connection why no further request is accepted; the shard as a whole may have others.
#[derive(Debug, Default)]
pub(crate) struct Stops {
    /// A read is in slices.
    pub is_reading: bool,
    /// The last of the pending requests may have to be answered in slices when it runs: no request is accepted after
    /// it.
    pub is_barred: bool,
    /// The read that is done in slices, while it waits for a pin.
    pub asking: Option<Asking>,
    /// Bytes of the next request, if the quorum core has no room for it.
    pub wanted_credit: usize,
    /// The next request is for the quorum core and waits for the reads before it.
    pub wants_to_cross: bool,
    /// Part of a request has come, and there is no memory for the rest of it.
    pub wants_room: bool,
}

/// The client's identities, and values derived from them.
#[derive(Debug)]
pub(crate) struct Caller {
    pub identities: Arc<Identities>,
    /// Bytes that the identities add to each forwarded request: a follower sends them to its leader with every one.
    pub identity_bytes: usize,
    /// The last permission check of a watch's event: the step of the sequence, the ACL, and whether the identities may
    /// read.
    pub verdict: (u64, AclId, bool),
}

impl Caller {
    /// The client has these identities from now on.
    pub(super) fn is_now(&mut self, identities: Identities) -> Arc<Identities> {
        let length = |identity: &Identity| identity.scheme.len() + identity.id.len() + 8;
        self.identity_bytes = identities.iter().map(length).sum();
        self.identities = Arc::new(identities);
        self.identities.clone()
    }
}

/// The pending requests in numbers.
#[derive(Debug)]
pub(crate) struct Queued {
    /// How many of them the quorum core has.
    pub in_core: usize,
    /// Bytes held by `Pending::Local`.
    pub waiting_bytes: usize,
    /// The memory for requests that the input and the waiting requests use.
    pub requests: Charge,
}

/// How much of the output is sent.
#[derive(Debug)]
pub(crate) struct Sending {
    /// So many bytes of the output are sent already.
    pub sent: usize,
    /// The memory for replies that the output uses.
    pub replies: Charge,
    /// The turn in which bytes were last appended, and (`waits`) the unsent bytes before that.
    put_in: u64,
    waits: usize,
    /// The place for the reply of a read in slices. Bytes after this place (later events) are not sent before the
    /// reply.
    hold: Option<usize>,
}

/// The pace of a client.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Bytes received and sent since the last tick; and (`slow_ticks`) for how many ticks they have been too few.
    pub moved: usize,
    pub slow_ticks: u8,
}

/// The cost of a client.
#[derive(Debug, Default)]
pub(crate) struct Spending {
    /// The estimated cost of the waiting reads.
    pub expected: Expected,
    /// The cost of recent requests.
    pub share: Share,
}

/// Which of the shard's lists the connection is in.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    /// In the list of connections with bytes to send.
    pub is_dirty: bool,
    /// In the list of connections that are not read.
    pub is_paused: bool,
    /// In the list of connections that were heard of.
    pub is_touched: bool,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Conn {
    pub id: ConnId,
    pub peer: SocketAddr,
    pub phase: Phase,
    pub since_ms: i64,
    /// When the connection began to close, monotonic ms.
    pub closing_since_ms: i64,
    pub session: SessionId,
    pub timeout_ms: i32,
    /// Whether the client accepts a read-only server; `None`: an old client, whose ConnectRequest and reply lack the
    /// field.
    pub read_only: Option<bool>,
    pub caller: Caller,
    /// Bytes received and not decoded yet: the start of a frame, or frames that must wait.
    pub input: Vec<u8>,
    /// Requests in order, the oldest first.
    pub pending: VecDeque<Pending>,
    pub queued: Queued,
    /// Bytes to send; the first of them may be sent already.
    pub output: Vec<u8>,
    pub sending: Sending,
    pub stops: Stops,
    pub pace: Pace,
    pub cost: Spending,
    pub listed: Listed,
    pub stats: ConnStats,
}

impl Conn {
    /// A connection that has just been accepted.
    pub(crate) fn new(id: ConnId, peer: SocketAddr, now_ms: i64, wall_ms: i64, memory: &Memory) -> Self {
        let identities = Arc::new(Identities::of(peer.ip()));
        Conn {
            id,
            peer,
            phase: Phase::Greeting,
            since_ms: now_ms,
            closing_since_ms: now_ms,
            session: SessionId::NONE,
            timeout_ms: 0,
            read_only: None,
            caller: Caller { identities, identity_bytes: 0, verdict: (0, AclId::OPEN, true) },
            input: Vec::new(),
            pending: VecDeque::new(),
            queued: Queued { in_core: 0, waiting_bytes: 0, requests: Charge::on(&memory.requests) },
            output: Vec::new(),
            sending: Sending { sent: 0, replies: Charge::on(&memory.replies), put_in: 0, waits: 0, hold: None },
            stops: Stops::default(),
            pace: Pace::default(),
            cost: Spending::default(),
            listed: Listed::default(),
            stats: ConnStats::new(wall_ms),
        }
    }

    /// From now on no request is accepted: queued answers are sent, then the connection is closed.
    pub(crate) fn close(&mut self, now_ms: i64) {
        if self.phase != Phase::Closing {
            self.phase = Phase::Closing;
            self.closing_since_ms = now_ms;
        }
    }

    /// Whether requests are accepted now or will be.
    pub(crate) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Fast check of the usual case: nothing of this connection delays its next request. Then its requests wait for
    /// nothing but the quorum core.
    #[inline]
    pub(crate) fn is_at_ease(&self) -> bool {
        let is_held = self.stops.is_reading | self.stops.is_barred | self.stops.wants_room | self.stops.wants_to_cross;
        self.phase == Phase::Open
            && !is_held
            && self.queued.waiting_bytes == 0
            && self.stops.wanted_credit == 0
            && self.output.len() - self.sending.sent <= limits::SHORT_ANSWER
    }

    /// Updates the charge: the bytes that came and wait have changed.
    #[inline]
    pub(crate) fn account_requests(&mut self) {
        self.queued.requests.follow(self.input.capacity() + self.queued.waiting_bytes);
    }

    /// Whether the connection holds memory only because of work that this server has not done yet.
    pub(crate) fn waits_for_us(&self) -> bool {
        self.unsent().is_empty()
            && (self.stops.is_reading
                || self.stops.wanted_credit > 0
                || self.stops.wants_to_cross
                || self.awaits_core()
                || self.may_answer())
    }

    /// Whether the quorum core has requests of this connection.
    pub(crate) fn awaits_core(&self) -> bool {
        self.queued.in_core > 0
    }

    /// Whether the connection's oldest request need not wait for the quorum core.
    pub(crate) fn may_answer(&self) -> bool {
        matches!(self.pending.front(), Some(Pending::Local { .. }))
    }

    /// The first `n` unsent bytes are sent. The memory of sent bytes is freed as soon as that is cheap: never are more
    /// bytes moved than were sent.
    pub(crate) fn take_sent(&mut self, n: usize) {
        self.sending.sent += n;
        let is_all = self.sending.sent == self.output.len();
        if is_all
            || self.sending.sent > limits::IDLE_BUFFER && self.sending.sent >= self.output.len() - self.sending.sent
        {
            self.sending.hold = self.sending.hold.map(|hold| hold - self.sending.sent);
            if is_all {
                self.output.clear();
                self.output.shrink_to(limits::IDLE_BUFFER);
            } else {
                self.output.drain(..self.sending.sent);
            }
            self.sending.sent = 0;
        }
        self.pace.moved += n;
        self.sending.replies.follow(self.output.capacity());
    }

    /// Bytes were appended in this turn to an output of `before` bytes. Returns the bytes that were unsent when the
    /// turn began; later bytes have not been offered to the socket yet.
    #[inline]
    pub(crate) fn put(&mut self, turn: u64, before: usize) -> usize {
        if self.sending.put_in != turn {
            self.sending.put_in = turn;
            self.sending.waits = before.saturating_sub(self.sending.sent);
        }
        self.sending.replies.follow(self.output.capacity());
        self.sending.waits
    }

    /// The connection has bytes to send: adds it to the list of such connections, if it is not in the list yet.
    #[inline]
    pub(crate) fn mark_dirty(&mut self, list: &mut Vec<ConnId>) {
        if !self.listed.is_dirty {
            self.listed.is_dirty = true;
            list.push(self.id);
        }
    }

    /// Bytes that are still to be sent.
    pub(crate) fn unsent(&self) -> &[u8] {
        &self.output[self.sending.sent..]
    }

    /// Unsent bytes that may be sent now.
    pub(crate) fn sendable(&self) -> &[u8] {
        &self.output[self.sending.sent..self.sending.hold.unwrap_or(self.output.len())]
    }

    /// Marks the place of a reply that is not ready yet: bytes appended later wait behind it.
    pub(crate) fn hold_back(&mut self) {
        self.sending.hold = Some(self.output.len());
    }

    /// Puts the reply into its place; bytes behind it may now be sent.
    pub(crate) fn release(&mut self, mut reply: Vec<u8>) {
        let hold = self.sending.hold.take().unwrap_or(self.output.len());
        if hold == self.sending.sent {
            // Everything before the place is sent: the reply, usually the larger part, is not moved.
            reply.extend_from_slice(&self.output[hold..]);
            (self.output, self.sending.sent) = (reply, 0);
        } else {
            let behind = self.output.split_off(hold);
            self.output.append(&mut reply);
            self.output.extend_from_slice(&behind);
        }
    }
}

/// The shard's connections, in slots. Slots are used again; generations distinguish their connections.
#[derive(Debug, Default)]
pub(crate) struct Conns {
    slots: Vec<(u32, Option<Box<Conn>>)>,
    free: Vec<u32>,
    count: usize,
}

impl Conns {
    /// Adds the connection that `make` builds for its new id.
    pub(crate) fn add(&mut self, make: impl FnOnce(ConnId) -> Conn) -> ConnId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            (self.slots.len() - 1) as u32
        });
        let (generation, place) = &mut self.slots[slot as usize];
        let id = ConnId { slot, generation: *generation };
        *place = Some(Box::new(make(id)));
        self.count += 1;
        id
    }

    /// The connection with this id, if it still exists.
    #[inline]
    pub(crate) fn find(&mut self, id: ConnId) -> Option<&mut Conn> {
        match self.slots.get_mut(id.slot as usize) {
            Some((generation, Some(conn))) if *generation == id.generation => Some(conn),
            _ => None,
        }
    }

    /// The present connection of a slot.
    #[inline]
    pub(crate) fn at(&mut self, slot: u32) -> Option<&mut Conn> {
        self.slots.get_mut(slot as usize)?.1.as_deref_mut()
    }

    /// Removes the connection; its id will never be found again. Its slot is not used until [`Conns::free`].
    pub(crate) fn remove(&mut self, id: ConnId) -> Option<Box<Conn>> {
        let (generation, place) = self.slots.get_mut(id.slot as usize)?;
        if *generation != id.generation {
            return None;
        }
        let conn = place.take()?;
        *generation = generation.wrapping_add(1);
        self.count -= 1;
        Some(conn)
    }

    /// Nothing refers to the slot's last connection any more: a new connection may use the slot.
    pub(crate) fn free(&mut self, slot: u32) {
        debug_assert!(self.slots[slot as usize].1.is_none() && !self.free.contains(&slot), "freed once");
        self.free.push(slot);
    }

    /// All connections, by slot.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Conn> {
        self.slots.iter_mut().filter_map(|(_, conn)| conn.as_deref_mut())
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_not_kept_while_a_slow_client_reads() {
        let id = ConnId { slot: 0, generation: 0 };
        let mut conn = Conn::new(id, "127.0.0.1:1".parse().unwrap(), 0, 0, &Memory::unlimited());
        for round in 0..1000 {
            conn.output.extend_from_slice(&[round as u8; 100_000]);
            // Never quite everything.
            let n = conn.unsent().len() - 10;
            conn.take_sent(n);
            assert!(conn.output.len() < 300_000, "{}", conn.output.len());
            assert_eq!(conn.unsent(), [round as u8; 10]);
        }
    }

    #[test]
    fn what_comes_behind_a_held_reply_goes_behind_it() {
        let id = ConnId { slot: 0, generation: 0 };
        // The connection has sent all, some, or nothing of what stands before the reply.
        for sent in 0..=4 {
            let mut conn = Conn::new(id, "127.0.0.1:1".parse().unwrap(), 0, 0, &Memory::unlimited());
            conn.output.extend_from_slice(b"abcd");
            conn.hold_back();
            conn.output.extend_from_slice(b"events");
            assert_eq!(conn.sendable(), b"abcd");
            conn.take_sent(sent);
            assert_eq!((conn.sendable(), conn.unsent().len()), (&b"abcd"[sent..], 10 - sent));
            conn.release(b"reply".to_vec());
            assert_eq!(conn.sendable(), &b"abcdreplyevents"[sent..]);
        }
        // Also when the memory of sent bytes was freed meanwhile.
        let mut conn = Conn::new(id, "127.0.0.1:1".parse().unwrap(), 0, 0, &Memory::unlimited());
        conn.output.resize(100_000, b'x');
        conn.hold_back();
        conn.output.extend_from_slice(b"events");
        conn.take_sent(90_000);
        assert_eq!(conn.sending.sent, 0);
        conn.release(b"reply".to_vec());
        assert_eq!(&conn.sendable()[10_000..], b"replyevents");
    }

    #[test]
    fn an_old_id_never_finds_a_new_connection() {
        let mut conns = Conns::default();
        let peer = "127.0.0.1:1".parse().unwrap();
        let first = conns.add(|id| Conn::new(id, peer, 0, 0, &Memory::unlimited()));
        assert!(conns.remove(first).is_some());
        let other = conns.add(|id| Conn::new(id, peer, 0, 0, &Memory::unlimited()));
        assert_ne!(first.slot, other.slot, "the slot rests");
        assert!(conns.remove(other).is_some());
        conns.free(first.slot);
        let second = conns.add(|id| Conn::new(id, peer, 0, 0, &Memory::unlimited()));
        assert_eq!(first.slot, second.slot);
        assert!(conns.find(first).is_none() && conns.remove(first).is_none());
        assert!(conns.find(second).is_some());
        assert_eq!(conns.count(), 1);
    }
}
