//! A server as a member of an ensemble: what its configuration means to the quorum brain and to the connections.

use super::data::{self, MemberData};
use super::peers::PeerOptions;
use super::transport::Security;
use crate::config::{Config, Ensemble, Settings};
use crate::fatal::{Fatal, Reason};
use crate::jute::quorum::PROTOCOL_SECRETS;
use crate::limits;
use crate::server::memory::Pot;
use crate::server::quorum::{EnsembleOptions, RoleSettings};
use crate::zab::election;
use crate::zab::links;
use crate::zab::voters::{self, Voters};
use std::sync::Arc;
use std::time::Duration;

/// So long a member looks for a leader at least before it serves reads (ZooKeeper 3.9, `QuorumPeer.run`).
const READ_ONLY_AFTER_MS: i64 = 2_000;

/// What the keys say of the roles.
fn roles(config: &Config, settings: &Settings) -> RoleSettings {
    let read_only_after_ms = READ_ONLY_AFTER_MS.max(i64::from(config.tick_time_ms));
    RoleSettings {
        history: data::history_limits(config, settings.commit_log_count),
        read_only_after_ms: config.read_only_mode.then_some(read_only_after_ms),
        settings: Arc::new(settings.clone()),
    }
}

/// What the quorum brain is told as a member.
pub(super) fn options(config: &Config, ensemble: &Ensemble, data: MemberData) -> Result<EnsembleOptions, Fatal> {
    let settings = &ensemble.settings;
    let voters = |membership: &crate::config::membership::Membership| {
        Voters::new(membership.clone()).map_err(|error| Fatal::new(Reason::BadConfig, error.to_string()))
    };
    let pending = ensemble.proposed.as_ref().map(voters).transpose()?;
    let addresses = ensemble.own.addresses.iter();
    let MemberData { epochs, history, has_database, secrets } = data;
    Ok(EnsembleOptions {
        id: ensemble.id,
        config: voters::Config::new(voters(&ensemble.membership)?, pending),
        election_addresses: addresses.map(|address| (address.host.clone(), address.election_port)).collect(),
        announces_all: settings.multi_address,
        standalone_enabled: settings.standalone_enabled,
        tick_ms: i64::from(config.tick_time_ms),
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
    })
}

/// What a member's connections are told: so many of them, and of this memory.
pub(crate) fn peer_options(
    config: &Config,
    ensemble: &Ensemble,
    (max_sockets, memory): (usize, Arc<Pot>),
    security: Security,
) -> PeerOptions {
    let settings = &ensemble.settings;
    let sync_ms = i64::from(config.tick_time_ms) * i64::from(settings.sync_limit);
    PeerOptions {
        connect_timeout: Duration::from_millis(u64::from(settings.election_connect_timeout_ms)),
        handshake_ms: settings.election_handshake_timeout_ms.map_or(sync_ms, i64::from),
        max_sockets,
        keep_alive: settings.tcp_keep_alive,
        security,
        snapshot_dir: config.data_dir.clone(),
        unsent: limits::learner_unsent(data::max_txn(config)),
        memory,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Profile;

    #[test]
    fn keys_reach_the_roles() {
        let config = Config { tick_time_ms: 2500, read_only_mode: true, ..Config::defaults(Profile::Small, 1) };
        let settings = Settings { commit_log_count: 60_000, max_diff_syncs: 20, ..Settings::default() };
        let roles = roles(&config, &settings);
        assert_eq!(*roles.settings, settings);
        assert_eq!((roles.history.count, roles.read_only_after_ms), (60_000, Some(2500)));
    }

    #[test]
    fn without_them_the_roles_are_as_usual() {
        let config = Config { tick_time_ms: 100, ..Config::defaults(Profile::Small, 1) };
        let never = roles(&config, &Settings::default());
        assert_eq!((never.history.count, never.read_only_after_ms), (50_000, None));
        let soon = roles(&Config { read_only_mode: true, ..config }, &Settings::default());
        assert_eq!(soon.read_only_after_ms, Some(2000));
    }
}
