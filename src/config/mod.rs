//! The configuration of a server: zoo.cfg, arguments and profiles made into one typed value.
//!
//! [`resolve`] is a pure function of the file's bytes, the arguments, the number of cores, and what it is handed
//! of the files beside it. It reports every mistake at once, or answers with a [`Config`] and what the operator
//! should be told. Which keys there are stands in [`keys`] and [`ensemble_keys`] (those acted on) and in
//! [`foreign`] (what is said to the others); who belongs to an ensemble is read by [`membership`].

mod assembly;
mod draft;
pub mod dynamic;
mod ensemble;
pub mod ensemble_keys;
#[cfg(test)]
mod field_tests;
pub mod foreign;
mod forgiven;
pub mod keys;
pub mod member;
pub mod membership;
mod mistake;
pub mod profile;
pub mod properties;
mod secret;
mod shapes;
#[cfg(test)]
mod tests;
mod value;

pub use draft::ReadFile;
pub use ensemble::{Ensemble, Present, Settings};
pub use mistake::{Mistake, Notice, Place};
pub use profile::Profile;
pub use secret::Secret;

use crate::ids::Zxid;
use member::ServerId;
use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

/// Everything a server needs to know before it starts. Times are in milliseconds and sizes in bytes unless
/// a name says otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where the values about speed came from, before single keys changed them.
    pub profile: Profile,
    /// Snapshots, identity and lock file. As it was written: relative to the working directory.
    pub data_dir: PathBuf,
    /// The transaction log; the same directory unless `dataLogDir` says otherwise.
    pub data_log_dir: PathBuf,
    /// Creates the directories when they are missing.
    pub create_data_dir: bool,
    /// Begins with an empty tree where there is no data; otherwise that is a reason not to start.
    pub create_database: bool,
    /// Goes on from a whole snapshot when the log behind it is missing.
    pub accept_log_loss: bool,
    /// What a member of an ensemble is told; `None`: a standalone server.
    pub ensemble: Option<Ensemble>,
    /// Reconfigurations are allowed; a standalone server has nothing to reconfigure, and says so.
    pub reconfig_enabled: bool,
    /// The id of a standalone server: that of `myid`, or of the line that is its own.
    pub lone_id: Option<ServerId>,

    pub client_address: ClientAddress,
    pub client_port: u16,
    /// `None`: the server chooses, see [`Config::listen_backlog`].
    pub client_port_listen_backlog: Option<u32>,
    /// SO_KEEPALIVE on client connections.
    pub client_tcp_keep_alive: bool,
    /// Connections from one IP address; 0: no limit.
    pub max_client_cnxns: u32,
    /// Connections from everywhere; 0: no limit.
    pub max_cnxns: u32,
    /// In this time a new connection must have got its session.
    pub connect_timeout_ms: u32,
    /// The longest frame that is read from a client (`jute.maxbuffer`).
    pub max_buffer: u32,
    /// Writes under way in the whole server above which connections with writes of their own are not read.
    pub global_outstanding_limit: u32,
    /// Bytes of memory that are shared out; `None`: three quarters of what the server may use.
    pub memory_limit: Option<u64>,
    /// Unsent bytes of one connection behind which nothing more may wait. Default 16 MiB: the replies to sixteen of
    /// the largest requests, so that only a client that does not read reaches it.
    pub output_limit: usize,
    /// Watches of one connection. Default a million: with paths of 30 bytes they take 140 MB, more than any client has
    /// use for and less than a server dies of.
    pub max_watches: u32,
    /// Bytes of all watches; `None`: their share of the memory limit. In 1 GiB some seven millions with paths of their own
    /// have room.
    pub max_watch_bytes: Option<usize>,

    pub tick_time_ms: u32,
    pub min_session_timeout_ms: i32,
    pub max_session_timeout_ms: i32,

    /// Snapshots to keep, at least 3; `None`: all.
    pub snap_retain: Option<u32>,
    /// Transactions after which a snapshot is due (drawn between half of it and all).
    pub snap_count: u32,
    /// Bytes of log after which a snapshot is due (drawn likewise); `None`: no matter how much.
    pub snap_size_limit: Option<u64>,
    /// Size of one log file.
    pub log_segment_bytes: u64,
    /// A write of the log that takes longer is logged as slow.
    pub fsync_warning_ms: u32,

    /// Time-to-live znodes are allowed.
    pub extended_types: bool,
    /// Time-to-live znodes as 3.5.3 encoded them.
    pub emulate_353_ttl: bool,
    pub container_check_interval_ms: u32,
    pub container_max_per_minute: u32,
    /// 0: a container that never had a child stays.
    pub container_max_never_used_ms: u32,
    pub enforce_quota: bool,
    pub skip_acl: bool,
    /// Keeps the tree's digest and compares it with the log's.
    pub digest_enabled: bool,
    /// Clients may authenticate by the scheme digest.
    pub digest_scheme: bool,
    /// How that scheme hashes `user:password`.
    pub digest_algorithm: DigestAlgorithm,
    /// `user:base64(hash(user:password))` of the user who may do everything.
    pub super_digest: Option<Secret<String>>,
    /// Connections without an identity of one of these schemes (digest, ip) are not served; empty: all are.
    pub enforced_auth_schemes: Vec<String>,

    /// The whitelist as written: names between commas, or `*`. `srvr` is answered in any case.
    pub four_letter_words: Vec<String>,
    /// A member without a quorum serves reads, and `isro` is answered whatever the whitelist says.
    pub read_only_mode: bool,

    /// Shard threads; 0: one thread does everything. See [`Config::edge`].
    pub shards: u16,
    pub pin_threads: bool,
    /// How long a thread without work looks for some before it sleeps, microseconds.
    pub spin_us: u32,
    /// How long a write waits for company when no disk write is under way, microseconds.
    pub group_commit_delay_us: u32,
    /// SO_SNDBUF of client connections; 0: left alone.
    pub socket_send_buffer: u32,
    /// SO_RCVBUF of client connections; 0: left alone.
    pub socket_receive_buffer: u32,
    /// 10^6 bytes per second; 0: no limit.
    pub snapshot_mb_per_s: u32,
    /// Locks the process's memory, so that none of it is swapped.
    pub lock_memory: bool,
    /// Bytes of memory kept ready for a growing tree; 0: none.
    pub memory_ahead: usize,
    /// Whether the tree may lie in huge pages.
    pub huge_pages: bool,
    /// Threads that read and check snapshot and log at a start.
    pub load_threads: u16,
    /// The counter of an epoch's last transaction.
    pub last_counter: u32,

    pub log_format: LogFormat,
}

/// Where clients are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAddress {
    /// On every address of the machine: `[::]` for both families, or 0.0.0.0 where the kernel has no IPv6.
    Any,
    /// On this one.
    Ip(IpAddr),
    /// On the address this name resolves to when the server binds.
    Name(String),
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientAddress::Any => f.write_str("*"),
            ClientAddress::Ip(address) => write!(f, "{address}"),
            ClientAddress::Name(name) => f.write_str(name),
        }
    }
}

/// The two ways to wire a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// One thread, one loop: client sockets and log in the same ring.
    OneThread,
    /// So many shard threads beside the quorum core's own.
    Shards(u16),
}

/// The hash of the scheme digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestAlgorithm {
    /// What all ACLs hold that were made by a ZooKeeper nobody has told otherwise.
    Sha1,
    Sha256,
    Sha512,
}

/// The shape of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// A configuration file as it was read.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// What mistakes call it: the path as the operator wrote it.
    pub name: &'a str,
    pub bytes: &'a [u8],
}

/// What the command line says; it comes before the file. Text as it was given: it is looked at with the
/// file, so that the mistakes of both are reported together.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    pub data_dir: Option<PathBuf>,
    pub client_port: Option<String>,
    pub client_address: Option<String>,
    pub profile: Option<String>,
    pub shards: Option<String>,
    pub log_format: Option<String>,
}

impl Overrides {
    /// (argument, key, value) of those given.
    fn listed(&self) -> impl Iterator<Item = (&'static str, &'static str, &str)> {
        [
            ("--client-port", "clientPort", &self.client_port),
            ("--client-address", "clientPortAddress", &self.client_address),
            ("--profile", "corral.profile", &self.profile),
            ("--shards", "corral.shards", &self.shards),
            ("--log-format", "corral.logFormat", &self.log_format),
        ]
        .into_iter()
        .filter_map(|(argument, key, value)| value.as_deref().map(|value| (argument, key, value)))
    }
}

/// Makes a configuration out of a file, arguments and the number of cores, or says everything that is wrong
/// with them, in the order of the file. Reads what `read` hands it of the files a member of an ensemble has
/// (`dynamicConfigFile`, what is proposed beside it, `myid`), and writes nothing.
pub fn resolve(
    file: Option<&Source<'_>>,
    overrides: &Overrides,
    cores: usize,
    read: ReadFile<'_>,
) -> Result<(Config, Vec<Notice>), Vec<Mistake>> {
    draft::resolve(file, overrides, cores, read)
}

impl Config {
    /// What holds when nothing is said: 127.0.0.1:2181, data in ./corral-data.
    pub fn defaults(profile: Profile, cores: usize) -> Config {
        let values = profile.values(cores);
        Config {
            profile,
            data_dir: "./corral-data".into(),
            data_log_dir: "./corral-data".into(),
            create_data_dir: true,
            create_database: true,
            accept_log_loss: false,
            ensemble: None,
            reconfig_enabled: false,
            lone_id: None,
            client_address: ClientAddress::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            client_port: 2181,
            client_port_listen_backlog: None,
            client_tcp_keep_alive: false,
            max_client_cnxns: 60,
            max_cnxns: 0,
            connect_timeout_ms: 10_000,
            max_buffer: 0xf_ffff,
            global_outstanding_limit: 1000,
            memory_limit: None,
            output_limit: 16 << 20,
            max_watches: 1_000_000,
            max_watch_bytes: None,
            tick_time_ms: 3000,
            min_session_timeout_ms: 6000,
            max_session_timeout_ms: 60_000,
            snap_retain: Some(3),
            snap_count: 100_000,
            snap_size_limit: Some(4 << 30),
            log_segment_bytes: values.log_segment_bytes,
            fsync_warning_ms: 1000,
            extended_types: false,
            emulate_353_ttl: false,
            container_check_interval_ms: 60_000,
            container_max_per_minute: 10_000,
            container_max_never_used_ms: 0,
            enforce_quota: false,
            skip_acl: false,
            digest_enabled: true,
            digest_scheme: true,
            digest_algorithm: DigestAlgorithm::Sha1,
            super_digest: None,
            enforced_auth_schemes: Vec::new(),
            four_letter_words: Vec::new(),
            read_only_mode: false,
            shards: values.shards,
            pin_threads: values.pin_threads,
            spin_us: values.spin_us,
            group_commit_delay_us: values.group_commit_delay_us,
            socket_send_buffer: values.socket_send_buffer,
            socket_receive_buffer: values.socket_receive_buffer,
            snapshot_mb_per_s: values.snapshot_mb_per_s,
            lock_memory: values.lock_memory,
            memory_ahead: values.memory_ahead,
            huge_pages: values.huge_pages,
            load_threads: values.load_threads,
            last_counter: Zxid::LAST_COUNTER,
            log_format: LogFormat::Text,
        }
    }

    /// How the server is wired.
    pub fn edge(&self) -> Edge {
        match self.shards {
            0 => Edge::OneThread,
            shards => Edge::Shards(shards),
        }
    }

    /// Connections that may wait to be accepted.
    pub fn listen_backlog(&self) -> u32 {
        // ZooKeeper's 50 makes the clients of a failed server wait out their SYN retries when they all
        // come at once.
        self.client_port_listen_backlog.unwrap_or(1024)
    }

    /// The configuration of a server that runs: where its clients are served now, and what its ensemble is.
    pub fn as_of(&self, client_port: u16, present: Option<Present>) -> Config {
        let mut config = Config { client_port, ..self.clone() };
        if let (Some(ensemble), Some(Present { own, membership })) = (&mut config.ensemble, present) {
            (ensemble.own, ensemble.membership) = (own, membership);
        }
        config
    }

    /// The answer to the word `conf`: ZooKeeper's lines in its order, then Corral's own, then the membership of
    /// an ensemble. The sizes are those of the two directories, in bytes.
    pub fn render(&self, data_dir_size: u64, log_dir_size: u64) -> String {
        let mut out = String::new();
        let mut line = |key: &str, value: &dyn fmt::Display| {
            writeln!(out, "{key}={value}").expect("a string takes everything");
        };
        line("clientPort", &self.client_port);
        line("secureClientPort", &-1);
        line("dataDir", &self.data_dir.display());
        line("dataDirSize", &data_dir_size);
        line("dataLogDir", &self.data_log_dir.display());
        line("dataLogSize", &log_dir_size);
        line("tickTime", &self.tick_time_ms);
        line("maxClientCnxns", &self.max_client_cnxns);
        line("minSessionTimeout", &self.min_session_timeout_ms);
        line("maxSessionTimeout", &self.max_session_timeout_ms);
        line("clientPortListenBacklog", &self.client_port_listen_backlog.map_or(-1, i64::from));
        line("serverId", &self.ensemble.as_ref().map_or(0, |ensemble| ensemble.id.0));
        if let Some(ensemble) = &self.ensemble {
            ensemble.render(&mut line);
        }
        line("corral.profile", &self.profile);
        line("corral.shards", &self.shards);
        line("corral.pinThreads", &self.pin_threads);
        line("corral.spinMicros", &self.spin_us);
        line("corral.groupCommitDelayMicros", &self.group_commit_delay_us);
        line("corral.socketSendBuffer", &self.socket_send_buffer);
        line("corral.socketReceiveBuffer", &self.socket_receive_buffer);
        line("corral.maxSnapshotMBps", &self.snapshot_mb_per_s);
        line("corral.lockMemory", &self.lock_memory);
        line("corral.memoryAheadMB", &(self.memory_ahead >> 20));
        line("corral.hugePages", &self.huge_pages);
        line("corral.loadThreads", &self.load_threads);
        if let Some(limit) = &self.memory_limit {
            line("corral.memoryLimit", limit);
        }
        line("corral.outputLimit", &self.output_limit);
        line("corral.maxWatches", &self.max_watches);
        if let Some(bytes) = &self.max_watch_bytes {
            line("corral.maxWatchBytes", bytes);
        }
        line("corral.connectTimeout", &self.connect_timeout_ms);
        if let Some(ensemble) = &self.ensemble {
            // As ZooKeeper writes it, with the space.
            writeln!(out, "membership: \n{}", ensemble.membership).expect("a string takes everything");
        }
        out
    }
}
