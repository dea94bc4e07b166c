//! The answers to the four-letter words, with the same lines as ZooKeeper 3.9.
//!
//! Each function appends one answer to `out`. Source of the formats: the classes of
//! org.apache.zookeeper.server.command, ServerCnxn.dumpConnectionInfo, ExpiryQueue.dump,
//! DataTree.dumpEphemerals and WatchManager.dumpWatches.

use super::facts::{DirectorySizes, DumpFacts, Expiry, ServerFacts};
use super::{VERSION, java};
use crate::ids::{SessionId, Zxid};
use crate::server::facts::ConnectionFacts;
use crate::server::stats::Mode;
use std::fmt::Display;
use std::io::Write;

/// `ruok`.
pub(crate) const RUOK: &[u8] = b"imok";
/// `crst`.
pub(crate) const CRST: &[u8] = b"Connection stats reset.\n";
/// `srst`.
pub(crate) const SRST: &[u8] = b"Server stats reset.\n";
/// The trace mask until `stmk` sets another one: ZooKeeper's default.
pub(crate) const DEFAULT_TRACE_MASK: i64 = 306;

const READ_INTEREST: u8 = 1;
const WRITE_INTEREST: u8 = 4;

macro_rules! line {
    ($out:expr, $($argument:tt)*) => {
        writeln!($out, $($argument)*).expect("a vector takes everything")
    };
}

macro_rules! text {
    ($out:expr, $($argument:tt)*) => {
        write!($out, $($argument)*).expect("a vector takes everything")
    };
}

/// `srvr`.
pub fn srvr(out: &mut Vec<u8>, server: &ServerFacts) {
    header(out, server);
    server_lines(out, server);
}

/// `isro`.
pub(crate) fn isro(mode: Mode) -> &'static [u8] {
    if mode == Mode::ReadOnly { b"ro" } else { b"rw" }
}

fn header(out: &mut Vec<u8>, server: &ServerFacts) {
    line!(out, "Zookeeper version: {VERSION}");
    if server.mode == Mode::ReadOnly {
        line!(out, "READ-ONLY mode; serving only read-only clients");
    }
}

/// `stat`.
pub fn stat<'a>(out: &mut Vec<u8>, server: &ServerFacts, connections: impl Iterator<Item = &'a ConnectionFacts>) {
    header(out, server);
    line!(out, "Clients:");
    for connection in connections {
        connection_fields(out, connection);
        line!(out, ")");
    }
    line!(out, "");
    server_lines(out, server);
}

fn server_lines(out: &mut Vec<u8>, server: &ServerFacts) {
    let latency = &server.latency;
    line!(out, "Latency min/avg/max: {}/{}/{}", latency.min, java::double(latency.average()), latency.max);
    line!(out, "Received: {}", server.packets_received);
    line!(out, "Sent: {}", server.packets_sent);
    line!(out, "Connections: {}", server.connections);
    line!(out, "Outstanding: {}", server.outstanding);
    line!(out, "Zxid: {}", server.zxid);
    line!(out, "Mode: {}", server.mode.name());
    line!(out, "Node count: {}", server.znodes);
    if server.mode == Mode::Leader {
        let (last, min, max) = proposal_sizes(server);
        line!(out, "Proposal sizes last/min/max: {last}/{min}/{max}");
    }
}

/// Bytes of the last, smallest and largest proposal; -1 before the first proposal.
fn proposal_sizes(server: &ServerFacts) -> (i64, i64, i64) {
    server.proposal_sizes.map_or((-1, -1, -1), |(last, min, max)| (last as i64, min as i64, max as i64))
}

/// `cons`.
pub(crate) fn cons<'a>(out: &mut Vec<u8>, connections: impl Iterator<Item = &'a ConnectionFacts>) {
    for connection in connections {
        connection_fields(out, connection);
        if connection.session != SessionId::NONE {
            let stats = &connection.stats;
            let min_ms = if stats.min_latency_ms == i64::MAX { 0 } else { stats.min_latency_ms };
            let average_ms = stats.total_latency_ms / i64::try_from(stats.sent).unwrap_or(i64::MAX).max(1);
            text!(out, ",sid={},lop={}", connection.session, stats.last_op);
            text!(out, ",est={},to={}", stats.established_wall_ms, connection.timeout_ms);
            if stats.last_xid >= 0 {
                text!(out, ",lcxid={:#x}", stats.last_xid);
            }
            text!(out, ",lzxid={},lresp={}", Zxid(stats.last_zxid), stats.last_response_wall_ms);
            text!(out, ",llat={},minlat={min_ms}", stats.last_latency_ms);
            text!(out, ",avglat={average_ms},maxlat={}", stats.max_latency_ms);
        }
        line!(out, ")");
    }
    line!(out, "");
}

/// The first fields of a connection's line, without the closing bracket.
fn connection_fields(out: &mut Vec<u8>, connection: &ConnectionFacts) {
    let interest = if connection.read_interest { READ_INTEREST } else { 0 }
        + if connection.write_interest { WRITE_INTEREST } else { 0 };
    text!(out, " {}[{interest:x}](queued={}", java::address(connection.peer), connection.queued);
    text!(out, ",recved={},sent={}", connection.stats.received, connection.stats.sent);
}

/// `dirs`.
pub(crate) fn dirs(out: &mut Vec<u8>, sizes: DirectorySizes) {
    line!(out, "datadir_size: {}", sizes.data);
    line!(out, "logdir_size: {}", sizes.log);
}

/// `dump`.
pub(crate) fn dump(out: &mut Vec<u8>, facts: &DumpFacts) {
    line!(out, "SessionTracker dump:");
    if let Some(local) = &facts.local {
        expiry_sets(out, "Local Session", local, |session| session.to_string());
    }
    match &facts.global {
        None => {
            // "Global" is printed only if there are local sessions, too.
            let kind = if facts.local.is_some() { "Global Session" } else { "Session" };
            expiry_sets(out, kind, &facts.sessions, |session| session.to_string());
        }
        Some(sessions) => {
            line!(out, "Global Sessions({}):", sessions.len());
            for (session, timeout_ms) in sessions {
                line!(out, "{session}\t{timeout_ms}ms");
            }
        }
    }
    line!(out, "ephemeral nodes dump:");
    line!(out, "Sessions with Ephemerals ({}):", facts.ephemerals.len());
    for (session, paths) in &facts.ephemerals {
        line!(out, "{session}:");
        for path in paths {
            indented(out, path);
        }
    }
    line!(out, "Connections dump:");
    expiry_sets(out, "Connections", &facts.connections, |(peer, session)| {
        format!("ip: {} sessionId: {session}", java::address(*peer))
    });
}

fn expiry_sets<T>(out: &mut Vec<u8>, what: &str, buckets: &Expiry<T>, show: impl Fn(&T) -> String) {
    let members: usize = buckets.iter().map(|(_, members)| members.len()).sum();
    line!(out, "{what} Sets ({})/({members}):", buckets.len());
    for (expires_wall_ms, members) in buckets {
        line!(out, "{} expire at {}:", members.len(), java::date(*expires_wall_ms));
        for member in members {
            indented(out, show(member).as_bytes());
        }
    }
}

/// `envi`: names and values, in the given order.
pub(crate) fn envi(out: &mut Vec<u8>, environment: &[(&'static str, String)]) {
    line!(out, "Environment:");
    for (name, value) in environment {
        line!(out, "{name}={value}");
    }
}

/// `wchs`. Each element of `watches` is a session and a path that it watches; no pair comes twice.
pub(crate) fn wchs(out: &mut Vec<u8>, watches: &[(SessionId, &[u8])]) {
    let (sessions, paths) = (by_session(watches), by_path(watches));
    line!(out, "{} connections watching {} paths", count_keys(&sessions), count_keys(&paths));
    line!(out, "Total watches:{}", watches.len());
}

/// `wchc`.
pub(crate) fn wchc(out: &mut Vec<u8>, watches: &[(SessionId, &[u8])]) {
    for group in by_session(watches).chunk_by(|a, b| a.0 == b.0) {
        line!(out, "{}", group[0].0);
        for (_, path) in group {
            indented(out, path);
        }
    }
    line!(out, "");
}

/// `wchp`.
pub(crate) fn wchp(out: &mut Vec<u8>, watches: &[(SessionId, &[u8])]) {
    for group in by_path(watches).chunk_by(|a, b| a.0 == b.0) {
        out.extend_from_slice(group[0].0);
        line!(out, "");
        for (_, session) in group {
            indented(out, session.to_string().as_bytes());
        }
    }
    line!(out, "");
}

fn by_session<'a>(watches: &[(SessionId, &'a [u8])]) -> Vec<(SessionId, &'a [u8])> {
    let mut sorted = watches.to_vec();
    sorted.sort_unstable();
    sorted
}

fn by_path<'a>(watches: &[(SessionId, &'a [u8])]) -> Vec<(&'a [u8], SessionId)> {
    let mut sorted: Vec<_> = watches.iter().map(|(session, path)| (*path, *session)).collect();
    sorted.sort_unstable();
    sorted
}

/// The number of different keys in a sorted list.
fn count_keys<K: PartialEq, V>(sorted: &[(K, V)]) -> usize {
    sorted.chunk_by(|a, b| a.0 == b.0).count()
}

/// `hash`: the recorded digests, oldest first.
pub fn hash(out: &mut Vec<u8>, digests: &[(Zxid, u64)]) {
    for (zxid, digest) in digests {
        line!(out, "{:x}: {}", zxid.0, *digest as i64);
    }
}

/// `gtmk` and `stmk`: the trace mask, without a line end.
pub fn mask(out: &mut Vec<u8>, mask: impl Display) {
    text!(out, "{mask}");
}

fn indented(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'\t');
    out.extend_from_slice(text);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::count::SummaryValues;
    use crate::server::facts::ConnStats;

    fn server() -> ServerFacts {
        ServerFacts {
            latency: SummaryValues { count: 3, sum: 5, min: 0, max: 4 },
            packets_received: 10,
            packets_sent: 9,
            connections: 2,
            outstanding: 1,
            zxid: Zxid(0x1_0000_001a),
            mode: Mode::Standalone,
            proposal_sizes: None,
            znodes: 5,
        }
    }

    fn connections() -> Vec<ConnectionFacts> {
        let counted = ConnStats {
            received: 5,
            sent: 4,
            last_op: "GETD",
            last_xid: 0x1f,
            last_zxid: 0x1a,
            last_response_wall_ms: 123,
            last_latency_ms: 1,
            min_latency_ms: 0,
            max_latency_ms: 7,
            total_latency_ms: 11,
            ..ConnStats::new(1_795_270_169_000)
        };
        let greeted = ConnStats { received: 1, ..ConnStats::new(1_795_270_169_000) };
        let opened = ConnStats {
            received: 1,
            sent: 0,
            last_op: "SESS",
            last_xid: -1,
            last_zxid: -1,
            total_latency_ms: 2,
            ..counted
        };
        let plain = ConnectionFacts {
            peer: "127.0.0.1:40000".parse().unwrap(),
            session: SessionId::NONE,
            timeout_ms: 30_000,
            queued: 0,
            read_interest: true,
            write_interest: false,
            stats: greeted,
            age_ms: 0,
        };
        let session = SessionId(0x1_0000_abcd_0000);
        vec![
            plain.clone(),
            ConnectionFacts { read_interest: false, session, stats: counted, ..plain.clone() },
            ConnectionFacts {
                peer: "[::1]:9".parse().unwrap(),
                write_interest: true,
                queued: 3,
                session,
                stats: opened,
                ..plain
            },
        ]
    }

    fn golden(expected: &str, render: impl FnOnce(&mut Vec<u8>)) {
        let mut out = Vec::new();
        render(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    const SERVER: &str = "Latency min/avg/max: 0/1.6667/4\nReceived: 10\nSent: 9\nConnections: 2\nOutstanding: 1\n\
                          Zxid: 0x10000001a\nMode: standalone\nNode count: 5\n";

    #[test]
    fn srvr_golden() {
        golden(&format!("Zookeeper version: {VERSION}\n{SERVER}"), |out| srvr(out, &server()));
        let idle = ServerFacts { latency: SummaryValues::default(), ..server() };
        let mut out = Vec::new();
        srvr(&mut out, &idle);
        assert!(String::from_utf8(out).unwrap().contains("\nLatency min/avg/max: 0/0.0/0\n"));
    }

    #[test]
    fn stat_golden() {
        let clients = " /127.0.0.1:40000[1](queued=0,recved=1,sent=0)\n\
                       \x20/127.0.0.1:40000[0](queued=0,recved=5,sent=4)\n\
                       \x20/[0:0:0:0:0:0:0:1]:9[5](queued=3,recved=1,sent=0)\n";
        golden(&format!("Zookeeper version: {VERSION}\nClients:\n{clients}\n{SERVER}"), |out| {
            stat(out, &server(), connections().iter());
        });
    }

    #[test]
    fn cons_golden() {
        golden(
            " /127.0.0.1:40000[1](queued=0,recved=1,sent=0)\n\
             \x20/127.0.0.1:40000[0](queued=0,recved=5,sent=4,sid=0x10000abcd0000,lop=GETD,est=1795270169000,to=30000,\
             lcxid=0x1f,lzxid=0x1a,lresp=123,llat=1,minlat=0,avglat=2,maxlat=7)\n\
             \x20/[0:0:0:0:0:0:0:1]:9[5](queued=3,recved=1,sent=0,sid=0x10000abcd0000,lop=SESS,est=1795270169000,to=30000,\
             lzxid=0xffffffffffffffff,lresp=123,llat=1,minlat=0,avglat=2,maxlat=7)\n\n",
            |out| cons(out, connections().iter()),
        );
        golden("\n", |out| cons(out, [].iter()));
    }

    #[test]
    fn dirs_golden() {
        golden("datadir_size: 457\nlogdir_size: 67108880\n", |out| {
            dirs(out, DirectorySizes { data: 457, log: 67_108_880 });
        });
    }

    #[test]
    fn dump_golden() {
        let facts = DumpFacts {
            sessions: vec![
                (1_795_270_169_000, vec![SessionId(1), SessionId(-2)]),
                (1_795_270_171_000, vec![SessionId(3)]),
            ],
            ephemerals: vec![(SessionId(1), vec![b"/a".to_vec(), b"/b".to_vec()]), (SessionId(3), vec![])],
            connections: vec![(0, vec![("127.0.0.1:5".parse().unwrap(), SessionId(1))])],
            ..DumpFacts::default()
        };
        golden(
            "SessionTracker dump:\nSession Sets (2)/(3):\n2 expire at Sat Nov 21 14:09:29 UTC 2026:\n\t0x1\n\
             \t0xfffffffffffffffe\n1 expire at Sat Nov 21 14:09:31 UTC 2026:\n\t0x3\nephemeral nodes dump:\n\
             Sessions with Ephemerals (2):\n0x1:\n\t/a\n\t/b\n0x3:\nConnections dump:\nConnections Sets (1)/(1):\n\
             1 expire at Thu Jan 01 00:00:00 UTC 1970:\n\tip: /127.0.0.1:5 sessionId: 0x1\n",
            |out| dump(out, &facts),
        );
        golden(
            "SessionTracker dump:\nSession Sets (0)/(0):\nephemeral nodes dump:\nSessions with Ephemerals (0):\n\
             Connections dump:\nConnections Sets (0)/(0):\n",
            |out| dump(out, &DumpFacts::default()),
        );
    }

    #[test]
    fn a_follower_dumps_all_sessions_without_saying_when_they_expire() {
        let global = Some(vec![(SessionId(1), 4000), (SessionId(0x2a), 30_000)]);
        golden(
            "SessionTracker dump:\nGlobal Sessions(2):\n0x1\t4000ms\n0x2a\t30000ms\nephemeral nodes dump:\n\
             Sessions with Ephemerals (0):\nConnections dump:\nConnections Sets (0)/(0):\n",
            |out| dump(out, &DumpFacts { global, ..DumpFacts::default() }),
        );
    }

    #[test]
    fn local_sessions_are_dumped_first() {
        let local = Some(vec![(1_795_270_169_000, vec![SessionId(7)])]);
        let says =
            "SessionTracker dump:\nLocal Session Sets (1)/(1):\n1 expire at Sat Nov 21 14:09:29 UTC 2026:\n\t0x7\n";
        let rest = "ephemeral nodes dump:\nSessions with Ephemerals (0):\nConnections dump:\n\
                    Connections Sets (0)/(0):\n";
        golden(&format!("{says}Global Session Sets (0)/(0):\n{rest}"), |out| {
            dump(out, &DumpFacts { local: local.clone(), ..DumpFacts::default() });
        });
        golden(&format!("{says}Global Sessions(0):\n{rest}"), |out| {
            dump(out, &DumpFacts { local: local.clone(), global: Some(vec![]), ..DumpFacts::default() });
        });
    }

    #[test]
    fn srvr_shows_the_mode() {
        let says = |mode, proposal_sizes| {
            let mut out = Vec::new();
            srvr(&mut out, &ServerFacts { mode, proposal_sizes, ..server() });
            String::from_utf8(out).unwrap()
        };
        let leader = says(Mode::Leader, Some((5, 3, 90)));
        assert!(leader.ends_with("Mode: leader\nNode count: 5\nProposal sizes last/min/max: 5/3/90\n"), "{leader}");
        assert!(says(Mode::Leader, None).ends_with("\nProposal sizes last/min/max: -1/-1/-1\n"));
        assert!(says(Mode::Follower, None).ends_with("\nMode: follower\nNode count: 5\n"));
        assert!(says(Mode::Observer, None).ends_with("\nMode: observer\nNode count: 5\n"));
        let read_only = says(Mode::ReadOnly, None);
        let head = format!("Zookeeper version: {VERSION}\nREAD-ONLY mode; serving only read-only clients\nLatency");
        assert!(read_only.starts_with(&head) && read_only.contains("\nMode: read-only\n"), "{read_only}");
        assert_eq!((isro(Mode::ReadOnly), isro(Mode::Follower)), (&b"ro"[..], &b"rw"[..]));
    }

    #[test]
    fn watch_goldens() {
        let watches: [(SessionId, &[u8]); 3] = [(SessionId(2), b"/b"), (SessionId(0x1a), b"/b"), (SessionId(2), b"/a")];
        golden("2 connections watching 2 paths\nTotal watches:3\n", |out| wchs(out, &watches));
        golden("0x2\n\t/a\n\t/b\n0x1a\n\t/b\n\n", |out| wchc(out, &watches));
        golden("/a\n\t0x2\n/b\n\t0x2\n\t0x1a\n\n", |out| wchp(out, &watches));
        golden("0 connections watching 0 paths\nTotal watches:0\n", |out| wchs(out, &[]));
        golden("\n", |out| wchc(out, &[]));
        golden("\n", |out| wchp(out, &[]));
    }

    #[test]
    fn hash_and_mask_goldens() {
        golden("80: 1371985504\n10000001a: -2\n", |out| {
            hash(out, &[(Zxid(0x80), 1_371_985_504), (Zxid(0x1_0000_001a), u64::MAX - 1)]);
        });
        golden("", |out| hash(out, &[]));
        golden("306", |out| mask(out, DEFAULT_TRACE_MASK));
        golden("-1", |out| mask(out, -1_i64));
    }

    #[test]
    fn envi_golden() {
        golden("Environment:\nzookeeper.version=v\nos.name=Linux\n", |out| {
            envi(out, &[("zookeeper.version", "v".into()), ("os.name", "Linux".into())]);
        });
    }

    #[test]
    fn paths_are_printed_unescaped() {
        let mut out = Vec::new();
        wchc(&mut out, &[(SessionId(1), "/ä\u{1}".as_bytes())]);
        assert_eq!(out, "0x1\n\t/ä\u{1}\n\n".as_bytes());
    }
}
