//! Writing a snapshot, record by record.
//!
//! Memory is one chunk, whatever the size of the tree. What is gathered goes to the device in small pieces past the
//! system's cache, and is synced as it goes, so that no sync holds up the log's writes with much at once; the caller paces
//! by [`SnapshotWriter::bytes`].

use super::format::{
    self, ALIGN, AclV1, AclsV1, CHUNK, Entry, HEADER, Kind, SessionV1, SessionsV1, SnapshotHeader, ZnodeV1, ZnodesV1,
};
use crate::ids::SessionId;
use crate::jute::StatPersisted;
use crate::storage::disk::{Access, Disk, DiskError, DiskFile, PIECE};
use crate::storage::replay::ZnodeRecord;
use rkyv::api::high::{HighSerializer, to_bytes_in};
use rkyv::rancor::Error;
use rkyv::ser::allocator::ArenaHandle;
use rkyv::util::AlignedVec;
use std::path::{Path, PathBuf};

/// Bytes between syncs.
const SYNC_EVERY: u64 = 8 << 20;

/// A snapshot being written. Dropped before it is finished, it leaves a file that the next start removes.
pub(crate) struct SnapshotWriter<'a> {
    disk: &'a dyn Disk,
    dir: PathBuf,
    header: SnapshotHeader,
    header_checksum: u32,
    file: Box<dyn DiskFile>,
    /// Where the next chunk begins.
    offset: u64,
    /// What was not written yet of the bytes before it: less than a piece, between two chunks.
    pending: Vec<u8>,
    synced: u64,
    kind: Kind,
    sessions: SessionsV1,
    acls: AclsV1,
    znodes: ZnodesV1,
    archive: AlignedVec<ALIGN>,
    entries: Vec<Entry>,
}

/// A snapshot that is complete and durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Written {
    pub name: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// Sessions, ACL lists and znodes together.
    pub records: u64,
}

impl<'a> SnapshotWriter<'a> {
    /// Begins a snapshot in `dir`.
    pub(crate) fn create(
        disk: &'a dyn Disk,
        dir: &Path,
        header: SnapshotHeader,
    ) -> Result<SnapshotWriter<'a>, DiskError> {
        let file = disk.open(&dir.join(format::aside_name(header.zxid)), Access::Create)?;
        let (bytes, header_checksum) = header.encode();
        Ok(SnapshotWriter {
            disk,
            dir: dir.to_path_buf(),
            header,
            header_checksum,
            file,
            offset: HEADER as u64,
            pending: bytes.to_vec(),
            synced: 0,
            kind: Kind::Sessions,
            sessions: SessionsV1::default(),
            acls: AclsV1::default(),
            znodes: ZnodesV1::default(),
            archive: AlignedVec::new(),
            entries: Vec::new(),
        })
    }

    /// Adds a session. All sessions come first.
    pub(crate) fn push_session(&mut self, id: SessionId, timeout_ms: i32) -> Result<(), DiskError> {
        self.turn_to(Kind::Sessions)?;
        self.sessions.sessions.push(SessionV1 { id: id.0, timeout_ms });
        if self.sessions.sessions.len() * size_of::<SessionV1>() >= CHUNK { self.flush() } else { Ok(()) }
    }

    /// Adds an ACL list. All lists come before the first znode.
    pub(crate) fn push_acl(&mut self, id: u32, list: &[u8]) -> Result<(), DiskError> {
        self.turn_to(Kind::Acls)?;
        self.acls.acls.push(AclV1 { id, length: list.len() as u32 });
        self.acls.bytes.extend_from_slice(list);
        if self.acls.bytes.len() >= CHUNK { self.flush() } else { Ok(()) }
    }

    /// Adds a znode, in any order.
    #[inline]
    pub(crate) fn push_znode(&mut self, record: &ZnodeRecord<'_>) -> Result<(), DiskError> {
        if self.kind != Kind::Znodes {
            self.turn_to(Kind::Znodes)?;
        }
        let StatPersisted { czxid, mzxid, ctime, mtime, version, cversion, aversion, owner, pzxid } = record.stat;
        self.znodes.znodes.push(ZnodeV1 {
            owner,
            czxid,
            mzxid,
            pzxid,
            ctime,
            mtime,
            version,
            cversion,
            aversion,
            acl: record.acl,
            path_length: record.path.len() as u32,
            data_length: record.data.map_or(-1, |data| data.len() as i32),
        });
        self.znodes.bytes.extend_from_slice(record.path);
        self.znodes.bytes.extend_from_slice(record.data.unwrap_or_default());
        let full = self.znodes.bytes.len() + self.znodes.znodes.len() * size_of::<ZnodeV1>() >= CHUNK;
        if full { self.flush() } else { Ok(()) }
    }

    /// Bytes written so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.offset
    }

    /// Completes the snapshot: index, footer, sync, its name, the directory's sync.
    pub(crate) fn finish(mut self) -> Result<Written, DiskError> {
        self.flush()?;
        let index = format::encode_index(&self.entries, self.offset, self.header_checksum);
        let at = self.offset - self.pending.len() as u64;
        self.pending.extend_from_slice(&index);
        self.file.write_at(&self.pending, at)?;
        self.file.sync()?;
        let name = format::file_name(self.header.zxid);
        self.disk.rename(&self.dir.join(format::aside_name(self.header.zxid)), &self.dir.join(&name))?;
        self.disk.sync_dir(&self.dir)?;
        let records = self.entries.iter().map(|entry| u64::from(entry.records)).sum();
        Ok(Written { name, bytes: self.offset + index.len() as u64, records })
    }

    fn turn_to(&mut self, kind: Kind) -> Result<(), DiskError> {
        assert!(kind >= self.kind, "sessions, then ACL lists, then znodes");
        if kind > self.kind {
            self.flush()?;
            self.kind = kind;
        }
        Ok(())
    }

    /// Writes the records gathered, if any, as a chunk.
    fn flush(&mut self) -> Result<(), DiskError> {
        let mut archive = std::mem::take(&mut self.archive);
        archive.clear();
        let records = match self.kind {
            Kind::Sessions => self.sessions.sessions.len(),
            Kind::Acls => self.acls.acls.len(),
            Kind::Znodes => self.znodes.znodes.len(),
        };
        if records == 0 {
            return Ok(());
        }
        let mut archive = match self.kind {
            Kind::Sessions => serialize(&self.sessions, archive),
            Kind::Acls => serialize(&self.acls, archive),
            Kind::Znodes => serialize(&self.znodes, archive),
        };
        self.sessions.sessions.clear();
        self.acls.acls.clear();
        self.acls.bytes.clear();
        self.znodes.znodes.clear();
        self.znodes.bytes.clear();
        let length = archive.len();
        let checksum = format::chunk_checksum(self.header_checksum, self.entries.len() as u32, &archive);
        archive.resize(length.next_multiple_of(ALIGN), 0);
        self.put(&archive)?;
        self.entries.push(Entry {
            offset: self.offset - archive.len() as u64,
            length: length as u32,
            checksum,
            kind: self.kind,
            records: records as u32,
        });
        self.archive = archive;
        if self.offset - self.synced >= SYNC_EVERY {
            self.file.sync()?;
            self.synced = self.offset;
        }
        Ok(())
    }

    /// Appends bytes to the file: whole pieces at once, the rest with what comes next.
    fn put(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        let mut at = self.offset - self.pending.len() as u64;
        self.pending.extend_from_slice(bytes);
        self.offset += bytes.len() as u64;
        let pieces = self.pending.chunks_exact(PIECE);
        let left = pieces.remainder().len();
        for piece in pieces {
            debug_assert!(at.is_multiple_of(PIECE as u64), "pieces are written where their size has them");
            self.file.write_straight(piece, at)?;
            at += PIECE as u64;
        }
        self.pending.drain(..self.pending.len() - left);
        Ok(())
    }
}

/// Archives of these types hold nothing that can fail to be written to memory.
fn serialize<T>(value: &T, into: AlignedVec<ALIGN>) -> AlignedVec<ALIGN>
where
    T: for<'b> rkyv::Serialize<HighSerializer<AlignedVec<ALIGN>, ArenaHandle<'b>, Error>>,
{
    to_bytes_in::<_, Error>(value, into).expect("an archive of plain records")
}
