//! What carries the bytes of a connection: plain TCP, or a layer over it that encrypts.
//!
//! The socket loops of clients (`net`) and of other servers (`peers`) speak to a [`Transport`] and not to a socket. The
//! `security` of a listener, or of a dial, decides which transport its connections get. Brains never see one: they are
//! given plaintext and give plaintext.

mod plain;
mod received;
#[cfg(test)]
pub mod tests;
mod tls;

pub(super) use received::Received;

use crate::tls::Certificate;
use plain::Plain;
use rustls::ServerConfig;
use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use tls::Tls;

/// One connection, as a loop over epoll drives it. The socket is non-blocking, and no call blocks.
///
/// Two kinds of bytes are told apart: *plaintext*, which is a client's or a server's, and what stands on the wire. Of plain TCP both
/// are the same. A transport that encrypts has a handshake first, then records: plaintext is there to be read only when
/// a whole record has come, one record may hold more plaintext than is asked for, and what is written becomes bytes on
/// the wire that the socket may not take at once. The contract between a loop and any transport:
///
/// **Reading.** The loop calls [`read`](Self::read) when epoll says that the socket is readable, and when
/// [`has_more`](Self::has_more) says that a read would give something without it. As epoll is silent about what a transport
/// holds, a loop does not sleep while there is more that it would take; what it would not take stays with the transport. A transport
/// whose plaintext has not been taken reads nothing further from the socket, so that backpressure reaches the other side.
/// After [`Received::End`] or an error the loop does not read again.
///
/// **Writing.** [`write`](Self::write) takes a part of what it is given, or nothing. What was taken is the transport's: it counts as
/// sent, and the caller forgets it. A transport whose bytes the socket has not taken all is *full*
/// ([`is_full`](Self::is_full)): until it has pushed them out it takes nothing, so it holds what one write made and no more.
///
/// **Waiting.** The loop has epoll watch for input as its brain wants any, and for room while the transport is full; never because
/// a transport that is not full has refused something, as the socket would be found ready for ever. When there is room the loop
/// calls [`push`](Self::push). A
/// read may make a transport write (a handshake's answer, a change of keys): the transport tries so itself and may be full
/// afterwards, so a loop looks at `is_full` after every read too. A new transport may be full from the beginning, as the side of a
/// handshake that speaks first is.
///
/// **The handshake.** While [`is_handshaking`](Self::is_handshaking), a transport takes no plaintext and gives none, though
/// it may not be full. The handshake ends in a read and nowhere else; the loop then offers again what was refused. Once it
/// has ended, no write ever waits for a read. A peer that does not finish the handshake in time is disconnected by the loop:
/// a client because it has not asked for a session, another server because it has not sent its first message.
///
/// Where computing with a private key would keep others waiting, the handshake is done elsewhere (`handshakes`): it is driven by
/// [`take_in`](Self::take_in) and `push`, and the loop gets the connection when it is over; plaintext may have come with its
/// last bytes.
///
/// **The end.** [`close`](Self::close) says goodbye where the transport has words for it, and tells whether all has left;
/// until it has, the connection lingers, for a bounded time. A transport that is dropped says nothing: that is for errors. An
/// end of the stream without a goodbye, where there should be one, is the error `UnexpectedEof` and not [`Received::End`]:
/// what came may have been cut short by an attacker in between.
///
/// **Bounds.** What a transport holds in either direction is bounded by a constant (a record or two and what one write makes; of the
/// handshake, in which anybody may speak, a message). Bytes that break its rules are an error, never a panic; if there are words to
/// say why, the transport has tried to send them before it returns the error.
///
/// An enum, so that calls are direct: as long as `Plain` is the only one of a program, nothing is left of the seam.
#[derive(Debug)]
pub(crate) enum Transport {
    Plain(Plain),
    /// In a box: a session of TLS is large, and most connections have none.
    Tls(Box<Tls>),
    #[cfg(test)]
    Veiled(Box<tests::Veiled>),
}

/// The same call on whatever it is.
macro_rules! each {
    ($self:expr, $transport:ident => $call:expr) => {
        match $self {
            Transport::Plain($transport) => $call,
            Transport::Tls($transport) => $call,
            #[cfg(test)]
            Transport::Veiled($transport) => $call,
        }
    };
}

impl Transport {
    /// Over a connection, as it is.
    pub(super) fn plain(stream: TcpStream) -> io::Result<Transport> {
        prepare(&stream)?;
        Ok(Transport::Plain(Plain::new(stream)))
    }

    /// Over a connection that was accepted, and will be encrypted.
    pub(super) fn accepted_tls(stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<Transport> {
        prepare(&stream)?;
        Ok(Transport::Tls(Box::new(Tls::accepted(stream, config)?)))
    }

    /// Over a connection, with the rules of [`tests::Veiled`].
    #[cfg(test)]
    pub(super) fn veiled(stream: TcpStream, answers: bool) -> io::Result<Transport> {
        prepare(&stream)?;
        Ok(Transport::Veiled(Box::new(tests::Veiled::new(stream, answers))))
    }

    /// Reads plaintext into a buffer that has room. An error ends the connection.
    #[inline]
    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<Received> {
        debug_assert!(!into.is_empty(), "no room would look like the end of the stream");
        each!(self, transport => transport.read(into))
    }

    /// Reads what the socket has for the transport itself, and gives no plaintext. An error ends the connection.
    pub(crate) fn take_in(&mut self) -> io::Result<()> {
        each!(self, transport => transport.take_in())
    }

    /// The certificate that the other side has shown, and proved to be its own.
    pub(crate) fn certificate(&self) -> Option<Certificate> {
        match self {
            Transport::Tls(transport) => transport.certificate(),
            _ => None,
        }
    }

    /// Takes some of these bytes, of which there is at least one; 0: none for now. An error ends the connection.
    #[inline]
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        each!(self, transport => transport.write(bytes))
    }

    /// The socket has room again: sends what the transport holds. An error ends the connection.
    #[inline]
    pub(crate) fn push(&mut self) -> io::Result<()> {
        each!(self, transport => transport.push())
    }

    /// Ends the connection in good order; whether all has left, or never will. To be called again, after each
    /// [`push`](Self::push), until it has.
    #[inline]
    pub(crate) fn close(&mut self) -> bool {
        each!(self, transport => transport.close())
    }

    /// Whether it waits for room in the socket.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        each!(self, transport => transport.is_full())
    }

    /// Whether a read gives something although nothing comes from the socket.
    #[inline]
    pub(crate) fn has_more(&self) -> bool {
        each!(self, transport => transport.has_more())
    }

    /// Whether the two sides have not agreed yet on how to speak.
    #[inline]
    pub(crate) fn is_handshaking(&self) -> bool {
        each!(self, transport => transport.is_handshaking())
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        each!(self, transport => transport.as_fd())
    }
}

/// Every socket is read and written when it is ready, and what is written leaves at once.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)
}
