//! Rot: every byte of every file, alone. A start finds the whole state, or all but the last write (which cannot
//! be told from a torn one, and is said), or refuses by name. It never finds anything else.

use super::*;
use crate::fatal::Reason;
use crate::storage::log::frame::BLOCK;
use crate::storage::recovery::Plan;

/// Two segments' worth of log, two snapshots, and what was acknowledged when the last frame was written.
fn sample() -> (SimDisk, Model, Zxid) {
    let disk = SimDisk::new();
    let mut server = Server::start(&disk).unwrap();
    server.write(2).unwrap();
    server.snapshot().unwrap();
    for _ in 0..4 {
        server.write(1).unwrap();
    }
    server.snapshot().unwrap();
    server.write(3).unwrap();
    let before_last = server.log.durable();
    server.write(1).unwrap();
    (disk.clone(), server.state.clone(), before_last)
}

/// Starts on damaged files and checks the outcome: the plan, or the refusal.
fn outcome(disk: &SimDisk, whole: &Model, before_last: Zxid, what: &str) -> Result<Plan, Reason> {
    match Server::start(disk) {
        Ok(server) => {
            let found = &server.state.applied;
            assert!(whole.applied.starts_with(found), "{what}: {found:?}");
            if found != &whole.applied {
                assert_eq!(server.state.last(), before_last, "{what}: more than the last write is gone");
                assert!(!server.recovered.notes.is_empty(), "{what}: something is gone and nobody is told");
            }
            Ok(server.recovered.plan)
        }
        Err(fatal) => {
            let reasons = [Reason::LogCorrupt, Reason::LogMissing, Reason::SnapshotCorrupt, Reason::WrongDataDirectory];
            assert!(reasons.contains(&fatal.reason), "{what}: {fatal}");
            Err(fatal.reason)
        }
    }
}

#[test]
fn every_byte_flipped_recovers_or_refuses() {
    let (disk, whole, before_last) = sample();
    let mut outcomes = std::collections::BTreeMap::new();
    for name in names(&disk) {
        let bytes = disk.bytes(&path(&name)).unwrap();
        for at in 0..bytes.len() {
            // Long stretches of zeros that were never written say the same everywhere.
            if bytes[at] == 0 && at % 64 != 0 && at > 256 {
                continue;
            }
            let damaged = disk.copy();
            assert!(damaged.rot(&path(&name), |bytes| bytes[at] ^= 0x41));
            let result = outcome(&damaged, &whole, before_last, &format!("{name} byte {at}"));
            let kind = name.split('-').next().unwrap().to_string();
            *outcomes.entry((kind, format!("{result:?}"))).or_insert(0u32) += 1;
        }
    }
    let seen = |kind: &str, result: &str| outcomes.get(&(kind.to_string(), result.to_string())).copied().unwrap_or(0);
    // The older segment is below the newer snapshot only in part; both answers must occur.
    assert!(seen("log", "Err(LogCorrupt)") > 100, "{outcomes:?}");
    assert!(seen("log", "Ok(SnapshotAndLog)") > 100, "{outcomes:?}");
    assert!(seen("snapshot", "Ok(OlderSnapshot)") > 100, "{outcomes:?}");
    assert_eq!(seen("snapshot", "Err(SnapshotCorrupt)"), 0, "{outcomes:?}");
    assert!(seen("identity", "Err(WrongDataDirectory)") > 30, "{outcomes:?}");
}

#[test]
fn every_file_cut_at_every_length_recovers_or_refuses() {
    let (disk, whole, before_last) = sample();
    for name in names(&disk) {
        let length = disk.bytes(&path(&name)).unwrap().len();
        for keep in (0..length).filter(|keep| length < 8192 || keep % 61 == 0 || keep % 4096 < 2) {
            for zeroed in [false, true] {
                let damaged = disk.copy();
                damaged.rot(&path(&name), |bytes| if zeroed { bytes[keep..].fill(0) } else { bytes.truncate(keep) });
                // A cut may take several frames of the head with it, and leaves no witness if the cut is
                // clean: what is found must still be a beginning with all that a snapshot holds.
                match Server::start(&damaged) {
                    Ok(server) => {
                        assert!(whole.applied.starts_with(&server.state.applied), "{name} cut at {keep}");
                        assert!(server.state.last() >= Zxid(6), "{name} cut at {keep}: behind the newest snapshot");
                    }
                    Err(_) => _ = outcome(&damaged, &whole, before_last, &format!("{name} cut at {keep}")),
                }
            }
        }
    }
}

#[test]
fn the_last_frame_torn_is_dropped_and_said() {
    let (disk, whole, before_last) = sample();
    let head = newest_segment(&disk);
    let bytes = disk.bytes(&path(&head)).unwrap();
    let last =
        (1..bytes.len() / BLOCK).rfind(|block| bytes[block * BLOCK..][..64].iter().any(|byte| *byte != 0)).unwrap();
    for at in (last * BLOCK..last * BLOCK + 70).chain([bytes.len() - 1]) {
        let damaged = disk.copy();
        damaged.rot(&path(&head), |bytes| bytes[at] ^= 1);
        let server = Server::start(&damaged).unwrap();
        if at == bytes.len() - 1 {
            assert_eq!(server.state.applied, whole.applied, "padding is not content");
        } else {
            assert_eq!(server.state.last(), before_last);
            assert!(server.recovered.notes[0].contains("unfinished write"), "{:?}", server.recovered.notes);
        }
    }
}

/// The server was stopped in order: there is no write that could have been under way.
#[test]
fn the_last_frame_damaged_after_an_orderly_stop_is_corruption() {
    let disk = SimDisk::new();
    let mut server = Server::start(&disk).unwrap();
    server.write(2).unwrap();
    server.snapshot().unwrap();
    server.write(1).unwrap();
    server.write(2).unwrap();
    let (whole, head) = (server.state.clone(), path(&server.log.segment().file_name()));
    let end = server.log.closing().unwrap().end as usize;
    let disk = server.stop().unwrap();
    let found = |disk: &SimDisk| Server::start(disk).map(|server| server.state).map_err(|fatal| fatal.reason);
    assert_eq!(found(&disk.copy()).unwrap().applied, whole.applied);
    let bytes = disk.bytes(&head).unwrap();
    let begin = (BLOCK..end).step_by(BLOCK).rfind(|at| bytes[*at..].starts_with(b"CFr1")).unwrap();
    let length = 64 + u32::from_le_bytes(bytes[begin + 28..begin + 32].try_into().unwrap()) as usize;
    for at in begin..begin + length {
        let damaged = disk.copy();
        damaged.rot(&head, |bytes| bytes[at] ^= 0x41);
        assert_eq!(found(&damaged), Err(Reason::LogCorrupt), "byte {} of the frame", at - begin);
    }
    for zeroed_from in (begin..end).step_by(512) {
        let damaged = disk.copy();
        damaged.rot(&head, |bytes| bytes[zeroed_from..].fill(0));
        let is_padding = zeroed_from >= begin + length;
        assert_eq!(found(&damaged).is_ok(), is_padding, "zeros from {} of the frame", zeroed_from - begin);
    }
}

/// The mark is of the stop before: what is torn after the next start is a torn end.
#[test]
fn the_mark_of_an_older_stop_condemns_nothing() {
    let disk = SimDisk::new();
    let mut server = Server::start(&disk).unwrap();
    server.write(2).unwrap();
    let disk = server.stop().unwrap();
    let mut server = Server::start(&disk).unwrap();
    assert!(server.recovered.was_closed);
    server.write(1).unwrap();
    let head = path(&server.log.segment().file_name());
    drop(server);
    disk.rot(&head, |bytes| bytes[BLOCK + 70] ^= 1);
    let server = Server::start(&disk).unwrap();
    assert_eq!((server.state.last(), server.recovered.was_closed), (Zxid(2), false));
    assert!(server.recovered.notes[0].contains("unfinished write"), "{:?}", server.recovered.notes);
}

/// All that the damaged end held is in a snapshot: nothing of it is read.
#[test]
fn a_damaged_end_that_a_snapshot_holds_is_not_needed_after_an_orderly_stop() {
    let disk = SimDisk::new();
    let mut server = Server::start(&disk).unwrap();
    server.write(1).unwrap();
    server.write(1).unwrap();
    server.snapshot().unwrap();
    let (head, end) = (path(&server.log.segment().file_name()), server.log.closing().unwrap().end as usize);
    let disk = server.stop().unwrap();
    disk.rot(&head, |bytes| bytes[end - BLOCK + 70] ^= 1);
    let mut server = Server::start(&disk).unwrap();
    assert_eq!(server.state.last(), Zxid(2));
    server.write(1).unwrap();
    let disk = server.stop().unwrap();
    assert_eq!(Server::start(&disk).unwrap().state.last(), Zxid(3));
}

#[test]
fn a_damaged_mark_is_none() {
    let disk = SimDisk::new();
    let mut server = Server::start(&disk).unwrap();
    server.write(3).unwrap();
    let whole = server.state.clone();
    let disk = server.stop().unwrap();
    let mark = path(&newest_segment(&disk));
    for at in 0..BLOCK {
        let damaged = disk.copy();
        assert!(damaged.rot(&mark, |bytes| bytes[at] ^= 0x41));
        match Server::start(&damaged) {
            Ok(server) => assert_eq!(server.state.applied, whole.applied, "byte {at}"),
            // A version that is not known, with its checksum right, cannot come of one byte.
            Err(fatal) => panic!("byte {at}: {fatal}"),
        }
    }
}

fn newest_segment(disk: &SimDisk) -> String {
    let names = names(disk);
    let begun = |name: &&String| name.starts_with("log-") && disk.bytes(&path(name)).unwrap().starts_with(b"CORRALLG");
    names.iter().rfind(begun).unwrap().clone()
}

#[test]
fn damage_below_the_snapshot_is_passed_over_and_said() {
    let disk = SimDisk::new();
    let mut server = Server::start(&disk).unwrap();
    server.write(1).unwrap();
    server.write(1).unwrap();
    server.snapshot().unwrap();
    server.write(1).unwrap();
    drop(server);
    disk.rot(&path("log-0000000000000001"), |bytes| bytes[BLOCK + 70] ^= 1);
    let server = Server::start(&disk).unwrap();
    assert_eq!(server.state.last(), Zxid(3));
    assert!(server.recovered.notes[0].contains("not needed"), "{:?}", server.recovered.notes);
}

#[test]
fn files_gone_are_missed() {
    let (disk, whole, _) = sample();
    let names = names(&disk);
    let without = |gone: &dyn Fn(&str) -> bool| {
        let disk = disk.copy();
        names.iter().filter(|name| gone(name)).for_each(|name| disk.remove(&path(name)).unwrap());
        Server::start(&disk).map(|server| server.state.applied).map_err(|fatal| fatal.reason)
    };
    let log = |name: &str| name.starts_with("log-");
    let snapshot = |name: &str| name.starts_with("snapshot-");
    assert_eq!(without(&|_| false).as_ref(), Ok(&whole.applied));
    // Both snapshots: the log reaches back to the beginning.
    assert_eq!(without(&snapshot).as_ref(), Ok(&whole.applied));
    assert_eq!(without(&|name| log(name)), Err(Reason::LogMissing));
    assert_eq!(without(&|name| log(name) || snapshot(name)), Err(Reason::LogMissing));
    assert_eq!(without(&|name| name == "log-0000000000000001" || snapshot(name)), Err(Reason::SnapshotCorrupt));
    assert_eq!(without(&|name| name == "identity"), Err(Reason::WrongDataDirectory));
    let head = newest_segment(&disk);
    assert_eq!(without(&|name| name == head), Err(Reason::LogMissing));
}

#[test]
fn a_lost_log_can_be_accepted_once() {
    let (disk, _, _) = sample();
    for name in names(&disk).iter().filter(|name| name.starts_with("log-")) {
        disk.remove(&path(name)).unwrap();
    }
    let mut server = Server::start_with(&disk, true).unwrap();
    assert_eq!((server.state.last(), server.recovered.plan), (Zxid(6), Plan::SnapshotOnly));
    server.write(2).unwrap();
    drop(server);
    let server = Server::start(&disk).unwrap();
    assert_eq!((server.state.last(), server.recovered.plan), (Zxid(8), Plan::SnapshotAndLog));
}

#[test]
fn an_installed_snapshot_ahead_of_the_log_begins_a_new_log() {
    let disk = SimDisk::new();
    let mut server = Server::start(&disk).unwrap();
    server.write(2).unwrap();
    server.snapshot_at(Zxid(9), true).unwrap();
    drop(server);
    let mut server = Server::start(&disk).unwrap();
    assert_eq!((server.state.last(), server.recovered.plan), (Zxid(9), Plan::SnapshotOnly));
    server.write(1).unwrap();
    drop(server);
    assert_eq!(Server::start(&disk).unwrap().state.last(), Zxid(10));
    // Without that snapshot the log is of no use: it begins in the middle.
    disk.rot(&path("snapshot-0000000000000009"), |bytes| bytes[20] ^= 1);
    assert_eq!(Server::start(&disk).err().unwrap().reason, Reason::SnapshotCorrupt);
}

#[test]
fn a_snapshot_ahead_of_the_log_is_a_witness() {
    let disk = SimDisk::new();
    let mut server = Server::start(&disk).unwrap();
    for _ in 0..3 {
        server.write(1).unwrap();
    }
    server.snapshot().unwrap();
    drop(server);
    // The last frame is damaged: torn, were it not for the snapshot.
    disk.rot(&path("log-0000000000000001"), |bytes| bytes[3 * BLOCK + 70] ^= 1);
    assert_eq!(Server::start(&disk).err().unwrap().reason, Reason::LogMissing);
    disk.rot(&path("snapshot-0000000000000003"), |bytes| bytes[20] ^= 1);
    assert_eq!(Server::start(&disk).err().unwrap().reason, Reason::LogMissing);
}

#[test]
fn old_content_of_a_recycled_segment_is_never_taken_for_frames() {
    // A file full of frames becomes a spare; the next segment is made from it, gets one frame, and the rest of
    // the file is old frames, whole and at their places.
    let disk = SimDisk::new();
    let mut server = Server::start(&disk).unwrap();
    for _ in 0..3 {
        server.write(1).unwrap();
    }
    drop(server);
    let old = path("log-0000000000000001");
    let content = disk.bytes(&old).unwrap();
    let server = Server::start(&disk).unwrap();
    server.snapshot().unwrap();
    disk.rename(&old, &path("spare-0000000000000001")).unwrap();
    drop(server);
    let mut server = Server::start(&disk).unwrap();
    let recycled = path(&server.log.segment().file_name());
    server.write(1).unwrap();
    assert_eq!(disk.bytes(&recycled).unwrap()[3 * BLOCK..], content[3 * BLOCK..], "old frames lie behind the new one");
    drop(server);
    let server = Server::start(&disk).unwrap();
    assert_eq!(server.state.last(), Zxid(4));
    assert_eq!(server.recovered.notes, [""; 0]);
}

#[test]
fn a_whole_frame_with_another_past_or_a_gap_is_refused() {
    use crate::storage::log::frame::{Claim, DirectoryId, FrameHeader, claim, seal};
    use crate::storage::log::segment::SegmentId;
    let disk = SimDisk::new();
    let mut server = Server::start(&disk).unwrap();
    for _ in 0..3 {
        server.write(1).unwrap();
    }
    drop(server);
    let log = path("log-0000000000000001");
    let reseal = |change: &dyn Fn(&mut FrameHeader, &mut [u8])| {
        let disk = disk.copy();
        disk.rot(&log, |bytes| {
            let frame = &mut bytes[2 * BLOCK..3 * BLOCK];
            let Claim::Frame(mut header) = claim(frame, SegmentId(1), 2 * BLOCK as u64) else { panic!("a frame") };
            change(&mut header, frame);
            seal(frame, &header, DirectoryId([5; 16]).seed());
        });
        Server::start(&disk).map(|server| server.state.last()).map_err(|fatal| fatal.reason)
    };
    // The third frame then follows another second one than the one there is.
    assert_eq!(reseal(&|header, _| header.durable_upto = Zxid(0)), Err(Reason::LogCorrupt));
    assert_eq!(reseal(&|header, _| header.previous ^= 1), Err(Reason::LogCorrupt));
    let skip_one = |header: &mut FrameHeader, frame: &mut [u8]| {
        (header.first, header.last) = (Zxid(3), Zxid(3));
        frame[68..76].copy_from_slice(&3i64.to_le_bytes());
    };
    assert_eq!(reseal(&skip_one), Err(Reason::LogMissing));
    assert_eq!(reseal(&|_, _| ()), Ok(Zxid(3)));
}

#[test]
fn a_damaged_header_with_frames_behind_it_is_corruption() {
    let disk = SimDisk::new();
    let mut server = Server::start(&disk).unwrap();
    server.write(1).unwrap();
    drop(server);
    let mut server = Server::start(&disk).unwrap();
    server.write(1).unwrap();
    let head = path(&server.log.segment().file_name());
    drop(server);
    disk.rot(&head, |bytes| bytes[20] ^= 1);
    assert_eq!(Server::start(&disk).err().unwrap().reason, Reason::LogCorrupt);
}
