//! Executes one item from a shard: what it does and its answer.

use super::under_way::Then;
use super::{Core, Live};
use crate::acl::Identities;
use crate::ids::{ConnId, SessionId};
use crate::jute::request::Request;
use crate::jute::wire::{Reader, put_buffer, put_bytes, put_int};
use crate::jute::{OpCode, reply};
use crate::limits;
use crate::server::message::{Command, Item, Response, ShardId};
use crate::tree::state::{Context, Outcome, State};

impl Core {
    /// Executes one item from a shard on this server itself: standalone, or as the leader.
    pub(in crate::server::quorum) fn execute(&mut self, shard: ShardId, item: &Item, bytes: &[u8]) {
        let body = &bytes[item.body.start as usize..item.body.end as usize];
        let conn = item.conn;
        match &item.what {
            Command::NewSession { timeout_ms, identities, .. } => {
                let (session, timeout_ms) = (self.new_session(), *timeout_ms);
                self.sessions.live.insert(session, Live::of(shard, conn, identities));
                self.create_session(session, 0, timeout_ms);
                self.respond(shard, conn, Response::Opened { session, timeout_ms, read_only: false });
            }
            Command::Resume { timeout_ms, identities, .. } => {
                let valid = self.sessions.take_up(item.session, *timeout_ms, self.clock.mono_ms);
                self.take_over(item.session, *timeout_ms, Live::of(shard, conn, identities), valid);
            }
            Command::WrongPassword { .. } => self.respond(shard, conn, Response::Refused),
            Command::Identities(identities) => {
                if let Some(live) = self.sessions.owner(shard, item) {
                    live.identities = identities.clone();
                }
            }
            Command::Disconnected { owed } => {
                if self.sessions.owner(shard, item).is_some() {
                    self.sessions.live.remove(&item.session);
                }
                if *owed {
                    self.respond(shard, conn, Response::Gone);
                }
            }
            Command::Collect(question) => {
                question.deposit_core(self.facts(question.questions()));
                self.respond(shard, conn, Response::Collect(question.clone()));
            }
            Command::Collected { question, shard } => self.respond(*shard, conn, Response::Collected(question.clone())),
            Command::Write(op) if *op != OpCode::CloseSession => self.write(shard, item, *op, body),
            Command::Write(_) | Command::Sync | Command::Ephemerals { .. }
                if self.sessions.owner(shard, item).is_none() =>
            {
                self.respond(shard, conn, Response::Close);
            }
            Command::Write(_) => self.close_session(item.session, Some((shard, conn, item.xid))),
            Command::Sync => {
                let path = Reader::new(body).buffer().unwrap_or_default();
                let zxid = self.head();
                self.reply(shard, conn, |out| reply::put_reply(out, item.xid, zxid, |out| put_buffer(out, path)));
            }
            Command::Ephemerals { all } => {
                let prefix = if *all { &[] } else { Reader::new(body).string().unwrap_or_default() };
                let count = self.state.index().ephemerals(item.session).map_or(0, |paths| paths.len());
                if count > limits::SLICE {
                    // Not here, where all clients wait: the shard does it.
                    let prefix = self.write_reply(|out| out.extend_from_slice(prefix));
                    return self.respond(shard, conn, Response::Ephemerals { prefix });
                }
                let (head, replies) = (self.head(), &mut self.groups.outcome.reply);
                let start = replies.len() as u32;
                let paths: Vec<&[u8]> = self.state.ephemerals(item.session, prefix).collect();
                reply::put_reply(replies, item.xid, head, |out| {
                    put_int(out, paths.len() as i32);
                    for path in paths {
                        put_bytes(out, path);
                    }
                });
                let frame = start..replies.len() as u32;
                self.respond(shard, conn, Response::Reply { frame, close: false });
            }
        }
    }

    fn write(&mut self, shard: ShardId, item: &Item, op: OpCode, body: &[u8]) {
        let Some(live) = self.sessions.owner(shard, item) else {
            return self.respond(shard, item.conn, Response::Close);
        };
        let identities = live.identities.clone();
        let request = Request::of_checked(op, body);
        let prepare = |state: &mut State, context: &Context<'_>, out: &mut Outcome| {
            state.begin_prepare(context, op, &request, out);
        };
        self.transact_then(item.session, item.xid, &identities, prepare, Then::Answer(Some((shard, item.conn))));
    }

    /// A session on a new connection, if it lives.
    pub(in crate::server::quorum) fn take_over(
        &mut self,
        session: SessionId,
        timeout_ms: i32,
        live: Live,
        valid: bool,
    ) {
        if !valid {
            return self.respond(live.shard, live.conn, Response::Refused);
        }
        self.speak_for(session, timeout_ms, live, false);
    }

    /// A living session on a new connection: first the new connection takes the session, then the old one is closed,
    /// then the client is told.
    pub(in crate::server::quorum) fn speak_for(
        &mut self,
        session: SessionId,
        timeout_ms: i32,
        live: Live,
        read_only: bool,
    ) {
        let (shard, conn) = (live.shard, live.conn);
        if let Some(old) = self.sessions.live.insert(session, live) {
            self.respond(old.shard, old.conn, Response::Close);
        }
        self.respond(shard, conn, Response::Opened { session, timeout_ms, read_only });
    }

    /// Creates a session by a transaction.
    pub(in crate::server::quorum) fn create_session(&mut self, session: SessionId, cxid: i32, timeout_ms: i32) {
        self.transact(session, cxid, |state, context, out| state.create_session(context, timeout_ms, out));
        self.sessions.tracker.add(session, timeout_ms, self.clock.mono_ms);
    }

    /// Closes the connection that speaks for a session, if one does here. The session itself is not touched.
    pub(in crate::server::quorum) fn close_connection_of(&mut self, session: SessionId) {
        if let Some(live) = self.sessions.live.remove(&session) {
            self.respond(live.shard, live.conn, Response::Close);
        }
    }

    /// Ends a session and deletes its ephemerals, in one transaction. `asked` is the connection that requested it, with
    /// the xid; an expired session's connection is closed without an answer.
    pub(in crate::server::quorum) fn close_session(
        &mut self,
        session: SessionId,
        asked: Option<(ShardId, ConnId, i32)>,
    ) {
        let cxid = asked.map_or(0, |(_, _, xid)| xid);
        self.end_session(session, cxid, asked);
    }

    /// The same, with the xid of a client of another server.
    pub(in crate::server::quorum) fn end_session(
        &mut self,
        session: SessionId,
        cxid: i32,
        asked: Option<(ShardId, ConnId, i32)>,
    ) {
        // From here on the session cannot be resumed.
        self.sessions.tracker.remove(session);
        let prepare = |state: &mut State, context: &Context<'_>, out: &mut Outcome| {
            state.begin_close_session(context, out);
        };
        self.transact_then(session, cxid, &Identities::default(), prepare, Then::End { session, asked });
    }
}
