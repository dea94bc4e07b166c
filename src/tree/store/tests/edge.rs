//! Edge cases: things that must not grow, must not loop, must not be confused.

use super::super::ledger;
use super::super::*;
use super::znode;
use crate::acl::AclId;
use crate::ids::Zxid;
use crate::tree::path::{self, PathHash};

/// A store with a root and `/p`, published at zxid 1.
fn planted(hash: fn(&[u8]) -> PathHash) -> Writer {
    let mut writer = Writer::with_hash(hash);
    writer.begin(Zxid(1));
    writer.create(b"/", hash(b"/"), &znode(1, Some(b"")));
    writer.create(b"/p", hash(b"/p"), &znode(1, Some(b"")));
    writer.publish(Zxid(1));
    writer
}

fn settle(writer: &mut Writer) {
    for _ in 0..100_000 {
        writer.reclaim();
        if writer.pending() == (0, 0) {
            return;
        }
    }
    panic!("{:?} left to reclaim", writer.pending());
}

#[test]
fn null_is_not_empty() {
    let mut writer = planted(path::hash);
    writer.begin(Zxid(2));
    writer.create(b"/null", path::hash(b"/null"), &znode(2, None));
    writer.create(b"/empty", path::hash(b"/empty"), &znode(2, Some(b"")));
    let data = |writer: &Writer, path: &[u8]| writer.find(path, path::hash(path)).unwrap().data().map(<[u8]>::to_vec);
    assert_eq!((data(&writer, b"/null"), data(&writer, b"/empty")), (None, Some(vec![])));
    writer.set_data(b"/null", path::hash(b"/null"), Some(b""), 1, 2, 0);
    writer.set_data(b"/empty", path::hash(b"/empty"), None, 1, 2, 0);
    writer.set_acl(b"/empty", path::hash(b"/empty"), AclId(1), 1);
    assert_eq!((data(&writer, b"/null"), data(&writer, b"/empty")), (Some(vec![]), None));
    writer.undo(Zxid(1), &mut |_| ());
    assert!(writer.find(b"/null", path::hash(b"/null")).is_none());
}

#[test]
fn large_data() {
    let mut writer = planted(path::hash);
    let size = if cfg!(miri) { 1 << 10 } else { 96 << 20 };
    let data = vec![7; size];
    writer.begin(Zxid(2));
    writer.create(b"/big", path::hash(b"/big"), &znode(2, Some(&data)));
    assert_eq!(writer.find(b"/big", path::hash(b"/big")).unwrap().data().unwrap().len(), size);
    assert_eq!(writer.data_bytes() as usize, size + 1 + 2 + 4);
    writer.begin(Zxid(3));
    writer.delete(b"/big", path::hash(b"/big"));
    writer.publish(Zxid(3));
    settle(&mut writer);
    assert_eq!(writer.data_bytes(), 3);
}

#[test]
fn thousands_of_equal_hashes() {
    // Every path in one place: the table cannot split, lists must still be right.
    let count = if cfg!(miri) { 40 } else { 2000 };
    let same: fn(&[u8]) -> PathHash = |_| PathHash(u64::MAX);
    let mut writer = planted(same);
    let name = |i: usize| format!("/p/n{i}").into_bytes();
    writer.begin(Zxid(2));
    for i in 0..count {
        writer.create(&name(i), same(b""), &znode(2, Some(b"x")));
    }
    writer.publish(Zxid(2));
    let (segments, entries) = writer.shared.table.shape();
    assert!(segments < 64 && entries <= 64, "{segments} segments, {entries} entries for one hash");
    let mut listed = 0;
    assert!(writer.head().children(b"/p", same(b""), &mut |_| listed += 1));
    assert_eq!(listed, count);
    writer.begin(Zxid(3));
    for i in 0..count {
        writer.delete(&name(i), same(b""));
    }
    writer.publish(Zxid(3));
    settle(&mut writer);
    assert_eq!(writer.shared.table.shape().0, 1);
    assert!(!writer.head().scan(&mut Cursor::default(), usize::MAX, &mut |znode| assert!(znode.path().len() < 3)));
}

/// How many versions a reader walks over at most to see `path`, and to see the numbers about its children.
fn chain(writer: &Writer, path: &[u8]) -> (usize, usize) {
    let (_, mut block) = writer.shared.find(super::super::segment::normal(path::hash(path).0), path).unwrap();
    let (mut versions, mut numbers) = (0, 0);
    // SAFETY: the writer's own thread, between two changes.
    unsafe {
        if let Some(kids) = (*block).kids.load(super::super::sync::Relaxed).as_ref() {
            let mut stat = kids.stat.load(super::super::sync::Relaxed);
            while let Some(version) = stat.as_ref() {
                numbers += 1;
                stat = version.next.load(super::super::sync::Relaxed);
            }
        }
        while !block.is_null() {
            versions += 1;
            block = super::super::block::Block::older(block);
        }
    }
    (versions, numbers)
}

#[test]
fn a_transaction_adds_one_version_however_often_it_changes_a_znode() {
    let mut writer = planted(path::hash);
    let mut reader = writer.store().reader().unwrap();
    let at = |path: &[u8]| path::hash(path);
    let count = if cfg!(miri) { 20 } else { 500 };
    let before = ledger::live();
    for undone in [true, false] {
        let zxid = 2;
        writer.begin(Zxid(zxid));
        for i in 0..count {
            writer.set_data(b"/p", at(b"/p"), Some(b"x"), i, zxid, 0);
            writer.set_acl(b"/p", at(b"/p"), AclId(i as u32), i);
            writer.create(b"/p/a", at(b"/p/a"), &znode(zxid, None));
            writer.create(b"/p/a/b", at(b"/p/a/b"), &znode(zxid, None));
            writer.delete(b"/p/a/b", at(b"/p/a/b"));
            writer.delete(b"/p/a", at(b"/p/a"));
        }
        writer.create(b"/p/a", at(b"/p/a"), &znode(zxid, Some(b"now")));
        assert_eq!(chain(&writer, b"/p").0, 2, "what it was, and what it is");
        assert!(chain(&writer, b"/p/a").0 <= 3 && chain(&writer, b"/p/a/b").0 <= 3);
        if undone {
            writer.undo(Zxid(1), &mut |_| ());
            assert_eq!((chain(&writer, b"/p").0, writer.znodes()), (1, 2));
            assert!(writer.find(b"/p/a", at(b"/p/a")).is_none());
            settle(&mut writer);
            continue;
        }
        reader.resume();
        assert!(reader.view(Zxid(1)).get(b"/p/a", at(b"/p/a")).is_none());
        writer.publish(Zxid(zxid));
        reader.advance(Zxid(zxid));
        assert_eq!(reader.view(Zxid(zxid)).get(b"/p/a", at(b"/p/a")).unwrap().data(), Some(&b"now"[..]));
        reader.park(false);
        settle(&mut writer);
        assert_eq!((chain(&writer, b"/p").0, chain(&writer, b"/p/a").0), (1, 1));
        writer.begin(Zxid(zxid + 10));
        writer.delete(b"/p/a", at(b"/p/a"));
        writer.publish(Zxid(zxid + 10));
        settle(&mut writer);
        assert!(ledger::live() < before + 8, "{} pieces left of {before}", ledger::live());
    }
}

#[test]
fn nothing_more_is_wanted_when_a_chain_nobody_sees_is_long() {
    let mut writer = planted(path::hash);
    let ahead = crate::limits::VERSIONS_AHEAD;
    let mut zxid = 1;
    let change: [fn(&mut Writer, i64); 2] = [
        |writer, zxid| writer.set_data(b"/p", path::hash(b"/p"), None, 1, zxid, 0),
        |writer, zxid| writer.set_child_stat(b"/p", path::hash(b"/p"), 1, zxid),
    ];
    for change in change {
        let first = zxid;
        while !writer.is_crowded() {
            zxid += 1;
            writer.begin(Zxid(zxid));
            change(&mut writer, zxid);
            assert!(zxid - first <= ahead as i64 + 2, "a chain is bounded");
        }
        assert!(zxid - first >= ahead as i64, "and not before it is long");
        writer.publish(Zxid(first + 1));
        assert!(writer.is_crowded(), "one less makes no room worth the name");
        writer.publish(Zxid(zxid - ahead as i64 / 3));
        assert!(!writer.is_crowded());
        // If every transaction is published, there are never too many versions.
        for _ in 0..3 * ahead {
            zxid += 1;
            writer.begin(Zxid(zxid));
            change(&mut writer, zxid);
            assert!(!writer.is_crowded());
            writer.publish(Zxid(zxid - 10));
        }
        // An undo makes room as well.
        let published = writer.published();
        while !writer.is_crowded() {
            zxid += 1;
            writer.begin(Zxid(zxid));
            change(&mut writer, zxid);
        }
        writer.undo(published, &mut |_| ());
        assert!(!writer.is_crowded());
        zxid = published.0;
    }
}

#[test]
fn a_hundred_thousand_children_come_and_go() {
    let count = if cfg!(miri) { 260 } else { 100_000 };
    let mut writer = planted(path::hash);
    let reader = &mut writer.store().reader().unwrap();
    let name = |i: usize| format!("/p/node-{i:07}").into_bytes();
    for i in 0..count {
        let zxid = 2 + i as i64;
        writer.begin(Zxid(zxid));
        writer.create(&name(i), path::hash(&name(i)), &znode(zxid, Some(b"x")));
        writer.publish(Zxid(zxid));
        if i % 16 == 0 {
            writer.reclaim();
        }
    }
    // Listed in slices under a pin while every one of them is deleted.
    let at = reader.resume();
    let pin = reader.pin(at).unwrap();
    reader.advance(at);
    let (mut cursor, mut listed, mut steps) = (Cursor::default(), 0, 0);
    for i in 0..count {
        let zxid = 2 + (count + i) as i64;
        writer.begin(Zxid(zxid));
        writer.delete(&name(i), path::hash(&name(i)));
        writer.publish(Zxid(zxid));
        if i % 16 == 0 {
            reader.advance(Zxid(zxid));
            if !cursor.is_done() {
                let view = reader.view_pinned(&pin);
                assert!(view.list_children(b"/p", path::hash(b"/p"), &mut cursor, 100, &mut |_| listed += 1));
                steps += 1;
            }
            reader.quiesce();
            writer.reclaim();
        }
    }
    for _ in 0..count {
        if cursor.is_done() {
            break;
        }
        assert!(
            reader.view_pinned(&pin).list_children(b"/p", path::hash(b"/p"), &mut cursor, 100, &mut |_| listed += 1)
        );
        steps += 1;
    }
    assert_eq!(listed, count);
    assert!(cfg!(miri) || steps > count / 500);
    drop(pin);
    reader.park(false);
    settle(&mut writer);
    assert_eq!(writer.shared.table.shape(), (1, 1), "an emptied table is small again");
    assert!(ledger::live() < 12, "{} pieces left", ledger::live());
}

#[test]
fn a_walk_shows_each_once_while_segments_merge_and_split() {
    let count = if cfg!(miri) { 400 } else { 6000 };
    let mut writer = planted(path::hash);
    let mut reader = writer.store().reader().unwrap();
    let name = |kind: char, i: usize| format!("/p/{kind}{i:07}").into_bytes();
    writer.begin(Zxid(2));
    for i in 0..count {
        writer.create(&name('n', i), path::hash(&name('n', i)), &znode(2, None));
    }
    // Most are deleted again, and nothing is reclaimed yet: the pin sees the few in a table made for many.
    writer.begin(Zxid(3));
    for i in (0..count).filter(|i| i % 20 != 0) {
        writer.delete(&name('n', i), path::hash(&name('n', i)));
    }
    writer.publish(Zxid(3));
    let pin = {
        reader.resume();
        reader.pin(Zxid(3)).unwrap()
    };
    let wide = writer.shared.table.shape().0;
    let mut narrow = wide;
    let (mut listing, mut listed) = (Cursor::default(), Vec::new());
    let (mut walk, mut walked) = (Cursor::default(), 0);
    for step in 0..count {
        let view = reader.view_pinned(&pin);
        view.list_children(b"/p", path::hash(b"/p"), &mut listing, 1, &mut |name| listed.push(name.to_vec()));
        view.scan(&mut walk, 1, &mut |_| walked += 1);
        if listing.is_done() && walk.is_done() {
            break;
        }
        reader.quiesce();
        if step % 8 < 6 {
            // Merges, as the deleted ones leave.
            for _ in 0..4 {
                writer.reclaim();
            }
        } else {
            // Splits, as new ones come.
            let zxid = 4 + step as i64;
            writer.begin(Zxid(zxid));
            for i in 0..count / 30 {
                let path = name('m', step * count + i);
                writer.create(&path, path::hash(&path), &znode(zxid, None));
            }
            writer.publish(Zxid(zxid));
            reader.advance(Zxid(zxid));
        }
        narrow = narrow.min(writer.shared.table.shape().0);
    }
    assert!(listing.is_done() && walk.is_done());
    assert!(narrow < wide, "nothing merged meanwhile: {wide} segments stayed");
    listed.sort();
    let expected: Vec<_> = (0..count).step_by(20).map(|i| name('n', i)[3..].to_vec()).collect();
    assert_eq!(listed, expected);
    assert_eq!(walked, expected.len() + 2);
}

#[test]
fn an_old_pin_keeps_one_version_not_all() {
    let mut writer = planted(path::hash);
    let mut reader = writer.store().reader().unwrap();
    let mut zxid = 1;
    let mut step = |writer: &mut Writer, change: &mut dyn FnMut(&mut Writer, i64)| {
        zxid += 1;
        writer.begin(Zxid(zxid));
        change(writer, zxid);
        writer.publish(Zxid(zxid));
        writer.reclaim();
        zxid
    };
    let (p, child) = (path::hash(b"/p"), path::hash(b"/p/c"));
    let mut pins = Vec::new();
    let rounds = if cfg!(miri) { 20 } else { 2000 };
    for round in 0..4 * rounds {
        let at = step(&mut writer, &mut |writer, z| writer.set_data(b"/p", p, Some(b"other"), z as i32, z, 0));
        step(&mut writer, &mut |writer, z| writer.create(b"/p/c", child, &znode(z, None)));
        if round % rounds == 0 {
            assert!(reader.resume().0 > at);
            pins.push(reader.pin(reader.point().unwrap()).unwrap());
            reader.park(false);
        }
        step(&mut writer, &mut |writer, z| writer.set_data(b"/p/c", child, Some(b"d"), 1, z, 0));
        step(&mut writer, &mut |writer, _| writer.delete(b"/p/c", child));
    }
    // Four pins, each with one version of /p, one of /p/c and a tombstone, and one of /p's numbers.
    assert!(ledger::live() < 40, "{} pieces with four pins", ledger::live());
    let view_of = |pin: &Pin, reader: &mut Reader| {
        reader.resume();
        let view = reader.view_pinned(pin);
        let mut names = 0;
        assert!(view.children(b"/p", p, &mut |_| names += 1));
        (names, view.child_count(b"/p", p), view.get(b"/p/c", child).map(|znode| znode.persisted().czxid))
    };
    for pin in &pins {
        assert_eq!(view_of(pin, &mut reader), (1, Some(1), Some(pin.zxid().0)));
    }
    // After a pin in the middle is dropped, the others still work.
    drop(pins.remove(1));
    settle_but_held(&mut writer);
    for pin in &pins {
        assert_eq!(view_of(pin, &mut reader), (1, Some(1), Some(pin.zxid().0)));
    }
    pins.clear();
    reader.park(false);
    settle(&mut writer);
    assert!(ledger::live() < 12, "{} pieces without pins", ledger::live());
}

fn settle_but_held(writer: &mut Writer) {
    for _ in 0..1000 {
        writer.reclaim();
    }
}

#[test]
fn a_reader_that_lags_keeps_what_it_needs_and_no_garbage_is_lost() {
    let mut writer = planted(path::hash);
    let mut reader = writer.store().reader().unwrap();
    let p = path::hash(b"/p");
    reader.resume();
    for z in 2..500i64 {
        writer.begin(Zxid(z));
        writer.set_data(b"/p", p, Some(&z.to_be_bytes()), z as i32, z, 0);
        writer.publish(Zxid(z));
        writer.reclaim();
    }
    for z in 2..500i64 {
        reader.advance(Zxid(z));
        assert_eq!(reader.view(Zxid(z)).get(b"/p", p).unwrap().mzxid(), z);
        assert_eq!(reader.view(Zxid(499)).get(b"/p", p).unwrap().mzxid(), 499);
        reader.quiesce();
        writer.reclaim();
    }
    reader.park(true);
    assert_eq!(reader.resume(), Zxid(499));
    drop(reader);
    settle(&mut writer);
    let store = writer.store();
    drop(writer);
    assert_eq!(store.published(), Zxid(499));
    assert_eq!((store.znodes(), store.data_bytes()), (2, 11));
    drop(store);
    assert_eq!(ledger::live(), 0);
}

#[test]
fn the_tree_outlives_its_writer_while_somebody_reads() {
    let writer = planted(path::hash);
    let mut reader = writer.store().reader().unwrap();
    let at = reader.resume();
    drop(writer);
    assert!(reader.view(at).get(b"/p", path::hash(b"/p")).is_some());
    drop(reader);
    assert_eq!(ledger::live(), 0);
}

#[test]
fn readers_and_pins_are_counted() {
    let writer = planted(path::hash);
    let store = writer.store();
    let mut readers: Vec<_> = (0..MAX_READERS).map(|_| store.reader().unwrap()).collect();
    assert_eq!(store.reader().err(), Some(StoreFull::Readers));
    readers[0].resume();
    let mut pins: Vec<_> = (0..MAX_PINS).map(|_| readers[0].pin(Zxid(1)).unwrap()).collect();
    assert_eq!(readers[0].pin(Zxid(1)).err(), Some(StoreFull::Pins));
    pins.pop();
    assert!(readers[0].pin(Zxid(1)).is_ok());
    readers.pop();
    assert!(store.reader().is_ok());
}

#[test]
#[should_panic(expected = "from its point on")]
fn a_reader_does_not_read_before_its_point() {
    let writer = planted(path::hash);
    let mut reader = writer.store().reader().unwrap();
    reader.resume();
    reader.view(Zxid(0));
}

#[test]
#[should_panic(expected = "not while parked")]
fn a_parked_reader_does_not_read() {
    let writer = planted(path::hash);
    let mut reader = writer.store().reader().unwrap();
    reader.resume();
    reader.park(true);
    reader.view(Zxid(1));
}

#[test]
#[should_panic(expected = "what is published never changes")]
fn what_is_published_does_not_change() {
    let mut writer = planted(path::hash);
    writer.set_data(b"/p", path::hash(b"/p"), None, 1, 1, 1);
}

#[test]
#[should_panic(expected = "what is published is not undone")]
fn what_is_published_is_not_undone() {
    planted(path::hash).undo(Zxid(0), &mut |_| ());
}

/// Fifty versions of a megabyte each were made of fifty requests of a hundred bytes.
#[test]
fn an_acl_that_changes_copies_no_data() {
    let path = b"/p/large";
    let hash = path::hash(path);
    let before = ledger::live();
    let mut writer = planted(path::hash);
    // The pointer to separate data may have any alignment behind the path; short data is still in the block.
    for (round, size) in [(0, 5_000), (1, 100), (2, 1 << 20)] {
        if cfg!(miri) && size > 5_000 {
            continue;
        }
        let first = 2 + 200 * round;
        let data: Vec<u8> = (0..size).map(|n| n as u8).collect();
        writer.begin(Zxid(first));
        writer.create(path, hash, &znode(first, Some(&data)));
        writer.publish(Zxid(first));
        let at = |writer: &Writer| writer.find(path, hash).unwrap().data().unwrap().as_ptr();
        let place = at(&writer);
        for n in 1..=50 {
            writer.begin(Zxid(first + n));
            writer.set_acl(path, hash, AclId(1 + n as u32 % 2), n as i32);
            assert_eq!(at(&writer) == place, size >= 4096);
            assert_eq!(writer.find(path, hash).unwrap().data(), Some(&*data));
        }
        // Half of it is taken back, and half stays.
        writer.undo(Zxid(first + 25), &mut |_| ());
        assert_eq!(writer.find(path, hash).unwrap().data(), Some(&*data));
        writer.publish(Zxid(first + 25));
        settle(&mut writer);
        assert_eq!(writer.find(path, hash).unwrap().data(), Some(&*data));
        writer.begin(Zxid(first + 60));
        writer.set_data(path, hash, Some(&data), 1, first + 60, 0);
        writer.begin(Zxid(first + 61));
        writer.delete(path, hash);
        writer.publish(Zxid(first + 61));
        settle(&mut writer);
    }
    drop(writer);
    #[cfg(not(loom))]
    assert_eq!(ledger::live(), before, "all of it is given back");
}
