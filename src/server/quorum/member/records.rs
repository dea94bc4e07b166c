//! The files that hold a member's configuration: how far they have come.

use crate::ids::Zxid;
use crate::zab::voters::{Member, ServerId};

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
    pub fn is_written(&self) -> bool {
        self.written == self.asked
    }

    /// How much of a log that is durable up to `zxid` this server may acknowledge to itself.
    pub fn acknowledgeable(&self, zxid: Zxid) -> Zxid {
        self.unwritten.map_or(zxid, |first| zxid.min(Zxid(first.0 - 1)))
    }
}
