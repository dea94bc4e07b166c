//! A port that is open, or is to be: its place, its socket, and how it is taken.

use crate::config::member::MemberAddress;
use crate::config::{ClientAddress, Config, Ensemble};
use crate::fatal::{Fatal, Reason};
use crate::runtime::security::Security;
use rustix::io::Errno;
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
pub(crate) enum Port {
    Client,
    /// The port for clients that speak TLS.
    SecureClient,
    Election,
    Quorum,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Port::Client => "client port",
            Port::SecureClient => "secure client port",
            Port::Election => "election port",
            Port::Quorum => "quorum port",
        })
    }
}

/// Where a port is to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Endpoint {
    pub address: ClientAddress,
    pub port: u16,
}

impl Endpoint {
    /// A host of a server's line, which was checked when it was read: a name, or an address without brackets.
    pub(super) fn of(host: &str, port: u16) -> Endpoint {
        let address = match host.parse::<IpAddr>() {
            Ok(address) if address.is_unspecified() => ClientAddress::Any,
            Ok(address) => ClientAddress::Ip(address),
            Err(_) => ClientAddress::Name(host.to_owned()),
        };
        Endpoint { address, port }
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

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            ClientAddress::Ip(address) => SocketAddr::new(*address, self.port).fmt(f),
            address => write!(f, "{address}:{}", self.port),
        }
    }
}

/// What the sockets of a port are like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SocketOptions {
    keep_alive: bool,
    /// Bytes; 0: the system's.
    send_buffer: u32,
    receive_buffer: u32,
    pub(super) backlog: i32,
}

impl SocketOptions {
    /// Of clients.
    pub(super) fn of_clients(config: &Config) -> SocketOptions {
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

/// A port as it is to be.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub port: Port,
    pub(super) place: Endpoint,
    pub(super) options: SocketOptions,
    /// What carries the bytes of its connections.
    pub security: Security,
}

impl Wanted {
    /// For other servers.
    pub(super) fn for_peers(port: Port, place: Endpoint, security: Security) -> Wanted {
        Wanted { port, place, options: SocketOptions::PEERS, security }
    }
}

/// A port that is open.
#[derive(Clone)]
pub(crate) struct Open {
    pub wanted: Wanted,
    pub listener: Arc<TcpListener>,
}

impl Open {
    /// Takes a port. `name` is what an error calls it.
    pub(super) fn take(wanted: Wanted, name: &str) -> Result<Open, Fatal> {
        Open::try_take(wanted, name).map_err(|refused| refused.fatal)
    }

    fn try_take(wanted: Wanted, name: &str) -> Result<Open, Refused> {
        let place = &wanted.place;
        // The name cannot be resolved yet: orchestrators usually create the names a moment after they start the servers.
        let absent = |why: &dyn fmt::Display| Refused {
            fatal: Fatal::new(Reason::CannotListen, format!("{name} {}: {why}", place.address)),
            passes: true,
        };
        let candidates = place.candidates().map_err(|error| absent(&error))?;
        let mut failure = absent(&"it resolves to nothing");
        for address in candidates {
            match bind(address, place.address == ClientAddress::Any, &wanted.options) {
                Ok(listener) => return Ok(Open { wanted, listener: Arc::new(listener) }),
                Err(error) => {
                    let taken = error == Errno::ADDRINUSE;
                    let reason = if taken { Reason::PortInUse } else { Reason::CannotListen };
                    let passes = taken || error == Errno::ADDRNOTAVAIL;
                    failure = Refused { fatal: Fatal::new(reason, format!("{name} {address}: {error}")), passes };
                    if taken {
                        break;
                    }
                }
            }
        }
        Err(failure)
    }

    /// Opens the ports for clients of a server that starts: here stands which there are, and what carries the bytes of each.
    /// `secure`: how connections to the secure port are encrypted.
    pub(crate) fn clients(config: &Config, secure: Option<Security>) -> Result<Vec<Open>, Fatal> {
        let place = Endpoint { address: config.client_address.clone(), port: config.client_port };
        let mut wanted = vec![(Port::Client, place, Security::Plain)];
        if let (Some(port), Some(security)) = (config.secure_client_port, secure) {
            let place = Endpoint { address: config.secure_client_address.clone(), port };
            wanted.push((Port::SecureClient, place, security));
        }
        wanted.into_iter().map(|(port, place, security)| Open::client(config, port, place, security)).collect()
    }

    /// Opens one of them. A member waits for its name and its address to be there as for those of its other ports; a port
    /// that another process has is not waited for, and a standalone server waits for nothing.
    fn client(config: &Config, port: Port, place: Endpoint, security: Security) -> Result<Open, Fatal> {
        let wanted = Wanted { port, place, options: SocketOptions::of_clients(config), security };
        let take = || Open::try_take(wanted.clone(), &port.to_string());
        let Some(ensemble) = &config.ensemble else { return take().map_err(|refused| refused.fatal) };
        let is_there_soon = |refused: &Refused| refused.passes && refused.fatal.reason != Reason::PortInUse;
        insist(ensemble.settings.election_bind_retries, is_there_soon, || std::thread::sleep(RETRY), take)
    }

    /// Opens the election and the quorum port of every address of a member that starts, tried again as often as
    /// `electionPortBindRetry` says: a server that has just ended may still hold them, and its own name and address may come
    /// to be a moment after it.
    pub(crate) fn peers(ensemble: &Ensemble, security: &Security) -> Result<Vec<Open>, Fatal> {
        let wanted = peer_places(&ensemble.own.addresses, ensemble.settings.listen_on_all_addresses);
        let name = format!("server.{}", ensemble.id);
        let take = || {
            let wanted = wanted.iter().cloned();
            let wanted = wanted.map(|(port, place)| Wanted::for_peers(port, place, security.clone()));
            wanted.map(|wanted| Open::try_take(wanted, &name)).collect()
        };
        let passes = |refused: &Refused| refused.passes;
        insist(ensemble.settings.election_bind_retries, passes, || std::thread::sleep(RETRY), take)
    }

    /// The address it is bound to, for people.
    pub(super) fn address(&self) -> String {
        self.listener.local_addr().map_or_else(|error| error.to_string(), |address| address.to_string())
    }
}

/// A port that was not taken.
#[derive(Debug)]
struct Refused {
    fatal: Fatal,
    /// It may be possible a moment later: the port is held by another, or the name or the address is not there yet.
    passes: bool,
}

/// Tries until it is done, or cannot be, or was tried again as often as it is to be (`None`: for ever). The log says why, at
/// growing distances: who waits for ever must neither be silent nor fill a disk.
fn insist<T>(
    retries: Option<u32>,
    passes: impl Fn(&Refused) -> bool,
    pause: impl Fn(),
    mut take: impl FnMut() -> Result<T, Refused>,
) -> Result<T, Fatal> {
    let mut attempt: u32 = 0;
    loop {
        let refused = match take() {
            Ok(taken) => return Ok(taken),
            Err(refused) => refused,
        };
        if !passes(&refused) || retries.is_some_and(|retries| attempt >= retries) {
            return Err(refused.fatal);
        }
        attempt = attempt.saturating_add(1);
        if is_said(attempt) {
            let retries = retries.map_or("for ever".to_owned(), |retries| format!("{retries} times"));
            tracing::warn!(
                attempt,
                electionPortBindRetry = retries,
                "{}; tried again every {} s",
                refused.fatal.detail,
                RETRY.as_secs()
            );
        }
        pause();
    }
}

/// The first attempts are said, then fewer and fewer, and one a minute in the end.
fn is_said(attempt: u32) -> bool {
    attempt.is_power_of_two() && attempt < 64 || attempt.is_multiple_of(60)
}

/// Where a member's ports for the others are to be. `everywhere`: on every address of the machine (`quorumListenOnAllIPs`).
pub(super) fn peer_places(addresses: &[MemberAddress], everywhere: bool) -> Vec<(Port, Endpoint)> {
    let mut places = vec![];
    for address in addresses {
        for (port, number) in [(Port::Election, address.election_port), (Port::Quorum, address.quorum_port)] {
            let place = Endpoint::of(&address.host, number);
            let place = if everywhere { Endpoint { address: ClientAddress::Any, ..place } } else { place };
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    impl Wanted {
        /// At this port of the loopback address, plain.
        pub fn local(port: Port, number: u16) -> Wanted {
            Wanted::for_peers(port, Endpoint::of("127.0.0.1", number), Security::Plain)
        }
    }

    impl Open {
        /// A port for clients that carries their bytes so.
        pub fn for_clients_of_a_test(security: Security) -> Open {
            Open::take(Wanted { security, ..Wanted::local(Port::Client, 0) }, "a test").unwrap()
        }
    }

    fn at(host: &str) -> Endpoint {
        Endpoint::of(host, 1)
    }

    /// How often something is tried that is refused so often, and what comes of it.
    fn tried(retries: Option<u32>, refusals: u32, passes: bool) -> (u32, u32, bool) {
        let (attempts, pauses) = (Cell::new(0), Cell::new(0));
        let take = || {
            attempts.set(attempts.get() + 1);
            let fatal = Fatal::new(Reason::CannotListen, "not there yet");
            if attempts.get() > refusals { Ok(()) } else { Err(Refused { fatal, passes }) }
        };
        let outcome = insist(retries, |refused| refused.passes, || pauses.set(pauses.get() + 1), take);
        (attempts.get(), pauses.get(), outcome.is_ok())
    }

    #[test]
    fn what_passes_is_tried_again_as_often_as_was_said() {
        assert_eq!(tried(Some(3), 0, true), (1, 0, true));
        assert_eq!(tried(Some(3), 3, true), (4, 3, true));
        assert_eq!(tried(Some(3), 4, true), (4, 3, false));
        assert_eq!(tried(None, 1_000, true), (1_001, 1_000, true));
        assert_eq!(tried(None, 1, false), (1, 0, false));
        let said: Vec<u32> = (1..=300).filter(|attempt| is_said(*attempt)).collect();
        assert_eq!(said, [1, 2, 4, 8, 16, 32, 60, 120, 180, 240, 300]);
    }

    /// A name that is not known yet and an address of no interface are waited for; what will never be is not.
    #[test]
    fn what_is_not_there_yet_passes() {
        let refused = |place: Endpoint| {
            let wanted = Wanted::for_peers(Port::Election, place, Security::Plain);
            let refused = Open::try_take(wanted, "server.1").err();
            let refused = refused.expect("it cannot be taken");
            (refused.fatal.reason, refused.passes, refused.fatal.detail)
        };
        // Names that no resolver knows, and addresses that no machine has (RFC 2606, RFC 5737).
        for (host, said) in [("corral.invalid", "server.1 corral.invalid: "), ("192.0.2.1", "server.1 192.0.2.1:1: ")] {
            let (reason, passes, detail) = refused(at(host));
            assert_eq!((reason, passes), (Reason::CannotListen, true), "{detail}");
            assert!(detail.starts_with(said), "{detail}");
        }
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = holder.local_addr().unwrap().port();
        let (reason, passes, _) = refused(Endpoint::of("127.0.0.1", port));
        assert_eq!((reason, passes), (Reason::PortInUse, true));
    }
}
