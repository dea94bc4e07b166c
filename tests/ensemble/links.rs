//! The network between the members of an ensemble: every ordered pair of members has a TCP relay of its own for the
//! election port and one for the quorum port, so that traffic can be held back in one direction or both, delayed, or cut
//! off, without privileges. Held traffic is not lost but waits, as TCP's does; connections opened meanwhile stand and
//! hear nothing.
//!
//! A server tells its own election address when it opens a connection, and its peer calls back there; the relay puts its
//! own way back in the place of that address.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::support::wait_for;

/// A relay gives a quorum port this long to be listened on: who was just elected opens it a moment later.
const QUORUM_PORT_LIMIT: Duration = Duration::from_secs(1);

/// How often a relay with nothing to carry looks whether it is over.
const IDLE_LOOK: Duration = Duration::from_millis(250);

/// The longest election address a server may tell (QuorumCnxManager: maxBuffer).
const ADDRESS_LIMIT: usize = 2048;

/// Which of a member's ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Port {
    Quorum,
    Election,
}

/// A member's own ports, where it listens.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    pub quorum: u16,
    pub election: u16,
}

/// One direction between two members, by their places: who sends, who receives.
pub type Direction = (usize, usize);

#[derive(Default)]
struct Rules {
    held: BTreeSet<Direction>,
    delays: BTreeMap<Direction, Duration>,
    over: bool,
    /// The connections that stand, to be cut off.
    standing: Vec<OpenConnection>,
    next_serial: u64,
}

struct OpenConnection {
    serial: u64,
    pair: Direction,
    near: TcpStream,
    far: TcpStream,
}

#[derive(Default)]
struct Traffic {
    rules: Mutex<Rules>,
    changed: Condvar,
}

impl Traffic {
    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until none of the directions is held; false when the network is over.
    fn wait_open(&self, directions: &[Direction]) -> bool {
        let mut rules = self.rules();
        while !rules.over && directions.iter().any(|direction| rules.held.contains(direction)) {
            rules = self.changed.wait(rules).unwrap_or_else(PoisonError::into_inner);
        }
        !rules.over
    }

    fn delay(&self, direction: Direction) -> Duration {
        self.rules().delays.get(&direction).copied().unwrap_or_default()
    }

    fn is_over(&self) -> bool {
        self.rules().over
    }
}

/// All relays of an ensemble.
pub struct Links {
    traffic: Arc<Traffic>,
    /// Where a member (first) reaches another (second).
    ways: BTreeMap<(usize, usize, Port), SocketAddr>,
}

impl Links {
    /// Relays between members that listen, or will listen, on the given ports of 127.0.0.1.
    pub fn new(ports: &[Ports]) -> Links {
        let traffic = Arc::new(Traffic::default());
        let mut ways = BTreeMap::new();
        let mut listeners = Vec::new();
        for from in 0..ports.len() {
            for to in (0..ports.len()).filter(|to| *to != from) {
                for port in [Port::Quorum, Port::Election] {
                    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port for a relay");
                    ways.insert((from, to, port), listener.local_addr().expect("the relay's address"));
                    listeners.push(((from, to), port, listener));
                }
            }
        }
        for (pair, port, listener) in listeners {
            let target = match port {
                Port::Quorum => ports[pair.1].quorum,
                Port::Election => ports[pair.1].election,
            };
            let way = Way {
                traffic: Arc::clone(&traffic),
                pair,
                port,
                target: SocketAddr::from(([127, 0, 0, 1], target)),
                back: ways[&(pair.1, pair.0, Port::Election)],
            };
            std::thread::spawn(move || way.serve(&listener));
        }
        Links { traffic, ways }
    }

    /// Where member `from` reaches `to`.
    pub fn way(&self, from: usize, to: usize, port: Port) -> SocketAddr {
        self.ways[&(from, to, port)]
    }

    /// Holds back everything that goes in one of these directions, from now on.
    pub fn hold(&self, directions: impl IntoIterator<Item = Direction>) {
        self.traffic.rules().held.extend(directions);
    }

    /// Lets everything that goes in one of these directions arrive late.
    pub fn delay(&self, directions: impl IntoIterator<Item = Direction>, by: Duration) {
        self.traffic.rules().delays.extend(directions.into_iter().map(|direction| (direction, by)));
    }

    /// Cuts off the connections that stand between two members, whoever opened them.
    pub fn sever(&self, one: usize, other: usize) {
        let rules = self.traffic.rules();
        for standing in &rules.standing {
            if standing.pair == (one, other) || standing.pair == (other, one) {
                // It may have ended by itself.
                let _ = standing.near.shutdown(Shutdown::Both);
                let _ = standing.far.shutdown(Shutdown::Both);
            }
        }
    }

    /// Ends all holding back and delaying; what was held arrives.
    pub fn heal(&self) {
        let mut rules = self.traffic.rules();
        rules.held.clear();
        rules.delays.clear();
        drop(rules);
        self.traffic.changed.notify_all();
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        let mut rules = self.traffic.rules();
        rules.over = true;
        for standing in &rules.standing {
            let _ = standing.near.shutdown(Shutdown::Both);
            let _ = standing.far.shutdown(Shutdown::Both);
        }
        drop(rules);
        self.traffic.changed.notify_all();
        for way in self.ways.values() {
            // Whoever waits there for a connection gets one, and sees that it is over.
            let _ = TcpStream::connect(way);
        }
    }
}

/// The relay from one member to a port of another.
struct Way {
    traffic: Arc<Traffic>,
    pair: Direction,
    port: Port,
    target: SocketAddr,
    /// Where the receiving member reaches the sending one's election port.
    back: SocketAddr,
}

impl Way {
    fn serve(self, listener: &TcpListener) {
        let way = Arc::new(self);
        for accepted in listener.incoming() {
            if way.traffic.is_over() {
                return;
            }
            if let Ok(near) = accepted {
                let way = Arc::clone(&way);
                std::thread::spawn(move || way.carry(near));
            }
        }
    }

    /// Opens the second half of a connection and carries bytes until both directions have ended. An error of a socket
    /// is the end of the connection, as it is for the servers.
    fn carry(&self, mut near: TcpStream) {
        let (from, to) = self.pair;
        if !self.traffic.wait_open(&[(from, to), (to, from)]) {
            return;
        }
        let Some(mut far) = self.open() else {
            return;
        };
        let opened = near
            .set_nodelay(true)
            .and_then(|()| far.set_nodelay(true))
            .and_then(|()| near.set_read_timeout(Some(IDLE_LOOK)))
            .and_then(|()| far.set_read_timeout(Some(IDLE_LOOK)));
        let (Ok(()), Ok(near_again), Ok(far_again)) = (opened, near.try_clone(), far.try_clone()) else {
            return;
        };
        let serial = self.enter(&near, &far);
        let there = std::thread::scope(|scope| {
            scope.spawn(|| self.pump(far_again, near_again, (to, from)));
            let introduced = match self.port {
                Port::Quorum => Ok(true),
                Port::Election => self.introduce(&mut near, &mut far),
            };
            match introduced {
                Ok(true) => self.pump_on(&mut near, &mut far, (from, to)),
                Ok(false) | Err(_) => {
                    let _ = near.shutdown(Shutdown::Both);
                    let _ = far.shutdown(Shutdown::Both);
                    Ok(())
                }
            }
        });
        // An error of a socket ended it: nothing more to tell.
        let _ = there;
        self.traffic.rules().standing.retain(|standing| standing.serial != serial);
    }

    fn open(&self) -> Option<TcpStream> {
        let limit = match self.port {
            Port::Quorum => QUORUM_PORT_LIMIT,
            Port::Election => Duration::ZERO,
        };
        wait_for(limit, || {
            if self.traffic.is_over() {
                return Some(None);
            }
            TcpStream::connect(self.target).ok().map(Some)
        })
        .flatten()
    }

    fn enter(&self, near: &TcpStream, far: &TcpStream) -> u64 {
        let mut rules = self.traffic.rules();
        let serial = rules.next_serial;
        rules.next_serial += 1;
        if let (Ok(near), Ok(far)) = (near.try_clone(), far.try_clone()) {
            rules.standing.push(OpenConnection { serial, pair: self.pair, near, far });
        }
        serial
    }

    /// Passes on the first message of an election connection (version, sid, address) with the way back in the place of
    /// the sender's address. False when the connection ended before.
    fn introduce(&self, near: &mut TcpStream, far: &mut TcpStream) -> io::Result<bool> {
        let mut head = [0; 20];
        if !self.read_whole(near, &mut head)? {
            return Ok(false);
        }
        let version = i64::from_be_bytes(head[..8].try_into().expect("8 bytes"));
        let length = u32::from_be_bytes(head[16..].try_into().expect("4 bytes")) as usize;
        assert!(
            matches!(version, -65_536 | -65_535) && (1..=ADDRESS_LIMIT).contains(&length),
            "a member opens an election connection with version {version} and {length} bytes of address"
        );
        let mut address = vec![0; length];
        if !self.read_whole(near, &mut address)? {
            return Ok(false);
        }
        let back = self.back.to_string();
        let mut message = head[..16].to_vec();
        message.extend_from_slice(&(back.len() as u32).to_be_bytes());
        message.extend_from_slice(back.as_bytes());
        if !self.traffic.wait_open(&[self.pair]) {
            return Ok(false);
        }
        far.write_all(&message)?;
        Ok(true)
    }

    fn read_whole(&self, from: &mut TcpStream, bytes: &mut [u8]) -> io::Result<bool> {
        let mut filled = 0;
        while filled < bytes.len() {
            match self.read_some(from, &mut bytes[filled..])? {
                0 => return Ok(false),
                count => filled += count,
            }
        }
        Ok(true)
    }

    /// The next bytes; 0 at the end of the stream or of the network.
    fn read_some(&self, from: &mut TcpStream, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            match from.read(bytes) {
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
                    ) =>
                {
                    if self.traffic.is_over() {
                        return Ok(0);
                    }
                }
                other => return other,
            }
        }
    }

    fn pump(&self, mut from: TcpStream, mut to: TcpStream, direction: Direction) {
        // An error of a socket ended it: nothing more to tell.
        let _ = self.pump_on(&mut from, &mut to, direction);
    }

    /// Carries bytes in one direction until its end, and passes the end on.
    fn pump_on(&self, from: &mut TcpStream, to: &mut TcpStream, direction: Direction) -> io::Result<()> {
        let mut bytes = vec![0; 64 * 1024];
        loop {
            let got = self.read_some(from, &mut bytes);
            let late = self.traffic.delay(direction);
            if !late.is_zero() {
                let due = Instant::now() + late;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            let open = self.traffic.wait_open(&[direction]);
            match got {
                Ok(count) if count > 0 && open => {
                    if to.write_all(&bytes[..count]).is_err() {
                        return from.shutdown(Shutdown::Both);
                    }
                }
                Ok(_) => return to.shutdown(Shutdown::Write),
                Err(_) => return to.shutdown(Shutdown::Both),
            }
        }
    }
}
