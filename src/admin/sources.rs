//! What the admin plane knows about a running server without a request to the server's threads.

use super::facts::{DirectorySizes, ServerFacts};
use super::{LOG_LINES_LEFT_OUT, VERSION, machine, words};
use crate::config::Config;
use crate::server::stats::{Process, Scrape, Stats};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Instant;

/// The size of the tree.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TreeSize {
    /// The number of znodes; the root counts once.
    pub znodes: u64,
    /// The sum of the lengths of all paths and data, bytes.
    pub data_bytes: u64,
}

impl TreeSize {
    /// The number of znodes as ZooKeeper counts: it keeps the root under two names, and counts both.
    fn znodes(self) -> u64 {
        self.znodes + 1
    }
}

/// The sources of answers: the configuration, the counters, and the tree's size.
pub struct Sources {
    /// What the server was started with.
    pub config: Arc<Config>,
    /// What shards and quorum core count.
    pub stats: Arc<Stats>,
    started: Instant,
    tree_size: Box<dyn Fn() -> TreeSize + Send + Sync>,
    /// Without effect on tracing; kept because `stmk` sets it and `gtmk` returns it.
    pub trace_mask: AtomicI64,
}

impl Sources {
    /// The sources of a server that has `started` with this configuration; `tree_size` reads the tree's size.
    pub(crate) fn new(
        config: Arc<Config>,
        stats: Arc<Stats>,
        started: Instant,
        tree_size: Box<dyn Fn() -> TreeSize + Send + Sync>,
    ) -> Sources {
        Sources { config, stats, started, tree_size, trace_mask: AtomicI64::new(words::DEFAULT_TRACE_MASK) }
    }

    /// The facts that `srvr` and `stat` print.
    pub(crate) fn server_facts(&self) -> ServerFacts {
        let (stats, quorum) = (&self.stats, &self.stats.quorum);
        let proposal_sizes = (quorum.last_proposal.value(), quorum.min_proposal.value(), quorum.max_proposal.value());
        ServerFacts {
            latency: stats.measured(|shard| &shard.latency),
            packets_received: stats.sum(|shard| &shard.received),
            packets_sent: stats.sum(|shard| &shard.sent),
            connections: stats.sum(|shard| &shard.connections),
            outstanding: stats.sum(|shard| &shard.outstanding),
            zxid: stats.zxid(),
            mode: quorum.mode(),
            proposal_sizes: Some(proposal_sizes).filter(|(last, ..)| *last > 0),
            znodes: (self.tree_size)().znodes(),
        }
    }

    /// The counters and the process's state from which metrics are read.
    pub(crate) fn scrape(&self) -> Scrape<'_> {
        let tree = (self.tree_size)();
        let process = Process {
            version: VERSION,
            uptime_ms: self.started.elapsed().as_millis() as u64,
            open_files: machine::open_files(),
            max_files: machine::max_files(),
            znodes: tree.znodes(),
            data_bytes: tree.data_bytes,
            log_lines_left_out: LOG_LINES_LEFT_OUT.load(Relaxed),
        };
        Scrape::new(&self.stats, process)
    }

    /// The present configuration: the client port and the members may have changed since the start.
    pub(crate) fn current_config(&self) -> Config {
        let client_port = match self.stats.client_port.load(Relaxed) {
            0 => self.config.client_port,
            port => port,
        };
        let present = self.stats.quorum.present.lock().expect("no holder panics").clone();
        self.config.as_of(client_port, present)
    }

    /// The sizes of the data directory and the log directory.
    pub(crate) fn directory_sizes(&self) -> DirectorySizes {
        machine::directory_sizes(&self.config.data_dir, &self.config.data_log_dir)
    }
}
