//! What is known about a running server at any time, without a question to its parts.

use super::facts::{DirectorySizes, ServerFacts};
use super::{LOG_LINES_LEFT_OUT, VERSION, machine, words};
use crate::config::Config;
use crate::server::stats::{Process, Scrape, Stats};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Instant;

/// How much there is in the tree.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TreeSize {
    /// The root once.
    pub znodes: u64,
    /// Lengths of paths and data together.
    pub data_bytes: u64,
}

/// What answers are made from.
pub struct Sources {
    pub config: Arc<Config>,
    pub stats: Arc<Stats>,
    started: Instant,
    tree: Box<dyn Fn() -> TreeSize + Send + Sync>,
    /// Nothing is traced by it; it is kept because `stmk` sets it and `gtmk` tells it.
    pub trace_mask: AtomicI64,
}

impl Sources {
    /// Of a server that has `started` with this configuration.
    pub(crate) fn new(
        config: Arc<Config>,
        stats: Arc<Stats>,
        started: Instant,
        tree: Box<dyn Fn() -> TreeSize + Send + Sync>,
    ) -> Sources {
        Sources { config, stats, started, tree, trace_mask: AtomicI64::new(words::TRACE_MASK) }
    }

    /// What `srvr` says.
    pub(crate) fn server(&self) -> ServerFacts {
        let (stats, quorum) = (&self.stats, &self.stats.quorum);
        let proposals = (quorum.last_proposal.value(), quorum.min_proposal.value(), quorum.max_proposal.value());
        ServerFacts {
            latency: stats.measured(|shard| &shard.latency),
            packets_received: stats.sum(|shard| &shard.received),
            packets_sent: stats.sum(|shard| &shard.sent),
            connections: stats.sum(|shard| &shard.connections),
            outstanding: stats.sum(|shard| &shard.outstanding),
            zxid: stats.zxid(),
            mode: quorum.mode(),
            proposals: Some(proposals).filter(|(last, ..)| *last > 0),
            znodes: self.znodes(),
        }
    }

    /// What metrics are read from.
    pub(crate) fn scrape(&self) -> Scrape<'_> {
        let process = Process {
            version: VERSION,
            uptime_ms: self.started.elapsed().as_millis() as u64,
            open_files: machine::open_files(),
            max_files: machine::max_files(),
            znodes: self.znodes(),
            data_bytes: (self.tree)().data_bytes,
            log_lines_left_out: LOG_LINES_LEFT_OUT.load(Relaxed),
        };
        Scrape { stats: &self.stats, process }
    }

    /// ZooKeeper keeps the root under two names and counts both.
    fn znodes(&self) -> u64 {
        (self.tree)().znodes + 1
    }

    /// The configuration as it is now: ports and members may be others than at the start.
    pub(crate) fn present(&self) -> Config {
        let client_port = match self.stats.client_port.load(Relaxed) {
            0 => self.config.client_port,
            port => port,
        };
        let present = self.stats.quorum.present.lock().expect("no holder panics").clone();
        self.config.as_of(client_port, present)
    }

    /// Bytes in the two directories.
    pub(crate) fn sizes(&self) -> DirectorySizes {
        machine::directory_sizes(&self.config.data_dir, &self.config.data_log_dir)
    }
}
