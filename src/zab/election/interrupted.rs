//! An election while a reconfiguration is unfinished: some of the servers know what is proposed, and some do not.
//!
//! A voter of the proposed configuration that has not heard of it acts by that of its files, or by the one that was agreed on,
//! in which it has no vote. Its vote is needed all the same, so six things are not as between servers of one configuration:
//!
//! - one that stands by the configuration of its files does not any more once it has heard of the one that was agreed on. It
//!   is no candidate until then, or others would go on voting for it when it has gone over to voting for them;
//! - one without a vote of its own votes for whoever is best in its own round; so the others come into that round, or tell it
//!   whom they vote for if they are there already;
//! - one that no configuration it knows of lists votes, and does not settle before somebody leads: it does not know whose
//!   votes it takes, and while it waited for a leader that cannot be one its own would be missing;
//! - one that was a candidate and has none any more is not voted for any longer;
//! - one that would lead, and has not got the quorums of both configurations, is in the way of those who could do without what
//!   is proposed, or to whom it is no candidate. It steps back for a while, and then stands again: the quorums may have come;
//! - one that settled on a leader that turns to another one, or looks again, does not wait for it. (So it is between servers
//!   of one configuration, too; there it is rare.)
//!
//! (ZooKeeper 3.9 has the same votes, and in each of these cases its servers may go on looking for good.)

use super::vote::{NO_DATABASE, Vote};
use super::{Candidacy, Election, Output, Phase};
use crate::jute::election::{Notification, PeerState};
use crate::zab::voters::{ServerId, Voters};

/// How long the quorums of both configurations are waited for before another one may be elected, and how long then it is not stood
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

    /// A voter has no candidate of its own. If it is further on, this server comes into its round; in the same round it has
    /// not heard yet what it waits for.
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
