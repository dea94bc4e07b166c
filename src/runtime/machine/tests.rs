//! Whole machines, from the texts they gave: a virtual machine with groups of version 1, a server of two sockets under
//! systemd, a container with a quota, and nothing at all.

use super::*;

/// The machine of (path, text) pairs, with its directories.
fn machine(files: &[(&str, &str)], log: &str, data: &str) -> Machine {
    let read = |path: &str| files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned());
    Machine::told_by(&read, Path::new(log), Path::new(data))
}

const VIRTUAL: &[(&str, &str)] = &[
    ("/proc/sys/kernel/osrelease", "6.18.44-fc-v595\n"),
    (
        "/proc/self/status",
        "Name:\tcorral\nUid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\nCpus_allowed:\t3\nCpus_allowed_list:\t0-1\n\
         Mems_allowed_list:\t0\n",
    ),
    ("/proc/meminfo", "MemTotal:       24684096 kB\nMemFree:        20000000 kB\nSwapTotal:             0 kB\n"),
    (
        "/proc/self/limits",
        "Limit                     Soft Limit           Hard Limit           Units     \n\
         Max open files            20000                20000                files     \n\
         Max locked memory         8388608              8388608              bytes     \n",
    ),
    (
        "/proc/self/cgroup",
        "9:name=systemd:/\n7:blkio:/\n4:memory:/process_api/b471\n3:cpuset:/\n2:cpuacct:/\n1:cpu:/\n0::/\n",
    ),
    (
        "/proc/self/mountinfo",
        "25 24 0:23 / /dev/shm rw,relatime - tmpfs tmpfs rw,size=24684096k\n\
         27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard,resv_strict,resuid=65534,resgid=65534\n\
         31 26 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
         34 26 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
         40 26 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n",
    ),
    ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
    ("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
    ("/sys/fs/cgroup/memory/process_api/b471/memory.limit_in_bytes", "9223372036854771712\n"),
    ("/proc/sys/net/core/wmem_max", "212992\n"),
    ("/proc/sys/net/core/somaxconn", "4096\n"),
    ("/sys/devices/system/node/online", "0\n"),
    ("/sys/devices/system/node/node0/cpulist", "0-1\n"),
    ("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
    ("/sys/kernel/mm/transparent_hugepage/defrag", "always defer defer+madvise [madvise] never\n"),
    ("/sys/dev/block/254:0/uevent", "MAJOR=254\nMINOR=0\nDEVNAME=vda\nDEVTYPE=disk\n"),
    ("/sys/dev/block/254:0/queue/rotational", "1\n"),
    ("/sys/dev/block/254:0/queue/write_cache", "write back\n"),
    ("/sys/dev/block/254:0/queue/scheduler", "none [mq-deadline] kyber bfq \n"),
];

#[test]
fn a_virtual_machine_with_groups_of_version_1() {
    let machine = machine(VIRTUAL, "/srv/log", "/dev/shm/data");
    let shown: Vec<String> = machine.facts().into_iter().map(|(name, words)| format!("{name}: {words}")).collect();
    assert_eq!(
        shown,
        [
            "kernel: 6.18.44-fc-v595",
            "cpus: 0-1, no quota",
            "numa_nodes: 1",
            "governor: unknown",
            "memory: 23.5 GiB, no limit, swap 0 bytes",
            "huge_pages: madvise, defrag madvise",
            "locked_memory: no limit (CAP_IPC_LOCK)",
            "open_files: 20000",
            "log: /srv/log: ext4 on vda, rotational, cache write back, scheduler mq-deadline",
            "snapshots: /dev/shm/data: tmpfs, volatile",
            "log_writes: not measured",
        ]
    );
    assert_eq!((machine.usable_memory(), machine.usable_cpu_milli()), (24_684_096 << 10, 2000));
    assert_eq!(machine.kernel_version(), Some((6, 18)));
    let bounds = (machine.send_buffer_max, machine.receive_buffer_max, machine.backlog_max);
    assert_eq!(bounds, (Some(212_992), None, Some(4096)));
}

#[test]
fn two_sockets_under_systemd() {
    let files = [
        ("/proc/sys/kernel/osrelease", "5.14.0-427.13.1.el9_4.x86_64\n"),
        ("/proc/self/status", "CapEff:\t0000000000000000\nCpus_allowed_list:\t0-3,16-17\n"),
        ("/proc/meminfo", "MemTotal:       263827828 kB\nSwapTotal:       4194300 kB\n"),
        (
            "/proc/self/limits",
            "Max open files            1024                 524288               files     \n\
             Max locked memory         8388608              8388608              bytes     \n",
        ),
        ("/proc/self/cgroup", "0::/system.slice/corral.service\n"),
        (
            "/proc/self/mountinfo",
            "23 1 253:0 / / rw,relatime shared:1 - xfs /dev/mapper/rl-root rw,attr2,inode64\n\
             30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n\
             90 23 259:3 / /srv/log rw,noatime shared:50 - xfs /dev/nvme1n1p1 rw,attr2\n",
        ),
        ("/sys/fs/cgroup/system.slice/corral.service/memory.max", "34359738368\n"),
        ("/sys/fs/cgroup/system.slice/corral.service/cpu.max", "max 100000\n"),
        ("/sys/devices/system/node/online", "0-3\n"),
        ("/sys/devices/system/node/node0/cpulist", "0-7\n"),
        ("/sys/devices/system/node/node1/cpulist", "8-15\n"),
        ("/sys/devices/system/node/node2/cpulist", "16-23\n"),
        ("/sys/devices/system/node/node3/cpulist", "\n"),
        ("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n"),
        ("/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "performance\n"),
        ("/sys/devices/system/cpu/cpu16/cpufreq/scaling_governor", "powersave\n"),
        ("/sys/devices/system/cpu/cpu8/cpufreq/scaling_governor", "ondemand\n"),
        ("/sys/dev/block/253:0/uevent", "DEVNAME=dm-0\n"),
        ("/sys/dev/block/259:3/uevent", "DEVNAME=nvme1n1p1\n"),
        ("/sys/dev/block/259:3/partition", "1\n"),
        ("/sys/dev/block/259:3/../uevent", "DEVNAME=nvme1n1\n"),
        ("/sys/dev/block/259:3/../queue/rotational", "0\n"),
    ];
    let machine = machine(&files, "/srv/log/corral", "/var/lib/corral");
    assert_eq!(machine.cpus, [0, 1, 2, 3, 16, 17]);
    assert_eq!(machine.numa_nodes, 2, "those of its own CPUs");
    assert_eq!(machine.governors, ["performance", "powersave"]);
    assert_eq!((machine.bounds.memory, machine.usable_memory()), (Some(32 << 30), 32 << 30));
    assert_eq!(machine.open_files, Some(Limit { soft: Some(1024), hard: Some(524_288) }));
    assert!(!machine.locks_without_limit);
    let names = [&machine.log, &machine.data].map(|volume| volume.device.as_ref().map(|device| device.name.as_str()));
    assert_eq!(names, [Some("nvme1n1"), Some("dm-0")]);
    let facts = machine.facts();
    assert!(facts.contains(&("cpus", "0-3,16-17, no quota".to_owned())), "{facts:?}");
    assert!(facts.contains(&("open_files", "1024, at most 524288".to_owned())), "{facts:?}");
}

#[test]
fn a_container_with_a_quota() {
    let files = [
        ("/proc/self/status", "CapEff:\t00000000a80425fb\nCpus_allowed_list:\t0-7\n"),
        ("/proc/meminfo", "MemTotal:       16000000 kB\nSwapTotal: 0 kB\n"),
        ("/proc/self/cgroup", "0::/\n"),
        (
            "/proc/self/mountinfo",
            "700 600 0:150 / / rw,relatime - overlay overlay rw,lowerdir=/l,upperdir=/var/lib/engine/up,workdir=/w\n\
             710 700 0:26 /../.. /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n\
             720 700 8:1 /volumes/zk /data rw,relatime - ext4 /dev/sda1 rw\n",
        ),
        ("/sys/fs/cgroup/cpu.max", "150000 100000\n"),
        ("/sys/fs/cgroup/memory.max", "536870912\n"),
    ];
    let machine = machine(&files, "/data", "/corral");
    assert_eq!((machine.usable_cpu_milli(), machine.usable_memory()), (1500, 512 << 20));
    assert!(!machine.locks_without_limit, "a container may not lock without limit");
    assert_eq!((machine.log.file_system.as_str(), machine.data.file_system.as_str()), ("ext4", "overlay"));
    assert_eq!((machine.log.volatile, machine.data.volatile), (None, None));
    let facts = machine.facts();
    assert!(facts.contains(&("cpus", "0-7, 1.50 of them by quota".to_owned())), "{facts:?}");
}

#[test]
fn a_machine_that_tells_nothing() {
    let machine = machine(&[], "/a", "/a");
    assert!(machine.cpus.is_empty());
    assert_eq!((machine.usable_memory(), machine.usable_cpu_milli(), machine.numa_nodes), (0, 0, 0));
    assert_eq!(machine.facts().len(), 11);
}

#[test]
fn this_machine_tells_something() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::defaults(crate::config::Profile::Small, 1);
    config.data_dir = dir.path().join("not/yet/there");
    config.data_log_dir = dir.path().to_path_buf();
    let mut machine = Machine::look(&config);
    assert!(!machine.cpus.is_empty() && machine.memory > 0 && machine.kernel_version().is_some(), "{machine:?}");
    assert_eq!(machine.data.path, dir.path().canonicalize().unwrap());
    assert!(!machine.log.file_system.is_empty());
    machine.measure();
    assert!(machine.writes.is_some(), "{:?}", machine.unmeasured);
    assert!(!config.data_dir.exists(), "nothing is made");
}

#[test]
fn the_largest_snapshot_counts_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: usize| std::fs::write(dir.path().join(name), vec![0; bytes]).unwrap();
    assert_eq!(largest_snapshot(dir.path()), 0);
    write("snapshot-0000000000000001", 10);
    write("snapshot-0000000000000002", 30);
    write("snapshot-0000000000000003.tmp", 100);
    write("other", 1000);
    assert_eq!(largest_snapshot(dir.path()), 30);
    assert_eq!(largest_snapshot(Path::new("/nowhere")), 0);
}

#[test]
fn sizes_are_short() {
    let shown = [0, 1023, 1024, 1536, 8 << 20, 25_276_514_304].map(size);
    assert_eq!(shown, ["0 bytes", "1023 bytes", "1 KiB", "1.5 KiB", "8 MiB", "23.5 GiB"]);
    assert_eq!((milli(2000), milli(1500)), ("2".to_owned(), "1.50".to_owned()));
}
