//! One server of an ensemble as `server.N` describes it: its id, its addresses, its role and where its
//! clients are served.
//!
//! The form is ZooKeeper 3.9's (QuorumPeer.QuorumServer), from the legacy `host:quorumPort:electionPort` to
//! several addresses with role and client address:
//! `host:quorum:election[:role][|host:quorum:election…];[clientHost:]clientPort`. Read leniently, written byte
//! for byte as ZooKeeper writes it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// The number of a server of the ensemble (`server.N`, `myid`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub i64);

impl ServerId {
    /// An id as a server may have it: negative ones name connections without one, the largest stands for
    /// "none".
    pub(crate) fn parse(text: &str) -> Option<ServerId> {
        text.parse().ok().filter(|id| (0..i64::MAX).contains(id)).map(ServerId)
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a member does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MemberRole {
    /// Votes, acknowledges, may lead.
    Participant,
    /// Follows, and is never counted.
    Observer,
}

impl MemberRole {
    /// The role of that name, in any case.
    pub(crate) fn named(name: &str) -> Option<MemberRole> {
        [MemberRole::Participant, MemberRole::Observer].into_iter().find(|role| role.name().eq_ignore_ascii_case(name))
    }

    /// Its name in a configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            MemberRole::Participant => "participant",
            MemberRole::Observer => "observer",
        }
    }
}

/// One address of a member, for both of its ports.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct MemberAddress {
    /// A name or an address literal, without brackets.
    pub host: String,
    /// Where a leader listens for its learners.
    pub quorum_port: u16,
    /// Where every server listens for elections.
    pub election_port: u16,
}

impl MemberAddress {
    /// Whether only the machine itself can reach it. A name other than `localhost` counts as reachable, since
    /// what it resolves to is not known here.
    pub(crate) fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => self.host.eq_ignore_ascii_case("localhost"),
        }
    }

    /// Whether it stands for every address of its machine.
    pub(crate) fn is_wildcard(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified())
    }
}

/// Where clients reach a member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct MemberClient {
    /// A name or an address literal, without brackets; `0.0.0.0` where only a port was given.
    pub host: String,
    pub port: u16,
}

/// One `server.N` of the configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Member {
    pub id: ServerId,
    /// At least one, sorted by host.
    pub addresses: Vec<MemberAddress>,
    pub role: MemberRole,
    /// `None` where the text has none: that server's clients are its own file's business.
    pub client: Option<MemberClient>,
}

const SPECIFICATION: &str = "expected host:quorumPort:electionPort[:participant|observer][;[host:]clientPort]";

impl Member {
    /// Reads the value of `server.N`; answers with what was expected instead.
    pub(crate) fn parse(id: ServerId, text: &str) -> Result<Member, String> {
        let (servers, client) = match text.split_once(';') {
            Some((servers, client)) => (servers, Some(member_client(client)?)),
            None => (text, None),
        };
        let mut addresses = vec![];
        let mut role = None;
        for server in servers.split('|') {
            let (address, own_role) = member_address(server)?;
            if address.quorum_port == address.election_port {
                return Err(format!("port {} is given twice; expected different ports", address.quorum_port));
            }
            if own_role.is_some() && role.is_some() && own_role != role {
                return Err("two roles for one server; expected one".to_owned());
            }
            role = role.or(own_role);
            addresses.push(address);
        }
        addresses.sort();
        Ok(Member { id, addresses, role: role.unwrap_or(MemberRole::Participant), client })
    }

    /// A `host:port` between servers that both claim. Wildcards are nobody's in particular.
    pub(crate) fn shared_address(&self, other: &Member) -> Option<String> {
        let ends = |member: &Member| -> Vec<(String, u16)> {
            let named = member.addresses.iter().filter(|address| !address.is_wildcard());
            named.flat_map(|at| [at.quorum_port, at.election_port].map(|port| (at.host.clone(), port))).collect()
        };
        let theirs = ends(other);
        let shared = ends(self).into_iter().find(|end| theirs.contains(end));
        shared.map(|(host, port)| format!("{}:{port}", Bracketed(&host)))
    }
}

/// The value of `server.N`, role always included.
impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, address) in self.addresses.iter().enumerate() {
            let separator = if index == 0 { "" } else { "|" };
            let host = Bracketed(&address.host);
            write!(f, "{separator}{host}:{}:{}", address.quorum_port, address.election_port)?;
        }
        write!(f, ":{}", self.role.name())?;
        match &self.client {
            Some(client) => write!(f, ";{}:{}", Bracketed(&client.host), client.port),
            None => Ok(()),
        }
    }
}

struct Bracketed<'a>(&'a str);

impl fmt::Display for Bracketed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') { write!(f, "[{}]", self.0) } else { f.write_str(self.0) }
    }
}

fn member_address(text: &str) -> Result<(MemberAddress, Option<MemberRole>), String> {
    let (host, rest) = split_host(text.trim()).ok_or(SPECIFICATION)?;
    let mut parts = rest.split(':');
    let mut next_port = || port(parts.next().ok_or(SPECIFICATION)?);
    let (quorum_port, election_port) = (next_port()?, next_port()?);
    let role = match parts.next().map(str::trim) {
        None => None,
        Some(name) => match MemberRole::named(name) {
            None => return Err(format!("unknown role {name:?}; expected participant or observer")),
            role => role,
        },
    };
    match parts.next() {
        None => Ok((MemberAddress { host: java_host(host)?, quorum_port, election_port }, role)),
        Some(_) => Err(SPECIFICATION.to_owned()),
    }
}

fn member_client(text: &str) -> Result<MemberClient, String> {
    let text = text.trim();
    match split_host(text) {
        Some((host, rest)) => Ok(MemberClient { host: java_host(host)?, port: port(rest)? }),
        None => Ok(MemberClient { host: "0.0.0.0".to_owned(), port: port(text)? }),
    }
}

/// Cuts `host:rest` or `[address]:rest`.
fn split_host(text: &str) -> Option<(&str, &str)> {
    match text.strip_prefix('[') {
        Some(text) => text.split_once("]:"),
        None => text.split_once(':'),
    }
}

fn port(text: &str) -> Result<u16, String> {
    let port = text.trim().parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| format!("{text:?} is no port; {SPECIFICATION}"))
}

/// A host as Java prints it back: names as they are, IPv6 literals with all eight groups, addresses of IPv4
/// in IPv6 as IPv4.
fn java_host(host: &str) -> Result<String, String> {
    if host.is_empty() || host.chars().any(|c| c.is_whitespace() || c.is_control() || "[]|;,=".contains(c)) {
        return Err(format!("{host:?} is no host; {SPECIFICATION}"));
    }
    Ok(match host.parse::<Ipv6Addr>().map(|address| (address.to_ipv4_mapped(), address.segments())) {
        Ok((Some(ipv4), _)) => ipv4.to_string(),
        Ok((None, groups)) => groups.map(|group| format!("{group:x}")).join(":"),
        Err(_) => host.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(text: &str) -> Member {
        Member::parse(ServerId(1), text).unwrap_or_else(|expected| panic!("{text:?}: {expected}"))
    }

    #[test]
    fn every_form_is_read_and_written_in_full() {
        for (text, written) in [
            ("zk1:2888:3888", "zk1:2888:3888:participant"),
            ("zk1:2888:3888:Observer", "zk1:2888:3888:observer"),
            ("zk1:2888:3888;2181", "zk1:2888:3888:participant;0.0.0.0:2181"),
            (" zk1:2888:3888 ; 10.0.0.1:2181", "zk1:2888:3888:participant;10.0.0.1:2181"),
            (
                "[::1]:2888:3888:observer;[fe80::1]:2181",
                "[0:0:0:0:0:0:0:1]:2888:3888:observer;[fe80:0:0:0:0:0:0:1]:2181",
            ),
            ("[::ffff:10.0.0.1]:1:2", "10.0.0.1:1:2:participant"),
            ("b:1:2|[2001:db8::1]:5:6|a:3:4:observer", "[2001:db8:0:0:0:0:0:1]:5:6|a:3:4|b:1:2:observer"),
        ] {
            assert_eq!(member(text).to_string(), written, "{text:?}");
            assert_eq!(member(written), member(text), "{written:?}");
        }
    }

    #[test]
    fn what_is_no_member_is_told_what_was_expected() {
        for (text, expected) in [
            ("", "expected host:quorumPort"),
            ("h", "expected host:quorumPort"),
            ("h:1", "expected host:quorumPort"),
            ("h:1:2:observer:3", "expected host:quorumPort"),
            ("h:1:2|", "expected host:quorumPort"),
            ("h:1:1", "different ports"),
            ("h:1:2:witness", "participant or observer"),
            ("h:0:2", "\"0\" is no port"),
            ("h:1:70000", "\"70000\" is no port"),
            ("h:1:2;", "\"\" is no port"),
            ("h:1:2;1;2", "\"1;2\" is no port"),
            (":1:2", "\"\" is no host"),
            ("a b:1:2", "\"a b\" is no host"),
            ("[::1:1:2", "expected host:quorumPort"),
            ("h:1:2:participant|g:1:2:observer", "two roles"),
        ] {
            let problem = Member::parse(ServerId(1), text).expect_err(text);
            assert!(problem.contains(expected), "{text:?}: {problem}");
        }
    }

    #[test]
    fn ids() {
        assert_eq!(["0", "254", "+7"].map(|id| ServerId::parse(id).unwrap().0), [0, 254, 7]);
        for wrong in ["", "-1", "x", "1.0", "9223372036854775807", "99999999999999999999"] {
            assert_eq!(ServerId::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn reach() {
        let address = |text: &str| member(text).addresses.remove(0);
        for local in ["127.0.0.1:1:2", "127.3.2.1:1:2", "[::1]:1:2", "LocalHost:1:2"] {
            assert!(address(local).is_loopback(), "{local}");
        }
        for open in ["10.0.0.1:1:2", "0.0.0.0:1:2", "[::]:1:2", "zk1:1:2", "localhost.example:1:2"] {
            assert!(!address(open).is_loopback(), "{open}");
        }
        assert!(address("[::]:1:2").is_wildcard() && !address("zk1:1:2").is_wildcard());
    }

    #[test]
    fn addresses_claimed_twice() {
        let shared = |one: &str, other: &str| member(one).shared_address(&member(other));
        assert_eq!(shared("a:1:2", "a:3:1"), Some("a:1".to_owned()));
        assert_eq!(shared("[::1]:1:2", "b:1:2|[::1]:5:2"), Some("[0:0:0:0:0:0:0:1]:2".to_owned()));
        assert_eq!(shared("a:1:2", "a:3:4"), None);
        assert_eq!(shared("0.0.0.0:1:2", "0.0.0.0:1:2"), None);
    }
}
