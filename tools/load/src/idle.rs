//! What sessions cost that do nothing: memory of the server for each, CPU for their pings.

use crate::failure::Result;
use crate::fleet::Fleet;
use crate::process;
use std::net::SocketAddr;
use std::time::Duration;

/// What was measured.
pub struct Outcome {
    pub sessions: usize,
    pub pings: u64,
    pub window: Duration,
    /// Resident memory of the server without the sessions and with them, bytes.
    pub resident: Option<(u64, u64)>,
    pub server_cpu: Option<Duration>,
}

impl Outcome {
    /// Bytes the server has grown by, for each session.
    pub fn bytes_per_session(&self) -> Option<f64> {
        self.resident.map(|(before, after)| (after as f64 - before as f64) / self.sessions as f64)
    }

    /// Share of one core the server has used, in per cent.
    pub fn core_percent(&self) -> Option<f64> {
        self.server_cpu.map(|cpu| 100.0 * cpu.as_secs_f64() / self.window.as_secs_f64())
    }
}

/// Opens `sessions` sessions of `timeout_ms` and lets them ping for `window`.
pub fn measure(
    target: SocketAddr,
    pid: Option<u32>,
    sessions: usize,
    timeout_ms: i32,
    window: Duration,
) -> Result<Outcome> {
    process::raise_open_files()?;
    let resident = || pid.map(process::resident).transpose();
    let cpu = || pid.map(process::cpu).transpose();
    let resident_before = resident()?;
    let mut fleet = Fleet::open(target, sessions, timeout_ms)?;
    let (cpu_before, pings_before) = (cpu()?, fleet.answered_pings);
    let end_ns = fleet.clock.ns() + window.as_nanos() as u64;
    while fleet.clock.ns() < end_ns {
        fleet.turn(end_ns, &mut |_, _| Ok(()))?;
    }
    let server_cpu = cpu_before.zip(cpu()?).map(|(before, after)| after - before);
    let resident = resident_before.zip(resident()?);
    let pings = fleet.answered_pings - pings_before;
    fleet.close()?;
    Ok(Outcome { sessions, pings, window, resident, server_cpu })
}
