//! Power losses: after one at any moment, and after another during the start that follows, everything
//! acknowledged is there and nothing is refused.

use super::*;
use crate::sim::disk::Choices;

/// Starts after a power loss behind `changes` changes of `server`'s disk; checks what is there; returns the
/// disk as the start found it.
fn restart(server: &Server, changes: usize, choices: &mut Choices, context: &str) -> SimDisk {
    let disk = server.disk.crash(changes, choices);
    let found = disk.copy();
    let restarted = Server::start(&disk).unwrap_or_else(|fatal| panic!("{context}, {changes} changes: {fatal}"));
    check(server, changes, &restarted.state, context);
    found
}

fn check(server: &Server, changes: usize, state: &Model, context: &str) {
    let acknowledged =
        server.promises.iter().rfind(|promise| promise.0 <= changes).map_or(Zxid(0), |promise| promise.1);
    let written = server.promises.iter().find(|promise| promise.0 >= changes).expect("it stopped later").2;
    let last = state.last();
    assert!(
        acknowledged <= last && last <= written,
        "{context}, {changes} changes: found up to {last}, acknowledged {acknowledged}, written {written}"
    );
}

/// A run with everything in it: groups of several sizes, full segments, snapshots, a purge, recycled files.
fn run(disk: &SimDisk) -> Result<Server, Fatal> {
    let mut server = Server::start(disk)?;
    let mut retention = Retention::default();
    for (groups, purge) in [(3, false), (3, true), (5, true), (2, false)] {
        for group in 0..groups {
            server.write(1 + group % 3)?;
        }
        server.snapshot()?;
        if purge {
            server.purge(&mut retention, 1).map_err(recovery::RecoveryError::from)?;
        }
        server.promise();
    }
    server.write(2)?;
    Ok(server)
}

#[test]
fn the_run_recycles_and_rolls() {
    let disk = SimDisk::new();
    let server = run(&disk).unwrap();
    let head = server.log.segment();
    let recycled = (2..=head.0).filter_map(|id| disk.bytes(&path(&segment::SegmentId(id).file_name())));
    let recycled = head > segment::SegmentId(3) && recycled.into_iter().any(|bytes| bytes[76] == 1);
    assert!(recycled, "the run is long enough to say something");
}

#[test]
fn power_loss_at_every_change_loses_nothing_acknowledged() {
    let disk = SimDisk::new();
    let server = run(&disk).unwrap();
    let (mut tried, mut cut_short) = (0u32, 0u32);
    for changes in 0..=disk.changes() {
        let mut choices = Choices::all();
        for attempt in 0.. {
            restart(&server, changes, &mut choices, "all");
            tried += 1;
            if !choices.advance() {
                break;
            }
            if attempt == 300 {
                cut_short += 1;
                for seed in 0..100 {
                    restart(&server, changes, &mut Choices::drawn(seed), "drawn");
                }
                break;
            }
        }
    }
    assert!(tried > 2000, "{tried} tried, {cut_short} cut short");
}

#[test]
fn power_loss_while_starting_after_a_power_loss() {
    let disk = SimDisk::new();
    let server = run(&disk).unwrap();
    for changes in (0..=disk.changes()).step_by(3) {
        for seed in 0..3 {
            let found = restart(&server, changes, &mut Choices::drawn(seed), "first");
            // The second start, watched: it may lose power at any of its own changes.
            let second = Server::start(&found).unwrap();
            for changes_of_start in 0..=found.changes() {
                let third = found.crash(changes_of_start, &mut Choices::drawn(seed ^ changes_of_start as u64));
                let mut third = Server::start(&third).unwrap_or_else(|fatal| panic!("{changes} {seed}: {fatal}"));
                assert_eq!(third.state, second.state, "what a start has shown stays");
                // And it goes on.
                third.write(3).unwrap();
                let (written, disk) = (third.state.clone(), third.disk.clone());
                drop(third);
                assert_eq!(Server::start(&disk).unwrap().state.applied, written.applied);
            }
        }
    }
}

/// The first purge leaves one snapshot and no log from birth: from then on nothing can do without that snapshot's name.
#[test]
fn a_power_loss_after_the_first_purge_finds_the_snapshot_it_relies_on() {
    let disk = SimDisk::new();
    let mut server = Server::start(&disk).unwrap();
    for _ in 0..8 {
        server.write(2).unwrap();
    }
    let begin = disk.changes();
    server.snapshot().unwrap();
    let purged = server.purge(&mut Retention::default(), 1).unwrap();
    assert!(!purged.segments.is_empty() && purged.snapshots.is_empty());
    server.promise();
    for changes in begin..=disk.changes() {
        for seed in 0..12 {
            restart(&server, changes, &mut Choices::drawn(seed), "purged");
        }
    }
}

/// A stop loses power at every change of the disk, or comes to its end; so does the start that follows; what was written then is
/// torn at every change, too. Nothing is refused, and what was acknowledged is there.
#[test]
fn power_loss_at_every_step_of_a_stop_and_of_the_start_behind_it_is_never_refused() {
    let mut server = Server::start(&SimDisk::new()).unwrap();
    for group in 0..4 {
        server.write(1 + group % 2).unwrap();
    }
    let (begin, whole) = (server.disk.changes(), server.state.clone());
    let stopped = server.stop().unwrap();
    assert!(stopped.changes() > begin + 2, "the stop changes something");
    let mut marked = 0;
    for changes in begin..=stopped.changes() {
        for seed in 0..6 {
            let found = stopped.crash(changes, &mut Choices::drawn(seed));
            let begin = found.changes();
            let mut second = Server::start(&found).unwrap_or_else(|fatal| panic!("{changes} {seed}: {fatal}"));
            assert_eq!(second.state.applied, whole.applied);
            marked += usize::from(second.recovered.was_closed);
            second.write(2).unwrap();
            let acknowledged = second.log.durable();
            for later in begin..=found.changes() {
                let third = found.crash(later, &mut Choices::drawn(seed ^ later as u64));
                let third = Server::start(&third).unwrap_or_else(|fatal| panic!("{changes} {seed} {later}: {fatal}"));
                assert!(whole.last() <= third.state.last() && third.state.last() <= acknowledged);
            }
        }
    }
    assert!(marked > 6, "{marked}");
}

#[test]
fn stops_and_starts_take_no_more_space() {
    let disk = SimDisk::new();
    let mut server = Server::start(&disk).unwrap();
    for round in 1..=12 {
        server.write(1).unwrap();
        server.snapshot().unwrap();
        server.purge(&mut Retention::default(), 1).unwrap();
        let disk = server.stop().unwrap();
        server = Server::start(&disk).unwrap();
        assert_eq!((server.state.last(), server.recovered.was_closed), (Zxid(round), true));
        let files = names(&disk);
        assert!(files.len() <= 10, "{files:?}");
        assert!(files.iter().all(|name| disk.bytes(&path(name)).unwrap().len() != 4096 || !name.starts_with("spare")));
    }
}

#[test]
fn restarts_without_writes_take_no_more_space() {
    let disk = SimDisk::new();
    let mut server = Server::start(&disk).unwrap();
    server.write(2).unwrap();
    for _ in 0..10 {
        drop(server);
        server = Server::start(&disk).unwrap();
        assert_eq!(server.state.last(), Zxid(2));
    }
    let files = names(&disk);
    assert!(files.len() <= 6, "{files:?}");
}

/// Every call in turn fails with EIO and with ENOSPC. Nothing more is acknowledged by that process, the reason
/// has its name, and a start after it finds everything acknowledged before.
#[test]
fn a_failing_disk_ends_the_run_by_name_and_loses_nothing_acknowledged() {
    use crate::fatal::Reason;
    let calls = {
        let disk = SimDisk::new();
        run(&disk).unwrap();
        disk.calls()
    };
    assert!(calls > 80, "{calls}");
    for call in 0..calls {
        for (errno, reason) in [(5, Reason::DiskIo), (28, Reason::DiskFull)] {
            let disk = SimDisk::new();
            disk.fail_at(call, errno);
            let fatal = run(&disk).err().unwrap_or_else(|| panic!("call {call} did not fail the run"));
            assert_eq!(fatal.reason, reason, "{fatal}");
            assert!(fatal.detail.contains(DIR) || fatal.detail.contains(LOG_DIR), "{fatal}");
            // The machine goes down as well: what the failed sync had dropped is gone.
            let crashed = disk.crash(disk.changes(), &mut Choices::drawn(call as u64));
            let recovered = Server::start(&crashed).unwrap_or_else(|fatal| panic!("call {call}: {fatal}"));
            assert!(recovered.state.applied.len() <= 64);
        }
    }
}

#[test]
fn a_failed_write_acknowledges_nothing() {
    for back in 1..=2 {
        let disk = SimDisk::new();
        let mut server = Server::start(&disk).unwrap();
        server.write(2).unwrap();
        // The frame's write, or its sync.
        disk.fail_at(disk.calls() + 2 - back, 5);
        let acknowledged = server.log.durable();
        assert!(server.write(1).is_err());
        assert_eq!(server.log.durable(), acknowledged);
        let crashed = disk.crash(disk.changes(), &mut Choices::all());
        assert_eq!(Server::start(&crashed).unwrap().state.last(), acknowledged);
    }
}

#[test]
fn a_full_disk_is_named_and_a_start_after_it_finds_everything() {
    let disk = SimDisk::new();
    let mut server = Server::start(&disk).unwrap();
    disk.limit_space(100_000);
    let failed = (0..1000).find_map(|_| server.write(2).err());
    let fatal = Fatal::from(failed.expect("the disk fills up"));
    assert_eq!(fatal.reason, crate::fatal::Reason::DiskFull);
    let acknowledged = server.log.durable();
    assert!(acknowledged > Zxid(5));
    drop(server);
    let after = disk.copy();
    assert_eq!(Server::start(&after).unwrap().state.last(), acknowledged);
}

/// Long lives, drawn: writes, snapshots, purges, restarts and power losses at any moment, one on top of the other.
#[test]
fn drawn_lives_lose_nothing_acknowledged() {
    for seed in 0..60 {
        let mut choices = Choices::drawn(seed);
        let mut retention = Retention::default();
        let mut server = Server::start(&SimDisk::new()).unwrap();
        let mut losses = 0;
        for step in 0..40 {
            let context = format!("seed {seed} step {step}");
            match choices.pick(8) {
                0..=3 => server.write(1 + choices.pick(4)).unwrap(),
                4 => _ = server.snapshot().unwrap(),
                5 => _ = server.purge(&mut retention, 1 + choices.pick(2)).unwrap(),
                6 => {
                    let (disk, state) = (server.disk.clone(), server.state.clone());
                    if choices.pick(2) == 0 {
                        server.stop().unwrap();
                    } else {
                        drop(server);
                    }
                    server = Server::start(&disk).unwrap();
                    assert_eq!(server.state.applied, state.applied, "{context}");
                }
                _ => {
                    // At a moment since the last start: what was promised before is durable.
                    server.promise();
                    let begin = server.promises[0].0;
                    let changes = begin + choices.pick(server.disk.changes() - begin + 1);
                    let disk = server.disk.crash(changes, &mut choices);
                    let next = Server::start(&disk).unwrap_or_else(|fatal| panic!("{context}: {fatal}"));
                    check(&server, changes, &next.state, &context);
                    server = next;
                    retention = Retention::default();
                    losses += 1;
                }
            }
            server.promise();
        }
        assert!(losses > 0, "seed {seed} says nothing about power losses");
    }
}
