//! What a neighbour notices of each attack: its latency before and meanwhile, from one run, as a table.
//!
//! The neighbour reads and writes at an easy pace in windows of a third of a second; of each window the 50th and
//! 99th percentile are taken, of all windows the median, so that a window in which the machine was away counts
//! for nothing. The attackers share the machine's cores with the server: what they take by computing, every server
//! would lose. A bound that is broken is measured anew, twice; only what is broken each time is a fault.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::Scratch;
use crate::support::client::{Connection, connect_record};
use crate::support::server::{Server, Target, install_zookeeper};
use crate::support::wire::{self, Out, flag};

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

/// Children of the znode that is listed, and watches that are set at once.
const MANY: usize = 50_000;

/// Goes on until it is told to stop.
type Attack = fn(SocketAddr, &AtomicBool);

const ATTACKS: &[(&str, Attack)] = &[
    ("four readers that do not read", slow_readers),
    ("300 half-sent frames, a byte at a time", half_frames),
    ("lengths of 2 GiB, 500 a second", giant_lengths),
    ("1 000 connects a second", connects),
    ("three clients that list 50 000 children", wide_listings),
    ("50 000 watches set and left, again and again", watches_left_behind),
];

/// The 50th and 99th percentile.
type Percentiles = [Duration; 2];

/// Of reads and of writes.
#[derive(Clone, Copy)]
struct Latency {
    reads: Percentiles,
    writes: Percentiles,
}

#[test]
fn no_attack_takes_much_from_a_neighbour() {
    let _alone = super::ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut rows = vec![];
    let mut broken = vec![];
    for target in Target::all() {
        if target == Target::ZooKeeper {
            install_zookeeper();
        }
        let scratch = Scratch::new();
        let mut server = Server::start(target, scratch.path(), super::SETTINGS);
        super::prepare(server.address);
        plant(server.address);
        for (name, attack) in ATTACKS {
            if target == Target::ZooKeeper && *name == ATTACKS[0].0 {
                // It keeps all answers in memory there.
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
    assert!(broken.is_empty(), "{broken:#?}");
}

fn plant(address: SocketAddr) {
    let mut connection = Connection::new_session(address, 20_000).expect("a session");
    connection.must(&wire::create("/wide", b"", flag::PERSISTENT));
    for first in (0..MANY).step_by(1000) {
        let parts: Vec<_> =
            (first..first + 1000).map(|n| wire::create(&format!("/wide/n{n}"), b"", flag::PERSISTENT)).collect();
        connection.must(&wire::multi(&parts));
    }
    connection.close().expect("closed");
}

/// The neighbour's latency before the attack and during it.
fn measure(address: SocketAddr, attack: Attack) -> [Latency; 2] {
    let stop = AtomicBool::new(false);
    let mut neighbour = Connection::new_session(address, 20_000).expect("the neighbour's session");
    // Whatever the attack before has left behind is over first.
    windows(&mut neighbour, 1);
    let before = windows(&mut neighbour, WINDOWS);
    let meanwhile = std::thread::scope(|scope| {
        let attacker = scope.spawn(|| attack(address, &stop));
        // Also when the neighbour panics the attack must come to an end.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            windows(&mut neighbour, 1);
            windows(&mut neighbour, WINDOWS)
        }));
        stop.store(true, Ordering::Relaxed);
        attacker.join().expect("the attack was carried out");
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
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

/// They ask for 18 MB at a time and read nothing; those that are ended come again.
fn slow_readers(address: SocketAddr, stop: &AtomicBool) {
    let session = || Connection::new_session(address, 4_000).expect("a session");
    let mut connections: Vec<Connection> = (0..4).map(|_| session()).collect();
    while !stop.load(Ordering::Relaxed) {
        for connection in &mut connections {
            for _ in 0..20 {
                connection.push(&wire::get_data("/large", false));
            }
            if connection.flush().is_err() {
                *connection = session();
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn half_frames(address: SocketAddr, stop: &AtomicBool) {
    let frame = wire::frame(1, &wire::set_data("/neighbour", Some(&[1; 500]), -1));
    let mut connections: Vec<(Connection, usize)> =
        (0..300).map(|_| (Connection::new_session(address, 20_000).expect("a session"), 0)).collect();
    for turn in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let count = connections.len();
        let (connection, sent) = &mut connections[turn % count];
        connection.push_bytes(&frame[*sent..=*sent]);
        // The last byte is never sent.
        *sent = (*sent + 1) % (frame.len() - 1);
        if connection.flush().is_err() || *sent == 0 {
            *connection = Connection::new_session(address, 20_000).expect("a session");
            *sent = 0;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}

fn giant_lengths(address: SocketAddr, stop: &AtomicBool) {
    let bytes = Out::new().int(i32::MAX).raw(&[0xaa; 4_000]).0;
    while !stop.load(Ordering::Relaxed) {
        let mut connection = Connection::silent(address).expect("a connection");
        connection.push_bytes(&bytes);
        // The server may end the connection before it has all of it.
        let _ = connection.flush();
        let ended = connection.next_frame();
        assert!(!matches!(ended, Ok(Some(_))), "no answer, but an end");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Every third waits for its session; the others are gone before it is made.
fn connects(address: SocketAddr, stop: &AtomicBool) {
    let record = connect_record(0, 1_000, 0, &[0; 16], Some(false));
    let bytes = Out::new().int(record.len() as i32).raw(&record).0;
    let begun = Instant::now();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        if let Some(early) = (Duration::from_millis(1) * number).checked_sub(begun.elapsed()) {
            std::thread::sleep(early);
        }
        let mut stream = TcpStream::connect(address).expect("a connection");
        if stream.write_all(&bytes).is_ok() && number % 3 == 0 {
            stream.set_read_timeout(Some(super::END_BOUND)).expect("a timeout");
            let mut answer = [0; 41];
            stream.read_exact(&mut answer).expect("a connect response");
        }
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn wide_listings(address: SocketAddr, stop: &AtomicBool) {
    let mut connections: Vec<Connection> =
        (0..3).map(|_| Connection::new_session(address, 20_000).expect("a session")).collect();
    while !stop.load(Ordering::Relaxed) {
        for connection in &mut connections {
            connection.push(&wire::get_children2("/wide", false));
            connection.flush().expect("asked");
        }
        for connection in &mut connections {
            let reply = connection.next_reply().expect("a listing");
            assert_eq!(reply.err, 0);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Each time the connection is gone without a word, and all its watches with it.
fn watches_left_behind(address: SocketAddr, stop: &AtomicBool) {
    let paths: Vec<String> = (0..MANY).map(|n| format!("/none/n{n}")).collect();
    let request = wire::set_watches(0, &[vec![], paths, vec![]]);
    while !stop.load(Ordering::Relaxed) {
        let mut connection = Connection::new_session(address, 4_000).expect("a session");
        let reply = connection.call(&request).expect("an answer");
        assert_eq!(reply.err, 0);
        drop(connection);
        std::thread::sleep(Duration::from_millis(20));
    }
}
