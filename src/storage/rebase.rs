//! A log that goes on from elsewhere: cut back to an earlier transaction, or begun anew behind a state that
//! came from a leader.
//!
//! Nothing is cut in place. Both open a new segment whose header names what it goes on from, and everything the
//! chain does not reach from there is dead. A power loss at any step leaves what was before or what comes after:
//!
//! ```text
//!   truncate to Z                                     a start finds
//!   1 a snapshot at or before Z, or the birth, and
//!     the log from there to Z have been found whole   the old log
//!   2 snapshots behind Z go                           the old log, from an older snapshot
//!   3 a segment that goes on from Z gets its name     the log up to Z
//!   4 what is dead goes                               the log up to Z
//!
//!   begin behind an installed snapshot at S
//!   1 it gets its name, naming the first segment      the snapshot; or the old log, where a
//!     that may go on from it                          snapshot behind S is still there
//!   2 snapshots behind S go, the oldest first         the same
//!   3 that segment gets its name                      the snapshot
//!   4 what is dead goes                               the snapshot
//! ```
//! To be called on the helper thread that also takes snapshots and purges, with the log's writer idle: nothing
//! else is to touch the two directories meanwhile, except that a segment may be under way for the old writer. It
//! is of no use any more, and its number is not given again.

use super::disk::{Disk, DiskError};
use super::log::chain::{Chain, LogError};
use super::log::frame::{BLOCK, FRAME_HEADER, TXN_HEADER, round_up};
use super::log::segment::{self, OpenSegment, Position, SegmentId};
use super::log::writer::LogOptions;
use super::recovery::RecoveryOptions;
use super::retention;
use super::snapshot::load::{self, Snapshot, SnapshotError};
use crate::fatal::Fatal;
use crate::ids::Zxid;
use std::fmt;

/// Why a log was not cut.
#[derive(Debug)]
pub(crate) enum TruncateError {
    /// The log has no transaction of this zxid. Nothing was changed.
    NotThere(Zxid),
    /// The state at that place could not be recovered: no whole snapshot at or before it, from which the log is
    /// there. Nothing was changed.
    NoSnapshot(Zxid),
    /// The log is damaged, or the disk failed: the process must end.
    Log(LogError),
}

impl From<DiskError> for TruncateError {
    fn from(error: DiskError) -> TruncateError {
        TruncateError::Log(error.into())
    }
}

impl From<LogError> for TruncateError {
    fn from(error: LogError) -> TruncateError {
        TruncateError::Log(error)
    }
}

impl fmt::Display for TruncateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TruncateError::NotThere(zxid) => write!(f, "the log has no transaction {zxid} to be cut behind"),
            TruncateError::NoSnapshot(zxid) => {
                write!(f, "no whole snapshot at or before {zxid} from which the log reaches there")
            }
            TruncateError::Log(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TruncateError {}

impl TruncateError {
    /// The process's end, if it is one; else the log is as it was.
    pub(crate) fn fatal(self) -> Option<Fatal> {
        match self {
            TruncateError::NotThere(_) | TruncateError::NoSnapshot(_) => None,
            TruncateError::Log(error) => Some(super::recovery::RecoveryError::from(error).into()),
        }
    }
}

/// Cuts the log behind `zxid`, which it must hold or begin behind. `above` is the largest number asked for so
/// far, [`super::log::writer::LogWriter::highest`]. The log goes on in what is returned; the state up to there
/// is what [`super::recovery::recover`] finds now. At most `spares` files are kept to be used again.
pub(crate) fn truncate(
    disk: &dyn Disk,
    options: &RecoveryOptions<'_>,
    zxid: Zxid,
    above: SegmentId,
    log: &LogOptions,
    spares: usize,
) -> Result<OpenSegment, TruncateError> {
    let (dir, directory) = (options.log_dir, options.directory);
    let chain = Chain::discover(disk, dir, directory)?;
    let cut = chain.cut_behind(disk, dir, zxid)?.ok_or(TruncateError::NotThere(zxid))?;
    let base = base(disk, options, &chain, zxid)?.ok_or(TruncateError::NoSnapshot(zxid))?;
    // What stays is read once more before anything goes: from here on there is no way back.
    let whole = chain.replay(disk, dir, base, &mut |_, _| Ok(()));
    whole.map_err(TruncateError::Log)?;
    remove_snapshots_behind(disk, options, zxid)?;
    let frame: usize = cut.kept.iter().map(|(_, txn)| TXN_HEADER + txn.len()).sum();
    let capacity = log.first_segment_bytes().max((2 * BLOCK + round_up(FRAME_HEADER + frame)) as u64);
    let id = chain.highest.max(above).next();
    let opened = segment::begin(disk, dir, directory, id, capacity, cut.after, &cut.kept)?;
    assert_eq!(opened.zxid, zxid, "the log ends where it was cut");
    dispose_of_all_but(disk, options, id, spares)?;
    Ok(opened)
}

/// The first segment that may go on from a snapshot which is about to be installed: what its header names as
/// `log_from`. `above` is as for [`truncate`].
pub(crate) fn next_segment(
    disk: &dyn Disk,
    options: &RecoveryOptions<'_>,
    above: SegmentId,
) -> Result<SegmentId, LogError> {
    let chain = Chain::discover_running(disk, options.log_dir, options.directory)?;
    Ok(chain.highest.max(above).next())
}

/// Begins the log anew behind the snapshot at `zxid`, which is durable, installed, and names `log_from`. The log
/// before it and all snapshots behind it go.
pub(crate) fn begin_behind(
    disk: &dyn Disk,
    options: &RecoveryOptions<'_>,
    zxid: Zxid,
    log_from: SegmentId,
    log: &LogOptions,
    spares: usize,
) -> Result<OpenSegment, DiskError> {
    remove_snapshots_behind(disk, options, zxid)?;
    let after = Position { zxid, ..Position::default() };
    let capacity = log.first_segment_bytes();
    let opened = segment::begin(disk, options.log_dir, options.directory, log_from, capacity, after, &[])?;
    dispose_of_all_but(disk, options, log_from, spares)?;
    Ok(opened)
}

/// Marks the orderly stop of a log that ends at `end`, see [`segment::close`]; `above` is as for [`truncate`]. Nothing is done if the
/// log goes on elsewhere by now, or is to: a mark would make the log of before pass for one behind a snapshot that replaced it.
pub(crate) fn close(
    disk: &dyn Disk,
    options: &RecoveryOptions<'_>,
    end: Position,
    above: SegmentId,
) -> Result<(), LogError> {
    let chain = Chain::discover_running(disk, options.log_dir, options.directory)?;
    let mut goes_on_elsewhere = chain.segments.last().is_none_or(|head| head.header.id != end.segment);
    for (_, name) in load::list(disk, options.snapshot_dir)? {
        match Snapshot::open(disk, options.snapshot_dir, &name) {
            Ok(snapshot) => goes_on_elsewhere |= snapshot.header().log_from > end.segment,
            Err(SnapshotError::Disk(error)) => return Err(error.into()),
            Err(_) => {}
        }
    }
    if !goes_on_elsewhere {
        let id = chain.highest.max(above).next();
        segment::close(disk, options.log_dir, options.directory, id, end)?;
    }
    Ok(())
}

/// Where a replay up to `zxid` would begin: at the newest whole snapshot from which the log is there, or at the
/// birth.
fn base(disk: &dyn Disk, options: &RecoveryOptions<'_>, chain: &Chain, zxid: Zxid) -> Result<Option<Zxid>, DiskError> {
    let starts_after = chain.starts_after().unwrap_or(Zxid::ZERO);
    for (at, name) in load::list(disk, options.snapshot_dir)? {
        if at > zxid || at < starts_after {
            continue;
        }
        let checked = Snapshot::open(disk, options.snapshot_dir, &name).and_then(|snapshot| {
            snapshot.verify(options.threads)?;
            Ok(snapshot.header().directory == options.directory)
        });
        match checked {
            Ok(true) => return Ok(Some(at)),
            Ok(false) | Err(SnapshotError::Damaged(_) | SnapshotError::UnknownVersion(_)) => {}
            Err(SnapshotError::Disk(error)) => return Err(error),
        }
    }
    Ok(chain.starts_at_birth().then_some(Zxid::ZERO))
}

/// The oldest first: the newest one goes last, and what a start does with it is what it did before.
fn remove_snapshots_behind(disk: &dyn Disk, options: &RecoveryOptions<'_>, zxid: Zxid) -> Result<(), DiskError> {
    let mut removed = false;
    for (at, name) in load::list(disk, options.snapshot_dir)?.into_iter().rev() {
        if at > zxid {
            disk.remove(&options.snapshot_dir.join(name))?;
            removed = true;
        }
    }
    if removed { disk.sync_dir(options.snapshot_dir) } else { Ok(()) }
}

/// Disposes of the segments that are no part of the log any more, now that it goes on in segment `head`.
fn dispose_of_all_but(
    disk: &dyn Disk,
    options: &RecoveryOptions<'_>,
    head: SegmentId,
    spares: usize,
) -> Result<(), DiskError> {
    let chain = match Chain::discover_running(disk, options.log_dir, options.directory) {
        Ok(chain) => chain,
        Err(LogError::Disk(error)) => return Err(error),
        // What is dead may be damaged; it waits for retention or the next start.
        Err(_) => return Ok(()),
    };
    assert!(chain.segments.last().is_some_and(|segment| segment.header.id == head), "the new segment is the head");
    retention::dispose(disk, options.log_dir, &chain.dead, spares)
}
