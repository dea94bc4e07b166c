//! One random script run against a real ZooKeeper and against Corral at the same time, every answer compared: replies,
//! errors, Stats, watch events, the end of connections, and the order of all of it on every session.
//!
//! One session speaks at a time (or several that only read), pipelining up to dozens of requests; the others gather
//! the events. What a session was sent before its own next reply is compared in arrival order, which is stricter than
//! the guarantee needs and holds on both servers: an event is queued to every watcher before the writer is answered.
//!
//! Numbers that cannot be equal are compared by their relations, see `support/compare.rs`.
//!
//! | left out, or compared loosely | why |
//! |---|---|
//! | transaction id in the header of a -5 reply to a damaged body | ZooKeeper re-uses the last one for single writes and takes a fresh one for multis; Corral need not make a transaction of it. A failing write always follows before anything can see the difference |
//! | session passwords | Corral may make them from a secret |
//! | createSession (-10) and deleteContainer (20) sent by a client | may be refused |
//! | a resume with a wrong password while the session is connected | ZooKeeper ends the live connection first; here the connection is ended by the test before it tries |
//! | order of names in children, ephemerals, identities, `auth` expansions | sets |
//! | order of events within one closeSession | the ephemerals are a set |
//! | writes under a quota, and setACL, while others are in flight | ZooKeeper checks quotas and lists against what is applied, not what is prepared, so its outcome would depend on timing |
//! | createTTL with flags that take no TTL and a negative TTL | passes ZooKeeper's checks and ends the server when it is applied |
//! | createContainer with ephemeral flags | to ZooKeeper an ephemeral while it is prepared, a container once it is applied |
//! | reads of a path beyond U+FFFF | ZooKeeper echoes it in an encoding of its own |
//! | auth and sasl packets behind unanswered requests | answered on receipt, ahead of others |
//!
//! `CORRAL_DIFF_OPS` (200 000 over all edges), `CORRAL_DIFF_SEED`, `CORRAL_TEST_EDGE`;
//! `CORRAL_TEST_TARGET=zookeeper` compares two ZooKeepers, which must agree.

mod support;

use fastrand::Rng;
use std::path::Path;
use std::time::{Duration, Instant};

use support::client::{Arrival, Connection, connect_record};
use support::duel::{Duel, Pair};
use support::fields;
use support::script::{CREDENTIALS, Planned, SETTINGS, Script};
use support::server::{Server, Target, install_zookeeper};
use support::wire::{self, Acl, Request, flag, op};
use support::{Scratch, env_number, hex, wait_for};

/// Sessions of a run; the first is the super user's.
const SESSIONS: usize = 7;

struct Run {
    script: Script,
    random: Rng,
    duel: Duel,
}

#[test]
fn a_random_script_is_answered_alike() {
    install_zookeeper();
    let targets = Target::all();
    let operations = env_number("CORRAL_DIFF_OPS", 200_000) / targets.len() as u64;
    let seed = env_number("CORRAL_DIFF_SEED", 20_260);
    for (place, target) in targets.into_iter().enumerate() {
        let directory = Scratch::new();
        let seed = seed + place as u64;
        println!("differential: {target:?}, {operations} operations, CORRAL_DIFF_SEED={seed}");
        let begun = Instant::now();
        let mut run = Run::start(target, directory.path(), seed);
        run.go(operations);
        println!(
            "differential: {target:?} agreed on {} requests ({} successful) and {} events in {:.1} s",
            run.duel.steps,
            run.duel.successes,
            run.duel.events,
            begun.elapsed().as_secs_f64()
        );
        assert!(run.duel.successes * 4 > run.duel.steps, "a script of which nearly everything fails says little");
    }
}

/// What happens by itself and by the clock, so not in the script: sessions run out, TTL nodes and emptied containers
/// are taken away, and whoever watches is told the same.
#[test]
fn what_time_takes_away_is_taken_alike() {
    const CLOCKS: &[&str] = &[
        "tickTime=200",
        "minSessionTimeout=400",
        "maxSessionTimeout=20000",
        "maxClientCnxns=0",
        "extendedTypesEnabled=true",
        "znode.container.checkIntervalMs=300",
    ];
    install_zookeeper();
    for target in Target::all() {
        let directory = Scratch::new();
        let told = [("first", Target::ZooKeeper), ("second", target)].map(|(place, which)| {
            let server = Server::start(which, &directory.path().join(place), CLOCKS);
            told_by_time(&server)
        });
        assert_eq!(told[0], told[1], "the events of a ZooKeeper, and of {target:?}");
        println!("differential: {target:?} took away what time takes: {} events", told[0].len());
    }
}

/// Sets things up that time takes away; the sorted events of a recursive and of a persistent watch once all is gone.
fn told_by_time(server: &Server) -> Vec<String> {
    const DOOMED: [&str; 5] = ["/box", "/eph1", "/eph2", "/ttl", "/deep/box"];
    let open = Acl::open();
    let mut watcher = Connection::new_session(server.address, 20_000).expect("a session");
    let mut owner = Connection::new_session(server.address, 1_000).expect("a session");
    watcher.must(&wire::add_watch("/", 1));
    watcher.must(&wire::add_watch("/deep", 0));
    watcher.must(&wire::create("/deep", b"", flag::PERSISTENT));
    watcher.must(&wire::create_container("/box", b""));
    watcher.must(&wire::create_container("/deep/box", b""));
    watcher.must(&wire::create_container("/never-used", b""));
    for path in ["/box/k", "/deep/box/k"] {
        watcher.must(&wire::create(path, b"", flag::PERSISTENT));
        watcher.must(&wire::delete(path, -1));
    }
    watcher.must(&wire::create_ttl("/ttl", None, Some(&open), flag::TTL, 600));
    let parent = wire::create_ttl("/ttl-parent", None, Some(&open), flag::TTL, 600);
    watcher.must(&wire::multi(&[parent, wire::create("/ttl-parent/k", b"", flag::PERSISTENT)]));
    for path in &DOOMED[1..3] {
        owner.must(&wire::create(path, b"", flag::EPHEMERAL));
    }
    let gone = wait_for(Duration::from_secs(30), || {
        // Also what keeps the watcher's session.
        let left = DOOMED.iter().filter(|path| watcher.call(&wire::exists(path, false)).expect("an answer").err == 0);
        (left.count() == 0).then_some(())
    });
    assert!(gone.is_some(), "{:?} keeps what time should take: {DOOMED:?}", server.target);
    for path in ["/never-used", "/ttl-parent", "/ttl-parent/k", "/deep"] {
        watcher.must(&wire::exists(path, false));
    }
    let refused = Connection::resume(server.address, &owner.session, 0).expect("an answer");
    assert_eq!(refused.session.id, 0, "{:?}: a session that ran out", server.target);
    let mut told: Vec<String> = watcher.events.iter().map(|(_, body)| fields::show(&fields::of_event(body))).collect();
    told.sort();
    told
}

impl Run {
    fn start(target: Target, directory: &Path, seed: u64) -> Run {
        let start = |which: Target, place: &str| {
            let mut settings = SETTINGS.to_vec();
            if which == Target::ZooKeeper {
                // Nothing is killed here; it is only slower with it.
                settings.push("forceSync=no");
            }
            Server::start(which, &directory.join(place), &settings)
        };
        let servers = [start(Target::ZooKeeper, "first"), start(target, "second")];
        let mut run = Run { script: Script::new(seed), random: Rng::with_seed(!seed), duel: Duel::new(seed, servers) };
        for session in 0..SESSIONS {
            let pair = run.open();
            run.duel.pairs.push(pair);
            match session {
                0 => run.authenticate(0, CREDENTIALS[2]),
                1 => run.authenticate(1, CREDENTIALS[0]),
                2 => {
                    run.authenticate(2, CREDENTIALS[0]);
                    run.authenticate(2, CREDENTIALS[1]);
                }
                _ => {}
            }
        }
        run.set_quota();
        run
    }

    fn go(&mut self, operations: u64) {
        let mut since_wipe = 0;
        let mut bursts = 0_u64;
        while self.duel.steps < operations {
            let before = self.duel.steps;
            let session = self.random.usize(..SESSIONS);
            match self.random.u64(..1_000) {
                0..=849 => self.burst(session),
                850..=929 => self.concurrent_reads(),
                930..=954 => self.reconnect(session),
                955..=969 => self.more_identity(session),
                970..=981 => self.close_and_reopen(session),
                _ => self.fatal(session),
            }
            since_wipe += self.duel.steps - before;
            bursts += 1;
            if bursts.is_multiple_of(40) {
                self.duel.settle();
            }
            if since_wipe > 6_000 {
                self.wipe();
                since_wipe = 0;
            }
        }
        self.duel.settle();
        self.wipe();
    }

    /// A new session on both servers, asked for in one of the ways clients ask.
    fn open(&mut self) -> Pair {
        let timeout_ms = self.random.choice([30_000, 40_000, 100_000, 35_000]).unwrap();
        let read_only = self.random.choice([Some(false), Some(true), None]).unwrap();
        self.duel.new_pair(timeout_ms, read_only)
    }

    /// A quota on /q, hard limits included.
    fn set_quota(&mut self) {
        let requests = [
            wire::create("/zookeeper/quota/q", b"", 0),
            wire::create(
                "/zookeeper/quota/q/zookeeper_limits",
                b"count=3,bytes=30=;byteHardLimit=50;countHardLimit=5",
                0,
            ),
            wire::create("/zookeeper/quota/q/zookeeper_stats", b"count=0,bytes=0", 0),
            wire::create("/q", b"", 0),
        ];
        self.duel.plain(0, &requests);
    }

    /// One session's pipelined requests.
    fn burst(&mut self, session: usize) {
        let count = if self.random.u8(..100) < 10 { 1 } else { self.random.u64(2..=60) };
        let mut planned = Vec::new();
        for _ in 0..count {
            let next = self.script.next();
            if next.alone {
                if !planned.is_empty() {
                    self.duel.exchange(session, std::mem::take(&mut planned));
                }
                self.duel.exchange(session, vec![next]);
                continue;
            }
            let mangled = next.mangled;
            planned.push(next);
            if mangled {
                planned.push(failing_write());
            }
        }
        self.duel.exchange(session, planned);
        for name in self.duel.created.drain(..) {
            if !name.starts_with("/q") && !name.starts_with("/zookeeper") {
                self.script.remember(&name);
            }
        }
    }

    /// Several sessions at once, none of them changing the tree.
    fn concurrent_reads(&mut self) {
        let mut all = Vec::new();
        for session in 0..SESSIONS {
            let count = self.random.u64(1..=20);
            let planned =
                (0..count).map(|_| Planned { request: self.script.read(), mangled: false, alone: false }).collect();
            all.push(self.duel.send(session, planned, None));
        }
        for (session, sent) in all.iter().enumerate() {
            self.duel.compare(session, sent);
        }
    }

    fn authenticate(&mut self, session: usize, credential: &'static str) {
        self.duel.plain(session, &[wire::auth("digest", credential.as_bytes())]);
        self.duel.pairs[session].credentials.push(credential);
    }

    /// Adds an identity, or something that is none, to a session's connection.
    fn more_identity(&mut self, session: usize) {
        match self.random.u64(..5) {
            0 => self.authenticate(session, CREDENTIALS[0]),
            1 => self.authenticate(session, CREDENTIALS[1]),
            2 => drop(self.duel.plain(session, &[wire::auth("ip", b"10.1.1.1")])),
            3 => drop(self.duel.plain(session, &[wire::auth("digest", b"nocolon")])),
            _ => drop(self.duel.plain(session, &[wire::sasl(b"token")])),
        }
        self.duel.plain(session, &[wire::who_am_i()]);
    }

    /// Ends the connection without a word, comes back with the same session, and re-registers watches.
    fn reconnect(&mut self, session: usize) {
        self.duel.plain(session, &[wire::ping()]);
        if self.random.u8(..100) < 20 {
            self.refused_resumes(session);
        }
        self.resume(session);
        let mut lists = self.script.watch_lists();
        self.leave_out_denied(session, &mut lists);
        let newest = self.duel.mapping.newest_zxid();
        let (first, second) = match self.random.u64(..4) {
            0 => (0, 0),
            1 => (i64::MAX, i64::MAX),
            2 => newest,
            _ => self.duel.mapping.zxid_pair_at(self.random.i64(0..newest.0.max(1))),
        };
        let requests = if self.random.u8(..100) < 40 {
            let three = [lists[0].clone(), lists[1].clone(), lists[2].clone()];
            [wire::set_watches(first, &three), wire::set_watches(second, &three)]
        } else {
            [wire::set_watches2(first, &lists), wire::set_watches2(second, &lists)]
        };
        let [first, second] = requests;
        let planned = vec![Planned { request: first, mangled: false, alone: false }];
        let sent = self.duel.send(session, planned, Some(&second));
        self.duel.compare(session, &sent);
    }

    /// ZooKeeper tells of changes of znodes that the client may not read; the other server does not.
    fn leave_out_denied(&mut self, session: usize, lists: &mut [Vec<String>; 5]) {
        const NO_AUTH: i32 = -102;
        let asked: Vec<Request> = lists[..3].iter().flatten().map(|path| wire::exists(path, false)).collect();
        let arrivals = self.duel.plain(session, &asked);
        let mut denied = arrivals.iter().filter_map(|arrival| match arrival {
            Arrival::Reply(reply) => Some(reply.err == NO_AUTH),
            _ => None,
        });
        for list in &mut lists[..3] {
            list.retain(|_| denied.next() == Some(false));
        }
    }

    /// Takes a session up again on new connections, with its identities.
    fn resume(&mut self, session: usize) {
        let last = self.duel.mapping.newest_zxid();
        let pair = &self.duel.pairs[session];
        let sessions = [pair.first.session.clone(), pair.second.session.clone()];
        let mut connections = Vec::new();
        for (side, known) in sessions.iter().enumerate() {
            let last = if side == 0 { last.0 } else { last.1 };
            let connection = Connection::resume(self.duel.servers[side].address, known, last)
                .unwrap_or_else(|error| panic!("server {side} does not resume: {error}"));
            connections.push(connection);
        }
        let second = connections.pop().expect("two");
        let first = connections.pop().expect("two");
        assert_ne!(first.session.id, 0, "a live session is resumed");
        self.duel.same_session(&first.session, &second.session, "a resumed session");
        let pair = &mut self.duel.pairs[session];
        pair.first = first;
        pair.second = second;
        for credential in self.duel.pairs[session].credentials.clone() {
            self.duel.plain(session, &[wire::auth("digest", credential.as_bytes())]);
        }
    }

    /// Attempts that must be refused: a wrong password, a client that has seen the future, an unknown session.
    fn refused_resumes(&mut self, session: usize) {
        let kind = self.random.u64(..3);
        let mut outcomes = Vec::new();
        for side in 0..2 {
            let pair = &mut self.duel.pairs[session];
            let connection = if side == 0 { &mut pair.first } else { &mut pair.second };
            // The live connection is ended by the test first: it has nothing to lose then.
            let _ = connection.stream().shutdown(std::net::Shutdown::Both);
            let known = connection.session.clone();
            let (last, id, password) = match kind {
                0 => (0, known.id, vec![0x55; 16]),
                1 => (i64::MAX, known.id, known.password.clone()),
                _ => (0, 0x7777_0000_0000, known.password.clone()),
            };
            let record = connect_record(last, 30_000, id, &password, Some(false));
            let mut attempt = Connection::silent(self.duel.servers[side].address).expect("a connection");
            let answer = attempt.handshake(&record);
            outcomes.push(match answer {
                Ok(()) => {
                    let end = attempt.next().expect("an end");
                    format!(
                        "session {:#x} timeout {} password {} then {end:?}",
                        attempt.session.id,
                        attempt.session.timeout_ms,
                        hex(&attempt.session.password)
                    )
                }
                Err(error) => format!("{:?}", error.kind()),
            });
        }
        assert_eq!(
            outcomes[0], outcomes[1],
            "refused resume {kind} (seed {}, step {})",
            self.duel.seed, self.duel.steps
        );
    }

    /// Ends a session, with everything that hangs on it, and opens another in its place.
    fn close_and_reopen(&mut self, session: usize) {
        if session == 0 {
            return;
        }
        let mut requests: Vec<Request> = (0..self.random.u64(..5)).map(|_| self.script.read()).collect();
        requests.push(wire::close_session());
        self.duel.plain(session, &requests);
        self.duel.expect_closed(session, "after closeSession");
        let pair = self.open();
        self.duel.pairs[session] = pair;
        if session <= 2 {
            self.authenticate(session, CREDENTIALS[session - 1]);
        }
    }

    /// Something after which the server ends the connection; then the session is resumed.
    fn fatal(&mut self, session: usize) {
        match self.random.u64(..5) {
            0 => {
                let opcode = self.random.choice([0, 10, 13, 23, 99, 108, -2, i32::MAX, 200]).unwrap();
                let body = wire::check("/a", -1).body;
                self.duel.plain(session, &[wire::raw(opcode, body)]);
            }
            1 => drop(self.duel.plain(session, &[wire::auth("nosuch", b"x")])),
            kind => {
                self.duel.plain(session, &[wire::ping()]);
                let bytes: &[u8] = match kind {
                    2 => &[0, 0, 0, 0],
                    3 => &[0xff, 0xff, 0xff, 0xfe, 1, 2, 3, 4, 5, 6, 7, 8],
                    _ => &[0x00, 0x10, 0x00, 0x00, 1, 2, 3, 4, 5, 6, 7, 8],
                };
                let pair = &mut self.duel.pairs[session];
                pair.first.push_bytes(bytes);
                pair.second.push_bytes(bytes);
                let _ = pair.first.flush();
                let _ = pair.second.flush();
            }
        }
        self.duel.expect_closed(session, "after a fatal request");
        self.resume(session);
    }

    /// Compares the whole tree, then deletes all of it but what was there from the beginning and the quota.
    fn wipe(&mut self) {
        self.duel.settle();
        self.duel.plain(0, &[wire::set_acl("/", Some(&Acl::open()), -1)]);
        let mut found = vec!["/".to_string()];
        let mut looked = 0;
        while looked < found.len() {
            let level: Vec<String> = found[looked..].to_vec();
            looked = found.len();
            for some in level.chunks(64) {
                let requests: Vec<Request> = some
                    .iter()
                    .flat_map(|path| {
                        [wire::get_children2(path, false), wire::get_data(path, false), wire::get_acl(path)]
                    })
                    .collect();
                let arrived = self.duel.plain(0, &requests);
                let replies = arrived.iter().filter_map(|arrival| match arrival {
                    Arrival::Reply(reply) => Some(reply),
                    _ => None,
                });
                for (path, reply) in some.iter().zip(replies.step_by(3)) {
                    found.extend(children(path, &reply.body));
                }
            }
        }
        let doomed: Vec<Request> = found
            .iter()
            .rev()
            .filter(|path| *path != "/" && *path != "/zookeeper" && *path != "/q")
            .filter(|path| !["/zookeeper/quota", "/zookeeper/config"].iter().any(|p| path.starts_with(p)))
            .map(|path| wire::delete(path, -1))
            .collect();
        for some in doomed.chunks(64) {
            self.duel.plain(0, some);
        }
        // Whatever happened to the quota, it stands again.
        self.duel.plain(0, &[wire::delete("/q", -1)]);
        self.duel.plain(0, &[wire::create("/q", b"", 0)]);
        self.script.forget();
    }
}

/// A write that always fails and always is a transaction.
fn failing_write() -> Planned {
    Planned { request: wire::create("/zookeeper", b"", 0), mangled: false, alone: false }
}

/// The full paths of the children a getChildren2 reply names.
fn children(parent: &str, body: &[u8]) -> Vec<String> {
    let Ok(decoded) = fields::of_reply(op::GET_CHILDREN2, body) else {
        return Vec::new();
    };
    let Some(fields::Value::Strings(Some(names))) = decoded.first().map(|field| &field.value) else {
        return Vec::new();
    };
    let parent = if parent == "/" { "" } else { parent };
    let mut paths: Vec<String> =
        names.iter().map(|name| format!("{parent}/{}", String::from_utf8_lossy(name))).collect();
    paths.sort();
    paths
}
