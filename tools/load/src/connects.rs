//! Sessions that come and go: how long opening and closing one takes, and what a neighbour feels of it.
//!
//! Openings are due on a schedule and count from the instant they are due. The neighbour reads a znode every
//! millisecond in a session of its own, in a thread of its own, before the openings and while they go on.

use crate::codec::{self, NO_SESSION};
use crate::connection::{ANSWER_LIMIT, Connection};
use crate::failure::{Failure, Result};
use crate::latency::{Latencies, Schedule};
use crate::poll::{Clock, Poll};
use crate::workload::ROOT;
use crate::{process, znodes};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const TIMEOUT_MS: i32 = 30_000;
/// Reads a second of the neighbour.
const NEIGHBOUR_RATE: f64 = 1000.0;
/// Sessions that may be opening or closing at a time; what is due beyond it waits, which counts.
const AT_ONCE: usize = 1024;
/// Bytes received at once.
const SCRATCH: usize = 4 << 10;

/// What the neighbour reads.
fn neighbours() -> String {
    znodes::single("neighbour")
}

/// What was measured.
pub struct Outcome {
    /// From the instant an opening was due to the session; sessions that came and went.
    pub opened: Latencies,
    /// From there to the answer of the close.
    pub closed: Latencies,
    /// What the neighbour's reads took before and meanwhile.
    pub neighbour: Option<(Latencies, Latencies)>,
    pub window: Duration,
    pub server_cpu: Option<Duration>,
}

impl Outcome {
    /// Sessions opened and closed a second.
    pub fn throughput(&self) -> f64 {
        self.closed.count() as f64 / self.window.as_secs_f64()
    }
}

/// Opens and closes `rate` sessions a second for `window`.
pub fn measure(
    target: SocketAddr,
    pid: Option<u32>,
    rate: f64,
    window: Duration,
    with_neighbour: bool,
) -> Result<Outcome> {
    if rate.is_nan() || rate <= 0.0 {
        return Err(Failure::new("the rate is more than 0"));
    }
    process::raise_open_files()?;
    znodes::plant_empty(target, &[ROOT, &neighbours()])?;
    let clock = Clock::start();
    let window_ns = window.as_nanos() as u64;
    if !with_neighbour {
        let (opened, closed, server_cpu) = come_and_go(target, pid, rate, clock, window_ns)?;
        return Ok(Outcome { opened, closed, neighbour: None, window, server_cpu });
    }
    let quiet = Neighbour::open(target, clock)?.read(&AtomicU64::new(clock.ns() + window_ns))?;
    // The neighbour goes on until the last session is gone.
    let until_ns = AtomicU64::new(u64::MAX);
    thread::scope(|scope| {
        let neighbour = Neighbour::open(target, clock)?;
        let neighbour = scope.spawn(|| neighbour.read(&until_ns));
        let result = come_and_go(target, pid, rate, clock, window_ns);
        until_ns.store(0, Ordering::Relaxed);
        let disturbed = neighbour.join().unwrap_or_else(|_| Err(Failure::new("the neighbour has panicked")))?;
        let (opened, closed, server_cpu) = result?;
        Ok(Outcome { opened, closed, neighbour: Some((quiet, disturbed)), window, server_cpu })
    })
}

/// Somebody who reads.
struct Neighbour {
    connection: Connection,
    clock: Clock,
}

impl Neighbour {
    fn open(target: SocketAddr, clock: Clock) -> Result<Neighbour> {
        Ok(Neighbour { connection: Connection::open(target, TIMEOUT_MS)?, clock })
    }

    /// Reads until the clock shows `until_ns`.
    fn read(mut self, until_ns: &AtomicU64) -> Result<Latencies> {
        let key = neighbours();
        let mut poll = Poll::new(self.clock)?;
        let mut latencies = Latencies::new();
        let mut schedule = Schedule::new(self.clock.ns(), NEIGHBOUR_RATE);
        let mut ready = vec![];
        while self.clock.ns() < until_ns.load(Ordering::Relaxed) {
            let Some(due_ns) = schedule.take(self.clock.ns()) else {
                poll.wait(schedule.due_ns(), &mut ready)?;
                continue;
            };
            let sent_ns = self.clock.ns();
            if self.connection.call(|out, xid| codec::get(out, xid, &key, false))? != 0 {
                return Err(Failure::new("the neighbour's read has failed"));
            }
            latencies.record(due_ns, sent_ns, self.clock.ns());
        }
        self.connection.close()?;
        Ok(latencies)
    }
}

/// A session on its way.
struct Visit {
    connection: Connection,
    due_ns: u64,
    /// When the session was granted; 0 before.
    opened_ns: u64,
}

fn come_and_go(
    target: SocketAddr,
    pid: Option<u32>,
    rate: f64,
    clock: Clock,
    window_ns: u64,
) -> Result<(Latencies, Latencies, Option<Duration>)> {
    let mut poll = Poll::new(clock)?;
    let (mut opened, mut closed) = (Latencies::new(), Latencies::new());
    let mut visits: Vec<Option<Visit>> = (0..AT_ONCE).map(|_| None).collect();
    let mut free: Vec<usize> = (0..AT_ONCE).rev().collect();
    let mut ready = vec![];
    let mut scratch = vec![0; SCRATCH];
    let cpu = || pid.map(process::cpu).transpose();
    let cpu_before = cpu()?;
    let start_ns = clock.ns();
    let mut schedule = Schedule::new(start_ns, rate);
    let end_ns = start_ns + window_ns;
    let limit_ns = end_ns + ANSWER_LIMIT.as_nanos() as u64;
    while schedule.due_ns() < end_ns || free.len() < AT_ONCE {
        let now_ns = clock.ns();
        if now_ns >= limit_ns {
            return Err(Failure::new(format!("{} sessions are neither opened nor closed", AT_ONCE - free.len())));
        }
        while schedule.due_ns() < end_ns && !free.is_empty() {
            let Some(due_ns) = schedule.take(now_ns) else { break };
            let number = free.pop().expect("one is free");
            let mut connection = Connection::begin(target, TIMEOUT_MS, NO_SESSION)?;
            connection.unblock()?;
            poll.add(connection.stream(), number as u64)?;
            visits[number] = Some(Visit { connection, due_ns, opened_ns: 0 });
        }
        let next_ns = if schedule.due_ns() < end_ns && !free.is_empty() { schedule.due_ns() } else { limit_ns };
        poll.wait(next_ns, &mut ready)?;
        for token in &ready {
            let visit = visits[*token as usize].as_mut().expect("a socket belongs to a visit");
            let mut gone = false;
            let Visit { connection, due_ns, opened_ns } = visit;
            let open = connection.receive_frames(&mut scratch, |outbox, frame| {
                if *opened_ns == 0 {
                    codec::granted(frame)?.ok_or_else(|| Failure::new("the server refuses a session"))?;
                    *opened_ns = clock.ns();
                    opened.record(*due_ns, *due_ns, *opened_ns);
                    outbox.push(codec::close);
                } else {
                    let now_ns = clock.ns();
                    closed.record(*opened_ns, *opened_ns, now_ns);
                    gone = true;
                }
                Ok(())
            })?;
            if gone {
                // Without lingering: a port that waits for late segments could not be used again for a minute.
                visits[*token as usize].take().expect("it is there").connection.reset()?;
                free.push(*token as usize);
            } else if open {
                poll.flush(connection, *token)?;
            } else {
                return Err(Failure::new("the server has ended a connection before its session"));
            }
        }
    }
    let server_cpu = cpu_before.zip(cpu()?).map(|(before, after)| after - before);
    Ok((opened, closed, server_cpu))
}
