//! What storage asks of a disk, so that tests can put another one underneath.
//!
//! Blocking calls, used at start and on helper threads. The log's own writes do not pass here: they go from
//! the log writer's buffers through the runtime's ring. A failed call is never repeated: after a failed sync
//! the kernel may have dropped the pages and would call the next one a success.

use crate::fatal::{Fatal, Reason};
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// What a file is opened for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Reading a file that is there.
    Read,
    /// Reading and writing a file that is there.
    Write,
    /// Reading and writing a new file; one of that name is emptied. Readable by this user only.
    Create,
}

/// A file system as storage uses it.
pub trait Disk: Send + Sync {
    /// The names of the files and directories in `dir`, sorted. Names that are not UTF-8 are left out.
    fn list(&self, dir: &Path) -> Result<Vec<String>, DiskError>;
    /// Makes `dir` and what is missing above it.
    fn make_dir(&self, dir: &Path) -> Result<(), DiskError>;
    /// Opens a file.
    fn open(&self, path: &Path, access: Access) -> Result<Box<dyn DiskFile>, DiskError>;
    /// Gives a file another name, in place of what has that name.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> Result<(), DiskError>;
    /// Removes a file, and lets go of its space a little at a time where others wait for the same device. Takes a
    /// while: for helper threads. Nobody who has the file open for reading is harmed. Its name should count for nothing
    /// by then, since less and less of it is there.
    fn remove_gradually(&self, path: &Path) -> Result<(), DiskError> {
        self.remove(path)
    }
    /// Makes the creations, renames and removals in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError>;
    /// Takes the lock on `path`, created if missing, or returns `None` if another process holds it. The lock
    /// lasts as long as the value and ends with the process.
    fn lock(&self, path: &Path) -> Result<Option<Box<dyn Send + Sync>>, DiskError>;
}

/// Bytes in one write of [`DiskFile::zero_fill`] and [`DiskFile::write_straight`]: a device is done with them in less than
/// a millisecond.
pub(crate) const PIECE: usize = 256 << 10;

/// What direct reads and writes are made of.
pub(crate) const BLOCK: usize = 4096;

/// A buffer for [`DiskFile::read_straight`]. To be used again: fresh memory costs as much as reading into it.
pub(crate) type Blocks = rkyv::util::AlignedVec<BLOCK>;

/// An open file.
pub trait DiskFile: Send + Sync {
    /// Its length in bytes.
    fn length(&self) -> Result<u64, DiskError>;
    /// Reads from `offset`; fewer bytes than asked only where the file ends.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, DiskError>;
    /// The same into a buffer that is made to fit, straight from the device where that can be: of much that is read once, the
    /// system's cache would only cost memory. Returns where in the buffer what was read lies, which is as well aligned as
    /// `offset` is, up to a block.
    fn read_straight(&self, buffer: &mut Blocks, offset: u64, length: usize) -> Result<Range<usize>, DiskError> {
        buffer.resize(length, 0);
        Ok(0..self.read_at(buffer, offset)?)
    }
    /// Writes all of `bytes` at `offset`, making the file longer where needed.
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError>;
    /// Makes what was written durable, with the length.
    fn sync(&self) -> Result<(), DiskError>;

    /// Writes whole blocks over what is durable already, and makes them so: the same as a write and a sync, where the disk
    /// can in one command of its own.
    fn overwrite_synced(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        self.write_at(bytes, offset)?;
        self.sync()
    }

    /// Writes at most [`PIECE`] bytes, whole blocks, straight to the device where that can be: through the system's cache
    /// many of them would reach it at once, in front of the log's next write. Durable only after [`DiskFile::sync`].
    fn write_straight(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        self.write_at(bytes, offset)
    }

    /// Writes zeros from byte `from` to byte `to`, whole blocks both: space that is only allocated would cost a metadata
    /// write with every sync later. Durable only after [`DiskFile::sync`].
    fn zero_fill(&self, from: u64, to: u64) -> Result<(), DiskError> {
        let zeros = vec![0; PIECE.min(to.saturating_sub(from) as usize)];
        let mut at = from;
        while at < to {
            let step = (to - at).min(zeros.len() as u64);
            self.write_at(&zeros[..step as usize], at)?;
            at += step;
        }
        Ok(())
    }
}

/// A call that failed: what, on which path, and what the system said.
#[derive(Debug)]
pub struct DiskError {
    /// The call in one word: open, read, write, sync, rename, remove, list, lock.
    pub(crate) operation: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}

impl DiskError {
    /// For `map_err`.
    pub(crate) fn new(operation: &'static str, path: &Path, source: io::Error) -> DiskError {
        DiskError { operation, path: path.to_path_buf(), source }
    }

    /// Whether the path is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}: {}", self.operation, self.path.display(), self.source)
    }
}

impl std::error::Error for DiskError {}

/// The process may open no more files; the whole system may not.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

/// Whether the process, or the whole system, has no descriptor left: nothing that a disk has to do with.
pub(crate) fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE))
}

impl From<DiskError> for Fatal {
    fn from(error: DiskError) -> Fatal {
        let reason = match error.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Reason::DiskFull,
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::ReadOnlyFilesystem => Reason::DataDirectoryUnusable,
            _ if is_out_of_descriptors(&error.source) => Reason::LimitTooLow,
            _ => Reason::DiskIo,
        };
        Fatal::new(reason, error.to_string())
    }
}

/// Reads a whole file that may not be longer than `limit` bytes.
pub(crate) fn read_small(disk: &dyn Disk, path: &Path, limit: usize) -> Result<Vec<u8>, DiskError> {
    let file = disk.open(path, Access::Read)?;
    let length = file.length()?;
    if length > limit as u64 {
        let what = format!("{length} bytes, expected at most {limit}");
        return Err(DiskError::new("read", path, io::Error::new(io::ErrorKind::InvalidData, what)));
    }
    let mut bytes = vec![0; length as usize];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Puts a small file in place at once: written beside it, synced, renamed, the directory synced.
pub(crate) fn replace_small(disk: &dyn Disk, dir: &Path, name: &str, bytes: &[u8]) -> Result<(), DiskError> {
    let aside = dir.join(format!("{name}{ASIDE}"));
    let file = disk.open(&aside, Access::Create)?;
    file.write_at(bytes, 0)?;
    file.sync()?;
    disk.rename(&aside, &dir.join(name))?;
    disk.sync_dir(dir)
}

/// How the name of a file ends that is not finished. Such files are removed at start.
pub(crate) const ASIDE: &str = ".tmp";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_have_their_reasons() {
        let reason = |kind: io::ErrorKind| {
            Fatal::from(DiskError::new("write", Path::new("d/log-1"), io::Error::from(kind))).reason
        };
        assert_eq!(reason(io::ErrorKind::StorageFull), Reason::DiskFull);
        assert_eq!(reason(io::ErrorKind::PermissionDenied), Reason::DataDirectoryUnusable);
        assert_eq!(reason(io::ErrorKind::Other), Reason::DiskIo);
        let eio = DiskError::new("sync", Path::new("d/log-1"), io::Error::from_raw_os_error(5));
        assert_eq!(Fatal::from(eio).reason, Reason::DiskIo);
        for code in [EMFILE, ENFILE] {
            let fatal = Fatal::from(DiskError::new("open", Path::new("d/log-2"), io::Error::from_raw_os_error(code)));
            assert_eq!(fatal.reason, Reason::LimitTooLow, "{fatal}");
        }
        let enospc = DiskError::new("write", Path::new("d/log-1"), io::Error::from_raw_os_error(28));
        assert_eq!(Fatal::from(enospc).reason, Reason::DiskFull);
    }
}
