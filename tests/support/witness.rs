//! A thread that sleeps and writes as little as can be, and notes how much longer than usual that takes.
//!
//! A virtual machine may stand still for seconds, and so may its disk. What a test waits for does not come meanwhile; the
//! witness tells such a wait from one that is the server's fault.

use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What a sleep of ten milliseconds or a synced write of 4 KiB may take on a busy machine.
const USUAL: Duration = Duration::from_millis(200);

/// How long the machine stood still, beyond [`USUAL`] each time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stood {
    /// Nobody could run: a sleep took so much longer.
    pub processor: Duration,
    /// Nobody could write.
    pub disk: Duration,
}

impl Stood {
    /// What came after `before`.
    pub fn since(self, before: Stood) -> Stood {
        Stood {
            processor: self.processor.saturating_sub(before.processor),
            disk: self.disk.saturating_sub(before.disk),
        }
    }

    /// Both: they are measured one after the other.
    pub fn sum(self) -> Duration {
        self.processor + self.disk
    }
}

/// The thread; it ends with this.
pub struct Witness {
    notes: Arc<Notes>,
    thread: Option<JoinHandle<()>>,
}

/// All in milliseconds.
struct Notes {
    start: Instant,
    processor: AtomicU64,
    disk: AtomicU64,
    /// When the sleep or write under way began, twice over, plus one for a write.
    under_way: AtomicU64,
    stop: AtomicBool,
}

impl Notes {
    fn now(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// Does one thing, and adds to `sum` by how much it took too long.
    fn time(&self, is_write: bool, sum: &AtomicU64, act: impl FnOnce()) {
        let since = self.now();
        self.under_way.store(since * 2 + u64::from(is_write), Relaxed);
        act();
        // Not counted twice by whoever looks now.
        self.under_way.store(self.now() * 2, Relaxed);
        sum.fetch_add(beyond(since, self.now()), Relaxed);
    }
}

fn beyond(since: u64, now: u64) -> u64 {
    now.saturating_sub(since).saturating_sub(USUAL.as_millis() as u64)
}

impl Witness {
    /// Writes to a file in `dir`, which should be on the disk of what is tested.
    pub fn start(dir: &Path) -> Witness {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).custom_flags(libc::O_DSYNC);
        let file = file.open(dir.join("witness")).expect("a file beside the data");
        let notes = Arc::new(Notes {
            start: Instant::now(),
            processor: AtomicU64::new(0),
            disk: AtomicU64::new(0),
            under_way: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let noting = notes.clone();
        let thread = std::thread::spawn(move || {
            while !noting.stop.load(Relaxed) {
                noting.time(false, &noting.processor, || std::thread::sleep(Duration::from_millis(10)));
                noting.time(true, &noting.disk, || file.write_all_at(&[1; 4096], 0).expect("the witness writes"));
            }
        });
        Witness { notes, thread: Some(thread) }
    }

    /// How long the machine has stood still so far, what has not ended yet included.
    pub fn stood(&self) -> Stood {
        let under_way = self.notes.under_way.load(Relaxed);
        let mut sums = [&self.notes.processor, &self.notes.disk].map(|sum| sum.load(Relaxed));
        sums[(under_way % 2) as usize] += beyond(under_way / 2, self.notes.now());
        let [processor, disk] = sums.map(Duration::from_millis);
        Stood { processor, disk }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.notes.stop.store(true, Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
