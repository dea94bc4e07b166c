//! A server of the ensemble with all that outlives it: its disk, what is durable of its log and epochs, its file of the
//! configuration, its clocks.

use super::event::Event;
use crate::ids::Zxid;
use crate::jute::quorum::PROTOCOL_SECRETS;
use crate::server::message::Clock;
use crate::server::quorum::{Listen, Record};
use crate::sim::disk::SimDisk;
use crate::sim::oracle::Seen;
use crate::sim::server::SimServer;
use crate::storage::log::writer::FrameWrite;
use crate::zab::epochs::Epochs;
use crate::zab::history::{History, HistoryLimits};
use crate::zab::leader::PeerId;
use crate::zab::voters::Config;
use std::collections::VecDeque;

/// A server's clocks: what they say of a moment of the run.
#[derive(Clone, Copy, Default)]
pub(super) struct Clocks {
    /// Thousandths by which the monotonic one runs fast.
    drift: i64,
    /// When it began to, and what it said then.
    since_ms: i64,
    base_ms: i64,
    /// By how much the wall clock is ahead of the monotonic one.
    wall_ahead_ms: i64,
}

impl Clocks {
    pub(super) fn at(&self, now_ms: i64) -> Clock {
        let passed_ms = now_ms - self.since_ms;
        let mono_ms = self.base_ms + passed_ms + passed_ms * self.drift / 1000;
        Clock { mono_ms, wall_ms: mono_ms + self.wall_ahead_ms }
    }

    /// The monotonic one runs fast by so many thousandths from now on, or slow.
    pub(super) fn run_fast(&mut self, thousandths: i64, now_ms: i64) {
        let base_ms = self.at(now_ms).mono_ms;
        *self = Clocks { drift: thousandths, since_ms: now_ms, base_ms, ..*self };
    }

    /// The wall clock is this much ahead of the monotonic one from now on.
    pub(super) fn set_wall(&mut self, ahead_ms: i64) {
        self.wall_ahead_ms = ahead_ms;
    }

    /// How long it takes until the monotonic clock has gone on by so much, at least.
    pub(super) fn wait_ms(&self, clock_ms: i64) -> i64 {
        (clock_ms * 1000 / (1000 + self.drift)).max(1)
    }
}

/// A thread that blocks on the disk.
#[derive(Clone, Copy, Default)]
pub(super) struct Worker {
    /// When it has done all it was asked for.
    until_ms: i64,
}

impl Worker {
    /// It is asked for something that takes so long. How long until that is done.
    pub(super) fn schedule(&mut self, now_ms: i64, takes_ms: i64) -> i64 {
        self.until_ms = self.until_ms.max(now_ms) + takes_ms;
        self.until_ms - now_ms
    }
}

/// A server and what of it survives a crash.
pub(super) struct Member {
    pub(super) server: Option<SimServer>,
    pub(super) disk: SimDisk,
    /// What is durable of its log, kept beside it.
    pub(super) log: History,
    /// The snapshot its last start went on from.
    pub(super) started_from: Zxid,
    /// What is durable of its epochs.
    pub(super) epochs: Epochs,
    pub(super) seen: Seen,
    /// What had been shown when it came to its leader: what it shows at least when it serves.
    pub(super) due: Zxid,
    /// What its files say.
    pub(super) config: Config,
    /// Where it listens.
    pub(super) listens: Listen,
    /// What it announces to speak as a learner; counts for its next start.
    pub(super) protocol: i32,
    pub(super) incarnation: u64,
    pub(super) write: Option<FrameWrite>,
    /// Records that are being written, in order, by this thread.
    pub(super) records: VecDeque<Record>,
    pub(super) recorder: Worker,
    /// The thread that reads its log back for others.
    pub(super) reader: Worker,
    pub(super) deadline_at_ms: i64,
    pub(super) is_paused: bool,
    /// What happened to it while it was paused.
    pub(super) waiting: VecDeque<Event>,
    /// Learners that wait for a snapshot.
    pub(super) wanting: Vec<PeerId>,
    pub(super) clocks: Clocks,
    /// What a disk write takes on top of the usual.
    pub(super) disk_delay_ms: i64,
    /// Its disk was replaced, and it has not served since.
    pub(super) is_empty: bool,
    /// Its disk was damaged, and it has not been started since.
    pub(super) is_rotten: bool,
    /// How often it has gone over into another epoch as its leader, as far as that is noted.
    pub(super) roll_overs: u64,
}

impl Member {
    /// One that was never started, with an empty disk.
    pub(super) fn new(config: Config) -> Member {
        Member {
            server: None,
            disk: SimDisk::new(),
            log: History::new(unlimited(), Zxid::ZERO),
            started_from: Zxid::ZERO,
            epochs: Epochs::default(),
            seen: Seen::default(),
            due: Zxid::ZERO,
            config,
            listens: Listen::default(),
            protocol: PROTOCOL_SECRETS,
            incarnation: 0,
            write: None,
            records: VecDeque::new(),
            recorder: Worker::default(),
            reader: Worker::default(),
            deadline_at_ms: i64::MAX,
            is_paused: false,
            waiting: VecDeque::new(),
            wanting: vec![],
            clocks: Clocks::default(),
            disk_delay_ms: 0,
            is_empty: false,
            is_rotten: false,
            roll_overs: 0,
        }
    }

    /// It listens elsewhere.
    pub(super) fn listen(&mut self, listen: Listen) {
        self.listens.client = listen.client.or(self.listens.client.take());
        self.listens.peers = listen.peers.or(self.listens.peers.take());
    }

    /// A record becomes durable.
    pub(super) fn keep(&mut self, record: Record) {
        let server = self.server.as_mut().expect("it runs");
        match record {
            Record::Epochs(epochs) => {
                assert!(epochs.reach(self.epochs), "{epochs:?} after {:?}", self.epochs);
                self.epochs = epochs;
                server.write_epochs(epochs);
            }
            Record::Agreed(held) => server.write_agreed(&held),
            Record::Complete => {
                server.mark_complete();
                self.is_empty = false;
            }
            Record::Config { config, .. } => self.config = config,
        }
    }

    /// A record is being written, and any part of it may be there.
    pub(super) fn begin_record(&mut self, record: Record) {
        let server = self.server.as_mut().expect("it runs");
        match record {
            Record::Epochs(epochs) => server.write_epochs(epochs),
            Record::Agreed(held) => server.write_agreed(&held),
            Record::Complete => server.mark_complete(),
            // Renamed into its place: it is there or it is not.
            Record::Config { .. } => {}
        }
    }
}

/// Of what is kept beside a server everything is kept.
fn unlimited() -> HistoryLimits {
    HistoryLimits { count: usize::MAX, bytes: usize::MAX }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two epochs of one server overtook each other when its disk became quick between them.
    #[test]
    fn a_worker_does_one_thing_after_the_other() {
        let mut worker = Worker::default();
        assert_eq!(worker.schedule(0, 300), 300);
        assert_eq!(worker.schedule(10, 2), 292, "behind the first");
        assert_eq!(worker.schedule(400, 2), 2, "it has nothing else to do");
    }
}
