//! When the quorum brain wants to be called, as a descriptor that both edges wait for: it is finer than ticks.

use crate::fatal::{Fatal, Reason};
use rustix::event::Timespec;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A timer that goes off once.
pub(crate) struct Alarm {
    timer: OwnedFd,
    /// What it is set to.
    at_ms: Option<i64>,
}

fn system(error: rustix::io::Errno) -> Fatal {
    Fatal::new(Reason::System, format!("the timer of the quorum core: {error}"))
}

impl Alarm {
    /// It is not set.
    pub(crate) fn new() -> Result<Alarm, Fatal> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).map_err(system)?;
        Ok(Alarm { timer, at_ms: None })
    }

    /// Readable when the time has come.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }

    /// It goes off at this time, or not at all; it is `now_ms`.
    #[inline]
    pub(crate) fn set(&mut self, at_ms: Option<i64>, now_ms: i64) {
        if at_ms != self.at_ms {
            self.arm(at_ms, now_ms);
        }
    }

    fn arm(&mut self, at_ms: Option<i64>, now_ms: i64) {
        self.at_ms = at_ms;
        // A time of nothing would disarm it.
        let wait_ms = at_ms.map_or(0, |at_ms| (at_ms - now_ms).max(1));
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let it_value = Timespec { tv_sec: wait_ms / 1000, tv_nsec: wait_ms % 1000 * 1_000_000 };
        let set = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: zero, it_value });
        if let Err(error) = set {
            crate::fatal::exit(&system(error));
        }
    }

    /// It has gone off, and is not set any more.
    pub(crate) fn gone_off(&mut self) {
        let _ = rustix::io::read(&self.timer, &mut [0; 8]);
        self.at_ms = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, poll};

    #[test]
    fn it_goes_off_once_and_is_set_again() {
        let mut alarm = Alarm::new().unwrap();
        let is_readable = |alarm: &Alarm, wait_ms: i64| {
            let fd = alarm.as_fd();
            let wait = Timespec { tv_sec: wait_ms / 1000, tv_nsec: wait_ms % 1000 * 1_000_000 };
            poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&wait)).unwrap() > 0
        };
        assert!(!is_readable(&alarm, 0));
        // The second time is one that has passed.
        for at_ms in [1_003, 900] {
            alarm.set(Some(at_ms), 1_000);
            assert!(is_readable(&alarm, 10_000));
            alarm.gone_off();
            assert!(!is_readable(&alarm, 0));
        }
        alarm.set(Some(100_000), 1_000);
        alarm.set(None, 1_000);
        assert!(!is_readable(&alarm, 5));
    }
}
