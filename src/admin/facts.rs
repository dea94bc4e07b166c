//! What is known about a server, in plain data: the arguments of [`super::words`] and [`super::mntr`].

use super::java;
use crate::ids::{SessionId, Zxid};
use crate::server::stats::Mode;
use std::net::SocketAddr;

/// Count, sum, least and greatest of a measurement; the unit is the metric's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    pub count: u64,
    pub sum: u64,
    /// 0 when nothing was measured, like `max`.
    pub min: i64,
    pub max: i64,
}

impl Summary {
    /// The average with four decimals, as ZooKeeper rounds it.
    pub fn average(&self) -> f64 {
        java::average(self.sum, self.count)
    }

    /// Both together.
    pub fn and(self, other: Summary) -> Summary {
        match (self.count, other.count) {
            (_, 0) => self,
            (0, _) => other,
            _ => Summary {
                count: self.count + other.count,
                sum: self.sum + other.sum,
                min: self.min.min(other.min),
                max: self.max.max(other.max),
            },
        }
    }
}

impl From<(u64, u64, i64, i64)> for Summary {
    /// From count, sum, min and max.
    fn from((count, sum, min, max): (u64, u64, i64, i64)) -> Summary {
        Summary { count, sum, min, max }
    }
}

/// What `srvr` says, and `stat` after its list of clients.
#[derive(Clone, Debug)]
pub struct ServerFacts {
    /// From the arrival of a request until its answer, milliseconds.
    pub latency: Summary,
    pub packets_received: u64,
    pub packets_sent: u64,
    pub connections: u64,
    pub outstanding: u64,
    pub zxid: Zxid,
    pub mode: Mode,
    /// Bytes of the last, least and greatest proposal of a leader, if it has proposed any.
    pub proposals: Option<(u64, u64, u64)>,
    /// As ZooKeeper counts: the root twice, so that an empty tree has five.
    pub znodes: u64,
}

/// One connection, for `stat` and `cons`.
#[derive(Clone, Debug)]
pub struct ConnectionFacts {
    pub peer: SocketAddr,
    /// Whether the server wants to read from it, and to write to it.
    pub reads: bool,
    pub writes: bool,
    pub queued: u64,
    pub received: u64,
    pub sent: u64,
    /// `None` before the handshake.
    pub session: Option<ConnectionSession>,
}

/// What a connection with a session says more.
#[derive(Clone, Debug)]
pub struct ConnectionSession {
    pub id: SessionId,
    /// ZooKeeper's four-letter name of the last operation, `NA` before any.
    pub last_operation: &'static str,
    /// Since 1970.
    pub established_ms: i64,
    pub timeout_ms: i32,
    /// Negative: left out.
    pub last_cxid: i64,
    pub last_zxid: Zxid,
    /// A moment of any clock.
    pub last_response_ms: i64,
    pub last_latency_ms: i64,
    pub min_latency_ms: i64,
    pub average_latency_ms: i64,
    pub max_latency_ms: i64,
}

/// Things that expire together: the moment since 1970 in milliseconds, and who.
pub type Expiry<T> = Vec<(i64, Vec<T>)>;

/// What `dump` says.
#[derive(Clone, Debug, Default)]
pub struct DumpFacts {
    /// Soonest first.
    pub sessions: Expiry<SessionId>,
    /// Those that the server alone knows, soonest first, if it opens such ones.
    pub local: Option<Expiry<SessionId>>,
    /// In place of `sessions` on a server that does not decide who expires: all with their timeouts, ms.
    pub global: Option<Vec<(SessionId, i32)>>,
    /// Sessions that own ephemeral znodes, with their paths.
    pub ephemerals: Vec<(SessionId, Vec<Vec<u8>>)>,
    /// Soonest first.
    pub connections: Expiry<(SocketAddr, SessionId)>,
}

/// Sizes of the two directories, bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DirectorySizes {
    pub data: u64,
    pub log: u64,
}

/// What a member of an ensemble says more.
#[derive(Clone, Debug)]
pub struct QuorumFacts {
    pub voters: u64,
    /// Of an observer: the id of the server that it hears everything from.
    pub master: Option<u64>,
    /// Of a leader.
    pub leading: Option<LeadingFacts>,
}

/// What a leader says more.
#[derive(Clone, Debug)]
pub struct LeadingFacts {
    pub learners: u64,
    pub synced_followers: u64,
    pub synced_non_voting: u64,
    pub synced_observers: u64,
    pub pending_syncs: u64,
    /// Since it was established.
    pub leads_for_ms: u64,
}

/// What `mntr` says. What is `None` is left out: it is not measured.
#[derive(Clone, Debug)]
pub struct MonitorFacts {
    pub server: ServerFacts,
    pub uptime_ms: u64,
    /// Of a member of an ensemble.
    pub quorum: Option<QuorumFacts>,
    /// Both tables.
    pub watches: u64,
    pub ephemerals: u64,
    /// Lengths of paths and data together.
    pub data_bytes: u64,
    pub sessions: u64,
    /// Those that this server alone knows.
    pub local_sessions: u64,
    pub open_files: Option<u64>,
    pub max_files: Option<u64>,
    /// Bytes of the last, the greatest and the smallest reply.
    pub responses: Option<(u64, u64, u64)>,
    pub auth_failed: u64,
    /// How passwords of sessions are made: "secret", or "zookeeper": computed from the session's id by anybody.
    pub session_passwords: &'static str,
    /// Lines of the log that were left out, because there were too many of their kind.
    pub log_lines_left_out: u64,

    pub bytes_received: Option<u64>,
    pub response_bytes: Option<u64>,
    pub watch_bytes: Option<u64>,
    /// Connections turned away at accept.
    pub connections_rejected: Option<u64>,
    /// ConnectRequests received.
    pub connection_requests: Option<u64>,
    /// Connections closed, for whatever reason.
    pub connections_dropped: Option<u64>,
    /// ConnectRequests that named a session.
    pub connections_revalidated: Option<u64>,
    pub sessionless_expired: Option<u64>,
    /// Requests refused for want of memory.
    pub throttled: Option<u64>,
    /// Connections ended because their clients do not read.
    pub unread_ended: Option<u64>,
    pub sessions_expired: Option<u64>,
    pub digest_mismatches: Option<u64>,
    pub snapshot_errors: Option<u64>,
    /// Transactions handed to the log.
    pub transactions_logged: Option<u64>,

    /// From handing a group of transactions to the disk until it is durable, ms.
    pub fsync_ms: Option<Summary>,
    /// Writing a snapshot, ms.
    pub snapshot_ms: Option<Summary>,
    /// Loading the data at start, ms: all of it, the snapshot, the log, and how many transactions that had.
    pub load_ms: Option<Summary>,
    pub load_snapshot_ms: Option<Summary>,
    pub load_log_ms: Option<Summary>,
    pub loaded_transactions: Option<Summary>,
    /// Transactions in a group commit.
    pub batch_size: Option<Summary>,
    /// Requests answered from memory, ms.
    pub read_ms: Option<Summary>,
    /// Requests that were logged, ms.
    pub update_ms: Option<Summary>,
}
