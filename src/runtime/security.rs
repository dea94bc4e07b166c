//! Which transport connections get: those of one listener, or those that this server makes to others.

use super::handshakes::Handshakes;
use super::transport::Transport;
use rustls::ServerConfig;
use std::fmt;
use std::io;
use std::net::TcpStream;
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
    /// For a connection that was accepted.
    pub(crate) fn accepted(&self, stream: TcpStream) -> io::Result<Transport> {
        match self {
            Security::Plain => Transport::plain(stream),
            Security::Tls(tls) => Transport::accepted_tls(stream, tls.config.clone()),
            #[cfg(test)]
            Security::Veiled => Transport::veiled(stream, true),
        }
    }

    /// Who does the handshakes of accepted connections before their loop has them; `None`: there is none, or it is done in the
    /// loop.
    pub(crate) fn handshakes(&self) -> Option<&Handshakes> {
        match self {
            Security::Tls(tls) => Some(&tls.handshakes),
            _ => None,
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
