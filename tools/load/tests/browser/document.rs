//! Documents as the load tool writes them, made up: a comparison, a sweep, and a run whose server is killed. Their
//! figures are invented, and the same every time.

use serde_json::{Value, json};

const SECONDS: u32 = 10;
/// What no name should be able to do.
pub const HOSTILE: &str = "</title><script>window.owned = 1</script><img src=x onerror='window.owned = 1'>\"&<b>";

/// Two servers in turn, two rounds each.
pub fn comparison() -> Value {
    let side = |label: &str, round: u32, base_us: f64, cpu: f64| {
        let load = Load { rate: Some(10_000.0), answered: 9_995.0, base_us, stall: None, cpu, seed: round };
        run(&format!("{label} {round}"), label, &load)
    };
    let runs: Vec<Value> =
        (1..=2).flat_map(|round| [side("zookeeper", round, 900.0, 61.0), side("corral", round, 240.0, 9.0)]).collect();
    let row = |figure: &str, a: f64, b: f64, (low, high): (f64, f64), verdict: &str| json!({ "figure": figure, "a": a, "b": b, "ratio": b / a, "low": low, "high": high, "verdict": verdict });
    let rows = [
        row("throughput", 9_995.0, 9_998.0, (0.98, 1.02), "same"),
        row("p50", 910.0, 238.0, (0.25, 0.275), "better"),
        row("p99", 15_100.0, 1_420.0, (0.081, 0.11), "better"),
        row("p99.9", 33_000.0, 3_100.0, (0.05, 0.21), "better"),
        row("max", 41_000.0, 39_000.0, (0.6, 1.5), "same"),
        row("CPU/op", 61.0, 9.1, (0.14, 0.16), "better"),
        row("memory", 71.0, 92.0, (1.22, 1.37), "worse"),
    ];
    let mut document = document("90 % get, 10 000/s offered: corral compared with zookeeper", runs);
    document["comparisons"] = json!([{ "a": "zookeeper", "b": "corral", "rows": rows }]);
    document
}

/// A search for the capacity, and five runs below it.
pub fn sweep() -> Value {
    const CAPACITY: f64 = 287_000.0;
    let steps = [0.5, 0.7, 0.8, 0.9, 0.95];
    let name = |share: f64| format!("set at {:.0} %", share * 100.0);
    let runs = steps.map(|share| {
        let base_us = 120.0 / (1.02 - share);
        let load = Load {
            rate: Some(CAPACITY * share),
            answered: CAPACITY * share * if share > 0.92 { 0.962 } else { 0.9995 },
            base_us,
            stall: None,
            cpu: 160.0 * share,
            seed: (share * 100.0) as u32,
        };
        run(&name(share), "corral", &load)
    });
    let steps = steps.map(|share| json!({ "share": share, "rate": CAPACITY * share, "run": name(share) }));
    let mut document = document("Sweep of set, 16 sessions", runs.to_vec());
    document["sweeps"] = json!([{ "capacity": CAPACITY, "steps": steps }]);
    document
}

/// One run in which nothing is answered for 412 ms.
pub fn outage() -> Value {
    let load = Load {
        rate: Some(20_000.0),
        answered: 19_180.0,
        base_us: 310.0,
        stall: Some((3_250.0, 412.0)),
        cpu: 38.0,
        seed: 7,
    };
    let mut outage = run("leader killed", "corral, 3 servers", &load);
    outage["unavailable_ms"] = json!(412.0);
    outage["gaps"] = json!([{ "from_ms": 3_250.0, "to_ms": 3_662.0 }]);
    outage["errors"] = json!([{ "code": -4, "count": 256 }, { "code": 0, "count": 31 }, { "code": -103, "count": 4 }]);
    document("Leader killed with kill -9 under 20 000/s", vec![outage])
}

/// A comparison in which every text tries to be more than text.
pub fn hostile() -> Value {
    let mut document = comparison();
    document["title"] = json!(HOSTILE);
    document["environment"]["command_line"] = json!(HOSTILE);
    for (index, run) in document["runs"].as_array_mut().expect("a list").iter_mut().enumerate() {
        run["name"] = json!(format!("{HOSTILE} {index}"));
        run["target"]["label"] = json!(HOSTILE);
        run["latency"][1]["operation"] = json!(HOSTILE);
        run["server"]["samples"][0]["values"][HOSTILE] = json!(1);
        run["server"]["samples"][5]["values"][HOSTILE] = json!(2);
    }
    document["comparisons"][0]["rows"][0]["figure"] = json!(HOSTILE);
    document
}

fn document(title: &str, runs: Vec<Value>) -> Value {
    json!({
        "format": 1,
        "tool": { "version": "0.1.0" },
        "environment": {
            "date_utc": "2026-01-31T12:00:00Z",
            "cores": 2,
            "cpu": "A processor with a name of the usual length @ 2.90GHz",
            "kernel": "Linux 6.12.0",
            "memory_mb": 24_105,
            "disk": "ext4 on /dev/vda1",
            "commit": "v0.1.0-12-g0123abc",
            "command_line": "corral-load run --target 127.0.0.1:2181 --pid 4242 --rate 10000 --workload mixed:90 --html report.html",
        },
        "title": title,
        "runs": runs,
    })
}

/// What a run is made up from.
struct Load {
    rate: Option<f64>,
    answered: f64,
    base_us: f64,
    /// When nothing is answered, and how long, in milliseconds.
    stall: Option<(f64, f64)>,
    /// Per cent of a core.
    cpu: f64,
    seed: u32,
}

fn run(name: &str, label: &str, load: &Load) -> Value {
    let stall_us = load.stall.map(|(_, length_ms)| length_ms * 1e3);
    let operations = (load.answered * f64::from(SECONDS)) as u64;
    let latency = |operation: &str, share: f64, factor: f64| {
        let sent = move |quantile: f64| load.base_us * factor * (1.0 + 0.9 * (-(1.0 - quantile).log10()).powi(2));
        let due = move |quantile: f64| {
            let delayed = stall_us.map_or(0.0, |stall_us| stall_us / 1e6 / f64::from(SECONDS));
            let waited = if quantile > 1.0 - delayed { (quantile - 1.0 + delayed) / delayed } else { 0.0 };
            sent(quantile) + waited * stall_us.unwrap_or(0.0)
        };
        let count = (operations as f64 * share) as u64;
        json!({ "operation": operation, "corrected": spectrum(count, due), "uncorrected": spectrum(count, sent) })
    };
    json!({
        "name": name,
        "target": { "address": "127.0.0.1:2181", "label": label, "pid": 4242, "version": "0.1.0", "mode": "standalone" },
        "workload": {
            "name": "mixed:90",
            "description": "Nine reads for a write, keys by Zipf's law, 100-byte values",
            "sessions": 16, "in_flight": 16, "threads": 1, "rate": load.rate,
            "seconds": f64::from(SECONDS), "warm_up_seconds": 1.0,
            "operations": [{ "name": "get", "weight": 9.0 }, { "name": "set", "weight": 1.0 }],
        },
        "throughput": load.answered,
        "operations": operations,
        "errors": [],
        "latency": [latency("all", 1.0, 1.0), latency("get", 0.9, 0.8), latency("set", 0.1, 2.4)],
        "timeline": timeline(load),
        "unavailable_ms": 0.0,
        "server": {
            "cpu_us_per_op": load.cpu * 1e4 / load.answered,
            "cpu_percent": load.cpu,
            "rss_mb": 71.5,
            "samples": samples(load),
        },
        "client": { "cpu_us_per_op": 2.1 },
    })
}

fn timeline(load: &Load) -> Vec<Value> {
    let slice = |n: u32| {
        let at_ms = f64::from(n) * 100.0;
        let noise = noise(load.seed * 1000 + n);
        let down = load.stall.map_or(0.0, |(from_ms, length_ms)| {
            let covered = (at_ms + 100.0).min(from_ms + length_ms) - at_ms.max(from_ms);
            covered.max(0.0) / 100.0
        });
        let after =
            load.stall.is_some_and(|(from_ms, length_ms)| (0.0..100.0).contains(&(at_ms - from_ms - length_ms + 60.0)));
        let operations = load.answered / 10.0 * (0.97 + 0.06 * noise) * (1.0 - down) * if after { 3.4 } else { 1.0 };
        let slow = if after { 300_000.0 } else { 0.0 };
        json!({
            "at_ms": at_ms,
            "operations": operations as u64,
            "errors": if down > 0.0 && down < 1.0 { 140 } else { 0 },
            "p50_us": if operations < 1.0 { 0.0 } else { load.base_us * (0.95 + 0.1 * noise) + slow / 2.0 },
            "p99_us": if operations < 1.0 { 0.0 } else { load.base_us * (4.0 + 2.0 * noise) + slow },
            "max_us": if operations < 1.0 { 0.0 } else { load.base_us * (9.0 + 12.0 * noise * noise) + slow * 1.3 },
        })
    };
    (0..SECONDS * 10).map(slice).collect()
}

fn samples(load: &Load) -> Vec<Value> {
    let sample = |n: u32| {
        let at_ms = f64::from(n) * 200.0 + 20.0;
        let noise = noise(load.seed * 77 + n);
        let down = load.stall.is_some_and(|(from_ms, length_ms)| (0.0..length_ms).contains(&(at_ms - from_ms)));
        let mut sample = json!({
            "at_ms": at_ms,
            "cpu_percent": load.cpu * if down { 0.05 } else { 0.9 + 0.2 * noise },
            "rss_mb": 64.0 + f64::from(n) * 0.15,
        });
        // The server is asked less often than its process is looked at.
        if n.is_multiple_of(5) && !down {
            sample["values"] = json!({
                "zk_outstanding_requests": (noise * 18.0).floor(),
                "zk_num_alive_connections": 17,
                "zk_packets_received": load.answered * at_ms / 1e3,
                "zk_znode_count": 1005,
                "zk_watch_count": 0,
                "zk_avg_latency": 0.2 + 0.05 * noise,
            });
        }
        sample
    };
    (0..SECONDS * 5).map(sample).collect()
}

/// A distribution by its quantiles, with ten points for each halved distance to the end.
fn spectrum(count: u64, value: impl Fn(f64) -> f64) -> Value {
    let last = 1.0 - 0.5 / count as f64;
    let mut points = vec![];
    let mut distance = 1.0;
    while distance * count as f64 > 1.0 {
        for tick in 0..10 {
            let quantile = 1.0 - distance * (1.0 - f64::from(tick) / 20.0);
            points.push((quantile * 100.0, value(quantile)));
        }
        distance /= 2.0;
    }
    points.push((100.0, value(last)));
    let mean = (0..1000).map(|n| value((f64::from(n) + 0.5) / 1000.0)).sum::<f64>() / 1000.0;
    json!({
        "count": count, "mean_us": mean, "min_us": value(0.0), "max_us": value(last),
        "p50_us": value(0.5), "p90_us": value(0.9), "p99_us": value(0.99), "p999_us": value(0.999),
        "p9999_us": value(0.9999), "points": points,
    })
}

/// Something between 0 and 1 that looks like chance.
fn noise(n: u32) -> f64 {
    fastrand::Rng::with_seed(n.into()).f64()
}
