//! The ports a server listens on: how they are opened, and how they move while it runs.
//!
//! A reconfiguration may give a member another address for its clients, its learners or its votes. The new port is bound
//! first, then the old one is closed; connections stay with whoever accepted them. `door` is the client port, which all
//! shards accept at; `mover` is the thread that opens ports anew, because names have to be looked up, and that blocks.

mod door;
mod mover;

pub use door::Door;
pub use mover::{Mover, Plan};

use crate::config::member::MemberAddress;
use crate::config::{ClientAddress, Config, Ensemble};
use crate::fatal::{Fatal, Reason};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

/// The pause between two attempts to take the election port (ZooKeeper 3.9, `QuorumCnxManager.Listener`).
const RETRY: Duration = Duration::from_secs(1);

/// Connections that wait to be accepted from other servers: more than an ensemble has.
const PEER_BACKLOG: i32 = 128;

/// What a port is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Port {
    Client,
    Election,
    Quorum,
}

/// Where a port is to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    pub address: ClientAddress,
    pub port: u16,
}

impl Place {
    /// A host of a server's line, which was checked when it was read: a name, or an address without brackets.
    fn of(host: &str, port: u16) -> Place {
        let address = match host.parse::<IpAddr>() {
            Ok(address) if address.is_unspecified() => ClientAddress::Any,
            Ok(address) => ClientAddress::Ip(address),
            Err(_) => ClientAddress::Name(host.to_owned()),
        };
        Place { address, port }
    }

    /// What it is bound to, in this order until one can be.
    fn candidates(&self) -> std::io::Result<Vec<SocketAddr>> {
        let any = |address: IpAddr| SocketAddr::new(address, self.port);
        Ok(match &self.address {
            ClientAddress::Any => vec![any(Ipv6Addr::UNSPECIFIED.into()), any(Ipv4Addr::UNSPECIFIED.into())],
            ClientAddress::Ip(address) => vec![SocketAddr::new(*address, self.port)],
            ClientAddress::Name(name) => (name.as_str(), self.port).to_socket_addrs()?.collect(),
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            ClientAddress::Ip(address) => SocketAddr::new(*address, self.port).fmt(f),
            address => write!(f, "{address}:{}", self.port),
        }
    }
}

/// What the sockets of a port are like.
#[derive(Clone, Copy, Debug)]
pub struct SocketOptions {
    keep_alive: bool,
    /// Bytes; 0: the system's.
    send_buffer: u32,
    receive_buffer: u32,
    backlog: i32,
}

impl SocketOptions {
    /// Of clients.
    fn of_clients(config: &Config) -> SocketOptions {
        SocketOptions {
            keep_alive: config.client_tcp_keep_alive,
            send_buffer: config.socket_send_buffer,
            receive_buffer: config.socket_receive_buffer,
            backlog: config.listen_backlog() as i32,
        }
    }

    /// Of other servers; what each connection is like is decided when it is accepted.
    const PEERS: SocketOptions =
        SocketOptions { keep_alive: false, send_buffer: 0, receive_buffer: 0, backlog: PEER_BACKLOG };
}

/// A port that is open.
#[derive(Clone)]
pub struct Open {
    pub port: Port,
    place: Place,
    options: SocketOptions,
    pub listener: Arc<TcpListener>,
}

impl Open {
    /// Takes a port. `name` is what an error calls it.
    fn take(port: Port, place: Place, options: SocketOptions, name: &str) -> Result<Open, Fatal> {
        let candidates = place.candidates();
        let candidates = candidates
            .map_err(|error| Fatal::new(Reason::CannotListen, format!("{name} {}: {error}", place.address)))?;
        let mut failure = Fatal::new(Reason::CannotListen, format!("{name} {}: it resolves to nothing", place.address));
        for address in candidates {
            match bind(address, place.address == ClientAddress::Any, &options) {
                Ok(listener) => return Ok(Open { port, place, options, listener: Arc::new(listener) }),
                Err(error) => {
                    let taken = error == rustix::io::Errno::ADDRINUSE;
                    let reason = if taken { Reason::PortInUse } else { Reason::CannotListen };
                    failure = Fatal::new(reason, format!("{name} {address}: {error}"));
                    if taken {
                        break;
                    }
                }
            }
        }
        Err(failure)
    }

    /// Opens the client port of a server that starts.
    pub fn client(config: &Config) -> Result<Open, Fatal> {
        let place = Place { address: config.client_address.clone(), port: config.client_port };
        Open::take(Port::Client, place, SocketOptions::of_clients(config), "client port")
    }

    /// Opens the election and the quorum port of every address of a member that starts, tried again as often as
    /// `electionPortBindRetry` says: a server that has just ended may still hold them.
    pub fn peers(ensemble: &Ensemble) -> Result<Vec<Open>, Fatal> {
        let wanted = peer_places(&ensemble.own.addresses, ensemble.settings.listen_on_all_addresses);
        let name = format!("server.{}", ensemble.id);
        let mut attempt = 0;
        loop {
            let take = |(port, place): &(Port, Place)| Open::take(*port, place.clone(), SocketOptions::PEERS, &name);
            match wanted.iter().map(take).collect() {
                Err(Fatal { reason: Reason::PortInUse, detail, .. })
                    if ensemble.settings.election_bind_retries.is_none_or(|retries| attempt < retries) =>
                {
                    attempt += 1;
                    tracing::warn!(attempt, "{detail}; trying again");
                    std::thread::sleep(RETRY);
                }
                outcome => return outcome,
            }
        }
    }

    /// The address it is bound to, for people.
    fn address(&self) -> String {
        self.listener.local_addr().map_or_else(|error| error.to_string(), |address| address.to_string())
    }
}

/// Where a member's ports for the others are to be. `everywhere`: on every address of the machine (`quorumListenOnAllIPs`).
fn peer_places(addresses: &[MemberAddress], everywhere: bool) -> Vec<(Port, Place)> {
    let mut places = vec![];
    for address in addresses {
        for (port, number) in [(Port::Election, address.election_port), (Port::Quorum, address.quorum_port)] {
            let place = Place::of(&address.host, number);
            let place = if everywhere { Place { address: ClientAddress::Any, ..place } } else { place };
            if !places.contains(&(port, place.clone())) {
                places.push((port, place));
            }
        }
    }
    places
}

fn bind(address: SocketAddr, both_families: bool, options: &SocketOptions) -> rustix::io::Result<TcpListener> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() && both_families {
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    // Accepted connections inherit these.
    if options.keep_alive {
        sockopt::set_socket_keepalive(&socket, true)?;
    }
    if options.send_buffer > 0 {
        sockopt::set_socket_send_buffer_size(&socket, options.send_buffer as usize)?;
    }
    if options.receive_buffer > 0 {
        sockopt::set_socket_recv_buffer_size(&socket, options.receive_buffer as usize)?;
    }
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, options.backlog)?;
    Ok(TcpListener::from(socket))
}
