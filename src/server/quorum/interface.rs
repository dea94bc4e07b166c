//! What a member of an ensemble is told, what happens to it, and what it asks for.

use super::secrets::MemberSecrets;
use crate::config::{Secret, Settings};
use crate::fatal::Fatal;
use crate::ids::Zxid;
use crate::jute::election::InitialMessage;
use crate::server::snapshot::SnapshotJob;
use crate::storage::log::seek::Stretch;
use crate::zab::agreed::Held;
use crate::zab::election;
use crate::zab::epochs::Epochs;
use crate::zab::history::{History, HistoryLimits};
use crate::zab::leader::{LogPart, PeerId};
use crate::zab::links::{self, Address, LinkId};
use crate::zab::voters::{Config, MemberAddress, MemberClient, ServerId};
use std::sync::Arc;

/// What a member is told once.
#[derive(Clone, Debug)]
pub struct EnsembleOptions {
    pub id: ServerId,
    pub config: Config,
    /// Where this server's election port is, as others are told: at least one.
    pub election_addresses: Vec<Address>,
    /// Others are told all of them (`multiAddress.enabled`), and not the first alone.
    pub announces_all: bool,
    /// A single participant is no ensemble (`standaloneEnabled`): reconfigurations leave two at least.
    pub standalone_enabled: bool,
    pub tick_ms: i64,
    /// Ticks.
    pub init_limit: i64,
    /// Ticks.
    pub sync_limit: i64,
    /// As they are on disk, judged already ([`Epochs::at_start`]).
    pub epochs: Epochs,
    /// The end of the log, all of it durable.
    pub history: History,
    /// False: the disk is new, and this server has no say before it has followed a leader.
    pub has_database: bool,
    pub election: election::Settings,
    pub links: links::Settings,
    /// The largest transaction or request that is taken from a peer, bytes.
    pub max_packet: usize,
    /// Whose digest this is may do everything (`DigestAuthenticationProvider.superDigest`).
    pub super_digest: Option<Secret<String>>,
    pub secrets: MemberSecrets,
    /// What it announces to speak as a learner; see [`crate::jute::quorum::PROTOCOL_SECRETS`]. Below that it is one that knows of
    /// no secrets.
    pub protocol: i32,
    pub roles: RoleSettings,
}

/// What an operator may set of the roles.
#[derive(Clone, Debug, Default)]
pub struct RoleSettings {
    /// The values of the keys, shared with whoever acts by them.
    pub settings: Arc<Settings>,
    /// Of the log's end in memory (`commitLogCount`).
    pub history: HistoryLimits,
    /// A member that looks for a leader for so long serves reads to clients that content themselves with that, ms; `None`:
    /// never (`readonlymode.enabled`).
    pub read_only_after_ms: Option<i64>,
}

impl From<Settings> for RoleSettings {
    fn from(settings: Settings) -> Self {
        RoleSettings { settings: Arc::new(settings), ..RoleSettings::default() }
    }
}

/// What happens on the connections to other members, and to what an [`Effect`] asked for.
#[derive(Debug)]
pub enum PeerInput<'a> {
    Dialled {
        peer: ServerId,
        link: LinkId,
    },
    DialFailed {
        peer: ServerId,
    },
    Accepted {
        link: LinkId,
        initial: InitialMessage<'a>,
    },
    Received {
        link: LinkId,
        bytes: &'a [u8],
    },
    Written {
        link: LinkId,
    },
    Closed {
        link: LinkId,
    },
    /// Somebody connected to the quorum port.
    Learner(PeerId),
    FromLearner {
        peer: PeerId,
        bytes: &'a [u8],
    },
    LearnerGone(PeerId),
    /// The connection to the leader's quorum port that was asked for stands.
    Leader,
    NoLeader,
    FromLeader(&'a [u8]),
    LeaderGone,
    EpochsWritten(Epochs),
    /// The files say what [`Record::Config`] of this number, and all before it, asked for; or they cannot be
    /// written, which the edge has logged: ZooKeeper goes on without them, too.
    ConfigWritten(u64),
    /// The log was cut after this zxid, and its writer goes on from there.
    LogCut(Zxid),
    /// Nothing on disk ends there.
    LogCutFailed(Zxid),
    /// The snapshot of this zxid is on disk, marked as installed, and the log's writer goes on behind it.
    SnapshotInstalled(Zxid),
    /// What [`Effect::ReadLog`] asked for.
    LogRead {
        peer: PeerId,
        part: LogPart,
    },
    /// Part of a snapshot has gone out.
    SnapshotProgress(PeerId),
    /// SNAP, the stream of a snapshot of this zxid and its signature have been handed to the connection.
    SnapshotSent {
        peer: PeerId,
        zxid: Zxid,
    },
}

/// What the edge is to do, in order.
pub enum Effect {
    Dial {
        peer: ServerId,
        addresses: Vec<Address>,
    },
    Write {
        link: LinkId,
        bytes: Vec<u8>,
    },
    Close {
        link: LinkId,
    },
    /// Connect to this member, at the first of these addresses that answers: the leader's quorum port, or where another
    /// voter takes observers in.
    DialLeader {
        leader: ServerId,
        addresses: Vec<Address>,
    },
    ToLearner {
        peer: PeerId,
        bytes: Vec<u8>,
    },
    CloseLearner(PeerId),
    ToLeader(Vec<u8>),
    CloseLeader,
    /// Write this down behind the records before it, then hand in what it is answered with ([`Record::written`]).
    Record(Record),
    /// Cut the log after this zxid.
    CutLog(Zxid),
    /// Send this learner SNAP and the stream of a snapshot of a committed zxid: the next one that is written.
    SendSnapshot(PeerId),
    /// Read this stretch of the log for a learner (`read_back::read_log`, on a helper thread), when all but
    /// `limits::LOG_PART` bytes of what it was sent before have left. Always answered, if only with an empty part.
    ReadLog {
        peer: PeerId,
        stretch: Stretch,
    },
    /// Write this down as an installed snapshot, begin the log anew behind it, and hand in its writer.
    InstallSnapshot(Box<SnapshotJob>),
    /// Listen elsewhere; connections that stand are not touched.
    Listen(Listen),
    /// Truth is in doubt: end the process.
    Fail(Fatal),
}

/// What the configuration that was agreed on says of this server's ports, as far as it has changed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Listen {
    /// Where its clients are to be served.
    pub client: Option<MemberClient>,
    /// Where learners and votes are to be taken, all of it.
    pub peers: Option<Vec<MemberAddress>>,
}

/// What a member of an ensemble writes down besides its log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// What it promised and acknowledged.
    Epochs(Epochs),
    /// What is agreed on beside transactions. On disk before epochs that are asked for after it.
    Agreed(Held),
    /// What a leader committed is all here and durable: nothing that it acknowledged is missing any more.
    Complete,
    /// What counts from now on as the configuration of the ensemble ([`crate::storage::dynamic::write`]), and the number by
    /// which the brain asked for it. Only the newest needs to be carried out.
    Config { number: u64, config: Config },
}

impl Record {
    /// What the brain is told when this is durable, if it waits for it.
    pub fn written(&self) -> Option<PeerInput<'static>> {
        match self {
            Record::Epochs(epochs) => Some(PeerInput::EpochsWritten(*epochs)),
            Record::Agreed(_) | Record::Complete => None,
            Record::Config { number, .. } => Some(PeerInput::ConfigWritten(*number)),
        }
    }
}

/// What this server is to the ensemble, as `srvr` and `isro` say it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ServerState {
    Looking,
    Following,
    Observing,
    Leading,
}
