//! The shard brain: everything that concerns single connections; it uses no socket itself.
//!
//! The edge gives it the time and received bytes, and takes the bytes to send. It sends [`Inbound`]s to the quorum
//! core, and reads the core's answers from the sequence of batches. In one turn the edge reads its sockets and passes
//! the bytes to [`Shard::received`], which first takes in everything published so far: a request sees everything that
//! any client of this server was told before the request was read.
//!
//! A session's requests are answered in the order they came. Writes go to the quorum core at once; a read behind a
//! write waits in the connection's queue. It runs when the sequence reaches the answer to the last write before it: at
//! that write's zxid, before the next transaction. If the turn has no budget left and no write of the connection
//! follows, the read runs later. See [`budget`].

mod budget;
pub(crate) mod conn;
mod credit;
mod input;
mod pacing;
mod pressure;
mod request;
mod sequence;
mod share;
mod slices;
mod state;
mod words;

use crate::acl::{AclTable, Identities, Identity};
use crate::config::Config;
use crate::cost::Cost;
use crate::gather;
use crate::ids::{ConnId, SessionId, Zxid};
use crate::limits;
use crate::server::facts::{Facts, WordRequest};
use crate::server::memory::Memory;
use crate::server::message::{Adopted, Clock, Command, Cursor, Inbound, Item, ShardId, Touched};
use crate::server::stats::Stats;
use crate::session::Passwords;
use crate::tree::store::{Reader, Store};
use crate::watch::{WatchLimits, Watches};
use conn::{Conn, Conns, Phase};
use state::{Budget, Credit, ForEdge, Heard, Pressure, Rules, Sequence, Slices, Tree, Unread};
use std::net::SocketAddr;
use std::sync::Arc;

/// What a shard acts by, fixed at its start.
pub(crate) struct ShardOptions {
    /// The server's configuration.
    pub config: Arc<Config>,
    pub shard: ShardId,
    /// How many shards there are.
    pub shards: usize,
    /// The memory that all shards together may use for clients.
    pub memory: Memory,
    /// How many znodes a read looks at in one slice: [`limits::SLICE`], except in tests.
    pub slice: usize,
    /// Whether four bytes at the start of a connection are an administrator's word.
    pub is_word: fn(&[u8; 4]) -> bool,
}

/// One shard. See the module's text.
pub struct Shard {
    options: ShardOptions,
    rules: Rules,
    conns: Conns,
    watches: Watches,
    tree: Tree,
    passwords: Passwords,
    /// The number of the present password rules.
    passwords_number: u64,
    sequence: Sequence,
    outbound: Inbound,
    edge: ForEdge,
    unread: Unread,
    heard: Heard,
    /// Four-letter words to answer, with the facts for them.
    words: Vec<(WordRequest, Option<Facts>)>,
    credit: Credit,
    clock: Clock,
    pressure: Pressure,
    budget: Budget,
    slices: Slices,
    /// The server stops: no further request is accepted.
    is_stopping: bool,
    stats: Arc<Stats>,
}

impl Shard {
    /// A shard that starts at the state `applied` and reads the sequence from `cursor`. It is parked: see
    /// [`Shard::unpark`].
    #[expect(clippy::too_many_arguments, reason = "the parts of a shard, each used once")]
    pub(crate) fn new(
        options: ShardOptions,
        reader: Reader,
        store: Store,
        acls: Arc<AclTable>,
        passwords: Passwords,
        cursor: Cursor,
        applied: Zxid,
        stats: Arc<Stats>,
    ) -> Self {
        let ShardOptions { config, shards, memory, .. } = &options;
        let watches = WatchLimits::of_shard(memory.watches, *shards, config.max_watches as usize);
        let credit = Credit::of_shard(config.global_outstanding_limit as usize, *shards);
        let rules = Rules::of(config);
        Shard {
            outbound: Inbound { shard: options.shard, ..Inbound::default() },
            watches: Watches::new(watches),
            options,
            rules,
            conns: Conns::default(),
            tree: Tree { reader, store, acls, applied },
            passwords,
            passwords_number: 0,
            sequence: Sequence { cursor, taking: None, fires: 0 },
            edge: ForEdge::default(),
            unread: Unread::default(),
            heard: Heard::default(),
            words: vec![],
            credit,
            clock: Clock::default(),
            pressure: Pressure::default(),
            budget: Budget::default(),
            slices: Slices::default(),
            is_stopping: false,
            stats,
        }
    }

    /// Begins a turn, with the present time.
    pub(crate) fn begin(&mut self, clock: Clock) {
        self.clock = clock;
        self.budget.turn += 1;
        self.pressure.is_tree_full = self.options.memory.tree <= tree_bytes(&self.tree.store);
        self.begin_budget();
        if self.sequence.taking.is_some() {
            self.take_in();
        }
    }

    /// A client has connected.
    pub(crate) fn accept(&mut self, peer: SocketAddr) -> ConnId {
        let Clock { mono_ms, wall_ms } = self.clock;
        let id = self.conns.add(|id| Conn::new(id, peer, mono_ms, wall_ms, &self.options.memory));
        self.watches.join(id.slot, peer.ip());
        self.stats().connections.set(self.conns.count() as u64);
        id
    }

    /// A client that has just connected has proved to be the subject of a certificate (ZooKeeper 3.9,
    /// `X509AuthenticationProvider`). A connection may not have an identity of any length: false, if it has ended for that.
    #[must_use]
    pub(crate) fn certified(&mut self, id: ConnId, subject: &str) -> bool {
        let is_super = self.options.config.x509_super_user.as_deref() == Some(subject);
        let Some(conn) = self.conns.find(id) else { return false };
        let mut identities = (*conn.caller.identities).clone();
        if is_super {
            tracing::info!(peer = %conn.peer, subject, "a client has the certificate of the super user");
            identities.add(Identity::new(b"super", subject.as_bytes()));
        }
        identities.add(Identity::new(b"x509", subject.as_bytes()));
        if !identities.fit() {
            tracing::warn!(peer = %conn.peer, "connection ended: the name in its certificate is too long");
            self.disconnected(id);
            return false;
        }
        conn.caller.is_now(identities);
        true
    }

    /// The client will send nothing more. Returns whether the connection is still needed: a client may wait for an
    /// answer after it has closed its side (`echo srvr | nc` does so at once).
    pub(crate) fn at_end(&mut self, id: ConnId) -> bool {
        self.conns.find(id).is_some_and(|conn| conn.phase == Phase::Closing)
    }

    /// The socket of a connection is gone; the session lives on.
    pub fn disconnected(&mut self, id: ConnId) {
        let Some(conn) = self.conns.remove(id) else { return };
        self.forget(*conn);
    }

    /// Closes a connection from this side: unsent bytes are lost.
    fn end(&mut self, id: ConnId) {
        let Some(conn) = self.conns.remove(id) else { return };
        self.edge.ended.push(id);
        self.forget(*conn);
    }

    fn forget(&mut self, conn: Conn) {
        if self.watches.end_connection(conn.id.slot) {
            self.conns.free(conn.id.slot);
        }
        self.expect_nothing(conn.cost.expected);
        let owed = self.leave_behind(&conn);
        if conn.session != SessionId::NONE && conn.listed.is_touched {
            // The session's last sign of life counts, although the connection ends before the next report.
            self.heard.ended.push(conn.session);
        }
        if conn.session != SessionId::NONE || owed {
            self.submit(conn.id, conn.session, 0, Command::Disconnected { owed }, &[]);
        }
        self.stats().connections.set(self.conns.count() as u64);
        self.count_watches();
    }

    /// How this shard makes and checks session passwords.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn passwords(&self) -> &Passwords {
        &self.passwords
    }

    /// Adds a command to this turn's message for the quorum core.
    fn submit(&mut self, conn: ConnId, session: SessionId, xid: i32, what: Command, body: &[u8]) {
        let start = self.outbound.bytes.len() as u32;
        self.outbound.bytes.extend_from_slice(body);
        let body = start..start + body.len() as u32;
        self.outbound.items.push(Item { conn, session, xid, what, body });
    }

    /// Notes that a connection has bytes to send.
    fn mark_dirty(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.find(id) {
            conn.mark_dirty(&mut self.edge.dirty);
        }
    }

    fn peer(&mut self, id: ConnId) -> String {
        self.conns.find(id).map(|conn| conn.peer.to_string()).unwrap_or_default()
    }

    fn stats(&self) -> &crate::server::stats::ShardStats {
        &self.stats.shards[self.options.shard as usize]
    }

    /// Periodic work, every half tick: reports the sessions that were heard of, closes connections that never opened a
    /// session, frees buffers that idle connections do not need.
    pub fn tick(&mut self) {
        self.take_in();
        let now = self.clock.mono_ms;
        let mut sessions = std::mem::take(&mut self.heard.ended);
        for id in self.unread.paused.iter().chain(&self.unread.until_told) {
            // The client may be sending pings, but its socket is not read because its requests wait for the disk or for
            // their turn. Then the client does not count as silent, unless the cause is that it does not read.
            if let Some(conn) = self.conns.find(*id)
                && conn.phase == Phase::Open
                && conn.unsent().len() <= limits::OUTPUT_PAUSE
            {
                sessions.push(conn.session);
            }
        }
        for id in std::mem::take(&mut self.heard.connections) {
            if let Some(conn) = self.conns.find(id) {
                conn.listed.is_touched = false;
                sessions.push(conn.session);
            }
        }
        self.outbound.touched = Some(Touched { upto_ms: now, sessions });
        let deadline = now - i64::from(self.options.config.connect_timeout_ms);
        self.make_room();
        self.log_refusals();
        let mut late = vec![];
        for conn in self.conns.iter_mut() {
            let is_late = match conn.phase {
                Phase::Greeting => conn.since_ms < deadline,
                Phase::Closing => conn.closing_since_ms < deadline && !conn.awaits_core(),
                Phase::Opening | Phase::Open => false,
            };
            if is_late {
                late.push(conn.id);
            } else if conn.output.is_empty() {
                conn.output.shrink_to(0);
                conn.sending.replies.follow(0);
                if conn.input.is_empty() {
                    conn.input.shrink_to(0);
                    conn.account_requests();
                }
            }
        }
        for id in late {
            self.stats().sessionless_expired.add(1);
            tracing::debug!(peer = %self.peer(id), "connection ended: no session was set up in time");
            self.end(id);
        }
    }

    /// Takes this turn's message for the quorum core.
    pub(crate) fn take_outbound(&mut self) -> Option<Inbound> {
        if self.outbound.is_empty() {
            return None;
        }
        let Inbound { shard, bytes, items, touched } = &mut self.outbound;
        Some(Inbound { shard: *shard, bytes: gather::take(bytes), items: gather::take(items), touched: touched.take() })
    }

    /// Takes the connections that have bytes to send, each once.
    pub fn take_dirty(&mut self, into: &mut Vec<ConnId>) {
        into.append(&mut self.edge.dirty);
    }

    /// The bytes that a connection has to send now.
    pub(crate) fn unsent(&mut self, id: ConnId) -> &[u8] {
        match self.conns.find(id) {
            Some(conn) => {
                conn.listed.is_dirty = false;
                conn.sendable()
            }
            None => &[],
        }
    }

    /// The first `n` of the unsent bytes have been taken by the socket.
    pub(crate) fn sent(&mut self, id: ConnId, n: usize) {
        self.tree.reader.meter().charge(Cost::bytes(n));
        let Some(conn) = self.conns.find(id) else { return };
        conn.take_sent(n);
        if conn.unsent().is_empty() && conn.phase == Phase::Closing && conn.pending.is_empty() {
            self.end(id);
        }
    }

    /// The socket would have accepted more bytes than it was given: it is offered more in the next turn.
    pub(crate) fn send_on(&mut self, id: ConnId) {
        self.mark_dirty(id);
    }

    /// Ends the turn: runs a slice of the long work, and continues paused connections that need not wait any more.
    pub(crate) fn end_turn(&mut self) {
        self.work_off();
        if !self.unread.paused.is_empty() {
            self.extend_budget();
            self.unpause();
        }
        self.count_watches();
    }

    fn count_watches(&self) {
        self.stats().watches.set(self.watches.total() as u64);
    }

    /// Takes the connections whose sockets must be closed.
    pub fn take_ended(&mut self, into: &mut Vec<ConnId>) {
        into.append(&mut self.edge.ended);
    }

    /// Reads a new state from now on; every connection was closed before.
    fn adopt(&mut self, adopted: Adopted) {
        let Adopted { reader, store, acls } = adopted;
        (self.tree.reader, self.tree.store, self.tree.acls) = (reader, store, acls);
        self.tree.applied = self.tree.reader.resume();
    }

    /// Takes the connections for which [`Shard::wants_input`] may have changed.
    pub fn take_interest(&mut self, into: &mut Vec<ConnId>) {
        into.append(&mut self.edge.interest);
    }

    /// Whether this connection's socket should be read now.
    pub(crate) fn wants_input(&mut self, id: ConnId) -> bool {
        self.conns.find(id).is_some_and(|conn| !conn.listed.is_paused)
    }

    /// Whether nothing keeps this shard from sleeping until something is published or received.
    pub fn may_sleep(&self) -> bool {
        let is_done = self.words.is_empty() && self.edge.ended.is_empty() && self.edge.interest.is_empty();
        is_done
            && !self.budget.has_left_over
            && self.sequence.taking.is_none()
            && self.slices.is_empty()
            && !self.watches.has_ended()
            && !self.sequence.cursor.is_behind()
            && self.outbound.is_empty()
            && self.edge.dirty.is_empty()
    }

    /// Whether a client waits for something that needs further turns: a read that waits or is in slices, or bytes that
    /// its socket would have accepted.
    pub(crate) fn is_busy(&self) -> bool {
        self.budget.has_left_over
            || self.sequence.taking.is_some()
            || !self.slices.is_empty()
            || !self.edge.dirty.is_empty()
    }

    /// Ends a turn of a loop that does not park: nothing that was read in it is used any more.
    pub(crate) fn quiesce(&mut self) {
        self.tree.reader.quiesce();
    }

    /// The shard is about to wait: retired memory may be freed without asking it. It keeps its point in the tree only
    /// while a read may still run there.
    pub(crate) fn park(&mut self) {
        self.tree.reader.park(self.credit.requests > 0);
    }

    /// The shard is awake again: it may read the tree after it has taken in everything published.
    pub(crate) fn unpark(&mut self) {
        let published = self.tree.reader.resume();
        self.take_in();
        debug_assert!(
            self.tree.applied >= published || self.sequence.taking.is_some(),
            "a batch is linked before its zxid is published"
        );
    }

    /// The server stops: accepted requests are answered, no more are accepted.
    pub(crate) fn stop_taking(&mut self) {
        self.is_stopping = true;
    }

    /// The server stops: closes every connection, after its queued bytes were sent.
    pub(crate) fn stop(&mut self) {
        let ids: Vec<ConnId> = self.conns.iter_mut().map(|conn| conn.id).collect();
        for id in ids {
            self.end(id);
        }
    }

    fn identities_of(&mut self, id: ConnId) -> Arc<Identities> {
        self.conns.find(id).map(|conn| conn.caller.identities.clone()).expect("the caller has just found it")
    }
}

/// The memory that the tree uses, bytes, about: a fixed part for every znode, and its path and data.
fn tree_bytes(store: &Store) -> usize {
    store.znodes() as usize * limits::ZNODE_BYTES + store.data_bytes() as usize
}
