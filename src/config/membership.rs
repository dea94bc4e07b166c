//! Who belongs to an ensemble, and in which groups and with which weights they vote.
//!
//! [`Membership`] is one configuration of an ensemble as a text: the keys `server.N`, `group.N`, `weight.N` and
//! `version` of zoo.cfg, of dynamic configuration files, of election notifications, NEWLEADER and reconfig
//! transactions, and of `/zookeeper/config`. It is read leniently and written byte for byte as
//! `QuorumMaj.toString` and `QuorumHierarchical.toString` of ZooKeeper 3.9 write it, down to the order of Java's
//! hash maps. What makes a quorum of it is not said here.

use super::member::{Member, MemberRole, ServerId};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

/// One configuration of an ensemble, consistent in itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Membership {
    members: BTreeMap<ServerId, Member>,
    groups: Option<Groups>,
    version: i64,
}

/// Hierarchical quorums: disjoint groups of weighted servers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Groups {
    /// Server to group; every participant is in one.
    pub of: BTreeMap<ServerId, i64>,
    /// Of every server in a group, 0 or more; and whatever else was given a weight.
    pub weights: BTreeMap<ServerId, i64>,
}

impl Membership {
    /// Whether this is a key of a membership: what [`Draft::take`] should be given.
    pub(crate) fn is_key(key: &str) -> bool {
        key == "version" || ["server.", "group.", "weight."].iter().any(|prefix| key.starts_with(prefix))
    }

    /// All members, in the order of their ids.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// One member.
    pub(crate) fn member(&self, id: ServerId) -> Option<&Member> {
        self.members.get(&id)
    }

    /// Those who vote, in the order of their ids.
    pub(crate) fn participants(&self) -> impl Iterator<Item = &Member> {
        self.members.values().filter(|member| member.role == MemberRole::Participant)
    }

    /// Groups and weights, if quorums are hierarchical.
    pub(crate) fn groups(&self) -> Option<&Groups> {
        self.groups.as_ref()
    }

    /// The zxid of the reconfiguration this came from; 0 for one read from a static file.
    pub(crate) fn version(&self) -> i64 {
        self.version
    }

    /// The same members and groups under another version.
    pub(crate) fn with_version(mut self, version: i64) -> Membership {
        self.version = version;
        self
    }

    /// Whether both say the same but for the version.
    pub(crate) fn same_but_version(&self, other: &Membership) -> bool {
        self.members == other.members && self.groups == other.groups
    }
}

/// The text form, without a line end at its end.
impl fmt::Display for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for id in java_order(self.members.keys().map(|id| id.0)) {
            writeln!(f, "server.{id}={}", self.members[&ServerId(id)])?;
        }
        if let Some(groups) = &self.groups {
            let mut lines: BTreeMap<i64, String> = BTreeMap::new();
            for id in java_order(groups.of.keys().map(|id| id.0)) {
                let line = lines.entry(groups.of[&ServerId(id)]).or_default();
                let separator = if line.is_empty() { "" } else { ":" };
                write!(line, "{separator}{id}")?;
            }
            for group in java_order(lines.keys().copied()) {
                writeln!(f, "group.{group}={}", lines[&group])?;
            }
            for id in java_order(groups.weights.keys().map(|id| id.0)) {
                writeln!(f, "weight.{id}={}", groups.weights[&ServerId(id)])?;
            }
        }
        write!(f, "version={:x}", self.version)
    }
}

/// The order in which a Java `HashMap<Long, _>` of these keys is walked: by bucket. Within a bucket Java's
/// order is that of insertion, which a text does not tell; here it is ascending.
fn java_order(ids: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut ids: Vec<i64> = ids.collect();
    let mut buckets: u32 = 16;
    while ids.len() as u64 > u64::from(buckets) * 3 / 4 {
        buckets *= 2;
    }
    ids.sort_by_key(|id| {
        let hash = (*id as u64 ^ (*id as u64 >> 32)) as u32;
        ((hash ^ (hash >> 16)) & (buckets - 1), *id)
    });
    ids
}

/// What is wrong with a membership as a whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Problem {
    /// The server it is about, if it is about one.
    pub server: Option<ServerId>,
    /// What is wrong and what was expected.
    pub text: String,
}

/// A membership being read, key by key.
#[derive(Default)]
pub(crate) struct Draft {
    members: BTreeMap<ServerId, Member>,
    groups: Groups,
    /// The group numbers seen, and whether any key of hierarchical quorums was.
    group_numbers: BTreeSet<i64>,
    hierarchical: bool,
    version: Option<i64>,
}

const GIVEN_TWICE: &str = "given twice; expected once";

impl Draft {
    /// Takes one key; answers with what is wrong or was expected instead.
    pub(crate) fn take(&mut self, key: &str, value: &str) -> Result<(), String> {
        if let Some(id) = key.strip_prefix("server.") {
            let id = ServerId::parse(id).ok_or("expected server.N with N a server id")?;
            let member = Member::parse(id, value)?;
            if self.members.insert(id, member).is_some() {
                return Err(GIVEN_TWICE.to_owned());
            }
        } else if let Some(number) = key.strip_prefix("group.") {
            self.hierarchical = true;
            let number: i64 = number.parse().map_err(|_| "expected group.N with N a number")?;
            if !self.group_numbers.insert(number) {
                return Err(GIVEN_TWICE.to_owned());
            }
            for id in value.split(':') {
                let id = ServerId::parse(id.trim()).ok_or("expected server ids separated by colons, like 1:2:3")?;
                if self.groups.of.insert(id, number).is_some() {
                    return Err(format!("server {id} is in two groups; expected each in one"));
                }
            }
        } else if let Some(id) = key.strip_prefix("weight.") {
            self.hierarchical = true;
            let id = ServerId::parse(id).ok_or("expected weight.N with N a server id")?;
            let weight: i64 =
                value.parse().ok().filter(|weight| *weight >= 0).ok_or("expected a weight of 0 or more")?;
            if self.groups.weights.insert(id, weight).is_some() {
                return Err(GIVEN_TWICE.to_owned());
            }
        } else if key == "version" {
            let version = i64::from_str_radix(value, 16).ok().filter(|version| *version >= 0);
            if self.version.replace(version.ok_or("expected a hexadecimal number without 0x")?).is_some() {
                return Err(GIVEN_TWICE.to_owned());
            }
        } else {
            return Err("expected server.N, group.N, weight.N or version".to_owned());
        }
        Ok(())
    }

    /// Whether no server was taken.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// What was taken as a whole. It may have no participant: whether that is a mistake depends on where it
    /// stands.
    pub(crate) fn finish(mut self) -> Result<Membership, Vec<Problem>> {
        let mut problems = vec![];
        if self.hierarchical {
            let participants = self.members.values().filter(|member| member.role == MemberRole::Participant);
            for id in participants.map(|member| member.id) {
                if !self.groups.of.contains_key(&id) {
                    let text =
                        format!("server {id} is in no group.N; with groups or weights every participant must be");
                    problems.push(Problem { server: Some(id), text });
                }
                self.groups.weights.entry(id).or_insert(1);
            }
            for id in self.groups.of.keys().filter(|id| !self.groups.weights.contains_key(id)) {
                let text = format!("server {id} is in a group, but is no participant and has no weight.{id}");
                problems.push(Problem { server: Some(*id), text });
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let groups = self.hierarchical.then_some(self.groups);
        Ok(Membership { members: self.members, groups, version: self.version.unwrap_or(0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(lines: &[&str]) -> (Draft, Vec<String>) {
        let mut draft = Draft::default();
        let mut wrong = vec![];
        for line in lines {
            let (key, value) = line.split_once('=').unwrap();
            wrong.extend(draft.take(key, value).err().map(|problem| format!("{key}: {problem}")));
        }
        (draft, wrong)
    }

    fn membership(text: &str) -> Membership {
        let lines: Vec<&str> = text.lines().collect();
        let (draft, wrong) = draft(&lines);
        assert_eq!(wrong, Vec::<String>::new());
        draft.finish().unwrap()
    }

    #[test]
    fn the_text_is_what_it_was() {
        let majority = "server.1=h1:2888:3888:participant\nserver.2=h2:2888:3888:participant;0.0.0.0:2181\n\
                        server.3=h3:2888:3888:observer\nversion=100000000";
        assert_eq!(membership(majority).to_string(), majority);
        assert_eq!(membership(majority).version(), 1 << 32);
        assert_eq!(membership(majority).participants().count(), 2);
        assert!(membership(majority).same_but_version(&membership(majority).with_version(7)));
        let groups = "server.1=h:1:2:participant\nserver.2=h:3:4:participant\nserver.3=h:5:6:participant\n\
                      group.1=1:3\ngroup.2=2\nweight.1=3\nweight.2=0\nweight.3=1\nversion=0";
        assert_eq!(membership(groups).to_string(), groups);
        assert_eq!(membership(&groups.replace("weight.3=1\n", "")).to_string(), groups, "a weight is 1 by default");
    }

    #[test]
    fn servers_stand_in_the_order_of_javas_hash_map() {
        // Sixteen buckets up to twelve entries: 17 falls into bucket 1, before 2. Thirteen entries make it 32.
        assert_eq!(java_order([2, 17, 3].into_iter()), [17, 2, 3]);
        assert_eq!(java_order((2..=13).chain([17])), (2..=13).chain([17]).collect::<Vec<_>>());
        assert_eq!(java_order([1 << 32, 0, 0x10000].into_iter()), [0, 0x10000, 1 << 32]);
    }

    #[test]
    fn keys_are_taken_one_by_one_or_refused() {
        let lines = [
            "server.x=h:1:2",
            "server.1=h:1:2",
            "server.1=h:1:2",
            "group.a=1",
            "group.1=1:b",
            "group.1=2",
            "group.2=1",
            "weight.1=-1",
            "weight.2=1",
            "weight.2=1",
            "version=0x1",
            "version=1",
            "version=1",
            "peerType=observer",
        ];
        let (_, wrong) = draft(&lines);
        assert_eq!(
            wrong,
            [
                "server.x: expected server.N with N a server id",
                "server.1: given twice; expected once",
                "group.a: expected group.N with N a number",
                "group.1: expected server ids separated by colons, like 1:2:3",
                "group.1: given twice; expected once",
                "group.2: server 1 is in two groups; expected each in one",
                "weight.1: expected a weight of 0 or more",
                "weight.2: given twice; expected once",
                "version: expected a hexadecimal number without 0x",
                "version: given twice; expected once",
                "peerType: expected server.N, group.N, weight.N or version",
            ]
        );
        for line in lines {
            let key = line.split('=').next().unwrap();
            assert_eq!(Membership::is_key(key), key != "peerType", "{key}");
        }
    }

    #[test]
    fn every_participant_is_in_a_group() {
        let lines = ["server.1=h:1:2", "server.2=h:1:2", "server.3=h:1:2:observer", "group.1=1:3:4", "weight.4=1"];
        let problems = draft(&lines).0.finish().unwrap_err();
        let about: Vec<_> = problems.iter().map(|problem| problem.server.unwrap().0).collect();
        assert_eq!(about, [2, 3], "{problems:?}");
        assert!(draft(&[]).0.is_empty() && draft(&[]).0.finish().unwrap().members().next().is_none());
    }
}
