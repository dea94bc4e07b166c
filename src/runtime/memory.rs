//! Memory for a growing tree, faulted in ahead of the thread that fills it.
//!
//! At the first touch of a page the kernel zeroes it, and on a virtual machine the host does, too: milliseconds for a huge
//! page. On the quorum core, this would be the p99 of creates. Here a helper thread touches what the allocator will hand out
//! next: allocators fill their segments upwards, so it is what follows the piece handed out last. A wrong guess costs a fault
//! where it would have been without this, and at most as many bytes as it runs ahead.
//!
//! This file uses `unsafe` for `madvise(MADV_POPULATE_WRITE)`, which changes no byte of any mapping: it does what a
//! write to each page would, and fails for what is not mapped or not writable; and for `prctl(PR_SET_THP_DISABLE)`, which
//! decides only in what sizes pages are made from then on.

use crate::ids::{SessionId, Zxid};
use crate::server::rebuild::Rebuild;
use crate::storage::replay::{Replay, ReplayError, ZnodeRecord};
use crate::storage::snapshot::format::SnapshotHeader;
use std::collections::HashSet;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

/// Bytes: a huge page, the unit of the work.
const STEP: usize = 2 << 20;
/// The thread that runs ahead, from the side of the one it works for.
pub struct Ahead {
    places: Option<Sender<usize>>,
    thread: Option<JoinHandle<()>>,
    /// Steps already told of, and the last of them.
    told: HashSet<usize, ahash::RandomState>,
    last: usize,
}

impl Ahead {
    /// Starts the thread, which keeps so many bytes ready beyond the piece handed out last; 0: no thread and nothing ready.
    pub fn start(bytes: usize) -> Ahead {
        let (places, work) = channel();
        let builder = std::thread::Builder::new().name("memory".to_owned());
        let thread = (bytes > 0).then(|| builder.spawn(move || run(&work, bytes)).ok()).flatten();
        Ahead {
            places: thread.is_some().then_some(places),
            thread,
            told: HashSet::with_hasher(crate::ids::hash_state()),
            last: 0,
        }
    }

    /// The allocator last handed out memory at `address`. To be called once a turn; nearly always free.
    #[inline]
    pub fn note(&mut self, address: usize) {
        let step = address / STEP;
        if step != self.last {
            self.last = step;
            if address != 0
                && self.told.insert(step)
                && let Some(places) = &self.places
            {
                let _ = places.send(step);
            }
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        drop(self.places.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A state that is being rebuilt, with memory kept ready for it.
pub(crate) struct Growing<'a> {
    rebuild: &'a mut Rebuild,
    ahead: Ahead,
}

impl<'a> Growing<'a> {
    /// Runs ahead by so many bytes until this is dropped.
    pub(crate) fn new(rebuild: &'a mut Rebuild, bytes: usize) -> Self {
        Growing { rebuild, ahead: Ahead::start(bytes) }
    }
}

impl Replay for Growing<'_> {
    fn restart(&mut self) {
        self.rebuild.restart();
    }

    fn snapshot(&mut self, header: &SnapshotHeader) -> Result<(), ReplayError> {
        self.rebuild.snapshot(header)
    }

    fn session(&mut self, id: SessionId, timeout_ms: i32) -> Result<(), ReplayError> {
        self.rebuild.session(id, timeout_ms)
    }

    fn acl(&mut self, id: u32, list: &[u8]) -> Result<(), ReplayError> {
        self.rebuild.acl(id, list)
    }

    #[inline]
    fn soon(&mut self, path: &[u8]) {
        self.rebuild.soon(path);
    }

    #[inline]
    fn znode(&mut self, record: &ZnodeRecord<'_>) -> Result<(), ReplayError> {
        self.ahead.note(self.rebuild.fresh_memory());
        self.rebuild.znode(record)
    }

    fn snapshot_done(&mut self, header: &SnapshotHeader) -> Result<(), ReplayError> {
        self.rebuild.snapshot_done(header)
    }

    #[inline]
    fn txn(&mut self, zxid: Zxid, txn: &[u8]) -> Result<(), ReplayError> {
        self.ahead.note(self.rebuild.fresh_memory());
        self.rebuild.txn(zxid, txn)
    }
}

fn run(places: &Receiver<usize>, ahead: usize) {
    super::placement::step_back();
    let mut ready = HashSet::new();
    while let Ok(mut step) = places.recv() {
        // What was told of meanwhile is nearer to where the allocator is now.
        while let Ok(later) = places.try_recv() {
            ready.insert(step);
            step = later;
        }
        for step in step..=step + ahead / STEP {
            if ready.insert(step) && !populate(step * STEP, STEP) {
                ready.remove(&step);
                break;
            }
        }
    }
}

/// From now on new memory comes in small pages, whatever the allocator asks for. On a virtual machine whose host lends memory
/// at the first touch, a huge page may cost milliseconds: the kernel returns large free pieces to the host, and keeps small
/// ones.
pub(crate) fn forgo_huge_pages() {
    // SAFETY: a system call with numbers for arguments, see the top.
    if unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) } != 0 {
        let error = std::io::Error::last_os_error();
        tracing::warn!(%error, "corral.hugePages=false has no effect: the kernel refuses");
    }
}

/// Makes `length` bytes at `address` present. False if they are not all mapped, or if the kernel cannot (before 5.14).
fn populate(address: usize, length: usize) -> bool {
    let place = std::ptr::without_provenance_mut(address);
    // SAFETY: changes no byte, see the top.
    unsafe { libc::madvise(place, length, libc::MADV_POPULATE_WRITE) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of the process that are present.
    fn resident() -> usize {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    }

    /// Whether this process runs that test alone. If not, one is made that does, and has to pass.
    fn is_alone(test: &str) -> bool {
        if std::env::var_os("CORRAL_TEST_ALONE").is_some() {
            return true;
        }
        let own = std::env::current_exe().unwrap();
        let name = format!("runtime::memory::tests::{test}");
        let run =
            std::process::Command::new(own).args(["--exact", &name]).env("CORRAL_TEST_ALONE", "1").output().unwrap();
        let told = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success() && told.contains("1 passed"), "{told}");
        false
    }

    #[test]
    fn without_huge_pages_there_are_none() {
        // What is forgone is forgone for all threads.
        if !is_alone("without_huge_pages_there_are_none") {
            return;
        }
        forgo_huge_pages();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let enabled = status.lines().find_map(|line| line.strip_prefix("THP_enabled:").map(str::trim));
        assert!(enabled.is_none_or(|word| word == "0"));
    }

    #[test]
    fn runs_ahead_of_the_place_told_of_and_stops_at_the_end_of_the_mapping() {
        // What other tests take meanwhile would count.
        if !is_alone("runs_ahead_of_the_place_told_of_and_stops_at_the_end_of_the_mapping") {
            return;
        }
        let length = 32 * STEP;
        // SAFETY: a new anonymous mapping, unmapped below.
        let base = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
        };
        assert_ne!(base, libc::MAP_FAILED);
        const AHEAD: usize = 8 << 20;
        let mut nobody = Ahead::start(0);
        nobody.note(base.addr());
        drop(nobody);
        let before = resident();
        let mut ahead = Ahead::start(AHEAD);
        ahead.note(base.addr() + STEP);
        ahead.note(base.addr() + STEP + 8);
        drop(ahead);
        let grown = resident() - before;
        assert!((AHEAD..AHEAD + 4 * STEP).contains(&grown), "{grown} bytes became present");
        assert!(!populate(0, STEP), "nothing is mapped at address 0");
        // SAFETY: the mapping made above.
        unsafe { libc::munmap(base, length) };
    }
}
