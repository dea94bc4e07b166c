//! Profiles: one word that sets everything about speed, so that nobody has to tune before starting.
//!
//! A profile is a table of values, each with what this profile gives up for it. Every
//! value is also a key of the configuration, so one of them can be changed without leaving the profile.

use std::fmt;

/// The sets of values to choose from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Profile {
    /// The shortest time from request to reply, whatever the processor time it takes.
    Latency,
    /// Short times without wasting the machine: what most servers want.
    Balanced,
    /// The most requests per second.
    Throughput,
    /// One thread for everything: small machines, containers, embedding.
    Small,
}

impl Profile {
    /// Every profile, in the order they are listed.
    pub(crate) const ALL: [Profile; 4] = [Profile::Latency, Profile::Balanced, Profile::Throughput, Profile::Small];

    /// What a server on so many cores takes when nothing was said.
    pub(crate) fn for_cores(cores: usize) -> Profile {
        if cores <= 2 { Profile::Small } else { Profile::Balanced }
    }

    /// The profile of that name.
    pub(crate) fn named(name: &str) -> Option<Profile> {
        Profile::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Profile::Latency => "latency",
            Profile::Balanced => "balanced",
            Profile::Throughput => "throughput",
            Profile::Small => "small",
        }
    }

    /// One line on whom it is for.
    pub(crate) fn summary(self) -> &'static str {
        match self {
            Profile::Latency => "the shortest time from request to reply, whatever the processor time it takes",
            Profile::Balanced => "short times without wasting the machine (the default on three or more cores)",
            Profile::Throughput => "the most requests per second, at some cost to the single request",
            Profile::Small => "one thread for everything: small machines, containers (the default on one or two cores)",
        }
    }

    /// Its values on a machine of so many cores.
    pub(crate) fn values(self, cores: usize) -> Values {
        let shards = self.shards(cores);
        match self {
            Profile::Latency => Values {
                shards,
                pin_threads: cores > 2,
                spin_us: if cores > 2 { 50 } else { 0 },
                group_commit_delay_us: 0,
                socket_send_buffer: 0,
                socket_receive_buffer: 0,
                snapshot_mb_per_s: 50,
                log_segment_bytes: 64 << 20,
                lock_memory: true,
                memory_ahead: 32 << 20,
                huge_pages: true,
                load_threads: cores.clamp(1, 8) as u16,
            },
            Profile::Balanced => Values {
                shards,
                pin_threads: false,
                spin_us: 0,
                group_commit_delay_us: 0,
                socket_send_buffer: 0,
                socket_receive_buffer: 0,
                snapshot_mb_per_s: 100,
                log_segment_bytes: 64 << 20,
                lock_memory: false,
                memory_ahead: 8 << 20,
                huge_pages: true,
                load_threads: cores.clamp(1, 8) as u16,
            },
            Profile::Throughput => Values {
                shards,
                pin_threads: cores > 2,
                spin_us: 0,
                group_commit_delay_us: 200,
                socket_send_buffer: 1 << 20,
                socket_receive_buffer: 1 << 20,
                snapshot_mb_per_s: 200,
                log_segment_bytes: 256 << 20,
                lock_memory: false,
                memory_ahead: 8 << 20,
                huge_pages: true,
                load_threads: cores.clamp(1, 32) as u16,
            },
            Profile::Small => Values {
                shards,
                pin_threads: false,
                spin_us: 0,
                group_commit_delay_us: 0,
                socket_send_buffer: 0,
                socket_receive_buffer: 0,
                snapshot_mb_per_s: 50,
                log_segment_bytes: 16 << 20,
                lock_memory: false,
                memory_ahead: 8 << 20,
                huge_pages: false,
                load_threads: cores.clamp(1, 2) as u16,
            },
        }
    }

    /// How many shards on so many cores: the quorum core keeps one for itself, and beyond some number
    /// shards only share the work of the one quorum core.
    fn shards(self, cores: usize) -> u16 {
        let beside_the_core = cores.saturating_sub(1);
        match self {
            Profile::Latency if cores <= 2 => 0,
            Profile::Latency => beside_the_core.min(4) as u16,
            Profile::Balanced => beside_the_core.clamp(1, 8) as u16,
            Profile::Throughput => beside_the_core.clamp(1, 32) as u16,
            Profile::Small => 0,
        }
    }

    /// What each value gives up, in the order of [`KEYS`].
    pub(super) fn trades(self) -> [&'static str; 12] {
        match self {
            Profile::Latency => [
                "at most four, so that a batch of writes reaches few shards; on one or two cores one thread, \
                 which halves the time of a lone write. More connections than four shards can carry wait longer",
                "no wait for the scheduler to move a thread back; other processes on those cores suffer, and a busy \
                 neighbour cannot be avoided (off on one or two cores)",
                "saves the wake-up, 30 to 60 microseconds; each thread burns that much after its last work, which \
                 shows as processor time on a half-idle server (off on one or two cores)",
                "a lone write goes to the disk at once; more and smaller writes under load",
                "grows when a reply needs it; a first large reply is cut into several sends",
                "grows when a client pipelines; a first burst is taken in several reads",
                "a snapshot never crowds out the log; it takes longer, so more log is replayed after a crash",
                "rarely a new segment; a new one is 64 MiB of zeroes written in the background",
                "no request waits for a page to come back from the swap; memory the server has freed stays with it. Needs \
                 an unlimited limit on locked memory (ulimit -l), without which it is said at start and left",
                "no create waits for a page even when that thread is late; up to 32 MiB present and not used",
                IN_HUGE_PAGES,
                "a start takes the disk and up to eight cores to itself",
            ],
            Profile::Balanced => [
                "one for each core beside the quorum core's, at most eight; a machine with more cores keeps the rest \
                 free for other work",
                "the scheduler may move threads away from busy neighbours; each move costs some microseconds of cold \
                 cache",
                "an idle server uses no processor time; a request that finds its thread asleep pays the wake-up",
                "a lone write goes to the disk at once; more and smaller writes under load",
                "grows when a reply needs it; a first large reply is cut into several sends",
                "grows when a client pipelines; a first burst is taken in several reads",
                "a snapshot of a gigabyte takes ten seconds; on a slow disk its writes are felt",
                "rarely a new segment; a new one is 64 MiB of zeroes written in the background",
                NOT_LOCKED,
                KEPT_AHEAD,
                IN_HUGE_PAGES,
                "a start takes the disk and up to eight cores to itself",
            ],
            Profile::Throughput => [
                "one for each core beside the quorum core's, at most 32; nothing is left for other processes",
                "warm caches under full load; a busy neighbour on one of the cores slows its shard (off on one or two \
                 cores)",
                "no cycle is spent on waiting; a request that finds its thread asleep pays the wake-up",
                "more writes share one write of the disk; a lone write waits that long for company",
                "a connection's whole backlog leaves in one send; up to 1 MiB of kernel memory for each busy connection",
                "a pipelined burst is taken in one read; up to 1 MiB of kernel memory for each busy connection",
                "a snapshot is over soon; while it lasts the log shares the disk with it",
                "a new segment four times as rarely; up to 256 MiB of disk prepared ahead and not yet used",
                NOT_LOCKED,
                KEPT_AHEAD,
                IN_HUGE_PAGES,
                "the shortest start; it takes the disk and up to 32 cores to itself",
            ],
            Profile::Small => [
                "one thread, one loop for sockets and log: the lowest processor time per request and no wake-up \
                 between threads; a second core is left unused",
                "the scheduler may move the thread away from a busy neighbour; each move costs some microseconds of \
                 cold cache",
                "an idle server uses no processor time; a request that finds the thread asleep pays the wake-up",
                "a lone write goes to the disk at once; more and smaller writes under load",
                "grows when a reply needs it; a first large reply is cut into several sends",
                "grows when a client pipelines; a first burst is taken in several reads",
                "a snapshot never crowds out the log; it takes longer, so more log is replayed after a crash",
                "little disk prepared ahead; a new segment more often",
                NOT_LOCKED,
                KEPT_AHEAD,
                "a quarter less time for a start on a virtual machine whose host hands out memory when it is touched, and no \
                 step of 2 MiB half used; what was not used lately takes a fifth to a third longer to find",
                "a start leaves the neighbours most of their cores; a large tree takes longer to load",
            ],
        }
    }
}

/// What most profiles give up for one value and the same.
const NOT_LOCKED: &str =
    "the kernel may swap out what nobody reads, where there is a swap; a read of it then waits for the disk";
const KEPT_AHEAD: &str = "creates wait for no page while that thread keeps up; up to 8 MiB present and not used";
const IN_HUGE_PAGES: &str = "reads and writes of znodes that were not used lately are a fifth to a third quicker; the \
                             memory is taken in steps of 2 MiB, and a start waits where a virtual machine's host has \
                             to find them";

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a profile sets. Each is a key of the configuration too, see [`KEYS`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Values {
    /// Shard threads; 0: none, one thread does everything.
    pub shards: u16,
    /// Whether each thread stays on a core of its own.
    pub pin_threads: bool,
    /// How long a thread without work looks for some before it sleeps, microseconds. Nothing in one thread.
    pub spin_us: u32,
    /// How long a write waits for others to share its disk write, microseconds. Nothing in one thread.
    pub group_commit_delay_us: u32,
    /// SO_SNDBUF of client connections, bytes; 0: as the kernel likes.
    pub socket_send_buffer: u32,
    /// SO_RCVBUF of client connections, bytes; 0: as the kernel likes.
    pub socket_receive_buffer: u32,
    /// The pace at which snapshots are written, MB (10^6 bytes) per second; 0: as fast as the disk goes.
    pub snapshot_mb_per_s: u32,
    /// Size of one log file, bytes.
    pub log_segment_bytes: u64,
    /// Whether the process's memory is locked.
    pub lock_memory: bool,
    /// Memory kept ready for a growing tree, bytes; 0: none.
    pub memory_ahead: usize,
    /// Whether the tree may lie in huge pages.
    pub huge_pages: bool,
    /// Threads that read and check snapshot and log at a start.
    pub load_threads: u16,
}

/// The keys that a profile sets.
pub(super) const KEYS: [&str; 12] = [
    "corral.shards",
    "corral.pinThreads",
    "corral.spinMicros",
    "corral.groupCommitDelayMicros",
    "corral.socketSendBuffer",
    "corral.socketReceiveBuffer",
    "corral.maxSnapshotMBps",
    "preAllocSize",
    "corral.lockMemory",
    "corral.memoryAheadMB",
    "corral.hugePages",
    "corral.loadThreads",
];

/// Whether a profile sets the value of this key.
pub(super) fn sets(key: &str) -> bool {
    KEYS.contains(&key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_follows_the_cores() {
        let names: Vec<_> = [1, 2, 3, 64].map(|cores| Profile::for_cores(cores).name()).to_vec();
        assert_eq!(names, ["small", "small", "balanced", "balanced"]);
    }

    #[test]
    fn names_lead_back() {
        for profile in Profile::ALL {
            assert_eq!(Profile::named(profile.name()), Some(profile));
        }
        assert_eq!(Profile::named("Small"), None);
    }

    #[test]
    fn shards_by_cores() {
        let shards = |profile: Profile| [1, 2, 3, 8, 128].map(|cores| profile.values(cores).shards);
        assert_eq!(shards(Profile::Latency), [0, 0, 2, 4, 4]);
        assert_eq!(shards(Profile::Balanced), [1, 1, 2, 7, 8]);
        assert_eq!(shards(Profile::Throughput), [1, 1, 2, 7, 32]);
        assert_eq!(shards(Profile::Small), [0, 0, 0, 0, 0]);
    }

    #[test]
    fn nobody_spins_or_pins_on_a_machine_it_shares_with_itself() {
        for profile in Profile::ALL {
            let values = profile.values(2);
            assert!(!values.pin_threads && values.spin_us == 0, "{profile}");
        }
    }
}
