//! The helper threads: one makes log segments before they are needed, one writes snapshots and tidies up, one keeps
//! memory ready ([`super::memory`]).
//!
//! They only ever block themselves. What they have finished goes back through a channel, and the loop of the
//! quorum brain is woken.

use super::memory::Ahead;
use super::wake::Wake;
use crate::fatal::Fatal;
use crate::ids::Zxid;
use crate::server::quorum::SnapshotJob;
use crate::storage::log::segment::PreparedSegment;
use crate::storage::log::writer::SegmentRequest;
use crate::tree::store::Reader;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

/// What a helper has finished.
pub enum Done {
    Segment(PreparedSegment),
    Snapshot {
        zxid: Zxid,
        reader: Reader,
        took_ms: i64,
    },
    /// Truth is in doubt: the server ends.
    Failed(Fatal),
}

/// Makes a segment.
pub type MakeSegment = dyn FnMut(SegmentRequest) -> Result<PreparedSegment, Fatal> + Send;
/// Writes a snapshot.
pub type WriteSnapshot = dyn FnMut(&mut SnapshotJob) -> Result<(), Fatal> + Send;

/// The work the helpers are given.
pub struct Work {
    pub segment: Box<MakeSegment>,
    pub snapshot: Box<WriteSnapshot>,
}

/// The helpers, from the side of the quorum brain's loop.
pub struct Helpers {
    segments: Sender<SegmentRequest>,
    snapshots: Sender<SnapshotJob>,
    done: Receiver<Done>,
    asked: Option<SegmentRequest>,
    memory: Ahead,
    threads: Vec<JoinHandle<()>>,
}

impl Helpers {
    /// Starts the threads; `wake` is rung when something is finished, and so many bytes of memory are kept ready.
    pub fn start(work: Work, wake: Arc<Wake>, memory_ahead: usize) -> Self {
        let (segments, segment_requests) = channel::<SegmentRequest>();
        let (snapshots, jobs) = channel::<SnapshotJob>();
        let (finished, done) = channel();
        let Work { mut segment, mut snapshot } = work;
        let (finished_too, wake_too) = (finished.clone(), wake.clone());
        let make = move || {
            step_back();
            for request in segment_requests {
                let done = segment(request).map_or_else(Done::Failed, Done::Segment);
                if finished.send(done).is_err() {
                    return;
                }
                wake.ring();
            }
        };
        let write = move || {
            step_back();
            for mut job in jobs {
                let start = Instant::now();
                let done = match snapshot(&mut job) {
                    Ok(()) => {
                        let took_ms = start.elapsed().as_millis() as i64;
                        let SnapshotJob { zxid, reader, pin, .. } = job;
                        drop(pin);
                        Done::Snapshot { zxid, reader, took_ms }
                    }
                    Err(fatal) => Done::Failed(fatal),
                };
                if finished_too.send(done).is_err() {
                    return;
                }
                wake_too.ring();
            }
        };
        let spawn = |name: &str, body: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.to_owned()).spawn(body).expect("a thread can be started")
        };
        let threads = vec![spawn("segments", Box::new(make)), spawn("snapshots", Box::new(write))];
        Helpers { segments, snapshots, done, asked: None, memory: Ahead::start(memory_ahead), threads }
    }

    /// Asks for a segment, once.
    pub fn want_segment(&mut self, request: SegmentRequest) {
        if self.asked.map(|asked| asked.id) != Some(request.id) {
            self.asked = Some(request);
            let _ = self.segments.send(request);
        }
    }

    /// The tree's memory was last taken at this address; called once a turn.
    #[inline]
    pub fn run_ahead_of(&mut self, address: usize) {
        self.memory.note(address);
    }

    /// Has a snapshot written.
    pub fn write_snapshot(&mut self, job: SnapshotJob) {
        let _ = self.snapshots.send(job);
    }

    /// What has been finished since the last call.
    pub fn finished(&self) -> Option<Done> {
        self.done.try_recv().ok()
    }

    /// Lets the threads finish what they have begun, and waits for them.
    pub fn stop(self) {
        let Helpers { segments, snapshots, threads, .. } = self;
        drop((segments, snapshots));
        for thread in threads {
            let _ = thread.join();
        }
    }
}

/// Lets the calling thread give way to those that answer clients, where there are not cores enough for all.
pub(super) fn step_back() {
    const NICENESS: i32 = 10;
    // Of the calling thread alone, as Linux has it. If it is refused nothing but latency suffers.
    let _ = rustix::process::setpriority_process(None, NICENESS);
}
