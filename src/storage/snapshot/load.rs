//! Reading a snapshot: every byte is checked before any record of its chunk is handed over.
//!
//! Threads read chunks ahead and check them; the caller's thread takes them in order. No more than a few chunks
//! are in memory at a time. The file is read, never mapped: if it is truncated meanwhile the reader sees an
//! error, not a fault.

use super::format::{
    self, ArchivedAclsV1, ArchivedSessionsV1, ArchivedZnodesV1, Entry, FOOTER, HEADER, HeaderError, Kind,
    SnapshotHeader,
};
use crate::ids::{SessionId, Zxid};
use crate::jute::StatPersisted;
use crate::storage::disk::{Access, Blocks, Disk, DiskError, DiskFile};
use crate::storage::replay::{Replay, ReplayError, ZnodeRecord};
use rkyv::rancor::Error;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard};

/// Znodes between the one that is told of and the one that is handed over: time for what it needs to come from memory.
const AHEAD: usize = 8;

/// Why a snapshot cannot be used.
#[derive(Debug)]
pub enum SnapshotError {
    /// A file cannot be listed, opened or read.
    Disk(DiskError),
    /// Not what was written, and where that shows.
    Damaged(String),
    /// Whole, of a version this program does not read.
    UnknownVersion(u32),
}

impl From<DiskError> for SnapshotError {
    fn from(error: DiskError) -> SnapshotError {
        SnapshotError::Disk(error)
    }
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SnapshotError::Disk(error) => error.fmt(f),
            SnapshotError::Damaged(what) => f.write_str(what),
            SnapshotError::UnknownVersion(version) => {
                write!(f, "format version {version}, written by a later version")
            }
        }
    }
}

impl std::error::Error for SnapshotError {}

fn damaged<T>(what: impl Into<String>) -> Result<T, SnapshotError> {
    Err(SnapshotError::Damaged(what.into()))
}

/// A snapshot whose header and index have been checked.
pub struct Snapshot {
    file: Box<dyn DiskFile>,
    header: SnapshotHeader,
    header_checksum: u32,
    entries: Vec<Entry>,
}

impl Snapshot {
    /// Opens the snapshot called `name`, whose header must say the zxid of its name.
    pub fn open(disk: &dyn Disk, dir: &Path, name: &str) -> Result<Snapshot, SnapshotError> {
        let file = disk.open(&dir.join(name), Access::Read)?;
        let length = file.length()?;
        let mut bytes = [0; HEADER];
        let read = file.read_at(&mut bytes, 0)?;
        let (header, header_checksum) = match SnapshotHeader::decode(&bytes[..read]) {
            Ok(found) => found,
            Err(HeaderError::Damaged) => return damaged("the header is damaged"),
            Err(HeaderError::UnknownVersion(version)) => return Err(SnapshotError::UnknownVersion(version)),
        };
        if format::zxid_of(name) != Some(header.zxid) {
            return damaged(format!("the file's name is not that of its zxid {}", header.zxid));
        }
        let mut footer = [0; FOOTER];
        let footer_at = length.saturating_sub(FOOTER as u64);
        let read = file.read_at(&mut footer, footer_at)?;
        let index_at = match format::index_offset(&footer, length) {
            Some(offset) if read == FOOTER => offset,
            _ => return damaged(format!("no footer at the end ({length} bytes): the file is cut or damaged")),
        };
        // The footer's figures were compared with the file's length: this cannot be more than the file holds.
        let mut index = vec![0; (length - index_at) as usize];
        let read = file.read_at(&mut index, index_at)?;
        match format::decode_index(&index[..read], index_at, header_checksum) {
            Some(entries) => Ok(Snapshot { file, header, header_checksum, entries }),
            None => damaged(format!("the index at byte {index_at} is damaged")),
        }
    }

    /// What it says of itself.
    pub(crate) fn header(&self) -> &SnapshotHeader {
        &self.header
    }

    /// Its chunks.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Hands everything over, in order; `threads` read and check ahead. The inner error is the receiver's.
    pub fn load(&self, threads: usize, replay: &mut dyn Replay) -> Result<Result<(), ReplayError>, SnapshotError> {
        if let Err(refused) = replay.snapshot(&self.header) {
            return Ok(Err(refused));
        }
        let done = self.chunks(threads, &mut |chunk| chunk.hand_over(replay))?;
        Ok(done.and_then(|()| replay.snapshot_done(&self.header)))
    }

    /// Reads, checks and hands over chunk number `number`, and nothing else. The inner error is the receiver's.
    pub(crate) fn hand_over(
        &self,
        number: usize,
        replay: &mut dyn Replay,
    ) -> Result<Result<(), ReplayError>, SnapshotError> {
        Ok(self.chunk(number, Blocks::new())?.hand_over(replay))
    }

    /// Reads and checks every chunk, and hands nothing over.
    pub(crate) fn verify(&self, threads: usize) -> Result<(), SnapshotError> {
        self.chunks(threads, &mut |_| Ok(())).map(|_| ())
    }

    fn chunks(
        &self,
        threads: usize,
        take: &mut dyn FnMut(&Chunk) -> Result<(), ReplayError>,
    ) -> Result<Result<(), ReplayError>, SnapshotError> {
        let threads = threads.clamp(1, self.entries.len().max(1));
        let queue = Queue::new(self.entries.len(), threads * 2);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                let read = || {
                    while let Some((number, buffer)) = queue.claim() {
                        queue.put(number, self.chunk(number, buffer));
                    }
                };
                let builder = std::thread::Builder::new().name("chunks".to_owned());
                builder.spawn_scoped(scope, read).expect("the system has room for a thread");
            }
            let _stop = StopOnDrop(&queue);
            for number in 0..self.entries.len() {
                let chunk = queue.take(number)?;
                if let Err(refused) = take(&chunk) {
                    return Ok(Err(refused));
                }
                queue.give_back(chunk.buffer);
            }
            Ok(Ok(()))
        })
    }

    /// Reads a chunk into this buffer, and checks all there is to check.
    fn chunk(&self, number: usize, mut buffer: Blocks) -> Result<Chunk, SnapshotError> {
        let entry = self.entries[number];
        // The index was checked against the file's length.
        let place = self.file.read_straight(&mut buffer, entry.offset, entry.length as usize)?;
        let bytes = &buffer[place.clone()];
        let checksum = format::chunk_checksum(self.header_checksum, number as u32, bytes);
        if bytes.len() != entry.length as usize || checksum != entry.checksum {
            return damaged(format!("chunk {number} at byte {} is damaged", entry.offset));
        }
        let chunk = Chunk { buffer, place, kind: entry.kind };
        match chunk.records() {
            Some(records) if records == entry.records as usize => Ok(chunk),
            _ => damaged(format!("chunk {number} at byte {} does not hold what the index says", entry.offset)),
        }
    }
}

/// A checked chunk in memory.
struct Chunk {
    buffer: Blocks,
    place: Range<usize>,
    kind: Kind,
}

impl Chunk {
    /// Checks the archive's structure and that the lengths in it add up; the number of records.
    fn records(&self) -> Option<usize> {
        match self.kind {
            Kind::Sessions => Some(self.sessions()?.sessions.len()),
            Kind::Acls => {
                let archive = self.acls()?;
                let mut rest = archive.bytes.len();
                for acl in archive.acls.iter() {
                    rest = rest.checked_sub(acl.length.to_native() as usize)?;
                }
                (rest == 0).then_some(archive.acls.len())
            }
            Kind::Znodes => {
                let archive = self.znodes()?;
                let mut rest = archive.bytes.len();
                for znode in archive.znodes.iter() {
                    let data = match znode.data_length.to_native() {
                        -1 => 0,
                        length => usize::try_from(length).ok()?,
                    };
                    rest = rest.checked_sub(znode.path_length.to_native() as usize)?.checked_sub(data)?;
                }
                (rest == 0).then_some(archive.znodes.len())
            }
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.buffer[self.place.clone()]
    }

    fn sessions(&self) -> Option<&ArchivedSessionsV1> {
        rkyv::access::<ArchivedSessionsV1, Error>(self.bytes()).ok()
    }

    fn acls(&self) -> Option<&ArchivedAclsV1> {
        rkyv::access::<ArchivedAclsV1, Error>(self.bytes()).ok()
    }

    fn znodes(&self) -> Option<&ArchivedZnodesV1> {
        rkyv::access::<ArchivedZnodesV1, Error>(self.bytes()).ok()
    }

    fn hand_over(&self, replay: &mut dyn Replay) -> Result<(), ReplayError> {
        const CHECKED: &str = "the chunk was checked";
        match self.kind {
            Kind::Sessions => {
                for session in self.sessions().expect(CHECKED).sessions.iter() {
                    replay.session(SessionId(session.id.to_native()), session.timeout_ms.to_native())?;
                }
            }
            Kind::Acls => {
                let archive = self.acls().expect(CHECKED);
                let mut bytes = archive.bytes.as_slice();
                for acl in archive.acls.iter() {
                    let (list, rest) = bytes.split_at(acl.length.to_native() as usize);
                    replay.acl(acl.id.to_native(), list)?;
                    bytes = rest;
                }
            }
            Kind::Znodes => {
                let archive = self.znodes().expect(CHECKED);
                let mut soon = records(archive).skip(AHEAD);
                for record in records(archive) {
                    if let Some(ZnodeRecord { path, .. }) = soon.next() {
                        replay.soon(path);
                    }
                    replay.znode(&record)?;
                }
            }
        }
        Ok(())
    }
}

/// The znodes of an archive whose lengths add up.
fn records(archive: &ArchivedZnodesV1) -> impl Iterator<Item = ZnodeRecord<'_>> {
    let mut bytes = archive.bytes.as_slice();
    archive.znodes.iter().map(move |znode| {
        let (path, rest) = bytes.split_at(znode.path_length.to_native() as usize);
        let (data, rest) = match znode.data_length.to_native() {
            -1 => (None, rest),
            length => {
                let (data, rest) = rest.split_at(length as usize);
                (Some(data), rest)
            }
        };
        bytes = rest;
        ZnodeRecord {
            path,
            data,
            acl: znode.acl.to_native(),
            stat: StatPersisted {
                czxid: znode.czxid.to_native(),
                mzxid: znode.mzxid.to_native(),
                ctime: znode.ctime.to_native(),
                mtime: znode.mtime.to_native(),
                version: znode.version.to_native(),
                cversion: znode.cversion.to_native(),
                aversion: znode.aversion.to_native(),
                owner: znode.owner.to_native(),
                pzxid: znode.pzxid.to_native(),
            },
        }
    })
}

/// Chunks on their way from the readers to the taker, in bounded number.
struct Queue {
    state: Mutex<QueueState>,
    changed: Condvar,
    chunks: usize,
    ahead: usize,
}

#[derive(Default)]
struct QueueState {
    /// The next chunk to be claimed by a reader.
    next: usize,
    /// Chunks taken.
    taken: usize,
    ready: BTreeMap<usize, Result<Chunk, SnapshotError>>,
    /// Buffers of chunks taken, for those to come: fresh memory for each would cost more than reading into it.
    buffers: Vec<Blocks>,
    stopped: bool,
}

impl Queue {
    fn new(chunks: usize, ahead: usize) -> Queue {
        Queue { state: Mutex::default(), changed: Condvar::new(), chunks, ahead }
    }

    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().expect("no thread panics with the queue locked")
    }

    fn wait<'a>(&self, state: MutexGuard<'a, QueueState>) -> MutexGuard<'a, QueueState> {
        self.changed.wait(state).expect("no thread panics with the queue locked")
    }

    /// The next chunk to read and a buffer for it, when there is room; `None` when there is no more to do.
    fn claim(&self) -> Option<(usize, Blocks)> {
        let mut state = self.state();
        loop {
            if state.stopped || state.next == self.chunks {
                return None;
            }
            if state.next < state.taken + self.ahead {
                state.next += 1;
                return Some((state.next - 1, state.buffers.pop().unwrap_or_default()));
            }
            state = self.wait(state);
        }
    }

    fn put(&self, number: usize, chunk: Result<Chunk, SnapshotError>) {
        self.state().ready.insert(number, chunk);
        self.changed.notify_all();
    }

    fn take(&self, number: usize) -> Result<Chunk, SnapshotError> {
        let mut state = self.state();
        loop {
            if let Some(chunk) = state.ready.remove(&number) {
                state.taken = number + 1;
                self.changed.notify_all();
                return chunk;
            }
            state = self.wait(state);
        }
    }

    /// The buffer of a chunk that is not needed any more.
    fn give_back(&self, buffer: Blocks) {
        self.state().buffers.push(buffer);
    }
}

/// Lets the readers go, however the taker ends.
struct StopOnDrop<'a>(&'a Queue);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        if let Ok(mut state) = self.0.state.lock() {
            state.stopped = true;
        }
        self.0.changed.notify_all();
    }
}

/// The snapshots in `dir` by their names, newest first.
pub(crate) fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<(Zxid, String)>, DiskError> {
    let names = disk.list(dir)?;
    let mut found: Vec<_> = names.into_iter().filter_map(|name| Some((format::zxid_of(&name)?, name))).collect();
    found.sort_by(|a, b| b.cmp(a));
    Ok(found)
}
