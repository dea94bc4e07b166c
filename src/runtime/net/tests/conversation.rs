//! The socket loop with the brains of a server and real sockets, at ports with different transports.

use super::super::*;
use crate::jute::OpCode;
use crate::jute::wire::{put_bytes, put_int, put_long};
use crate::runtime::ports::Open;
use crate::runtime::security::Security;
use crate::runtime::transport::tests::Patient;
use crate::server::facts::Facts;
use crate::sim::bodies;
use crate::sim::server::SimServer;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::JoinHandle;

/// No word is said here.
struct NoWords;

impl AdminPlane for NoWords {
    fn answer(&self, _: [u8; 4], _: &[u8], _: Option<&Facts>) -> WordAnswer {
        WordAnswer::Text(vec![])
    }
}

/// A server in one loop, which accepts at a plain port and at a veiled one.
struct Loop {
    net: Net,
    server: SimServer,
    wake: Arc<Wake>,
    gate: Arc<Gate>,
    at: [(SocketAddr, Security); 2],
    events: Events,
}

impl Loop {
    /// Nothing but sockets and the bell wakes it if half a tick is long.
    fn new(half_tick: Duration) -> Loop {
        let wake = Arc::new(Wake::new().unwrap());
        let gate = Arc::new(Gate::new(0, 0));
        let open = [Security::Plain, Security::Veiled].map(Open::for_clients_of_a_test);
        let at = open.each_ref().map(|open| (open.listener.local_addr().unwrap(), open.wanted.security.clone()));
        let doors = open.each_ref().map(|open| Arc::new(Door::new(open)));
        let plane = Arc::new(NoWords);
        let net = Net::new(&doors, wake.clone(), gate.clone(), plane, half_tick, Box::new(|| {})).unwrap();
        let server = SimServer::new(64 << 20);
        Loop { net, server, wake, gate, at, events: Events::new() }
    }

    /// As an edge does, with a disk that is quick.
    fn turn(&mut self, may_wait: bool) {
        let is_sleepy = self.server.shard.may_sleep() && self.server.quorum.may_sleep();
        let waits = self.wake.about_to_wait() && is_sleepy && may_wait;
        self.net.wait(&mut self.events, waits);
        self.wake.awake();
        self.server.at(self.server.now_ms);
        if self.net.process(&self.events, &mut self.server.shard).tick {
            self.server.shard.tick();
        }
        self.server.prepare_segment();
        self.server.turn();
        self.net.flush(&mut self.server.shard);
        self.server.turn();
    }

    fn run_until(&mut self, is_done: impl Fn(&Loop) -> bool) {
        while !is_done(self) {
            self.turn(true);
        }
    }

    /// Runs for as long as these clients take.
    fn serve<T: Send + 'static>(&mut self, clients: Vec<JoinHandle<T>>) -> Vec<T> {
        let are_done = Arc::new(AtomicBool::new(false));
        let (tells, bell) = (are_done.clone(), self.wake.clone());
        let waiter = std::thread::spawn(move || {
            let outcomes: Vec<_> = clients.into_iter().map(JoinHandle::join).collect();
            tells.store(true, SeqCst);
            bell.ring();
            outcomes
        });
        self.run_until(|_| are_done.load(SeqCst));
        waiter.join().unwrap().into_iter().map(|outcome| outcome.expect("a client was content")).collect()
    }

    fn client(&self, port: usize, talk: fn(Client) -> Outcome) -> JoinHandle<Outcome> {
        let (at, security) = self.at[port].clone();
        std::thread::spawn(move || {
            let stream = TcpStream::connect(at).unwrap();
            talk(Client(Patient::over(security.connected(stream, "127.0.0.1").unwrap())))
        })
    }
}

/// The error and the length of each answer, and how the server ended the connection.
type Outcome = (Vec<(i32, usize)>, Option<Result<(), ErrorKind>>);

struct Client(Patient);

fn frames(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut frames = vec![];
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let Some(frame) = rest.get(..u32::from_be_bytes(*length) as usize) else { break };
        frames.push(frame);
        bytes = &rest[frame.len()..];
    }
    frames
}

impl Client {
    fn asks_for_a_session(&mut self) {
        let mut payload = vec![];
        put_int(&mut payload, 0);
        put_long(&mut payload, 0);
        put_int(&mut payload, 2_000);
        put_long(&mut payload, 0);
        put_bytes(&mut payload, &[0; 16]);
        put_bytes(&mut self.0.out, &payload);
    }

    fn request(&mut self, op: OpCode, body: &[u8]) {
        let mut payload = vec![];
        put_int(&mut payload, 1);
        put_int(&mut payload, op.wire());
        payload.extend_from_slice(body);
        put_bytes(&mut self.0.out, &payload);
    }

    fn until_answers(&mut self, count: usize) {
        self.0.until(|client| client.out.is_empty() && frames(&client.came).len() == count);
    }

    fn outcome(self) -> Outcome {
        let frames = frames(&self.0.came);
        let error = |frame: &[u8]| i32::from_be_bytes(frame[12..16].try_into().unwrap());
        let answers = frames[1..].iter().map(|frame| (error(frame), frame.len() - 16));
        (answers.collect(), self.0.end)
    }
}

/// Bytes of a znode's data.
const DATA: usize = 100_000;
const READS: usize = 12;
const PINGS: usize = 3_000;

/// Everything at once: more than a turn reads and than a socket takes.
fn says_much_and_closes_its_session(mut client: Client) -> Outcome {
    client.asks_for_a_session();
    // Sent before there is an answer, as far as a server has to take that: the rest when there is one.
    client.until_answers(1);
    client.request(OpCode::Create, &bodies::create(b"/n", &[7; DATA], 2));
    for _ in 0..PINGS {
        client.request(OpCode::Ping, &[]);
    }
    client.until_answers(2 + PINGS);
    let mut path = frames(&client.0.came)[1][16..].to_vec();
    path.push(0);
    for _ in 0..READS {
        client.request(OpCode::GetData, &path);
    }
    client.request(OpCode::CloseSession, &[]);
    client.0.until(|_| false);
    client.outcome()
}

/// Goes without a word to the server about its session.
fn says_goodbye(mut client: Client) -> Outcome {
    client.asks_for_a_session();
    client.until_answers(1);
    client.0.close();
    client.outcome()
}

#[test]
fn a_conversation_is_the_same_over_any_transport() {
    let mut server = Loop::new(Duration::from_secs(3_600));
    let ports = [0, 1, 1, 0];
    let clients = ports.map(|port| server.client(port, says_much_and_closes_its_session));
    let outcomes = server.serve(clients.into());
    let (answers, end) = &outcomes[0];
    assert_eq!(answers.len(), 1 + PINGS + READS + 1);
    assert!(answers.iter().all(|(error, _)| *error == 0));
    let data = &answers[1 + PINGS..1 + PINGS + READS];
    assert!(data.iter().all(|(_, length)| (DATA..DATA + 200).contains(length)), "{data:?}");
    assert_eq!(*end, Some(Ok(())), "all of it came, and the end in good order");
    for outcome in &outcomes[1..] {
        assert_eq!((outcome.0.len(), outcome.1), (answers.len(), *end));
        assert!(outcome == &outcomes[0], "the conversation is another one");
    }
    assert!(server.net.lingering.is_empty());
}

#[test]
fn a_client_that_says_goodbye_is_let_go() {
    let mut server = Loop::new(Duration::from_secs(3_600));
    let clients = [0, 1].map(|port| server.client(port, says_goodbye));
    assert_eq!(server.serve(clients.into()), [(vec![], None), (vec![], None)]);
    server.run_until(|server| server.net.sockets.0.iter().all(Option::is_none));
    assert_eq!(server.gate.total(), 0, "both places are free");
}

/// Whoever takes nothing of what is still to be sent keeps a place for a bounded time.
#[test]
fn what_lingers_ends() {
    let mut server = Loop::new(Duration::from_secs(3_600));
    let (at, security) = server.at[1].clone();
    let mut client = Client(Patient::over(security.connected(TcpStream::connect(at).unwrap(), "127.0.0.1").unwrap()));
    let talk = std::thread::spawn(move || {
        client.asks_for_a_session();
        client.until_answers(1);
        client
    });
    let _silent = server.serve(vec![talk]);
    // Its transport has begun a record when the shard ends the connection.
    let id = server.net.sockets.0[0].as_ref().unwrap().id;
    let socket = server.net.sockets.find(id).unwrap();
    assert!(socket.transport.write(&[0; 4_000]).unwrap() > 0 && socket.transport.is_full());
    server.server.shard.stop();
    server.net.flush(&mut server.server.shard);
    assert!(!server.net.lingering.is_empty());
    assert_eq!(server.gate.total(), 1, "it counts as a client");
    for _ in 0..2 {
        assert!(!server.net.lingering.is_empty());
        server.net.lingering.tick();
    }
    assert!(server.net.lingering.is_empty());
    assert_eq!(server.gate.total(), 0);
}
