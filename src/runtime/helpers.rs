//! The helper threads: one makes log segments before they are needed, one writes snapshots, cuts the log and tidies up, one
//! keeps the small records of a member of an ensemble, one reads its log back for others, one keeps memory ready
//! ([`super::memory`]).
//!
//! They only ever block themselves. What they have finished goes back through a channel, and the loop of the
//! quorum brain is woken.

use super::memory::Ahead;
use super::placement::step_back;
use super::wake::Wake;
use crate::fatal::Fatal;
use crate::ids::Zxid;
use crate::server::quorum::Record;
use crate::server::snapshot::SnapshotJob;
use crate::storage::log::seek::Stretch;
use crate::storage::log::segment::{Position, PreparedSegment, SegmentId};
use crate::storage::log::writer::{LogWriter, SegmentRequest};
use crate::tree::store::Reader;
use crate::zab::leader::{LogPart, PeerId};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

/// What a helper has finished.
pub(crate) enum Done {
    Segment(PreparedSegment),
    Snapshot {
        zxid: Zxid,
        reader: Reader,
        took_ms: i64,
    },
    /// The log was cut after this zxid and goes on with this writer; without one it cannot be cut there.
    Cut {
        zxid: Zxid,
        log: Option<LogWriter>,
    },
    /// The snapshot of another server's state is on disk, and the log goes on behind it with this writer.
    Installed {
        zxid: Zxid,
        log: LogWriter,
    },
    Recorded(Record),
    /// Read back for this learner.
    LogRead {
        peer: PeerId,
        part: LogPart,
    },
    /// Truth is in doubt: the server ends.
    Failed(Fatal),
}

/// A log that is to go on from elsewhere. `above` is the largest number of a segment asked for so far.
pub(crate) enum Rebase {
    Cut { zxid: Zxid, above: SegmentId },
    Install { job: Box<SnapshotJob>, above: SegmentId },
}

/// Makes a segment.
pub(crate) type MakeSegment = dyn FnMut(SegmentRequest) -> Result<PreparedSegment, Fatal> + Send;
/// Writes a snapshot.
pub(crate) type WriteSnapshot = dyn FnMut(&mut SnapshotJob) -> Result<(), Fatal> + Send;

/// Lets the log go on from elsewhere; `None`: it cannot, and is as it was.
pub(crate) type RebaseLog = dyn FnMut(&mut Rebase) -> Result<Option<LogWriter>, Fatal> + Send;
/// Writes a record down.
pub(crate) type WriteRecord = dyn FnMut(&Record) -> Result<(), Fatal> + Send;
/// Reads the log back.
pub(crate) type ReadLog = dyn FnMut(&Stretch) -> LogPart + Send;

/// Marks an orderly stop of a log that ends there; no number of a segment above the second was asked for.
pub(crate) type CloseLog = dyn FnOnce(Position, SegmentId) + Send;

/// The work the helpers are given.
pub(crate) struct Work {
    pub segment: Box<MakeSegment>,
    pub snapshot: Box<WriteSnapshot>,
    pub rebase: Box<RebaseLog>,
    pub record: Box<WriteRecord>,
    pub read_log: Box<ReadLog>,
    pub close_log: Box<CloseLog>,
}

/// What the thread of the snapshots does, one after the other: a log is not cut while a snapshot is written.
enum Task {
    Snapshot(Box<SnapshotJob>),
    Rebase(Rebase),
}

/// The helpers, from the side of the quorum brain's loop.
pub(crate) struct Helpers {
    segments: Sender<SegmentRequest>,
    tasks: Sender<Task>,
    records: Sender<Record>,
    reads: Sender<(PeerId, Stretch)>,
    done: Receiver<Done>,
    asked: Option<SegmentRequest>,
    memory: Ahead,
    threads: Vec<JoinHandle<()>>,
    close_log: Box<CloseLog>,
}

impl Helpers {
    /// Starts the threads; `wake` is rung when something is finished, and so many bytes of memory are kept ready.
    pub(crate) fn start(work: Work, wake: Arc<Wake>, memory_ahead: usize) -> Self {
        let (segments, segment_requests) = channel::<SegmentRequest>();
        let (tasks, to_do) = channel::<Task>();
        let (records, to_write) = channel::<Record>();
        let (reads, to_read) = channel::<(PeerId, Stretch)>();
        let (finished, done) = channel();
        let Work { mut segment, mut snapshot, mut rebase, mut record, mut read_log, close_log } = work;
        let on = |name, manners| Thread { name, manners, finished: finished.clone(), wake: wake.clone() };
        let threads = vec![
            on("segments", Manners::GivesWay)
                .run(segment_requests, move |request| segment(request).map_or_else(Done::Failed, Done::Segment)),
            on("snapshots", Manners::GivesWay).run(to_do, move |task| match task {
                Task::Snapshot(job) => written(*job, &mut *snapshot),
                Task::Rebase(job) => rebased(job, &mut *rebase),
            }),
            on("records", Manners::Hurries)
                .run(to_write, move |due| record(&due).map_or_else(Done::Failed, |()| Done::Recorded(due))),
            on("log out", Manners::GivesWay).run(to_read, move |(peer, stretch)| {
                let part = read_log(&stretch);
                Done::LogRead { peer, part }
            }),
        ];
        let memory = Ahead::start(memory_ahead);
        Helpers { segments, tasks, records, reads, done, asked: None, memory, threads, close_log }
    }

    /// Asks for a segment, once.
    pub(crate) fn want_segment(&mut self, request: SegmentRequest) {
        if self.asked.map(|asked| asked.id) != Some(request.id) {
            self.asked = Some(request);
            let _ = self.segments.send(request);
        }
    }

    /// The tree's memory was last taken at this address; called once a turn.
    #[inline]
    pub(crate) fn run_ahead_of(&mut self, address: usize) {
        self.memory.note(address);
    }

    /// Has a snapshot written.
    pub(crate) fn write_snapshot(&mut self, job: Box<SnapshotJob>) {
        let _ = self.tasks.send(Task::Snapshot(job));
    }

    /// Has the log cut after `zxid`. Segments requested for the old log are not needed any more.
    pub(crate) fn cut_log(&mut self, zxid: Zxid, above: SegmentId) {
        let _ = self.tasks.send(Task::Rebase(Rebase::Cut { zxid, above }));
    }

    /// Has another server's state written down, and the log begun anew behind it.
    pub(crate) fn install_snapshot(&mut self, job: Box<SnapshotJob>, above: SegmentId) {
        let _ = self.tasks.send(Task::Rebase(Rebase::Install { job, above }));
    }

    /// The log goes on elsewhere: a segment that is still being made is not for it.
    pub(crate) fn forget_segment(&mut self) {
        self.asked = None;
    }

    /// Whether this is the segment that the log waits for.
    pub(crate) fn is_awaited(&self, segment: &PreparedSegment) -> bool {
        self.asked.is_some_and(|asked| asked.id == segment.id)
    }

    /// Has a record written down.
    pub(crate) fn record(&mut self, record: Record) {
        let _ = self.records.send(record);
    }

    /// Has the log read back for a learner.
    pub(crate) fn read_log(&mut self, peer: PeerId, stretch: Stretch) {
        let _ = self.reads.send((peer, stretch));
    }

    /// What has been finished since the last call.
    pub(crate) fn finished(&self) -> Option<Done> {
        self.done.try_recv().ok()
    }

    /// Lets the threads finish what they have begun, and waits for them; then the end of the log is marked, if it is known.
    pub(crate) fn stop(self, end: Option<(Position, SegmentId)>) {
        let Helpers { segments, tasks, records, reads, threads, close_log, .. } = self;
        drop((segments, tasks, records, reads));
        for thread in threads {
            let _ = thread.join();
        }
        if let Some((end, above)) = end {
            close_log(end, above);
        }
    }
}

/// Whether a helper gives way to the threads that answer clients.
enum Manners {
    GivesWay,
    /// An election or a role waits for what it does.
    Hurries,
}

/// A helper that is to be started.
struct Thread {
    name: &'static str,
    manners: Manners,
    finished: Sender<Done>,
    wake: Arc<Wake>,
}

impl Thread {
    /// Carries out the channel's tasks one after the other, until the channel is closed, or the receiver of the results is
    /// gone.
    fn run<T: Send + 'static>(
        self,
        to_do: Receiver<T>,
        mut work: impl FnMut(T) -> Done + Send + 'static,
    ) -> JoinHandle<()> {
        let Thread { name, manners, finished, wake } = self;
        let body = move || {
            if matches!(manners, Manners::GivesWay) {
                step_back();
            }
            for task in to_do {
                if finished.send(work(task)).is_err() {
                    return;
                }
                wake.ring();
            }
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(body).expect("a thread can be started")
    }
}

fn written(mut job: SnapshotJob, write: &mut WriteSnapshot) -> Done {
    let start = Instant::now();
    match write(&mut job) {
        Ok(()) => {
            let took_ms = start.elapsed().as_millis() as i64;
            let SnapshotJob { zxid, reader, pin, .. } = job;
            drop(pin);
            Done::Snapshot { zxid, reader, took_ms }
        }
        Err(fatal) => Done::Failed(fatal),
    }
}

fn rebased(mut job: Rebase, rebase: &mut RebaseLog) -> Done {
    match (rebase(&mut job), job) {
        (Err(fatal), _) => Done::Failed(fatal),
        (Ok(log), Rebase::Cut { zxid, .. }) => Done::Cut { zxid, log },
        (Ok(Some(log)), Rebase::Install { job, .. }) => Done::Installed { zxid: job.zxid, log },
        (Ok(None), Rebase::Install { .. }) => unreachable!("a snapshot is installed, or the process ends"),
    }
}
