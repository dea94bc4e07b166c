//! A whole ensemble in one thread, with everything that can go wrong chosen by a seed.
//!
//! Leaders and learners are the real ones; elections are an oracle's, which mostly names the most advanced
//! server of a quorum and sometimes another. Packets travel as bytes. Disks lose at a crash what they had
//! not finished writing. After every step the invariants are checked on what every server has on its disk,
//! has sent and has shown:
//!
//! - one leader per epoch; logs without holes; what any server commits is a prefix of one sequence;
//! - an established leader has all of that sequence; truncation takes nothing of it; a quorum of disks has it;
//! - epochs never go back, accepted is never behind current;
//! - an acknowledgement leaves when its record is durable, that of NEWLEADER when log, then epoch, are;
//! - an epoch that has no further zxid is followed by the next one under the same leader, when all of it is agreed on;
//! - a sync is answered by a leader that has everything committed when it was asked.
//!
//! At the end faults cease, and everybody must agree within a bounded number of steps.

mod edge;

use super::node::{Conn, Node, Role, Wire, refill, txn, voters};
use crate::config::Settings;
use crate::ids::{SessionId, Zxid};
use crate::jute::quorum::{ForwardedRequest, Packet, PacketType};
use crate::zab::history::{Txn, follows};
use crate::zab::leader::{self, Leader, LearnerKind, PeerId, Proposal};
use crate::zab::learner::{self, Learner};
use crate::zab::message::{Gate, Message};
use crate::zab::voters::{Config, ServerId};
use fastrand::Rng;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

const TICK_MS: i64 = 100;
const MAX_DATA: usize = 1 << 16;

struct Cluster {
    random: Rng,
    now: i64,
    voters: usize,
    nodes: Vec<Node>,
    conns: BTreeMap<u64, Conn>,
    next_conn: u64,
    next_content: u64,
    config: Config,
    /// Of an epoch: with two of three seeds epochs come to their end.
    last_counter: u32,
    /// The one sequence.
    committed: Vec<Txn>,
    leaders: BTreeMap<i64, ServerId>,
    syncs: BTreeMap<u64, usize>,
    /// No proposals any more.
    is_quiet: bool,
    /// What a run came across, to see that the test does not pass by doing nothing.
    seen: BTreeMap<&'static str, usize>,
}

impl Cluster {
    fn new(seed: u64, voter_count: usize, observers: usize) -> Self {
        let kind = |id| if id <= voter_count { LearnerKind::Follower } else { LearnerKind::Observer };
        Cluster {
            random: Rng::with_seed(seed),
            now: 0,
            voters: voter_count,
            nodes: (1..=voter_count + observers).map(|id| Node::new(id, kind(id))).collect(),
            conns: BTreeMap::new(),
            next_conn: 0,
            next_content: 0,
            config: Config::new(voters(voter_count), None),
            last_counter: [Zxid::LAST_COUNTER, 1, 4][seed as usize % 3],
            committed: vec![],
            leaders: BTreeMap::new(),
            syncs: BTreeMap::new(),
            is_quiet: false,
            seen: BTreeMap::new(),
        }
    }

    fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// One event. Faults are what goes wrong by itself; late elections, leaders that are not the best, refused
    /// reads of the log and damaged snapshots happen in any case.
    fn step(&mut self, faults: bool) {
        self.now += self.random.i64(0..3);
        match self.random.usize(..100) {
            0..45 => self.deliver(),
            45..65 => self.disk(),
            65..76 => self.propose(),
            76..84 => self.tick(),
            84..87 => self.sync(),
            87 if faults && self.random.u8(..100) < 10 => self.now += self.random.i64(0..800),
            88..92 => self.elect(),
            92..96 => self.join(),
            _ if !faults => self.restart(),
            96 => self.cut(),
            97 => self.crash(),
            _ => self.restart(),
        }
        self.check();
    }

    fn deliver(&mut self) {
        let Some(id) = self.pick_conn() else { return };
        let conn = self.conns.get_mut(&id).unwrap();
        if self.random.u8(..100) < 50 {
            let leader = conn.leader;
            if conn.leader_gone {
                conn.to_leader.clear();
            } else if let Some(wire) = conn.to_leader.pop_front() {
                let Wire::Packet(bytes) = wire else { panic!("learners send packets") };
                let (packet, length) = Packet::decode(&bytes, MAX_DATA).unwrap().unwrap();
                assert_eq!(length, bytes.len());
                self.lead(leader, leader::Input::Packet(PeerId(id), packet));
            } else if conn.learner_gone {
                conn.leader_gone = true;
                self.lead(leader, leader::Input::Disconnected(PeerId(id)));
            }
        } else {
            let learner = conn.learner;
            if conn.learner_gone {
                conn.to_learner.clear();
            } else if let Some(wire) = conn.to_learner.pop_front() {
                match wire {
                    Wire::Packet(bytes) => {
                        let (packet, length) = Packet::decode(&bytes, MAX_DATA).unwrap().unwrap();
                        assert_eq!(length, bytes.len());
                        self.learn(learner, learner::Input::Packet(packet));
                    }
                    Wire::Snapshot(zxid, txns) => {
                        let failed = self.random.u8(..100) < 5;
                        self.nodes[learner].staged = Some((zxid, txns));
                        let input =
                            if failed { learner::Input::SnapshotFailed } else { learner::Input::SnapshotReceived };
                        self.learn(learner, input);
                    }
                }
            } else if conn.leader_gone {
                conn.learner_gone = true;
                self.learn(learner, learner::Input::Closed);
            }
        }
        self.conns.retain(|_, conn| !(conn.leader_gone && conn.learner_gone));
    }

    fn disk(&mut self) {
        let at = self.random.usize(..self.nodes.len());
        if self.random.u8(..100) < 40 {
            if self.nodes[at].epoch_queue.is_empty() {
                return;
            }
            self.nodes[at].write_epochs();
            let epochs = self.nodes[at].epochs;
            match &mut self.nodes[at].role {
                Role::Leader(_, gate) => gate.epochs_durable(epochs),
                Role::Learner(_, gate, _) => gate.epochs_durable(epochs),
                Role::Looking => {}
            }
            if matches!(self.nodes[at].role, Role::Leader(..)) {
                self.lead(at, leader::Input::EpochsDurable(epochs));
            }
        } else {
            let count = self.random.usize(..self.nodes[at].log_queue.len() + 1);
            if count == 0 {
                return;
            }
            for _ in 0..count {
                self.nodes[at].write_log();
            }
            let end = self.nodes[at].durable_end;
            match &mut self.nodes[at].role {
                Role::Leader(_, gate) => gate.log_durable(end),
                Role::Learner(_, gate, _) => gate.log_durable(end),
                Role::Looking => {}
            }
            if matches!(self.nodes[at].role, Role::Leader(..)) {
                self.lead(at, leader::Input::LogDurable(end));
            }
        }
        self.release(at);
    }

    fn propose(&mut self) {
        let at = self.random.usize(..self.nodes.len());
        if self.is_quiet {
            return;
        }
        self.next_content += 1;
        let content = self.next_content;
        let Role::Leader(leader, _) = &mut self.nodes[at].role else { return };
        let mut out = vec![];
        let zxid = leader.next_zxid();
        let proposal = Proposal { zxid, bytes: txn(zxid, content).bytes, config: None };
        if leader.propose(proposal, self.now, &mut out).is_ok() {
            self.saw("proposal");
        }
        self.perform_leader(at, out);
    }

    fn tick(&mut self) {
        let at = self.random.usize(..self.nodes.len());
        match self.nodes[at].role {
            Role::Leader(..) => self.lead(at, leader::Input::Tick),
            Role::Learner(..) => self.learn(at, learner::Input::Tick),
            Role::Looking => {}
        }
    }

    fn sync(&mut self) {
        let at = self.random.usize(..self.nodes.len());
        self.next_content += 1;
        let tag = self.next_content;
        self.syncs.insert(tag, self.committed.len());
        let request = ForwardedRequest { session: SessionId(1), cxid: 1, op: 9, body: b"" };
        match &mut self.nodes[at].role {
            Role::Leader(..) => self.lead(at, leader::Input::Sync { tag }),
            Role::Learner(learner, ..) => {
                let mut out = vec![];
                if learner.sync(tag, request, Default::default(), &mut out).is_ok() {
                    self.perform_learner(at, out);
                }
            }
            Role::Looking => {}
        }
    }

    /// The oracle: a random quorum of servers that look for a leader finds one among them.
    fn elect(&mut self) {
        let mut looking: Vec<usize> = (0..self.voters).filter(|at| self.is_looking(*at)).collect();
        while looking.len() > self.voters / 2 + 1 && self.random.u8(..100) < 40 {
            looking.remove(self.random.usize(..looking.len()));
        }
        if looking.len() <= self.voters / 2 {
            return;
        }
        let best = looking.iter().copied().max_by_key(|at| (self.nodes[*at].server_state(), *at)).unwrap();
        let leader = if self.random.u8(..100) < 85 { best } else { looking[self.random.usize(..looking.len())] };
        let node = &mut self.nodes[leader];
        let mut history = node.history.take().unwrap();
        let epochs = node.epochs.at_start(history.last()).unwrap();
        if self.random.u8(..100) < 20 {
            history = refill(&node.view, 3, node.durable_end);
        }
        let mut options = leader::Options::new(node.id, TICK_MS, 10, 5);
        options.settings = Arc::new(Settings { force_snapshot: self.random.u8(..100) < 10, ..Settings::default() });
        options.last_counter = self.last_counter;
        let (end, committed) = (node.durable_end, node.committed);
        let role = Leader::new(options, self.config.clone(), epochs, history, committed, self.now);
        node.role = Role::Leader(Box::new(role), Gate::new(end, epochs));
        self.saw("election");
        self.lead(leader, leader::Input::Tick);
        for at in looking {
            if at != leader && self.random.u8(..100) < 95 {
                self.connect(at, leader);
            }
        }
    }

    fn join(&mut self) {
        let leaders: Vec<usize> =
            (0..self.nodes.len()).filter(|at| matches!(self.nodes[*at].role, Role::Leader(..))).collect();
        let at = self.random.usize(..self.nodes.len());
        if leaders.is_empty() || !self.is_looking(at) {
            return;
        }
        let leader = leaders[self.random.usize(..leaders.len())];
        self.connect(at, leader);
    }

    fn connect(&mut self, at: usize, leader: usize) {
        if !matches!(self.nodes[leader].role, Role::Leader(..)) {
            return;
        }
        let id = self.next_conn;
        self.next_conn += 1;
        self.conns.insert(
            id,
            Conn {
                learner: at,
                leader,
                to_leader: VecDeque::new(),
                to_learner: VecDeque::new(),
                learner_gone: false,
                leader_gone: false,
            },
        );
        let node = &mut self.nodes[at];
        let history = node.history.take().unwrap();
        let epochs = node.epochs.at_start(history.last()).unwrap();
        let mut out = vec![];
        let options = learner::Options::new(node.id, node.kind, TICK_MS, 10, 5);
        let gate = Gate::new(node.durable_end, node.epochs);
        let role = Learner::new(options, epochs, history, node.committed, self.now, &mut out);
        node.role = Role::Learner(Box::new(role), gate, id);
        self.lead(leader, leader::Input::Connected(PeerId(id)));
        self.perform_learner(at, out);
    }

    /// A connection breaks; some of what was on its way may still arrive.
    fn cut(&mut self) {
        let Some(id) = self.pick_conn() else { return };
        let (keep_up, keep_down) = (self.random.usize(..4), self.random.usize(..4));
        let conn = self.conns.get_mut(&id).unwrap();
        conn.to_leader.truncate(keep_up);
        conn.to_learner.truncate(keep_down);
        let (learner, leader) = (conn.learner, conn.leader);
        if self.random.u8(..100) < 50 {
            let conn = self.conns.get_mut(&id).unwrap();
            if !conn.learner_gone {
                conn.learner_gone = true;
                self.learn(learner, learner::Input::Closed);
            }
        } else {
            let conn = self.conns.get_mut(&id).unwrap();
            if !conn.leader_gone {
                conn.leader_gone = true;
                self.lead(leader, leader::Input::Disconnected(PeerId(id)));
            }
        }
        self.saw("cut");
    }

    fn crash(&mut self) {
        let at = self.random.usize(..self.nodes.len());
        if !self.nodes[at].up {
            return;
        }
        self.saw("crash");
        if !self.nodes[at].log_queue.is_empty() {
            self.saw("crash with log writes unfinished");
        }
        self.hang_up(at);
        let node = &mut self.nodes[at];
        node.up = false;
        node.role = Role::Looking;
        node.history = None;
        node.log_queue.clear();
        node.epoch_queue.clear();
        node.completed = node.queued;
        node.view = node.durable.clone();
        node.staged = None;
        node.committed = Zxid::ZERO;
        node.shown = 0;
    }

    fn restart(&mut self) {
        let at = self.random.usize(..self.nodes.len());
        let keep = self.random.usize(..12);
        let node = &mut self.nodes[at];
        if !node.up {
            node.up = true;
            node.history = Some(refill(&node.durable, keep, node.durable_end));
            node.epochs.at_start(node.durable_end).unwrap();
        }
    }

    fn commit(&mut self, at: usize, sequence: &[Txn]) {
        let common = sequence.len().min(self.committed.len());
        assert!(sequence[..common] == self.committed[..common], "{} commits something else", self.nodes[at].id);
        if sequence.len() > common {
            self.committed.extend_from_slice(&sequence[common..]);
        }
        self.nodes[at].shown = self.nodes[at].shown.max(sequence.len());
    }

    fn synced(&mut self, at: usize, tag: u64) {
        let asked = self.syncs.remove(&tag).unwrap();
        assert!(self.nodes[at].shown >= asked, "{} answers a sync and lacks what was committed", self.nodes[at].id);
        self.saw("synced");
    }

    /// An acknowledgement leaves: what it says must be on disk.
    fn check_ack(&self, at: usize, message: &Message) {
        if message.kind != PacketType::Ack {
            return;
        }
        let node = &self.nodes[at];
        if message.zxid.counter() == 0 {
            assert!(node.epochs.current >= message.zxid.epoch(), "{} acknowledges before its epoch", node.id);
            assert!(node.completed >= node.epoch_mark, "{} acknowledges before its log", node.id);
        } else {
            let has = node.durable.binary_search_by_key(&message.zxid, |txn| txn.zxid).is_ok();
            assert!(has, "{} acknowledges {} before it is durable", node.id, message.zxid);
        }
    }

    fn check(&self) {
        let mut have_all = 0;
        for (at, node) in self.nodes.iter().enumerate() {
            for txns in [&node.durable, &node.view] {
                assert!(txns.windows(2).all(|pair| follows(pair[0].zxid, pair[1].zxid)), "{} has a hole", node.id);
            }
            assert!(node.epochs.accepted >= node.epochs.current);
            if at < self.voters && node.durable.len() >= self.committed.len() {
                have_all += usize::from(node.durable.get(..self.committed.len()) == Some(&self.committed[..]));
            }
        }
        assert!(have_all > self.voters / 2, "only {have_all} disks have what is committed");
    }

    /// Faults cease: everybody must come to serve the same, and a new proposal must be committed.
    fn converge(&mut self) {
        let end = self.committed.len();
        for _ in 0..60_000 {
            self.step(false);
            self.is_quiet = self.committed.len() > end;
            let idle = self.nodes.iter().all(|node| {
                node.up
                    && node.view == self.committed
                    && node.durable == self.committed
                    && match &node.role {
                        Role::Leader(leader, _) => leader.is_established(),
                        Role::Learner(learner, ..) => learner.is_active(),
                        Role::Looking => false,
                    }
            });
            if idle && self.committed.len() > end {
                return;
            }
        }
        for node in &self.nodes {
            let role = match &node.role {
                Role::Looking => "looks".to_owned(),
                Role::Leader(leader, gate) => format!(
                    "leads {:?}, established: {}, proposals: {}, held: {}, followed by {:?}",
                    leader.epoch(),
                    leader.is_established(),
                    leader.outstanding(),
                    gate.held(),
                    leader.active().map(|(_, server, _)| server).collect::<Vec<_>>()
                ),
                Role::Learner(learner, ..) => format!("learns, active: {}", learner.is_active()),
            };
            let last = node.view.last().map(|txn| txn.zxid);
            eprintln!("{} {role}, {:?}, log to {last:?}, {} writes", node.id, node.epochs, node.log_queue.len());
        }
        panic!("no agreement on {:?}: {:?}", self.committed.last().map(|txn| txn.zxid), self.seen);
    }
}

fn run(seed: u64, voters: usize, observers: usize, steps: usize) -> BTreeMap<&'static str, usize> {
    let mut cluster = Cluster::new(seed, voters, observers);
    for _ in 0..steps {
        cluster.step(true);
    }
    cluster.converge();
    cluster.seen
}

fn run_all(seeds: std::ops::Range<u64>, voters: usize, observers: usize, steps: usize) {
    let mut seen: BTreeMap<&'static str, usize> = BTreeMap::new();
    for seed in seeds {
        // The seed of a run that fails is what it takes to see it again.
        eprintln!("seed {seed}");
        for (what, count) in run(seed, voters, observers, steps) {
            *seen.entry(what).or_default() += count;
        }
    }
    eprintln!("{seen:?}");
    for what in [
        "crash with log writes unfinished",
        "election",
        "established",
        "made way for a promise",
        "log read",
        "log read in parts",
        "rolled over",
        "serves",
        "snapshot",
        "stepped down",
        "stepped down for a voter",
        "synced",
        "truncation",
    ] {
        assert!(seen.contains_key(what), "no run came across: {what}");
    }
}

#[test]
fn three_servers_agree_whatever_happens() {
    run_all(0..100, 3, 1, 3000);
}

#[test]
fn five_servers_agree_whatever_happens() {
    run_all(1000..1050, 5, 1, 4000);
}
