//! The data of a member that leads: its learners, what they have sent, the owners of their sessions, and what is to be
//! proposed.

use crate::ids::Zxid;
use crate::jute::overlong::Overlong;
use crate::server::quorum::member::forwarded::AllForwarded;
use crate::server::quorum::member::owners::Owners;
use crate::zab::history::History;
use crate::zab::leader::{Leader, Output, PeerId};
use crate::zab::message::Gate;
use crate::zab::voters::Voters;
use std::collections::BTreeMap;

/// The role of a leader.
pub(crate) struct Leading {
    pub leader: Leader,
    pub gate: Gate<Output>,
    /// Each learner's bytes that are not decoded yet.
    pub inboxes: BTreeMap<PeerId, Inbox>,
    /// The learner of each session that is not connected to this server.
    pub owners: Owners,
    /// Requests that learners have forwarded.
    pub forwarded: AllForwarded,
    /// Tags of syncs of this server's clients that are to begin.
    pub syncs: Vec<u64>,
    /// Learners whose sync is to begin, when their earlier requests are proposed.
    pub learner_syncs: Vec<PeerId>,
    /// A reconfiguration that was prepared and not proposed yet.
    pub reconfig: Option<(Zxid, Voters)>,
    pub serves: bool,
    /// This server accepts clients while it leads.
    pub takes_clients: bool,
    /// Since when this leader is established, monotonic ms.
    pub leads_since_ms: Option<i64>,
    pub handing_over: Option<HandOver>,
    /// Until this time the leader stays although its disk is slow, monotonic ms.
    pub stays_until_ms: i64,
}

/// A learner's bytes that are not decoded yet.
#[derive(Default)]
pub(crate) struct Inbox {
    pub bytes: Vec<u8>,
    /// A request above the size limit, whose rest is being skipped.
    pub overlong: Option<Overlong>,
}

impl Leading {
    /// How many sessions are connected to learners.
    #[cfg(test)]
    pub(crate) fn owned(&self) -> usize {
        self.owners.count()
    }

    /// Another server is to lead: no new requests are accepted, and forwarded ones are dropped.
    pub(crate) fn hand_over(&mut self) {
        self.serves = false;
        self.forwarded = AllForwarded::default();
    }

    pub(crate) fn into_history(self) -> History {
        self.leader.into_history()
    }
}

/// A leader that hands over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HandOver {
    /// The process ends: the leader gives up the lead even if no follower can take over.
    pub stops: bool,
    pub until_ms: i64,
}
