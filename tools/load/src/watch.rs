//! Znodes watched by many sessions: from the write to the first, each and the last event; what is lost, and what comes
//! out of order.
//!
//! In a round every session arms a one-shot watch on each of the znodes, then these are written one after the other by
//! somebody else. A session owes its events in the order of the writes.

use crate::codec;
use crate::connection::Connection;
use crate::failure::{Failure, Result};
use crate::fleet::Fleet;
use crate::latency::Latencies;
use crate::workload::ROOT;
use crate::{process, znodes};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long one round may take to arm its watches; and to fire them, after which an event counts as lost.
const ROUND_LIMIT: Duration = Duration::from_secs(20);
const TIMEOUT_MS: i32 = 30_000;
/// Most znodes that are watched: a round's writes are under way together.
const MOST_ZNODES: usize = 1000;

/// What was measured.
pub struct Outcome {
    pub watchers: usize,
    pub znodes: usize,
    pub rounds: usize,
    /// From the round's first write to its first event, from a write to each of its events, from the round's last write
    /// to the last event.
    pub first: Latencies,
    pub each: Latencies,
    pub last: Latencies,
    /// Events that never came.
    pub lost: u64,
    /// Events that came before one of an earlier write, in the same session.
    pub out_of_order: u64,
    pub took: Duration,
    /// CPU time of the server in all rounds.
    pub server_cpu: Option<Duration>,
}

impl Outcome {
    /// CPU time of the server for a watch that is armed and fires, microseconds.
    pub fn cpu_us(&self) -> Option<f64> {
        let watches = (self.watchers * self.znodes * self.rounds) as f64;
        self.server_cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / watches)
    }
}

/// `rounds` times: `watchers` sessions read `znodes` znodes with a watch, then these are written.
pub fn measure(target: SocketAddr, pid: Option<u32>, watchers: usize, znodes: usize, rounds: usize) -> Result<Outcome> {
    if watchers == 0 || rounds == 0 || !(1..=MOST_ZNODES).contains(&znodes) {
        return Err(Failure::new(format!("watchers and rounds are at least 1, znodes 1 to {MOST_ZNODES}")));
    }
    process::raise_open_files()?;
    let paths: Vec<String> = (0..znodes).map(|i| znodes::single(&format!("watched{i:03}"))).collect();
    let all: Vec<&str> = std::iter::once(ROOT).chain(paths.iter().map(String::as_str)).collect();
    znodes::plant_empty(target, &all)?;
    let mut writer = Connection::open(target, TIMEOUT_MS)?;
    let mut fleet = Fleet::open(target, watchers, TIMEOUT_MS)?;
    let clock = fleet.clock;
    let (mut first, mut each, mut last) = (Latencies::at_once(), Latencies::at_once(), Latencies::at_once());
    let (mut lost, mut out_of_order) = (0, 0);
    let cpu = || pid.map(process::cpu).transpose();
    let (cpu_before, start) = (cpu()?, Instant::now());
    for _ in 0..rounds {
        for path in &paths {
            fleet.send_all(|out, xid| codec::get(out, xid, path, true))?;
        }
        let mut armed = 0;
        let arm = |armed: &mut usize, number, reply: codec::Reply<'_>| {
            if reply.xid == codec::EVENT_XID || reply.error != 0 {
                return Err(Failure::new(format!("session {number} could not leave its watch: {reply:?}")));
            }
            *armed += 1;
            Ok(())
        };
        if !fleet.turn_until(ROUND_LIMIT, &mut armed, arm, |armed| *armed == watchers * znodes)? {
            return Err(Failure::new(format!("{armed} of {} watches could be left", watchers * znodes)));
        }

        let mut round = Round { events: vec![], newest: vec![0; watchers], out_of_order: 0 };
        let mut written_ns = vec![];
        for path in &paths {
            writer.outbox.push(|out, xid| codec::set(out, xid, path, b"changed"));
            written_ns.push(clock.ns());
            writer.flush()?;
        }
        let fire = |round: &mut Round, number, reply: codec::Reply<'_>| {
            if reply.xid != codec::EVENT_XID {
                return Err(Failure::new(format!("session {number} got {reply:?} instead of its event")));
            }
            let (_, path) = codec::event(reply.body)?;
            let write = paths.iter().position(|known| *known == path);
            round.take(number, write.ok_or_else(|| Failure::new(format!("an event for {path}")))?, clock.ns());
            Ok(())
        };
        fleet.turn_until(ROUND_LIMIT, &mut round, fire, |round| round.events.len() == watchers * znodes)?;
        for path in &paths {
            if writer.next_answer()?.error != 0 {
                return Err(Failure::new(format!("the write of {path} has failed")));
            }
        }
        lost += (watchers * znodes - round.events.len()) as u64;
        out_of_order += round.out_of_order;
        round.events.iter().for_each(|(write, ns)| each.record(written_ns[*write], written_ns[*write], *ns));
        if let (Some((_, first_ns)), Some((_, last_ns))) = (round.events.first(), round.events.last()) {
            first.record(written_ns[0], written_ns[0], *first_ns);
            last.record(written_ns[znodes - 1], written_ns[znodes - 1], *last_ns);
        }
    }
    let server_cpu = cpu_before.zip(cpu()?).map(|(before, after)| after - before);
    let took = start.elapsed();
    fleet.close()?;
    writer.close()?;
    Ok(Outcome { watchers, znodes, rounds, first, each, last, lost, out_of_order, took, server_cpu })
}

/// The events of a round.
struct Round {
    /// Number of the write, and when the event came.
    events: Vec<(usize, u64)>,
    /// Of each session: the latest write it knows of, counted from 1.
    newest: Vec<usize>,
    out_of_order: u64,
}

impl Round {
    fn take(&mut self, session: usize, write: usize, ns: u64) {
        self.out_of_order += u64::from(write < self.newest[session]);
        self.newest[session] = self.newest[session].max(write + 1);
        self.events.push((write, ns));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_the_writes() {
        let mut round = Round { events: vec![], newest: vec![0; 2], out_of_order: 0 };
        [(0, 0), (0, 1), (1, 0), (0, 2), (1, 2)].into_iter().for_each(|(session, write)| round.take(session, write, 0));
        assert_eq!(round.out_of_order, 0, "gaps are losses, not disorder");
        round.take(1, 1, 0);
        assert_eq!((round.out_of_order, round.events.len()), (1, 6));
    }
}
