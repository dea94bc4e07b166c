//! Clients that mean harm, or are merely broken. Whatever one of them does, its neighbours are served, the process
//! lives, and its memory stays within bounds.
//!
//! While each case runs, a neighbour writes and reads; its latency is printed and must stay below a bound no healthy
//! server comes near. `CORRAL_TEST_EDGE`, `CORRAL_TEST_TARGET` as everywhere.

mod support;

#[path = "hostile/attacks.rs"]
mod attacks;
#[path = "hostile/memory.rs"]
mod memory;

use fastrand::Rng;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use support::client::{Arrival, Connection, connect_record, four_letter_word};
use support::random::bytes;
use support::server::{Edge, Server, Target, install_zookeeper};
use support::wire::{self, Out, flag, op};
use support::{Scratch, env_number};

/// No neighbour may ever wait longer than this for one request.
const NEIGHBOUR_BOUND: Duration = Duration::from_secs(5);

/// Within this a connection that must end has ended. ZooKeeper gives a silent one 10 s.
const END_BOUND: Duration = Duration::from_secs(40);

/// How much the process may grow over all cases, in kB.
const GROWTH_BOUND_KB: u64 = 400 * 1024;

const SETTINGS: &[&str] = &["tickTime=500", "minSessionTimeout=1000", "maxSessionTimeout=20000", "maxClientCnxns=0"];

/// What a case gets.
struct Ground<'a> {
    address: SocketAddr,
    target: Target,
    random: &'a mut Rng,
}

type Case = (&'static str, fn(&mut Ground<'_>));

const CASES: &[Case] = &[
    ("half a frame, then nothing", half_frames),
    ("lengths that are negative or of 2 GiB", bad_lengths),
    ("garbage as first bytes", garbage_first),
    ("garbage behind a session", garbage_later),
    ("frames of length zero", empty_frames),
    ("a connect request a byte at a time", byte_by_byte),
    ("connect requests that are none", odd_connect_requests),
    ("vectors of 2^31-1 elements", huge_vectors),
    ("words of four letters and worse", odd_words),
    ("10 000 requests at once", pipelined),
    ("1 000 connections a second", connection_storm),
    ("resets in the middle of requests", resets),
    ("a reader that does not read", slow_reader),
];

/// How long each of the attacks goes on.
const ATTACK: Duration = Duration::from_millis(700);

#[test]
fn neighbours_of_hostile_clients_are_served() {
    let seed = env_number("CORRAL_HOSTILE_SEED", 11);
    for target in Target::all() {
        if target == Target::ZooKeeper {
            install_zookeeper();
        }
        println!("hostile: {target:?}, CORRAL_HOSTILE_SEED={seed}");
        let scratch = Scratch::new();
        let mut server = Server::start(target, scratch.path(), SETTINGS);
        let mut random = Rng::with_seed(seed);
        attacks::plant(server.address);
        // These say nothing during all cases and must have been ended after them.
        let silent: Vec<Connection> =
            (0..50).map(|_| Connection::silent(server.address).expect("a connection")).collect();
        let silent_since = Instant::now();
        let before = server.memory_kb("VmRSS").expect("memory");
        for (name, case) in CASES {
            if target == Target::ZooKeeper && *name == "a reader that does not read" {
                // It keeps all answers in memory there.
                continue;
            }
            let mut ground = Ground { address: server.address, target, random: &mut random };
            let mut waits = with_neighbour(server.address, || case(&mut ground));
            assert!(server.is_running(), "{target:?} ended during: {name}\n{}", server.log_tail());
            report(name, &mut waits);
        }
        for (name, attack) in attacks::ATTACKS {
            if target == Target::ZooKeeper && *name == attacks::SLOW_READERS {
                continue;
            }
            let mut waits = with_neighbour(server.address, || {
                attacks::under(*attack, server.address, || std::thread::sleep(ATTACK));
            });
            assert!(server.is_running(), "{target:?} ended during: {name}\n{}", server.log_tail());
            report(name, &mut waits);
        }
        end_of_the_silent(silent, silent_since);
        let after = server.memory_kb("VmHWM").expect("memory");
        println!("hostile: {target:?} memory {before} kB before, {after} kB at most");
        if target != Target::ZooKeeper {
            assert!(after < before + GROWTH_BOUND_KB, "the process grew from {before} to {after} kB");
            server.terminate();
        }
    }
}

/// Names are found by hashes. Two processes with the same keys list the same names in the same order; and whoever knows the keys
/// computes names that collide.
#[test]
fn the_hash_keys_of_a_process_are_its_own() {
    let listed = || {
        let scratch = Scratch::new();
        let mut server = Server::start(Target::Corral(Edge::Small), scratch.path(), SETTINGS);
        let mut connection = Connection::new_session(server.address, 10_000).expect("a session");
        for number in 10..74 {
            connection.must(&wire::create(&format!("/n{number}"), b"", flag::PERSISTENT));
        }
        let body = connection.must(&wire::get_children("/", false));
        server.terminate();
        let mut names: Vec<Vec<u8>> = body[4..].split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
        names.sort();
        (body, names)
    };
    let (one, other) = (listed(), listed());
    assert_eq!(one.1, other.1);
    assert_ne!(one.0, other.0, "64 names in the same order, of 64! orders");
}

/// Runs a case while a neighbour works; gives the neighbour's waits.
fn with_neighbour(address: SocketAddr, case: impl FnOnce()) -> Vec<Duration> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let neighbour = scope.spawn(|| {
            let mut connection = Connection::new_session(address, 20_000).expect("the neighbour's session");
            let mut waits = Vec::new();
            loop {
                for request in [wire::set_data("/neighbour", Some(b"here"), -1), wire::get_data("/neighbour", false)] {
                    let begun = Instant::now();
                    connection.must(&request);
                    waits.push(begun.elapsed());
                }
                // At least some after the case is over.
                if done.load(Ordering::Relaxed) && waits.len() >= 40 {
                    connection.close().expect("closed");
                    return waits;
                }
            }
        });
        // Also when the case panics the neighbour must come to an end.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(case));
        done.store(true, Ordering::Relaxed);
        let waits = neighbour.join();
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
        waits.expect("the neighbour was served")
    })
}

fn report(name: &str, waits: &mut [Duration]) {
    waits.sort();
    let at = |percent: usize| waits[(waits.len() - 1) * percent / 100];
    println!(
        "hostile: {name:<40} neighbour: {:>6} requests, p50 {:>8.3?} p99 {:>8.3?} max {:>8.3?}",
        waits.len(),
        at(50),
        at(99),
        at(100)
    );
    assert!(at(100) < NEIGHBOUR_BOUND, "{name}: a neighbour waited {:?}", at(100));
}

/// A session's connection on which anything may be said.
fn session(ground: &Ground<'_>) -> Connection {
    Connection::new_session(ground.address, 20_000).expect("a session")
}

/// Whether the server ends a connection within the bound, whatever it says before.
fn ends(connection: &mut Connection) -> bool {
    let begun = Instant::now();
    connection.stream().set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
    while begun.elapsed() < END_BOUND {
        match connection.next_frame() {
            Ok(None) => return true,
            Ok(Some(_)) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return true,
        }
    }
    false
}

fn send(connection: &mut Connection, bytes: &[u8]) {
    connection.push_bytes(bytes);
    // The server may end the connection before it has all of it.
    let _ = connection.flush();
}

/// Frames that begin and do not go on. They may not keep anybody else waiting; when their session has run out, they
/// are ended.
fn half_frames(ground: &mut Ground<'_>) {
    let frame = wire::frame(1, &wire::set_data("/neighbour", Some(&[1; 500]), -1));
    let mut waiting = Vec::new();
    for cut in [1, 3, 4, 5, 8, 11, 12, 13, frame.len() - 1] {
        let mut connection = Connection::new_session(ground.address, 1_000).expect("a session");
        send(&mut connection, &frame[..cut]);
        waiting.push(connection);
    }
    let record = connect_record(0, 20_000, 0, &[0; 16], Some(false));
    for cut in [1, 10, record.len() - 1] {
        let mut connection = Connection::silent(ground.address).expect("a connection");
        send(&mut connection, &(record.len() as u32).to_be_bytes());
        send(&mut connection, &record[..cut]);
        waiting.push(connection);
    }
    for connection in &mut waiting {
        assert!(ends(connection), "half a frame is not waited for without end");
    }
}

fn bad_lengths(ground: &mut Ground<'_>) {
    for length in [-1, -2, i32::MIN, i32::MAX, 0x7fff_0000, 0x10_0000, 50_000_000] {
        for with_session in [false, true] {
            let mut connection =
                if with_session { session(ground) } else { Connection::silent(ground.address).expect("a connection") };
            let bytes = Out::new().int(length).raw(&[0xaa; 64]).0;
            send(&mut connection, &bytes);
            assert!(ends(&mut connection), "length {length}, with a session: {with_session}");
        }
    }
}

fn garbage_first(ground: &mut Ground<'_>) {
    for _ in 0..200 {
        let mut connection = Connection::silent(ground.address).expect("a connection");
        let length = ground.random.usize(1..=3_000);
        let mut bytes = bytes(ground.random, length);
        // Not a valid length: that would be half a frame.
        bytes[0] |= 0x40;
        send(&mut connection, &bytes);
        if length >= 4 {
            assert!(ends(&mut connection), "garbage of {length} bytes");
        }
    }
}

/// Whole frames of garbage: the session is answered with errors or ended, never ignored for ever.
fn garbage_later(ground: &mut Ground<'_>) {
    for _ in 0..200 {
        let mut connection = session(ground);
        for _ in 0..5 {
            let length = ground.random.usize(0..=200);
            let mut payload = bytes(ground.random, length);
            if length >= 8 && ground.random.u8(..100) < 80 {
                // A known operation with an unknown body.
                let opcodes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 14, 15, 17, 18, 19, 21, 22, 101, 103, 104, 105, 106];
                let opcode: i32 = *ground.random.choice(&opcodes).unwrap();
                payload[4..8].copy_from_slice(&opcode.to_be_bytes());
            }
            connection.push_frame(&payload);
        }
        let _ = connection.flush();
        // Hangs up on the answers.
        if ground.random.u8(..100) < 50 {
            connection.push_frame(&[]);
            let _ = connection.flush();
            assert!(ends(&mut connection), "an empty frame ends a connection");
        }
    }
}

fn empty_frames(ground: &mut Ground<'_>) {
    for payload in [&[][..], &[0], &[0, 0, 0, 1], &[0, 0, 0, 1, 0, 0, 0]] {
        let mut connection = session(ground);
        connection.push_frame(payload);
        let _ = connection.flush();
        assert!(ends(&mut connection), "a frame of {} bytes", payload.len());
    }
    let mut connection = Connection::silent(ground.address).expect("a connection");
    send(&mut connection, &[0; 4_000]);
    assert!(ends(&mut connection), "frames of zeros before a session");
}

/// Slow is not wrong.
fn byte_by_byte(ground: &mut Ground<'_>) {
    let record = connect_record(0, 20_000, 0, &[0; 16], Some(false));
    let mut bytes = Out::new().int(record.len() as i32).raw(&record).0;
    bytes.extend(wire::frame(1, &wire::get_data("/neighbour", false)));
    let mut connection = Connection::silent(ground.address).expect("a connection");
    for byte in bytes {
        connection.push_bytes(&[byte]);
        connection.flush().expect("sent");
    }
    let response = connection.next_frame().expect("an answer").expect("a connect response");
    assert_eq!(response.len(), 37);
    let reply = connection.next_reply().expect("a reply");
    assert_eq!((reply.xid, reply.err), (1, 0));
    connection.close().expect("closed");
}

fn odd_connect_requests(ground: &mut Ground<'_>) {
    let good = connect_record(0, 20_000, 0, &[0; 16], Some(false));
    for payload in [
        good[..27].to_vec(),
        good[..20].to_vec(),
        vec![0; 3],
        // A password of 2 GiB, of -7 bytes, of more than there is.
        [&good[..24], &i32::MAX.to_be_bytes(), &[0; 16]].concat(),
        [&good[..24], &(-7_i32).to_be_bytes(), &[0; 16]].concat(),
        [&good[..24], &17_i32.to_be_bytes(), &[0; 16]].concat(),
    ] {
        let mut connection = Connection::silent(ground.address).expect("a connection");
        connection.push_frame(&payload);
        let _ = connection.flush();
        assert!(ends(&mut connection), "a connect request of {} odd bytes", payload.len());
    }
    // A session nobody has, with a password nobody has: refused, not crashed.
    for _ in 0..100 {
        let id = ground.random.i64(..);
        let password = bytes(ground.random, 16);
        let mut connection = Connection::silent(ground.address).expect("a connection");
        connection.handshake(&connect_record(0, 20_000, id, &password, Some(false))).expect("a refusal");
        assert_eq!(connection.session.id, 0);
        assert!(ends(&mut connection), "a refused session ends");
    }
}

fn huge_vectors(ground: &mut Ground<'_>) {
    let mut connection = session(ground);
    let huge = i32::MAX;
    let bodies = [
        (op::SET_WATCHES, Out::new().long(0).int(huge).0),
        (op::SET_WATCHES2, Out::new().long(0).int(0).int(0).int(huge).int(0).int(0).0),
        (op::CREATE, Out::new().string("/huge").buffer(None).int(huge).int(0).0),
        (op::CREATE2, Out::new().string("/huge").buffer(None).int(huge).0),
        (op::SET_ACL, Out::new().string("/neighbour").int(huge).0),
        (op::CREATE, Out::new().int(huge).0),
        (op::SET_DATA, Out::new().string("/neighbour").int(huge).0),
        (op::GET_DATA, Out::new().int(huge).0),
    ];
    for (opcode, body) in bodies {
        let reply = connection.call(&wire::raw(opcode, body)).expect("an answer");
        assert_eq!(reply.err, wire::code::MARSHALLING, "operation {opcode}");
    }
    connection.must(&wire::exists("/neighbour", false));
    // As long as a frame may be: a million of the smallest elements.
    let many = vec![String::new(); 250_000];
    let empty = [many, Vec::new(), Vec::new()];
    let reply = connection.call(&wire::set_watches(0, &empty)).expect("an answer");
    assert_eq!(reply.err, 0, "a setWatches as large as a frame");
    let parts = vec![wire::check("/neighbour", -1); 20_000];
    let reply = connection.call(&wire::multi(&parts)).expect("an answer");
    assert_eq!(reply.err, 0, "a multi of 20 000 parts");
}

fn odd_words(ground: &mut Ground<'_>) {
    for word in
        ["srvr", "ruok\r\n", "srvr and a long tail behind it", "zzzz", "SRVR", "conf", "wchp", "\u{0}\u{0}\u{0}"]
    {
        // Any answer, or none, but an end.
        let answer = four_letter_word(ground.address, word);
        if word.starts_with("srvr") {
            assert!(answer.expect("an answer").contains("Mode:"), "{word}");
        }
    }
    for _ in 0..100 {
        let word: Vec<u8> = (0..4).map(|_| ground.random.u8(0x61..=0x7a)).collect();
        let mut stream = TcpStream::connect(ground.address).expect("a connection");
        stream.set_read_timeout(Some(END_BOUND)).expect("a timeout");
        stream.write_all(&word).expect("sent");
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{word:?}"),
        }
    }
}

/// One connection asks for much at once: everything is answered, in order.
fn pipelined(ground: &mut Ground<'_>) {
    const REQUESTS: i32 = 10_000;
    let mut connection = session(ground);
    let address = ground.address;
    let mut frames = Vec::new();
    for number in 1..=REQUESTS {
        let request = match number % 4 {
            0 => wire::set_data("/neighbour", Some(b"pipelined"), -1),
            1 => wire::get_children("/", false),
            _ => wire::get_data("/neighbour", false),
        };
        frames.extend(wire::frame(number, &request));
    }
    let mut writer = connection.stream().try_clone().expect("a second handle");
    std::thread::scope(|scope| {
        scope.spawn(move || writer.write_all(&frames).expect("sent"));
        for number in 1..=REQUESTS {
            let reply = connection.next_reply().expect("a reply");
            assert_eq!((reply.xid, reply.err), (number, 0), "in order at {address}");
        }
    });
    connection.close().expect("closed");
}

/// Two seconds of connections, each with a session that is left behind.
fn connection_storm(ground: &mut Ground<'_>) {
    const PER_SECOND: u32 = 1_000;
    let begun = Instant::now();
    let mut refused = 0;
    for number in 0..2 * PER_SECOND {
        let due = Duration::from_secs(1) * number / PER_SECOND;
        if let Some(early) = due.checked_sub(begun.elapsed()) {
            std::thread::sleep(early);
        }
        let Ok(mut stream) = TcpStream::connect(ground.address) else {
            refused += 1;
            continue;
        };
        let record = connect_record(0, 1_000, 0, &[0; 16], Some(false));
        let bytes = Out::new().int(record.len() as i32).raw(&record).0;
        if number % 3 != 0 && stream.write_all(&bytes).is_err() {
            refused += 1;
        }
        // Every third waits for its session; the others are gone before it is made.
        if number % 3 == 1 {
            stream.set_read_timeout(Some(END_BOUND)).expect("a timeout");
            let mut answer = [0; 41];
            stream.read_exact(&mut answer).expect("a connect response");
        }
    }
    println!("hostile: {refused} of {} connections refused in {:.1?}", 2 * PER_SECOND, begun.elapsed());
    assert!(refused < PER_SECOND / 10, "{refused} connections were refused");
}

/// Connections that are reset with answers under way.
fn resets(ground: &mut Ground<'_>) {
    for _ in 0..100 {
        let mut connection = session(ground);
        for _ in 0..ground.random.u64(1..=20) {
            connection.push(&wire::get_data("/large", true));
            connection.push(&wire::create("/neighbour/e", b"", flag::EPHEMERAL_SEQUENTIAL));
        }
        let _ = connection.flush();
        if ground.random.u8(..100) < 50 {
            let _ = connection.stream().shutdown(std::net::Shutdown::Write);
        }
        // Dropped with unread bytes: a reset.
    }
}

/// Asks for far more than it reads. It is slowed down, not served from a growing buffer, and when its session has run
/// out it is ended.
fn slow_reader(ground: &mut Ground<'_>) {
    let mut connection = Connection::new_session(ground.address, 2_000).expect("a session");
    let mut writer = connection.stream().try_clone().expect("a second handle");
    writer.set_write_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    let mut frames = Vec::new();
    for number in 1..=2_000 {
        frames.extend(wire::frame(number, &wire::get_data("/large", false)));
    }
    // 2 000 answers of 900 kB: 1.8 GB, were they all made.
    let mut asked = 0;
    let begun = Instant::now();
    let ended = loop {
        if begun.elapsed() > END_BOUND {
            break false;
        }
        match writer.write(&frames[asked % frames.len()..]) {
            Ok(count) => asked += count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => break true,
            Err(error) => panic!("{:?}: the reader that does not read: {error}", ground.target),
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    assert!(ended, "a reader that does not read was kept for {:?}", begun.elapsed());
    // What was under way may still be read; then it is over.
    assert!(ends(&mut connection), "the end");
}

/// Connections that never said a word have been ended by now, or are soon.
fn end_of_the_silent(silent: Vec<Connection>, since: Instant) {
    for mut connection in silent {
        let left = END_BOUND.saturating_sub(since.elapsed()).max(Duration::from_secs(1));
        connection.stream().set_read_timeout(Some(left)).expect("a timeout");
        let end = connection.next();
        assert!(matches!(end, Ok(Arrival::Closed)), "a silent connection after {:?}: {end:?}", since.elapsed());
    }
    println!("hostile: the silent were ended within {:.1?}", since.elapsed());
}
