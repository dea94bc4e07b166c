//! What is known about a server, in plain data: the arguments of [`super::words`], and how they come from what the server's
//! parts tell.

use crate::ids::{SessionId, Zxid};
use crate::server::count::SummaryValues;
use crate::server::facts::{ConnectionFacts, Facts};
use crate::server::stats::Mode;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// What `srvr` says, and `stat` after its list of clients.
#[derive(Clone, Debug)]
pub struct ServerFacts {
    /// From the arrival of a request until its answer, milliseconds.
    pub latency: SummaryValues,
    /// Requests of clients, since the last `srst`.
    pub packets_received: u64,
    /// Answers and events, since the last `srst`.
    pub packets_sent: u64,
    /// Of clients, open now.
    pub connections: u64,
    /// Requests whose answers are awaited from the quorum core.
    pub outstanding: u64,
    /// The newest one that is durable and visible.
    pub zxid: Zxid,
    /// What the server is at the moment.
    pub mode: Mode,
    /// Bytes of a leader's last, smallest and largest proposal; `None` before the first proposal.
    pub proposal_sizes: Option<(u64, u64, u64)>,
    /// As ZooKeeper counts: the root twice, so that an empty tree has five.
    pub znodes: u64,
}

/// Sets that expire together: the time, in milliseconds since 1970, and the members of the set.
pub(crate) type Expiry<T> = Vec<(i64, Vec<T>)>;

/// What `dump` says.
#[derive(Clone, Debug, Default)]
pub(crate) struct DumpFacts {
    /// Soonest first.
    pub sessions: Expiry<SessionId>,
    /// Those that the server alone knows, soonest first, if it opens such ones.
    pub local: Option<Expiry<SessionId>>,
    /// In place of `sessions` on a server that does not decide who expires: all with their timeouts, ms.
    pub global: Option<Vec<(SessionId, i32)>>,
    /// Sessions that own ephemeral znodes, with their paths.
    pub ephemerals: Vec<(SessionId, Vec<Vec<u8>>)>,
    /// Soonest first.
    pub connections: Expiry<(SocketAddr, SessionId)>,
}

/// Sizes of the two directories, bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct DirectorySizes {
    pub data: u64,
    pub log: u64,
}

/// All connections, by shard and slot.
pub fn connections(facts: &Facts) -> impl Iterator<Item = &ConnectionFacts> {
    facts.shards.iter().flat_map(|shard| &shard.connections)
}

/// What `dump` says at `wall_ms`. A connection without a session goes when it has had `setup_ms`; one with a session when that
/// expires.
pub(crate) fn dump(facts: &Facts, wall_ms: i64, setup_ms: i64) -> DumpFacts {
    let dated = |expiry: &[(i64, Vec<SessionId>)]| -> Expiry<SessionId> {
        expiry.iter().map(|(from_now, sessions)| (wall_ms + from_now, sessions.clone())).collect()
    };
    let (sessions, local) = (dated(&facts.core.expiry), facts.core.local.as_deref().map(dated));
    let expires: BTreeMap<SessionId, i64> = sessions
        .iter()
        .chain(local.iter().flatten())
        .flat_map(|(moment, ids)| ids.iter().map(|id| (*id, *moment)))
        .collect();
    let mut buckets: BTreeMap<i64, Vec<(SocketAddr, SessionId)>> = BTreeMap::new();
    for connection in connections(facts) {
        let unbound = wall_ms - connection.age_ms + setup_ms;
        let moment = expires.get(&connection.session).copied().unwrap_or(unbound);
        buckets.entry(moment).or_default().push((connection.peer, connection.session));
    }
    DumpFacts {
        sessions,
        local,
        global: facts.core.global.clone(),
        ephemerals: facts.core.ephemerals.clone(),
        connections: buckets.into_iter().collect(),
    }
}

/// Who watches what, each pair once.
pub fn watches(facts: &Facts) -> Vec<(SessionId, &[u8])> {
    let all = facts.shards.iter().flat_map(|shard| &shard.data_watches);
    all.map(|(session, path)| (*session, path.as_slice())).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::server::facts::{ConnStats, CoreFacts, ShardFacts};

    /// Of a server of two shards, with one session.
    pub fn facts() -> Facts {
        let connection = |peer: &str, session: i64| ConnectionFacts {
            peer: peer.parse().unwrap(),
            session: SessionId(session),
            timeout_ms: 4000,
            queued: 0,
            read_interest: true,
            write_interest: false,
            stats: ConnStats::new(1000),
            age_ms: 2000,
        };
        let shard = |number, connections, data_watches| ShardFacts { shard: number, connections, data_watches };
        Facts {
            shards: vec![
                shard(0, vec![connection("127.0.0.1:1", 7)], vec![(SessionId(7), b"/a".to_vec())]),
                shard(1, vec![connection("127.0.0.1:2", 0)], vec![]),
            ],
            core: CoreFacts {
                expiry: vec![(3000, vec![SessionId(7)])],
                local: None,
                ephemerals: vec![(SessionId(7), vec![b"/e".to_vec()])],
                digests: vec![(Zxid(0x80), 5)],
                global: None,
            },
        }
    }

    #[test]
    fn connections_expire_with_their_sessions() {
        let dumped = dump(&facts(), 100_000, 10_000);
        assert_eq!(dumped.sessions, [(103_000, vec![SessionId(7)])]);
        assert_eq!(
            dumped.connections,
            [
                (103_000, vec![("127.0.0.1:1".parse().unwrap(), SessionId(7))]),
                (108_000, vec![("127.0.0.1:2".parse().unwrap(), SessionId(0))]),
            ]
        );
    }
}
