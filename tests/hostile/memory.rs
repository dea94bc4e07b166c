//! Ten thousand clients that want all the memory there is, and a process that may open nothing more.

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

use crate::support::Scratch;
use crate::support::client::{Connection, connect_record, monitored};
use crate::support::server::{Server, Target, free_port};
use crate::support::wire::{self, Out, flag};
use crate::{report, with_neighbour};

const CLIENTS: usize = 10_000;

/// What the server is given, and must not take more than.
const CEILING_KB: u64 = 1 << 20;

/// How long they go on.
const SIEGE: Duration = Duration::from_secs(6);

/// A server of ours on an edge, if one is asked for.
fn ours(scratch: &Scratch, settings: &[&str]) -> Option<Server> {
    let target = Target::all().into_iter().find(|target| !target.is_zookeeper())?;
    Some(Server::start(target, scratch.path(), settings))
}

/// As many connections as the system allows this process, half of them at most for a server that has the same limit.
fn raise_own_limit() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("the soft limit may be raised");
    let files = getrlimit(Resource::Nofile).current.map_or(usize::MAX, |files| files as usize);
    CLIENTS.min(files.saturating_sub(500))
}

/// What one of them says behind its connect request.
fn demand(number: usize) -> Vec<u8> {
    match number % 4 {
        // Asks for megabytes and reads nothing.
        0 => (1..=12).flat_map(|xid| wire::frame(xid, &wire::get_data("/large", false))).collect(),
        // Begins a megabyte and does not end it.
        1 => Out::new().int(1_000_000).raw(&vec![0; 600_000]).0,
        // Watches what is not there, by a long name.
        2 => wire::frame(1, &wire::exists(&format!("/{number}{}", "x".repeat(500_000)), true)),
        // Watches what its neighbours change, and a write with an answer behind it.
        _ => [
            wire::frame(1, &wire::exists("/neighbour", true)),
            wire::frame(2, &wire::create(&format!("/h{number}"), b"", flag::EPHEMERAL)),
            wire::frame(3, &wire::get_data("/large", false)),
        ]
        .concat(),
    }
}

struct Hostile {
    stream: TcpStream,
    rest: Vec<u8>,
}

impl Hostile {
    fn new(address: SocketAddr, number: usize) -> Option<Hostile> {
        let stream = TcpStream::connect(address).ok()?;
        // Little of what it does not read is kept by the kernel.
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&stream, 4096);
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(&stream, 4096);
        stream.set_nonblocking(true).ok()?;
        let record = connect_record(0, 20_000, 0, &[0; 16], Some(false));
        let mut rest = Out::new().int(record.len() as i32).raw(&record).0;
        rest.extend(demand(number));
        Some(Hostile { stream, rest })
    }

    /// Sends what can be sent, and reads nothing. Whether it is still connected.
    fn go_on(&mut self) -> bool {
        while !self.rest.is_empty() {
            match self.stream.write(&self.rest[..self.rest.len().min(65_536)]) {
                Ok(count) => _ = self.rest.drain(..count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
        }
        true
    }
}

#[test]
fn ten_thousand_hostile_clients_under_a_ceiling() {
    let scratch = Scratch::new();
    let settings = [
        "tickTime=500",
        "minSessionTimeout=1000",
        "maxSessionTimeout=20000",
        "maxClientCnxns=0",
        "4lw.commands.whitelist=*",
        "corral.memoryLimit=1G",
        "corral.socketSendBuffer=4096",
        "corral.socketReceiveBuffer=4096",
    ];
    let Some(mut server) = ours(&scratch, &settings) else { return };
    let address = server.address;
    let mut owner = Connection::new_session(address, 20_000).expect("a session");
    owner.must(&wire::create("/neighbour", b"", flag::PERSISTENT));
    owner.must(&wire::create("/large", &vec![7; 1_000_000], flag::PERSISTENT));
    owner.close().expect("closed");
    let clients = raise_own_limit();
    let mut ended = 0;
    let mut waits = with_neighbour(address, || {
        let mut hostile = Vec::new();
        for number in 0..clients {
            hostile.extend(Hostile::new(address, number));
        }
        assert!(hostile.len() > clients / 2, "{} of {clients} are connected", hostile.len());
        let begun = Instant::now();
        while begun.elapsed() < SIEGE {
            for one in &mut hostile {
                if !one.go_on() {
                    ended += 1;
                    // It comes again.
                    if let Some(again) = Hostile::new(address, ended) {
                        *one = again;
                    }
                }
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    assert!(server.is_running(), "it lives\n{}", server.log_tail());
    let peak = server.memory_kb("VmHWM").expect("memory");
    let count = |name| monitored(address, name).unwrap_or(0);
    let (throttled, unread) = (count("zk_throttled_ops"), count("zk_unread_connections_ended"));
    println!(
        "hostile: {clients} clients: {peak} kB at most, {throttled} throttled, {unread} ended, {ended} came again"
    );
    report("ten thousand at once", &mut waits);
    assert!(peak < CEILING_KB, "{peak} kB");
    assert!(throttled + unread > 0, "something was refused, and it is counted");
    // When they are gone everything is as it was.
    let mut after = Connection::new_session(address, 20_000).expect("a session");
    let begun = Instant::now();
    while after.call(&wire::get_data("/large", false)).expect("an answer").err != 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "long answers are given again");
        std::thread::sleep(Duration::from_millis(100));
    }
    server.terminate();
}

/// The log needs its next segment when nobody may open anything.
#[test]
fn the_log_goes_on_when_no_descriptor_is_left() {
    let scratch = Scratch::new();
    let settings = ["tickTime=500", "maxClientCnxns=0", "preAllocSize=4096", "4lw.commands.whitelist=*"];
    let Some(mut server) = ours(&scratch, &settings) else { return };
    let address = server.address;
    let mut writer = Connection::new_session(address, 20_000).expect("a session");
    writer.must(&wire::create("/filler", b"", flag::PERSISTENT));
    let pid = server.pid().expect("it runs");
    let descriptors = || {
        let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors");
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u64>().ok())
    };
    // From now on there are no more than those in use.
    let limit = descriptors().max().expect("some") + 1;
    let pid = Pid::from_raw(pid as i32);
    prlimit(pid, Resource::Nofile, Rlimit { current: Some(limit), maximum: Some(limit) })
        .expect("the limit is lowered");
    // And what lies between is taken.
    let crowd: Vec<TcpStream> = (0..limit).filter_map(|_| TcpStream::connect(address).ok()).collect();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(descriptors().count() as u64, limit, "all are in use");
    let segments = || {
        let files = std::fs::read_dir(server.data_directory()).expect("the data directory");
        files.filter_map(|file| file.ok()?.file_name().into_string().ok()).filter(|name| name.starts_with("log")).max()
    };
    let before = segments();
    for _ in 0..24 {
        let reply = writer.call(&wire::set_data("/filler", Some(&[3; 500_000]), -1)).expect("an answer");
        assert_eq!(reply.err, 0);
    }
    assert_ne!(segments(), before, "another segment was begun");
    drop(crowd);
    assert!(server.is_running(), "{}", server.log_tail());
    let mut later = Connection::new_session(address, 20_000).expect("who connects later is served");
    later.must(&wire::exists("/filler", false));
    server.terminate();
}

/// Whoever reaches the ports for servers, and says nothing there, takes descriptors: no more than an ensemble's worth.
#[test]
fn strangers_at_the_ports_for_servers_give_way() {
    const STRANGERS: usize = 400;
    /// Those that may be silent at a time, and as many as a server opens for itself meanwhile.
    const MAY_BE: usize = 64 + 36;
    raise_own_limit();
    let scratch = Scratch::new();
    let Some(target) = Target::all().into_iter().find(|target| !target.is_zookeeper()) else { return };
    let (quorum, election) = (free_port(), free_port());
    let member = format!("server.1=127.0.0.1:{quorum}:{election}");
    let settings =
        ["tickTime=500", "initLimit=20", "syncLimit=20", "standaloneEnabled=false", "maxClientCnxns=0", &member];
    let mut server = Server::prepare(target, scratch.path(), &settings);
    std::fs::create_dir_all(server.data_directory()).expect("the data directory");
    std::fs::write(server.data_directory().join("myid"), "1\n").expect("myid");
    server.start_again();
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut owner = loop {
        match Connection::new_session(server.address, 20_000) {
            Ok(connection) => break connection,
            Err(error) => assert!(Instant::now() < deadline, "{error}\n{}", server.log_tail()),
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let pid = server.pid().expect("it runs");
    let open_files = || std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors").count();
    let before = open_files();
    let mut strangers = Vec::new();
    let mut most = 0;
    for number in 0..STRANGERS {
        let port = if number % 2 == 0 { quorum } else { election };
        strangers.extend(TcpStream::connect(("127.0.0.1", port)));
        if number % 20 == 19 {
            owner.must(&wire::exists("/", false));
            most = most.max(open_files());
        }
    }
    std::thread::sleep(Duration::from_millis(500));
    most = most.max(open_files());
    assert_eq!(strangers.len(), STRANGERS);
    assert!(most > before, "they are taken");
    assert!(most <= before + MAY_BE, "{before} descriptors before, {most} with {STRANGERS} strangers");
    owner.must(&wire::create("/served", b"", flag::PERSISTENT));
    server.terminate();
}
