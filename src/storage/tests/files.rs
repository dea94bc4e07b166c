//! Snapshots as files, retention, identity, and the lines of the tools.

use super::*;
use crate::fatal::Reason;
use crate::storage::disk::{Access, Disk};
use crate::storage::identity::Starter;
use crate::storage::inspect;
use crate::storage::log::frame::DirectoryId;
use crate::storage::retention::{Retention, RetentionOptions};
use crate::storage::snapshot::format;
use crate::storage::snapshot::load::{self, Snapshot, SnapshotError};

fn dir() -> &'static Path {
    Path::new(DIR)
}

fn log_dir() -> &'static Path {
    Path::new(LOG_DIR)
}

/// A state with one of everything, built by hand.
#[derive(Default, PartialEq, Debug)]
pub(super) struct Collected(pub(super) Vec<String>);

impl Replay for Collected {
    fn restart(&mut self) {
        self.0.clear();
    }
    fn snapshot(&mut self, header: &SnapshotHeader) -> Result<(), ReplayError> {
        self.0.push(format!("{header:?}"));
        Ok(())
    }
    fn session(&mut self, id: SessionId, timeout_ms: i32) -> Result<(), ReplayError> {
        self.0.push(format!("{id} {timeout_ms}"));
        Ok(())
    }
    fn acl(&mut self, id: u32, list: &[u8]) -> Result<(), ReplayError> {
        self.0.push(format!("{id} {list:?}"));
        Ok(())
    }
    fn znode(&mut self, record: &ZnodeRecord<'_>) -> Result<(), ReplayError> {
        self.0.push(format!("{record:?}"));
        Ok(())
    }
    fn snapshot_done(&mut self, _: &SnapshotHeader) -> Result<(), ReplayError> {
        Ok(())
    }
    fn txn(&mut self, _: Zxid, _: &[u8]) -> Result<(), ReplayError> {
        unreachable!("a snapshot holds no transactions")
    }
}

const HEADER: SnapshotHeader = SnapshotHeader {
    zxid: Zxid(0x1_0000_0002),
    digest: Some(0x51c6_d660),
    installed: false,
    log_from: segment::SegmentId(0),
    server: 3,
    directory: DirectoryId(*b"0123456789abcdef"),
    created_ms: 1_700_000_000_123,
};

fn records() -> Vec<ZnodeRecord<'static>> {
    let root = ZnodeRecord {
        path: b"/",
        data: Some(b""),
        stat: StatPersisted { cversion: -1, ..Default::default() },
        ..Default::default()
    };
    let full = ZnodeRecord {
        path: b"/full",
        data: Some(b"data"),
        acl: 2,
        stat: StatPersisted {
            czxid: 1,
            mzxid: 2,
            ctime: 4,
            mtime: 5,
            version: 6,
            cversion: 7,
            aversion: 8,
            owner: 0x1234_5678_9abc_def0,
            pzxid: 3,
        },
    };
    let null =
        ZnodeRecord { path: b"/null", data: None, stat: StatPersisted { version: i32::MIN, ..full.stat }, ..full };
    vec![root, full, null]
}

fn write_sample(disk: &SimDisk) -> String {
    disk.make_dir(dir()).unwrap();
    let mut writer = SnapshotWriter::create(disk, dir(), HEADER).unwrap();
    writer.push_session(SessionId(0x1000), 30_000).unwrap();
    writer.push_session(SessionId(-2), 4_000).unwrap();
    writer.push_acl(2, b"first list").unwrap();
    writer.push_acl(9, b"").unwrap();
    for record in records() {
        writer.push_znode(&record).unwrap();
    }
    writer.finish().unwrap().name
}

fn expected() -> Vec<String> {
    let mut lines = vec![format!("{HEADER:?}"), "0x1000 30000".into(), "0xfffffffffffffffe 4000".into()];
    lines.push(format!("2 {:?}", b"first list"));
    lines.push("9 []".into());
    lines.extend(records().iter().map(|record| format!("{record:?}")));
    lines
}

#[test]
fn a_snapshot_is_byte_for_byte_the_golden_one_and_reads_back() {
    let disk = SimDisk::new();
    let name = write_sample(&disk);
    assert_eq!(name, "snapshot-0000000100000002");
    let golden = include_bytes!("../../../tests/goldens/snapshot-v1.bin");
    assert_eq!(disk.bytes(&dir().join(&name)).unwrap(), golden);
    // What is read is the golden file itself.
    let disk = SimDisk::new();
    disk.make_dir(dir()).unwrap();
    disk.open(&dir().join(&name), Access::Create).unwrap().write_at(golden, 0).unwrap();
    let mut found = Collected::default();
    Snapshot::open(&disk, dir(), &name).unwrap().load(2, &mut found).unwrap().unwrap();
    assert_eq!(found.0, expected());
}

#[test]
fn every_flipped_bit_of_a_snapshot_is_found_or_changes_nothing() {
    let disk = SimDisk::new();
    let name = write_sample(&disk);
    let path = dir().join(&name);
    let length = disk.bytes(&path).unwrap().len();
    let mut harmless = 0;
    for bit in 0..length * 8 {
        disk.rot(&path, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        let mut found = Collected::default();
        match Snapshot::open(&disk, dir(), &name).and_then(|snapshot| snapshot.load(1, &mut found)) {
            Ok(loaded) => {
                loaded.unwrap();
                assert_eq!(found.0, expected(), "bit {bit}");
                harmless += 1;
            }
            Err(SnapshotError::Damaged(_)) => {}
            Err(error) => panic!("bit {bit}: {error}"),
        }
        disk.rot(&path, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
    }
    // Only the zeros between chunks.
    assert!(harmless <= 3 * 15 * 8, "{harmless}");
    for keep in 0..length {
        let disk = disk.copy();
        disk.rot(&path, |bytes| bytes.truncate(keep));
        assert!(matches!(Snapshot::open(&disk, dir(), &name), Err(SnapshotError::Damaged(_))), "cut at {keep}");
    }
}

#[test]
fn many_chunks_arrive_in_order_whatever_the_threads() {
    let disk = SimDisk::new();
    disk.make_dir(dir()).unwrap();
    let mut writer = SnapshotWriter::create(&disk, dir(), SnapshotHeader::default()).unwrap();
    let data = vec![1; 5000];
    for number in 0..3000 {
        let path = format!("/{number}");
        writer.push_znode(&ZnodeRecord { path: path.as_bytes(), data: Some(&data), ..Default::default() }).unwrap();
    }
    let written = writer.finish().unwrap();
    let snapshot = Snapshot::open(&disk, dir(), &written.name).unwrap();
    assert_eq!(snapshot.entries().len(), 15);
    assert!(snapshot.entries().iter().all(|entry| entry.length as usize <= format::CHUNK + 8192));
    struct Count(usize);
    impl Replay for Count {
        fn restart(&mut self) {}
        fn snapshot(&mut self, _: &SnapshotHeader) -> Result<(), ReplayError> {
            Ok(())
        }
        fn session(&mut self, _: SessionId, _: i32) -> Result<(), ReplayError> {
            unreachable!("nothing of the kind is there")
        }
        fn acl(&mut self, _: u32, _: &[u8]) -> Result<(), ReplayError> {
            unreachable!("nothing of the kind is there")
        }
        fn znode(&mut self, record: &ZnodeRecord<'_>) -> Result<(), ReplayError> {
            assert_eq!(record.path, format!("/{}", self.0).as_bytes());
            self.0 += 1;
            if self.0 == 2999 { Err(ReplayError::UnknownAcl(7)) } else { Ok(()) }
        }
        fn snapshot_done(&mut self, _: &SnapshotHeader) -> Result<(), ReplayError> {
            Ok(())
        }
        fn txn(&mut self, _: Zxid, _: &[u8]) -> Result<(), ReplayError> {
            unreachable!("nothing of the kind is there")
        }
    }
    for threads in [1, 2, 3, 100] {
        let mut count = Count(0);
        assert_eq!(snapshot.load(threads, &mut count).unwrap(), Err(ReplayError::UnknownAcl(7)));
        assert_eq!(count.0, 2999);
        snapshot.verify(threads).unwrap();
    }
}

#[test]
fn retention_keeps_what_the_oldest_kept_snapshot_needs() {
    let disk = SimDisk::new();
    let mut server = Server::start(&disk).unwrap();
    let options = RetentionOptions { snapshots: 2, spares: 1, threads: 1 };
    let id = server.directory.identity.directory;
    let mut retention = Retention::default();
    server.snapshot().unwrap();
    server.write(1).unwrap();
    let purged = retention.purge(&disk, dir(), log_dir(), id, &options).unwrap();
    assert_eq!(purged, Default::default(), "one snapshot is fewer than two");
    let mut taken = Vec::new();
    for _ in 0..4 {
        for _ in 0..5 {
            server.write(2).unwrap();
        }
        taken.push(server.snapshot().unwrap());
    }
    // A damaged one does not count.
    disk.rot(&dir().join(&taken[3]), |bytes| bytes[130] ^= 1);
    let purged = retention.purge(&disk, dir(), log_dir(), id, &options).unwrap();
    assert_eq!(purged.damaged, [taken[3].clone()]);
    assert_eq!(purged.snapshots.len(), 2);
    assert!(!purged.segments.is_empty());
    let files = names(&disk);
    assert_eq!(files.iter().filter(|name| name.starts_with("spare-")).count(), 1, "{files:?}");
    let kept: Vec<_> = load::list(&disk, dir()).unwrap().into_iter().map(|(_, name)| name).collect();
    assert_eq!(kept, [taken[3].clone(), taken[2].clone(), taken[1].clone()]);
    // The older of the kept ones still reaches the present.
    disk.rot(&dir().join(&taken[2]), |bytes| bytes[130] ^= 1);
    let state = server.state.clone();
    drop(server);
    assert_eq!(Server::start(&disk).unwrap().state.applied, state.applied);
}

#[test]
fn a_directory_of_somebody_else_is_refused_and_left_alone() {
    let open = |disk: &SimDisk, server| {
        identity::open(disk, dir(), dir(), Starter::Member(server), [1; 16]).map_err(|fatal| fatal.reason)
    };
    let disk = SimDisk::new();
    let mut first = open(&disk, 3).unwrap();
    first.mark_member(&disk).unwrap();
    assert_eq!(open(&disk, 3).err(), Some(Reason::DataDirectoryLocked));
    drop(first);
    assert_eq!(open(&disk, 4).err(), Some(Reason::WrongDataDirectory));
    assert_eq!(open(&disk, 3).unwrap().identity.server, 3);

    for foreign in ["version-2", "log-0000000000000001", "snapshot-0000000000000000"] {
        let disk = SimDisk::new();
        disk.make_dir(dir()).unwrap();
        disk.open(&dir().join(foreign), Access::Create).unwrap();
        let calls = disk.calls();
        assert_eq!(open(&disk, 0).err(), Some(Reason::WrongDataDirectory), "{foreign}");
        assert_eq!((disk.calls(), disk.list(dir()).unwrap().len()), (calls, 1));
    }
    // Files that are nobody's data do no harm.
    let disk = SimDisk::new();
    disk.make_dir(dir()).unwrap();
    disk.open(&dir().join("myid"), Access::Create).unwrap();
    assert!(open(&disk, 0).is_ok());
}

#[test]
fn files_of_another_directory_are_refused() {
    let disk = SimDisk::new();
    let mut server = Server::start(&disk).unwrap();
    server.write(1).unwrap();
    let name = server.snapshot().unwrap();
    drop(server);
    for kind in ["log", "snapshot"] {
        let other = SimDisk::new();
        drop(identity::open(&other, dir(), log_dir(), Starter::Alone(None), [6; 16]).unwrap());
        let name = if kind == "log" { "log-0000000000000001" } else { name.as_str() };
        let bytes = disk.bytes(&path(name)).unwrap();
        other.open(&path(name), Access::Create).unwrap().write_at(&bytes, 0).unwrap();
        assert_eq!(Server::start(&other).err().unwrap().reason, Reason::WrongDataDirectory, "{kind}");
    }
}

#[test]
fn the_session_secret_is_made_once() {
    let disk = SimDisk::new();
    let directory = identity::open(&disk, dir(), dir(), Starter::Alone(None), [1; 16]).unwrap();
    assert_eq!(directory.session_secret(&disk, [7; 32]), Ok([7; 32]));
    assert_eq!(directory.session_secret(&disk, [8; 32]), Ok([7; 32]));
    disk.rot(&dir().join("session-secret"), |bytes| bytes[3] ^= 1);
    let fatal = directory.session_secret(&disk, [8; 32]).unwrap_err();
    assert!(fatal.detail.contains("session-secret"), "{fatal}");
}

#[test]
fn the_tools_say_what_is_there() {
    let disk = SimDisk::new();
    let mut server = Server::start(&disk).unwrap();
    server.write(2).unwrap();
    server.write(1).unwrap();
    let name = server.snapshot().unwrap();
    let id = server.directory.identity.directory;
    let mut lines = Vec::new();
    assert!(inspect::verify_log(&disk, log_dir(), id, &mut |line| lines.push(line)).unwrap());
    assert_eq!(lines.last().unwrap(), "whole: 3 transactions after 0x0, the last is 0x3");
    lines.clear();
    let describe = |txn: &[u8]| format!("{} times {:?}", txn.len(), txn.first());
    assert!(inspect::dump_log(&disk, log_dir(), Some(&describe), &mut |line| lines.push(line)).unwrap());
    assert!(lines[1].contains("2 transactions 0x1..0x2, durable up to 0x0"), "{lines:?}");
    assert_eq!(lines[2], "    0x1: 700 bytes: 700 times Some(1)");
    lines.clear();
    assert!(inspect::verify_snapshots(&disk, dir(), &mut |line| lines.push(line)).unwrap());
    assert!(lines[0].starts_with(&format!("{name}: whole: taken at 0x3, digest 0x1,")), "{lines:?}");
    lines.clear();
    assert!(inspect::dump_snapshot(&disk, dir(), &name, &describe, &mut |line| lines.push(line)).unwrap());
    assert_eq!(lines[0], "session 0x7 timeout 3000 ms");
    assert!(lines[2].starts_with("/0x1 data 700 bytes acl 0 owner 0x0 czxid 0x0 mzxid 0x1"), "{lines:?}");

    disk.rot(&path("log-0000000000000001"), |bytes| bytes[4096 + 100] ^= 1);
    disk.rot(&dir().join(&name), |bytes| bytes[140] ^= 1);
    lines.clear();
    assert!(!inspect::verify_log(&disk, log_dir(), id, &mut |line| lines.push(line)).unwrap());
    assert!(lines.last().unwrap().starts_with("damaged: log-0000000000000001 at byte 4096"), "{lines:?}");
    assert!(!inspect::dump_log(&disk, log_dir(), None, &mut |line| lines.push(line)).unwrap());
    assert!(!inspect::verify_snapshots(&disk, dir(), &mut |line| lines.push(line)).unwrap());
    assert!(lines.last().unwrap().contains("chunk 0 at byte 128 is damaged"), "{lines:?}");
}

/// What cutting a log in the middle of a frame needs: the kept part of the frame is in the new segment from the
/// moment that segment exists.
#[test]
fn the_kept_part_of_a_split_frame_begins_the_next_segment() {
    use crate::storage::log::chain::Chain;
    use crate::storage::log::segment::{Position, SegmentId};
    let disk = SimDisk::new();
    let mut server = Server::start(&disk).unwrap();
    server.write(1).unwrap();
    let id = server.directory.identity.directory;
    let position = Chain::discover(&disk, log_dir(), id).unwrap().replay(&disk, log_dir(), Zxid(0), &mut |_, _| Ok(()));
    let after: Position = position.unwrap().position;
    server.write(2).unwrap();
    drop(server);
    let kept = [(Zxid(2), txn(Zxid(2)))];
    let opened = segment::begin(&disk, log_dir(), id, SegmentId(9), LOG.segment_bytes, after, &kept).unwrap();
    assert_eq!(opened.zxid, Zxid(2));
    let mut server = Server::start(&disk).unwrap();
    assert_eq!(server.state.applied, [Zxid(1), Zxid(2)]);
    server.write(3).unwrap();
    drop(server);
    assert_eq!(Server::start(&disk).unwrap().state.last(), Zxid(5));
}

#[test]
fn the_number_of_a_spare_is_not_given_again() {
    use crate::storage::log::segment::SegmentId;
    let disk = SimDisk::new();
    drop(Server::start(&disk).unwrap());
    disk.open(&path(&SegmentId(0xff).spare_name()), Access::Create).unwrap();
    assert_eq!(Server::start(&disk).unwrap().log.segment(), SegmentId(0x100));
}

/// A start may lose power after it has begun a spare and before the spare has its new name. The next start gives
/// the same number again, perhaps to the same file.
#[test]
fn a_spare_begun_before_under_the_same_number_holds_nothing() {
    use crate::storage::log::segment::{Position, SegmentId};
    let disk = SimDisk::new();
    let server = Server::start(&disk).unwrap();
    let id = server.directory.identity.directory;
    drop(server);
    let kept = [(Zxid(1), txn(Zxid(1)))];
    let other = SimDisk::new();
    other.make_dir(log_dir()).unwrap();
    segment::begin(&other, log_dir(), id, SegmentId(2), LOG.segment_bytes, Position::default(), &kept).unwrap();
    let begun = other.bytes(&path(&SegmentId(2).file_name())).unwrap();
    let spare = disk.open(&path(&SegmentId(1).spare_name()), Access::Create).unwrap();
    spare.write_at(&begun, 0).unwrap();
    for _ in 0..2 {
        let server = Server::start(&disk).unwrap();
        assert_eq!((server.state.last(), server.recovered.notes.len()), (Zxid(0), 0));
    }
}
