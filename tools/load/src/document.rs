//! What a measurement leaves behind: one document, written as JSON by `--json` and drawn by `--html`.
//!
//! The names of the fields are the format: a program that reads documents may rely on them, and a change that takes one
//! away or gives it another meaning raises [`FORMAT`]. Times are microseconds or milliseconds as their names say, and
//! count from the start of the measured window, after the warming up. What could not be learnt is absent.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The format this code writes and reads.
pub const FORMAT: u32 = 1;

/// Everything one invocation has measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// [`FORMAT`].
    pub format: u32,
    pub tool: Tool,
    pub environment: Environment,
    /// One line that says what this is about.
    pub title: String,
    pub runs: Vec<Run>,
    /// Pairs of runs, or of groups of runs, with a verdict for each figure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub comparisons: Vec<Comparison>,
    /// Searches for the capacity, with the runs at shares of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sweeps: Vec<Sweep>,
}

/// The load tool itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    pub version: String,
}

/// The machine the load was made on, which is the servers' machine when they are reached by the loopback address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// When the measurement began, in UTC: `2026-01-31T12:00:00Z`.
    pub date_utc: String,
    /// Cores this process may run on.
    pub cores: usize,
    /// The processor's name.
    pub cpu: String,
    /// Name and release of the kernel.
    pub kernel: String,
    pub memory_mb: u64,
    /// File system and device of the working directory: `ext4 on /dev/sda1`.
    pub disk: String,
    /// What `git describe` says of the working directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    pub command_line: String,
}

/// One load on one target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Unlike that of every other run of the document.
    pub name: String,
    pub target: Target,
    pub workload: Workload,
    /// Operations answered without an error, a second.
    pub throughput: f64,
    /// Operations answered in the window, errors included.
    pub operations: u64,
    /// How often the server has answered with each error, and what was never answered.
    pub errors: Vec<ErrorCount>,
    /// `all` first, then every operation by itself; or the stages of a scenario.
    pub latency: Vec<Latency>,
    /// One slice every 100 ms, in order of time.
    pub timeline: Vec<Slice>,
    /// How long nothing was answered though something was due: the sum of the gaps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unavailable_ms: Option<f64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
    /// What was done to the servers divides the run: before, while, after.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<Stage>,
    pub server: Server,
    pub client: Client,
}

/// Where the load went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// `HOST:PORT`, or several with commas.
    pub address: String,
    /// What people call it.
    pub label: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// As the four-letter word `srvr` tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// `standalone`, `leader`, `follower`, `observer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// How the server was built or set up, as the user says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
}

/// What was asked of the target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    pub name: String,
    pub description: String,
    pub sessions: usize,
    /// Requests each session keeps unanswered at most.
    pub in_flight: usize,
    /// Threads of the load tool.
    pub threads: usize,
    /// Operations offered a second; absent in a closed loop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    pub seconds: f64,
    pub warm_up_seconds: f64,
    pub operations: Vec<Weighted>,
}

/// An operation of a mix.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Weighted {
    pub name: String,
    /// Share in the sum of all weights.
    pub weight: f64,
}

/// How often an error was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorCount {
    /// The protocol's code; 0 for requests that were never answered.
    pub code: i32,
    pub count: u64,
}

/// Latencies of one operation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// `all`, or the operation's name.
    pub operation: String,
    /// From the instant the operation was due.
    pub corrected: Spectrum,
    /// From the instant it was sent; absent where both are the same instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncorrected: Option<Spectrum>,
}

/// A distribution of times.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spectrum {
    pub count: u64,
    pub mean_us: f64,
    pub min_us: f64,
    pub max_us: f64,
    pub p50_us: f64,
    pub p90_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub p9999_us: f64,
    /// Percentile 0..=100 and the value there in microseconds, ten ticks for every halved distance to 100 %.
    pub points: Vec<(f64, f64)>,
}

/// What happened in 100 ms.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// Where it begins.
    pub at_ms: f64,
    /// Operations answered in it, errors included.
    pub operations: u64,
    pub errors: u64,
    /// Corrected latencies of what was answered in it; 0 where nothing was.
    pub p50_us: f64,
    pub p99_us: f64,
    pub max_us: f64,
}

/// A part of a run, between what was done to the servers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// `before`; the name of what was done, while that and the gaps in which it fell took; `after` and that name.
    pub name: String,
    pub from_ms: f64,
    pub to_ms: f64,
    /// Operations answered in it, errors included, by whole slices: one of which a part lies in what was done counts
    /// for that, and not for before and after.
    pub operations: u64,
    pub errors: u64,
    /// Corrected latencies of what was answered in these slices; 0 where nothing was.
    pub p50_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub max_us: f64,
    /// The longest of its gaps, by the same rule, each in its full length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest_gap_ms: Option<f64>,
}

/// A stretch of time in which nothing was answered, but with errors, though something was due.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    pub from_ms: f64,
    pub to_ms: f64,
}

/// What the server's side looked like.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// CPU time of the server's process for an operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_us_per_op: Option<f64>,
    /// 100 is one core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<f64>,
    /// Resident memory at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rss_mb: Option<f64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<Sample>,
}

/// The server at one instant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    pub at_ms: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rss_mb: Option<f64>,
    /// By the names `mntr` or the metrics give them: those that were not told before, or differ from what was told last.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, f64>,
}

/// What the load itself has cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Client {
    pub cpu_us_per_op: f64,
}

/// Figures of two groups of runs side by side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Name of a run, or of what the runs of a side have in common.
    pub a: String,
    pub b: String,
    pub rows: Vec<Row>,
}

/// One figure of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// `throughput`, `p99`, ...
    pub figure: String,
    pub a: f64,
    pub b: f64,
    /// b / a, with the 95 % interval around it.
    pub ratio: f64,
    pub low: f64,
    pub high: f64,
    /// Of b, seen from a.
    pub verdict: Verdict,
}

/// Whether b is better than a: the same unless the interval leaves out 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Better,
    Same,
    Worse,
}

/// The capacity of a target, and how it behaves below it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sweep {
    /// Operations a second where latency begins to rise without bound: the knee.
    pub capacity: f64,
    pub steps: Vec<Step>,
}

/// One step of a sweep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Of the capacity, 0..=1.
    pub share: f64,
    /// Offered operations a second.
    pub rate: f64,
    /// Name of the run.
    pub run: String,
}
