//! The turn of the quorum brain, on top of core and owner: its inputs ([`Input`]) and the work it wants done outside
//! ([`Work`]). Inputs that concern the core alone go to the core; all others to its owner.

use super::core::Core;
use super::interface::{Effect, EnsembleOptions, PeerInput, ServerState};
use super::lone::Lone;
use super::member::Member;
use crate::cost::Cost;
use crate::fatal::Fatal;
use crate::ids::Zxid;
use crate::server::message::{Clock, Cursor, Inbound};
use crate::server::snapshot::SnapshotJob;
use crate::storage::log::segment::PreparedSegment;
use crate::storage::log::writer::{FrameWrite, LogWriter, SegmentRequest};
use crate::tree::state::State;
use crate::tree::store::Reader;

/// The quorum brain: a core, inside its owner.
pub enum Quorum {
    /// A server on its own.
    Lone(Box<Lone>),
    /// A member of an ensemble.
    Member(Box<Member>),
}

/// An event. Events are given in the order in which they happened.
pub enum Input<'a> {
    /// Requests and reports that a shard sent.
    Inbound(Inbound),
    /// Something happened between this member and the others, or an [`Effect`] was carried out. Not for a lone server.
    Peer(PeerInput<'a>),
    /// The write of [`Work::write`] is on disk.
    Written,
    /// The segment of [`Work::segment`] is prepared.
    Segment(PreparedSegment),
    /// The snapshot of [`Work::snapshot`] has been written, in so many ms; its reader comes back.
    Snapshot {
        /// The snapshot's.
        zxid: Zxid,
        /// The one that [`SnapshotJob`] was given.
        reader: Reader,
        /// From the beginning of the writing to its end.
        took_ms: i64,
    },
    /// The log was truncated or begun anew, and continues with this writer. No write of the old writer is under way.
    Log(LogWriter),
    /// A snapshot is wanted now, due or not: the state is captured, unless a snapshot is being made.
    WantSnapshot,
    /// Half a tick has passed.
    Tick,
    /// The time of [`Quorum::deadline_ms`] has come.
    Deadline,
    /// A leader is to hand over as soon as a follower has the leader's whole log; if no follower has it in time, the
    /// leader stays. In another role nothing happens.
    HandOver,
    /// The process is to end, and takes no more requests. In every role [`Quorum::is_idle`] becomes true within
    /// `limits::HAND_OVER_MS` and the time of one write of the log; then the process may end, and nothing acknowledged
    /// is lost. Until then inputs must be given and work must be done. A second `Stop` does nothing.
    Stop,
}

/// Work to do outside.
#[derive(Default)]
pub(crate) struct Work {
    /// Write this; the bytes are in the log writer's buffer. Then give [`Input::Written`].
    pub write: Option<FrameWrite>,
    /// Prepare this segment for the log.
    pub segment: Option<SegmentRequest>,
    /// Write this snapshot.
    pub snapshot: Option<Box<SnapshotJob>>,
    /// For the other members and for this member's records, to be done in this order.
    pub effects: Vec<Effect>,
    /// Shards have a new batch to read.
    pub published: bool,
}

impl Quorum {
    /// A standalone server.
    pub(crate) fn lone(core: Core) -> Quorum {
        Quorum::Lone(Box::new(Lone::new(core)))
    }

    /// A member of an ensemble: it serves no client until it leads or follows.
    pub(crate) fn member(core: Core, options: EnsembleOptions) -> Quorum {
        Quorum::Member(Box::new(Member::new(core, options)))
    }

    /// Begins a turn: with the present time and a new budget. Work that the last turn left over continues before new
    /// requests ([`Input::Inbound`]), and in [`Quorum::ready`] at the latest; a write that is on disk does not wait for it.
    pub(crate) fn begin(&mut self, clock: Clock) {
        self.core_mut().begin(clock);
    }

    fn carry_on(&mut self) {
        match self {
            Quorum::Lone(lone) => lone.carry_on(),
            Quorum::Member(member) => member.carry_on(),
        }
    }

    /// Takes in one event.
    pub fn step(&mut self, input: Input<'_>) {
        if matches!(input, Input::Inbound(_)) {
            self.carry_on();
        }
        match input {
            Input::Segment(segment) => self.core_mut().log().segment_ready(segment),
            Input::Snapshot { zxid, reader, took_ms } => self.core_mut().snapshot_done(zxid, reader, took_ms),
            Input::Log(log) => self.core_mut().continue_log(log),
            Input::WantSnapshot => {
                let serves = self.serves();
                self.core_mut().capture_snapshot(serves);
            }
            input => match self {
                Quorum::Lone(lone) => match input {
                    Input::Inbound(inbound) => lone.handle(inbound),
                    Input::Written => lone.written(),
                    Input::Tick => lone.tick(),
                    Input::Deadline => lone.elapse(),
                    _ => {}
                },
                Quorum::Member(member) => match input {
                    Input::Inbound(inbound) => member.handle(inbound),
                    Input::Written => member.written(),
                    Input::Tick => member.tick(),
                    Input::Deadline => member.elapse(),
                    Input::Peer(input) => member.peer(input),
                    Input::HandOver => member.hand_over(),
                    Input::Stop => member.begin_stop(),
                    _ => {}
                },
            },
        }
    }

    /// The work to do outside now. To be called until there is none, because work that was done may lead to more.
    /// `may_write`: false to let more transactions gather for the log's next write.
    #[inline]
    pub(crate) fn ready(&mut self, may_write: bool) -> Work {
        self.carry_on();
        let write = if may_write { self.next_write() } else { None };
        if self.core().is_snapshot_due() {
            let serves = self.serves();
            self.core_mut().capture_snapshot(serves);
        }
        let core = self.core_mut();
        let segment = core.log().needs_segment();
        let snapshot = core.take_snapshot_job();
        while self.core_mut().publish_answers() {
            self.work();
        }
        let effects = match self {
            Quorum::Lone(_) => vec![],
            Quorum::Member(member) => member.take_effects(),
        };
        Work { write, segment, snapshot, effects, published: self.core_mut().take_published() }
    }

    fn next_write(&mut self) -> Option<FrameWrite> {
        let (write, has_group) = self.core_mut().next_write()?;
        if has_group {
            // There is room again.
            self.work();
        }
        Some(write)
    }

    fn work(&mut self) {
        match self {
            Quorum::Lone(lone) => lone.work(),
            Quorum::Member(member) => member.work(),
        }
    }

    fn core(&self) -> &Core {
        match self {
            Quorum::Lone(lone) => &lone.core,
            Quorum::Member(member) => &member.core,
        }
    }

    fn core_mut(&mut self) -> &mut Core {
        match self {
            Quorum::Lone(lone) => &mut lone.core,
            Quorum::Member(member) => &mut member.core,
        }
    }

    /// A cursor into the sequence, for a shard.
    pub(crate) fn cursor(&self) -> Cursor {
        self.core().cursor()
    }

    /// The state at its head.
    pub fn state(&self) -> &State {
        self.core().state()
    }

    /// The log's writing end: the edge needs its buffers for the writes.
    pub fn log(&mut self) -> &mut LogWriter {
        self.core_mut().log()
    }

    /// The latest time by which [`Input::Deadline`] must be given, monotonic ms.
    #[inline]
    pub(crate) fn deadline_ms(&self) -> Option<i64> {
        match self {
            Quorum::Lone(lone) => lone.core.deadline_ms(),
            Quorum::Member(member) => member.deadline_ms(),
        }
    }

    /// Whether nothing waits for the next turn: the edge may sleep until the next event.
    pub fn may_sleep(&self) -> bool {
        self.core().may_sleep()
    }

    /// Whether nothing waits for the disk or for a shard: the server may stop. A member of an ensemble must get
    /// [`Input::Stop`] first.
    pub(crate) fn is_idle(&self) -> bool {
        match self {
            Quorum::Lone(lone) => lone.core.is_at_rest(true),
            Quorum::Member(member) => member.is_idle(),
        }
    }

    /// Whether more bytes from the leader may be taken in.
    pub(crate) fn takes_from_leader(&self) -> bool {
        match self {
            Quorum::Lone(_) => true,
            Quorum::Member(member) => member.takes_from_leader(),
        }
    }

    /// The reason to end the process, if a shard was stalled at the last tick.
    pub(crate) fn stalled_shard(&self) -> Option<Fatal> {
        self.core().stalled_shard()
    }

    /// This member's state in its ensemble; `None` if the server is standalone.
    pub fn server_state(&self) -> Option<ServerState> {
        match self {
            Quorum::Lone(_) => None,
            Quorum::Member(member) => Some(member.server_state()),
        }
    }

    /// Whether clients are served.
    pub fn serves(&self) -> bool {
        match self {
            Quorum::Lone(_) => true,
            Quorum::Member(member) => member.serves(),
        }
    }

    /// What this turn has cost so far.
    pub fn spent(&self) -> Cost {
        self.core().spent()
    }

    /// The zxid of the newest snapshot, or of the state the server started from.
    #[cfg(test)]
    pub(crate) fn last_snapshot(&self) -> Zxid {
        self.core().last_snapshot()
    }

    /// On a follower: bytes of requests that the leader has. On a leader: bytes of requests that learners have
    /// forwarded.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn bytes_under_way(&self) -> usize {
        match self {
            Quorum::Lone(_) => 0,
            Quorum::Member(member) => member.bytes_under_way(),
        }
    }
}

#[cfg(test)]
impl Quorum {
    /// As if the start had replayed so many transactions.
    pub(crate) fn count_replayed(&mut self, txns: u64) {
        self.core_mut().count_replayed(txns);
    }

    /// Bytes of requests that wait to be prepared or forwarded.
    pub(crate) fn backlog_bytes(&self) -> usize {
        self.core().backlog.bytes()
    }

    /// Bytes of transactions that are proposed and not committed.
    pub(crate) fn uncommitted_bytes(&self) -> usize {
        self.core().proposals.bytes()
    }

    /// On a leader: how many sessions are connected to learners.
    pub(crate) fn owned_sessions(&self) -> usize {
        match self {
            Quorum::Lone(_) => 0,
            Quorum::Member(member) => member.owned_sessions(),
        }
    }
}
