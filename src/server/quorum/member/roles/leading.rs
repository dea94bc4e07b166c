//! A member that leads, as far as it is that member's own: its learners, what they have sent, and what is to be proposed.

use crate::ids::Zxid;
use crate::jute::overlong::Overlong;
use crate::server::quorum::member::forwarded::AllForwarded;
use crate::server::quorum::member::owners::Owners;
use crate::zab::history::History;
use crate::zab::leader::{Leader, Output, PeerId};
use crate::zab::message::Gate;
use crate::zab::voters::Voters;
use std::collections::BTreeMap;

/// The role.
pub(crate) struct Leading {
    pub leader: Leader,
    pub gate: Gate<Output>,
    /// What each learner has sent and was not decoded yet.
    pub inboxes: BTreeMap<PeerId, Inbox>,
    /// Through whom each session speaks that is not connected here.
    pub owners: Owners,
    /// Clients' requests from learners.
    pub forwarded: AllForwarded,
    /// Syncs of this server's clients that are to be asked for.
    pub syncs: Vec<u64>,
    /// Learners whose sync is to be asked for, once what they asked for before is proposed.
    pub learner_syncs: Vec<PeerId>,
    /// A reconfiguration that was prepared and not proposed yet.
    pub reconfig: Option<(Zxid, Voters)>,
    pub serves: bool,
    /// Clients of its own are taken.
    pub takes_clients: bool,
    /// Since when it is established.
    pub leads_since_ms: Option<i64>,
    pub handing_over: Option<HandOver>,
    /// A slow disk is put up with until then.
    pub stays_until_ms: i64,
}

/// What a learner has sent and is not carried out yet.
#[derive(Default)]
pub(crate) struct Inbox {
    pub bytes: Vec<u8>,
    /// A request longer than is taken that is being passed over.
    pub overlong: Option<Overlong>,
}

impl Leading {
    /// How many sessions speak through learners.
    #[cfg(test)]
    pub fn owned(&self) -> usize {
        self.owners.count()
    }

    pub(crate) fn serves(&self) -> bool {
        self.serves
    }

    pub(crate) fn leader(&self) -> &Leader {
        &self.leader
    }

    pub(crate) fn is_reconfiguring(&self) -> bool {
        self.reconfig.is_some()
    }

    /// The transaction of this zxid makes this the configuration.
    pub(crate) fn reconfigures(&mut self, zxid: Zxid, config: Voters) {
        self.reconfig = Some((zxid, config));
    }

    /// Another server is to lead: nothing new is taken, nor what waits behind a sync.
    pub(crate) fn hand_over(&mut self) {
        self.serves = false;
        self.forwarded = AllForwarded::default();
    }

    pub(crate) fn into_history(self) -> History {
        self.leader.into_history()
    }

    /// A client of this server wants a sync.
    pub(crate) fn wants_sync(&mut self, tag: u64) {
        self.syncs.push(tag);
    }
}

/// A leader that is going.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HandOver {
    /// Its process ends: it goes whether anybody can take over or not.
    pub stops: bool,
    pub until_ms: i64,
}
