//! How long an ACL lives: as long as a version of a znode or a change on its way names it, and no longer.

use super::super::*;
use crate::acl::{Identities, Identity};
use crate::ids::{SessionId, Zxid};
use crate::jute::wire::{Reader, put_int};
use crate::jute::{AclEntry, AclList, Create, ErrorCode, OpCode, Request};
use crate::limits;
use crate::sim::bodies::{create_of_ones_own, multi, path_and};
use crate::tree::state::LoadError;

const SESSION: SessionId = SessionId(1);

/// A state, the identities of its only client, and the outcome of the last request.
struct Scene {
    state: State,
    identities: Identities,
    zxid: i64,
    out: Outcome,
}

impl Scene {
    fn new(state: State) -> Scene {
        let zxid = state.head().0;
        let identities = [Identity::new(b"digest", b"a:1")].into_iter().collect();
        let mut scene = Scene { state, identities, zxid, out: Outcome::default() };
        scene.with(|state, context, out| state.create_session(context, 10_000, out));
        scene.settle();
        scene
    }

    fn with(&mut self, run: impl FnOnce(&mut State, &Context<'_>, &mut Outcome)) {
        self.zxid += 1;
        self.out.txn.clear();
        self.out.reply.clear();
        let identities = &self.identities;
        let zxid = Zxid(self.zxid);
        let context = Context { zxid, time_ms: 0, session: SESSION, cxid: 7, identities, is_local: false };
        run(&mut self.state, &context, &mut self.out);
    }

    fn ask(&mut self, op: OpCode, request: Request<'_>) -> ErrorCode {
        self.with(|state, context, out| state.prepare(context, op, &request, out));
        self.out.error
    }

    fn create(&mut self, path: &str, list: &[u8]) -> ErrorCode {
        let acl = AclList::read(&mut Reader::new(list)).unwrap();
        let path = path.as_bytes();
        self.ask(
            OpCode::Create,
            Request::Create(Create { op: OpCode::Create, path, data: None, acl, flags: 0, ttl: None }),
        )
    }

    fn set_acl(&mut self, path: &str, list: &[u8]) -> ErrorCode {
        let acl = AclList::read(&mut Reader::new(list)).unwrap();
        self.ask(OpCode::SetAcl, Request::SetAcl { path: path.as_bytes(), acl, version: -1 })
    }

    fn delete(&mut self, path: &str) -> ErrorCode {
        self.ask(OpCode::Delete, Request::Delete { path: path.as_bytes(), version: -1 })
    }

    fn multi(&mut self, body: &[u8]) -> ErrorCode {
        self.ask(OpCode::Multi, Request::decode(OpCode::Multi, body).unwrap())
    }

    /// Everything is published, every shard has taken it in, and everything that can be freed is freed.
    fn settle(&mut self) {
        self.out.changes.truncate(0);
        self.state.publish(Zxid(self.zxid));
        for _ in 0..8 {
            while self.state.reclaim() {}
        }
    }

    fn lists(&self) -> u32 {
        self.state.acls().len()
    }
}

/// A list of one entry that no other number gives.
fn list(n: i32) -> Vec<u8> {
    let mut out = vec![];
    put_int(&mut out, 1);
    AclEntry { perms: 31 | n << 8, scheme: b"world", id: b"anyone" }.put(&mut out);
    out
}

/// The body of a create whose list has so many `auth` entries, all different.
fn create_with_auth(path: &[u8], entries: i32) -> Vec<u8> {
    let mut body = create_of_ones_own(path);
    let tail = body.split_off(body.len() - 4);
    body.truncate(4 + path.len() + 4);
    put_int(&mut body, entries);
    (0..entries).for_each(|n| AclEntry { perms: 31 | n << 8, scheme: b"auth", id: b"" }.put(&mut body));
    [body, tail].concat()
}

/// The configuration's list and the open one.
const FRESH: u32 = 2;

#[test]
fn a_list_goes_with_the_last_that_names_it() {
    let mut scene = Scene::new(State::new(StateOptions::default()));
    let bytes = scene.state.acls().total_bytes();
    assert_eq!(scene.lists(), FRESH);
    for n in 0..600 {
        assert_eq!(scene.create(&format!("/{n}"), &list(n / 2)), ErrorCode::Ok);
    }
    scene.settle();
    assert_eq!(scene.lists(), FRESH + 299, "300 lists, the first of which is the open one");
    for n in 0..300 {
        assert_eq!(scene.delete(&format!("/{}", 2 * n)), ErrorCode::Ok);
    }
    scene.settle();
    assert_eq!(scene.lists(), FRESH + 299, "each has another znode");
    for n in 0..300 {
        assert_eq!(scene.set_acl(&format!("/{}", 2 * n + 1), &list(1000)), ErrorCode::Ok);
    }
    scene.settle();
    assert_eq!(scene.lists(), FRESH + 1);
    for n in 0..300 {
        assert_eq!(scene.delete(&format!("/{}", 2 * n + 1)), ErrorCode::Ok);
    }
    scene.settle();
    assert_eq!((scene.lists(), scene.state.acls().total_bytes()), (FRESH, bytes));
}

#[test]
fn nothing_of_a_failed_request_stays() {
    let mut scene = Scene::new(State::new(StateOptions::default()));
    for n in 1..100 {
        assert_eq!(scene.create("/not/there", &list(n)), ErrorCode::NoNode);
        assert_eq!(scene.set_acl("/not", &list(n)), ErrorCode::NoNode);
        let fails = [
            (OpCode::Create, create_with_auth(b"/a", 2 * n)),
            (OpCode::Create, create_with_auth(b"/b", 2 * n + 1)),
            (OpCode::Check, [&path_and(b"/c", false)[..6], &[255; 4]].concat()),
        ];
        assert_eq!(scene.multi(&multi(&fails)), ErrorCode::NoNode);
    }
    scene.settle();
    assert_eq!(scene.lists(), FRESH);
    // Nor does one of a change that is undone before it was published.
    let before = scene.zxid;
    scene.create("/a", &list(1));
    scene.set_acl("/a", &list(2));
    scene.state.undo(Zxid(before));
    scene.zxid = before;
    scene.settle();
    assert_eq!(scene.lists(), FRESH);
}

#[test]
fn what_a_reader_or_a_change_still_names_stays() {
    let mut scene = Scene::new(State::new(StateOptions::default()));
    scene.create("/a", &list(1));
    scene.settle();
    let mut reader = scene.state.reader().unwrap();
    reader.resume();
    let view = reader.view(Zxid(scene.zxid));
    let id = view.get(b"/a", path::hash(b"/a")).unwrap().acl();
    scene.delete("/a");
    let changes = scene.out.changes.split_off(0);
    scene.settle();
    assert_eq!(scene.state.acls().bytes(id), list(1), "the reader has it before its eyes");
    reader.park(false);
    scene.settle();
    assert_eq!(changes.range(0..1).next().unwrap().acl, id);
    assert_eq!(scene.state.acls().bytes(id), list(1), "a shard has still to ask who may hear of it");
    drop(changes);
    scene.settle();
    assert_eq!(scene.lists(), FRESH);
}

#[test]
fn a_follower_and_a_start_keep_no_more_than_is_used() {
    let mut scene = Scene::new(State::new(StateOptions::default()));
    let mut follower = Scene::new(State::new(StateOptions::default()));
    for n in 0..50 {
        let path = format!("/{n}");
        for step in 0..2 {
            match step {
                0 => scene.create(&path, &list(n)),
                _ => scene.set_acl(&path, &list(7)),
            };
            let Scene { state, out, zxid, .. } = &mut follower;
            state.apply(&scene.out.txn, Mode::Strict, &mut out.changes, None).unwrap();
            *zxid = scene.zxid;
        }
    }
    follower.settle();
    assert_eq!(follower.lists(), FRESH + 1);

    let mut state = State::empty(StateOptions::default());
    state.begin_load(Zxid(5));
    let used = state.intern(&list(1));
    state.intern(&list(2));
    let znode = store::NewZnode { acl: used, ..store::tests::znode(1, None) };
    assert_eq!(state.load(b"/", &znode), Ok::<_, LoadError>(()));
    state.finish_load();
    let mut scene = Scene::new(state);
    scene.settle();
    assert_eq!((scene.lists(), scene.state.acls().bytes(used)), (2, &*list(1)), "the list nobody has is gone");
}

/// Each create of the multi is short as a request and long as a transaction: the multi is given up when its transaction
/// is longer than the log takes.
#[test]
fn a_multi_stops_growing_at_the_longest_transaction() {
    let mut scene = Scene::new(State::new(StateOptions::default()));
    (0..60).for_each(|n| scene.identities.add(Identity::new(b"digest", format!("{n:0>30}:hash").as_bytes())));
    scene.out.txn_limit = 200_000;
    let paths: Vec<Vec<u8>> = (0..400).map(|n| format!("/{n}").into_bytes()).collect();
    let of = |count: usize| {
        let ops: Vec<_> = paths[..count].iter().map(|path| (OpCode::Create, create_with_auth(path, 16))).collect();
        multi(&ops)
    };
    assert_eq!(scene.multi(&of(1)), ErrorCode::Ok);
    let each = scene.out.txn.len();
    scene.delete("/0");
    scene.settle();
    let (bytes, capacity) = (scene.state.acls().total_bytes(), scene.out.txn.capacity());
    let digest = scene.state.digest();
    assert_eq!(scene.multi(&of(400)), ErrorCode::MarshallingError);
    assert_eq!((scene.state.digest(), scene.out.changes.len()), (digest, 0));
    assert_eq!(scene.out.reply.len(), 20, "one error for the whole");
    let grown = scene.out.txn.capacity().saturating_sub(capacity);
    assert!(grown <= 2 * (scene.out.txn_limit + each), "{grown} bytes for a transaction that was refused");
    let lists = scene.state.acls().total_bytes() - bytes;
    assert!(lists <= each as u64, "{lists} bytes of lists: all its znodes have the same");
    scene.settle();
    assert_eq!(scene.lists(), FRESH);
    let fitting = scene.out.txn_limit / each;
    assert_eq!(scene.multi(&of(fitting)), ErrorCode::Ok, "what fits is carried out");
    assert!(each > 60 * 16 * 30 && limits::ACL_BYTES > each - 100);
}
