//! Logs that are cut, and logs that begin anew behind a leader's state: a power loss at any step leaves the state
//! before or the one after, and what comes later agrees with it.

use super::*;
use crate::sim::disk::Choices;
use crate::storage::log::chain::Chain;
use crate::storage::rebase::{self, TruncateError};
use crate::storage::recovery::RecoveryError;

impl Server {
    /// Cuts the log, and goes on from there in the next epoch.
    fn truncate(&mut self, zxid: Zxid) -> Result<(), TruncateError> {
        let (options, above) = (options(&self.directory), self.log.highest());
        let opened = rebase::truncate(&self.disk, &options, zxid, above, &LOG, SPARES)?;
        let mut state = Model::default();
        let recovered = recovery::recover(&self.disk, &options, &mut state).expect("what is left can be recovered");
        assert_eq!((recovered.zxid, opened.zxid), (zxid, zxid));
        self.state = state;
        self.go_on(&opened);
        Ok(())
    }

    /// Takes over a leader's state, and goes on from there in the next epoch.
    fn install(&mut self, state: &Model) -> Result<(), Fatal> {
        let options = options(&self.directory);
        let next = rebase::next_segment(&self.disk, &options, self.log.highest()).map_err(RecoveryError::from)?;
        self.snapshot_of(state, true, next)?;
        let opened = rebase::begin_behind(&self.disk, &options, state.last(), next, &LOG, SPARES)?;
        self.state = Model { sessions: 1, acls: 1, ..state.clone() };
        self.go_on(&opened);
        Ok(())
    }

    fn go_on(&mut self, opened: &segment::OpenSegment) {
        let epoch = self.epoch + 2;
        self.log = LogWriter::new(opened, LOG).expect("the options fit");
        self.epoch = epoch;
        self.promise();
    }
}

/// Several segments, frames of several transactions, snapshots at 6 and at the end.
fn long_log(disk: &SimDisk) -> Server {
    let mut server = Server::start(disk).unwrap();
    for group in 0..13 {
        server.write(1 + group % 4).unwrap();
        if server.state.last() == Zxid(6) {
            server.snapshot().unwrap();
        }
    }
    assert!(server.state.last() > Zxid(26) && server.log.segment() > SegmentId(3));
    server.snapshot().unwrap();
    server
}

fn upto(state: &Model, zxid: Zxid) -> Vec<Zxid> {
    state.applied.iter().copied().filter(|applied| *applied <= zxid).collect()
}

/// Starts on a copy, writes a little, starts again: what was there and what was written is there.
fn goes_on(disk: &SimDisk, expected: &[Zxid], context: &str) {
    let disk = disk.copy();
    let mut server = Server::start(&disk).unwrap_or_else(|fatal| panic!("{context}: {fatal}"));
    assert_eq!(server.state.applied, expected, "{context}");
    server.epoch += 1;
    server.write(2).unwrap();
    server.snapshot().unwrap();
    server.write(3).unwrap();
    server.purge(&mut Retention::default(), 1).unwrap();
    let state = server.state.clone();
    drop(server);
    let again = Server::start(&disk).unwrap_or_else(|fatal| panic!("{context}, again: {fatal}"));
    assert_eq!(again.state.applied, state.applied, "{context}, again");
}

#[test]
fn a_log_is_cut_behind_each_of_its_transactions() {
    let last = long_log(&SimDisk::new()).state.last().0;
    let mut split = 0;
    for zxid in (0..=last).map(Zxid) {
        let disk = SimDisk::new();
        let mut server = long_log(&disk);
        let before = server.log.highest();
        let expected = upto(&server.state, zxid);
        server.truncate(zxid).unwrap();
        assert!(server.log.segment() > before, "numbers are not given again");
        assert_eq!((server.state.applied.as_slice(), server.log.durable()), (expected.as_slice(), zxid));
        let head = disk.bytes(&path(&server.log.segment().file_name())).unwrap();
        split += usize::from(head[4096..].iter().any(|byte| *byte != 0));
        let chain = Chain::discover(&disk, Path::new(LOG_DIR), server.directory.identity.directory).unwrap();
        assert!(chain.dead.is_empty(), "dead segments go: {:?}", names(&disk));
        server.write(3).unwrap();
        let written = server.state.applied.clone();
        drop(server);
        goes_on(&disk, &written, &format!("cut behind {zxid}"));
    }
    assert!(split > 5, "{split}: frames were split");
}

#[test]
fn a_power_loss_at_any_step_of_a_cut_leaves_the_log_before_or_after() {
    for zxid in [2, 6, 7, 8, 12, 15] {
        let disk = SimDisk::new();
        let mut server = long_log(&disk);
        let (begin, before) = (disk.changes(), server.state.applied.clone());
        server.truncate(Zxid(zxid)).unwrap();
        let (end, after) = (disk.changes(), server.state.applied.clone());
        let (mut old, mut new) = (0, 0);
        for changes in begin..=end {
            for seed in 0..12 {
                let context = format!("cut behind {zxid}, {changes} of {begin} to {end}, seed {seed}");
                let crashed = disk.crash(changes, &mut Choices::drawn(seed));
                let found = Server::start(&crashed.copy()).unwrap_or_else(|fatal| panic!("{context}: {fatal}"));
                let found = found.state.applied;
                assert!(found == before && changes < end || found == after, "{context}: {found:?}");
                if found == before {
                    old += 1
                } else {
                    new += 1
                }
                goes_on(&crashed, &found, &context);
            }
        }
        assert!(old > 0 && new > 0, "{old} {new}");
    }
}

#[test]
fn what_cannot_be_cut_is_left_as_it_was() {
    let disk = SimDisk::new();
    let mut server = long_log(&disk);
    let last = server.state.last();
    let changes = disk.changes();
    for wrong in [last.next(), Zxid(1 << 32), Zxid(5 << 32 | 3)] {
        let refused = server.truncate(wrong).unwrap_err();
        assert!(matches!(refused, TruncateError::NotThere(zxid) if zxid == wrong), "{refused}");
    }
    assert_eq!(disk.changes(), changes);
    // The only snapshot is that of the end: what was before it cannot be made again.
    server.purge(&mut Retention::default(), 1).unwrap();
    server.write(2).unwrap();
    let changes = disk.changes();
    let refused = server.truncate(Zxid(last.0 - 1)).unwrap_err();
    assert!(matches!(refused, TruncateError::NotThere(_) | TruncateError::NoSnapshot(_)), "{refused}");
    assert!(refused.fatal().is_none());
    assert_eq!(disk.changes(), changes);
    // Damage on the way is not cut over.
    let name = server.log.segment().file_name();
    disk.rot(&path(&name), |bytes| bytes[4096 + 70] ^= 1);
    let damaged = server.truncate(last.next()).unwrap_err();
    assert!(damaged.fatal().is_some());
    assert_eq!(disk.changes(), changes);
}

#[test]
fn a_damaged_snapshot_is_no_ground_to_cut_on() {
    let disk = SimDisk::new();
    let mut server = Server::start(&disk).unwrap();
    for _ in 0..8 {
        server.write(2).unwrap();
    }
    let name = server.snapshot().unwrap();
    server.purge(&mut Retention::default(), 1).unwrap();
    server.write(2).unwrap();
    server.write(2).unwrap();
    let cut = Zxid(server.state.last().0 - 2);
    disk.rot(&path(&name), |bytes| bytes[200] ^= 1);
    assert!(matches!(server.truncate(cut), Err(TruncateError::NoSnapshot(_))));
    disk.rot(&path(&name), |bytes| bytes[200] ^= 1);
    server.truncate(cut).unwrap();
    assert_eq!(server.state.last(), cut);
}

#[test]
fn every_failing_call_ends_a_cut_and_a_start_after_it_finds_before_or_after() {
    let zxid = Zxid(12);
    let calls = {
        let disk = SimDisk::new();
        let mut server = long_log(&disk);
        let before = disk.calls();
        server.truncate(zxid).unwrap();
        disk.calls() - before
    };
    assert!(calls > 5, "{calls}");
    for call in 0..calls {
        let disk = SimDisk::new();
        let mut server = long_log(&disk);
        let before = server.state.applied.clone();
        disk.fail_at(disk.calls() + call, 5);
        let failed = server.truncate(zxid).unwrap_err().fatal().expect("the process ends");
        assert_eq!(failed.reason, crate::fatal::Reason::DiskIo, "call {call}");
        let crashed = disk.crash(disk.changes(), &mut Choices::drawn(call as u64));
        let found = Server::start(&crashed).unwrap_or_else(|fatal| panic!("call {call}: {fatal}")).state.applied;
        assert!(found == before || found == upto(&Model { applied: before, ..Model::default() }, zxid), "call {call}");
    }
}

#[test]
fn a_segment_that_was_under_way_for_the_old_writer_does_no_harm() {
    let disk = SimDisk::new();
    let mut server = long_log(&disk);
    let request = server.log.needs_segment().expect("it holds something");
    server.truncate(Zxid(12)).unwrap();
    assert!(server.log.segment() > request.id);
    segment::prepare(&disk, Path::new(LOG_DIR), request.id, request.capacity).unwrap();
    for _ in 0..4 {
        server.write(3).unwrap();
    }
    let written = server.state.applied.clone();
    drop(server);
    goes_on(&disk, &written, "late segment");
}

/// A history of which the leader knows the first six, and goes on with two of an epoch before our last. There are
/// snapshots of ours, or none.
fn overtaken(disk: &SimDisk, with_snapshots: bool) -> (Server, Model) {
    let mut server = Server::start(disk).unwrap();
    for _ in 0..4 {
        server.write(2).unwrap();
    }
    if with_snapshots {
        server.snapshot().unwrap();
    }
    server.epoch = 2;
    server.write(3).unwrap();
    if with_snapshots {
        server.snapshot().unwrap();
    }
    server.write(1).unwrap();
    let mut applied = upto(&server.state, Zxid(6));
    applied.extend([Zxid(1 << 32 | 1), Zxid(1 << 32 | 2)]);
    let theirs = Model { applied, ..Model::default() };
    assert!(theirs.last() < server.state.last());
    (server, theirs)
}

#[test]
fn a_power_loss_at_any_step_of_an_installation_leaves_our_history_or_theirs_and_never_a_mixture() {
    [true, false].into_iter().for_each(power_is_lost_during_an_installation);
}

fn power_is_lost_during_an_installation(with_snapshots: bool) {
    let disk = SimDisk::new();
    let (mut server, theirs) = overtaken(&disk, with_snapshots);
    let (begin, before) = (disk.changes(), server.state.applied.clone());
    server.install(&theirs).unwrap();
    let end = disk.changes();
    let (mut old, mut new) = (0, 0);
    for changes in begin..=end {
        for seed in 0..12 {
            let context = format!("{changes} of {begin} to {end}, seed {seed}");
            let crashed = disk.crash(changes, &mut Choices::drawn(seed));
            let started = crashed.copy();
            let server = Server::start(&started).unwrap_or_else(|fatal| panic!("{context}: {fatal}"));
            let found = server.state.applied.clone();
            assert!(found == before && changes < end || found == theirs.applied, "{context}: {found:?}");
            if found == before {
                old += 1
            } else {
                new += 1
            }
            goes_on(&crashed, &found, &context);
            // Whatever snapshot is damaged later, no start mixes the two: segments are begun meanwhile, and what
            // was not finished must not pass for where they go on from.
            drop(server);
            for _ in 0..3 {
                let server = Server::start(&started).unwrap_or_else(|fatal| panic!("{context}: {fatal}"));
                assert_eq!(server.state.applied, found, "{context}");
            }
            for name in names(&started).into_iter().filter(|name| name.starts_with("snapshot")) {
                let damaged = started.copy();
                damaged.rot(&path(&name), |bytes| bytes[200] ^= 1);
                if let Ok(server) = Server::start(&damaged) {
                    let again = server.state.applied;
                    assert!(again == found, "{context}, {name} damaged: {again:?}");
                }
            }
        }
    }
    assert!(old > 0 && new > 0, "{old} {new}");
    server.write(4).unwrap();
    let written = server.state.applied.clone();
    assert!(written.starts_with(&theirs.applied));
    drop(server);
    goes_on(&disk, &written, "after an installation");
}

/// Long lives, drawn, with cuts and installations among writes, snapshots, purges and restarts; a power loss now
/// and then in the midst of any of them.
#[test]
fn drawn_lives_with_cuts_and_installations() {
    let (mut cuts, mut installations, mut losses) = (0, 0, 0);
    for seed in 0..80 {
        let mut choices = Choices::drawn(seed);
        let mut server = Server::start(&SimDisk::new()).unwrap();
        for step in 0..30 {
            let context = format!("seed {seed} step {step}");
            let (begin, before) = (server.disk.changes(), server.state.applied.clone());
            let mut writes = false;
            match choices.pick(10) {
                0..=4 => {
                    writes = true;
                    server.write(1 + choices.pick(4)).unwrap();
                }
                5 => _ = server.snapshot().unwrap(),
                6 => _ = server.purge(&mut Retention::default(), 1 + choices.pick(2)).unwrap(),
                7 if !before.is_empty() => match server.truncate(before[choices.pick(before.len())]) {
                    Ok(()) => cuts += 1,
                    Err(refused) => assert!(refused.fatal().is_none(), "{context}"),
                },
                8 => {
                    let known = choices.pick(before.len() + 1);
                    let mut applied = before[..known].to_vec();
                    // Of an epoch nobody here has written in, often before the last one here.
                    let epoch = applied.last().map_or(0, |last| last.epoch()) | 1;
                    let begin = applied.last().filter(|last| last.epoch() == epoch).map_or(0, |last| last.counter());
                    let unknown =
                        (1..=1 + choices.pick(3) as i64).map(|at| Zxid(epoch << 32 | (i64::from(begin) + at)));
                    applied.extend(unknown);
                    server.install(&Model { applied, ..Model::default() }).unwrap();
                    installations += 1;
                }
                _ => {
                    let disk = server.disk.clone();
                    drop(server);
                    server = Server::start(&disk).unwrap();
                    server.epoch += 2;
                    assert_eq!(server.state.applied, before, "{context}");
                }
            }
            // Own epochs are even.
            server.epoch += server.epoch % 2;
            let (end, after) = (server.disk.changes(), server.state.applied.clone());
            if choices.pick(4) == 0 {
                let changes = begin + choices.pick(end - begin + 1);
                let disk = server.disk.crash(changes, &mut choices);
                let epoch = server.epoch;
                server = Server::start(&disk).unwrap_or_else(|fatal| panic!("{context}: {fatal}"));
                server.epoch = epoch + 2;
                let found = &server.state.applied;
                let between = writes && found.starts_with(&before) && after.starts_with(found);
                let one_of_both = *found == after || *found == before && (changes < end || before == after);
                assert!(between || one_of_both, "{context}: {found:?}, before {before:?}, after {after:?}");
                losses += 1;
            }
        }
    }
    assert!(cuts > 50 && installations > 50 && losses > 200, "{cuts} {installations} {losses}");
}

/// A leader's state has been written down, and the log was not begun behind it when the server is stopped: the mark of a stop would
/// be the segment that the snapshot names, and the log of before would pass for what follows it.
#[test]
fn a_stop_in_the_middle_of_an_installation_marks_nothing() {
    let disk = SimDisk::new();
    let mut server = Server::start(&disk).unwrap();
    server.write(5).unwrap();
    let theirs = Model { applied: (1..=3).map(Zxid).chain([Zxid(2 << 32 | 1)]).collect(), ..Model::default() };
    let next = rebase::next_segment(&disk, &options(&server.directory), server.log.highest()).unwrap();
    server.snapshot_of(&theirs, true, next).unwrap();
    let disk = server.stop().unwrap();
    let server = Server::start(&disk).unwrap();
    assert_eq!((server.state.applied, server.recovered.was_closed), (theirs.applied, false));
}
