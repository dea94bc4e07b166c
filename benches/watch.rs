//! What watches cost when a znode changes, and when they do not fire.
//!
//! The first rows must not differ: a change that nobody watches costs the same whether nobody watches
//! anything or a million watches lie elsewhere.

use corral::acl::AclId;
use corral::tree::change::{Change, ChangeKind};
use corral::tree::path::hash;
use corral::watch::{WatchMode, Watches};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::{Duration, Instant};

const MILLION: u32 = 1_000_000;
const DEEP: &[u8] = b"/one/two/three/four/five/six/seven/eight";

fn change(kind: ChangeKind, path: &[u8]) -> Change<'_> {
    Change { kind, path, hash: hash(path), acl: AclId::OPEN, parent_acl: AclId::OPEN }
}

fn add(watches: &mut Watches, slot: u32, path: &[u8], mode: WatchMode) {
    assert!(watches.add(slot, path, mode), "there is no limit");
}

/// Fires and says how many were told.
fn fire(watches: &mut Watches, change: &Change<'_>) -> usize {
    let mut told = 0;
    watches.fire(change, &mut |_, path, _, slots| {
        black_box(path);
        told += slots.len();
    });
    told
}

/// A million watches of a thousand connections on a million paths, both tables.
fn million() -> Watches {
    let mut watches = Watches::default();
    for n in 0..MILLION {
        let mode = if n % 2 == 0 { WatchMode::Data } else { WatchMode::Child };
        add(&mut watches, n % 1000, format!("/elsewhere/p{}/n{n}", n % 100).as_bytes(), mode);
    }
    watches
}

fn silent(c: &mut Criterion) {
    let mut group = c.benchmark_group("fire, nobody concerned");
    let deep = change(ChangeKind::DataChanged, DEEP);
    let created = change(ChangeKind::Created, DEEP);
    let mut none = Watches::default();
    group.bench_function("no watch, set", |b| b.iter(|| fire(&mut none, black_box(&deep))));
    group.bench_function("no watch, create", |b| b.iter(|| fire(&mut none, black_box(&created))));
    let mut many = million();
    group.bench_function("1 M watches elsewhere, set", |b| b.iter(|| fire(&mut many, black_box(&deep))));
    group.bench_function("1 M watches elsewhere, create", |b| b.iter(|| fire(&mut many, black_box(&created))));
    add(&mut many, 1, b"/other", WatchMode::PersistentRecursive);
    group.bench_function("1 M and one recursive elsewhere, set at depth 8", |b| {
        b.iter(|| fire(&mut many, black_box(&deep)));
    });
    // A crowd on the parent that waits for its data, not for its children.
    let mut crowd = Watches::default();
    for slot in 0..100_000 {
        add(&mut crowd, slot, b"/one/two/three/four/five/six/seven", WatchMode::Data);
    }
    add(&mut crowd, 0, b"/unrelated", WatchMode::Child);
    add(&mut crowd, 0, b"/unrelated", WatchMode::PersistentRecursive);
    group.bench_function("100 000 data watches on the parent, create", |b| {
        b.iter(|| fire(&mut crowd, black_box(&created)));
    });
    group.finish();
}

fn concerned(c: &mut Criterion) {
    let mut group = c.benchmark_group("fire");
    let set = change(ChangeKind::DataChanged, DEEP);
    let mut recursive = Watches::default();
    add(&mut recursive, 1, b"/", WatchMode::PersistentRecursive);
    group.bench_function("one recursive watch at the root, set at depth 8", |b| {
        b.iter(|| fire(&mut recursive, black_box(&set)));
    });
    group.throughput(Throughput::Elements(2000));
    group.bench_function("2 000 one-shot watchers of one znode, armed and fired", |b| {
        let mut watches = Watches::default();
        b.iter(|| {
            for slot in 0..2000 {
                add(&mut watches, slot, DEEP, WatchMode::Data);
            }
            assert_eq!(fire(&mut watches, black_box(&set)), 2000);
        });
    });
    let mut persistent = Watches::default();
    (0..2000).for_each(|slot| add(&mut persistent, slot, DEEP, WatchMode::Persistent));
    group.bench_function("2 000 persistent watchers of one znode", |b| {
        b.iter(|| assert_eq!(fire(&mut persistent, black_box(&set)), 2000));
    });
    group.finish();
}

fn registry(c: &mut Criterion) {
    let mut group = c.benchmark_group("registry");
    group.sample_size(10);
    group.throughput(Throughput::Elements(u64::from(MILLION)));
    group.bench_function("add 1 M watches on 1 M paths", |b| b.iter_with_large_drop(million));
    group.throughput(Throughput::Elements(1000));
    let mut watches = million();
    group.bench_function("end a connection with 1 000 of 1 M watches", |b| {
        b.iter_custom(|rounds| {
            let mut total = Duration::ZERO;
            for _ in 0..rounds {
                // What the last round removed.
                for n in (7..MILLION).step_by(1000) {
                    add(&mut watches, 7, format!("/elsewhere/p{}/n{n}", n % 100).as_bytes(), WatchMode::Child);
                }
                let start = Instant::now();
                assert!(!watches.end_connection(7));
                watches.remove_ended(usize::MAX, &mut |_| {});
                total += start.elapsed();
            }
            total
        });
    });
    group.finish();
}

criterion_group!(benches, silent, concerned, registry);
criterion_main!(benches);
