//! Facts about a server's parts, which an administrator asks for.
//!
//! A [`Collect`] carries [`Question`]s through the sequence: the quorum core adds its part, then every shard adds its
//! own at the same step. The parts together are the [`Facts`], which go to the asker: a connection that has sent a
//! four-letter word, or a channel of any thread (`inquiry.rs`).

use crate::ids::{ConnId, SessionId, ShardId, Zxid};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::mpsc::Sender;

/// A question. The quorum core and the shards each answer their own questions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Question {
    /// For shards: the connections.
    Connections,
    /// For shards: which session watches which path.
    Watches,
    /// For the quorum core: the sessions, when each expires, and which ephemerals each owns.
    Sessions,
    /// For the quorum core: the digests of past states.
    Digests,
    /// For shards: reset the counters of connections.
    ResetConnections,
    /// For shards: reset the shards' counters.
    ResetShards,
}

/// One shard's part. Fields that were not asked for are empty.
#[derive(Debug)]
pub struct ShardFacts {
    /// Whose part this is.
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
    pub(crate) peer: SocketAddr,
    /// [`SessionId::NONE`] before the handshake.
    pub(crate) session: SessionId,
    pub(crate) timeout_ms: i32,
    /// Requests that are not answered yet.
    pub(crate) queued: usize,
    /// Whether the event loop waits for the socket to be readable.
    pub(crate) read_interest: bool,
    /// Whether the event loop waits for the socket to be writable.
    pub(crate) write_interest: bool,
    pub(crate) stats: ConnStats,
    /// Since the connection was accepted or its session was opened, ms.
    pub(crate) age_ms: i64,
}

/// The counters of a connection that `cons` shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnStats {
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
    /// Counters without any request yet.
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

/// The quorum core's part. Fields that were not asked for are empty.
#[derive(Debug, Default)]
pub struct CoreFacts {
    /// Sessions by the moment they expire (milliseconds from now), soonest first.
    pub expiry: Vec<(i64, Vec<SessionId>)>,
    /// Local sessions in the same form, if this server opens them.
    pub local: Option<Vec<(i64, Vec<SessionId>)>>,
    /// On a follower: all sessions with their timeouts, ms, by id. Only the leader knows when they expire.
    pub global: Option<Vec<(SessionId, i32)>>,
    /// Sessions that own ephemerals, with the paths of these.
    pub ephemerals: Vec<(SessionId, Vec<Vec<u8>>)>,
    /// The digests of past states, oldest first.
    pub digests: Vec<(Zxid, u64)>,
}

/// The parts of the core and of every shard, together.
#[derive(Debug, Default)]
pub struct Facts {
    /// Of every shard, by number.
    pub shards: Vec<ShardFacts>,
    /// Of the quorum core.
    pub core: CoreFacts,
}

/// A four-letter word that a connection has sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct WordRequest {
    pub conn: ConnId,
    pub word: [u8; 4],
    /// The bytes that followed the word.
    pub argument: Vec<u8>,
}

/// The receiver of the facts.
#[derive(Debug)]
pub(crate) enum Asker {
    /// A connection of this shard.
    Connection { shard: ShardId, request: WordRequest },
    /// The thread at the channel's other end, which must not wait without a limit. The channel closes without facts if
    /// the server's role ends before all parts are in.
    Channel(Sender<Facts>),
}

/// Questions on their way, with the parts of the answer so far.
#[derive(Debug)]
pub(crate) struct Collect {
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

    /// The questions.
    pub(crate) fn questions(&self) -> &'static [Question] {
        self.questions
    }

    /// Adds the core's part, which comes before every shard's.
    pub(crate) fn deposit_core(&self, facts: CoreFacts) {
        self.parts.lock().expect("no holder panics").1 = facts;
    }

    /// Adds one shard's part. After the last part the asker gets the facts: a channel at once; a connection from its
    /// own shard. In the second case shard and connection are returned, and that shard calls [`Collect::answer`].
    pub(crate) fn deposit(&self, facts: ShardFacts) -> Option<(ShardId, ConnId)> {
        let mut parts = self.parts.lock().expect("no holder panics");
        parts.0.push(facts);
        let is_last = parts.0.len() == self.shards;
        drop(parts);
        match &self.asker {
            _ if !is_last => None,
            Asker::Connection { shard, request } => Some((*shard, request.conn)),
            Asker::Channel(sender) => {
                // The asker may have stopped waiting.
                let _ = sender.send(self.take());
                None
            }
        }
    }

    /// The word of the connection that asked, and the facts; `None` if a channel asked: it has the facts already.
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

/// The answer to a four-letter word, or what is needed first.
pub enum WordAnswer {
    /// Send this and close.
    Text(Vec<u8>),
    /// Ask these questions first, then call again with the facts.
    Needs(&'static [Question]),
}

/// Answers four-letter words. The implementation is in a higher layer, and is passed in where the server is assembled.
pub trait AdminPlane: Send + Sync {
    /// Answers a word. `argument` holds the bytes that followed the word; `facts` is `None` in the first call.
    fn answer(&self, word: [u8; 4], argument: &[u8], facts: Option<&Facts>) -> WordAnswer;
}
