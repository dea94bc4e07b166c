//! Where threads and memory are kept: CPUs of their own, and out of the swap; and which threads give way to which.
//!
//! All of this is optional. A server that cannot pin or lock (except the little memory that each shard must lock) works without,
//! only slower; [`super::advice`] reports what keeps it from having CPUs of its own and locked memory.

use super::machine;
use crate::config::{Config, Edge};
use crate::fatal::{Fatal, Reason};
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

/// The CPU of each busy thread.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Pins {
    /// The quorum core's first, then the shards'; empty: the scheduler chooses.
    cpus: Vec<usize>,
}

impl Pins {
    /// What the configuration asks for, on the CPUs this process may use.
    pub(crate) fn of(config: &Config) -> Pins {
        let threads = match config.edge() {
            Edge::OneThread => 1,
            Edge::Shards(shards) => usize::from(shards) + 1,
        };
        if !config.pin_threads {
            return Pins::default();
        }
        Pins::on(&machine::cpus(), threads)
    }

    /// One CPU for each thread, in order, if there are so many.
    fn on(cpus: &[usize], threads: usize) -> Pins {
        // The affinity mask of the kernel's interface has so many bits.
        let fits = cpus.iter().take(threads).all(|cpu| *cpu < CpuSet::MAX_CPU);
        if cpus.len() < threads || !fits { Pins::default() } else { Pins { cpus: cpus[..threads].to_vec() } }
    }

    /// Keeps the calling thread, which is the quorum core's or the one thread, on its CPU.
    pub(crate) fn take_core(&self) {
        if let Some(cpu) = self.cpus.first() {
            stay_on(*cpu);
        }
    }

    /// That of a shard, counted from 0.
    pub(crate) fn shard(&self, number: usize) -> Option<usize> {
        self.cpus.get(number + 1).copied()
    }
}

/// Keeps the calling thread, and those it starts later, on this CPU.
fn stay_on(cpu: usize) {
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    if let Err(error) = sched_setaffinity(None, &cpus) {
        tracing::warn!(%error, cpu, "the quorum core's thread could not be pinned");
    }
}

/// Lowers the calling thread's priority below that of threads that answer clients, for machines with too few cores.
pub(crate) fn step_back() {
    const NICENESS: i32 = 10;
    // On Linux this sets the priority of the calling thread only. If the call fails, only latency suffers.
    let _ = rustix::process::setpriority_process(None, NICENESS);
}

/// Bytes of memory that a shard's executor must be able to lock, or it does not start (glommio 0.9).
pub(crate) const SHARD_LOCKS: u64 = 512 << 10;

/// Raises the limit on locked memory as far as it goes, for the shards' rings and the log's registered buffers, and locks
/// all memory if asked to. Locking counts only without a limit: below one, memory that is asked for later could not be had
/// at all. Fails where shards could not start.
pub(crate) fn lock_memory(config: &Config) -> Result<(), Fatal> {
    let mut limit = getrlimit(Resource::Memlock);
    limit.current = limit.maximum;
    // If it is refused the log's ring says what follows from it.
    let _ = setrlimit(Resource::Memlock, limit);
    let limit = getrlimit(Resource::Memlock).current;
    if let Some(bytes) = limit.filter(|bytes| *bytes < SHARD_LOCKS && config.edge() != Edge::OneThread) {
        let what = format!(
            "{bytes} bytes of memory may be locked, and shards need {SHARD_LOCKS} (corral.shards=0 does without)"
        );
        return Err(Fatal::new(Reason::LimitTooLow, what));
    }
    if !config.lock_memory || (limit.is_some() && !machine::locks_without_limit()) {
        return Ok(());
    }
    // Pages when they are first touched: what is only reserved takes no memory.
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    if let Err(error) = mlockall(flags) {
        tracing::warn!(%error, "corral.lockMemory: memory could not be locked");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_take_the_allowed_cpus_in_order() {
        let pins = Pins::on(&[4, 6, 7, 9], 3);
        assert_eq!(
            (pins.cpus.first(), pins.shard(0), pins.shard(1), pins.shard(2)),
            (Some(&4), Some(6), Some(7), None)
        );
    }

    #[test]
    fn with_too_few_cpus_nobody_is_pinned() {
        for cpus in [&[][..], &[3], &[0, CpuSet::MAX_CPU]] {
            let pins = Pins::on(cpus, 2);
            assert_eq!((pins.cpus.first(), pins.shard(0)), (None, None), "{cpus:?}");
        }
    }

    #[test]
    fn a_thread_stays_where_it_is_put() {
        let cpu = machine::cpus()[0];
        let seen = std::thread::spawn(move || {
            stay_on(cpu);
            rustix::thread::sched_getaffinity(None)
                .map(|set| (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect::<Vec<_>>())
        });
        assert_eq!(seen.join().unwrap().unwrap(), [cpu]);
    }
}
