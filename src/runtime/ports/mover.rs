//! Moves a member's ports to where a reconfiguration wants them, on a thread of its own.
//!
//! Each port for clients moves by itself, the ports for other servers all together. What cannot be bound is tried again for half a
//! minute while the old ports stay; the log says so at the first failure and at the last. A newer wish takes the place of
//! an older one. Where the new port has the number of an old one (a server that is to listen on another address of its
//! machine, or on all), the old one is in the way: it stops listening for the moment it takes, and goes on if that fails.
//! So does any port of this server that is to move itself when clients are to be accepted there; its own turn comes next.

use super::Door;
use super::open::{Endpoint, Open, Port, Wanted, peer_places};
use crate::config::member::{MemberAddress, MemberClient, ServerId};
use crate::fatal::{Fatal, Reason};
use crate::runtime::security::Security;
use crate::runtime::wake::Wake;
use crate::server::quorum::Listen;
use crate::server::stats::Stats;
use rustix::net::Shutdown;
use std::fmt::Display;
use std::net::TcpListener;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How often a port is tried.
const ATTEMPTS: u32 = 30;

/// What a mover is told once.
pub(crate) struct Plan {
    pub id: ServerId,
    /// `quorumListenOnAllIPs`.
    pub everywhere: bool,
    /// What carries the bytes between servers.
    pub security: Security,
    pub stats: Arc<Stats>,
    /// Of the loop that accepts other servers.
    pub wake: Arc<Wake>,
    /// The pause between two attempts.
    pub pause: Duration,
}

/// The mover, from the side of the loop that accepts other servers.
pub(crate) struct Mover {
    wishes: Sender<Listen>,
    moved: Arc<Mutex<Option<Vec<Open>>>>,
}

impl Mover {
    /// Starts the thread; these ports are open: those for clients with their doors, and those for other servers.
    pub(crate) fn start(plan: Plan, clients: Vec<(Open, Arc<Door>)>, peers: Vec<Open>) -> Result<Mover, Fatal> {
        let (wishes, wanted) = channel();
        let work = Work::new(plan, clients, peers);
        let moved = work.moved.clone();
        std::thread::Builder::new()
            .name("ports".to_owned())
            .spawn(move || work.run(&wanted))
            .map_err(|error| Fatal::new(Reason::System, format!("starting a thread: {error}")))?;
        Ok(Mover { wishes, moved })
    }

    /// Has the ports moved, as far as they are elsewhere.
    pub(crate) fn move_to(&self, listen: Listen) {
        // The thread is there as long as this is.
        let _ = self.wishes.send(listen);
    }

    /// The ports for other servers, if they have moved since the last call.
    pub(crate) fn moved(&self) -> Option<Vec<Open>> {
        self.moved.lock().expect("no holder panics").take()
    }
}

/// Something that is to be, and how often it was tried.
struct Wish<T> {
    to: T,
    attempts: u32,
}

impl<T: Display> Wish<T> {
    /// It was tried. Whether it is to be tried again.
    fn goes_on(&mut self, id: ServerId, outcome: Result<(), Fatal>) -> bool {
        let Err(fatal) = outcome else { return false };
        self.attempts += 1;
        let (key, value) = (format!("server.{id}"), &self.to);
        let reason = &fatal.detail;
        if self.attempts == 1 {
            let remedy = "free that address, or reconfigure the line";
            tracing::error!(key, %value, reason, remedy, "a port cannot be moved: the old one stays; trying again");
        } else if self.attempts == ATTEMPTS {
            let remedy = "free that address and restart this server, or reconfigure the line";
            tracing::error!(key, %value, reason, remedy, "a port was not moved: the old one stays");
            return false;
        }
        true
    }
}

/// The addresses of a line between servers.
struct Addresses(Vec<MemberAddress>);

impl Display for Addresses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, MemberAddress { host, quorum_port, election_port }) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "|" };
            write!(f, "{separator}{host}:{quorum_port}:{election_port}")?;
        }
        Ok(())
    }
}

/// A port for clients.
struct ClientPort {
    open: Open,
    door: Arc<Door>,
    to: Option<Wish<Endpoint>>,
}

impl ClientPort {
    /// Whether it is to move, and so may give way to another port.
    fn is_to_go(&self) -> bool {
        self.to.as_ref().is_some_and(|wish| wish.to != self.open.wanted.place)
    }
}

struct Work {
    plan: Plan,
    clients: Vec<ClientPort>,
    peers: Vec<Open>,
    moved: Arc<Mutex<Option<Vec<Open>>>>,
    to_peers: Option<Wish<Addresses>>,
}

impl Work {
    fn new(plan: Plan, clients: Vec<(Open, Arc<Door>)>, peers: Vec<Open>) -> Work {
        let clients = clients.into_iter().map(|(open, door)| ClientPort { open, door, to: None }).collect();
        Work { plan, clients, peers, moved: Arc::default(), to_peers: None }
    }

    /// Moves ports until the channel of wishes is closed.
    fn run(mut self, wanted: &Receiver<Listen>) {
        loop {
            let is_idle = self.clients.iter().all(|client| client.to.is_none()) && self.to_peers.is_none();
            let next = if is_idle {
                wanted.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                wanted.recv_timeout(self.plan.pause)
            };
            match next {
                Ok(Listen { client, peers }) => {
                    if let Some(MemberClient { host, port }) = client {
                        self.wish(Port::Client, Endpoint::of(&host, port));
                    }
                    self.to_peers = peers.map(|to| Wish { to: Addresses(to), attempts: 0 }).or(self.to_peers);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.attempt();
        }
    }

    /// This port for clients is to be there.
    fn wish(&mut self, port: Port, to: Endpoint) {
        if let Some(client) = self.clients.iter_mut().find(|client| client.open.wanted.port == port) {
            client.to = Some(Wish { to, attempts: 0 });
        }
    }

    /// Tries everything that is to move, once.
    fn attempt(&mut self) {
        for number in 0..self.clients.len() {
            if let Some(mut wish) = self.clients[number].to.take() {
                let outcome = self.move_client(number, &wish.to);
                self.clients[number].to = wish.goes_on(self.plan.id, outcome).then_some(wish);
            }
        }
        if let Some(mut wish) = self.to_peers.take() {
            let outcome = self.move_peers(&wish.to.0);
            self.to_peers = wish.goes_on(self.plan.id, outcome).then_some(wish);
        }
    }

    fn move_client(&mut self, number: usize, to: &Endpoint) -> Result<(), Fatal> {
        let ClientPort { open, .. } = &self.clients[number];
        if open.wanted.place == *to {
            return Ok(());
        }
        let mut old = vec![open.clone()];
        old.extend(self.clients.iter().filter(|client| client.is_to_go()).map(|client| client.open.clone()));
        if let Some(Wish { to: Addresses(addresses), .. }) = &self.to_peers {
            old.extend(self.peers_to_go(&peer_places(addresses, self.plan.everywhere)));
        }
        let wanted = Wanted { place: to.clone(), ..open.wanted.clone() };
        let port = wanted.port;
        let new = take_over(&old, || Open::take(wanted.clone(), &port.to_string()), to.port)?;
        tracing::info!(%port, from = open.address(), to = new.address(), "clients are accepted at another port");
        if port == Port::Client {
            self.plan.stats.client_port.store(to.port, Relaxed);
        }
        let client = &mut self.clients[number];
        client.door.move_to(new.listener.clone());
        client.open = new;
        // A peer port that was closed for this one does not come back.
        let is_old = |open: &Open| old.iter().any(|old| old.wanted.place == open.wanted.place);
        self.peers.retain(|open| open.wanted.place.port != to.port || !is_old(open));
        Ok(())
    }

    /// Ports for other servers that are not among those wanted: what stays must not give way to anything.
    fn peers_to_go(&self, wanted: &[(Port, Endpoint)]) -> Vec<Open> {
        let is_to_go = |open: &&Open| wanted.iter().all(|(_, place)| *place != open.wanted.place);
        self.peers.iter().filter(is_to_go).cloned().collect()
    }

    fn move_peers(&mut self, addresses: &[MemberAddress]) -> Result<(), Fatal> {
        let name = format!("server.{}", self.plan.id);
        let wanted = peer_places(addresses, self.plan.everywhere);
        let old = self.peers_to_go(&wanted);
        let mut new = vec![];
        for (port, place) in wanted {
            // A port that stays, or that serves the other purpose from now on.
            if let Some(same) = self.peers.iter().find(|open| open.wanted.place == place) {
                let wanted = Wanted { port, ..same.wanted.clone() };
                new.push(Open { wanted, ..same.clone() });
                continue;
            }
            let number = place.port;
            let wanted = Wanted::for_peers(port, place, self.plan.security.clone());
            match take_over(&old, || Open::take(wanted.clone(), &name), number) {
                Ok(open) => new.push(open),
                Err(fatal) => {
                    // What has given way to a port that is given up again goes on.
                    drop(new);
                    old.iter().for_each(listen_again);
                    return Err(fatal);
                }
            }
        }
        for open in &new {
            tracing::info!(port = ?open.wanted.port, at = open.address(), "other servers are accepted here");
        }
        self.peers = new.clone();
        *self.moved.lock().expect("no holder panics") = Some(new);
        self.plan.wake.ring();
        Ok(())
    }
}

/// Opens a port of this number. Ports of this server's own that are in the way stop listening first.
fn take_over(old: &[Open], take: impl Fn() -> Result<Open, Fatal>, number: u16) -> Result<Open, Fatal> {
    let fatal = match take() {
        Err(fatal) if fatal.reason == Reason::PortInUse => fatal,
        outcome => return outcome,
    };
    let number_of = |listener: &TcpListener| listener.local_addr().map(|address| address.port()).ok();
    let in_the_way: Vec<&Open> = old.iter().filter(|open| number_of(&open.listener) == Some(number)).collect();
    if in_the_way.is_empty() {
        return Err(fatal);
    }
    for open in &in_the_way {
        // A socket that is still bound can listen again; while it does not listen, the same port can be bound.
        let _ = rustix::net::shutdown(&open.listener, Shutdown::Both);
    }
    let outcome = take();
    if outcome.is_err() {
        in_the_way.into_iter().for_each(listen_again);
    }
    outcome
}

fn listen_again(open: &Open) {
    if let Err(error) = rustix::net::listen(&open.listener, open.wanted.options.backlog) {
        tracing::error!(port = ?open.wanted.port, at = open.address(), %error, "a port is lost; restart this server");
    }
}

#[cfg(test)]
mod tests;
