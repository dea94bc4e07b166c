//! The parts of a leader's state: each is changed by one file of this folder, named with it, and read by several.

use super::interface::Options;
use super::peer::PeerId;
use crate::ids::Zxid;
use crate::zab::agreed::Agreed;
use crate::zab::history::Txn;
use crate::zab::voters::{Config, ServerId, Voters};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Where the leader stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Waits for a quorum of voters to come.
    Gathering,
    /// Has taken its epoch and waits for a quorum of promises.
    Promising,
    /// Waits for a quorum of NEWLEADER acknowledgements.
    Syncing,
    Established,
    Over,
}

/// Voters, by how far they support this leader. Durable facts: they hold when the connection is gone.
#[derive(Debug, Default)]
pub(super) struct Support {
    pub(crate) came: BTreeSet<ServerId>,
    /// They have promised the epoch.
    pub(crate) promised: BTreeSet<ServerId>,
    /// They have acknowledged NEWLEADER.
    pub(crate) synced: BTreeSet<ServerId>,
}

/// How far proposals have come.
#[derive(Debug)]
pub(super) struct Proposals {
    /// Not committed, in order.
    pub(crate) outstanding: VecDeque<Outstanding>,
    /// The last one.
    pub(crate) last: Zxid,
    pub(crate) committed: Zxid,
    /// How far the log of each voter is known to reach in this epoch, this server's own included.
    pub(crate) acked: BTreeMap<ServerId, Zxid>,
    /// The zxid of the reconfiguration that is proposed: it and what follows need both configurations.
    pub(crate) reconfig: Option<Zxid>,
}

impl Proposals {
    /// Of a leader whose log ends with `last`.
    pub(crate) fn behind(last: Zxid, committed: Zxid) -> Self {
        Proposals { outstanding: VecDeque::new(), last, committed, acked: BTreeMap::new(), reconfig: None }
    }
}

/// A proposal that is not committed.
#[derive(Debug)]
pub(super) struct Outstanding {
    pub(crate) txn: Txn,
    pub(crate) config: Option<Voters>,
}

/// A leader that is to lead no longer. It waits for its learners to leave: who goes first would take the news along
/// that is still on its way to them (ZooKeeper 3.9, `Leader.tryToCommit`).
#[derive(Clone, Copy, Debug)]
pub(super) struct HandedOver {
    pub(crate) to: ServerId,
    /// Until then.
    pub(crate) until_ms: i64,
}

/// The origin of a sync request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SyncFrom {
    Client(u64),
    Learner(PeerId),
}

/// A sync that waits: for its round of PINGs, and for the commit of what was proposed before it.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(crate) from: SyncFrom,
    pub(crate) round: u64,
    pub(crate) upto: Zxid,
}

/// The rounds of PINGs and the syncs that wait for them.
#[derive(Debug, Default)]
pub(super) struct Barriers {
    /// The last round that was sent.
    pub(crate) sent: u64,
    /// The last round that a quorum answered.
    pub(crate) answered: u64,
    /// The last round that each server answered.
    pub(crate) by_server: BTreeMap<ServerId, u64>,
    /// In the order they came: both things they wait for only rise.
    pub(crate) waiting: VecDeque<Waiting>,
}

impl Barriers {
    /// How many syncs wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The learner is gone: its syncs need no answer.
    pub(crate) fn forget(&mut self, peer: PeerId) {
        self.waiting.retain(|waiting| waiting.from != SyncFrom::Learner(peer));
    }
}

/// How far a leader is with the end of its epoch.
#[derive(Debug, Default)]
pub(super) struct RollOver {
    /// The epoch has no further zxid; by then the next one is to have begun.
    pub(crate) until_ms: Option<i64>,
    /// The round is under way.
    pub(crate) is_running: bool,
    /// Where the last round began: the old epoch's last transaction.
    pub(crate) end: Zxid,
}

/// The agreement on session secrets, and the servers that support it.
pub(super) struct Secrets {
    pub(crate) agreed: Option<Agreed>,
    /// Servers that are known to support secrets.
    pub(crate) knowing: BTreeSet<ServerId>,
}

impl Secrets {
    pub(crate) fn new(options: &Options, config: &Config) -> Secrets {
        let everywhere = |agreed: &Agreed| agreed.everywhere && !options.zookeeper_passwords;
        let agreed = options.agreed.map(|agreed| Agreed { everywhere: everywhere(&agreed), ..agreed });
        let is_known = options.agreed.is_some_and(|agreed| agreed.everywhere);
        let members = config.current().members().map(|member| member.id);
        Secrets { agreed, knowing: if is_known { members.collect() } else { BTreeSet::new() } }
    }
}
