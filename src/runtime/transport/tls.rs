//! TLS over TCP. rustls makes and reads the records; this keeps the contract of a transport around it.

use super::received::Received;
use crate::tls::Certificate;
use rustls::{ServerConfig, ServerConnection};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// Plaintext taken in one write: four records.
const WRITE: usize = 64 << 10;

/// A connection whose bytes are encrypted, at any time of its life.
#[derive(Debug)]
pub(crate) struct Tls {
    stream: TcpStream,
    session: ServerConnection,
    /// Bytes that have been decrypted and not read.
    plaintext: usize,
    /// The socket has not taken all records.
    is_full: bool,
    /// The other side has said goodbye.
    is_at_end: bool,
    has_said_goodbye: bool,
}

/// What rustls refuses is the other side's fault.
fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

impl Tls {
    /// The side that was connected to, over a socket that does not block.
    pub(crate) fn accepted(stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<Tls> {
        Ok(Tls::over(stream, ServerConnection::new(config).map_err(invalid)?))
    }

    fn over(stream: TcpStream, session: ServerConnection) -> Tls {
        // Whoever speaks first has something to send already.
        let is_full = session.wants_write();
        Tls { stream, session, plaintext: 0, is_full, is_at_end: false, has_said_goodbye: false }
    }

    /// The certificate that the other side has shown and proved to be its own; to be asked behind the handshake.
    pub(crate) fn certificate(&self) -> Option<Certificate> {
        Certificate::read(self.session.peer_certificates()?.first()?)
    }

    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<Received> {
        if !self.has_more() {
            self.take_in()?;
        }
        if self.plaintext == 0 {
            return Ok(if self.is_at_end { Received::End } else { Received::Nothing });
        }
        let length = into.len().min(self.plaintext);
        let read = self.session.reader().read(&mut into[..length])?;
        self.plaintext -= read;
        Ok(Received::Bytes(read))
    }

    pub(crate) fn take_in(&mut self) -> io::Result<()> {
        match self.session.read_tls(&mut self.stream) {
            // Without a goodbye somebody in between may have cut the stream.
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => self.understand(),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Reads the records that have come, and answers those that want an answer.
    fn understand(&mut self) -> io::Result<()> {
        match self.session.process_new_packets() {
            Ok(state) => {
                self.plaintext = state.plaintext_bytes_to_read();
                self.is_at_end = state.peer_has_closed();
            }
            Err(error) => {
                // rustls has words to say why; they are sent as far as the socket takes them.
                let _ = self.flush();
                return Err(invalid(error));
            }
        }
        if self.is_full { Ok(()) } else { self.flush() }
    }

    /// Sends what there is, as far as the socket takes it.
    fn flush(&mut self) -> io::Result<()> {
        self.is_full = false;
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.stream) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_full = true;
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_full || self.session.is_handshaking() {
            return Ok(0);
        }
        let taken = self.session.writer().write(&bytes[..bytes.len().min(WRITE)])?;
        self.flush()?;
        Ok(taken)
    }

    pub(crate) fn push(&mut self) -> io::Result<()> {
        self.flush()
    }

    pub(crate) fn close(&mut self) -> bool {
        if self.session.is_handshaking() {
            return true;
        }
        if !std::mem::replace(&mut self.has_said_goodbye, true) {
            self.session.send_close_notify();
        }
        // What cannot be sent any more is not waited for.
        let is_broken = !self.is_full && self.flush().is_err();
        is_broken || !self.is_full
    }

    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    pub(crate) fn has_more(&self) -> bool {
        self.plaintext > 0 || self.is_at_end
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }
}

impl AsFd for Tls {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
