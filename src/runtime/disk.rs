//! The disk as it is: [`storage::disk::Disk`] over the file system.
//!
//! Blocking calls, for start-up and helper threads. Files are made readable by this user only. A reader of a file holds a
//! shared lock on it, so that the file is not truncated and removed meanwhile.

use super::descriptors::opened;
use crate::storage::disk::{Access, BLOCK, Blocks, Disk, DiskError, DiskFile, PIECE};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

/// Bytes by which a file is cut at a time before it is removed, and the pause after each. A file system that tells its device
/// of freed space at once (mount option `discard`) keeps the device from other work meanwhile: 10 to 20 ms for 64 MiB on a
/// virtual disk, less than a millisecond for this size.
const CUT: u64 = 4 << 20;
const CUT_PAUSE: Duration = Duration::from_millis(5);

/// The file system.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RealDisk;

impl Disk for RealDisk {
    fn list(&self, dir: &Path) -> Result<Vec<String>, DiskError> {
        let failed = |error| DiskError::new("list", dir, error);
        let mut names = Vec::new();
        for entry in opened(|| fs::read_dir(dir)).map_err(failed)? {
            if let Ok(name) = entry.map_err(failed)?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn make_dir(&self, dir: &Path) -> Result<(), DiskError> {
        if dir.is_dir() {
            return Ok(());
        }
        // The parent's entry must be as durable as what will be in the directory.
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            self.make_dir(parent)?;
        }
        match fs::create_dir(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(DiskError::new("create", dir, error));
            }
            _ => {}
        }
        self.sync_dir(dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
    }

    fn open(&self, path: &Path, access: Access) -> Result<Box<dyn DiskFile>, DiskError> {
        let mut options = OpenOptions::new();
        options.read(true);
        match access {
            Access::Read => {}
            Access::Write => _ = options.write(true),
            Access::Create => _ = options.write(true).create(true).truncate(true).mode(0o600),
        }
        let file = opened(|| options.open(path)).map_err(|error| DiskError::new("open", path, error))?;
        // Refused only while the file is being removed; a file system without locks is left with `remove`.
        if access == Access::Read && matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
            return Err(DiskError::new("open", path, io::ErrorKind::NotFound.into()));
        }
        Ok(Box::new(RealFile { file, path: path.to_path_buf(), access, direct: OnceLock::new() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        fs::rename(from, to).map_err(|error| DiskError::new("rename", from, error))
    }

    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        fs::remove_file(path).map_err(|error| DiskError::new("remove", path, error))
    }

    fn remove_gradually(&self, path: &Path) -> Result<(), DiskError> {
        let failed = |error| DiskError::new("remove", path, error);
        let file = opened(|| OpenOptions::new().write(true).open(path)).map_err(failed)?;
        if file.try_lock().is_ok() {
            let mut length = file.metadata().map_err(failed)?.len();
            while length > CUT {
                length -= CUT;
                file.set_len(length).map_err(failed)?;
                std::thread::sleep(CUT_PAUSE);
            }
        }
        self.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        opened(|| File::open(dir)).and_then(|dir| dir.sync_all()).map_err(|error| DiskError::new("sync", dir, error))
    }

    fn lock(&self, path: &Path) -> Result<Option<Box<dyn Send + Sync>>, DiskError> {
        let failed = |error| DiskError::new("lock", path, error);
        let mut options = OpenOptions::new();
        let file =
            options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

struct RealFile {
    file: File,
    path: PathBuf,
    access: Access,
    /// For what goes past the cache; opened when first needed. `None`: the file system cannot.
    direct: OnceLock<Option<File>>,
}

impl RealFile {
    fn failed(&self, operation: &'static str, error: io::Error) -> DiskError {
        DiskError::new(operation, &self.path, error)
    }

    /// The same file opened once more: by its descriptor, since by now another may have taken its name.
    fn direct(&self) -> Option<&File> {
        let open = || {
            let mut options = OpenOptions::new();
            options.read(true).write(self.access != Access::Read).custom_flags(libc::O_DIRECT);
            let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            opened(|| options.open(&path)).ok()
        };
        self.direct.get_or_init(open).as_ref()
    }

    /// Writes blocks from memory aligned to them past the cache; through it on a file system without direct writes.
    fn write_direct(&self, blocks: &[u8], offset: u64) -> Result<(), DiskError> {
        match self.direct().map(|file| file.write_all_at(blocks, offset)) {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) if error.kind() != io::ErrorKind::InvalidInput => Err(self.failed("write", error)),
            _ => self.write_at(blocks, offset),
        }
    }
}

impl DiskFile for RealFile {
    fn length(&self) -> Result<u64, DiskError> {
        self.file.metadata().map(|metadata| metadata.len()).map_err(|error| self.failed("stat", error))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, DiskError> {
        let mut done = 0;
        while done < buffer.len() {
            match self.file.read_at(&mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed("read", error)),
            }
        }
        Ok(done)
    }

    fn read_straight(&self, buffer: &mut Blocks, offset: u64, length: usize) -> Result<Range<usize>, DiskError> {
        let before = (offset % BLOCK as u64) as usize;
        let start = offset - before as u64;
        let needed = before + length;
        buffer.resize(needed.next_multiple_of(BLOCK), 0);
        let read = match self.direct().map(|file| file.read_at(buffer, start)) {
            Some(Ok(read)) => read,
            Some(Err(error)) if !matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Interrupted) => {
                return Err(self.failed("read", error));
            }
            _ => 0,
        };
        // The end of the file, or what a direct read left.
        let rest = buffer.get_mut(read..needed).unwrap_or_default();
        let more = if rest.is_empty() { 0 } else { self.read_at(rest, start + read as u64)? };
        Ok(before..(read + more).clamp(before, needed))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        self.file.write_all_at(bytes, offset).map_err(|error| self.failed("write", error))
    }

    fn sync(&self) -> Result<(), DiskError> {
        self.file.sync_all().map_err(|error| self.failed("sync", error))
    }

    /// A direct write of blocks that are there already carries its own flush (FUA): some tenths of a millisecond where a
    /// sync of the file system takes several.
    fn overwrite_synced(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        let flags = libc::O_DIRECT | libc::O_DSYNC;
        let direct = opened(|| OpenOptions::new().write(true).custom_flags(flags).open(&self.path));
        let (mut buffer, start) = aligned(bytes.len());
        let aligned = &mut buffer[start..start + bytes.len()];
        aligned.copy_from_slice(bytes);
        match direct.map(|file| file.write_all_at(aligned, offset)) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if error.kind() != io::ErrorKind::InvalidInput => Err(self.failed("write", error)),
            // A file system without direct writes.
            _ => {
                self.write_at(bytes, offset)?;
                self.sync()
            }
        }
    }

    fn write_straight(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        let (mut buffer, start) = aligned(bytes.len());
        let copy = &mut buffer[start..start + bytes.len()];
        copy.copy_from_slice(bytes);
        self.write_direct(copy, offset)
    }

    fn zero_fill(&self, from: u64, to: u64) -> Result<(), DiskError> {
        let (buffer, start) = aligned(PIECE);
        let zeros = &buffer[start..start + PIECE];
        // So that the blocks lie together; where a file system cannot, the writes allocate them.
        let _ = rustix::fs::fallocate(&self.file, rustix::fs::FallocateFlags::empty(), from, to - from);
        let mut at = from;
        while at < to {
            let piece = &zeros[..(to - at).min(PIECE as u64) as usize];
            self.write_direct(piece, at)?;
            at += piece.len() as u64;
        }
        Ok(())
    }
}

/// A buffer that holds `length` bytes of zeros from the place returned on, as direct writes want it.
fn aligned(length: usize) -> (Vec<u8>, usize) {
    let buffer = vec![0; length + BLOCK];
    let start = buffer.as_ptr().align_offset(BLOCK);
    (buffer, start)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of its own under the system's temporary one, removed at the end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let dir = std::env::temp_dir().join(format!("corral-disk-{name}-{}", std::process::id()));
            fs::create_dir_all(&dir).unwrap();
            Scratch(dir)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn files_are_written_read_renamed_and_listed() {
        let scratch = Scratch::new("files");
        let (disk, dir) = (RealDisk, scratch.0.join("a/b"));
        disk.make_dir(&dir).unwrap();
        disk.make_dir(&dir).unwrap();
        let file = disk.open(&dir.join("one"), Access::Create).unwrap();
        file.write_at(b"hello", 3).unwrap();
        file.sync().unwrap();
        disk.rename(&dir.join("one"), &dir.join("two")).unwrap();
        disk.sync_dir(&dir).unwrap();
        assert_eq!(disk.list(&dir).unwrap(), ["two"]);
        let file = disk.open(&dir.join("two"), Access::Read).unwrap();
        let mut buffer = [9; 16];
        assert_eq!((file.read_at(&mut buffer, 0).unwrap(), file.length().unwrap()), (8, 8));
        assert_eq!(&buffer[..8], b"\0\0\0hello");
        assert!(disk.open(&dir.join("one"), Access::Read).err().unwrap().is_not_found());
        disk.remove(&dir.join("two")).unwrap();
        assert!(disk.list(&dir).unwrap().is_empty());
    }

    #[test]
    fn a_block_is_overwritten_in_its_place() {
        let scratch = Scratch::new("overwrite");
        let file = RealDisk.open(&scratch.0.join("blocks"), Access::Create).unwrap();
        file.write_at(&[1; 3 * BLOCK], 0).unwrap();
        file.sync().unwrap();
        file.overwrite_synced(&[2; BLOCK], BLOCK as u64).unwrap();
        let mut all = vec![0; 4 * BLOCK];
        assert_eq!(file.read_at(&mut all, 0).unwrap(), 3 * BLOCK);
        let blocks: Vec<u8> = all.chunks(BLOCK).map(|block| block[BLOCK - 1]).collect();
        assert_eq!((blocks.as_slice(), all[BLOCK], all[2 * BLOCK]), ([1, 2, 1, 0].as_slice(), 2, 1));
    }

    #[test]
    fn straight_writes_and_others_make_one_file() {
        let scratch = Scratch::new("straight");
        let file = RealDisk.open(&scratch.0.join("file"), Access::Create).unwrap();
        let bytes: Vec<u8> = (0..PIECE + 3 * BLOCK + 5).map(|at| (at / 7) as u8).collect();
        file.write_straight(&bytes[..PIECE], 0).unwrap();
        file.write_straight(&bytes[PIECE..PIECE + 3 * BLOCK], PIECE as u64).unwrap();
        file.write_at(&bytes[PIECE + 3 * BLOCK..], (PIECE + 3 * BLOCK) as u64).unwrap();
        file.sync().unwrap();
        let mut read = vec![0; bytes.len() + 1];
        assert_eq!(file.read_at(&mut read, 0).unwrap(), bytes.len());
        assert!(read[..bytes.len()] == bytes);
    }

    #[test]
    fn straight_reads_find_what_is_there_wherever_it_begins_and_the_file_ends() {
        let scratch = Scratch::new("straight-read");
        let path = scratch.0.join("file");
        let bytes: Vec<u8> = (0..3 * BLOCK + 1000).map(|at| (at / 3) as u8).collect();
        fs::write(&path, &bytes).unwrap();
        let file = RealDisk.open(&path, Access::Read).unwrap();
        let mut buffer = Blocks::new();
        let length = bytes.len();
        for (offset, asked) in [
            (0, BLOCK),
            (16, 2 * BLOCK),
            (BLOCK - 1, 2),
            (BLOCK, 2 * BLOCK),
            (3 * BLOCK, 1000),
            (3 * BLOCK + 900, 500),
            (length, 10),
            (length + BLOCK, 10),
            (100, 0),
        ] {
            let range = file.read_straight(&mut buffer, offset as u64, asked).unwrap();
            let expected = &bytes[offset.min(length)..(offset + asked).min(length)];
            assert!(buffer[range.clone()] == *expected, "{asked} bytes from {offset} on");
            assert!(range.is_empty() || (buffer[range].as_ptr().addr() - offset).is_multiple_of(BLOCK));
        }
    }

    #[test]
    fn straight_reads_are_of_the_file_that_was_opened_whatever_has_its_name_by_then() {
        let scratch = Scratch::new("straight-renamed");
        let (path, other) = (scratch.0.join("file"), scratch.0.join("other"));
        fs::write(&path, [1; 2 * BLOCK]).unwrap();
        fs::write(&other, [2; 2 * BLOCK]).unwrap();
        let file = RealDisk.open(&path, Access::Read).unwrap();
        fs::rename(&other, &path).unwrap();
        let mut buffer = Blocks::new();
        let range = file.read_straight(&mut buffer, 0, 2 * BLOCK).unwrap();
        assert!(buffer[range] == [1; 2 * BLOCK]);
    }

    #[test]
    fn what_is_removed_gradually_is_cut_down_first() {
        let scratch = Scratch::new("gradually");
        let (path, other) = (scratch.0.join("large"), scratch.0.join("other"));
        let length = 3 * CUT + 1;
        fs::File::create(&path).unwrap().set_len(length).unwrap();
        fs::hard_link(&path, &other).unwrap();
        RealDisk.remove_gradually(&path).unwrap();
        assert!(RealDisk.open(&path, Access::Read).err().unwrap().is_not_found());
        assert_eq!(fs::metadata(&other).unwrap().len(), 1, "all but the last piece went before the name did");
        assert!(RealDisk.remove_gradually(&path).unwrap_err().is_not_found());
    }

    #[test]
    fn a_file_being_read_stays_whole_when_it_is_removed() {
        let scratch = Scratch::new("read");
        let path = scratch.0.join("large");
        let written = RealDisk.open(&path, Access::Create).unwrap();
        written.write_at(b"the end", 2 * CUT).unwrap();
        let reader = RealDisk.open(&path, Access::Read).unwrap();
        RealDisk.remove_gradually(&path).unwrap();
        let mut buffer = [0; 7];
        assert_eq!((reader.read_at(&mut buffer, 2 * CUT).unwrap(), &buffer), (7, b"the end"));
        assert!(RealDisk.list(&scratch.0).unwrap().is_empty());
    }

    #[test]
    fn a_file_that_is_being_removed_is_not_there() {
        let scratch = Scratch::new("removed");
        let path = scratch.0.join("file");
        let removing = fs::File::create(&path).unwrap();
        removing.try_lock().unwrap();
        assert!(RealDisk.open(&path, Access::Read).err().unwrap().is_not_found());
        drop(removing);
        assert!(RealDisk.open(&path, Access::Read).is_ok());
    }

    #[test]
    fn a_lock_is_held_once() {
        let scratch = Scratch::new("lock");
        let path = scratch.0.join("lock");
        let held = RealDisk.lock(&path).unwrap().unwrap();
        assert!(RealDisk.lock(&path).unwrap().is_none());
        drop(held);
        assert!(RealDisk.lock(&path).unwrap().is_some());
    }

    /// A start, some writes, a snapshot and another start, on real files.
    #[test]
    fn storage_works_on_it() {
        use crate::ids::{SessionId, Zxid};
        use crate::jute::StatPersisted;
        use crate::storage::identity;
        use crate::storage::log::writer::{LogOptions, LogWriter};
        use crate::storage::recovery::{self, RecoveryOptions};
        use crate::storage::replay::{Replay, ReplayError, ZnodeRecord};
        use crate::storage::snapshot::format::SnapshotHeader;
        use crate::storage::snapshot::write::SnapshotWriter;

        #[derive(Default)]
        struct Sum(Vec<i64>);
        impl Replay for Sum {
            fn restart(&mut self) {
                self.0.clear();
            }
            fn snapshot(&mut self, _: &SnapshotHeader) -> Result<(), ReplayError> {
                Ok(())
            }
            fn session(&mut self, _: SessionId, _: i32) -> Result<(), ReplayError> {
                Ok(())
            }
            fn acl(&mut self, _: u32, _: &[u8]) -> Result<(), ReplayError> {
                Ok(())
            }
            fn znode(&mut self, record: &ZnodeRecord<'_>) -> Result<(), ReplayError> {
                self.0.push(record.stat.mzxid);
                Ok(())
            }
            fn snapshot_done(&mut self, _: &SnapshotHeader) -> Result<(), ReplayError> {
                Ok(())
            }
            fn txn(&mut self, zxid: Zxid, _: &[u8]) -> Result<(), ReplayError> {
                self.0.push(zxid.0);
                Ok(())
            }
        }

        let scratch = Scratch::new("storage");
        let (data_dir, log_dir) = (scratch.0.join("data"), scratch.0.join("log"));
        let log_options = LogOptions { max_txn: 1000, buffer_bytes: 8192, segment_bytes: 1 << 20 };
        for start in 0..3i64 {
            let mut state = Sum::default();
            let mut directory =
                identity::open(&RealDisk, &data_dir, &log_dir, identity::Starter::Alone(None), [1; 16]).unwrap();
            let options = RecoveryOptions {
                snapshot_dir: &data_dir,
                log_dir: &log_dir,
                directory: directory.identity.directory,
                born: directory.identity.born,
                accept_log_loss: false,
                threads: 2,
            };
            let recovered = recovery::recover(&RealDisk, &options, &mut state).unwrap();
            let opened = recovery::begin_log(&RealDisk, &options, &recovered, &log_options, 1).unwrap();
            directory.mark_born(&RealDisk).unwrap();
            let mut log = LogWriter::new(&opened, log_options).unwrap();
            assert_eq!(state.0, (1..=start * 2).collect::<Vec<_>>());
            assert_eq!(recovered.notes, [""; 0]);
            let path = log_dir.join(opened.header.id.file_name());
            for zxid in [start * 2 + 1, start * 2 + 2] {
                log.append(Zxid(zxid), &[7; 500]).unwrap();
                let write = log.next_write().unwrap();
                let file = RealDisk.open(&path, Access::Write).unwrap();
                file.write_at(log.bytes(&write), write.offset).unwrap();
                file.sync().unwrap();
                assert_eq!(log.written(), Zxid(zxid));
            }
            if start == 1 {
                let directory = directory.identity.directory;
                let header = SnapshotHeader { zxid: Zxid(4), directory, ..SnapshotHeader::default() };
                let mut writer = SnapshotWriter::create(&RealDisk, &data_dir, header).unwrap();
                for mzxid in 1..=4 {
                    writer
                        .push_znode(&ZnodeRecord {
                            path: b"/x",
                            stat: StatPersisted { mzxid, ..Default::default() },
                            ..Default::default()
                        })
                        .unwrap();
                }
                writer.finish().unwrap();
            }
        }
    }
}
