//! The socket loop of one shard: one epoll descriptor with the listener, the clients, a timer and the bell.
//!
//! Both edges use it. A turn reads every ready socket once, hands the bytes to the shard brain, and at its
//! end sends what each connection has in one call. How the descriptor is waited for is the edge's business.

mod gate;

pub use gate::Gate;

use super::descriptors;
use super::ports::Door;
use super::wake::Wake;
use crate::fatal::{Fatal, Reason};
use crate::ids::ConnId;
use crate::limits;
use crate::server::facts::{AdminPlane, WordAnswer};
use crate::server::shard::Shard;
use gate::Ticket;
use rustix::event::{Timespec, epoll};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// Where in the epoll set the descriptors that are no clients stand.
const LISTENER: u64 = u64::MAX;
const BELL: u64 = u64::MAX - 1;
const TIMER: u64 = u64::MAX - 2;
const OTHER: u64 = u64::MAX - 3;
const PEERS: u64 = u64::MAX - 4;
const ALARM: u64 = u64::MAX - 5;

struct Socket {
    stream: TcpStream,
    id: ConnId,
    /// The last send did not take everything.
    is_blocked: bool,
    /// The client will send nothing more.
    is_at_end: bool,
    /// What the epoll set is armed for.
    armed: epoll::EventFlags,
    _ticket: Ticket,
}

/// What a turn found besides client traffic.
#[derive(Clone, Copy, Default)]
pub struct Found {
    /// Half a tick has passed.
    pub tick: bool,
    /// The extra descriptor is readable.
    pub other: bool,
    /// The descriptor of the ensemble's connections is readable.
    pub peers: bool,
    /// The alarm has gone off.
    pub alarm: bool,
}

/// When a tick may be told of. It says that whoever has not been heard of is silent: so not before everybody has been read
/// who was ready when half a tick had passed, which is more than one turn's work where many were.
#[derive(Default)]
struct Ticks {
    is_due: bool,
    /// Turns since then in which more may have been ready than were found.
    turns: usize,
}

impl Ticks {
    /// After a turn that found the timer or not, and as many sockets as it has room for or fewer. The kernel gives those
    /// that are ready in turn, so that all `sockets` have had theirs after so many turns.
    fn after_turn(&mut self, timer: bool, is_full: bool, sockets: usize) -> bool {
        self.is_due |= timer;
        if !self.is_due {
            return false;
        }
        self.turns += 1;
        if is_full && self.turns <= sockets.div_ceil(limits::CLIENT_EVENTS) {
            return false;
        }
        *self = Ticks::default();
        true
    }
}

/// What a wait has found; made on the thread that waits.
pub struct Events(Vec<epoll::Event>);

impl Events {
    /// Room for the sockets of one turn.
    pub fn new() -> Self {
        Events(Vec::with_capacity(limits::CLIENT_EVENTS))
    }
}

/// The sockets of one shard.
pub struct Net {
    epoll: OwnedFd,
    door: Arc<Door>,
    /// How often the door has moved, as far as is known here.
    moves: u64,
    listener: Option<Arc<TcpListener>>,
    listener_armed: bool,
    timer: OwnedFd,
    wake: Arc<Wake>,
    gate: Arc<Gate>,
    plane: Arc<dyn AdminPlane>,
    sockets: Vec<Option<Socket>>,
    buffer: Box<[u8]>,
    ids: Vec<ConnId>,
    rejected: Box<dyn Fn() + Send>,
    ticks: Ticks,
}

impl Net {
    /// An epoll set with the listener, the bell and a timer that ticks every `half_tick`.
    pub fn new(
        door: Arc<Door>,
        wake: Arc<Wake>,
        gate: Arc<Gate>,
        plane: Arc<dyn AdminPlane>,
        half_tick: Duration,
        rejected: Box<dyn Fn() + Send>,
    ) -> Result<Self, Fatal> {
        let system = |error: rustix::io::Errno| Fatal::new(Reason::System, format!("epoll: {error}"));
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(system)?;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)
            .map_err(system)?;
        let every = Timespec { tv_sec: half_tick.as_secs() as i64, tv_nsec: i64::from(half_tick.subsec_nanos()) };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: every, it_value: every })
            .map_err(system)?;
        let read = epoll::EventFlags::IN;
        epoll::add(&epoll, &timer, epoll::EventData::new_u64(TIMER), read).map_err(system)?;
        epoll::add(&epoll, wake.as_fd(), epoll::EventData::new_u64(BELL), read).map_err(system)?;
        let mut net = Net {
            epoll,
            listener: Some(door.attend(wake.clone())),
            door,
            moves: 0,
            listener_armed: false,
            timer,
            wake,
            gate,
            plane,
            sockets: vec![],
            buffer: vec![0; limits::READ_CHUNK].into_boxed_slice(),
            ids: vec![],
            rejected,
            ticks: Ticks::default(),
        };
        net.arm_listener();
        Ok(net)
    }

    /// The one descriptor to wait for.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Watches one more descriptor; [`Found::other`] says when it is readable.
    pub fn watch(&self, fd: BorrowedFd<'_>) -> Result<(), Fatal> {
        self.watch_as(OTHER, fd)
    }

    /// Watches the ensemble's connections; [`Found::peers`] says when there is something.
    pub fn watch_peers(&self, fd: BorrowedFd<'_>) -> Result<(), Fatal> {
        self.watch_as(PEERS, fd)
    }

    /// Watches the quorum brain's alarm; [`Found::alarm`] says when it has gone off.
    pub fn watch_alarm(&self, fd: BorrowedFd<'_>) -> Result<(), Fatal> {
        self.watch_as(ALARM, fd)
    }

    fn watch_as(&self, token: u64, fd: BorrowedFd<'_>) -> Result<(), Fatal> {
        epoll::add(&self.epoll, fd, epoll::EventData::new_u64(token), epoll::EventFlags::IN)
            .map_err(|error| Fatal::new(Reason::System, format!("epoll: {error}")))
    }

    /// Takes no more connections.
    pub fn stop_accepting(&mut self) {
        if let Some(listener) = self.listener.take() {
            let _ = epoll::delete(&self.epoll, &listener);
        }
    }

    /// Waits until something is ready, not at all if `wait` is false.
    pub fn wait(&mut self, events: &mut Events, wait: bool) {
        let events = &mut events.0;
        events.clear();
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let timeout = if wait { None } else { Some(&now) };
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(events), timeout) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => crate::fatal::exit(&Fatal::new(Reason::System, format!("epoll_wait: {error}"))),
        }
    }

    /// Passes what the wait has found to the shard.
    pub fn process(&mut self, events: &Events, shard: &mut Shard) -> Found {
        let mut found = Found::default();
        let mut has_timer = false;
        self.follow_door(shard);
        for event in &events.0 {
            match event.data.u64() {
                LISTENER => self.accept(shard),
                BELL => self.wake.hush(),
                OTHER => found.other = true,
                PEERS => found.peers = true,
                ALARM => found.alarm = true,
                TIMER => {
                    let _ = rustix::io::read(&self.timer, &mut [0; 8]);
                    has_timer = true;
                }
                token => {
                    let id = ConnId { slot: token as u32, generation: (token >> 32) as u32 };
                    self.ready(shard, id, event.flags);
                }
            }
        }
        found.tick = self.ticks.after_turn(has_timer, events.0.len() >= limits::CLIENT_EVENTS, self.sockets.len());
        if found.tick {
            // A listener that was disarmed because descriptors ran out is tried again.
            self.arm_listener();
        }
        found
    }

    /// Accepts at another port from now on, if the door has moved. Who waits at the old one is taken in first.
    #[inline]
    fn follow_door(&mut self, shard: &mut Shard) {
        let Some(new) = self.door.moved(&mut self.moves) else { return };
        self.accept(shard);
        // Without one no more connections are taken.
        let Some(old) = &mut self.listener else { return };
        let old = std::mem::replace(old, new);
        if std::mem::take(&mut self.listener_armed) {
            let _ = epoll::delete(&self.epoll, &old);
        }
        self.arm_listener();
    }

    fn arm_listener(&mut self) {
        if let (Some(listener), false) = (&self.listener, self.listener_armed) {
            // Exclusive: a new connection wakes one shard, not all.
            let flags = epoll::EventFlags::IN | epoll::EventFlags::EXCLUSIVE;
            self.listener_armed = epoll::add(&self.epoll, listener, epoll::EventData::new_u64(LISTENER), flags).is_ok();
        }
    }

    fn accept(&mut self, shard: &mut Shard) {
        for _ in 0..limits::CLIENT_ACCEPTS {
            let Some(listener) = &self.listener else { return };
            if !descriptors::may_accept() {
                tracing::error!(
                    "no descriptor is left for another connection; trying again (raise the limit on open files)"
                );
                let _ = epoll::delete(&self.epoll, listener);
                self.listener_armed = false;
                return;
            }
            let (stream, peer) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => continue,
                Err(error) => {
                    // Out of descriptors, most likely. The listener would be ready for ever: leave it alone
                    // until the next tick, the connections there are go on. Or it gives way to another one.
                    if error.kind() != ErrorKind::InvalidInput {
                        tracing::error!(%error, "cannot accept connections; trying again (raise the limit on open files)");
                    }
                    let _ = epoll::delete(&self.epoll, listener);
                    self.listener_armed = false;
                    return;
                }
            };
            let Some(ticket) = self.gate.enter(peer.ip()) else {
                tracing::warn!(%peer, "connection refused: too many connections (maxClientCnxns, maxCnxns)");
                (self.rejected)();
                continue;
            };
            if stream.set_nonblocking(true).is_err() || stream.set_nodelay(true).is_err() {
                continue;
            }
            let id = shard.accept(peer);
            let token = u64::from(id.generation) << 32 | u64::from(id.slot);
            let armed = epoll::EventFlags::IN;
            if epoll::add(&self.epoll, &stream, epoll::EventData::new_u64(token), armed).is_err() {
                shard.disconnected(id);
                continue;
            }
            let slot = id.slot as usize;
            if self.sockets.len() <= slot {
                self.sockets.resize_with(slot + 1, || None);
            }
            let socket = Socket { stream, id, is_blocked: false, is_at_end: false, armed, _ticket: ticket };
            self.sockets[slot] = Some(socket);
        }
    }

    fn find(&mut self, id: ConnId) -> Option<&mut Socket> {
        self.sockets.get_mut(id.slot as usize)?.as_mut().filter(|socket| socket.id == id)
    }

    fn ready(&mut self, shard: &mut Shard, id: ConnId, flags: epoll::EventFlags) {
        if flags.intersects(epoll::EventFlags::OUT) {
            if let Some(socket) = self.find(id) {
                socket.is_blocked = false;
            }
            self.send(shard, id);
        }
        let readable = epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
        if !flags.intersects(readable) {
            return;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        if let Some(socket) = self.find(id) {
            let wanted = shard.wants_bytes(id);
            if socket.is_at_end || wanted == 0 {
                // Nothing is read now; only an error or a hang-up can have brought us here.
                if flags.intersects(epoll::EventFlags::HUP | epoll::EventFlags::ERR) {
                    self.drop_socket(shard, id);
                }
            } else {
                match socket.stream.read(&mut buffer[..wanted]) {
                    Ok(0) => {
                        socket.is_at_end = true;
                        if shard.at_end(id) {
                            self.rearm(shard, id);
                        } else {
                            self.drop_socket(shard, id);
                        }
                    }
                    Ok(n) => shard.received(id, &buffer[..n]),
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                    Err(_) => self.drop_socket(shard, id),
                }
            }
        }
        self.buffer = buffer;
    }

    fn drop_socket(&mut self, shard: &mut Shard, id: ConnId) {
        shard.disconnected(id);
        self.sockets[id.slot as usize] = None;
    }

    /// Sends as much as the socket takes.
    fn send(&mut self, shard: &mut Shard, id: ConnId) {
        let Some(socket) = self.sockets.get_mut(id.slot as usize).and_then(Option::as_mut) else { return };
        if socket.id != id || socket.is_blocked {
            return;
        }
        let mut left = shard.send_share();
        loop {
            let unsent = shard.unsent(id);
            if unsent.is_empty() {
                break;
            }
            if left == 0 {
                shard.send_on(id);
                break;
            }
            match socket.stream.write(&unsent[..unsent.len().min(left)]) {
                Ok(n) => {
                    shard.sent(id, n);
                    left -= n;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    socket.is_blocked = true;
                    break;
                }
                Err(_) => return self.drop_socket(shard, id),
            }
        }
        self.rearm(shard, id);
    }

    /// Arms the epoll set for what this connection waits for.
    fn rearm(&mut self, shard: &mut Shard, id: ConnId) {
        let Some(socket) = self.sockets.get_mut(id.slot as usize).and_then(Option::as_mut) else { return };
        if socket.id != id {
            return;
        }
        let mut wanted = epoll::EventFlags::empty();
        if !socket.is_at_end && shard.wants_input(id) {
            wanted |= epoll::EventFlags::IN;
        }
        if socket.is_blocked {
            wanted |= epoll::EventFlags::OUT;
        }
        if wanted != socket.armed {
            let token = u64::from(id.generation) << 32 | u64::from(id.slot);
            if epoll::modify(&self.epoll, &socket.stream, epoll::EventData::new_u64(token), wanted).is_ok() {
                socket.armed = wanted;
            }
        }
    }

    /// Ends a turn: words are answered, everything there is to send is sent, sockets are armed and closed.
    pub fn flush(&mut self, shard: &mut Shard) {
        for asked in shard.take_words() {
            match self.plane.answer(asked.word, &asked.argument, asked.facts) {
                WordAnswer::Text(text) => shard.answer_word(asked.conn, &text),
                WordAnswer::NeedsFacts => shard.collect(asked.conn, asked.word),
            }
        }
        let mut ids = std::mem::take(&mut self.ids);
        shard.take_dirty(&mut ids);
        for id in ids.drain(..) {
            self.send(shard, id);
        }
        shard.end_turn();
        shard.take_interest(&mut ids);
        for id in ids.drain(..) {
            self.rearm(shard, id);
        }
        shard.take_ended(&mut ids);
        for id in ids.drain(..) {
            if self.find(id).is_some() {
                self.sockets[id.slot as usize] = None;
            }
        }
        self.ids = ids;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shard that stood still for long finds more clients ready than it reads in a turn: nobody is called silent whose words
    /// are there, and a shard whose every turn is full still ticks.
    #[test]
    fn a_tick_waits_until_everybody_who_is_ready_was_read() {
        let mut ticks = Ticks::default();
        assert!(!ticks.after_turn(false, true, 5_000), "no time has passed");
        assert!(!ticks.after_turn(true, true, 5_000));
        assert!(!ticks.after_turn(false, true, 5_000));
        assert!(ticks.after_turn(false, false, 5_000), "those were all");
        assert!(!ticks.after_turn(false, false, 5_000), "once");
        assert!(ticks.after_turn(true, false, 5_000), "as ever");
        let turns = (0..).position(|turn| ticks.after_turn(turn == 0, true, 5_000));
        assert_eq!(turns, Some(5_000 / limits::CLIENT_EVENTS + 1), "all had their turn, and the next one begins");
    }
}
