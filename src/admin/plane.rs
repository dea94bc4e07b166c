//! Answers four-letter words for a running server: from its counters at once, or from what its shards and
//! its quorum core say of themselves.

use super::facts::{
    ConnectionFacts, ConnectionSession, DirectorySizes, DumpFacts, Expiry, LeadingFacts, MonitorFacts, QuorumFacts,
    ServerFacts, Summary,
};
use super::word::{Whitelist, Word};
use super::{machine, mntr, words};
use crate::config::Config;
use crate::ids::{SessionId, Zxid};
use crate::runtime::{Server, clock::Clocks};
use crate::server::facts::{self, AdminPlane, Facts, WordAnswer};
use crate::server::stats::{Mode, ShardStats, Stats};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Instant;

/// How much there is in the tree.
#[derive(Clone, Copy, Debug, Default)]
pub struct TreeSize {
    /// The root once.
    pub znodes: u64,
    /// Lengths of paths and data together.
    pub data_bytes: u64,
}

/// Whoever answers the words of one server.
pub struct Plane {
    config: Arc<Config>,
    stats: Arc<Stats>,
    whitelist: Whitelist,
    started: Instant,
    tree: Box<dyn Fn() -> TreeSize + Send + Sync>,
    /// Nothing is traced by it; it is kept because `stmk` sets it and `gtmk` tells it.
    trace_mask: AtomicI64,
}

/// Makes the plane of a server that is being started.
pub fn for_server(server: &Server) -> Arc<dyn AdminPlane> {
    let store = server.store.clone();
    let tree = move || TreeSize { znodes: store.znodes(), data_bytes: store.data_bytes() };
    Arc::new(Plane::new(server.config.clone(), server.stats.clone(), server.started, Box::new(tree)))
}

impl Plane {
    /// A plane over a server's configuration and counters.
    pub fn new(
        config: Arc<Config>,
        stats: Arc<Stats>,
        started: Instant,
        tree: Box<dyn Fn() -> TreeSize + Send + Sync>,
    ) -> Plane {
        let whitelist = Whitelist::new(&config.four_letter_words, config.read_only_mode);
        Plane { config, stats, whitelist, started, tree, trace_mask: AtomicI64::new(words::TRACE_MASK) }
    }

    /// The answer to words that need nothing but counters; `None` for the others.
    fn at_once(&self, word: Word, argument: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        match word {
            Word::Ruok => out.extend_from_slice(words::RUOK),
            Word::Isro => out.extend_from_slice(words::isro(self.stats.quorum.mode())),
            Word::Srvr => words::srvr(&mut out, &self.server()),
            Word::Mntr => mntr::mntr(&mut out, &self.monitor()),
            Word::Conf => {
                let sizes = self.sizes();
                out.extend_from_slice(self.present().render(sizes.data, sizes.log).as_bytes());
            }
            Word::Dirs => words::dirs(&mut out, self.sizes()),
            Word::Envi => words::envi(&mut out, &machine::environment()),
            Word::Gtmk => words::mask(&mut out, self.trace_mask.load(Relaxed)),
            Word::Stmk => {
                // Without its eight bytes it is closed without an answer, as in ZooKeeper.
                if let Some(Ok(bytes)) = argument.get(..8).map(<[u8; 8]>::try_from) {
                    let mask = i64::from_be_bytes(bytes);
                    self.trace_mask.store(mask, Relaxed);
                    words::mask(&mut out, mask);
                }
            }
            Word::TelnetClose => {}
            Word::Stat
            | Word::Cons
            | Word::Crst
            | Word::Srst
            | Word::Dump
            | Word::Wchs
            | Word::Wchc
            | Word::Wchp
            | Word::Hash => return None,
        }
        Some(out)
    }

    /// The answer to a word for which shards and core have been asked; resets are done by them on the way.
    fn after_asking(&self, word: Word, facts: &Facts) -> Vec<u8> {
        let mut out = Vec::new();
        match word {
            Word::Stat => words::stat(&mut out, &self.server(), &connections(facts)),
            Word::Cons => words::cons(&mut out, &connections(facts)),
            Word::Crst => out.extend_from_slice(words::CRST),
            Word::Srst => out.extend_from_slice(words::SRST),
            Word::Dump => {
                let wall_ms = Clocks::start().now().wall_ms;
                words::dump(&mut out, &dump(facts, wall_ms, i64::from(self.config.connect_timeout_ms)));
            }
            Word::Wchs => words::wchs(&mut out, &watches(facts)),
            Word::Wchc => words::wchc(&mut out, &watches(facts)),
            Word::Wchp => words::wchp(&mut out, &watches(facts)),
            Word::Hash => words::hash(&mut out, &facts.core.digests),
            _ => {}
        }
        out
    }

    fn sum(&self, count: impl Fn(&ShardStats) -> u64) -> u64 {
        self.stats.shards.iter().map(count).sum()
    }

    fn summary(&self, summary: impl Fn(&ShardStats) -> (u64, u64, i64, i64)) -> Summary {
        self.stats.shards.iter().map(|shard| summary(shard).into()).fold(Summary::default(), Summary::and)
    }

    fn server(&self) -> ServerFacts {
        let quorum = &self.stats.quorum;
        let proposals = (quorum.last_proposal.value(), quorum.min_proposal.value(), quorum.max_proposal.value());
        ServerFacts {
            latency: self.summary(|shard| shard.latency.read()),
            packets_received: self.sum(|shard| shard.received.value()),
            packets_sent: self.sum(|shard| shard.sent.value()),
            connections: self.sum(|shard| shard.connections.value()),
            outstanding: self.sum(|shard| shard.outstanding.value()),
            zxid: Zxid(self.stats.core.zxid.load(Relaxed)),
            mode: quorum.mode(),
            proposals: Some(proposals).filter(|(last, ..)| *last > 0),
            // ZooKeeper keeps the root under two names and counts both.
            znodes: (self.tree)().znodes + 1,
        }
    }

    fn monitor(&self) -> MonitorFacts {
        let core = &self.stats.core;
        MonitorFacts {
            server: self.server(),
            uptime_ms: self.started.elapsed().as_millis() as u64,
            quorum: self.quorum(),
            watches: self.sum(|shard| shard.watches.value()),
            ephemerals: core.ephemerals.value(),
            data_bytes: (self.tree)().data_bytes,
            sessions: core.sessions.value(),
            local_sessions: core.local_sessions.value(),
            open_files: machine::open_files(),
            max_files: machine::max_files(),
            responses: self.responses(),
            auth_failed: self.sum(|shard| shard.auth_failed.value()),
            session_passwords: session_passwords(&self.stats),
            log_lines_left_out: super::LOG_LINES_LEFT_OUT.load(Relaxed),
            bytes_received: Some(self.sum(|shard| shard.received_bytes.value())),
            response_bytes: None,
            watch_bytes: None,
            connections_rejected: Some(self.stats.connections_rejected.load(Relaxed)),
            connection_requests: None,
            connections_dropped: None,
            connections_revalidated: None,
            sessionless_expired: Some(self.sum(|shard| shard.sessionless_expired.value())),
            throttled: Some(self.sum(|shard| shard.throttled.value()) + core.throttled.value()),
            unread_ended: Some(self.sum(|shard| shard.unread_ended.value())),
            sessions_expired: Some(core.stale_sessions_expired.value()),
            digest_mismatches: Some(core.digest_mismatches.value()),
            snapshot_errors: None,
            transactions_logged: Some(core.transactions.value()),
            fsync_ms: Some(core.fsync.read().into()),
            snapshot_ms: Some(core.snapshot_time.read().into()),
            load_ms: None,
            load_snapshot_ms: None,
            load_log_ms: None,
            loaded_transactions: None,
            batch_size: None,
            read_ms: Some(self.summary(|shard| shard.read_latency.read())),
            update_ms: Some(self.summary(|shard| shard.update_latency.read())),
        }
    }

    fn quorum(&self) -> Option<QuorumFacts> {
        let quorum = &self.stats.quorum;
        let mode = quorum.mode();
        let leading = (mode == Mode::Leader).then(|| LeadingFacts {
            learners: quorum.learners.value(),
            synced_followers: quorum.synced_followers.value(),
            synced_non_voting: quorum.synced_non_voting.value(),
            synced_observers: quorum.synced_observers.value(),
            pending_syncs: quorum.pending_syncs.value(),
            leads_for_ms: quorum.leader_uptime_ms.value(),
        });
        let master = (mode == Mode::Observer).then(|| quorum.master.value());
        let is_member = matches!(mode, Mode::Leader | Mode::Follower | Mode::Observer);
        is_member.then(|| QuorumFacts { voters: quorum.voters.value(), master, leading })
    }

    /// Last, greatest and smallest reply; of several shards' last ones any is as good.
    fn responses(&self) -> Option<(u64, u64, u64)> {
        let answered = self.stats.shards.iter().filter(|shard| shard.max_response.value() > 0);
        answered
            .map(|shard| (shard.last_response.value(), shard.max_response.value(), shard.min_response.value()))
            .reduce(|a, b| (b.0, a.1.max(b.1), a.2.min(b.2)))
    }

    /// The configuration as it is now: ports and members may be others than at the start.
    fn present(&self) -> Config {
        let client_port = match self.stats.client_port.load(Relaxed) {
            0 => self.config.client_port,
            port => port,
        };
        let present = self.stats.quorum.present.lock().expect("no holder panics").clone();
        self.config.as_of(client_port, present)
    }

    fn sizes(&self) -> DirectorySizes {
        machine::directory_sizes(&self.config.data_dir, &self.config.data_log_dir)
    }
}

impl AdminPlane for Plane {
    fn answer(&self, word: [u8; 4], argument: &[u8], facts: Option<Facts>) -> WordAnswer {
        let Some(word) = Word::parse(word) else { return WordAnswer::Text(Vec::new()) };
        if !self.whitelist.allows(word) {
            return WordAnswer::Text(Whitelist::refusal(word).into_bytes());
        }
        let needs_a_place = !matches!(word, Word::Ruok | Word::Envi | Word::Gtmk | Word::Stmk | Word::TelnetClose);
        if needs_a_place && self.stats.quorum.mode() == Mode::NotServing {
            return WordAnswer::Text(words::not_serving(word).to_vec());
        }
        match (self.at_once(word, argument), facts) {
            (Some(text), _) => WordAnswer::Text(text),
            (None, Some(facts)) => WordAnswer::Text(self.after_asking(word, &facts)),
            (None, None) => WordAnswer::NeedsFacts,
        }
    }
}

fn connections(facts: &Facts) -> Vec<ConnectionFacts> {
    facts.shards.iter().flat_map(|shard| &shard.connections).map(connection).collect()
}

fn connection(from: &facts::ConnectionFacts) -> ConnectionFacts {
    let stats = &from.stats;
    let answered = i64::try_from(stats.sent).unwrap_or(i64::MAX).max(1);
    let session = (from.session != SessionId::NONE).then(|| ConnectionSession {
        id: from.session,
        last_operation: stats.last_op,
        established_ms: stats.established_wall_ms,
        timeout_ms: from.timeout_ms,
        last_cxid: i64::from(stats.last_xid),
        last_zxid: Zxid(stats.last_zxid),
        last_response_ms: stats.last_response_wall_ms,
        last_latency_ms: stats.last_latency_ms,
        min_latency_ms: if stats.min_latency_ms == i64::MAX { 0 } else { stats.min_latency_ms },
        average_latency_ms: stats.total_latency_ms / answered,
        max_latency_ms: stats.max_latency_ms,
    });
    ConnectionFacts {
        peer: from.peer,
        reads: from.reads,
        writes: from.writes,
        queued: from.queued as u64,
        received: stats.received,
        sent: stats.sent,
        session,
    }
}

/// A connection without a session goes when it has had `setup_ms`; one with a session when that expires.
fn dump(facts: &Facts, wall_ms: i64, setup_ms: i64) -> DumpFacts {
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
    for connection in facts.shards.iter().flat_map(|shard| &shard.connections) {
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

fn watches(facts: &Facts) -> Vec<(SessionId, &[u8])> {
    let all = facts.shards.iter().flat_map(|shard| &shard.data_watches);
    all.map(|(session, path)| (*session, path.as_slice())).collect()
}

/// How passwords of new sessions are made; see [`crate::session::Passwords`]. A server on its own has a secret of its data directory.
fn session_passwords(stats: &Stats) -> &'static str {
    if stats.quorum.public_passwords.load(Relaxed) { "zookeeper" } else { "secret" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Overrides, Present, Profile, Source};
    use crate::server::facts::{ConnStats, CoreFacts, ShardFacts};
    use std::path::Path;

    fn plane(words: &[&str]) -> Plane {
        let mut config = Config::defaults(Profile::Small, 1);
        config.four_letter_words = words.iter().map(|word| word.to_string()).collect();
        let stats = Stats::new(2);
        stats.shards[0].received.add(3);
        stats.shards[1].received.add(4);
        stats.shards[0].latency.record(2);
        stats.shards[1].latency.record(5);
        stats.shards[1].responded(16);
        stats.core.zxid.store(0x2a, Relaxed);
        let tree = || TreeSize { znodes: 4, data_bytes: 44 };
        Plane::new(Arc::new(config), Arc::new(stats), Instant::now(), Box::new(tree))
    }

    fn facts() -> Facts {
        let connection = |peer: &str, session: i64| facts::ConnectionFacts {
            peer: peer.parse().unwrap(),
            session: SessionId(session),
            timeout_ms: 4000,
            queued: 0,
            reads: true,
            writes: false,
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

    fn text(answer: WordAnswer) -> String {
        match answer {
            WordAnswer::Text(text) => String::from_utf8(text).unwrap(),
            WordAnswer::NeedsFacts => panic!("no text yet"),
        }
    }

    #[test]
    fn every_word_is_answered_at_once_or_after_asking() {
        let plane = plane(&["*"]);
        for word in Word::ALL {
            let answer = match plane.answer(word.bytes(), &[0; 8], None) {
                WordAnswer::NeedsFacts => text(plane.answer(word.bytes(), &[], Some(facts()))),
                answer => text(answer),
            };
            assert_eq!(answer.is_empty(), word == Word::TelnetClose, "{word:?}");
        }
    }

    #[test]
    fn a_member_without_its_place_says_so_and_no_more() {
        let plane = plane(&["*"]);
        let is = |mode: Mode| plane.stats.quorum.mode.store(mode as u8, Relaxed);
        is(Mode::NotServing);
        for word in Word::ALL {
            let answer = text(plane.answer(word.bytes(), &[0; 8], None));
            match word {
                Word::Ruok | Word::Envi | Word::Gtmk | Word::Stmk => assert!(!answer.contains("serving"), "{answer}"),
                Word::TelnetClose => assert_eq!(answer, ""),
                Word::Isro => assert_eq!(answer, "null"),
                _ => assert_eq!(answer.trim_end(), "This ZooKeeper instance is not currently serving requests"),
            }
        }
        is(Mode::Leader);
        plane.stats.quorum.voters.set(3);
        let mntr = text(plane.answer(*b"mntr", &[], None));
        assert!(mntr.contains("\nzk_quorum_size\t3\n") && mntr.contains("\nzk_synced_followers\t0\n"), "{mntr}");
        assert!(mntr.contains("\nzk_last_proposal_size\t-1\n"), "{mntr}");
        is(Mode::Follower);
        assert!(text(plane.answer(*b"srvr", &[], None)).contains("\nMode: follower\n"));
        assert_eq!(text(plane.answer(*b"isro", &[], None)), "rw");
    }

    #[test]
    fn the_whitelist_holds() {
        let plane = plane(&["ruok"]);
        assert_eq!(text(plane.answer(*b"ruok", &[], None)), "imok");
        for word in Word::ALL.into_iter().filter(|word| !matches!(word, Word::Ruok | Word::Srvr | Word::TelnetClose)) {
            assert_eq!(text(plane.answer(word.bytes(), &[0; 8], Some(facts()))), Whitelist::refusal(word));
        }
    }

    #[test]
    fn counters_of_all_shards_are_added() {
        let plane = plane(&["*"]);
        let srvr = text(plane.answer(*b"srvr", &[], None));
        assert!(srvr.contains("\nLatency min/avg/max: 2/3.5/5\nReceived: 7\n"), "{srvr}");
        assert!(srvr.ends_with("\nZxid: 0x2a\nMode: standalone\nNode count: 5\n"), "{srvr}");
        let mntr = text(plane.answer(*b"mntr", &[], None));
        assert!(mntr.contains("\nzk_min_client_response_size\t16\n"), "{mntr}");
        assert!(mntr.contains("\nzk_approximate_data_size\t44\n"), "{mntr}");
    }

    #[test]
    fn the_trace_mask_is_kept() {
        let plane = plane(&["*"]);
        assert_eq!(text(plane.answer(*b"gtmk", &[], None)), "306");
        assert_eq!(text(plane.answer(*b"stmk", &[0, 0, 0, 0, 0, 0, 1, 0], None)), "256");
        assert_eq!(text(plane.answer(*b"stmk", &[1, 2, 3], None)), "");
        assert_eq!(text(plane.answer(*b"gtmk", &[], None)), "256");
    }

    /// It used to be that of the start: whoever changed a port by a reconfiguration was shown the old one.
    #[test]
    fn conf_is_the_configuration_of_now() {
        let resolve = |lines: &str| {
            let text = format!(
                "{lines}dataDir=/d\nclientPort=2181\ninitLimit=9\nsyncLimit=5\ncorral.insecureQuorum=true\n4lw.commands.whitelist=*\n"
            );
            let source = Source { name: "/c/zoo.cfg", bytes: text.as_bytes() };
            let my_id = |path: &Path| Ok((path == Path::new("/d/myid")).then(|| b"2".to_vec()));
            config::resolve(Some(&source), &Overrides::default(), 2, &my_id).unwrap().0
        };
        let start = resolve("server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\n");
        let stats = Stats::new(1);
        let plane = Plane::new(Arc::new(start), Arc::new(stats), Instant::now(), Box::new(TreeSize::default));
        let conf = || text(plane.answer(*b"conf", &[], None));
        assert!(conf().starts_with("clientPort=2181\n") && conf().contains("\nelectionPort=2\nquorumPort=1\n"));
        let now =
            resolve("server.2=b:11:12|d:21:22;2181\nserver.3=c:1:2\nmultiAddress.enabled=true\n").ensemble.unwrap();
        plane.stats.client_port.store(2281, Relaxed);
        *plane.stats.quorum.present.lock().unwrap() = Some(Present { own: now.own, membership: now.membership });
        let conf = conf();
        assert!(conf.starts_with("clientPort=2281\n"), "{conf}");
        assert!(
            conf.contains(
                "\nserverId=2\ninitLimit=9\nsyncLimit=5\nelectionAlg=3\nelectionPort=12|22\nquorumPort=11|21\n"
            )
        );
        let members = "\nmembership: \nserver.2=b:11:12|d:21:22:participant;0.0.0.0:2181\nserver.3=c:1:2:participant\n";
        assert!(conf.contains(members), "{conf}");
    }

    #[test]
    fn mntr_says_whether_session_passwords_are_secrets() {
        let plane = plane(&["*"]);
        let said = |plane: &Plane| {
            let answer = text(plane.answer(*b"mntr", &[], None));
            let line = answer.lines().find_map(|line| line.strip_prefix("zk_corral_session_passwords\t"));
            line.unwrap_or_default().to_owned()
        };
        assert_eq!(said(&plane), "secret", "a server on its own has one");
        plane.stats.quorum.public_passwords.store(true, Relaxed);
        assert_eq!(said(&plane), "zookeeper");
    }

    #[test]
    fn lists_come_from_all_shards() {
        let plane = plane(&["*"]);
        let cons = text(plane.answer(*b"cons", &[], Some(facts())));
        assert_eq!(
            cons,
            " /127.0.0.1:1[1](queued=0,recved=0,sent=0,sid=0x7,lop=NA,est=1000,to=4000,lzxid=0xffffffffffffffff,\
             lresp=0,llat=0,minlat=0,avglat=0,maxlat=0)\n /127.0.0.1:2[1](queued=0,recved=0,sent=0)\n\n"
        );
        assert_eq!(text(plane.answer(*b"wchc", &[], Some(facts()))), "0x7\n\t/a\n\n");
        assert_eq!(text(plane.answer(*b"hash", &[], Some(facts()))), "80: 5\n");
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
