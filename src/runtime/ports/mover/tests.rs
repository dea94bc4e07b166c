//! The mover against real sockets of this machine.

use super::*;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::AtomicU32;
use std::time::Instant;

/// Something that is to happen by itself does within this.
const LIMIT: Duration = Duration::from_secs(20);

fn wait_for<T>(mut found: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + LIMIT;
    loop {
        match found() {
            None if Instant::now() < end => std::thread::yield_now(),
            found => return found,
        }
    }
}

/// A port that is free now and not given again, from below those that outgoing connections are given.
fn free() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let ports = (0..20_000).map(|_| (std::process::id() % 20_000 * 97 + NEXT.fetch_add(1, Relaxed)) % 20_000 + 11_000);
    let mut free = ports.map(|port| port as u16).filter(|port| TcpListener::bind(local(*port)).is_ok());
    free.next().expect("a free port")
}

fn open(port: Port, number: u16) -> Open {
    Open::take(Wanted::local(port, number), "a test").unwrap()
}

fn is_heard(address: SocketAddr) -> bool {
    match TcpStream::connect(address) {
        Ok(_) => true,
        Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset) => false,
        Err(error) => panic!("{address}: {error}"),
    }
}

fn local(number: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, number))
}

fn client(host: &str, port: u16) -> Listen {
    Listen { client: Some(MemberClient { host: host.to_owned(), port }), peers: None }
}

fn peers(addresses: &[(&str, u16, u16)]) -> Listen {
    let address =
        |&(host, quorum_port, election_port)| MemberAddress { host: String::from(host), quorum_port, election_port };
    Listen { client: None, peers: Some(addresses.iter().map(address).collect()) }
}

struct Moving {
    door: Arc<Door>,
    stats: Arc<Stats>,
    mover: Mover,
    /// What the door's loop knows.
    moves: u64,
}

/// A server whose ports are at these numbers.
fn moving(client: u16, quorum: u16, election: u16) -> Moving {
    let client = open(Port::Client, client);
    let door = Arc::new(Door::new(&client));
    let stats = Arc::new(Stats::new(1));
    let open = vec![open(Port::Election, election), open(Port::Quorum, quorum)];
    let mover = Mover::start(plan(&stats), vec![(client, door.clone())], open).unwrap();
    Moving { door, stats, mover, moves: 0 }
}

fn plan(stats: &Arc<Stats>) -> Plan {
    Plan {
        id: ServerId(2),
        everywhere: false,
        security: Security::Plain,
        stats: stats.clone(),
        wake: Arc::new(Wake::new().unwrap()),
        pause: Duration::from_millis(5),
    }
}

impl Moving {
    fn client_moves(&mut self) -> Option<Arc<TcpListener>> {
        wait_for(|| self.door.moved(&mut self.moves))
    }

    fn peers_move(&self) -> Vec<(Port, SocketAddr)> {
        let moved = wait_for(|| self.mover.moved()).expect("moved in time");
        moved.iter().map(|open| (open.wanted.port, open.listener.local_addr().unwrap())).collect()
    }
}

#[test]
fn the_client_port_moves_and_the_old_one_refuses() {
    let [old, new, quorum, election] = [(); 4].map(|()| free());
    let mut moving = moving(old, quorum, election);
    let held = TcpStream::connect(local(old)).unwrap();
    let door = moving.door.attend(Arc::new(Wake::new().unwrap()));
    let (accepted, _) = wait_for(|| door.accept().ok()).unwrap();
    drop(door);
    moving.mover.move_to(client("127.0.0.1", new));
    assert_eq!(moving.client_moves().expect("moved in time").local_addr().unwrap(), local(new));
    assert!(is_heard(local(new)));
    assert!(wait_for(|| (!is_heard(local(old))).then_some(())).is_some(), "the old one is closed");
    assert_eq!(moving.stats.client_port.load(Relaxed), new);
    // Whoever was accepted before stays.
    std::io::Write::write_all(&mut &accepted, b"x").unwrap();
    let mut read = [0];
    std::io::Read::read_exact(&mut &held, &mut read).unwrap();
    assert_eq!(&read, b"x");
    assert!(moving.mover.moved().is_none(), "the others stay");
}

#[test]
fn a_port_moves_to_another_address_with_its_number() {
    let [number, quorum, election] = [(); 3].map(|()| free());
    let mut moving = moving(number, quorum, election);
    moving.mover.move_to(client("0.0.0.0", number));
    let all = moving.client_moves().expect("moved in time");
    assert!(all.local_addr().unwrap().ip().is_unspecified());
    assert!(is_heard(local(number)));
    moving.mover.move_to(peers(&[("0.0.0.0", quorum, election)]));
    let ports = moving.peers_move();
    assert!(ports.iter().all(|(_, at)| at.ip().is_unspecified()), "{ports:?}");
    assert!(is_heard(local(quorum)) && is_heard(local(election)));
}

#[test]
fn a_port_that_is_taken_is_tried_again_and_the_old_one_stays_until_then() {
    let [old, quorum, election] = [(); 3].map(|()| free());
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let new = taken.local_addr().unwrap().port();
    let mut moving = moving(old, quorum, election);
    moving.mover.move_to(client("127.0.0.1", new));
    // Its turn comes behind the first attempt at the other: none of both holds the other up.
    let (q, e) = (free(), free());
    moving.mover.move_to(peers(&[("127.0.0.1", q, e)]));
    assert_eq!(moving.peers_move(), [(Port::Election, local(e)), (Port::Quorum, local(q))]);
    assert!(moving.door.moved(&mut moving.moves).is_none() && is_heard(local(old)));
    drop(taken);
    assert_eq!(moving.client_moves().expect("moved in time").local_addr().unwrap(), local(new));
}

#[test]
fn a_newer_wish_takes_the_place_of_one_that_cannot_be() {
    let [old, quorum, election, newest] = [(); 4].map(|()| free());
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut moving = moving(old, quorum, election);
    moving.mover.move_to(client("127.0.0.1", taken.local_addr().unwrap().port()));
    moving.mover.move_to(client("127.0.0.1", newest));
    assert_eq!(moving.client_moves().expect("moved in time").local_addr().unwrap(), local(newest));
}

/// Both or none: a quorum port that cannot be had leaves the election port where it was, listening.
#[test]
fn ports_between_servers_move_together() {
    let [old, quorum, election] = [(); 3].map(|()| free());
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let moving = moving(old, quorum, election);
    // The election port changes its address first, for which the old one has to stop.
    moving.mover.move_to(peers(&[("0.0.0.0", taken.local_addr().unwrap().port(), election)]));
    let next = free();
    moving.mover.move_to(client("127.0.0.1", next));
    // The client port is moved behind the first attempt.
    assert!(wait_for(|| (moving.stats.client_port.load(Relaxed) == next).then_some(())).is_some());
    assert!(moving.mover.moved().is_none());
    assert!(wait_for(|| is_heard(local(election)).then_some(())).is_some());
    assert!(is_heard(local(quorum)));
    drop(taken);
    let ports = moving.peers_move();
    assert!(ports.iter().all(|(_, at)| at.ip().is_unspecified()), "{ports:?}");
}

#[test]
fn the_ports_between_servers_may_change_places() {
    let [old, quorum, election] = [(); 3].map(|()| free());
    let moving = moving(old, quorum, election);
    moving.mover.move_to(peers(&[("127.0.0.1", election, quorum)]));
    assert_eq!(moving.peers_move(), [(Port::Election, local(quorum)), (Port::Quorum, local(election))]);
}

/// Clients come to where votes or learners came, and these to where clients came.
#[test]
fn clients_and_servers_may_change_places() {
    for takes_election in [true, false] {
        let [one, quorum, election] = [(); 3].map(|()| free());
        let mut moving = moving(one, quorum, election);
        let (two, q, e) = if takes_election { (election, quorum, one) } else { (quorum, one, election) };
        moving.mover.move_to(Listen { client: client("127.0.0.1", two).client, ..peers(&[("127.0.0.1", q, e)]) });
        // The loop that accepts clients lets the old one go, as the brain's does below.
        assert_eq!(moving.client_moves().expect("moved in time").local_addr().unwrap(), local(two));
        assert_eq!(moving.peers_move(), [(Port::Election, local(e)), (Port::Quorum, local(q))]);
        assert!([two, q, e].into_iter().all(|port| is_heard(local(port))));
    }
}

/// With several ports for clients, each moves by itself and keeps its kind of transport; two may change places.
#[test]
fn ports_for_clients_move_each_by_itself() {
    let stats = Arc::new(Stats::new(1));
    let [one, two, new] = [(); 3].map(|()| free());
    let ports = [(one, Security::Plain), (two, Security::Veiled)].map(|(number, security)| {
        let open = Open::take(Wanted { security, ..Wanted::local(Port::Client, number) }, "a test").unwrap();
        let door = Arc::new(Door::new(&open));
        (open, door)
    });
    let doors = ports.each_ref().map(|(_, door)| door.clone());
    let mut known = [0; 2];
    let mut work = Work::new(plan(&stats), ports.into(), vec![]);
    let mut move_to = |ports: &[(usize, u16)]| {
        for (number, port) in ports {
            work.clients[*number].to = Some(Wish { to: Endpoint::of("127.0.0.1", *port), attempts: 0 });
        }
        for _ in 0..2 {
            work.attempt();
        }
        assert!(work.clients.iter().all(|client| client.to.is_none()), "done");
        [0, 1].map(|number| doors[number].moved(&mut known[number]).map(|door| door.local_addr().unwrap()))
    };
    assert_eq!(move_to(&[(1, new)]), [None, Some(local(new))]);
    assert!(!is_heard(local(two)) && is_heard(local(one)));
    assert_eq!(move_to(&[(0, new), (1, one)]), [Some(local(new)), Some(local(one))]);
    assert!(matches!(work.clients[1].open.wanted.security, Security::Veiled));
}

#[test]
fn what_cannot_be_is_given_up_and_the_old_port_stays() {
    let mut wish = Wish { to: Endpoint::of("10.0.0.1", 2181), attempts: 0 };
    let outcome = || Err(Fatal::new(Reason::CannotListen, "not here"));
    let tries = (1..).take_while(|_| wish.goes_on(ServerId(2), outcome())).count();
    assert_eq!(tries as u32 + 1, ATTEMPTS);
    assert!(!Wish { to: Endpoint::of("h", 1), attempts: 0 }.goes_on(ServerId(2), Ok(())));
    let [one, two] = ["10.0.0.1", "0.0.0.0"].map(|host| Endpoint::of(host, 2181).to_string());
    assert_eq!((one.as_str(), two.as_str()), ("10.0.0.1:2181", "*:2181"));
}
