//! Which configuration a reconfiguration asks for.
//!
//! The request names servers to add or replace and servers to take away, or a whole configuration. The result must be a
//! configuration with which every member could start, so it is checked by the same rules as the files. (ZooKeeper 3.9,
//! `PrepRequestProcessor`, case reconfig; `QuorumPeerConfig.parseDynamicConfig`.)

use super::voters::{Member, Mistake, ServerId, Voters};
use crate::jute::Reconfig;
use crate::limits;
use std::collections::BTreeMap;
use std::net::IpAddr;
use thiserror::Error;

/// What an operator has chosen that decides about a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rules {
    /// The least number of voters: 2, or 1 where a single participant is an ensemble (`standaloneEnabled=false`).
    pub min_voters: usize,
    /// Members may have several addresses (`multiAddress.enabled`).
    pub several_addresses: bool,
}

/// Why a reconfiguration cannot be.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub(crate) enum ChangeError {
    #[error("not UTF-8")]
    NotUtf8,
    /// Single servers are changed where each has one vote.
    #[error("quorums are hierarchical; expected a whole configuration")]
    Hierarchical,
    #[error("{0:?} is no id of a server that could leave")]
    NoId(String),
    #[error("{0:?}; {EXPECTED}")]
    NoServer(String),
    #[error("{line:?}: {problem}")]
    BadServer { line: String, problem: String },
    #[error("{0:?} does not say where its clients are served; {EXPECTED}")]
    NoClientAddress(String),
    #[error("{line:?} has an address of server.{by}")]
    AddressTaken { line: String, by: ServerId },
    /// Its text is no configuration.
    #[error("{}", join(.0))]
    Mistakes(Vec<Mistake>),
    #[error("{voters} voters; expected at least {least}")]
    TooFewVoters { voters: usize, least: usize },
    #[error("every participant weighs 0; expected one that weighs something")]
    NoWeight,
    #[error("server.{0} has several addresses, and multiAddress.enabled is false")]
    SeveralAddresses(ServerId),
    #[error("{address} is of both server.{} and server.{}", ids.0, ids.1)]
    SharedAddress { address: String, ids: (ServerId, ServerId) },
    /// Its text is.
    #[error("{length} bytes; expected at most {}", limits::CONFIG_TEXT)]
    TooLong { length: usize },
}

const EXPECTED: &str = "expected server.N=host:quorumPort:electionPort[:role];[host:]clientPort";

impl Voters {
    /// What `asked` would make of this configuration, under the version given; or why it cannot be.
    pub(crate) fn changed(&self, asked: &Reconfig<'_>, rules: Rules, version: i64) -> Result<Voters, ChangeError> {
        let next = match asked.new_members {
            Some(text) => whole(text)?,
            None => self.some_changed(asked)?,
        };
        let next = next.with_version(version);
        next.check(rules)?;
        Ok(next)
    }

    fn some_changed(&self, asked: &Reconfig<'_>) -> Result<Voters, ChangeError> {
        if self.membership().groups().is_some() {
            return Err(ChangeError::Hierarchical);
        }
        let mut members: BTreeMap<ServerId, Member> =
            self.members().map(|member| (member.id, member.clone())).collect();
        for id in list(asked.leaving)? {
            let id = ServerId::parse(id).ok_or_else(|| ChangeError::NoId(id.to_owned()))?;
            members.remove(&id);
        }
        for line in list(asked.joining)? {
            let member = joining(line)?;
            if let Some(other) = members.values().find(|other| other.id != member.id && clash(&member, other)) {
                return Err(ChangeError::AddressTaken { line: line.to_owned(), by: other.id });
            }
            members.insert(member.id, member);
        }
        let lines: Vec<(String, String)> =
            members.values().map(|member| (format!("server.{}", member.id), member.to_string())).collect();
        Voters::from_pairs(lines.iter().map(|(key, value)| (key.as_str(), value.as_str())))
            .map_err(ChangeError::Mistakes)
    }

    /// The rules of [`crate::config`] for what a file describes, as far as they are about the whole.
    fn check(&self, rules: Rules) -> Result<(), ChangeError> {
        let voters = self.voters().count();
        if voters < rules.min_voters {
            return Err(ChangeError::TooFewVoters { voters, least: rules.min_voters });
        }
        if self.voters().all(|id| self.weight(id) == 0) {
            return Err(ChangeError::NoWeight);
        }
        if let Some(member) = self.members().find(|member| member.addresses.len() > 1)
            && !rules.several_addresses
        {
            return Err(ChangeError::SeveralAddresses(member.id));
        }
        let members: Vec<&Member> = self.members().collect();
        for (index, member) in members.iter().enumerate() {
            for earlier in &members[..index] {
                if let Some(address) = member.shared_address(earlier) {
                    return Err(ChangeError::SharedAddress {
                        address: address.to_string(),
                        ids: (earlier.id, member.id),
                    });
                }
            }
        }
        let length = self.to_string().len();
        if length > limits::CONFIG_TEXT {
            return Err(ChangeError::TooLong { length });
        }
        Ok(())
    }
}

fn whole(text: &[u8]) -> Result<Voters, ChangeError> {
    let lines: Vec<u8> = text.iter().map(|byte| if *byte == b',' { b'\n' } else { *byte }).collect();
    Voters::parse(&lines).map_err(ChangeError::Mistakes)
}

/// The parts between commas, without those that are blank. Null is none.
fn list(text: Option<&[u8]>) -> Result<Vec<&str>, ChangeError> {
    let text = std::str::from_utf8(text.unwrap_or_default()).map_err(|_| ChangeError::NotUtf8)?;
    Ok(text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect())
}

/// `server.N=…`, with where its clients are served.
fn joining(line: &str) -> Result<Member, ChangeError> {
    let no_server = || ChangeError::NoServer(line.to_owned());
    let (key, value) = line.split_once('=').ok_or_else(no_server)?;
    let number = key.trim().rsplit('.').next().unwrap_or_default();
    let id = ServerId::parse(number).ok_or_else(no_server)?;
    let member =
        Member::parse(id, value).map_err(|problem| ChangeError::BadServer { line: line.to_owned(), problem })?;
    if member.client.is_none() {
        return Err(ChangeError::NoClientAddress(line.to_owned()));
    }
    Ok(member)
}

/// Whether both servers claim the same `host:port`, the client port included. Wildcard and loopback addresses are not
/// compared.
fn clash(one: &Member, other: &Member) -> bool {
    let ends = |member: &Member| -> Vec<(String, u16)> {
        let quorum = member.addresses.iter().map(|address| (address.host.clone(), address.quorum_port));
        let election = member.addresses.iter().map(|address| (address.host.clone(), address.election_port));
        let client = member.client.iter().map(|client| (client.host.clone(), client.port));
        let is_its_own = |host: &str| match host.parse::<IpAddr>() {
            Ok(address) => !address.is_loopback() && !address.is_unspecified(),
            Err(_) => !host.eq_ignore_ascii_case("localhost"),
        };
        quorum.chain(election).chain(client).filter(|(host, _)| is_its_own(host)).collect()
    };
    let theirs = ends(other);
    ends(one).iter().any(|end| theirs.contains(end))
}

fn join(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { min_voters: 2, several_addresses: false };

    fn three() -> Voters {
        let lines = (1..=3).map(|id| format!("server.{id}=h{id}:2888:3888:participant;2181\n"));
        Voters::parse(lines.collect::<String>().as_bytes()).unwrap()
    }

    fn some<'a>(joining: &'a str, leaving: &'a str) -> Reconfig<'a> {
        Reconfig { joining: Some(joining.as_bytes()), leaving: Some(leaving.as_bytes()), ..Reconfig::default() }
    }

    fn ids(voters: &Voters) -> Vec<i64> {
        voters.members().map(|member| member.id.0).collect()
    }

    #[test]
    fn servers_leave_and_join() {
        let next = three().changed(&some("server.4=h4:2888:3888;2181", " 2 , 9,"), RULES, 0x1_0000_0007).unwrap();
        assert_eq!(ids(&next), [1, 3, 4]);
        assert_eq!(next.version(), 0x1_0000_0007);
        assert_eq!(next.member(ServerId(4)).unwrap().to_string(), "h4:2888:3888:participant;0.0.0.0:2181");
        let replaced = three().changed(&some("server.3=h3:2888:3888:observer;2182", ""), RULES, 7).unwrap();
        assert_eq!(ids(&replaced), [1, 2, 3]);
        assert_eq!(replaced.voters().count(), 2);
        let moved = three().changed(&some("server.4=h1:2888:3888;2181", "1"), RULES, 7).unwrap();
        assert_eq!(ids(&moved), [2, 3, 4], "who leaves gives its address free");
    }

    #[test]
    fn a_whole_configuration_takes_the_place_of_the_old_one() {
        let text = "server.1=h1:1:2;3,server.2=h2:1:2:observer;3\nserver.3=h3:1:2;3,version=55";
        let asked = Reconfig { new_members: Some(text.as_bytes()), joining: Some(b"junk"), ..Reconfig::default() };
        let next = three().changed(&asked, RULES, 9).unwrap();
        assert_eq!((ids(&next), next.voters().count(), next.version()), (vec![1, 2, 3], 2, 9));
        let groups = "server.1=a:1:2,server.2=b:1:2,group.1=1:2,weight.1=2";
        let next = three().changed(&Reconfig { new_members: Some(groups.as_bytes()), ..asked }, RULES, 9).unwrap();
        assert_eq!(next.weight(ServerId(1)), 2);
        let error = next.changed(&some("server.3=h3:1:2;3", ""), RULES, 10).unwrap_err();
        assert!(error.to_string().contains("hierarchical"), "{error}");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (joining, leaving, expected) in [
            ("server.4=h4:2888:3888", "", "does not say where its clients"),
            ("server.4", "", "expected server.N="),
            ("server.x=h4:2888:3888;2181", "", "expected server.N="),
            ("server.4=h4:2888;2181", "", "expected host:quorumPort"),
            ("server.4=h1:2888:3999;2181", "", "has an address of server.1"),
            ("server.4=h4:2888:3888;h2:2888", "", "has an address of server.2"),
            ("server.4=h4:1:2|h5:1:2;2181", "", "multiAddress.enabled"),
            ("", "2,3", "1 voters; expected at least 2"),
            ("", "1,2,3", "expected at least one"),
            ("", "two", "is no id"),
        ] {
            let error = three().changed(&some(joining, leaving), RULES, 7).expect_err(joining);
            assert!(error.to_string().contains(expected), "{joining:?} {leaving:?}: {error}");
        }
        for (text, expected) in [
            ("", "at least one"),
            ("server.1=h:1:2,dataDir=/", "dataDir"),
            ("server.1=h:1:2,server.2=h:3:2", "h:2 is of both"),
            ("server.1=a:1:2,server.2=b:1:2,group.1=1:2,weight.1=0,weight.2=0", "weighs 0"),
        ] {
            let asked = Reconfig { new_members: Some(text.as_bytes()), ..Reconfig::default() };
            let error = three().changed(&asked, RULES, 7).expect_err(text);
            assert!(error.to_string().contains(expected), "{text:?}: {error}");
        }
        let many: String = (1..3000).map(|id| format!("server.{id}=10.0.{}.{}:1:2;3,", id / 250, id % 250)).collect();
        let asked = Reconfig { new_members: Some(many.as_bytes()), ..Reconfig::default() };
        assert!(three().changed(&asked, RULES, 7).unwrap_err().to_string().contains("bytes; expected at most"));
    }

    #[test]
    fn one_voter_is_enough_where_one_is_an_ensemble() {
        let rules = Rules { min_voters: 1, ..RULES };
        assert_eq!(ids(&three().changed(&some("", "2,3"), rules, 7).unwrap()), [1]);
    }

    #[test]
    fn addresses_of_every_machine_do_not_clash() {
        let one = Member::parse(ServerId(1), "127.0.0.1:1:2;0.0.0.0:3").unwrap();
        let other = Member::parse(ServerId(2), "127.0.0.1:4:5;0.0.0.0:3").unwrap();
        assert!(!clash(&one, &other));
    }
}
