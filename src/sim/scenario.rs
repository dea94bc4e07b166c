//! A whole run: servers, clients and faults for a while, then everything heals and all must come together.
//!
//! While things go wrong nothing may be wrong that was said; afterwards the servers must serve again, within bounds, and
//! hold one tree. A violation is a panic.

use super::client::{Client, Known, LONGEST_TIMEOUT_MS};
use super::cluster::Cluster;
use super::coverage::Coverage;
use super::disk::Choices;
use super::faults::{self, Step};
use crate::ids::{SessionId, Zxid};
use crate::zab::history::HistoryLimits;

/// Everything a run is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its number: all chances of the run are drawn from it.
    pub seed: u64,
    /// Servers that vote: the first ones.
    pub voters: usize,
    /// Servers that follow without a vote, behind the voters.
    pub observers: usize,
    /// Clients that ask at the same time, each with one session at a time.
    pub clients: usize,
    /// The number of an epoch's last transaction.
    pub last_counter: u32,
    /// What goes wrong, in order; of a run that fails, only this is made shorter.
    pub steps: Vec<Step>,
}

/// What came of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// A digest of all that happened.
    pub trace: u64,
    /// What happened in the cluster: messages that arrived, writes that were done, ticks.
    pub events: u64,
    /// Elections that ended with an established leader.
    pub elections: usize,
    /// Transactions that were committed.
    pub commits: usize,
    /// Answers that all clients together have got.
    pub answers: u64,
    /// Time that passed in the run.
    pub virtual_ms: i64,
    /// How often each operation and each fault has happened.
    pub coverage: Coverage,
}

/// How long the servers may take to serve again when nothing is wrong any more: the longest pause between two attempts
/// to reach each other, and an election.
const RECOVERY_MS: i64 = 20_000;

/// How long it takes until everybody knows what the faults have cost: the slowest message, and a connection's end behind it.
const SETTLING_MS: i64 = 500;

/// How long clients go on after that: sessions without one end meanwhile.
const CALM_MS: i64 = 2 * LONGEST_TIMEOUT_MS;

/// How long the servers may take to hold the same tree when nobody asks anything any more.
const CONVERGENCE_MS: i64 = 3_000;

/// What a run of many seeds has seen, faults aside.
pub const OPERATIONS: [&str; 35] = [
    "create",
    "create ephemeral",
    "create sequential",
    "create ephemeral sequential",
    "setData",
    "setData with version",
    "delete",
    "multi",
    "getData",
    "exists",
    "getChildren",
    "getEphemerals",
    "sync",
    "addWatch",
    "addWatch recursive",
    "ping",
    "close",
    "watch event",
    "answered with an error",
    "session opened",
    "local session opened",
    "local session made global",
    "answered by one server alone",
    "session resumed",
    "session moves",
    "session given up",
    "session found expired",
    "untold and done",
    "untold and not done",
    "log read for a learner",
    "sync by snapshot",
    "sync by truncation",
    "snapshot installed",
    "multi that fails",
    "roll-over",
];

impl Plan {
    /// The one of a seed.
    pub fn of(seed: u64) -> Plan {
        let mut choices = Choices::drawn(seed.wrapping_add(0x5eed));
        let voters = [3, 3, 5][choices.pick(3)];
        let observers = choices.pick(3) / 2;
        let clients = 2 + choices.pick(4);
        let steps = faults::draw(&mut choices, voters + observers);
        // Of every fifth seed epochs come to their end, of some of them again and again.
        let last_counter = if seed % 5 == 3 { 15 + (seed / 5 % 100) as u32 } else { Zxid::LAST_COUNTER };
        Plan { seed, voters, observers, clients, last_counter, steps }
    }

    /// Its servers, not started. They keep little in memory, so that learners come to need the log, or a snapshot where
    /// the log is not sent.
    fn cluster(&self) -> Cluster {
        let mut cluster = Cluster::with_observers(self.voters, self.observers, self.seed);
        cluster.config.last_counter = self.last_counter;
        cluster.history_limits = HistoryLimits { count: 60, bytes: 1 << 20 };
        let settings = &mut cluster.settings;
        settings.snapshot_size_factor = settings.snapshot_size_factor.filter(|_| self.seed.is_multiple_of(2));
        settings.slow_write_ms = self.seed.is_multiple_of(3).then_some(150);
        // In one scenario of four.
        settings.local_sessions = matches!(self.seed % 8, 5 | 6);
        settings.local_session_upgrading = self.seed % 16 != 6;
        cluster.oracle.model.local_sessions = settings.local_sessions;
        cluster
    }

    /// Plays it. Panics at the first thing that must not be.
    pub fn play(&self) -> Report {
        let mut run = Run {
            cluster: self.cluster(),
            clients: (0..self.clients).map(|number| Client::new(number, self.seed)).collect(),
            known: Known::default(),
        };
        (0..run.cluster.len()).for_each(|place| run.cluster.start(place));
        run.advance(1_000);
        for step in &self.steps {
            run.advance(step.after_ms);
            faults::play(&mut run.cluster, step.fault);
        }
        run.advance(200);
        run.come_together();
        run.judge();
        let Run { cluster, clients, .. } = run;
        Report {
            trace: cluster.trace,
            events: cluster.events,
            elections: cluster.elections(),
            commits: cluster.oracle.commits(),
            answers: clients.iter().map(|client| client.answers).sum(),
            virtual_ms: cluster.now_ms,
            coverage: cluster.coverage,
        }
    }
}

struct Run {
    cluster: Cluster,
    clients: Vec<Client>,
    known: Known,
}

impl Run {
    /// Lets servers and clients go on for so long.
    fn advance(&mut self, ms: i64) {
        let end_ms = self.cluster.now_ms + ms;
        while let Some(client) = self.clients.iter_mut().min_by_key(|client| client.next_ms)
            && client.next_ms < end_ms
        {
            self.cluster.run_to(client.next_ms);
            client.step(&mut self.cluster, &mut self.known);
        }
        self.cluster.run_to(end_ms);
    }

    /// Whether everything serves.
    fn all_serve(&self) -> bool {
        (0..self.cluster.len()).all(|place| self.cluster.serves(place))
    }

    /// Everything heals: all serve, clients get on, sessions live or end as they should, and the trees are one.
    fn come_together(&mut self) {
        faults::heal(&mut self.cluster);
        self.clients.iter_mut().for_each(|client| client.is_calm = true);
        // Who has lost a connection by it is told first: until then all seem to serve.
        self.advance(SETTLING_MS);
        let by_ms = self.cluster.now_ms + RECOVERY_MS;
        while !self.all_serve() {
            assert!(self.cluster.now_ms < by_ms, "all serve: {:?}", self.cluster.server_states());
            self.advance(50);
        }
        self.advance(LONGEST_TIMEOUT_MS);
        let sessions: Vec<SessionId> = self.clients.iter().map(|client| client.session).collect();
        let answers: Vec<u64> = self.clients.iter().map(|client| client.answers).collect();
        let elections = self.cluster.elections();
        self.advance(CALM_MS);
        assert_eq!(self.cluster.elections(), elections, "a leader stays when nothing is wrong");
        for ((client, session), answers) in self.clients.iter().zip(sessions).zip(answers) {
            assert!(session != SessionId::NONE && client.session == session, "{session} is served, and stays");
            assert!(client.answers > answers, "the client of {session} is answered");
        }
        let by_ms = self.cluster.now_ms + CONVERGENCE_MS;
        loop {
            let first = self.cluster.digest(0);
            let is_same = (1..self.cluster.len()).all(|place| self.cluster.digest(place) == first);
            for client in &mut self.clients {
                client.listen(&mut self.cluster, &mut self.known);
            }
            if is_same && self.clients.iter().all(Client::is_idle) {
                break;
            }
            let digests: Vec<_> = (0..self.cluster.len()).map(|place| self.cluster.digest(place)).collect();
            assert!(self.cluster.now_ms < by_ms, "one tree: {digests:?}");
            let next_ms = self.cluster.now_ms + 10;
            self.cluster.run_to(next_ms);
        }
        for place in 0..self.cluster.len() {
            let server = self.cluster.server(place).expect("it serves");
            assert_eq!(server.quorum.bytes_under_way(), 0, "all was answered, server {}", place + 1);
        }
    }

    /// What can only be said at the end.
    fn judge(&mut self) {
        let Run { cluster, clients, known } = self;
        clients.iter_mut().for_each(|client| client.resolve(cluster));
        let model = &cluster.oracle.model;
        for (session, xid) in model.requests.keys() {
            assert!(known.issued.contains(&(*session, *xid)), "nobody asked for {xid} of {session}");
        }
        let live: Vec<SessionId> = clients.iter().map(|client| client.session).collect();
        for (session, life) in &model.sessions {
            let is_live = live.contains(session);
            if model.local_sessions {
                cluster.coverage.count("local session made global");
            }
            assert_eq!(life.closed.is_none(), is_live, "{session}: {life:?}");
            assert!(!(is_live && known.over.contains(session)), "{session} was said to be over");
            if life.closed.is_some() && life.closed_by == 0 {
                cluster.coverage.count("session expired");
            }
        }
        cluster.coverage.add(
            "multi that fails",
            model.between(Zxid::ZERO, cluster.oracle.last()).filter(|txn| txn.is_failed_multi()).count() as u64,
        );
        let znodes: Vec<(Vec<u8>, _)> = model.now().map(|(path, znode)| (path.to_vec(), znode.clone())).collect();
        for place in 0..cluster.len() {
            let server = cluster.server(place).expect("it serves");
            for (path, znode) in &znodes {
                let found = server.quorum.state().find(path).unwrap_or_else(|| panic!("{path:?} is lost"));
                if path != b"/" {
                    let data = found.data().map(<[u8]>::to_vec);
                    assert_eq!((data, found.stat()), (znode.data.clone(), znode.stat()), "{path:?}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
