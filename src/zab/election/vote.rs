//! Votes: their order, and when two of them count as the same.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::Zxid;
use crate::jute::election::PeerState;
use crate::zab::voters::ServerId;

/// A candidate for leader, and the end of the candidate's log. The greater vote is the better candidate: the first difference
/// decides, in the order of the fields (ZooKeeper 3.9, FastLeaderElection.totalOrderPredicate).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Vote {
    /// The candidate's current epoch.
    pub peer_epoch: i64,
    /// The last transaction the candidate has logged.
    pub zxid: Zxid,
    /// The candidate.
    pub leader: ServerId,
}

impl Vote {
    /// The vote of a server without a vote: for no server, and worse than every other vote.
    pub(crate) const NOBODY: Vote = Vote { peer_epoch: i64::MIN, zxid: Zxid(i64::MIN), leader: ServerId(i64::MIN) };

    /// Whether this candidate's log is at least as long as the other's, whoever they are.
    pub(crate) fn is_as_advanced_as(&self, other: &Vote) -> bool {
        (self.peer_epoch, self.zxid) >= (other.peer_epoch, other.zxid)
    }
}

/// The zxid a server announces that has no database: its vote is not counted.
pub(crate) const NO_DATABASE: Zxid = Zxid(-1);

/// A vote as one server cast it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ballot {
    pub vote: Vote,
    /// The round of election it belongs to.
    pub round: i64,
    /// What its sender was doing: still electing, or already settled.
    pub state: PeerState,
    /// The version of the notification it came in.
    pub version: i32,
}

impl Ballot {
    /// Whether both count for the same leader. While either sender still elects, everything must match. Of
    /// two that have settled, zxid and round may differ by timing; servers that speak different versions know
    /// different epochs (ZooKeeper 3.9, Vote.equals; ZOOKEEPER-1732).
    pub(crate) fn agrees_with(&self, other: &Ballot) -> bool {
        if self.state == PeerState::Looking || other.state == PeerState::Looking {
            return self.vote == other.vote && self.round == other.round;
        }
        let comparable_epochs = (self.version > 0) == (other.version > 0);
        self.vote.leader == other.vote.leader && (!comparable_epochs || self.vote.peer_epoch == other.vote.peer_epoch)
    }
}

/// Those whose ballot agrees with this one.
pub(crate) fn supporters(ballots: &BTreeMap<ServerId, Ballot>, of: &Ballot) -> BTreeSet<ServerId> {
    ballots.iter().filter(|(_, ballot)| of.agrees_with(ballot)).map(|(id, _)| *id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vote(peer_epoch: i64, zxid: i64, leader: i64) -> Vote {
        Vote { peer_epoch, zxid: Zxid(zxid), leader: ServerId(leader) }
    }

    #[test]
    fn epoch_then_zxid_then_id() {
        let ascending = [Vote::NOBODY, vote(0, -1, 1), vote(1, 5, 9), vote(1, 6, 1), vote(1, 6, 2), vote(2, 0, 1)];
        assert!(ascending.is_sorted());
        assert!(vote(1, 6, 1).is_as_advanced_as(&vote(1, 6, 2)) && !vote(1, 5, 9).is_as_advanced_as(&vote(1, 6, 1)));
    }

    #[test]
    fn when_two_ballots_are_the_same() {
        let looking = Ballot { vote: vote(1, 6, 2), round: 4, state: PeerState::Looking, version: 2 };
        let following = Ballot { state: PeerState::Following, ..looking };
        let later = Ballot { vote: vote(1, 7, 2), round: 5, ..following };
        assert!(looking.agrees_with(&following));
        assert!(!looking.agrees_with(&later) && !looking.agrees_with(&Ballot { round: 5, ..looking }));
        assert!(following.agrees_with(&later), "settled: the round and the zxid may be others");
        let next_epoch = Ballot { vote: vote(2, 6, 2), ..following };
        assert!(!following.agrees_with(&next_epoch));
        assert!(following.agrees_with(&Ballot { version: 0, ..next_epoch }), "an old server knows another epoch");
        assert!(!following.agrees_with(&Ballot { vote: vote(1, 6, 3), version: 0, ..following }));
    }
}
