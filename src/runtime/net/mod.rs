//! The socket loop of one shard: one epoll descriptor with the listeners, the clients, a timer and the bell.
//!
//! Both edges use it. A turn reads every ready socket once, hands the bytes to the shard brain, and at its
//! end sends what each connection has in one call. How the descriptor is waited for is the edge's business, what carries
//! the bytes is the listener's (`transport`). `entrance` accepts at each `listener`, `gate` says who may come in, `lingering` has the
//! connections that are over but for what their transports still have to send.

mod entrance;
mod gate;
mod lingering;
mod listener;
mod socket;

pub(crate) use gate::Gate;

use super::ports::Door;
use super::transport::Received;
use super::wake::Wake;
use crate::fatal::{Fatal, Reason};
use crate::ids::ConnId;
use crate::limits;
use crate::server::facts::{AdminPlane, WordAnswer};
use crate::server::shard::Shard;
use lingering::Lingering;
use listener::Entrance;
use rustix::event::{Timespec, epoll};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};
use socket::{ALARM, Arrived, BELL, FIRST_LISTENER, OTHER, PEERS, Sockets, TIMER, token};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// What a turn found besides client traffic.
#[derive(Clone, Copy, Default)]
pub(crate) struct Found {
    /// Half a tick has passed.
    pub tick: bool,
    /// The extra descriptor is readable.
    pub other: bool,
    /// The descriptor of the ensemble's connections is readable.
    pub peers: bool,
    /// The alarm has gone off.
    pub alarm: bool,
}

/// When a tick may be reported. A tick declares unheard clients silent, so every socket that was ready when half a tick had
/// passed must be read before; with many sockets this takes more than one turn.
#[derive(Default)]
struct Ticks {
    is_due: bool,
    /// Turns since then in which more may have been ready than were found.
    turns: usize,
}

impl Ticks {
    /// To be called after each turn: `timer`, whether the timer was found; `is_full`, whether the events filled their buffer.
    /// The kernel reports ready sockets in rotation, so after enough turns all `sockets` were reported.
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
pub(crate) struct Events(Vec<epoll::Event>);

impl Events {
    /// Room for the sockets of one turn.
    pub(crate) fn new() -> Self {
        Events(Vec::with_capacity(limits::CLIENT_EVENTS))
    }
}

/// The sockets of one shard.
pub(crate) struct Net {
    epoll: OwnedFd,
    entrances: Vec<Entrance>,
    /// Connections whose handshakes are over come through this from the thread that did them.
    arrivals: (Sender<Arrived>, Receiver<Arrived>),
    timer: OwnedFd,
    wake: Arc<Wake>,
    gate: Arc<Gate>,
    plane: Arc<dyn AdminPlane>,
    sockets: Sockets,
    lingering: Lingering,
    /// Connections whose transports hold plaintext that was not read yet.
    unread: Vec<ConnId>,
    buffer: Box<[u8]>,
    ids: Vec<ConnId>,
    rejected: Box<dyn Fn() + Send>,
    ticks: Ticks,
}

impl Net {
    /// An epoll set with a listener at each of these doors, the bell and a timer that ticks every `half_tick`.
    pub(crate) fn new(
        doors: &[Arc<Door>],
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
            entrances: doors.iter().map(|door| Entrance::at(door.clone(), wake.clone())).collect(),
            arrivals: channel(),
            timer,
            wake,
            gate,
            plane,
            sockets: Sockets::default(),
            lingering: Lingering::new(half_tick),
            unread: vec![],
            buffer: vec![0; limits::READ_CHUNK].into_boxed_slice(),
            ids: vec![],
            rejected,
            ticks: Ticks::default(),
        };
        net.arm_listeners();
        Ok(net)
    }

    /// The one descriptor to wait for.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Watches one more descriptor; [`Found::other`] says when it is readable.
    pub(crate) fn watch(&self, fd: BorrowedFd<'_>) -> Result<(), Fatal> {
        self.watch_as(OTHER, fd)
    }

    /// Watches the ensemble's connections; [`Found::peers`] says when there is something.
    pub(crate) fn watch_peers(&self, fd: BorrowedFd<'_>) -> Result<(), Fatal> {
        self.watch_as(PEERS, fd)
    }

    /// Watches the quorum brain's alarm; [`Found::alarm`] says when it has gone off.
    pub(crate) fn watch_alarm(&self, fd: BorrowedFd<'_>) -> Result<(), Fatal> {
        self.watch_as(ALARM, fd)
    }

    fn watch_as(&self, token: u64, fd: BorrowedFd<'_>) -> Result<(), Fatal> {
        epoll::add(&self.epoll, fd, epoll::EventData::new_u64(token), epoll::EventFlags::IN)
            .map_err(|error| Fatal::new(Reason::System, format!("epoll: {error}")))
    }

    /// Waits until something is ready, not at all if `wait` is false.
    pub(crate) fn wait(&mut self, events: &mut Events, wait: bool) {
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
    pub(crate) fn process(&mut self, events: &Events, shard: &mut Shard) -> Found {
        let mut found = Found::default();
        let mut has_timer = false;
        self.follow_doors(shard);
        self.greet(shard);
        self.read_on(shard);
        for event in &events.0 {
            match event.data.u64() {
                BELL => self.wake.hush(),
                OTHER => found.other = true,
                PEERS => found.peers = true,
                ALARM => found.alarm = true,
                TIMER => {
                    let _ = rustix::io::read(&self.timer, &mut [0; 8]);
                    has_timer = true;
                }
                listener if listener >= FIRST_LISTENER => self.accept(shard, (listener - FIRST_LISTENER) as usize),
                token => {
                    let id = ConnId { slot: token as u32, generation: (token >> 32) as u32 };
                    self.ready(shard, id, event.flags);
                }
            }
        }
        found.tick = self.ticks.after_turn(has_timer, events.0.len() >= limits::CLIENT_EVENTS, self.sockets.0.len());
        if found.tick {
            // A listener that was disarmed because descriptors ran out is tried again.
            self.arm_listeners();
            self.lingering.tick();
        }
        found
    }

    /// Reads once from each transport that held more than was taken, where the system says nothing.
    #[inline]
    fn read_on(&mut self, shard: &mut Shard) {
        if self.unread.is_empty() {
            return;
        }
        for id in std::mem::take(&mut self.unread) {
            if let Some(socket) = self.sockets.find(id) {
                socket.is_unread = false;
                self.receive(shard, id, epoll::EventFlags::IN);
            }
        }
    }

    /// What transports hold and the shard would take is read in the next turn, which nothing else may bring.
    #[inline]
    fn stay_awake(&self, shard: &mut Shard) {
        if self.unread.iter().any(|id| shard.wants_input(*id)) {
            self.wake.ring();
        }
    }

    fn ready(&mut self, shard: &mut Shard, id: ConnId, flags: epoll::EventFlags) {
        if flags.intersects(epoll::EventFlags::OUT) {
            match self.sockets.find(id).map(|socket| socket.transport.push()) {
                Some(Ok(())) => self.send(shard, id),
                Some(Err(_)) => self.drop_socket(shard, id),
                None => self.lingering.ready(id, flags),
            }
        }
        let readable = epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
        if flags.intersects(readable) {
            self.receive(shard, id, flags);
        }
    }

    /// Reads once, and hands on what came.
    fn receive(&mut self, shard: &mut Shard, id: ConnId, flags: epoll::EventFlags) {
        let Some(socket) = self.sockets.find(id) else { return self.lingering.ready(id, flags) };
        let wanted = shard.wants_bytes(id);
        if socket.is_at_end || wanted == 0 {
            // Nothing is read now; only an error or a hang-up can have brought us here.
            if flags.intersects(epoll::EventFlags::HUP | epoll::EventFlags::ERR) {
                self.drop_socket(shard, id);
            } else if !socket.is_at_end && socket.transport.has_more() && !socket.is_unread {
                socket.is_unread = true;
                self.unread.push(id);
            }
            return;
        }
        if socket.is_unread {
            // It has its turn in the list.
            return;
        }
        let was_handshaking = socket.transport.is_handshaking();
        let received = socket.transport.read(&mut self.buffer[..wanted]);
        // What was refused during the handshake is offered again, and what the transport itself has to say may wait for room.
        let is_agreed = was_handshaking && !socket.transport.is_handshaking();
        let waits_anew = socket.transport.is_full() != socket.armed.intersects(epoll::EventFlags::OUT);
        if socket.transport.has_more() {
            socket.is_unread = true;
            self.unread.push(id);
        }
        match received {
            Ok(Received::Bytes(n)) => shard.received(id, &self.buffer[..n]),
            Ok(Received::Nothing) => {}
            Ok(Received::End) => {
                socket.is_at_end = true;
                if shard.at_end(id) {
                    self.rearm(shard, id);
                } else {
                    shard.disconnected(id);
                    self.part_with(id);
                }
            }
            Err(_) => self.drop_socket(shard, id),
        }
        if is_agreed {
            self.send(shard, id);
        }
        if waits_anew {
            self.rearm(shard, id);
        }
    }

    /// The connection broke.
    fn drop_socket(&mut self, shard: &mut Shard, id: ConnId) {
        shard.disconnected(id);
        self.sockets.take(id);
    }

    /// The connection is over: what its transport still has to send leaves by itself.
    fn part_with(&mut self, id: ConnId) {
        if let Some(socket) = self.sockets.take(id) {
            self.lingering.take_in(socket, &self.epoll);
        }
    }

    /// Sends as much as the transport takes.
    fn send(&mut self, shard: &mut Shard, id: ConnId) {
        let Some(socket) = self.sockets.find(id) else { return };
        if socket.transport.is_full() {
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
            match socket.transport.write(&unsent[..unsent.len().min(left)]) {
                Ok(0) => break,
                Ok(n) => {
                    shard.sent(id, n);
                    left -= n;
                }
                Err(_) => return self.drop_socket(shard, id),
            }
        }
        self.rearm(shard, id);
    }

    /// Arms the epoll set for what this connection waits for.
    fn rearm(&mut self, shard: &mut Shard, id: ConnId) {
        let Some(socket) = self.sockets.find(id) else { return };
        let mut wanted = epoll::EventFlags::empty();
        wanted.set(epoll::EventFlags::IN, !socket.is_at_end && shard.wants_input(id));
        wanted.set(epoll::EventFlags::OUT, socket.transport.is_full());
        if wanted != socket.armed
            && epoll::modify(&self.epoll, &socket.transport, epoll::EventData::new_u64(token(id)), wanted).is_ok()
        {
            socket.armed = wanted;
        }
    }

    /// Ends a turn: words are answered, everything there is to send is sent, sockets are armed and closed.
    pub(crate) fn flush(&mut self, shard: &mut Shard) {
        for (request, facts) in shard.take_words() {
            match self.plane.answer(request.word, &request.argument, facts.as_ref()) {
                WordAnswer::Text(text) => shard.answer_word(request.conn, &text),
                WordAnswer::Needs(questions) => shard.collect(request, questions),
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
            self.part_with(id);
        }
        self.ids = ids;
        self.stay_awake(shard);
    }
}

#[cfg(test)]
mod tests {
    mod conversation;

    use super::*;

    /// After a long pause a shard finds more clients ready than it reads in a turn: no client is called silent whose bytes
    /// have arrived, and a shard whose every turn is full still ticks.
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
