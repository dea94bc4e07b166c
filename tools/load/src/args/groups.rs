//! Arguments that several commands share.

use crate::engine::{Load, Targets};
use crate::failure::{Failure, Result};
use crate::sample::MetricsAddress;
use crate::target::{Addresses, resolve};
use crate::workload::distribution::{Amount, Skew};
use crate::workload::{Overrides, Workload};
use crate::{process, target};
use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Where the load goes.
#[derive(Args)]
pub struct TargetArgs {
    /// The server, or the servers of an ensemble; sessions are spread over them
    #[arg(long, value_name = "HOST:PORT,...")]
    pub target: Option<Addresses>,
    /// A server's process on this machine, for CPU time and memory; may be given several times
    #[arg(long = "pid", value_name = "PID")]
    pub pids: Vec<u32>,
    /// What reports call the target
    #[arg(long)]
    pub label: Option<String>,
    /// How the server was built or set up, for reports
    #[arg(long)]
    pub profile: Option<String>,
}

impl TargetArgs {
    /// The servers, those of a workload's file when the command line names none.
    pub fn targets(&self, of_workload: &[String]) -> Result<Targets> {
        let addresses = match &self.target {
            Some(Addresses(addresses)) => addresses.clone(),
            None => {
                let resolved: std::result::Result<Vec<SocketAddr>, String> =
                    of_workload.iter().map(|address| resolve(address)).collect();
                resolved.map_err(Failure::usage)?
            }
        };
        if addresses.is_empty() {
            return Err(Failure::usage("--target HOST:PORT is missing"));
        }
        Ok(Targets { addresses, pids: self.pids.clone() })
    }

    /// One server alone.
    pub fn one(&self) -> Result<(SocketAddr, Option<u32>)> {
        let targets = self.targets(&[])?;
        match (&targets.addresses[..], &targets.pids[..]) {
            ([address], [] | [_]) => Ok((*address, targets.pids.first().copied())),
            _ => Err(Failure::usage("this takes one server, and one process")),
        }
    }

    /// What a document says of them.
    pub fn told(&self, targets: &Targets) -> crate::document::Target {
        target::told(targets, self.label.as_deref(), self.profile.as_deref())
    }
}

/// What is printed and kept.
#[derive(Args)]
pub struct OutputArgs {
    /// Print the document as JSON instead of a summary
    #[arg(long)]
    pub json: bool,
    /// Print the comparisons' p99 and p99.9 as Markdown tables instead, by operation
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
    /// Also write a page with plots, which needs no network to be read
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// What the document is called
    #[arg(long)]
    pub title: Option<String>,
}

/// What has to be met for the exit code 0.
#[derive(Args, Default)]
pub struct LimitArgs {
    /// Milliseconds; of all operations, corrected, in every run
    #[arg(long, value_name = "MS", value_parser = positive)]
    pub max_p99: Option<f64>,
    #[arg(long, value_name = "MS", value_parser = positive)]
    pub max_p999: Option<f64>,
    /// Operations a second
    #[arg(long, value_name = "OPS", value_parser = positive)]
    pub min_throughput: Option<f64>,
    /// Errors and unanswered operations
    #[arg(long, value_name = "COUNT")]
    pub max_errors: Option<u64>,
    /// Milliseconds without an answer, all gaps together
    #[arg(long, value_name = "MS", value_parser = positive)]
    pub max_unavailable: Option<f64>,
}

/// What is asked of the servers while they are under load.
#[derive(Args)]
pub struct SampleArgs {
    /// Sample the server's process (--pid) and what it tells by `mntr`, every so many milliseconds
    #[arg(long, value_name = "MS", num_args = 0..=1, default_missing_value = "500", value_parser = clap::value_parser!(u64).range(100..=1000))]
    pub sample: Option<u64>,
    /// Sample metrics over plain HTTP instead of `mntr`
    #[arg(long, value_name = "HOST:PORT or http://HOST:PORT/PATH", requires = "sample")]
    pub metrics: Option<MetricsAddress>,
}

/// The load.
#[derive(Args)]
pub struct LoadArgs {
    /// A name (see `corral-load workloads`), mixed:PERCENT_OF_GETS, or a file: YAML of this tool or of keeper-bench; may
    /// be given several times
    #[arg(long = "workload", default_value = "get", value_name = "NAME or FILE")]
    pub workloads: Vec<String>,
    /// Sessions; 16 unless the workload's file says otherwise
    #[arg(long)]
    pub sessions: Option<usize>,
    /// Requests each session keeps under way, 16; with --rate at most
    #[arg(long)]
    pub in_flight: Option<usize>,
    /// Threads of the load, each with its own sessions; 1
    #[arg(long)]
    pub threads: Option<usize>,
    /// Bytes of a value: N, LOW..HIGH, or N:WEIGHT,N:WEIGHT
    #[arg(long)]
    pub value_bytes: Option<Amount>,
    /// Znodes that are read and written
    #[arg(long)]
    pub keys: Option<usize>,
    /// Levels of the tree they are spread over
    #[arg(long)]
    pub depth: Option<usize>,
    /// Children of each inner znode of it
    #[arg(long)]
    pub fan_out: Option<usize>,
    /// Which keys are used: uniform, or zipf:EXPONENT
    #[arg(long)]
    pub skew: Option<Skew>,
    /// Seconds that are counted; 5
    #[arg(long, value_parser = seconds)]
    pub seconds: Option<Duration>,
    /// Seconds before that which are not; 1
    #[arg(long, value_parser = seconds)]
    pub warm_up: Option<Duration>,
    /// Open loop: so many operations a second, their latency counted from the instant each was due
    #[arg(long, value_parser = rate)]
    pub rate: Option<f64>,
    /// Operations of an open loop are due together, every so many microseconds; above 10000 a second and thread every
    /// 100, below each by itself
    #[arg(long, requires = "rate", value_parser = clap::value_parser!(u64).range(..=1_000_000))]
    pub bunch_us: Option<u64>,
    #[arg(long, default_value_t = 30_000, value_parser = clap::value_parser!(i32).range(100..=86_400_000))]
    pub session_timeout_ms: i32,
    /// Go on when connections are lost: make them again, count what was lost, tell how long nothing was answered
    #[arg(long)]
    pub survive: bool,
    /// A stretch without an answer is a gap from so many milliseconds on
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    pub gap_ms: u64,
}

impl LoadArgs {
    /// The loads, one for each workload.
    pub fn loads(&self) -> Result<Vec<Load>> {
        self.loads_with_keys(self.keys)
    }

    /// The same with so many keys.
    pub fn loads_with_keys(&self, keys: Option<usize>) -> Result<Vec<Load>> {
        process::raise_open_files()?;
        self.workloads.iter().map(|name| self.load(name, keys)).collect()
    }

    fn load(&self, name: &str, keys: Option<usize>) -> Result<Load> {
        let overrides = Overrides {
            keys,
            depth: self.depth,
            fan_out: self.fan_out,
            value: self.value_bytes.clone(),
            skew: self.skew.clone(),
        };
        let workload = Workload::load(name, &overrides).map_err(|failure| Failure::usage(failure.to_string()))?;
        let settings = workload.settings.clone();
        let duration = |said: Option<Duration>, file: Option<f64>, otherwise: f64| match (said, file) {
            (Some(said), _) => Ok(said),
            (None, file) => Duration::try_from_secs_f64(file.unwrap_or(otherwise))
                .map_err(|error| Failure::usage(error.to_string())),
        };
        let rate = self.rate.or(settings.rate);
        if rate.is_some_and(|rate| !(1e-3..=1e7).contains(&rate)) {
            return Err(Failure::usage("a rate is above 0 and up to 10000000"));
        }
        Ok(Load {
            workload: Arc::new(workload),
            sessions: self.sessions.or(settings.sessions).unwrap_or(16),
            in_flight: self.in_flight.or(settings.in_flight).unwrap_or(16),
            threads: self.threads.or(settings.threads).unwrap_or(1),
            warm_up: duration(self.warm_up, settings.warm_up_seconds, 1.0)?,
            window: duration(self.seconds, settings.seconds, 5.0)?,
            rate,
            bunch: self.bunch_us.map(Duration::from_micros),
            session_timeout_ms: self.session_timeout_ms,
            survive: self.survive,
            gap: Some(Duration::from_millis(self.gap_ms)),
        })
    }
}

/// A time of more than zero and at most a day.
pub fn seconds(text: &str) -> std::result::Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=86_400.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("not a number of seconds up to 86400".into()),
    }
}

/// Something that happens at most ten million times a second.
pub fn rate(text: &str) -> std::result::Result<f64, String> {
    positive(text).and_then(|rate| if rate <= 1e7 { Ok(rate) } else { Err("at most 10000000".into()) })
}

pub fn positive(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number.is_finite() => Ok(number),
        _ => Err("not a number above 0".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_what_they_should_be() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert!(seconds("-1").is_err() && seconds("x").is_err() && rate("nan").is_err() && rate("1e8").is_err());
    }
}
