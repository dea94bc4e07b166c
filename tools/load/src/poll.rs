//! Waits for many sockets and one deadline: epoll with a timerfd, because the timeout of epoll alone is in whole milliseconds.

use crate::connection::Connection;
use crate::failure::{Result, While};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use std::time::Instant;

/// The token of the timer; no socket has this token.
const TIMER: u64 = u64::MAX;
/// Events that one wait returns, at most.
const MAX_EVENTS: usize = 512;

/// Monotonic time since a start that is common to all threads.
#[derive(Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    /// A clock that starts now, at 0.
    pub fn start() -> Clock {
        Clock(Instant::now())
    }

    /// Nanoseconds since the start.
    pub fn ns(&self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

/// An epoll set of sockets, with a timer.
pub struct Poll {
    epoll: OwnedFd,
    timer: OwnedFd,
    clock: Clock,
    /// The deadline that the timer is set to; none when it has expired.
    armed_deadline_ns: Option<u64>,
    events: Vec<epoll::Event>,
}

impl Poll {
    /// An empty set; deadlines are times of `clock`.
    pub fn new(clock: Clock) -> Result<Poll> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).during(|| "creating an epoll set".into())?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer =
            rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags).during(|| "creating a timer".into())?;
        let poll = Poll { epoll, timer, clock, armed_deadline_ns: None, events: Vec::with_capacity(MAX_EVENTS) };
        poll.add(&poll.timer, TIMER)?;
        Ok(poll)
    }

    /// Reports `token` whenever `source` is readable.
    pub fn add(&self, source: impl AsFd, token: u64) -> Result<()> {
        epoll::add(&self.epoll, source, EventData::new_u64(token), EventFlags::IN)
            .during(|| "adding to an epoll set".into())
    }

    /// Begins or ends, by `watch`, reporting `token` when `source` is writable, too.
    pub fn watch_writable(&self, source: impl AsFd, token: u64, watch: bool) -> Result<()> {
        let flags = if watch { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
        epoll::modify(&self.epoll, source, EventData::new_u64(token), flags).during(|| "changing an epoll set".into())
    }

    /// Sends the unsent bytes of a connection. If the socket does not take all of them, the connection's token is reported when
    /// the socket is writable.
    pub fn flush(&self, connection: &mut Connection, token: u64) -> Result<()> {
        let waits_until_writable = !connection.flush()?;
        if waits_until_writable != connection.waits_until_writable {
            self.watch_writable(connection.stream(), token, waits_until_writable)?;
            connection.waits_until_writable = waits_until_writable;
        }
        Ok(())
    }

    /// Waits until a socket is ready or the clock has reached `deadline_ns`. Fills `ready` with the tokens of the ready sockets.
    pub fn wait(&mut self, deadline_ns: u64, ready: &mut Vec<u64>) -> Result<()> {
        ready.clear();
        if self.armed_deadline_ns != Some(deadline_ns) {
            // A timeout of zero would disarm the timer.
            let left_ns = deadline_ns.saturating_sub(self.clock.ns()).max(1);
            let left = Timespec { tv_sec: (left_ns / 1_000_000_000) as i64, tv_nsec: (left_ns % 1_000_000_000) as i64 };
            let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: left };
            rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)
                .during(|| "setting a timer".into())?;
            self.armed_deadline_ns = Some(deadline_ns);
        }
        self.events.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).during(|| "waiting for sockets".into()),
        }
        for event in &self.events {
            match { event.data }.u64() {
                // The timer's descriptor stays readable until the timer is set again.
                TIMER => self.armed_deadline_ns = None,
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
