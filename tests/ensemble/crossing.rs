//! What one member does for a client, every other member's clients must see: a conversation between each ordered pair of
//! members, here and there, over sessions, ephemerals, watches, multis, access control, TTL nodes and containers. In a
//! mixed ensemble each member's code meets the other's in every role.

use std::net::SocketAddr;
use std::time::Duration;

use super::clients::{HAPPENS_LIMIT, SHORT_SESSION_MS, resumed, session_on};
use super::cluster::{Ensemble, SESSION_MS};
use super::support::client::{Arrival, Connection, Reply};
use super::support::fields::{self, Value};
use super::support::wait_for;
use super::support::wire::{self, Acl, code, flag, op};
use super::tree;

/// Kinds of events.
const CREATED: i32 = 1;
const DELETED: i32 = 2;
const CHANGED: i32 = 3;
const CHILD: i32 = 4;

/// All conversations of an ensemble. Gives the place of the member that led.
pub fn converse(name: &str, ensemble: &mut Ensemble) -> usize {
    let leader = ensemble.await_whole();
    println!("{name}: {}, member {} leads", ensemble.names(), leader + 1);
    let addresses = ensemble.addresses();
    let sync_is_barrier = !ensemble.is_mixed();
    let mut first = session_on(addresses[0]);
    first.must(&wire::create("/x", b"", flag::PERSISTENT));
    std::thread::scope(|scope| {
        for here in 0..addresses.len() {
            for there in (0..addresses.len()).filter(|there| *there != here) {
                let root = format!("/x/{}-{}", here + 1, there + 1);
                let pair = Pair::new(root, [addresses[here], addresses[there]], sync_is_barrier);
                scope.spawn(|| pair.talk());
            }
        }
    });
    drop(first);
    tree::agreed(ensemble);
    println!("{name}: every member sees what every other does");
    leader
}

struct Pair {
    root: String,
    addresses: [SocketAddr; 2],
    sync_is_barrier: bool,
    here: Connection,
    there: Connection,
}

impl Pair {
    fn new(root: String, addresses: [SocketAddr; 2], sync_is_barrier: bool) -> Pair {
        let [here, there] = addresses.map(session_on);
        Pair { root, addresses, sync_is_barrier, here, there }
    }

    fn talk(mut self) {
        let root = self.root.clone();
        self.here.must(&wire::create(&root, b"root", flag::PERSISTENT));
        self.data();
        self.refusals();
        self.watches();
        self.multis();
        self.access();
        self.session_moves();
        self.session_ends_by_itself();
        self.nodes_end_by_themselves();
        self.here.close().expect("the end of a session");
        self.there.close().expect("the end of a session");
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.root)
    }

    /// What sees to it that a member has seen everything that was acknowledged anywhere. A sync does not where a ZooKeeper
    /// leads: it answers its own clients' before what is committed is in its tree. A write does.
    fn barrier(&self) -> wire::Request {
        let write = || wire::set_data(&self.root, Some(b"root"), -1);
        if self.sync_is_barrier { wire::sync(&self.root) } else { write() }
    }

    /// A request to the other member, behind a barrier.
    fn there(&mut self, request: &wire::Request) -> Reply {
        let root = self.root.clone();
        self.there.must(&self.barrier());
        self.there.call(request).unwrap_or_else(|error| panic!("{root}: {error}"))
    }

    /// What is written here is read there, with the same Stat.
    fn data(&mut self) {
        let path = self.path("data");
        self.here.must(&wire::create2(&path, b"one", flag::PERSISTENT));
        let stat = self.here.must(&wire::set_data(&path, Some(b"two"), 0));
        let reply = self.there(&wire::get_data(&path, false));
        assert_eq!(reply.err, 0, "{path}");
        assert_eq!(reply.body, [&[0, 0, 0, 3], &b"two"[..], &stat].concat(), "{path}");
        self.here.must(&wire::delete(&path, 1));
        assert_eq!(self.there(&wire::exists(&path, false)).err, code::NO_NODE, "{path}");
        // Numbers continue whoever asks.
        let numbered = self.path("n-");
        let mut last = None;
        for request in 0..4 {
            let connection = if request % 2 == 0 { &mut self.here } else { &mut self.there };
            let body = connection.must(&wire::create(&numbered, b"", flag::SEQUENTIAL));
            let told = String::from_utf8_lossy(&body[4..]).into_owned();
            assert!(told.starts_with(&numbered), "{told}");
            let number: u32 = told[numbered.len()..].parse().expect("a number");
            assert!(last.is_none_or(|last| number == last + 1), "{told} follows number {last:?}");
            last = Some(number);
        }
    }

    fn refusals(&mut self) {
        let path = self.path("refused");
        self.here.must(&wire::create(&path, b"", flag::PERSISTENT));
        assert_eq!(self.there(&wire::create(&path, b"", flag::PERSISTENT)).err, code::NODE_EXISTS, "{path}");
        assert_eq!(self.there(&wire::set_data(&path, Some(b""), 7)).err, code::BAD_VERSION, "{path}");
        assert_eq!(self.there(&wire::delete(&format!("{path}/none"), -1)).err, code::NO_NODE, "{path}");
    }

    /// Watches set there fire for changes made here.
    fn watches(&mut self) {
        let path = self.path("watched");
        let child = format!("{path}/child");
        assert_eq!(self.there(&wire::exists(&path, true)).err, code::NO_NODE);
        self.here.must(&wire::create(&path, b"", flag::PERSISTENT));
        self.event(CREATED, &path);
        assert_eq!(self.there(&wire::get_data(&path, true)).err, 0);
        assert_eq!(self.there(&wire::get_children2(&path, true)).err, 0);
        self.here.must(&wire::set_data(&path, Some(b"x"), -1));
        self.event(CHANGED, &path);
        self.here.must(&wire::create(&child, b"", flag::PERSISTENT));
        self.event(CHILD, &path);
        assert_eq!(self.there(&wire::add_watch(&path, 1)).err, 0);
        self.here.must(&wire::set_data(&child, Some(b"x"), -1));
        self.event(CHANGED, &child);
        self.here.must(&wire::delete(&child, -1));
        self.event(DELETED, &child);
        self.here.must(&wire::delete(&path, -1));
        self.event(DELETED, &path);
    }

    /// The next event there.
    fn event(&mut self, kind: i32, path: &str) {
        let body = if self.there.events.is_empty() {
            match self.there.next().unwrap_or_else(|error| panic!("{path}: no event {kind}: {error}")) {
                Arrival::Event { body, .. } => body,
                other => panic!("{path}: {other:?} instead of event {kind}"),
            }
        } else {
            self.there.events.remove(0).1
        };
        let decoded = fields::of_event(&body).expect("an event that decodes");
        let found: Vec<&Value> = decoded.iter().map(|field| &field.value).collect();
        let meant = [&Value::Int(kind), &Value::Int(3), &Value::Bytes(Some(path.as_bytes().to_vec()))];
        assert_eq!(found, meant, "the next event");
    }

    /// All or nothing, and seen there as one.
    fn multis(&mut self) {
        let (one, other) = (self.path("multi1"), self.path("multi2"));
        let parts = [
            wire::create(&one, b"1", flag::PERSISTENT),
            wire::create2(&other, b"2", flag::PERSISTENT),
            wire::set_data(&one, Some(b"3"), 0),
            wire::check(&one, 1),
        ];
        self.here.must(&wire::multi(&parts));
        let reply = self.there(&wire::multi_read(&[wire::get_data(&one, false), wire::get_data(&other, false)]));
        let decoded = fields::of_reply(op::MULTI_READ, &reply.body).expect("a multi's reply");
        let zxids: Vec<&Value> =
            decoded.iter().filter(|field| field.name == "mzxid").map(|field| &field.value).collect();
        assert!(zxids.len() == 2 && zxids[0] == zxids[1], "{one}: {}", fields::show(&Ok(decoded)));
        let third = self.path("multi3");
        let parts = [wire::create(&third, b"", flag::PERSISTENT), wire::delete(&one, 9)];
        let reply = self.there(&wire::multi(&parts));
        assert_eq!(reply.body[..4], (-1_i32).to_be_bytes(), "{one}: a multi that must fail");
        self.here.must(&wire::sync(&third));
        assert_eq!(self.here.call(&wire::exists(&third, false)).expect("an answer").err, code::NO_NODE);
        self.here.must(&wire::multi(&[wire::delete(&one, 1), wire::delete(&other, 0)]));
    }

    /// Identities are checked wherever a transaction is made, for the client that asked.
    fn access(&mut self) {
        let path = self.path("closed");
        let acls = [Acl::new(31, "auth", "")];
        self.here.must(&wire::auth("digest", b"somebody:secret"));
        self.here.must(&wire::create_as(op::CREATE, &path, Some(b""), Some(&acls), flag::PERSISTENT));
        assert_eq!(self.there(&wire::get_data(&path, false)).err, code::NO_AUTH, "{path}");
        assert_eq!(self.there(&wire::set_data(&path, Some(b"x"), -1)).err, code::NO_AUTH, "{path}");
        self.there.must(&wire::auth("digest", b"somebody:secret"));
        assert_eq!(self.there(&wire::set_data(&path, Some(b"x"), -1)).err, 0, "{path}");
        assert_eq!(self.there(&wire::delete(&path, 1)).err, 0, "{path}");
    }

    /// A session begun here continues there, with what belongs to it, and ends there.
    fn session_moves(&mut self) {
        let path = self.path("moving");
        let mut moving = Connection::new_session(self.addresses[0], SESSION_MS).expect("a session");
        let zxid = moving.call(&wire::create(&path, b"", flag::EPHEMERAL)).expect("an answer").zxid;
        let session = moving.session.clone();
        let next_xid = moving.next_xid();
        drop(moving);
        // A wrong password opens nothing. ZooKeeper ends the session's connection for it, so there is none.
        let mut wrong = session.clone();
        wrong.password = vec![7; 16];
        let refused = Connection::resume(self.addresses[1], &wrong, zxid);
        assert!(refused.is_err() || refused.is_ok_and(|one| one.session.id == 0), "{path}: a wrong password");
        let mut moved = resumed(self.addresses[1], &session, zxid);
        moved.continue_from(next_xid);
        assert_eq!(moved.session.id, session.id, "{path}: the session continues");
        let reply = moved.call(&wire::get_data(&path, false)).expect("an answer");
        assert_eq!(reply.err, 0, "{path}");
        moved.must(&wire::set_data(&path, Some(b"x"), 0));
        assert_eq!(self.there(&wire::exists(&path, true)).err, 0, "{path}");
        moved.close().unwrap_or_else(|error| panic!("{path}: the session does not end: {error}"));
        self.event(DELETED, &path);
        self.here.must(&self.barrier());
        assert_eq!(self.here.call(&wire::exists(&path, false)).expect("an answer").err, code::NO_NODE, "{path}");
    }

    /// A session that falls silent here ends, and that is seen there.
    fn session_ends_by_itself(&mut self) {
        let path = self.path("silent");
        let mut silent = Connection::new_session(self.addresses[0], SHORT_SESSION_MS).expect("a session");
        assert_eq!(silent.session.timeout_ms, SHORT_SESSION_MS, "{path}");
        silent.must(&wire::create(&path, b"", flag::EPHEMERAL));
        let session = silent.session.clone();
        assert_eq!(self.there(&wire::exists(&path, true)).err, 0, "{path}");
        // The connection stays, without a word on it.
        self.event(DELETED, &path);
        assert_eq!(resumed(self.addresses[1], &session, 0).session.id, 0, "{path}: an ended session continues");
    }

    /// Nodes with a time to live, and containers that have become empty.
    fn nodes_end_by_themselves(&mut self) {
        let (timed, container) = (self.path("timed"), self.path("container"));
        self.here.must(&wire::create_ttl(&timed, Some(b""), Some(&Acl::open()), flag::TTL, 200));
        self.here.must(&wire::create_container(&container, b""));
        let child = format!("{container}/child");
        self.here.must(&wire::create(&child, b"", flag::PERSISTENT));
        self.here.must(&wire::delete(&child, -1));
        let gone = wait_for(HAPPENS_LIMIT, || {
            let left = [&timed, &container].map(|path| self.there(&wire::exists(path, false)).err);
            std::thread::sleep(Duration::from_millis(20));
            (left == [code::NO_NODE; 2]).then_some(())
        });
        assert!(gone.is_some(), "{timed} and {container} do not end");
    }
}
