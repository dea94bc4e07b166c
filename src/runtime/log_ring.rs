//! The ring that carries the log's writes.
//!
//! One write is in flight at a time, straight from the log writer's page-aligned buffers into preallocated
//! segments opened `O_DIRECT | O_DSYNC`: when the completion says so, it is on disk. Buffers and files are
//! registered with the ring where the kernel's limits allow it.
//!
//! This file uses `unsafe` for what the kernel does with memory behind the compiler's back. The invariant:
//! the address of a write lies in one of the log writer's two buffers, which live as long as the writer, are
//! never moved, and which the writer leaves alone until the completion is reported (its own rule, asserted
//! there). The ring is dropped before the writer: both edges hold them in that order.

use super::descriptors;
use crate::fatal::{Fatal, Reason};
use crate::storage::disk::is_out_of_descriptors;
use crate::storage::log::segment::SegmentId;
use crate::storage::log::writer::{FrameWrite, LogWriter};
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The completion of a log write.
pub(crate) const WRITE: u64 = 1;

/// The ring and the files it writes to.
pub(crate) struct LogRing {
    ring: IoUring,
    dir: PathBuf,
    buffers: [(*mut u8, usize); 2],
    buffers_registered: bool,
    /// The segment being written and its file, registered as number 0 if `file_registered`.
    file: Option<(SegmentId, File)>,
    file_registered: bool,
    in_flight: Option<FrameWrite>,
}

// SAFETY: one thread owns the log writer and this ring together, and only that thread uses the buffers.
unsafe impl Send for LogRing {}

impl LogRing {
    /// A ring on the writer's buffers, for segments in `dir`. `deferred`: the thread that makes it is the only
    /// one that will use it and waits in it, so the kernel may leave completions until then.
    pub(crate) fn new(log: &mut LogWriter, dir: &Path, deferred: bool) -> Result<Self, Fatal> {
        let mut builder = IoUring::builder();
        builder.setup_single_issuer().setup_coop_taskrun();
        if deferred {
            // The flag shows a caller that does not wait that completions are ready: without it they would be left while
            // there is always other work.
            builder.setup_defer_taskrun().setup_taskrun_flag();
        }
        let ring = builder
            .build(64)
            .or_else(|_| IoUring::new(64))
            .map_err(|error| Fatal::new(Reason::IoUringDenied, format!("io_uring_setup: {error}")))?;
        let buffers = log.buffers();
        let vectors = buffers.map(|(base, len)| libc::iovec { iov_base: base.cast(), iov_len: len });
        // SAFETY: the buffers outlive the ring, see the top.
        let buffers_registered = unsafe { ring.submitter().register_buffers(&vectors) }.is_ok();
        let file_registered = ring.submitter().register_files_sparse(1).is_ok();
        if !buffers_registered || !file_registered {
            tracing::warn!("the log's buffers could not be registered with io_uring (raise the memlock limit)");
        }
        Ok(LogRing {
            ring,
            dir: dir.to_path_buf(),
            buffers,
            buffers_registered,
            file: None,
            file_registered,
            in_flight: None,
        })
    }

    /// The log goes on with another writer, whose buffers are others. No write is in flight.
    pub(crate) fn rebind(&mut self, log: &mut LogWriter) {
        assert!(self.in_flight.is_none(), "no write is in flight");
        if self.buffers_registered {
            let _ = self.ring.submitter().unregister_buffers();
        }
        self.buffers = log.buffers();
        let vectors = self.buffers.map(|(base, len)| libc::iovec { iov_base: base.cast(), iov_len: len });
        // SAFETY: the buffers outlive the ring, see the top.
        self.buffers_registered = unsafe { self.ring.submitter().register_buffers(&vectors) }.is_ok();
        // A segment of the same number may be another file.
        self.file = None;
    }

    /// The ring itself, for an edge that waits in it for other things as well.
    pub(crate) fn ring(&mut self) -> &mut IoUring {
        &mut self.ring
    }

    /// Starts a write.
    pub(crate) fn submit(&mut self, write: FrameWrite) -> Result<(), Fatal> {
        assert!(self.in_flight.is_none(), "one log write at a time");
        self.open(write.segment)?;
        let (base, len) = self.buffers[write.buffer];
        assert!(write.len as usize <= len, "a write lies within its buffer");
        let (_, file) = self.file.as_ref().expect("just opened");
        let fd = types::Fd(file.as_raw_fd());
        let entry = match (self.buffers_registered, self.file_registered) {
            (true, true) => opcode::WriteFixed::new(types::Fixed(0), base, write.len, write.buffer as u16)
                .offset(write.offset)
                .build(),
            (true, false) => {
                opcode::WriteFixed::new(fd, base, write.len, write.buffer as u16).offset(write.offset).build()
            }
            _ => opcode::Write::new(fd, base, write.len).offset(write.offset).build(),
        };
        // SAFETY: the bytes stay in place and untouched until the completion, see the top.
        unsafe { self.push(&entry.user_data(WRITE)) };
        self.ring.submit().map_err(Self::ring_failed)?;
        self.in_flight = Some(write);
        Ok(())
    }

    /// Queues an entry.
    ///
    /// # Safety
    /// What the entry points to must stay valid until its completion.
    pub(crate) unsafe fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: passed on to the caller.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            let _ = self.ring.submit();
        }
    }

    /// The next completion, if there is one.
    pub(crate) fn completion(&mut self) -> Option<cqueue::Entry> {
        self.ring.completion().next()
    }

    /// Checks the completion of the log's write: anything but all of it on disk ends the server, and is never
    /// tried again (a second attempt may say Ok and lie).
    pub(crate) fn written(&mut self, result: i32) -> Result<(), Fatal> {
        let write = self.in_flight.take().expect("a write was in flight");
        if result == write.len as i32 {
            return Ok(());
        }
        let place = format!("{} of {}", write.offset, self.dir.join(write.segment.file_name()).display());
        if result >= 0 {
            return Err(Fatal::new(Reason::DiskIo, format!("log write at {place}: {result} of {} bytes", write.len)));
        }
        let error = std::io::Error::from_raw_os_error(-result);
        let full = matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded);
        let reason = if full { Reason::DiskFull } else { Reason::DiskIo };
        Err(Fatal::new(reason, format!("log write at {place}: {error}")))
    }

    fn open(&mut self, segment: SegmentId) -> Result<(), Fatal> {
        if self.file.as_ref().is_some_and(|(open, _)| *open == segment) {
            return Ok(());
        }
        let path = self.dir.join(segment.file_name());
        let mut options = OpenOptions::new();
        options.write(true);
        let mut open = |flags| descriptors::opened(|| options.custom_flags(flags).open(&path));
        let file = open(libc::O_DIRECT | libc::O_DSYNC).or_else(|_| {
            // A file system without direct writes (some overlays): synchronous ones are as safe.
            open(libc::O_DSYNC)
        });
        let file = file.map_err(|error| {
            let reason = if is_out_of_descriptors(&error) { Reason::LimitTooLow } else { Reason::DiskIo };
            Fatal::new(reason, format!("open of {}: {error}", path.display()))
        })?;
        if self.file_registered && self.ring.submitter().register_files_update(0, &[file.as_raw_fd()]).is_err() {
            self.file_registered = false;
        }
        self.file = Some((segment, file));
        Ok(())
    }

    /// What a failed call of the ring means.
    pub(crate) fn ring_failed(error: std::io::Error) -> Fatal {
        Fatal::new(Reason::System, format!("io_uring_enter: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Zxid;
    use crate::runtime::disk::RealDisk;
    use crate::storage::log::frame::DirectoryId;
    use crate::storage::log::segment::{self, Position};
    use crate::storage::log::writer::LogOptions;
    use std::time::{Duration, Instant};

    const OPTIONS: LogOptions = LogOptions { max_txn: 1000, buffer_bytes: 8192, segment_bytes: 1 << 20 };

    /// A log of one segment, and its ring.
    fn begun(dir: &Path) -> (LogWriter, LogRing) {
        let (directory, capacity) = (DirectoryId([3; 16]), OPTIONS.first_segment_bytes());
        let opened =
            segment::begin(&RealDisk, dir, directory, SegmentId(1), capacity, Position::default(), &[]).unwrap();
        let mut log = LogWriter::new(&opened, OPTIONS).unwrap();
        let ring = LogRing::new(&mut log, dir, false).unwrap();
        (log, ring)
    }

    /// The write is made; what the system says of it is the test's.
    #[test]
    fn a_write_that_failed_or_fell_short_ends_the_server_by_name() {
        let scratch = tempfile::tempdir().unwrap();
        let outcomes = [
            (-5, Reason::DiskIo),
            (-28, Reason::DiskFull),
            (-122, Reason::DiskFull),
            (0, Reason::DiskIo),
            (512, Reason::DiskIo),
        ];
        for (at, (result, reason)) in outcomes.into_iter().enumerate() {
            let dir = scratch.path().join(at.to_string());
            std::fs::create_dir(&dir).unwrap();
            let (mut log, mut ring) = begun(&dir);
            log.append(log.appended().next(), b"a transaction").unwrap();
            ring.submit(log.next_write().unwrap()).unwrap();
            ring.ring().submit_and_wait(1).unwrap();
            ring.completion().expect("it was waited for");
            let fatal = ring.written(result).unwrap_err();
            assert_eq!(fatal.reason, reason, "{fatal}");
            assert!(fatal.detail.contains("log-0000000000000001"), "{fatal}");
            assert_eq!(log.durable(), Zxid::ZERO, "and nothing is acknowledged");
        }
    }

    /// A loop that always has other work enters the ring without waiting in it: it must hear of its writes all the same.
    #[test]
    fn a_loop_that_never_waits_hears_of_its_writes() {
        let scratch = tempfile::tempdir().unwrap();
        let (mut log, _) = begun(scratch.path());
        for deferred in [true, false] {
            let mut ring = LogRing::new(&mut log, scratch.path(), deferred).unwrap();
            log.append(log.appended().next(), b"a transaction").unwrap();
            ring.submit(log.next_write().unwrap()).unwrap();
            let deadline = Instant::now() + Duration::from_secs(10);
            let entry = loop {
                if let Some(entry) = ring.completion() {
                    break entry;
                }
                assert!(Instant::now() < deadline, "the write was not heard of, deferred: {deferred}");
                ring.ring().submit_and_wait(0).unwrap();
            };
            ring.written(entry.result()).unwrap();
            assert_eq!(log.written(), log.appended());
        }
        assert_eq!(log.durable(), Zxid(2));
    }
}
