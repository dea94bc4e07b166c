//! A server as a member of an ensemble: what its configuration means to the quorum brain and to the connections.

use super::data::{self, MemberData};
use super::peers::{PeerOptions, Peers};
use super::ports::{Mover, Open};
use super::wake::Wake;
use crate::config::{Config, Ensemble, Settings};
use crate::fatal::{Fatal, Reason};
use crate::jute::quorum::PROTOCOL_SECRETS;
use crate::limits;
use crate::server::memory::Pot;
use crate::server::quorum::{EnsembleOptions, Quorum, RoleSettings};
use crate::zab::election;
use crate::zab::links;
use crate::zab::voters::{self, Voters};
use std::sync::Arc;
use std::time::Duration;

/// So long a member looks for a leader at least before it serves reads (ZooKeeper 3.9, `QuorumPeer.run`).
const READ_ONLY_AFTER_MS: i64 = 2_000;

/// What the keys say of the roles.
fn roles(config: &Config, settings: &Settings) -> RoleSettings {
    let observer_delays_ms = [settings.observer_election_delay_ms, settings.observer_reconnect_delay_ms];
    let read_only_after_ms = READ_ONLY_AFTER_MS.max(i64::from(config.tick_time_ms));
    RoleSettings {
        history: data::history_limits(config, settings.commit_log_count),
        snapshot_size_factor: settings.snapshot_size_factor,
        force_snapshot: settings.force_snapshot_sync,
        max_snapshot_syncs: settings.max_snapshot_syncs as usize,
        max_diff_syncs: settings.max_diff_syncs as usize,
        leader_connect_delay_ms: i64::from(settings.leader_connect_delay_ms),
        observer_master_port: settings.observer_master_port,
        observer_delay_ms: observer_delays_ms.map(i64::from).iter().sum(),
        slow_write_ms: settings.leader_slow_write_ms.map(i64::from),
        connect_limit: Some(i64::from(settings.connect_ticks())),
        gather_ms: settings.epoch_wait_ms.map(i64::from),
        leader_serves: settings.leader_serves,
        read_only_after_ms: config.read_only_mode.then_some(read_only_after_ms),
        local_sessions: settings.local_sessions,
        local_session_upgrading: settings.local_session_upgrading,
    }
}

/// Makes the brain a member, and its connections.
pub fn join(
    config: &Config,
    ensemble: &Ensemble,
    data: MemberData,
    ports: (Vec<Open>, Mover),
    quorum: &mut Quorum,
    wake: Arc<Wake>,
    (max_sockets, memory): (usize, Arc<Pot>),
) -> Result<Peers, Fatal> {
    let settings = &ensemble.settings;
    let voters = |membership: &crate::config::membership::Membership| {
        Voters::new(membership.clone()).map_err(|problem| Fatal::new(Reason::BadConfig, problem))
    };
    let pending = ensemble.proposed.as_ref().map(voters).transpose()?;
    let tick_ms = i64::from(config.tick_time_ms);
    let addresses = ensemble.own.addresses.iter();
    let MemberData { epochs, history, has_database, secrets } = data;
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
        super_digest: config.super_digest.clone(),
        secrets,
        protocol: PROTOCOL_SECRETS,
        roles: roles(config, settings),
    });
    let sync_ms = tick_ms * i64::from(settings.sync_limit);
    let options = PeerOptions {
        connect_timeout: Duration::from_millis(u64::from(settings.election_connect_timeout_ms)),
        handshake_ms: settings.election_handshake_timeout_ms.map_or(sync_ms, i64::from),
        max_sockets,
        keep_alive: settings.tcp_keep_alive,
        snapshot_dir: config.data_dir.clone(),
        unsent: limits::learner_unsent(data::max_txn(config)),
        memory,
    };
    Peers::new(options, ports, wake)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Profile;

    #[test]
    fn keys_reach_the_roles() {
        let config = Config { tick_time_ms: 2500, read_only_mode: true, ..Config::defaults(Profile::Small, 1) };
        let settings = Settings {
            init_limit: 10,
            connect_limit: Some(3),
            leader_serves: false,
            leader_slow_write_ms: Some(700),
            observer_election_delay_ms: 200,
            observer_reconnect_delay_ms: 500,
            observer_master_port: Some(2889),
            epoch_wait_ms: Some(900),
            leader_connect_delay_ms: 50,
            commit_log_count: 60_000,
            snapshot_size_factor: None,
            force_snapshot_sync: true,
            max_snapshot_syncs: 2,
            max_diff_syncs: 20,
            local_sessions: true,
            ..Settings::default()
        };
        let roles = roles(&config, &settings);
        assert_eq!((roles.connect_limit, roles.gather_ms, roles.leader_serves), (Some(3), Some(900), false));
        assert_eq!((roles.slow_write_ms, roles.observer_delay_ms), (Some(700), 700));
        assert_eq!(roles.observer_master_port, Some(2889));
        assert_eq!((roles.leader_connect_delay_ms, roles.history.count), (50, 60_000));
        assert_eq!((roles.snapshot_size_factor, roles.force_snapshot), (None, true));
        assert_eq!((roles.max_snapshot_syncs, roles.max_diff_syncs), (2, 20));
        assert_eq!(roles.read_only_after_ms, Some(2500));
        assert_eq!((roles.local_sessions, roles.local_session_upgrading), (true, false));
    }

    #[test]
    fn without_them_the_roles_are_as_usual() {
        let config = Config { tick_time_ms: 100, ..Config::defaults(Profile::Small, 1) };
        let settings = Settings { init_limit: 10, leader_slow_write_ms: None, ..Settings::default() };
        let never = roles(&config, &settings);
        assert_eq!((never.slow_write_ms, never.read_only_after_ms), (None, None));
        assert_eq!((never.connect_limit, never.gather_ms, never.leader_serves), (Some(10), None, true));
        let allowed = Settings { local_session_upgrading: true, ..settings.clone() };
        assert!(roles(&config, &allowed).local_session_upgrading && !never.local_sessions);
        let soon = roles(&Config { read_only_mode: true, ..config }, &settings);
        assert_eq!(soon.read_only_after_ms, Some(2000));
    }
}
