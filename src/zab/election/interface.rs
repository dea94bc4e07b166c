//! The interface of an election: settings, inputs and outputs.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::vote::Vote;
use crate::ids::Zxid;
use crate::jute::election::{ElectionError, PeerState};
use crate::zab::voters::{Config, ServerId, Voters};

/// The times of an election, and what it may do to the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Settings {
    /// After this time the votes are sent again; doubled every time.
    pub min_notification_interval_ms: i64,
    /// The longest time between two such repetitions.
    pub max_notification_interval_ms: i64,
    /// How long a quorum that agrees waits for a voter that is connected but was not heard.
    pub finalize_wait_ms: i64,
    /// Whether a newer configuration seen in a notification is taken over (`reconfigEnabled`).
    pub adopt_configs: bool,
}

impl Default for Settings {
    /// ZooKeeper's own times.
    fn default() -> Self {
        Settings {
            min_notification_interval_ms: 200,
            max_notification_interval_ms: 60_000,
            finalize_wait_ms: 200,
            adopt_configs: false,
        }
    }
}

/// The end of a server's log. The server's tree must hold exactly the transactions up to this end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LogEnd {
    /// The last transaction logged.
    pub zxid: Zxid,
    /// The epoch whose leader this server last accepted (currentEpoch).
    pub epoch: i64,
}

/// The inputs of an election.
#[derive(Clone, Debug)]
pub(crate) enum Input<'a> {
    /// The role ended, or the server starts: look for a leader.
    Look {
        /// `None`: this server has no database; it neither stands nor votes until it has followed a leader.
        log: Option<LogEnd>,
        /// After stepping down: do not stand before this time, and vote for others only.
        yield_until_ms: Option<i64>,
    },
    /// The role ended, and this server does not look for a leader yet, or no more: until it does it says nothing.
    RoleEnded,
    /// A reconfiguration named its leader: settle on that server without a vote. If that server is no voter, look for a
    /// leader.
    Designated { leader: ServerId, zxid: Zxid, log: Option<LogEnd> },
    /// The leader that was settled on is established, with this epoch. Others are told this from now on, so that late servers
    /// find a quorum that agrees.
    Established { epoch: i64 },
    /// The payload of a frame from a peer.
    Message { from: ServerId, payload: &'a [u8] },
    /// There is a live election connection to this server.
    Connected(ServerId),
    /// The connection to this server is gone.
    Disconnected(ServerId),
    /// The configuration is another one now.
    Reconfigured(Config),
    /// Time passed, see [`Election::deadline_ms`](super::Election::deadline_ms).
    Tick,
}

/// The outputs of an election. They need not wait for the disk: a vote names only what is durable already.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Output {
    /// Send this payload in a frame; it replaces what was not sent yet to that server.
    Send { to: ServerId, payload: Arc<[u8]> },
    /// Dial every voter without a connection now, whenever the last attempt was.
    Reconnect,
    /// A newer configuration was seen and counts from now on; make it durable and the current one.
    Adopt(Voters),
    /// The election is over.
    Settled(Settled),
    /// The outcome does not become true: too few voters still support this server, or the server that it should follow does
    /// not lead. This server must give up and look again, unless there is an established leader.
    Overtaken,
    /// A peer's message was dropped. The connection may stay.
    Dropped { from: ServerId, reason: DropReason },
}

/// How an election ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Settled {
    /// Leading, following, or observing; never looking.
    pub state: PeerState,
    /// The leader, as it was when it was elected.
    pub vote: Vote,
    /// The round it was elected in.
    pub round: i64,
    /// The voters whose votes decided the election. Empty for a leader that a reconfiguration named, and for an established
    /// leader.
    pub supporters: BTreeSet<ServerId>,
}

/// Why a message was dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DropReason {
    /// It is no notification.
    Malformed(ElectionError),
    /// The number of its election round is too large.
    Round(i64),
    /// It states this server's own id.
    OwnId,
    /// The candidate's epoch, or the epoch of its log, is implausibly far ahead of this server's own.
    Epoch(i64),
}
