//! The command line.

mod groups;

use crate::intervention::Intervention;
use crate::stages::Kept;
use crate::table::Server;
use crate::target::{Addresses, resolve};
use clap::{Args, Parser, Subcommand, ValueEnum};
pub use groups::{LimitArgs, LoadArgs, OutputArgs, SampleArgs, TargetArgs};
use groups::{positive, rate, seconds};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

const EXIT_CODES: &str = "\
Exit codes:
  0  measured, and every stated limit was met
  1  the measurement failed
  2  the command line or a workload file is wrong
  3  measured, but a stated limit (--max-p99 and others, --fail-if-worse) was missed";

const RUN_EXAMPLES: &str = "\
Examples:
  corral-load run --target 127.0.0.1:2181 --workload mixed:90 --sessions 64 --in-flight 4
  corral-load run --target 127.0.0.1:2181 --workload mixed --rate 10000 --seconds 30 --max-p99 5
  corral-load run --target a:2181,b:2181,c:2181 --workload ./shop.yaml --html shop.html --sample
  corral-load run --target a:2181,b:2181,c:2181 --workload set --rate 2000 --survive --html failover.html
  corral-load run --target 127.0.0.1:2181 --workload set --rate 2000 --survive --at '2:restart:./restart'";

/// Measure servers that speak ZooKeeper's client protocol
#[derive(Parser)]
#[command(version, after_help = EXIT_CODES)]
pub struct Command {
    #[command(subcommand)]
    pub what: What,
}

#[derive(Subcommand)]
pub enum What {
    /// Sessions that carry out a workload: throughput, latencies, a timeline, CPU per operation
    #[command(after_help = RUN_EXAMPLES)]
    Run(LoadRunArgs),
    /// The capacity of a target, and its latencies at shares of it
    #[command(after_help = "Example:\n  corral-load sweep --target 127.0.0.1:2181 --workload set --html set.html")]
    Sweep(SweepArgs),
    /// Two targets in turn (A B B A ...): which is better, and how sure that is
    #[command(
        after_help = "Example:\n  corral-load compare --target 127.0.0.1:2181 --label old --with 127.0.0.1:2182 \
                            --with-label new --workload mixed:90 --rounds 8 --fail-if-worse"
    )]
    Compare(CompareArgs),
    /// Things people build on a coordination service: locks, latches, barriers, queues, membership, configuration
    #[command(after_help = "Example:\n  corral-load scenario --target 127.0.0.1:2181 lock --sessions 50")]
    Scenario(ScenarioArgs),
    /// Sessions that do nothing: the server's memory for each, CPU for their pings
    Idle(IdleArgs),
    /// Znodes watched by many sessions: from a write to its last event, what is lost, what is out of order
    Watch(WatchArgs),
    /// Sessions that are opened and closed, and what a neighbour feels of it
    Connects(ConnectsArgs),
    /// All connections of many sessions break at once and come back
    Storm(StormArgs),
    /// A proxy on the loopback address that writes down what clients ask for
    #[command(after_help = "Example:\n  corral-load record --target 127.0.0.1:2181 --listen 2191 --out shop.rec\n\
                            Point the clients at 127.0.0.1:2191; end it with Ctrl-C. A recording holds everything that \
                            was sent, credentials too.")]
    Record(RecordArgs),
    /// What was recorded, again, at the same instants
    Replay(ReplayArgs),
    /// A server that does only what none can leave out, to compare others with
    Floor(FloorArgs),
    /// Several servers under the same loads in turn, as a Markdown table
    Table(TableArgs),
    /// Wait until a server that is being started has answered a read, and print when that was
    FirstAnswer(FirstAnswerArgs),
    /// Wait until all servers of an ensemble serve and one of them leads, and print that one
    Leader(LeaderArgs),
    /// Kept documents (--json) of runs with --at: latencies and gaps by stage, as a Markdown table
    #[command(
        after_help = "Example:\n  corral-load stages --run ZooKeeper=zookeeper-1.json --run ZooKeeper=zookeeper-2.json \
                            --run Corral=corral-1.json --run Corral=corral-2.json"
    )]
    Stages(StagesArgs),
    /// A kept document (--json) as text, or as a page
    Report(ReportArgs),
    /// The workloads that have a name, or the file of one of them
    Workloads { name: Option<String> },
    /// Delete everything this tool has left on a server
    Clean {
        #[arg(long, value_name = "HOST:PORT", value_parser = resolve)]
        target: SocketAddr,
    },
}

#[derive(Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub load: LoadArgs,
    #[command(flatten)]
    pub sample: SampleArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Args)]
pub struct LoadRunArgs {
    #[command(flatten)]
    pub run: RunArgs,
    /// Do this to the servers so many seconds after the window's opening, by the shell; it has to succeed, and divides
    /// the run into stages: before, NAME while it takes, after. May be given several times, in order of time
    #[arg(long = "at", value_name = "SECONDS:NAME:COMMAND")]
    pub interventions: Vec<Intervention>,
}

#[derive(Args)]
pub struct SweepArgs {
    #[command(flatten)]
    pub run: RunArgs,
    /// Shares of the capacity that are run, in per cent
    #[arg(long, value_delimiter = ',', default_value = "50,70,80,90,95", value_parser = clap::value_parser!(u32).range(1..=200))]
    pub shares: Vec<u32>,
    /// Seconds of one probe of the search
    #[arg(long, default_value = "2", value_parser = seconds)]
    pub probe: Duration,
    /// How often the search halves what it does not know yet
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u8).range(1..=20))]
    pub halvings: u8,
}

#[derive(Args)]
pub struct CompareArgs {
    #[command(flatten)]
    pub run: RunArgs,
    /// The other target, B; --target is A. Without it B is the same target, with what the next options add
    #[arg(long, value_name = "HOST:PORT,...")]
    pub with: Option<Addresses>,
    /// B's tree has so many znodes instead of --keys
    #[arg(long, value_name = "COUNT")]
    pub with_keys: Option<usize>,
    /// So many sessions that only ping are there while B is measured
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub with_idle: usize,
    /// So many watches that do not fire are there while B is measured, each on a path of its own
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub with_watches: usize,
    #[arg(long, value_name = "PID", requires = "with")]
    pub with_pid: Vec<u32>,
    #[arg(long)]
    pub with_label: Option<String>,
    #[arg(long)]
    pub with_profile: Option<String>,
    /// How often each of the two is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub rounds: u32,
    /// Exit with 3 when B is worse in any figure
    #[arg(long)]
    pub fail_if_worse: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScenarioKind {
    /// Sessions that take a lock in turn: how long a hand-off takes, and that nobody else holds it
    Lock,
    /// Candidates for a leadership whose holder's session ends: how long until the next one leads
    Latch,
    /// A double barrier: all enter, all leave
    Barrier,
    /// Producers and consumers: from an item's creation to its consumption, each exactly once
    Queue,
    /// Members that come and go: until every observer knows
    Membership,
    /// A value that is changed: until every subscriber has read it
    Config,
}

#[derive(Args)]
pub struct ScenarioArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    /// Which one
    pub kind: ScenarioKind,
    /// Sessions that take part; 200 for the barrier, else 50
    #[arg(long)]
    pub sessions: Option<usize>,
    /// Hand-offs of each lock, changes of leader, barriers (1600), items of each producer, comings and goings, changes
    #[arg(long)]
    pub rounds: Option<usize>,
    /// Bytes of an item or of a configuration
    #[arg(long, default_value_t = 100)]
    pub value_bytes: usize,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Args)]
pub struct IdleArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    #[arg(long, default_value_t = 10_000)]
    pub sessions: usize,
    #[arg(long, default_value = "20", value_parser = seconds)]
    pub seconds: Duration,
    /// The sessions' timeout; they ping when a third of it has passed
    #[arg(long, default_value_t = 30_000)]
    pub timeout_ms: i32,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Args)]
pub struct WatchArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    #[arg(long, default_value_t = 2000)]
    pub watchers: usize,
    /// Znodes each of them watches
    #[arg(long, default_value_t = 1)]
    pub znodes: usize,
    #[arg(long, default_value_t = 20)]
    pub rounds: usize,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Args)]
pub struct ConnectsArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    /// Sessions opened a second
    #[arg(long, default_value = "1000", value_parser = rate)]
    pub rate: f64,
    #[arg(long, default_value = "10", value_parser = seconds)]
    pub seconds: Duration,
    /// Also read a znode every millisecond in another session, before and meanwhile
    #[arg(long)]
    pub neighbour: bool,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Args)]
pub struct StormArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    #[arg(long, default_value_t = 1000)]
    pub sessions: usize,
    /// How often all connections break
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Args)]
pub struct RecordArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    /// Port on 127.0.0.1 clients connect to; 0: any, which is printed
    #[arg(long, default_value_t = 0)]
    pub listen: u16,
    /// The file the recording goes to
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// The recording ends by itself after so long
    #[arg(long, default_value = "3600", value_parser = seconds)]
    pub seconds: Duration,
}

#[derive(Args)]
pub struct ReplayArgs {
    /// What `record` has written
    pub file: PathBuf,
    #[command(flatten)]
    pub target: TargetArgs,
    /// So many times as fast as it was recorded
    #[arg(long, default_value = "1", value_parser = positive)]
    pub speed: f64,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum FloorKind {
    /// Every request is answered at once, with 100 bytes
    Read,
    /// Writes are answered when they are in a log on the disk
    Write,
}

#[derive(Args)]
pub struct FloorArgs {
    pub kind: FloorKind,
    /// Port on 127.0.0.1; 0: any, which is printed
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// Directory of the write floor's log
    #[arg(long, required_if_eq("kind", "write"))]
    pub dir: Option<PathBuf>,
    /// The server ends by itself after so long
    #[arg(long, default_value = "3600", value_parser = seconds)]
    pub seconds: Duration,
    /// Stand still for so long, as a server with pauses does
    #[arg(long, value_name = "MS", requires = "stall_every_ms")]
    pub stall_ms: Option<u64>,
    /// How often
    #[arg(long, value_name = "MS", requires = "stall_ms", value_parser = clap::value_parser!(u64).range(1..))]
    pub stall_every_ms: Option<u64>,
}

#[derive(Args)]
pub struct TableArgs {
    /// A server to measure, or an ensemble, its leader first; the first one is what the others are compared with
    #[arg(long = "server", value_name = "NAME=HOST:PORT@PID,...", required = true)]
    pub servers: Vec<Server>,
    /// A floor for reads
    #[arg(long, value_name = "NAME=HOST:PORT@PID")]
    pub read_floor: Option<Server>,
    /// A floor for writes
    #[arg(long, value_name = "NAME=HOST:PORT@PID")]
    pub write_floor: Option<Server>,
    /// How often each server is measured under each load
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    #[arg(long, default_value = "5", value_parser = seconds)]
    pub seconds: Duration,
    #[arg(long, default_value = "1", value_parser = seconds)]
    pub warm_up: Duration,
    /// Idle sessions; 0: none
    #[arg(long, default_value_t = 10_000)]
    pub idle: usize,
    /// Sessions that watch one znode; 0: none
    #[arg(long, default_value_t = 2000)]
    pub watchers: usize,
    /// Sessions opened and closed a second; 0: none
    #[arg(long, default_value_t = 1000)]
    pub connects: usize,
}

#[derive(Args)]
pub struct FirstAnswerArgs {
    #[arg(long, value_name = "HOST:PORT", value_parser = resolve)]
    pub target: SocketAddr,
    /// The znode that is read; an answer counts when it is there
    #[arg(long, default_value = "/")]
    pub path: String,
    /// Print the milliseconds since this instant, in seconds since 1970 ($EPOCHREALTIME), instead of the instant itself
    #[arg(long, value_name = "INSTANT")]
    pub since: Option<f64>,
    /// Pause between two attempts, in milliseconds; a server that logs each refusal wants a longer one
    #[arg(long, default_value_t = 2, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub pause_ms: u64,
    /// How long to wait
    #[arg(long, default_value = "120", value_parser = seconds)]
    pub seconds: Duration,
}

#[derive(Args)]
pub struct LeaderArgs {
    #[arg(long, value_name = "HOST:PORT,...")]
    pub target: Addresses,
    /// How long to wait
    #[arg(long, default_value = "60", value_parser = seconds)]
    pub seconds: Duration,
}

#[derive(Args)]
pub struct StagesArgs {
    /// A document of one run, and whose it is; what was done has to be the same in all of them. The first name is what
    /// the others are compared with
    #[arg(long = "run", value_name = "NAME=FILE", required = true)]
    pub runs: Vec<Kept>,
}

#[derive(Args)]
pub struct ReportArgs {
    /// What --json has printed
    pub file: PathBuf,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_sound() {
        Command::command().debug_assert();
        let is_wrong = |line: &str| Command::try_parse_from(line.split(' ')).is_err();
        assert!(is_wrong("corral-load floor write"), "the write floor needs a directory");
        assert!(is_wrong("corral-load run --target 127.0.0.1:1 --rate 0"));
        assert!(is_wrong("corral-load run --target 127.0.0.1:1 --metrics 127.0.0.1:2"), "nothing is sampled");
        assert!(is_wrong("corral-load report kept.json --json --markdown"), "one of the two is printed");
        assert!(is_wrong("corral-load compare --target 127.0.0.1:1 --with 127.0.0.1:2 --rounds 1"));
    }

    #[test]
    fn the_command_line_goes_before_the_workloads_file() {
        let parse = |line: &str| match Command::try_parse_from(line.split(' ')).unwrap().what {
            What::Run(args) => args.run.load.loads().unwrap().remove(0),
            _ => panic!("a run"),
        };
        let load = parse("corral-load run --target 127.0.0.1:1 --workload mixed:50 --sessions 3 --seconds 7");
        assert_eq!((load.sessions, load.in_flight, load.window), (3, 16, Duration::from_secs(7)));
        assert_eq!(load.workload.operations.len(), 2);
    }
}
