//! A learner: a follower or an observer, from the election that named its leader until it leaves.
//!
//! `handshake` introduces it, promises the leader's epoch, takes in what it lacks and acknowledges
//! NEWLEADER: its log durable, then its epoch, then the acknowledgement. `stream` is the order of
//! transactions: what may follow what, and what a commit must match. `requests` is what goes to the leader
//! for this server's clients, and what comes back. `rollover` takes it along into the leader's next epoch.
//!
//! All a learner does is in its [`Output`]s, to be done in their order through a `Gate`, which keeps those
//! that wait. Whatever the leader sends, the worst that comes of it is [`Output::Leave`] with its reason.
//! (ZooKeeper 3.9: `Learner`, `Follower`, `Observer`.)

mod handshake;
mod requests;
mod rollover;
mod stream;

pub use requests::NotActive;

use crate::ids::{SessionId, Zxid};
use crate::jute::quorum::{LearnerInfo, PROTOCOL_CORRAL, PROTOCOL_SECRETS, Packet, PacketType};
use crate::limits;
use crate::session::SessionSecret;
use crate::zab::agreed::Agreed;
use crate::zab::epochs::{Epochs, first_zxid};
use crate::zab::history::{History, Txn};
use crate::zab::leader::LearnerKind;
use crate::zab::message::{After, Gated, Message};
use crate::zab::voters::{ServerId, Voters};
use std::collections::VecDeque;
use std::fmt;
use stream::Pending;

/// What a learner is told once.
#[derive(Clone, Debug)]
pub struct Options {
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
    /// What it announces to speak: from [`PROTOCOL_CORRAL`] on it knows of roll-overs, from [`PROTOCOL_SECRETS`] on of what
    /// is agreed on beside transactions.
    pub protocol: i32,
    /// The secret this server has, if sessions have been under it.
    pub used_secret: Option<SessionSecret>,
    /// Bytes of transactions that are proposed and not committed; a leader that sends more is left.
    pub max_pending_bytes: usize,
    /// Syncs that wait for the leader; more are refused.
    pub max_syncs: usize,
}

impl Options {
    /// The usual limits.
    pub fn new(id: ServerId, kind: LearnerKind, tick_ms: i64, init_limit: i64, sync_limit: i64) -> Self {
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

/// What happens to a learner. What its clients want is told it by methods of its own.
#[derive(Debug)]
pub enum Input<'a> {
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
pub enum Output {
    /// Send this packet to the leader.
    Send { message: Message, after: After },
    /// Write these epochs.
    WriteEpochs { epochs: Epochs, after: After },
    /// Cut the log, and the state with it, after this zxid.
    Truncate { to: Zxid },
    /// This is agreed on from now on, or that the leader does not know of such a thing: write it down, before whatever is
    /// written after it.
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
    /// Everything up to this zxid is committed. The first comes just before [`Output::Serve`], and is shown to
    /// nobody before that.
    Commit { upto: Zxid },
    /// A configuration was proposed: it is the last one seen.
    ConfigSeen(Voters),
    /// This configuration is agreed on. `designated` is to lead under it: `None` where nothing was said.
    Activate { config: Voters, designated: Option<ServerId> },
    /// This server is up to date with an established leader: it may serve clients, and shows them the epoch's
    /// first zxid at least.
    Serve { epoch: i64, after: After },
    /// Say with [`Learner::touched`] which sessions were heard of, for the answer to this PING.
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
pub enum LeaveReason {
    /// The connection is gone.
    Closed,
    /// The leader has been silent for initLimit or syncLimit.
    Silent,
    /// A packet that has no place here.
    Unexpected(PacketType),
    /// The data of a packet cannot be decoded, or says another zxid than the packet.
    Malformed(PacketType),
    /// The leader's protocol is from before 3.4.
    OldProtocol(i32),
    /// This server has promised a newer epoch.
    EpochBehind { leader: i64, accepted: i64 },
    /// An epoch that is none.
    EpochOutOfRange(i64),
    /// An epoch further ahead of this server's own than any course of things takes it.
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
    /// More is proposed and not committed than this server holds.
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

/// Where the learner stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// LEADERINFO is awaited.
    Introduced,
    /// DIFF, TRUNC or SNAP is awaited.
    Promised,
    /// A snapshot is coming.
    Receiving {
        zxid: Zxid,
    },
    /// Takes in what it lacks; NEWLEADER is awaited.
    Syncing,
    /// Has acknowledged NEWLEADER, or will when it is durable; UPTODATE is awaited.
    Acknowledged,
    Active,
    Over,
}

/// A learner. See the module's text.
pub struct Learner {
    options: Options,
    /// As they will be on disk when everything asked for has been written.
    epochs: Epochs,
    history: History,
    stage: Stage,
    deadline_ms: i64,
    /// The leader's epoch.
    epoch: i64,
    /// It has been up to date with its leader, and serves from then on.
    serves: bool,
    /// How far it is known, from this role or before, that transactions are committed.
    committed: Zxid,
    /// How far this server's log is known to be the leader's, and is committed once the leader is established.
    agreed: Zxid,
    /// The zxid of the state held aside, until it is this server's own.
    staged: Option<Zxid>,
    /// The zxid of the snapshot that came: proposals at or below it may follow it and are in it already.
    snapshot: Option<Zxid>,
    /// Proposed and not committed, in order.
    pending: VecDeque<Pending>,
    pending_bytes: usize,
    /// Proposals before UPTODATE that are to be acknowledged after it.
    unacked: VecDeque<Zxid>,
    /// What NEWLEADER said, to be activated by UPTODATE.
    new_config: Option<Voters>,
    /// The leader has said what is agreed on, since this server promised its epoch.
    is_told: bool,
    /// Syncs on their way, in order.
    syncs: VecDeque<u64>,
}

impl Learner {
    /// A server that found its leader and is connected to its quorum port. `history` ends where the log ends,
    /// all of it durable, as are `epochs`; everything up to `committed` is known to be committed.
    pub fn new(
        options: Options,
        epochs: Epochs,
        history: History,
        committed: Zxid,
        now: i64,
        out: &mut Vec<Output>,
    ) -> Self {
        assert!(history.last().epoch() <= epochs.current && epochs.current <= epochs.accepted, "{epochs:?}");
        assert!(committed <= history.last(), "{committed} is not in the log");
        let mut data = vec![];
        let server = if options.id.0 < 0 { i64::MAX } else { options.id.0 };
        LearnerInfo { server, protocol: options.protocol, config_version: options.config_version }.put(&mut data);
        let kind = match options.kind {
            LearnerKind::Follower => PacketType::FollowerInfo,
            LearnerKind::Observer => PacketType::ObserverInfo,
        };
        let message = Message::with(kind, first_zxid(epochs.accepted), data);
        out.push(Output::Send { message, after: After::Nothing });
        Learner {
            deadline_ms: now + options.init_limit * options.tick_ms,
            options,
            epochs,
            history,
            stage: Stage::Introduced,
            epoch: 0,
            serves: false,
            committed,
            agreed: Zxid::ZERO,
            staged: None,
            snapshot: None,
            pending: VecDeque::new(),
            pending_bytes: 0,
            unacked: VecDeque::new(),
            new_config: None,
            is_told: false,
            syncs: VecDeque::new(),
        }
    }

    /// Takes one input. `now` is monotonic, in milliseconds.
    pub fn step(&mut self, input: Input<'_>, now: i64, out: &mut Vec<Output>) {
        if self.stage == Stage::Over {
            return;
        }
        let taken = match input {
            Input::Packet(packet) => self.packet(&packet, now, out),
            Input::Closed => Err(LeaveReason::Closed),
            Input::Progress => {
                self.heard(now);
                Ok(())
            }
            Input::SnapshotReceived => {
                self.heard(now);
                self.snapshot_received();
                Ok(())
            }
            Input::SnapshotFailed => match self.stage {
                Stage::Receiving { zxid } => Err(LeaveReason::BadSnapshot(zxid)),
                _ => Ok(()),
            },
            Input::Tick if now > self.deadline_ms => Err(LeaveReason::Silent),
            Input::Tick => Ok(()),
        };
        if let Err(reason) = taken {
            self.stage = Stage::Over;
            out.push(Output::Leave(reason));
        }
    }

    /// Whether this server is up to date with an established leader.
    pub fn is_active(&self) -> bool {
        self.stage == Stage::Active
    }

    /// Whether the role has ended.
    pub fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// The last transaction that is known to be committed.
    pub fn committed(&self) -> Zxid {
        self.committed
    }

    /// The epochs as they are on disk when everything asked for has been written.
    pub fn epochs(&self) -> Epochs {
        self.epochs
    }

    /// The leader's epoch, once it has named one.
    pub fn leader_epoch(&self) -> i64 {
        self.epoch
    }

    /// Ends the role and gives back the log's end. All writes of the role must have ended; what a gate still
    /// held is void, an epoch among it: what counts then is what is on disk, judged by [`Epochs::at_start`].
    pub fn into_history(self) -> History {
        self.history
    }

    fn packet(&mut self, packet: &Packet<'_>, now: i64, out: &mut Vec<Output>) -> Result<(), LeaveReason> {
        self.heard(now);
        match (self.stage, packet.kind) {
            (Stage::Introduced, PacketType::LeaderInfo) => self.leader_info(packet, out),
            (Stage::Promised, PacketType::Diff | PacketType::Trunc | PacketType::Snap) => self.sync_begins(packet, out),
            (Stage::Active, PacketType::LeaderInfo) => self.rolls_over(packet, out),
            (Stage::Introduced | Stage::Promised | Stage::Receiving { .. }, _) => self.out_of_place(packet, out),
            (Stage::Syncing, PacketType::NewLeader) => self.new_leader(packet, now, out),
            (Stage::Acknowledged, PacketType::UpToDate) => self.up_to_date(out),
            (Stage::Syncing | Stage::Acknowledged | Stage::Active, kind) => match kind {
                PacketType::Proposal => self.proposal(packet, out),
                PacketType::Commit | PacketType::CommitAndActivate => self.commit(packet, out),
                PacketType::Inform | PacketType::InformAndActivate => self.inform(packet, out),
                PacketType::Ping | PacketType::Revalidate | PacketType::Sync => self.answered(packet, out),
                PacketType::Agreed if self.knows_secrets() => self.agreed(packet, out),
                // ZooKeeper 3.9 logs what it does not know and reads on.
                PacketType::Agreed | PacketType::Other(_) => Ok(()),
                kind => Err(LeaveReason::Unexpected(kind)),
            },
            (Stage::Over, _) => Ok(()),
        }
    }

    /// What is agreed on. What follows it, NEWLEADER at first, is acknowledged when it is written down. The leader may know of no
    /// secret that was ever used where this server does.
    fn agreed(&mut self, packet: &Packet<'_>, out: &mut Vec<Output>) -> Result<(), LeaveReason> {
        let mut agreed = packet.data.and_then(Agreed::decode).ok_or(LeaveReason::Malformed(packet.kind))?;
        self.is_told = true;
        if agreed.used {
            self.options.used_secret = Some(agreed.secret);
        } else if let Some(secret) = self.options.used_secret {
            agreed = Agreed { secret, everywhere: false, used: true };
            let mut data = vec![];
            agreed.put(&mut data);
            self.send(Message::with(PacketType::Agreed, Zxid(-1), data), After::Nothing, out);
        }
        out.push(Output::Agreed(Some(agreed)));
        Ok(())
    }

    fn knows_secrets(&self) -> bool {
        self.options.protocol >= PROTOCOL_SECRETS
    }

    /// The leader has given a sign of life.
    fn heard(&mut self, now: i64) {
        let is_synced = self.serves || self.stage == Stage::Acknowledged;
        let limit = if is_synced { self.options.sync_limit } else { self.options.init_limit };
        self.deadline_ms = now + limit * self.options.tick_ms;
    }

    fn send(&self, message: Message, after: After, out: &mut Vec<Output>) {
        out.push(Output::Send { message, after });
    }
}
