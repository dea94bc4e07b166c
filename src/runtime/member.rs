//! A server as a member of an ensemble: what its configuration means to the quorum brain and to the connections.

use super::data::{self, MemberData};
use super::peers::PeerOptions;
use super::security::Security;
use crate::config::{Config, Ensemble};
use crate::fatal::{Fatal, Reason};
use crate::jute::quorum::PROTOCOL_SECRETS;
use crate::limits;
use crate::server::memory::Pot;
use crate::server::quorum::EnsembleOptions;
use crate::zab::voters::{self, Voters};
use std::sync::Arc;
use std::time::Duration;

/// What the quorum brain is told as a member.
pub(super) fn options(config: &Config, ensemble: &Ensemble, data: MemberData) -> Result<EnsembleOptions, Fatal> {
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
        settings: ensemble.settings.clone(),
        epochs,
        history,
        history_limits: data::history_limits(config, &ensemble.settings),
        has_database,
        max_packet: data::max_txn(config),
        secrets,
        protocol: PROTOCOL_SECRETS,
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
    let sync_ms = config.tick_ms() * i64::from(settings.sync_limit);
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
    use crate::config::Settings;

    #[test]
    fn as_many_transactions_are_kept_as_was_said_and_not_too_few() {
        let count = |commit_log_count| {
            let settings = Settings { commit_log_count, ..Settings::default() };
            data::history_limits(&Config::default(), &settings).count
        };
        assert_eq!((count(60_000), count(500)), (60_000, 50_000));
    }
}
