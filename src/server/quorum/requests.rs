//! One item from a shard: what it does and what is answered.

use super::under_way::Then;
use super::{Live, Quorum};
use crate::acl::Identities;
use crate::ids::{ConnId, SessionId};
use crate::jute::request::Request;
use crate::jute::wire::{Reader, put_buffer, put_bytes, put_int};
use crate::jute::{OpCode, reply};
use crate::limits;
use crate::server::message::{Ask, Item, ShardId, Tell, Touched};
use crate::tree::state::{Context, Outcome, State};
use std::ops::Range;

impl Quorum {
    /// One item from a shard.
    pub(super) fn item(&mut self, shard: ShardId, item: &Item, bytes: &[u8]) {
        if self.is_member {
            self.in_ensemble(|core, ensemble| core.member_item(ensemble, shard, item, bytes));
        } else {
            self.lone_item(shard, item, bytes);
        }
    }

    /// A session id that nobody has.
    pub(super) fn new_session(&mut self) -> SessionId {
        let mut session = self.ids.next(self.secret_sessions);
        while self.state.session_timeout_ms(session).is_some() {
            // The clock was set back across a restart: a living session has this id.
            session = self.ids.next(self.secret_sessions);
        }
        session
    }

    /// One item, carried out by this server itself.
    pub(super) fn lone_item(&mut self, shard: ShardId, item: &Item, bytes: &[u8]) {
        let body = &bytes[item.body.start as usize..item.body.end as usize];
        let conn = item.conn;
        match &item.what {
            Ask::NewSession { timeout_ms, identities, .. } => {
                let session = self.new_session();
                let live = Live { shard, conn, identities: identities.clone() };
                self.live.insert(session, live);
                let timeout_ms = *timeout_ms;
                self.transact(session, 0, |state, context, out| state.create_session(context, timeout_ms, out));
                self.tracker.add(session, timeout_ms, self.clock.mono_ms);
                self.tell(shard, conn, Tell::Opened { session, timeout_ms, read_only: false });
            }
            Ask::Resume { timeout_ms, identities, .. } => {
                let live = Live { shard, conn, identities: identities.clone() };
                self.resume(item.session, *timeout_ms, live);
            }
            Ask::WrongPassword { .. } => self.tell(shard, conn, Tell::Refused),
            Ask::Identities(identities) => {
                if let Some(live) = self.owner(shard, item) {
                    live.identities = identities.clone();
                }
            }
            Ask::Disconnected { owed } => {
                if self.owner(shard, item).is_some() {
                    self.live.remove(&item.session);
                }
                if *owed {
                    self.tell(shard, conn, Tell::Gone);
                }
            }
            Ask::Collect(question) => {
                question.deposit_core(self.facts(question.word));
                self.tell(shard, conn, Tell::Collect(question.clone()));
            }
            Ask::Collected { question, shard } => self.tell(*shard, conn, Tell::Collected(question.clone())),
            Ask::Write(op) if *op != OpCode::CloseSession => self.write(shard, item, *op, body),
            Ask::Write(_) | Ask::Sync | Ask::Ephemerals { .. } if self.owner(shard, item).is_none() => {
                self.tell(shard, conn, Tell::Close);
            }
            Ask::Write(_) => self.close_session(item.session, Some((shard, conn, item.xid))),
            Ask::Sync => {
                let path = Reader::new(body).buffer().unwrap_or_default();
                let zxid = self.zxid;
                self.reply(shard, conn, |out| reply::put_reply(out, item.xid, zxid, |out| put_buffer(out, path)));
            }
            Ask::Ephemerals { all } => {
                let prefix = if *all { &[] } else { Reader::new(body).string().unwrap_or_default() };
                let count = self.state.index().ephemerals(item.session).map_or(0, |paths| paths.len());
                if count > limits::SLICE {
                    // Not here, where everybody waits.
                    let prefix = written(&mut self.outcome.reply, |out| out.extend_from_slice(prefix));
                    return self.tell(shard, conn, Tell::Ephemerals { prefix });
                }
                let paths: Vec<&[u8]> = self.state.ephemerals(item.session, prefix).collect();
                let frame = written(&mut self.outcome.reply, |out| {
                    reply::put_reply(out, item.xid, self.zxid, |out| {
                        put_int(out, paths.len() as i32);
                        for path in paths {
                            put_bytes(out, path);
                        }
                    });
                });
                self.tell(shard, conn, Tell::Reply { frame, close: false });
            }
        }
    }

    /// The live entry of the item's session, if the item comes from the connection that speaks for it. Otherwise the session is
    /// over, or another connection speaks for it by now: this one is to be closed.
    pub(super) fn owner(&mut self, shard: ShardId, item: &Item) -> Option<&mut Live> {
        self.live.get_mut(&item.session).filter(|live| live.shard == shard && live.conn == item.conn)
    }

    /// Tells a connection the reply that `put` writes.
    pub(super) fn reply(&mut self, shard: ShardId, conn: ConnId, put: impl FnOnce(&mut Vec<u8>)) {
        let frame = written(&mut self.outcome.reply, put);
        self.tell(shard, conn, Tell::Reply { frame, close: false });
    }

    fn write(&mut self, shard: ShardId, item: &Item, op: OpCode, body: &[u8]) {
        let Some(live) = self.owner(shard, item) else { return self.tell(shard, item.conn, Tell::Close) };
        let identities = live.identities.clone();
        let request = Request::decode(op, body).expect("the shard has decoded it once");
        let prepare = |state: &mut State, context: &Context<'_>, out: &mut Outcome| {
            state.begin_prepare(context, op, &request, out);
        };
        self.transact_then(item.session, item.xid, &identities, prepare, Then::Answer(Some((shard, item.conn))));
    }

    fn resume(&mut self, session: SessionId, timeout_ms: i32, live: Live) {
        let valid = self.tracker.contains(session);
        if valid {
            self.tracker.remove(session);
            self.tracker.add(session, timeout_ms, self.clock.mono_ms);
        }
        self.take_over(session, timeout_ms, live, valid);
    }

    /// A session on a new connection, if it lives.
    pub(super) fn take_over(&mut self, session: SessionId, timeout_ms: i32, live: Live, valid: bool) {
        if !valid {
            return self.tell(live.shard, live.conn, Tell::Refused);
        }
        self.speak_for(session, timeout_ms, live, false);
    }

    /// A living session on a new connection: the new one takes over first, then the old one is closed, then the client is
    /// told.
    pub(super) fn speak_for(&mut self, session: SessionId, timeout_ms: i32, live: Live, read_only: bool) {
        let (shard, conn) = (live.shard, live.conn);
        if let Some(old) = self.live.insert(session, live) {
            self.tell(old.shard, old.conn, Tell::Close);
        }
        self.tell(shard, conn, Tell::Opened { session, timeout_ms, read_only });
    }

    /// Ends a session and deletes its ephemerals, in one transaction. `asked` is the connection that wanted it
    /// and its xid; an expired session's connection is closed without a word.
    pub(super) fn close_session(&mut self, session: SessionId, asked: Option<(ShardId, ConnId, i32)>) {
        let cxid = asked.map_or(0, |(_, _, xid)| xid);
        self.end_session(session, cxid, asked);
    }

    /// The same, under the xid of whoever asked elsewhere.
    pub(super) fn end_session(&mut self, session: SessionId, cxid: i32, asked: Option<(ShardId, ConnId, i32)>) {
        // Nobody takes it up again from here on.
        self.tracker.remove(session);
        let prepare = |state: &mut State, context: &Context<'_>, out: &mut Outcome| {
            state.begin_close_session(context, out);
        };
        self.transact_then(session, cxid, &Identities::default(), prepare, Then::End { session, asked });
    }

    /// A shard has heard of these sessions; a session no longer known is somebody's last words.
    pub(super) fn touched(&mut self, shard: ShardId, touched: &Touched) {
        if self.is_member {
            self.touched_by_member(&touched.sessions);
        }
        for session in &touched.sessions {
            self.locals.touch(*session, self.clock.mono_ms);
            self.tracker.touch(*session, self.clock.mono_ms);
        }
        self.reported_ms[shard as usize] = touched.upto_ms;
    }
}

/// Where lies what `put` writes to the end of `out`.
pub(super) fn written(out: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) -> Range<u32> {
    let start = out.len() as u32;
    put(out);
    start..out.len() as u32
}
