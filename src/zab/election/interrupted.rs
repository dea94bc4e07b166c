//! An election while a reconfiguration is unfinished: some of the servers know what is proposed, and some do not.
//!
//! A voter of the proposed configuration that does not know the proposal acts by the configuration in its files or by the
//! agreed one, in which it has no vote. Its vote is still needed, so six rules differ from those between servers of one
//! configuration:
//!
//! - a server that is a candidate only by the configuration in its files stops being one when it hears of the agreed
//!   configuration. Until then others do not count it as a candidate; otherwise they would vote for it while it already votes
//!   for them;
//! - a server without a vote of its own votes for the best candidate of its own round; so the others join that round, or tell
//!   it their vote if they are already in it;
//! - a server that is in no configuration it knows votes, but does not settle before a server leads: it does not know whose
//!   votes count, and while it waits for a server that cannot lead, its own vote would be missing;
//! - a server that was a candidate and is none any more gets no further votes;
//! - a candidate without the quorums of both configurations blocks the servers that could continue without the proposal, or
//!   that do not count it as a candidate. It withdraws for a while and then stands again: the quorums may have come;
//! - a server whose leader votes for another candidate, or looks for a leader again, does not wait for that leader. (This
//!   holds between servers of one configuration, too, where it is rare.)
//!
//! (ZooKeeper 3.9 has the same votes, and in each of these cases its servers may go on looking for good.)

use super::vote::{NO_DATABASE, Vote};
use super::{Candidacy, Election, Output, Phase};
use crate::jute::election::{Notification, PeerState};
use crate::zab::voters::{ServerId, Voters};

/// How long a candidate waits for the quorums of both configurations, and how long it then withdraws. Longer than an election
/// among connected servers takes.
const UNFINISHED_MS: i64 = 3_000;

impl Election {
    /// Whether a notification votes for a possible candidate. A server that is a voter only in the proposed configuration may
    /// be elected by servers that act by the agreed configuration or a newer one.
    pub(super) fn is_candidate(&self, notification: &Notification<'_>) -> bool {
        let leader = ServerId(notification.leader);
        let version = || notification.config.and_then(|text| Voters::parse(text).ok()).map(|config| config.version());
        let current = self.config.current();
        current.is_voter(leader)
            || (self.config.is_voter(leader) && version().is_some_and(|version| version >= current.version()))
    }

    /// A voter without a candidate. If its round is later, this server joins that round. If the round is the same, the voter
    /// has not got this server's vote yet.
    pub(super) fn keep_up(&mut self, from: ServerId, round: i64, now_ms: i64, out: &mut Vec<Output>) {
        let Phase::Looking(looking) = &mut self.phase else { return };
        if looking.candidacy == Candidacy::Waits {
            return;
        }
        if round > self.round {
            let own = looking.candidacy.own_vote();
            self.begin_round(round, own, now_ms, out);
        } else if round == self.round && looking.proposal.is_some() {
            self.answer(from, now_ms, out);
        }
    }

    /// Lets others be elected, if the quorums of both configurations have not come.
    pub(super) fn give_way_if_unfinished(&mut self, now_ms: i64, out: &mut Vec<Output>) {
        let Phase::Looking(looking) = &mut self.phase else { return };
        let (Some(at_ms), Candidacy::Stands(own)) = (looking.gives_way_at_ms(), looking.candidacy) else { return };
        if now_ms < at_ms {
            return;
        }
        looking.candidacy = Candidacy::Yields(own);
        looking.yield_until_ms = Some(now_ms + UNFINISHED_MS);
        looking.unfinished_since_ms = None;
        self.begin_round(self.round.saturating_add(1).min(super::LAST_ROUND), None, now_ms, out);
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
