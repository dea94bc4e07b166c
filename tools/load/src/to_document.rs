//! From what was measured to what a document says of it.

use crate::document::{Client, ErrorCount, Latency, Run, Sample, Server, Target, Weighted, Workload};
use crate::engine::{Load, Outcome};
use crate::latency::Errors;
use crate::sample::Sampled;
use crate::summary::per_second;
use std::collections::BTreeMap;
use std::time::Duration;

/// What a load is called.
pub fn title(load: &Load) -> String {
    let offered = load.rate.map(|rate| format!(", offered {}", per_second(rate))).unwrap_or_default();
    format!("{} {} x {}{offered}", load.workload.name, load.sessions, load.in_flight)
}

/// The run of a load.
pub fn load_run(name: &str, target: &Target, load: &Load, outcome: &Outcome, sampled: Option<Sampled>) -> Run {
    let weights: f64 = load.workload.operations.iter().map(|operation| operation.weight).sum();
    let operations = load.workload.operations.iter();
    let operations =
        operations.map(|operation| Weighted { name: operation.name.clone(), weight: operation.weight / weights });
    let mut latency = vec![outcome.all().told("all")];
    latency.extend(outcome.kinds.iter().map(|(name, latencies)| latencies.told(name)));
    let failed: u64 = outcome.errors.values().sum();
    Run {
        name: name.into(),
        target: target.clone(),
        workload: Workload {
            name: load.workload.name.clone(),
            description: load.workload.description.clone(),
            sessions: load.sessions,
            in_flight: load.in_flight,
            threads: load.threads,
            rate: load.rate,
            seconds: load.window.as_secs_f64(),
            warm_up_seconds: load.warm_up.as_secs_f64(),
            operations: operations.collect(),
        },
        throughput: outcome.throughput(),
        operations: outcome.operations() + failed,
        errors: errors(&outcome.errors, outcome.unanswered),
        latency,
        timeline: outcome.timeline.clone(),
        unavailable_ms: Some(outcome.unavailable_ms()),
        gaps: outcome.gaps.clone(),
        stages: outcome.stages.clone(),
        server: Server {
            cpu_us_per_op: outcome.server_cpu.map(|cpu| outcome.cpu_us(cpu)),
            cpu_percent: outcome.server_cpu.map(|cpu| percent(cpu, outcome.window)),
            rss_mb: outcome.resident.map(|bytes| mb(bytes as f64)),
            samples: sampled.map(|sampled| sampled.samples).unwrap_or_default(),
        },
        client: Client { cpu_us_per_op: outcome.cpu_us(outcome.own_cpu) },
    }
}

/// The run of a scenario, which counts its own way.
pub struct Story<'a> {
    pub name: &'a str,
    pub description: String,
    pub target: &'a Target,
    pub sessions: usize,
    pub took: Duration,
    /// What was done: `operations` times one of these.
    pub operation: &'a str,
    pub operations: u64,
    pub latency: Vec<Latency>,
    pub errors: Vec<ErrorCount>,
    pub server_cpu: Option<Duration>,
    /// What else there is to say, by its name.
    pub values: Vec<(&'static str, f64)>,
}

impl Story<'_> {
    /// As a document tells it.
    pub fn run(self) -> Run {
        let values: BTreeMap<String, f64> =
            self.values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let at_ms = self.took.as_secs_f64() * 1e3;
        let sample = Sample { at_ms, cpu_percent: None, rss_mb: None, values };
        let operations = self.operations.max(1) as f64;
        Run {
            name: self.name.into(),
            target: self.target.clone(),
            workload: Workload {
                name: self.name.into(),
                description: self.description,
                sessions: self.sessions,
                in_flight: 1,
                threads: 1,
                seconds: self.took.as_secs_f64(),
                operations: vec![Weighted { name: self.operation.into(), weight: 1.0 }],
                ..Workload::default()
            },
            throughput: self.operations as f64 / self.took.as_secs_f64().max(1e-9),
            operations: self.operations,
            errors: self.errors,
            latency: self.latency,
            server: Server {
                cpu_us_per_op: self.server_cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / operations),
                cpu_percent: self.server_cpu.map(|cpu| percent(cpu, self.took)),
                samples: if sample.values.is_empty() { vec![] } else { vec![sample] },
                ..Server::default()
            },
            ..Run::default()
        }
    }
}

/// Idle sessions.
pub fn idle(target: &Target, outcome: &crate::idle::Outcome) -> Run {
    let mut values = vec![("pings", outcome.pings as f64)];
    values.extend(outcome.bytes_per_session().map(|bytes| ("bytes/session", bytes)));
    let mut run = Story {
        name: "idle",
        description: format!("{} sessions that do nothing but ping", outcome.sessions),
        target,
        sessions: outcome.sessions,
        took: outcome.window,
        operation: "ping",
        operations: outcome.pings,
        latency: vec![],
        errors: vec![],
        server_cpu: outcome.server_cpu,
        values,
    }
    .run();
    run.server.rss_mb = outcome.resident.map(|(_, after)| mb(after as f64));
    run
}

/// Watches of one znode.
pub fn watch(target: &Target, outcome: &crate::watch::Outcome) -> Run {
    let lost = [(0, outcome.lost)].into_iter().filter(|(_, count)| *count > 0);
    let mut values = vec![("out of order", outcome.out_of_order as f64)];
    values.extend(outcome.cpu_us().map(|us| ("CPU us/watch", us)));
    Story {
        name: "watch",
        description: format!(
            "{} sessions that watch {}, {} rounds of writes; latencies from the write to each event, to the first and \
             to the last one of a round",
            outcome.watchers,
            if outcome.znodes == 1 { "one znode".to_owned() } else { format!("{} znodes", outcome.znodes) },
            outcome.rounds
        ),
        target,
        sessions: outcome.watchers,
        took: outcome.took,
        operation: "event",
        operations: outcome.each.count(),
        latency: vec![outcome.each.told("event"), outcome.first.told("first event"), outcome.last.told("last event")],
        errors: lost.map(|(code, count)| ErrorCount { code, count }).collect(),
        server_cpu: outcome.server_cpu,
        values,
    }
    .run()
}

/// Connections that break and come back.
pub fn storm(target: &Target, outcome: &crate::storm::Outcome) -> Run {
    let lost = [(crate::codec::SESSION_EXPIRED, outcome.lost)].into_iter().filter(|(_, count)| *count > 0);
    Story {
        name: "storm",
        description: format!(
            "the connections of {} sessions break at once, {} times; latency: from there to a session's return",
            outcome.sessions, outcome.rounds
        ),
        target,
        sessions: outcome.sessions,
        took: outcome.took,
        operation: "return",
        operations: outcome.each.count(),
        latency: vec![outcome.each.told("return"), outcome.last.told("last return")],
        errors: lost.map(|(code, count)| ErrorCount { code, count }).collect(),
        server_cpu: outcome.server_cpu,
        values: vec![],
    }
    .run()
}

/// Sessions that come and go.
pub fn connects(target: &Target, rate: f64, outcome: &crate::connects::Outcome) -> Run {
    let mut latency = vec![outcome.opened.told("open"), outcome.closed.told("close")];
    if let Some((quiet, disturbed)) = &outcome.neighbour {
        latency.push(quiet.told("neighbour before"));
        latency.push(disturbed.told("neighbour meanwhile"));
    }
    let mut run = Story {
        name: "connects",
        description: "sessions that are opened and closed".into(),
        target,
        sessions: 1,
        took: outcome.window,
        operation: "session",
        operations: outcome.closed.count(),
        latency,
        errors: vec![],
        server_cpu: outcome.server_cpu,
        values: vec![],
    }
    .run();
    run.workload.rate = Some(rate);
    run
}

/// Errors by their codes; what was never answered has the code 0.
pub fn errors(errors: &Errors, unanswered: u64) -> Vec<ErrorCount> {
    let unanswered = (unanswered > 0).then_some((0, unanswered));
    let all = errors.iter().map(|(code, count)| (*code, *count)).chain(unanswered);
    all.map(|(code, count)| ErrorCount { code, count }).collect()
}

fn percent(cpu: Duration, window: Duration) -> f64 {
    100.0 * cpu.as_secs_f64() / window.as_secs_f64().max(1e-9)
}

fn mb(bytes: f64) -> f64 {
    bytes / 1e6
}
