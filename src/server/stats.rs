//! The metrics of a server: counters that a shard or the quorum core writes and any thread may read, and the table of
//! the published ones with their names.
//!
//! Each writer has its own struct, so that no two processors write the same cache line; a reader adds up the structs. A
//! new metric is a field and a row of [`METRICS`]. A name of ZooKeeper has the same meaning as there; other names begin
//! with `corral_`.

use super::count::{COUNTS, Count, Summary, SummaryValues};
use crate::config::Present;
use crate::ids::Zxid;
use Kind::{Counter, Gauge, Text};
use Unit::{Bytes, Milliseconds, Plain};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU16, AtomicU64, Ordering::Relaxed};

/// The counters of one shard.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct ShardStats {
    pub received: Count,
    pub sent: Count,
    pub received_bytes: Count,
    /// Connections at present.
    pub connections: Count,
    /// Batches of the sequence that were taken in. Never reset and always counted, because the watchdog of the shards
    /// uses it.
    pub batches: Count,
    /// Requests that wait for the quorum core at present.
    pub outstanding: Count,
    /// Watches at present, in both tables.
    pub watches: Count,
    pub auth_failed: Count,
    pub sessionless_expired: Count,
    /// Requests refused as throttled: no memory for their answer, or for one more watch.
    pub throttled: Count,
    /// Connections closed because their clients did not read, or held scarce memory.
    pub unread_ended: Count,
    pub latency: Summary,
    pub read_latency: Summary,
    pub update_latency: Summary,
    /// The length of the last reply, bytes; the fields after it are the least and the greatest length.
    pub last_response: Count,
    pub min_response: Count,
    pub max_response: Count,
}

impl ShardStats {
    /// Resets what `srst` resets: packets and latencies, but no numbers of present things.
    pub(crate) fn reset(&self) {
        let packets = [&self.received, &self.sent, &self.received_bytes];
        for count in packets.into_iter().chain([&self.last_response, &self.min_response, &self.max_response]) {
            count.set(0);
        }
        for summary in [&self.latency, &self.read_latency, &self.update_latency] {
            summary.reset();
        }
    }

    /// Counts a reply of `length` bytes.
    #[inline]
    pub(crate) fn responded(&self, length: u64) {
        if !COUNTS {
            return;
        }
        self.last_response.set(length);
        if length > self.max_response.value() {
            self.max_response.set(length);
        }
        let min = self.min_response.value();
        if min == 0 || length < min {
            self.min_response.set(length);
        }
    }
}

/// The counters of the quorum core.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct CoreStats {
    /// The newest zxid that is durable and visible.
    pub zxid: AtomicI64,
    /// Sessions of the ensemble, or of a standalone server.
    pub sessions: Count,
    /// Local sessions.
    pub local_sessions: Count,
    pub ephemerals: Count,
    /// Transactions handed to the log.
    pub transactions: Count,
    /// Time from handing a group to the disk until it is durable.
    pub fsync: Summary,
    pub snapshot_time: Summary,
    /// Requests refused as throttled: they would have cost too much, or a learner has forwarded too many.
    pub throttled: Count,
    pub stale_sessions_expired: Count,
    pub digest_mismatches: Count,
}

/// A server's mode, as `srvr` reports it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Mode {
    /// On its own: in no ensemble.
    Standalone,
    /// A member of an ensemble that has no role, or whose role does not serve yet.
    NotServing,
    /// A member that leads, and serves.
    Leader,
    /// A member that follows with a vote or is to get one, and serves.
    Follower,
    /// A member that follows without a vote, and serves.
    Observer,
    /// A member without a leader that serves reads.
    ReadOnly,
}

impl Mode {
    const ALL: [Mode; 6] =
        [Mode::Standalone, Mode::NotServing, Mode::Leader, Mode::Follower, Mode::Observer, Mode::ReadOnly];

    /// ZooKeeper's name for the mode.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::Standalone => "standalone",
            Mode::Leader => "leader",
            Mode::Follower => "follower",
            Mode::Observer => "observer",
            Mode::ReadOnly => "read-only",
            // Never shown: a server that does not serve gives another answer.
            Mode::NotServing => "looking",
        }
    }

    /// ZooKeeper's name for the phase with the leader. A member that serves is past discovery and synchronisation.
    fn peer_state(self) -> Option<&'static str> {
        match self {
            Mode::Leader => Some("leading - broadcast"),
            Mode::Follower => Some("following - broadcast"),
            Mode::Observer => Some("observing - broadcast"),
            Mode::Standalone | Mode::NotServing | Mode::ReadOnly => None,
        }
    }
}

/// What the quorum core publishes about its ensemble; the fields below `master` have a meaning on a leader only.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct QuorumStats {
    /// A [`Mode`].
    pub mode: AtomicU8,
    /// New sessions get ZooKeeper's passwords, which every client can compute.
    pub public_passwords: AtomicBool,
    /// The configuration that a member acts by.
    pub present: Mutex<Option<Present>>,
    pub voters: Count,
    /// The server that this one follows; for an observer it may be a voter other than the leader.
    pub master: Count,
    pub learners: Count,
    pub synced_followers: Count,
    pub synced_non_voting: Count,
    pub synced_observers: Count,
    pub pending_syncs: Count,
    /// Time since the leader was established, ms.
    pub leader_uptime_ms: Count,
    /// Bytes of the last, least and greatest proposal; 0 before the first.
    pub last_proposal: Count,
    pub min_proposal: Count,
    pub max_proposal: Count,
    /// Epochs that began without an election, since the start.
    pub roll_overs: Count,
}

impl QuorumStats {
    /// The server's present mode.
    pub(crate) fn mode(&self) -> Mode {
        let mode = self.mode.load(Relaxed);
        Mode::ALL.into_iter().find(|known| *known as u8 == mode).unwrap_or(Mode::NotServing)
    }

    /// How passwords of new sessions are made; see [`crate::session::Passwords`]. A standalone server has a secret in
    /// its data directory.
    fn passwords(&self) -> &'static str {
        if self.public_passwords.load(Relaxed) { "zookeeper" } else { "secret" }
    }

    /// Counts a proposal of `bytes`.
    #[inline]
    pub(crate) fn proposed(&self, bytes: u64) {
        self.last_proposal.set(bytes);
        if bytes > self.max_proposal.value() {
            self.max_proposal.set(bytes);
        }
        let min = self.min_proposal.value();
        if min == 0 || bytes < min {
            self.min_proposal.set(bytes);
        }
    }

    /// Resets the proposal counters: a leader begins with nothing proposed, like ZooKeeper's.
    pub(crate) fn begin_to_lead(&self) {
        for count in [&self.last_proposal, &self.min_proposal, &self.max_proposal] {
            count.set(0);
        }
    }
}

/// All counters of a server.
#[derive(Debug)]
pub struct Stats {
    pub(crate) shards: Vec<ShardStats>,
    pub(crate) core: CoreStats,
    pub(crate) quorum: QuorumStats,
    /// Connections refused at accept.
    pub(crate) connections_rejected: AtomicU64,
    /// The present port for clients; 0 before the server has started.
    pub(crate) client_port: AtomicU16,
}

impl Stats {
    /// For a server of `shards` shards.
    pub(crate) fn new(shards: usize) -> Self {
        Stats {
            shards: (0..shards).map(|_| ShardStats::default()).collect(),
            core: CoreStats::default(),
            quorum: QuorumStats::default(),
            connections_rejected: AtomicU64::new(0),
            client_port: AtomicU16::new(0),
        }
    }

    /// The sum of a counter over all shards.
    pub(crate) fn sum(&self, count: impl Fn(&ShardStats) -> &Count) -> u64 {
        self.shards.iter().map(|shard| count(shard).value()).sum()
    }

    /// A summary of all shards together.
    pub(crate) fn measured(&self, summary: impl Fn(&ShardStats) -> &Summary) -> SummaryValues {
        self.shards.iter().map(|shard| summary(shard).read()).fold(SummaryValues::default(), SummaryValues::and)
    }

    /// The newest zxid that is durable and visible.
    pub(crate) fn zxid(&self) -> Zxid {
        Zxid(self.core.zxid.load(Relaxed))
    }
}

/// How a metric's value behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Goes up, until a reset.
    Counter,
    /// Count, sum, least and greatest of measurements.
    Summary,
    /// A text, no number.
    Text,
}

/// The unit of a metric's value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// The things that the metric's name says, or no unit.
    Plain,
    /// Of memory, of a file or of a message.
    Bytes,
    /// Of time.
    Milliseconds,
}

/// A metric's value at one moment.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Value {
    /// A whole number.
    Integer(i64),
    /// An average, with four decimals.
    Float(f64),
    /// What a [`Kind::Summary`] consists of.
    Summary(SummaryValues),
    /// Of a [`Kind::Text`].
    Text(&'static str),
}

impl Value {
    fn of(count: &Count) -> Option<Value> {
        Value::integer(count.value())
    }

    fn integer(value: u64) -> Option<Value> {
        Some(Value::Integer(value as i64))
    }
}

/// Facts about the process and the tree that are not among the counters.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    /// Which ZooKeeper this server speaks like, and its own version.
    pub version: &'static str,
    /// Since the start of the process.
    pub uptime_ms: u64,
    /// File descriptors.
    pub open_files: Option<u64>,
    /// How many may be open; `None` where the system does not say, or sets no limit.
    pub max_files: Option<u64>,
    /// The number of znodes, counted like ZooKeeper's: the root twice, so that an empty tree has five.
    pub znodes: u64,
    /// The sum of the lengths of all paths and data.
    pub data_bytes: u64,
    /// Lines of the log that were left out, because there were too many of their kind.
    pub log_lines_left_out: u64,
}

/// Everything that metrics are read from. What several of them are made of is read once, so that they fit each other.
pub struct Scrape<'a> {
    stats: &'a Stats,
    process: Process,
    mode: Mode,
    latency: SummaryValues,
    /// The length of the last reply, of any shard; -1 before the first one, as the two below.
    last_reply: i64,
    greatest_reply: i64,
    least_reply: i64,
}

impl<'a> Scrape<'a> {
    /// Of this moment.
    pub(crate) fn new(stats: &'a Stats, process: Process) -> Scrape<'a> {
        let answered = stats.shards.iter().filter(|shard| shard.max_response.value() > 0);
        let replies = answered
            .map(|shard| [&shard.last_response, &shard.max_response, &shard.min_response].map(Count::value))
            .reduce(|a, b| [b[0], a[1].max(b[1]), a[2].min(b[2])]);
        let [last_reply, greatest_reply, least_reply] =
            replies.map_or([-1; 3], |replies| replies.map(|length| length as i64));
        Scrape {
            stats,
            process,
            mode: stats.quorum.mode(),
            latency: stats.measured(|shard| &shard.latency),
            last_reply,
            greatest_reply,
            least_reply,
        }
    }

    fn sum(&self, count: impl Fn(&ShardStats) -> &Count) -> Option<Value> {
        Value::integer(self.stats.sum(count))
    }

    fn measured(&self, summary: impl Fn(&ShardStats) -> &Summary) -> Option<Value> {
        Some(Value::Summary(self.stats.measured(summary)))
    }

    /// A value that exists only in these modes.
    fn of(&self, modes: &[Mode], count: impl Fn(&QuorumStats) -> &Count) -> Option<Value> {
        modes.contains(&self.mode).then(|| Value::Integer(count(&self.stats.quorum).value() as i64))
    }

    /// A value that exists on a leader only; -1 before the first proposal.
    fn proposal(&self, count: impl Fn(&QuorumStats) -> &Count) -> Option<Value> {
        let has_proposed = self.stats.quorum.last_proposal.value() > 0;
        self.of(LEADER, count).map(|value| if has_proposed { value } else { Value::Integer(-1) })
    }
}

/// One metric.
pub struct Metric {
    /// The name without a prefix.
    pub name: &'static str,
    /// How its value behaves.
    pub kind: Kind,
    /// What its value is counted in.
    pub unit: Unit,
    /// A sentence for readers of a dashboard.
    pub help: &'static str,
    /// `None` where there is no such thing: on this machine, or in this server's place.
    read: fn(&Scrape<'_>) -> Option<Value>,
}

/// Every metric that has a value now, in the order of [`METRICS`].
pub fn metrics<'a>(from: &'a Scrape<'_>) -> impl Iterator<Item = (&'static Metric, Value)> + 'a {
    METRICS.iter().filter_map(|metric| (metric.read)(from).map(|value| (metric, value)))
}

const LEADER: &[Mode] = &[Mode::Leader];
const MEMBERS: &[Mode] = &[Mode::Leader, Mode::Follower, Mode::Observer];

/// All metrics, in the order of `mntr`: texts about the server, gauges, counters, summaries.
#[rustfmt::skip]
pub(crate) const METRICS: &[Metric] = &[
    Metric { name: "version", kind: Text, unit: Plain,
        help: "Which ZooKeeper this server speaks like, and its own version.",
        read: |from| Some(Value::Text(from.process.version)) },
    Metric { name: "server_state", kind: Text, unit: Plain,
        help: "What the server is: standalone, leader, follower, observer or read-only.",
        read: |from| Some(Value::Text(from.mode.name())) },
    Metric { name: "peer_state", kind: Text, unit: Plain,
        help: "How far a member has come with its leader.",
        read: |from| from.mode.peer_state().map(Value::Text) },
    Metric { name: "avg_latency", kind: Gauge, unit: Milliseconds,
        help: "From the arrival of a request to its answer, on average.",
        read: |from| Some(Value::Float(from.latency.average())) },
    Metric { name: "max_latency", kind: Gauge, unit: Milliseconds,
        help: "From the arrival of a request to its answer, at most.",
        read: |from| Some(Value::Integer(from.latency.max)) },
    Metric { name: "min_latency", kind: Gauge, unit: Milliseconds,
        help: "From the arrival of a request to its answer, at least.",
        read: |from| Some(Value::Integer(from.latency.min)) },
    Metric { name: "packets_received", kind: Counter, unit: Plain,
        help: "Requests received.",
        read: |from| from.sum(|shard| &shard.received) },
    Metric { name: "packets_sent", kind: Counter, unit: Plain,
        help: "Answers and events sent.",
        read: |from| from.sum(|shard| &shard.sent) },
    Metric { name: "num_alive_connections", kind: Gauge, unit: Plain,
        help: "Connections of clients.",
        read: |from| from.sum(|shard| &shard.connections) },
    Metric { name: "outstanding_requests", kind: Gauge, unit: Plain,
        help: "Requests that wait for their transaction.",
        read: |from| from.sum(|shard| &shard.outstanding) },
    Metric { name: "uptime", kind: Gauge, unit: Milliseconds,
        help: "Since the start of the process.",
        read: |from| Value::integer(from.process.uptime_ms) },
    Metric { name: "znode_count", kind: Gauge, unit: Plain,
        help: "Znodes in the tree.",
        read: |from| Value::integer(from.process.znodes) },
    Metric { name: "watch_count", kind: Gauge, unit: Plain,
        help: "Watches of all kinds.",
        read: |from| from.sum(|shard| &shard.watches) },
    Metric { name: "ephemerals_count", kind: Gauge, unit: Plain,
        help: "Ephemeral znodes.",
        read: |from| Value::of(&from.stats.core.ephemerals) },
    Metric { name: "approximate_data_size", kind: Gauge, unit: Bytes,
        help: "Paths and data of all znodes.",
        read: |from| Value::integer(from.process.data_bytes) },
    Metric { name: "global_sessions", kind: Gauge, unit: Plain,
        help: "Sessions that the whole ensemble knows.",
        read: |from| Value::of(&from.stats.core.sessions) },
    Metric { name: "local_sessions", kind: Gauge, unit: Plain,
        help: "Sessions that this server alone knows.",
        read: |from| Value::of(&from.stats.core.local_sessions) },
    Metric { name: "open_file_descriptor_count", kind: Gauge, unit: Plain,
        help: "File descriptors that are open.",
        read: |from| from.process.open_files.and_then(Value::integer) },
    Metric { name: "max_file_descriptor_count", kind: Gauge, unit: Plain,
        help: "File descriptors that may be open.",
        read: |from| from.process.max_files.and_then(Value::integer) },
    Metric { name: "connection_drop_probability", kind: Gauge, unit: Plain,
        help: "Always 0: no connection is dropped by chance.",
        read: |_| Some(Value::Float(0.0)) },
    Metric { name: "last_client_response_size", kind: Gauge, unit: Bytes,
        help: "The last answer to a client.",
        read: |from| Some(Value::Integer(from.last_reply)) },
    Metric { name: "max_client_response_size", kind: Gauge, unit: Bytes,
        help: "The longest answer to a client.",
        read: |from| Some(Value::Integer(from.greatest_reply)) },
    Metric { name: "min_client_response_size", kind: Gauge, unit: Bytes,
        help: "The shortest answer to a client.",
        read: |from| Some(Value::Integer(from.least_reply)) },
    Metric { name: "outstanding_tls_handshake", kind: Gauge, unit: Plain,
        help: "Always 0: there is no TLS.",
        read: |_| Some(Value::Integer(0)) },
    Metric { name: "auth_failed_count", kind: Counter, unit: Plain,
        help: "Clients that could not prove who they are.",
        read: |from| from.sum(|shard| &shard.auth_failed) },
    Metric { name: "corral_session_passwords", kind: Text, unit: Plain,
        help: "Passwords of new sessions: secret, or zookeeper, which anybody can compute.",
        read: |from| Some(Value::Text(from.stats.quorum.passwords())) },
    Metric { name: "corral_log_lines_left_out", kind: Counter, unit: Plain,
        help: "Lines of the log left out, as there were too many of their kind.",
        read: |from| Value::integer(from.process.log_lines_left_out) },
    Metric { name: "quorum_size", kind: Gauge, unit: Plain,
        help: "Voters of the ensemble.",
        read: |from| from.of(MEMBERS, |quorum| &quorum.voters) },
    Metric { name: "observer_master_id", kind: Gauge, unit: Plain,
        help: "The server that an observer hears everything from.",
        read: |from| from.of(&[Mode::Observer], |quorum| &quorum.master) },
    Metric { name: "learners", kind: Gauge, unit: Plain,
        help: "Servers that follow or observe this leader.",
        read: |from| from.of(LEADER, |quorum| &quorum.learners) },
    Metric { name: "synced_followers", kind: Gauge, unit: Plain,
        help: "Voters that are up to date with this leader.",
        read: |from| from.of(LEADER, |quorum| &quorum.synced_followers) },
    Metric { name: "synced_non_voting_followers", kind: Gauge, unit: Plain,
        help: "Followers without a vote that are up to date with this leader.",
        read: |from| from.of(LEADER, |quorum| &quorum.synced_non_voting) },
    Metric { name: "synced_observers", kind: Gauge, unit: Plain,
        help: "Observers that are up to date with this leader.",
        read: |from| from.of(LEADER, |quorum| &quorum.synced_observers) },
    Metric { name: "pending_syncs", kind: Gauge, unit: Plain,
        help: "Syncs that wait for a quorum.",
        read: |from| from.of(LEADER, |quorum| &quorum.pending_syncs) },
    Metric { name: "leader_uptime", kind: Gauge, unit: Milliseconds,
        help: "Since this leader was established.",
        read: |from| from.of(LEADER, |quorum| &quorum.leader_uptime_ms) },
    Metric { name: "last_proposal_size", kind: Gauge, unit: Bytes,
        help: "The last proposal of this leader.",
        read: |from| from.proposal(|quorum| &quorum.last_proposal) },
    Metric { name: "max_proposal_size", kind: Gauge, unit: Bytes,
        help: "The longest proposal of this leader.",
        read: |from| from.proposal(|quorum| &quorum.max_proposal) },
    Metric { name: "min_proposal_size", kind: Gauge, unit: Bytes,
        help: "The shortest proposal of this leader.",
        read: |from| from.proposal(|quorum| &quorum.min_proposal) },
    Metric { name: "bytes_received_count", kind: Counter, unit: Bytes,
        help: "Received from clients.",
        read: |from| from.sum(|shard| &shard.received_bytes) },
    Metric { name: "connection_rejected", kind: Counter, unit: Plain,
        help: "Connections turned away when they came.",
        read: |from| Value::integer(from.stats.connections_rejected.load(Relaxed)) },
    Metric { name: "digest_mismatches_count", kind: Counter, unit: Plain,
        help: "Times the tree was not what its digest says.",
        read: |from| Value::of(&from.stats.core.digest_mismatches) },
    Metric { name: "sessionless_connections_expired", kind: Counter, unit: Plain,
        help: "Connections ended as they had set up no session in time.",
        read: |from| from.sum(|shard| &shard.sessionless_expired) },
    Metric { name: "stale_sessions_expired", kind: Counter, unit: Plain,
        help: "Sessions that have expired.",
        read: |from| Value::of(&from.stats.core.stale_sessions_expired) },
    Metric { name: "sync_processor_request_queued", kind: Counter, unit: Plain,
        help: "Transactions handed to the log.",
        read: |from| Value::of(&from.stats.core.transactions) },
    Metric { name: "throttled_ops", kind: Counter, unit: Plain,
        help: "Requests refused for want of memory, for their cost or for the number of them.",
        read: |from| Value::integer(from.stats.sum(|shard| &shard.throttled) + from.stats.core.throttled.value()) },
    Metric { name: "unread_connections_ended", kind: Counter, unit: Plain,
        help: "Connections ended as their clients did not read, or kept memory that was short.",
        read: |from| from.sum(|shard| &shard.unread_ended) },
    Metric { name: "fsynctime", kind: Kind::Summary, unit: Milliseconds,
        help: "From handing transactions to the disk until they are durable.",
        read: |from| Some(Value::Summary(from.stats.core.fsync.read())) },
    Metric { name: "readlatency", kind: Kind::Summary, unit: Milliseconds,
        help: "From the arrival of a read to its answer.",
        read: |from| from.measured(|shard| &shard.read_latency) },
    Metric { name: "snapshottime", kind: Kind::Summary, unit: Milliseconds,
        help: "Writing a snapshot.",
        read: |from| Some(Value::Summary(from.stats.core.snapshot_time.read())) },
    Metric { name: "updatelatency", kind: Kind::Summary, unit: Milliseconds,
        help: "From the arrival of a write to its answer.",
        read: |from| from.measured(|shard| &shard.update_latency) },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_is_the_one_that_was_set() {
        let quorum = QuorumStats::default();
        assert_eq!(quorum.mode(), Mode::Standalone);
        for mode in Mode::ALL {
            quorum.mode.store(mode as u8, Relaxed);
            assert_eq!(quorum.mode(), mode);
        }
        quorum.proposed(7);
        quorum.proposed(3);
        assert_eq!((quorum.last_proposal.value(), quorum.min_proposal.value(), quorum.max_proposal.value()), (3, 3, 7));
    }

    fn scrape(stats: &Stats) -> Scrape<'_> {
        let process = Process {
            version: "3.9",
            uptime_ms: 7,
            open_files: Some(3),
            max_files: None,
            znodes: 5,
            data_bytes: 44,
            log_lines_left_out: 0,
        };
        Scrape::new(stats, process)
    }

    /// An exposition needs name, kind, help and numbers: this writes them in Prometheus's text format.
    fn exposed(from: &Scrape<'_>) -> String {
        let mut out = String::new();
        for (Metric { name, kind, help, .. }, value) in metrics(from) {
            let kind = match kind {
                Kind::Gauge | Kind::Text => "gauge",
                Kind::Counter => "counter",
                Kind::Summary => "summary",
            };
            out += &format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
            out += &match value {
                Value::Integer(value) => format!("{name} {value}\n"),
                Value::Float(value) => format!("{name} {value}\n"),
                Value::Text(value) => format!("{name}{{value=\"{value}\"}} 1\n"),
                Value::Summary(SummaryValues { count, sum, .. }) => format!("{name}_count {count}\n{name}_sum {sum}\n"),
            };
        }
        out
    }

    #[test]
    fn the_table_is_all_that_an_exposition_needs() {
        let stats = Stats::new(2);
        stats.shards[0].connections.set(2);
        stats.shards[1].connections.set(3);
        stats.shards[0].read_latency.record(4);
        stats.shards[1].read_latency.record(5);
        let text = exposed(&scrape(&stats));
        for lines in [
            "# HELP server_state What the server is: standalone, leader, follower, observer or read-only.\n\
             # TYPE server_state gauge\nserver_state{value=\"standalone\"} 1\n",
            "# HELP num_alive_connections Connections of clients.\n# TYPE num_alive_connections gauge\n\
             num_alive_connections 5\n",
            "# TYPE packets_received counter\npackets_received 0\n",
            "# TYPE readlatency summary\nreadlatency_count 2\nreadlatency_sum 9\n",
        ] {
            assert!(text.contains(lines), "{text}");
        }
        assert!(!text.contains("max_file_descriptor_count") && !text.contains("learners"), "{text}");
    }

    #[test]
    fn every_row_is_whole() {
        let stats = Stats::new(1);
        for mode in Mode::ALL {
            stats.quorum.mode.store(mode as u8, Relaxed);
            for (metric, value) in metrics(&scrape(&stats)) {
                let is_its_kind = match value {
                    Value::Integer(_) => matches!(metric.kind, Kind::Gauge | Kind::Counter),
                    Value::Float(_) => metric.kind == Kind::Gauge,
                    Value::Summary(_) => metric.kind == Kind::Summary && metric.unit == Unit::Milliseconds,
                    Value::Text(_) => metric.kind == Kind::Text && metric.unit == Unit::Plain,
                };
                assert!(is_its_kind, "{}", metric.name);
            }
        }
        let mut names: Vec<_> = METRICS.iter().map(|metric| metric.name).collect();
        assert!(names.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')));
        assert!(METRICS.iter().all(|metric| metric.help.ends_with('.') && !metric.help.contains(['\\', '\n'])));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), METRICS.len(), "each name once");
    }
}
