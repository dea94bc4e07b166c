//! A real second and third thread reading while the writer writes, publishes, undoes and reclaims.
//!
//! Every transaction sets some pairs of znodes to the same bytes, and creates or deletes children together with a
//! counter that says how many there are. So a reader at any zxid can tell a torn or recycled state from the bytes
//! alone.

use super::super::*;
use super::znode;
use crate::ids::Zxid;
use crate::tree::path;
use fastrand::Rng;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

const PAIRS: usize = if cfg!(miri) { 3 } else { 40 };
const NAMES: usize = if cfg!(miri) { 8 } else { 2000 };
const TRANSACTIONS: i64 = if cfg!(miri) { 60 } else { 60_000 };

fn twin(side: char, i: usize) -> Vec<u8> {
    format!("/{side}{i}").into_bytes()
}

fn child(i: usize) -> Vec<u8> {
    format!("/p/{i}").into_bytes()
}

/// What each pair's data must be: a pattern of the zxid that set it.
fn pattern(zxid: i64) -> Vec<u8> {
    (0..8 + (zxid % 90) as usize).map(|i| (zxid as u8).wrapping_mul(31).wrapping_add(i as u8)).collect()
}

fn check(view: View<'_>, random: &mut Rng) {
    for _ in 0..4 {
        let i = random.usize(..PAIRS);
        let (a, b) = (twin('a', i), twin('b', i));
        let a = view.get(&a, path::hash(&a)).expect("twins stay");
        let b = view.get(&b, path::hash(&b)).expect("twins stay");
        assert_eq!(a.mzxid(), b.mzxid());
        assert!(a.mzxid() <= view.zxid().0);
        assert_eq!(a.data(), Some(&pattern(a.mzxid())[..]));
        assert_eq!(a.data(), b.data());
    }
    let parent = view.get(b"/p", path::hash(b"/p")).expect("the parent stays");
    let told = i64::from_be_bytes(parent.data().expect("a number").try_into().expect("eight bytes"));
    assert_eq!(i64::from(parent.num_children()), told);
    if random.usize(..50) == 0 {
        let mut listed = 0;
        assert!(view.children(b"/p", path::hash(b"/p"), &mut |_| listed += 1));
        assert_eq!(listed, told);
        let mut scanned = 0;
        view.scan(&mut Cursor::default(), usize::MAX, &mut |_| scanned += 1);
        assert_eq!(scanned, told as usize + 2 + 2 * PAIRS);
    }
}

fn read(store: &Store, stop: &AtomicBool, seed: u64) -> u64 {
    let mut random = Rng::with_seed(seed);
    let mut reader = store.reader().expect("room for a reader");
    let mut point = reader.resume();
    let mut pinned: Option<(Pin, Cursor, u64, u64)> = None;
    let mut turns = 0;
    while !stop.load(Relaxed) || turns == 0 {
        turns += 1;
        check(reader.view(point), &mut random);
        if let Some((pin, cursor, seen, expected)) = &mut pinned {
            let view = reader.view_pinned(pin);
            check(view, &mut random);
            if !view.scan(cursor, 50, &mut |_| *seen += 1) {
                assert_eq!(seen, expected, "a sliced walk under a pin shows everything once");
                pinned = None;
            }
        } else if random.usize(..20) == 0 {
            let count = reader.view(point).child_count(b"/p", path::hash(b"/p")).expect("the parent stays");
            let pin = reader.pin(point).expect("room for a pin");
            pinned = Some((pin, Cursor::default(), 0, count as u64 + 2 + 2 * PAIRS as u64));
        }
        reader.quiesce();
        match random.usize(..12) {
            0 => {
                reader.park(false);
                point = reader.resume();
            }
            1 => {
                reader.park(true);
                assert_eq!(reader.resume(), point);
            }
            2..=4 => {}
            _ => {
                point = Zxid(point.0.max(store.published().0 - random.i64(0..3)));
                reader.advance(point);
            }
        }
    }
    turns
}

fn write(writer: &mut Writer, random: &mut Rng) {
    let mut alive = vec![false; NAMES];
    let mut count = 0i64;
    let mut zxid = 1;
    for _ in 0..TRANSACTIONS {
        zxid += 1;
        writer.begin(Zxid(zxid));
        // A transaction that fails half-way leaves nothing behind.
        let fails = random.usize(..8) == 0;
        for _ in 0..1 + random.usize(..2) {
            let i = random.usize(..PAIRS);
            for path in [twin('a', i), twin('b', i)] {
                let version = writer.find(&path, path::hash(&path)).expect("twins stay").version();
                writer.set_data(&path, path::hash(&path), Some(&pattern(zxid)), version + 1, zxid, zxid);
            }
        }
        let before = (alive.clone(), count);
        for _ in 0..1 + random.usize(..4) {
            let i = random.usize(..NAMES);
            let path = child(i);
            if alive[i] {
                writer.delete(&path, path::hash(&path));
                count -= 1;
            } else {
                writer.create(&path, path::hash(&path), &znode(zxid, Some(&pattern(zxid))));
                count += 1;
            }
            alive[i] = !alive[i];
        }
        writer.set_data(b"/p", path::hash(b"/p"), Some(&count.to_be_bytes()), 0, zxid, zxid);
        if fails {
            writer.undo(Zxid(zxid - 1), &mut |_| ());
            (alive, count) = before;
        }
        // The head is ahead of the published zxid.
        if random.usize(..3) > 0 {
            writer.publish(Zxid(zxid));
            writer.reclaim();
        }
    }
    writer.publish(Zxid(zxid));
}

#[test]
fn readers_see_whole_transactions_only() {
    let mut writer = Writer::new();
    writer.begin(Zxid(1));
    writer.create(b"/", path::hash(b"/"), &znode(1, None));
    writer.create(b"/p", path::hash(b"/p"), &znode(1, Some(&0i64.to_be_bytes())));
    for i in 0..PAIRS {
        for path in [twin('a', i), twin('b', i)] {
            writer.create(&path, path::hash(&path), &znode(1, Some(&pattern(1))));
        }
    }
    writer.publish(Zxid(1));
    let stop = AtomicBool::new(false);
    let store = writer.store();
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2u64)
            .map(|i| {
                scope.spawn({
                    let (store, stop) = (&store, &stop);
                    move || read(store, stop, 7 + i)
                })
            })
            .collect();
        write(&mut writer, &mut Rng::with_seed(42));
        stop.store(true, Relaxed);
        for reader in readers {
            assert!(reader.join().expect("a reader saw a torn state") > 0);
        }
    });
    for _ in 0..100_000 {
        if writer.pending() == (0, 0) {
            break;
        }
        writer.reclaim();
    }
    assert_eq!(writer.pending(), (0, 0));
}
