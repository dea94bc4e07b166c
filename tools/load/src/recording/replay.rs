//! A recording again: every connection a session of its own, every request at its instant, latency from that instant.
//!
//! Requests go out as they were sent, however late the answers are. What depends on a server's choice (the numbers of
//! sequential znodes, versions) may find something else than it did; such errors are counted. Sessions that were resumed
//! are new ones here.

use super::Recording;
use crate::codec::{self, AUTH_XID, EVENT_XID, NO_SESSION, PING_XID};
use crate::connection::{self, Connection};
use crate::document::{Run, Target};
use crate::engine::Targets;
use crate::engine::timeline::{Timeline, Window, together};
use crate::failure::{Failure, Result};
use crate::latency::{Errors, Latencies};
use crate::poll::{Clock, Poll};
use crate::process;
use crate::to_document::{self, Story};
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::time::Duration;

const TIMEOUT_MS: i32 = 30_000;
/// A client leaves its watches again after a reconnect under this transaction id.
const SET_WATCHES_XID: i32 = -8;
/// How long the last answers may take.
const DRAIN_LIMIT_NS: u64 = 20_000_000_000;
/// Between the sessions' opening and the first request.
const HEAD_START_NS: u64 = 50_000_000;
const GAP_NS: u64 = 50_000_000;
/// Bytes received at once.
const SCRATCH: usize = 64 << 10;

/// A request that is under way.
struct Sent {
    xid: i32,
    code: i32,
    due_ns: u64,
    sent_ns: u64,
}

/// A recorded connection.
struct Line {
    /// None before its first request and after its end.
    connection: Option<Connection>,
    under_way: VecDeque<Sent>,
}

struct Player<'a> {
    recording: &'a Recording,
    clock: Clock,
    poll: Poll,
    window: Window,
    lines: Vec<Line>,
    kinds: BTreeMap<&'static str, Latencies>,
    all: Latencies,
    errors: Errors,
    timeline: Timeline,
    unanswered: u64,
}

/// Plays a recording `speed` times as fast as it was made.
pub fn replay(path: &Path, targets: &Targets, told: &Target, speed: f64) -> Result<Run> {
    process::raise_open_files()?;
    let recording = Recording::open(path)?;
    let (Some(first), Some(last)) = (recording.entries.first(), recording.entries.last()) else {
        return Err(Failure::new("nothing is recorded"));
    };
    let length_ns = ((last.at_ns - first.at_ns) as f64 / speed) as u64 + 1;
    if length_ns > 86_400_000_000_000 {
        return Err(Failure::usage("this would take more than a day: a higher speed"));
    }
    let mut lines = vec![];
    let opened = Connection::open_many(&targets.addresses, TIMEOUT_MS, recording.connections)?;
    let clock = Clock::start();
    let poll = Poll::new(clock)?;
    for (number, mut connection) in opened.into_iter().enumerate() {
        connection.unblock()?;
        poll.add(connection.stream(), number as u64)?;
        lines.push(Line { connection: Some(connection), under_way: VecDeque::new() });
    }
    let begin_ns = clock.ns() + HEAD_START_NS;
    let window = Window { begin_ns, end_ns: begin_ns + length_ns };
    let mut player = Player {
        recording: &recording,
        clock,
        poll,
        window,
        lines,
        kinds: BTreeMap::new(),
        all: Latencies::new(),
        errors: Errors::new(),
        timeline: Timeline::new(window, GAP_NS),
        unanswered: 0,
    };
    let cpu = || targets.pids.iter().map(|pid| process::cpu(*pid)).sum::<Result<Duration>>();
    let before = cpu()?;
    player.play(first.at_ns, speed)?;
    let server_cpu = (!targets.pids.is_empty()).then(|| cpu().map(|after| after - before)).transpose()?;
    player.end(told, server_cpu, speed)
}

impl Player<'_> {
    fn play(&mut self, first_ns: u64, speed: f64) -> Result<()> {
        let mut scratch = vec![0; SCRATCH];
        let mut ready = vec![];
        let mut next = 0;
        loop {
            let now_ns = self.clock.ns();
            let mut due_ns = self.window.end_ns + DRAIN_LIMIT_NS;
            while let Some(entry) = self.recording.entries.get(next) {
                let entry_ns = self.window.begin_ns + ((entry.at_ns - first_ns) as f64 / speed) as u64;
                if entry_ns > now_ns {
                    due_ns = entry_ns;
                    break;
                }
                self.send(next, entry_ns)?;
                next += 1;
            }
            let is_over = next == self.recording.entries.len();
            if is_over && (now_ns >= due_ns || self.lines.iter().all(|line| line.under_way.is_empty())) {
                return Ok(());
            }
            self.poll.wait(due_ns, &mut ready)?;
            for token in &ready {
                self.receive(*token as usize, &mut scratch)?;
            }
        }
    }

    /// Sends an entry's frame, unless it is the connection's first one: its session stands.
    fn send(&mut self, number: usize, due_ns: u64) -> Result<()> {
        let entry = self.recording.entries[number];
        let frame = self.recording.frame(&entry);
        let line = &mut self.lines[entry.connection as usize];
        // A connect request is no longer than the longest password makes it, and begins with the protocol's version 0.
        if frame.is_empty() || is_connect(frame) {
            return Ok(());
        }
        let (Some(xid), Some(code)) = (codec::int_at(frame, 0), codec::int_at(frame, 4)) else {
            return Err(Failure::new("a recorded request has no header"));
        };
        let is_counted = ![PING_XID, AUTH_XID, SET_WATCHES_XID].contains(&xid);
        let Some(connection) = &mut line.connection else {
            self.unanswered += u64::from(is_counted);
            return Ok(());
        };
        connection.outbox.push_frame(frame);
        if is_counted {
            line.under_way.push_back(Sent { xid, code, due_ns, sent_ns: self.clock.ns() });
        }
        if self.poll.flush(connection, u64::from(entry.connection)).is_err() {
            self.lose(entry.connection as usize);
        }
        Ok(())
    }

    fn receive(&mut self, number: usize, scratch: &mut [u8]) -> Result<()> {
        let Player { clock, poll, window, lines, kinds, all, errors, timeline, .. } = self;
        let Line { connection: Some(connection), under_way } = &mut lines[number] else { return Ok(()) };
        let mut is_closed = false;
        let received = connection.receive(scratch, |_, reply| {
            if [PING_XID, EVENT_XID, AUTH_XID, SET_WATCHES_XID].contains(&reply.xid) {
                return Ok(());
            }
            let now_ns = clock.ns();
            let sent = under_way.pop_front().ok_or_else(|| Failure::new("an answer nobody has asked for"))?;
            connection::expect_xid(sent.xid, reply.xid)?;
            is_closed |= sent.code == codec::op::CLOSE;
            let error = if sent.code == codec::op::MULTI && reply.error == 0 {
                codec::multi_error(reply.body)
            } else {
                reply.error
            };
            if error == 0 {
                let kind = kinds.entry(codec::op::name(sent.code)).or_insert_with(Latencies::new);
                kind.record(sent.due_ns, sent.sent_ns, now_ns);
                all.record(sent.due_ns, sent.sent_ns, now_ns);
            } else {
                *errors.entry(error).or_default() += 1;
            }
            if window.holds(now_ns) {
                timeline.answered(now_ns, now_ns.saturating_sub(sent.due_ns), error != 0);
            }
            Ok(())
        });
        let is_open = match received {
            Ok(is_open) => is_open && poll.flush(connection, number as u64).is_ok(),
            // A server may reset what it has ended; answers that make no sense are another matter.
            Err(failure) if under_way.is_empty() => {
                drop(failure);
                false
            }
            Err(failure) => return Err(failure),
        };
        if !is_open || is_closed {
            self.lose(number);
        }
        Ok(())
    }

    /// A connection has ended, with a close or without.
    fn lose(&mut self, number: usize) {
        let line = &mut self.lines[number];
        self.unanswered += line.under_way.len() as u64;
        line.under_way.clear();
        line.connection = None;
    }

    fn end(self, told: &Target, server_cpu: Option<Duration>, speed: f64) -> Result<Run> {
        let Player { recording, window, lines, kinds, all, errors, timeline, unanswered, .. } = self;
        let left: u64 = lines.iter().map(|line| line.under_way.len() as u64).sum();
        if left == 0 {
            connection::close_all(lines.into_iter().filter_map(|line| line.connection).collect())?;
        }
        let mut latency = vec![all.told("all")];
        latency.extend(kinds.iter().map(|(name, latencies)| latencies.told(name)));
        let failed: u64 = errors.values().sum();
        let mut run = Story {
            name: "replay",
            description: format!("a recording of {} connections, at {speed} times its speed", recording.connections),
            target: told,
            sessions: recording.connections,
            took: Duration::from_nanos(window.end_ns - window.begin_ns),
            operation: "request",
            operations: all.count() + failed,
            latency,
            errors: to_document::errors(&errors, unanswered + left),
            server_cpu,
            values: vec![],
        }
        .run();
        // Nobody knows when a recording owes answers: where it has pauses they are no gaps.
        (run.timeline, _) = together(&[timeline.end()]);
        Ok(run)
    }
}

/// Whether a frame is a connect request: protocol version 0, a zxid, a timeout, a session and its password of 16 bytes.
fn is_connect(frame: &[u8]) -> bool {
    let password = codec::field_at(frame, 24);
    codec::int_at(frame, 0) == Some(0) && password.is_some_and(|(bytes, _)| bytes.len() == NO_SESSION.1.len())
}
