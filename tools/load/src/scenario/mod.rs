//! What people build on a coordination service, as a measurement: each is the usual recipe, with a check that it holds.

mod barrier;
mod broadcast;
mod client_pool;
mod lock_and_latch;
mod queue;

use crate::args::ScenarioKind;
use crate::document::{ErrorCount, Run, Target};
use crate::engine::Targets;
use crate::failure::{Failure, Result};
use crate::latency::Latencies;
use crate::to_document::Story as Told;
use crate::workload::ROOT;
use crate::{process, znodes};
use std::time::{Duration, Instant};

/// How a scenario is played.
pub struct Setting {
    pub sessions: usize,
    pub rounds: usize,
    pub value_bytes: usize,
}

impl Setting {
    /// What is usual for a scenario where nothing else is said. The barrier is that of the ZooKeeper paper, 200 clients
    /// who meet 1600 times.
    pub fn of(kind: ScenarioKind, sessions: Option<usize>, rounds: Option<usize>, value_bytes: usize) -> Setting {
        let (usual_sessions, usual_rounds) = match kind {
            ScenarioKind::Lock => (50, 20),
            ScenarioKind::Latch => (50, 100),
            ScenarioKind::Barrier => (200, 1600),
            ScenarioKind::Queue => (50, 200),
            ScenarioKind::Membership | ScenarioKind::Config => (50, 100),
        };
        let (sessions, rounds) = (sessions.unwrap_or(usual_sessions), rounds.unwrap_or(usual_rounds));
        Setting { sessions, rounds, value_bytes }
    }
}

/// What was measured.
struct Played {
    description: String,
    operation: &'static str,
    operations: u64,
    latency: Vec<(&'static str, Latencies)>,
    /// Breaches of what the recipe promises, and what else there is to say.
    values: Vec<(&'static str, f64)>,
    took: Duration,
}

/// Plays a scenario. Breaches of its promise make it fail.
pub fn play(kind: ScenarioKind, targets: &Targets, told: &Target, setting: &Setting) -> Result<Run> {
    if setting.sessions < 2 || setting.rounds == 0 || setting.value_bytes > crate::workload::MAX_VALUE_BYTES {
        return Err(Failure::usage("a scenario takes two sessions, one round, and values a server accepts"));
    }
    let name = match kind {
        ScenarioKind::Lock => "lock",
        ScenarioKind::Latch => "latch",
        ScenarioKind::Barrier => "barrier",
        ScenarioKind::Queue => "queue",
        ScenarioKind::Membership => "membership",
        ScenarioKind::Config => "config",
    };
    let directory = format!("{ROOT}/scenario-{name}");
    // What an interrupted scenario has left would take part in this one.
    znodes::delete_tree(targets.addresses[0], &directory)?;
    znodes::plant_empty(targets.addresses[0], &[ROOT, &directory])?;
    let mut pool = client_pool::ClientPool::open(&targets.addresses, setting.sessions)?;
    let cpu = || targets.pids.iter().map(|pid| process::cpu(*pid)).sum::<Result<Duration>>();
    let (before, start) = (cpu()?, Instant::now());
    let played = match kind {
        ScenarioKind::Lock => lock_and_latch::lock(&mut pool, &directory, setting),
        ScenarioKind::Latch => lock_and_latch::latch(&mut pool, &directory, setting),
        ScenarioKind::Barrier => barrier::play(&mut pool, targets.addresses[0], &directory, setting),
        ScenarioKind::Queue => queue::play(&mut pool, &directory, setting),
        ScenarioKind::Membership => broadcast::membership(&mut pool, &directory, setting),
        ScenarioKind::Config => broadcast::config(&mut pool, &directory, setting),
    };
    let mut played = played?;
    played.took = start.elapsed();
    let server_cpu = (!targets.pids.is_empty()).then(|| cpu().map(|after| after - before)).transpose()?;
    pool.close()?;
    znodes::delete_tree(targets.addresses[0], &directory)?;
    let Played { description, operation, operations, latency, values, took } = played;
    let run = Told {
        name,
        description,
        target: told,
        sessions: setting.sessions,
        took,
        operation,
        operations,
        latency: latency.iter().map(|(name, latencies)| latencies.told(name)).collect(),
        errors: Vec::<ErrorCount>::new(),
        server_cpu,
        values,
    };
    Ok(run.run())
}
