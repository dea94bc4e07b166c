//! Waiting for many sockets and one deadline: epoll with a timerfd, because epoll alone waits in whole milliseconds.

use crate::connection::Connection;
use crate::failure::{Result, While};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use std::time::Instant;

/// The token of the timer, which no socket has.
const TIMER: u64 = u64::MAX;
/// How many events one wait fetches.
const EVENTS: usize = 512;

/// Nanoseconds since a common start.
#[derive(Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    /// Starts at 0.
    pub fn start() -> Clock {
        Clock(Instant::now())
    }

    /// Nanoseconds since then.
    pub fn ns(&self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

/// The set of sockets.
pub struct Poll {
    epoll: OwnedFd,
    timer: OwnedFd,
    clock: Clock,
    /// The deadline the timer is set to, until it has passed.
    armed_ns: Option<u64>,
    found: Vec<epoll::Event>,
}

impl Poll {
    /// An empty set; deadlines are read on `clock`.
    pub fn new(clock: Clock) -> Result<Poll> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).during(|| "creating an epoll set".into())?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer =
            rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags).during(|| "creating a timer".into())?;
        let poll = Poll { epoll, timer, clock, armed_ns: None, found: Vec::with_capacity(EVENTS) };
        poll.add(&poll.timer, TIMER)?;
        Ok(poll)
    }

    /// Watches `source` for something to read.
    pub fn add(&self, source: impl AsFd, token: u64) -> Result<()> {
        epoll::add(&self.epoll, source, EventData::new_u64(token), EventFlags::IN)
            .during(|| "adding to an epoll set".into())
    }

    /// Watches `source` for room to write too, or no longer.
    pub fn watch_room(&self, source: impl AsFd, token: u64, watch: bool) -> Result<()> {
        let flags = if watch { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
        epoll::modify(&self.epoll, source, EventData::new_u64(token), flags).during(|| "changing an epoll set".into())
    }

    /// Sends what waits on a connection, and sees to it that the rest follows when there is room.
    pub fn flush(&self, connection: &mut Connection, token: u64) -> Result<()> {
        let wants_room = !connection.flush()?;
        if wants_room != connection.wants_room {
            self.watch_room(connection.stream(), token, wants_room)?;
            connection.wants_room = wants_room;
        }
        Ok(())
    }

    /// Waits until a socket is ready or the clock shows `deadline_ns`; puts the ready ones' tokens into `ready`.
    pub fn wait(&mut self, deadline_ns: u64, ready: &mut Vec<u64>) -> Result<()> {
        ready.clear();
        if self.armed_ns != Some(deadline_ns) {
            // A time of zero would disarm the timer.
            let left_ns = deadline_ns.saturating_sub(self.clock.ns()).max(1);
            let left = Timespec { tv_sec: (left_ns / 1_000_000_000) as i64, tv_nsec: (left_ns % 1_000_000_000) as i64 };
            let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: left };
            rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)
                .during(|| "setting a timer".into())?;
            self.armed_ns = Some(deadline_ns);
        }
        self.found.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.found), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).during(|| "waiting for sockets".into()),
        }
        for event in &self.found {
            match { event.data }.u64() {
                // It stays ready until it is set again.
                TIMER => self.armed_ns = None,
                token => ready.push(token),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_at_its_deadline_and_not_before() {
        let clock = Clock::start();
        let mut poll = Poll::new(clock).unwrap();
        let mut ready = vec![];
        for deadline_ns in [300_000, 300_001, 900_000, 0] {
            poll.wait(deadline_ns, &mut ready).unwrap();
            assert!(clock.ns() >= deadline_ns);
            assert!(ready.is_empty());
        }
    }

    #[test]
    fn a_ready_socket_ends_a_wait() {
        let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut poll = Poll::new(Clock::start()).unwrap();
        poll.add(&theirs, 7).unwrap();
        std::io::Write::write_all(&mut ours, b"x").unwrap();
        let mut ready = vec![];
        poll.wait(60_000_000_000, &mut ready).unwrap();
        assert_eq!(ready, [7]);
    }
}
