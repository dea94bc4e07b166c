//! The floors: servers that do what no server can leave out, and nothing else.
//!
//! `read` answers every frame at once with a get's answer that was made beforehand, and tells those that read a path with a
//! watch when somebody sets it. `write` puts what sets, creates and
//! deletes bring into a log first, all that has come while the last write was under way in one write, and answers when
//! it is on the disk. There is one thread, no tree, no session, no check. Servers that do work are measured against
//! them: nothing that answers over these sockets, or after this write, can be quicker.

mod log;

use crate::codec::{self, LONGEST_REQUEST, op};
use crate::failure::{Failure, Result, While};
use crate::poll::{Clock, Poll};
use log::{Log, Waiting};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

const LISTENER: u64 = u64::MAX - 1;
const LOG: u64 = u64::MAX - 2;
/// Bytes received at once.
const SCRATCH: usize = 64 << 10;
/// Bytes of a request before its record.
const HEADER: usize = 8;
/// What an event says: its kind, and the state of the session.
const DATA_CHANGED: i32 = 3;
const CONNECTED: i32 = 3;
/// Bytes of the value in a canned answer.
const VALUE: usize = 100;
/// Bytes of a znode's metadata on the wire.
const STAT: usize = 68;

/// A client.
struct Peer {
    stream: TcpStream,
    /// Tells it from others that had its number before.
    visit: u32,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    has_session: bool,
    /// Something is in the outbox and the peer is listed for it.
    is_listed: bool,
    waits_until_writable: bool,
}

/// The server.
struct Floor {
    poll: Poll,
    listener: TcpListener,
    peers: Vec<Option<Peer>>,
    free: Vec<usize>,
    visits: u32,
    log: Option<Log>,
    answers: Answers,
    watches: Watches,
    /// Peers with something to send.
    listed: Vec<usize>,
    scratch: Vec<u8>,
}

/// A server that stands still: how long, and how often. What an instrument makes of it shows whether it can be believed.
#[derive(Clone, Copy, Debug)]
pub struct Stall {
    pub length: Duration,
    pub every: Duration,
}

/// Serves on 127.0.0.1:`port` for `life` at most; with a directory as the write floor, its log there. `ready` is called
/// with the port when clients are served.
pub fn serve(
    port: u16,
    dir: Option<&Path>,
    life: Duration,
    stall: Option<Stall>,
    ready: impl FnOnce(u16),
) -> Result<()> {
    crate::process::raise_open_files()?;
    let doing = || format!("listening on 127.0.0.1:{port}");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).during(doing)?;
    listener.set_nonblocking(true).during(doing)?;
    let port = listener.local_addr().during(doing)?.port();
    let clock = Clock::start();
    let poll = Poll::new(clock)?;
    let log = dir.map(Log::open).transpose()?;
    poll.add(&listener, LISTENER)?;
    if let Some(log) = &log {
        poll.add(log, LOG)?;
    }
    let (peers, free, listed, scratch) = (vec![], vec![], vec![], vec![0; SCRATCH]);
    let (answers, watches) = (Answers::new(), Watches::default());
    let mut floor = Floor { poll, listener, peers, free, visits: 0, log, answers, watches, listed, scratch };
    ready(port);
    let end_ns = clock.ns() + life.as_nanos() as u64;
    let mut found = vec![];
    let mut stall_ns = stall.map_or(u64::MAX, |stall| clock.ns() + stall.every.as_nanos() as u64);
    while clock.ns() < end_ns {
        floor.poll.wait(end_ns.min(stall_ns), &mut found)?;
        if let Some(stall) = stall.filter(|_| clock.ns() >= stall_ns) {
            std::thread::sleep(stall.length);
            stall_ns += stall.every.as_nanos() as u64;
        }
        floor.turn(&found)?;
    }
    Ok(())
}

impl Floor {
    fn turn(&mut self, found: &[u64]) -> Result<()> {
        for token in found {
            match *token {
                LISTENER => self.accept()?,
                LOG => self.take_written()?,
                number => self.take_requests(number as usize)?,
            }
        }
        if let Some(log) = &mut self.log {
            log.submit()?;
        }
        for number in std::mem::take(&mut self.listed) {
            self.send(number)?;
        }
        Ok(())
    }

    fn accept(&mut self) -> Result<()> {
        let stream = match self.listener.accept() {
            Ok((stream, _)) => stream,
            // It has gone again.
            Err(_) => return Ok(()),
        };
        stream.set_nonblocking(true).during(|| "setting a socket nonblocking".into())?;
        stream.set_nodelay(true).during(|| "setting a socket's options".into())?;
        let number = self.free.pop().unwrap_or_else(|| {
            self.peers.push(None);
            self.peers.len() - 1
        });
        self.poll.add(&stream, number as u64)?;
        self.visits = self.visits.wrapping_add(1);
        let (inbox, outbox, visit) = (vec![], vec![], self.visits);
        let peer =
            Peer { stream, visit, inbox, outbox, has_session: false, is_listed: false, waits_until_writable: false };
        self.peers[number] = Some(peer);
        Ok(())
    }

    /// Answers what has reached the disk.
    fn take_written(&mut self) -> Result<()> {
        let Floor { peers, listed, answers, log, .. } = self;
        let log = log.as_mut().expect("only the log has this token");
        log.take_written(|waiting| {
            // The client may have gone, and another may have its number.
            if let Some(peer) = peers[waiting.peer].as_mut().filter(|peer| peer.visit == waiting.visit) {
                answers.write(&mut peer.outbox, waiting.xid);
                list(listed, peer, waiting.peer);
            }
        })
    }

    fn take_requests(&mut self, number: usize) -> Result<()> {
        let Floor { peers, listed, answers, watches, log, scratch, .. } = self;
        let Some(peer) = &mut peers[number] else { return Ok(()) };
        if peer.waits_until_writable {
            list(listed, peer, number);
        }
        let received = match peer.stream.read(scratch) {
            Ok(received) if received > 0 => &scratch[..received],
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(()),
            _ => {
                self.end(number);
                return Ok(());
            }
        };
        let Peer { visit, inbox, outbox, has_session, .. } = peer;
        let visit = *visit;
        let mut each = |frame: &[u8]| {
            if *has_session && log.is_none() {
                watches.take(frame, number, visit);
            }
            answers.take(outbox, has_session, frame, log.as_mut(), number, visit)
        };
        let sound = if inbox.is_empty() {
            let (taken, sound) = frames(received, &mut each);
            inbox.extend_from_slice(&received[taken..]);
            sound
        } else {
            inbox.extend_from_slice(received);
            let (taken, sound) = frames(inbox, &mut each);
            inbox.drain(..taken);
            sound
        };
        if !sound {
            self.end(number);
            return Ok(());
        }
        if !peer.outbox.is_empty() {
            list(listed, peer, number);
        }
        watches.fire(|watcher, visit, event| {
            if let Some(peer) = peers[watcher].as_mut().filter(|peer| peer.visit == visit) {
                peer.outbox.extend_from_slice(event);
                list(listed, peer, watcher);
            }
        });
        Ok(())
    }

    fn send(&mut self, number: usize) -> Result<()> {
        let Some(peer) = &mut self.peers[number] else { return Ok(()) };
        peer.is_listed = false;
        let mut sent = 0;
        while sent < peer.outbox.len() {
            match peer.stream.write(&peer.outbox[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.end(number);
                    return Ok(());
                }
            }
        }
        peer.outbox.drain(..sent);
        let waits_until_writable = !peer.outbox.is_empty();
        if waits_until_writable != peer.waits_until_writable {
            peer.waits_until_writable = waits_until_writable;
            self.poll.watch_writable(&peer.stream, number as u64, waits_until_writable)?;
        }
        Ok(())
    }

    fn end(&mut self, number: usize) {
        self.peers[number] = None;
        self.free.push(number);
    }
}

fn list(listed: &mut Vec<usize>, peer: &mut Peer, number: usize) {
    if !peer.is_listed {
        peer.is_listed = true;
        listed.push(number);
    }
}

/// Hands the whole frames in `bytes` to `each`. Returns the bytes taken, and whether all is sound.
fn frames(bytes: &[u8], each: &mut impl FnMut(&[u8]) -> Result<()>) -> (usize, bool) {
    let mut taken = 0;
    loop {
        match codec::cut(&bytes[taken..], LONGEST_REQUEST) {
            Ok(Some((frame, length))) => {
                if each(frame).is_err() {
                    return (taken, false);
                }
                taken += length;
            }
            Ok(None) => return (taken, true),
            Err(_) => return (taken, false),
        }
    }
}

/// One-shot watches on data, and what was set since they were looked at last.
#[derive(Default)]
struct Watches {
    /// By path: the peers and their visits.
    armed: HashMap<Vec<u8>, Vec<(usize, u32)>>,
    set: Vec<Vec<u8>>,
}

impl Watches {
    /// Looks at a request for what it means for watches.
    fn take(&mut self, frame: &[u8], peer: usize, visit: u32) {
        // Nearly all are plain reads, for which the floor does no more than it has to.
        let leaves_watch = match codec::int_at(frame, 4) {
            Some(op::GET_DATA) if frame.last() == Some(&1) => true,
            Some(op::SET_DATA) if !self.armed.is_empty() => false,
            _ => return,
        };
        let Some((path, _)) = codec::field_at(frame, HEADER) else { return };
        if leaves_watch {
            self.armed.entry(path.to_vec()).or_default().push((peer, visit));
        } else if self.armed.contains_key(path) {
            self.set.push(path.to_vec());
        }
    }

    /// Tells everybody who watches what was set.
    fn fire(&mut self, mut tell: impl FnMut(usize, u32, &[u8])) {
        for path in self.set.drain(..) {
            let mut event = vec![];
            codec::framed(&mut event, |out| {
                codec::int(out, codec::EVENT_XID);
                out.extend_from_slice(&(-1i64).to_be_bytes());
                codec::int(out, 0);
                codec::int(out, DATA_CHANGED);
                codec::int(out, CONNECTED);
                codec::buffer(out, &path);
            });
            for (peer, visit) in self.armed.remove(&path).unwrap_or_default() {
                tell(peer, visit, &event);
            }
        }
    }
}

/// What is answered, made beforehand.
struct Answers {
    session: Vec<u8>,
    read: Vec<u8>,
    names: Vec<u8>,
    write: Vec<u8>,
}

impl Answers {
    fn new() -> Answers {
        let made = |body: &dyn Fn(&mut Vec<u8>)| {
            let mut out = vec![];
            codec::framed(&mut out, body);
            out
        };
        let header = |out: &mut Vec<u8>| {
            codec::int(out, 0);
            out.extend_from_slice(&1i64.to_be_bytes());
            codec::int(out, 0);
        };
        let session = made(&|out| {
            codec::int(out, 0);
            codec::int(out, 30_000);
            out.extend_from_slice(&1i64.to_be_bytes());
            codec::buffer(out, &[1; 16]);
            out.push(0);
        });
        let read = made(&|out| {
            header(out);
            codec::buffer(out, &[b'v'; VALUE]);
            out.extend_from_slice(&[0; STAT]);
        });
        let names = made(&|out| {
            header(out);
            codec::int(out, 0);
        });
        let write = made(&|out| {
            header(out);
            out.extend_from_slice(&[0; STAT]);
        });
        Answers { session, read, names, write }
    }

    fn write(&self, out: &mut Vec<u8>, xid: i32) {
        append(out, &self.write, xid);
    }

    /// Answers a frame, or gives it to the log.
    fn take(
        &self,
        out: &mut Vec<u8>,
        has_session: &mut bool,
        frame: &[u8],
        log: Option<&mut Log>,
        peer: usize,
        visit: u32,
    ) -> Result<()> {
        if !*has_session {
            *has_session = true;
            out.extend_from_slice(&self.session);
            return Ok(());
        }
        let (Some(xid), Some(code)) = (codec::int_at(frame, 0), codec::int_at(frame, 4)) else {
            return Err(Failure::new("a request without a header"));
        };
        match log {
            Some(log) if matches!(code, op::SET_DATA | op::CREATE | op::DELETE | op::MULTI) => {
                log.gather(frame, Waiting { peer, visit, xid, bytes: frame.len() });
            }
            _ if code == op::GET_CHILDREN => append(out, &self.names, xid),
            _ => append(out, &self.read, xid),
        }
        Ok(())
    }
}

fn append(out: &mut Vec<u8>, answer: &[u8], xid: i32) {
    let start = out.len();
    out.extend_from_slice(answer);
    codec::restamp(&mut out[start..], xid);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Connection;
    use std::sync::mpsc;

    /// Serves in a thread that ends by itself, and returns a session.
    fn floor(dir: Option<&Path>) -> Connection {
        let dir = dir.map(Path::to_owned);
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            serve(0, dir.as_deref(), Duration::from_secs(60), None, |port| sender.send(port).unwrap()).unwrap();
        });
        let port = receiver.recv_timeout(Duration::from_secs(30)).unwrap();
        Connection::open((Ipv4Addr::LOCALHOST, port).into(), 30_000).unwrap()
    }

    #[test]
    fn the_read_floor_answers_everything() {
        let mut connection = floor(None);
        assert_eq!(connection.session.0, 1);
        let mut answered = 0;
        let get = |_, out: &mut Vec<u8>, xid| codec::get(out, xid, "/a", false);
        connection
            .call_all(1000, get, |_, error| {
                answered += 1;
                assert_eq!(error, 0);
                Ok(())
            })
            .unwrap();
        assert_eq!(answered, 1000);
        connection.close().unwrap();
    }

    #[test]
    fn the_read_floor_tells_those_that_watch_what_is_set() {
        let mut watching = floor(None);
        let target = watching.stream().peer_addr().unwrap();
        let mut writing = Connection::open(target, 30_000).unwrap();
        for path in ["/a", "/b"] {
            watching.outbox.push(|out, xid| codec::get(out, xid, path, true));
        }
        watching.flush().unwrap();
        for _ in 0..2 {
            watching.next_answer().unwrap();
        }
        for path in ["/b", "/c", "/b", "/a"] {
            writing.call_all(1, |_, out: &mut Vec<u8>, xid| codec::set(out, xid, path, b"x"), |_, _| Ok(())).unwrap();
        }
        // A watch fires once, and for its own path.
        let told: Vec<(i32, String)> = (0..2)
            .map(|_| {
                let event = watching.next_answer().unwrap();
                assert_eq!(event.xid, codec::EVENT_XID);
                codec::event(&event.body).unwrap()
            })
            .collect();
        assert_eq!(told, [(DATA_CHANGED, "/b".to_string()), (DATA_CHANGED, "/a".to_string())]);
    }

    #[test]
    fn the_write_floor_answers_what_is_on_the_disk() {
        // Beside this program, because a directory for temporary files may be memory and know no direct ones.
        let program = std::env::current_exe().unwrap();
        let dir = tempfile::tempdir_in(program.parent().unwrap()).unwrap();
        let mut connection = floor(Some(dir.path()));
        let value = vec![b'w'; 1000];
        let set = |i, out: &mut Vec<u8>, xid| codec::set(out, xid, &format!("/{i}"), &value);
        connection
            .call_all(600, set, |_, error| {
                assert_eq!(error, 0);
                Ok(())
            })
            .unwrap();
        let bytes = std::fs::read(dir.path().join(log::FILE)).unwrap();
        let written = bytes[..4 << 20].windows(8).filter(|window| *window == b"\0\0\x03\xe8wwww").count();
        assert_eq!(written, 600, "every set is in the log");
        connection.close().unwrap();
    }
}
