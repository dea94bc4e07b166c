//! Clients that keep an ensemble busy and write down what happens. Each has one session, sends small bursts at a steady
//! pace, and takes its session to another server when its own falls silent or ends the connection, or just so.

use fastrand::Rng;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::cluster::SESSION_MS;
use super::record::{
    Action, History, LostSession, Operation, Outcome, SEQUENTIAL_PREFIX, Seen, data_of, ephemeral_path, node_path,
    register_path, value_of,
};
use super::support::client::{Connection, Reply, Session, connect_record};
use super::support::fields::{self, Value};
use super::support::history::show_request;
use super::support::wait_for;
use super::support::wire::{self, Request, flag, op};

/// Registers all clients share.
pub const REGISTERS: usize = 24;

/// A server that does not answer a request within this has lost the client to another one.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// The same for a new connection.
const CONNECT_LIMIT: Duration = Duration::from_millis(1_500);

/// Something that is to happen by itself does within this.
pub const HAPPENS_LIMIT: Duration = Duration::from_secs(20);

/// The timeout of a session that is to end when nobody speaks for it, or to live by what is said of it, in milliseconds.
pub const SHORT_SESSION_MS: i32 = 1_200;

/// A client that finds no server within this is stranded.
const STRANDED_LIMIT: Duration = Duration::from_secs(60);

/// A client's session ends at one of so many servers.
const CLOSE_TRIES: usize = 5;

/// The largest burst.
const BURST: u64 = 16;

/// Requests a second and client; fast enough to fill every moment of a fault, slow enough that a history of some
/// thousand spans several.
pub const PACE: u64 = 400;

/// Ephemeral nodes of a client at most.
const EPHEMERALS: usize = 12;

/// What clients and nemesis share.
pub struct Board {
    pub begun: Instant,
    pub stop: AtomicBool,
    /// Requests with a known outcome.
    pub known: AtomicU64,
    /// Acknowledged writes.
    pub written: AtomicU64,
    /// Requests a second and client.
    pace: u64,
    /// Where clients look for a server.
    addresses: Mutex<Vec<SocketAddr>>,
}

impl Board {
    pub fn new(addresses: Vec<SocketAddr>, pace: u64) -> Board {
        Board {
            begun: Instant::now(),
            stop: AtomicBool::new(false),
            known: AtomicU64::new(0),
            written: AtomicU64::new(0),
            pace,
            addresses: Mutex::new(addresses),
        }
    }

    /// The servers are elsewhere from now on; sessions that stand are not disturbed.
    pub fn moved(&self, addresses: Vec<SocketAddr>) {
        *self.addresses.lock().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    fn address(&self, random: &mut Rng) -> SocketAddr {
        let addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        *random.choice(addresses.iter()).unwrap()
    }

    fn now(&self) -> u64 {
        self.begun.elapsed().as_nanos() as u64
    }
}

pub struct Client {
    number: usize,
    random: Rng,
    connection: Option<Connection>,
    pub session: Session,
    /// Xids continue from connection to connection.
    next_xid: i32,
    last_zxid: i64,
    last_contact: u64,
    serial: u64,
    /// The last version seen of each register.
    versions: Vec<i32>,
    /// Nodes that can be deleted.
    nodes: Vec<u64>,
    ephemerals: usize,
    operations: Vec<Operation>,
    lost: Vec<LostSession>,
    /// What no server may do, or all of them did: reasons to condemn the history at once.
    problems: Vec<String>,
}

/// A new session on a member that may just be looking for a leader, as one on a busy machine may at any time.
pub fn session_on(address: SocketAddr) -> Connection {
    let mut last = None;
    let session = wait_for(STRANDED_LIMIT, || {
        Connection::new_session(address, SESSION_MS).map_err(|error| last = Some(error)).ok()
    });
    session.unwrap_or_else(|| panic!("{address} opens no session within {STRANDED_LIMIT:?}: {last:?}"))
}

/// A session on another connection, to a server that may not have come as far as the session has; of id 0 if the session is
/// over.
pub fn resumed(address: SocketAddr, session: &Session, zxid: i64) -> Connection {
    let again = wait_for(HAPPENS_LIMIT, || Connection::resume(address, session, zxid).ok());
    again.unwrap_or_else(|| panic!("{address} does not answer who asks for session {:#x}", session.id))
}

/// Goes on asking for so many timeouts of a short session, which lives by nothing else.
pub fn keep_asking(client: &mut Connection, request: &Request, timeouts: u32) {
    let timeout = Duration::from_millis(SHORT_SESSION_MS as u64);
    let end = Instant::now() + timeout * timeouts;
    while Instant::now() < end {
        client.must(request);
        std::thread::sleep(timeout / 6);
    }
}

/// Makes the registers and parents of a history.
pub fn furnish(address: SocketAddr) {
    let mut connection = session_on(address);
    for parent in ["/r", "/q", "/c", "/e"] {
        connection.must(&wire::create(parent, b"", flag::PERSISTENT));
    }
    for register in 0..REGISTERS {
        connection.must(&wire::create(&register_path(register), &data_of(0), flag::PERSISTENT));
    }
    connection.close().expect("the end of the session");
}

/// What all clients wrote down.
pub fn gather(clients: &mut [Client]) -> History {
    let mut history = History { registers: REGISTERS, ..History::default() };
    for client in clients {
        history.operations.append(&mut client.operations);
        history.lost.append(&mut client.lost);
        history.problems.append(&mut client.problems);
        history.alive.push(client.session.id);
    }
    history
}

impl Client {
    /// A client with a new session on a server.
    pub fn new(number: usize, home: SocketAddr, random: &mut Rng) -> Client {
        let connection = session_on(home);
        let client = Client {
            number,
            random: Rng::with_seed(random.u64(..)),
            session: connection.session.clone(),
            connection: None,
            next_xid: 1,
            last_zxid: 0,
            last_contact: 0,
            serial: 0,
            versions: vec![0; REGISTERS],
            nodes: Vec::new(),
            ephemerals: 0,
            operations: Vec::new(),
            lost: Vec::new(),
            problems: Vec::new(),
        };
        client.with(connection)
    }

    fn with(mut self, connection: Connection) -> Client {
        self.take(connection);
        self
    }

    fn take(&mut self, mut connection: Connection) {
        connection.continue_from(self.next_xid);
        connection.stream().set_read_timeout(Some(ANSWER_LIMIT)).expect("a limit on a socket");
        self.connection = Some(connection);
    }

    /// Asks until it is told to stop, or no server wants it.
    pub fn work(&mut self, board: &Board) {
        let mut due = Instant::now();
        while !board.stop.load(Ordering::Relaxed) {
            if self.random.u8(..100) < 1 {
                // A client may leave a server for another at any time.
                self.connection = None;
            }
            if self.connection.is_none() && !self.find_server(board) {
                return;
            }
            let burst = self.random.u64(1..=BURST);
            if self.burst(burst, board).is_err() {
                self.connection = None;
            }
            due =
                (due + Duration::from_millis(1_000 * burst / board.pace)).max(Instant::now() - Duration::from_secs(1));
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }

    /// Takes the session to any server that accepts it; false when none does.
    fn find_server(&mut self, board: &Board) -> bool {
        let end = Instant::now() + STRANDED_LIMIT;
        let mut last = String::new();
        while Instant::now() < end {
            let address = board.address(&mut self.random);
            match self.connect(address, board) {
                Ok(()) => return true,
                Err(error) => last = format!("{address}: {error}"),
            }
            if board.stop.load(Ordering::Relaxed) && Instant::now() + CONNECT_LIMIT > end {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.problems.push(format!("client {} found no server for {STRANDED_LIMIT:?}, last {last}", self.number));
        false
    }

    /// The session on a connection to `address`; a new session when the server says that this one is gone.
    fn connect(&mut self, address: SocketAddr, board: &Board) -> io::Result<()> {
        let mut connection = Connection::silent_within(address, CONNECT_LIMIT)?;
        let known = &self.session;
        connection.handshake(&connect_record(
            self.last_zxid,
            known.timeout_ms,
            known.id,
            &known.password,
            Some(false),
        ))?;
        if connection.session.id == 0 {
            let told = board.now();
            self.lost.push(LostSession {
                session: known.id,
                last_contact: self.last_contact,
                told,
                timeout_ms: known.timeout_ms,
            });
            connection = Connection::silent_within(address, CONNECT_LIMIT)?;
            connection.handshake(&connect_record(self.last_zxid, SESSION_MS, 0, &[0; 16], Some(false)))?;
            self.ephemerals = 0;
        }
        self.session = connection.session.clone();
        self.last_contact = board.now();
        self.take(connection);
        Ok(())
    }

    /// Sends some requests at once and takes their replies.
    fn burst(&mut self, count: u64, board: &Board) -> io::Result<()> {
        let mut connection = self.connection.take().expect("connected before");
        let first = self.operations.len();
        let mut xids = VecDeque::new();
        for _ in 0..count {
            let action = self.plan();
            let operation = Operation {
                client: self.number,
                session: self.session.id,
                action,
                invoked: 0,
                returned: 0,
                outcome: Outcome::Unknown,
            };
            for request in self.requests(&operation.action) {
                xids.push_back((connection.push(&request), request));
            }
            self.operations.push(operation);
        }
        self.next_xid = connection.next_xid();
        let invoked = board.now();
        for operation in &mut self.operations[first..] {
            operation.invoked = invoked;
        }
        connection.flush()?;
        for place in first..self.operations.len() {
            if matches!(self.operations[place].action, Action::SyncedGet { .. }) {
                let synced = self.next_reply(&mut connection, &mut xids)?;
                if synced.err != 0 {
                    return Err(io::Error::other(format!("sync was refused with {}", synced.err)));
                }
            }
            let reply = self.next_reply(&mut connection, &mut xids)?;
            self.last_contact = board.now();
            self.operations[place].returned = self.last_contact;
            self.last_zxid = self.last_zxid.max(reply.zxid);
            self.conclude(place, &reply, board);
        }
        self.connection = Some(connection);
        Ok(())
    }

    /// The next reply, which must be to the next request.
    fn next_reply(&mut self, connection: &mut Connection, xids: &mut VecDeque<(i32, Request)>) -> io::Result<Reply> {
        let reply = connection.next_reply()?;
        let (xid, request) = xids.pop_front().expect("as many replies as requests");
        if reply.xid == xid {
            return Ok(reply);
        }
        let address = connection.stream().peer_addr()?;
        let (session, request) = (self.session.id, show_request(&request));
        self.problems.push(format!(
            "{address} answers xid {} (err {}, zxid {:#x}) where {xid} was next, of session {session:#x}: {request}",
            reply.xid, reply.err, reply.zxid
        ));
        Err(io::Error::other("a reply out of order"))
    }

    fn fresh(&mut self) -> u64 {
        self.serial += 1;
        (self.number as u64 + 1) << 32 | self.serial
    }

    fn plan(&mut self) -> Action {
        let register = self.random.usize(..REGISTERS);
        match self.random.u64(..100) {
            0..=21 => Action::Set { register, value: self.fresh(), expected: None },
            22..=26 => Action::Set { register, value: self.fresh(), expected: Some(self.versions[register]) },
            27..=46 => Action::Get { register },
            47..=61 => Action::SyncedGet { register },
            62..=71 => Action::Create { node: self.fresh() },
            72..=76 if !self.nodes.is_empty() => {
                let place = self.random.usize(..self.nodes.len());
                Action::Delete { node: self.nodes.swap_remove(place) }
            }
            72..=83 => Action::Sequential { node: self.fresh() },
            84..=85 if self.ephemerals < EPHEMERALS => {
                self.ephemerals += 1;
                Action::Ephemeral { node: self.fresh() }
            }
            84..=95 => {
                let other = (register + 1 + self.random.usize(..REGISTERS - 1)) % REGISTERS;
                let sets = [(register, self.fresh()), (other, self.fresh())];
                Action::Multi { sets, node: self.fresh() }
            }
            _ => Action::FailingMulti { register, value: self.fresh() },
        }
    }

    fn requests(&self, action: &Action) -> Vec<Request> {
        let set = |register: usize, value: u64, expected: Option<i32>| {
            wire::set_data(&register_path(register), Some(&data_of(value)), expected.unwrap_or(-1))
        };
        let node = |node: u64| wire::create(&node_path(self.number, node), &data_of(node), flag::PERSISTENT);
        match *action {
            Action::Set { register, value, expected } => vec![set(register, value, expected)],
            Action::Get { register } => vec![wire::get_data(&register_path(register), false)],
            Action::SyncedGet { register } => {
                let path = register_path(register);
                vec![wire::sync(&path), wire::get_data(&path, false)]
            }
            Action::Create { node: number } => vec![node(number)],
            Action::Delete { node } => vec![wire::delete(&node_path(self.number, node), -1)],
            Action::Sequential { node } => {
                vec![wire::create(SEQUENTIAL_PREFIX, &data_of(node), flag::SEQUENTIAL)]
            }
            Action::Ephemeral { node } => {
                vec![wire::create(&ephemeral_path(self.number, node), &data_of(node), flag::EPHEMERAL)]
            }
            Action::Multi { sets, node: number } => {
                let mut parts: Vec<Request> =
                    sets.iter().map(|(register, value)| set(*register, *value, None)).collect();
                parts.push(node(number));
                vec![wire::multi(&parts)]
            }
            Action::FailingMulti { register, value } => {
                vec![wire::multi(&[set(register, value, None), wire::check("/r", 4_444)])]
            }
        }
    }

    /// Writes down what a reply said.
    fn conclude(&mut self, place: usize, reply: &Reply, board: &Board) {
        let action = self.operations[place].action.clone();
        board.known.fetch_add(1, Ordering::Relaxed);
        if reply.err != 0 {
            self.operations[place].outcome = Outcome::Refused { zxid: reply.zxid, code: reply.err };
            return;
        }
        if matches!(action, Action::FailingMulti { .. })
            && let Some(code) = refused_multi(&reply.body)
        {
            self.operations[place].outcome = Outcome::Refused { zxid: reply.zxid, code };
            return;
        }
        if !matches!(action, Action::Get { .. } | Action::SyncedGet { .. }) {
            board.written.fetch_add(1, Ordering::Relaxed);
        }
        let mut number = None;
        let seen = match action {
            Action::Set { register, value, .. } => seen_in(op::SET_DATA, &reply.body, &[(register, Some(value))]),
            Action::Get { register } | Action::SyncedGet { register } => {
                seen_in(op::GET_DATA, &reply.body, &[(register, None)])
            }
            Action::Multi { sets, node } => {
                self.nodes.push(node);
                seen_in(op::MULTI, &reply.body, &sets.map(|(register, value)| (register, Some(value))))
            }
            Action::FailingMulti { .. } => panic!("a multi with a check that cannot hold was done"),
            Action::Create { node } => {
                self.nodes.push(node);
                Vec::new()
            }
            Action::Sequential { .. } => {
                number = Some(number_in(&reply.body));
                Vec::new()
            }
            Action::Delete { .. } | Action::Ephemeral { .. } => Vec::new(),
        };
        for one in &seen {
            self.versions[one.register] = one.version;
        }
        self.operations[place].outcome = Outcome::Done { zxid: reply.zxid, seen, number };
    }

    /// After the work: the session must still be there, on whichever server.
    pub fn come_home(&mut self, board: &Board) {
        if self.connection.is_none() {
            self.find_server(board);
        }
    }

    /// Ends the session.
    pub fn close(&mut self, board: &Board) {
        self.connection = None;
        let mut last = None;
        for _ in 0..CLOSE_TRIES {
            assert!(self.find_server(board), "{:?}", self.problems);
            let connection = self.connection.take().expect("found a server");
            match connection.close() {
                Ok(()) => return,
                // It may have ended all the same: then the next attempt ends another, empty one.
                Err(error) => last = Some(error),
            }
        }
        panic!("client {}: its session does not end: {last:?}", self.number);
    }
}

/// The code of the part that failed, when a multi was refused.
fn refused_multi(body: &[u8]) -> Option<i32> {
    let decoded = fields::of_reply(op::MULTI, body).expect("a multi's reply");
    let codes = decoded.iter().filter(|field| field.name == "err").filter_map(|field| match field.value {
        Value::Int(code) if code != 0 => Some(code),
        _ => None,
    });
    codes.min_by_key(|code| *code == -2)
}

/// The registers a reply shows: their stats in order; the values are those written, or the data read.
fn seen_in(opcode: i32, body: &[u8], registers: &[(usize, Option<u64>)]) -> Vec<Seen> {
    let decoded = fields::of_reply(opcode, body).expect("a reply that decodes");
    let mut versions = Vec::new();
    let mut mzxids = Vec::new();
    let mut data = None;
    for field in &decoded {
        match (field.name, &field.value) {
            ("version", Value::Int(version)) => versions.push(*version),
            ("mzxid", Value::Zxid(zxid)) => mzxids.push(*zxid),
            ("data", Value::Bytes(Some(bytes))) => data = value_of(bytes),
            _ => {}
        }
    }
    assert_eq!(versions.len(), registers.len(), "stats in the reply: {}", fields::show(&Ok(decoded)));
    registers
        .iter()
        .zip(versions.into_iter().zip(mzxids))
        .map(|(&(register, written), (version, mzxid))| {
            let value = written.or(data).expect("the data of a register");
            Seen { register, version, value, mzxid }
        })
        .collect()
}

/// The number at the end of the path a create answers with.
fn number_in(body: &[u8]) -> u32 {
    let decoded = fields::of_reply(op::CREATE, body).expect("a reply that decodes");
    let Some(Value::Bytes(Some(path))) = decoded.first().map(|field| &field.value) else {
        panic!("a create without a path: {}", fields::show(&Ok(decoded)));
    };
    let path = String::from_utf8_lossy(path);
    let digits = path.strip_prefix(SEQUENTIAL_PREFIX).unwrap_or_else(|| panic!("a path {path}"));
    digits.parse().unwrap_or_else(|_| panic!("a path {path}"))
}
