//! The files that hold a member's configuration: how far they have come.

use crate::ids::Zxid;
use crate::server::quorum::core::Core;
use crate::tree::path::CONFIG;
use crate::zab::voters::{Config, Member, ServerId, Voters};

/// How far the files have come, and what waits for them.
#[derive(Debug, Default)]
pub(crate) struct Records {
    /// The last [`Record::Config`], and the last one that was carried out.
    pub asked: u64,
    pub written: u64,
    /// The reconfiguration this server leads, until the files say it.
    pub unwritten: Option<Zxid>,
    /// Who is to lead under the new configuration, told with this transaction: asked first once the role is over.
    pub designated: Option<(ServerId, Zxid)>,
    /// This server's line of the last agreed configuration that had one; `None`: that of the start.
    pub own: Option<Member>,
}

impl Records {
    pub(crate) fn is_written(&self) -> bool {
        self.written == self.asked
    }

    /// How much of a log that is durable up to `zxid` this server may acknowledge to itself.
    pub(crate) fn acknowledgeable(&self, zxid: Zxid) -> Zxid {
        self.unwritten.map_or(zxid, |first| zxid.min(Zxid(first.0 - 1)))
    }
}

/// What counts at a start, by what the files say and what is in the log. A reconfiguration is durable in the log a moment
/// before it is in the files: whoever went down in between holds it as proposed all the same, or an elected leader that
/// has it in its log would make it agreed on and act by the one before. Where the files have the version of no
/// reconfiguration they are the operator's own, and he has the last word.
pub(crate) fn config_at_start(core: &Core, files: &Config) -> Config {
    let current = files.current().clone();
    if !core.state().options().reconfig_enabled {
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
