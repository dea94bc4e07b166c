//! `corral-load`: load for servers that speak ZooKeeper's client protocol, and the floors to compare them with.
//!
//! Works with Corral and with ZooKeeper alike; each measurement is made over the wire, with CPU time and memory read
//! from /proc when the server's process is named.

mod codec;
mod connection;
mod connects;
mod failure;
mod fleet;
mod floor;
mod idle;
mod latency;
mod poll;
mod process;
mod report;
mod run;
mod table;
mod watch;
mod znodes;

use clap::{Args, Parser, Subcommand, ValueEnum};
use failure::{Failure, Result, While};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use table::{Extent, Role, Server};

/// Measure servers that speak ZooKeeper's client protocol
#[derive(Parser)]
#[command(version)]
struct Command {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Sessions that read and write: throughput, latencies, CPU per operation
    Run(RunArgs),
    /// Sessions that do nothing: the server's memory for each, CPU for their pings
    Idle(IdleArgs),
    /// One znode watched by many sessions: from the write to the last event
    Watch(WatchArgs),
    /// Sessions that are opened and closed, and what a neighbour feels of it
    Connects(ConnectsArgs),
    /// A server that does only what none can leave out, to compare others with
    Floor(FloorArgs),
    /// Several servers under the same loads in turn, as a Markdown table
    Table(TableArgs),
}

#[derive(Args)]
struct Target {
    /// The server
    #[arg(long, value_name = "HOST:PORT", value_parser = table::resolve)]
    target: SocketAddr,
    /// The server's process on this machine, for CPU time and memory
    #[arg(long)]
    pid: Option<u32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct RunArgs {
    #[command(flatten)]
    target: Target,
    /// get, set, create, or mixed:PERCENT_OF_GETS
    #[arg(long, default_value = "get")]
    workload: run::Workload,
    #[arg(long, default_value_t = 16)]
    sessions: usize,
    /// Requests each session keeps under way; with --rate at most
    #[arg(long, default_value_t = 16)]
    in_flight: usize,
    #[arg(long, default_value_t = 100)]
    value_bytes: usize,
    /// Znodes that are read and written
    #[arg(long, default_value_t = 1000)]
    keys: usize,
    #[arg(long, default_value = "5", value_parser = seconds)]
    seconds: Duration,
    /// Seconds that are not counted
    #[arg(long, default_value = "1", value_parser = seconds)]
    warm_up: Duration,
    /// Open loop: so many operations a second, their latency counted from the instant each was due
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Another server, to be measured in turn with the first: A B A B, ratios of medians
    #[arg(long, value_name = "HOST:PORT", value_parser = table::resolve, conflicts_with = "json")]
    compare: Option<SocketAddr>,
    #[arg(long, requires = "compare")]
    compare_pid: Option<u32>,
    /// How often each of the two is measured
    #[arg(long, default_value_t = 3, requires = "compare")]
    rounds: usize,
}

#[derive(Args)]
struct IdleArgs {
    #[command(flatten)]
    target: Target,
    #[arg(long, default_value_t = 10_000)]
    sessions: usize,
    #[arg(long, default_value = "20", value_parser = seconds)]
    seconds: Duration,
    /// The sessions' timeout; they ping when a third of it has passed
    #[arg(long, default_value_t = 30_000)]
    timeout_ms: i32,
}

#[derive(Args)]
struct WatchArgs {
    #[command(flatten)]
    target: Target,
    #[arg(long, default_value_t = 2000)]
    watchers: usize,
    #[arg(long, default_value_t = 20)]
    rounds: usize,
}

#[derive(Args)]
struct ConnectsArgs {
    #[command(flatten)]
    target: Target,
    /// Sessions opened a second
    #[arg(long, default_value = "1000", value_parser = rate)]
    rate: f64,
    #[arg(long, default_value = "10", value_parser = seconds)]
    seconds: Duration,
    /// Also read a znode every millisecond in another session, before and meanwhile
    #[arg(long)]
    neighbour: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum FloorKind {
    /// Every request is answered at once, with 100 bytes
    Read,
    /// Writes are answered when they are in a log on the disk
    Write,
}

#[derive(Args)]
struct FloorArgs {
    kind: FloorKind,
    /// Port on 127.0.0.1; 0: any, which is printed
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Directory of the write floor's log
    #[arg(long, required_if_eq("kind", "write"))]
    dir: Option<PathBuf>,
    /// The server ends by itself after so long
    #[arg(long, default_value = "3600", value_parser = seconds)]
    seconds: Duration,
}

#[derive(Args)]
struct TableArgs {
    /// A server to measure; the first one is what the others are compared with
    #[arg(long = "server", value_name = "NAME=HOST:PORT@PID", required = true)]
    servers: Vec<Server>,
    /// A floor for reads
    #[arg(long, value_name = "NAME=HOST:PORT@PID")]
    read_floor: Option<Server>,
    /// A floor for writes
    #[arg(long, value_name = "NAME=HOST:PORT@PID")]
    write_floor: Option<Server>,
    /// How often each server is measured under each load
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    #[arg(long, default_value = "5", value_parser = seconds)]
    seconds: Duration,
    #[arg(long, default_value = "1", value_parser = seconds)]
    warm_up: Duration,
    /// Idle sessions; 0: none
    #[arg(long, default_value_t = 10_000)]
    idle: usize,
    /// Sessions that watch one znode; 0: none
    #[arg(long, default_value_t = 2000)]
    watchers: usize,
    /// Sessions opened and closed a second; 0: none
    #[arg(long, default_value_t = 1000)]
    connects: usize,
}

fn main() -> ExitCode {
    match perform(Command::parse().what) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("corral-load: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn perform(what: What) -> Result<()> {
    match what {
        What::Run(args) => run(&args),
        What::Idle(IdleArgs { target: Target { target, pid, json }, sessions, seconds, timeout_ms }) => {
            let outcome = idle::measure(target, pid, sessions, timeout_ms, seconds)?;
            print(json, || report::idle_text(&outcome), || report::idle_json(&outcome));
            Ok(())
        }
        What::Watch(WatchArgs { target: Target { target, pid, json }, watchers, rounds }) => {
            let outcome = watch::measure(target, pid, watchers, rounds)?;
            print(json, || report::watch_text(&outcome), || report::watch_json(&outcome));
            Ok(())
        }
        What::Connects(ConnectsArgs { target: Target { target, pid, json }, rate, seconds, neighbour }) => {
            let outcome = connects::measure(target, pid, rate, seconds, neighbour)?;
            print(json, || report::connects_text(&outcome), || report::connects_json(&outcome));
            Ok(())
        }
        What::Floor(FloorArgs { kind, port, dir, seconds }) => {
            let dir = matches!(kind, FloorKind::Write).then_some(dir).flatten();
            floor::serve(port, dir.as_deref(), seconds, |port| println!("listening on 127.0.0.1:{port}"))
        }
        What::Table(args) => table(args),
    }
}

fn run(args: &RunArgs) -> Result<()> {
    let load = run::Load {
        workload: args.workload,
        sessions: args.sessions,
        in_flight: args.in_flight,
        value_bytes: args.value_bytes,
        keys: args.keys,
        warm_up: args.warm_up,
        window: args.seconds,
        rate: args.rate,
        threads: args.threads,
    };
    process::raise_open_files()?;
    let Target { target, pid, json } = args.target;
    if let Some(other) = args.compare {
        if args.rounds == 0 {
            return Err(Failure::new("there is at least one round"));
        }
        print!("{}", table::compare((target, pid), (other, args.compare_pid), &load, args.rounds)?);
        return Ok(());
    }
    let outcome = run::measure(target, pid, &load).during(|| target.to_string())?;
    print(json, || report::run_text(&load, &outcome), || report::run_json(&load, &outcome));
    Ok(())
}

fn table(args: TableArgs) -> Result<()> {
    if args.rounds == 0 {
        return Err(Failure::new("there is at least one round"));
    }
    process::raise_open_files()?;
    let servers = args.servers.into_iter().map(|server| (Role::Server, server));
    let read_floor = args.read_floor.into_iter().map(|server| (Role::ReadFloor, server));
    let write_floor = args.write_floor.into_iter().map(|server| (Role::WriteFloor, server));
    let all: Vec<(Role, Server)> = servers.chain(read_floor).chain(write_floor).collect();
    let extent = Extent {
        rounds: args.rounds,
        window: args.seconds,
        warm_up: args.warm_up,
        idle: args.idle,
        watchers: args.watchers,
        connects: args.connects,
    };
    print!("{}", table::measure(&all, &extent, &mut |line| eprintln!("{}", line.trim_end()))?);
    Ok(())
}

fn print(json: bool, as_text: impl Fn() -> String, as_json: impl Fn() -> Value) {
    if json { println!("{:#}", as_json()) } else { print!("{}", as_text()) }
}

/// A time of more than zero and at most a day.
fn seconds(text: &str) -> std::result::Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=86_400.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("not a number of seconds up to 86400".into()),
    }
}

/// Something that happens at most ten million times a second.
fn rate(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1e7 => Ok(rate),
        _ => Err("not a number above 0 and up to 10000000".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_sound() {
        Command::command().debug_assert();
        assert!(
            Command::try_parse_from(["corral-load", "floor", "write"]).is_err(),
            "the write floor needs a directory"
        );
        assert!(Command::try_parse_from(["corral-load", "run", "--target", "127.0.0.1:1", "--rate", "0"]).is_err());
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert!(seconds("-1").is_err() && seconds("x").is_err() && rate("nan").is_err());
    }
}
