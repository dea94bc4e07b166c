//! Each advice: given where it should be, and not beside it.

use super::super::machine::{Bounds, Device, Limit, WriteLatency};
use super::*;
use crate::config::Profile;

/// Eight CPUs, plenty of everything, a good disk.
fn machine() -> Machine {
    let plenty = Limit { soft: None, hard: None };
    let disk = Device {
        name: "nvme0n1".into(),
        rotational: Some(false),
        write_cache: Some("write through".into()),
        scheduler: Some("none".into()),
    };
    let volume =
        Volume { file_system: "ext4".into(), mount_point: "/".into(), device: Some(disk), ..Volume::default() };
    Machine {
        kernel: "6.12.9".into(),
        cpus: (0..8).collect(),
        numa_nodes: 1,
        memory: 32 << 30,
        lockable: Some(plenty),
        open_files: Some(plenty),
        huge_pages: Some("madvise".into()),
        governors: vec!["performance".into()],
        log: volume.clone(),
        data: volume,
        writes: Some(WriteLatency { writes: 400, p50_us: 150, p99_us: 600, direct: true }),
        ..Machine::default()
    }
}

fn config() -> Config {
    Config::defaults(Profile::Balanced, 8)
}

/// The advice on this machine after a change to it and to the configuration, as (warning, finding and all).
fn after(change: impl FnOnce(&mut Machine, &mut Config)) -> Vec<(bool, String)> {
    let (mut machine, mut config) = (machine(), config());
    change(&mut machine, &mut config);
    let show = |advice: Advice| (advice.warning, format!("{} | {} | {}", advice.finding, advice.change, advice.how));
    advice(&machine, &config).into_iter().map(show).collect()
}

/// Exactly one advice, of this weight, that says these words.
#[track_caller]
fn one(all: Vec<(bool, String)>, warning: bool, words: &[&str]) {
    let [(weight, text)] = &all[..] else { panic!("{all:#?}") };
    assert_eq!(*weight, warning, "{text}");
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
}

#[test]
fn a_good_machine_needs_nothing() {
    assert_eq!(after(|_, _| ()), []);
    assert_eq!(advice(&Machine::default(), &config()), [], "nothing is said of what is not known");
}

#[test]
fn log_and_snapshots_that_a_restart_takes() {
    let memory = Some("it is kept in memory");
    one(after(|machine, _| machine.log.volatile = memory), true, &["the log in", "restart", "dataLogDir"]);
    let other = |machine: &mut Machine| {
        machine.data.mount_point = "/dev/shm".into();
        machine.data.volatile = memory;
    };
    one(after(|machine, _| other(machine)), true, &["the snapshots in", "dataDir"]);
}

#[test]
fn disks_of_other_machines_and_without_barriers() {
    one(after(|machine, _| machine.log.remote = true), true, &["another machine", "dataLogDir"]);
    one(after(|machine, _| machine.log.without_barriers = true), true, &["without barriers", "remount,barrier"]);
}

#[test]
fn one_spinning_disk_for_both() {
    let spin = |machine: &mut Machine| {
        machine.log.device.as_mut().unwrap().rotational = Some(true);
        machine.writes = None;
    };
    one(after(|machine, _| spin(machine)), false, &["share nvme0n1", "dataLogDir"]);
    let apart = after(|machine, _| {
        spin(machine);
        machine.data.device.as_mut().unwrap().name = "sdb".into();
    });
    assert_eq!(apart, []);
}

#[test]
fn a_fast_disk_does_not_spin_whatever_it_says() {
    let with = |p50_us| {
        after(move |machine, _| {
            machine.log.device.as_mut().unwrap().rotational = Some(true);
            machine.writes.as_mut().unwrap().p50_us = p50_us;
        })
    };
    assert_eq!(with(150), []);
    assert!(with(4000).iter().any(|(_, text)| text.contains("share nvme0n1")));
}

#[test]
fn bounds_of_the_kernel_on_sockets() {
    assert_eq!(after(|machine, _| machine.send_buffer_max = Some(212_992)), [], "nothing was asked for");
    let cut = after(|machine, config| {
        (machine.send_buffer_max, config.socket_send_buffer) = (Some(212_992), 1 << 20);
        (machine.receive_buffer_max, config.socket_receive_buffer) = (Some(4 << 20), 1 << 20);
    });
    one(cut, false, &["takes 212992 for corral.socketSendBuffer", "net.core.wmem_max=1048576"]);
    one(after(|machine, _| machine.backlog_max = Some(128)), false, &["takes 128 for", "net.core.somaxconn=1024"]);
}

#[test]
fn a_scheduler_that_weighs() {
    let all = after(|machine, _| machine.log.device.as_mut().unwrap().scheduler = Some("bfq".into()));
    one(all, false, &["bfq", "/sys/block/nvme0n1/queue/scheduler"]);
}

#[test]
fn slow_writes() {
    let with = |p50_us, p99_us| {
        after(move |machine, _| machine.writes = Some(WriteLatency { writes: 40, p50_us, p99_us, direct: true }))
    };
    assert_eq!(with(SLOW_MEDIAN_US, SLOW_TAIL_US), []);
    one(with(SLOW_MEDIAN_US + 1, 2500), true, &["2001 us"]);
    one(with(150, SLOW_TAIL_US + 1), true, &["20001 us"]);
    let flushed = after(|machine, _| {
        machine.log.device.as_mut().unwrap().write_cache = Some("write back".into());
        machine.writes = Some(WriteLatency { writes: 9, p50_us: 9000, p99_us: 9000, direct: true });
    });
    one(flushed, true, &["flushes its volatile cache"]);
    let indirect = after(|machine, _| machine.writes.as_mut().unwrap().direct = false);
    one(indirect, false, &["no direct writes"]);
}

#[test]
fn more_threads_than_cpus() {
    assert_eq!(after(|_, config| config.shards = 7), []);
    one(after(|_, config| config.shards = 8), true, &["9 threads", "share 8 CPUs", "corral.shards=7"]);
    let two = after(|machine, config| {
        machine.cpus.truncate(2);
        (config.shards, config.pin_threads) = (2, true);
    });
    one(two, true, &["not pinned", "corral.shards=0"]);
}

#[test]
fn quotas() {
    let with = |quota| after(move |machine, _| machine.bounds = Bounds { cpu_milli: Some(quota), memory: None });
    one(with(2500), false, &["2.50 of 8 CPUs", "AllowedCPUs"]);
    one(with(500), true, &["0.50 of 8 CPUs"]);
    assert_eq!(with(8000), []);
}

#[test]
fn memory_for_the_tree() {
    let with = |snapshot: u64, limit| {
        after(move |machine, _| {
            machine.snapshot_bytes = snapshot;
            machine.bounds.memory = limit;
        })
    };
    assert_eq!(with(1 << 30, Some(3 << 30)), []);
    one(with(1 << 30, Some(2 << 30)), true, &["snapshot has 1 GiB", "can have 2 GiB", "MemoryMax"]);
    one(with(20 << 30, None), true, &["can have 32 GiB", "a larger machine"]);
}

#[test]
fn swap_and_locking() {
    one(after(|machine, _| machine.swap = 4 << 30), false, &["4 GiB of swap", "corral.lockMemory=true"]);
    let locked = after(|machine, config| {
        machine.swap = 4 << 30;
        config.lock_memory = true;
    });
    assert_eq!(locked, []);
    let in_vain = |machine: &mut Machine, config: &mut Config| {
        machine.lockable = Some(Limit { soft: Some(8 << 20), hard: Some(8 << 20) });
        config.lock_memory = true;
    };
    one(after(in_vain), true, &["nothing is locked", "LimitMEMLOCK"]);
    let privileged = after(|machine, config| {
        in_vain(machine, config);
        machine.locks_without_limit = true;
    });
    assert_eq!(privileged, []);
}

#[test]
fn buffers_that_cannot_be_registered() {
    let with = |hard, max_buffer| {
        after(move |machine, config| {
            machine.lockable = Some(Limit { soft: Some(64 << 10), hard: Some(hard) });
            config.max_buffer = max_buffer;
        })
    };
    assert_eq!(with(8 << 20, 0xf_ffff), []);
    one(with(1 << 20, 0xf_ffff), false, &["1 MiB of memory may be locked", "LimitMEMLOCK"]);
    let too_low = with(64 << 10, 0xf_ffff);
    assert!(too_low[0].0 && too_low[0].1.contains("shards need 512 KiB: the server will not start"), "{too_low:?}");
    one(with(8 << 20, 4 << 20), false, &["8 MiB of memory may be locked", "the log's buffers take 16."]);
}

#[test]
fn huge_pages_that_make_wait() {
    let both = after(|machine, _| {
        machine.huge_pages = Some("always".into());
        machine.huge_page_defrag = Some("always".into());
    });
    one(both, false, &["defer+madvise"]);
    assert_eq!(after(|machine, _| machine.huge_pages = Some("always".into())), []);
}

#[test]
fn open_files_for_the_connections() {
    let with = |hard, max_cnxns| {
        after(move |machine, config| {
            machine.open_files = Some(Limit { soft: Some(1024), hard: Some(hard) });
            config.max_cnxns = max_cnxns;
        })
    };
    assert_eq!(with(20_000, 0), []);
    assert_eq!(with(20_000, 10_000), []);
    assert_eq!(with(2000, 100), []);
    one(with(4096, 0), false, &["4096 open files", "LimitNOFILE"]);
    one(with(4096, 10_000), true, &["maxCnxns allows 10000", "LimitNOFILE=10128"]);
}

#[test]
fn governors_nodes_and_spinning() {
    one(after(|machine, _| machine.governors = vec!["powersave".into()]), false, &["powersave", "cpupower"]);
    one(after(|machine, _| machine.numa_nodes = 2), false, &["2 NUMA nodes", "numactl"]);
    assert_eq!(after(|_, config| config.spin_us = 50), []);
    let tight = after(|machine, config| {
        config.spin_us = 50;
        machine.bounds.cpu_milli = Some(4000);
    });
    assert!(tight[0].0 && tight[0].1.contains("corral.spinMicros=0"), "{tight:?}");
    let one_thread = after(|machine, config| {
        (config.spin_us, config.shards) = (50, 0);
        machine.cpus.truncate(1);
    });
    assert_eq!(one_thread, [], "nobody spins there");
}

#[test]
fn old_kernels() {
    one(after(|machine, _| machine.kernel = "5.14.0-427.el9".into()), false, &["Linux 5.14.0", "6.1"]);
    assert_eq!(after(|machine, _| machine.kernel = "6.1.0".into()), []);
}

#[test]
fn warnings_come_first() {
    let all = after(|machine, _| {
        machine.kernel = "5.15.0".into();
        machine.log.volatile = Some("it is kept in memory");
        machine.numa_nodes = 4;
    });
    assert_eq!(all.iter().map(|(warning, _)| *warning).collect::<Vec<_>>(), [true, false, false]);
}
