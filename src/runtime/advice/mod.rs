//! Recommended changes to the machine or the configuration, with reasons: a pure comparison of the two.
//!
//! Logged when a server serves, and printed by `corral profile advise`. Each rule is a function of its own; the numbers it
//! goes by are constants beside it. An advice is given only where something can be done about the finding.

use super::data::max_txn;
use super::machine::{Machine, Volume, milli, size};
use super::placement::SHARD_LOCKS;
use crate::config::{Config, Edge};
use crate::limits::{PEER_SOCKETS, RESERVED_DESCRIPTORS};
use crate::storage::log::writer::LogOptions;

/// A finding and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Advice {
    /// Acknowledged writes or the server itself are at risk, or it is far slower than it could be.
    pub warning: bool,
    /// What was found and what follows from it.
    pub finding: String,
    /// What to change.
    pub change: String,
    /// The key of the configuration, or the command.
    pub how: String,
}

impl Advice {
    fn warning(finding: impl Into<String>, change: impl Into<String>, how: impl Into<String>) -> Advice {
        Advice { warning: true, finding: finding.into(), change: change.into(), how: how.into() }
    }

    fn hint(finding: impl Into<String>, change: impl Into<String>, how: impl Into<String>) -> Advice {
        Advice { warning: false, ..Self::warning(finding, change, how) }
    }
}

/// What one would change, warnings first.
pub(crate) fn advice(machine: &Machine, config: &Config) -> Vec<Advice> {
    let mut all = vec![];
    volumes(machine, &mut all);
    writes(machine, &mut all);
    threads(machine, config, &mut all);
    quota(machine, &mut all);
    memory(machine, config, &mut all);
    locked_memory(machine, config, &mut all);
    open_files(machine, config, &mut all);
    sockets(machine, config, &mut all);
    processors(machine, config, &mut all);
    kernel(machine, &mut all);
    all.sort_by_key(|advice| !advice.warning);
    all
}

/// Threads that work when the server is busy: the quorum core's and the shards'.
fn busy_threads(config: &Config) -> usize {
    match config.edge() {
        Edge::OneThread => 1,
        Edge::Shards(shards) => usize::from(shards) + 1,
    }
}

fn volumes(machine: &Machine, all: &mut Vec<Advice>) {
    let (log, data) = (&machine.log, &machine.data);
    let mut places = vec![("log", "dataLogDir", log)];
    if log.mount_point != data.mount_point {
        places.push(("snapshots", "dataDir", data));
    }
    for (what, key, volume) in places {
        all.extend(volume_of(what, key, volume));
    }
    let disk = |volume: &Volume| volume.device.as_ref().map(|device| device.name.clone());
    let called_rotational = log.device.as_ref().is_some_and(|device| device.rotational == Some(true));
    // Virtual disks call themselves rotational; how long they take tells which do spin.
    let spins = called_rotational && machine.writes.is_none_or(|writes| writes.p50_us > SLOW_MEDIAN_US);
    if spins && disk(log) == disk(data) {
        all.push(Advice::hint(
            format!(
                "log and snapshots share {}, a spinning disk: its head leaves the log for every snapshot",
                disk(log).unwrap_or_default()
            ),
            "give the log a disk of its own, best one that does not spin",
            "dataLogDir=DIR",
        ));
    }
    let scheduler = log.device.as_ref().filter(|device| device.rotational == Some(false));
    if let Some(device) = scheduler.filter(|device| device.scheduler.as_deref() == Some("bfq")) {
        all.push(Advice::hint(
            format!("the scheduler of {} is bfq, which weighs each write against those of others", device.name),
            "take the one without a queue of its own",
            format!("echo none > /sys/block/{}/queue/scheduler", device.name),
        ));
    }
}

fn volume_of(what: &str, key: &str, volume: &Volume) -> Option<Advice> {
    let (path, how) = (volume.path.display(), format!("{key}=DIR"));
    if let Some(because) = volume.volatile {
        let finding = format!(
            "the {what} in {path} ({}) will not outlive a restart of the machine: {because}",
            volume.file_system
        );
        return Some(Advice::warning(finding, format!("put the {what} on a disk"), how));
    }
    if volume.remote {
        let finding = format!(
            "the {what} in {path} lies on another machine ({}): its syncs are as slow as the network and as true as that machine",
            volume.file_system
        );
        return Some(Advice::warning(finding, format!("put the {what} on a local disk"), how));
    }
    volume.without_barriers.then(|| {
        let finding = format!(
            "{} is mounted without barriers: a power cut takes what the disk's cache holds",
            volume.mount_point
        );
        Advice::warning(
            finding,
            "mount it with barriers, unless the cache outlives a power cut",
            format!("mount -o remount,barrier {}", volume.mount_point),
        )
    })
}

/// Above this median a disk flushes a cache to a medium that is slow, and every write of a client waits for it.
const SLOW_MEDIAN_US: u64 = 2_000;
/// Above this a percent of the writes is what clients will complain about.
const SLOW_TAIL_US: u64 = 20_000;

fn writes(machine: &Machine, all: &mut Vec<Advice>) {
    let Some(writes) = machine.writes else { return };
    if writes.p50_us > SLOW_MEDIAN_US || writes.p99_us > SLOW_TAIL_US {
        let cache = machine.log.device.as_ref().and_then(|device| device.write_cache.as_deref());
        let flushed = if cache == Some("write back") { ", and flushes its volatile cache for each" } else { "" };
        all.push(Advice::warning(
            format!(
                "the log's disk takes {} us for a synced write of 4 KiB, {} us for one in a hundred{flushed}: no write is \
                 answered sooner",
                writes.p50_us, writes.p99_us
            ),
            "put the log on an SSD whose cache outlives a power cut, away from other writers; on a virtual machine, on a \
             volume with a guaranteed rate",
            "dataLogDir=DIR",
        ));
    }
    if !writes.direct && machine.log.volatile.is_none() {
        all.push(Advice::hint(
            format!("{} has no direct writes: each goes through the page cache", machine.log.file_system),
            "put the log on ext4 or xfs",
            "dataLogDir=DIR",
        ));
    }
}

fn threads(machine: &Machine, config: &Config, all: &mut Vec<Advice>) {
    let (threads, cpus) = (busy_threads(config), machine.cpus.len());
    if cpus > 0 && threads > cpus {
        let pinned = if config.pin_threads { ", and none can have one of its own: threads are not pinned" } else { "" };
        all.push(Advice::warning(
            format!("{threads} threads (the quorum core and {} shards) share {cpus} CPUs{pinned}", threads - 1),
            "no more shards than CPUs beside the quorum core's; on one or two CPUs one thread for everything",
            format!("corral.shards={}", if cpus <= 2 { 0 } else { cpus - 1 }),
        ));
    }
}

fn quota(machine: &Machine, all: &mut Vec<Advice>) {
    let Some(quota) = machine.bounds.cpu_milli.filter(|quota| *quota < machine.cpus.len() as u64 * 1000) else {
        return;
    };
    let finding = format!(
        "a quota gives this process {} of {} CPUs: once it is used up all threads stand still for the rest of a period, \
         mostly up to 100 ms",
        milli(quota),
        machine.cpus.len()
    );
    let change = "give it whole CPUs by a set instead of a quota";
    let how = "AllowedCPUs= of systemd, --cpuset-cpus of a container engine, the static CPU manager of Kubernetes";
    // Less than one CPU is used up by a single busy thread.
    all.push(if quota < 1000 { Advice::warning(finding, change, how) } else { Advice::hint(finding, change, how) });
}

/// Memory a tree takes for each byte of its snapshot, and as much again while versions wait for readers.
const TREE_PER_SNAPSHOT_BYTE: u64 = 3;

fn memory(machine: &Machine, config: &Config, all: &mut Vec<Advice>) {
    let (usable, needed) = (machine.usable_memory(), machine.snapshot_bytes.saturating_mul(TREE_PER_SNAPSHOT_BYTE));
    if usable > 0 && needed > usable {
        let limited = machine.bounds.memory.is_some_and(|limit| limit == usable);
        all.push(Advice::warning(
            format!(
                "a tree whose snapshot has {} may take {} when it is busy, and this process can have {}",
                size(machine.snapshot_bytes),
                size(needed),
                size(usable)
            ),
            "more memory, or a smaller tree",
            if limited { "MemoryMax= of systemd, --memory of a container engine" } else { "a larger machine" },
        ));
    }
    if machine.swap > 0 && !config.lock_memory {
        all.push(Advice::hint(
            format!(
                "there are {} of swap: a part of the tree that nobody read for long may have to come back from a disk",
                size(machine.swap)
            ),
            "keep the server's memory in memory",
            "corral.lockMemory=true (and LimitMEMLOCK=infinity of systemd), or swapoff -a",
        ));
    }
    let defrags =
        machine.huge_pages.as_deref() == Some("always") && machine.huge_page_defrag.as_deref() == Some("always");
    if defrags {
        all.push(Advice::hint(
            "whoever touches new memory waits for the kernel to put a huge page together",
            "let a thread of the kernel do it",
            "echo defer+madvise > /sys/kernel/mm/transparent_hugepage/defrag",
        ));
    }
}

fn locked_memory(machine: &Machine, config: &Config, all: &mut Vec<Advice>) {
    let how = "LimitMEMLOCK=infinity of systemd, --ulimit memlock=-1 of a container engine, ulimit -l";
    // The hard limit counts, whatever capabilities the process has.
    let hard = machine.lockable.and_then(|limit| limit.hard);
    if let Some(hard) = hard.filter(|hard| *hard < SHARD_LOCKS && config.edge() != Edge::OneThread) {
        all.push(Advice::warning(
            format!(
                "{} of memory may be locked, and shards need {}: the server will not start",
                size(hard),
                size(SHARD_LOCKS)
            ),
            "raise the limit on locked memory, or take one thread for everything",
            format!("{how}; corral.shards=0"),
        ));
    }
    let Some(limit) = machine.lockable.filter(|_| !machine.locks_without_limit) else { return };
    let options = LogOptions { max_txn: max_txn(config), ..LogOptions::default() };
    let buffers = 2 * options.frame_bytes() as u64;
    if let Some(hard) = limit.hard.filter(|hard| *hard < buffers) {
        all.push(Advice::hint(
            format!(
                "{} of memory may be locked, and the log's buffers take {}: they are not registered with the kernel, \
                 which costs some microseconds a write",
                size(hard),
                size(buffers)
            ),
            "raise the limit on locked memory",
            how,
        ));
    }
    if config.lock_memory && limit.hard.is_some() {
        all.push(Advice::warning(
            "corral.lockMemory is on and the limit on locked memory is not unlimited: nothing is locked, since memory the \
             limit no longer allows could not be had at all",
            "lift the limit on locked memory, or turn the key off",
            how,
        ));
    }
}

/// Connections below which a limit on open files is probably not intended.
const FEW_CONNECTIONS: u64 = 4_000;

fn open_files(machine: &Machine, config: &Config, all: &mut Vec<Advice>) {
    let Some(files) = machine.open_files.and_then(|limit| limit.hard) else { return };
    let peers = if config.ensemble.is_some() { PEER_SOCKETS } else { 0 };
    let kept = (RESERVED_DESCRIPTORS + 8 * busy_threads(config) + peers) as u64;
    let (room, wanted) = (files.saturating_sub(kept), u64::from(config.max_cnxns));
    let change = "raise the limit on open files";
    let needed = if wanted > 0 { wanted + kept } else { 1 << 20 };
    let how = format!("LimitNOFILE={needed} of systemd, --ulimit nofile={needed} of a container engine, ulimit -Hn");
    if wanted > room {
        let finding = format!("maxCnxns allows {wanted} connections, and {files} open files leave room for {room}");
        all.push(Advice::warning(finding, change, how));
    } else if wanted == 0 && room < FEW_CONNECTIONS {
        let finding = format!("{files} open files leave room for {room} connections in all");
        all.push(Advice::hint(finding, change, how));
    }
}

fn sockets(machine: &Machine, config: &Config, all: &mut Vec<Advice>) {
    let bounds = [
        ("corral.socketSendBuffer", config.socket_send_buffer, "net.core.wmem_max", machine.send_buffer_max),
        ("corral.socketReceiveBuffer", config.socket_receive_buffer, "net.core.rmem_max", machine.receive_buffer_max),
        ("clientPortListenBacklog", config.listen_backlog(), "net.core.somaxconn", machine.backlog_max),
    ];
    for (key, asked, name, bound) in bounds {
        if let Some(bound) = bound.filter(|bound| *bound < u64::from(asked)) {
            all.push(Advice::hint(
                format!("the kernel takes {bound} for {key}, which is {asked}"),
                "raise the kernel's bound",
                format!("sysctl -w {name}={asked}"),
            ));
        }
    }
}

fn processors(machine: &Machine, config: &Config, all: &mut Vec<Advice>) {
    let slow: Vec<_> =
        machine.governors.iter().filter(|name| matches!(name.as_str(), "powersave" | "conservative")).collect();
    if let Some(governor) = slow.first() {
        all.push(Advice::hint(
            format!(
                "the frequency governor {governor} lets a CPU sleep slowly: a request after a pause pays for the way up"
            ),
            "take the governor performance",
            "cpupower frequency-set -g performance",
        ));
    }
    if machine.numa_nodes > 1 {
        all.push(Advice::hint(
            format!(
                "the CPUs belong to {} NUMA nodes: half of all reads of the tree cross between them",
                machine.numa_nodes
            ),
            "keep the server on one node",
            "NUMAPolicy=bind and NUMAMask=0 with CPUAffinity=numa of systemd, or numactl --cpunodebind=0 --membind=0",
        ));
    }
    let quota_allows = machine.usable_cpu_milli() / 1000;
    if config.spin_us > 0
        && config.edge() != Edge::OneThread
        && quota_allows < busy_threads(config) as u64
        && quota_allows > 0
    {
        all.push(Advice::warning(
            format!(
                "{} threads look for work for {} us before they sleep, with {} CPUs to do it on",
                busy_threads(config),
                config.spin_us,
                milli(machine.usable_cpu_milli())
            ),
            "do not spin without a CPU for each thread",
            "corral.spinMicros=0",
        ));
    }
}

/// From here on the log's ring leaves its completions until they are waited for.
const DEFERRED_TASK_WORK: (u32, u32) = (6, 1);

fn kernel(machine: &Machine, all: &mut Vec<Advice>) {
    if machine.kernel_version().is_some_and(|version| version < DEFERRED_TASK_WORK) {
        all.push(Advice::hint(
            format!("Linux {} interrupts the log's thread for each completion", machine.kernel),
            "run Linux 6.1 or newer",
            "uname -r",
        ));
    }
}

#[cfg(test)]
mod tests;
