//! Which transport connections get: those of one listener, or those that this server makes to others.

use super::handshakes::{Deliver, Handshakes};
use super::transport::Transport;
use rustls::ServerConfig;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

/// How connections are secured.
#[derive(Clone, Debug)]
pub(crate) enum Security {
    /// Bytes as they are.
    Plain,
    /// Encrypted.
    Tls(Tls),
    #[cfg(test)]
    Veiled,
}

/// What accepted connections are encrypted with, and who does their handshakes.
#[derive(Clone)]
pub(crate) struct Tls {
    pub config: Arc<ServerConfig>,
    pub handshakes: Handshakes,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Security {
    /// For a connection that was accepted from `peer`. `None`: its handshake is done elsewhere, and `deliver` gets the
    /// connection behind it.
    pub(crate) fn accepted(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        deliver: impl FnOnce() -> Deliver,
    ) -> io::Result<Option<Transport>> {
        match self {
            Security::Plain => Transport::plain(stream).map(Some),
            Security::Tls(Tls { config, handshakes }) => {
                handshakes.begin(Transport::accepted_tls(stream, config.clone())?, peer, deliver());
                Ok(None)
            }
            #[cfg(test)]
            Security::Veiled => Transport::veiled(stream, true).map(Some),
        }
    }

    /// For a connection that this server has made to `host`, the name or address that a configuration has.
    pub(crate) fn connected(&self, stream: TcpStream, host: &str) -> io::Result<Transport> {
        let transport = match self {
            Security::Plain => Transport::plain(stream),
            Security::Tls(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "servers are not connected by TLS")),
            #[cfg(test)]
            Security::Veiled => Transport::veiled(stream, false),
        };
        transport.map_err(|error| io::Error::new(error.kind(), format!("{host}: {error}")))
    }
}
