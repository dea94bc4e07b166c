//! The connections between the members of an ensemble: elections', learners' and the leader's, in one epoll descriptor
//! that both edges wait for.
//!
//! The quorum brain says what is to be sent, dialled and closed; what is read goes to it as it comes. A turn reads every
//! ready socket once, and at its end sends what each connection has in one call. This module does not interpret the bytes,
//! except the first message of an election connection, which names its server.

mod accept;
mod dial;
mod socket;

use super::helpers::Helpers;
use super::ports::{Mover, Open};
use super::security::Security;
use super::transport::{Received, Transport};
use super::wake::Wake;
use crate::fatal::{Fatal, Reason};
use crate::ids::Zxid;
use crate::jute::quorum::{Packet, PacketType};
use crate::limits;
use crate::server::memory::Pot;
use crate::server::quorum::{Effect, Input, PeerInput, Quorum};
use crate::storage::java::stream::StreamSender;
use crate::storage::log::seek::Stretch;
use crate::storage::snapshot::format::file_name;
use crate::zab::leader::PeerId;
use crate::zab::links::LinkId;
use dial::{Dialled, Dialler, Purpose, dial};
use rustix::event::{Timespec, epoll};
use socket::{Fed, Feed, Kind, Piece, Socket, who_gives_way};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::time::Duration;

/// Listeners have tokens below this, sockets from it on.
const FIRST_SOCKET: u64 = 1 << 16;

/// What the connections are told once.
#[derive(Clone, Debug)]
pub(crate) struct PeerOptions {
    /// How long an attempt to connect may take (`cnxTimeout`).
    pub connect_timeout: Duration,
    /// How long a new connection may take to say whose it is, ms; at the quorum port, to say anything.
    pub handshake_ms: i64,
    /// Connections of all kinds.
    pub max_sockets: usize,
    /// `tcpKeepAlive` between servers.
    pub keep_alive: bool,
    /// What carries the bytes of connections that this server makes.
    pub security: Security,
    /// Where snapshots are.
    pub snapshot_dir: PathBuf,
    /// Bytes that may wait for one server ([`limits::learner_unsent`]).
    pub unsent: usize,
    /// The pot that all unsent bytes are charged to.
    pub memory: Arc<Pot>,
}

/// The connections of one member.
pub(crate) struct Peers {
    options: PeerOptions,
    epoll: OwnedFd,
    now_ms: i64,
    wake: Arc<Wake>,
    ports: Vec<Open>,
    mover: Mover,
    /// Ports that are left alone until the next tick.
    resting: Vec<usize>,
    sockets: BTreeMap<u64, Socket>,
    next: u64,
    /// The connection to the leader, and the number of the last attempt to make one.
    leader: Option<u64>,
    attempt: u64,
    dialled: Receiver<Dialled>,
    dialler: Dialler,
    /// Sockets that have something to send.
    dirty: Vec<u64>,
    /// Sockets whose transports hold plaintext that was not read yet.
    unread: Vec<u64>,
    /// Sockets on which a snapshot goes out, and of what zxid it is.
    feeding: Vec<(u64, Zxid)>,
    /// Learners that wait for a snapshot.
    wanting: Vec<PeerId>,
    /// Learners that are to be sent more of the log when they have taken what they were sent.
    reading: Vec<(PeerId, Stretch)>,
    buffer: Box<[u8]>,
}

fn system(error: rustix::io::Errno) -> Fatal {
    Fatal::new(Reason::System, format!("the epoll set of the ensemble's connections: {error}"))
}

impl Peers {
    /// No connection exists yet; `wake` is the bell of the loop that calls [`Peers::turn`].
    pub(crate) fn new(options: PeerOptions, ports: (Vec<Open>, Mover), wake: Arc<Wake>) -> Result<Peers, Fatal> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(system)?;
        let (ports, mover) = ports;
        for (number, open) in ports.iter().enumerate() {
            watch(&epoll, number, open).map_err(system)?;
        }
        let (done, dialled) = channel();
        let (security, timeout) = (options.security.clone(), options.connect_timeout);
        let dialler = Dialler { security, timeout, done, wake: wake.clone() };
        Ok(Peers {
            options,
            epoll,
            now_ms: 0,
            wake,
            ports,
            mover,
            resting: vec![],
            sockets: BTreeMap::new(),
            next: FIRST_SOCKET,
            leader: None,
            attempt: 0,
            dialled,
            dialler,
            dirty: vec![],
            unread: vec![],
            feeding: vec![],
            wanting: vec![],
            reading: vec![],
            buffer: vec![0; limits::PEER_READ].into_boxed_slice(),
        })
    }

    /// The one descriptor to wait for.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// A turn of the loop: the time, and whether the descriptor is readable. What was read goes to the brain.
    pub(crate) fn turn(&mut self, quorum: &mut Quorum, now_ms: i64, is_ready: bool) {
        self.now_ms = now_ms;
        while let Ok(dialled) = self.dialled.try_recv() {
            self.dialled(quorum, dialled);
        }
        if let Some(ports) = self.mover.moved() {
            self.listen_at(ports);
        }
        self.read_on(quorum);
        if is_ready {
            self.look(quorum);
        }
        self.feed(quorum);
    }

    /// Reads once from each transport that held more than was taken, where the system says nothing.
    fn read_on(&mut self, quorum: &mut Quorum) {
        for token in std::mem::take(&mut self.unread) {
            let Some(socket) = self.sockets.get_mut(&token) else { continue };
            if socket.armed.intersects(epoll::EventFlags::IN) {
                socket.is_unread = false;
                self.receive(quorum, token);
            } else {
                self.unread.push(token);
            }
        }
    }

    fn look(&mut self, quorum: &mut Quorum) {
        let mut events = Vec::with_capacity(limits::PEER_EVENTS);
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&now)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => crate::fatal::exit(&system(error)),
        }
        for event in events {
            let event: epoll::Event = event;
            match event.data.u64() {
                token if token < FIRST_SOCKET => self.accept(quorum, token as usize),
                token => self.ready(quorum, token, event.flags),
            }
        }
    }

    /// Half a tick has passed: connections that took too long are ended, listeners that had to rest go on.
    pub(crate) fn tick(&mut self, quorum: &mut Quorum) {
        self.resting
            .retain(|number| self.ports.get(*number).is_some_and(|open| watch(&self.epoll, *number, open).is_err()));
        let now_ms = self.now_ms;
        let over: Vec<u64> =
            self.sockets.iter_mut().filter_map(|(token, socket)| socket.is_over(now_ms).then_some(*token)).collect();
        for token in over {
            self.lost(quorum, token);
        }
        for token in who_gives_way(&mut self.sockets, &self.options.memory) {
            let used = self.options.memory.used();
            tracing::warn!(
                used,
                "a server takes nothing of what it is sent, and memory is short: the connection ends (corral.memoryLimit)"
            );
            self.lost(quorum, token);
        }
    }

    fn add(&mut self, transport: Transport, kind: Kind) -> Option<u64> {
        if self.options.keep_alive && rustix::net::sockopt::set_socket_keepalive(&transport, true).is_err() {
            return None;
        }
        let token = self.next;
        self.next += 1;
        let greets_until_ms = self.now_ms + self.options.handshake_ms;
        let socket = Socket::new(transport, kind, greets_until_ms, &self.options.memory);
        epoll::add(&self.epoll, &socket.transport, epoll::EventData::new_u64(token), socket.armed).ok()?;
        self.sockets.insert(token, socket);
        Some(token)
    }

    fn dialled(&mut self, quorum: &mut Quorum, Dialled { purpose, outcome }: Dialled) {
        match (purpose, outcome) {
            (Purpose::Election(peer), outcome) => {
                let token = match outcome {
                    Ok(transport) => self.add(transport, Kind::Link),
                    Err(error) => {
                        tracing::debug!(peer = peer.0, %error, "a server cannot be reached for the election");
                        None
                    }
                };
                match token {
                    Some(token) => quorum.step(Input::Peer(PeerInput::Dialled { peer, link: LinkId(token) })),
                    None => quorum.step(Input::Peer(PeerInput::DialFailed { peer })),
                }
            }
            // Of an attempt that was given up.
            (Purpose::Leader(attempt), _) if attempt != self.attempt => {}
            (Purpose::Leader(_), outcome) => {
                self.leader = match outcome {
                    Ok(transport) => self.add(transport, Kind::Leader),
                    Err(error) => {
                        tracing::debug!(%error, "the leader cannot be reached");
                        None
                    }
                };
                quorum.step(Input::Peer(if self.leader.is_some() { PeerInput::Leader } else { PeerInput::NoLeader }));
            }
        }
    }

    fn ready(&mut self, quorum: &mut Quorum, token: u64, flags: epoll::EventFlags) {
        let Some(socket) = self.sockets.get_mut(&token) else { return };
        if flags.intersects(epoll::EventFlags::OUT) {
            socket.is_paused = false;
            if socket.transport.push().is_err() {
                return self.lost(quorum, token);
            }
            self.dirty.push(token);
        }
        if !flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR) {
            return;
        }
        if socket.armed.intersects(epoll::EventFlags::IN) {
            // A connection that holds plaintext is read when its turn in the list comes.
            if !socket.is_unread {
                self.receive(quorum, token);
            }
        } else if flags.intersects(epoll::EventFlags::HUP | epoll::EventFlags::ERR) {
            self.lost(quorum, token);
        }
    }

    /// Reads once, and hands on what came.
    fn receive(&mut self, quorum: &mut Quorum, token: u64) {
        let Some(socket) = self.sockets.get_mut(&token) else { return };
        let was_handshaking = socket.transport.is_handshaking();
        let received = socket.transport.read(&mut self.buffer);
        // What was refused during the handshake is offered again, and what the transport itself has to say may wait for room.
        let is_agreed = was_handshaking && !socket.transport.is_handshaking();
        if is_agreed || socket.waits_for_room() != socket.armed.intersects(epoll::EventFlags::OUT) {
            self.dirty.push(token);
        }
        if socket.transport.has_more() {
            socket.is_unread = true;
            self.unread.push(token);
        }
        match received {
            Ok(Received::Bytes(n)) => self.received(quorum, token, n),
            Ok(Received::Nothing) => {}
            Ok(Received::End) | Err(_) => self.lost(quorum, token),
        }
    }

    /// The connection has ended without our doing.
    fn lost(&mut self, quorum: &mut Quorum, token: u64) {
        let Some(socket) = self.sockets.remove(&token) else { return };
        match socket.kind {
            Kind::Unknown(_) => {}
            _ if socket.is_closing => {}
            Kind::Link => quorum.step(Input::Peer(PeerInput::Closed { link: LinkId(token) })),
            Kind::Learner => {
                self.wanting.retain(|wanting| wanting.0 != token);
                quorum.step(Input::Peer(PeerInput::LearnerGone(PeerId(token))));
            }
            Kind::Leader => {
                self.leader = None;
                quorum.step(Input::Peer(PeerInput::LeaderGone));
            }
        }
    }

    fn received(&mut self, quorum: &mut Quorum, token: u64, n: usize) {
        let bytes = &self.buffer[..n];
        let Some(socket) = self.sockets.get_mut(&token) else { return };
        let is_closing = socket.is_closing;
        if matches!(socket.kind, Kind::Learner) && !is_closing {
            socket.ends_at_ms = None;
        }
        match &mut socket.kind {
            Kind::Unknown(said) => {
                said.extend_from_slice(bytes);
                let said = std::mem::take(said);
                self.introduced(quorum, token, said);
            }
            _ if is_closing => {}
            Kind::Link => quorum.step(Input::Peer(PeerInput::Received { link: LinkId(token), bytes })),
            Kind::Learner => quorum.step(Input::Peer(PeerInput::FromLearner { peer: PeerId(token), bytes })),
            Kind::Leader => quorum.step(Input::Peer(PeerInput::FromLeader(bytes))),
        }
    }

    /// A snapshot has been written: it goes to every learner that waits for one, even if the learner came after the snapshot
    /// was begun. The next snapshot might come too late; what this one lacks is read from the log.
    pub(crate) fn snapshot_written(&mut self, zxid: Zxid) {
        for peer in std::mem::take(&mut self.wanting) {
            if let Some(socket) = self.sockets.get_mut(&peer.0) {
                let (sender, pieces) = sync_channel(limits::PEER_PIECES_AHEAD);
                socket.feed = Some(Feed { pieces, behind: vec![] });
                self.feeding.push((peer.0, zxid));
                read_snapshot(self.options.snapshot_dir.clone(), zxid, sender, self.wake.clone());
            }
        }
    }

    /// Hands on what has been read of snapshots.
    fn feed(&mut self, quorum: &mut Quorum) {
        let mut feeding = std::mem::take(&mut self.feeding);
        feeding.retain(|(token, zxid)| {
            let peer = PeerId(*token);
            // Bounded by the room in the socket's buffer.
            loop {
                let Some(socket) = self.sockets.get_mut(token) else { return false };
                match socket.feed_on() {
                    Fed::Nothing => return true,
                    Fed::Piece => {
                        self.dirty.push(*token);
                        quorum.step(Input::Peer(PeerInput::SnapshotProgress(peer)));
                    }
                    Fed::Done => {
                        self.dirty.push(*token);
                        quorum.step(Input::Peer(PeerInput::SnapshotSent { peer, zxid: *zxid }));
                        return false;
                    }
                    Fed::Broken(error) => {
                        tracing::error!(%zxid, error, "a snapshot cannot be sent to a learner");
                        self.lost(quorum, *token);
                        return false;
                    }
                }
            }
        });
        self.feeding.append(&mut feeding);
    }

    /// Does what the brain wants done, and sends what there is to send. Whether there was anything, which may lead to more.
    pub(crate) fn perform(
        &mut self,
        effects: Vec<Effect>,
        quorum: &mut Quorum,
        helpers: &mut Helpers,
    ) -> Result<bool, Fatal> {
        let has_effects = !effects.is_empty();
        for effect in effects {
            self.effect(effect, quorum, helpers)?;
        }
        let worked = self.flush(quorum) || has_effects;
        self.read_log_on(helpers);
        if let Some(leader) = self.leader {
            self.rearm(leader, quorum.takes_from_leader());
        }
        self.stay_awake();
        Ok(worked)
    }

    /// What transports hold and the brain would take is read in the next turn, which nothing else may bring.
    fn stay_awake(&self) {
        let takes =
            |token: &u64| self.sockets.get(token).is_some_and(|socket| socket.armed.contains(epoll::EventFlags::IN));
        if self.unread.iter().any(takes) {
            self.wake.ring();
        }
    }

    /// Whether a learner waits for a snapshot.
    pub(crate) fn wants_snapshot(&self) -> bool {
        !self.wanting.is_empty()
    }

    fn effect(&mut self, effect: Effect, quorum: &mut Quorum, helpers: &mut Helpers) -> Result<(), Fatal> {
        match effect {
            Effect::Dial { peer, addresses } => self.dial(Purpose::Election(peer), addresses),
            Effect::DialLeader { leader, addresses } => {
                self.attempt += 1;
                tracing::debug!(leader = leader.0, "connecting to the leader");
                self.dial(Purpose::Leader(self.attempt), addresses);
            }
            Effect::Write { link, bytes } => {
                if let Some(socket) = self.sockets.get_mut(&link.0) {
                    socket.give_told(&bytes);
                    self.dirty.push(link.0);
                }
            }
            Effect::ToLearner { peer, bytes } => self.give(quorum, peer.0, &bytes),
            Effect::ToLeader(bytes) => {
                if let Some(leader) = self.leader {
                    self.give(quorum, leader, &bytes);
                }
            }
            Effect::Close { link } => self.close(link.0),
            Effect::CloseLearner(peer) => {
                self.wanting.retain(|wanting| *wanting != peer);
                self.reading.retain(|(reading, _)| *reading != peer);
                self.close(peer.0);
            }
            Effect::CloseLeader => {
                self.attempt += 1;
                if let Some(leader) = self.leader.take() {
                    self.close(leader);
                }
            }
            Effect::Record(record) => helpers.record(record),
            Effect::CutLog(zxid) => helpers.cut_log(zxid, quorum.log().highest()),
            Effect::InstallSnapshot(job) => helpers.install_snapshot(job, quorum.log().highest()),
            Effect::ReadLog { peer, stretch } => self.reading.push((peer, stretch)),
            Effect::SendSnapshot(peer) => self.wanting.push(peer),
            Effect::Listen(listen) => self.mover.move_to(listen),
            Effect::Fail(fatal) => return Err(fatal),
        }
        Ok(())
    }

    /// Has the log read on for those who have taken most of what they were sent.
    fn read_log_on(&mut self, helpers: &mut Helpers) {
        self.reading.retain(|(peer, stretch)| match self.sockets.get(&peer.0) {
            Some(socket) if socket.unsent() > limits::LOG_PART => true,
            Some(_) => {
                helpers.read_log(*peer, *stretch);
                false
            }
            None => false,
        });
    }

    fn dial(&mut self, purpose: Purpose, addresses: Vec<(String, u16)>) {
        dial(purpose, addresses, &self.dialler);
    }

    fn give(&mut self, quorum: &mut Quorum, token: u64, bytes: &[u8]) {
        let Some(socket) = self.sockets.get_mut(&token) else { return };
        socket.give(bytes);
        self.dirty.push(token);
        if socket.unsent() > self.options.unsent {
            tracing::warn!(unsent = socket.unsent(), "a server does not read what it is sent: the connection ends");
            self.lost(quorum, token);
        }
    }

    /// Ends a connection of which the brain knows that it ends.
    fn close(&mut self, token: u64) {
        if let Some(socket) = self.sockets.get_mut(&token) {
            socket.feed = None;
            socket.is_closing = true;
            socket.ends_at_ms = Some(self.now_ms + limits::PEER_LINGER_MS);
            self.dirty.push(token);
        }
    }

    /// Sends what there is to send; whether the brain was told anything.
    fn flush(&mut self, quorum: &mut Quorum) -> bool {
        let mut has_told = false;
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.sort_unstable();
        dirty.dedup();
        for token in dirty.drain(..) {
            let Some(socket) = self.sockets.get_mut(&token) else { continue };
            match socket.send() {
                Err(()) => {
                    self.lost(quorum, token);
                    has_told = true;
                }
                Ok(_) if socket.is_over(self.now_ms) => {
                    self.sockets.remove(&token);
                }
                Ok(told) => {
                    let takes = socket.armed.intersects(epoll::EventFlags::IN);
                    self.rearm(token, takes);
                    has_told |= told > 0;
                    for _ in 0..told {
                        quorum.step(Input::Peer(PeerInput::Written { link: LinkId(token) }));
                    }
                }
            }
        }
        if self.dirty.is_empty() {
            self.dirty = dirty;
        }
        has_told
    }

    /// Arms the epoll set for what this connection waits for.
    fn rearm(&mut self, token: u64, takes: bool) {
        let Some(socket) = self.sockets.get_mut(&token) else { return };
        let mut wanted = epoll::EventFlags::empty();
        wanted.set(epoll::EventFlags::IN, takes);
        wanted.set(epoll::EventFlags::OUT, socket.waits_for_room());
        if wanted != socket.armed
            && epoll::modify(&self.epoll, &socket.transport, epoll::EventData::new_u64(token), wanted).is_ok()
        {
            socket.armed = wanted;
        }
    }
}

/// Reads a snapshot as a stream, on a thread of its own.
fn read_snapshot(dir: PathBuf, zxid: Zxid, pieces: SyncSender<Piece>, wake: Arc<Wake>) {
    let pieces_too = pieces.clone();
    let body = move || {
        super::placement::step_back();
        if let Err(error) = stream(&dir, zxid, &pieces, &wake) {
            let _ = pieces.send(Err(error));
        }
        drop(pieces);
        wake.ring();
    };
    if let Err(error) = std::thread::Builder::new().name("snapshot out".to_owned()).spawn(body) {
        let _ = pieces_too.try_send(Err(error.to_string()));
    }
}

fn stream(dir: &Path, zxid: Zxid, pieces: &SyncSender<Piece>, wake: &Wake) -> Result<(), String> {
    let mut sender =
        StreamSender::open(&super::disk::RealDisk, dir, &file_name(zxid)).map_err(|error| format!("{error:?}"))?;
    let mut piece = vec![];
    Packet::bare(PacketType::Snap, zxid).put(&mut piece);
    loop {
        let has_more = sender.piece(&mut piece).map_err(|error| format!("{error:?}"))?;
        if pieces.send(Ok(std::mem::take(&mut piece))).is_err() || !has_more {
            // The learner is gone, or the whole snapshot was sent.
            return Ok(());
        }
        wake.ring();
    }
}

/// Watches a port; `number` is its token.
fn watch(epoll: &OwnedFd, number: usize, open: &Open) -> rustix::io::Result<()> {
    epoll::add(epoll, &open.listener, epoll::EventData::new_u64(number as u64), epoll::EventFlags::IN)
}
