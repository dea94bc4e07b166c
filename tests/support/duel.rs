//! Two servers asked the same things at once, and everything they answer compared in the order of its arrival.

use super::client::{Arrival, Connection, Session, connect_record};
use super::compare::{self, Mapping};
use super::fields;
use super::history::{History, Mismatch};
use super::script::Planned;
use super::server::Server;
use super::wire::{self, Request, op, xid};

/// How many of the last requests are kept for the report of a mismatch.
const HISTORY: usize = 4_000;

/// A request as it was sent to the first server, for the comparison and the report.
pub struct Sent {
    number: i32,
    request: Request,
    mangled: bool,
}

/// One session on both servers.
pub struct Pair {
    pub first: Connection,
    pub second: Connection,
    next_xid: i32,
    pub credentials: Vec<&'static str>,
}

/// The servers, the sessions held with both, and what is known of how their numbers relate.
pub struct Duel {
    /// Told in every report.
    pub seed: u64,
    pub servers: [Server; 2],
    pub pairs: Vec<Pair>,
    pub mapping: Mapping,
    history: History,
    /// Transaction ids, on each server, of the closeSessions since every session was last heard.
    closing: Vec<(i64, i64)>,
    /// Paths of successful creates since somebody took them.
    pub created: Vec<String>,
    /// Requests compared so far.
    pub steps: u64,
    pub events: u64,
    pub successes: u64,
}

impl Duel {
    /// `servers` are the one that is right and the one that is compared with it.
    pub fn new(seed: u64, servers: [Server; 2]) -> Duel {
        Duel {
            seed,
            servers,
            pairs: Vec::new(),
            mapping: Mapping::new(),
            history: History::new(HISTORY),
            closing: Vec::new(),
            created: Vec::new(),
            steps: 0,
            events: 0,
            successes: 0,
        }
    }

    /// Opens one new session on both servers.
    pub fn new_pair(&mut self, timeout_ms: i32, read_only: Option<bool>) -> Pair {
        let record = connect_record(0, timeout_ms, 0, &[0; 16], read_only);
        let mut connections = self
            .servers
            .each_ref()
            .map(|server| Connection::silent(server.address).expect("the server accepts connections"));
        for connection in &mut connections {
            connection.handshake(&record).expect("a connect response");
        }
        let [first, second] = connections;
        self.same_session(&first.session, &second.session, "a new session");
        Pair { first, second, next_xid: 1, credentials: Vec::new() }
    }

    /// Compares two connect responses.
    pub fn same_session(&mut self, first: &Session, second: &Session, what: &str) {
        let paired = self.mapping.session_pair(first.id, second.id);
        let alike = first.timeout_ms == second.timeout_ms
            && first.read_only == second.read_only
            && first.password.len() == second.password.len()
            && (first.id == 0) == (second.id == 0)
            && paired.is_ok();
        assert!(alike, "{what}: {first:?} against {second:?} (seed {}, step {})", self.seed, self.steps);
    }

    /// Sends requests to both servers as one pipelined burst and compares what comes.
    pub fn exchange(&mut self, session: usize, planned: Vec<Planned>) -> Vec<Arrival> {
        let sent = self.send(session, planned, None);
        self.compare(session, &sent)
    }

    /// The same for requests that need no care.
    pub fn plain(&mut self, session: usize, requests: &[Request]) -> Vec<Arrival> {
        let planned =
            requests.iter().map(|request| Planned { request: request.clone(), mangled: false, alone: false }).collect();
        self.exchange(session, planned)
    }

    /// Writes a burst to both servers. `second` is what the second server gets instead, where requests name
    /// transaction ids.
    pub fn send(&mut self, session: usize, planned: Vec<Planned>, second: Option<&Request>) -> Vec<Sent> {
        let pair = &mut self.pairs[session];
        let mut sent = Vec::with_capacity(planned.len());
        for one in planned {
            let number = match one.request.opcode {
                op::PING => xid::PING,
                op::AUTH => xid::AUTH,
                op::SET_WATCHES | op::SET_WATCHES2 => xid::SET_WATCHES,
                _ => {
                    pair.next_xid += 1;
                    pair.next_xid
                }
            };
            pair.first.push_as(number, &one.request);
            pair.second.push_as(number, second.unwrap_or(&one.request));
            sent.push(Sent { number, request: one.request, mangled: one.mangled });
        }
        // A server may end the connection before it has read everything; the arrivals tell.
        let _ = pair.first.flush();
        let _ = pair.second.flush();
        sent
    }

    /// Takes what arrives for a burst on both servers and compares it, element by element. Gives the first server's
    /// arrivals.
    pub fn compare(&mut self, session: usize, sent: &[Sent]) -> Vec<Arrival> {
        let mut first = self.gather(session, 0, sent.len());
        let mut second = self.gather(session, 1, sent.len());
        if let (Some(a), Some(b)) = (closing_zxid(sent, &first), closing_zxid(sent, &second)) {
            self.closing.push((a, b));
        }
        for (a, b) in &self.closing {
            compare::sort_events_of(*a, &mut first);
            compare::sort_events_of(*b, &mut second);
        }
        let mut asked = sent.iter();
        for place in 0..first.len().max(second.len()) {
            let (a, b) = (first.get(place), second.get(place));
            let request = match a {
                Some(Arrival::Reply(_)) => asked.next(),
                _ => None,
            };
            let opcode = request.map_or(0, |one| one.request.opcode);
            let verdict = match (a, b) {
                (Some(a), Some(b)) => {
                    let loose = request.is_some_and(|one| one.mangled);
                    let numbered = match (a, request) {
                        (Arrival::Reply(reply), Some(one)) => reply.xid == one.number,
                        _ => true,
                    };
                    if numbered {
                        self.mapping.arrivals(opcode, loose, a, b)
                    } else {
                        Err("the first server answered out of order".to_string())
                    }
                }
                _ => Err("one server sent more".to_string()),
            };
            if let Err(why) = verdict {
                let mismatch = Mismatch {
                    why: &why,
                    request: request.map(|one| &one.request),
                    first: a,
                    second: b,
                    burst: sent.iter().map(|one| &one.request).collect(),
                    arrivals: [&first, &second],
                };
                let other = format!("{:?}", self.servers[1].target);
                mismatch.print(["ZooKeeper", &other], &self.history);
                panic!(
                    "the servers differ: {why} (CORRAL_DIFF_SEED={}, step {}, session {session})",
                    self.seed, self.steps
                );
            }
            match (a, request) {
                (Some(Arrival::Reply(reply)), Some(one)) => {
                    self.note(session, &one.request, reply.err, &reply.body);
                }
                (Some(Arrival::Event { .. }), _) => self.events += 1,
                _ => {}
            }
        }
        first
    }

    /// Reads from one server until `replies` replies came or the connection ended.
    fn gather(&mut self, session: usize, side: usize, replies: usize) -> Vec<Arrival> {
        let pair = &mut self.pairs[session];
        let connection = if side == 0 { &mut pair.first } else { &mut pair.second };
        let mut arrived = Vec::with_capacity(replies + 4);
        let mut left = replies;
        while left > 0 {
            match connection.next() {
                Ok(arrival) => {
                    match &arrival {
                        Arrival::Reply(_) => left -= 1,
                        Arrival::Closed => left = 0,
                        Arrival::Event { .. } => {}
                    }
                    arrived.push(arrival);
                }
                Err(error) => {
                    let shown: Vec<String> = arrived.iter().map(|a| compare::show(0, a)).collect();
                    panic!(
                        "server {side} gave {} of {replies} replies on session {session}, then: {error} (seed {}, step {})\n{}",
                        replies - left,
                        self.seed,
                        self.steps,
                        shown.join("\n")
                    );
                }
            }
        }
        arrived
    }

    fn note(&mut self, session: usize, request: &Request, err: i32, body: &[u8]) {
        self.steps += 1;
        if err == 0 {
            self.successes += 1;
            let creates = matches!(request.opcode, op::CREATE | op::CREATE2 | op::CREATE_CONTAINER | op::CREATE_TTL);
            if creates
                && body.len() >= 4
                && let Ok(Some(name)) = fields::Reader::new(body).buffer("path")
                && let Ok(name) = String::from_utf8(name)
            {
                self.created.push(name);
            }
        }
        self.history.push(self.steps, session, request, err);
    }

    /// Hears every session once, so that no event stays unseen.
    pub fn settle(&mut self) {
        for session in 0..self.pairs.len() {
            self.plain(session, &[wire::ping()]);
        }
        self.closing.clear();
    }

    /// Expects both servers to end a session's connection.
    pub fn expect_closed(&mut self, session: usize, when: &str) {
        for side in 0..2 {
            let pair = &mut self.pairs[session];
            let connection = if side == 0 { &mut pair.first } else { &mut pair.second };
            let end = connection.next();
            assert!(
                matches!(end, Ok(Arrival::Closed)),
                "server {side} should have closed {when}, but: {end:?} (seed {}, step {})",
                self.seed,
                self.steps
            );
        }
    }
}

/// The transaction id of the closeSession a burst ends with, as one server answered it.
fn closing_zxid(sent: &[Sent], arrived: &[Arrival]) -> Option<i64> {
    if sent.last()?.request.opcode != op::CLOSE_SESSION {
        return None;
    }
    match arrived.last()? {
        Arrival::Reply(reply) => Some(reply.zxid),
        _ => None,
    }
}
