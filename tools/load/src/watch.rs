//! One znode watched by many sessions: from the write to the first, each and the last event.

use crate::codec;
use crate::connection::Connection;
use crate::failure::{Failure, Result};
use crate::fleet::Fleet;
use crate::latency::Latencies;
use crate::{process, znodes};
use std::net::SocketAddr;
use std::time::Duration;

/// How long one round may take to arm or to fire its watches.
const ROUND_LIMIT: Duration = Duration::from_secs(60);
const TIMEOUT_MS: i32 = 30_000;

/// What was measured.
pub struct Outcome {
    pub watchers: usize,
    pub rounds: usize,
    /// From the write to the first event of a round, to each event, to the last one of a round.
    pub first: Latencies,
    pub each: Latencies,
    pub last: Latencies,
    /// CPU time of the server in all rounds.
    pub server_cpu: Option<Duration>,
}

impl Outcome {
    /// CPU time of the server for a watch that is armed and fires, microseconds.
    pub fn cpu_us(&self) -> Option<f64> {
        self.server_cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / (self.watchers * self.rounds) as f64)
    }
}

/// `rounds` times: `watchers` sessions read one znode with a watch, then it is written.
pub fn measure(target: SocketAddr, pid: Option<u32>, watchers: usize, rounds: usize) -> Result<Outcome> {
    if watchers == 0 || rounds == 0 {
        return Err(Failure::new("watchers and rounds are at least 1"));
    }
    process::raise_open_files()?;
    znodes::set_up(target, 0, b"")?;
    let path = znodes::watched();
    let mut writer = Connection::open(target, TIMEOUT_MS)?;
    let mut fleet = Fleet::open(target, watchers, TIMEOUT_MS)?;
    let clock = fleet.clock;
    let (mut first, mut each, mut last) = (Latencies::new(), Latencies::new(), Latencies::new());
    let cpu = || pid.map(process::cpu).transpose();
    let cpu_before = cpu()?;
    for _ in 0..rounds {
        fleet.send_all(|out, xid| codec::get(out, xid, &path, true))?;
        let mut armed = 0;
        let arm = |armed: &mut usize, number, reply: codec::Reply<'_>| {
            if reply.xid == codec::EVENT_XID || reply.error != 0 {
                return Err(Failure::new(format!("session {number} could not leave its watch: {reply:?}")));
            }
            *armed += 1;
            Ok(())
        };
        fleet.turn_until(ROUND_LIMIT, &mut armed, arm, |armed| *armed == watchers)?;

        let written_ns = clock.ns();
        writer.outbox.push(|out, xid| codec::set(out, xid, &path, b"changed"));
        writer.flush()?;
        let mut events = Vec::with_capacity(watchers);
        let fire = |events: &mut Vec<u64>, number, reply: codec::Reply<'_>| {
            if reply.xid != codec::EVENT_XID {
                return Err(Failure::new(format!("session {number} got {reply:?} instead of its event")));
            }
            events.push(clock.ns());
            Ok(())
        };
        fleet.turn_until(ROUND_LIMIT, &mut events, fire, |events| events.len() == watchers)?;
        if writer.answer()? != 0 {
            return Err(Failure::new("the write has failed"));
        }
        events.iter().for_each(|event_ns| each.record(written_ns, written_ns, *event_ns));
        first.record(written_ns, written_ns, events[0]);
        last.record(written_ns, written_ns, events[watchers - 1]);
    }
    let server_cpu = cpu_before.zip(cpu()?).map(|(before, after)| after - before);
    fleet.close()?;
    writer.close()?;
    Ok(Outcome { watchers, rounds, first, each, last, server_cpu })
}
