//! What may go: snapshots beyond the newest few, and the log that only they needed.
//!
//! A segment is needed as long as the oldest snapshot kept, or one newer, would be replayed from it. Freed
//! segments are kept as spares, so that the next ones need no zero-filling; a bounded number of them. Damaged
//! snapshots do not count, and with fewer whole ones than wanted nothing goes.
//!
//! What goes is first given a name that counts for nothing, and only when that is durable removed, gradually: a start
//! meanwhile finds a whole file of that name or none, and removes what is left.

use super::disk::{ASIDE, Access, Disk, DiskError};
use super::log::chain::{Chain, LogError};
use super::log::frame::{BLOCK, DirectoryId};
use super::log::segment::{Named, SegmentId, named};
use super::snapshot::load::{self, Snapshot, SnapshotError};
use crate::ids::Zxid;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// How much is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RetentionOptions {
    /// Whole snapshots (ZooKeeper's autopurge.snapRetainCount, at least 3 there).
    pub snapshots: usize,
    /// Log files kept to be used again.
    pub spares: usize,
    /// Threads that read a snapshot to see whether it is whole.
    pub threads: usize,
}

impl Default for RetentionOptions {
    fn default() -> Self {
        RetentionOptions { snapshots: 3, spares: 2, threads: 1 }
    }
}

/// What a purge did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Purged {
    pub snapshots: Vec<String>,
    pub segments: Vec<SegmentId>,
    /// Damaged snapshots found, which were left alone unless they are older than all that is kept.
    pub damaged: Vec<String>,
}

/// Purges; remembers which snapshots it has found whole.
#[derive(Debug, Default)]
pub(crate) struct Retention {
    whole: BTreeSet<String>,
}

impl Retention {
    /// Says that the snapshot called `name` was written by this process, or loaded: it need not be read again.
    pub(crate) fn is_whole(&mut self, name: &str) {
        self.whole.insert(name.to_string());
    }

    /// Removes what is not needed. To be called on a helper thread, since it may read snapshots. The running log
    /// may go on meanwhile, and segments be prepared for it: only spares are taken there, only others given up here.
    pub(crate) fn purge(
        &mut self,
        disk: &dyn Disk,
        snapshot_dir: &Path,
        log_dir: &Path,
        directory: DirectoryId,
        options: &RetentionOptions,
    ) -> Result<Purged, LogError> {
        let mut purged = Purged::default();
        let mut kept = Vec::new();
        let mut older = Vec::new();
        for (zxid, name) in load::list(disk, snapshot_dir)? {
            if kept.len() == options.snapshots.max(1) {
                older.push(name);
            } else if self.check(disk, snapshot_dir, &name, options.threads)? {
                kept.push(zxid);
            } else {
                purged.damaged.push(name);
            }
        }
        self.whole.retain(|name| !older.contains(name));
        if kept.len() < options.snapshots.max(1) {
            return Ok(purged);
        }
        let oldest = *kept.last().expect("at least one is kept");
        let mut removed = Vec::new();
        for name in older.iter().rev() {
            removed.push(set_aside(disk, snapshot_dir, name)?);
        }
        if !older.is_empty() {
            disk.sync_dir(snapshot_dir)?;
        }
        purged.snapshots = older;
        let chain = Chain::discover_running(disk, log_dir, directory)?;
        purged.segments = not_needed(&chain, oldest);
        removed.extend(give_up(disk, log_dir, &purged.segments, options.spares)?);
        for path in removed {
            disk.remove_gradually(&path)?;
        }
        Ok(purged)
    }

    fn check(&mut self, disk: &dyn Disk, dir: &Path, name: &str, threads: usize) -> Result<bool, DiskError> {
        if self.whole.contains(name) {
            return Ok(true);
        }
        let checked = Snapshot::open(disk, dir, name).and_then(|snapshot| snapshot.verify(threads));
        match checked {
            Ok(()) => {
                self.whole.insert(name.to_string());
                Ok(true)
            }
            Err(SnapshotError::Disk(error)) => Err(error),
            Err(_) => Ok(false),
        }
    }
}

/// The segments, oldest first, that no replay from `oldest` or later reads: those whose successor already begins
/// at or before it.
pub(crate) fn not_needed(chain: &Chain, oldest: Zxid) -> Vec<SegmentId> {
    let goes = |pair: &&[super::log::chain::Segment]| pair[1].header.after.zxid <= oldest;
    chain.segments.windows(2).take_while(goes).map(|pair| pair[0].header.id).collect()
}

/// Makes spares of segments that are no part of the log any more, as long as there are fewer than `spares`, and
/// removes the others, at once. In the order given: oldest first keeps the chain whole at every moment.
pub(crate) fn dispose(disk: &dyn Disk, dir: &Path, segments: &[SegmentId], spares: usize) -> Result<(), DiskError> {
    for path in give_up(disk, dir, segments, spares)? {
        disk.remove(&path)?;
    }
    Ok(())
}

/// The same without removing: the others are set aside, durably. Returns where they are.
fn give_up(disk: &dyn Disk, dir: &Path, segments: &[SegmentId], spares: usize) -> Result<Vec<PathBuf>, DiskError> {
    let names = disk.list(dir)?;
    let mut count = names.iter().filter(|name| matches!(named(name), Some(Named::Spare(_)))).count();
    let mut aside = Vec::new();
    for id in segments {
        // The mark of an orderly stop is no space for anything.
        let is_space = || Ok(disk.open(&dir.join(id.file_name()), Access::Read)?.length()? > BLOCK as u64);
        if count < spares && is_space()? {
            disk.rename(&dir.join(id.file_name()), &dir.join(id.spare_name()))?;
            count += 1;
        } else {
            aside.push(set_aside(disk, dir, &id.file_name())?);
        }
    }
    if !segments.is_empty() {
        disk.sync_dir(dir)?;
    }
    Ok(aside)
}

/// Gives a file the name of one that was never finished.
fn set_aside(disk: &dyn Disk, dir: &Path, name: &str) -> Result<PathBuf, DiskError> {
    let aside = dir.join(format!("{name}{ASIDE}"));
    disk.rename(&dir.join(name), &aside)?;
    Ok(aside)
}
