//! What the parts of a server tell about themselves when an administrator asks.

use super::message::ShardId;
use super::shard::conn::ConnStats;
use crate::ids::{SessionId, Zxid};
use std::net::SocketAddr;

/// One shard's part.
#[derive(Debug)]
pub struct ShardFacts {
    pub shard: ShardId,
    pub connections: Vec<ConnectionFacts>,
    /// Watches of the data table (one-shot data and exist watches, persistent ones), one line per
    /// connection and path.
    pub data_watches: Vec<(SessionId, Vec<u8>)>,
}

/// One connection.
#[derive(Debug)]
pub struct ConnectionFacts {
    pub peer: SocketAddr,
    /// [`SessionId::NONE`] before the handshake.
    pub session: SessionId,
    pub timeout_ms: i32,
    /// Requests that are not answered yet.
    pub queued: usize,
    /// Whether the socket is being read.
    pub reads: bool,
    pub writes: bool,
    pub stats: ConnStats,
    /// Since it was accepted or its session was opened, ms.
    pub age_ms: i64,
}

/// The quorum core's part.
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
#[derive(Debug)]
pub struct Facts {
    pub shards: Vec<ShardFacts>,
    pub core: CoreFacts,
}

/// What becomes of an administrator's word.
pub enum WordAnswer {
    /// Send this and close.
    Text(Vec<u8>),
    /// Ask the shards and the core first, then come again with their facts.
    NeedsFacts,
}

/// Whoever answers four-letter words: a higher floor, handed in where the server is put together.
pub trait AdminPlane: Send + Sync {
    /// Answers a word. `argument` holds the bytes sent right behind it; `facts` is `None` at first.
    fn answer(&self, word: [u8; 4], argument: &[u8], facts: Option<Facts>) -> WordAnswer;
}
