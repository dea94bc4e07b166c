//! Many clients in one thread, each of which is written down as a story: "create, list, wait for the one before".
//!
//! A story is a future that waits for nothing but its own session's answers and events, and for signals of others. An
//! arrival makes its session's story go on; there are no wakers and no threads, so that what is measured is the server.

use crate::codec::{self, EVENT_XID, NO_SESSION, PING_XID, flags};
use crate::connection::{self, Connection};
use crate::failure::{Failure, Result, While};
use crate::poll::{Clock, Poll};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll as Step, Waker};
use std::time::Duration;

/// Sessions of a scenario.
const TIMEOUT_MS: i32 = 30_000;
/// A pool to which nothing arrives for so long has met with an accident.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);
/// How often pings are looked for.
const TICK_NS: u64 = 1_000_000_000;
/// Bytes received at once.
const SCRATCH: usize = 64 << 10;

/// An answer, and when it came.
pub struct Reply {
    /// 0, or the error's code.
    pub error: i32,
    pub body: Vec<u8>,
    pub at_ns: u64,
}

/// A session's side of the wire.
#[derive(Default)]
struct Line {
    connection: Option<Connection>,
    is_granted: bool,
    answers: VecDeque<Reply>,
    events: VecDeque<(String, u64)>,
    sent_ns: u64,
}

/// What the members of a pool share.
struct Shared {
    clock: Clock,
    targets: Vec<SocketAddr>,
    lines: RefCell<Vec<Line>>,
    /// Whose story can go on.
    ready: RefCell<VecDeque<usize>>,
    /// Whose requests wait to be sent, and whose socket is new.
    to_send: RefCell<Vec<usize>>,
    fresh: RefCell<Vec<usize>>,
}

/// One client.
#[derive(Clone)]
pub struct Actor {
    number: usize,
    shared: Rc<Shared>,
}

/// Something that has happened, which stories can wait for.
#[derive(Default)]
pub struct Signal {
    count: Cell<u64>,
    waiting: RefCell<BTreeSet<usize>>,
}

impl Signal {
    /// It happens, again.
    pub fn give(&self, by: &Actor) {
        self.count.set(self.count.get() + 1);
        by.shared.ready.borrow_mut().extend(self.waiting.take());
    }

    /// How often it has happened.
    pub fn count(&self) -> u64 {
        self.count.get()
    }
}

impl Actor {
    /// Which of the pool.
    pub fn number(&self) -> usize {
        self.number
    }

    /// The clock all instants are read from.
    pub fn now_ns(&self) -> u64 {
        self.shared.clock.ns()
    }

    /// Makes a request and waits for its answer.
    pub async fn call(&self, make: impl FnOnce(&mut Vec<u8>, i32)) -> Result<Reply> {
        {
            let line = &mut self.shared.lines.borrow_mut()[self.number];
            let connection =
                line.connection.as_mut().ok_or_else(|| Failure::new("a story goes on without a session"))?;
            connection.outbox.push(make);
            line.sent_ns = self.now_ns();
        }
        self.shared.to_send.borrow_mut().push(self.number);
        poll_fn(|_| match self.shared.lines.borrow_mut()[self.number].answers.pop_front() {
            Some(answer) => Step::Ready(Ok(answer)),
            None => Step::Pending,
        })
        .await
    }

    /// Makes a request that must succeed.
    pub async fn must(&self, what: &str, make: impl FnOnce(&mut Vec<u8>, i32)) -> Result<Reply> {
        let reply = self.call(make).await?;
        if reply.error == 0 { Ok(reply) } else { Err(Failure::new(format!("{what}: error {}", reply.error))) }
    }

    /// Makes a znode; returns its path, which the server has completed if it is sequential.
    pub async fn create(&self, path: &str, data: &[u8], flags: i32) -> Result<String> {
        let reply = self.must(path, |out, xid| codec::create(out, xid, path, data, flags)).await?;
        let name =
            codec::field_at(&reply.body, 0).ok_or_else(|| Failure::new("a create is answered without a path"))?;
        String::from_utf8(name.0.to_vec()).during(|| "reading a path".into())
    }

    /// Deletes a znode; false when it was not there.
    pub async fn delete(&self, path: &str) -> Result<bool> {
        match self.call(|out, xid| codec::delete(out, xid, path)).await?.error {
            0 => Ok(true),
            codec::NO_NODE => Ok(false),
            error => Err(Failure::new(format!("deleting {path}: error {error}"))),
        }
    }

    /// The names of a znode's children, and when they came; with a watch if it is wanted.
    pub async fn children(&self, path: &str, watch: bool) -> Result<(Vec<String>, u64)> {
        let reply = self.must(path, |out, xid| codec::children(out, xid, path, watch)).await?;
        Ok((codec::strings(&reply.body)?, reply.at_ns))
    }

    /// A znode's data, and when it came; leaves a watch. None, and no watch, when it is not there.
    pub async fn watched(&self, path: &str) -> Result<Option<(Vec<u8>, u64)>> {
        let reply = self.call(|out, xid| codec::get(out, xid, path, true)).await?;
        match reply.error {
            0 => {
                let data =
                    codec::field_at(&reply.body, 0).ok_or_else(|| Failure::new("a get is answered without data"))?;
                Ok(Some((data.0.to_vec(), reply.at_ns)))
            }
            codec::NO_NODE => Ok(None),
            error => Err(Failure::new(format!("reading {path}: error {error}"))),
        }
    }

    /// Waits for the next event: its path, and when it came.
    pub async fn event(&self) -> (String, u64) {
        let never = Signal::default();
        self.event_unless(&never, 0).await.expect("the signal is never given")
    }

    /// The same, until a signal has been given more than `count` times.
    pub async fn event_unless(&self, signal: &Signal, count: u64) -> Option<(String, u64)> {
        poll_fn(|_| {
            if let Some(event) = self.shared.lines.borrow_mut()[self.number].events.pop_front() {
                return Step::Ready(Some(event));
            }
            if signal.count() > count {
                return Step::Ready(None);
            }
            signal.waiting.borrow_mut().insert(self.number);
            Step::Pending
        })
        .await
    }

    /// Waits until a signal has been given more than `count` times.
    pub async fn signalled(&self, signal: &Signal, count: u64) {
        poll_fn(|_| {
            if signal.count() > count {
                return Step::Ready(());
            }
            signal.waiting.borrow_mut().insert(self.number);
            Step::Pending
        })
        .await;
    }

    /// Ends the session; its ephemeral znodes go with it.
    pub async fn close(&self) -> Result<()> {
        self.must("closing a session", codec::close).await?;
        let line = &mut self.shared.lines.borrow_mut()[self.number];
        *line = Line::default();
        Ok(())
    }

    /// Gets a new session after the old one was closed.
    pub async fn open(&self) -> Result<()> {
        let target = self.shared.targets[self.number % self.shared.targets.len()];
        let connection = Connection::begin_from(self.number, target, TIMEOUT_MS, NO_SESSION)?;
        self.shared.lines.borrow_mut()[self.number].connection = Some(connection);
        self.shared.fresh.borrow_mut().push(self.number);
        poll_fn(
            |_| if self.shared.lines.borrow()[self.number].is_granted { Step::Ready(Ok(())) } else { Step::Pending },
        )
        .await
    }
}

/// What one of the pool does.
pub type Story<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// All of them.
pub struct ClientPool {
    shared: Rc<Shared>,
    poll: Poll,
}

impl ClientPool {
    /// Opens the sessions, on the targets in turn.
    pub fn open(targets: &[SocketAddr], sessions: usize) -> Result<ClientPool> {
        crate::process::raise_open_files()?;
        let clock = Clock::start();
        let poll = Poll::new(clock)?;
        let mut lines = vec![];
        for mut connection in Connection::open_many(targets, TIMEOUT_MS, sessions)? {
            connection.unblock()?;
            poll.add(connection.stream(), lines.len() as u64)?;
            let (connection, sent_ns) = (Some(connection), clock.ns());
            lines.push(Line { connection, is_granted: true, sent_ns, ..Line::default() });
        }
        let shared = Shared {
            clock,
            targets: targets.to_vec(),
            lines: RefCell::new(lines),
            ready: RefCell::default(),
            to_send: RefCell::default(),
            fresh: RefCell::default(),
        };
        Ok(ClientPool { shared: Rc::new(shared), poll })
    }

    /// The clients.
    pub fn actors(&self) -> Vec<Actor> {
        let count = self.shared.lines.borrow().len();
        (0..count).map(|number| Actor { number, shared: Rc::clone(&self.shared) }).collect()
    }

    /// Lets every client's story, in the order of the clients, come to its end.
    pub fn run(&mut self, stories: Vec<Story<'_>>) -> Result<()> {
        let mut stories: Vec<Option<Story<'_>>> = stories.into_iter().map(Some).collect();
        let mut going_on = stories.len();
        self.shared.ready.borrow_mut().extend(0..stories.len());
        let mut scratch = vec![0; SCRATCH];
        let mut found = vec![];
        let mut context = Context::from_waker(Waker::noop());
        let (mut heard_ns, mut tick_ns) = (self.shared.clock.ns(), self.shared.clock.ns() + TICK_NS);
        while going_on > 0 {
            loop {
                let next = self.shared.ready.borrow_mut().pop_front();
                let Some(number) = next else { break };
                let Some(story) = &mut stories[number] else { continue };
                if let Step::Ready(end) = story.as_mut().poll(&mut context) {
                    end.during(|| format!("client {number}"))?;
                    stories[number] = None;
                    going_on -= 1;
                }
            }
            self.send()?;
            if going_on == 0 {
                break;
            }
            let now_ns = self.shared.clock.ns();
            if now_ns > heard_ns + SILENCE_LIMIT.as_nanos() as u64 {
                return Err(Failure::new(format!(
                    "{going_on} clients have waited {} s in vain",
                    SILENCE_LIMIT.as_secs()
                )));
            }
            if now_ns >= tick_ns {
                self.ping(now_ns)?;
                tick_ns = now_ns + TICK_NS;
            }
            self.poll.wait(tick_ns, &mut found)?;
            for token in &found {
                if self.receive(*token as usize, &mut scratch)? {
                    heard_ns = self.shared.clock.ns();
                }
            }
        }
        Ok(())
    }

    /// Ends all sessions.
    pub fn close(self) -> Result<()> {
        let lines = std::mem::take(&mut *self.shared.lines.borrow_mut());
        connection::close_all(lines.into_iter().filter_map(|line| line.connection).collect())
    }

    fn send(&mut self) -> Result<()> {
        let mut lines = self.shared.lines.borrow_mut();
        for number in self.shared.fresh.borrow_mut().drain(..) {
            if let Some(connection) = &mut lines[number].connection {
                self.poll.add(connection.stream(), number as u64)?;
                self.poll.flush(connection, number as u64)?;
            }
        }
        for number in self.shared.to_send.borrow_mut().drain(..) {
            if let Some(connection) = &mut lines[number].connection {
                self.poll.flush(connection, number as u64)?;
            }
        }
        Ok(())
    }

    /// Takes what has arrived; true when it was more than a ping's answer.
    fn receive(&mut self, number: usize, scratch: &mut [u8]) -> Result<bool> {
        let mut lines = self.shared.lines.borrow_mut();
        let Line { connection: Some(connection), is_granted, answers, events, .. } = &mut lines[number] else {
            return Ok(false);
        };
        let at_ns = self.shared.clock.ns();
        let mut is_news = false;
        let is_open = connection.receive_frames(scratch, |_, frame| {
            if !*is_granted {
                codec::granted(frame)?.ok_or_else(|| Failure::new("the server refuses a session"))?;
                *is_granted = true;
                is_news = true;
                return Ok(());
            }
            let reply = codec::reply(frame)?;
            match reply.xid {
                PING_XID => return Ok(()),
                EVENT_XID => events.push_back((codec::event(reply.body)?.1, at_ns)),
                _ => answers.push_back(Reply { error: reply.error, body: reply.body.to_vec(), at_ns }),
            }
            is_news = true;
            Ok(())
        })?;
        // The answer to a close is the last thing a server says.
        if !is_open && answers.is_empty() {
            return Err(Failure::new(format!("the server has ended the connection of client {number}")));
        }
        if is_open {
            self.poll.flush(connection, number as u64)?;
        }
        if is_news {
            self.shared.ready.borrow_mut().push_back(number);
        }
        Ok(is_news)
    }

    fn ping(&mut self, now_ns: u64) -> Result<()> {
        let third_ns = TIMEOUT_MS as u64 * 1_000_000 / 3;
        for (number, line) in self.shared.lines.borrow_mut().iter_mut().enumerate() {
            if let (Some(connection), true) = (&mut line.connection, now_ns > line.sent_ns + third_ns) {
                line.sent_ns = now_ns;
                connection.outbox.ping();
                self.poll.flush(connection, number as u64)?;
            }
        }
        Ok(())
    }
}

/// The number a server has appended to a sequential znode's name.
pub fn sequence(name: &str) -> i64 {
    name.get(name.len().saturating_sub(10)..).and_then(|digits| digits.parse().ok()).unwrap_or(i64::MAX)
}

/// An ephemeral znode with a number of the server's.
pub const CANDIDATE: i32 = flags::EPHEMERAL | flags::SEQUENTIAL;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_read_from_names() {
        assert_eq!(sequence("lock-0000000042"), 42);
        assert_eq!([sequence(""), sequence("ready")], [i64::MAX; 2]);
    }
}
