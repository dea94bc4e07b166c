//! The file of the two epochs a member of an ensemble keeps: the newest one promised and the newest one
//! acknowledged.
//!
//! One record holds both, so they move together. It lies in two slots, a block each:
//!
//! ```text
//!  0 magic | version u32 | checksum u32 | slot u32 | zero u32
//! 24 sequence u64 | accepted i64 | current i64 | directory 16 bytes      64 bytes, all little-endian
//! ```
//! The checksum (CRC-32C) covers everything but itself, the slot's number too: a record in the wrong place is
//! none. An update is the next sequence number written to the first slot, synced, then to the second, synced; only
//! then does it count. A power loss therefore damages at most one slot, and a start decides:
//!
//! ```text
//!   slots                        start
//!   both whole, the same         that record
//!   both whole, one newer        the newer one: it was being written, nobody was told; both are made it
//!   one whole, one not           the whole one; both are made it
//!   both whole, same sequence,
//!     other content              refused
//!   neither whole                refused
//!   no file, none is expected    made anew
//!   no file, one is expected     refused
//! ```
//! (ZooKeeper keeps a file for each, and refuses to start between the two renames.)

use super::checksum_around;
use super::disk::{self, Access, Disk, DiskError, DiskFile};
use super::log::frame::{BLOCK, DirectoryId};
use crate::fatal::{Fatal, Reason};
use crate::zab::epochs::Epochs;
use std::path::Path;

/// The file's name, in the directory of the snapshots.
pub(crate) const FILE: &str = "epochs";

/// Where [`replace`] keeps the file as it was.
pub(crate) const KEPT: &str = "epochs.before";

const MAGIC: [u8; 8] = *b"CORRALEP";
const VERSION: u32 = 1;
const SLOTS: usize = 2;
/// Bytes of a slot that mean something.
const RECORD: usize = 64;

/// The file, open. After an error from [`EpochFile::update`] what it holds is known only to the next start: the
/// process must end.
pub(crate) struct EpochFile {
    file: Box<dyn DiskFile>,
    directory: DirectoryId,
    sequence: u64,
    record: Epochs,
}

/// A file that was opened.
pub(crate) struct Opened {
    pub epochs: EpochFile,
    /// What an operator should know: a slot that had to be written again.
    pub note: Option<String>,
}

impl EpochFile {
    /// Opens the file in `dir` and mends it. `first` is what it begins with if there is none; `None` if there
    /// must be one.
    pub(crate) fn open(
        disk: &dyn Disk,
        dir: &Path,
        directory: DirectoryId,
        first: Option<Epochs>,
    ) -> Result<Opened, Fatal> {
        let path = dir.join(FILE);
        let lost = |what: &str| Fatal::new(Reason::EpochsLost, format!("{}: {what}", path.display()));
        let bytes = match disk::read_small(disk, &path, SLOTS * BLOCK) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => {
                let record = first.ok_or_else(|| lost("the file is missing"))?;
                return Ok(Opened { epochs: EpochFile::create(disk, dir, directory, record)?, note: None });
            }
            Err(error) => return Err(error.into()),
        };
        let slot = |number: usize| bytes.get(number * BLOCK..).and_then(|block| decode(block, number, directory));
        let slots = match [slot(0).transpose(), slot(1).transpose()] {
            [Err(UnknownVersion(version)), _] | [_, Err(UnknownVersion(version))] => {
                let what = format!("{}: format version {version}, written by a later version", path.display());
                return Err(Fatal::new(Reason::WrongDataDirectory, what));
            }
            [Ok(first), Ok(second)] => [first, second],
        };
        let (sequence, record) = match slots {
            [Some(first), Some(second)] if first.0 == second.0 && first.1 != second.1 => {
                return Err(lost("its two records contradict each other"));
            }
            [Some(first), Some(second)] => {
                if first.0 > second.0 {
                    first
                } else {
                    second
                }
            }
            [Some(record), None] | [None, Some(record)] => record,
            [None, None] => return Err(lost("neither of its two records is whole")),
        };
        let file = disk.open(&path, Access::Write)?;
        let epochs = EpochFile { file, directory, sequence, record };
        let mut note = None;
        for (number, found) in slots.into_iter().enumerate() {
            if found != Some((sequence, record)) {
                epochs.write_slot(number)?;
                let why = if found.is_some() { "was older than the other one" } else { "was damaged" };
                note = Some(format!("{}: record {number} {why} and was written again", path.display()));
            }
        }
        Ok(Opened { epochs, note })
    }

    fn create(disk: &dyn Disk, dir: &Path, directory: DirectoryId, record: Epochs) -> Result<EpochFile, DiskError> {
        check(record);
        let mut bytes = vec![0; SLOTS * BLOCK];
        for number in 0..SLOTS {
            bytes[number * BLOCK..][..RECORD].copy_from_slice(&encode(number, 1, record, directory));
        }
        disk::replace_small(disk, dir, FILE, &bytes)?;
        let file = disk.open(&dir.join(FILE), Access::Write)?;
        Ok(EpochFile { file, directory, sequence: 1, record })
    }

    /// What is durable in both slots.
    pub(crate) fn record(&self) -> Epochs {
        self.record
    }

    /// Makes `record` durable. Blocks for two writes and syncs, one after the other.
    ///
    /// # Panics
    /// If an epoch would go back, or the one acknowledged is newer than the one promised.
    pub(crate) fn update(&mut self, record: Epochs) -> Result<(), DiskError> {
        check(record);
        let forward = record.accepted >= self.record.accepted && record.current >= self.record.current;
        assert!(forward, "{record:?} after {:?}", self.record);
        if record == self.record {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.record, record);
        self.sequence += 1;
        for number in 0..SLOTS {
            if let Err(error) = self.write_slot(number) {
                self.record = before;
                return Err(error);
            }
        }
        Ok(())
    }

    fn write_slot(&self, number: usize) -> Result<(), DiskError> {
        let bytes = encode(number, self.sequence, self.record, self.directory);
        let mut block = vec![0; BLOCK];
        block[..RECORD].copy_from_slice(&bytes);
        self.file.overwrite_synced(&block, (number * BLOCK) as u64)
    }
}

/// Puts another record in the place of what the file holds, which may be newer, and keeps the file as it was under [`KEPT`]:
/// for an operator's hand ([`Epochs::set_back`]), on the directory of a server that is stopped.
pub(crate) fn replace(disk: &dyn Disk, dir: &Path, directory: DirectoryId, record: Epochs) -> Result<(), DiskError> {
    let before = disk::read_small(disk, &dir.join(FILE), SLOTS * BLOCK)?;
    disk::replace_small(disk, dir, KEPT, &before)?;
    EpochFile::create(disk, dir, directory, record).map(drop)
}

fn check(record: Epochs) {
    assert!(0 <= record.current && record.current <= record.accepted, "{record:?} breaks its order");
}

fn encode(slot: usize, sequence: u64, record: Epochs, directory: DirectoryId) -> [u8; RECORD] {
    let mut bytes = [0; RECORD];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[16..20].copy_from_slice(&(slot as u32).to_le_bytes());
    bytes[24..32].copy_from_slice(&sequence.to_le_bytes());
    bytes[32..40].copy_from_slice(&record.accepted.to_le_bytes());
    bytes[40..48].copy_from_slice(&record.current.to_le_bytes());
    bytes[48..64].copy_from_slice(&directory.0);
    let checksum = checksum_around(&bytes);
    bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// A whole record of a format this program does not read.
struct UnknownVersion(u32);

/// The record of a slot and its sequence number; `None` if it is not whole or not this directory's.
fn decode(block: &[u8], slot: usize, directory: DirectoryId) -> Option<Result<(u64, Epochs), UnknownVersion>> {
    let bytes: &[u8; RECORD] = block.first_chunk()?;
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    if bytes[..8] != MAGIC || checksum_around(bytes) != u32_at(12) {
        return None;
    }
    if u32_at(8) != VERSION {
        return Some(Err(UnknownVersion(u32_at(8))));
    }
    let record = Epochs { accepted: u64_at(32) as i64, current: u64_at(40) as i64 };
    let sound = 0 <= record.current && record.current <= record.accepted;
    let ours = u32_at(16) == slot as u32 && bytes[48..64] == directory.0;
    (sound && ours).then_some(Ok((u64_at(24), record)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::disk::{Choices, SimDisk};
    use std::path::PathBuf;

    const DIRECTORY: DirectoryId = DirectoryId([4; 16]);

    fn dir() -> &'static Path {
        Path::new("data")
    }

    fn path() -> PathBuf {
        dir().join(FILE)
    }

    fn record(accepted: i64, current: i64) -> Epochs {
        Epochs { accepted, current }
    }

    fn open(disk: &SimDisk) -> Result<Opened, Fatal> {
        EpochFile::open(disk, dir(), DIRECTORY, None)
    }

    fn begun() -> (SimDisk, EpochFile) {
        let disk = SimDisk::new();
        disk.make_dir(dir()).unwrap();
        let epochs = EpochFile::open(&disk, dir(), DIRECTORY, Some(record(0, 0))).unwrap().epochs;
        (disk, epochs)
    }

    #[test]
    fn a_power_loss_at_every_step_leaves_the_old_record_or_the_new_one() {
        let records = [record(1, 0), record(1, 1), record(5, 1), record(5, 5)];
        let (disk, mut epochs) = begun();
        disk.settle();
        // After how many changes each had counted.
        let mut counted = vec![(0, record(0, 0))];
        for next in records {
            epochs.update(next).unwrap();
            counted.push((disk.changes(), next));
        }
        let mut tried = 0;
        for changes in 0..=disk.changes() {
            let at = counted.iter().rposition(|(count, _)| *count <= changes).unwrap();
            let mut choices = Choices::all();
            loop {
                let crashed = disk.crash(changes, &mut choices);
                let found = open(&crashed).unwrap().epochs.record();
                let next = counted.get(at + 1).map_or(counted[at].1, |(_, next)| *next);
                assert!(found == counted[at].1 || found == next, "{changes} changes: {found:?}");
                tried += 1;
                // What a start has shown stays, even if it lost power while mending the file.
                let begun = crashed.clone();
                for changes in 0..=begun.changes() {
                    for seed in 0..4 {
                        let again = begun.crash(changes, &mut Choices::drawn(seed));
                        assert_eq!(open(&again).unwrap().epochs.record(), found);
                    }
                }
                if !choices.advance() {
                    break;
                }
            }
        }
        assert!(tried > 20, "{tried}");
    }

    #[test]
    fn a_power_loss_while_the_file_is_made_leaves_none_or_a_whole_one() {
        let (disk, _) = begun();
        for changes in 0..=disk.changes() {
            for seed in 0..50 {
                let crashed = disk.crash(changes, &mut Choices::drawn(seed));
                let opened = EpochFile::open(&crashed, dir(), DIRECTORY, Some(record(0, 0))).unwrap();
                assert_eq!(opened.epochs.record(), record(0, 0));
                assert!(opened.note.is_none());
            }
        }
    }

    #[test]
    fn every_flipped_bit_of_one_record_is_mended_from_the_other_and_of_both_is_refused() {
        let (disk, mut epochs) = begun();
        epochs.update(record(7, 3)).unwrap();
        for bit in 0..RECORD * 8 {
            let flip = |disk: &SimDisk, slot: usize| {
                assert!(disk.rot(&path(), |bytes| bytes[slot * BLOCK + bit / 8] ^= 1 << (bit % 8)));
            };
            for slot in 0..SLOTS {
                let damaged = disk.copy();
                flip(&damaged, slot);
                let opened = open(&damaged).unwrap();
                // Four bytes say nothing and are covered all the same.
                assert_eq!(opened.epochs.record(), record(7, 3), "bit {bit}");
                assert!(opened.note.is_some(), "bit {bit}");
                flip(&damaged, 1 - slot);
                assert_eq!(open(&damaged).unwrap().epochs.record(), record(7, 3), "mended before, bit {bit}");
            }
            let damaged = disk.copy();
            flip(&damaged, 0);
            flip(&damaged, 1);
            assert_eq!(open(&damaged).err().map(|fatal| fatal.reason), Some(Reason::EpochsLost), "bit {bit}");
        }
    }

    #[test]
    fn a_record_is_set_back_whole_or_not_at_all_and_what_was_there_is_kept() {
        let (disk, mut epochs) = begun();
        epochs.update(record(1 << 30, 3)).unwrap();
        let before = disk.bytes(&path()).unwrap();
        disk.settle();
        replace(&disk, dir(), DIRECTORY, record(4, 3)).unwrap();
        assert_eq!(open(&disk).unwrap().epochs.record(), record(4, 3));
        assert_eq!(disk.bytes(&dir().join(KEPT)), Some(before));
        for changes in 0..=disk.changes() {
            for seed in 0..20 {
                let found = open(&disk.crash(changes, &mut Choices::drawn(seed))).unwrap().epochs.record();
                assert!(found == record(1 << 30, 3) || (found == record(4, 3) && changes > 0), "{found:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_believed_is_refused() {
        let (disk, mut epochs) = begun();
        epochs.update(record(7, 3)).unwrap();
        let refused = |disk: &SimDisk| open(disk).err().map(|fatal| fatal.reason);
        let swapped = disk.copy();
        swapped.rot(&path(), |bytes| {
            let (first, second) = bytes.split_at_mut(BLOCK);
            first.swap_with_slice(second);
        });
        assert_eq!(refused(&swapped), Some(Reason::EpochsLost), "a record in the wrong place is none");
        let cut = disk.copy();
        cut.rot(&path(), |bytes| bytes.truncate(10));
        assert_eq!(refused(&cut), Some(Reason::EpochsLost));
        let other = disk.copy();
        let contradicting = encode(1, 2, record(8, 3), DIRECTORY);
        other.rot(&path(), |bytes| bytes[BLOCK..][..RECORD].copy_from_slice(&contradicting));
        assert_eq!(refused(&other), Some(Reason::EpochsLost));
        let unsound = disk.copy();
        unsound.rot(&path(), |bytes| {
            for slot in 0..SLOTS {
                bytes[slot * BLOCK..][..RECORD].copy_from_slice(&encode(slot, 9, record(1, 3), DIRECTORY));
            }
        });
        assert_eq!(refused(&unsound), Some(Reason::EpochsLost));
        let later = disk.copy();
        later.rot(&path(), |bytes| {
            bytes[8] = 2;
            let checksum = checksum_around(&bytes[..RECORD]);
            bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        });
        assert_eq!(refused(&later), Some(Reason::WrongDataDirectory));
        let stranger = EpochFile::open(&disk, dir(), DirectoryId([5; 16]), Some(record(0, 0)));
        assert_eq!(stranger.err().map(|fatal| fatal.reason), Some(Reason::EpochsLost));
        disk.remove(&path()).unwrap();
        assert_eq!(refused(&disk), Some(Reason::EpochsLost), "it was there once");
    }

    #[test]
    fn a_failed_write_is_an_error_and_the_next_start_finds_a_whole_record() {
        let calls = {
            let (disk, mut epochs) = begun();
            let before = disk.calls();
            epochs.update(record(7, 3)).unwrap();
            disk.calls() - before
        };
        assert_eq!(calls, 4, "two writes, two syncs");
        for call in 0..calls {
            let (disk, mut epochs) = begun();
            disk.settle();
            disk.fail_at(disk.calls() + call, 5);
            assert!(epochs.update(record(7, 3)).is_err());
            assert_eq!(epochs.record(), record(0, 0));
            let found = open(&disk.crash(disk.changes(), &mut Choices::all())).unwrap().epochs.record();
            assert!(found == record(0, 0) || (call >= 2 && found == record(7, 3)), "call {call}: {found:?}");
        }
    }

    #[test]
    fn epochs_do_not_go_back() {
        let (_, mut epochs) = begun();
        epochs.update(record(7, 3)).unwrap();
        for wrong in [record(6, 3), record(7, 2), record(8, 9)] {
            let mut update = std::panic::AssertUnwindSafe(&mut epochs);
            assert!(std::panic::catch_unwind(move || update.update(wrong)).is_err(), "{wrong:?}");
        }
    }
}
