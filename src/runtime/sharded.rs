//! The edge for more cores: shards on glommio executors, the quorum brain on a thread and ring of its own.
//!
//! A shard waits for one thing, its epoll descriptor, which holds its sockets, a timer and its bell. The quorum thread waits
//! for one thing too, its ring: log writes, the bell's eventfd, a timer and the alarm complete there. Between them go a
//! channel of requests and the shared sequence of batches; no lock is taken.
//!
//! glommio 0.9 has no call that waits for a foreign descriptor. Its streams, however, post a poll for
//! whatever descriptor they are made from, and their first read waits for that poll. [`readable`] leans on
//! it, and a test below holds it: an upgrade of glommio that changes it goes red there.
//!
//! An executor of glommio 0.9 whose time slice ends before it has run anything goes to sleep with its tasks undone, and
//! nothing wakes it: a machine that stands still for the 100 ms of a slice is enough. A shard has one task, so there is
//! nothing to slice time for: [`SLICE`].
//!
//! This file uses `unsafe` to make that stream from a duplicated descriptor that nothing else owns, and to
//! queue ring entries that point into boxes which live as long as the ring.

use super::alarm::Alarm;
use super::clock::Clocks;
use super::helpers::Helpers;
use super::log_ring::{LogRing, WRITE};
use super::net::{Events, Net};
use super::outside::Outside;
use super::peers::Peers;
use super::wake::Wake;
use crate::fatal::{Fatal, Reason};
use crate::server::message::Inbound;
use crate::server::quorum::{Input, Quorum};
use crate::server::shard::Shard;
use futures_lite::AsyncReadExt;
use glommio::{ExecutorJoinHandle, GlommioError, LocalExecutorBuilder, Placement, net::TcpStream};
use io_uring::{opcode, types};
use std::collections::BTreeSet;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Completions that are not the log's.
const BELL: u64 = 2;
const TIMER: u64 = 3;
const PEERS: u64 = 4;
const ALARM: u64 = 5;

/// Bytes of an executor's own buffers, which a shard has no use for: its sockets are read and written by the loop. Those
/// buffers are locked in memory, 10 MiB for each shard where nothing is said.
const IO_MEMORY: usize = 64 << 10;

/// The time slice of an executor's tasks: longer than any machine stands still.
const SLICE: Duration = Duration::from_secs(365 * 24 * 3600);

/// How a shard's thread behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShardThread {
    /// The CPU to stay on.
    pub cpu: Option<usize>,
    /// How long to look for work before sleeping.
    pub spin: Duration,
}

/// What the threads of a server share to end together.
#[derive(Clone)]
pub(crate) struct Ending {
    /// The server has been asked to stop.
    pub stop: Arc<AtomicBool>,
    /// The quorum brain has published its last batch.
    pub published_all: Arc<AtomicBool>,
}

/// One shard, ready to run.
pub(crate) struct ShardParts {
    pub net: Net,
    pub shard: Shard,
    pub wake: Arc<Wake>,
    pub thread: ShardThread,
}

/// The quorum brain's side.
pub(crate) struct CoreParts {
    pub quorum: Quorum,
    /// Of what shards, and threads that ask from outside, have for the core: the end that each gets a copy of, and the core's.
    pub inbox: (Sender<Inbound>, Receiver<Inbound>),
    /// Of a member of an ensemble.
    pub peers: Option<Peers>,
    pub helpers: Helpers,
    pub wake: Arc<Wake>,
    pub half_tick: Duration,
    pub spin: Duration,
    /// How long a lone write waits for company.
    pub delay: Duration,
}

/// Runs until told to stop, or until truth is in doubt.
pub(super) fn run(
    log_dir: &Path,
    core: CoreParts,
    shards: Vec<ShardParts>,
    clocks: Clocks,
    ending: Ending,
) -> Result<(), Fatal> {
    let sender = &core.inbox.0;
    let bells: Vec<Arc<Wake>> = shards.iter().map(|shard| shard.wake.clone()).collect();
    let (started, starts) = channel();
    let mut threads = vec![];
    for (number, parts) in shards.into_iter().enumerate() {
        let link = Link { sender: sender.clone(), core: core.wake.clone(), clocks, ending: ending.clone() };
        let placement = parts.thread.cpu.map_or(Placement::Unbound, Placement::Fixed);
        let mut builder = LocalExecutorBuilder::new(placement)
            .name(&format!("shard-{number}"))
            .io_memory(IO_MEMORY)
            .preempt_timer(SLICE);
        if !parts.thread.spin.is_zero() {
            builder = builder.spin_before_park(parts.thread.spin);
        }
        let started = started.clone();
        let thread = builder
            .spawn(move || {
                let _ = started.send(number);
                drop(started);
                shard_loop(parts, link)
            })
            .map_err(|error| Fatal::new(Reason::IoUringDenied, format!("starting shard {number}: {error}")))?;
        threads.push(thread);
    }
    drop(started);
    all_have_started(&mut threads, &starts)?;
    core_loop(log_dir, core, &bells, clocks, &ending)?;
    for thread in threads {
        thread.join().map_err(|error| Fatal::new(Reason::System, format!("a shard's thread: {error}")))?;
    }
    Ok(())
}

/// Waits until every shard has an executor. Where one could not be made its thread ends in silence, and connections would
/// wait for a shard that is not there.
fn all_have_started(threads: &mut Vec<ExecutorJoinHandle<()>>, starts: &Receiver<usize>) -> Result<(), Fatal> {
    // Ends when each has reported or is gone.
    let started: BTreeSet<usize> = starts.iter().collect();
    let Some(missing) = (0..threads.len()).find(|number| !started.contains(number)) else { return Ok(()) };
    let Err(error) = threads.swap_remove(missing).join() else {
        return Err(Fatal::new(Reason::System, format!("shard {missing} ended before it began")));
    };
    let denied = match &error {
        GlommioError::IoError(error) => {
            matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES | libc::ENOSYS))
        }
        _ => false,
    };
    let reason = if denied { Reason::IoUringDenied } else { Reason::System };
    Err(Fatal::new(reason, format!("starting shard {missing}: {error}")))
}

/// A shard's way to the quorum brain.
struct Link {
    sender: Sender<Inbound>,
    core: Arc<Wake>,
    clocks: Clocks,
    ending: Ending,
}

async fn shard_loop(parts: ShardParts, link: Link) {
    let ShardParts { mut net, mut shard, wake, .. } = parts;
    let mut events = Events::new();
    shard.unpark();
    loop {
        if wake.about_to_wait() && shard.may_sleep() && !link.ending.published_all.load(SeqCst) {
            shard.park();
            readable(net.as_fd()).await;
            wake.awake();
            shard.unpark();
        } else {
            wake.awake();
        }
        net.wait(&mut events, false);
        shard.begin(link.clocks.now());
        if link.ending.stop.load(SeqCst) {
            net.stop_accepting();
            shard.stop_taking();
        }
        let found = net.process(&events, &mut shard);
        if found.tick {
            shard.tick();
        }
        shard.take_in();
        net.flush(&mut shard);
        if let Some(inbound) = shard.take_outbound()
            && link.sender.send(inbound).is_ok()
        {
            link.core.ring();
        }
        shard.quiesce();
        if link.ending.published_all.load(SeqCst) {
            shard.take_in();
            net.flush(&mut shard);
            if !shard.is_busy() {
                shard.stop();
                net.flush(&mut shard);
                return;
            }
        }
    }
}

/// Waits until a descriptor is readable.
async fn readable(fd: BorrowedFd<'_>) {
    let Ok(own) = fd.try_clone_to_owned() else {
        // Out of descriptors: looking every millisecond is better than not at all, or all the time.
        return glommio::timer::sleep(Duration::from_millis(1)).await;
    };
    // SAFETY: the descriptor was duplicated for this stream alone, which closes it.
    let mut stream = unsafe { TcpStream::from_raw_fd(own.into_raw_fd()) };
    // Not a socket: the read fails, but not before the poll that the stream posted has completed.
    let _ = stream.read(&mut [0; 1]).await;
}

fn core_loop(
    log_dir: &Path,
    parts: CoreParts,
    bells: &[Arc<Wake>],
    clocks: Clocks,
    ending: &Ending,
) -> Result<(), Fatal> {
    let CoreParts { mut quorum, inbox: (_, inbox), peers, helpers, wake, half_tick, spin, delay } = parts;
    // Dropped before the quorum brain, whose buffers it writes from: declared after it.
    let mut outside = Outside { log: LogRing::new(quorum.log(), log_dir, true)?, peers, helpers };
    let mut waits = Waits::new(&wake, half_tick);
    waits.arm_bell(&mut outside.log);
    waits.arm_timer(&mut outside.log);
    let mut alarm = Alarm::new()?;
    waits.arm_alarm(&alarm, &mut outside.log);
    arm_peers(&mut outside);
    let mut peers_ready = false;
    let publish = || bells.iter().for_each(|bell| bell.ring());
    let mut first_waiting: Option<Instant> = None;
    let mut idle_since_stop = 0;
    loop {
        wake.awake();
        let clock = clocks.now();
        quorum.begin(clock);
        let mut worked = false;
        while let Ok(inbound) = inbox.try_recv() {
            quorum.step(Input::Inbound(inbound));
            worked = true;
        }
        outside.finish(&mut quorum)?;
        if let Some(peers) = &mut outside.peers {
            peers.turn(&mut quorum, clocks.now().mono_ms, peers_ready);
        }
        if std::mem::take(&mut peers_ready) {
            arm_peers(&mut outside);
        }
        let holds_back = !delay.is_zero() && !quorum.log().is_idle() && {
            let since = *first_waiting.get_or_insert_with(Instant::now);
            since.elapsed() < delay
        };
        if !holds_back {
            first_waiting = None;
        }
        outside.perform(&mut quorum, !holds_back, publish)?;
        if ending.stop.load(SeqCst) {
            quorum.step(Input::Stop);
            // What the shards had sent by now is taken; what they send while the disk works as well.
            idle_since_stop = if quorum.is_idle() && !worked { idle_since_stop + 1 } else { 0 };
            if idle_since_stop > 1 {
                break;
            }
        }
        alarm.set(quorum.deadline_ms(), clock.mono_ms);
        let hurry = worked || holds_back || idle_since_stop > 0 || !quorum.may_sleep();
        wait(&mut outside.log, &wake, &inbox, &mut quorum, hurry, spin)?;
        while let Some(entry) = outside.log.completion() {
            match entry.user_data() {
                WRITE => {
                    outside.log.written(entry.result())?;
                    quorum.begin(clocks.now());
                    quorum.step(Input::Written);
                    // Clients that wait for this write's answers do not wait for requests that came meanwhile.
                    outside.perform(&mut quorum, false, publish)?;
                }
                BELL => waits.arm_bell(&mut outside.log),
                TIMER => {
                    quorum.begin(clocks.now());
                    quorum.step(Input::Tick);
                    if let Some(fatal) = quorum.stalled_shard() {
                        return Err(fatal);
                    }
                    if let Some(peers) = &mut outside.peers {
                        peers.tick(&mut quorum);
                    }
                    waits.arm_timer(&mut outside.log);
                }
                PEERS => peers_ready = true,
                ALARM => {
                    alarm.gone_off();
                    quorum.begin(clocks.now());
                    quorum.step(Input::Deadline);
                    waits.arm_alarm(&alarm, &mut outside.log);
                }
                _ => {}
            }
        }
    }
    ending.published_all.store(true, SeqCst);
    publish();
    outside.end(quorum);
    Ok(())
}

/// Waits for a completion, unless there is work already.
fn wait(
    log: &mut LogRing,
    wake: &Wake,
    inbox: &Receiver<Inbound>,
    quorum: &mut Quorum,
    hurry: bool,
    spin: Duration,
) -> Result<(), Fatal> {
    let enter = |log: &mut LogRing, want: usize| match log.ring().submit_and_wait(want) {
        Err(error) if error.kind() != std::io::ErrorKind::Interrupted => Err(LogRing::ring_failed(error)),
        _ => Ok(()),
    };
    if hurry {
        return enter(log, 0);
    }
    if !spin.is_zero() {
        let start = Instant::now();
        while start.elapsed() < spin {
            enter(log, 0)?;
            if !log.ring().completion().is_empty() {
                return Ok(());
            }
            if let Ok(inbound) = inbox.try_recv() {
                quorum.step(Input::Inbound(inbound));
                return Ok(());
            }
        }
    }
    if !wake.about_to_wait() {
        return enter(log, 0);
    }
    enter(log, 1)
}

/// Waits for the ensemble's connections in the ring.
fn arm_peers(outside: &mut Outside) {
    if let Some(peers) = &outside.peers {
        let fd = types::Fd(peers.as_fd().as_raw_fd());
        let entry = opcode::PollAdd::new(fd, libc::POLLIN as u32).build().user_data(PEERS);
        // SAFETY: a poll points at nothing.
        unsafe { outside.log.push(&entry) };
    }
}

/// The other things the quorum thread waits for in its ring.
struct Waits<'a> {
    bell: &'a Wake,
    every: Box<types::Timespec>,
}

impl<'a> Waits<'a> {
    fn new(bell: &'a Wake, half_tick: Duration) -> Self {
        Waits { bell, every: Box::new(types::Timespec::from(half_tick)) }
    }

    fn arm_bell(&mut self, log: &mut LogRing) {
        let fd = types::Fd(self.bell.as_fd().as_raw_fd());
        // A poll and not a read: the eventfd is non-blocking for the loops that use it otherwise.
        self.bell.hush();
        let entry = opcode::PollAdd::new(fd, libc::POLLIN as u32).build().user_data(BELL);
        // SAFETY: a poll points at nothing.
        unsafe { log.push(&entry) };
    }

    fn arm_alarm(&mut self, alarm: &Alarm, log: &mut LogRing) {
        let fd = types::Fd(alarm.as_fd().as_raw_fd());
        let entry = opcode::PollAdd::new(fd, libc::POLLIN as u32).build().user_data(ALARM);
        // SAFETY: a poll points at nothing.
        unsafe { log.push(&entry) };
    }

    fn arm_timer(&mut self, log: &mut LogRing) {
        let entry = opcode::Timeout::new(&*self.every).build().user_data(TIMER);
        // SAFETY: the timespec is boxed and outlives the ring's use of it.
        unsafe { log.push(&entry) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    /// A shard without an executor is found, and the others are not waited for.
    #[test]
    fn a_shard_that_does_not_start_is_named() {
        let (started, starts) = channel();
        let mut threads = vec![];
        for number in 0..2 {
            let started = started.clone();
            let made = LocalExecutorBuilder::new(Placement::Unbound).spawn(move || async move {
                if number == 0 {
                    let _ = started.send(number);
                }
            });
            threads.push(made.unwrap());
        }
        drop(started);
        let fatal = all_have_started(&mut threads, &starts).unwrap_err();
        assert_eq!((fatal.reason, fatal.detail.as_str()), (Reason::System, "shard 1 ended before it began"));
        let (started, starts) = channel();
        started.send(0).unwrap();
        drop(started);
        all_have_started(&mut threads, &starts).unwrap();
    }

    /// What [`readable`] needs of glommio: the stream's read waits for the poll it posted at birth, and ends
    /// when the descriptor, which is no socket, becomes readable.
    #[test]
    fn glommio_waits_for_a_foreign_descriptor() {
        let wake = Arc::new(Wake::new().unwrap());
        let rung = Arc::new(AtomicU64::new(0));
        let (bell, times) = (wake.clone(), rung.clone());
        let ringer = std::thread::spawn(move || {
            for round in 1..=3 {
                std::thread::sleep(Duration::from_millis(20));
                times.store(round, SeqCst);
                bell.awake();
                assert!(bell.about_to_wait());
                bell.ring();
                let deadline = Instant::now() + Duration::from_secs(10);
                while times.load(SeqCst) == round && Instant::now() < deadline {
                    std::thread::yield_now();
                }
            }
        });
        let waiter = LocalExecutorBuilder::new(Placement::Unbound).spawn(move || async move {
            let epoll = rustix::event::epoll::create(rustix::event::epoll::CreateFlags::CLOEXEC).unwrap();
            let (data, flags) = (rustix::event::epoll::EventData::new_u64(1), rustix::event::epoll::EventFlags::IN);
            rustix::event::epoll::add(&epoll, wake.as_fd(), data, flags).unwrap();
            for round in 1..=3 {
                readable(epoll.as_fd()).await;
                assert_eq!(rung.load(SeqCst), round, "the wait ended when the bell rang, and not before");
                wake.hush();
                rung.store(100 + round, SeqCst);
            }
        });
        waiter.unwrap().join().unwrap();
        ringer.join().unwrap();
    }
}
