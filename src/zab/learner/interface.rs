//! The interface of a learner: its options, inputs and outputs, and the reasons for which it leaves its leader.

use crate::ids::{SessionId, Zxid};
use crate::jute::quorum::{PROTOCOL_CORRAL, Packet, PacketType};
use crate::limits;
use crate::session::SessionSecret;
use crate::zab::agreed::Agreed;
use crate::zab::epochs::Epochs;
use crate::zab::history::Txn;
use crate::zab::leader::LearnerKind;
use crate::zab::message::{After, Gated, Message};
use crate::zab::voters::{ServerId, Voters};
use std::fmt;

/// The options that a learner begins with.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub id: ServerId,
    /// Observers neither vote nor acknowledge; a server that is not in the configuration may follow.
    pub kind: LearnerKind,
    pub tick_ms: i64,
    /// Ticks between two packets until the learner is synchronised.
    pub init_limit: i64,
    /// Ticks between two packets from then on.
    pub sync_limit: i64,
    /// The version of the configuration this server acts by.
    pub config_version: i64,
    /// The protocol version that it announces: from [`PROTOCOL_CORRAL`] on it supports roll-overs, from
    /// [`crate::jute::quorum::PROTOCOL_SECRETS`] on the agreement on session secrets.
    pub protocol: i32,
    /// This server's secret, if sessions have passwords under it.
    pub used_secret: Option<SessionSecret>,
    /// Bytes of transactions that are proposed and not committed; the learner leaves a leader that sends more.
    pub max_pending_bytes: usize,
    /// Syncs that wait for the leader; more are refused.
    pub max_syncs: usize,
}

impl Options {
    /// The usual limits.
    pub(crate) fn new(id: ServerId, kind: LearnerKind, tick_ms: i64, init_limit: i64, sync_limit: i64) -> Self {
        Options {
            id,
            kind,
            tick_ms,
            init_limit,
            sync_limit,
            config_version: 0,
            protocol: PROTOCOL_CORRAL,
            used_secret: None,
            max_pending_bytes: limits::learner_pending(0),
            max_syncs: 100_000,
        }
    }
}

/// The inputs of a learner. Its clients' requests come through methods of their own.
#[derive(Debug)]
pub(crate) enum Input<'a> {
    /// The leader has sent this.
    Packet(Packet<'a>),
    /// The connection to the leader is gone.
    Closed,
    /// Part of a packet or of the snapshot has come.
    Progress,
    /// The snapshot has come whole, with its signature, and is held aside.
    SnapshotReceived,
    /// The snapshot cannot be read, or lacks its signature.
    SnapshotFailed,
    /// Time has passed: at least every half tick.
    Tick,
}

/// What a learner asks for, to be done in order.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Output {
    /// Send this packet to the leader.
    Send { message: Message, after: After },
    /// Write these epochs.
    WriteEpochs { epochs: Epochs, after: After },
    /// Cut the log, and the state with it, after this zxid.
    Truncate { to: Zxid },
    /// Write this agreement to disk, before any later write; `None`: the leader does not support secrets.
    Agreed(Option<Agreed>),
    /// Append this to the log.
    Append(Txn),
    /// What follows on the connection is a snapshot of this zxid: read it into a state held aside, then say
    /// [`Input::SnapshotReceived`]. The packets behind it are to be given only then.
    ReceiveSnapshot { zxid: Zxid },
    /// Apply this to the state held aside: it is committed.
    Stage(Txn),
    /// The state held aside, of this zxid now, becomes this server's state, and its log goes on from there:
    /// write it down as a snapshot. It counts as durable log up to that zxid when it is.
    PersistSnapshot { zxid: Zxid },
    /// Everything up to this zxid is committed. The first one comes just before [`Output::Serve`], and is visible to clients
    /// only from then on.
    Commit { upto: Zxid },
    /// A configuration was proposed: it is the last one seen.
    ConfigSeen(Voters),
    /// This configuration is agreed on. `designated` is to lead under it: `None` where nothing was said.
    Activate { config: Voters, designated: Option<ServerId> },
    /// This server is up to date with an established leader: it may serve clients, and shows them the epoch's
    /// first zxid at least.
    Serve { epoch: i64, after: After },
    /// Say with [`super::Learner::touched`] which sessions were heard of, for the answer to this PING.
    CollectTouches { ping: Zxid },
    /// Whether a session that was asked about lives.
    Revalidated { session: SessionId, valid: bool },
    /// The sync of this tag is answered, after all commits named before.
    Synced { tag: u64 },
    /// The role is over: close the connection; back to the election.
    Leave(LeaveReason),
}

impl Gated for Output {
    fn after(&self) -> After {
        match self {
            Output::Send { after, .. } | Output::WriteEpochs { after, .. } | Output::Serve { after, .. } => *after,
            _ => After::Nothing,
        }
    }

    fn restarts_log(&self) -> bool {
        matches!(self, Output::Truncate { .. } | Output::PersistSnapshot { .. })
    }
}

/// Why a learner left its leader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LeaveReason {
    /// The connection is gone.
    Closed,
    /// The leader has been silent for initLimit or syncLimit.
    Silent,
    /// A packet that is not allowed at this stage.
    Unexpected(PacketType),
    /// The data of a packet cannot be decoded, or says another zxid than the packet.
    Malformed(PacketType),
    /// The leader's protocol is from before 3.4.
    OldProtocol(i32),
    /// This server has promised a newer epoch.
    EpochBehind { leader: i64, accepted: i64 },
    /// A number that is no valid epoch.
    EpochOutOfRange(i64),
    /// An epoch implausibly far ahead of this server's own.
    EpochImplausible { leader: i64, accepted: i64 },
    /// NEWLEADER of another epoch than the one promised, or a transaction of a later one.
    WrongEpoch(Zxid),
    /// NEWLEADER's or a reconfiguration's text is no configuration.
    BadConfig(PacketType),
    /// A transaction that does not follow the last one: something is missing.
    Hole { last: Zxid, got: Zxid },
    /// A commit of something other than the oldest proposal.
    CommitMismatch { expected: Option<Zxid>, got: Zxid },
    /// TRUNC beyond the log's end.
    NothingToTruncate { last: Zxid, to: Zxid },
    /// TRUNC or SNAP would take back what is known to be committed.
    BehindCommitted { committed: Zxid, to: Zxid },
    /// The log cannot be cut there.
    CannotTruncate(Zxid),
    /// The snapshot did not come whole.
    BadSnapshot(Zxid),
    /// More bytes are proposed and not committed than this server may hold.
    TooMuchPending,
}

impl fmt::Display for LeaveReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LeaveReason::Closed => f.write_str("the connection to the leader is gone"),
            LeaveReason::Silent => f.write_str("the leader has been silent"),
            LeaveReason::Unexpected(kind) => write!(f, "the leader sent {} out of place", kind.name()),
            LeaveReason::Malformed(kind) => write!(f, "the leader sent a malformed {}", kind.name()),
            LeaveReason::OldProtocol(version) => write!(f, "the leader speaks protocol {version:#x}"),
            LeaveReason::EpochBehind { leader, accepted } => {
                write!(f, "the leader's epoch {leader} is older than the accepted epoch {accepted}")
            }
            LeaveReason::EpochOutOfRange(epoch) => write!(f, "the leader's epoch {epoch} is none"),
            LeaveReason::EpochImplausible { leader, accepted } => write!(
                f,
                "the leader's epoch {leader} is implausibly far ahead of the accepted epoch {accepted} (docs/epochs.md)"
            ),
            LeaveReason::WrongEpoch(zxid) => write!(f, "the leader sent {zxid}, which is not of its epoch"),
            LeaveReason::BadConfig(kind) => write!(f, "the configuration in {} cannot be read", kind.name()),
            LeaveReason::Hole { last, got } => write!(f, "the leader sent {got} after {last}"),
            LeaveReason::CommitMismatch { expected: Some(expected), got } => {
                write!(f, "the leader committed {got} where {expected} is next")
            }
            LeaveReason::CommitMismatch { expected: None, got } => {
                write!(f, "the leader committed {got} without a proposal")
            }
            LeaveReason::NothingToTruncate { last, to } => write!(f, "told to cut at {to} a log that ends at {last}"),
            LeaveReason::BehindCommitted { committed, to } => {
                write!(f, "told to go back to {to} when {committed} is committed")
            }
            LeaveReason::CannotTruncate(to) => write!(f, "the log cannot be cut at {to}"),
            LeaveReason::BadSnapshot(zxid) => write!(f, "the snapshot of {zxid} did not come whole"),
            LeaveReason::TooMuchPending => f.write_str("too much is proposed and not committed"),
        }
    }
}

/// There is no leader to ask, or too much is asked already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NotActive;

impl fmt::Display for NotActive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no leader takes requests now")
    }
}

impl std::error::Error for NotActive {}
