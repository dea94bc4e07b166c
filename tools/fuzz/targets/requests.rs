//! Whatever clients ask, in whatever order: every request is answered once and in its session's order, no state goes back,
//! and what a restart makes of the log is what the server was.

#![no_main]

use arbitrary::Arbitrary;
use corral::ids::{ConnId, SessionId};
use corral::jute::wire::{Reader, put_bytes, put_int, put_long};
use corral::jute::{AclEntry, OpCode};
use corral::server::quorum::Input;
use corral::sim::bodies;
use corral::sim::disk::SimDisk;
use corral::sim::server::SimServer;
use corral_fuzz::{lone, settle, state};
use libfuzzer_sys::fuzz_target;
use std::collections::VecDeque;

/// Few names, so that requests meet.
#[derive(Arbitrary, Debug)]
enum Path {
    Root,
    Known { first: u8, second: Option<u8> },
    Quota { first: u8, is_stats: bool },
    Config,
    Any(Vec<u8>),
}

impl Path {
    fn bytes(&self) -> Vec<u8> {
        let name = |n: u8| b"abcd"[usize::from(n) % 4];
        match self {
            Path::Root => b"/".to_vec(),
            Path::Known { first, second: None } => vec![b'/', name(*first)],
            Path::Known { first, second: Some(second) } => vec![b'/', name(*first), b'/', name(*second)],
            Path::Quota { first, is_stats } => {
                let mut path = b"/zookeeper/quota/".to_vec();
                path.push(name(*first));
                path.extend_from_slice(if *is_stats { b"/zookeeper_stats" } else { b"/zookeeper_limits" });
                path
            }
            Path::Config => b"/zookeeper/config".to_vec(),
            Path::Any(bytes) => bytes.iter().copied().take(200).collect(),
        }
    }
}

#[derive(Arbitrary, Debug)]
enum Who {
    World,
    Auth,
    Digest(u8),
    Any { scheme: Vec<u8>, id: Vec<u8> },
}

#[derive(Arbitrary, Debug)]
struct Entry {
    perms: i32,
    who: Who,
}

fn put_acl(body: &mut Vec<u8>, entries: &[Entry]) {
    put_int(body, entries.len().min(20) as i32);
    for entry in entries.iter().take(20) {
        let digest;
        let (scheme, id): (&[u8], &[u8]) = match &entry.who {
            Who::World => (b"world", b"anyone"),
            Who::Auth => (b"auth", b""),
            Who::Digest(n) => {
                digest = [b"user".as_slice(), &[b'0' + n % 4], b":hash"].concat();
                (b"digest", &digest)
            }
            Who::Any { scheme, id } => (&scheme[..scheme.len().min(40)], &id[..id.len().min(100)]),
        };
        AclEntry { perms: entry.perms, scheme, id }.put(body);
    }
}

#[derive(Arbitrary, Debug)]
enum Write {
    Create { path: Path, data: u16, acl: Vec<Entry>, flags: u8, kind: u8, ttl: i64 },
    Delete { path: Path, version: Option<u8> },
    SetData { path: Path, text: Vec<u8>, version: Option<u8> },
    SetAcl { path: Path, acl: Vec<Entry>, version: Option<u8> },
    Check { path: Path, version: Option<u8> },
}

impl Write {
    fn encode(&self) -> (OpCode, Vec<u8>) {
        let mut body = vec![];
        let number = |version: &Option<u8>| version.map_or(-1, i32::from);
        match self {
            Write::Create { path, data, acl, flags, kind, ttl } => {
                put_bytes(&mut body, &path.bytes());
                put_bytes(&mut body, &vec![b'x'; usize::from(*data) % 3000]);
                if acl.is_empty() {
                    put_int(&mut body, 1);
                    AclEntry { perms: 31, scheme: b"world", id: b"anyone" }.put(&mut body);
                } else {
                    put_acl(&mut body, acl);
                }
                put_int(&mut body, i32::from(flags % 8));
                let op = match kind % 4 {
                    0 => OpCode::Create,
                    1 => OpCode::Create2,
                    2 => OpCode::CreateContainer,
                    _ => OpCode::CreateTtl,
                };
                if op == OpCode::CreateTtl {
                    put_long(&mut body, *ttl);
                }
                (op, body)
            }
            Write::Delete { path, version } => {
                put_bytes(&mut body, &path.bytes());
                put_int(&mut body, number(version));
                (OpCode::Delete, body)
            }
            Write::SetData { path, text, version } => {
                put_bytes(&mut body, &path.bytes());
                put_bytes(&mut body, &text[..text.len().min(3000)]);
                put_int(&mut body, number(version));
                (OpCode::SetData, body)
            }
            Write::SetAcl { path, acl, version } => {
                put_bytes(&mut body, &path.bytes());
                put_acl(&mut body, acl);
                put_int(&mut body, number(version));
                (OpCode::SetAcl, body)
            }
            Write::Check { path, version } => {
                put_bytes(&mut body, &path.bytes());
                put_int(&mut body, number(version));
                (OpCode::Check, body)
            }
        }
    }
}

#[derive(Arbitrary, Debug)]
enum Act {
    Write(Write),
    Multi(Vec<Write>),
    Read { path: Path, kind: u8, watch: bool },
    MultiRead(Vec<(Path, bool)>),
    Watch { path: Path, kind: u8, mode: i8 },
    SetWatches { zxid: i64, lists: [Vec<Path>; 5] },
    Auth { scheme: Vec<u8>, who: u8 },
    Raw { op: i8, body: Vec<u8> },
    Frame(Vec<u8>),
    CloseSession,
    Settle,
    Tick(u8),
    Disconnect,
}

#[derive(Arbitrary, Debug)]
struct Story {
    acts: Vec<(bool, Act)>,
}

/// A client: its connection, and the requests it waits for answers to.
struct Client {
    conn: ConnId,
    session: SessionId,
    xid: i32,
    waits: VecDeque<i32>,
    zxid: i64,
}

impl Client {
    fn new(server: &mut SimServer) -> Client {
        let conn = server.accept(SessionId::NONE, 2000, 0);
        settle(server);
        let answer = server.output(conn);
        let mut reader = Reader::new(&answer[4..]);
        let head = (reader.int(), reader.int());
        assert!(head.0.is_ok() && head.1.is_ok());
        let session = SessionId(reader.long().expect("a connect response"));
        Client { conn, session, xid: 0, waits: VecDeque::new(), zxid: 0 }
    }

    fn is_open(&self, server: &SimServer) -> bool {
        !server.ended.contains(&self.conn)
    }

    fn ask(&mut self, server: &mut SimServer, op: OpCode, body: &[u8]) {
        self.xid += 1;
        self.waits.push_back(self.xid);
        server.request(self.conn, self.xid, op, body);
    }

    /// Answers come in the order of the requests, and no state goes back.
    fn hear(&mut self, server: &mut SimServer) {
        for (xid, zxid, _, _) in server.frames(self.conn) {
            if xid >= 0 {
                assert_eq!(Some(xid), self.waits.pop_front(), "answers in the order of requests");
            }
            if zxid > 0 {
                assert!(zxid >= self.zxid, "a session never sees an older state");
                self.zxid = zxid;
            }
        }
    }
}

fn act(server: &mut SimServer, client: &mut Client, act: &Act) {
    let mut body = vec![];
    match act {
        Act::Write(write) => {
            let (op, body) = write.encode();
            // A check is for multis, and ends the connection that asks for one alone.
            client.ask(server, op, &body);
        }
        Act::Multi(writes) => {
            let parts: Vec<_> = writes.iter().take(30).map(Write::encode).collect();
            client.ask(server, OpCode::Multi, &bodies::multi(&parts));
        }
        Act::Read { path, kind, watch } => {
            let (path, op) = (
                path.bytes(),
                match kind % 9 {
                    0 => OpCode::Exists,
                    1 => OpCode::GetData,
                    2 => OpCode::GetChildren,
                    3 => OpCode::GetChildren2,
                    4 => OpCode::GetAcl,
                    5 => OpCode::GetAllChildrenNumber,
                    6 => OpCode::GetEphemerals,
                    7 => OpCode::Sync,
                    _ => OpCode::WhoAmI,
                },
            );
            let has_flag = kind % 9 < 4;
            let body = if has_flag { bodies::path_and(&path, *watch) } else { bodies::path_alone(&path) };
            client.ask(server, op, &body);
        }
        Act::MultiRead(paths) => {
            let parts: Vec<_> = paths
                .iter()
                .take(30)
                .map(|(path, is_list)| {
                    let op = if *is_list { OpCode::GetChildren } else { OpCode::GetData };
                    (op, bodies::path_and(&path.bytes(), false))
                })
                .collect();
            client.ask(server, OpCode::MultiRead, &bodies::multi(&parts));
        }
        Act::Watch { path, kind, mode } => {
            put_bytes(&mut body, &path.bytes());
            put_int(&mut body, i32::from(*mode));
            let op = [OpCode::AddWatch, OpCode::CheckWatches, OpCode::RemoveWatches][usize::from(*kind) % 3];
            client.ask(server, op, &body);
        }
        Act::SetWatches { zxid, lists } => {
            put_long(&mut body, *zxid);
            for list in lists {
                put_int(&mut body, list.len().min(10) as i32);
                list.iter().take(10).for_each(|path| put_bytes(&mut body, &path.bytes()));
            }
            server.request(client.conn, -8, OpCode::SetWatches2, &body);
        }
        Act::Auth { scheme, who } => {
            put_int(&mut body, 0);
            let scheme = if scheme.is_empty() { b"digest" } else { &scheme[..scheme.len().min(100)] };
            put_bytes(&mut body, scheme);
            put_bytes(&mut body, &[b'u', b'0' + who % 8, b':', b'p']);
            server.request(client.conn, -4, OpCode::Auth, &body);
        }
        Act::Raw { op, body: raw } => {
            body.extend_from_slice(&raw[..raw.len().min(2000)]);
            if let Some(op) = OpCode::from_wire(i32::from(*op)).filter(|op| !matches!(op, OpCode::Auth | OpCode::Ping))
            {
                client.ask(server, op, &body);
            }
        }
        Act::Frame(bytes) => {
            // Whatever it is, an answer to it is not waited for: the connection is given up.
            server.send(client.conn, &bytes[..bytes.len().min(2000)]);
            settle(server);
            server.shard.disconnected(client.conn);
            *client = Client::new(server);
        }
        Act::CloseSession => client.ask(server, OpCode::CloseSession, &[]),
        Act::Settle => {
            settle(server);
            client.hear(server);
        }
        Act::Tick(half_ticks) => {
            for _ in 0..half_ticks % 64 {
                server.at(server.now_ms + 50);
                server.shard.tick();
                server.quorum.step(Input::Tick);
                settle(server);
            }
        }
        Act::Disconnect => {
            settle(server);
            server.shard.disconnected(client.conn);
            *client = Client::new(server);
        }
    }
}

fuzz_target!(|story: Story| {
    let disk = SimDisk::new();
    let mut server = lone(&disk);
    let mut clients = [Client::new(&mut server), Client::new(&mut server)];
    for (which, next) in story.acts.iter().take(60) {
        let client = &mut clients[usize::from(*which)];
        if !client.is_open(&server) {
            *client = Client::new(&mut server);
        }
        act(&mut server, client, next);
    }
    settle(&mut server);
    for client in &mut clients {
        client.hear(&mut server);
        // Whoever was told of an end by what it has just heard is gone now.
        settle(&mut server);
        let is_open = client.is_open(&server);
        assert!(client.waits.is_empty() || !is_open, "{:?} of {} were not answered", client.waits, client.session);
    }
    let was = state(&server);
    drop(server);
    let again = lone(&disk);
    assert_eq!(state(&again), was, "a restart finds what there was");
});
