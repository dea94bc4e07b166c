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
//! | auth and sasl packets behind unanswered requests | answered on receipt, ahead of others |
//!
//! `CORRAL_DIFF_OPS` (200 000 over all edges), `CORRAL_DIFF_SEED`, `CORRAL_TEST_EDGE`;
//! `CORRAL_TEST_TARGET=zookeeper` compares two ZooKeepers, which must agree.

mod support;

use std::path::Path;
use std::time::Instant;

use support::client::{Arrival, Connection, Session, connect_record};
use support::compare::{self, Mapping};
use support::fields;
use support::history::{History, Mismatch};
use support::random::Random;
use support::script::{CREDENTIALS, Planned, SUPER_DIGEST, Script};
use support::server::{Server, Target, install_zookeeper};
use support::wire::{self, Acl, Request, op, xid};
use support::{Scratch, env_number, hex};

/// Sessions of a run; the first is the super user's.
const SESSIONS: usize = 7;

/// How many of the last requests are kept for the report of a mismatch.
const HISTORY: usize = 4_000;

/// The configuration both servers get.
const SETTINGS: &[&str] = &[
    "tickTime=2000",
    "minSessionTimeout=4000",
    "maxSessionTimeout=40000",
    "maxClientCnxns=0",
    "extendedTypesEnabled=true",
    "enforceQuota=true",
    "forceSync=no",
    "znode.container.checkIntervalMs=3600000",
    "4lw.commands.whitelist=*",
    SUPER_DIGEST,
];

/// A request as it was sent to the first server, for the comparison and the report.
struct Sent {
    number: i32,
    request: Request,
    mangled: bool,
}

/// One session on both servers.
struct Pair {
    first: Connection,
    second: Connection,
    next_xid: i32,
    credentials: Vec<&'static str>,
}

struct Run {
    seed: u64,
    script: Script,
    random: Random,
    servers: [Server; 2],
    pairs: Vec<Pair>,
    mapping: Mapping,
    history: History,
    /// Transaction ids, on each server, of the closeSessions since every session was last heard.
    closing: Vec<(i64, i64)>,
    /// Requests compared so far.
    steps: u64,
    events: u64,
    successes: u64,
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
            run.steps,
            run.successes,
            run.events,
            begun.elapsed().as_secs_f64()
        );
        assert!(run.successes * 4 > run.steps, "a script of which nearly everything fails says little");
    }
}

impl Run {
    fn start(target: Target, directory: &Path, seed: u64) -> Run {
        let servers = [
            Server::start(Target::ZooKeeper, &directory.join("first"), SETTINGS),
            Server::start(target, &directory.join("second"), SETTINGS),
        ];
        let mut run = Run {
            seed,
            script: Script::new(seed),
            random: Random::new(!seed),
            servers,
            pairs: Vec::new(),
            mapping: Mapping::new(),
            history: History::new(HISTORY),
            closing: Vec::new(),
            steps: 0,
            events: 0,
            successes: 0,
        };
        for session in 0..SESSIONS {
            let pair = run.new_pair();
            run.pairs.push(pair);
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
        while self.steps < operations {
            let before = self.steps;
            let session = self.random.below(SESSIONS as u64) as usize;
            match self.random.below(1_000) {
                0..=849 => self.burst(session),
                850..=929 => self.concurrent_reads(),
                930..=954 => self.reconnect(session),
                955..=969 => self.more_identity(session),
                970..=981 => self.close_and_reopen(session),
                _ => self.fatal(session),
            }
            since_wipe += self.steps - before;
            bursts += 1;
            if bursts.is_multiple_of(40) {
                self.settle();
            }
            if since_wipe > 6_000 {
                self.wipe();
                since_wipe = 0;
            }
        }
        self.settle();
        self.wipe();
    }

    /// Opens one new session on both servers.
    fn new_pair(&mut self) -> Pair {
        let timeout_ms = *self.random.pick(&[30_000, 40_000, 100_000, 35_000]);
        let read_only = *self.random.pick(&[Some(false), Some(true), None]);
        let record = connect_record(0, timeout_ms, 0, &[0; 16], read_only);
        let mut connections = self
            .servers
            .each_ref()
            .map(|server| Connection::silent(server.address).expect("the server accepts connections"));
        for connection in &mut connections {
            connection.handshake(&record).expect("a connect response");
        }
        let [first, second] = connections;
        self.same_session(&first.session, &second.session, "a new session");
        Pair { first, second, next_xid: 1, credentials: Vec::new() }
    }

    fn same_session(&mut self, first: &Session, second: &Session, what: &str) {
        let paired = self.mapping.session_pair(first.id, second.id);
        let alike = first.timeout_ms == second.timeout_ms
            && first.read_only == second.read_only
            && first.password.len() == second.password.len()
            && (first.id == 0) == (second.id == 0)
            && paired.is_ok();
        assert!(alike, "{what}: {first:?} against {second:?} (seed {}, step {})", self.seed, self.steps);
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
        self.plain(0, &requests);
    }

    /// Sends requests to both servers as one pipelined burst and compares what comes.
    fn exchange(&mut self, session: usize, planned: Vec<Planned>) -> Vec<Arrival> {
        let sent = self.send(session, planned, None);
        self.compare(session, &sent)
    }

    fn plain(&mut self, session: usize, requests: &[Request]) -> Vec<Arrival> {
        let planned =
            requests.iter().map(|request| Planned { request: request.clone(), mangled: false, alone: false }).collect();
        self.exchange(session, planned)
    }

    /// Writes a burst to both servers. `second` is what the second server gets instead, where requests name
    /// transaction ids.
    fn send(&mut self, session: usize, planned: Vec<Planned>, second: Option<&Request>) -> Vec<Sent> {
        let pair = &mut self.pairs[session];
        let mut sent = Vec::with_capacity(planned.len());
        for one in planned {
            let number = match one.request.opcode {
                op::PING => xid::PING,
                op::AUTH => xid::AUTH,
                op::SET_WATCHES | op::SET_WATCHES2 => xid::SET_WATCHES,
                _ => {
                    pair.next_xid += 1;
                    pair.next_xid
                }
            };
            pair.first.push_as(number, &one.request);
            pair.second.push_as(number, second.unwrap_or(&one.request));
            sent.push(Sent { number, request: one.request, mangled: one.mangled });
        }
        // A server may end the connection before it has read everything; the arrivals tell.
        let _ = pair.first.flush();
        let _ = pair.second.flush();
        sent
    }

    /// Takes what arrives for a burst on both servers and compares it, element by element. Gives the first server's
    /// arrivals.
    fn compare(&mut self, session: usize, sent: &[Sent]) -> Vec<Arrival> {
        let mut first = self.gather(session, 0, sent.len());
        let mut second = self.gather(session, 1, sent.len());
        if let (Some(a), Some(b)) = (closing_zxid(sent, &first), closing_zxid(sent, &second)) {
            self.closing.push((a, b));
        }
        for (a, b) in &self.closing {
            compare::sort_events_of(*a, &mut first);
            compare::sort_events_of(*b, &mut second);
        }
        let mut asked = sent.iter();
        for place in 0..first.len().max(second.len()) {
            let (a, b) = (first.get(place), second.get(place));
            let request = match a {
                Some(Arrival::Reply(_)) => asked.next(),
                _ => None,
            };
            let opcode = request.map_or(0, |one| one.request.opcode);
            let verdict = match (a, b) {
                (Some(a), Some(b)) => {
                    let loose = request.is_some_and(|one| one.mangled);
                    let numbered = match (a, request) {
                        (Arrival::Reply(reply), Some(one)) => reply.xid == one.number,
                        _ => true,
                    };
                    if numbered {
                        self.mapping.arrivals(opcode, loose, a, b)
                    } else {
                        Err("the first server answered out of order".to_string())
                    }
                }
                _ => Err("one server sent more".to_string()),
            };
            if let Err(why) = verdict {
                let mismatch = Mismatch {
                    why: &why,
                    request: request.map(|one| &one.request),
                    first: a,
                    second: b,
                    opcodes: sent.iter().map(|one| one.request.opcode).collect(),
                    arrivals: [&first, &second],
                };
                let other = format!("{:?}", self.servers[1].target);
                mismatch.print(["ZooKeeper", &other], &self.history);
                panic!(
                    "the servers differ: {why} (CORRAL_DIFF_SEED={}, step {}, session {session})",
                    self.seed, self.steps
                );
            }
            match (a, request) {
                (Some(Arrival::Reply(reply)), Some(one)) => {
                    self.note(session, &one.request, reply.err, &reply.body);
                }
                (Some(Arrival::Event { .. }), _) => self.events += 1,
                _ => {}
            }
        }
        first
    }

    /// Reads from one server until `replies` replies came or the connection ended.
    fn gather(&mut self, session: usize, side: usize, replies: usize) -> Vec<Arrival> {
        let pair = &mut self.pairs[session];
        let connection = if side == 0 { &mut pair.first } else { &mut pair.second };
        let mut arrived = Vec::with_capacity(replies + 4);
        let mut left = replies;
        while left > 0 {
            match connection.next() {
                Ok(arrival) => {
                    match &arrival {
                        Arrival::Reply(_) => left -= 1,
                        Arrival::Closed => left = 0,
                        Arrival::Event { .. } => {}
                    }
                    arrived.push(arrival);
                }
                Err(error) => {
                    let shown: Vec<String> = arrived.iter().map(|a| compare::show(0, a)).collect();
                    panic!(
                        "server {side} gave {} of {replies} replies on session {session}, then: {error} (seed {}, step {})\n{}",
                        replies - left,
                        self.seed,
                        self.steps,
                        shown.join("\n")
                    );
                }
            }
        }
        arrived
    }

    fn note(&mut self, session: usize, request: &Request, err: i32, body: &[u8]) {
        self.steps += 1;
        if err == 0 {
            self.successes += 1;
            let creates = matches!(request.opcode, op::CREATE | op::CREATE2 | op::CREATE_CONTAINER | op::CREATE_TTL);
            if creates
                && body.len() >= 4
                && let Ok(Some(name)) = fields::Reader::new(body).buffer("path")
                && let Ok(name) = String::from_utf8(name)
                && !name.starts_with("/q")
                && !name.starts_with("/zookeeper")
            {
                self.script.remember(&name);
            }
        }
        self.history.push(self.steps, session, request, err);
    }

    /// One session's pipelined requests.
    fn burst(&mut self, session: usize) {
        let count = if self.random.chance(10) { 1 } else { self.random.between(2, 60) };
        let mut planned = Vec::new();
        for _ in 0..count {
            let next = self.script.next();
            if next.alone {
                if !planned.is_empty() {
                    self.exchange(session, std::mem::take(&mut planned));
                }
                self.exchange(session, vec![next]);
                continue;
            }
            let mangled = next.mangled;
            planned.push(next);
            if mangled {
                planned.push(failing_write());
            }
        }
        self.exchange(session, planned);
    }

    /// Several sessions at once, none of them changing the tree.
    fn concurrent_reads(&mut self) {
        let mut all = Vec::new();
        for session in 0..SESSIONS {
            let count = self.random.between(1, 20);
            let planned =
                (0..count).map(|_| Planned { request: self.script.read(), mangled: false, alone: false }).collect();
            all.push(self.send(session, planned, None));
        }
        for (session, sent) in all.iter().enumerate() {
            self.compare(session, sent);
        }
    }

    /// Hears every session once, so that no event stays unseen.
    fn settle(&mut self) {
        for session in 0..SESSIONS {
            self.plain(session, &[wire::ping()]);
        }
        self.closing.clear();
    }

    fn authenticate(&mut self, session: usize, credential: &'static str) {
        self.plain(session, &[wire::auth("digest", credential.as_bytes())]);
        self.pairs[session].credentials.push(credential);
    }

    /// Adds an identity, or something that is none, to a session's connection.
    fn more_identity(&mut self, session: usize) {
        match self.random.below(5) {
            0 => self.authenticate(session, CREDENTIALS[0]),
            1 => self.authenticate(session, CREDENTIALS[1]),
            2 => drop(self.plain(session, &[wire::auth("ip", b"10.1.1.1")])),
            3 => drop(self.plain(session, &[wire::auth("digest", b"nocolon")])),
            _ => drop(self.plain(session, &[wire::sasl(b"token")])),
        }
        self.plain(session, &[wire::who_am_i()]);
    }

    /// Ends the connection without a word, comes back with the same session, and re-registers watches.
    fn reconnect(&mut self, session: usize) {
        self.plain(session, &[wire::ping()]);
        if self.random.chance(20) {
            self.refused_resumes(session);
        }
        self.resume(session);
        let lists = self.script.watch_lists();
        let newest = self.mapping.newest_zxid();
        let (first, second) = match self.random.below(4) {
            0 => (0, 0),
            1 => (i64::MAX, i64::MAX),
            2 => newest,
            _ => self.mapping.zxid_pair_at(self.random.below(newest.0.max(1) as u64) as i64),
        };
        let requests = if self.random.chance(40) {
            let three = [lists[0].clone(), lists[1].clone(), lists[2].clone()];
            [wire::set_watches(first, &three), wire::set_watches(second, &three)]
        } else {
            [wire::set_watches2(first, &lists), wire::set_watches2(second, &lists)]
        };
        let [first, second] = requests;
        let planned = vec![Planned { request: first, mangled: false, alone: false }];
        let sent = self.send(session, planned, Some(&second));
        self.compare(session, &sent);
    }

    /// Takes a session up again on new connections, with its identities.
    fn resume(&mut self, session: usize) {
        let last = self.mapping.newest_zxid();
        let pair = &self.pairs[session];
        let sessions = [pair.first.session.clone(), pair.second.session.clone()];
        let mut connections = Vec::new();
        for (side, known) in sessions.iter().enumerate() {
            let last = if side == 0 { last.0 } else { last.1 };
            let connection = Connection::resume(self.servers[side].address, known, last)
                .unwrap_or_else(|error| panic!("server {side} does not resume: {error}"));
            connections.push(connection);
        }
        let second = connections.pop().expect("two");
        let first = connections.pop().expect("two");
        assert_ne!(first.session.id, 0, "a live session is resumed");
        self.same_session(&first.session, &second.session, "a resumed session");
        let pair = &mut self.pairs[session];
        pair.first = first;
        pair.second = second;
        for credential in self.pairs[session].credentials.clone() {
            self.plain(session, &[wire::auth("digest", credential.as_bytes())]);
        }
    }

    /// Attempts that must be refused: a wrong password, a client that has seen the future, an unknown session.
    fn refused_resumes(&mut self, session: usize) {
        let kind = self.random.below(3);
        let mut outcomes = Vec::new();
        for side in 0..2 {
            let pair = &mut self.pairs[session];
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
            let mut attempt = Connection::silent(self.servers[side].address).expect("a connection");
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
        assert_eq!(outcomes[0], outcomes[1], "refused resume {kind} (seed {}, step {})", self.seed, self.steps);
    }

    /// Ends a session, with everything that hangs on it, and opens another in its place.
    fn close_and_reopen(&mut self, session: usize) {
        if session == 0 {
            return;
        }
        let mut requests: Vec<Request> = (0..self.random.below(5)).map(|_| self.script.read()).collect();
        requests.push(wire::close_session());
        self.plain(session, &requests);
        self.expect_closed(session, "after closeSession");
        let pair = self.new_pair();
        self.pairs[session] = pair;
        if session <= 2 {
            self.authenticate(session, CREDENTIALS[session - 1]);
        }
    }

    /// Something after which the server ends the connection; then the session is resumed.
    fn fatal(&mut self, session: usize) {
        match self.random.below(5) {
            0 => {
                let opcode = *self.random.pick(&[0, 10, 13, 23, 99, 108, -2, i32::MAX, 200]);
                let body = wire::check("/a", -1).body;
                self.plain(session, &[wire::raw(opcode, body)]);
            }
            1 => drop(self.plain(session, &[wire::auth("nosuch", b"x")])),
            kind => {
                self.plain(session, &[wire::ping()]);
                let bytes: &[u8] = match kind {
                    2 => &[0, 0, 0, 0],
                    3 => &[0xff, 0xff, 0xff, 0xfe, 1, 2, 3, 4, 5, 6, 7, 8],
                    _ => &[0x00, 0x10, 0x00, 0x00, 1, 2, 3, 4, 5, 6, 7, 8],
                };
                let pair = &mut self.pairs[session];
                pair.first.push_bytes(bytes);
                pair.second.push_bytes(bytes);
                let _ = pair.first.flush();
                let _ = pair.second.flush();
            }
        }
        self.expect_closed(session, "after a fatal request");
        self.resume(session);
    }

    fn expect_closed(&mut self, session: usize, when: &str) {
        for side in 0..2 {
            let pair = &mut self.pairs[session];
            let connection = if side == 0 { &mut pair.first } else { &mut pair.second };
            let end = connection.next();
            assert!(
                matches!(end, Ok(Arrival::Closed)),
                "server {side} should have closed {when}, but: {end:?} (seed {}, step {})",
                self.seed,
                self.steps
            );
        }
    }

    /// Compares the whole tree, then deletes all of it but what was there from the beginning and the quota.
    fn wipe(&mut self) {
        self.settle();
        self.plain(0, &[wire::set_acl("/", Some(&Acl::open()), -1)]);
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
                let arrived = self.plain(0, &requests);
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
            self.plain(0, some);
        }
        // Whatever happened to the quota, it stands again.
        self.plain(0, &[wire::delete("/q", -1)]);
        self.plain(0, &[wire::create("/q", b"", 0)]);
        self.script.forget();
    }
}

/// A write that always fails and always is a transaction.
fn failing_write() -> Planned {
    Planned { request: wire::create("/zookeeper", b"", 0), mangled: false, alone: false }
}

/// The transaction id of the closeSession a burst ends with, as one server answered it.
fn closing_zxid(sent: &[Sent], arrived: &[Arrival]) -> Option<i64> {
    if sent.last()?.request.opcode != op::CLOSE_SESSION {
        return None;
    }
    match arrived.last()? {
        Arrival::Reply(reply) => Some(reply.zxid),
        _ => None,
    }
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
