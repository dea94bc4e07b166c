//! One connection between servers: what it is, what waits to be sent on it, and the snapshot that goes out on it.

use crate::limits;
use rustix::event::epoll::EventFlags;
use std::collections::VecDeque;
use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, TryRecvError};

/// What a connection is.
pub enum Kind {
    /// Accepted at the election port, and has not said whose it is: what it has said.
    Unknown(Vec<u8>),
    Link,
    Learner,
    Leader,
}

/// A piece of a snapshot's stream.
pub type Piece = Result<Vec<u8>, String>;

/// A snapshot that is being sent.
pub struct Feed {
    pub pieces: Receiver<Piece>,
    /// What is to follow it.
    pub behind: Vec<u8>,
}

/// What came of feeding a socket from its snapshot.
#[derive(PartialEq, Eq, Debug)]
pub enum Fed {
    /// Nothing new, or no room for it.
    Nothing,
    Piece,
    /// All of it has been handed over.
    Done,
    /// The file cannot be read.
    Broken(String),
}

/// A connection.
pub struct Socket {
    pub stream: TcpStream,
    pub kind: Kind,
    out: Vec<u8>,
    sent: usize,
    /// Where in all that was ever to be sent the messages end whose leaving is to be told.
    ends: VecDeque<u64>,
    given: u64,
    gone: u64,
    pub feed: Option<Feed>,
    /// The last send did not take everything: the rest goes when the system says that there is room.
    pub is_blocked: bool,
    /// To be ended when what it was given has left: nothing of it is wanted any more.
    pub is_closing: bool,
    /// To be ended at this time, ms, whatever it is doing.
    pub ends_at_ms: Option<i64>,
    /// What the epoll set is armed for.
    pub armed: EventFlags,
}

impl Socket {
    /// A connection on which nothing was sent yet.
    pub fn new(stream: TcpStream, kind: Kind, armed: EventFlags) -> Socket {
        Socket {
            stream,
            kind,
            out: vec![],
            sent: 0,
            ends: VecDeque::new(),
            given: 0,
            gone: 0,
            feed: None,
            is_blocked: false,
            is_closing: false,
            ends_at_ms: None,
            armed,
        }
    }

    /// Bytes that wait to be sent.
    pub fn unsent(&self) -> usize {
        self.out.len() - self.sent + self.feed.as_ref().map_or(0, |feed| feed.behind.len())
    }

    /// Queues bytes, behind the snapshot that is being sent.
    pub fn give(&mut self, bytes: &[u8]) {
        match &mut self.feed {
            Some(feed) => feed.behind.extend_from_slice(bytes),
            None => self.push(bytes),
        }
    }

    /// Queues a message whose leaving is to be told.
    pub fn give_told(&mut self, bytes: &[u8]) {
        self.push(bytes);
        self.ends.push_back(self.given);
    }

    fn push(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
        self.given += bytes.len() as u64;
    }

    /// Takes on a piece of the snapshot, if there is room and one is ready.
    pub fn feed_on(&mut self) -> Fed {
        let Some(feed) = &mut self.feed else { return Fed::Nothing };
        if self.out.len() - self.sent >= limits::PEER_FEED {
            return Fed::Nothing;
        }
        match feed.pieces.try_recv() {
            Ok(Ok(piece)) => {
                self.push(&piece);
                Fed::Piece
            }
            Ok(Err(error)) => Fed::Broken(error),
            Err(TryRecvError::Empty) => Fed::Nothing,
            Err(TryRecvError::Disconnected) => {
                let behind = self.feed.take().map(|feed| feed.behind).unwrap_or_default();
                self.push(&behind);
                Fed::Done
            }
        }
    }

    /// Sends what the system takes. Returns how many of the messages to be told of have left; an error means that the
    /// connection is over.
    pub fn send(&mut self) -> Result<usize, ()> {
        let end = self.out.len().min(self.sent + limits::PEER_SEND_PER_TURN);
        while self.sent < end && !self.is_blocked {
            match self.stream.write(&self.out[self.sent..end]) {
                Ok(0) => return Err(()),
                Ok(n) => {
                    self.sent += n;
                    self.gone += n as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.is_blocked = true,
                Err(_) => return Err(()),
            }
        }
        self.is_blocked |= self.sent < self.out.len();
        if self.sent == self.out.len() {
            self.out.clear();
            self.out.shrink_to(limits::PEER_FEED);
            self.sent = 0;
        } else if self.sent > limits::PEER_FEED {
            self.out.drain(..self.sent);
            self.sent = 0;
        }
        let mut told = 0;
        while self.ends.pop_front_if(|end| *end <= self.gone).is_some() {
            told += 1;
        }
        Ok(told)
    }

    /// Whether it was accepted and has not said whose it is, or nothing at all.
    pub fn is_silent(&self) -> bool {
        let is_accepted = matches!(self.kind, Kind::Unknown(_) | Kind::Learner);
        is_accepted && self.ends_at_ms.is_some() && !self.is_closing
    }

    /// Whether it is to be ended now.
    pub fn is_over(&self, now_ms: i64) -> bool {
        let is_late = self.ends_at_ms.is_some_and(|at_ms| now_ms >= at_ms);
        is_late || (self.is_closing && self.out.is_empty() && self.feed.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::TcpListener;
    use std::sync::mpsc::sync_channel;

    fn pair() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        stream.set_nonblocking(true).unwrap();
        (Socket::new(stream, Kind::Link, EventFlags::IN), listener.accept().unwrap().0)
    }

    #[test]
    fn a_message_is_told_of_when_its_last_byte_has_left() {
        let (mut socket, mut other) = pair();
        let long = vec![7; 64 << 20];
        socket.give_told(&[1]);
        socket.give_told(&long);
        assert_eq!(socket.send(), Ok(1), "the buffers of the system do not hold the second");
        assert!(socket.is_blocked && socket.unsent() > 0);
        let reader = std::thread::spawn(move || {
            let mut all = vec![0; 1 + (64 << 20)];
            other.read_exact(&mut all).map(|()| all)
        });
        let mut told = 0;
        for _ in 0..1_000_000 {
            socket.is_blocked = false;
            told += socket.send().unwrap();
            if told == 1 {
                break;
            }
            std::thread::yield_now();
        }
        assert_eq!((told, socket.unsent()), (1, 0));
        let all = reader.join().unwrap().unwrap();
        assert!(all[0] == 1 && all[1..] == long);
    }

    #[test]
    fn what_follows_a_snapshot_waits_for_it() {
        let (mut socket, mut other) = pair();
        let (sender, pieces) = sync_channel(2);
        socket.feed = Some(Feed { pieces, behind: vec![] });
        assert_eq!(socket.feed_on(), Fed::Nothing);
        socket.give(b"behind");
        sender.send(Ok(b"one ".to_vec())).unwrap();
        sender.send(Ok(b"two ".to_vec())).unwrap();
        drop(sender);
        let fed: Vec<Fed> = (0..4).map(|_| socket.feed_on()).collect();
        assert_eq!(fed, [Fed::Piece, Fed::Piece, Fed::Done, Fed::Nothing]);
        assert_eq!(socket.send(), Ok(0));
        let mut all = [0; 14];
        other.read_exact(&mut all).unwrap();
        assert_eq!(&all, b"one two behind");
    }

    #[test]
    fn a_snapshot_that_breaks_off_is_no_end() {
        let (mut socket, _other) = pair();
        let (sender, pieces) = sync_channel(1);
        socket.feed = Some(Feed { pieces, behind: vec![] });
        sender.send(Err("why".to_owned())).unwrap();
        drop(sender);
        assert_eq!(socket.feed_on(), Fed::Broken("why".to_owned()));
        (socket.is_closing, socket.ends_at_ms) = (true, Some(100));
        assert!(!socket.is_over(99), "a snapshot is still to be sent");
        assert!(socket.is_over(100), "it is not waited for either");
        socket.feed = None;
        assert!(socket.is_over(99), "nothing is left to be sent");
    }
}
