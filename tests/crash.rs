//! Kills the server at random moments under load and looks at what is left.
//!
//! Every writer has a session and a subtree of its own and pipelines creates, sets, deletes, multis (some made to
//! fail) and ephemerals. A session's requests take effect in order, so what is found after a restart must be the state
//! after some prefix of what the writer sent, and that prefix must hold everything that was acknowledged. Beyond that:
//! stated zxids are those of the acknowledgements, no zxid is given twice or goes back, sessions can be taken up again
//! with their ephemerals, and an abandoned session ends with its ephemerals.
//!
//! A witness measures the machine meanwhile: a wait that is too long is not the server's if the witness could not run or
//! write either.
//!
//! `CORRAL_CRASH_ROUNDS` (20 over all edges), `CORRAL_CRASH_SEED`, `CORRAL_TEST_EDGE`, `CORRAL_TEST_TARGET`.

mod support;

use fastrand::Rng;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use support::client::{Connection, Reply, Session};
use support::fields::{self, Field, Value};
use support::random::{bytes, fresh_seed};
use support::server::{Server, Target, install_zookeeper};
use support::wire::{self, Request, flag, op};
use support::witness::Witness;
use support::{Scratch, env_number, wait_for};

const WRITERS: usize = 4;

/// Requests a writer keeps in flight.
const DEPTH: usize = 48;

/// Nodes a writer keeps at most before it rather deletes.
const NODES: usize = 120;

/// The longest session timeout of the configuration below, in milliseconds.
const SESSION_MS: i32 = 4_000;

/// How long the writers of a round may take, not counting time in which the machine stood still; and counting it.
const ROUND_LIMIT: Duration = Duration::from_secs(20);
const ROUND_LIMIT_IN_ALL: Duration = Duration::from_secs(120);

/// What a node must look like. The zxids are known once acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    data: Vec<u8>,
    version: i32,
    ephemeral: bool,
    czxid: Option<i64>,
    mzxid: Option<i64>,
}

/// A writer's subtree: the children of its directory, and how often one came or went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model {
    nodes: BTreeMap<String, Node>,
    cversion: i32,
}

#[derive(Clone, Debug)]
enum Effect {
    Create { path: String, data: Vec<u8>, ephemeral: bool },
    Set { path: String, data: Vec<u8> },
    Delete { path: String },
}

/// A request in flight and what it does to the model when it takes effect; nothing for one made to fail.
#[derive(Clone, Debug)]
struct Sent {
    request: Request,
    effects: Vec<Effect>,
}

impl Model {
    fn apply(&mut self, effects: &[Effect], zxid: Option<i64>) {
        for effect in effects {
            match effect {
                Effect::Create { path, data, ephemeral } => {
                    let node = Node { data: data.clone(), version: 0, ephemeral: *ephemeral, czxid: zxid, mzxid: zxid };
                    assert!(self.nodes.insert(path.clone(), node).is_none());
                    self.cversion += 1;
                }
                Effect::Set { path, data } => {
                    let node = self.nodes.get_mut(path).expect("scripted on what is there");
                    node.data.clone_from(data);
                    node.version += 1;
                    node.mzxid = zxid;
                }
                Effect::Delete { path } => {
                    self.nodes.remove(path).expect("scripted on what is there");
                    self.cversion += 1;
                }
            }
        }
    }

    /// Why the found state is not this one; None when it is.
    fn differs_from(&self, found: &Model) -> Option<String> {
        if self.cversion != found.cversion {
            return Some(format!("cversion {} instead of {}", found.cversion, self.cversion));
        }
        for (path, node) in &self.nodes {
            let Some(other) = found.nodes.get(path) else {
                return Some(format!("{path} is missing"));
            };
            let same = node.data == other.data
                && node.version == other.version
                && node.ephemeral == other.ephemeral
                && (node.czxid.is_none() || node.czxid == other.czxid)
                && (node.mzxid.is_none() || node.mzxid == other.mzxid);
            if !same {
                return Some(format!("{path} is {other:?} instead of {node:?}"));
            }
        }
        found
            .nodes
            .keys()
            .find(|path| !self.nodes.contains_key(*path))
            .map(|path| format!("{path} should not be there"))
    }
}

/// What all writers share.
struct Board {
    /// Acknowledged writes of this round.
    acknowledged: AtomicU64,
    /// No write of this round may be given this zxid or a lower one.
    floor: i64,
}

struct Writer {
    name: String,
    random: Rng,
    connection: Connection,
    session: Session,
    /// The state after everything acknowledged.
    sure: Model,
    /// The state after everything sent.
    ahead: Model,
    in_flight: VecDeque<Sent>,
    serial: u64,
    last_zxid: i64,
    /// The zxids of the acknowledged writes of this round.
    zxids: Vec<i64>,
}

#[test]
fn nothing_acknowledged_is_lost() {
    let targets = Target::all();
    let rounds = env_number("CORRAL_CRASH_ROUNDS", 20).div_ceil(targets.len() as u64);
    let seed = match env_number("CORRAL_CRASH_SEED", 0) {
        0 => fresh_seed(),
        seed => seed,
    };
    for (place, target) in targets.into_iter().enumerate() {
        if target == Target::ZooKeeper {
            install_zookeeper();
        }
        let seed = seed + place as u64;
        println!("crash: {target:?}, {rounds} rounds, CORRAL_CRASH_SEED={seed}");
        let begun = Instant::now();
        let writes = crash_rounds(target, rounds, seed);
        println!(
            "crash: {target:?} kept {writes} acknowledged writes over {rounds} ends in {:.1} s",
            begun.elapsed().as_secs_f64()
        );
    }
}

fn settings(snapshots: bool) -> Vec<String> {
    vec![
        "tickTime=200".to_string(),
        "minSessionTimeout=400".to_string(),
        format!("maxSessionTimeout={SESSION_MS}"),
        "maxClientCnxns=0".to_string(),
        format!("snapCount={}", if snapshots { 120 } else { 100_000 }),
    ]
}

fn crash_rounds(target: Target, rounds: u64, seed: u64) -> u64 {
    let mut random = Rng::with_seed(seed);
    let scratch = Scratch::new();
    let witness = Witness::start(scratch.path());
    let mut server = Server::start(target, scratch.path(), &[]);
    server.kill();
    server.configure(&settings(true));
    server.start_again();
    let mut writers: Vec<Writer> =
        (0..WRITERS).map(|number| Writer::new(server.address, number, &mut random)).collect();
    let mut given = BTreeSet::new();
    let mut floor = 0;
    let mut writes = 0;
    for round in 0..rounds {
        let board = Board { acknowledged: AtomicU64::new(0), floor };
        let gentle = round % 4 == 3;
        // Sometimes few, sometimes enough for several snapshots.
        let moment = random.u64(1..=if round % 2 == 0 { 4_000 } else { 600 });
        let stood_before = witness.stood();
        std::thread::scope(|scope| {
            for writer in &mut writers {
                scope.spawn(|| writer.work(&board));
            }
            let begun = Instant::now();
            let stood = || witness.stood().since(stood_before);
            let reached = wait_for(ROUND_LIMIT_IN_ALL, || {
                let there = board.acknowledged.load(Ordering::Relaxed) >= moment;
                let over = begun.elapsed() > ROUND_LIMIT + stood().sum();
                (there || over || !server.is_running()).then_some(there)
            });
            let lived = server.is_running();
            if !lived {
                server.kill();
                panic!("the server ended by itself; its log:\n{}", server.log_tail());
            }
            if gentle {
                server.terminate();
            } else {
                server.kill();
            }
            assert!(
                reached == Some(true),
                "the writers came to a stand before write {moment}; in {:?} since the round began the witness waited: {:?}",
                begun.elapsed(),
                stood()
            );
        });
        writes += board.acknowledged.load(Ordering::Relaxed);
        println!(
            "crash: round {round}: {} after {} writes",
            if gentle { "SIGTERM" } else { "SIGKILL" },
            board.acknowledged.load(Ordering::Relaxed)
        );
        let highest = writers.iter().map(|writer| writer.last_zxid).max();
        for writer in &mut writers {
            for zxid in writer.zxids.drain(..) {
                assert!(given.insert(zxid), "zxid {zxid:#x} was given twice");
            }
        }
        floor = floor.max(highest.unwrap_or(0));

        server.configure(&settings(random.u8(..100) < 50));
        if random.u8(..100) < 30 {
            // Killed again on its way up.
            server.spawn();
            std::thread::sleep(Duration::from_millis(random.u64(..80)));
            server.kill();
        }
        server.start_again();
        let abandoned = (round % 5 == 4).then(|| random.usize(..WRITERS));
        for (number, writer) in writers.iter_mut().enumerate() {
            if abandoned != Some(number) {
                writer.come_back(server.address, &mut floor, round);
            }
        }
        if let Some(number) = abandoned {
            let (before, rest) = writers.split_at_mut(number);
            let (absent, behind) = rest.split_first_mut().expect("the number of a writer");
            let mut others: Vec<&mut Writer> = before.iter_mut().chain(behind).collect();
            absent.stay_away(server.address, &mut others, &mut floor, round);
        }
    }
    server.terminate();
    println!("crash: the witness waited: {:?}", witness.stood());
    writes
}

impl Writer {
    fn new(address: SocketAddr, number: usize, random: &mut Rng) -> Writer {
        let mut connection = Connection::new_session(address, SESSION_MS).expect("a session");
        let name = format!("/w{number}");
        connection.must(&wire::create(&name, b"", flag::PERSISTENT));
        Writer {
            name,
            random: Rng::with_seed(random.u64(..)),
            session: connection.session.clone(),
            connection,
            sure: Model::default(),
            ahead: Model::default(),
            in_flight: VecDeque::new(),
            serial: 0,
            last_zxid: 0,
            zxids: Vec::new(),
        }
    }

    /// Writes until the connection ends.
    fn work(&mut self, board: &Board) {
        loop {
            while self.in_flight.len() < DEPTH {
                let next = self.plan();
                self.ahead.apply(&next.effects, None);
                self.connection.push(&next.request);
                self.in_flight.push_back(next);
            }
            if self.connection.flush().is_err() {
                return self.take_the_rest(board);
            }
            for _ in 0..DEPTH / 2 {
                match self.connection.next_reply() {
                    Ok(reply) => self.acknowledge(&reply, board),
                    Err(error) => return assert_ended(&error),
                }
            }
        }
    }

    /// Replies that were on their way when the connection ended count as acknowledged.
    fn take_the_rest(&mut self, board: &Board) {
        while !self.in_flight.is_empty() {
            match self.connection.next_reply() {
                Ok(reply) => self.acknowledge(&reply, board),
                Err(error) => return assert_ended(&error),
            }
        }
    }

    fn acknowledge(&mut self, reply: &Reply, board: &Board) {
        let sent = self.in_flight.pop_front().expect("a reply to nothing");
        let made_to_fail = sent.effects.is_empty();
        assert_eq!(reply.err, 0, "{:?}", fields::op_name(sent.request.opcode));
        if sent.request.opcode == op::MULTI {
            let first = i32::from_be_bytes(reply.body[..4].try_into().expect("a multi's reply"));
            assert_eq!(first == -1, made_to_fail, "the outcome of a multi");
        }
        assert!(
            reply.zxid > self.last_zxid && reply.zxid > board.floor,
            "zxid {:#x} after {:#x}, with {:#x} before the restart",
            reply.zxid,
            self.last_zxid,
            board.floor
        );
        self.last_zxid = reply.zxid;
        self.zxids.push(reply.zxid);
        self.sure.apply(&sent.effects, Some(reply.zxid));
        board.acknowledged.fetch_add(1, Ordering::Relaxed);
    }

    fn fresh_path(&mut self) -> String {
        self.serial += 1;
        format!("{}/n{}", self.name, self.serial)
    }

    fn fresh_data(&mut self) -> Vec<u8> {
        let padding = self.random.usize(..200);
        let mut data = format!("{}:", self.serial).into_bytes();
        data.extend(bytes(&mut self.random, padding));
        data
    }

    fn some_path(&mut self) -> Option<String> {
        let count = self.ahead.nodes.len();
        if count == 0 {
            return None;
        }
        let place = self.random.usize(..count);
        self.ahead.nodes.keys().nth(place).cloned()
    }

    /// The next request, valid in the state after everything sent.
    fn plan(&mut self) -> Sent {
        let full = self.ahead.nodes.len() >= NODES;
        let (request, effects) = match (self.random.u64(..100), self.some_path()) {
            (0..=24, Some(path)) => self.set(&path),
            (25..=39, Some(path)) => delete(&path),
            (_, Some(path)) if full => delete(&path),
            (40..=57, Some(path)) => self.multi(&path),
            (58..=61, Some(_)) => self.failing_multi(),
            (62..=71, _) => self.create(true),
            _ => self.create(false),
        };
        Sent { request, effects }
    }

    fn create(&mut self, ephemeral: bool) -> (Request, Vec<Effect>) {
        let path = self.fresh_path();
        let data = self.fresh_data();
        let flags = if ephemeral { flag::EPHEMERAL } else { flag::PERSISTENT };
        let request = wire::create(&path, &data, flags);
        let effect = Effect::Create { path, data, ephemeral };
        (request, vec![effect])
    }

    fn set(&mut self, path: &str) -> (Request, Vec<Effect>) {
        self.serial += 1;
        let data = self.fresh_data();
        let request = wire::set_data(path, Some(&data), -1);
        let effect = Effect::Set { path: path.to_string(), data };
        (request, vec![effect])
    }

    /// Creations, a change and a deletion that belong together.
    fn multi(&mut self, path: &str) -> (Request, Vec<Effect>) {
        let mut parts = Vec::new();
        let mut effects = Vec::new();
        for step in 0..self.random.u64(2..=5) {
            let (request, more) = match step {
                0 => self.set(path),
                1 => self.create(false),
                2 => delete(path),
                _ => {
                    let ephemeral = self.random.u8(..100) < 30;
                    self.create(ephemeral)
                }
            };
            parts.push(request);
            effects.extend(more);
        }
        (wire::multi(&parts), effects)
    }

    fn failing_multi(&mut self) -> (Request, Vec<Effect>) {
        let parts = [self.create(false).0, self.create(true).0, wire::check(&self.name, 4_444)];
        (wire::multi(&parts), Vec::new())
    }

    /// Takes the session up again after a restart and compares.
    fn come_back(&mut self, address: SocketAddr, floor: &mut i64, round: u64) {
        self.connection = Connection::resume(address, &self.session, self.last_zxid).unwrap_or_else(|error| {
            panic!(
                "round {round}: the session {:#x} that saw {:#x} is not taken up: {error}",
                self.session.id, self.last_zxid
            )
        });
        assert_eq!(self.connection.session.id, self.session.id, "round {round}: a session that did not expire");
        let found = self.look(None, floor);
        self.settle(&found, round);
    }

    /// Lets the session expire; its ephemerals must go with it, and it must stay gone.
    fn stay_away(&mut self, address: SocketAddr, others: &mut [&mut Writer], floor: &mut i64, round: u64) {
        let found = self.look(Some(&mut others[0].connection), floor);
        self.settle(&found, round);
        let doomed = self.sure.nodes.values().filter(|node| node.ephemeral).count();
        let gone = wait_for(Duration::from_millis(SESSION_MS as u64 * 4), || {
            // The others are heard of meanwhile: only this session is to end.
            for other in others.iter_mut() {
                other.connection.must(&wire::exists("/", false));
            }
            let found = self.look(Some(&mut others[0].connection), floor);
            let left = found.nodes.values().filter(|node| node.ephemeral).count();
            std::thread::sleep(Duration::from_millis(50));
            (left == 0).then_some(())
        });
        assert!(gone.is_some(), "round {round}: {doomed} ephemerals outlive their session {:#x}", self.session.id);
        if doomed > 0 {
            let refused = Connection::resume(address, &self.session, 0).expect("an answer");
            assert_eq!(refused.session.id, 0, "round {round}: an expired session");
        }
        self.sure.nodes.retain(|_, node| !node.ephemeral);
        self.sure.cversion += doomed as i32;
        self.ahead = self.sure.clone();
        let found = self.look(Some(&mut others[0].connection), floor);
        self.settle(&found, round);
        self.connection = Connection::new_session(address, SESSION_MS).expect("a session");
        self.session = self.connection.session.clone();
        self.last_zxid = 0;
    }

    /// Finds the prefix of what was sent that explains what is there.
    fn settle(&mut self, found: &Model, round: u64) {
        let mut candidate = self.sure.clone();
        let mut reasons = Vec::new();
        let mut pending = std::mem::take(&mut self.in_flight).into_iter();
        loop {
            match candidate.differs_from(found) {
                None => break,
                Some(why) => reasons.push(why),
            }
            let Some(next) = pending.next() else {
                panic!(
                    "round {round}: {} is in no state it can be in; after each prefix of the unacknowledged:\n{}",
                    self.name,
                    reasons.join("\n")
                );
            };
            candidate.apply(&next.effects, None);
        }
        for (path, node) in &found.nodes {
            let known = &candidate.nodes[path];
            for (stated, learnt) in [(node.czxid, known.czxid), (node.mzxid, known.mzxid)] {
                assert!(
                    learnt.is_some() || stated > Some(self.last_zxid),
                    "round {round}: {path} has zxid {stated:x?} but was written after {:#x}",
                    self.last_zxid
                );
            }
        }
        self.sure = found.clone();
        self.ahead = found.clone();
    }

    /// Reads the writer's subtree, through its own connection or another's.
    fn look(&mut self, through: Option<&mut Connection>, floor: &mut i64) -> Model {
        let session = self.session.id;
        let connection = through.unwrap_or(&mut self.connection);
        let children = connection.must(&wire::get_children2(&self.name, false));
        let decoded = fields::of_reply(op::GET_CHILDREN2, &children).expect("children");
        *floor = (*floor).max(number(&decoded, "pzxid"));
        let mut found = Model { nodes: BTreeMap::new(), cversion: number(&decoded, "cversion") as i32 };
        let Value::Strings(Some(names)) = &decoded[0].value else {
            panic!("no children");
        };
        for name in names {
            let path = format!("{}/{}", self.name, String::from_utf8_lossy(name));
            let reply = connection.call(&wire::get_data(&path, false)).expect("an answer");
            if reply.err == wire::code::NO_NODE {
                // An ephemeral that went between the two reads.
                continue;
            }
            assert_eq!(reply.err, 0, "{path}");
            let decoded = fields::of_reply(op::GET_DATA, &reply.body).expect("data");
            let Value::Bytes(Some(data)) = &decoded[0].value else {
                panic!("{path} has null data");
            };
            let owner = number(&decoded, "ephemeralOwner");
            assert!(owner == 0 || owner == session, "{path} belongs to {owner:#x}");
            *floor = (*floor).max(number(&decoded, "mzxid"));
            let node = Node {
                data: data.clone(),
                version: number(&decoded, "version") as i32,
                ephemeral: owner != 0,
                czxid: Some(number(&decoded, "czxid")),
                mzxid: Some(number(&decoded, "mzxid")),
            };
            found.nodes.insert(path, node);
        }
        found
    }
}

fn delete(path: &str) -> (Request, Vec<Effect>) {
    let effect = Effect::Delete { path: path.to_string() };
    (wire::delete(path, -1), vec![effect])
}

/// The only way a writer's connection may end is by its end.
fn assert_ended(error: &std::io::Error) {
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "a writer's connection: {error}");
}

fn number(decoded: &[Field], name: &str) -> i64 {
    let field = decoded.iter().find(|field| field.name == name).unwrap_or_else(|| panic!("no field {name}"));
    match field.value {
        Value::Int(number) => i64::from(number),
        Value::Zxid(number) | Value::Session(number) => number,
        _ => panic!("{name} is no number"),
    }
}
