//! The write floor's log: one direct, synchronous write of whole pages under way, in a file that is full of zeroes.
//!
//! This file uses `unsafe` for what the kernel does with memory behind the compiler's back. The invariant: the buffer
//! of a write is `Log::pages`, allocated once, never moved or resized while the log lives, and not touched between
//! `submit` and the completion taken in `take_written` (`under_way` guards it). The test in `mod.rs` reads back what was
//! written.

use crate::codec::LONGEST_REQUEST;
use crate::failure::{Failure, Result, While};
use io_uring::{IoUring, opcode, types};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::OFlags;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The log's name in its directory.
pub const FILE: &str = "floor.log";
/// Bytes of the file; writing goes on at its start when it is full.
const FILE_BYTES: u64 = 128 << 20;
/// Direct writes begin and end on pages.
const PAGE: usize = 4096;
/// Bytes of one write at most: the longest frame fits.
const WRITE: usize = 2 * LONGEST_REQUEST;

/// A request that waits for the disk.
pub struct Waiting {
    pub peer: usize,
    pub visit: u32,
    pub xid: i32,
    /// How long it is in the log.
    pub bytes: usize,
}

/// The log.
pub struct Log {
    ring: IoUring,
    /// Where the pages of a write begin is a multiple of `PAGE` behind `start`.
    pages: Vec<u8>,
    start: usize,
    position: u64,
    gathered: Vec<u8>,
    waiting: Vec<Waiting>,
    /// For how many of those waiting the write under way is, and its bytes; none: nothing is under way.
    under_way: Option<(usize, u32)>,
}

impl Log {
    /// Opens or makes the file in `dir`.
    pub fn open(dir: &Path) -> Result<Log> {
        let path = dir.join(FILE);
        let doing = || format!("preparing {}", path.display());
        fs::create_dir_all(dir).during(doing)?;
        if fs::metadata(&path).map(|metadata| metadata.len()).unwrap_or(0) != FILE_BYTES {
            let mut file = File::create(&path).during(doing)?;
            let zeroes = vec![0; 1 << 20];
            for _ in 0..FILE_BYTES >> 20 {
                file.write_all(&zeroes).during(doing)?;
            }
            file.sync_all().during(doing)?;
        }
        let flags = (OFlags::DIRECT | OFlags::DSYNC).bits() as i32;
        let file = fs::OpenOptions::new().write(true).custom_flags(flags).open(&path).during(doing)?;
        let ring = IoUring::builder().setup_single_issuer().setup_coop_taskrun().build(8).during(doing)?;
        // From here on the ring holds the file.
        ring.submitter().register_files(&[file.as_raw_fd()]).during(doing)?;
        let pages = vec![0; WRITE + PAGE];
        let start = pages.as_ptr().align_offset(PAGE);
        Ok(Log { ring, pages, start, position: 0, gathered: vec![], waiting: vec![], under_way: None })
    }

    /// Adds a request to the next write.
    pub fn gather(&mut self, frame: &[u8], waiting: Waiting) {
        self.gathered.extend_from_slice(frame);
        self.waiting.push(waiting);
    }

    /// Writes what has been gathered, unless a write is under way.
    pub fn submit(&mut self) -> Result<()> {
        if self.under_way.is_some() || self.waiting.is_empty() {
            return Ok(());
        }
        let mut bytes = 0;
        let fits = |waiting: &&Waiting| {
            bytes += waiting.bytes;
            bytes <= WRITE
        };
        let count = self.waiting.iter().take_while(fits).count();
        let bytes: usize = self.waiting[..count].iter().map(|waiting| waiting.bytes).sum();
        let length = bytes.next_multiple_of(PAGE).max(PAGE);
        let pages = &mut self.pages[self.start..self.start + length];
        pages[..bytes].copy_from_slice(&self.gathered[..bytes]);
        pages[bytes..].fill(0);
        self.gathered.drain(..bytes);
        if self.position + length as u64 > FILE_BYTES {
            self.position = 0;
        }
        let write = opcode::Write::new(types::Fixed(0), pages.as_ptr(), length as u32).offset(self.position).build();
        // SAFETY: the pages live and stay as they are until the completion is taken, see the top of this file.
        unsafe { self.ring.submission().push(&write) }.during(|| "submitting a write".into())?;
        self.ring.submit().during(|| "submitting a write".into())?;
        self.position += length as u64;
        self.under_way = Some((count, length as u32));
        Ok(())
    }

    /// When the write under way has reached the disk: hands those who waited for it to `each`.
    pub fn take_written(&mut self, each: impl FnMut(Waiting)) -> Result<()> {
        let Some(completion) = self.ring.completion().next() else { return Ok(()) };
        let (count, length) = self.under_way.take().expect("a completion belongs to a write");
        if completion.result() != length as i32 {
            let error = std::io::Error::from_raw_os_error(-completion.result().min(0));
            return Err(Failure::new(format!("writing {length} bytes: {} ({error})", completion.result())));
        }
        self.waiting.drain(..count).for_each(each);
        Ok(())
    }
}

impl AsFd for Log {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the ring's descriptor is open as long as the ring, which is borrowed.
        unsafe { BorrowedFd::borrow_raw(self.ring.as_raw_fd()) }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // The kernel writes from the pages until the completion is there.
        if self.under_way.is_some() {
            let _ = self.ring.submit_and_wait(1);
        }
    }
}
