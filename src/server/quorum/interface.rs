//! A member's options, its inputs ([`PeerInput`]) and its outputs ([`Effect`]).

use super::secrets::MemberSecrets;
use crate::config::Settings;
use crate::fatal::Fatal;
use crate::ids::Zxid;
use crate::jute::election::InitialMessage;
use crate::server::snapshot::SnapshotJob;
use crate::storage::log::seek::Stretch;
use crate::zab::agreed::Held;
use crate::zab::epochs::Epochs;
use crate::zab::history::{History, HistoryLimits};
use crate::zab::leader::{LogPart, PeerId};
use crate::zab::links::{Address, LinkId};
use crate::zab::voters::{Config, MemberAddress, MemberClient, ServerId};
use std::sync::Arc;

/// A member's options, fixed at its start.
#[derive(Clone, Debug)]
pub struct EnsembleOptions {
    /// This server (`myid`).
    pub id: ServerId,
    /// The configuration in the files: the agreed one and, if a reconfiguration was cut short, the proposed one.
    pub config: Config,
    /// The addresses of this server's election port, as announced to the others: at least one.
    pub election_addresses: Vec<Address>,
    /// The values of the keys of an ensemble, shared by everything that uses them.
    pub settings: Arc<Settings>,
    /// As on disk, and checked already ([`Epochs::at_start`]).
    pub epochs: Epochs,
    /// The end of the log, all of it durable.
    pub history: History,
    /// How much of the log's end is kept in memory.
    pub history_limits: HistoryLimits,
    /// False: the disk is new, and this server has no vote before it has followed a leader.
    pub has_database: bool,
    /// The largest transaction or request that is accepted from a peer, bytes.
    pub max_packet: usize,
    /// What session passwords are made from.
    pub secrets: MemberSecrets,
    /// The protocol version that this server announces as a learner. Below [`crate::jute::quorum::PROTOCOL_SECRETS`] it
    /// acts as a server without support for secrets.
    pub protocol: i32,
}

/// An event on the connections to other members, or the result of an [`Effect`].
#[derive(Debug)]
pub enum PeerInput<'a> {
    /// The connection that [`Effect::Dial`] asked for is open.
    Dialled {
        /// Whom it leads to.
        peer: ServerId,
        /// What it is called from now on.
        link: LinkId,
    },
    /// It could not be opened. Every dial ends in one or the other.
    DialFailed {
        /// Whom it was to lead to.
        peer: ServerId,
    },
    /// A server connected to the election port, and has introduced itself.
    Accepted {
        /// What the connection is called from now on.
        link: LinkId,
        /// Who it says it is.
        initial: InitialMessage<'a>,
    },
    /// Bytes of an election connection, behind the introduction.
    Received {
        /// Which connection.
        link: LinkId,
        /// What came, whole messages or not.
        bytes: &'a [u8],
    },
    /// The bytes of one [`Effect::Write`] have gone out.
    Written {
        /// Which connection.
        link: LinkId,
    },
    /// An election connection ended. Not needed after [`Effect::Close`], and harmless.
    Closed {
        /// Which connection.
        link: LinkId,
    },
    /// A server connected to the quorum port.
    Learner(PeerId),
    /// Bytes of a learner.
    FromLearner {
        /// Which connection.
        peer: PeerId,
        /// What came, whole packets or not.
        bytes: &'a [u8],
    },
    /// A learner's connection ended.
    LearnerGone(PeerId),
    /// The connection of [`Effect::DialLeader`] is open.
    Leader,
    /// It could not be opened.
    NoLeader,
    /// Bytes of the leader, whole packets or not.
    FromLeader(&'a [u8]),
    /// The connection to the leader ended.
    LeaderGone,
    /// The epochs of [`Record::Epochs`] are on disk.
    EpochsWritten(Epochs),
    /// The files have the configuration of the [`Record::Config`] of this number. Or they cannot be written, which the
    /// edge has logged: ZooKeeper continues without them, too.
    ConfigWritten(u64),
    /// The log was truncated after this zxid, and its writer continues from there.
    LogCut(Zxid),
    /// The log was not truncated: no snapshot or log on disk ends at this zxid.
    LogCutFailed(Zxid),
    /// The snapshot of this zxid is on disk, marked as installed, and the log's writer continues after it.
    SnapshotInstalled(Zxid),
    /// The result of [`Effect::ReadLog`].
    LogRead {
        /// The learner it is for.
        peer: PeerId,
        /// What was read.
        part: LogPart,
    },
    /// Part of a snapshot has gone out.
    SnapshotProgress(PeerId),
    /// SNAP, the stream of a snapshot of this zxid and its signature have been handed to the connection.
    SnapshotSent {
        /// Which learner's.
        peer: PeerId,
        /// The zxid that SNAP said.
        zxid: Zxid,
    },
}

/// Work for the edge, to be done in order.
pub enum Effect {
    /// Connect to a member's election port, at the first of these addresses that answers.
    Dial {
        /// Which member.
        peer: ServerId,
        /// At least one.
        addresses: Vec<Address>,
    },
    /// Send these bytes on an election connection, and give [`PeerInput::Written`].
    Write {
        /// Which connection.
        link: LinkId,
        /// Behind what was given before.
        bytes: Vec<u8>,
    },
    /// End an election connection, after what was given to it to send.
    Close {
        /// Which connection.
        link: LinkId,
    },
    /// Connect to this member, at the first of these addresses that answers: the leader's quorum port, or the port
    /// where another voter accepts observers.
    DialLeader {
        /// Which member.
        leader: ServerId,
        /// At least one.
        addresses: Vec<Address>,
    },
    /// Send these bytes to a learner.
    ToLearner {
        /// Which connection.
        peer: PeerId,
        /// Behind what was given before.
        bytes: Vec<u8>,
    },
    /// End a learner's connection.
    CloseLearner(PeerId),
    /// Send these bytes to the leader, behind what was given before.
    ToLeader(Vec<u8>),
    /// End the connection to the leader, or the attempt to open it.
    CloseLeader,
    /// Write this after the records before it, then give the input that [`Record::written`] names.
    Record(Record),
    /// Truncate the log after this zxid.
    CutLog(Zxid),
    /// Send this learner SNAP and the stream of the next snapshot that is written; its zxid must be committed.
    SendSnapshot(PeerId),
    /// Read this stretch of the log for a learner (`read_back::read_log`, on a helper thread), when at most
    /// `limits::LOG_PART` bytes of the learner's output are unsent. Always answered, perhaps with an empty part.
    ReadLog {
        /// Whose output is waited for.
        peer: PeerId,
        /// From where to where.
        stretch: Stretch,
    },
    /// Write this as an installed snapshot, begin the log anew after it, and give the log's new writer.
    InstallSnapshot(Box<SnapshotJob>),
    /// Listen on other addresses; open connections stay.
    Listen(Listen),
    /// The state may be wrong: end the process.
    Fail(Fatal),
}

/// This server's ports by the agreed configuration; `None` where they have not changed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Listen {
    /// Where to listen for clients.
    pub(crate) client: Option<MemberClient>,
    /// Where to listen for learners and votes: all addresses.
    pub(crate) peers: Option<Vec<MemberAddress>>,
}

/// What a member of an ensemble writes to disk besides its log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// The epochs that this server promised and acknowledged.
    Epochs(Epochs),
    /// The ensemble's agreement beside transactions. It is on disk before any epochs that are requested later.
    Agreed(Held),
    /// Everything that the leader committed is durable here: no acknowledged transaction is missing any more.
    Complete,
    /// The configuration of the ensemble from now on ([`crate::storage::dynamic::write`]), and the number of this
    /// record. Of several, only the newest needs to be written.
    Config {
        /// The records of configurations are counted; [`PeerInput::ConfigWritten`] gives the number back.
        number: u64,
        /// The agreed configuration and, during a reconfiguration, the proposed one.
        config: Config,
    },
}

impl Record {
    /// The input to give when this record is durable; `None`: the brain does not wait for it.
    pub fn written(&self) -> Option<PeerInput<'static>> {
        match self {
            Record::Epochs(epochs) => Some(PeerInput::EpochsWritten(*epochs)),
            Record::Agreed(_) | Record::Complete => None,
            Record::Config { number, .. } => Some(PeerInput::ConfigWritten(*number)),
        }
    }
}

/// A member's state in its ensemble, as `srvr` and `isro` report it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ServerState {
    /// Without a role that serves: before, during and after an election, and on the way to a leader.
    Looking,
    /// A follower, synchronised or not.
    Following,
    /// An observer, synchronised or not.
    Observing,
    /// The leader, established or not.
    Leading,
}
