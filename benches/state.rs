//! What a write costs the quorum core before the log: prepare at the head of a tree of a million znodes, with the
//! log entry, the reply and the watch changes, published and reclaimed in groups as the server does.

use corral::acl::Identities;
use corral::ids::{SessionId, Zxid};
use corral::jute::request::Request;
use corral::jute::wire::{Reader, put_int};
use corral::jute::{AclEntry, AclList, Create, OpCode};
use corral::runtime::memory::Ahead;
use corral::tree::state::{Context, Outcome, State, StateOptions};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use fastrand::Rng;
use std::fmt::Write as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PARENTS: usize = 1000;
const ZNODES: usize = 1_000_000;
/// Transactions in one group commit.
const GROUP: i64 = 256;

struct Bench {
    state: State,
    /// As on a server: memory is touched by another thread first.
    memory: Ahead,
    out: Outcome,
    identities: Identities,
    acl: Vec<u8>,
    zxid: i64,
    created: usize,
    random: Rng,
}

impl Bench {
    fn new() -> Bench {
        let mut state = State::new(StateOptions::default());
        let mut acl = vec![];
        put_int(&mut acl, 1);
        AclEntry { perms: 31, scheme: b"world", id: b"anyone" }.put(&mut acl);
        let identities = Identities::of("127.0.0.1".parse().unwrap());
        let context = Context {
            zxid: Zxid(1),
            time_ms: 1,
            session: SessionId(1),
            cxid: 0,
            identities: &identities,
            is_local: false,
        };
        let mut out = Outcome::default();
        state.create_session(&context, 1000, &mut out);
        let mut bench = Bench {
            state,
            memory: Ahead::start(8 << 20),
            out,
            identities,
            acl,
            zxid: 1,
            created: 0,
            random: Rng::with_seed(1),
        };
        for parent in 0..PARENTS {
            bench.create(&format!("/svc-{parent:03}"));
        }
        for _ in 0..ZNODES {
            let path = bench.next_path();
            bench.create(&path);
        }
        bench
    }

    fn next_path(&mut self) -> String {
        let mut path = String::with_capacity(40);
        write!(path, "/svc-{:03}/node-{:08}", self.created % PARENTS, self.created).unwrap();
        self.created += 1;
        path
    }

    fn random_path(&mut self) -> String {
        let node = self.random.usize(..ZNODES);
        format!("/svc-{:03}/node-{node:08}", node % PARENTS)
    }

    fn transact(&mut self, op: OpCode, request: &Request<'_>) {
        self.zxid += 1;
        let zxid = Zxid(self.zxid);
        let context = Context {
            zxid,
            time_ms: self.zxid,
            session: SessionId(1),
            cxid: 7,
            identities: &self.identities,
            is_local: false,
        };
        self.out.txn.clear();
        self.state.prepare(&context, op, request, &mut self.out);
        if self.zxid % GROUP == 0 {
            self.out = Outcome::default();
            self.state.publish(zxid);
            self.state.reclaim();
            self.memory.note(self.state.store().fresh_memory());
        }
    }

    fn create(&mut self, path: &str) {
        let acl = self.acl.clone();
        let acl = AclList::read(&mut Reader::new(&acl)).unwrap();
        let create =
            Create { op: OpCode::Create, path: path.as_bytes(), data: Some(&[b'x'; 100]), acl, flags: 0, ttl: None };
        self.transact(OpCode::Create, &Request::Create(create));
    }

    fn set(&mut self, path: &str) {
        let request = Request::SetData { path: path.as_bytes(), data: Some(&[b'y'; 100]), version: -1 };
        self.transact(OpCode::SetData, &request);
    }
}

fn prepare(c: &mut Criterion) {
    let mut bench = Bench::new();
    let mut group = c.benchmark_group("prepare, 1 M znodes");
    // The paths are made outside of what is measured.
    group.bench_function("set, cold", |b| {
        let cell = std::cell::RefCell::new(&mut bench);
        b.iter_batched(|| cell.borrow_mut().random_path(), |path| cell.borrow_mut().set(&path), BatchSize::SmallInput);
    });
    group.bench_function("create", |b| {
        let cell = std::cell::RefCell::new(&mut bench);
        b.iter_batched(|| cell.borrow_mut().next_path(), |path| cell.borrow_mut().create(&path), BatchSize::SmallInput);
    });
    group.finish();
}

criterion_group!(benches, prepare);
criterion_main!(benches);
