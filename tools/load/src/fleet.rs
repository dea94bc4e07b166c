//! Sessions that do nothing but stay alive, by the thousand: what `idle` measures and `watch` builds on.

use crate::codec::{self, Reply};
use crate::connection::{self, Connection};
use crate::failure::{Failure, Result};
use crate::poll::{Clock, Poll};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

/// How many sessions are opened before the pings of the others get their turn.
const BATCH: usize = 256;
/// Bytes received at once.
const SCRATCH: usize = 16 << 10;

/// Open sessions, each of which pings when a third of its timeout has passed, as ZooKeeper's client does.
pub struct Fleet {
    pub clock: Clock,
    poll: Poll,
    connections: Vec<Connection>,
    /// When whose ping is due. All wait for the same time, so that the first is always the next.
    pings: VecDeque<(u64, usize)>,
    ping_interval_ns: u64,
    /// Pings that were answered.
    pub answered_pings: u64,
    ready: Vec<u64>,
    scratch: Vec<u8>,
}

impl Fleet {
    /// Opens `sessions` sessions of `timeout_ms`.
    pub fn open(target: SocketAddr, sessions: usize, timeout_ms: i32) -> Result<Fleet> {
        let clock = Clock::start();
        let ping_interval_ns = timeout_ms.max(3) as u64 * 1_000_000 / 3;
        let (poll, ready, scratch) = (Poll::new(clock)?, vec![], vec![0; SCRATCH]);
        let (connections, pings) = (Vec::with_capacity(sessions), VecDeque::with_capacity(sessions));
        let mut fleet = Fleet { clock, poll, connections, pings, ping_interval_ns, answered_pings: 0, ready, scratch };
        while fleet.connections.len() < sessions {
            let count = BATCH.min(sessions - fleet.connections.len());
            for mut connection in Connection::open_many(&[target], timeout_ms, count)? {
                let number = fleet.connections.len();
                connection.unblock()?;
                fleet.poll.add(connection.stream(), number as u64)?;
                fleet.connections.push(connection);
                fleet.pings.push_back((clock.ns() + ping_interval_ns, number));
            }
            fleet.turn(0, &mut |_, _| Ok(()))?;
        }
        Ok(fleet)
    }

    /// Spreads the pings evenly from now on, as those of clients are that have not come all at once.
    pub fn spread_pings(&mut self) {
        let (now_ns, count) = (self.clock.ns(), self.pings.len().max(1) as u64);
        for (number, (due_ns, _)) in self.pings.iter_mut().enumerate() {
            *due_ns = now_ns + self.ping_interval_ns * number as u64 / count;
        }
    }

    /// Waits until something has arrived or the clock shows `deadline_ns`, and takes it: pings are counted here, the
    /// rest goes to `each` with its session's number. Sends the pings that are due.
    pub fn turn(&mut self, deadline_ns: u64, each: &mut impl FnMut(usize, Reply<'_>) -> Result<()>) -> Result<()> {
        let now_ns = self.clock.ns();
        while let Some((due_ns, number)) = self.pings.front().copied() {
            if due_ns > now_ns {
                break;
            }
            self.pings.pop_front();
            self.pings.push_back((now_ns + self.ping_interval_ns, number));
            let connection = &mut self.connections[number];
            connection.outbox.ping();
            self.poll.flush(connection, number as u64)?;
        }
        let next_ping_ns = self.pings.front().map_or(u64::MAX, |(due_ns, _)| *due_ns);
        self.poll.wait(deadline_ns.min(next_ping_ns), &mut self.ready)?;
        for token in &self.ready {
            let connection = &mut self.connections[*token as usize];
            let pings = &mut self.answered_pings;
            let open = connection.receive(&mut self.scratch, |_, reply| {
                if reply.xid == codec::PING_XID {
                    *pings += 1;
                    return Ok(());
                }
                each(*token as usize, reply)
            })?;
            if !open {
                return Err(Failure::new(format!("the server has ended session {token}")));
            }
            self.poll.flush(connection, *token)?;
        }
        Ok(())
    }

    /// Takes turns until `done` says so, or for `limit`: then it returns false.
    pub fn turn_until<State>(
        &mut self,
        limit: Duration,
        state: &mut State,
        each: impl Fn(&mut State, usize, Reply<'_>) -> Result<()>,
        done: impl Fn(&State) -> bool,
    ) -> Result<bool> {
        let deadline_ns = self.clock.ns() + limit.as_nanos() as u64;
        while !done(state) {
            if self.clock.ns() >= deadline_ns {
                return Ok(false);
            }
            self.turn(deadline_ns, &mut |number, reply| each(state, number, reply))?;
        }
        Ok(true)
    }

    /// Sends a request in every session, made by `make`.
    pub fn send_all(&mut self, make: impl FnMut(&mut Vec<u8>, i32)) -> Result<()> {
        self.send_each(1, make)
    }

    /// Sends `count` requests in every session, each made by `make`.
    pub fn send_each(&mut self, count: usize, mut make: impl FnMut(&mut Vec<u8>, i32)) -> Result<()> {
        for (number, connection) in self.connections.iter_mut().enumerate() {
            for _ in 0..count {
                connection.outbox.push(&mut make);
            }
            self.poll.flush(connection, number as u64)?;
        }
        Ok(())
    }

    /// Ends all sessions.
    pub fn close(self) -> Result<()> {
        connection::close_all(self.connections)
    }
}
