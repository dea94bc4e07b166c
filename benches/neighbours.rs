//! What a neighbour notices of each attack: its latency before and meanwhile, from one run, as a table.
//!
//! The neighbour reads and writes at an easy pace in windows of a third of a second; of each window the 50th and
//! 99th percentile are taken, of all windows the median, so that a window in which the machine was away counts
//! for nothing. The attackers share the machine's cores with the server: what they take by computing, every server
//! would lose. A bound that is broken is measured anew, twice; only what is broken each time is a fault.

#[path = "../tests/hostile/attacks.rs"]
mod attacks;
#[path = "../tests/support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use attacks::{ATTACKS, Attack, SLOW_READERS};
use support::Scratch;
use support::client::Connection;
use support::server::{Server, Target, install_zookeeper};
use support::wire;

const SETTINGS: &[&str] = &["tickTime=500", "minSessionTimeout=1000", "maxSessionTimeout=20000", "maxClientCnxns=0"];
const WINDOW: Duration = Duration::from_millis(330);
const WINDOWS: usize = 5;
/// Between two requests of the neighbour.
const PACE: Duration = Duration::from_micros(300);

/// What a 99th percentile may be whatever it was before. A read waits for the turn of a loop; a write for the
/// disk as well, which is somebody else's affair.
const READ_FLOOR: Duration = Duration::from_millis(3);
const WRITE_FLOOR: Duration = Duration::from_millis(25);
/// How many times what it was before it may be.
const FACTOR: u32 = 5;
const ATTEMPTS: usize = 3;

/// The 50th and 99th percentile.
type Percentiles = [Duration; 2];

/// Of reads and of writes.
#[derive(Clone, Copy)]
struct Latency {
    reads: Percentiles,
    writes: Percentiles,
}

fn main() -> ExitCode {
    let mut rows = vec![];
    let mut broken = vec![];
    for target in Target::all() {
        if target == Target::ZooKeeper {
            install_zookeeper();
        }
        let scratch = Scratch::new();
        let mut server = Server::start(target, scratch.path(), SETTINGS);
        attacks::plant(server.address);
        for (name, attack) in ATTACKS {
            if target == Target::ZooKeeper && *name == SLOW_READERS {
                continue;
            }
            let mut measured = measure(server.address, *attack);
            for _ in 1..ATTEMPTS {
                if complaint(&measured).is_some() {
                    measured = measure(server.address, *attack);
                }
            }
            assert!(server.is_running(), "{target:?} ended during: {name}\n{}", server.log_tail());
            rows.push(row(target, name, &measured));
            // What ZooKeeper does is for comparison.
            if target != Target::ZooKeeper
                && let Some(complaint) = complaint(&measured)
            {
                broken.push(format!("{target:?}, {name}: {complaint}"));
            }
        }
        if target != Target::ZooKeeper {
            server.terminate();
        }
    }
    println!(
        "| server | attack | read, p50 before | meanwhile | p99 before | meanwhile | write, p50 before | meanwhile | p99 before | meanwhile |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    rows.iter().for_each(|row| println!("{row}"));
    broken.iter().for_each(|complaint| eprintln!("beyond its bound: {complaint}"));
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The neighbour's latency before the attack and during it.
fn measure(address: SocketAddr, attack: Attack) -> [Latency; 2] {
    let mut neighbour = Connection::new_session(address, 20_000).expect("the neighbour's session");
    // Whatever the attack before has left behind is over first.
    windows(&mut neighbour, 1);
    let before = windows(&mut neighbour, WINDOWS);
    let meanwhile = attacks::under(attack, address, || {
        windows(&mut neighbour, 1);
        windows(&mut neighbour, WINDOWS)
    });
    neighbour.close().expect("closed");
    [before, meanwhile]
}

fn windows(neighbour: &mut Connection, count: usize) -> Latency {
    let (mut reads, mut writes) = (vec![], vec![]);
    for _ in 0..count {
        let (mut read, mut write) = (vec![], vec![]);
        let begun = Instant::now();
        while begun.elapsed() < WINDOW {
            for (request, waits) in [
                (wire::get_data("/neighbour", false), &mut read),
                (wire::set_data("/neighbour", Some(b"here"), -1), &mut write),
            ] {
                let asked = Instant::now();
                neighbour.must(&request);
                waits.push(asked.elapsed());
                std::thread::sleep(PACE);
            }
        }
        reads.push(percentiles(read));
        writes.push(percentiles(write));
    }
    Latency { reads: medians(&reads), writes: medians(&writes) }
}

fn percentiles(mut waits: Vec<Duration>) -> Percentiles {
    waits.sort();
    [50, 99].map(|percent| waits[(waits.len() - 1) * percent / 100])
}

fn medians(windows: &[Percentiles]) -> Percentiles {
    [0, 1].map(|which| {
        let mut values: Vec<_> = windows.iter().map(|window| window[which]).collect();
        values.sort();
        values[values.len() / 2]
    })
}

fn complaint([before, meanwhile]: &[Latency; 2]) -> Option<String> {
    let exceeds = |what, before: Percentiles, meanwhile: Percentiles, floor: Duration| {
        let bound = floor.max(before[1] * FACTOR);
        (meanwhile[1] > bound).then(|| format!("{what}: p99 {:?} before, {:?} meanwhile", before[1], meanwhile[1]))
    };
    exceeds("reads", before.reads, meanwhile.reads, READ_FLOOR)
        .or_else(|| exceeds("writes", before.writes, meanwhile.writes, WRITE_FLOOR))
}

fn row(target: Target, name: &str, [before, meanwhile]: &[Latency; 2]) -> String {
    let us = |duration: Duration| match duration.as_micros() {
        us @ 0..1000 => format!("{us} us"),
        us => format!("{:.1} ms", us as f64 / 1000.0),
    };
    let mut cells = vec![format!("{target:?}"), name.to_owned()];
    for (before, meanwhile) in [(before.reads, meanwhile.reads), (before.writes, meanwhile.writes)] {
        for which in [0, 1] {
            cells.extend([us(before[which]), us(meanwhile[which])]);
        }
    }
    format!("| {} |", cells.join(" | "))
}
