//! The measurement everything else is made of: sessions that carry out a workload, in a closed or an open loop.
//!
//! What is answered before the window opens or after it closes is not counted; in an open loop what counts is whether an
//! operation was due in the window, however late its answer. CPU times are those of the window.

mod source;
pub mod timeline;
mod worker;

use crate::connection::Connection;
use crate::document::{Gap, Slice, Stage};
use crate::failure::{Failure, Result};
use crate::intervention::Made;
use crate::latency::{Errors, Latencies, Schedule};
use crate::poll::Clock;
use crate::workload::Workload;
use crate::workload::distribution::Pool;
use crate::{process, znodes};
pub use source::Left;
use source::Source;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};
use timeline::Window;
use worker::{Shared, Start, Tally, Worker};

/// How often the one who watches is told.
const GLANCE: Duration = Duration::from_millis(100);
/// A stretch without an answer is a gap when it is longer, and longer than so many intervals of an open loop.
const GAP: Duration = Duration::from_millis(50);
const GAP_INTERVALS: f64 = 20.0;

/// Above so many operations a second a thread's are due in bunches: to sleep before each one by itself would take more
/// of the machine than the server does.
const BUNCH_FROM: f64 = 10_000.0;
const BUNCH: Duration = Duration::from_micros(100);

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Load {
    pub workload: Arc<Workload>,
    pub sessions: usize,
    /// Requests a session has under way; in an open loop at most.
    pub in_flight: usize,
    pub threads: usize,
    pub warm_up: Duration,
    pub window: Duration,
    /// Operations a second of an open loop; none: a closed loop.
    pub rate: Option<f64>,
    /// In an open loop operations are due together at multiples of this; none: as is usual for the rate.
    pub bunch: Option<Duration>,
    pub session_timeout_ms: i32,
    /// Connections that are lost are made again, and what was lost with them is counted.
    pub survive: bool,
    /// A stretch without an answer is a gap when it is longer than this.
    pub gap: Option<Duration>,
}

/// Where it goes.
#[derive(Clone, Debug)]
pub struct Targets {
    pub addresses: Vec<SocketAddr>,
    /// The servers' processes on this machine, for their CPU time and memory.
    pub pids: Vec<u32>,
}

/// What was measured.
pub struct Outcome {
    pub window: Duration,
    /// Name and latencies of each kind of operation.
    pub kinds: Vec<(String, Latencies)>,
    pub errors: Errors,
    /// What was due or under way at the end and never answered.
    pub unanswered: u64,
    pub timeline: Vec<Slice>,
    pub gaps: Vec<Gap>,
    /// Into which what the watcher did divides the window.
    pub stages: Vec<Stage>,
    /// CPU time of the servers in the window, if their processes are known.
    pub server_cpu: Option<Duration>,
    /// Their resident memory at the end, bytes.
    pub resident: Option<u64>,
    /// CPU time of this process in the window.
    pub own_cpu: Duration,
}

impl Outcome {
    /// All kinds together.
    pub fn all(&self) -> Latencies {
        let mut kinds = self.kinds.iter().map(|(_, latencies)| latencies);
        let mut all = kinds.next().expect("a workload has an operation").clone();
        kinds.for_each(|kind| all.add(kind));
        all
    }

    /// Successful operations.
    pub fn operations(&self) -> u64 {
        self.kinds.iter().map(|(_, latencies)| latencies.count()).sum()
    }

    /// Successful operations a second.
    pub fn throughput(&self) -> f64 {
        self.operations() as f64 / self.window.as_secs_f64()
    }

    /// All gaps together.
    pub fn unavailable_ms(&self) -> f64 {
        // A sum of nothing would be -0.
        self.gaps.iter().fold(0.0, |sum, gap| sum + gap.to_ms - gap.from_ms)
    }

    /// Microseconds of `cpu` for each operation; 0 when there was none.
    pub fn cpu_us(&self, cpu: Duration) -> f64 {
        cpu.as_secs_f64() * 1e6 / self.operations().max(1) as f64
    }
}

/// Somebody who looks on while a load runs.
pub trait Watcher {
    /// The window opens at `zero`; the sessions stand.
    fn begin(&mut self, zero: Instant) -> Result<()>;

    /// So much of the warming up and the window is over, and so many operations have been answered.
    fn glance(&mut self, over: Duration, whole: Duration, answered: u64);

    /// The window is over. Returns what was done to the servers in it, in order of time.
    fn end(&mut self) -> Result<Vec<Made>> {
        Ok(vec![])
    }
}

/// Nobody looks on.
pub struct Nobody;

impl Watcher for Nobody {
    fn begin(&mut self, _: Instant) -> Result<()> {
        Ok(())
    }

    fn glance(&mut self, _: Duration, _: Duration, _: u64) {}
}

/// Makes the znodes of a workload, then measures it.
pub fn plant_and_measure(targets: &Targets, load: &Load, watcher: &mut dyn Watcher) -> Result<Outcome> {
    znodes::plant(targets.addresses[0], &load.workload)?;
    measure(targets, load, watcher)
}

/// Measures a workload whose znodes stand.
pub fn measure(targets: &Targets, load: &Load, watcher: &mut dyn Watcher) -> Result<Outcome> {
    if load.sessions == 0 || load.in_flight == 0 || load.threads == 0 || load.window.is_zero() {
        return Err(Failure::new("sessions, requests in flight, threads and seconds are more than 0"));
    }
    let pool = Pool::new(load.workload.max_value_bytes());
    let kinds = source::kinds(&load.workload);
    let connections = Connection::open_many(&targets.addresses, load.session_timeout_ms, load.sessions)?;
    let tag = znodes::tag(connections[0].session.0);

    let shared = Shared::default();
    let clock = Clock::start();
    let zero = Instant::now() + load.warm_up;
    watcher.begin(zero)?;
    let start_ns = clock.ns();
    let begin_ns = start_ns + load.warm_up.as_nanos() as u64;
    let window = Window { begin_ns, end_ns: begin_ns + load.window.as_nanos() as u64 };
    let threads = load.threads.min(load.sessions);
    let mut shares: Vec<Vec<(usize, Connection)>> = (0..threads).map(|_| vec![]).collect();
    for (i, connection) in connections.into_iter().enumerate() {
        shares[i % threads].push((i, connection));
    }
    let measured = thread::scope(|scope| {
        let workers: Vec<_> = shares
            .into_iter()
            .enumerate()
            .map(|(number, connections)| {
                let schedule = load.rate.map(|rate| {
                    let own = rate * connections.len() as f64 / load.sessions as f64;
                    let usual = if own > BUNCH_FROM { BUNCH } else { Duration::ZERO };
                    let bunch_ns = load.bunch.unwrap_or(usual).as_nanos() as u64;
                    // The threads' operations are due in turn too.
                    Schedule::bunched(start_ns + (number as f64 * 1e9 / rate) as u64, own, bunch_ns)
                });
                let under_way = connections.len() * load.in_flight;
                let source = Source::new(&load.workload, &pool, &tag, number, under_way);
                let (targets, shared, kinds, gap_ns) = (&targets.addresses[..], &shared, kinds.len(), gap_ns(load));
                let start =
                    Start { load, targets, shared, clock, window, gap_ns, kinds, connections, source, schedule };
                scope.spawn(move || {
                    let worked = Worker::new(start).and_then(Worker::work);
                    shared.stop.fetch_or(worked.is_err(), Ordering::Relaxed);
                    worked
                })
            })
            .collect();
        let mut watch_until = |until_ns: u64| {
            while clock.ns() < until_ns && !shared.stop.load(Ordering::Relaxed) {
                let left = Duration::from_nanos(until_ns.saturating_sub(clock.ns()));
                thread::sleep(left.min(GLANCE));
                let over = Duration::from_nanos(clock.ns() - start_ns);
                watcher.glance(over, load.warm_up + load.window, shared.answered.load(Ordering::Relaxed));
            }
            Usage::now(targets, load.survive)
        };
        let before = watch_until(window.begin_ns);
        let after = watch_until(window.end_ns);
        let made = watcher.end();
        let tallies: Vec<Result<Tally>> = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| Err(Failure::new("a worker has panicked"))))
            .collect();
        let tallies = tallies.into_iter().collect::<Result<Vec<Tally>>>()?;
        Ok((tallies, made?, before?, after?))
    })?;
    let (tallies, made, before, after) = measured;
    let left: Vec<_> = tallies.iter().flat_map(|tally| &tally.left).collect();
    let cleaned = znodes::clean_up(&targets.addresses, &tag, &left);
    // After a disaster the servers may not be there to be tidied up.
    if !load.survive {
        cleaned?;
    }
    Ok(outcome(load, kinds, tallies, &made, before, after))
}

fn outcome(
    load: &Load,
    names: Vec<String>,
    tallies: Vec<Tally>,
    made: &[Made],
    before: Usage,
    after: Usage,
) -> Outcome {
    let mut errors = Errors::new();
    let mut sums: Option<Vec<Latencies>> = None;
    let mut unanswered = 0;
    let mut timelines = vec![];
    for tally in tallies {
        match &mut sums {
            None => sums = Some(tally.kinds),
            Some(sums) => sums.iter_mut().zip(&tally.kinds).for_each(|(sum, one)| sum.add(one)),
        }
        tally.errors.iter().for_each(|(code, count)| *errors.entry(*code).or_default() += count);
        unanswered += tally.unanswered;
        timelines.push(tally.timeline);
    }
    let (timeline, gaps) = timeline::together(&timelines);
    Outcome {
        window: load.window,
        kinds: names.into_iter().zip(sums.expect("there is a worker")).collect(),
        errors,
        unanswered,
        stages: timeline::stages(&timelines, &gaps, made),
        timeline,
        gaps,
        server_cpu: before.servers.zip(after.servers).map(|(before, after)| after.saturating_sub(before)),
        resident: after.resident,
        own_cpu: after.own - before.own,
    }
}

fn gap_ns(load: &Load) -> u64 {
    let least = load.gap.unwrap_or(GAP).as_nanos() as u64;
    load.rate.map_or(least, |rate| least.max((GAP_INTERVALS * 1e9 / rate) as u64))
}

/// What processes have used up to now.
struct Usage {
    servers: Option<Duration>,
    resident: Option<u64>,
    own: Duration,
}

impl Usage {
    /// A server that may be killed meanwhile may have no process.
    fn now(targets: &Targets, may_be_gone: bool) -> Result<Usage> {
        let own = process::own_cpu()?;
        let sum = || -> Result<(Duration, u64)> {
            let (mut cpu, mut resident) = (Duration::ZERO, 0);
            for pid in &targets.pids {
                cpu += process::cpu(*pid)?;
                resident += process::resident(*pid)?;
            }
            Ok((cpu, resident))
        };
        match sum() {
            _ if targets.pids.is_empty() => Ok(Usage { servers: None, resident: None, own }),
            Ok((cpu, resident)) => Ok(Usage { servers: Some(cpu), resident: Some(resident), own }),
            Err(_) if may_be_gone => Ok(Usage { servers: None, resident: None, own }),
            Err(failure) => Err(failure),
        }
    }
}
