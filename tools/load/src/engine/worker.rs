//! One thread of a load: its sessions, one epoll set, no lock shared with anybody.
//!
//! In a closed loop every session keeps its requests under way. In an open loop the sessions' requests are due in turn,
//! at the instants of one schedule; what finds its session full or gone is owed, and sent with its due instant when
//! there is room. What a session owes is a stretch of the schedule, so that a server which stands still for minutes
//! costs no memory.
//!
//! With `survive` a connection that is lost is made again, with its session as long as the server knows it, on the next
//! of the targets; what was under way counts as an error.

use super::Load;
use super::source::{Purpose, Source};
use super::timeline::{Ended, Timeline, Window};
use crate::codec::{self, CONNECTION_LOSS, EVENT_XID, NO_SESSION, PING_XID, SESSION_EXPIRED};
use crate::connection::{self, Connection, Outbox};
use crate::failure::{Failure, Result, While};
use crate::latency::{Errors, Latencies, Schedule};
use crate::poll::{Clock, Poll};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How long what is under way when the window closes may take to be answered.
const DRAIN_LIMIT_NS: u64 = 20_000_000_000;
/// How often sessions are looked after: pings, lost connections.
const TICK_NS: u64 = 10_000_000;
/// Connections that are made again in one tick.
const RECONNECTS: usize = 64;
/// Pings are looked for every so many ticks.
const PING_TICKS: u64 = 50;
/// Bytes received at once.
const SCRATCH: usize = 256 << 10;

/// What the threads of a load tell each other and the one who watches.
#[derive(Default)]
pub struct Shared {
    /// Operations answered.
    pub answered: AtomicU64,
    /// Somebody has failed: all may stop.
    pub stop: AtomicBool,
}

/// What one thread has counted.
pub struct Tally {
    /// By the number of the kind.
    pub kinds: Vec<Latencies>,
    pub errors: Errors,
    pub unanswered: u64,
    pub timeline: Ended,
    pub left: Vec<super::source::Left>,
}

/// A request that is under way.
struct Sent {
    xid: i32,
    purpose: Purpose,
    due_ns: u64,
    sent_ns: u64,
}

/// Where a session is.
enum Line {
    Open(Connection),
    /// Asked for, not yet granted; since when.
    Opening(Connection, u64),
    Lost,
}

/// One session.
struct Session {
    /// Among all of the load.
    number: usize,
    line: Line,
    identity: (i64, [u8; 16]),
    /// Which of the targets it is on.
    target: usize,
    under_way: VecDeque<Sent>,
    owed: Owed,
    /// When it has sent something last.
    sent_ns: u64,
}

/// One thread's sessions.
pub struct Worker<'a> {
    load: &'a Load,
    targets: &'a [SocketAddr],
    shared: &'a Shared,
    clock: Clock,
    window: Window,
    poll: Poll,
    sessions: Vec<Session>,
    source: Source<'a>,
    schedule: Option<Schedule>,
    /// The number in the schedule of what is due next.
    turn: u64,
    /// Sessions with something to send.
    to_flush: Vec<usize>,
    lost: VecDeque<usize>,
    ticks: u64,
    kinds: Vec<Latencies>,
    errors: Errors,
    timeline: Timeline,
}

/// What a worker begins with.
pub struct Start<'a> {
    pub load: &'a Load,
    pub targets: &'a [SocketAddr],
    pub shared: &'a Shared,
    pub clock: Clock,
    pub window: Window,
    pub gap_ns: u64,
    pub kinds: usize,
    /// Open sessions and their numbers.
    pub connections: Vec<(usize, Connection)>,
    pub source: Source<'a>,
    pub schedule: Option<Schedule>,
}

impl<'a> Worker<'a> {
    /// Takes its sessions over.
    pub fn new(start: Start<'a>) -> Result<Worker<'a>> {
        let Start { load, targets, shared, clock, window, gap_ns, kinds, connections, source, schedule } = start;
        let poll = Poll::new(clock)?;
        let mut sessions = vec![];
        for (i, (number, mut connection)) in connections.into_iter().enumerate() {
            connection.unblock()?;
            poll.add(connection.stream(), i as u64)?;
            let (identity, target) = (connection.session, number % targets.len());
            let (line, under_way, owed) = (Line::Open(connection), VecDeque::new(), Owed::default());
            sessions.push(Session { number, line, identity, target, under_way, owed, sent_ns: clock.ns() });
        }
        let empty = || if schedule.is_some() { Latencies::new() } else { Latencies::at_once() };
        Ok(Worker {
            load,
            targets,
            shared,
            clock,
            window,
            poll,
            sessions,
            source,
            turn: 0,
            to_flush: vec![],
            lost: VecDeque::new(),
            ticks: 0,
            kinds: (0..kinds).map(|_| empty()).collect(),
            schedule,
            errors: Errors::new(),
            timeline: Timeline::new(window, gap_ns),
        })
    }

    /// Works until the window is over and everything is answered.
    pub fn work(mut self) -> Result<Tally> {
        let mut scratch = vec![0; SCRATCH];
        let mut ready = vec![];
        for number in 0..self.sessions.len() {
            self.fill(number)?;
        }
        let end_ns = self.window.end_ns;
        let limit_ns = end_ns + DRAIN_LIMIT_NS;
        let mut tick_ns = self.clock.ns() + TICK_NS;
        loop {
            let now_ns = self.clock.ns();
            // Before it may end: a machine that stood still over the window's end owes what was due before.
            self.send_due(now_ns.min(end_ns))?;
            if now_ns >= end_ns && (self.is_drained() || now_ns >= limit_ns) || self.shared.stop.load(Ordering::Relaxed)
            {
                break;
            }
            if now_ns >= tick_ns {
                self.tick(now_ns)?;
                tick_ns = now_ns + TICK_NS;
            }
            let deadline_ns = if now_ns >= end_ns { limit_ns } else { self.next_due_ns().min(end_ns) };
            self.poll.wait(deadline_ns.min(tick_ns), &mut ready)?;
            let mut answered = 0;
            for token in &ready {
                answered += self.serve(*token as usize, &mut scratch)?;
            }
            self.shared.answered.fetch_add(answered, Ordering::Relaxed);
        }
        self.end()
    }

    fn end(self) -> Result<Tally> {
        let unanswered = self.sessions.iter().map(|session| session.under_way.len() as u64 + session.owed.count).sum();
        let left = self.source.left();
        if unanswered == 0 {
            let open = self.sessions.into_iter().filter_map(|session| match session.line {
                Line::Open(connection) => Some(connection),
                Line::Opening(..) | Line::Lost => None,
            });
            let closed = connection::close_all(open.collect());
            // A server that has just been lost for good cannot say goodbye.
            if !self.load.survive {
                closed?;
            }
        }
        Ok(Tally { kinds: self.kinds, errors: self.errors, unanswered, timeline: self.timeline.end(), left })
    }

    /// Sends what a session has room for: all of a closed loop's requests, or what an open loop owes.
    fn fill(&mut self, number: usize) -> Result<()> {
        let stride = self.sessions.len() as u64;
        let now_ns = self.clock.ns();
        let Session { line, under_way, owed, sent_ns, .. } = &mut self.sessions[number];
        let Line::Open(connection) = line else { return Ok(()) };
        while under_way.len() < self.load.in_flight {
            let due_ns = match &self.schedule {
                None if now_ns < self.window.end_ns => now_ns,
                Some(schedule) if owed.count > 0 => owed.take(schedule, stride),
                _ => break,
            };
            send(&mut connection.outbox, &mut self.source, under_way, due_ns, now_ns);
        }
        *sent_ns = now_ns;
        let flushed = self.poll.flush(connection, number as u64);
        flushed.or_else(|failure| self.lose(number, failure))
    }

    /// Sends what is due up to `now_ns`, the sessions in turn. Who has come late finds several requests due in a session,
    /// and sends them at once.
    fn send_due(&mut self, now_ns: u64) -> Result<()> {
        while let Some(due_ns) = self.schedule.as_mut().and_then(|schedule| schedule.take(now_ns)) {
            let number = (self.turn % self.sessions.len() as u64) as usize;
            let Session { line, under_way, owed, sent_ns, .. } = &mut self.sessions[number];
            match line {
                Line::Open(connection) if owed.count == 0 && under_way.len() < self.load.in_flight => {
                    *sent_ns = self.clock.ns();
                    if connection.outbox.is_empty() {
                        self.to_flush.push(number);
                    }
                    send(&mut connection.outbox, &mut self.source, under_way, due_ns, *sent_ns);
                }
                _ => owed.add(self.turn),
            }
            self.turn += 1;
        }
        let mut to_flush = std::mem::take(&mut self.to_flush);
        for number in to_flush.drain(..) {
            if let Line::Open(connection) = &mut self.sessions[number].line {
                let flushed = self.poll.flush(connection, number as u64);
                flushed.or_else(|failure| self.lose(number, failure))?;
            }
        }
        self.to_flush = to_flush;
        Ok(())
    }

    fn next_due_ns(&self) -> u64 {
        self.schedule.as_ref().map_or(u64::MAX, Schedule::due_ns)
    }

    /// Takes what has arrived for a session and sends what may follow; returns how many operations were answered.
    fn serve(&mut self, number: usize, scratch: &mut [u8]) -> Result<u64> {
        match &mut self.sessions[number].line {
            Line::Open(_) => self.take_answers(number, scratch),
            Line::Opening(..) => self.take_grant(number, scratch).map(|()| 0),
            Line::Lost => Ok(0),
        }
    }

    fn take_answers(&mut self, number: usize, scratch: &mut [u8]) -> Result<u64> {
        let stride = self.sessions.len() as u64;
        let Worker { clock, window, poll, sessions, source, schedule, kinds, errors, timeline, .. } = self;
        let Session { line, under_way, owed, sent_ns, .. } = &mut sessions[number];
        let Line::Open(connection) = line else { return Ok(0) };
        let mut now_ns = 0;
        let mut answered = 0;
        let received = connection.receive(scratch, |outbox, reply| {
            if now_ns == 0 {
                now_ns = clock.ns();
            }
            if reply.xid == PING_XID || reply.xid == EVENT_XID {
                return Ok(());
            }
            let sent = under_way.pop_front().ok_or_else(|| Failure::new("an answer nobody has asked for"))?;
            connection::expect_xid(sent.xid, reply.xid)?;
            let error = source.answered(sent.purpose, reply.error, reply.body);
            answered += 1;
            if window.holds(if schedule.is_none() { now_ns } else { sent.due_ns }) {
                if error == 0 {
                    kinds[usize::from(sent.purpose.kind)].record(sent.due_ns, sent.sent_ns, now_ns);
                } else {
                    *errors.entry(error).or_default() += 1;
                }
            }
            if window.holds(now_ns) {
                timeline.answered(now_ns, now_ns.saturating_sub(sent.due_ns), error != 0);
            }
            let due_ns = match schedule {
                None => (now_ns < window.end_ns).then_some(now_ns),
                Some(schedule) => (owed.count > 0).then(|| owed.take(schedule, stride)),
            };
            if let Some(due_ns) = due_ns {
                send(outbox, source, under_way, due_ns, now_ns);
                *sent_ns = now_ns;
            }
            Ok(())
        });
        let flushed = match received {
            Ok(true) => poll.flush(connection, number as u64),
            Ok(false) => Err(Failure::new("the server has ended a connection")),
            Err(failure) => Err(failure),
        };
        flushed.or_else(|failure| self.lose(number, failure))?;
        Ok(answered)
    }

    /// Takes the answer to a connect request.
    fn take_grant(&mut self, number: usize, scratch: &mut [u8]) -> Result<()> {
        let session = &mut self.sessions[number];
        let Line::Opening(connection, _) = &mut session.line else { return Ok(()) };
        let mut answer = None;
        let received = connection.receive_frames(scratch, |_, frame| {
            answer = Some(codec::granted(frame)?);
            Ok(())
        });
        match (received, answer) {
            (Ok(_), Some(Some(granted))) => {
                session.identity = (granted.session, granted.password);
                let Line::Opening(connection, _) = std::mem::replace(&mut session.line, Line::Lost) else {
                    unreachable!("it is being opened");
                };
                session.line = Line::Open(connection);
                self.fill(number)
            }
            (Ok(_), Some(None)) => {
                session.identity = NO_SESSION;
                *self.errors.entry(SESSION_EXPIRED).or_default() += 1;
                self.lose(number, Failure::new("the session has expired"))
            }
            (Ok(true), None) => {
                let flushed = self.poll.flush(connection, number as u64);
                flushed.or_else(|failure| self.lose(number, failure))
            }
            (Ok(false), None) => self.lose(number, Failure::new("the server has ended a connection")),
            (Err(failure), _) => self.lose(number, failure),
        }
    }

    /// A connection is gone: the end of the load, unless it is to survive that.
    fn lose(&mut self, number: usize, failure: Failure) -> Result<()> {
        if !self.load.survive {
            return Err(failure).during(|| format!("session {}", self.sessions[number].number));
        }
        let now_ns = self.clock.ns();
        let session = &mut self.sessions[number];
        session.line = Line::Lost;
        session.target = (session.target + 1) % self.targets.len();
        for sent in session.under_way.drain(..) {
            if self.window.holds(if self.schedule.is_some() { sent.due_ns } else { now_ns }) {
                *self.errors.entry(CONNECTION_LOSS).or_default() += 1;
            }
            if self.window.holds(now_ns) {
                self.timeline.lost(now_ns);
            }
        }
        self.lost.push_back(number);
        Ok(())
    }

    /// Looks after the sessions: some of the lost ones are opened again, silent ones are given up, idle ones ping.
    fn tick(&mut self, now_ns: u64) -> Result<()> {
        for _ in 0..self.lost.len().min(RECONNECTS) {
            let Some(number) = self.lost.pop_front() else { break };
            self.reopen(number, now_ns)?;
        }
        self.ticks += 1;
        if !self.ticks.is_multiple_of(PING_TICKS) {
            return Ok(());
        }
        let third_ns = self.load.session_timeout_ms.max(3) as u64 * 1_000_000 / 3;
        for number in 0..self.sessions.len() {
            let session = &mut self.sessions[number];
            let oldest_ns = session.under_way.front().map(|sent| sent.sent_ns);
            let outcome = match &mut session.line {
                Line::Opening(_, since_ns) if now_ns.saturating_sub(*since_ns) > 2 * third_ns => {
                    Err(Failure::new("the server does not grant a session"))
                }
                Line::Open(_) if oldest_ns.is_some_and(|oldest| now_ns.saturating_sub(oldest) > 2 * third_ns) => {
                    Err(Failure::new("the server does not answer"))
                }
                Line::Open(connection) if now_ns.saturating_sub(session.sent_ns) > third_ns => {
                    session.sent_ns = now_ns;
                    connection.outbox.ping();
                    self.poll.flush(connection, number as u64)
                }
                _ => Ok(()),
            };
            // Without `survive` a slow server is waited for: the limit is that of the answers at the end.
            match outcome {
                Err(failure) if self.load.survive => self.lose(number, failure)?,
                Err(_) if matches!(self.sessions[number].line, Line::Open(_)) && oldest_ns.is_some() => {}
                outcome => outcome?,
            }
        }
        Ok(())
    }

    fn reopen(&mut self, number: usize, now_ns: u64) -> Result<()> {
        let session = &mut self.sessions[number];
        let (target, timeout_ms) = (self.targets[session.target], self.load.session_timeout_ms);
        let opened = Connection::begin_from(session.number, target, timeout_ms, session.identity);
        let opened = opened.and_then(|mut connection| {
            self.poll.add(connection.stream(), number as u64)?;
            self.poll.flush(&mut connection, number as u64)?;
            Ok(connection)
        });
        match opened {
            Ok(connection) => {
                session.line = Line::Opening(connection, now_ns);
                Ok(())
            }
            Err(failure) => self.lose(number, failure),
        }
    }

    fn is_drained(&self) -> bool {
        let nothing_left = |session: &Session| session.under_way.is_empty() && session.owed.count == 0;
        // When nobody is connected at the end, what is owed will not be answered.
        self.sessions.iter().all(nothing_left)
            || self.sessions.iter().all(|session| !matches!(session.line, Line::Open(_)))
    }
}

/// What a session could not send when it was due: every `stride`th of the schedule, from `next` on.
#[derive(Default)]
struct Owed {
    count: u64,
    next: u64,
}

impl Owed {
    /// The operation with this number in the schedule is owed too.
    fn add(&mut self, number: u64) {
        if self.count == 0 {
            self.next = number;
        }
        self.count += 1;
    }

    /// The instant the oldest of them was due, which is now sent.
    fn take(&mut self, schedule: &Schedule, stride: u64) -> u64 {
        let due_ns = schedule.at(self.next);
        self.next += stride;
        self.count -= 1;
        due_ns
    }
}

fn send(outbox: &mut Outbox, source: &mut Source<'_>, under_way: &mut VecDeque<Sent>, due_ns: u64, sent_ns: u64) {
    let (xid, purpose) = source.push(outbox);
    under_way.push_back(Sent { xid, purpose, due_ns, sent_ns });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_owed_keeps_its_instants() {
        let schedule = Schedule::new(1000, 1e9);
        let mut owed = Owed::default();
        // Three sessions, this one's numbers are 4, 7, 10.
        [4, 7, 10].into_iter().for_each(|number| owed.add(number));
        assert_eq!([owed.take(&schedule, 3), owed.take(&schedule, 3)], [1004, 1007]);
        owed.add(13);
        assert_eq!([owed.take(&schedule, 3), owed.take(&schedule, 3)], [1010, 1013]);
        assert_eq!(owed.count, 0);
        owed.add(22);
        assert_eq!(owed.take(&schedule, 3), 1022, "after a time in which nothing was owed");
    }
}
