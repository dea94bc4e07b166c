//! What the codecs cost: requests as clients send them, replies and events as they get them.

use corral::ids::{SessionId, Zxid};
use corral::jute::reply::{put_event, put_reply};
use corral::jute::request::Request;
use corral::jute::txn::{CreateTxn, put_create, read_entry};
use corral::jute::wire::{Reader, put_bool, put_buffer, put_bytes, put_int};
use corral::jute::{AclEntry, AclList, EventType, OpCode, Stat, TxnHeader};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

const PATH: &[u8] = b"/app/service-042/node-0012345";
const DATA: &[u8] = &[b'x'; 100];

fn open_acl() -> Vec<u8> {
    let mut acl = vec![];
    put_int(&mut acl, 1);
    AclEntry { perms: 31, scheme: b"world", id: b"anyone" }.put(&mut acl);
    acl
}

fn create_body() -> Vec<u8> {
    let mut body = vec![];
    put_bytes(&mut body, PATH);
    put_bytes(&mut body, DATA);
    body.extend(open_acl());
    put_int(&mut body, 0);
    body
}

fn get_body() -> Vec<u8> {
    let mut body = vec![];
    put_bytes(&mut body, PATH);
    put_bool(&mut body, false);
    body
}

/// Ten sets in one multi.
fn multi_body() -> Vec<u8> {
    let mut body = vec![];
    for (op, done) in std::iter::repeat_n((5, false), 10).chain([(-1, true)]) {
        put_int(&mut body, op);
        put_bool(&mut body, done);
        put_int(&mut body, -1);
        if !done {
            put_bytes(&mut body, PATH);
            put_bytes(&mut body, DATA);
            put_int(&mut body, -1);
        }
    }
    body
}

fn requests(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(1));
    for (name, op, body) in [
        ("getData", OpCode::GetData, get_body()),
        ("create", OpCode::Create, create_body()),
        ("multi of 10 sets", OpCode::Multi, multi_body()),
    ] {
        group.bench_function(name, |b| b.iter(|| Request::decode(op, black_box(&body)).unwrap()));
    }
    group.finish();
}

fn replies(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    group.throughput(Throughput::Elements(1));
    let stat = Stat { czxid: 1, mzxid: 2, data_length: 100, ..Stat::default() };
    let mut out = Vec::with_capacity(1 << 20);
    group.bench_function("getData reply", |b| {
        b.iter(|| {
            out.clear();
            put_reply(&mut out, black_box(7), Zxid(9), |out| {
                put_buffer(out, Some(DATA));
                stat.put(out);
            });
            out.len()
        });
    });
    group.bench_function("event", |b| {
        b.iter(|| {
            out.clear();
            put_event(&mut out, EventType::NodeDataChanged, Zxid(9), black_box(PATH));
            out.len()
        });
    });
    group.finish();
}

fn transactions(c: &mut Criterion) {
    let mut group = c.benchmark_group("transaction");
    group.throughput(Throughput::Elements(1));
    let acl = open_acl();
    let list = AclList::read(&mut Reader::new(&acl)).unwrap();
    let header = TxnHeader { session: SessionId(1), cxid: 2, zxid: Zxid(3), time_ms: 4, op: OpCode::Create };
    let create = CreateTxn { path: PATH, data: Some(DATA), acl: list, ephemeral: false, parent_cversion: 1, ttl: 0 };
    let mut out = Vec::with_capacity(4096);
    group.bench_function("encode create", |b| {
        b.iter(|| {
            out.clear();
            header.put(&mut out);
            put_create(&mut out, OpCode::Create, black_box(&create));
            out.len()
        });
    });
    group.bench_function("decode create", |b| b.iter(|| read_entry(black_box(&out)).unwrap().0));
    group.finish();
}

criterion_group!(benches, requests, replies, transactions);
criterion_main!(benches);
