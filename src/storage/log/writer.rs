//! The log's writing side, without any input or output of its own.
//!
//! Two buffers: one gathers transactions while the other is being written. The caller asks for the next write,
//! performs it (direct, synchronous, at the segment, place and length it names), and reports back; then all it
//! covered is durable. At most one write is in flight, so a frame is only ever issued when the frames before
//! it are known to be durable: what recovery's rule of evidence rests on.
//!
//! When a frame does not fit into what is left of a segment the next one is begun: its header is a write of
//! its own, from the buffer that is free. The space for it is asked for as soon as the current segment holds
//! anything, so that it is there in time; if it is not, no write is given out and transactions wait.

use super::frame::{self, BLOCK, DirectoryId, FRAME_HEADER, FrameHeader, TXN_HEADER, round_up};
use super::segment::{OpenSegment, Position, PreparedSegment, SegmentHeader, SegmentId};
use crate::ids::Zxid;
use crate::limits;
use std::fmt;

/// How large a log's parts are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogOptions {
    /// The longest transaction that will be appended, in bytes. Buffers are made to hold it.
    pub max_txn: usize,
    /// The least size of a buffer, in bytes: what one write can carry.
    pub buffer_bytes: usize,
    /// Bytes of a full-size segment (ZooKeeper's preAllocSize).
    pub segment_bytes: u64,
}

impl Default for LogOptions {
    /// ZooKeeper's 64 MiB, and what a request of jute.maxbuffer bytes can become with its ACLs written out.
    fn default() -> Self {
        LogOptions { max_txn: 2 << 20, buffer_bytes: limits::LOG_WRITE, segment_bytes: 64 << 20 }
    }
}

impl LogOptions {
    /// Bytes of each of the two buffers: the longest frame.
    pub(crate) fn frame_bytes(&self) -> usize {
        round_up(self.buffer_bytes).max(round_up(FRAME_HEADER + TXN_HEADER + self.max_txn))
    }

    /// Bytes of the smallest segment that any frame fits into.
    pub(crate) fn least_segment_bytes(&self) -> u64 {
        (BLOCK + self.frame_bytes()) as u64
    }

    /// Bytes of the segment a start begins: small, so that starting is quick. Those after it grow.
    pub fn first_segment_bytes(&self) -> u64 {
        LogWriter::FIRST_SEGMENT.max(self.least_segment_bytes()).min(self.full_segment_bytes())
    }

    fn full_segment_bytes(&self) -> u64 {
        self.segment_bytes - self.segment_bytes % BLOCK as u64
    }

    /// Checks that the longest transaction fits into a segment.
    pub(crate) fn check(&self) -> Result<(), SegmentTooSmall> {
        let needed = self.least_segment_bytes();
        if self.full_segment_bytes() < needed {
            return Err(SegmentTooSmall { segment_bytes: self.segment_bytes, needed });
        }
        Ok(())
    }
}

/// A segment could not hold the longest transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentTooSmall {
    pub(crate) segment_bytes: u64,
    /// The least size that will do.
    pub(crate) needed: u64,
}

impl fmt::Display for SegmentTooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SegmentTooSmall { segment_bytes, needed } = self;
        write!(
            f,
            "log segments of {segment_bytes} bytes cannot hold the longest transaction; {needed} bytes are needed"
        )
    }
}

impl std::error::Error for SegmentTooSmall {}

/// Why a transaction was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// No room in the gathering buffer: append it again once a write was given out.
    Full,
    /// Longer than [`LogOptions::max_txn`]: it will never be taken.
    TooLong,
}

/// A write to perform: `len` bytes from the start of buffer number `buffer`, at `offset` of `segment`'s file.
/// Offset and length are multiples of [`BLOCK`]. It must be durable when it is reported as written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameWrite {
    /// Whose file it goes to.
    pub segment: SegmentId,
    /// 0 or 1: which of the writer's two buffers.
    pub buffer: usize,
    /// Bytes from the start of the file; the header's block is at 0.
    pub offset: u64,
    /// Bytes, at most those of a buffer.
    pub len: u32,
}

/// Space to be made with [`super::segment::prepare`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentRequest {
    /// The number that the segment is to have.
    pub id: SegmentId,
    /// Bytes, at least.
    pub capacity: u64,
}

/// The log's writer.
pub struct LogWriter {
    options: LogOptions,
    buffers: [Buffer; 2],
    /// Which buffer gathers.
    gathering: usize,
    gathered: Gathered,
    flight: Option<Flight>,
    directory: DirectoryId,
    seed: u32,
    /// The segment written to, the byte behind its last frame, and that frame's checksum.
    segment: SegmentId,
    end: u64,
    checksum: u32,
    capacity: u64,
    /// The next segment, once its space is there.
    ready: Option<PreparedSegment>,
    /// The last transaction given out to be written, and the last known to be durable.
    sealed: Zxid,
    durable: Zxid,
}

/// The frame being gathered.
#[derive(Clone, Copy)]
struct Gathered {
    /// Bytes used of the buffer, the frame's header included.
    used: usize,
    first: Zxid,
    last: Zxid,
    count: u32,
}

/// What the write in flight is.
#[derive(Clone, Copy)]
enum Flight {
    Header { segment: PreparedSegment, checksum: u32 },
    Frame { last: Zxid },
}

impl LogWriter {
    /// The size of the segment a start begins, in bytes, where larger frames do not ask for more.
    pub(crate) const FIRST_SEGMENT: u64 = 4 << 20;
    /// How much larger than its predecessor a segment may be, until it has its full size.
    const GROWTH: u64 = 4;

    /// Goes on in `segment`.
    pub fn new(segment: &OpenSegment, options: LogOptions) -> Result<LogWriter, SegmentTooSmall> {
        options.check()?;
        let size = options.frame_bytes();
        Ok(LogWriter {
            options,
            buffers: [Buffer::new(size), Buffer::new(size)],
            gathering: 0,
            gathered: Gathered { used: FRAME_HEADER, first: segment.zxid, last: segment.zxid, count: 0 },
            flight: None,
            directory: segment.header.directory,
            seed: segment.header.directory.seed(),
            segment: segment.header.id,
            end: segment.end,
            checksum: segment.checksum,
            capacity: segment.header.capacity,
            ready: None,
            sealed: segment.zxid,
            durable: segment.zxid,
        })
    }

    /// Gathers a transaction into the next frame. `zxid` must follow the last one appended.
    #[inline]
    pub fn append(&mut self, zxid: Zxid, txn: &[u8]) -> Result<(), Refused> {
        if txn.len() > self.options.max_txn {
            return Err(Refused::TooLong);
        }
        let gathered = &mut self.gathered;
        let buffer = self.buffers[self.gathering].bytes_mut();
        if gathered.used + TXN_HEADER + txn.len() > buffer.len() {
            return Err(Refused::Full);
        }
        assert!(frame::follows(gathered.last, zxid), "{zxid} does not follow {} in the log", gathered.last);
        gathered.used += frame::put_txn(&mut buffer[gathered.used..], zxid, txn);
        if gathered.count == 0 {
            gathered.first = zxid;
        }
        gathered.last = zxid;
        gathered.count += 1;
        Ok(())
    }

    /// The next write to perform, or `None`: one is in flight, nothing is gathered, or the next segment is not
    /// ready.
    pub fn next_write(&mut self) -> Option<FrameWrite> {
        if self.flight.is_some() || self.gathered.count == 0 {
            return None;
        }
        if self.end + round_up(self.gathered.used) as u64 > self.capacity {
            return self.begin_segment();
        }
        let (buffer, gathered) = (self.gathering, self.gathered);
        let header = FrameHeader {
            segment: self.segment,
            offset: self.end,
            previous: self.checksum,
            length: (gathered.used - FRAME_HEADER) as u32,
            first: gathered.first,
            last: gathered.last,
            durable_upto: self.durable,
            count: gathered.count,
            checksum: 0,
        };
        let size = header.size();
        assert!(self.durable == self.sealed, "one frame in flight at a time");
        assert!(frame::follows(self.sealed, gathered.first), "{} does not follow {}", gathered.first, self.sealed);
        assert!(self.end.is_multiple_of(BLOCK as u64), "frames begin on blocks, not at {}", self.end);
        self.checksum = frame::seal(&mut self.buffers[buffer].bytes_mut()[..size], &header, self.seed);
        self.end += size as u64;
        self.sealed = gathered.last;
        self.flight = Some(Flight::Frame { last: gathered.last });
        self.gathering = 1 - buffer;
        self.gathered = Gathered { used: FRAME_HEADER, first: gathered.last, last: gathered.last, count: 0 };
        Some(FrameWrite { segment: self.segment, buffer, offset: header.offset, len: size as u32 })
    }

    fn begin_segment(&mut self) -> Option<FrameWrite> {
        let segment = self.ready.take()?;
        assert!(segment.id > self.segment, "{} is used once more after {}", segment.id, self.segment);
        let after = Position { segment: self.segment, end: self.end, checksum: self.checksum, zxid: self.sealed };
        let header = SegmentHeader {
            id: segment.id,
            directory: self.directory,
            capacity: segment.capacity,
            after,
            recycled: segment.recycled,
        };
        let buffer = 1 - self.gathering;
        let checksum = header.encode(&mut self.buffers[buffer].bytes_mut()[..BLOCK]);
        self.flight = Some(Flight::Header { segment, checksum });
        Some(FrameWrite { segment: segment.id, buffer, offset: 0, len: BLOCK as u32 })
    }

    /// Says that the write in flight is durable; returns the last durable transaction.
    pub fn written(&mut self) -> Zxid {
        match self.flight.take().expect("a write is in flight") {
            Flight::Frame { last } => {
                assert!(last > self.durable, "{last} is written after {}", self.durable);
                self.durable = last;
            }
            Flight::Header { segment, checksum } => {
                self.segment = segment.id;
                self.end = BLOCK as u64;
                self.checksum = checksum;
                self.capacity = segment.capacity;
            }
        }
        self.durable
    }

    /// The last durable transaction.
    pub(crate) fn durable(&self) -> Zxid {
        self.durable
    }

    /// The last transaction appended.
    pub(crate) fn appended(&self) -> Zxid {
        self.gathered.last
    }

    /// Where the log ends, if all of it is durable and it has grown since it was begun: what [`super::segment::close`] is given.
    pub(crate) fn closing(&self) -> Option<Position> {
        let Self { segment, end, checksum, durable: zxid, .. } = *self;
        let has_grown = end > BLOCK as u64;
        (self.is_idle() && has_grown).then_some(Position { segment, end, checksum, zxid })
    }

    /// Whether all that was appended is durable.
    pub(crate) fn is_idle(&self) -> bool {
        self.flight.is_none() && self.gathered.count == 0
    }

    /// The segment frames go to; its header is durable.
    #[cfg(test)]
    pub(crate) fn segment(&self) -> SegmentId {
        self.segment
    }

    /// The largest number a segment has had or been asked for under.
    pub(crate) fn highest(&self) -> SegmentId {
        self.segment.next()
    }

    /// The longest transaction taken, in bytes.
    pub(crate) fn max_txn(&self) -> usize {
        self.options.max_txn
    }

    /// The space wanted for the next segment. The same answer until it is handed in with
    /// [`LogWriter::segment_ready`]; `None` while the current segment is empty, so that a server nobody writes
    /// to takes no more space.
    pub fn needs_segment(&self) -> Option<SegmentRequest> {
        let begun = match self.flight {
            // The one just begun is the current one as far as the question goes.
            Some(Flight::Header { .. }) => return None,
            _ => self.end > BLOCK as u64 || self.gathered.count > 0,
        };
        if self.ready.is_some() || !begun {
            return None;
        }
        let grown = self.capacity.saturating_mul(Self::GROWTH).max(self.options.least_segment_bytes());
        Some(SegmentRequest { id: self.segment.next(), capacity: grown.min(self.options.full_segment_bytes()) })
    }

    /// Hands in the space asked for.
    pub fn segment_ready(&mut self, segment: PreparedSegment) {
        assert!(segment.id > self.segment, "segment {} is not younger than {}", segment.id, self.segment);
        assert!(self.ready.is_none(), "one segment ahead");
        assert!(segment.capacity >= self.options.least_segment_bytes(), "a segment holds the longest frame");
        self.ready = Some(segment);
    }

    /// The two buffers as the ring registers them: address and length, page-aligned, valid and in place as
    /// long as this writer lives. A buffer named by a write must not be touched until it is reported written;
    /// the writer itself keeps to that.
    pub(crate) fn buffers(&mut self) -> [(*mut u8, usize); 2] {
        let [first, second] = &mut self.buffers;
        [first, second].map(|buffer| (buffer.bytes_mut().as_mut_ptr(), buffer.bytes().len()))
    }

    /// The bytes of a write that was given out and is in flight.
    pub fn bytes(&self, write: &FrameWrite) -> &[u8] {
        &self.buffers[write.buffer].bytes()[..write.len as usize]
    }
}

/// Page-aligned memory: a little more is taken than needed, and the aligned part of it used.
struct Buffer {
    memory: Box<[u8]>,
    start: usize,
    size: usize,
}

impl Buffer {
    fn new(size: usize) -> Buffer {
        let memory = vec![0; size + BLOCK].into_boxed_slice();
        let start = memory.as_ptr().align_offset(BLOCK);
        assert!(start <= BLOCK, "a page boundary lies in every page");
        Buffer { memory, start, size }
    }

    fn bytes(&self) -> &[u8] {
        &self.memory[self.start..][..self.size]
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..][..self.size]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(capacity: u64) -> OpenSegment {
        OpenSegment {
            header: SegmentHeader {
                id: SegmentId(1),
                directory: DirectoryId([3; 16]),
                capacity,
                after: Position::default(),
                recycled: false,
            },
            end: BLOCK as u64,
            checksum: 11,
            zxid: Zxid(0),
        }
    }

    fn options() -> LogOptions {
        LogOptions { max_txn: 1000, segment_bytes: 4 << 20, ..LogOptions::default() }
    }

    #[test]
    fn the_smallest_segment_is_the_one_that_the_limits_know() {
        for max_frame in [1 << 10, 1 << 20, 10 << 20, 50 << 20, limits::LONGEST_FRAME as usize] {
            let max_txn = limits::max_txn(max_frame);
            let segment_bytes = limits::segment(0, max_txn);
            let options = LogOptions { max_txn, segment_bytes, ..LogOptions::default() };
            assert_eq!(options.least_segment_bytes(), limits::least_segment(max_txn), "{max_frame}");
            assert_eq!(options.check(), Ok(()), "{max_frame}");
        }
    }

    #[test]
    fn gathers_while_a_write_is_in_flight() {
        let mut log = LogWriter::new(&open(4 << 20), options()).unwrap();
        assert_eq!(log.next_write(), None);
        log.append(Zxid(1), b"one").unwrap();
        let first = log.next_write().unwrap();
        assert_eq!(first, FrameWrite { segment: SegmentId(1), buffer: 0, offset: 4096, len: 4096 });
        log.append(Zxid(2), b"two").unwrap();
        log.append(Zxid(3), b"three").unwrap();
        assert_eq!((log.next_write(), log.durable()), (None, Zxid(0)));
        assert_eq!(log.written(), Zxid(1));
        let second = log.next_write().unwrap();
        assert_eq!(second, FrameWrite { segment: SegmentId(1), buffer: 1, offset: 8192, len: 4096 });
        let frame::Claim::Frame(header) = frame::claim(log.bytes(&second), SegmentId(1), 8192) else { panic!() };
        assert!(frame::is_valid(log.bytes(&second), &header, DirectoryId([3; 16]).seed()));
        assert_eq!((header.first, header.last, header.durable_upto), (Zxid(2), Zxid(3), Zxid(1)));
        assert!(!log.is_idle());
        assert_eq!(log.written(), Zxid(3));
        assert!(log.is_idle());
    }

    #[test]
    fn buffers_are_page_aligned() {
        let mut log = LogWriter::new(&open(4 << 20), options()).unwrap();
        for (address, len) in log.buffers() {
            assert_eq!((address.align_offset(BLOCK), len), (0, limits::LOG_WRITE));
        }
    }

    #[test]
    fn a_full_buffer_refuses_and_a_long_txn_has_room_of_its_own() {
        let options = LogOptions { max_txn: 3 << 20, segment_bytes: 16 << 20, ..LogOptions::default() };
        let mut log = LogWriter::new(&open(16 << 20), options).unwrap();
        let long = vec![7; 3 << 20];
        log.append(Zxid(1), &[1; 5000]).unwrap();
        assert_eq!(log.append(Zxid(2), &long), Err(Refused::Full));
        log.next_write().unwrap();
        log.append(Zxid(2), &long).unwrap();
        assert_eq!(log.append(Zxid(3), &vec![7; (3 << 20) + 1]), Err(Refused::TooLong));
        log.written();
        assert_eq!(log.next_write().unwrap().len as usize, round_up(FRAME_HEADER + TXN_HEADER + (3 << 20)));
    }

    #[test]
    fn a_segment_too_small_is_refused_by_name() {
        let options = LogOptions { max_txn: 8 << 20, segment_bytes: 8 << 20, ..LogOptions::default() };
        let error = LogWriter::new(&open(8 << 20), options).err().unwrap();
        assert!(error.to_string().contains("8396800 bytes are needed"), "{error}");
    }

    #[test]
    fn the_next_segment_is_begun_when_the_frame_does_not_fit() {
        let capacity = (BLOCK + limits::LOG_WRITE) as u64;
        let options = LogOptions { max_txn: 1000, segment_bytes: 8 << 20, ..LogOptions::default() };
        let mut log = LogWriter::new(&open(capacity), options).unwrap();
        assert_eq!(log.needs_segment(), None);
        let mut zxid = Zxid(0);
        let mut append = |log: &mut LogWriter| {
            zxid = zxid.next();
            log.append(zxid, &[1; 900]).unwrap();
        };
        append(&mut log);
        let request = log.needs_segment().unwrap();
        assert_eq!(request, SegmentRequest { id: SegmentId(2), capacity: capacity * 4 });
        while let Some(write) = log.next_write() {
            assert!(write.offset + u64::from(write.len) <= capacity);
            log.written();
            append(&mut log);
        }
        // Full, and the next segment is not ready: it waits.
        assert!(!log.is_idle());
        assert_eq!(log.needs_segment(), Some(request));
        log.segment_ready(PreparedSegment { id: SegmentId(2), capacity: request.capacity, recycled: false });
        let durable = log.durable();
        let header = log.next_write().unwrap();
        assert_eq!((header.segment, header.offset, header.len), (SegmentId(2), 0, BLOCK as u32));
        let (decoded, _) = SegmentHeader::decode(log.bytes(&header)).unwrap().unwrap();
        assert_eq!(decoded.after.segment, SegmentId(1));
        assert_eq!((decoded.after.end, decoded.after.zxid), (capacity, durable));
        append(&mut log);
        assert_eq!(log.written(), durable);
        let frame = log.next_write().unwrap();
        assert_eq!((frame.segment, frame.offset), (SegmentId(2), BLOCK as u64));
        assert_eq!(log.written(), zxid);
        assert_eq!(log.needs_segment(), Some(SegmentRequest { id: SegmentId(3), capacity: 8 << 20 }));
    }

    #[test]
    #[should_panic(expected = "does not follow")]
    fn a_gap_is_refused() {
        let mut log = LogWriter::new(&open(4 << 20), options()).unwrap();
        log.append(Zxid(2), b"").unwrap();
    }
}
