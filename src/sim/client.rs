//! A client of the simulator: sessions on any server, requests of every kind, and a check of every answer.
//!
//! An answer says the zxid of the state it is of. So it can be held against what the committed transactions make of that
//! state, at once and without a search; what a client was never told is looked up in the log at the end.

use super::cluster::{Cluster, Place};
use super::coverage::Coverage;
use super::disk::Choices;
use super::model::Model;
use super::request::{ANY, Done, Draft, EPHEMERAL, Request, SEQUENTIAL, Write, names};
use super::server::Frame;
use super::watching::{Event, Watching};
use crate::ids::{ConnId, PASSWORD_LEN, SessionId, Zxid};
use crate::jute::{ErrorCode, Reader, Stat};
use std::collections::{BTreeSet, VecDeque};

/// Xid of an event.
const EVENT: i32 = -1;
/// Xid of a ping.
const PING: i32 = -2;
/// Requests under way on one connection.
const PIPELINE: usize = 4;
/// How long an answer may take before the client tries another server, ms.
const PATIENCE_MS: i64 = 1200;
/// Session timeouts that are asked for, ms.
const TIMEOUTS_MS: [i32; 3] = [300, 600, 1000];
/// The longest of them.
pub const LONGEST_TIMEOUT_MS: i64 = 1000;

/// What all clients know together, as they could have told each other.
#[derive(Default)]
pub struct Known {
    /// The newest zxid in any answer: whatever is asked from now on comes later.
    pub zxid: Zxid,
    /// All requests that were ever sent.
    pub issued: BTreeSet<(SessionId, i32)>,
    /// Sessions of which a client was told that they are over.
    pub over: BTreeSet<SessionId>,
}

/// A request under way.
struct Sent {
    session: SessionId,
    xid: i32,
    request: Request,
    /// What was known when it was sent.
    floor: Zxid,
    sent_ms: i64,
}

struct Conn {
    place: Place,
    incarnation: u64,
    id: ConnId,
    is_open: bool,
    asked: VecDeque<Sent>,
    watching: Watching,
    /// When it was last heard of, or begun.
    heard_ms: i64,
    sent_ms: i64,
}

/// A client. See the module's text.
pub struct Client {
    number: usize,
    choices: Choices,
    /// The current one; none if it is over or was given up.
    pub session: SessionId,
    /// What it was told with it.
    password: [u8; PASSWORD_LEN],
    timeout_ms: i32,
    conn: Option<Conn>,
    last_xid: i32,
    last_zxid: Zxid,
    /// Requests whose outcome nobody told, a list for each connection, in the order they were sent.
    untold: Vec<Vec<Sent>>,
    /// Leaves nothing and closes nothing: only asks.
    pub is_calm: bool,
    /// Answers so far.
    pub answers: u64,
    /// When its next step is due, in virtual time, ms.
    pub next_ms: i64,
}

impl Client {
    /// One that has done nothing yet.
    pub fn new(number: usize, seed: u64) -> Client {
        Client {
            number,
            choices: Choices::drawn(seed.wrapping_mul(31).wrapping_add(number as u64 + 1)),
            session: SessionId::NONE,
            password: [0; PASSWORD_LEN],
            timeout_ms: 0,
            conn: None,
            last_xid: 0,
            last_zxid: Zxid::ZERO,
            untold: vec![],
            is_calm: false,
            answers: 0,
            next_ms: 0,
        }
    }

    /// Does what is next.
    pub fn step(&mut self, cluster: &mut Cluster, known: &mut Known) {
        self.next_ms = cluster.now_ms + 1 + self.choices.pick(12) as i64;
        self.listen(cluster, known);
        let Some(conn) = &self.conn else { return self.connect(cluster) };
        let now_ms = cluster.now_ms;
        let waits_ms = conn.asked.front().map_or(0, |asked| now_ms - asked.sent_ms);
        if waits_ms > PATIENCE_MS || (!conn.is_open && now_ms - conn.heard_ms > PATIENCE_MS) {
            return self.hang_up(cluster);
        }
        if !conn.is_open || cluster.is_paused(conn.place) {
            return;
        }
        let is_closing = conn.asked.back().is_some_and(|asked| asked.request == Request::Close);
        if !self.is_calm && !is_closing {
            match self.choices.pick(400) {
                0..4 => {
                    cluster.coverage.count("session moves");
                    return self.hang_up(cluster);
                }
                4 => {
                    cluster.coverage.count("session given up");
                    self.hang_up(cluster);
                    return self.forget();
                }
                5..7 if conn.asked.is_empty() => return self.ask(cluster, known, Request::Close),
                _ => {}
            }
        }
        let is_idle = conn.asked.is_empty() && now_ms - conn.sent_ms > i64::from(self.timeout_ms) / 3;
        if is_idle {
            return self.ask(cluster, known, Request::Ping);
        }
        if conn.asked.len() < PIPELINE && !is_closing && self.choices.pick(3) == 0 {
            let request = self.draw(cluster);
            self.ask(cluster, known, request);
        }
    }

    /// Takes in what the server has sent, and checks it.
    pub fn listen(&mut self, cluster: &mut Cluster, known: &mut Known) {
        let Some(conn) = &mut self.conn else { return };
        let (place, id) = (conn.place, conn.id);
        if cluster.incarnation(place) != conn.incarnation || !cluster.runs(place) {
            return self.lose();
        }
        let now_ms = cluster.now_ms;
        let Some(server) = cluster.server(place) else { return };
        let has_ended = server.ended.contains(&id);
        if conn.is_open {
            let frames = server.frames(id);
            for frame in frames {
                self.answers += 1;
                self.take(cluster, known, &frame);
            }
        } else {
            let answer = server.output(id);
            if !answer.is_empty() {
                conn.heard_ms = now_ms;
                self.opened(&answer, &cluster.oracle.model, &mut cluster.coverage, known);
            }
        }
        if has_ended {
            self.lose();
        }
    }

    fn connect(&mut self, cluster: &mut Cluster) {
        let place = self.choices.pick(cluster.len());
        // Mostly to one that serves; the others send clients away.
        if !cluster.serves(place) && self.choices.pick(8) > 0 {
            return;
        }
        if self.session == SessionId::NONE {
            self.timeout_ms = TIMEOUTS_MS[self.choices.pick(TIMEOUTS_MS.len())];
        }
        let incarnation = cluster.incarnation(place);
        let (session, timeout_ms, seen) = (self.session, self.timeout_ms, self.last_zxid);
        let now_ms = cluster.now_ms;
        let Some(server) = cluster.server(place) else { return };
        let id = server.greet_as((session, self.password), timeout_ms, seen.0, None);
        self.conn = Some(Conn {
            place,
            incarnation,
            id,
            is_open: false,
            asked: VecDeque::new(),
            watching: Watching::default(),
            heard_ms: now_ms,
            sent_ms: now_ms,
        });
        cluster.act(place);
    }

    /// The answer to the connect request, which has no header of a reply.
    fn opened(&mut self, answer: &[u8], model: &Model, coverage: &mut Coverage, known: &mut Known) {
        let mut answer = Reader::new(&answer[8..]);
        let (timeout_ms, session) = (answer.int().expect("a timeout"), SessionId(answer.long().expect("a session")));
        if session == SessionId::NONE {
            assert!(self.session != SessionId::NONE, "a new session is not refused");
            coverage.count("session found expired");
            known.over.insert(self.session);
            self.lose();
            return self.forget();
        }
        assert_eq!(timeout_ms, self.timeout_ms, "the timeout that was asked for");
        let life = model.sessions.get(&session);
        assert!(life.is_some() || model.local_sessions, "a session that is told of is committed");
        let opened = life.map_or(Zxid::ZERO, |life| life.opened);
        if self.session == SessionId::NONE {
            coverage.count(if life.is_some() { "session opened" } else { "local session opened" });
            assert_eq!(life.is_none(), model.local_sessions, "all are of one kind");
            assert!(life.is_none() || opened > self.last_zxid);
            assert!(known.issued.insert((session, 0)), "{session} is nobody else's");
        } else {
            coverage.count("session resumed");
            assert_eq!(session, self.session, "the session that was asked for, or none");
        }
        self.session = session;
        self.password =
            answer.buffer().ok().flatten().and_then(|password| password.try_into().ok()).expect("a password");
        let conn = self.conn.as_mut().expect("it was answered on it");
        conn.is_open = true;
        conn.watching = Watching::from(self.last_zxid.max(opened));
    }

    fn ask(&mut self, cluster: &mut Cluster, known: &mut Known, request: Request) {
        let Some(conn) = &mut self.conn else { return };
        let place = conn.place;
        let now_ms = cluster.now_ms;
        let Some(server) = cluster.server(place) else { return };
        let (op, body) = request.encode();
        let xid = if request == Request::Ping { PING } else { self.last_xid + 1 };
        server.request(conn.id, xid, op, &body);
        conn.sent_ms = now_ms;
        conn.asked.push_back(Sent { session: self.session, xid, request, floor: known.zxid, sent_ms: now_ms });
        if xid > 0 {
            self.last_xid = xid;
            known.issued.insert((self.session, xid));
        }
        cluster.act(place);
    }

    /// One frame from the server.
    fn take(&mut self, cluster: &mut Cluster, known: &mut Known, frame: &Frame) {
        let (xid, zxid, error, body) = frame;
        let zxid = Zxid(*zxid);
        let Some(conn) = &mut self.conn else { return };
        conn.heard_ms = cluster.now_ms;
        assert!(zxid >= self.last_zxid, "{} is told of {zxid} after {}", self.session, self.last_zxid);
        let last = cluster.oracle.last();
        assert!(zxid <= last || zxid.counter() == 0, "{} is told of {zxid}, committed is {last}", self.session);
        self.last_zxid = zxid;
        known.zxid = known.zxid.max(zxid);
        let model = &cluster.oracle.model;
        let mut reader = Reader::new(body);
        if *xid == EVENT {
            let (kind, state) = (reader.int().expect("a kind"), reader.int());
            assert_eq!(state, Ok(3), "still connected");
            let path = reader.string().expect("a path").to_vec();
            conn.watching.came(model, &Event { zxid, kind, path });
            return cluster.coverage.count("watch event");
        }
        conn.watching.shown(model, zxid);
        let asked = conn.asked.pop_front().expect("an answer has a question");
        assert_eq!(asked.xid, *xid, "answers come in the order of the questions");
        cluster.coverage.count(asked.request.name());
        if *error != 0 {
            cluster.coverage.count("answered with an error");
        }
        if is_one_servers(cluster, &asked) {
            assert_eq!(model.requests.get(&(asked.session, asked.xid)), None, "{:?}", asked.request);
            check_one_servers(&asked, *error, &mut reader);
            cluster.coverage.count("answered by one server alone");
        } else if asked.request.is_write() {
            assert_eq!(model.requests.get(&(asked.session, asked.xid)), Some(&zxid), "{:?}", asked.request);
            check_write(model, &asked, zxid, Some((*error, &mut reader)));
        } else {
            check_read(model, &asked, zxid, *error, &mut reader);
            set_watches(&mut conn.watching, &asked.request, *error);
        }
        assert!(reader.rest().is_empty(), "nothing is left of the answer to {:?}", asked.request);
        if asked.request == Request::Close {
            self.lose();
            self.forget();
        }
    }

    /// Ends the connection from this side.
    fn hang_up(&mut self, cluster: &mut Cluster) {
        if let Some(conn) = &self.conn
            && cluster.incarnation(conn.place) == conn.incarnation
            && let Some(server) = cluster.server(conn.place)
        {
            server.shard.disconnected(conn.id);
            cluster.act(conn.place);
        }
        self.lose();
    }

    /// The connection is gone; what was asked on it may have been done.
    fn lose(&mut self) {
        if let Some(conn) = self.conn.take() {
            self.untold.push(conn.asked.into_iter().filter(|asked| asked.request.is_write()).collect());
        }
    }

    /// The session is over, or given up.
    fn forget(&mut self) {
        self.session = SessionId::NONE;
        self.last_xid = 0;
        self.last_zxid = Zxid::ZERO;
    }

    /// Whether nothing that was asked is unanswered.
    pub fn is_idle(&self) -> bool {
        self.conn.as_ref().is_some_and(|conn| conn.is_open && conn.asked.is_empty())
    }

    /// Looks up what was never told, when all is over.
    pub fn resolve(&mut self, cluster: &mut Cluster) {
        for sent in self.untold.drain(..) {
            let mut is_lost = false;
            for asked in sent {
                if is_one_servers(cluster, &asked) {
                    continue;
                }
                let Cluster { oracle, coverage, .. } = &mut *cluster;
                let model = &oracle.model;
                let Some(zxid) = model.requests.get(&(asked.session, asked.xid)) else {
                    coverage.count("untold and not done");
                    is_lost = true;
                    continue;
                };
                coverage.count("untold and done");
                assert!(!is_lost, "{} of {} is done, and one before it is not", asked.xid, asked.session);
                check_write(model, &asked, *zxid, None);
            }
        }
    }

    fn top(&mut self) -> Vec<u8> {
        format!("/{}", ["a", "b", "c"][self.choices.pick(3)]).into_bytes()
    }

    fn path(&mut self) -> Vec<u8> {
        let top = self.top();
        match self.choices.pick(4) {
            0 => top,
            at => [&top[..], b"/", &b"xyz"[at - 1..at]].concat(),
        }
    }

    fn draw(&mut self, cluster: &Cluster) -> Request {
        let watch = self.choices.pick(2) == 0;
        match self.choices.pick(24) {
            0..10 => Request::Write(self.draw_write(cluster)),
            10..12 => {
                let count = 2 + self.choices.pick(3);
                let writes = (0..count).map(|_| match self.choices.pick(4) {
                    0 => Write::Check { path: self.path(), version: self.version(cluster, b"/a") },
                    _ => self.draw_write(cluster),
                });
                Request::Multi(writes.collect())
            }
            12..15 => Request::Get { path: self.path(), watch },
            15..17 => Request::Exists { path: self.path(), watch },
            17..19 => Request::Children { path: self.top(), watch, stat: self.choices.pick(2) == 0 },
            19 => Request::Ephemerals,
            20..23 => Request::Sync,
            _ => Request::AddWatch { path: self.path(), recursive: watch },
        }
    }

    /// A version that may fit, or any.
    fn version(&mut self, cluster: &Cluster, path: &[u8]) -> i32 {
        let now = cluster.oracle.model.at(path, cluster.oracle.last()).map_or(0, |znode| znode.stat.version);
        match self.choices.pick(4) {
            0 => now,
            1 => now + 1,
            _ => ANY,
        }
    }

    fn draw_write(&mut self, cluster: &Cluster) -> Write {
        let data = format!("{}-{}", self.number, self.last_xid + 1).into_bytes();
        let stat = self.choices.pick(2) == 0;
        match self.choices.pick(10) {
            0..2 => Write::Create { path: self.top(), data, flags: 0, stat },
            2..4 => Write::Create { path: self.path(), data, flags: 0, stat },
            4 => Write::Create { path: self.path(), data, flags: EPHEMERAL, stat },
            5 => {
                let flags = SEQUENTIAL + if self.choices.pick(2) == 0 { EPHEMERAL } else { 0 };
                Write::Create { path: [&self.top()[..], b"/n"].concat(), data, flags, stat }
            }
            6..8 => {
                let path = self.path();
                let version = self.version(cluster, &path);
                Write::SetData { path, data, version }
            }
            _ => {
                let mut path = self.path();
                let children = cluster.oracle.model.children(&path, cluster.oracle.last());
                if let Some(name) = children.first().filter(|_| self.choices.pick(3) > 0) {
                    path = [&path[..], b"/", name].concat();
                }
                let version = self.version(cluster, &path);
                Write::Delete { path, version }
            }
        }
    }
}

/// Whether a write is no transaction, as its session is of one server alone.
fn is_one_servers(cluster: &Cluster, asked: &Sent) -> bool {
    let upgrades = cluster.settings.local_session_upgrading;
    let model = &cluster.oracle.model;
    let is_local = model.local_sessions && !model.sessions.contains_key(&asked.session);
    is_local && (asked.request == Request::Close || (!upgrades && asked.request.first_ephemeral().is_some()))
}

/// Holds the answer to such a write against what it must be.
fn check_one_servers(asked: &Sent, error: i32, reply: &mut Reader<'_>) {
    let refused = ErrorCode::EphemeralOnLocalSession.wire();
    match (&asked.request, asked.request.first_ephemeral()) {
        (Request::Close, _) => assert_eq!(error, 0, "a close never fails"),
        (Request::Multi(writes), Some(first)) => {
            let code = |at: usize| match at.cmp(&first) {
                std::cmp::Ordering::Less => 0,
                std::cmp::Ordering::Equal => refused,
                std::cmp::Ordering::Greater => ErrorCode::RuntimeInconsistency.wire(),
            };
            let expected = (0..writes.len()).map(|at| Err(code(at))).collect();
            assert_eq!((error, Done::read_multi(writes, reply)), (0, Ok(expected)), "{writes:?}");
        }
        (request, _) => assert_eq!(error, refused, "{request:?}"),
    }
}

/// Holds a write against the state before it: `answer` is what the client was told, if it was.
fn check_write(model: &Model, asked: &Sent, zxid: Zxid, answer: Option<(i32, &mut Reader<'_>)>) {
    let txn = model.txn(zxid).expect("it is committed");
    assert!(zxid > asked.floor, "{:?} is done at {zxid}, and was asked for at {}", asked.request, asked.floor);
    let refused = [ErrorCode::SessionMoved.wire(), ErrorCode::SessionExpired.wire()];
    if answer.is_none() && refused.contains(&txn.error) {
        return;
    }
    let before = Zxid(zxid.0 - 1);
    let when = (zxid, txn.header.time_ms);
    let mut draft = Draft::at(model, before);
    match &asked.request {
        Request::Write(write) => {
            let expected = draft.execute(asked.session, write, when);
            let code = expected.as_ref().err().map_or(0, |error| error.wire());
            assert_eq!(txn.error, code, "{write:?} at {zxid}");
            if let Some((error, reply)) = answer {
                assert_eq!(error, code, "{write:?} at {zxid}");
                if let Ok(done) = expected {
                    assert_eq!(Done::read(write, reply), Ok(done), "{write:?} at {zxid}");
                }
            }
        }
        Request::Multi(writes) => {
            let mut expected = vec![];
            let mut failed = 0;
            for write in writes {
                if failed != 0 {
                    expected.push(Err(ErrorCode::RuntimeInconsistency.wire()));
                    continue;
                }
                let done = draft.execute(asked.session, write, when).map_err(ErrorCode::wire);
                if let Err(error) = done {
                    failed = error;
                    expected.iter_mut().for_each(|before| *before = Err(0));
                }
                expected.push(done);
            }
            assert_eq!(txn.error, failed, "{writes:?} at {zxid}");
            if let Some((error, reply)) = answer {
                assert_eq!(error, 0, "a multi's errors are in its results");
                assert_eq!(Done::read_multi(writes, reply), Ok(expected), "{writes:?} at {zxid}");
            }
        }
        Request::Close => {
            assert_eq!(answer.map_or(0, |(error, _)| error), 0, "a close never fails");
            assert!(!model.is_open(asked.session, zxid), "{} is closed at {zxid}", asked.session);
        }
        other => unreachable!("{other:?} is no write"),
    }
}

/// Holds a read against the state of its zxid.
fn check_read(model: &Model, asked: &Sent, zxid: Zxid, error: i32, reply: &mut Reader<'_>) {
    let missing = ErrorCode::NoNode.wire();
    match &asked.request {
        Request::Get { path, .. } => {
            let znode = model.at(path, zxid);
            assert_eq!(error, if znode.is_some() { 0 } else { missing }, "{:?} at {zxid}", asked.request);
            if let Some(znode) = znode {
                let data = reply.buffer().expect("data").map(<[u8]>::to_vec);
                assert_eq!((&data, Stat::read(reply)), (&znode.data, Ok(znode.stat())), "{path:?} at {zxid}");
            }
        }
        Request::Exists { path, .. } => {
            let znode = model.at(path, zxid);
            assert_eq!(error, if znode.is_some() { 0 } else { missing }, "{:?} at {zxid}", asked.request);
            if let Some(znode) = znode {
                assert_eq!(Stat::read(reply), Ok(znode.stat()), "{path:?} at {zxid}");
            }
        }
        Request::Children { path, stat, .. } => {
            let znode = model.at(path, zxid);
            assert_eq!(error, if znode.is_some() { 0 } else { missing }, "{:?} at {zxid}", asked.request);
            if let Some(znode) = znode {
                assert_eq!(names(reply), model.children(path, zxid), "{path:?} at {zxid}");
                if *stat {
                    assert_eq!(Stat::read(reply), Ok(znode.stat()), "{path:?} at {zxid}");
                }
            }
        }
        Request::Ephemerals => {
            assert_eq!(error, 0, "a list may be empty");
            assert_eq!(names(reply), model.ephemerals(asked.session, zxid), "{} at {zxid}", asked.session);
        }
        Request::Sync => {
            assert_eq!((error, reply.string()), (0, Ok(&b"/"[..])), "a sync answers with its path");
            // Whatever anybody had been told when it was asked for (I22).
            assert!(zxid >= asked.floor, "a sync shows {zxid}, known was {}", asked.floor);
        }
        Request::AddWatch { .. } => {
            assert_eq!((error, reply.int()), (0, Ok(0)), "{:?}", asked.request);
        }
        Request::Ping => assert_eq!(error, 0, "a ping is answered"),
        Request::Write(_) | Request::Multi(_) | Request::Close => unreachable!("a write"),
    }
}

/// What a read that was answered has left behind.
fn set_watches(watching: &mut Watching, request: &Request, error: i32) {
    match request {
        Request::Get { path, watch: true } if error == 0 => watching.watch_data(path),
        Request::Exists { path, watch: true } => watching.watch_data(path),
        Request::Children { path, watch: true, .. } if error == 0 => watching.watch_children(path),
        Request::AddWatch { path, recursive } => watching.add(path, *recursive),
        _ => {}
    }
}
