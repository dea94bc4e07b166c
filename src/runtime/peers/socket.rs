//! One connection between servers: what it is, what waits to be sent on it, and the snapshot that goes out on it.
//!
//! Unsent bytes are charged as memory. While memory is short, connections with many unsent bytes and little progress are
//! closed.

use crate::limits;
use crate::runtime::transport::Transport;
use crate::server::memory::{Charge, Pot};
use rustix::event::epoll::EventFlags;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};

/// What a connection is.
pub(super) enum Kind {
    /// Accepted at the election port, and has not said whose it is: what it has said.
    Unknown(Vec<u8>),
    Link,
    Learner,
    Leader,
}

/// A piece of a snapshot's stream.
pub(crate) type Piece = Result<Vec<u8>, String>;

/// A snapshot that is being sent.
pub(crate) struct Feed {
    pub pieces: Receiver<Piece>,
    /// What is to follow it.
    pub behind: Vec<u8>,
}

/// What came of feeding a socket from its snapshot.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Fed {
    /// Nothing new, or no room for it.
    Nothing,
    Piece,
    /// All of it has been handed over.
    Done,
    /// The file cannot be read.
    Broken(String),
}

/// A connection.
pub(crate) struct Socket {
    pub transport: Transport,
    pub kind: Kind,
    out: Vec<u8>,
    sent: usize,
    /// Where in all that was ever to be sent the messages end whose leaving is to be told.
    ends: VecDeque<u64>,
    given: u64,
    gone: u64,
    pub feed: Option<Feed>,
    /// The last send was a turn's share and did not take everything: the rest goes when the system says that there is room.
    pub is_paused: bool,
    /// The transport holds plaintext that was not read yet; the connection stands in the list of those.
    pub is_unread: bool,
    /// To be ended when what it was given has left: nothing of it is wanted any more.
    pub is_closing: bool,
    /// To be ended at this time, ms, whatever it is doing.
    pub ends_at_ms: Option<i64>,
    /// To be ended at this time, ms, if the transport's handshake is not over.
    greets_until_ms: i64,
    /// What the epoll set is armed for.
    pub armed: EventFlags,
    /// What its buffers are of the server's memory.
    charge: Charge,
    /// Bytes sent until the last half tick, and the number of half ticks in a row with many unsent bytes and little progress.
    gone_before: u64,
    slow_ticks: u8,
}

impl Socket {
    /// A connection on which nothing was sent yet, and which has until then to agree on how to speak.
    pub(crate) fn new(transport: Transport, kind: Kind, greets_until_ms: i64, memory: &Arc<Pot>) -> Socket {
        let mut armed = EventFlags::IN;
        armed.set(EventFlags::OUT, transport.is_full());
        Socket {
            transport,
            kind,
            out: vec![],
            sent: 0,
            ends: VecDeque::new(),
            given: 0,
            gone: 0,
            feed: None,
            is_paused: false,
            is_unread: false,
            is_closing: false,
            ends_at_ms: None,
            greets_until_ms,
            armed,
            charge: Charge::on(memory),
            gone_before: 0,
            slow_ticks: 0,
        }
    }

    /// Bytes that wait to be sent.
    pub(crate) fn unsent(&self) -> usize {
        self.out.len() - self.sent + self.feed.as_ref().map_or(0, |feed| feed.behind.len())
    }

    /// Queues bytes, behind the snapshot that is being sent.
    pub(crate) fn give(&mut self, bytes: &[u8]) {
        match &mut self.feed {
            Some(feed) => {
                feed.behind.extend_from_slice(bytes);
                self.account();
            }
            None => self.push(bytes),
        }
    }

    /// Queues a message whose leaving is to be told.
    pub(crate) fn give_told(&mut self, bytes: &[u8]) {
        self.push(bytes);
        self.ends.push_back(self.given);
    }

    fn push(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
        self.given += bytes.len() as u64;
        self.account();
    }

    /// Its buffers may have grown, or become smaller.
    fn account(&mut self) {
        let behind = self.feed.as_ref().map_or(0, |feed| feed.behind.capacity());
        self.charge.follow(self.out.capacity() + behind);
    }

    /// Half a tick has passed. Whether little has gone of much that waits, in this one as in the one before.
    fn is_slow(&mut self) -> bool {
        let moved = self.gone - std::mem::replace(&mut self.gone_before, self.gone);
        // What follows a snapshot whose next piece is not read yet waits for us.
        let waits = self.out.len() - self.sent;
        let is_slow = waits > limits::SHORT_ANSWER && moved < limits::MOVED_PER_HALF_TICK as u64;
        self.slow_ticks = if is_slow { self.slow_ticks.saturating_add(1) } else { 0 };
        self.slow_ticks > 1
    }

    /// Takes on a piece of the snapshot, if there is room and one is ready.
    pub(crate) fn feed_on(&mut self) -> Fed {
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
    pub(crate) fn send(&mut self) -> Result<usize, ()> {
        let end = self.out.len().min(self.sent + limits::PEER_SEND_PER_TURN);
        while self.sent < end && !self.waits_for_room() {
            match self.transport.write(&self.out[self.sent..end]) {
                Ok(0) => break,
                Ok(n) => {
                    self.sent += n;
                    self.gone += n as u64;
                }
                Err(_) => return Err(()),
            }
        }
        self.is_paused |= self.sent == end && self.sent < self.out.len();
        if self.sent == self.out.len() {
            self.out.clear();
            self.out.shrink_to(limits::PEER_FEED);
            self.sent = 0;
        } else if self.sent > limits::PEER_FEED {
            self.out.drain(..self.sent);
            self.sent = 0;
        }
        self.account();
        let mut told = 0;
        while self.ends.pop_front_if(|end| *end <= self.gone).is_some() {
            told += 1;
        }
        Ok(told)
    }

    /// Whether the system is to say when there is room for more.
    pub(crate) fn waits_for_room(&self) -> bool {
        self.is_paused || self.transport.is_full()
    }

    /// Whether the connection was accepted and has not sent its first message yet.
    pub(crate) fn is_silent(&self) -> bool {
        let is_accepted = matches!(self.kind, Kind::Unknown(_) | Kind::Learner);
        is_accepted && self.ends_at_ms.is_some() && !self.is_closing
    }

    /// Whether the connection must end now. A closing connection sends its unsent bytes first, then the transport's goodbye.
    pub(crate) fn is_over(&mut self, now_ms: i64) -> bool {
        let is_mute = self.transport.is_handshaking() && now_ms >= self.greets_until_ms;
        let is_late = is_mute || self.ends_at_ms.is_some_and(|at_ms| now_ms >= at_ms);
        is_late || (self.is_closing && self.out.is_empty() && self.feed.is_none() && self.transport.close())
    }
}

/// Half a tick has passed. Returns the connections to close because `memory` is used up, and they hold most of it and make no
/// progress.
pub(crate) fn who_gives_way(sockets: &mut BTreeMap<u64, Socket>, memory: &Pot) -> Vec<u64> {
    let slow =
        sockets.iter_mut().filter_map(|(token, socket)| socket.is_slow().then_some((socket.charge.bytes(), *token)));
    let mut slow: Vec<(usize, u64)> = slow.collect();
    slow.sort_unstable_by_key(|(held, token)| (std::cmp::Reverse(*held), *token));
    let mut used = memory.used();
    let is_needed = |(held, _): &(usize, u64)| {
        let is_short = used >= memory.share();
        used = used.saturating_sub(*held);
        is_short
    };
    slow.into_iter().take_while(is_needed).map(|(_, token)| token).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::security::Security;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc::sync_channel;

    fn pair() -> (Socket, TcpStream) {
        pair_on(&Pot::new(usize::MAX))
    }

    fn pair_on(memory: &Arc<Pot>) -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let transport = Security::Plain.connected(stream, "127.0.0.1").unwrap();
        (Socket::new(transport, Kind::Link, 0, memory), listener.accept().unwrap().0)
    }

    /// As when the system says so.
    fn has_room(socket: &mut Socket) {
        socket.is_paused = false;
        socket.transport.push().unwrap();
    }

    #[test]
    fn a_message_is_told_of_when_its_last_byte_has_left() {
        let (mut socket, mut other) = pair();
        let long = vec![7; 64 << 20];
        socket.give_told(&[1]);
        socket.give_told(&long);
        assert_eq!(socket.send(), Ok(1), "the buffers of the system do not hold the second");
        assert!(socket.waits_for_room() && socket.unsent() > 0);
        let reader = std::thread::spawn(move || {
            let mut all = vec![0; 1 + (64 << 20)];
            other.read_exact(&mut all).map(|()| all)
        });
        let mut told = 0;
        for _ in 0..1_000_000 {
            has_room(&mut socket);
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
    fn what_waits_for_servers_is_counted_and_who_takes_none_of_it_gives_way() {
        const MB: usize = 1 << 20;
        let memory = Pot::new(100 * MB);
        let mut sockets = BTreeMap::new();
        let mut others = vec![];
        for (token, bytes) in [(1, 40 * MB), (2, 48 * MB), (3, 40 * MB)] {
            let (mut socket, other) = pair_on(&memory);
            socket.give(&vec![7; bytes]);
            socket.send().unwrap();
            sockets.insert(token, socket);
            other.set_nonblocking(true).unwrap();
            others.push(other);
        }
        assert!(memory.used() >= 128 * MB, "all of it is in the ledger");
        let mut buffer = vec![0; MB];
        let mut third_reads = |sockets: &mut BTreeMap<u64, Socket>| {
            let socket = sockets.get_mut(&3).unwrap();
            let before = socket.unsent();
            while socket.unsent() + limits::MOVED_PER_HALF_TICK > before {
                has_room(socket);
                socket.send().unwrap();
                // There may be nothing to read yet.
                let _ = others[2].read(&mut buffer);
            }
        };
        // The first half tick finds that all have taken something.
        for _ in 0..2 {
            third_reads(&mut sockets);
            assert!(who_gives_way(&mut sockets, &memory).is_empty());
        }
        third_reads(&mut sockets);
        assert_eq!(who_gives_way(&mut sockets, &memory), [2], "the largest of those that do not read");
        sockets.remove(&2);
        third_reads(&mut sockets);
        assert!(who_gives_way(&mut sockets, &memory).is_empty(), "there is room again");
        drop(sockets);
        assert_eq!(memory.used(), 0);
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
