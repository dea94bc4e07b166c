//! Who belongs to the ensemble, who votes, and what makes a quorum: by majority, or by groups and weights.
//!
//! [`Voters`] is one configuration: a [`Membership`], whose text is ZooKeeper's own (it travels in election
//! notifications, NEWLEADER and reconfig transactions, and stands in `/zookeeper/config`), and the rule by which
//! its servers are a quorum. [`Config`] is the pair that counts while a reconfiguration is under way: what
//! was agreed on, and what is proposed. A quorum then has to stand in both.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::config::membership::{Draft, Membership};
use crate::config::properties;
use thiserror::Error;

pub(crate) use crate::config::member::Member;
pub(crate) use crate::config::member::{MemberAddress, MemberClient, MemberRole, ServerId};

/// One reason why a configuration is none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Mistake {
    /// The key; empty where the configuration as a whole is meant.
    pub key: String,
    /// The value as it was given.
    pub value: String,
    /// What is wrong and what was expected.
    pub problem: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{} = {:?}: ", self.key, self.value)?;
        }
        f.write_str(&self.problem)
    }
}

impl std::error::Error for Mistake {}

/// A membership without a participant is no configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("no server.N is a participant; expected at least one")]
pub(crate) struct NobodyVotes;

/// One configuration of the ensemble, with at least one participant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Voters(Membership);

impl Voters {
    /// Reads the text form: `key=value` lines in any order, blank lines and comments skipped. Every mistake
    /// is reported.
    pub(crate) fn parse(text: &[u8]) -> Result<Voters, Vec<Mistake>> {
        // A file may be of another time; what servers tell each other, and a znode holds, is UTF-8.
        if std::str::from_utf8(text).is_err() {
            let problem = "the text is no UTF-8".to_owned();
            return Err(vec![Mistake { key: "the configuration".to_owned(), value: String::new(), problem }]);
        }
        let (entries, malformed) = properties::parse(text);
        let pairs = entries.iter().map(|entry| (entry.key.as_str(), entry.value.as_str()));
        let outcome = Voters::from_pairs(pairs);
        if malformed.is_empty() {
            return outcome;
        }
        let bad_line = |line: properties::MalformedLine| Mistake {
            key: format!("line {}", line.line),
            value: String::new(),
            problem: line.problem.to_owned(),
        };
        let mut mistakes: Vec<_> = malformed.into_iter().map(bad_line).collect();
        mistakes.extend(outcome.err().into_iter().flatten());
        Err(mistakes)
    }

    /// Reads the keys `server.N`, `group.N`, `weight.N` and `version`; any other key is a mistake.
    pub(crate) fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Voters, Vec<Mistake>> {
        let mut draft = Draft::default();
        let mut mistakes = vec![];
        for (key, value) in pairs {
            if let Err(problem) = draft.take(key, value) {
                mistakes.push(Mistake { key: key.to_owned(), value: value.to_owned(), problem });
            }
        }
        let whole = |problem: String| Mistake { key: String::new(), value: String::new(), problem };
        match draft.finish() {
            Ok(membership) if mistakes.is_empty() => {
                Voters::new(membership).map_err(|error| vec![whole(error.to_string())])
            }
            Ok(_) => Err(mistakes),
            Err(problems) => {
                mistakes.extend(problems.into_iter().map(|problem| whole(problem.text)));
                Err(mistakes)
            }
        }
    }

    /// The voters of a membership; an error if it has no voter.
    pub(crate) fn new(membership: Membership) -> Result<Voters, NobodyVotes> {
        if membership.participants().next().is_none() {
            return Err(NobodyVotes);
        }
        Ok(Voters(membership))
    }

    /// The text and its parts.
    pub(crate) fn membership(&self) -> &Membership {
        &self.0
    }

    /// The zxid of the reconfiguration this came from; 0 for one read from a file.
    pub(crate) fn version(&self) -> i64 {
        self.0.version()
    }

    /// The same members and quorums under another version.
    pub(crate) fn with_version(self, version: i64) -> Voters {
        Voters(self.0.with_version(version))
    }

    /// All members, in the order of their ids.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        self.0.members()
    }

    /// One member.
    pub(crate) fn member(&self, id: ServerId) -> Option<&Member> {
        self.0.member(id)
    }

    /// Where this server listens for its learners when it leads: hosts and ports, none if it is no member.
    pub(crate) fn quorum_addresses(&self, id: ServerId) -> Vec<(&str, u16)> {
        let addresses = self.member(id).into_iter().flat_map(|member| &member.addresses);
        addresses.map(|address| (address.host.as_str(), address.quorum_port)).collect()
    }

    /// Where this server listens for elections: hosts and ports, none if it is no member.
    pub(crate) fn election_addresses(&self, id: ServerId) -> Vec<(&str, u16)> {
        let addresses = self.member(id).into_iter().flat_map(|member| &member.addresses);
        addresses.map(|address| (address.host.as_str(), address.election_port)).collect()
    }

    /// The ids of those who vote, ascending.
    pub(crate) fn voters(&self) -> impl Iterator<Item = ServerId> {
        self.0.participants().map(|member| member.id)
    }

    /// Whether this server's votes and acknowledgements count.
    pub(crate) fn is_voter(&self, id: ServerId) -> bool {
        self.member(id).is_some_and(|member| member.role == MemberRole::Participant)
    }

    /// Whether this server is listed as an observer.
    pub(crate) fn is_observer(&self, id: ServerId) -> bool {
        self.member(id).is_some_and(|member| member.role == MemberRole::Observer)
    }

    /// What a server's vote weighs: 0 for who does not vote, 1 for all others without hierarchical quorums.
    pub(crate) fn weight(&self, id: ServerId) -> i64 {
        match self.0.groups() {
            _ if !self.is_voter(id) => 0,
            Some(groups) => groups.weights.get(&id).copied().unwrap_or(0),
            None => 1,
        }
    }

    /// Whether these servers are a quorum; who does not vote is not counted.
    pub(crate) fn is_quorum(&self, servers: &BTreeSet<ServerId>) -> bool {
        self.is_quorum_by(|id| servers.contains(&id))
    }

    /// Whether the voters for which `holds` is true are a quorum. Majority: more than half of them.
    /// Hierarchical: more than half of the groups that weigh anything, each with more than half of its weight.
    pub(crate) fn is_quorum_by(&self, holds: impl Fn(ServerId) -> bool) -> bool {
        let Some(groups) = self.0.groups() else {
            let holding = self.voters().filter(|id| holds(*id)).count();
            return holding > self.voters().count() / 2;
        };
        let mut tally: BTreeMap<i64, (i128, i128)> = BTreeMap::new();
        for (id, group) in &groups.of {
            let weight = i128::from(groups.weights[id]);
            let (held, total) = tally.entry(*group).or_default();
            *total += weight;
            if self.is_voter(*id) && holds(*id) {
                *held += weight;
            }
        }
        let counted = tally.values().filter(|(_, total)| *total > 0).count();
        let won = tally.values().filter(|(held, total)| held * 2 > *total).count();
        won > counted / 2
    }

    /// Whether both say the same but for the version: an election need not begin anew for such a change.
    pub(crate) fn same_but_version(&self, other: &Voters) -> bool {
        self.0.same_but_version(&other.0)
    }
}

/// The text form, without a line end at its end.
impl fmt::Display for Voters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What counts at this moment: the agreed configuration and, during a reconfiguration, the proposed one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    current: Voters,
    pending: Option<Voters>,
}

impl Config {
    /// A proposed configuration counts only while it is newer than the current one (ZooKeeper 3.9,
    /// FastLeaderElection.getVoteTracker); any other is dropped.
    pub(crate) fn new(current: Voters, pending: Option<Voters>) -> Config {
        let pending = pending.filter(|pending| pending.version() > current.version());
        Config { current, pending }
    }

    /// What was agreed on.
    pub(crate) fn current(&self) -> &Voters {
        &self.current
    }

    /// What is proposed, always newer than [`Config::current`].
    pub(crate) fn pending(&self) -> Option<&Voters> {
        self.pending.as_ref()
    }

    /// Current and pending, as far as there.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Voters> {
        std::iter::once(&self.current).chain(&self.pending)
    }

    /// The voters of either configuration: who is asked, and who is listened to.
    pub(crate) fn voters(&self) -> BTreeSet<ServerId> {
        self.all().flat_map(Voters::voters).collect()
    }

    /// Whether this server votes in either configuration.
    pub(crate) fn is_voter(&self, id: ServerId) -> bool {
        self.all().any(|voters| voters.is_voter(id))
    }

    /// Whether this server follows without a voice: it is listed as an observer, and votes in no configuration that counts.
    pub(crate) fn observes(&self, id: ServerId) -> bool {
        self.current.is_observer(id) && !self.is_voter(id)
    }

    /// What a candidate weighs: in the current configuration if it votes there, else in the pending one.
    pub(crate) fn weight(&self, id: ServerId) -> i64 {
        self.all().find(|voters| voters.is_voter(id)).map_or(0, |voters| voters.weight(id))
    }

    /// A member as the current configuration knows it, else as the pending one does.
    pub(crate) fn member(&self, id: ServerId) -> Option<&Member> {
        self.all().find_map(|voters| voters.member(id))
    }

    /// Whether these servers are a quorum of every configuration that counts.
    pub(crate) fn is_quorum_in_all(&self, servers: &BTreeSet<ServerId>) -> bool {
        self.is_quorum_in_all_by(|id| servers.contains(&id))
    }

    /// Whether these servers are a quorum of one of the configurations that count.
    pub(crate) fn is_quorum_in_any(&self, servers: &BTreeSet<ServerId>) -> bool {
        self.all().any(|voters| voters.is_quorum(servers))
    }

    /// Whether those for which `holds` is true are a quorum of every configuration that counts.
    pub(crate) fn is_quorum_in_all_by(&self, holds: impl Fn(ServerId) -> bool) -> bool {
        self.all().all(|voters| voters.is_quorum_by(&holds))
    }
}

#[cfg(test)]
mod tests;
