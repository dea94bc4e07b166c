//! The answer to the word `conf`.

use super::ensemble::Ensemble;
use super::member::{MemberAddress, MemberRole};
use super::server_keys::Config;
use std::fmt::{self, Write as _};

impl Config {
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

impl Ensemble {
    /// The lines the word `conf` adds for members, in ZooKeeper's order.
    fn render(&self, line: &mut dyn FnMut(&str, &dyn fmt::Display)) {
        let own = &self.own;
        let ports = |port: fn(&MemberAddress) -> u16| {
            let ports: Vec<String> = own.addresses.iter().map(|address| port(address).to_string()).collect();
            ports.join("|")
        };
        line("initLimit", &self.settings.init_limit);
        line("syncLimit", &self.settings.sync_limit);
        line("electionAlg", &3);
        line("electionPort", &ports(|address| address.election_port));
        line("quorumPort", &ports(|address| address.quorum_port));
        line("peerType", &u8::from(own.role == MemberRole::Observer));
    }
}
