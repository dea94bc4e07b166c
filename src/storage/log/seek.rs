//! Finding a transaction's place in the log, and reading a stretch of a log that is being written to.
//!
//! A place is what the next segment's header would name if the log were to go on from there, with the part of
//! the frame around it that is kept. A stretch is read beside the writer and beside retention: only frames the
//! reader was told are durable, and from files that may be given another life meanwhile. That cannot be
//! mistaken for content, as a frame of another segment is none; what was there is then looked for anew.

use super::chain::{Chain, LogError, Segment, Step, Walk};
use super::frame::{DirectoryId, FrameHeader};
use super::segment::Position;
use crate::ids::Zxid;
use crate::storage::disk::Disk;
use std::path::Path;

/// Where a log ends if it is cut.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Cut {
    /// The last frame that stays whole.
    pub after: Position,
    /// The transactions that stay of the frame behind it, to be written again.
    pub kept: Vec<(Zxid, Vec<u8>)>,
}

impl Chain {
    /// The place behind transaction `zxid`, which may also be the one before the first the log holds. `None` if
    /// the log has no such transaction.
    pub(crate) fn cut_behind(&self, disk: &dyn Disk, dir: &Path, zxid: Zxid) -> Result<Option<Cut>, LogError> {
        let Some(at) = self.segments.iter().rposition(|segment| segment.header.after.zxid <= zxid) else {
            return Ok(None);
        };
        let after = self.segments[at].header.after;
        if after.zxid == zxid {
            return Ok(Some(Cut { after, kept: Vec::new() }));
        }
        let mut walk = self.walk(disk, dir, at)?;
        let mut cut = None;
        let mut passed = false;
        let found = walk.frames(&mut |frame| {
            let FrameHeader { segment, offset, previous, last, checksum, .. } = frame.header;
            if last < zxid {
                return Ok(Step::On);
            }
            passed = true;
            if last == zxid {
                let end = offset + frame.header.size() as u64;
                cut = Some(Cut { after: Position { segment, end, checksum, zxid }, kept: Vec::new() });
                return Ok(Step::Stop);
            }
            let kept = frame.txns.take_while(|(txn, _)| *txn <= zxid).map(|(txn, bytes)| (txn, bytes.to_vec()));
            let kept: Vec<_> = kept.collect();
            if kept.last().is_some_and(|(last, _)| *last == zxid) {
                let after = Position { segment, end: offset, checksum: previous, zxid: frame.before };
                cut = Some(Cut { after, kept });
            }
            Ok(Step::Stop)
        })?;
        match found {
            Some(_) => walk.judge()?,
            None if passed => {}
            None => walk.check_end()?,
        }
        Ok(cut)
    }

    /// A walk over segment number `at` of the chain.
    fn walk(&self, disk: &dyn Disk, dir: &Path, at: usize) -> Result<Walk, LogError> {
        let bound = self.segments.get(at + 1).map(|next: &Segment| next.header.after);
        Walk::new(disk, dir, &self.segments[at], Zxid::ZERO, bound)
    }
}

/// A stretch of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stretch {
    /// It begins with the last transaction at or below this one: whoever has a log that ends here sees whether
    /// it ends with a transaction of this log.
    pub after: Zxid,
    /// It ends with the last transaction at or below this one. What is behind the durable end is not to be asked for.
    pub upto: Zxid,
    /// Bytes of transactions behind the first: where they are more the stretch is cut, though never to nothing.
    pub limit: usize,
}

/// What came of reading a stretch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ReadBack {
    /// The transactions in order, without a gap. Whole: nothing up to the end of the stretch is left out.
    Txns { txns: Vec<(Zxid, Vec<u8>)>, whole: bool },
    /// The log does not hold all of it: it does not reach back that far, or no more.
    Gone,
}

/// How often a stretch is looked for anew when files were renamed meanwhile: each purge may do so once.
const ATTEMPTS: usize = 3;

/// Reads a stretch of the log in `dir`, which may be running: the writer may go on, and old segments may go.
/// To be called on a helper thread: it reads whole segments.
pub(crate) fn read_txns(
    disk: &dyn Disk,
    dir: &Path,
    directory: DirectoryId,
    stretch: &Stretch,
) -> Result<ReadBack, LogError> {
    let attempt = || Chain::discover_running(disk, dir, directory).and_then(|chain| chain.read(disk, dir, stretch));
    let mut done = attempt();
    for _ in 1..ATTEMPTS {
        if done.is_ok() {
            break;
        }
        done = attempt();
    }
    done
}

impl Chain {
    fn read(&self, disk: &dyn Disk, dir: &Path, stretch: &Stretch) -> Result<ReadBack, LogError> {
        let starts = self.segments.iter().rposition(|segment| segment.header.after.zxid < stretch.after);
        let Some(first) = starts.filter(|_| stretch.after <= stretch.upto) else { return Ok(ReadBack::Gone) };
        // The last transaction at or below the start may be the last one of the segment before.
        match self.read_from(disk, dir, first, stretch)? {
            Some(done) => Ok(done),
            None if first > 0 => Ok(self.read_from(disk, dir, first - 1, stretch)?.unwrap_or(ReadBack::Gone)),
            None => Ok(ReadBack::Gone),
        }
    }

    /// Reads from the beginning of segment number `first` of the chain. `None` if that is behind the start.
    fn read_from(
        &self,
        disk: &dyn Disk,
        dir: &Path,
        first: usize,
        stretch: &Stretch,
    ) -> Result<Option<ReadBack>, LogError> {
        let Stretch { after, upto, limit } = *stretch;
        // The last transaction at or below the start, as found so far.
        let mut begin: Option<(Zxid, Vec<u8>)> = None;
        let mut txns: Vec<(Zxid, Vec<u8>)> = Vec::new();
        let mut bytes = 0;
        let mut full = false;
        let mut late = false;
        let mut reached = false;
        for at in first..self.segments.len() {
            let mut stopped = false;
            let mut walk = self.walk(disk, dir, at)?;
            let found = walk.frames(&mut |frame| {
                for (zxid, txn) in frame.txns.take_while(|(zxid, _)| *zxid <= upto) {
                    if zxid <= after {
                        let (kept, content) = begin.get_or_insert_default();
                        *kept = zxid;
                        content.clear();
                        content.extend_from_slice(txn);
                        continue;
                    }
                    late = begin.is_none();
                    bytes += txn.len();
                    full = bytes > limit && !txns.is_empty();
                    if late || full {
                        break;
                    }
                    txns.push((zxid, txn.to_vec()));
                }
                reached = frame.header.last >= upto;
                stopped = late || full || reached;
                Ok(if stopped { Step::Stop } else { Step::On })
            })?;
            if stopped {
                break;
            }
            match found {
                None => walk.check_end()?,
                Some(_) => walk.judge()?,
            }
        }
        Ok(match begin {
            None => None,
            Some(_) if !full && !reached => Some(ReadBack::Gone),
            Some(begin) => {
                txns.insert(0, begin);
                Some(ReadBack::Txns { txns, whole: !full })
            }
        })
    }
}

/// Bytes of the log from the segment that holds `zxid` to the beginning of the newest one: about what a reader of all
/// that follows `zxid` has to go through. Zero if the log does not reach back that far.
pub(crate) fn volume_behind(disk: &dyn Disk, dir: &Path, directory: DirectoryId, zxid: Zxid) -> Result<u64, LogError> {
    let segments = Chain::discover_running(disk, dir, directory)?.segments;
    let Some(at) = segments.iter().rposition(|segment| segment.header.after.zxid < zxid) else { return Ok(0) };
    // Each header names where its predecessor ends.
    Ok(segments[at + 1..].iter().map(|segment| segment.header.after.end).sum())
}
