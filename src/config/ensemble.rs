//! What a member of an ensemble is told by its configuration: who belongs to it, which of them this server is, and the
//! values of [`super::ensemble_keys`].

use super::ensemble_keys::Settings;
use super::member::{Member, ServerId};
use super::membership::Membership;
use std::path::PathBuf;
use std::sync::Arc;

/// What a member needs to know beyond what every server does.
#[derive(Clone, Debug, PartialEq)]
pub struct Ensemble {
    /// This server, a member.
    pub(crate) id: ServerId,
    /// Its line.
    pub(crate) own: Member,
    /// As the file says it; see [`Present`] for what comes after it.
    pub(crate) membership: Membership,
    /// What `<file>.dynamic.next` holds: a reconfiguration this server has logged and not seen activated.
    pub(crate) proposed: Option<Membership>,
    /// The configuration file, rewritten when the ensemble is reconfigured. As it was written.
    pub(crate) config_file: PathBuf,
    /// Where `membership` stands, when not in that file. As it was written.
    pub(crate) dynamic_config_file: Option<PathBuf>,
    pub(crate) settings: Arc<Settings>,
}

/// What a running member acts by, which reconfigurations make another thing than what its files said at the start.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Present {
    /// This server's line, its last one if it belongs to the ensemble no more.
    pub own: Member,
    pub membership: Membership,
}
