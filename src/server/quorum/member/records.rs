//! The files that hold a member's configuration: which changes have reached them, and which configuration holds at a
//! start.

use crate::ids::Zxid;
use crate::server::quorum::core::Core;
use crate::tree::path::CONFIG;
use crate::zab::voters::{Config, Member, ServerId, Voters};

/// Which changes have reached the files, and what waits for the files.
#[derive(Debug, Default)]
pub(crate) struct Records {
    /// The number of the last [`Record::Config`], and (`written`) of the last one that is in the files.
    pub asked: u64,
    pub written: u64,
    /// The reconfiguration that this leader proposed, until the files have it.
    pub unwritten: Option<Zxid>,
    /// The server that is to lead under the new configuration, and the zxid of that configuration's transaction: the
    /// next election begins with this server.
    pub designated: Option<(ServerId, Zxid)>,
    /// This server's line in the last agreed configuration that had one; `None`: the line in the configuration of the
    /// start.
    pub own: Option<Member>,
}

impl Records {
    pub(crate) fn is_written(&self) -> bool {
        self.written == self.asked
    }

    /// Up to which zxid this leader may count its own log, which is durable up to `zxid`, as acknowledged.
    pub(crate) fn acknowledgeable(&self, zxid: Zxid) -> Zxid {
        self.unwritten.map_or(zxid, |first| zxid.min(Zxid(first.0 - 1)))
    }
}

/// The configuration at a start, from the files and the log. A reconfiguration is durable in the log a moment before it
/// is in the files. A server that crashed in between treats it as proposed; otherwise a leader with this log would
/// commit the reconfiguration while it acts by the old configuration. If the version in the files is not that of a
/// reconfiguration, the operator wrote the files, and they decide.
pub(crate) fn config_at_start(core: &Core, files: &Config) -> Config {
    let current = files.current().clone();
    if !core.config().reconfig_enabled {
        return Config::new(current, None);
    }
    let text = core.state().find(CONFIG).and_then(|znode| znode.data());
    let logged = text.and_then(|text| Voters::parse(text).ok()).filter(|_| current.version() > 0);
    let newer = |logged: &Voters| files.all().all(|config| config.version() < logged.version());
    match logged.filter(newer) {
        Some(logged) => {
            tracing::warn!(version = %format!("{:x}", logged.version()), "the log has a newer configuration than the files");
            Config::new(current, Some(logged))
        }
        None => files.clone(),
    }
}
