//! What a member of an ensemble is told by its configuration: who belongs to it, which of them this server is,
//! and the values of [`super::ensemble_keys`]. How that is put together and checked stands in
//! [`super::assembly`].

use super::member::{Member, MemberAddress, MemberRole, ServerId};
use super::membership::Membership;
use super::secret::Secret;
use std::fmt;
use std::path::PathBuf;

/// What a member needs to know beyond what every server does.
#[derive(Clone, Debug, PartialEq)]
pub struct Ensemble {
    /// This server, a member.
    pub id: ServerId,
    /// Its line.
    pub own: Member,
    /// As the file says it; see [`Present`] for what comes after it.
    pub membership: Membership,
    /// What `<file>.dynamic.next` holds: a reconfiguration this server has logged and not seen activated.
    pub proposed: Option<Membership>,
    /// The configuration file, rewritten when the ensemble is reconfigured. As it was written.
    pub config_file: PathBuf,
    /// Where `membership` stands, when not in that file. As it was written.
    pub dynamic_config_file: Option<PathBuf>,
    pub settings: Settings,
}

/// The values of [`super::ensemble_keys`]. Limits are in ticks, times in milliseconds, sizes in bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// In an [`Ensemble`] at least 1, like `sync_limit`.
    pub init_limit: u32,
    pub sync_limit: u32,
    /// Ticks in which a connection to the leader must stand; `None`: `init_limit`.
    pub connect_limit: Option<i64>,
    pub standalone_enabled: bool,
    pub reconfig_enabled: bool,
    pub listen_on_all_addresses: bool,
    /// The operator trusts the network between the servers.
    pub insecure_quorum: bool,
    /// `None`: session passwords are made under what the members agree on.
    pub session_secret: Option<Secret<String>>,
    /// ZooKeepers are to join: new sessions get passwords that they know.
    pub zookeeper_passwords: bool,
    pub leader_serves: bool,
    /// `None`: a leader stays, however slow its disk.
    pub slow_write_ms: Option<i64>,
    pub local_sessions: bool,
    pub local_session_upgrading: bool,
    /// `None`: observers follow the leader.
    pub observer_master_port: Option<u16>,
    pub observer_master_bytes: u32,
    pub observer_reconnect_delay_ms: i64,
    pub observer_election_delay_ms: i64,
    pub observer_keeps_log: bool,
    /// At least 500.
    pub commit_log_count: u32,
    /// From 0 to 1; `None`: the log on disk is never sent.
    pub snapshot_size_factor: Option<f64>,
    pub force_snapshot: bool,
    pub max_snapshot_syncs: usize,
    pub max_diff_syncs: usize,
    /// `None`: `init_limit` ticks.
    pub gather_ms: Option<i64>,
    pub leader_connect_delay_ms: i64,
    pub min_notification_ms: u32,
    pub max_notification_ms: u32,
    pub election_connect_timeout_ms: u32,
    /// `None`: `sync_limit` ticks.
    pub election_handshake_timeout_ms: Option<u32>,
    /// `None`: for ever.
    pub election_bind_retries: Option<u32>,
    pub multi_address: bool,
    pub check_reachability: bool,
    pub reachability_timeout_ms: u32,
    pub tcp_keep_alive: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            init_limit: 0,
            sync_limit: 0,
            connect_limit: None,
            standalone_enabled: true,
            reconfig_enabled: false,
            listen_on_all_addresses: false,
            insecure_quorum: false,
            session_secret: None,
            zookeeper_passwords: false,
            leader_serves: true,
            slow_write_ms: Some(4000),
            local_sessions: false,
            local_session_upgrading: false,
            observer_master_port: None,
            observer_master_bytes: 32 << 20,
            observer_reconnect_delay_ms: 0,
            observer_election_delay_ms: 200,
            observer_keeps_log: true,
            commit_log_count: 500,
            snapshot_size_factor: Some(0.33),
            force_snapshot: false,
            max_snapshot_syncs: 10,
            max_diff_syncs: 100,
            gather_ms: None,
            leader_connect_delay_ms: 100,
            min_notification_ms: 200,
            max_notification_ms: 60_000,
            election_connect_timeout_ms: 5000,
            election_handshake_timeout_ms: None,
            election_bind_retries: Some(3),
            multi_address: false,
            check_reachability: true,
            reachability_timeout_ms: 1000,
            tcp_keep_alive: false,
        }
    }
}

impl Settings {
    /// How long an observer waits at most before it looks for a leader again, ms: voters first.
    pub fn observer_delay_ms(&self) -> i64 {
        self.observer_election_delay_ms + self.observer_reconnect_delay_ms
    }

    /// The keys that ask for something this version does not do, and what it does instead. Nothing that was agreed on
    /// depends on any of them, so a server starts without. Some mean something for those that do not vote.
    pub(super) fn without_effect(&self, votes: bool) -> Vec<(&'static str, &'static str)> {
        let usual = Settings::default();
        [
            (
                "observerMasterPort",
                votes && self.observer_master_port.is_some(),
                "it takes in no observers here; they ask another voter, or the leader",
            ),
            (
                "observerMaster.sizeLimit",
                self.observer_master_bytes != usual.observer_master_bytes,
                "nothing is kept for observers",
            ),
            ("syncEnabled", !self.observer_keeps_log, "an observer keeps its log and snapshots"),
            (
                "multiAddress.reachabilityCheckEnabled",
                !self.check_reachability,
                "of several addresses the first that answers is used",
            ),
            (
                "multiAddress.reachabilityCheckTimeoutMs",
                self.reachability_timeout_ms != usual.reachability_timeout_ms,
                "the addresses of a server share cnxTimeout",
            ),
        ]
        .into_iter()
        .filter_map(|(key, asked, instead)| asked.then_some((key, instead)))
        .collect()
    }
}

/// What a running member acts by, which reconfigurations make another thing than what its files said at the start.
#[derive(Clone, Debug, PartialEq)]
pub struct Present {
    /// This server's line, its last one if it belongs to the ensemble no more.
    pub own: Member,
    pub membership: Membership,
}

impl Ensemble {
    /// The lines the word `conf` adds for members, in ZooKeeper's order.
    pub(super) fn render(&self, line: &mut dyn FnMut(&str, &dyn fmt::Display)) {
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
