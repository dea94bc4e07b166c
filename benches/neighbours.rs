//! What a neighbour notices of each attack: its latency before and meanwhile, from one run, as a table.
//!
//! The neighbour reads, writes and pings at an easy pace in windows of a third of a second; of each window the 50th and
//! 99th percentile are taken, of all windows the median, so that a window in which the machine was away counts
//! for nothing; of pings the 99.9th of all windows together. The attackers share the machine's cores with the server: what
//! they take by computing, every server would lose. A bound that is broken is measured anew, twice; only what is broken each
//! time is a fault. Attacked are servers of each edge on their own, and a follower of an ensemble of three. With a program
//! named by `CORRAL_PROGRAM` it is that one which is measured.

#[path = "../tests/hostile/attacks.rs"]
mod attacks;
#[path = "../tests/support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use attacks::{ATTACKS, Attack, SLOW_READERS};
use support::Scratch;
use support::client::{Connection, four_letter_word};
use support::server::{Edge, Server, Target, free_port, install_zookeeper};
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
/// What the 99.9th percentile of pings may be: no request holds a neighbour up longer.
const PING_FLOOR: Duration = Duration::from_millis(50);
/// How many times what it was before it may be.
const FACTOR: u32 = 5;
const ATTEMPTS: usize = 3;

/// The 50th and 99th percentile.
type Percentiles = [Duration; 2];

/// Of reads, of writes, and the longest of a thousand pings.
#[derive(Clone, Copy)]
struct Latency {
    reads: Percentiles,
    writes: Percentiles,
    ping: Duration,
}

/// Servers, one of which is attacked.
struct Ground {
    name: String,
    servers: Vec<Server>,
    attacked: usize,
    _scratch: Scratch,
}

impl Ground {
    fn alone(target: Target) -> Ground {
        let scratch = Scratch::new();
        let server = Server::start(target, scratch.path(), SETTINGS);
        Ground { name: format!("{target:?}"), servers: vec![server], attacked: 0, _scratch: scratch }
    }

    /// An ensemble of three, and the first of them that follows.
    fn follower() -> Ground {
        let scratch = Scratch::new();
        let lines: Vec<String> =
            (1..=3).map(|id| format!("server.{id}=127.0.0.1:{}:{}", free_port(), free_port())).collect();
        let mut settings = SETTINGS.to_vec();
        settings.extend(["initLimit=10", "syncLimit=10", "4lw.commands.whitelist=*"]);
        settings.extend(lines.iter().map(String::as_str));
        let mut servers: Vec<Server> = (1..=3)
            .map(|id| {
                let directory = scratch.path().join(format!("member{id}"));
                let server = Server::prepare(Target::Corral(Edge::Small), &directory, &settings);
                std::fs::create_dir_all(server.data_directory()).expect("the data directory");
                std::fs::write(server.data_directory().join("myid"), format!("{id}\n")).expect("myid");
                server
            })
            .collect();
        servers.iter_mut().for_each(Server::spawn);
        servers.iter_mut().for_each(Server::await_ready);
        let mut ground = Ground { name: "a follower".into(), servers, attacked: 0, _scratch: scratch };
        ground.choose_follower();
        ground
    }

    fn choose_follower(&mut self) {
        for _ in 0..600 {
            let follows = |server: &Server| {
                four_letter_word(server.address, "srvr").is_ok_and(|answer| answer.contains("Mode: follower"))
            };
            if let Some(place) = self.servers.iter().position(follows) {
                self.attacked = place;
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("no member follows");
    }

    fn address(&self) -> SocketAddr {
        self.servers[self.attacked].address
    }

    /// Starts again what has ended. Whether something had.
    fn restore(&mut self) -> bool {
        let mut had_ended = false;
        for server in &mut self.servers {
            if !server.is_running() {
                had_ended = true;
                server.kill();
                server.start_again();
            }
        }
        if had_ended && self.servers.len() > 1 {
            self.choose_follower();
        }
        had_ended
    }
}

fn main() -> ExitCode {
    let mut rows = vec![];
    let mut broken = vec![];
    let of_zookeeper = Target::all() == [Target::ZooKeeper];
    if of_zookeeper {
        install_zookeeper();
    }
    let alone = Target::all().into_iter().map(Some);
    for target in alone.chain((!of_zookeeper).then_some(None)) {
        let mut ground = target.map_or_else(Ground::follower, Ground::alone);
        attacks::plant(ground.address());
        for (name, attack) in ATTACKS {
            if of_zookeeper && *name == SLOW_READERS {
                continue;
            }
            eprintln!("{}: {name}", ground.name);
            let mut measured = measure(&mut ground, *attack);
            for _ in 1..ATTEMPTS {
                if complaint(&measured).is_some() {
                    measured = measure(&mut ground, *attack);
                }
            }
            rows.push(row(&ground.name, name, &measured));
            // What ZooKeeper does is for comparison.
            if !of_zookeeper && let Some(complaint) = complaint(&measured) {
                broken.push(format!("{}, {name}: {complaint}", ground.name));
            }
        }
        if !of_zookeeper {
            ground.servers.iter_mut().for_each(Server::terminate);
        }
    }
    println!(
        "| server | attack | read, p50 before | meanwhile | p99 before | meanwhile | write, p50 before | meanwhile | p99 before | meanwhile | ping, p99.9 before | meanwhile |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    rows.iter().for_each(|row| println!("{row}"));
    broken.iter().for_each(|complaint| eprintln!("beyond its bound: {complaint}"));
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The neighbour's latency before the attack and during it; why not, if it was not served.
fn measure(ground: &mut Ground, attack: Attack) -> Result<[Latency; 2], &'static str> {
    let address = ground.address();
    let measured = std::panic::catch_unwind(|| measured(address, attack));
    let had_ended = ground.restore();
    match measured {
        _ if had_ended => Err("the server ended"),
        Ok(measured) => Ok(measured),
        Err(_) => Err("the neighbour was not served"),
    }
}

fn measured(address: SocketAddr, attack: Attack) -> [Latency; 2] {
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
    let (mut reads, mut writes, mut pings) = (vec![], vec![], vec![]);
    for _ in 0..count {
        let (mut read, mut write) = (vec![], vec![]);
        let begun = Instant::now();
        while begun.elapsed() < WINDOW {
            for (request, waits) in [
                (wire::get_data("/neighbour", false), &mut read),
                (wire::set_data("/neighbour", Some(b"here"), -1), &mut write),
                (wire::ping(), &mut pings),
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
    pings.sort();
    let ping = pings[(pings.len() - 1) * 999 / 1000];
    Latency { reads: medians(&reads), writes: medians(&writes), ping }
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

fn complaint(measured: &Result<[Latency; 2], &'static str>) -> Option<String> {
    let [before, meanwhile] = match measured {
        Ok(measured) => measured,
        Err(why) => return Some((*why).to_owned()),
    };
    let exceeds = |what, before: Percentiles, meanwhile: Percentiles, floor: Duration| {
        let bound = floor.max(before[1] * FACTOR);
        (meanwhile[1] > bound).then(|| format!("{what}: p99 {:?} before, {:?} meanwhile", before[1], meanwhile[1]))
    };
    exceeds("reads", before.reads, meanwhile.reads, READ_FLOOR)
        .or_else(|| exceeds("writes", before.writes, meanwhile.writes, WRITE_FLOOR))
        .or_else(|| exceeds("pings", [before.ping; 2], [meanwhile.ping; 2], PING_FLOOR))
}

fn row(ground: &str, name: &str, measured: &Result<[Latency; 2], &'static str>) -> String {
    let [before, meanwhile] = match measured {
        Ok(measured) => measured,
        Err(why) => return format!("| {ground} | {name} | {why} |"),
    };
    let us = |duration: Duration| match duration.as_micros() {
        us @ 0..1000 => format!("{us} us"),
        us => format!("{:.1} ms", us as f64 / 1000.0),
    };
    let mut cells = vec![ground.to_owned(), name.to_owned()];
    for (before, meanwhile) in [(before.reads, meanwhile.reads), (before.writes, meanwhile.writes)] {
        for which in [0, 1] {
            cells.extend([us(before[which]), us(meanwhile[which])]);
        }
    }
    cells.extend([us(before.ping), us(meanwhile.ping)]);
    format!("| {} |", cells.join(" | "))
}
