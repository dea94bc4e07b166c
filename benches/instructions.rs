//! The hot paths for a count of instructions: `instructions PATH TIMES` walks one of them so many times and says nothing.
//!
//! Run under callgrind by `tools/instructions`, with two numbers of times: the difference is the paths' own, whatever came
//! before. Both brains are real, wired by hand: what is counted is everything between the bytes of a request and the bytes of
//! its reply, but for the kernel's part.

use corral::ids::{ConnId, SessionId};
use corral::jute::OpCode;
use corral::jute::wire::{put_bool, put_bytes, put_int};
use corral::sim::bodies::{create, path_and};
use corral::sim::server::SimServer;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PARENTS: usize = 10;
const ZNODES: usize = 2000;
/// Requests of one turn.
const TURN: usize = 16;
/// Sessions that watch one znode.
const WATCHERS: usize = 100;
const VALUE: [u8; 100] = [b'v'; 100];

/// What one walk is, given its number.
type Path = fn(&mut Walk, usize);

/// The paths by name.
const PATHS: [(&str, Path); 6] = [
    ("ping", |walk, _| walk.ask(-2, OpCode::Ping, &[])),
    ("get", |walk, n| walk.ask(1, OpCode::GetData, &path_and(walk.name(n), false))),
    ("set", |walk, n| walk.ask(1, OpCode::SetData, &set(walk.name(n)))),
    ("create", |walk, n| {
        let body = create(znode(ZNODES + n).as_bytes(), &VALUE, 0);
        walk.ask(1, OpCode::Create, &body);
    }),
    ("multi-of-4", |walk, n| {
        let mut body = Vec::with_capacity(1000);
        for member in 0..4 {
            put_int(&mut body, OpCode::SetData.wire());
            put_bool(&mut body, false);
            put_int(&mut body, -1);
            body.extend(set(walk.name(4 * n + member)));
        }
        put_int(&mut body, -1);
        put_bool(&mut body, true);
        put_int(&mut body, -1);
        walk.ask(1, OpCode::Multi, &body);
    }),
    ("watch", |walk, n| walk.arm_and_fire(n)),
];

struct Walk {
    server: SimServer,
    conn: ConnId,
    names: Vec<String>,
    watchers: Vec<ConnId>,
    waiting: usize,
    answered: usize,
}

fn znode(n: usize) -> String {
    format!("/service-{}/znode-{n:08}", n % PARENTS)
}

fn set(path: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(16 + path.len() + VALUE.len());
    put_bytes(&mut body, path);
    put_bytes(&mut body, &VALUE);
    put_int(&mut body, -1);
    body
}

impl Walk {
    fn new() -> Walk {
        let mut server = SimServer::new(64 << 20);
        let (conn, _) = server.connect(SessionId::NONE, 2000);
        let watchers = (0..WATCHERS).map(|_| server.connect(SessionId::NONE, 2000).0).collect();
        let names = (0..ZNODES).map(znode).collect();
        let mut walk = Walk { server, conn, names, watchers, waiting: 0, answered: 0 };
        for parent in 0..PARENTS {
            walk.ask(1, OpCode::Create, &create(format!("/service-{parent}").as_bytes(), b"", 0));
        }
        for n in 0..ZNODES {
            walk.ask(1, OpCode::Create, &create(znode(n).as_bytes(), &VALUE, 0));
        }
        walk.turn();
        walk
    }

    fn name(&self, n: usize) -> &[u8] {
        self.names[n % ZNODES].as_bytes()
    }

    fn ask(&mut self, xid: i32, op: OpCode, body: &[u8]) {
        self.server.request(self.conn, xid, op, body);
        self.waiting += 1;
        if self.waiting == TURN {
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.waiting = 0;
        self.server.settle();
        self.answered += self.server.output(self.conn).len();
    }

    /// One watch of the next watcher; when all have theirs, the write that fires them.
    fn arm_and_fire(&mut self, n: usize) {
        let watcher = self.watchers[n % WATCHERS];
        self.server.request(watcher, 1, OpCode::GetData, &path_and(self.names[0].as_bytes(), true));
        if n % WATCHERS == WATCHERS - 1 {
            self.ask(1, OpCode::SetData, &set(self.names[0].as_bytes()));
            self.turn();
            for watcher in self.watchers.clone() {
                self.answered += self.server.output(watcher).len();
            }
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let (name, times) = match arguments.as_slice() {
        [name, times] => (name.as_str(), times.parse().unwrap_or(0)),
        // For whoever runs all benches at once.
        _ => ("", 0),
    };
    let Some((_, path)) = PATHS.iter().find(|(path, _)| *path == name) else {
        let names = PATHS.map(|(path, _)| path).join(" ");
        println!("usage: instructions PATH TIMES, under callgrind, as tools/instructions does; paths: {names}");
        return if name.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(2) };
    };
    let mut walk = Walk::new();
    let before = walk.answered;
    (0..times).for_each(|n| path(&mut walk, n));
    walk.turn();
    assert!(times == 0 || walk.answered > before, "requests are answered");
    ExitCode::SUCCESS
}
