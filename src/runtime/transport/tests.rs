//! A transport for tests that does whatever the contract allows and plain TCP never does, and what goes through it.

use super::*;
use crate::runtime::security::Security;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;

/// What both sides say first, and must have heard before they understand anything.
const GREETING: &[u8] = b"veiled, the first version";
/// Plaintext of one record.
const RECORD: usize = 4096;
/// Bytes read from the socket at once: more than a record, and its parts.
const READ: usize = 9_001;
/// Bytes written to the socket in one call, as if it were full behind them.
const PUSH: usize = 1_500;
/// Plaintext given in one read.
const GIVEN: usize = 1_000;
/// Records after which the accepting side has to answer. The other side has not: what it says behind the last of what it
/// wants would meet a closed socket, which may cost it what it has not read.
const ANSWERED: usize = 3;

const DATA: u8 = 0;
const ANSWER: u8 = 1;
const GOODBYE: u8 = 2;

/// Records of a kind, a length, and plaintext changed by a key that changes with each; a greeting before, a goodbye behind.
#[derive(Debug)]
pub struct Veiled {
    stream: TcpStream,
    is_agreed: bool,
    /// From the wire, not understood yet.
    incoming: Vec<u8>,
    plaintext: Vec<u8>,
    outgoing: Vec<u8>,
    is_full: bool,
    keys: [u8; 2],
    answers: bool,
    unanswered: usize,
    is_at_end: bool,
    has_said_goodbye: bool,
}

impl Veiled {
    pub fn new(stream: TcpStream, answers: bool) -> Veiled {
        Veiled {
            stream,
            is_agreed: false,
            incoming: vec![],
            plaintext: vec![],
            outgoing: GREETING.to_vec(),
            // The greeting leaves when the system says that there is room.
            is_full: true,
            keys: [1; 2],
            answers,
            unanswered: 0,
            is_at_end: false,
            has_said_goodbye: false,
        }
    }

    pub fn read(&mut self, into: &mut [u8]) -> io::Result<Received> {
        if !self.has_more() {
            self.take_in()?;
        }
        if self.plaintext.is_empty() {
            return Ok(if self.is_at_end { Received::End } else { Received::Nothing });
        }
        let n = into.len().min(GIVEN).min(self.plaintext.len());
        into[..n].copy_from_slice(&self.plaintext[..n]);
        self.plaintext.drain(..n);
        Ok(Received::Bytes(n))
    }

    pub fn take_in(&mut self) -> io::Result<()> {
        let mut wire = [0; READ];
        match self.stream.read(&mut wire) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => self.incoming.extend_from_slice(&wire[..n]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
        self.understand()?;
        self.answer()
    }

    fn understand(&mut self) -> io::Result<()> {
        if !self.is_agreed {
            if self.incoming.len() < GREETING.len() {
                return Ok(());
            }
            let rest = self.incoming.split_off(GREETING.len());
            if std::mem::replace(&mut self.incoming, rest) != GREETING {
                return Err(ErrorKind::InvalidData.into());
            }
            self.is_agreed = true;
        }
        while let [kind, low, high, rest @ ..] = &self.incoming[..] {
            let length = usize::from(u16::from_le_bytes([*low, *high]));
            if length > RECORD || *kind > GOODBYE || self.is_at_end {
                return Err(ErrorKind::InvalidData.into());
            }
            let Some(veiled) = rest.get(..length) else { break };
            self.plaintext.extend(veiled.iter().map(|byte| byte ^ self.keys[0]));
            self.keys[0] = self.keys[0].wrapping_mul(5).wrapping_add(1);
            self.unanswered += usize::from(*kind == DATA);
            self.is_at_end = *kind == GOODBYE;
            self.incoming.drain(..3 + length);
        }
        Ok(())
    }

    /// What has to be answered is answered once, however much of it came while there was no room.
    fn answer(&mut self) -> io::Result<()> {
        if self.answers && self.unanswered >= ANSWERED && self.outgoing.is_empty() {
            self.unanswered = 0;
            self.record(ANSWER, &[]);
        }
        if self.is_full { Ok(()) } else { self.flush() }
    }

    fn record(&mut self, kind: u8, plaintext: &[u8]) {
        self.outgoing.push(kind);
        self.outgoing.extend_from_slice(&(plaintext.len() as u16).to_le_bytes());
        self.outgoing.extend(plaintext.iter().map(|byte| byte ^ self.keys[1]));
        self.keys[1] = self.keys[1].wrapping_mul(5).wrapping_add(1);
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.outgoing.is_empty() {
            match self.stream.write(&self.outgoing[..self.outgoing.len().min(PUSH)]) {
                Ok(n) => drop(self.outgoing.drain(..n)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        self.is_full = !self.outgoing.is_empty();
        Ok(())
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_full || !self.is_agreed {
            return Ok(0);
        }
        let n = bytes.len().min(RECORD);
        self.record(DATA, &bytes[..n]);
        self.flush()?;
        Ok(n)
    }

    pub fn push(&mut self) -> io::Result<()> {
        self.flush()?;
        self.answer()
    }

    pub fn close(&mut self) -> bool {
        if !self.is_agreed {
            return true;
        }
        if !std::mem::replace(&mut self.has_said_goodbye, true) {
            self.record(GOODBYE, &[]);
        }
        // What cannot be sent any more is not waited for.
        let is_broken = !self.is_full && self.flush().is_err();
        is_broken || !self.is_full
    }

    pub fn is_full(&self) -> bool {
        self.is_full
    }

    pub fn has_more(&self) -> bool {
        !self.plaintext.is_empty() || self.is_at_end
    }

    pub fn is_handshaking(&self) -> bool {
        !self.is_agreed
    }

    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// One side of a connection that waits for its socket as long as it must: the least loop that keeps the contract.
pub struct Patient {
    transport: Transport,
    /// Plaintext that waits to be sent, and that came.
    pub out: Vec<u8>,
    pub came: Vec<u8>,
    /// How the other side ended.
    pub end: Option<Result<(), ErrorKind>>,
}

/// What is to happen does within this time.
const LIMIT: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };

impl Patient {
    pub fn over(transport: Transport) -> Patient {
        Patient { transport, out: vec![], came: vec![], end: None }
    }

    /// Goes on until `is_done` or the other side has ended; panics when nothing happens any more.
    pub fn until(&mut self, is_done: impl Fn(&Patient) -> bool) {
        while self.end.is_none() {
            while !self.out.is_empty() {
                match self.transport.write(&self.out) {
                    Ok(0) => break,
                    Ok(n) => drop(self.out.drain(..n)),
                    Err(error) => return self.end = Some(Err(error.kind())),
                }
            }
            if is_done(self) {
                return;
            }
            if !self.transport.has_more() {
                let mut wanted = PollFlags::IN;
                wanted.set(PollFlags::OUT, self.transport.is_full());
                let mut ready = [PollFd::new(&self.transport, wanted)];
                assert!(
                    poll(&mut ready, Some(&LIMIT)).unwrap() > 0,
                    "{} bytes came, and nothing more",
                    self.came.len()
                );
                if ready[0].revents().intersects(PollFlags::OUT)
                    && let Err(error) = self.transport.push()
                {
                    return self.end = Some(Err(error.kind()));
                }
            }
            let mut into = [0; 3_000];
            match self.transport.read(&mut into) {
                Ok(Received::Bytes(n)) => self.came.extend_from_slice(&into[..n]),
                Ok(Received::Nothing) => {}
                Ok(Received::End) => self.end = Some(Ok(())),
                Err(error) => self.end = Some(Err(error.kind())),
            }
        }
    }

    /// Says goodbye, whatever the other side does.
    pub fn close(&mut self) {
        while !self.transport.close() {
            let mut ready = [PollFd::new(&self.transport, PollFlags::OUT)];
            assert!(poll(&mut ready, Some(&LIMIT)).unwrap() > 0, "no room");
            if self.transport.push().is_err() {
                return;
            }
        }
    }
}

/// Two ends of one connection.
fn pair(security: &Security) -> [Patient; 2] {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let connected = security.connected(stream, "127.0.0.1").unwrap();
    [connected, security.accepted(listener.accept().unwrap().0).unwrap()].map(Patient::over)
}

#[test]
fn what_is_written_is_read_and_the_end_is_told_in_good_order() {
    for security in [Security::Plain, Security::Veiled] {
        let [mut one, mut other] = pair(&security);
        let words: Vec<u8> = (0..1_000_000u32).map(|byte| (byte % 251) as u8).collect();
        one.out = words.clone();
        let writer = std::thread::spawn(move || {
            one.until(|one| one.out.is_empty() && one.came.len() == 9);
            one.close();
            (one.came, one.end)
        });
        other.until(|other| other.came.len() == words.len());
        assert!(other.came == words, "{security:?}");
        other.out = b"thank you".to_vec();
        other.until(|_| false);
        assert_eq!(other.end, Some(Ok(())), "{security:?}");
        assert_eq!(writer.join().unwrap(), (b"thank you".to_vec(), None), "{security:?}");
    }
}

#[test]
fn an_end_without_a_goodbye_is_an_error_where_there_should_be_one() {
    for (security, end) in [(Security::Plain, Ok(())), (Security::Veiled, Err(ErrorKind::UnexpectedEof))] {
        let [mut one, mut other] = pair(&security);
        one.out = b"but".to_vec();
        let is_done = |one: &Patient| one.out.is_empty() && !one.transport.is_full();
        let writer = std::thread::spawn(move || one.until(is_done));
        other.until(|_| false);
        writer.join().unwrap();
        assert_eq!((other.came, other.end), (b"but".to_vec(), Some(end)), "{security:?}");
    }
}
