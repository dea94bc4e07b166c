//! Bytes from clients: cut into frames, as far as requests may be accepted now; and the first frame of a connection.

use super::conn::Phase;
use super::{Shard, request};
use crate::config::Config;
use crate::cost::Cost;
use crate::ids::{ConnId, SessionId};
use crate::jute::connect::{self, ConnectRequest};
use crate::limits;
use crate::server::message::Command;
use crate::session::timeouts::negotiate;

impl Shard {
    /// Bytes have come from a client. Everything published so far is taken in first.
    pub(crate) fn received(&mut self, id: ConnId, bytes: &[u8]) {
        self.take_in();
        let Some(conn) = self.conns.find(id) else { return };
        self.stats.shards[self.options.shard as usize].received_bytes.add(bytes.len() as u64);
        conn.pace.moved += bytes.len();
        if conn.input.is_empty() {
            let used = self.cut(id, bytes);
            if used < bytes.len()
                && let Some(conn) = self.conns.find(id)
            {
                conn.input.extend_from_slice(&bytes[used..]);
                conn.account_requests();
            }
        } else {
            conn.input.extend_from_slice(bytes);
            conn.account_requests();
            self.continue_input(id);
        }
    }

    /// Decodes a connection's input, as far as requests may be accepted now.
    pub(super) fn continue_input(&mut self, id: ConnId) {
        let Some(conn) = self.conns.find(id) else { return };
        let mut input = std::mem::take(&mut conn.input);
        let used = self.cut(id, &input);
        if let Some(conn) = self.conns.find(id) {
            if used == input.len() {
                input.clear();
                input.shrink_to(limits::IDLE_BUFFER);
            } else if used > 0 {
                input.drain(..used);
            }
            conn.input = input;
            conn.account_requests();
        }
    }

    /// Cuts frames off the front of `bytes` and handles them; returns how many bytes were used.
    fn cut(&mut self, id: ConnId, bytes: &[u8]) -> usize {
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            let Some(&length) = rest.first_chunk::<4>() else { return used };
            let is_calm = !self.is_stopping
                && self.spent() < self.budget.heavy
                && self.credit.requests < self.credit.most_requests;
            let Some(conn) = self.conns.find(id) else { return bytes.len() };
            let phase = conn.phase;
            let is_at_ease = is_calm && conn.is_at_ease();
            if !is_at_ease {
                match phase {
                    Phase::Closing => return bytes.len(),
                    Phase::Greeting if used == 0 && (self.options.is_word)(&length) => {
                        self.take_word(id, length, &rest[4..]);
                        return bytes.len();
                    }
                    _ => {}
                }
                if self.must_pause(id) {
                    self.pause(id);
                    return used;
                }
            }
            let length = i32::from_be_bytes(length);
            let max_frame = match phase {
                Phase::Greeting => limits::GREETING_BYTES.min(self.rules.max_frame),
                _ => self.rules.max_frame,
            };
            if length < 0 || length as usize > max_frame {
                tracing::warn!(
                    peer = %self.peer(id), length, limit = max_frame,
                    "connection ended: frame length out of range (jute.maxbuffer)"
                );
                self.end(id);
                return bytes.len();
            }
            let Some(frame) = rest[4..].get(..length as usize) else {
                if self.lacks_room(id, length as usize) {
                    self.pause(id);
                }
                return used;
            };
            if self.sequence.taking.is_some() && !(phase == Phase::Open && request::is_ping(frame)) {
                self.pause_until_told(id);
                return used;
            }
            if self.lacks_credit(id, frame)
                || self.lacks_answers(id, frame)
                || !is_at_ease && self.crosses_too_much(id, || request::is_for_the_core(frame))
            {
                self.pause(id);
                return used;
            }
            used += 4 + frame.len();
            self.stats().received.add(1);
            self.begin_work();
            self.tree.reader.meter().charge(Cost::REQUEST + Cost::bytes(frame.len()));
            match phase {
                Phase::Greeting => self.connect(id, frame),
                Phase::Open => self.request(id, frame),
                Phase::Opening | Phase::Closing => unreachable!("paused connections are not cut"),
            }
            self.settle(id);
        }
    }

    /// The first frame of a connection (the order of checks is ZooKeeper's, `processConnectRequest`).
    fn connect(&mut self, id: ConnId, frame: &[u8]) {
        let Ok(request) = ConnectRequest::decode(frame) else { return self.end(id) };
        let applied = self.tree.applied;
        let Some(conn) = self.conns.find(id) else { return };
        if request.last_zxid_seen > applied {
            tracing::info!(
                peer = %conn.peer, seen = %request.last_zxid_seen, ours = %applied,
                "connection refused: the client has seen a newer state than this server has"
            );
            return self.end(id);
        }
        conn.stats.received += 1;
        conn.read_only = request.read_only;
        let Config { min_session_timeout_ms, max_session_timeout_ms, .. } = *self.options.config;
        let timeout_ms = negotiate(request.timeout_ms, min_session_timeout_ms, max_session_timeout_ms);
        let identities = conn.caller.identities.clone();
        let or_read_only = request.read_only == Some(true);
        if request.session == SessionId::NONE {
            conn.phase = Phase::Opening;
            self.submit(id, SessionId::NONE, 0, Command::NewSession { timeout_ms, identities, or_read_only }, &[]);
        } else if self.passwords.verify(request.session, request.password) {
            conn.phase = Phase::Opening;
            self.submit(id, request.session, 0, Command::Resume { timeout_ms, identities, or_read_only }, &[]);
        } else {
            tracing::info!(peer = %conn.peer, session = %request.session, "wrong session password");
            conn.phase = Phase::Opening;
            let passwords = self.passwords_number;
            self.submit(id, request.session, 0, Command::WrongPassword { passwords }, &[]);
        }
    }

    /// Answers that there is no such session, and closes the connection.
    pub(super) fn refuse(&mut self, id: ConnId) {
        let now = self.clock.mono_ms;
        let Some(conn) = self.conns.find(id) else { return };
        connect::put_refused(&mut conn.output, conn.read_only.map(|_| false));
        conn.close(now);
        self.mark_dirty(id);
    }
}
