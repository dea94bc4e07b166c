//! Small models under loom: every interleaving of one writer and one reader, with the memory model's reorderings.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release --lib store::tests::under_loom`. Segments have four slots here, so that
//! two znodes split one. A block that is freed while the reader may look at it fails as a race on its guard.

use super::super::*;
use super::znode;
use crate::ids::Zxid;
use crate::tree::path::PathHash;

/// Hashes apart in their first bits, so that a split separates them, and equal in the last, so that probing happens.
fn hash(path: &[u8]) -> PathHash {
    match path {
        b"/" => PathHash(0x1 << 61 | 2),
        b"/p" => PathHash(0x3 << 61 | 2),
        b"/q" => PathHash(0x5 << 61 | 2),
        _ => PathHash(0x7 << 61 | 2),
    }
}

fn planted() -> Writer {
    let mut writer = Writer::with_hash(hash);
    writer.begin(Zxid(1));
    writer.create(b"/", hash(b"/"), &znode(1, Some(&[1])));
    writer.publish(Zxid(1));
    writer
}

fn set(writer: &mut Writer, zxid: i64) {
    writer.begin(Zxid(zxid));
    writer.set_data(b"/", hash(b"/"), Some(&[zxid as u8]), zxid as i32, zxid, 0);
    writer.publish(Zxid(zxid));
}

/// The root at `at` is the version that was set there: every transaction of these models sets it.
fn look(reader: &Reader, at: Zxid) {
    let root = reader.view(at).get(b"/", hash(b"/")).expect("the root stays");
    assert_eq!((root.data(), root.mzxid()), (Some(&[at.0 as u8][..]), at.0));
}

fn model(check: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(2);
    builder.check(check);
}

#[test]
fn replacing_and_reclaiming_against_a_reader() {
    model(|| {
        let mut writer = planted();
        let store = writer.store();
        let reading = loom::thread::spawn(move || {
            let mut reader = store.reader().expect("room");
            let at = reader.resume();
            look(&reader, at);
            reader.quiesce();
            look(&reader, at);
            let now = store.published();
            reader.advance(now);
            reader.quiesce();
            look(&reader, now);
        });
        for zxid in 2..4 {
            set(&mut writer, zxid);
            writer.reclaim();
        }
        reading.join().expect("the reader saw what it must");
    });
}

#[test]
fn parking_and_resuming() {
    model(|| {
        let mut writer = planted();
        let store = writer.store();
        let reading = loom::thread::spawn(move || {
            let mut reader = store.reader().expect("room");
            let first = reader.resume();
            reader.park(true);
            assert_eq!(reader.resume(), first);
            look(&reader, first);
            reader.park(false);
            let second = reader.resume();
            assert!(second >= first);
            look(&reader, second);
        });
        set(&mut writer, 2);
        writer.reclaim();
        set(&mut writer, 3);
        writer.reclaim();
        reading.join().expect("the reader saw what it must");
    });
}

#[test]
fn a_pin_outlives_the_point_it_was_taken_at() {
    model(|| {
        let mut writer = planted();
        let mut reader = writer.store().reader().expect("room");
        let at = reader.resume();
        let store = writer.store();
        let reading = loom::thread::spawn(move || {
            let pin = reader.pin(at).expect("room");
            reader.advance(store.published());
            reader.quiesce();
            let root = reader.view_pinned(&pin).get(b"/", hash(b"/")).expect("the root stays");
            assert_eq!(root.mzxid(), at.0);
            drop(pin);
            look(&reader, reader.point().expect("online"));
        });
        set(&mut writer, 2);
        writer.reclaim();
        writer.reclaim();
        reading.join().expect("the reader saw what it must");
    });
}

/// A writer that splits the table and the child set while `check` looks at some zxid.
fn splitting(check: fn(View<'_>, bool)) {
    model(move || {
        let mut writer = planted();
        let store = writer.store();
        let reading = loom::thread::spawn(move || {
            let mut reader = store.reader().expect("room");
            let at = reader.resume();
            check(reader.view(at), at.0 >= 2);
        });
        writer.begin(Zxid(2));
        writer.create(b"/p", hash(b"/p"), &znode(2, None));
        writer.create(b"/q", hash(b"/q"), &znode(2, None));
        writer.publish(Zxid(2));
        writer.reclaim();
        reading.join().expect("the reader saw what it must");
    });
}

#[test]
fn finding_while_segments_split() {
    splitting(|view, there| {
        assert!(view.get(b"/", hash(b"/")).is_some());
        assert_eq!(view.get(b"/p", hash(b"/p")).is_some(), there);
        assert_eq!(view.get(b"/q", hash(b"/q")).is_some(), there);
    });
}

#[test]
fn walking_while_segments_split() {
    splitting(|view, there| {
        let mut scanned = 0;
        view.scan(&mut Cursor::default(), usize::MAX, &mut |_| scanned += 1);
        assert_eq!(scanned, if there { 3 } else { 1 });
    });
}

#[test]
fn listing_while_sets_split() {
    splitting(|view, there| {
        let mut listed = 0;
        assert!(view.children(b"/", hash(b"/"), &mut |_| listed += 1));
        assert_eq!(listed, if there { 2 } else { 0 });
    });
}

#[test]
fn deleting_against_a_reader() {
    model(|| {
        let mut writer = planted();
        writer.begin(Zxid(2));
        writer.create(b"/p", hash(b"/p"), &znode(2, Some(b"p")));
        writer.publish(Zxid(2));
        let store = writer.store();
        let reading = loom::thread::spawn(move || {
            let mut reader = store.reader().expect("room");
            let at = reader.resume();
            let found = reader.view(at).get(b"/p", hash(b"/p"));
            assert_eq!(found.map(|znode| znode.data()), (at.0 == 2).then_some(Some(&b"p"[..])));
            assert_eq!(reader.view(at).child_count(b"/", hash(b"/")), Some(i32::from(at.0 == 2)));
        });
        writer.begin(Zxid(3));
        writer.delete(b"/p", hash(b"/p"));
        writer.publish(Zxid(3));
        writer.reclaim();
        writer.reclaim();
        reading.join().expect("the reader saw what it must");
    });
}
