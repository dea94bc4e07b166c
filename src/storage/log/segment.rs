//! Segments: the header block, and how a file becomes the next segment.
//!
//! A segment's number is never given twice, which is what makes the old content of a recycled file harmless:
//! its frames carry another number. A segment handed to a running log is only space (zero-filled, or a spare
//! with old content); the log writer begins it with a header. The first segment of a start is begun here,
//! aside, and gets its name when all of it is durable.

pub(crate) use super::name::Named;
pub use super::name::{SegmentId, named};

use super::frame::{self, BLOCK, DirectoryId, FrameHeader, TXN_HEADER, round_up};
use crate::ids::Zxid;
use crate::storage::checksum_around;
use crate::storage::disk::{ASIDE, Access, Disk, DiskError};
use std::path::Path;

/// Where a segment goes on from: the last frame of its predecessor that counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Position {
    /// The predecessor; [`SegmentId`] zero if this is the first segment of a log.
    pub segment: SegmentId,
    /// The byte behind that frame. Whatever the predecessor holds from there on is dead.
    pub end: u64,
    /// That frame's checksum, or that of the predecessor's header if it had no frame.
    pub checksum: u32,
    /// The last transaction before this segment.
    pub zxid: Zxid,
}

/// A segment's header block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentHeader {
    /// Its number; the file's name has it, too.
    pub id: SegmentId,
    /// The data directory it belongs to; a segment of another one is refused.
    pub directory: DirectoryId,
    /// Bytes of the file.
    pub capacity: u64,
    /// What its first frame comes after.
    pub after: Position,
    /// Whether the file had an earlier life, so that its unused part is not zeros.
    pub recycled: bool,
}

const MAGIC: [u8; 8] = *b"CORRALLG";
const VERSION: u32 = 1;
/// Bytes of the header block that mean something.
const HEADER: usize = 88;

impl SegmentHeader {
    /// Whether the segment is the mark of an orderly stop ([`close`]): it has no room for a frame.
    pub(crate) fn is_mark(&self) -> bool {
        self.capacity == BLOCK as u64
    }

    /// Writes the block and returns its checksum, which the first frame carries on.
    pub(crate) fn encode(&self, block: &mut [u8]) -> u32 {
        assert_eq!(block.len(), BLOCK);
        block.fill(0);
        block[..8].copy_from_slice(&MAGIC);
        block[8..12].copy_from_slice(&VERSION.to_le_bytes());
        block[16..24].copy_from_slice(&self.id.0.to_le_bytes());
        block[24..40].copy_from_slice(&self.directory.0);
        block[40..48].copy_from_slice(&self.capacity.to_le_bytes());
        block[48..56].copy_from_slice(&self.after.segment.0.to_le_bytes());
        block[56..64].copy_from_slice(&self.after.end.to_le_bytes());
        block[64..72].copy_from_slice(&self.after.zxid.0.to_le_bytes());
        block[72..76].copy_from_slice(&self.after.checksum.to_le_bytes());
        block[76..80].copy_from_slice(&u32::from(self.recycled).to_le_bytes());
        let checksum = checksum_around(&block[..HEADER]);
        block[12..16].copy_from_slice(&checksum.to_le_bytes());
        checksum
    }

    /// Reads a block, with its checksum. `None` if it is not a whole header; a version this program does not
    /// know is an error of its own, since such a log must not be taken for an empty one.
    pub(crate) fn decode(block: &[u8]) -> Result<Option<(SegmentHeader, u32)>, UnknownVersion> {
        let Some(block) = block.get(..HEADER) else { return Ok(None) };
        let u32_at = |at: usize| u32::from_le_bytes(block[at..at + 4].try_into().expect("four bytes"));
        let u64_at = |at: usize| u64::from_le_bytes(block[at..at + 8].try_into().expect("eight bytes"));
        let checksum = u32_at(12);
        if block[..8] != MAGIC || checksum_around(&block[..HEADER]) != checksum {
            return Ok(None);
        }
        if u32_at(8) != VERSION {
            return Err(UnknownVersion(u32_at(8)));
        }
        let header = SegmentHeader {
            id: SegmentId(u64_at(16)),
            directory: DirectoryId(block[24..40].try_into().expect("sixteen bytes")),
            capacity: u64_at(40),
            after: Position {
                segment: SegmentId(u64_at(48)),
                end: u64_at(56),
                zxid: Zxid(u64_at(64) as i64),
                checksum: u32_at(72),
            },
            recycled: u32_at(76) != 0,
        };
        Ok(Some((header, checksum)))
    }
}

/// A whole header of a format this program does not read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct UnknownVersion(pub u32);

/// A file of the wanted name and size whose directory entry is durable: space for the log writer to begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PreparedSegment {
    /// The number it will have; its file has that name already.
    pub id: SegmentId,
    /// Bytes.
    pub capacity: u64,
    /// Made from a spare: it holds old content.
    pub recycled: bool,
}

/// Makes the space for segment `id`: a spare of at least `capacity` bytes under the new name, or a new file
/// filled with zeros. To be called on a helper thread, it may take a while.
pub(crate) fn prepare(disk: &dyn Disk, dir: &Path, id: SegmentId, capacity: u64) -> Result<PreparedSegment, DiskError> {
    let (from, capacity, recycled) = match take_spare(disk, dir, capacity)? {
        Some((name, capacity)) => (name, capacity, true),
        None => {
            let name = format!("{}{ASIDE}", id.file_name());
            let file = disk.open(&dir.join(&name), Access::Create)?;
            file.zero_fill(0, capacity)?;
            file.sync()?;
            (name, capacity, false)
        }
    };
    disk.rename(&dir.join(from), &dir.join(id.file_name()))?;
    disk.sync_dir(dir)?;
    Ok(PreparedSegment { id, capacity, recycled })
}

/// A segment the log can go on in: begun, durable, and under its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenSegment {
    /// As it stands in the file's first block.
    pub header: SegmentHeader,
    /// The byte behind its last frame.
    pub end: u64,
    /// The checksum of its last frame, or of its header.
    pub checksum: u32,
    /// The last transaction of the log, durable.
    pub zxid: Zxid,
}

/// Begins segment `id`, which goes on from `after`, with `kept` as its first transactions: those of a frame
/// that was cut in two. All of it is durable before the file gets its name.
pub(crate) fn begin(
    disk: &dyn Disk,
    dir: &Path,
    directory: DirectoryId,
    id: SegmentId,
    capacity: u64,
    after: Position,
    kept: &[(Zxid, Vec<u8>)],
) -> Result<OpenSegment, DiskError> {
    assert!(id > after.segment, "a segment is younger than the one it goes on from");
    let (name, capacity, recycled) = match take_spare(disk, dir, capacity)? {
        Some((name, capacity)) => (name, capacity, true),
        None => (format!("{}{ASIDE}", id.file_name()), capacity, false),
    };
    let aside = dir.join(&name);
    let file = disk.open(&aside, if recycled { Access::Write } else { Access::Create })?;
    let header = SegmentHeader { id, directory, capacity, after, recycled };
    // The block behind the header and the frame is zeroed too: a spare may have been begun once before under
    // this very number by a start that did not get to the rename.
    let payload: usize = kept.iter().map(|(_, txn)| TXN_HEADER + txn.len()).sum();
    let frame_size = if kept.is_empty() { 0 } else { round_up(frame::FRAME_HEADER + payload) };
    let mut bytes = vec![0; BLOCK + frame_size + BLOCK];
    assert!(bytes.len() as u64 <= capacity, "the kept frame fits, as it did before");
    let mut checksum = header.encode(&mut bytes[..BLOCK]);
    let mut zxid = after.zxid;
    if let (Some((first, _)), Some((last, _))) = (kept.first(), kept.last()) {
        let mut at = BLOCK + frame::FRAME_HEADER;
        for (zxid, txn) in kept {
            at += frame::put_txn(&mut bytes[at..], *zxid, txn);
        }
        let frame = FrameHeader {
            segment: id,
            offset: BLOCK as u64,
            previous: checksum,
            length: payload as u32,
            first: *first,
            last: *last,
            durable_upto: after.zxid,
            count: kept.len() as u32,
            checksum: 0,
        };
        checksum = frame::seal(&mut bytes[BLOCK..BLOCK + frame_size], &frame, directory.seed());
        zxid = *last;
    }
    file.write_at(&bytes, 0)?;
    if !recycled {
        file.zero_fill(bytes.len() as u64, capacity)?;
    }
    file.sync()?;
    disk.rename(&aside, &dir.join(id.file_name()))?;
    disk.sync_dir(dir)?;
    Ok(OpenSegment { header, end: (BLOCK + frame_size) as u64, checksum, zxid })
}

/// Marks an orderly stop: a segment of nothing but its header, which goes on from `end`, the end of a log of which all is
/// durable. So the log's last frame is vouched for, as every start vouches for the frames before it: if it is damaged from now
/// on that is corruption, not an unfinished write. The next start goes on from `end`, in a segment of its own. `id` is
/// larger than that of any file there is.
pub(crate) fn close(
    disk: &dyn Disk,
    dir: &Path,
    directory: DirectoryId,
    id: SegmentId,
    end: Position,
) -> Result<(), DiskError> {
    assert!(id > end.segment, "the mark is younger than what it closes");
    let mut block = [0; BLOCK];
    SegmentHeader { id, directory, capacity: BLOCK as u64, after: end, recycled: false }.encode(&mut block);
    let aside = dir.join(format!("{}{ASIDE}", id.file_name()));
    let file = disk.open(&aside, Access::Create)?;
    file.write_at(&block, 0)?;
    file.sync()?;
    disk.rename(&aside, &dir.join(id.file_name()))?;
    disk.sync_dir(dir)
}

/// The smallest spare that is large enough, by name, with its size.
fn take_spare(disk: &dyn Disk, dir: &Path, capacity: u64) -> Result<Option<(String, u64)>, DiskError> {
    let mut best: Option<(String, u64)> = None;
    for name in disk.list(dir)? {
        if !matches!(named(&name), Some(Named::Spare(_))) {
            continue;
        }
        let length = disk.open(&dir.join(&name), Access::Read)?.length()?;
        let usable = length - length % BLOCK as u64;
        if usable >= capacity && best.as_ref().is_none_or(|(_, best)| usable < *best) {
            best = Some((name, usable));
        }
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> SegmentHeader {
        SegmentHeader {
            id: SegmentId(9),
            directory: DirectoryId([7; 16]),
            capacity: 1 << 20,
            after: Position { segment: SegmentId(7), end: 8192, checksum: 5, zxid: Zxid(0x1_0000_0003) },
            recycled: true,
        }
    }

    #[test]
    fn a_header_reads_back_and_every_flipped_bit_is_found() {
        let mut block = vec![1; BLOCK];
        let checksum = sample().encode(&mut block);
        assert_eq!(SegmentHeader::decode(&block), Ok(Some((sample(), checksum))));
        for bit in 0..HEADER * 8 {
            block[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&block), Ok(None), "bit {bit}");
            block[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(SegmentHeader::decode(&block[..HEADER - 1]), Ok(None));
    }

    #[test]
    fn a_later_format_is_not_taken_for_damage() {
        let mut block = vec![0; BLOCK];
        sample().encode(&mut block);
        block[8] = 2;
        let checksum = checksum_around(&block[..HEADER]);
        block[12..16].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&block), Err(UnknownVersion(2)));
    }
}
