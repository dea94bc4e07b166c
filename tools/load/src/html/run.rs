//! One run by itself: what was asked of whom, its timeline, its operations, its errors, and what the server told.

use super::out::Out;
use super::spectrum::{self, Curve};
use super::{figures, timeline, units, values};
use crate::document::{ErrorCount, Run};

/// A run's part of the page, which can be folded up.
pub fn details(out: &mut Out, index: usize, run: &Run, unfolded: bool) {
    let id = format!("run-{}", index + 1);
    let mut attributes = vec![("class", "run"), ("id", id.as_str())];
    if unfolded {
        attributes.push(("open", "open"));
    }
    out.open("details", &attributes).open("summary", &[]);
    out.leaf("span", &[("class", "name")], &run.name).leaf("span", &[("class", "sub")], &headline(run)).close();
    out.leaf("p", &[("class", "note")], &load(run));
    timeline::figure(out, run);
    operations(out, run);
    errors(out, run);
    values::table(out, &run.server.samples);
    out.close();
}

fn headline(run: &Run) -> String {
    let target = &run.target;
    let parts = [Some(target.label.as_str()), Some(&target.address), target.mode.as_deref(), target.version.as_deref()];
    let mut parts: Vec<&str> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
    parts.extend(target.profile.as_deref());
    parts.dedup();
    parts.join("  ·  ")
}

/// What was asked of the target, as a sentence.
fn load(run: &Run) -> String {
    let workload = &run.workload;
    let total: f64 = workload.operations.iter().map(|operation| operation.weight).sum();
    let mix: Vec<String> = workload
        .operations
        .iter()
        .map(|operation| match operation.weight / total {
            share if workload.operations.len() > 1 && share.is_finite() => {
                format!("{} {}", units::percent(share * 100.0), operation.name)
            }
            _ => operation.name.clone(),
        })
        .collect();
    let plural =
        |count: usize, one: &str| format!("{} {one}{}", units::count(count as u64), if count == 1 { "" } else { "s" });
    let mut parts =
        vec![if workload.description.is_empty() { workload.name.clone() } else { workload.description.clone() }];
    parts.push(mix.join(", "));
    parts.push(format!(
        "{}, {} in flight each, {}",
        plural(workload.sessions, "session"),
        units::count(workload.in_flight as u64),
        plural(workload.threads, "thread")
    ));
    parts.push(match workload.rate {
        Some(rate) => format!("open loop, {} offered", units::rate(rate)),
        None => "closed loop".into(),
    });
    let [seconds, warm_up] = [workload.seconds, workload.warm_up_seconds].map(|seconds| units::time(seconds * 1e6));
    parts.push(seconds);
    if workload.warm_up_seconds > 0.0 {
        parts.push(format!("after a warm-up of {warm_up}"));
    }
    parts.retain(|part| !part.is_empty());
    parts.join("  ·  ")
}

/// The operations by themselves, if there is more than one; or the stages of a scenario.
fn operations(out: &mut Out, run: &Run) {
    let staged = super::is_staged(run);
    let single: Vec<Curve> = run
        .latency
        .iter()
        .skip(usize::from(!staged))
        .enumerate()
        .map(|(index, latency)| Curve::of(&latency.operation, index % super::COLOURS, latency))
        .filter(Curve::is_known)
        .collect();
    if single.len() < 2 {
        return;
    }
    out.leaf("h3", &[], if staged { "Latency by stage" } else { "Latency by operation" });
    for together in single.chunks(super::TOGETHER) {
        spectrum::figure(out, &format!("Latency by percentile, operations of {}", run.name), together);
    }
}

fn errors(out: &mut Out, run: &Run) {
    if run.errors.is_empty() {
        return;
    }
    out.leaf("h3", &[], "Errors").open("div", &[("class", "wide")]).open("table", &[("class", "errors")]);
    figures::heads(out, &["code", "", "operations", "share"]);
    out.open("tbody", &[]);
    for ErrorCount { code, count } in &run.errors {
        let share = *count as f64 * 100.0 / run.operations.max(*count).max(1) as f64;
        out.open("tr", &[]).leaf("td", &[("class", "n")], &if *code == 0 { String::new() } else { code.to_string() });
        out.leaf("td", &[], meaning(*code));
        out.leaf("td", &[("class", "n")], &units::count(*count));
        out.leaf("td", &[("class", "n")], &units::percent(share)).close();
    }
    out.close().close().close();
}

/// What a code means: ZooKeeper 3.9, KeeperException.Code.
fn meaning(code: i32) -> &'static str {
    match code {
        0 => "never answered",
        -1 => "system error",
        -2 => "runtime inconsistency",
        -3 => "data inconsistency",
        -4 => "connection loss",
        -5 => "marshalling error",
        -6 => "unimplemented",
        -7 => "operation timeout",
        -8 => "bad arguments",
        -9 => "invalid callback",
        -12 => "unknown session",
        -13 => "new config, no quorum",
        -14 => "reconfiguration in progress",
        -100 => "API error",
        -101 => "no node",
        -102 => "no authority",
        -103 => "bad version",
        -108 => "no children for ephemerals",
        -110 => "node exists",
        -111 => "not empty",
        -112 => "session expired",
        -114 => "invalid ACL",
        -115 => "authentication failed",
        -117 => "closing",
        -118 => "session moved",
        -119 => "not read-only",
        -120 => "ephemeral on local session",
        -121 => "no watcher",
        -122 => "request timeout",
        -123 => "reconfiguration disabled",
        -124 => "session closed, SASL required",
        -125 => "quota exceeded",
        -127 => "throttled",
        _ => "",
    }
}
