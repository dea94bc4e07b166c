//! Attacks that go on until they are told to stop: what a server bears while it serves others. `tests/hostile.rs` holds that
//! it does, `benches/neighbours.rs` measures what the others notice.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::client::{Connection, connect_record};
use crate::support::wire::{self, Acl, Out, flag, op};

/// Children of the znode that is listed, and watches that are set at once.
const MANY: usize = 50_000;

/// Ephemerals of a session that owns very many.
const OWNED: usize = 300_000;

/// Entries of a long ACL.
const GUARDS: usize = 200;

/// A connect response or an end is there within this.
const ANSWER_BOUND: Duration = Duration::from_secs(40);

/// Goes on until it is told to stop.
pub type Attack = fn(SocketAddr, &AtomicBool);

pub const ATTACKS: &[(&str, Attack)] = &[
    (SLOW_READERS, slow_readers),
    ("300 half-sent frames, a byte at a time", half_frames),
    ("lengths of 2 GiB, 500 a second", giant_lengths),
    ("1 000 connects a second", connects),
    ("three clients that list 50 000 children", wide_listings),
    ("50 000 watches set and left, again and again", watches_left_behind),
    ("ten pipelines of 3 000 exists of a long ACL", costly_checks),
    ("300 listings behind the 5 000 creates of what they list", listings_behind_writes),
    ("multis of 50 writes below a quota with a text of 800 KB", writes_below_a_long_text),
    ("multis that make 50 quotas of 50 000 znodes", quotas_of_many),
    ("the ends of sessions with 300 000 ephemerals", sessions_that_own_much),
    ("creates and deletes below a parent with 0.9 MB of data", children_of_the_large),
    ("ten multis at a time of 500 checks of long ACLs", multis_of_checks),
];

/// ZooKeeper keeps all the answers of these in memory.
pub const SLOW_READERS: &str = "four readers that do not read";

/// What the neighbour uses and what the attacks ask for.
pub fn plant(address: SocketAddr) {
    let mut connection = Connection::new_session(address, 20_000).expect("a session");
    connection.must(&wire::create("/neighbour", b"", flag::PERSISTENT));
    connection.must(&wire::create("/large", &vec![7; 900_000], flag::PERSISTENT));
    connection.must(&wire::create("/wide", b"", flag::PERSISTENT));
    let mut guards: Vec<_> = (0..GUARDS).map(|n| Acl::new(1, "digest", &format!("user{n}:hash"))).collect();
    guards.push(Acl::new(31, "world", "anyone"));
    connection.must(&wire::create_as(op::CREATE, "/guarded", Some(b""), Some(&guards), flag::PERSISTENT));
    // Another list, so that who asks for both by turns is judged each time.
    guards.swap_remove(0);
    connection.must(&wire::create_as(op::CREATE, "/guarded-too", Some(b""), Some(&guards), flag::PERSISTENT));
    connection.must(&wire::create("/owned", b"", flag::PERSISTENT));
    for first in (0..MANY).step_by(1000) {
        let parts: Vec<_> =
            (first..first + 1000).map(|n| wire::create(&format!("/wide/n{n}"), b"", flag::PERSISTENT)).collect();
        connection.must(&wire::multi(&parts));
    }
    connection.close().expect("closed");
}

/// Runs an attack while something else is done.
pub fn under<T>(attack: Attack, address: SocketAddr, work: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let attacker = scope.spawn(|| attack(address, &stop));
        // Also when the work panics the attack must come to an end.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        stop.store(true, Ordering::Relaxed);
        attacker.join().expect("the attack was carried out");
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
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
            stream.set_read_timeout(Some(ANSWER_BOUND)).expect("a timeout");
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

/// Many identities, none of which a list names.
fn introduce(connection: &mut Connection) {
    for n in 0..30 {
        connection.must(&wire::auth("digest", format!("somebody{n}:secret").as_bytes()));
    }
}

/// What costs the server most for the bytes it takes to ask.
fn costly_checks(address: SocketAddr, stop: &AtomicBool) {
    let mut connections: Vec<Connection> =
        (0..10).map(|_| Connection::new_session(address, 20_000).expect("a session")).collect();
    connections.iter_mut().for_each(introduce);
    while !stop.load(Ordering::Relaxed) {
        for connection in &mut connections {
            (0..3_000).for_each(|_| _ = connection.push(&wire::exists("/guarded", false)));
            connection.flush().expect("asked");
        }
        for connection in &mut connections {
            (0..3_000).for_each(|_| assert_eq!(connection.next_reply().expect("an answer").err, 0));
        }
    }
}

/// When they are asked for there is nothing to list yet.
fn listings_behind_writes(address: SocketAddr, stop: &AtomicBool) {
    let mut connection = Connection::new_session(address, 20_000).expect("a session");
    for round in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let parent = format!("/grows{round}");
        let child = |n: usize| format!("{parent}/n{n}");
        let mut asked = vec![wire::create(&parent, b"", flag::PERSISTENT)];
        for first in (0..5_000).step_by(1000) {
            let parts: Vec<_> = (first..first + 1000).map(|n| wire::create(&child(n), b"", flag::PERSISTENT)).collect();
            asked.push(wire::multi(&parts));
        }
        asked.extend((0..300).map(|_| wire::get_children(&parent, false)));
        let mut tidied: Vec<_> = (0..5_000)
            .step_by(1000)
            .map(|first| wire::multi(&(first..first + 1000).map(|n| wire::delete(&child(n), -1)).collect::<Vec<_>>()))
            .collect();
        tidied.push(wire::delete(&parent, -1));
        for requests in [asked, tidied] {
            requests.iter().for_each(|request| _ = connection.push(request));
            connection.flush().expect("asked");
            requests.iter().for_each(|_| _ = connection.next_reply().expect("an answer"));
        }
    }
}

/// Nothing of what a client writes there is read again, so what follows costs as much as anywhere.
fn writes_below_a_long_text(address: SocketAddr, stop: &AtomicBool) {
    let mut connection = Connection::new_session(address, 20_000).expect("a session");
    let quota = |name: &str| format!("/zookeeper/quota/neighbours{name}");
    for path in ["/neighbours".to_owned(), quota(""), quota("/zookeeper_limits"), quota("/zookeeper_stats")] {
        // From an earlier time it may be there.
        _ = connection.call(&wire::create(&path, b"count=0,bytes=0", flag::PERSISTENT)).expect("an answer");
    }
    let mut text = b"count=1,bytes=1=".to_vec();
    (0..90_000).for_each(|n| text.extend_from_slice(format!(";k{n:05}=1").as_bytes()));
    let mut parts = vec![wire::set_data(&quota("/zookeeper_stats"), Some(&text), -1)];
    parts.extend((0..50).map(|_| wire::set_data("/neighbours", Some(b"here"), -1)));
    let request = wire::multi(&parts);
    while !stop.load(Ordering::Relaxed) {
        let reply = connection.call(&request).expect("an answer");
        assert_eq!(reply.err, 0);
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Each wants all of it counted.
fn quotas_of_many(address: SocketAddr, stop: &AtomicBool) {
    let mut connection = Connection::new_session(address, 20_000).expect("a session");
    let quota = |name: &str| format!("/zookeeper/quota/wide{name}");
    _ = connection.call(&wire::create(&quota(""), b"", flag::PERSISTENT)).expect("an answer");
    let (limits, stats) = (quota("/zookeeper_limits"), quota("/zookeeper_stats"));
    let create = |path: &str| wire::create(path, b"count=-1,bytes=-1", flag::PERSISTENT);
    let pair = || [create(&limits), create(&stats), wire::delete(&stats, -1), wire::delete(&limits, -1)];
    let request = wire::multi(&(0..50).flat_map(|_| pair()).collect::<Vec<_>>());
    while !stop.load(Ordering::Relaxed) {
        // Some servers carry it out, however long that takes, others refuse it.
        _ = connection.call(&request).expect("an answer");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// All that a session owns is deleted in one transaction. Stopped early it leaves with what it has.
fn sessions_that_own_much(address: SocketAddr, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let mut connection = Connection::new_session(address, 20_000).expect("a session");
        for first in (0..OWNED).step_by(1000).take_while(|_| !stop.load(Ordering::Relaxed)) {
            let parts: Vec<_> =
                (first..first + 1000).map(|n| wire::create(&format!("/owned/n{n}"), b"", flag::EPHEMERAL)).collect();
            connection.must(&wire::multi(&parts));
        }
        connection.close().expect("closed");
    }
}

/// Each of them changes the digest of the parent, which covers its data.
fn children_of_the_large(address: SocketAddr, stop: &AtomicBool) {
    let mut connection = Connection::new_session(address, 20_000).expect("a session");
    while !stop.load(Ordering::Relaxed) {
        for n in 0..500 {
            let path = format!("/large/n{n}");
            connection.push(&wire::create(&path, b"", flag::PERSISTENT));
            connection.push(&wire::delete(&path, -1));
        }
        connection.flush().expect("asked");
        (0..1000).for_each(|_| assert_eq!(connection.next_reply().expect("an answer").err, 0));
    }
}

/// A few kilobytes each; whether one is carried out or refused as too dear is the server's affair.
fn multis_of_checks(address: SocketAddr, stop: &AtomicBool) {
    let mut connection = Connection::new_session(address, 20_000).expect("a session");
    introduce(&mut connection);
    let guarded = ["/guarded", "/guarded-too"];
    let parts: Vec<_> = (0..500).map(|n| wire::check(guarded[n % 2], -1)).collect();
    let multi = wire::multi(&parts);
    while !stop.load(Ordering::Relaxed) {
        (0..10).for_each(|_| _ = connection.push(&multi));
        connection.flush().expect("asked");
        (0..10).for_each(|_| assert!(matches!(connection.next_reply().expect("an answer").err, 0 | -127)));
    }
}
