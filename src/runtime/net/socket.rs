//! What a loop waits for: the sockets of clients and their places in the epoll set.

use super::gate::Ticket;
use crate::ids::ConnId;
use crate::runtime::transport::Transport;
use rustix::event::epoll;
use std::net::SocketAddr;

/// Where in the epoll set the descriptors that are no clients stand: the listeners from here on, by their number, then the others.
pub(super) const FIRST_LISTENER: u64 = u64::MAX - 63;
pub(super) const BELL: u64 = u64::MAX - 1;
pub(super) const TIMER: u64 = u64::MAX - 2;
pub(super) const OTHER: u64 = u64::MAX - 3;
pub(super) const PEERS: u64 = u64::MAX - 4;
pub(super) const ALARM: u64 = u64::MAX - 5;

/// A connection that no shard knows yet, and its place among the clients.
pub(super) struct Arrived {
    pub(super) transport: Transport,
    pub(super) peer: SocketAddr,
    pub(super) ticket: Ticket,
}

pub(super) struct Socket {
    pub(super) transport: Transport,
    pub(super) id: ConnId,
    /// The client will send nothing more.
    pub(super) is_at_end: bool,
    /// The transport holds plaintext that was not read yet; the connection stands in the list of those.
    pub(super) is_unread: bool,
    /// What the epoll set is armed for.
    pub(super) armed: epoll::EventFlags,
    pub(super) ticket: Ticket,
}

/// The sockets by the slots of their connections.
#[derive(Default)]
pub(super) struct Sockets(pub(super) Vec<Option<Socket>>);

impl Sockets {
    #[inline]
    pub(super) fn find(&mut self, id: ConnId) -> Option<&mut Socket> {
        self.0.get_mut(id.slot as usize)?.as_mut().filter(|socket| socket.id == id)
    }

    /// Puts a socket into its slot. One whose connection has ended in this turn may still be there.
    pub(super) fn put(&mut self, socket: Socket) -> Option<Socket> {
        let slot = socket.id.slot as usize;
        if self.0.len() <= slot {
            self.0.resize_with(slot + 1, || None);
        }
        self.0[slot].replace(socket)
    }

    pub(super) fn take(&mut self, id: ConnId) -> Option<Socket> {
        self.find(id)?;
        self.0[id.slot as usize].take()
    }
}

/// Where a connection's socket stands in the epoll set.
#[inline]
pub(super) fn token(id: ConnId) -> u64 {
    u64::from(id.generation) << 32 | u64::from(id.slot)
}
