//! How long the log's disk takes for a write, measured the way the log writes: 4 KiB at a time, direct and synchronous,
//! over blocks that have been written before.
//!
//! The file has no name, so that nothing of it is left whatever happens. The measurement blocks its thread for [`BUDGET`] and
//! one write more, and shares the disk with other writers: it tells an SSD from a spinning disk and a cache that is flushed
//! from one that is not, not one SSD from another.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

/// After this no further write is begun.
const BUDGET: Duration = Duration::from_millis(100);
/// Writes that are enough to tell a 99th percentile.
const ENOUGH: usize = 400;
/// Bytes of one write, which is also what addresses are aligned to.
const BLOCK: usize = 4096;
/// Blocks of the file, written in turn.
const BLOCKS: usize = 32;

/// The times of the writes, microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct WriteLatency {
    /// How many were measured.
    pub writes: usize,
    pub p50_us: u64,
    /// The slowest one where they are fewer than a hundred.
    pub p99_us: u64,
    /// Past the page cache; false where the file system has no direct writes.
    pub direct: bool,
}

impl WriteLatency {
    /// Measures in a directory that exists. Errors are those of making and writing the file.
    pub(crate) fn measure(dir: &Path) -> io::Result<WriteLatency> {
        let (file, direct) = nameless(dir)?;
        let buffer = vec![0x5a; (BLOCKS + 1) * BLOCK];
        let blocks = &buffer[buffer.as_ptr().align_offset(BLOCK)..][..BLOCKS * BLOCK];
        let begun = Instant::now();
        file.write_all_at(blocks, 0)?;
        let mut times_us = vec![];
        while times_us.len() < ENOUGH && (times_us.is_empty() || begun.elapsed() < BUDGET) {
            let at = times_us.len() % BLOCKS * BLOCK;
            let start = Instant::now();
            file.write_all_at(&blocks[at..at + BLOCK], at as u64)?;
            times_us.push(start.elapsed().as_micros() as u64);
        }
        Ok(Self::of(times_us, direct))
    }

    /// Of at least one time.
    fn of(mut times_us: Vec<u64>, direct: bool) -> WriteLatency {
        times_us.sort_unstable();
        let writes = times_us.len();
        let percentile = |percent: usize| times_us[(writes * percent).div_ceil(100).clamp(1, writes) - 1];
        WriteLatency { writes, p50_us: percentile(50), p99_us: percentile(99), direct }
    }
}

/// A file that goes when it is closed, and whether it is written past the page cache.
fn nameless(dir: &Path) -> io::Result<(File, bool)> {
    let open = |flags| {
        let mut options = OpenOptions::new();
        options.write(true).mode(0o600).custom_flags(libc::O_TMPFILE | libc::O_DSYNC | flags).open(dir)
    };
    match open(libc::O_DIRECT) {
        Ok(file) => Ok((file, true)),
        Err(_) => open(0).map(|file| (file, false)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles() {
        let of = |times: &[u64]| {
            let latency = WriteLatency::of(times.to_vec(), true);
            (latency.p50_us, latency.p99_us)
        };
        assert_eq!(of(&[7]), (7, 7));
        assert_eq!(of(&[9, 1, 5]), (5, 9));
        let rising: Vec<u64> = (1..=200).collect();
        assert_eq!(of(&rising), (100, 198));
    }

    #[test]
    fn it_measures_within_its_time_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let begun = Instant::now();
        let latency = WriteLatency::measure(dir.path()).unwrap();
        assert!((1..=ENOUGH).contains(&latency.writes) && latency.p50_us <= latency.p99_us, "{latency:?}");
        // The first two writes may be slow; what comes after them is bounded.
        let bound = BUDGET + Duration::from_micros(2 * latency.p99_us) + Duration::from_secs(5);
        assert!(begun.elapsed() < bound, "{latency:?} in {:?}", begun.elapsed());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(WriteLatency::measure(Path::new("/nowhere")).is_err());
    }
}
