//! The cost of writes below a quota; and the usage is the server's number, whatever clients write.

use super::super::*;
use crate::acl::Identities;
use crate::config::Config;
use crate::cost::Cost;
use crate::ids::{SessionId, Zxid};
use crate::jute::wire::{put_bytes, put_int};
use crate::jute::{ErrorCode, OpCode, Request};
use crate::limits;
use crate::sim::bodies::{create, multi};
use crate::tree::change::Changes;
use crate::tree::store::tests::znode;

const SESSION: SessionId = SessionId(1);
const STATS: &str = "/zookeeper/quota/q/zookeeper_stats";
const LIMITS: &str = "/zookeeper/quota/q/zookeeper_limits";

/// A state, its only client, and another state that applies the first one's transactions.
struct Scene {
    leader: State,
    follower: State,
    zxid: i64,
    out: Outcome,
}

impl Scene {
    fn new(enforce_quota: bool) -> Scene {
        let options = StateOptions::from(Config { enforce_quota, ..Config::default() });
        let mut scene = Scene {
            leader: State::new(options.clone()),
            follower: State::new(options),
            zxid: 0,
            out: Outcome::default(),
        };
        scene.with(|state, context, out| state.create_session(context, 10_000, out));
        scene
    }

    fn with(&mut self, run: impl FnOnce(&mut State, &Context<'_>, &mut Outcome)) {
        self.zxid += 1;
        self.out = Outcome::default();
        let identities = Identities::default();
        let context = Context {
            zxid: Zxid(self.zxid),
            time_ms: 0,
            session: SESSION,
            cxid: 7,
            identities: &identities,
            is_local: false,
        };
        run(&mut self.leader, &context, &mut self.out);
        let mut reply = vec![];
        let applied = self.follower.apply(&self.out.txn, Mode::Strict, &mut Changes::default(), Some(&mut reply));
        assert!(applied.is_ok(), "{applied:?}");
        if !self.out.reply.is_empty() {
            assert_eq!(reply, self.out.reply);
        }
    }

    fn ask(&mut self, op: OpCode, body: &[u8]) -> ErrorCode {
        let request = Request::decode(op, body).unwrap();
        self.with(|state, context, out| state.prepare(context, op, &request, out));
        self.out.error
    }

    fn create(&mut self, path: &str, data: &[u8]) -> ErrorCode {
        self.ask(OpCode::Create, &create(path.as_bytes(), data, 0))
    }

    fn set(&mut self, path: &str, data: &[u8]) -> ErrorCode {
        self.ask(OpCode::SetData, &set(path, data))
    }

    /// A quota of `/q`, with the text of its limits.
    fn quota(&mut self, limits: &[u8]) {
        assert_eq!(self.create("/zookeeper/quota/q", b""), ErrorCode::Ok);
        assert_eq!(self.create(LIMITS, limits), ErrorCode::Ok);
        assert_eq!(self.create(STATS, b"count=0,bytes=0"), ErrorCode::Ok);
    }

    /// Adds `/q` and so many znodes below it.
    fn grow(&mut self, count: usize) {
        assert_eq!(self.create("/q", b""), ErrorCode::Ok);
        self.fill("/q", count);
    }

    fn fill(&mut self, parent: &str, count: usize) {
        for first in (0..count).step_by(500) {
            let members = (first..count.min(first + 500)).map(|n| member(&format!("{parent}/n{n}")));
            assert_eq!(self.ask(OpCode::Multi, &multi(&members.collect::<Vec<_>>())), ErrorCode::Ok);
        }
    }

    /// The usage of the subtree on all members, which is the same everywhere.
    fn used(&self) -> String {
        let text = |state: &State| state.find(STATS.as_bytes()).unwrap().data().unwrap().to_vec();
        assert_eq!(text(&self.leader), text(&self.follower));
        String::from_utf8_lossy(&text(&self.leader)).into_owned()
    }

    /// The cost of everything so far.
    fn cost(&self) -> Cost {
        self.leader.store().head().meter().reading()
    }
}

fn set(path: &str, data: &[u8]) -> Vec<u8> {
    let mut body = vec![];
    put_bytes(&mut body, path.as_bytes());
    put_bytes(&mut body, data);
    put_int(&mut body, -1);
    body
}

fn delete(path: &str) -> (OpCode, Vec<u8>) {
    let mut body = vec![];
    put_bytes(&mut body, path.as_bytes());
    put_int(&mut body, -1);
    (OpCode::Delete, body)
}

fn member(path: &str) -> (OpCode, Vec<u8>) {
    (OpCode::Create, create(path.as_bytes(), b"x", 0))
}

/// A text of a megabyte, which ZooKeeper reads and writes again at every write below.
fn long_text() -> Vec<u8> {
    let mut text = b"count=1000000,bytes=5=;".to_vec();
    for n in 0..100_000 {
        text.extend_from_slice(format!(";k{n}=1").as_bytes());
    }
    text
}

#[test]
fn a_text_that_a_client_writes_is_never_read() {
    let mut scene = Scene::new(false);
    scene.grow(2);
    scene.quota(b"");
    assert_eq!(scene.used(), "count=3,bytes=2");
    let text = long_text();
    assert_eq!(scene.set(STATS, &text), ErrorCode::Ok);
    assert_eq!(scene.used().len(), text.len(), "what was set can be read");
    let before = scene.leader.store().data_bytes();
    assert_eq!(scene.create("/q/more", b"123"), ErrorCode::Ok);
    assert_eq!(scene.used(), "count=4,bytes=5", "the next write below says what is used");
    assert!(scene.leader.store().data_bytes() < before - text.len() as u64 + 100, "and copies nothing");

    // The same within one transaction.
    let mut members = vec![(OpCode::SetData, set(STATS, &text))];
    members.extend((0..400).map(|n| member(&format!("/q/m{n}"))));
    assert_eq!(scene.ask(OpCode::Multi, &multi(&members)), ErrorCode::Ok);
    assert_eq!(scene.used(), "count=404,bytes=405");
    assert_eq!(scene.ask(OpCode::Multi, &multi(&[delete("/q/m0"), delete("/q/m1")])), ErrorCode::Ok);
    assert_eq!(scene.used(), "count=402,bytes=403");
}

#[test]
fn hard_limits_hold_for_what_is_used_whatever_a_client_writes() {
    let mut scene = Scene::new(true);
    scene.grow(2);
    scene.quota(b"count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=4");
    assert_eq!(scene.set(STATS, b"count=-100,bytes=-100"), ErrorCode::Ok);
    assert_eq!(scene.create("/q/a", b""), ErrorCode::Ok);
    assert_eq!(scene.set(STATS, b"count=-100,bytes=-100"), ErrorCode::Ok);
    assert_eq!(scene.create("/q/b", b""), ErrorCode::QuotaExceeded);
    assert_eq!(scene.set(LIMITS, b"countHardLimit=5"), ErrorCode::Ok);
    assert_eq!(scene.create("/q/b", b""), ErrorCode::Ok);
    assert_eq!(scene.create("/q/c", b""), ErrorCode::QuotaExceeded);
    let mut text = long_text();
    text.extend_from_slice(b";countHardLimit=5");
    assert_eq!(scene.set(LIMITS, &text), ErrorCode::Ok);
    assert_eq!(scene.create("/q/c", b""), ErrorCode::Ok, "so much text limits nothing");
}

/// A write below a quota reads no text again, however long the text is.
#[test]
fn limits_are_read_when_they_are_set_and_never_by_a_write_below() {
    let read = || crate::tree::quota::tests::READ.get();
    let mut scene = Scene::new(true);
    scene.grow(2);
    let begun = read();
    scene.quota(b"countHardLimit=1000;byteHardLimit=100");
    assert_eq!(read(), begun + 2, "once by each member");
    assert_eq!(scene.create("/q/a", b"1"), ErrorCode::Ok);
    assert_eq!(scene.set("/q/a", b"12"), ErrorCode::Ok);
    assert_eq!(scene.set("/q/a", &[1; 100]), ErrorCode::QuotaExceeded);
    let members: Vec<_> = (0..50).map(|n| member(&format!("/q/m{n}"))).chain([delete("/q/a")]).collect();
    assert_eq!(scene.ask(OpCode::Multi, &multi(&members)), ErrorCode::Ok);
    assert_eq!(scene.set(STATS, b"count=1,bytes=1"), ErrorCode::Ok);
    assert_eq!(read(), begun + 2);
    assert_eq!(scene.set(LIMITS, b"countHardLimit=1000"), ErrorCode::Ok);
    assert_eq!(read(), begun + 4);
}

#[test]
fn a_multi_that_makes_many_quotas_counts_no_more_than_it_may() {
    let mut scene = Scene::new(false);
    scene.grow(1_500);
    assert_eq!(scene.create("/zookeeper/quota/q", b""), ErrorCode::Ok);
    let pairs = |count: usize| {
        let pair = || [member(LIMITS), member(STATS), delete(STATS), delete(LIMITS)];
        multi(&(0..count).flat_map(|_| pair()).collect::<Vec<_>>())
    };
    assert_eq!(scene.ask(OpCode::Multi, &pairs(2)), ErrorCode::Ok);
    let (znodes, digest, begun) = (scene.leader.store().znodes(), scene.leader.digest(), scene.cost());
    assert_eq!(scene.ask(OpCode::Multi, &pairs(100)), ErrorCode::ThrottledOp);
    assert!(scene.cost() < begun + limits::COUNTED_IN_MULTI * 2, "{:?}", scene.cost());
    assert_eq!((scene.leader.store().znodes(), scene.leader.digest()), (znodes, digest));
    assert!(scene.leader.index().quotas.is_empty());
    assert_eq!(scene.out.reply[16..20], ErrorCode::ThrottledOp.wire().to_be_bytes(), "refused as a whole");
    // A quota that is made by itself may be of any size.
    scene.fill("/q/n0", 6_000);
    scene.create(LIMITS, b"");
    scene.create(STATS, b"");
    assert_eq!(scene.used(), "count=7501,bytes=7500");
}

/// Continues until the transaction is complete, in slices; returns how many slices there were.
fn go_on(state: &mut State, slice: Cost, out: &mut Outcome) -> usize {
    for slices in 1.. {
        let begun = state.meter().reading();
        let completed = state.resume(slice, out);
        assert!(state.meter().reading() < begun + slice + limits::SLICE_COST);
        if completed.is_some() {
            return slices;
        }
    }
    unreachable!()
}

#[test]
fn a_quota_of_many_znodes_is_counted_in_slices_and_the_same_everywhere() {
    let mut scene = Scene::new(false);
    scene.grow(20_000);
    assert_eq!(scene.create("/zookeeper/quota/q", b""), ErrorCode::Ok);
    assert_eq!(scene.create(LIMITS, b""), ErrorCode::Ok);
    let (kept, identities) = (Zxid(scene.zxid), Identities::default());
    let context = Context {
        zxid: Zxid(kept.0 + 1),
        time_ms: 0,
        session: SESSION,
        cxid: 7,
        identities: &identities,
        is_local: false,
    };
    let body = create(STATS.as_bytes(), b"count=0,bytes=0", 0);
    let request = Request::decode(OpCode::Create, &body).unwrap();
    let mut out = Outcome::default();
    let begun = scene.cost();
    scene.leader.begin_prepare(&context, OpCode::Create, &request, &mut out);
    assert!(scene.leader.is_under_way() && scene.cost() < begun + limits::SLICE_COST);
    assert!(scene.leader.resume(limits::SLICE_COST, &mut out).is_none());
    // The transaction is undone in the middle, as if it had never begun.
    scene.leader.undo(kept);
    assert!(!scene.leader.is_under_way() && scene.leader.find(STATS.as_bytes()).is_none());

    let mut out = Outcome::default();
    scene.leader.begin_prepare(&context, OpCode::Create, &request, &mut out);
    assert!(go_on(&mut scene.leader, limits::SLICE_COST, &mut out) > 10);
    let mut reply = vec![];
    let entry = out.txn.as_slice().into();
    let begun = scene.follower.begin_apply(&entry, Mode::Strict, &mut Changes::default(), Some(&mut reply)).unwrap();
    assert!(begun.is_none() && reply == out.reply);
    assert!(go_on(&mut scene.follower, limits::SLICE_COST * 3, &mut Outcome::default()) > 3);
    scene.zxid += 1;
    assert_eq!(scene.used(), "count=20001,bytes=20000");
    assert_eq!(scene.create("/q/more", b"xyz"), ErrorCode::Ok);
    assert_eq!(scene.used(), "count=20002,bytes=20003");
}

#[test]
fn a_multi_that_fails_leaves_what_is_used_as_it_was() {
    let mut scene = Scene::new(true);
    scene.grow(3);
    scene.quota(b"countHardLimit=100");
    let used = scene.used();
    let failing = [
        vec![member("/q/a"), member("/q/b"), (OpCode::SetData, set(STATS, b"count=77,bytes=77")), member("/q/c")],
        vec![delete(STATS), member("/q/a"), member(STATS)],
        vec![delete(STATS), delete(LIMITS), member("/q/a"), member(LIMITS), member(STATS), member("/q/b")],
        vec![(OpCode::SetData, set(LIMITS, b"countHardLimit=1")), delete("/q/n0"), delete(LIMITS)],
    ];
    for mut members in failing {
        members.push(member("/nowhere/x"));
        assert_eq!(scene.ask(OpCode::Multi, &multi(&members)), ErrorCode::NoNode);
        assert_eq!(scene.used(), used);
    }
    assert_eq!(scene.create("/q/a", b"12"), ErrorCode::Ok);
    assert_eq!(scene.used(), "count=5,bytes=5");
}

#[test]
fn transactions_that_are_taken_back_leave_what_is_used_as_it_was() {
    let mut scene = Scene::new(true);
    scene.grow(3);
    scene.quota(b"countHardLimit=6");
    let (kept, used) = (scene.zxid, scene.used());
    scene.leader.publish(Zxid(kept - 1));
    for n in 0..2 {
        assert_eq!(scene.create(&format!("/q/a{n}"), b"12"), ErrorCode::Ok);
    }
    assert_eq!(scene.set(LIMITS, b"countHardLimit=5"), ErrorCode::Ok);
    assert_eq!(scene.create("/q/b", b""), ErrorCode::QuotaExceeded);
    assert_eq!(scene.ask(OpCode::Multi, &multi(&[delete(STATS), delete(LIMITS)])), ErrorCode::Ok);
    assert_eq!(scene.create("/q/b", b""), ErrorCode::Ok);
    for state in [&mut scene.leader, &mut scene.follower] {
        state.undo(Zxid(kept));
    }
    scene.zxid = kept;
    assert_eq!(scene.used(), used);
    for n in 0..2 {
        assert_eq!(scene.create(&format!("/q/b{n}"), b"345"), ErrorCode::Ok);
    }
    assert_eq!(scene.used(), "count=6,bytes=9");
    assert_eq!(scene.create("/q/c", b""), ErrorCode::QuotaExceeded, "the limits are those of before, too");
}

#[test]
fn loading_looks_at_each_znode_once_for_all_quotas() {
    const DEPTH: usize = 50;
    const WIDTH: usize = 2_000;
    let mut state = State::empty(StateOptions::default());
    state.begin_load(Zxid(5));
    let znode = znode(1, Some(b"x"));
    let mut load = |path: &str| state.load(path.as_bytes(), &znode).unwrap();
    ["/", "/zookeeper", "/zookeeper/quota"].into_iter().for_each(&mut load);
    let place = |depth: usize| "/q".repeat(depth);
    for depth in 1..=DEPTH {
        load(&place(depth));
        for name in ["", "/zookeeper_limits", "/zookeeper_stats"] {
            load(&format!("/zookeeper/quota{}{name}", place(depth)));
        }
    }
    for n in 0..WIDTH {
        load(&format!("{}/n{n}", place(DEPTH)));
    }
    let begun = state.store().head().meter().reading();
    state.finish_load();
    let cost = state.store().head().meter().reading().less(begun);
    assert!(cost < Cost::ZNODE * 4 * (DEPTH + WIDTH) + Cost::ZNODE * 8 * DEPTH, "{cost:?}");
    let used = |depth: usize| {
        let path = format!("/zookeeper/quota{}/zookeeper_stats", place(depth));
        String::from_utf8(state.find(path.as_bytes()).unwrap().data().unwrap().to_vec()).unwrap()
    };
    for depth in [1, 2, DEPTH] {
        let all = WIDTH + DEPTH - depth + 1;
        assert_eq!(used(depth), format!("count={all},bytes={all}"), "{depth}");
    }
}
