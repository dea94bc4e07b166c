//! The machine a server runs on: what it may use of processors, memory and descriptors, and what its disks are.
//!
//! Looked at for three purposes: threads are pinned to CPUs that this process may use, the facts are logged once after
//! the server serves, and [`super::advice`] compares them with the configuration. Reading is apart from understanding:
//! everything comes through one function from a path to a text, and tests put the texts of other machines in its place.

mod cgroup;
mod latency;
mod parse;
mod volume;

pub(crate) use cgroup::Bounds;
pub(crate) use latency::WriteLatency;
pub(crate) use parse::{Limit, Read, kib, limit};
#[cfg(test)]
pub(crate) use volume::Device;
pub(crate) use volume::Volume;

use crate::config::Config;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Bytes of one text that are read: a machine with ten thousand mounts is still understood.
const TEXT_LIMIT: u64 = 4 << 20;
/// CAP_IPC_LOCK: locks as much memory as it likes.
const LOCK_CAPABILITY: u32 = 14;

/// What there is. A fact that could not be told is `None`, empty or 0.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Machine {
    /// The kernel's release.
    pub kernel: String,
    /// The CPUs this process may run on, in order.
    pub cpus: Vec<usize>,
    /// NUMA nodes that those CPUs belong to.
    pub numa_nodes: usize,
    /// The bounds of the control groups.
    pub bounds: Bounds,
    /// Bytes.
    pub memory: u64,
    /// Bytes.
    pub swap: u64,
    /// Bytes of memory that may be locked.
    pub lockable: Option<Limit>,
    /// Whether [`Machine::lockable`] does not count for this process.
    pub locks_without_limit: bool,
    pub open_files: Option<Limit>,
    /// When transparent huge pages are used: always, madvise or never.
    pub huge_pages: Option<String>,
    /// The kernel's setting `transparent_hugepage/defrag`: which processes wait while memory is compacted into huge pages.
    pub huge_page_defrag: Option<String>,
    /// The frequency governors of the CPUs, each once.
    pub governors: Vec<String>,
    /// Bytes of the largest send and receive buffers a socket may ask for, and connections that may wait to be accepted.
    pub send_buffer_max: Option<u64>,
    pub receive_buffer_max: Option<u64>,
    pub backlog_max: Option<u64>,
    pub log: Volume,
    pub data: Volume,
    /// Bytes of the largest snapshot; 0: none.
    pub snapshot_bytes: u64,
    /// `None`: not measured.
    pub writes: Option<WriteLatency>,
    /// Why not, if it was tried.
    pub unmeasured: Option<String>,
}

impl Machine {
    /// Looks at this machine, with the eyes of a server of this configuration. Measures nothing and writes nothing.
    pub(crate) fn look(config: &Config) -> Machine {
        let (log, data) = (existing(&config.data_log_dir), existing(&config.data_dir));
        let mut machine = Machine::told_by(&read, &log, &data);
        machine.snapshot_bytes = largest_snapshot(&config.data_dir);
        machine
    }

    /// Measures the log's disk: about a tenth of a second, on the calling thread.
    pub(crate) fn measure(&mut self) {
        match WriteLatency::measure(&self.log.path) {
            Ok(latency) => self.writes = Some(latency),
            Err(error) => self.unmeasured = Some(error.to_string()),
        }
    }

    /// The machine of these texts. The paths are absolute, without links, and exist.
    fn told_by(read: Read<'_>, log: &Path, data: &Path) -> Machine {
        let text = |path: &str| read(path).unwrap_or_default();
        let word = |path: &str| read(path).and_then(|text| parse::chosen(&text).map(str::to_owned));
        let (status, memory, limits) = (text("/proc/self/status"), text("/proc/meminfo"), text("/proc/self/limits"));
        let number = |path: &str| read(path).and_then(|text| text.trim().parse().ok());
        let mounts = volume::mounts(&text("/proc/self/mountinfo"));
        let cpus = cpus_of(&status);
        let nodes = parse::list(&text("/sys/devices/system/node/online"));
        let has_some = |node: &&usize| {
            let own = parse::list(&text(&format!("/sys/devices/system/node/node{node}/cpulist")));
            own.iter().any(|cpu| cpus.contains(cpu))
        };
        let numa_nodes = nodes.iter().filter(has_some).count();
        let governor = |cpu: &usize| read(&format!("/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor"));
        let mut governors: Vec<_> = cpus.iter().filter_map(governor).map(|text| text.trim().to_owned()).collect();
        governors.sort();
        governors.dedup();
        Machine {
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            numa_nodes,
            bounds: cgroup::bounds(&text("/proc/self/cgroup"), &mounts, read),
            memory: parse::kib(&memory, "MemTotal").unwrap_or(0),
            swap: parse::kib(&memory, "SwapTotal").unwrap_or(0),
            lockable: parse::limit(&limits, "Max locked memory"),
            locks_without_limit: parse::has_capability(&status, LOCK_CAPABILITY),
            open_files: parse::limit(&limits, "Max open files"),
            huge_pages: word("/sys/kernel/mm/transparent_hugepage/enabled"),
            huge_page_defrag: word("/sys/kernel/mm/transparent_hugepage/defrag"),
            governors,
            send_buffer_max: number("/proc/sys/net/core/wmem_max"),
            receive_buffer_max: number("/proc/sys/net/core/rmem_max"),
            backlog_max: number("/proc/sys/net/core/somaxconn"),
            log: Volume::of(log, &mounts, read),
            data: Volume::of(data, &mounts, read),
            snapshot_bytes: 0,
            writes: None,
            unmeasured: None,
            cpus,
        }
    }

    /// The memory this process can have, in bytes; 0: unknown.
    pub(crate) fn usable_memory(&self) -> u64 {
        match self.bounds.memory {
            Some(limit) if self.memory == 0 || limit < self.memory => limit,
            _ => self.memory,
        }
    }

    /// Thousandths of a CPU that this process can have; 0: unknown.
    pub(crate) fn usable_cpu_milli(&self) -> u64 {
        let all = self.cpus.len() as u64 * 1000;
        self.bounds.cpu_milli.map_or(all, |quota| quota.min(all))
    }

    /// The kernel's first two numbers.
    pub(crate) fn kernel_version(&self) -> Option<(u32, u32)> {
        parse::version(&self.kernel)
    }

    /// Every fact as (name, words), in the order they are shown.
    pub(crate) fn facts(&self) -> Vec<(&'static str, String)> {
        let or_unknown = |text: &str| if text.is_empty() { "unknown".to_owned() } else { text.to_owned() };
        let cpus = match self.bounds.cpu_milli {
            Some(quota) => format!("{}, {} of them by quota", parse::as_ranges(&self.cpus), milli(quota)),
            None => format!("{}, no quota", or_unknown(&parse::as_ranges(&self.cpus))),
        };
        let limit = self.bounds.memory.map_or_else(|| "no limit".to_owned(), |limit| format!("limit {}", size(limit)));
        let memory = format!("{}, {limit}, swap {}", size(self.memory), size(self.swap));
        let lockable =
            if self.locks_without_limit { "no limit (CAP_IPC_LOCK)".to_owned() } else { bounds(self.lockable, size) };
        let huge_pages = [&self.huge_pages, &self.huge_page_defrag].map(|word| word.as_deref().unwrap_or("unknown"));
        let place = |volume: &Volume| format!("{}: {}", volume.path.display(), volume.describe());
        let writes = self.writes.map_or_else(
            || self.unmeasured.as_ref().map_or("not measured".to_owned(), |why| format!("not measured: {why}")),
            |WriteLatency { writes, p50_us, p99_us, direct }| {
                let how = if direct { "direct" } else { "through the page cache" };
                format!("4 KiB synced in {p50_us} us (p50), {p99_us} us (p99); {writes} writes, {how}")
            },
        );
        vec![
            ("kernel", or_unknown(&self.kernel)),
            ("cpus", cpus),
            ("numa_nodes", self.numa_nodes.to_string()),
            ("governor", or_unknown(&self.governors.join(", "))),
            ("memory", memory),
            ("huge_pages", format!("{}, defrag {}", huge_pages[0], huge_pages[1])),
            ("locked_memory", lockable),
            ("open_files", bounds(self.open_files, |files| files.to_string())),
            ("log", place(&self.log)),
            ("snapshots", place(&self.data)),
            ("log_writes", writes),
        ]
    }
}

/// The CPUs this process may run on, in order; empty if the kernel does not tell.
pub(crate) fn cpus() -> Vec<usize> {
    cpus_of(&read("/proc/self/status").unwrap_or_default())
}

/// Whether this process may lock memory past its limit.
pub(crate) fn locks_without_limit() -> bool {
    parse::has_capability(&read("/proc/self/status").unwrap_or_default(), LOCK_CAPABILITY)
}

fn cpus_of(status: &str) -> Vec<usize> {
    parse::list(parse::field(status, "Cpus_allowed_list").unwrap_or_default())
}

fn read(path: &str) -> Option<String> {
    let mut text = String::new();
    File::open(path).and_then(|file| file.take(TEXT_LIMIT).read_to_string(&mut text)).ok()?;
    Some(text)
}

/// The directory, or what exists of the path to it, absolute and without links.
fn existing(dir: &Path) -> PathBuf {
    let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.to_path_buf());
    absolute.ancestors().find_map(|path| path.canonicalize().ok()).unwrap_or(absolute)
}

/// Bytes of the largest snapshot in a data directory.
fn largest_snapshot(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let is_snapshot = |entry: &std::fs::DirEntry| {
        entry.file_name().to_str().is_some_and(|name| crate::storage::snapshot::format::zxid_of(name).is_some())
    };
    let sizes = entries.flatten().filter(is_snapshot).filter_map(|entry| Some(entry.metadata().ok()?.len()));
    sizes.max().unwrap_or(0)
}

/// Bytes in the unit that keeps them short.
pub(super) fn size(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes as f64, "bytes");
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, larger);
    }
    if value.fract() < 0.05 { format!("{value:.0} {unit}") } else { format!("{value:.1} {unit}") }
}

/// Thousandths in whole numbers where they are.
pub(super) fn milli(thousandths: u64) -> String {
    if thousandths.is_multiple_of(1000) {
        (thousandths / 1000).to_string()
    } else {
        format!("{:.2}", thousandths as f64 / 1000.0)
    }
}

fn bounds(limit: Option<Limit>, show: impl Fn(u64) -> String) -> String {
    let show = |bound: Option<u64>| bound.map_or_else(|| "unlimited".to_owned(), &show);
    match limit {
        None => "unknown".to_owned(),
        Some(Limit { soft, hard }) if soft == hard => show(soft),
        Some(Limit { soft, hard }) => format!("{}, at most {}", show(soft), show(hard)),
    }
}

#[cfg(test)]
mod tests;
