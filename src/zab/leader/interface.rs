//! The interface of a leader: its options, inputs and outputs, and the reasons for which it ends connections or its role.

use super::peer::PeerId;
use crate::config::Settings;
use crate::ids::{SessionId, Zxid};
use crate::jute::quorum::{Packet, PacketType, Touch};
use crate::zab::agreed::Agreed;
use crate::zab::epochs::Epochs;
use crate::zab::history::Txn;
use crate::zab::message::{After, Auth, Gated, Message};
use crate::zab::voters::{ServerId, Voters};
use std::fmt;
use std::sync::Arc;

/// The options that a leader begins with.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub id: ServerId,
    pub tick_ms: i64,
    /// Ticks for each phase until the leader is established, and for a learner's synchronisation.
    pub init_limit: i64,
    /// Ticks a learner may be silent, or leave a proposal unacknowledged.
    pub sync_limit: i64,
    /// Whether the first established leader gives the configuration of the files a version.
    pub reconfig_enabled: bool,
    /// How long it waits for a quorum, and how learners are synchronised.
    pub settings: Arc<Settings>,
    /// Connections of learners; more are dropped.
    pub max_peers: usize,
    /// The most syncs that may wait for their answer; with more, a learner is disconnected and a client refused.
    pub max_syncs: usize,
    /// Transactions proposed and not committed; [`super::Proposal`]s beyond are refused.
    pub max_outstanding: usize,
    /// The counter of an epoch's last transaction.
    pub last_counter: u32,
    /// The newest epoch that a voter said it had promised, when this server tried to lead before: that epoch was in the way.
    pub heard_epoch: i64,
    /// The agreement with earlier leaders, or the initial one. `None`: no learner is told any.
    pub agreed: Option<Agreed>,
    /// ZooKeepers are going to join: new sessions get ZooKeeper's passwords, whatever the present members are.
    pub zookeeper_passwords: bool,
}

impl Options {
    /// ZooKeeper's defaults.
    pub(crate) fn new(id: ServerId, tick_ms: i64, init_limit: i64, sync_limit: i64) -> Self {
        Options {
            id,
            tick_ms,
            init_limit,
            sync_limit,
            reconfig_enabled: false,
            settings: Arc::default(),
            max_peers: 1024,
            max_syncs: 100_000,
            max_outstanding: 100_000,
            last_counter: Zxid::LAST_COUNTER,
            heard_epoch: 0,
            agreed: None,
            zookeeper_passwords: false,
        }
    }
}

/// The inputs of a leader.
#[derive(Debug)]
pub(crate) enum Input<'a> {
    /// A connection to the quorum port is established (and authenticated, where that is asked for).
    Connected(PeerId),
    /// It has sent this.
    Packet(PeerId, Packet<'a>),
    /// It is gone, or its unsent bytes have passed their limit.
    Disconnected(PeerId),
    /// Part of a snapshot has gone out.
    SnapshotProgress(PeerId),
    /// SNAP, the whole stream and its signature have been handed to the connection. The snapshot was of
    /// this zxid, which is committed.
    SnapshotSent(PeerId, Zxid),
    /// What [`Output::ReadLog`] asked for, or the beginning of it.
    LogRead(PeerId, LogPart),
    /// This server's own log holds everything up to this zxid.
    LogDurable(Zxid),
    /// These epochs are on disk.
    EpochsDurable(Epochs),
    /// A client of this server asked for sync.
    Sync { tag: u64 },
    /// A learner asked for sync, and all its earlier requests are proposed. The learner gets no commit of a later request
    /// before the sync's answer.
    LearnerSync(PeerId),
    /// Whether a session lives that a learner asked about by [`Output::Revalidate`].
    Revalidated { peer: PeerId, session: SessionId, valid: bool },
    /// This server must hand over leadership.
    HandOver,
    /// Time has passed: at least every half tick.
    Tick,
}

/// The transactions that [`Output::ReadLog`] asked for, or the first part of them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LogPart {
    /// In order; the first is the last transaction at or below the requested zxid. Empty if the log does not have that one.
    pub txns: Vec<Txn>,
    /// Whether `txns` goes up to the requested end.
    pub whole: bool,
    /// Bytes of the log from the requested zxid to the log's end.
    pub log_bytes: u64,
    /// Bytes of the newest snapshot; 0 if there is none.
    pub snapshot_bytes: u64,
}

/// A transaction to be agreed on.
#[derive(Clone, Debug)]
pub(crate) struct Proposal {
    /// [`super::Leader::next_zxid`].
    pub zxid: Zxid,
    pub bytes: Arc<[u8]>,
    /// The new configuration if the transaction is a reconfiguration; its version is `zxid`.
    pub config: Option<Voters>,
}

/// Why a proposal was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ProposeError {
    /// The leader is not established, or its role is over.
    NotLeading,
    /// Another server is to lead under the new configuration.
    HandedOver,
    /// The zxid is not the one after the last proposal's: no two proposals have the same zxid, and no zxid is left out.
    NotNext { expected: Zxid },
    /// The epoch has no further zxid: the next one begins soon, or the role ends.
    CounterExhausted,
    /// One reconfiguration at a time.
    ReconfigInProgress,
    /// Too many proposals are not committed.
    TooManyOutstanding,
}

impl fmt::Display for ProposeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProposeError::NotLeading => f.write_str("this server does not lead"),
            ProposeError::HandedOver => f.write_str("another server is to lead"),
            ProposeError::NotNext { expected } => write!(f, "the next zxid is {expected}"),
            ProposeError::CounterExhausted => f.write_str("the epoch has no further zxid"),
            ProposeError::ReconfigInProgress => f.write_str("a reconfiguration is under way"),
            ProposeError::TooManyOutstanding => f.write_str("too many proposals are not committed"),
        }
    }
}

impl std::error::Error for ProposeError {}

/// What a leader asks for, to be done in order.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Output {
    /// Send this packet; nothing if the connection is gone by then.
    Send { to: PeerId, message: Message, after: After },
    /// Close this connection; later inputs from it are ignored.
    Drop { peer: PeerId, reason: DropReason },
    /// Write these epochs.
    WriteEpochs { epochs: Epochs, after: After },
    /// Write this agreement to disk, before any later write.
    Agreed(Agreed),
    /// Append this to the log.
    Append(Txn),
    /// Send SNAP, a snapshot's stream and its signature, then say [`Input::SnapshotSent`]. The snapshot is of
    /// a committed zxid. What follows one older than `at_least` is read from the log. Nothing else is sent there meanwhile.
    StreamSnapshot { to: PeerId, at_least: Zxid },
    /// Read from the log on disk: the last transaction at or below `after` and those that follow up to `upto`, as many
    /// as are read at a time, when what this learner was sent before has left. Answered by [`Input::LogRead`].
    ReadLog { peer: PeerId, after: Zxid, upto: Zxid },
    /// A quorum follows: clients may be served. What the log holds is committed, and clients are shown
    /// the epoch's first zxid at least.
    Established { epoch: i64 },
    /// The next epoch has begun under the same leader: clients are shown its first zxid at least.
    RolledOver { epoch: i64 },
    /// Everything up to this zxid is committed.
    Commit { upto: Zxid },
    /// This configuration is agreed on, and this server is to lead under it.
    Activate { config: Voters, designated: ServerId, zxid: Zxid },
    /// A learner forwards a client's request (also sync).
    Request { peer: PeerId, session: SessionId, cxid: i32, op: i32, body: Vec<u8>, auth: Auth },
    /// A learner asks whether a session lives; from then on it is that learner's.
    Revalidate { peer: PeerId, session: SessionId, timeout_ms: i32 },
    /// A learner has heard of these sessions.
    Touched { peer: PeerId, touches: Vec<Touch> },
    /// A sync of a client of this server is answered, after all commits named before.
    Synced { tag: u64 },
    /// A sync was refused: too many wait.
    SyncRefused { tag: u64 },
    /// The role is over: back to the election.
    StepDown(StepDown),
}

impl Gated for Output {
    fn after(&self) -> After {
        match self {
            Output::Send { after, .. } | Output::WriteEpochs { after, .. } => *after,
            _ => After::Nothing,
        }
    }

    fn restarts_log(&self) -> bool {
        false
    }
}

/// Why a leader no longer leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StepDown {
    /// No quorum of voters came within initLimit.
    NobodyCame,
    /// No quorum promised the new epoch within initLimit.
    NoPromises,
    /// No quorum acknowledged NEWLEADER within initLimit.
    NotAcknowledged,
    /// The log of a voter is ahead of this server's: that voter should lead.
    VoterIsAhead { voter: ServerId, epoch: i64, last: Zxid },
    /// A voter has promised a newer epoch and cannot follow.
    VoterPromisedMore { voter: ServerId, accepted: i64 },
    /// The last possible epoch is used up.
    EpochsExhausted,
    /// The epoch's last zxid is used up, and a learner does not support roll-overs: an election brings a new epoch.
    CounterExhausted,
    /// The epoch's last zxid is used up, and the next epoch did not begin within syncLimit.
    RollOverLate,
    /// No quorum of voters has been heard of within syncLimit.
    LostQuorum,
    /// An input asked it to hand over: [`Input::HandOver`].
    Told,
    /// Another server leads under the configuration that was agreed on, and the learners have gone there, or had the
    /// time to.
    HandedOver { to: ServerId },
}

impl fmt::Display for StepDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StepDown::NobodyCame => f.write_str("no quorum of voters came within initLimit"),
            StepDown::NoPromises => f.write_str("no quorum of voters promised the new epoch within initLimit"),
            StepDown::NotAcknowledged => f.write_str("no quorum of voters was brought up to date within initLimit"),
            StepDown::VoterIsAhead { voter, epoch, last } => {
                write!(f, "server {voter} is ahead: epoch {epoch}, last transaction {last}")
            }
            StepDown::VoterPromisedMore { voter, accepted } => {
                write!(f, "server {voter} has promised the newer epoch {accepted}")
            }
            StepDown::EpochsExhausted => f.write_str("there is no further epoch"),
            StepDown::CounterExhausted => {
                f.write_str("the epoch has no further zxid, and a learner does not roll over")
            }
            StepDown::RollOverLate => f.write_str("the next epoch did not begin within syncLimit"),
            StepDown::Told => f.write_str("another server is to lead"),
            StepDown::LostQuorum => f.write_str("no quorum of voters was heard of within syncLimit"),
            StepDown::HandedOver { to } => write!(f, "server {to} is to lead under the new configuration"),
        }
    }
}

/// Why a learner's connection is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DropReason {
    TooManyPeers,
    /// Its first packet is neither FOLLOWERINFO nor OBSERVERINFO, or cannot be decoded.
    BadIntroduction,
    /// It speaks a protocol from before 3.4.
    OldProtocol(i32),
    /// It says it is this server.
    SaysItIsMe,
    /// It acts by a configuration newer than the leader's.
    ConfigAhead(i64),
    /// The learner's accepted epoch is out of range: no epoch above it is left.
    EpochOutOfRange(i64),
    /// The accepted epoch that the learner states is implausibly far ahead of this server's own.
    EpochImplausible {
        accepted: i64,
        own: i64,
    },
    /// On a second connection, the learner states a newer accepted epoch than the one in which it follows here.
    ContradictsItself(i64),
    /// Another connection of the same server came.
    Replaced,
    /// A packet that is not allowed in this phase of synchronisation.
    Unexpected(PacketType),
    /// The data of a packet cannot be decoded.
    Malformed(PacketType),
    /// It acknowledged another NEWLEADER.
    WrongNewLeader(Zxid),
    /// It acknowledged a proposal before those sent earlier, or one that was never sent.
    AckOutOfOrder(Zxid),
    /// A request that no learner forwards for a client: without a session, a createSession without a timeout, or an operation
    /// that clients do not send to a leader.
    NotForwarded {
        op: i32,
    },
    /// The answer to a PING is not that of the oldest one.
    WrongPing(Zxid),
    /// Too many learners are being synchronised.
    TooManySyncs,
    /// The snapshot that it was sent is of a zxid that is not committed.
    SnapshotUnusable(Zxid),
    /// The transactions after this zxid, which it lacks, are no longer in the log.
    RestMissing(Zxid),
    /// It has not been heard of in time.
    Silent,
    /// It has not acknowledged a proposal within syncLimit.
    SlowToAcknowledge(Zxid),
    /// It was not synchronised when the epoch's last zxid was used up.
    EpochIsOver,
    /// It promised the next epoch, but its log does not end where this epoch ended.
    OutOfStep(Zxid),
    /// It has more syncs waiting than allowed.
    TooManySyncRequests,
    /// The leader's role is over.
    SteppedDown,
}

/// How many learners a leader has, as ZooKeeper counts them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Census {
    /// Connections, whatever their state.
    pub learners: usize,
    /// Followers that have acknowledged NEWLEADER, those without a vote included.
    pub synced_followers: usize,
    pub synced_non_voting: usize,
    pub synced_observers: usize,
    /// Syncs that wait for their answer.
    pub pending_syncs: usize,
}
