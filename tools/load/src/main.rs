//! `corral-load`: load for servers that speak ZooKeeper's client protocol, and the floors to compare them with.
//!
//! Works with Corral and with ZooKeeper alike; each measurement is made over the wire, with CPU time and memory read
//! from /proc when the server's process is named.

mod args;
mod background;
mod budgets;
mod campaign;
mod codec;
mod connection;
mod connects;
mod document;
mod engine;
mod environment;
mod failure;
mod first_answer;
mod fleet;
mod floor;
mod html;
mod idle;
mod intervention;
mod latency;
mod leader;
mod markdown;
mod monitor;
mod output;
mod poll;
mod process;
mod progress;
mod recording;
mod sample;
mod scenario;
mod stages;
mod statistics;
mod storm;
mod summary;
mod table;
mod target;
mod to_document;
mod watch;
mod workload;
mod yaml;
mod znodes;

use args::{
    Command, CompareArgs, ConnectsArgs, FirstAnswerArgs, FloorArgs, FloorKind, IdleArgs, LeaderArgs, LimitArgs,
    LoadRunArgs, OutputArgs, RecordArgs, ReplayArgs, ReportArgs, RunArgs, ScenarioArgs, StagesArgs, StormArgs,
    SweepArgs, TableArgs, WatchArgs, What,
};
use background::Background;
use campaign::{Search, Side};
use clap::Parser;
use document::{Document, Run};
use engine::Load;
use failure::{Failure, Result};
use monitor::Monitor;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};
use table::{Extent, Role, Server};

/// A measurement could not be made.
const FAILED: u8 = 1;
/// What was asked for makes no sense. clap ends with it too.
const USAGE: u8 = 2;
/// A stated limit was missed.
const MISSED: u8 = 3;

/// What was missed, in words.
type Missed = Vec<String>;

fn main() -> ExitCode {
    match perform(Command::parse().what) {
        Ok(missed) if missed.is_empty() => ExitCode::SUCCESS,
        Ok(missed) => {
            missed.iter().for_each(|what| eprintln!("corral-load: {what}"));
            ExitCode::from(MISSED)
        }
        Err(failure) => {
            eprintln!("corral-load: {failure}");
            ExitCode::from(if failure.is_usage { USAGE } else { FAILED })
        }
    }
}

fn perform(what: What) -> Result<Missed> {
    match what {
        What::Run(args) => run(&args),
        What::Sweep(args) => sweep(&args),
        What::Compare(args) => compare(&args),
        What::Idle(args) => idle(&args),
        What::Watch(args) => watch(&args),
        What::Connects(args) => connects(&args),
        What::Scenario(args) => scenario(&args),
        What::Storm(args) => storm(&args),
        What::Record(args) => record(&args),
        What::Replay(args) => replay(&args),
        What::Floor(args) => floor(&args),
        What::Table(args) => table(args),
        What::FirstAnswer(args) => first_answer(&args),
        What::Leader(LeaderArgs { target, seconds }) => {
            println!("{}", leader::wait(&target.0, seconds)?);
            Ok(vec![])
        }
        What::Stages(StagesArgs { runs }) => {
            print!("{}", stages::table(&runs)?);
            Ok(vec![])
        }
        What::Report(ReportArgs { file, limits, output }) => finish(output::read(&file)?, &limits, &output),
        What::Workloads { name } => workloads(name.as_deref()),
        What::Clean { target } => {
            println!("{} znodes deleted", znodes::delete_tree(target, workload::ROOT)?);
            Ok(vec![])
        }
    }
}

/// Delivers a document; returns which limits were missed.
fn finish(document: Document, limits: &LimitArgs, output: &OutputArgs) -> Result<Missed> {
    output::deliver(&document, output)?;
    Ok(output::missed(&document, limits))
}

/// The same for a single run.
fn finish_run(run: Run, limits: &LimitArgs, output: &OutputArgs) -> Result<Missed> {
    let mut document = output::document(format!("{} on {}", run.name, run.target.label), output);
    document.runs.push(run);
    finish(document, limits, output)
}

/// The loads of a command, and the target: the command line's, or that of the first workload's file.
fn prepared(args: &RunArgs) -> Result<(Vec<Load>, Side)> {
    let loads = args.load.loads()?;
    let targets = args.target.targets(&loads[0].workload.settings.targets)?;
    let told = args.target.told(&targets);
    Ok((loads, Side { targets, told }))
}

/// For what takes one workload.
fn only(loads: Vec<Load>) -> Result<Load> {
    let [load] = <[Load; 1]>::try_from(loads).map_err(|_| Failure::usage("this takes one workload"))?;
    Ok(load)
}

fn run(LoadRunArgs { run: args, interventions }: &LoadRunArgs) -> Result<Missed> {
    let (loads, side) = prepared(args)?;
    let mut monitor = Monitor::new(&args.sample, &side.targets).intervening(interventions);
    let names: Vec<String> = loads.iter().map(to_document::title).collect();
    let mut document = output::document(format!("{} on {}", names.join(", "), side.told.label), &args.output);
    for (number, (load, name)) in loads.iter().zip(&names).enumerate() {
        // Names are what runs are told apart by.
        let again = names[..number].contains(name);
        let name = if again { format!("{name}, {}", number + 1) } else { name.clone() };
        znodes::plant(side.targets.addresses[0], &load.workload)?;
        document.runs.push(campaign::measure(&name, &side, load, &mut monitor)?);
    }
    finish(document, &args.limits, &args.output)
}

fn sweep(args: &SweepArgs) -> Result<Missed> {
    let (loads, side) = prepared(&args.run)?;
    let load = only(loads)?;
    let mut monitor = Monitor::new(&args.run.sample, &side.targets);
    let mut document = output::document(format!("{} on {}", load.workload.name, side.told.label), &args.run.output);
    let shares = args.shares.iter().map(|percent| f64::from(*percent) / 100.0).collect();
    let search = Search { probe: args.probe, halvings: args.halvings.into(), shares };
    campaign::sweep(&mut document, &side, &load, &search, &mut monitor)?;
    finish(document, &args.run.limits, &args.run.output)
}

fn compare(args: &CompareArgs) -> Result<Missed> {
    let (loads, a) = prepared(&args.run)?;
    let load = only(loads)?;
    let background = Background { sessions: args.with_idle, watches: args.with_watches };
    let (targets, is_same) = match &args.with {
        Some(with) => (engine::Targets { addresses: with.0.clone(), pids: args.with_pid.clone() }, false),
        None => (a.targets.clone(), true),
    };
    if is_same && args.with_keys.is_none() && background == Background::default() {
        return Err(Failure::usage(
            "there is nothing to compare: --with names a target, others what B has more than A",
        ));
    }
    let other = match args.with_keys {
        Some(keys) => only(args.run.load.loads_with_keys(Some(keys))?)?,
        None => load.clone(),
    };
    let told = target::told(&targets, args.with_label.as_deref(), args.with_profile.as_deref());
    let b = Side { targets, told };
    let mut monitor = Monitor::new(&args.run.sample, &a.targets);
    let title = format!("{} and {} under {}", a.told.label, b.told.label, to_document::title(&load));
    let mut document = output::document(title, &args.run.output);
    let sides = [(&a, &load, Background::default()), (&b, &other, background)];
    campaign::compare(&mut document, sides, args.rounds as usize, &mut monitor)?;
    let worse = if args.fail_if_worse { output::worse(&document) } else { vec![] };
    let missed = finish(document, &args.run.limits, &args.run.output)?;
    Ok([worse, missed].concat())
}

fn idle(args: &IdleArgs) -> Result<Missed> {
    let (address, pid) = args.target.one()?;
    let outcome = idle::measure(address, pid, args.sessions, args.timeout_ms, args.seconds)?;
    let told = args.target.told(&args.target.targets(&[])?);
    finish_run(to_document::idle(&told, &outcome), &LimitArgs::default(), &args.output)
}

fn watch(args: &WatchArgs) -> Result<Missed> {
    let (address, pid) = args.target.one()?;
    let outcome = watch::measure(address, pid, args.watchers, args.znodes, args.rounds)?;
    let told = args.target.told(&args.target.targets(&[])?);
    finish_run(to_document::watch(&told, &outcome), &args.limits, &args.output)
}

fn connects(args: &ConnectsArgs) -> Result<Missed> {
    let (address, pid) = args.target.one()?;
    let outcome = connects::measure(address, pid, args.rate, args.seconds, args.neighbour)?;
    let told = args.target.told(&args.target.targets(&[])?);
    finish_run(to_document::connects(&told, args.rate, &outcome), &args.limits, &args.output)
}

fn storm(args: &StormArgs) -> Result<Missed> {
    let (address, pid) = args.target.one()?;
    let outcome = storm::measure(address, pid, args.sessions, args.rounds)?;
    let told = args.target.told(&args.target.targets(&[])?);
    finish_run(to_document::storm(&told, &outcome), &args.limits, &args.output)
}

fn scenario(args: &ScenarioArgs) -> Result<Missed> {
    let targets = args.target.targets(&[])?;
    let told = args.target.told(&targets);
    let setting = scenario::Setting::of(args.kind, args.sessions, args.rounds, args.value_bytes);
    finish_run(scenario::play(args.kind, &targets, &told, &setting)?, &args.limits, &args.output)
}

fn record(args: &RecordArgs) -> Result<Missed> {
    let (address, _) = args.target.one()?;
    let ready = |port| println!("listening on 127.0.0.1:{port}");
    let connections = recording::record(address, args.listen, &args.out, args.seconds, ready)?;
    println!("{connections} connections in {}", args.out.display());
    Ok(vec![])
}

fn replay(args: &ReplayArgs) -> Result<Missed> {
    let targets = args.target.targets(&[])?;
    let told = args.target.told(&targets);
    let run = recording::replay(&args.file, &targets, &told, args.speed)?;
    finish_run(run, &args.limits, &args.output)
}

fn floor(args: &FloorArgs) -> Result<Missed> {
    let dir = args.dir.as_deref().filter(|_| matches!(args.kind, FloorKind::Write));
    let stall = args.stall_ms.zip(args.stall_every_ms).map(|(length, every)| floor::Stall {
        length: Duration::from_millis(length),
        every: Duration::from_millis(every),
    });
    floor::serve(args.port, dir, args.seconds, stall, |port| println!("listening on 127.0.0.1:{port}"))?;
    Ok(vec![])
}

fn table(args: TableArgs) -> Result<Missed> {
    if args.rounds == 0 {
        return Err(Failure::usage("there is at least one round"));
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
    Ok(vec![])
}

fn first_answer(args: &FirstAnswerArgs) -> Result<Missed> {
    first_answer::wait(args.target, &args.path, Duration::from_millis(args.pause_ms), args.seconds)?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |now| now.as_secs_f64());
    match args.since {
        Some(since) => println!("{:.0}", (now - since) * 1e3),
        None => println!("{now:.6}"),
    }
    Ok(vec![])
}

fn workloads(name: Option<&str>) -> Result<Missed> {
    match name {
        None => {
            for (name, _) in workload::BUILT_IN {
                let workload = workload::Workload::load(name, &workload::Overrides::default())?;
                println!("{name:14} {}", workload.description);
            }
            println!("{:14} that many per cent gets, the rest sets", "mixed:PERCENT");
        }
        Some(name) => match workload::BUILT_IN.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => print!("{text}"),
            None => return Err(Failure::usage(format!("no workload is called {name}"))),
        },
    }
    Ok(vec![])
}
