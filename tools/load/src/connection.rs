//! One client connection: first blocking, to get its session, then nonblocking, with any number of requests under way.

use crate::codec::{self, LONGEST_ANSWER, NO_NODE, NO_SESSION, Reply};
use crate::failure::{Failure, Result, While};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// No server may take longer for an answer that is waited for.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// How many requests a blocking sequence keeps under way.
const PIPELINE: usize = 256;
/// Connections to the loopback address share an address of their own by so many: one has only 28 000 ports by default.
const ADDRESS_SHARE: usize = 20_000;

/// What waits to be sent, and the transaction id used last.
pub struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
    last_xid: i32,
}

impl Outbox {
    /// Empty.
    pub fn new() -> Outbox {
        Outbox { bytes: vec![], sent: 0, last_xid: 0 }
    }

    /// What waits to be sent.
    #[cfg(test)]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    /// Appends a request made by `make` for the transaction id it is handed, which is returned.
    pub fn push(&mut self, make: impl FnOnce(&mut Vec<u8>, i32)) -> i32 {
        // Transaction ids stay positive: the negative ones mean pings, events and authentication.
        self.last_xid = self.last_xid.checked_add(1).unwrap_or(1);
        make(&mut self.bytes, self.last_xid);
        self.last_xid
    }

    /// Appends a request that was made before, with the transaction id it has. `frame`: without its length.
    pub fn push_frame(&mut self, frame: &[u8]) {
        codec::framed(&mut self.bytes, |out| out.extend_from_slice(frame));
    }

    /// Appends a ping.
    pub fn ping(&mut self) {
        codec::ping(&mut self.bytes);
    }
}

/// An answer that outlives the buffer it came in.
#[derive(Debug)]
pub struct Answer {
    pub xid: i32,
    /// 0, or the error's code.
    pub error: i32,
    pub body: Vec<u8>,
}

/// A connection and its session.
pub struct Connection {
    stream: TcpStream,
    inbox: Vec<u8>,
    pub outbox: Outbox,
    /// The session's id and password; [`NO_SESSION`] until it is granted.
    pub session: (i64, [u8; 16]),
    /// Unsent bytes wait until the socket is writable.
    pub waits_until_writable: bool,
}

impl Connection {
    /// Connects and gets a session of `timeout_ms`.
    pub fn open(target: SocketAddr, timeout_ms: i32) -> Result<Connection> {
        let mut connection = Connection::begin(target, timeout_ms, NO_SESSION)?;
        connection.finish()?;
        Ok(connection)
    }

    /// `count` connections with their sessions, on the targets in turn, a few of them being opened at a time.
    pub fn open_many(targets: &[SocketAddr], timeout_ms: i32, count: usize) -> Result<Vec<Connection>> {
        let mut connections = Vec::with_capacity(count);
        while connections.len() < count {
            let start = connections.len();
            for number in start..count.min(start + PIPELINE) {
                let target = targets[number % targets.len()];
                let mut connection = Connection::begin_from(number, target, timeout_ms, NO_SESSION)?;
                connection.block()?;
                connections.push(connection);
            }
            for connection in &mut connections[start..] {
                connection.finish()?;
            }
        }
        Ok(connections)
    }

    /// Connects and asks for a session, a new one or the one that is named, without waiting for the answer.
    pub fn begin(target: SocketAddr, timeout_ms: i32, session: (i64, [u8; 16])) -> Result<Connection> {
        let doing = || format!("connecting to {target}");
        let stream = TcpStream::connect_timeout(&target, ANSWER_LIMIT).during(doing)?;
        let mut connection = Connection::of(stream, timeout_ms, session).during(doing)?;
        connection.flush()?;
        Ok(connection)
    }

    /// The same without waiting for the connection either: the first `flush` or `receive` that fails tells that it could
    /// not be made. The `number`th of many: those to the loopback address come from several addresses.
    pub fn begin_from(
        number: usize,
        target: SocketAddr,
        timeout_ms: i32,
        session: (i64, [u8; 16]),
    ) -> Result<Connection> {
        let doing = || format!("connecting to {target}");
        let family = if target.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None).during(doing)?;
        let share = number / ADDRESS_SHARE;
        if target.ip() == Ipv4Addr::LOCALHOST && share > 0 {
            let last = u8::try_from(share + 1).during(|| "so many connections to one address".into())?;
            rustix::net::bind(&socket, &SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0))).during(doing)?;
        }
        match rustix::net::connect(&socket, &target) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error).during(doing),
        }
        let stream = TcpStream::from(socket);
        Connection::of(stream, timeout_ms, session).during(doing)
    }

    fn of(stream: TcpStream, timeout_ms: i32, session: (i64, [u8; 16])) -> std::io::Result<Connection> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        stream.set_write_timeout(Some(ANSWER_LIMIT))?;
        let outbox = Outbox::new();
        let mut connection =
            Connection { stream, inbox: vec![], outbox, session: NO_SESSION, waits_until_writable: false };
        codec::connect(&mut connection.outbox.bytes, timeout_ms, session);
        Ok(connection)
    }

    /// Waits for the session.
    pub fn finish(&mut self) -> Result<()> {
        self.flush()?;
        let frame = self.next_frame()?;
        let granted = codec::granted(&frame)?.ok_or_else(|| Failure::new("the server refuses the session"))?;
        self.session = (granted.session, granted.password);
        Ok(())
    }

    /// From now on `flush` and `receive` wait; also for a connection that is still being made.
    pub fn block(&mut self) -> Result<()> {
        self.stream.set_nonblocking(false).during(|| "setting a socket blocking".into())
    }

    /// From now on neither `flush` nor `receive` blocks.
    pub fn unblock(&mut self) -> Result<()> {
        self.stream.set_nonblocking(true).during(|| "setting a socket nonblocking".into())
    }

    /// The socket, to be waited for.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends what waits. False when the socket took only part of it.
    pub fn flush(&mut self) -> Result<bool> {
        let outbox = &mut self.outbox;
        while outbox.sent < outbox.bytes.len() {
            match self.stream.write(&outbox.bytes[outbox.sent..]) {
                Ok(sent) => outbox.sent += sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::new(format!("sending a request: {error}"))),
            }
        }
        outbox.bytes.clear();
        outbox.sent = 0;
        Ok(true)
    }

    /// Receives once, at most `scratch` bytes, and hands every whole answer to `each` together with the outbox. False
    /// when the server has ended the connection.
    pub fn receive(
        &mut self,
        scratch: &mut [u8],
        mut each: impl FnMut(&mut Outbox, Reply<'_>) -> Result<()>,
    ) -> Result<bool> {
        self.receive_frames(scratch, |outbox, frame| each(outbox, codec::reply(frame)?))
    }

    /// The same with the frames as they are, for a connection that has no session yet.
    pub fn receive_frames(
        &mut self,
        scratch: &mut [u8],
        mut each: impl FnMut(&mut Outbox, &[u8]) -> Result<()>,
    ) -> Result<bool> {
        let received = match self.stream.read(scratch) {
            Ok(0) => return Ok(false),
            Ok(received) => &scratch[..received],
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(true),
            Err(error) => return Err(Failure::new(format!("receiving an answer: {error}"))),
        };
        let Connection { inbox, outbox, .. } = self;
        let mut taken = 0;
        if inbox.is_empty() {
            while let Some((frame, length)) = codec::cut(&received[taken..], LONGEST_ANSWER)? {
                each(outbox, frame)?;
                taken += length;
            }
            inbox.extend_from_slice(&received[taken..]);
        } else {
            inbox.extend_from_slice(received);
            while let Some((frame, length)) = codec::cut(&inbox[taken..], LONGEST_ANSWER)? {
                each(outbox, frame)?;
                taken += length;
            }
            inbox.drain(..taken);
        }
        Ok(true)
    }

    /// Closes the socket at once, leaving no port behind that waits for late segments.
    pub fn reset(self) -> Result<()> {
        rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO))
            .during(|| "setting a socket not to linger".into())
    }

    /// Sends one request and waits for its error code, 0 when it succeeded. For a blocking connection.
    pub fn call(&mut self, make: impl FnOnce(&mut Vec<u8>, i32)) -> Result<i32> {
        let xid = self.outbox.push(make);
        self.flush()?;
        self.answer_to(xid)
    }

    /// Waits for the next answer. For a blocking connection.
    pub fn next_answer(&mut self) -> Result<Answer> {
        let frame = self.next_frame()?;
        let reply = codec::reply(&frame)?;
        Ok(Answer { xid: reply.xid, error: reply.error, body: reply.body.to_vec() })
    }

    /// Sends `requests` in order, some of them at a time, and hands their numbers and error codes to `each`. For a
    /// blocking connection.
    pub fn call_all(
        &mut self,
        requests: usize,
        mut make: impl FnMut(usize, &mut Vec<u8>, i32),
        mut each: impl FnMut(usize, i32) -> Result<()>,
    ) -> Result<()> {
        for start in (0..requests).step_by(PIPELINE) {
            let batch = start..requests.min(start + PIPELINE);
            let xids: Vec<i32> = batch.clone().map(|i| self.outbox.push(|out, xid| make(i, out, xid))).collect();
            self.flush()?;
            for (i, xid) in batch.zip(xids) {
                each(i, self.answer_to(xid)?)?;
            }
        }
        Ok(())
    }

    /// The names of a znode's children, none when it is not there. For a blocking connection with nothing under way.
    pub fn children(&mut self, path: &str) -> Result<Vec<String>> {
        let xid = self.outbox.push(|out, xid| codec::children(out, xid, path, false));
        self.flush()?;
        let answer = self.next_answer()?;
        expect_xid(xid, answer.xid)?;
        match answer.error {
            0 => codec::strings(&answer.body),
            NO_NODE => Ok(vec![]),
            error => Err(Failure::new(format!("listing {path}: error {error}"))),
        }
    }

    /// Ends the session and waits until the server has said so. For a blocking connection.
    pub fn close(mut self) -> Result<()> {
        self.call(codec::close).map(drop)
    }

    fn answer_to(&mut self, xid: i32) -> Result<i32> {
        let answer = self.next_answer()?;
        expect_xid(xid, answer.xid)?;
        Ok(answer.error)
    }

    fn next_frame(&mut self) -> Result<Vec<u8>> {
        let mut scratch = [0; 16 << 10];
        loop {
            if let Some((frame, length)) = codec::cut(&self.inbox, LONGEST_ANSWER)? {
                let frame = frame.to_vec();
                self.inbox.drain(..length);
                return Ok(frame);
            }
            let received = self.stream.read(&mut scratch).during(|| "waiting for an answer".into())?;
            if received == 0 {
                return Err(Failure::new("the server has ended the connection"));
            }
            self.inbox.extend_from_slice(&scratch[..received]);
        }
    }
}

/// Ends the sessions of nonblocking connections that have nothing under way: all the requests first, then the answers.
pub fn close_all(connections: Vec<Connection>) -> Result<()> {
    let mut closing = Vec::with_capacity(connections.len());
    for mut connection in connections {
        connection.block()?;
        let xid = connection.outbox.push(codec::close);
        connection.flush()?;
        closing.push((connection, xid));
    }
    for (mut connection, xid) in closing {
        // Pings may still have been under way.
        loop {
            let frame = connection.next_frame()?;
            let reply = codec::reply(&frame)?;
            if reply.xid != codec::PING_XID && reply.xid != codec::EVENT_XID {
                expect_xid(xid, reply.xid)?;
                break;
            }
        }
    }
    Ok(())
}

/// A server answers the requests of a session in their order.
pub fn expect_xid(expected: i32, answered: i32) -> Result<()> {
    if expected == answered {
        return Ok(());
    }
    Err(Failure::new(format!("an answer carries transaction id {answered} where {expected} is next")))
}
