//! Reading a segment: its header, the frame at a place, and the search for frames behind a damaged one.
//!
//! What a disk gives back is not believed: a place holds a frame only if its checksum, its segment, its
//! place and its transactions all agree. A file that ends early reads as zeros behind its end.

use super::frame::{self, BLOCK, Claim, DirectoryId, FRAME_HEADER, FrameHeader, Txns};
use super::segment::{SegmentHeader, SegmentId, UnknownVersion};
use crate::storage::disk::{Access, Disk, DiskError, DiskFile};
use std::path::Path;

/// Bytes read at a time.
const WINDOW: usize = 1 << 20;

/// A segment file opened for reading.
pub(crate) struct SegmentReader {
    file: Box<dyn DiskFile>,
    id: SegmentId,
    length: u64,
    window: Vec<u8>,
    window_at: u64,
}

/// What lies at a place where a frame may begin.
pub(crate) enum Probe<'a> {
    /// A whole frame of this segment.
    Frame(FrameHeader, Txns<'a>),
    /// None; what the block looks like instead. [`Claim::Frame`] here is a frame whose content is damaged.
    None(Claim),
}

impl SegmentReader {
    /// Opens segment `id` in `dir`.
    pub(crate) fn open(disk: &dyn Disk, dir: &Path, id: SegmentId) -> Result<SegmentReader, DiskError> {
        let file = disk.open(&dir.join(id.file_name()), Access::Read)?;
        let length = file.length()?;
        Ok(SegmentReader { file, id, length, window: Vec::new(), window_at: 0 })
    }

    /// Bytes of the file.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The header, with its checksum; `None` if the block holds none, or one of the file's earlier life.
    pub(crate) fn header(&self) -> Result<Result<Option<(SegmentHeader, u32)>, UnknownVersion>, DiskError> {
        // Not through the window: of most segments no more than the header is wanted.
        let mut block = [0; BLOCK];
        let read = self.file.read_at(&mut block, 0)?;
        let id = self.id;
        Ok(SegmentHeader::decode(&block[..read]).map(|found| found.filter(|(header, _)| header.id == id)))
    }

    /// Looks at the place `offset` bytes into the segment.
    pub(crate) fn probe(&mut self, offset: u64, directory: DirectoryId) -> Result<Probe<'_>, DiskError> {
        let id = self.id;
        let block = self.bytes(offset, BLOCK)?;
        if block.len() < FRAME_HEADER {
            let zeros = block.iter().all(|byte| *byte == 0);
            return Ok(Probe::None(if zeros { Claim::Zeros } else { Claim::Other }));
        }
        let claim = frame::claim(block, id, offset);
        let Claim::Frame(header) = claim else { return Ok(Probe::None(claim)) };
        // Its length is believed only as far as the file goes.
        let end = FRAME_HEADER as u64 + u64::from(header.length);
        if offset.checked_add(end).is_none_or(|end| end > self.length) {
            return Ok(Probe::None(claim));
        }
        let bytes = self.bytes(offset, end as usize)?;
        if bytes.len() as u64 == end && frame::is_valid(bytes, &header, directory.seed()) {
            Ok(Probe::Frame(header, Txns::new(&bytes[FRAME_HEADER..])))
        } else {
            Ok(Probe::None(claim))
        }
    }

    /// The first whole frame at or behind `from`, a block's beginning, and before `to`.
    pub(crate) fn find(
        &mut self,
        from: u64,
        to: u64,
        directory: DirectoryId,
    ) -> Result<Option<FrameHeader>, DiskError> {
        let mut offset = from;
        while offset < to.min(self.length) {
            if let Probe::Frame(header, _) = self.probe(offset, directory)? {
                return Ok(Some(header));
            }
            offset += BLOCK as u64;
        }
        Ok(None)
    }

    /// `length` bytes from `offset`, fewer at the end of the file.
    fn bytes(&mut self, offset: u64, length: usize) -> Result<&[u8], DiskError> {
        let length = (length as u64).min(self.length.saturating_sub(offset)) as usize;
        let inside = offset >= self.window_at && offset + length as u64 <= self.window_at + self.window.len() as u64;
        if !inside {
            let size = (length.max(WINDOW) as u64).min(self.length.saturating_sub(offset)) as usize;
            self.window.resize(size, 0);
            let read = self.file.read_at(&mut self.window, offset)?;
            self.window.truncate(read);
            self.window_at = offset;
        }
        let at = (offset - self.window_at) as usize;
        let end = (at + length).min(self.window.len());
        Ok(&self.window[at.min(end)..end])
    }
}
