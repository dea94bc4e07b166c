//! One request of an open connection: it is sent to the quorum core, waits, or is answered.

use super::Shard;
use super::conn::{Asking, Pending};
use crate::acl::{self, Identities};
use crate::cost::Cost;
use crate::escaped::Escaped;
use crate::ids::{ConnId, Zxid};
use crate::jute::reply::{self, PING_XID};
use crate::jute::request::{Request, RequestHeader};
use crate::jute::wire::{Reader, put_int};
use crate::jute::{AnsweredBy, Effect, ErrorCode, OpCode};
use crate::server::count::COUNTS;
use crate::server::message::Command;
use crate::server::read::{self, Answered};
use std::sync::Arc;

/// The header of a request.
pub(super) struct Incoming<'a> {
    pub(crate) xid: i32,
    /// `None`: no operation has this number.
    pub(crate) op: Option<OpCode>,
    pub(crate) body: &'a [u8],
    /// Who answers it.
    pub(crate) by: AnsweredBy,
}

impl<'a> Incoming<'a> {
    /// `None`: the frame is shorter than a header.
    #[inline]
    pub(crate) fn read(frame: &'a [u8]) -> Option<Incoming<'a>> {
        let mut reader = Reader::new(frame);
        let header = RequestHeader::read(&mut reader).ok()?;
        let op = OpCode::from_wire(header.op);
        let by = op.map_or(AnsweredBy::Nobody, OpCode::answered_by);
        Some(Incoming { xid: header.xid, op, by, body: reader.rest() })
    }
}

impl Shard {
    /// Handles the frame of a request.
    pub(super) fn request(&mut self, id: ConnId, frame: &[u8]) {
        let Some(asked) = Incoming::read(frame) else { return self.end(id) };
        let Incoming { xid, op, by, body } = asked;
        let now = self.clock.mono_ms;
        let Some(conn) = self.conns.find(id) else { return };
        conn.stats.received += 1;
        if !conn.listed.is_touched {
            conn.listed.is_touched = true;
            self.heard.connections.push(id);
        }
        match op {
            Some(OpCode::Auth) => return self.authenticate(id, xid, body),
            Some(OpCode::Sasl) => {
                // Not configured: the same answer as ZooKeeper's; the connection stays open.
                reply::put_reply(&mut conn.output, xid, Zxid::ZERO, |out| put_int(out, -1));
                return self.mark_dirty(id);
            }
            _ => {}
        }
        let enforced = &self.options.config.enforced_auth_schemes;
        let has_scheme = |scheme: &String| conn.caller.identities.has_scheme(scheme.as_bytes());
        if self.rules.enforces_schemes && !enforced.iter().any(has_scheme) {
            let code = ErrorCode::SessionClosedRequireSaslAuth;
            reply::put_bare(&mut conn.output, xid, Zxid::ZERO, code);
            conn.close(now);
            return self.mark_dirty(id);
        }
        let ask = match op {
            Some(op @ OpCode::CloseSession) => Some(Command::Write(op)),
            Some(op) if by == AnsweredBy::Core => match Request::decode(op, body) {
                // The tree has reached its limit: the request is refused here, in its order.
                Ok(request) if self.pressure.is_tree_full && makes_more(&request) => None,
                Ok(Request::Sync { .. }) => Some(Command::Sync),
                Ok(Request::GetEphemerals { prefix }) => Some(Command::Ephemerals { all: is_all(prefix) }),
                Ok(_) => Some(Command::Write(op)),
                // Answered here, in order; the core and the peers never see it.
                Err(_) => None,
            },
            _ => None,
        };
        if let (Some(ask), Some(op)) = (ask, op) {
            if op == OpCode::CloseSession {
                conn.close(now);
            }
            // The answer may need a search in slices.
            conn.stops.is_barred = op == OpCode::GetEphemerals;
            conn.queued.in_core += 1;
            let session = conn.session;
            let bytes = body.len() + conn.caller.identity_bytes;
            conn.pending.push_back(Pending::Core { xid, op, since_ms: now, bytes });
            self.budget.cross(conn);
            self.budget.charge(conn, self.tree.reader.meter().reading());
            self.core_has_been_given(bytes);
            self.submit(id, session, xid, ask, body);
        } else if conn.pending.is_empty() {
            let identities = conn.caller.identities.clone();
            self.answer(id, &asked, now, &identities, None);
        } else {
            let identities = conn.caller.identities.clone();
            let expected = op.map_or(Some(Cost::REQUEST), |op| self.price(op, body, &identities));
            let price = expected.unwrap_or_default();
            self.expect(id, price);
            let Some(conn) = self.conns.find(id) else { return };
            conn.queued.waiting_bytes += frame.len();
            conn.account_requests();
            conn.stops.is_barred = expected.is_none();
            conn.pending.push_back(Pending::Local { frame: frame.into(), since_ms: now, identities, price });
        }
    }

    /// Answers a request that the shard can answer by itself, at `applied`, with the identities that the client had
    /// when it sent the request; later ones do not count (ZooKeeper 3.9, `Request.authInfo`). `bound`: the request
    /// stands between two writes, and this is what it was expected to cost.
    pub(super) fn answer(
        &mut self,
        id: ConnId,
        asked: &Incoming<'_>,
        since_ms: i64,
        identities: &Arc<Identities>,
        bound: Option<Cost>,
    ) {
        let Incoming { xid, op, by, body } = *asked;
        let zxid = self.tree.applied;
        let Some(conn) = self.conns.find(id) else { return };
        let before = conn.output.len();
        let name = op.map_or("NA", OpCode::short_name);
        match op.map(|op| Request::decode(op, body)) {
            Some(Ok(Request::Ping)) => reply::put_bare(&mut conn.output, PING_XID, zxid, ErrorCode::Ok),
            None => self.unimplemented(id, xid),
            Some(_) if by == AnsweredBy::Nobody => self.unimplemented(id, xid),
            Some(Ok(_)) if by == AnsweredBy::MultiOnly => self.unimplemented(id, xid),
            Some(Err(_)) => {
                reply::put_reply_of(&mut conn.output, xid, zxid, ErrorCode::MarshallingError, |out| {
                    // ZooKeeper decodes a multiRead that contains writes, and fails when it executes it: its answer
                    // then has the results so far, which are none.
                    if op == Some(OpCode::MultiRead) && Request::decode(OpCode::Multi, body).is_ok() {
                        reply::put_multi_end(out);
                    }
                });
            }
            Some(Ok(_)) if by == AnsweredBy::Core => {
                reply::put_bare(&mut conn.output, xid, zxid, ErrorCode::ThrottledOp);
                self.stats().throttled.add(1);
            }
            Some(Ok(request)) => {
                let mut out = std::mem::take(&mut conn.output);
                let mut scope = self.scope(id, identities, None, self.budget_for(bound));
                scope.is_bound = bound.is_some();
                let answered = read::answer(&mut scope, xid, &request, body, &mut out);
                let (begun, is_throttled) = (scope.begun, scope.is_throttled);
                if is_throttled {
                    self.stats().throttled.add(1);
                }
                if let Some(price) = bound {
                    self.has_cost(price, self.tree.reader.meter().reading().less(begun));
                }
                let rest = matches!(answered, Answered::Unfinished(_)).then(|| out.split_off(before));
                if let Some(conn) = self.conns.find(id) {
                    conn.output = out;
                }
                match (answered, rest, op) {
                    (Answered::Unfinished(read), Some(rest), Some(op)) => {
                        let asking = Asking { xid, op, body: body.into(), since_ms };
                        return self.continue_in_slices(id, asking, read, rest);
                    }
                    (Answered::Over, ..) => self.end_for_watches(id),
                    _ => {}
                }
            }
        }
        self.answered(id, before, xid, name, since_ms, zxid);
    }

    /// For an unknown operation number: an answer, then the connection is closed (ZooKeeper 3.9).
    fn unimplemented(&mut self, id: ConnId, xid: i32) {
        let now = self.clock.mono_ms;
        let Some(conn) = self.conns.find(id) else { return };
        reply::put_bare(&mut conn.output, xid, Zxid(-1), ErrorCode::Unimplemented);
        conn.close(now);
    }

    /// Counts an answer that was appended to a connection's output of `before` bytes, and charges the connection with
    /// it.
    ///
    /// The output of a client that does not read has a limit: the connection is closed if too many bytes were unsent
    /// before this answer. The answer itself does not count, however long it is: data that could be written can be
    /// read.
    pub(super) fn answered(
        &mut self,
        id: ConnId,
        before: usize,
        xid: i32,
        name: &'static str,
        since_ms: i64,
        zxid: Zxid,
    ) {
        let latency = self.clock.mono_ms - since_ms;
        let wall_ms = self.clock.wall_ms;
        let (turn, reading) = (self.budget.turn, self.tree.reader.meter().reading());
        let Shard { conns, edge, budget, options, stats, .. } = self;
        let stats = &stats.shards[options.shard as usize];
        let Some(conn) = conns.find(id) else { return };
        let length = (conn.output.len() - before) as u64;
        if COUNTS {
            conn.stats.answered(name, xid, zxid, wall_ms, latency);
            stats.sent.add(1);
            stats.latency.record(latency);
            stats.responded(length);
        }
        budget.charge(conn, reading);
        let waits = conn.put(turn, before);
        conn.mark_dirty(&mut edge.dirty);
        if waits > 0 && waits > self.output_limit() {
            self.end_of_unread(id);
        }
    }

    /// An auth packet: answered at once, whatever is queued before it (ZooKeeper 3.9, section "auth" of
    /// `ZooKeeperServer.processPacket`).
    fn authenticate(&mut self, id: ConnId, xid: i32, body: &[u8]) {
        let Ok(Request::Auth { scheme, auth }) = Request::decode(OpCode::Auth, body) else { return self.end(id) };
        let known = acl::authenticate(scheme, auth, &self.options.config.auth());
        let now = self.clock.mono_ms;
        let Some(conn) = self.conns.find(id) else { return };
        let known = known.ok().map(|found| {
            let mut identities = (*conn.caller.identities).clone();
            found.into_iter().for_each(|identity| identities.add(identity));
            identities
        });
        match known {
            Some(identities) if identities.fit() => {
                reply::put_bare(&mut conn.output, xid, Zxid::ZERO, ErrorCode::Ok);
                // The core is told only of new identities, however often a client sends one.
                if identities.len() != conn.caller.identities.len() {
                    let identities = conn.caller.is_now(identities);
                    let session = conn.session;
                    self.submit(id, session, 0, Command::Identities(identities), &[]);
                }
            }
            _ => {
                tracing::warn!(
                    peer = %conn.peer, session = %conn.session, scheme = %Escaped(scheme),
                    "authentication failed"
                );
                reply::put_bare(&mut conn.output, xid, Zxid::ZERO, ErrorCode::AuthFailed);
                conn.close(now);
                self.stats().auth_failed.add(1);
            }
        }
        self.mark_dirty(id);
    }
}

/// Whether a request's frame goes to the quorum core, which answers it in order with the writes before it.
pub(super) fn is_for_the_core(frame: &[u8]) -> bool {
    let header = RequestHeader::read(&mut Reader::new(frame));
    let op = header.ok().and_then(|header| OpCode::from_wire(header.op));
    // closeSession has no body and does not wait.
    op.is_some_and(|op| op.answered_by() == AnsweredBy::Core && op != OpCode::CloseSession)
}

/// Whether a frame is a ping.
pub(super) fn is_ping(frame: &[u8]) -> bool {
    RequestHeader::read(&mut Reader::new(frame)).is_ok_and(|header| header.op == OpCode::Ping.wire())
}

/// Whether a request may make the tree larger.
fn makes_more(request: &Request<'_>) -> bool {
    match request {
        Request::Multi(ops) => {
            let mut at = 0;
            std::iter::from_fn(|| ops.next_at(&mut at)).any(|op| makes_more(&op))
        }
        request => request.op().effect() == Effect::Grows,
    }
}

/// Whether a prefix means all of a session's ephemerals: null, blank or the root.
fn is_all(prefix: Option<&[u8]>) -> bool {
    prefix.is_none_or(|prefix| matches!(prefix.trim_ascii(), b"" | b"/"))
}
