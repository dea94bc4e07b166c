//! Reads a leader's log from disk, for a learner that lacks more transactions than are in memory.

use crate::storage::disk::{Access, Disk, DiskError};
use crate::storage::log::chain::LogError;
use crate::storage::log::seek::{ReadBack, Stretch, read_txns, volume_behind};
use crate::storage::recovery::RecoveryOptions;
use crate::storage::snapshot::load;
use crate::zab::history::Txn;
use crate::zab::leader::LogPart;

/// Carries out `Effect::ReadLog`, on a helper thread; the log's writer and retention work at the same time. A log that
/// cannot be read counts as a log without these transactions: the learner gets a snapshot.
pub(crate) fn read_log(disk: &dyn Disk, place: &RecoveryOptions<'_>, stretch: &Stretch) -> LogPart {
    match read(disk, place, stretch) {
        Ok(part) => part,
        Err(error) => {
            tracing::error!(%error, after = %stretch.after, "the log cannot be read back for a learner");
            LogPart::default()
        }
    }
}

fn read(disk: &dyn Disk, place: &RecoveryOptions<'_>, stretch: &Stretch) -> Result<LogPart, LogError> {
    let log_bytes = volume_behind(disk, place.log_dir, place.directory, stretch.after)?;
    let snapshot_bytes = newest_snapshot_bytes(disk, place)?;
    Ok(match read_txns(disk, place.log_dir, place.directory, stretch)? {
        ReadBack::Txns { txns, whole } => {
            let txns = txns.into_iter().map(|(zxid, bytes)| Txn { zxid, bytes: bytes.into() }).collect();
            LogPart { txns, whole, log_bytes, snapshot_bytes }
        }
        ReadBack::Gone => LogPart::default(),
    })
}

/// The size of the newest snapshot, bytes; 0 if there is none.
fn newest_snapshot_bytes(disk: &dyn Disk, place: &RecoveryOptions<'_>) -> Result<u64, DiskError> {
    match load::list(disk, place.snapshot_dir)?.first() {
        Some((_, name)) => disk.open(&place.snapshot_dir.join(name), Access::Read)?.length(),
        None => Ok(0),
    }
}
