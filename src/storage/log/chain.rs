//! Which segments are the log, and what they hold.
//!
//! The newest segment with a header is the head; its header names its predecessor and where that one ends, and
//! so on back to the oldest file that is still there. What is newer than the head was prepared and never begun;
//! what the chain skips is dead.
//!
//! *Damage is decided by evidence.* A place that holds no whole frame is corruption if something later, itself
//! whole, says that a frame there had been durable: a later frame of the segment, or the header of the next
//! segment. Without such a witness it is where the last write was torn, or the end. A damaged frame which was
//! the last one acknowledged leaves no witness here; only other servers could tell.

use super::frame::{BLOCK, Claim, DirectoryId, FrameHeader, Txns, follows};
use super::reader::{Probe, SegmentReader};
use super::segment::{Named, Position, SegmentHeader, SegmentId, named};
use crate::ids::Zxid;
use crate::storage::disk::{Disk, DiskError};
use crate::storage::replay_error::ReplayError;
use std::fmt;
use std::path::Path;

/// The segments of a log, oldest first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Chain {
    pub segments: Vec<Segment>,
    /// Files named as segments that are not on the chain.
    pub dead: Vec<SegmentId>,
    /// Files being prepared or begun when the last process ended.
    pub aside: Vec<String>,
    /// Spares.
    pub spares: Vec<SegmentId>,
    /// The oldest segment's predecessor is there, with a damaged header: the log cannot be followed into it.
    pub broken: Option<SegmentId>,
    /// The largest number any file has.
    pub highest: SegmentId,
}

/// Takes the next transaction, or says why not.
pub(crate) type Take<'a> = &'a mut dyn FnMut(Zxid, &[u8]) -> Result<(), ReplayError>;

/// A segment with the checksum of its header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Segment {
    pub header: SegmentHeader,
    pub checksum: u32,
}

/// Why a log cannot be read.
#[derive(Debug)]
pub(crate) enum LogError {
    Disk(DiskError),
    /// Something that had been durable is damaged.
    Corrupt {
        segment: SegmentId,
        offset: u64,
        what: String,
    },
    /// Transactions between two that are there are missing.
    Gap {
        segment: SegmentId,
        after: Zxid,
        next: Zxid,
    },
    /// The segment belongs to another data directory.
    Foreign {
        segment: SegmentId,
        directory: DirectoryId,
    },
    /// The segment was written by a later version.
    UnknownVersion {
        segment: SegmentId,
        version: u32,
    },
    /// The one who was handed a transaction did not take it.
    Refused {
        zxid: Zxid,
        error: ReplayError,
    },
}

impl From<DiskError> for LogError {
    fn from(error: DiskError) -> LogError {
        LogError::Disk(error)
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogError::Disk(error) => error.fmt(f),
            LogError::Corrupt { segment, offset, what } => {
                write!(f, "{} at byte {offset}: {what}", segment.file_name())
            }
            LogError::Gap { segment, after, next } => {
                write!(f, "{}: transaction {next} comes where the one after {after} should", segment.file_name())
            }
            LogError::Foreign { segment, directory } => {
                write!(f, "{} belongs to the data directory {directory}", segment.file_name())
            }
            LogError::UnknownVersion { segment, version } => {
                write!(f, "{} has format version {version}, written by a later version", segment.file_name())
            }
            LogError::Refused { zxid, error } => write!(f, "transaction {zxid} of the log does not apply: {error}"),
        }
    }
}

impl std::error::Error for LogError {}

impl Chain {
    /// Finds the log in `dir`. Nothing is changed.
    pub(crate) fn discover(disk: &dyn Disk, dir: &Path, directory: DirectoryId) -> Result<Chain, LogError> {
        Chain::follow(disk, dir, directory, false)
    }

    /// Finds a log that is being written to, as it was at some moment not long ago: a segment whose header is
    /// only now being written may be missing at its end.
    pub(crate) fn discover_running(disk: &dyn Disk, dir: &Path, directory: DirectoryId) -> Result<Chain, LogError> {
        Chain::follow(disk, dir, directory, true)
    }

    fn follow(disk: &dyn Disk, dir: &Path, directory: DirectoryId, running: bool) -> Result<Chain, LogError> {
        let mut chain = Chain::default();
        let mut ids = Vec::new();
        for name in disk.list(dir)? {
            match named(&name) {
                Some(Named::Segment(id)) => ids.push(id),
                Some(Named::Spare(id)) => chain.spares.push(id),
                Some(Named::Aside) => chain.aside.push(name),
                None => {}
            }
        }
        ids.sort();
        chain.highest = ids.iter().chain(&chain.spares).max().copied().unwrap_or_default();
        // The head: the newest with a header. Those above it must not hold anything.
        let mut above = ids.iter().rev().copied();
        let mut wanted = None;
        for id in above.by_ref() {
            let mut reader = SegmentReader::open(disk, dir, id)?;
            if let Some(segment) = read_header(&reader, id, directory)? {
                wanted = Some(segment.header.after.segment);
                chain.segments.push(segment);
                break;
            }
            let witness = if running { None } else { reader.find(BLOCK as u64, u64::MAX, directory)? };
            if let Some(frame) = witness {
                let what = format!("the header is damaged; the frame at byte {} shows it was there", frame.offset);
                return Err(LogError::Corrupt { segment: id, offset: 0, what });
            }
            chain.dead.push(id);
        }
        for id in above {
            if wanted != Some(id) {
                chain.dead.push(id);
                continue;
            }
            let reader = SegmentReader::open(disk, dir, id)?;
            match read_header(&reader, id, directory)? {
                Some(segment) => {
                    wanted = Some(segment.header.after.segment);
                    chain.segments.push(segment);
                }
                None => {
                    chain.broken = Some(id);
                    wanted = None;
                }
            }
        }
        chain.segments.reverse();
        chain.dead.sort();
        Ok(chain)
    }

    /// The transaction before the first one the log holds; `None` if there is no log.
    pub(crate) fn starts_after(&self) -> Option<Zxid> {
        self.segments.first().map(|segment| segment.header.after.zxid)
    }

    /// Whether the log reaches back to the state in which a server is born.
    pub(crate) fn starts_at_birth(&self) -> bool {
        self.segments.first().is_some_and(|segment| segment.header.after == Position::default())
    }

    /// Hands every transaction after `from` to `take`, in order; returns where the log ends. `from` must not be
    /// before [`Chain::starts_after`], and everything up to it need not be whole.
    pub(crate) fn replay(&self, disk: &dyn Disk, dir: &Path, from: Zxid, take: Take<'_>) -> Result<Tail, LogError> {
        let first = self.segments.iter().rposition(|segment| segment.header.after.zxid <= from);
        let first = first.expect("the log starts at or before the transaction it is read from");
        let mut skipped = Vec::new();
        for pair in self.segments[first..].windows(2) {
            let walk = Walk::new(disk, dir, &pair[0], from, Some(pair[1].header.after))?;
            walk.run(take, &mut skipped)?;
        }
        let walk = Walk::new(disk, dir, self.segments.last().expect("a log has a head"), from, None)?;
        let mut tail = walk.run(take, &mut skipped)?;
        tail.skipped = skipped;
        Ok(tail)
    }
}

/// The header of a segment, if it has been begun. A file gets its name only after its whole length is durable:
/// a shorter one has been cut, and what it held cannot be known.
fn read_header(reader: &SegmentReader, id: SegmentId, directory: DirectoryId) -> Result<Option<Segment>, LogError> {
    let header = reader.header()?;
    let made = match &header {
        Ok(Some((header, _))) => header.capacity,
        _ => BLOCK as u64,
    };
    let length = reader.length();
    if length < made {
        let what = format!("the file was cut: it was made of at least {made} bytes and has {length}");
        return Err(LogError::Corrupt { segment: id, offset: length, what });
    }
    match header {
        Err(version) => Err(LogError::UnknownVersion { segment: id, version: version.0 }),
        Ok(None) => Ok(None),
        Ok(Some((header, _))) if header.directory != directory => {
            Err(LogError::Foreign { segment: id, directory: header.directory })
        }
        Ok(Some((header, checksum))) if header.after.segment < id => Ok(Some(Segment { header, checksum })),
        Ok(Some(_)) => {
            let what = "the header names a younger segment as its predecessor".to_string();
            Err(LogError::Corrupt { segment: id, offset: 0, what })
        }
    }
}

/// Where a log ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Tail {
    /// Its last whole frame.
    pub position: Position,
    /// What lies behind it, if it is more than space never used.
    pub torn: Option<Torn>,
    /// Damage that did not matter, because a snapshot covers what was there.
    pub skipped: Vec<Skipped>,
}

/// The remains of the last write, which was not finished when the process or the machine stopped. (Or the last
/// acknowledged frame, damaged since: where the server was not stopped in order that cannot be told apart.)
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Torn {
    pub segment: SegmentId,
    pub offset: u64,
    /// The first and last transaction it says it held, if its front can be read.
    pub claims: Option<(Zxid, Zxid)>,
}

impl fmt::Display for Torn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "dropped an unfinished write at the end of the log, {} at byte {}",
            self.segment.file_name(),
            self.offset
        )?;
        if let Some((first, last)) = self.claims {
            write!(f, " (it says it held {first} to {last})")?;
        }
        f.write_str("; if the disk damaged it later, transactions acknowledged by it are lost")
    }
}

/// Damaged frames that only held transactions a snapshot holds too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Skipped {
    pub segment: SegmentId,
    pub offset: u64,
    /// The last transaction that may have been there.
    pub upto: Zxid,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Skipped { segment, offset, upto } = self;
        let name = segment.file_name();
        write!(f, "{name} is damaged at byte {offset}; the snapshot holds everything up to {upto}, so it is not needed")
    }
}

/// A whole frame on the way of a walk.
pub(super) struct Frame<'a> {
    pub(crate) header: FrameHeader,
    /// The last transaction before it.
    pub(crate) before: Zxid,
    pub(crate) txns: Txns<'a>,
}

/// What a walk does next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    On,
    Stop,
}

/// A walk over one segment.
pub(super) struct Walk {
    reader: SegmentReader,
    header: SegmentHeader,
    /// Everything up to here is known from a snapshot.
    from: Zxid,
    /// What the next segment says about the end of this one.
    bound: Option<Position>,
    offset: u64,
    checksum: u32,
    zxid: Zxid,
}

impl Walk {
    pub(super) fn new(
        disk: &dyn Disk,
        dir: &Path,
        segment: &Segment,
        from: Zxid,
        bound: Option<Position>,
    ) -> Result<Walk, LogError> {
        let Segment { header, checksum } = *segment;
        let reader = SegmentReader::open(disk, dir, header.id)?;
        Ok(Walk { reader, header, from, bound, offset: BLOCK as u64, checksum, zxid: header.after.zxid })
    }

    /// Goes over the whole frames from here on, until `take` says [`Step::Stop`] (the walk stands before that
    /// frame then) or the segment ends; or until a place holds no whole frame: what it looks like instead.
    pub(super) fn frames(
        &mut self,
        take: &mut dyn FnMut(Frame<'_>) -> Result<Step, LogError>,
    ) -> Result<Option<Claim>, LogError> {
        let (id, directory) = (self.header.id, self.header.directory);
        while self.offset < self.end() {
            let (header, txns) = match self.reader.probe(self.offset, directory)? {
                Probe::Frame(header, txns) => (header, txns),
                Probe::None(found) => return Ok(Some(found)),
            };
            if header.previous != self.checksum {
                let what = "a whole frame, written behind another frame than the one before it".to_string();
                return Err(LogError::Corrupt { segment: id, offset: self.offset, what });
            }
            if !follows(self.zxid, header.first) {
                return Err(LogError::Gap { segment: id, after: self.zxid, next: header.first });
            }
            if take(Frame { header, before: self.zxid, txns })? == Step::Stop {
                return Ok(None);
            }
            self.offset += header.size() as u64;
            self.checksum = header.checksum;
            self.zxid = header.last;
        }
        Ok(None)
    }

    /// The byte behind what counts of this segment.
    fn end(&self) -> u64 {
        self.bound.map_or(self.header.capacity, |bound| bound.end)
    }

    fn run(mut self, take: Take<'_>, skipped: &mut Vec<Skipped>) -> Result<Tail, LogError> {
        let from = self.from;
        let mut torn = None;
        loop {
            let found = self.frames(&mut |frame| {
                hand_over(frame.txns, from, take)?;
                Ok(Step::On)
            })?;
            let Some(found) = found else { break };
            let witness = self.witness()?;
            match (witness, self.bound) {
                (Some(frame), _) if frame.durable_upto <= self.from && frame.durable_upto > self.zxid => {
                    skipped.push(Skipped { segment: self.header.id, offset: self.offset, upto: frame.durable_upto });
                    self.offset = frame.offset;
                    self.checksum = frame.previous;
                    self.zxid = frame.durable_upto;
                }
                (Some(frame), _) if frame.durable_upto > self.zxid => {
                    return Err(self.contradicted(&frame));
                }
                (_, Some(bound)) => return Err(self.cut_short(&bound)),
                (_, None) => {
                    torn = self.torn(found);
                    break;
                }
            }
        }
        self.check_end()?;
        let position = Position { segment: self.header.id, end: self.offset, checksum: self.checksum, zxid: self.zxid };
        Ok(Tail { position, torn, skipped: Vec::new() })
    }

    /// Whether a walk to the end of a segment ended where the next segment says it does.
    pub(super) fn check_end(&self) -> Result<(), LogError> {
        let Some(bound) = self.bound else { return Ok(()) };
        if self.offset != bound.end || self.checksum != bound.checksum {
            return Err(self.corrupt("the segment does not end with the frame the next one names"));
        }
        if self.zxid != bound.zxid {
            return Err(LogError::Gap { segment: self.header.id, after: self.zxid, next: bound.zxid });
        }
        Ok(())
    }

    /// What a place that holds no whole frame comes to where nothing can be skipped: damage if something later
    /// vouches for it, else the end of the log.
    pub(super) fn judge(&mut self) -> Result<(), LogError> {
        match (self.witness()?, self.bound) {
            (Some(frame), _) if frame.durable_upto > self.zxid => Err(self.contradicted(&frame)),
            (_, Some(bound)) => Err(self.cut_short(&bound)),
            (_, None) => Ok(()),
        }
    }

    /// The first whole frame behind a place that holds none.
    fn witness(&mut self) -> Result<Option<FrameHeader>, DiskError> {
        let end = self.end();
        self.reader.find(self.offset + BLOCK as u64, end, self.header.directory)
    }

    fn contradicted(&self, witness: &FrameHeader) -> LogError {
        self.corrupt(&format!(
            "no whole frame, but the frame at byte {} shows that everything up to {} had been durable",
            witness.offset, witness.durable_upto
        ))
    }

    fn cut_short(&self, bound: &Position) -> LogError {
        self.corrupt(&format!(
            "no whole frame, but the next segment shows that this one had been durable up to byte {} ({})",
            bound.end, bound.zxid
        ))
    }

    fn torn(&self, found: Claim) -> Option<Torn> {
        let claims = match found {
            Claim::Zeros => return None,
            // The unused part of a recycled file holds anything, old frames and the middle of them.
            Claim::Foreign | Claim::Other if self.header.recycled => return None,
            Claim::Foreign | Claim::Other => None,
            Claim::Frame(header) => Some((header.first, header.last)),
        };
        Some(Torn { segment: self.header.id, offset: self.offset, claims })
    }

    fn corrupt(&self, what: &str) -> LogError {
        LogError::Corrupt { segment: self.header.id, offset: self.offset, what: what.to_string() }
    }
}

fn hand_over(txns: Txns<'_>, from: Zxid, take: Take<'_>) -> Result<(), LogError> {
    for (zxid, txn) in txns.filter(|(zxid, _)| *zxid > from) {
        take(zxid, txn).map_err(|error| LogError::Refused { zxid, error })?;
    }
    Ok(())
}
