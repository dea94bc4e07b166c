//! A server as a member of an ensemble: what its configuration means to the quorum brain and to the connections.

use super::data::{self, MemberData};
use super::peers::{PeerOptions, Peers, Port};
use super::wake::Wake;
use crate::config::{Config, Ensemble};
use crate::fatal::{Fatal, Reason};
use crate::server::quorum::{EnsembleOptions, Quorum, RoleSettings};
use crate::session::Passwords;
use crate::zab::election;
use crate::zab::links;
use crate::zab::voters::{self, Voters};
use sha2::{Digest, Sha256};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

/// Under what sessions' passwords are made: a client that moves to another member shows the same one there.
pub fn passwords(ensemble: &Ensemble) -> Passwords {
    match &ensemble.settings.session_secret {
        Some(secret) => Passwords::Secret(Sha256::digest(secret.reveal().as_bytes()).into()),
        None => Passwords::ZooKeeper,
    }
}

/// Makes the brain a member, and its connections.
pub fn join(
    config: &Config,
    ensemble: &Ensemble,
    data: MemberData,
    listeners: Vec<(Port, TcpListener)>,
    quorum: &mut Quorum,
    wake: Arc<Wake>,
) -> Result<Peers, Fatal> {
    let settings = &ensemble.settings;
    let voters = |membership: &crate::config::membership::Membership| {
        Voters::new(membership.clone()).map_err(|problem| Fatal::new(Reason::BadConfig, problem))
    };
    let pending = ensemble.proposed.as_ref().map(voters).transpose()?;
    let tick_ms = i64::from(config.tick_time_ms);
    let addresses = ensemble.own().addresses.iter();
    let MemberData { epochs, history, has_database } = data;
    quorum.join(EnsembleOptions {
        id: ensemble.id,
        config: voters::Config::new(voters(&ensemble.membership)?, pending),
        election_addresses: addresses.map(|address| (address.host.clone(), address.election_port)).collect(),
        announces_all: settings.multi_address,
        standalone_enabled: settings.standalone_enabled,
        tick_ms,
        init_limit: i64::from(settings.init_limit),
        sync_limit: i64::from(settings.sync_limit),
        epochs,
        history,
        has_database,
        election: election::Settings {
            min_notification_interval_ms: i64::from(settings.min_notification_ms),
            max_notification_interval_ms: i64::from(settings.max_notification_ms),
            adopt_configs: settings.reconfig_enabled,
            ..election::Settings::default()
        },
        links: links::Settings::default(),
        max_packet: data::max_txn(config),
        roles: RoleSettings {
            history: data::history_limits(settings.commit_log_count),
            snapshot_size_factor: settings.snapshot_size_factor,
            force_snapshot: settings.force_snapshot_sync,
            max_snapshot_syncs: settings.max_snapshot_syncs as usize,
            max_diff_syncs: settings.max_diff_syncs as usize,
            leader_connect_delay_ms: i64::from(settings.leader_connect_delay_ms),
            observer_delay_ms: i64::from(settings.observer_election_delay_ms),
            ..RoleSettings::default()
        },
    });
    let sync_ms = tick_ms * i64::from(settings.sync_limit);
    let options = PeerOptions {
        connect_timeout: Duration::from_millis(u64::from(settings.election_connect_timeout_ms)),
        handshake_ms: settings.election_handshake_timeout_ms.map_or(sync_ms, i64::from),
        keep_alive: settings.tcp_keep_alive,
        snapshot_dir: config.data_dir.clone(),
    };
    Peers::new(options, listeners, wake)
}
