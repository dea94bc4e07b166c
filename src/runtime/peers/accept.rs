//! Accepts at the ports for servers: how many connections there may be, which one is closed for a new one, and which server a
//! connection belongs to.

use super::socket::Kind;
use super::{Peers, watch};
use crate::jute::election::InitialMessage;
use crate::limits;
use crate::runtime::descriptors;
use crate::runtime::ports::{Open, Port};
use crate::server::quorum::{Input, PeerInput, Quorum};
use crate::zab::leader::PeerId;
use crate::zab::links::LinkId;
use rustix::event::epoll;
use std::io::ErrorKind;

impl Peers {
    /// Others are accepted at these ports from now on.
    pub(super) fn listen_at(&mut self, ports: Vec<Open>) {
        for open in &self.ports {
            // A resting listener is not in the epoll set.
            let _ = epoll::delete(&self.epoll, &open.listener);
        }
        self.ports = ports;
        // What cannot be watched is tried again with the next tick.
        let watched = |(number, open)| watch(&self.epoll, number, open).is_err().then_some(number);
        self.resting = self.ports.iter().enumerate().filter_map(watched).collect();
    }

    pub(super) fn accept(&mut self, quorum: &mut Quorum, number: usize) {
        let Some(Open { wanted, listener }) = self.ports.get(number) else { return };
        let (port, security) = (wanted.port, wanted.security.clone());
        let mut accepted = vec![];
        if !descriptors::may_accept() {
            if epoll::delete(&self.epoll, listener).is_ok() {
                self.resting.push(number);
            }
            return;
        }
        while accepted.len() < limits::PEER_ACCEPTS {
            match listener.accept() {
                Ok(connection) => accepted.push(connection),
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => {
                    // Out of descriptors, most likely: the listener would be ready for ever. Or it gives way to another one.
                    if error.kind() != ErrorKind::InvalidInput {
                        tracing::error!(%error, ?port, "cannot accept another server's connection; trying again");
                    }
                    if epoll::delete(&self.epoll, listener).is_ok() {
                        self.resting.push(number);
                    }
                    break;
                }
            }
        }
        for (stream, from) in accepted {
            self.make_room(quorum);
            if self.sockets.len() >= self.options.max_sockets {
                tracing::warn!(%from, ?port, "connection refused: there are too many");
                continue;
            }
            let Ok(transport) = security.accepted(stream) else { continue };
            let kind = if port == Port::Election { Kind::Unknown(vec![]) } else { Kind::Learner };
            let Some(token) = self.add(transport, kind) else { continue };
            if port == Port::Quorum {
                quorum.step(Input::Peer(PeerInput::Learner(PeerId(token))));
            }
            if let Some(socket) = self.sockets.get_mut(&token) {
                socket.ends_at_ms = Some(self.now_ms + self.options.handshake_ms);
            }
        }
    }

    /// Makes room for a new connection: the oldest one that has sent nothing is closed. Strangers cannot keep a server out,
    /// because a server sends its first message at once.
    fn make_room(&mut self, quorum: &mut Quorum) {
        let is_full = self.sockets.len() >= self.options.max_sockets;
        let mut silent = self.sockets.iter().filter(|(_, socket)| socket.is_silent()).map(|(token, _)| *token);
        let Some(oldest) = silent.next() else { return };
        if is_full || silent.count() + 1 >= limits::PEER_UNKNOWN {
            tracing::debug!("a connection to a port for servers said nothing and gives way to another");
            self.lost(quorum, oldest);
        }
    }

    /// An election connection has said this so far.
    pub(super) fn introduced(&mut self, quorum: &mut Quorum, token: u64, said: Vec<u8>) {
        let Some(socket) = self.sockets.get_mut(&token) else { return };
        match InitialMessage::decode(&said) {
            // The message's own limit ends what never becomes whole.
            Ok(None) => socket.kind = Kind::Unknown(said),
            Ok(Some((initial, length))) => {
                socket.kind = Kind::Link;
                socket.ends_at_ms = None;
                let link = LinkId(token);
                quorum.step(Input::Peer(PeerInput::Accepted { link, initial }));
                if length < said.len() {
                    quorum.step(Input::Peer(PeerInput::Received { link, bytes: &said[length..] }));
                }
            }
            Err(error) => {
                tracing::warn!(?error, "what connected to the election port is no server");
                self.sockets.remove(&token);
            }
        }
    }
}
