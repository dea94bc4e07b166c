//! Plain TCP: what is read and written is what stands on the wire.

use super::received::Received;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};

/// A socket and nothing else.
#[derive(Debug)]
pub(crate) struct Plain {
    stream: TcpStream,
    /// The last write was not taken.
    is_full: bool,
}

impl Plain {
    /// Over a socket that does not block.
    pub(crate) fn new(stream: TcpStream) -> Plain {
        Plain { stream, is_full: false }
    }

    #[inline]
    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<Received> {
        match self.stream.read(into) {
            Ok(0) => Ok(Received::End),
            Ok(n) => Ok(Received::Bytes(n)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                Ok(Received::Nothing)
            }
            Err(error) => Err(error),
        }
    }

    /// There is nothing to agree on.
    pub(crate) fn take_in(&mut self) -> io::Result<()> {
        Ok(())
    }

    #[inline]
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.stream.write(bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_full = true;
                    return Ok(0);
                }
                outcome => return outcome,
            }
        }
    }

    #[inline]
    pub(crate) fn push(&mut self) -> io::Result<()> {
        self.is_full = false;
        Ok(())
    }

    /// The system sends what it has taken, and the end behind it.
    #[inline]
    pub(crate) fn close(&mut self) -> bool {
        true
    }

    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    #[inline]
    pub(crate) fn has_more(&self) -> bool {
        false
    }

    #[inline]
    pub(crate) fn is_handshaking(&self) -> bool {
        false
    }
}

impl AsFd for Plain {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
