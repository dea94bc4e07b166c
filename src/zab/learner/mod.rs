//! A learner: a follower or an observer, from the election that named its leader until it leaves.
//!
//! `handshake` introduces it, promises the leader's epoch, takes in what it lacks and acknowledges
//! NEWLEADER: its log durable, then its epoch, then the acknowledgement. `stream` is the order of
//! transactions: what may follow what, and what a commit must match. `requests` is what goes to the leader
//! for this server's clients, and what comes back. `rollover` takes it along into the leader's next epoch.
//!
//! All a learner does is in its [`Output`]s, to be done in their order through a `Gate`, which keeps those that wait.
//! Whatever the leader sends, the worst result is [`Output::Leave`] with its reason. (ZooKeeper 3.9: `Learner`, `Follower`,
//! `Observer`.)

mod handshake;
mod interface;
mod requests;
mod rollover;
mod stream;

pub(crate) use interface::{Input, Output};
pub(crate) use interface::{LeaveReason, NotActive, Options};

use crate::ids::Zxid;
use crate::jute::quorum::{LearnerInfo, PROTOCOL_SECRETS, Packet, PacketType};
use crate::zab::agreed::Agreed;
use crate::zab::epochs::{Epochs, first_zxid};
use crate::zab::history::{History, Txn};
use crate::zab::leader::LearnerKind;
use crate::zab::message::{After, Message};
use crate::zab::voters::Voters;
use std::collections::VecDeque;

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

/// A proposal that is not committed.
#[derive(Debug)]
struct Pending {
    zxid: Zxid,
    /// What a reconfiguration would make the configuration.
    config: Option<Voters>,
    /// Not in the log yet: of an observer, or behind a snapshot that is held aside.
    txn: Option<Txn>,
    /// What it counts for.
    bytes: usize,
}

/// A learner. See the module's text.
pub(crate) struct Learner {
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
    pub(crate) fn new(
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
    pub(crate) fn step(&mut self, input: Input<'_>, now: i64, out: &mut Vec<Output>) {
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
        debug_assert!(self.is_sound(), "{:?}: committed {}, agreed {}", self.stage, self.committed, self.agreed);
    }

    /// The invariant between two inputs: a learner that is up to date has every transaction that it knows to be committed,
    /// and owes no acknowledgement. A learner that is being synchronised may be told of commits that it does not have yet.
    fn is_sound(&self) -> bool {
        let tail = self.tail();
        let is_there = self.committed <= tail && self.agreed <= tail;
        let is_counted = self.pending.is_empty() == (self.pending_bytes == 0);
        let is_up_to_date = is_there && self.unacked.is_empty();
        self.is_over() || (is_counted && (!self.is_active() || is_up_to_date))
    }

    /// Whether this server is up to date with an established leader.
    pub(crate) fn is_active(&self) -> bool {
        self.stage == Stage::Active
    }

    /// Whether the role has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// The last transaction that is known to be committed.
    #[cfg(test)]
    pub(crate) fn committed(&self) -> Zxid {
        self.committed
    }

    /// The epochs as they are on disk when everything asked for has been written.
    #[cfg(test)]
    pub(crate) fn epochs(&self) -> Epochs {
        self.epochs
    }

    /// The leader's epoch, once it has named one.
    pub(crate) fn leader_epoch(&self) -> i64 {
        self.epoch
    }

    /// Ends the role and gives back the log's end. All writes of the role must have ended. Outputs still held at a gate are
    /// dropped, epochs included: then the epochs on disk count, checked by [`Epochs::at_start`].
    pub(crate) fn into_history(self) -> History {
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

    /// The leader's agreement. Later messages, NEWLEADER first, are acknowledged only when the agreement is on disk. The
    /// leader may know no used secret while this server does.
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
