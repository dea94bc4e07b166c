//! The one-thread edge: one loop, one shard brain and the quorum brain in it.
//!
//! With one or two cores a second thread costs more than it brings: handing a write over and back is two
//! wake-ups, each dearer than the work. Here the loop waits in one place, an epoll descriptor that holds the
//! sockets, two timers, the bell and the log's ring.
//!
//! This file uses `unsafe` once, to put the ring's descriptor into the epoll set; the ring outlives the loop.

use super::alarm::Alarm;
use super::clock::Clocks;
use super::finish::finish;
use super::helpers::Helpers;
use super::log_ring::LogRing;
use super::net::{Events, Net};
use super::peers::Peers;
use super::wake::Wake;
use crate::fatal::Fatal;
use crate::server::quorum::Quorum;
use crate::server::shard::Shard;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Everything the loop owns. The ring is dropped before the quorum brain, whose buffers it writes from.
pub struct Single {
    log: LogRing,
    net: Net,
    shard: Shard,
    quorum: Quorum,
    peers: Option<Peers>,
    helpers: Helpers,
    alarm: Alarm,
    wake: Arc<Wake>,
    clocks: Clocks,
    stop: Arc<AtomicBool>,
}

impl Single {
    /// Puts the loop together.
    #[expect(clippy::too_many_arguments, reason = "the parts of a server, each used once")]
    pub fn new(
        log_dir: &Path,
        net: Net,
        shard: Shard,
        mut quorum: Quorum,
        peers: Option<Peers>,
        helpers: Helpers,
        wake: Arc<Wake>,
        clocks: Clocks,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, Fatal> {
        let mut log = LogRing::new(quorum.log(), log_dir, false)?;
        let fd = log.ring().as_raw_fd();
        // SAFETY: the ring is open as long as this struct, which outlives the borrow of this one call.
        net.watch(unsafe { BorrowedFd::borrow_raw(fd) })?;
        if let Some(peers) = &peers {
            net.watch_peers(peers.as_fd())?;
        }
        let alarm = Alarm::new()?;
        net.watch_alarm(alarm.as_fd())?;
        Ok(Single { log, net, shard, quorum, peers, helpers, alarm, wake, clocks, stop })
    }

    /// Runs until it is told to stop, or until truth is in doubt.
    pub fn run(mut self) -> Result<(), Fatal> {
        let mut events = Events::new();
        self.shard.unpark();
        let mut sleepy = false;
        loop {
            let wait = self.wake.about_to_wait() && sleepy && !self.stop.load(Relaxed);
            self.net.wait(&mut events, wait);
            self.wake.awake();
            let clock = self.clocks.now();
            self.shard.begin(clock);
            self.quorum.begin(clock);
            if self.stop.load(Relaxed) {
                // No more connections and no more requests; what was taken is made durable and answered.
                self.net.stop_accepting();
                self.shard.stop_taking();
                self.quorum.begin_stop();
            }
            let found = self.net.process(&events, &mut self.shard);
            if let Some(peers) = &mut self.peers {
                peers.turn(&mut self.quorum, clock.mono_ms, found.peers);
            }
            if found.alarm {
                self.alarm.gone_off();
                self.quorum.elapse();
            }
            self.complete()?;
            finish(&mut self.helpers, &mut self.quorum, &mut self.log, &mut self.peers)?;
            if found.tick {
                self.shard.tick();
                self.quorum.tick();
                if let Some(peers) = &mut self.peers {
                    peers.tick(&mut self.quorum);
                }
            }
            self.quorum.carry_on();
            self.exchange()?;
            self.net.flush(&mut self.shard);
            self.exchange()?;
            self.shard.quiesce();
            self.alarm.set(self.quorum.deadline_ms(), clock.mono_ms);
            sleepy = self.shard.may_sleep() && self.quorum.may_sleep();
            if self.stop.load(Relaxed) && self.is_done() {
                self.end();
                return Ok(());
            }
        }
    }

    /// Passes requests to the quorum brain and what is published back, and gives the next write to the ring.
    fn exchange(&mut self) -> Result<(), Fatal> {
        if let Some(inbound) = self.shard.take_outbound() {
            self.quorum.handle(inbound);
        }
        loop {
            self.write()?;
            while self.quorum.publish_answers() {
                self.shard.take_in();
            }
            // What is done for the peers may put something into the log, and commit what waited.
            let Some(peers) = &mut self.peers else { return Ok(()) };
            let worked = peers.carry_out(&mut self.quorum, &mut self.helpers)?;
            if self.quorum.take_published() {
                self.shard.take_in();
            }
            if !worked {
                return Ok(());
            }
        }
    }

    fn write(&mut self) -> Result<(), Fatal> {
        if let Some(write) = self.quorum.next_write() {
            self.log.submit(write)?;
        }
        if let Some(request) = self.quorum.log().needs_segment() {
            self.helpers.want_segment(request);
        }
        self.helpers.run_ahead_of(self.quorum.state().store().fresh_memory());
        self.quorum.plan_snapshot();
        if let Some(job) = self.quorum.take_snapshot_job() {
            self.helpers.write_snapshot(job);
        }
        Ok(())
    }

    /// Takes in log writes that are on disk.
    fn complete(&mut self) -> Result<(), Fatal> {
        while let Some(entry) = self.log.completion() {
            self.log.written(entry.result())?;
            if self.quorum.written() {
                self.shard.take_in();
            }
            self.write()?;
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.quorum.is_idle() && self.shard.may_sleep()
    }

    fn end(self) {
        let Single { log, helpers, mut shard, mut quorum, .. } = self;
        shard.stop();
        let end = quorum.log().closing().map(|end| (end, quorum.log().highest()));
        drop(log);
        drop(quorum);
        helpers.stop(end);
    }
}
