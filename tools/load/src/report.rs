//! What was measured, as text for people and as JSON for programs.

use crate::latency::{Latencies, Percentiles};
use crate::run::{Kind, Load, Outcome, Workload};
use crate::{connects, idle, watch};
use serde_json::{Value, json};
use std::fmt::Write;

/// A latency in the unit that keeps it short. `ns`: nanoseconds.
pub fn short(ns: f64) -> String {
    match ns {
        ns if ns < 10e3 => format!("{:.1} us", ns / 1e3),
        ns if ns < 1e6 => format!("{:.0} us", ns / 1e3),
        ns if ns < 100e6 => format!("{:.1} ms", ns / 1e6),
        ns => format!("{:.0} ms", ns / 1e6),
    }
}

/// Operations a second, short.
pub fn per_second(rate: f64) -> String {
    match rate {
        rate if rate >= 1e6 => format!("{:.2} M/s", rate / 1e6),
        rate if rate >= 10e3 => format!("{:.0} k/s", rate / 1e3),
        rate if rate >= 1e3 => format!("{:.1} k/s", rate / 1e3),
        rate => format!("{rate:.0} /s"),
    }
}

/// What a load is called.
pub fn title(load: &Load) -> String {
    let workload = match load.workload {
        Workload::Only(kind) => kind.name().to_owned(),
        Workload::Mixed(gets) => format!("{gets} % get"),
    };
    let offered = load.rate.map(|rate| format!(", offered {}", per_second(rate))).unwrap_or_default();
    format!("{workload} {} x {}{offered}", load.sessions, load.in_flight)
}

/// The lines about a run.
pub fn run_text(load: &Load, outcome: &Outcome) -> String {
    let mut text =
        format!("{}, {}-byte values, {:.1} s\n", title(load), load.value_bytes, outcome.window.as_secs_f64());
    let _ = writeln!(text, "throughput   {}", per_second(outcome.throughput()));
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| outcome.kinds[*kind as usize].count() > 0).collect();
    for kind in &kinds {
        let latencies = &outcome.kinds[*kind as usize];
        let _ = writeln!(text, "{:12} {}", kind.name(), percentiles_text(&latencies.corrected()));
        if load.rate.is_some() {
            let _ = writeln!(text, "  as sent    {}", percentiles_text(&latencies.uncorrected()));
        }
    }
    if let Some(cpu) = outcome.server_cpu {
        let _ = writeln!(text, "server CPU   {:.2} us/op", outcome.cpu_us(cpu));
    }
    let _ = writeln!(text, "own CPU      {:.2} us/op", outcome.cpu_us(outcome.own_cpu));
    let errors: Vec<String> = outcome.errors.iter().map(|(code, count)| format!("{count} x {code}")).collect();
    let _ = writeln!(text, "errors       {}", if errors.is_empty() { "0".to_owned() } else { errors.join(", ") });
    if outcome.unanswered > 0 {
        let _ = writeln!(text, "unanswered   {}", outcome.unanswered);
    }
    text
}

fn percentiles_text(percentiles: &Percentiles) -> String {
    let Percentiles { p50, p90, p99, p999, max } = *percentiles;
    let [p50, p90, p99, p999, max] = [p50, p90, p99, p999, max].map(short);
    format!("p50 {p50}  p90 {p90}  p99 {p99}  p99.9 {p999}  max {max}")
}

fn percentiles_json(percentiles: &Percentiles) -> Value {
    let us = |ns: f64| ns / 1e3;
    let Percentiles { p50, p90, p99, p999, max } = *percentiles;
    json!({ "p50": us(p50), "p90": us(p90), "p99": us(p99), "p99.9": us(p999), "max": us(max) })
}

fn latencies_json(latencies: &Latencies) -> Value {
    json!({
        "count": latencies.count(),
        "latency_us": percentiles_json(&latencies.corrected()),
        "uncorrected_latency_us": percentiles_json(&latencies.uncorrected()),
    })
}

/// A run as JSON. Latencies and CPU times in microseconds.
pub fn run_json(load: &Load, outcome: &Outcome) -> Value {
    let kinds = Kind::ALL.into_iter().filter(|kind| outcome.kinds[*kind as usize].count() > 0);
    let kinds: serde_json::Map<String, Value> =
        kinds.map(|kind| (kind.name().into(), latencies_json(&outcome.kinds[kind as usize]))).collect();
    let errors: serde_json::Map<String, Value> =
        outcome.errors.iter().map(|(code, count)| (code.to_string(), json!(count))).collect();
    json!({
        "load": title(load),
        "value_bytes": load.value_bytes,
        "window_s": outcome.window.as_secs_f64(),
        "throughput": outcome.throughput(),
        "all": latencies_json(&outcome.all()),
        "kinds": kinds,
        "server_cpu_us_per_operation": outcome.server_cpu.map(|cpu| outcome.cpu_us(cpu)),
        "own_cpu_us_per_operation": outcome.cpu_us(outcome.own_cpu),
        "errors": errors,
        "unanswered": outcome.unanswered,
    })
}

/// The lines about idle sessions.
pub fn idle_text(outcome: &idle::Outcome) -> String {
    let mut text = format!(
        "{} idle sessions, {} pings in {:.0} s\n",
        outcome.sessions,
        outcome.pings,
        outcome.window.as_secs_f64()
    );
    if let (Some((before, after)), Some(each)) = (outcome.resident, outcome.bytes_per_session()) {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let _ = writeln!(text, "memory       {:.1} -> {:.1} MiB, {each:.0} bytes/session", mib(before), mib(after));
    }
    if let Some(percent) = outcome.core_percent() {
        let _ = writeln!(text, "server CPU   {percent:.2} % of a core");
    }
    text
}

/// Idle sessions as JSON.
pub fn idle_json(outcome: &idle::Outcome) -> Value {
    json!({
        "sessions": outcome.sessions,
        "pings": outcome.pings,
        "window_s": outcome.window.as_secs_f64(),
        "resident_bytes": outcome.resident.map(|(before, after)| json!({ "before": before, "after": after })),
        "bytes_per_session": outcome.bytes_per_session(),
        "server_cpu_percent_of_a_core": outcome.core_percent(),
    })
}

/// The lines about watches.
pub fn watch_text(outcome: &watch::Outcome) -> String {
    let mut text = format!("{} watchers of one znode, {} rounds\n", outcome.watchers, outcome.rounds);
    for (name, latencies) in
        [("first event", &outcome.first), ("each event", &outcome.each), ("last event", &outcome.last)]
    {
        let _ = writeln!(text, "{name:12} {}", percentiles_text(&latencies.corrected()));
    }
    if let Some(cpu) = outcome.cpu_us() {
        let _ = writeln!(text, "server CPU   {cpu:.2} us/watch armed and fired");
    }
    text
}

/// Watches as JSON.
pub fn watch_json(outcome: &watch::Outcome) -> Value {
    json!({
        "watchers": outcome.watchers,
        "rounds": outcome.rounds,
        "first": latencies_json(&outcome.first),
        "each": latencies_json(&outcome.each),
        "last": latencies_json(&outcome.last),
        "server_cpu_us_per_watch": outcome.cpu_us(),
    })
}

/// The lines about sessions that come and go.
pub fn connects_text(outcome: &connects::Outcome) -> String {
    let mut text = format!("sessions opened and closed: {}\n", per_second(outcome.throughput()));
    let _ = writeln!(text, "open         {}", percentiles_text(&outcome.opened.corrected()));
    let _ = writeln!(text, "close        {}", percentiles_text(&outcome.closed.corrected()));
    if let Some((quiet, disturbed)) = &outcome.neighbour {
        let _ = writeln!(text, "neighbour's reads");
        let _ = writeln!(text, "  before     {}", percentiles_text(&quiet.corrected()));
        let _ = writeln!(text, "  meanwhile  {}", percentiles_text(&disturbed.corrected()));
    }
    if let Some(cpu) = outcome.cpu_us() {
        let _ = writeln!(text, "server CPU   {cpu:.1} us/session");
    }
    text
}

/// Sessions that come and go as JSON.
pub fn connects_json(outcome: &connects::Outcome) -> Value {
    json!({
        "throughput": outcome.throughput(),
        "open": latencies_json(&outcome.opened),
        "close": latencies_json(&outcome.closed),
        "neighbour": outcome.neighbour.as_ref().map(|(quiet, disturbed)| {
            json!({ "before": latencies_json(quiet), "meanwhile": latencies_json(disturbed) })
        }),
        "server_cpu_us_per_session": outcome.cpu_us(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let latencies: Vec<String> = [850.0, 12_340.0, 1_234_000.0, 198_400_000.0].map(short).to_vec();
        assert_eq!(latencies, ["0.8 us", "12 us", "1.2 ms", "198 ms"]);
        let rates: Vec<String> = [12.3, 1234.0, 52_340.0, 1_085_000.0].map(per_second).to_vec();
        assert_eq!(rates, ["12 /s", "1.2 k/s", "52 k/s", "1.08 M/s"]);
    }
}
