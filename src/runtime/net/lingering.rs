//! Connections that are over for the shard, and whose transports still hold something that the client is to get: the end
//! of an answer, a goodbye. Each counts as a client until it has left, and has a bounded time for it.
//!
//! None is ever here over plain TCP, where the system has what was sent.

use super::gate::Ticket;
use super::socket::{Socket, token};
use crate::ids::ConnId;
use crate::limits;
use crate::runtime::transport::Transport;
use rustix::event::epoll;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Those of one loop.
pub(super) struct Lingering {
    /// By their places in the epoll set.
    connections: BTreeMap<u64, Leaving>,
    /// Half ticks that one may take.
    patience: u64,
}

struct Leaving {
    transport: Transport,
    half_ticks_left: u64,
    _ticket: Ticket,
}

impl Lingering {
    pub(super) fn new(half_tick: Duration) -> Lingering {
        let patience = limits::CLIENT_LINGER_MS.div_ceil(half_tick.as_millis().max(1) as u64);
        Lingering { connections: BTreeMap::new(), patience }
    }

    /// Says goodbye, and keeps the connection if that does not leave at once.
    #[inline]
    pub(super) fn take_in(&mut self, socket: Socket, epoll: &OwnedFd) {
        let Socket { mut transport, id, ticket, .. } = socket;
        if transport.close() {
            return;
        }
        let token = token(id);
        if epoll::modify(epoll, &transport, epoll::EventData::new_u64(token), epoll::EventFlags::OUT).is_ok() {
            // The first half tick may be about to end.
            let leaving = Leaving { transport, half_ticks_left: self.patience + 1, _ticket: ticket };
            self.connections.insert(token, leaving);
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// The system has something to say of a connection that may be here.
    pub(super) fn ready(&mut self, id: ConnId, flags: epoll::EventFlags) {
        let Some(Leaving { transport, .. }) = self.connections.get_mut(&token(id)) else { return };
        let is_broken = flags.intersects(epoll::EventFlags::HUP | epoll::EventFlags::ERR);
        if is_broken || transport.push().is_err() || transport.close() {
            self.connections.remove(&token(id));
        }
    }

    /// Half a tick has passed: who had time enough is dropped.
    pub(super) fn tick(&mut self) {
        self.connections.retain(|_, leaving| {
            leaving.half_ticks_left -= 1;
            leaving.half_ticks_left > 0
        });
    }
}
