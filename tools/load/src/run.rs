//! The measurement everything else is made of: sessions that read and write, in a closed or an open loop.
//!
//! Each thread owns some of the sessions and one epoll set. In a closed loop every session keeps its requests under
//! way; in an open loop requests are due on a schedule, and one that finds its session full waits with its due instant
//! (the correction is made in `latency.rs`). What is answered before the window opens or after it closes is not
//! counted. CPU times are those of the window.

use crate::codec;
use crate::connection::{self, Connection, Outbox};
use crate::failure::{Failure, Result, While};
use crate::latency::{Errors, Latencies, Schedule};
use crate::poll::{Clock, Poll};
use crate::{process, znodes};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::str::FromStr;
use std::thread;
use std::time::Duration;

/// How long what is under way when the window closes may take to be answered.
const DRAIN_LIMIT_NS: u64 = 20_000_000_000;
/// Sessions send often enough not to need pings.
const TIMEOUT_MS: i32 = 30_000;
/// The least often a session of an open loop may send: a third of its timeout. Per second.
const SLOWEST_SESSION: f64 = 0.1;
/// Bytes received at once.
const SCRATCH: usize = 256 << 10;

/// One kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Get,
    Set,
    Create,
}

impl Kind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Kind; 3] = [Kind::Get, Kind::Set, Kind::Create];

    /// Its name in a report.
    pub fn name(self) -> &'static str {
        ["get", "set", "create"][self as usize]
    }
}

/// What the sessions do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// One kind only.
    Only(Kind),
    /// This many per cent gets, the rest sets.
    Mixed(u8),
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Workload, String> {
        if let Some(percent) = text.strip_prefix("mixed:") {
            return match percent.parse() {
                Ok(percent) if percent <= 100 => Ok(Workload::Mixed(percent)),
                _ => Err(format!("not a percentage: {percent}")),
            };
        }
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == text);
        kind.map(Workload::Only).ok_or_else(|| "get, set, create or mixed:PERCENT_OF_GETS".into())
    }
}

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Load {
    pub workload: Workload,
    pub sessions: usize,
    /// Requests a session has under way; in an open loop at most.
    pub in_flight: usize,
    pub value_bytes: usize,
    /// How many znodes gets and sets choose from.
    pub keys: usize,
    pub warm_up: Duration,
    pub window: Duration,
    /// Operations a second of an open loop; none: a closed loop.
    pub rate: Option<f64>,
    pub threads: usize,
}

/// What was measured.
pub struct Outcome {
    pub window: Duration,
    /// By the number of the kind.
    pub kinds: [Latencies; 3],
    pub errors: Errors,
    /// What was due or under way at the end and never answered.
    pub unanswered: u64,
    /// CPU time of the server in the window, if its process is known.
    pub server_cpu: Option<Duration>,
    /// CPU time of this process in the window.
    pub own_cpu: Duration,
}

impl Outcome {
    /// All kinds together.
    pub fn all(&self) -> Latencies {
        let mut all = Latencies::new();
        self.kinds.iter().for_each(|kind| all.add(kind));
        all
    }

    /// Successful operations.
    pub fn operations(&self) -> u64 {
        self.kinds.iter().map(Latencies::count).sum()
    }

    /// Successful operations a second.
    pub fn throughput(&self) -> f64 {
        self.operations() as f64 / self.window.as_secs_f64()
    }

    /// Microseconds of `cpu` for each operation.
    pub fn cpu_us(&self, cpu: Duration) -> f64 {
        cpu.as_secs_f64() * 1e6 / self.operations() as f64
    }
}

/// Runs `load` against `target`; `pid` is the server's process, when it runs on this machine.
pub fn measure(target: SocketAddr, pid: Option<u32>, load: &Load) -> Result<Outcome> {
    if load.sessions == 0 || load.in_flight == 0 || load.keys == 0 || load.threads == 0 {
        return Err(Failure::new("sessions, requests in flight, keys and threads are at least 1"));
    }
    if load.rate.is_some_and(|rate| rate / (load.sessions as f64) < SLOWEST_SESSION) {
        return Err(Failure::new("at this rate the sessions would expire: fewer sessions, or a higher rate"));
    }
    let value = znodes::value(load.value_bytes);
    let tag = znodes::set_up(target, load.keys, &value)?;
    let connections = Connection::open_many(target, TIMEOUT_MS, load.sessions)?;

    let clock = Clock::start();
    let begin_ns = clock.ns() + load.warm_up.as_nanos() as u64;
    let window = Window { begin_ns, end_ns: begin_ns + load.window.as_nanos() as u64 };
    let threads = load.threads.min(load.sessions);
    let mut shares: Vec<Vec<Connection>> = (0..threads).map(|_| vec![]).collect();
    for (i, connection) in connections.into_iter().enumerate() {
        shares[i % threads].push(connection);
    }
    let (tallies, server_cpu, own_cpu) = thread::scope(|scope| {
        let workers: Vec<_> = shares
            .into_iter()
            .enumerate()
            .map(|(number, share)| {
                let rate = load.rate.map(|rate| rate * share.len() as f64 / load.sessions as f64);
                let source = Source::new(load, &value, &tag, number);
                scope.spawn(move || Worker::new(clock, window, share, source, load.in_flight, rate)?.work())
            })
            .collect();
        let sample = |at_ns| -> Result<(Option<Duration>, Duration)> {
            thread::sleep(Duration::from_nanos(u64::saturating_sub(at_ns, clock.ns())));
            Ok((pid.map(process::cpu).transpose()?, process::own_cpu()?))
        };
        let before = sample(window.begin_ns);
        let after = sample(window.end_ns);
        let tallies: Vec<Result<Tally>> = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| Err(Failure::new("a worker has panicked"))))
            .collect();
        let ((server_before, own_before), (server_after, own_after)) = (before?, after?);
        let server_cpu = server_before.zip(server_after).map(|(before, after)| after - before);
        let tallies = tallies.into_iter().collect::<Result<Vec<Tally>>>()?;
        Ok((tallies, server_cpu, own_after - own_before))
    })?;

    let mut outcome = Outcome {
        window: load.window,
        kinds: std::array::from_fn(|_| Latencies::new()),
        errors: Errors::new(),
        unanswered: 0,
        server_cpu,
        own_cpu,
    };
    for tally in &tallies {
        outcome.kinds.iter_mut().zip(&tally.kinds).for_each(|(all, one)| all.add(one));
        tally.errors.iter().for_each(|(code, count)| *outcome.errors.entry(*code).or_default() += count);
        outcome.unanswered += tally.unanswered;
    }
    let made: Vec<u64> = tallies.iter().map(|tally| tally.made).collect();
    znodes::clean_up(target, &tag, &made)?;
    Ok(outcome)
}

/// When operations are counted.
#[derive(Clone, Copy)]
struct Window {
    begin_ns: u64,
    end_ns: u64,
}

impl Window {
    fn holds(&self, ns: u64) -> bool {
        (self.begin_ns..self.end_ns).contains(&ns)
    }
}

/// Makes requests. Chooses by a generator with a fixed start, so that every run does the same.
struct Source<'a> {
    workload: Workload,
    random: u64,
    gets: Vec<Vec<u8>>,
    sets: Vec<Vec<u8>>,
    value: &'a [u8],
    tag: &'a str,
    worker: usize,
    made: u64,
}

impl<'a> Source<'a> {
    fn new(load: &Load, value: &'a [u8], tag: &'a str, worker: usize) -> Source<'a> {
        let frames = |make: &dyn Fn(&mut Vec<u8>, &str)| -> Vec<Vec<u8>> {
            let frame = |i| {
                let mut out = vec![];
                make(&mut out, &znodes::key(i));
                out
            };
            (0..load.keys).map(frame).collect()
        };
        Source {
            workload: load.workload,
            random: 0x9e37_79b9_7f4a_7c15 ^ worker as u64,
            gets: frames(&|out, path| codec::get(out, 0, path, false)),
            sets: frames(&|out, path| codec::set(out, 0, path, value)),
            value,
            tag,
            worker,
            made: 0,
        }
    }

    /// Appends the next request.
    fn push(&mut self, out: &mut Outbox) -> (i32, Kind) {
        // xorshift64*
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let random = self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        let kind = match self.workload {
            Workload::Only(kind) => kind,
            Workload::Mixed(gets) if (random % 100) < u64::from(gets) => Kind::Get,
            Workload::Mixed(_) => Kind::Set,
        };
        let key = (random / 100) as usize % self.gets.len();
        let xid = match kind {
            Kind::Get => out.push_frame(&self.gets[key]),
            Kind::Set => out.push_frame(&self.sets[key]),
            Kind::Create => {
                let path = znodes::made(self.tag, self.worker, self.made);
                self.made += 1;
                out.push(|out, xid| codec::create(out, xid, &path, self.value))
            }
        };
        (xid, kind)
    }
}

/// A request that is under way.
struct Sent {
    xid: i32,
    kind: Kind,
    due_ns: u64,
    sent_ns: u64,
}

/// One session: what is under way, and what is due and finds no room.
struct Session {
    connection: Connection,
    under_way: VecDeque<Sent>,
    backlog: VecDeque<u64>,
}

/// What one thread has counted.
struct Tally {
    kinds: [Latencies; 3],
    errors: Errors,
    unanswered: u64,
    made: u64,
}

/// One thread's sessions.
struct Worker<'a> {
    clock: Clock,
    window: Window,
    poll: Poll,
    sessions: Vec<Session>,
    source: Source<'a>,
    in_flight: usize,
    schedule: Option<Schedule>,
    /// The session whose turn it is in an open loop.
    turn: usize,
    tally: Tally,
}

impl<'a> Worker<'a> {
    fn new(
        clock: Clock,
        window: Window,
        share: Vec<Connection>,
        source: Source<'a>,
        in_flight: usize,
        rate: Option<f64>,
    ) -> Result<Worker<'a>> {
        let poll = Poll::new(clock)?;
        let mut sessions = vec![];
        for (i, mut connection) in share.into_iter().enumerate() {
            connection.unblock()?;
            poll.add(connection.stream(), i as u64)?;
            sessions.push(Session { connection, under_way: VecDeque::new(), backlog: VecDeque::new() });
        }
        let schedule = rate.map(|rate| Schedule::new(clock.ns(), rate));
        let kinds = std::array::from_fn(|_| Latencies::new());
        let tally = Tally { kinds, errors: Errors::new(), unanswered: 0, made: 0 };
        Ok(Worker { clock, window, poll, sessions, source, in_flight, schedule, turn: 0, tally })
    }

    fn work(mut self) -> Result<Tally> {
        let mut scratch = vec![0; SCRATCH];
        let mut ready = vec![];
        if self.schedule.is_none() {
            self.fill()?;
        }
        let end_ns = self.window.end_ns;
        loop {
            let now_ns = self.clock.ns();
            if now_ns >= end_ns && (self.is_drained() || now_ns >= end_ns + DRAIN_LIMIT_NS) {
                break;
            }
            self.send_due(now_ns.min(end_ns))?;
            let deadline_ns = if now_ns >= end_ns { end_ns + DRAIN_LIMIT_NS } else { self.next_due_ns().min(end_ns) };
            self.poll.wait(deadline_ns, &mut ready)?;
            for token in &ready {
                self.serve(*token as usize, &mut scratch)?;
            }
        }
        let left = self.sessions.iter().map(|session| session.under_way.len() + session.backlog.len());
        self.tally.unanswered = left.sum::<usize>() as u64;
        self.tally.made = self.source.made;
        if self.tally.unanswered == 0 {
            connection::close_all(self.sessions.into_iter().map(|session| session.connection).collect())?;
        }
        Ok(self.tally)
    }

    /// Begins a closed loop.
    fn fill(&mut self) -> Result<()> {
        for (i, session) in self.sessions.iter_mut().enumerate() {
            let now_ns = self.clock.ns();
            for _ in 0..self.in_flight {
                let (xid, kind) = self.source.push(&mut session.connection.outbox);
                session.under_way.push_back(Sent { xid, kind, due_ns: now_ns, sent_ns: now_ns });
            }
            self.poll.flush(&mut session.connection, i as u64)?;
        }
        Ok(())
    }

    /// Sends what an open loop owes up to `now_ns`, the sessions in turn.
    fn send_due(&mut self, now_ns: u64) -> Result<()> {
        let Some(schedule) = &mut self.schedule else { return Ok(()) };
        while let Some(due_ns) = schedule.take(now_ns) {
            let session = &mut self.sessions[self.turn];
            if session.under_way.len() < self.in_flight {
                let (xid, kind) = self.source.push(&mut session.connection.outbox);
                session.under_way.push_back(Sent { xid, kind, due_ns, sent_ns: self.clock.ns() });
                self.poll.flush(&mut session.connection, self.turn as u64)?;
            } else {
                session.backlog.push_back(due_ns);
            }
            self.turn = (self.turn + 1) % self.sessions.len();
        }
        Ok(())
    }

    fn next_due_ns(&self) -> u64 {
        self.schedule.as_ref().map_or(u64::MAX, Schedule::due_ns)
    }

    /// Takes a session's answers and sends what may follow them.
    fn serve(&mut self, number: usize, scratch: &mut [u8]) -> Result<()> {
        let Worker { clock, window, poll, sessions, source, schedule, tally, .. } = self;
        let Session { connection, under_way, backlog } = &mut sessions[number];
        let closed_loop = schedule.is_none();
        let mut now_ns = 0;
        let open = connection.receive(scratch, |outbox, reply| {
            if now_ns == 0 {
                now_ns = clock.ns();
            }
            let sent = under_way.pop_front().ok_or_else(|| Failure::new("an answer nobody has asked for"))?;
            connection::expect_xid(sent.xid, reply.xid)?;
            if window.holds(if closed_loop { now_ns } else { sent.due_ns }) {
                if reply.error == 0 {
                    tally.kinds[sent.kind as usize].record(sent.due_ns, sent.sent_ns, now_ns);
                } else {
                    *tally.errors.entry(reply.error).or_default() += 1;
                }
            }
            let due_ns = if closed_loop { (now_ns < window.end_ns).then_some(now_ns) } else { backlog.pop_front() };
            if let Some(due_ns) = due_ns {
                let (xid, kind) = source.push(outbox);
                under_way.push_back(Sent { xid, kind, due_ns, sent_ns: now_ns });
            }
            Ok(())
        })?;
        if !open {
            return Err(Failure::new("the server has ended a connection")).during(|| format!("session {number}"));
        }
        poll.flush(connection, number as u64)
    }

    fn is_drained(&self) -> bool {
        self.sessions.iter().all(|session| session.under_way.is_empty() && session.backlog.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_are_read() {
        assert_eq!("get".parse(), Ok(Workload::Only(Kind::Get)));
        assert_eq!("create".parse(), Ok(Workload::Only(Kind::Create)));
        assert_eq!("mixed:90".parse(), Ok(Workload::Mixed(90)));
        for wrong in ["", "gets", "mixed", "mixed:101", "mixed:-1", "mixed:"] {
            assert!(wrong.parse::<Workload>().is_err(), "{wrong}");
        }
    }
}
