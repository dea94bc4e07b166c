//! A blocking ZooKeeper connection over a plain socket. It can be used one call at a time or pipelined: push any number
//! of requests, flush, then take what arrives in the order it arrives, replies and events alike. Every wait has a limit.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::wire::{self, Out, Request, op, xid};

/// No server may take longer than this for one answer, whatever the machine is busy with.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// The session a connection stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub id: i64,
    pub password: Vec<u8>,
    /// As negotiated, in milliseconds; 0 when the server refused the session.
    pub timeout_ms: i32,
    /// The readOnly byte, when the server sent one.
    pub read_only: Option<u8>,
}

/// A reply header and what came behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub xid: i32,
    pub zxid: i64,
    pub err: i32,
    pub body: Vec<u8>,
}

/// What arrives on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    Reply(Reply),
    /// A notification: the header's transaction id and the WatcherEvent record.
    Event {
        zxid: i64,
        body: Vec<u8>,
    },
    /// The server ended the connection.
    Closed,
}

/// One connection.
pub struct Connection {
    stream: TcpStream,
    incoming: Vec<u8>,
    /// Where the first unread byte of `incoming` stands.
    read: usize,
    outgoing: Vec<u8>,
    next_xid: i32,
    pub session: Session,
    /// Events that arrived while a call waited for its reply.
    pub events: Vec<(i64, Vec<u8>)>,
}

/// The ConnectRequest record. `read_only` None leaves the trailing byte away, as old clients do.
pub fn connect_record(
    last_zxid: i64,
    timeout_ms: i32,
    session: i64,
    password: &[u8],
    read_only: Option<bool>,
) -> Vec<u8> {
    let out = Out::new().int(0).long(last_zxid).int(timeout_ms).long(session).buffer(Some(password));
    match read_only {
        Some(flag) => out.boolean(flag).0,
        None => out.0,
    }
}

impl Connection {
    /// A TCP connection without a word said on it.
    pub fn silent(address: SocketAddr) -> io::Result<Connection> {
        Connection::silent_within(address, ANSWER_LIMIT)
    }

    /// The same for a server that may not answer: no wait on this connection is longer than `limit`.
    pub fn silent_within(address: SocketAddr, limit: Duration) -> io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&address, limit)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        Ok(Connection {
            stream,
            incoming: Vec::new(),
            read: 0,
            outgoing: Vec::new(),
            next_xid: 1,
            session: Session { id: 0, password: vec![0; 16], timeout_ms: 0, read_only: None },
            events: Vec::new(),
        })
    }

    /// A new session.
    pub fn new_session(address: SocketAddr, timeout_ms: i32) -> io::Result<Connection> {
        let mut connection = Connection::silent(address)?;
        connection.handshake(&connect_record(0, timeout_ms, 0, &[0; 16], Some(false)))?;
        if connection.session.id == 0 {
            return Err(io::Error::other("the server gave no session"));
        }
        Ok(connection)
    }

    /// A known session on a new connection. The result's session has id 0 when the server says it is gone.
    pub fn resume(address: SocketAddr, session: &Session, last_zxid: i64) -> io::Result<Connection> {
        let mut connection = Connection::silent(address)?;
        connection.handshake(&connect_record(
            last_zxid,
            session.timeout_ms,
            session.id,
            &session.password,
            Some(false),
        ))?;
        Ok(connection)
    }

    /// Sends a ConnectRequest record and takes the answer into `session`.
    pub fn handshake(&mut self, record: &[u8]) -> io::Result<()> {
        self.push_frame(record);
        self.flush()?;
        let Some(answer) = self.next_frame()? else {
            return Err(io::Error::new(
                io::ErrorKind::ConnectionReset,
                "closed instead of an answer to the connect request",
            ));
        };
        self.session = parse_connect_response(&answer)?;
        Ok(())
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The xid of the next request.
    pub fn next_xid(&self) -> i32 {
        self.next_xid
    }

    /// Continues counting where another connection of the session left off, as clients do: an ensemble knows a request
    /// by its session and xid, and a server may see late what a session has asked another one for.
    pub fn continue_from(&mut self, next_xid: i32) {
        self.next_xid = next_xid;
    }

    /// Queues a request under the next xid and gives the xid.
    pub fn push(&mut self, request: &Request) -> i32 {
        let number = self.next_xid;
        self.next_xid += 1;
        self.push_as(number, request);
        number
    }

    /// Queues a request under an xid of the caller's.
    pub fn push_as(&mut self, number: i32, request: &Request) {
        self.outgoing.extend_from_slice(&wire::frame(number, request));
    }

    /// Queues a frame with a correct length word and any payload.
    pub fn push_frame(&mut self, payload: &[u8]) {
        self.outgoing.extend_from_slice(&(payload.len() as u32).to_be_bytes());
        self.outgoing.extend_from_slice(payload);
    }

    /// Queues bytes as they are.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        self.outgoing.extend_from_slice(bytes);
    }

    /// Writes what is queued.
    pub fn flush(&mut self) -> io::Result<()> {
        let written = self.stream.write_all(&self.outgoing);
        self.outgoing.clear();
        written
    }

    /// The next frame's payload; None when the server closed. Times out after [`ANSWER_LIMIT`].
    pub fn next_frame(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let waiting = &self.incoming[self.read..];
            if waiting.len() >= 4 {
                let length = u32::from_be_bytes(waiting[..4].try_into().expect("4 bytes")) as usize;
                if length > 1 << 30 {
                    return Err(io::Error::other(format!("a frame of {length} bytes")));
                }
                if waiting.len() >= 4 + length {
                    let payload = waiting[4..4 + length].to_vec();
                    self.read += 4 + length;
                    return Ok(Some(payload));
                }
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Reads more bytes; false when the server closed.
    fn fill(&mut self) -> io::Result<bool> {
        self.incoming.drain(..self.read);
        self.read = 0;
        let filled = self.incoming.len();
        self.incoming.resize(filled + 64 * 1024, 0);
        let got = loop {
            match self.stream.read(&mut self.incoming[filled..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.incoming.truncate(filled + *got.as_ref().unwrap_or(&0));
        match got {
            Ok(count) => Ok(count > 0),
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// The next reply or event, or the end of the connection.
    pub fn next(&mut self) -> io::Result<Arrival> {
        let Some(payload) = self.next_frame()? else {
            return Ok(Arrival::Closed);
        };
        if payload.len() < 16 {
            return Err(io::Error::other(format!("a frame too short for a reply header: {}", super::hex(&payload))));
        }
        let number = i32::from_be_bytes(payload[..4].try_into().expect("4 bytes"));
        let zxid = i64::from_be_bytes(payload[4..12].try_into().expect("8 bytes"));
        let err = i32::from_be_bytes(payload[12..16].try_into().expect("4 bytes"));
        let body = payload[16..].to_vec();
        if number == xid::NOTIFICATION {
            return Ok(Arrival::Event { zxid, body });
        }
        Ok(Arrival::Reply(Reply { xid: number, zxid, err, body }))
    }

    /// One request and its reply; events met on the way are kept in `events`.
    pub fn call(&mut self, request: &Request) -> io::Result<Reply> {
        let number = match request.opcode {
            op::PING => {
                self.push_as(xid::PING, request);
                xid::PING
            }
            op::AUTH => {
                self.push_as(xid::AUTH, request);
                xid::AUTH
            }
            op::SET_WATCHES | op::SET_WATCHES2 => {
                self.push_as(xid::SET_WATCHES, request);
                xid::SET_WATCHES
            }
            _ => self.push(request),
        };
        self.flush()?;
        let reply = self.next_reply()?;
        if reply.xid != number {
            return Err(io::Error::other(format!("asked with xid {number}, answered with xid {}", reply.xid)));
        }
        Ok(reply)
    }

    /// The next reply; events met on the way are kept in `events`; a closed connection is an error.
    pub fn next_reply(&mut self) -> io::Result<Reply> {
        loop {
            match self.next()? {
                Arrival::Reply(reply) => return Ok(reply),
                Arrival::Event { zxid, body } => self.events.push((zxid, body)),
                Arrival::Closed => {
                    return Err(io::Error::new(io::ErrorKind::ConnectionReset, "the server closed the connection"));
                }
            }
        }
    }

    /// One request that must succeed; gives the reply's body.
    pub fn must(&mut self, request: &Request) -> Vec<u8> {
        let name = super::fields::op_name(request.opcode);
        let reply = self.call(request).unwrap_or_else(|error| panic!("{name} had no answer: {error}"));
        assert_eq!(reply.err, 0, "{name} was refused");
        reply.body
    }

    /// Sends closeSession and waits for its reply.
    pub fn close(mut self) -> io::Result<()> {
        self.call(&wire::close_session()).map(|_| ())
    }
}

/// Takes a ConnectResponse apart.
pub fn parse_connect_response(payload: &[u8]) -> io::Result<Session> {
    let mut reader = super::fields::Reader::new(payload);
    let mut parse = || {
        reader.int("protocolVersion")?;
        let timeout_ms = reader.int("timeOut")?;
        let id = reader.long("sessionId")?;
        let password = reader.buffer("passwd")?.unwrap_or_default();
        let read_only = if reader.left() > 0 { Some(reader.byte("readOnly")?) } else { None };
        Ok(Session { id, password, timeout_ms, read_only })
    };
    parse().map_err(|misfit: super::fields::Misfit| {
        io::Error::other(format!("connect response without {}: {}", misfit.field, super::hex(payload)))
    })
}

/// A four-letter word's answer.
pub fn four_letter_word(address: SocketAddr, word: &str) -> io::Result<String> {
    four_letter_word_within(address, word, Duration::from_secs(5))
}

/// A four-letter word's answer from a server that may not answer: no wait is longer than `limit`.
pub fn four_letter_word_within(address: SocketAddr, word: &str, limit: Duration) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.write_all(word.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A number that `mntr` says, if it does.
pub fn monitored(address: SocketAddr, name: &str) -> Option<u64> {
    let answer = four_letter_word(address, "mntr").ok()?;
    answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('\t'))?.parse().ok()
}
