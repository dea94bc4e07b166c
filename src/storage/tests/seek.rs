//! Reading back from a log that is being written to, and finding places in it.

use super::*;
use crate::storage::log::chain::Chain;
use crate::storage::log::seek::{ReadBack, Stretch, read_txns, volume_behind};

fn read(server: &Server, after: i64, upto: i64, limit: usize) -> Result<ReadBack, LogError> {
    let stretch = Stretch { after: Zxid(after), upto: Zxid(upto), limit };
    read_txns(&server.disk, Path::new(LOG_DIR), server.directory.identity.directory, &stretch)
}

fn stretch(from: i64, upto: i64) -> ReadBack {
    ReadBack::Txns { txns: (from..=upto).map(|zxid| (Zxid(zxid), txn(Zxid(zxid)))).collect(), whole: true }
}

/// Within a segment nothing changes, and behind the beginning of the newest one there is nothing.
fn volumes_fall_with_what_is_left(server: &Server, last: i64) {
    let directory = server.directory.identity.directory;
    let volume = |zxid| volume_behind(&server.disk, Path::new(LOG_DIR), directory, Zxid(zxid)).unwrap();
    let volumes: Vec<u64> = (1..=last).map(volume).collect();
    let segments = volumes.iter().collect::<std::collections::BTreeSet<_>>().len();
    assert!(volumes.is_sorted_by(|a, b| a >= b) && segments > 3, "{volumes:?}");
    assert_eq!((volumes.last(), volume(0)), (Some(&0), 0), "0: no transaction has that zxid");
}

#[test]
fn every_stretch_of_a_running_log_reads_back() {
    let mut server = Server::start(&SimDisk::new()).unwrap();
    for group in 0..16 {
        server.write(1 + group % 3).unwrap();
    }
    let last = server.log.durable().0;
    assert!(last > 20 && server.log.segment() > segment::SegmentId(3), "several segments");
    for after in 1..=last {
        for upto in after..=last {
            assert_eq!(read(&server, after, upto, 1 << 20).unwrap(), stretch(after, upto), "{after} to {upto}");
        }
        assert_eq!(read(&server, after, after - 1, 1 << 20).unwrap(), ReadBack::Gone);
    }
    assert_eq!(read(&server, 0, last, 1 << 20).unwrap(), ReadBack::Gone, "no transaction has that zxid");
    let bytes: usize = (2..=last).map(|zxid| txn(Zxid(zxid)).len()).sum();
    assert_eq!(read(&server, 1, last, bytes).unwrap(), stretch(1, last));
    let cut = |upto| match stretch(1, upto) {
        ReadBack::Txns { txns, .. } => ReadBack::Txns { txns, whole: false },
        gone => gone,
    };
    assert_eq!(read(&server, 1, last, bytes - 1).unwrap(), cut(last - 1));
    assert_eq!(read(&server, 1, last, 0).unwrap(), cut(2), "one at least");
    volumes_fall_with_what_is_left(&server, last);
}

#[test]
fn what_is_written_but_not_durable_is_not_read() {
    let mut server = Server::start(&SimDisk::new()).unwrap();
    server.write(3).unwrap();
    let durable = server.log.durable().0;
    // On the disk, as the ring would leave it just before it says so.
    let zxid = Zxid(durable + 1);
    server.log.append(zxid, &txn(zxid)).unwrap();
    let write = server.log.next_write().unwrap();
    server.disk.write_synced(&path(&write.segment.file_name()), write.offset, server.log.bytes(&write)).unwrap();
    assert_eq!(read(&server, 1, durable, 1 << 20).unwrap(), stretch(1, durable));
}

/// The stretch begins with what a peer's log may end with, even where that is in another segment, or was never
/// in this log.
#[test]
fn a_stretch_begins_at_or_before_its_start_across_segments_and_epochs() {
    let disk = SimDisk::new();
    let mut server = Server::start(&disk).unwrap();
    server.write(3).unwrap();
    drop(server);
    // A start begins a segment: the next epoch's first transaction is the first in it.
    let mut server = Server::start(&disk).unwrap();
    for zxid in [Zxid(1 << 32 | 1), Zxid(1 << 32 | 2)] {
        server.log.append(zxid, b"later").unwrap();
        server.flush().unwrap();
    }
    let expected = |from: &[i64]| {
        let txns = from.iter().map(|&zxid| match zxid >> 32 {
            0 => (Zxid(zxid), txn(Zxid(zxid))),
            _ => (Zxid(zxid), b"later".to_vec()),
        });
        ReadBack::Txns { txns: txns.collect(), whole: true }
    };
    let (first, second) = (1 << 32 | 1, 1 << 32 | 2);
    assert_eq!(read(&server, 7, second, 1 << 20).unwrap(), expected(&[3, first, second]));
    assert_eq!(read(&server, 1 << 32, second, 1 << 20).unwrap(), expected(&[3, first, second]));
    assert_eq!(read(&server, first, second, 1 << 20).unwrap(), expected(&[first, second]));
    assert_eq!(read(&server, 2, 9, 1 << 20).unwrap(), expected(&[2, 3]));
    // And no place is found where there is no transaction.
    let id = server.directory.identity.directory;
    let chain = Chain::discover(&server.disk, Path::new(LOG_DIR), id).unwrap();
    let cut = |zxid: i64| chain.cut_behind(&server.disk, Path::new(LOG_DIR), Zxid(zxid)).unwrap().is_some();
    assert_eq!([0, 3, first, second].map(cut), [true; 4]);
    assert_eq!([4, 1 << 32, second + 1, 2 << 32].map(cut), [false; 4]);
}

#[test]
fn what_retention_took_is_gone_and_recycled_files_are_no_content() {
    let mut server = Server::start(&SimDisk::new()).unwrap();
    for _ in 0..8 {
        server.write(2).unwrap();
    }
    server.snapshot().unwrap();
    server.purge(&mut Retention::default(), 1).unwrap();
    for _ in 0..8 {
        server.write(2).unwrap();
    }
    let last = server.log.durable().0;
    assert_eq!(read(&server, 1, last, 1 << 20).unwrap(), ReadBack::Gone);
    let id = server.directory.identity.directory;
    let begins = Chain::discover(&server.disk, Path::new(LOG_DIR), id).unwrap().starts_after().unwrap().0;
    assert!(begins > 4, "{begins}");
    assert_eq!(read(&server, begins, last, 1 << 20).unwrap(), ReadBack::Gone);
    for after in begins + 1..=last {
        assert_eq!(read(&server, after, last, 1 << 20).unwrap(), stretch(after, last), "{after}");
    }
}

#[test]
fn damage_on_the_way_is_an_error_never_a_shorter_stretch() {
    let mut server = Server::start(&SimDisk::new()).unwrap();
    for _ in 0..10 {
        server.write(2).unwrap();
    }
    let last = server.log.durable().0;
    let mut damaged = 0;
    for name in names(&server.disk).into_iter().filter(|name| segment::named(name).is_some()) {
        let length = server.disk.bytes(&path(&name)).unwrap().len();
        for block in 0..length / 4096 {
            let rotten = server.disk.copy();
            rotten.rot(&path(&name), |bytes| bytes[block * 4096 + 40] ^= 1);
            let id = server.directory.identity.directory;
            let stretch_of_all = Stretch { after: Zxid(1), upto: Zxid(last), limit: 1 << 20 };
            match read_txns(&rotten, Path::new(LOG_DIR), id, &stretch_of_all) {
                // Space not used yet, or the padding of a frame.
                Ok(found @ ReadBack::Txns { .. }) => assert_eq!(found, stretch(1, last), "{name} {block}"),
                // The log cannot be followed past a damaged header, and nothing vouches for the last frame.
                Ok(ReadBack::Gone) | Err(LogError::Corrupt { .. }) => damaged += 1,
                other => panic!("{name} block {block}: {other:?}"),
            }
        }
    }
    assert!(damaged > 10, "{damaged}");
}
