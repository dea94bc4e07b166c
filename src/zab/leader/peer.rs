//! What a leader knows of one connection to its quorum port.

use crate::ids::Zxid;
use crate::zab::agreed::Agreed;
use crate::zab::voters::ServerId;
use std::collections::VecDeque;

/// One connection of a learner, as the edge numbers them: a number is never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PeerId(pub u64);

/// What the learner asked to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LearnerKind {
    /// Gets PROPOSAL and COMMIT and acknowledges. Counts if it is a voter; others may follow, too.
    Follower,
    /// Gets INFORM.
    Observer,
}

/// How far a learner has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Connected, and has said nothing yet.
    Silent,
    /// Has introduced itself; its ACKEPOCH is awaited, once LEADERINFO has been sent.
    Introduced { asked: bool },
    /// Has promised and stands at this zxid; a quorum of promises is awaited.
    Promised { last: Zxid },
    /// Whether the log on disk, up to `upto`, reaches back to where it stands is being found out.
    ReadingLog { last: Zxid, upto: Zxid },
    /// A snapshot is being sent to it.
    Streaming,
    /// Has been sent a snapshot, or transactions, up to `sent`; what it lacks from there to `upto` is being read from
    /// the log on disk.
    ReadingRest { sent: Zxid, upto: Zxid },
    /// Has been sent what it lacks, and NEWLEADER, and gets what is proposed. Its first ACK is awaited.
    Joined,
    /// Has acknowledged NEWLEADER; UPTODATE waits until the leader is established.
    Synced,
    /// Has been sent UPTODATE.
    Active,
}

/// A proposal that a follower has been sent and has not acknowledged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unacked {
    pub(crate) zxid: Zxid,
    pub(crate) sent_ms: i64,
}

/// A PING on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct PingSent {
    pub(crate) round: u64,
    pub(crate) zxid: Zxid,
    pub(crate) sent_ms: i64,
}

#[derive(Debug)]
pub(super) struct Peer {
    pub(crate) server: ServerId,
    pub(crate) kind: LearnerKind,
    pub(crate) stage: Stage,
    /// Silent beyond this time, it is dropped. `i64::MAX` while it is this server's turn to speak.
    pub(crate) deadline_ms: i64,
    /// Heard of lately enough to count for the leader's own liveness.
    pub(crate) synced_until_ms: i64,
    /// When it acknowledged NEWLEADER.
    pub(crate) synced_since_ms: i64,
    /// In the order they were sent: the one order in which it may acknowledge them.
    pub(crate) unacked: VecDeque<Unacked>,
    /// The last commit when the learner was sent NEWLEADER. A follower is told of later commits after UPTODATE.
    pub(crate) told: Zxid,
    /// The reconfigurations among the later commits, with their designated leaders.
    pub(crate) held_activations: Vec<(Zxid, ServerId)>,
    /// PINGs after the learner's first UPTODATE: it answers only these. A learner that does not answer one within syncLimit
    /// is dropped.
    pub(crate) pings: VecDeque<PingSent>,
    /// A snapshot is part of its synchronisation.
    pub(crate) by_snapshot: bool,
    /// It has announced that it goes over into another epoch with an established leader.
    pub(crate) knows_roll_over: bool,
    /// It has announced that it is to be told what is agreed on.
    pub(crate) knows_secrets: bool,
    /// The secret in use that it has said it has.
    pub(crate) has_used: Option<Agreed>,
    /// It has been sent UPTODATE, in this epoch or one before, and serves clients.
    pub(crate) serves: bool,
    /// Its syncs that wait for a round of PINGs, or for what was proposed before them.
    pub(crate) syncs_waiting: usize,
    /// The learner's syncs that are due and wait for UPTODATE: before that it does not show what it was sent.
    pub(crate) syncs_due: usize,
}

impl Peer {
    pub(super) fn new(deadline_ms: i64, synced_until_ms: i64) -> Self {
        Peer {
            server: ServerId(i64::MIN),
            kind: LearnerKind::Follower,
            stage: Stage::Silent,
            deadline_ms,
            synced_until_ms,
            synced_since_ms: i64::MAX,
            unacked: VecDeque::new(),
            told: Zxid::ZERO,
            held_activations: vec![],
            pings: VecDeque::new(),
            by_snapshot: false,
            knows_roll_over: false,
            knows_secrets: false,
            has_used: None,
            serves: false,
            syncs_waiting: 0,
            syncs_due: 0,
        }
    }

    /// The learner was heard of, and counts as alive until then. The time allowed for its synchronisation is longer than the
    /// time that one packet adds (ZooKeeper 3.9: initLimit + syncLimit).
    pub(crate) fn counts_until(&mut self, until_ms: i64) {
        self.synced_until_ms = self.synced_until_ms.max(until_ms);
    }

    /// Has acknowledged NEWLEADER, in this epoch or one before.
    pub(crate) fn is_synced(&self) -> bool {
        self.serves || self.stage == Stage::Synced
    }

    /// Gets what is proposed from now on, and what is committed: a follower once it has been sent UPTODATE.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Joined | Stage::Synced | Stage::Active)
    }

    /// Is between its promise and its first ACK.
    pub(crate) fn is_syncing(&self) -> bool {
        matches!(self.stage, Stage::ReadingLog { .. } | Stage::Streaming | Stage::ReadingRest { .. } | Stage::Joined)
    }
}
