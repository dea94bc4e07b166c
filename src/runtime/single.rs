//! The one-thread edge: one loop, one shard brain and the quorum brain in it.
//!
//! With one or two cores a second thread costs more than it brings: handing a write over and back is two
//! wake-ups, each dearer than the work. Here the loop waits in one place, an epoll descriptor that holds the
//! sockets, two timers, the bell and the log's ring.
//!
//! This file uses `unsafe` once, to put the ring's descriptor into the epoll set; the ring outlives the loop.

use super::alarm::Alarm;
use super::clock::Clocks;
use super::helpers::Helpers;
use super::log_ring::LogRing;
use super::net::{Events, Net};
use super::outside::Outside;
use super::peers::Peers;
use super::wake::Wake;
use crate::fatal::Fatal;
use crate::server::message::Inbound;
use crate::server::quorum::{Input, Quorum};
use crate::server::shard::Shard;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::Receiver;

/// Everything the loop owns. The ring is dropped before the quorum brain, whose buffers it writes from.
pub(super) struct Single {
    outside: Outside,
    net: Net,
    shard: Shard,
    quorum: Quorum,
    /// What threads ask from outside.
    inbox: Receiver<Inbound>,
    alarm: Alarm,
    wake: Arc<Wake>,
    clocks: Clocks,
    stop: Arc<AtomicBool>,
}

impl Single {
    /// Puts the loop together.
    #[expect(clippy::too_many_arguments, reason = "the parts of a server, each used once")]
    pub(super) fn new(
        log_dir: &Path,
        net: Net,
        shard: Shard,
        (mut quorum, inbox): (Quorum, Receiver<Inbound>),
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
        let outside = Outside { log, peers, helpers };
        Ok(Single { outside, net, shard, quorum, inbox, alarm, wake, clocks, stop })
    }

    /// Runs until it is told to stop, or until truth is in doubt.
    pub(super) fn run(mut self) -> Result<(), Fatal> {
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
                self.quorum.step(Input::Stop);
            }
            let found = self.net.process(&events, &mut self.shard);
            if let Some(peers) = &mut self.outside.peers {
                peers.turn(&mut self.quorum, clock.mono_ms, found.peers);
            }
            if found.alarm {
                self.alarm.gone_off();
                self.quorum.step(Input::Deadline);
            }
            self.complete()?;
            self.outside.finish(&mut self.quorum)?;
            if found.tick {
                self.shard.tick();
                self.quorum.step(Input::Tick);
                if let Some(peers) = &mut self.outside.peers {
                    peers.tick(&mut self.quorum);
                }
            }
            while let Ok(inbound) = self.inbox.try_recv() {
                self.quorum.step(Input::Inbound(inbound));
            }
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

    /// Passes requests to the quorum brain and what is published back, and does what the brain wants done.
    fn exchange(&mut self) -> Result<(), Fatal> {
        if let Some(inbound) = self.shard.take_outbound() {
            self.quorum.step(Input::Inbound(inbound));
        }
        self.outside.perform(&mut self.quorum, true, || self.shard.take_in())
    }

    /// Takes in log writes that are on disk, and begins the next one at once.
    fn complete(&mut self) -> Result<(), Fatal> {
        while let Some(entry) = self.outside.log.completion() {
            self.outside.log.written(entry.result())?;
            self.quorum.step(Input::Written);
            self.outside.perform(&mut self.quorum, true, || self.shard.take_in())?;
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.quorum.is_idle() && self.shard.may_sleep()
    }

    fn end(self) {
        let Single { outside, mut shard, quorum, .. } = self;
        shard.stop();
        outside.end(quorum);
    }
}
