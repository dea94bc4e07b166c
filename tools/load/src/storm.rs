//! All connections of many sessions break at the same instant, and all clients come back with their sessions.

use crate::codec;
use crate::connection::Connection;
use crate::failure::{Failure, Result};
use crate::latency::Latencies;
use crate::poll::{Clock, Poll};
use crate::process;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Sessions outlive a round by far.
const TIMEOUT_MS: i32 = 30_000;
/// How long one round may take.
const ROUND_LIMIT_NS: u64 = 25_000_000_000;
/// Bytes received at once.
const SCRATCH: usize = 4 << 10;

/// What was measured.
pub struct Outcome {
    pub sessions: usize,
    pub rounds: usize,
    /// From the break to each session's return, and to the last one's.
    pub each: Latencies,
    pub last: Latencies,
    /// Sessions the server would not give back.
    pub lost: u64,
    pub took: Duration,
    pub server_cpu: Option<Duration>,
}

/// `rounds` times: `sessions` connections are reset, and made again with their sessions.
pub fn measure(target: SocketAddr, pid: Option<u32>, sessions: usize, rounds: usize) -> Result<Outcome> {
    if sessions == 0 || rounds == 0 {
        return Err(Failure::usage("sessions and rounds are at least 1"));
    }
    process::raise_open_files()?;
    let clock = Clock::start();
    let mut connections = Connection::open_many(&[target], TIMEOUT_MS, sessions)?;
    let (mut each, mut last, mut lost) = (Latencies::at_once(), Latencies::at_once(), 0);
    let cpu = || pid.map(process::cpu).transpose();
    let (cpu_before, start) = (cpu()?, Instant::now());
    for _ in 0..rounds {
        let identities: Vec<_> = connections.iter().map(|connection| connection.session).collect();
        connections.drain(..).try_for_each(Connection::reset)?;
        let broken_ns = clock.ns();
        let (returned, refused) = come_back(target, clock, broken_ns, &identities, &mut each)?;
        last.record(broken_ns, broken_ns, clock.ns());
        lost += refused;
        connections = returned;
    }
    let server_cpu = cpu_before.zip(cpu()?).map(|(before, after)| after - before);
    let took = start.elapsed();
    crate::connection::close_all(connections)?;
    Ok(Outcome { sessions, rounds, each, last, lost, took, server_cpu })
}

/// Opens all of these sessions again; returns them, and how many the server does not know any longer.
fn come_back(
    target: SocketAddr,
    clock: Clock,
    broken_ns: u64,
    identities: &[(i64, [u8; 16])],
    each: &mut Latencies,
) -> Result<(Vec<Connection>, u64)> {
    let mut poll = Poll::new(clock)?;
    let mut waiting = Vec::with_capacity(identities.len());
    for (number, identity) in identities.iter().enumerate() {
        let mut connection = Connection::begin_from(number, target, TIMEOUT_MS, *identity)?;
        poll.add(connection.stream(), number as u64)?;
        poll.flush(&mut connection, number as u64)?;
        waiting.push(Some(connection));
    }
    let mut returned = Vec::with_capacity(identities.len());
    let (mut refused, mut ready, mut scratch) = (0, vec![], vec![0; SCRATCH]);
    while returned.len() as u64 + refused < identities.len() as u64 {
        if clock.ns() > broken_ns + ROUND_LIMIT_NS {
            let missing = identities.len() as u64 - returned.len() as u64 - refused;
            return Err(Failure::new(format!("{missing} sessions have not come back")));
        }
        poll.wait(broken_ns + ROUND_LIMIT_NS, &mut ready)?;
        for token in &ready {
            let number = *token as usize;
            let Some(connection) = &mut waiting[number] else { continue };
            poll.flush(connection, *token)?;
            let mut answer = None;
            let is_open = connection.receive_frames(&mut scratch, |_, frame| {
                answer = Some(codec::granted(frame)?);
                Ok(())
            })?;
            match answer {
                Some(Some(granted)) if granted.session == identities[number].0 => {
                    each.record(broken_ns, broken_ns, clock.ns());
                    let mut connection = waiting[number].take().expect("it was waiting");
                    connection.session = (granted.session, granted.password);
                    returned.push(connection);
                }
                Some(Some(granted)) => {
                    return Err(Failure::new(format!(
                        "session {:x} came back as {:x}",
                        identities[number].0, granted.session
                    )));
                }
                Some(None) => {
                    refused += 1;
                    waiting[number] = None;
                }
                None if is_open => {}
                None => return Err(Failure::new("the server has ended a connection before its session")),
            }
        }
    }
    Ok((returned, refused))
}
