//! One port for clients, as one loop sees it.

use super::socket::FIRST_LISTENER;
use crate::runtime::ports::Door;
use crate::runtime::wake::Wake;
use rustix::event::epoll;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// A door and what this loop has of it.
pub(super) struct Entrance {
    pub(super) door: Arc<Door>,
    /// How often the door has moved, as far as is known here.
    pub(super) moves: u64,
    /// Without one no more connections are taken.
    pub(super) listener: Option<Arc<TcpListener>>,
    pub(super) is_armed: bool,
}

impl Entrance {
    /// The loop that `bell` wakes accepts here.
    pub(super) fn at(door: Arc<Door>, bell: Arc<Wake>) -> Entrance {
        Entrance { listener: Some(door.attend(bell)), door, moves: 0, is_armed: false }
    }

    pub(super) fn arm(&mut self, epoll: &OwnedFd, number: usize) {
        if let (Some(listener), false) = (&self.listener, self.is_armed) {
            // Exclusive: a new connection wakes one shard, not all.
            let flags = epoll::EventFlags::IN | epoll::EventFlags::EXCLUSIVE;
            let token = epoll::EventData::new_u64(FIRST_LISTENER + number as u64);
            self.is_armed = epoll::add(epoll, listener, token, flags).is_ok();
        }
    }

    /// Leaves the listener alone until the next tick.
    pub(super) fn disarm(&mut self, epoll: &OwnedFd) {
        if let (Some(listener), true) = (&self.listener, std::mem::take(&mut self.is_armed)) {
            let _ = epoll::delete(epoll, listener);
        }
    }
}
