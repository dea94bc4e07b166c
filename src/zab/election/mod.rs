//! FastLeaderElection: servers tell each other the best candidate they know, until a quorum agrees.
//!
//! The inputs of [`Election`] are notifications, connections that open or close, and the time. Its outputs are notifications
//! to send and, in the end, the leader to follow, or that this server leads. It stays in use afterwards: a server that still
//! elects, or has no vote, is told the settled leader. The algorithm is ZooKeeper's (3.9, FastLeaderElection), and speaks
//! with it. Six things differ:
//!
//! - it settles as soon as a quorum agrees and no other voter could name a better candidate: every voter that was not heard
//!   in this round has no live connection. Otherwise it waits the usual 200 ms;
//! - an elected server that learns, before it is established, that its voters have turned to a better candidate gives up at
//!   once: it would wait in vain for initLimit, and its vote would be missing;
//! - a server that stepped down helps to elect another one and does not stand itself for a while;
//! - a server of weight 0 votes for servers with weight instead of for itself;
//! - over a new connection it sends its present vote, see `links`;
//! - after an interrupted reconfiguration the servers of the two configurations can still agree, see `interrupted`.

mod interface;
mod interrupted;
mod vote;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(crate) use interface::{DropReason, LogEnd, Settled};
pub(crate) use interface::{Input, Output, Settings};
pub(crate) use vote::Vote;
use vote::{Ballot, NO_DATABASE, supporters};

use crate::ids::Zxid;
use crate::jute::election::{Notification, PeerState};
use crate::zab::epochs::is_plausible;
use crate::zab::voters::{Config, ServerId, Voters};

/// Rounds beyond this are no rounds: it leaves room to count on.
const LAST_ROUND: i64 = 1 << 62;

/// Servers without a vote that are told of a proposal within one interval; and, in `links`, that may keep a
/// connection though no configuration lists them.
pub(crate) const STRANGERS: usize = 64;

/// One server's part in all elections, from its start to its end.
pub(crate) struct Election {
    me: ServerId,
    settings: Settings,
    config: Config,
    /// The text of the current configuration, as every notification carries it.
    config_text: Arc<[u8]>,
    /// The logical clock. Counts in memory only; a restarted server learns the others' round.
    round: i64,
    connected: BTreeSet<ServerId>,
    /// Votes of voters that looked for a leader before this server did, and when each came.
    early: BTreeMap<ServerId, (i64, Ballot)>,
    phase: Phase,
}

enum Phase {
    /// Not started.
    Idle,
    Looking(Looking),
    Settled(Settled),
}

/// One round, or several of them, until a leader is found.
struct Looking {
    log: Option<LogEnd>,
    yield_until_ms: Option<i64>,
    candidacy: Candidacy,
    /// The best candidate known; none while this server waits to hear of one.
    proposal: Option<Vote>,
    /// The ballots of this round, this server's own included if it votes.
    received: BTreeMap<ServerId, Ballot>,
    /// The latest ballot of every server that has settled, of whatever round.
    established: BTreeMap<ServerId, Ballot>,
    /// Those without a vote that were told of the proposal, and when.
    told: BTreeMap<ServerId, i64>,
    resend_at_ms: i64,
    interval_ms: i64,
    /// Since when a quorum agrees, plus the time it waits.
    finalize_at_ms: Option<i64>,
    /// Since when this server is the best candidate it knows, and lacks a quorum of one of two configurations.
    unfinished_since_ms: Option<i64>,
}

/// The part that this server takes in the election.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Candidacy {
    /// Is a candidate with its own log, and votes for any better candidate.
    Stands(Vote),
    /// Votes for servers that have at least its own log, see [`Input::Look`].
    Yields(Vote),
    /// Has no vote, and follows the voters' choice.
    Watches,
    /// Has no database: it can only follow an established leader.
    Waits,
}

impl Election {
    /// An election that has not begun; see [`Input::Look`].
    pub(crate) fn new(me: ServerId, config: Config, settings: Settings) -> Election {
        let config_text = config_text(&config);
        Election {
            me,
            settings,
            config,
            config_text,
            round: 0,
            connected: BTreeSet::new(),
            early: BTreeMap::new(),
            phase: Phase::Idle,
        }
    }

    /// What this server says it is doing.
    pub(crate) fn state(&self) -> PeerState {
        match &self.phase {
            Phase::Settled(settled) => settled.state,
            Phase::Idle | Phase::Looking(_) => PeerState::Looking,
        }
    }

    /// The configurations that count.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The latest time by which [`Input::Tick`] must come; none once a leader is found.
    pub(crate) fn deadline_ms(&self) -> Option<i64> {
        let Phase::Looking(looking) = &self.phase else { return None };
        let yields = looking.yield_until_ms.filter(|_| matches!(looking.candidacy, Candidacy::Yields(_)));
        [Some(looking.resend_at_ms), looking.finalize_at_ms, yields, looking.gives_way_at_ms()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Takes one input.
    pub(crate) fn step(&mut self, input: Input<'_>, now_ms: i64) -> Vec<Output> {
        let mut out = vec![];
        match input {
            Input::Look { log, yield_until_ms } => self.look(log, yield_until_ms, now_ms, &mut out),
            Input::RoleEnded => self.phase = Phase::Idle,
            Input::Designated { leader, zxid, .. } if self.config.is_voter(leader) => {
                // As Java does: epoch and round are not known until that leader stands.
                self.settle(Vote { peer_epoch: -1, zxid, leader }, -1, BTreeSet::new(), &mut out);
            }
            Input::Designated { log, .. } => self.look(log, None, now_ms, &mut out),
            Input::Established { epoch } => {
                if let Phase::Settled(settled) = &mut self.phase {
                    settled.vote.peer_epoch = epoch;
                    settled.supporters.clear();
                }
            }
            Input::Message { from, payload } => self.message(from, payload, now_ms, &mut out),
            Input::Connected(peer) => {
                self.connected.insert(peer);
                // What was said before is lost, or of an election long over.
                if !matches!(self.phase, Phase::Idle) {
                    self.send_own(peer, &mut out);
                }
            }
            Input::Disconnected(peer) => {
                self.connected.remove(&peer);
                self.early.remove(&peer);
                self.settle_if_agreed(now_ms, &mut out);
            }
            Input::Reconfigured(config) => {
                let same = config == self.config;
                self.set_config(config);
                if let (false, Phase::Looking(looking)) = (same, &self.phase) {
                    self.look(looking.log, looking.yield_until_ms, now_ms, &mut out);
                }
            }
            Input::Tick => self.tick(now_ms, &mut out),
        }
        out
    }

    fn look(&mut self, log: Option<LogEnd>, yield_until_ms: Option<i64>, now_ms: i64, out: &mut Vec<Output>) {
        self.round = self.round.saturating_add(1).min(LAST_ROUND);
        let candidacy = self.candidacy(log, yield_until_ms.is_some_and(|until_ms| now_ms < until_ms));
        self.phase = Phase::Looking(Looking {
            log,
            yield_until_ms,
            candidacy,
            proposal: candidacy.own_vote(),
            received: BTreeMap::new(),
            established: BTreeMap::new(),
            told: BTreeMap::new(),
            resend_at_ms: now_ms + self.settings.min_notification_interval_ms,
            interval_ms: self.settings.min_notification_interval_ms,
            finalize_at_ms: None,
            unfinished_since_ms: None,
        });
        out.push(Output::Reconnect);
        self.cast(out);
        // The first to lose a leader has voted already, and repeats its vote only after a while.
        for (from, (at_ms, ballot)) in std::mem::take(&mut self.early) {
            if now_ms < at_ms + self.settings.min_notification_interval_ms {
                self.consider_candidate(from, ballot, now_ms, out);
            }
        }
        self.settle_if_agreed(now_ms, out);
    }

    fn candidacy(&self, log: Option<LogEnd>, yields: bool) -> Candidacy {
        let own = log.map(|log| Vote { peer_epoch: log.epoch, zxid: log.zxid, leader: self.me });
        match own {
            _ if !self.config.is_voter(self.me) => Candidacy::Watches,
            None => Candidacy::Waits,
            Some(own) if yields => Candidacy::Yields(own),
            Some(own) => Candidacy::Stands(own),
        }
    }

    fn message(&mut self, from: ServerId, payload: &[u8], now_ms: i64, out: &mut Vec<Output>) {
        if from == self.me {
            return out.push(Output::Dropped { from, reason: DropReason::OwnId });
        }
        let notification = match Notification::decode(payload) {
            Ok(notification) if notification.round > LAST_ROUND => {
                return out.push(Output::Dropped { from, reason: DropReason::Round(notification.round) });
            }
            Ok(notification) => notification,
            Err(error) => return out.push(Output::Dropped { from, reason: DropReason::Malformed(error) }),
        };
        if self.adopted(notification.config, now_ms, out) {
            return;
        }
        if !self.config.is_voter(from) {
            return self.answer(from, now_ms, out);
        }
        let looks = notification.state == PeerState::Looking;
        match &self.phase {
            Phase::Idle => self.keep_early(from, &notification, now_ms),
            Phase::Settled(_) => {
                if looks {
                    self.send_own(from, out);
                }
                self.keep_early(from, &notification, now_ms);
                self.count_again(from, &notification, out);
            }
            Phase::Looking(looking) => {
                let gives_way = looking.is_left_by(from, &notification);
                if looks && notification.round < self.round {
                    self.send_own(from, out);
                }
                if gives_way {
                    self.keep_up(from, notification.round, now_ms, out);
                } else if self.is_candidate(&notification) {
                    self.consider(from, &notification, now_ms, out);
                }
            }
        }
    }

    /// A voter's notification that comes while this server does not look: what it votes for in a round to come counts then.
    fn keep_early(&mut self, from: ServerId, notification: &Notification<'_>, now_ms: i64) {
        let is_to_come = notification.state == PeerState::Looking && notification.round > self.round;
        if is_to_come && self.config.is_voter(ServerId(notification.leader)) {
            self.early.insert(from, (now_ms, ballot(notification)));
        } else {
            self.early.remove(&from);
        }
    }

    /// A settled server may wait in vain. A voter that helped to elect this server may have found a better candidate in the
    /// same round after its vote was counted here, or looks for a leader in a later round. Or the leader that this server
    /// settled on votes for another server, or looks in a later round itself.
    fn count_again(&mut self, from: ServerId, notification: &Notification<'_>, out: &mut Vec<Output>) {
        let Phase::Settled(settled) = &mut self.phase else { return };
        // Empty where a reconfiguration named the leader, and when it stands.
        if settled.supporters.is_empty() {
            return;
        }
        let same_round = notification.round == settled.round;
        let looks_on = notification.state == PeerState::Looking && notification.round > settled.round;
        let is_over = if settled.state == PeerState::Leading {
            let has_gone = looks_on || (same_round && ballot(notification).vote > settled.vote);
            has_gone && settled.supporters.remove(&from) && !self.config.is_quorum_in_all(&settled.supporters)
        } else {
            let turned = same_round && notification.state == PeerState::Looking && notification.leader != from.0;
            from == settled.vote.leader && (looks_on || turned)
        };
        if is_over {
            out.push(Output::Overtaken);
        }
    }

    /// A server without a vote is told what this server knows, but its vote is not counted: so observers and new servers find
    /// the leader. While this server itself looks for a leader, it does not answer every message: a new server that takes it
    /// for a voter of an earlier round would answer each answer, without end.
    fn answer(&mut self, from: ServerId, now_ms: i64, out: &mut Vec<Output>) {
        match &mut self.phase {
            Phase::Idle => {}
            Phase::Settled(_) => self.send_own(from, out),
            Phase::Looking(looking) => {
                looking.told.retain(|_, told_ms| now_ms < *told_ms + self.settings.min_notification_interval_ms);
                if looking.told.len() < STRANGERS && !looking.told.contains_key(&from) {
                    looking.told.insert(from, now_ms);
                    self.send_own(from, out);
                }
            }
        }
    }

    /// Takes over a newer configuration. True if it begins the election anew.
    fn adopted(&mut self, text: Option<&[u8]>, now_ms: i64, out: &mut Vec<Output>) -> bool {
        let (true, Some(text), Phase::Looking(looking)) = (self.settings.adopt_configs, text, &self.phase) else {
            return false;
        };
        // A text that is no configuration is as good as none: the vote beside it counts all the same.
        let Ok(newer) = Voters::parse(text) else { return false };
        if newer.version() <= self.config.current().version() {
            return false;
        }
        let (log, yield_until_ms) = (looking.log, looking.yield_until_ms);
        let same = newer.same_but_version(self.config.current());
        self.set_config(Config::new(newer.clone(), self.config.pending().cloned()));
        out.push(Output::Adopt(newer));
        if !same {
            self.look(log, yield_until_ms, now_ms, out);
        }
        !same
    }

    fn set_config(&mut self, config: Config) {
        self.config_text = config_text(&config);
        self.config = config;
    }

    /// A voter's notification for a voter, while this server looks.
    fn consider(&mut self, from: ServerId, notification: &Notification<'_>, now_ms: i64, out: &mut Vec<Output>) {
        match notification.state {
            PeerState::Looking => self.consider_candidate(from, ballot(notification), now_ms, out),
            PeerState::Following | PeerState::Leading => self.consider_settled(from, ballot(notification), out),
            PeerState::Observing => {}
        }
    }

    fn consider_candidate(&mut self, from: ServerId, ballot: Ballot, now_ms: i64, out: &mut Vec<Output>) {
        let Phase::Looking(looking) = &mut self.phase else { return };
        if looking.candidacy == Candidacy::Waits || ballot.vote.zxid == NO_DATABASE || ballot.round < self.round {
            return;
        }
        // A server without a vote sends a zxid below all others.
        let claimed = ballot.vote.peer_epoch.max(ballot.vote.zxid.0 >> 32);
        if looking.log.is_some_and(|log| log.zxid > Zxid::ZERO && !is_plausible(claimed, log.epoch)) {
            return out.push(Output::Dropped { from, reason: DropReason::Epoch(claimed) });
        }
        if ballot.round > self.round {
            let own = looking.candidacy.own_vote();
            let better = looking.candidacy.prefers(&ballot.vote, own, &self.config);
            self.begin_round(ballot.round, if better { Some(ballot.vote) } else { own }, now_ms, out);
        } else if looking.candidacy.prefers(&ballot.vote, looking.proposal, &self.config) {
            looking.proposal = Some(ballot.vote);
            looking.finalize_at_ms = None;
            self.cast(out);
        }
        if let Phase::Looking(looking) = &mut self.phase {
            looking.received.insert(from, ballot);
        }
        self.settle_if_agreed(now_ms, out);
    }

    fn consider_settled(&mut self, from: ServerId, ballot: Ballot, out: &mut Vec<Output>) {
        let Phase::Looking(looking) = &mut self.phase else { return };
        looking.established.insert(from, ballot);
        if ballot.round == self.round {
            // Version 0 as in Java: within one round the leader's id says it all, while the epoch depends on
            // whether its follower had heard of the leader's new one.
            looking.received.insert(from, Ballot { version: 0, ..ballot });
        }
        let sets = [(ballot.round == self.round).then_some(&looking.received), Some(&looking.established)];
        let found = sets.into_iter().flatten().find_map(|ballots| {
            let supporters = supporters(ballots, &ballot);
            let stands = if ballot.vote.leader == self.me {
                ballot.round == self.round && looking.candidacy.may_lead(self.me, &self.config)
            } else {
                // Else servers would elect one over and over that crashed and does not lead any more.
                ballots.get(&ballot.vote.leader).is_some_and(|leader| leader.state == PeerState::Leading)
            };
            // Whether a server may lead is checked by that server. A follower only needs an established leader, by a quorum
            // of either configuration: a proposed one may have been dropped, or may be agreed on by now. (ZooKeeper 3.9
            // requires quorums of both; a server that alone has the proposal then stays outside.)
            let agreed = if ballot.vote.leader == self.me {
                self.config.is_quorum_in_all(&supporters)
            } else {
                self.config.is_quorum_in_any(&supporters)
            };
            (stands && agreed).then_some(supporters)
        });
        if let Some(supporters) = found {
            self.settle(ballot.vote, ballot.round, supporters, out);
        }
    }

    /// Settles on the proposed leader if a quorum agrees: at once if no connected voter could still name a better candidate,
    /// otherwise after a wait.
    fn settle_if_agreed(&mut self, now_ms: i64, out: &mut Vec<Output>) {
        let Phase::Looking(looking) = &mut self.phase else { return };
        let Some(vote) = looking.proposal else { return };
        let own = Ballot { vote, round: self.round, state: PeerState::Looking, version: 0 };
        let supporters = supporters(&looking.received, &own);
        // This server is in no list it knows: others count its vote, see `interrupted`. From now on a server may lead.
        if self.config.member(self.me).is_none() {
            if self.config.is_quorum_in_any(&supporters) {
                looking.interval_ms = self.settings.min_notification_interval_ms;
                looking.resend_at_ms = looking.resend_at_ms.min(now_ms + looking.interval_ms);
            }
            return;
        }
        if !self.config.is_quorum_in_all(&supporters) {
            looking.finalize_at_ms = None;
            // The supporters are a quorum of the agreed configuration, and could continue without the proposal; or some
            // connected voters do not vote for this candidate.
            let does_without = |id: &ServerId| self.config.is_voter(*id) && !supporters.contains(id);
            let is_in_the_way = self.config.current().is_quorum(&supporters) || self.connected.iter().any(does_without);
            let cannot_finish = vote.leader == self.me && self.config.pending().is_some() && is_in_the_way;
            looking.unfinished_since_ms = cannot_finish.then(|| looking.unfinished_since_ms.unwrap_or(now_ms));
            return;
        }
        looking.unfinished_since_ms = None;
        let finalize_at_ms = *looking.finalize_at_ms.get_or_insert(now_ms + self.settings.finalize_wait_ms);
        let silent = |id: &ServerId| {
            // A voter that has settled on the same leader in this round knows no better candidate either.
            let says = |ballot: &Ballot| ballot.state == PeerState::Looking || ballot.vote.leader == vote.leader;
            let heard = looking.received.get(id).is_some_and(says);
            *id != self.me && !heard && self.connected.contains(id)
        };
        if now_ms >= finalize_at_ms || !self.config.voters().iter().any(silent) {
            self.settle(vote, self.round, supporters, out);
        }
    }

    fn settle(&mut self, vote: Vote, round: i64, supporters: BTreeSet<ServerId>, out: &mut Vec<Output>) {
        let state = if vote.leader == self.me {
            PeerState::Leading
        } else if self.config.observes(self.me) {
            PeerState::Observing
        } else {
            PeerState::Following
        };
        // A reconfiguration's leader comes without a round; this server's own count goes on.
        self.round = if round < 0 { self.round } else { round };
        let settled = Settled { state, vote, round, supporters };
        self.phase = Phase::Settled(settled.clone());
        out.push(Output::Settled(settled));
    }

    fn tick(&mut self, now_ms: i64, out: &mut Vec<Output>) {
        let Phase::Looking(looking) = &mut self.phase else { return };
        if let Candidacy::Yields(own) = looking.candidacy
            && looking.yield_until_ms.is_some_and(|until_ms| now_ms >= until_ms)
        {
            looking.candidacy = Candidacy::Stands(own);
            if looking.proposal.is_none() {
                looking.proposal = Some(own);
                self.cast(out);
            }
        }
        self.settle_if_agreed(now_ms, out);
        self.give_way_if_unfinished(now_ms, out);
        let Phase::Looking(looking) = &mut self.phase else { return };
        if now_ms >= looking.resend_at_ms {
            looking.interval_ms = (looking.interval_ms * 2).min(self.settings.max_notification_interval_ms);
            looking.resend_at_ms = now_ms + looking.interval_ms;
            out.push(Output::Reconnect);
            self.broadcast(out);
        }
    }

    /// Goes over into a later round, with this candidate: the votes of earlier ones do not count in it.
    fn begin_round(&mut self, round: i64, proposal: Option<Vote>, now_ms: i64, out: &mut Vec<Output>) {
        self.round = round;
        if let Phase::Looking(looking) = &mut self.phase {
            looking.proposal = proposal;
            looking.received.clear();
            looking.finalize_at_ms = None;
            looking.interval_ms = self.settings.min_notification_interval_ms;
            looking.resend_at_ms = now_ms + looking.interval_ms;
        }
        self.cast(out);
    }

    /// Tells the proposal to all voters, this server among them.
    fn cast(&mut self, out: &mut Vec<Output>) {
        if let Phase::Looking(looking) = &mut self.phase
            && let Some(vote) = looking.proposal
            && self.config.is_voter(self.me)
        {
            let own = Ballot { vote, round: self.round, state: PeerState::Looking, version: 0 };
            looking.received.insert(self.me, own);
        }
        self.broadcast(out);
    }

    fn broadcast(&self, out: &mut Vec<Output>) {
        let payload = self.own_notification();
        let others = self.config.voters().into_iter().filter(|id| *id != self.me);
        out.extend(others.map(|to| Output::Send { to, payload: payload.clone() }));
    }

    fn send_own(&self, to: ServerId, out: &mut Vec<Output>) {
        out.push(Output::Send { to, payload: self.own_notification() });
    }

    /// What this server says at this moment, to whomever.
    fn own_notification(&self) -> Arc<[u8]> {
        let (vote, round) = match &self.phase {
            Phase::Settled(settled) => (settled.vote, settled.round),
            Phase::Looking(looking) => (looking.announced(self.me), self.round),
            Phase::Idle => (Vote::NOBODY, self.round),
        };
        let notification = Notification {
            state: self.state(),
            leader: vote.leader.0,
            zxid: vote.zxid.0,
            round,
            peer_epoch: vote.peer_epoch,
            version: 2,
            config: Some(&self.config_text),
        };
        notification.encode().into()
    }
}

impl Looking {
    /// Without a candidate a voter speaks like a server without a database: it is answered, not counted.
    fn announced(&self, me: ServerId) -> Vote {
        self.proposal.unwrap_or(match self.candidacy {
            Candidacy::Watches => Vote::NOBODY,
            _ => Vote { peer_epoch: self.log.map_or(-1, |log| log.epoch), zxid: NO_DATABASE, leader: me },
        })
    }
}

impl Candidacy {
    fn own_vote(self) -> Option<Vote> {
        match self {
            Candidacy::Stands(own) => Some(own),
            Candidacy::Yields(_) | Candidacy::Watches | Candidacy::Waits => None,
        }
    }

    fn may_lead(self, me: ServerId, config: &Config) -> bool {
        matches!(self, Candidacy::Stands(_)) && config.weight(me) > 0
    }

    /// Whether a candidate is better than the one proposed so far. A server of weight 0 never is.
    fn prefers(self, vote: &Vote, proposal: Option<Vote>, config: &Config) -> bool {
        let eligible = match self {
            Candidacy::Stands(_) | Candidacy::Watches => true,
            // In the discovery of the new epoch this server would refuse a leader that lacks its transactions.
            Candidacy::Yields(own) => vote.leader != own.leader && vote.is_as_advanced_as(&own),
            Candidacy::Waits => false,
        };
        let rival = proposal.filter(|rival| config.weight(rival.leader) > 0);
        eligible && config.weight(vote.leader) > 0 && rival.is_none_or(|rival| *vote > rival)
    }
}

fn config_text(config: &Config) -> Arc<[u8]> {
    config.current().to_string().into_bytes().into()
}

/// The vote that a notification carries.
fn ballot(notification: &Notification<'_>) -> Ballot {
    Ballot {
        vote: Vote {
            peer_epoch: notification.peer_epoch,
            zxid: Zxid(notification.zxid),
            leader: ServerId(notification.leader),
        },
        round: notification.round,
        state: notification.state,
        version: notification.version,
    }
}

#[cfg(test)]
mod tests;
