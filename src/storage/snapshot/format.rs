//! The bytes of a snapshot: header, chunks, index, footer. All little-endian, held by a golden file.
//!
//! ```text
//! header, 128 bytes: magic | version u32 | checksum u32 | zxid i64 | digest i64 | flags u32 | 0 u32
//!                    server i64 | directory 16 bytes | created i64 | log from u64 | zeros
//! chunk*           : an archive of one kind, at a multiple of 16 bytes
//! index            : per chunk: offset u64 | length u32 | checksum u32 | kind u32 | records u32
//! footer, 40 bytes : index offset u64 | chunks u32 | 0 u32 | records u64 | checksum u32 | 0 u32 | magic
//! ```
//! Checksums are CRC-32C. A chunk's starts from the header's checksum and the chunk's number, the footer's from
//! the header's checksum and covers the index: no part of one snapshot passes for a part of another.

pub use crate::storage::replay::SnapshotHeader;

use crate::ids::Zxid;
use crate::storage::checksum_around;
use crate::storage::disk::ASIDE;
use crate::storage::log::frame::DirectoryId;
use crate::storage::log::segment::SegmentId;
use rkyv::{Archive, Serialize};

/// The version written, and the only one read.
pub(crate) const VERSION: u32 = 1;
/// Bytes of the header.
pub(crate) const HEADER: usize = 128;
/// Bytes of an entry of the index.
pub(crate) const ENTRY: usize = 24;
/// Bytes of the footer.
pub(crate) const FOOTER: usize = 40;
/// Chunks begin at multiples of this, in the file and in memory.
pub(crate) const ALIGN: usize = 16;
/// Payload bytes at which a chunk is closed.
pub(crate) const CHUNK: usize = 1 << 20;

const MAGIC: [u8; 8] = *b"CORRALSN";
const END_MAGIC: [u8; 8] = *b"CORRALSE";
const FLAG_DIGEST: u32 = 1;
const FLAG_INSTALLED: u32 = 2;

impl SnapshotHeader {
    /// The header's bytes, and their checksum.
    pub(crate) fn encode(&self) -> ([u8; HEADER], u32) {
        let mut bytes = [0; HEADER];
        let mut flags = 0;
        if self.digest.is_some() {
            flags |= FLAG_DIGEST;
        }
        if self.installed {
            flags |= FLAG_INSTALLED;
        }
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.zxid.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.digest.unwrap_or(0).to_le_bytes());
        bytes[32..36].copy_from_slice(&flags.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.server.to_le_bytes());
        bytes[48..64].copy_from_slice(&self.directory.0);
        bytes[64..72].copy_from_slice(&self.created_ms.to_le_bytes());
        bytes[72..80].copy_from_slice(&self.log_from.0.to_le_bytes());
        let checksum = checksum_around(&bytes);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        (bytes, checksum)
    }

    /// Reads a header and its checksum.
    pub(crate) fn decode(bytes: &[u8]) -> Result<(SnapshotHeader, u32), HeaderError> {
        let bytes: &[u8; HEADER] = bytes.try_into().map_err(|_| HeaderError::Damaged)?;
        let checksum = u32_at(bytes, 12);
        if bytes[..8] != MAGIC || checksum_around(bytes) != checksum {
            return Err(HeaderError::Damaged);
        }
        let flags = u32_at(bytes, 32);
        if u32_at(bytes, 8) != VERSION || flags & !(FLAG_DIGEST | FLAG_INSTALLED) != 0 {
            return Err(HeaderError::UnknownVersion(u32_at(bytes, 8)));
        }
        let header = SnapshotHeader {
            zxid: Zxid(u64_at(bytes, 16) as i64),
            digest: (flags & FLAG_DIGEST != 0).then(|| u64_at(bytes, 24) as i64),
            installed: flags & FLAG_INSTALLED != 0,
            log_from: SegmentId(u64_at(bytes, 72)),
            server: u64_at(bytes, 40) as i64,
            directory: DirectoryId(bytes[48..64].try_into().expect("sixteen bytes")),
            created_ms: u64_at(bytes, 64) as i64,
        };
        Ok((header, checksum))
    }
}

/// Why bytes are no header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HeaderError {
    Damaged,
    /// Whole, but of a version this program does not read.
    UnknownVersion(u32),
}

/// What a chunk holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    Sessions = 1,
    Acls = 2,
    Znodes = 3,
}

/// An entry of the index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub offset: u64,
    /// Bytes of the archive; zeros up to the next multiple of [`ALIGN`] follow.
    pub length: u32,
    pub checksum: u32,
    pub kind: Kind,
    pub records: u32,
}

/// The checksum of chunk number `number` of the snapshot whose header has `header_checksum`.
pub(crate) fn chunk_checksum(header_checksum: u32, number: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(header_checksum, &number.to_le_bytes()), bytes)
}

/// Index and footer, to be written at `offset`.
pub(crate) fn encode_index(entries: &[Entry], offset: u64, header_checksum: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * ENTRY + FOOTER);
    let mut records = 0u64;
    for entry in entries {
        bytes.extend_from_slice(&entry.offset.to_le_bytes());
        bytes.extend_from_slice(&entry.length.to_le_bytes());
        bytes.extend_from_slice(&entry.checksum.to_le_bytes());
        bytes.extend_from_slice(&(entry.kind as u32).to_le_bytes());
        bytes.extend_from_slice(&entry.records.to_le_bytes());
        records += u64::from(entry.records);
    }
    bytes.extend_from_slice(&offset.to_le_bytes());
    bytes.extend_from_slice(&(entries.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&records.to_le_bytes());
    let checksum = crc32c::crc32c_append(header_checksum, &bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&END_MAGIC);
    bytes
}

/// Where the index begins, read from the footer of a file of `length` bytes; `None` if it is no footer.
pub(crate) fn index_offset(footer: &[u8; FOOTER], length: u64) -> Option<u64> {
    let offset = u64_at(footer, 0);
    let size = u64::from(u32_at(footer, 8)) * ENTRY as u64 + FOOTER as u64;
    (footer[32..] == END_MAGIC && footer[28..32] == [0; 4] && offset.checked_add(size) == Some(length))
        .then_some(offset)
}

/// Reads index and footer, which begin at `offset`. `None` if anything is not as it was written.
pub(crate) fn decode_index(bytes: &[u8], offset: u64, header_checksum: u32) -> Option<Vec<Entry>> {
    let (index, footer) = bytes.split_at_checked(bytes.len().checked_sub(FOOTER)?)?;
    if crc32c::crc32c_append(header_checksum, &bytes[..bytes.len() - 16]) != u32_at(footer, 24) {
        return None;
    }
    let mut entries: Vec<Entry> = Vec::with_capacity(index.len() / ENTRY);
    let mut at = HEADER as u64;
    for entry in index.chunks(ENTRY) {
        let kind = match u32_at(entry, 16) {
            1 => Kind::Sessions,
            2 => Kind::Acls,
            3 => Kind::Znodes,
            _ => return None,
        };
        let length = u32_at(entry, 8);
        if u64_at(entry, 0) != at || entries.last().is_some_and(|last| last.kind > kind) {
            return None;
        }
        at = at.checked_add(u64::from(length).next_multiple_of(ALIGN as u64))?;
        let (offset, checksum, records) = (u64_at(entry, 0), u32_at(entry, 12), u32_at(entry, 20));
        entries.push(Entry { offset, length, checksum, kind, records });
    }
    (at == offset).then_some(entries)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// The name of the snapshot at `zxid`.
pub(crate) fn file_name(zxid: Zxid) -> String {
    format!("{PREFIX}{:016x}", zxid.0)
}

/// The name it is written under.
pub(crate) fn aside_name(zxid: Zxid) -> String {
    format!("{}{ASIDE}", file_name(zxid))
}

/// The zxid in a snapshot's file name; `None` for other files.
pub(crate) fn zxid_of(name: &str) -> Option<Zxid> {
    let hex = name.strip_prefix(PREFIX)?;
    (hex.len() == 16).then(|| u64::from_str_radix(hex, 16).ok()).flatten().map(|zxid| Zxid(zxid as i64))
}

/// Whether the name is that of a snapshot never finished.
pub(crate) fn is_aside(name: &str) -> bool {
    name.strip_suffix(ASIDE).is_some_and(|name| zxid_of(name).is_some())
}

const PREFIX: &str = "snapshot-";

/// The archive of a chunk of sessions.
#[derive(Archive, Serialize, Default)]
pub(crate) struct SessionsV1 {
    pub sessions: Vec<SessionV1>,
}

/// A session.
#[derive(Archive, Serialize, Clone, Copy)]
pub(crate) struct SessionV1 {
    pub id: i64,
    pub timeout_ms: i32,
}

/// The archive of a chunk of ACL lists: their bytes lie one behind the other in `bytes`.
#[derive(Archive, Serialize, Default)]
pub(crate) struct AclsV1 {
    pub acls: Vec<AclV1>,
    pub bytes: Vec<u8>,
}

/// An ACL list.
#[derive(Archive, Serialize, Clone, Copy)]
pub(crate) struct AclV1 {
    pub id: u32,
    pub length: u32,
}

/// The archive of a chunk of znodes: path and data of each lie one behind the other in `bytes`.
#[derive(Archive, Serialize, Default)]
pub(crate) struct ZnodesV1 {
    pub znodes: Vec<ZnodeV1>,
    pub bytes: Vec<u8>,
}

/// A znode. The fields are those of a record, [`crate::storage::replay::ZnodeRecord`], and have the archive's own order.
#[derive(Archive, Serialize, Clone, Copy)]
pub(crate) struct ZnodeV1 {
    pub owner: i64,
    pub czxid: i64,
    pub mzxid: i64,
    pub pzxid: i64,
    pub ctime: i64,
    pub mtime: i64,
    pub version: i32,
    pub cversion: i32,
    pub aversion: i32,
    pub acl: u32,
    pub path_length: u32,
    /// -1 for null.
    pub data_length: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_and_every_flipped_bit_is_found() {
        for (digest, installed) in [(None, false), (Some(-5), true)] {
            let header = SnapshotHeader {
                zxid: Zxid(0x5_0000_0007),
                digest,
                installed,
                log_from: SegmentId(if installed { 7 } else { 0 }),
                server: 3,
                directory: DirectoryId([9; 16]),
                created_ms: 1_700_000_000_000,
            };
            let (mut bytes, checksum) = header.encode();
            assert_eq!(SnapshotHeader::decode(&bytes), Ok((header, checksum)));
            for bit in 0..HEADER * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(SnapshotHeader::decode(&bytes), Err(HeaderError::Damaged), "bit {bit}");
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    #[test]
    fn names() {
        assert_eq!(file_name(Zxid(0x1_0000_000a)), "snapshot-000000010000000a");
        assert_eq!(zxid_of("snapshot-000000010000000a"), Some(Zxid(0x1_0000_000a)));
        assert!(is_aside("snapshot-000000010000000a.tmp"));
        for other in ["snapshot.0", "snapshot-0", "snapshot-000000010000000a.tmp", "log-0000000000000001"] {
            assert_eq!(zxid_of(other), None, "{other}");
        }
    }
}
