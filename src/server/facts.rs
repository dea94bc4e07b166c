//! What the parts of a server tell about themselves when an administrator asks.
//!
//! A [`Collect`] takes [`Question`]s through the sequence: the quorum core puts its part in, then every shard at the same step.
//! The last part makes it the [`Facts`], which go to the asker: a connection that has sent a four-letter word, or a channel of
//! any thread (`inquiry.rs`).

use crate::ids::{ConnId, SessionId, ShardId, Zxid};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::mpsc::Sender;

/// What can be asked. Quorum core and shards each answer what is theirs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Question {
    /// Of shards: which connections there are.
    Connections,
    /// Of shards: who watches which path.
    Watches,
    /// Of the quorum core: which sessions there are, when each expires, and which ephemerals it owns.
    Sessions,
    /// Of the quorum core: the digests of past states.
    Digests,
    /// To shards: forget what connections have counted.
    ResetConnections,
    /// To shards: forget what they have counted.
    ResetShards,
}

/// One shard's part. What was not asked is empty.
#[derive(Debug)]
pub struct ShardFacts {
    pub shard: ShardId,
    /// By slot.
    pub connections: Vec<ConnectionFacts>,
    /// Watches of the data table (one-shot data and exist watches, persistent ones), one line per
    /// connection and path.
    pub data_watches: Vec<(SessionId, Vec<u8>)>,
}

/// One connection.
#[derive(Clone, Debug)]
pub struct ConnectionFacts {
    pub peer: SocketAddr,
    /// [`SessionId::NONE`] before the handshake.
    pub session: SessionId,
    pub timeout_ms: i32,
    /// Requests that are not answered yet.
    pub queued: usize,
    /// Whether the event loop waits for the socket to be readable.
    pub read_interest: bool,
    /// Whether the event loop waits for the socket to be writable.
    pub write_interest: bool,
    pub stats: ConnStats,
    /// Since it was accepted or its session was opened, ms.
    pub age_ms: i64,
}

/// What `cons` tells of a connection.
#[derive(Clone, Copy, Debug)]
pub struct ConnStats {
    pub received: u64,
    pub sent: u64,
    pub established_wall_ms: i64,
    pub last_op: &'static str,
    pub last_xid: i32,
    pub last_zxid: i64,
    pub last_response_wall_ms: i64,
    pub last_latency_ms: i64,
    pub min_latency_ms: i64,
    pub max_latency_ms: i64,
    pub total_latency_ms: i64,
}

impl ConnStats {
    /// Nothing counted yet.
    pub(crate) fn new(established_wall_ms: i64) -> Self {
        ConnStats {
            received: 0,
            sent: 0,
            established_wall_ms,
            last_op: "NA",
            last_xid: -1,
            last_zxid: -1,
            last_response_wall_ms: 0,
            last_latency_ms: 0,
            min_latency_ms: i64::MAX,
            max_latency_ms: 0,
            total_latency_ms: 0,
        }
    }

    /// Counts the answer to a request, `latency_ms` after it came.
    #[inline]
    pub(crate) fn answered(&mut self, op: &'static str, xid: i32, zxid: Zxid, wall_ms: i64, latency_ms: i64) {
        self.sent += 1;
        self.last_op = op;
        self.last_xid = xid;
        self.last_zxid = zxid.0;
        self.last_response_wall_ms = wall_ms;
        self.last_latency_ms = latency_ms;
        self.total_latency_ms += latency_ms;
        self.min_latency_ms = self.min_latency_ms.min(latency_ms);
        self.max_latency_ms = self.max_latency_ms.max(latency_ms);
    }
}

/// The quorum core's part. What was not asked is empty.
#[derive(Debug, Default)]
pub struct CoreFacts {
    /// Sessions by the moment they expire (milliseconds from now), soonest first.
    pub expiry: Vec<(i64, Vec<SessionId>)>,
    /// Those that this server alone knows, in the same way, if it opens such ones.
    pub local: Option<Vec<(i64, Vec<SessionId>)>>,
    /// Who expires is the leader's to know: on a follower all sessions with their timeouts, by id.
    pub global: Option<Vec<(SessionId, i32)>>,
    pub ephemerals: Vec<(SessionId, Vec<Vec<u8>>)>,
    /// The digests of the past, oldest first.
    pub digests: Vec<(Zxid, u64)>,
}

/// What every shard and the core have put together.
#[derive(Debug, Default)]
pub struct Facts {
    pub shards: Vec<ShardFacts>,
    pub core: CoreFacts,
}

/// A four-letter word that a connection has sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct WordRequest {
    pub conn: ConnId,
    pub word: [u8; 4],
    /// The bytes sent right behind it.
    pub argument: Vec<u8>,
}

/// Who gets the facts.
#[derive(Debug)]
pub(crate) enum Asker {
    /// A connection of this shard.
    Connection { shard: ShardId, request: WordRequest },
    /// Whoever holds the other end, and does not wait for ever. The channel ends without facts where the server loses its place
    /// in the ensemble before all parts are in.
    Channel(Sender<Facts>),
}

/// Questions that the quorum core and every shard answer a part of.
#[derive(Debug)]
pub struct Collect {
    questions: &'static [Question],
    asker: Asker,
    /// How many shards will add their part.
    shards: usize,
    parts: Mutex<(Vec<ShardFacts>, CoreFacts)>,
}

impl Collect {
    /// Questions to the quorum core and `shards` shards.
    pub(crate) fn new(questions: &'static [Question], asker: Asker, shards: usize) -> Self {
        Collect { questions, asker, shards, parts: Mutex::default() }
    }

    /// What is asked.
    pub(crate) fn questions(&self) -> &'static [Question] {
        self.questions
    }

    /// Adds the core's part; it comes before any shard's.
    pub(crate) fn deposit_core(&self, facts: CoreFacts) {
        self.parts.lock().expect("no holder panics").1 = facts;
    }

    /// Adds one shard's part. The last one goes to the asker with all others, at once if that is a channel. A connection is
    /// to be told by its own shard: these two are returned, and [`Collect::answer`] is for that shard.
    pub(crate) fn deposit(&self, facts: ShardFacts) -> Option<(ShardId, ConnId)> {
        let mut parts = self.parts.lock().expect("no holder panics");
        parts.0.push(facts);
        let is_last = parts.0.len() == self.shards;
        drop(parts);
        match &self.asker {
            _ if !is_last => None,
            Asker::Connection { shard, request } => Some((*shard, request.conn)),
            Asker::Channel(sender) => {
                // The asker may have lost patience.
                let _ = sender.send(self.take());
                None
            }
        }
    }

    /// The word of the connection that asked, and the facts; nothing if a channel asked, which has them.
    pub(crate) fn answer(&self) -> Option<(WordRequest, Facts)> {
        match &self.asker {
            Asker::Connection { request, .. } => Some((request.clone(), self.take())),
            Asker::Channel(_) => None,
        }
    }

    /// Takes all parts, in the order of shards.
    fn take(&self) -> Facts {
        let (mut shards, core) = std::mem::take(&mut *self.parts.lock().expect("no holder panics"));
        shards.sort_by_key(|part| part.shard);
        Facts { shards, core }
    }
}

/// What becomes of an administrator's word.
pub enum WordAnswer {
    /// Send this and close.
    Text(Vec<u8>),
    /// Ask this first, then come again with the facts.
    Needs(&'static [Question]),
}

/// Whoever answers four-letter words: a higher floor, handed in where the server is put together.
pub trait AdminPlane: Send + Sync {
    /// Answers a word. `argument` holds the bytes sent right behind it; `facts` is `None` at first.
    fn answer(&self, word: [u8; 4], argument: &[u8], facts: Option<&Facts>) -> WordAnswer;
}
