//! Where clients come in: accepting at the ports that there are for them, as one loop does it.

use super::Net;
use super::socket::{Arrived, Socket, token};
use crate::limits;
use crate::runtime::descriptors;
use crate::server::shard::Shard;
use rustix::event::epoll;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::sync::Arc;

impl Net {
    /// Takes no more connections.
    pub(crate) fn stop_accepting(&mut self) {
        for entrance in &mut self.entrances {
            entrance.disarm(&self.epoll);
            entrance.listener = None;
        }
    }

    pub(super) fn arm_listeners(&mut self) {
        for (number, entrance) in self.entrances.iter_mut().enumerate() {
            entrance.arm(&self.epoll, number);
        }
    }

    /// Where a door has moved, accepts at the new port from now on. Connections that wait at the old port are accepted first.
    #[inline]
    pub(super) fn follow_doors(&mut self, shard: &mut Shard) {
        for number in 0..self.entrances.len() {
            let entrance = &mut self.entrances[number];
            if let Some(new) = entrance.door.moved(&mut entrance.moves) {
                self.follow_door(shard, number, new);
            }
        }
    }

    fn follow_door(&mut self, shard: &mut Shard, number: usize, new: Arc<TcpListener>) {
        self.accept(shard, number);
        let entrance = &mut self.entrances[number];
        if entrance.listener.is_some() {
            entrance.disarm(&self.epoll);
            entrance.listener = Some(new);
            entrance.arm(&self.epoll, number);
        }
    }

    pub(super) fn accept(&mut self, shard: &mut Shard, number: usize) {
        for _ in 0..limits::CLIENT_ACCEPTS {
            let entrance = &mut self.entrances[number];
            let port = entrance.door.port;
            let Some(listener) = &entrance.listener else { return };
            if !descriptors::may_accept() {
                tracing::error!(
                    %port, "no descriptor is left for another connection; trying again (raise the limit on open files)"
                );
                return entrance.disarm(&self.epoll);
            }
            let (stream, peer) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => continue,
                Err(error) => {
                    // Probably out of descriptors. The listener would stay ready: disarm it until the next tick; open
                    // connections continue. Or the port is moving, and this listener is being replaced.
                    if error.kind() != ErrorKind::InvalidInput {
                        tracing::error!(
                            %port, %error, "cannot accept connections; trying again (raise the limit on open files)"
                        );
                    }
                    return entrance.disarm(&self.epoll);
                }
            };
            let Some(ticket) = self.gate.enter(peer.ip()) else {
                tracing::warn!(%port, %peer, "connection refused: too many connections (maxClientCnxns, maxCnxns)");
                (self.rejected)();
                continue;
            };
            let security = &entrance.door.security;
            let Ok(transport) = security.accepted(stream) else { continue };
            let Some(handshakes) = security.handshakes() else {
                self.take_in(shard, Arrived { transport, peer, ticket });
                continue;
            };
            // It comes back when its handshake is over. Its place is given back if that fails.
            let (arrivals, wake) = (self.arrivals.0.clone(), self.wake.clone());
            let deliver = move |transport| {
                // When the server stops, the receiver is gone.
                let _ = arrivals.send(Arrived { transport, peer, ticket });
                wake.ring();
            };
            handshakes.begin(transport, peer, Box::new(deliver));
        }
    }

    /// Takes in the connections whose handshakes are over.
    #[inline]
    pub(super) fn greet(&mut self, shard: &mut Shard) {
        while let Ok(arrived) = self.arrivals.1.try_recv() {
            self.take_in(shard, arrived);
        }
    }

    fn take_in(&mut self, shard: &mut Shard, Arrived { transport, peer, ticket }: Arrived) {
        let id = shard.accept(peer);
        if let Some(certificate) = transport.certificate()
            && !shard.certified(id, &certificate.subject)
        {
            return;
        }
        let mut armed = epoll::EventFlags::IN;
        armed.set(epoll::EventFlags::OUT, transport.is_full());
        if epoll::add(&self.epoll, &transport, epoll::EventData::new_u64(token(id)), armed).is_err() {
            return shard.disconnected(id);
        }
        // Plaintext may have come with the end of the handshake.
        let is_unread = transport.has_more();
        if is_unread {
            self.unread.push(id);
        }
        let socket = Socket { transport, id, is_at_end: false, is_unread, armed, ticket };
        if let Some(over) = self.sockets.put(socket) {
            self.lingering.take_in(over, &self.epoll);
        }
    }
}
