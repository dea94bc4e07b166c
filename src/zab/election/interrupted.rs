//! An election while a reconfiguration is unfinished: some of the servers know what is proposed, and some do not.
//!
//! A voter of the proposed configuration that has not heard of it acts by that of its files, or by the one that was agreed on,
//! in which it has no vote. Its vote is needed all the same, so four things are not as between servers of one configuration:
//!
//! - one that stands by the configuration of its files does not any more once it has heard of the one that was agreed on. It
//!   is no candidate until then, or others would go on voting for it when it has gone over to voting for them;
//! - one without a vote of its own votes for whoever is best in its own round; so the others come into that round;
//! - one that was a candidate and has none any more is not voted for any longer;
//! - one that alone has got the proposal, and cannot lead for want of its quorum, is in the way where it is the best candidate
//!   of those who would do without. It steps back for a while, and then stands again: the quorum may have come.
//!
//! (ZooKeeper 3.9 has the same votes, and in each of these cases its servers may go on looking for good.)

use super::vote::{NO_DATABASE, Vote};
use super::{Candidacy, Election, Output, Phase};
use crate::jute::election::{Notification, PeerState};
use crate::zab::voters::{ServerId, Voters};

/// How long the quorum of what is proposed is waited for before another one may be elected, and how long then it is not stood
/// for. Longer than an election takes among servers that are there.
const UNFINISHED_MS: i64 = 3_000;

impl Election {
    /// Whether a notification is for somebody who may be elected. Who votes in the proposed configuration only is one for
    /// those who act by the one that was agreed on, or a newer one.
    pub(super) fn is_candidate(&self, notification: &Notification<'_>) -> bool {
        let leader = ServerId(notification.leader);
        let version = || notification.config.and_then(|text| Voters::parse(text).ok()).map(|config| config.version());
        let current = self.config.current();
        current.is_voter(leader)
            || (self.config.is_voter(leader) && version().is_some_and(|version| version >= current.version()))
    }

    /// A voter that has no candidate of its own is further on.
    pub(super) fn keep_up(&mut self, round: i64, out: &mut Vec<Output>) {
        let Phase::Looking(looking) = &mut self.phase else { return };
        if round <= self.round || looking.candidacy == Candidacy::Waits {
            return;
        }
        self.round = round;
        looking.received.clear();
        looking.proposal = looking.candidacy.own_vote();
        looking.finalize_at_ms = None;
        self.cast(out);
    }

    /// Lets others be elected, if the quorum of what is proposed has not come.
    pub(super) fn give_way_if_unfinished(&mut self, now_ms: i64, out: &mut Vec<Output>) {
        let Phase::Looking(looking) = &mut self.phase else { return };
        let (Some(at_ms), Candidacy::Stands(own)) = (looking.gives_way_at_ms(), looking.candidacy) else { return };
        if now_ms < at_ms {
            return;
        }
        looking.candidacy = Candidacy::Yields(own);
        looking.yield_until_ms = Some(now_ms + UNFINISHED_MS);
        looking.unfinished_since_ms = None;
        looking.proposal = None;
        looking.received.clear();
        looking.finalize_at_ms = None;
        self.round = self.round.saturating_add(1).min(super::LAST_ROUND);
        self.cast(out);
    }
}

impl super::Looking {
    /// Whether a voter says that it has no candidate: it has no vote of its own, or was the candidate and is none any more.
    pub(super) fn is_left_by(&self, from: ServerId, notification: &Notification<'_>) -> bool {
        let was_candidate = self.proposal.is_some_and(|proposal| proposal.leader == from);
        notification.state == PeerState::Looking
            && (notification.leader == Vote::NOBODY.leader.0
                || (was_candidate && notification.zxid == NO_DATABASE.0 && notification.leader == from.0))
    }

    /// When [`Election::give_way_if_unfinished`] is due.
    pub(super) fn gives_way_at_ms(&self) -> Option<i64> {
        let stands = matches!(self.candidacy, Candidacy::Stands(_));
        self.unfinished_since_ms.filter(|_| stands).map(|since_ms| since_ms + UNFINISHED_MS)
    }
}
