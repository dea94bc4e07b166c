//! Waking a loop that waits: a flag that says whether it does, and an eventfd to end the wait.

use crate::fatal::{Fatal, Reason};
use rustix::event::{EventfdFlags, eventfd};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst, fence};

/// The bell of one loop.
pub(crate) struct Wake {
    fd: OwnedFd,
    waits: AtomicBool,
    /// Rung since the loop last looked.
    rung: AtomicBool,
}

impl Wake {
    /// A bell at which no loop waits yet.
    pub(crate) fn new() -> Result<Self, Fatal> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|error| Fatal::new(Reason::System, format!("eventfd: {error}")))?;
        Ok(Wake { fd, waits: AtomicBool::new(false), rung: AtomicBool::new(false) })
    }

    /// The loop is about to wait; false if it must not, because the bell has been rung since it was last awake. A ring from
    /// now on ends the wait.
    #[must_use]
    pub(crate) fn about_to_wait(&self) -> bool {
        self.waits.store(true, SeqCst);
        fence(SeqCst);
        if self.rung.load(SeqCst) {
            self.waits.store(false, SeqCst);
            return false;
        }
        true
    }

    /// The loop is awake and looks for work from here on: rings before this have been heard.
    pub(crate) fn awake(&self) {
        self.waits.store(false, SeqCst);
        // A swap, so that what the ringer did before it rang is seen from here on.
        self.rung.swap(false, SeqCst);
        fence(SeqCst);
    }

    /// There is work: ends the wait, if there is one.
    pub(crate) fn ring(&self) {
        self.rung.store(true, SeqCst);
        fence(SeqCst);
        if self.waits.swap(false, SeqCst) {
            // The counter cannot overflow: every ring is one, and the loop empties it.
            let _ = rustix::io::write(&self.fd, &1u64.to_ne_bytes());
        }
    }

    /// Empties the counter, so that the descriptor is not readable any more.
    pub(crate) fn hush(&self) {
        let _ = rustix::io::read(&self.fd, &mut [0; 8]);
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_before_the_wait_is_not_lost() {
        let wake = Wake::new().unwrap();
        assert!(wake.about_to_wait());
        wake.awake();
        wake.ring();
        assert!(!wake.about_to_wait(), "rung while it worked: it looks again");
        wake.awake();
        assert!(wake.about_to_wait(), "and then it may wait");
    }

    #[test]
    fn a_ring_during_the_wait_is_heard() {
        let wake = Wake::new().unwrap();
        assert!(wake.about_to_wait());
        wake.ring();
        let mut counter = [0; 8];
        assert_eq!(rustix::io::read(&wake, &mut counter), Ok(8), "the descriptor has become readable");
    }
}
