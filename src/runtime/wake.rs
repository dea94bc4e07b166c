//! Waking a loop that waits: a flag that says whether it does, and an eventfd to end the wait.

use crate::fatal::{Fatal, Reason};
use rustix::event::{EventfdFlags, eventfd};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// The bell of one loop.
pub struct Wake {
    fd: OwnedFd,
    waits: AtomicBool,
}

impl Wake {
    /// A bell nobody waits at.
    pub fn new() -> Result<Self, Fatal> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|error| Fatal::new(Reason::System, format!("eventfd: {error}")))?;
        Ok(Wake { fd, waits: AtomicBool::new(false) })
    }

    /// The loop is about to wait. It must look once more for work after this and before it waits: whoever
    /// brings work after that look rings.
    pub fn about_to_wait(&self) {
        self.waits.store(true, SeqCst);
        std::sync::atomic::fence(SeqCst);
    }

    /// The loop is awake.
    pub fn awake(&self) {
        self.waits.store(false, SeqCst);
    }

    /// There is work: ends the wait, if there is one.
    pub fn ring(&self) {
        std::sync::atomic::fence(SeqCst);
        if self.waits.swap(false, SeqCst) {
            // The counter cannot overflow: every ring is one, and the loop empties it.
            let _ = rustix::io::write(&self.fd, &1u64.to_ne_bytes());
        }
    }

    /// Empties the counter, so that the descriptor is not readable any more.
    pub fn hush(&self) {
        let _ = rustix::io::read(&self.fd, &mut [0; 8]);
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
