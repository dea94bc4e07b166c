//! One frame: a header of 64 bytes, then transactions, padded with zeros to a whole number of blocks.
//!
//! ```text
//!  0 magic u32 | checksum u32 | segment u64 | offset u64 | previous u32 | length u32
//! 32 first i64 | last i64     | durable_upto i64         | count u32    | zero u32
//! 64 (length of txn u32 | zxid i64 | txn)*                 all little-endian
//! ```
//! The checksum (CRC-32C) covers everything behind itself up to the last transaction and starts from a seed made
//! of the data directory's identity, so that neither a frame of another directory nor a client's data that
//! looks like a frame can pass for one. It covers the place too: a frame moved elsewhere is none.

use super::name::SegmentId;
use crate::ids::Zxid;
use crate::limits;

/// The unit of writing: frames and segment headers begin and end on it.
pub const BLOCK: usize = limits::LOG_BLOCK;
/// Bytes of a frame before its transactions.
pub(crate) const FRAME_HEADER: usize = 64;
/// Bytes before each transaction.
pub(crate) const TXN_HEADER: usize = 12;

const MAGIC: u32 = u32::from_le_bytes(*b"CFr1");

/// Rounds up to a whole number of blocks.
pub(crate) const fn round_up(bytes: usize) -> usize {
    bytes.next_multiple_of(BLOCK)
}

/// Which data directory a frame or a segment belongs to: random, made once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DirectoryId(pub [u8; 16]);

impl DirectoryId {
    /// What the checksums of this directory's frames start from.
    pub(crate) fn seed(&self) -> u32 {
        crc32c::crc32c(&self.0)
    }
}

impl std::fmt::Display for DirectoryId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a frame says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FrameHeader {
    pub segment: SegmentId,
    /// Where in the segment it lies, in bytes.
    pub offset: u64,
    /// The checksum of the frame before it, or of the segment's header.
    pub previous: u32,
    /// Bytes of transactions, headers included, padding not.
    pub length: u32,
    pub first: Zxid,
    pub last: Zxid,
    /// What was known to be durable when this frame was written: evidence that the frames before it were.
    pub durable_upto: Zxid,
    /// How many transactions.
    pub count: u32,
    /// Filled in by [`seal`].
    pub checksum: u32,
}

impl FrameHeader {
    /// Bytes on disk, padding included.
    pub(crate) fn size(&self) -> usize {
        round_up(FRAME_HEADER + self.length as usize)
    }
}

/// Writes the header into the front of `frame`, whose transactions lie behind it, zeroes the padding and
/// returns the checksum. `frame` is the whole padded frame.
pub(crate) fn seal(frame: &mut [u8], header: &FrameHeader, seed: u32) -> u32 {
    let end = FRAME_HEADER + header.length as usize;
    assert_eq!(frame.len(), header.size());
    frame[..4].copy_from_slice(&MAGIC.to_le_bytes());
    frame[8..16].copy_from_slice(&header.segment.0.to_le_bytes());
    frame[16..24].copy_from_slice(&header.offset.to_le_bytes());
    frame[24..28].copy_from_slice(&header.previous.to_le_bytes());
    frame[28..32].copy_from_slice(&header.length.to_le_bytes());
    frame[32..40].copy_from_slice(&header.first.0.to_le_bytes());
    frame[40..48].copy_from_slice(&header.last.0.to_le_bytes());
    frame[48..56].copy_from_slice(&header.durable_upto.0.to_le_bytes());
    frame[56..60].copy_from_slice(&header.count.to_le_bytes());
    frame[60..64].fill(0);
    frame[end..].fill(0);
    let checksum = crc32c::crc32c_append(seed, &frame[8..end]);
    frame[4..8].copy_from_slice(&checksum.to_le_bytes());
    checksum
}

/// Puts a transaction's header and bytes at the front of `out`, which must have room; returns the bytes taken.
#[inline]
pub(crate) fn put_txn(out: &mut [u8], zxid: Zxid, txn: &[u8]) -> usize {
    let end = TXN_HEADER + txn.len();
    out[..4].copy_from_slice(&(txn.len() as u32).to_le_bytes());
    out[4..12].copy_from_slice(&zxid.0.to_le_bytes());
    out[12..end].copy_from_slice(txn);
    end
}

/// What a block looks like where a frame of `segment` might begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Claim {
    /// It says it is a frame of this segment at this place. Its checksum has not been looked at.
    Frame(FrameHeader),
    /// It says it is a frame, of another segment or place: content from an earlier life of the file.
    Foreign,
    /// All zeros: never written.
    Zeros,
    /// Something else: the middle of an old frame, or damage.
    Other,
}

/// Reads the front of a block, at least a frame header long, as what might begin at `offset` of `segment`.
pub(crate) fn claim(block: &[u8], segment: SegmentId, offset: u64) -> Claim {
    let u32_at = |at: usize| u32::from_le_bytes(block[at..at + 4].try_into().expect("four bytes"));
    let u64_at = |at: usize| u64::from_le_bytes(block[at..at + 8].try_into().expect("eight bytes"));
    let zxid_at = |at: usize| Zxid(u64_at(at) as i64);
    if u32_at(0) != MAGIC {
        return if block.iter().all(|byte| *byte == 0) { Claim::Zeros } else { Claim::Other };
    }
    if u64_at(8) != segment.0 || u64_at(16) != offset {
        return Claim::Foreign;
    }
    Claim::Frame(FrameHeader {
        segment,
        offset,
        previous: u32_at(24),
        length: u32_at(28),
        first: zxid_at(32),
        last: zxid_at(40),
        durable_upto: zxid_at(48),
        count: u32_at(56),
        checksum: u32_at(4),
    })
}

/// Whether `frame` (from its header to at least its last transaction) has the checksum its header claims, and
/// holds the transactions its header says, in order.
pub(crate) fn is_valid(frame: &[u8], header: &FrameHeader, seed: u32) -> bool {
    let end = FRAME_HEADER + header.length as usize;
    if frame.len() < end || crc32c::crc32c_append(seed, &frame[8..end]) != header.checksum {
        return false;
    }
    let (mut count, mut last) = (0u32, None);
    let mut txns = Txns::new(&frame[FRAME_HEADER..end]);
    for (zxid, _) in txns.by_ref() {
        let in_order = last.map_or(zxid == header.first, |last| follows(last, zxid));
        if !in_order {
            return false;
        }
        (count, last) = (count + 1, Some(zxid));
    }
    txns.rest.is_empty() && count > 0 && count == header.count && last == Some(header.last)
}

/// Whether `zxid` may come next after `last`: the next number, or the beginning of a later epoch.
pub(crate) fn follows(last: Zxid, zxid: Zxid) -> bool {
    zxid > last && (zxid == last.next() || (zxid.epoch() > last.epoch() && zxid.counter() <= 1))
}

/// The transactions of a frame.
#[derive(Clone, Debug)]
pub(crate) struct Txns<'a> {
    rest: &'a [u8],
}

impl<'a> Txns<'a> {
    /// Over the bytes behind a frame's header.
    pub(crate) fn new(payload: &'a [u8]) -> Self {
        Txns { rest: payload }
    }
}

impl<'a> Iterator for Txns<'a> {
    type Item = (Zxid, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (header, rest) = self.rest.split_first_chunk::<TXN_HEADER>()?;
        let length = u32::from_le_bytes(header[..4].try_into().expect("four bytes")) as usize;
        let (txn, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some((Zxid(i64::from_le_bytes(header[4..].try_into().expect("eight bytes"))), txn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: u32 = 77;

    fn sample() -> (Vec<u8>, FrameHeader) {
        let mut frame = vec![0xaa; BLOCK];
        let mut length = 0;
        for (zxid, txn) in [(5, &b"first"[..]), (6, b""), (7, b"third")] {
            length += put_txn(&mut frame[FRAME_HEADER + length..], Zxid(zxid), txn);
        }
        let mut header = FrameHeader {
            segment: SegmentId(3),
            offset: 8192,
            previous: 0xdead_beef,
            length: length as u32,
            first: Zxid(5),
            last: Zxid(7),
            durable_upto: Zxid(4),
            count: 3,
            checksum: 0,
        };
        header.checksum = seal(&mut frame, &header, SEED);
        (frame, header)
    }

    #[test]
    fn a_sealed_frame_reads_back() {
        let (frame, header) = sample();
        assert_eq!(claim(&frame, SegmentId(3), 8192), Claim::Frame(header));
        assert!(is_valid(&frame, &header, SEED));
        assert!(!is_valid(&frame, &header, SEED + 1));
        let txns: Vec<_> = Txns::new(&frame[FRAME_HEADER..FRAME_HEADER + header.length as usize]).collect();
        assert_eq!(txns, [(Zxid(5), &b"first"[..]), (Zxid(6), b""), (Zxid(7), b"third")]);
    }

    #[test]
    fn another_place_is_foreign() {
        let (frame, _) = sample();
        assert_eq!(claim(&frame, SegmentId(4), 8192), Claim::Foreign);
        assert_eq!(claim(&frame, SegmentId(3), 4096), Claim::Foreign);
        assert_eq!(claim(&[0; 64], SegmentId(3), 4096), Claim::Zeros);
        assert_eq!(claim(&[1; 64], SegmentId(3), 4096), Claim::Other);
    }

    #[test]
    fn every_flipped_bit_before_the_padding_is_found() {
        let (mut frame, header) = sample();
        for bit in 0..(FRAME_HEADER + header.length as usize) * 8 {
            frame[bit / 8] ^= 1 << (bit % 8);
            if let Claim::Frame(read) = claim(&frame, SegmentId(3), 8192) {
                assert!(!is_valid(&frame, &read, SEED), "bit {bit}");
            }
            frame[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_checksum_alone_does_not_make_a_frame() {
        // The right checksum over transactions that are not what the header says.
        for change in [
            (|header: &mut FrameHeader| header.count = 2) as fn(&mut FrameHeader),
            |header| header.last = Zxid(8),
            |header| header.first = Zxid(4),
            |header| header.length -= 1,
            |header| (header.count, header.length) = (0, 0),
        ] {
            let (mut frame, mut header) = sample();
            change(&mut header);
            header.checksum = seal(&mut frame, &header, SEED);
            assert!(!is_valid(&frame, &header, SEED), "{header:?}");
        }
    }

    #[test]
    fn what_follows_a_zxid() {
        assert!(follows(Zxid(0), Zxid(1)));
        assert!(follows(Zxid(0xffff_ffff), Zxid(0x1_0000_0000)));
        assert!(follows(Zxid(5), Zxid(0x1_0000_0001)));
        assert!(!follows(Zxid(5), Zxid(7)));
        assert!(!follows(Zxid(5), Zxid(5)));
        assert!(!follows(Zxid(0x1_0000_0005), Zxid(0x2_0000_0002)));
        assert!(!follows(Zxid(i64::MAX), Zxid(i64::MIN)));
    }
}
