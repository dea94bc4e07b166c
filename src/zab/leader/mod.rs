//! A leader: from the moment an election named it until it steps down.
//!
//! Phases are files. `discovery` waits for a quorum of voters to come, takes a new epoch and has it
//! promised; `sync` brings each learner to the leader's history and has NEWLEADER acknowledged by a quorum;
//! `broadcast` proposes, counts acknowledgements and commits; `liveness` sends PINGs, drops who is silent,
//! steps down without a quorum, and answers sync; `rollover` goes over into the next epoch when one has no further
//! zxid. A learner that comes late goes through the same files, which no longer make it wait.
//!
//! All a leader does is in its [`Output`]s, to be done in their order. An output that has to wait carries
//! an [`After`]; a `Gate` keeps it. What the leader itself must know to be durable it is told by
//! [`Input::LogDurable`] and [`Input::EpochsDurable`]. (ZooKeeper 3.9: `Leader`, `LearnerHandler`.)

mod broadcast;
mod discovery;
mod liveness;
mod peer;
mod rollover;
mod sync;
#[cfg(test)]
mod sync_tests;

pub use broadcast::{Proposal, ProposeError};
pub use peer::{LearnerKind, PeerId};
pub use sync::{Decision, LogPart, decide};

use crate::ids::{SessionId, Zxid};
use crate::jute::quorum::{Packet, PacketType, Touch};
use crate::zab::epochs::{Epochs, first_zxid};
use crate::zab::history::{History, Txn};
use crate::zab::message::{After, Auth, Gated, Message};
use crate::zab::voters::{Config, ServerId, Voters};
use broadcast::Outstanding;
use liveness::{Barriers, SyncFrom};
use peer::{Peer, Stage};
use rollover::RollOver;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

/// What a leader is told once.
#[derive(Clone, Debug)]
pub struct Options {
    pub id: ServerId,
    pub tick_ms: i64,
    /// Ticks for each phase until the leader is established, and for a learner's synchronisation.
    pub init_limit: i64,
    /// How long a quorum may take to come, ms, a tick at least; `None`: `init_limit` (`leader.maxTimeToWaitForEpoch`).
    pub gather_ms: Option<i64>,
    /// Ticks a learner may be silent, or leave a proposal unacknowledged.
    pub sync_limit: i64,
    /// Whether the first established leader gives the configuration of the files a version.
    pub reconfig_enabled: bool,
    /// Always send a snapshot (`zookeeper.forceSnapshotSync`).
    pub force_snapshot: bool,
    /// How much of the log on disk a learner is sent at most, as a part of the newest snapshot's size; `None`: nothing
    /// of it (`zookeeper.snapshotSizeFactor`).
    pub snapshot_size_factor: Option<f64>,
    /// Learners that may be synchronised by snapshot, or otherwise, at a time; voters are never refused.
    pub max_snapshot_syncs: usize,
    pub max_diff_syncs: usize,
    /// Connections of learners; more are dropped.
    pub max_peers: usize,
    /// Syncs that wait for their answer; who asks for more is dropped, or refused.
    pub max_syncs: usize,
    /// Transactions proposed and not committed; [`Proposal`]s beyond are refused.
    pub max_outstanding: usize,
    /// The counter of an epoch's last transaction.
    pub last_counter: u32,
}

impl Options {
    /// ZooKeeper's defaults.
    pub fn new(id: ServerId, tick_ms: i64, init_limit: i64, sync_limit: i64) -> Self {
        Options {
            id,
            tick_ms,
            init_limit,
            gather_ms: None,
            sync_limit,
            reconfig_enabled: false,
            force_snapshot: false,
            snapshot_size_factor: Some(0.33),
            max_snapshot_syncs: 10,
            max_diff_syncs: 100,
            max_peers: 1024,
            max_syncs: 100_000,
            max_outstanding: 100_000,
            last_counter: Zxid::LAST_COUNTER,
        }
    }
}

/// What happens to a leader.
#[derive(Debug)]
pub enum Input<'a> {
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
    /// A learner asked for sync, and everything it asked for before was proposed. It gets nothing committed that it asks
    /// for later before the answer.
    LearnerSync(PeerId),
    /// Whether a session lives that a learner asked about by [`Output::Revalidate`].
    Revalidated { peer: PeerId, session: SessionId, valid: bool },
    /// This server is to lead no more.
    HandOver,
    /// Time has passed: at least every half tick.
    Tick,
}

/// What a leader asks for, to be done in order.
#[derive(Clone, PartialEq, Debug)]
pub enum Output {
    /// Send this packet; nothing if the connection is gone by then.
    Send { to: PeerId, message: Message, after: After },
    /// Close this connection; nothing of it will be listened to again.
    Drop { peer: PeerId, reason: DropReason },
    /// Write these epochs.
    WriteEpochs { epochs: Epochs, after: After },
    /// Append this to the log.
    Append(Txn),
    /// Send SNAP, a snapshot's stream and its signature, then say [`Input::SnapshotSent`]. The snapshot is of
    /// a committed zxid, not older than `at_least` if there is a choice. Nothing else is sent there meanwhile.
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
pub enum StepDown {
    /// No quorum of voters came within initLimit.
    NobodyCame,
    /// No quorum promised the new epoch within initLimit.
    NoPromises,
    /// No quorum acknowledged NEWLEADER within initLimit.
    NotAcknowledged,
    /// A voter has got more than this server: it should lead.
    VoterIsAhead { voter: ServerId, epoch: i64, last: Zxid },
    /// A voter has promised a newer epoch and cannot follow.
    VoterPromisedMore { voter: ServerId, accepted: i64 },
    /// Epochs have come to their end.
    EpochsExhausted,
    /// The counter has come to its end, and a learner does not know of a roll-over: an election brings a new epoch.
    CounterExhausted,
    /// The counter has come to its end, and the next epoch did not begin within syncLimit.
    RollOverLate,
    /// No quorum of voters has been heard of within syncLimit.
    LostQuorum,
    /// It was told to make way.
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
pub enum DropReason {
    TooManyPeers,
    /// Its first packet is neither FOLLOWERINFO nor OBSERVERINFO, or cannot be decoded.
    BadIntroduction,
    /// It speaks a protocol from before 3.4.
    OldProtocol(i32),
    /// It says it is this server.
    SaysItIsMe,
    /// It acts by a configuration newer than the leader's.
    ConfigAhead(i64),
    /// The epoch it says it accepted leaves none to follow.
    EpochOutOfRange(i64),
    /// Another connection of the same server came.
    Replaced,
    /// A packet that this phase of its synchronisation has no place for.
    Unexpected(PacketType),
    /// The data of a packet cannot be decoded.
    Malformed(PacketType),
    /// It acknowledged another NEWLEADER.
    WrongNewLeader(Zxid),
    /// It acknowledged a proposal before those sent earlier, or one that was never sent.
    AckOutOfOrder(Zxid),
    /// The answer to a PING is not that of the oldest one.
    WrongPing(Zxid),
    /// Too many learners are being synchronised.
    TooManySyncs,
    /// The snapshot it got is of a zxid that is not committed.
    SnapshotUnusable(Zxid),
    /// What it lacks after this could no longer be found in the log.
    RestMissing(Zxid),
    /// It has not been heard of in time.
    Silent,
    /// It has not acknowledged a proposal within syncLimit.
    SlowToAcknowledge(Zxid),
    /// It was not up to date when the epoch had no further zxid.
    EpochIsOver,
    /// It promised the next epoch and does not stand where this one ended.
    OutOfStep(Zxid),
    /// It has more syncs waiting than allowed.
    TooManySyncRequests,
    /// The leader's role is over.
    SteppedDown,
}

/// How many learners a leader has, as ZooKeeper counts them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Census {
    /// Connections, whatever their state.
    pub learners: usize,
    /// Followers that have acknowledged NEWLEADER, those without a vote included.
    pub synced_followers: usize,
    pub synced_non_voting: usize,
    pub synced_observers: usize,
    /// Syncs that wait for their answer.
    pub pending_syncs: usize,
}

/// Where the leader stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Waits for a quorum of voters to come.
    Gathering,
    /// Has taken its epoch and waits for a quorum of promises.
    Promising,
    /// Waits for a quorum of NEWLEADER acknowledgements.
    Syncing,
    Established,
    Over,
}

/// A leader that is to lead no longer. It waits for its learners to leave: who goes first would take the news along
/// that is still on its way to them (ZooKeeper 3.9, `Leader.tryToCommit`).
#[derive(Clone, Copy, Debug)]
struct HandedOver {
    to: ServerId,
    /// Until then.
    until_ms: i64,
}

/// A leader. See the module's text.
pub struct Leader {
    options: Options,
    config: Config,
    history: History,
    /// As they will be on disk when everything asked for has been written.
    epochs: Epochs,
    epochs_durable: Epochs,
    /// What this server stood at when it was elected: nobody who votes for it stands higher.
    summary: (i64, Zxid),
    phase: Phase,
    phase_deadline_ms: i64,
    was_established: bool,
    /// The largest accepted epoch heard of; the leader's own epoch once that is chosen.
    epoch: i64,
    /// Voters that came; that promised the epoch; that acknowledged NEWLEADER. Durable facts: they hold when
    /// the connection is gone.
    came: BTreeSet<ServerId>,
    promised: BTreeSet<ServerId>,
    synced: BTreeSet<ServerId>,
    peers: BTreeMap<PeerId, Peer>,
    /// The number of the next observer that has none.
    next_anonymous: i64,
    outstanding: VecDeque<Outstanding>,
    last_proposed: Zxid,
    committed: Zxid,
    /// How far the log of each voter is known to reach in this epoch, this server's own included.
    acked: BTreeMap<ServerId, Zxid>,
    /// The zxid of the reconfiguration that is proposed: it and what follows need both configurations.
    reconfig: Option<Zxid>,
    /// Another server is to lead under the configuration that was agreed on: nothing more is committed here.
    handed_over: Option<HandedOver>,
    roll_over: RollOver,
    barriers: Barriers,
    next_ping_ms: i64,
    next_check_ms: i64,
}

impl Leader {
    /// A server that won an election. `history` ends where its log ends, all of it durable, as are `epochs`;
    /// everything up to `committed` is known to be committed. The first outputs are left to [`Leader::step`]: call it with [`Input::Tick`].
    pub fn new(options: Options, config: Config, epochs: Epochs, history: History, committed: Zxid, now: i64) -> Self {
        assert!(history.last().epoch() <= epochs.current && epochs.current <= epochs.accepted, "{epochs:?}");
        assert!(committed <= history.last(), "{committed} is not in the log");
        let init_ms = options.init_limit * options.tick_ms;
        let gather_ms = options.gather_ms.map_or(init_ms, |ms| ms.clamp(options.tick_ms, init_ms.max(options.tick_ms)));
        let mut leader = Leader {
            phase_deadline_ms: now + gather_ms,
            next_ping_ms: now + options.tick_ms / 2,
            next_check_ms: now + options.tick_ms,
            came: BTreeSet::new(),
            config,
            summary: (epochs.current, history.last()),
            epochs,
            epochs_durable: epochs,
            phase: Phase::Gathering,
            was_established: false,
            epoch: epochs.accepted,
            promised: BTreeSet::new(),
            synced: BTreeSet::new(),
            peers: BTreeMap::new(),
            next_anonymous: -1,
            outstanding: VecDeque::new(),
            last_proposed: history.last(),
            committed,
            acked: BTreeMap::new(),
            history,
            reconfig: None,
            handed_over: None,
            roll_over: RollOver::default(),
            barriers: Barriers::default(),
            options,
        };
        leader.came.insert(leader.options.id);
        leader
    }

    /// Takes one input. `now` is monotonic, in milliseconds.
    pub fn step(&mut self, input: Input<'_>, now: i64, out: &mut Vec<Output>) {
        if self.phase == Phase::Over {
            return;
        }
        match input {
            Input::Connected(peer) => self.connected(peer, now, out),
            Input::Packet(peer, packet) => self.packet(peer, &packet, now, out),
            Input::Disconnected(peer) => {
                self.peers.remove(&peer);
                self.barriers.forget(peer);
                self.make_room_for_successor(now, out);
            }
            Input::SnapshotProgress(peer) => {
                let deadline_ms = now + self.init_ms();
                if let Some(peer) = self.peers.get_mut(&peer).filter(|peer| peer.stage == Stage::Streaming) {
                    peer.deadline_ms = deadline_ms;
                }
            }
            Input::SnapshotSent(peer, zxid) => self.snapshot_sent(peer, zxid, now, out),
            Input::LogRead(peer, part) => self.log_read(peer, &part, now, out),
            Input::LogDurable(zxid) => self.log_durable(zxid, now, out),
            Input::EpochsDurable(epochs) => {
                assert!(epochs.reach(self.epochs_durable) && self.epochs.reach(epochs), "{epochs:?}");
                self.epochs_durable = epochs;
                self.promise_of_my_own(now, out);
                self.acknowledge_myself(now, out);
            }
            Input::Sync { tag } => self.sync(SyncFrom::Client(tag), now, out),
            Input::LearnerSync(peer) => {
                if self.peers.contains_key(&peer) {
                    self.sync(SyncFrom::Learner(peer), now, out);
                }
            }
            Input::Revalidated { peer, session, valid } => self.revalidated(peer, session, valid, out),
            Input::HandOver => self.step_down(StepDown::Told, out),
            Input::Tick => self.tick(now, out),
        }
    }

    /// The epoch of this leader, once it is chosen.
    pub fn epoch(&self) -> Option<i64> {
        (self.phase != Phase::Gathering).then_some(self.epoch)
    }

    /// Whether a quorum follows.
    pub fn is_established(&self) -> bool {
        self.phase == Phase::Established
    }

    /// Whether the role has ended.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// The zxid the next proposal must have.
    pub fn next_zxid(&self) -> Zxid {
        self.last_proposed.next()
    }

    /// The last transaction that is known to be committed. Once established, the history holds no other.
    pub fn committed(&self) -> Zxid {
        if self.was_established { self.history.last() } else { self.committed }
    }

    /// Proposals that are not committed.
    pub fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// Who is connected, and how far they are.
    pub fn census(&self) -> Census {
        let synced = |peer: &&Peer| peer.serves || peer.stage == Stage::Synced;
        let mut census =
            Census { learners: self.peers.len(), pending_syncs: self.barriers.waiting(), ..Census::default() };
        for peer in self.peers.values().filter(synced) {
            match peer.kind {
                LearnerKind::Observer => census.synced_observers += 1,
                LearnerKind::Follower => {
                    census.synced_followers += 1;
                    census.synced_non_voting += usize::from(!self.config.is_voter(peer.server));
                }
            }
        }
        census
    }

    /// A voter that could lead at once: it has acknowledged everything that was proposed.
    pub fn successor(&self) -> Option<ServerId> {
        let is_up = |peer: &&Peer| peer.stage == Stage::Active && peer.unacked.is_empty() && self.counts(peer);
        self.peers.values().find(is_up).map(|peer| peer.server)
    }

    /// Whether there is no other voter.
    pub fn is_alone(&self) -> bool {
        self.config.voters().iter().all(|voter| *voter == self.options.id)
    }

    /// What counts now.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The epochs as they are on disk when everything asked for has been written.
    pub fn epochs(&self) -> Epochs {
        self.epochs
    }

    /// Whether a quorum of these voters is connected and up to date: without one they would not get on as the
    /// configuration (ZooKeeper 3.9, `Leader.isQuorumSynced`).
    pub fn is_quorum_synced(&self, voters: &Voters, now: i64) -> bool {
        let follows = |peer: &Peer| {
            peer.kind == LearnerKind::Follower && peer.stage == Stage::Active && peer.synced_until_ms >= now
        };
        let synced: BTreeSet<ServerId> =
            self.peers.values().filter(|peer| follows(peer)).map(|peer| peer.server).collect();
        voters.is_quorum_by(|server| server == self.options.id || synced.contains(&server))
    }

    /// The learners that have been sent UPTODATE.
    pub fn active(&self) -> impl Iterator<Item = (PeerId, ServerId, LearnerKind)> {
        let active = self.peers.iter().filter(|(_, peer)| peer.stage == Stage::Active);
        active.map(|(id, peer)| (*id, peer.server, peer.kind))
    }

    /// Ends the role and gives back the log's end, with what was proposed and not committed: it is in the log,
    /// all writes of which must have ended.
    pub fn into_history(mut self) -> History {
        for proposal in self.outstanding {
            self.history.push(proposal.txn);
        }
        self.history
    }

    fn packet(&mut self, id: PeerId, packet: &Packet<'_>, now: i64, out: &mut Vec<Output>) {
        let init_ms = self.init_ms();
        let sync_ms = self.sync_ms();
        let Some(peer) = self.peers.get_mut(&id) else { return };
        match (peer.stage, packet.kind) {
            (Stage::Silent, PacketType::FollowerInfo | PacketType::ObserverInfo) => {
                self.introduced(id, packet, now, out);
            }
            (Stage::Silent, _) => self.drop_peer(id, DropReason::BadIntroduction, out),
            (Stage::Introduced { asked: true }, PacketType::AckEpoch) => self.ack_epoch(id, packet, now, out),
            (Stage::Joined, PacketType::Ack) => {
                peer.deadline_ms = now + sync_ms;
                peer.synced_until_ms = peer.synced_until_ms.max(now + sync_ms);
                self.new_leader_acked(id, packet.zxid, now, out);
            }
            (Stage::Synced | Stage::Active, _) => {
                peer.deadline_ms = now + sync_ms;
                // The first deadline is later than a packet now would make it (ZooKeeper 3.9: initLimit + syncLimit).
                peer.synced_until_ms = peer.synced_until_ms.max(now + sync_ms);
                self.active_packet(id, packet, now, out);
            }
            // It serves, and is on its way into the next epoch; for what it owes there it has its time.
            (_, PacketType::Ack | PacketType::Ping | PacketType::Request | PacketType::Revalidate) if peer.serves => {
                peer.synced_until_ms = peer.synced_until_ms.max(now + sync_ms);
                self.active_packet(id, packet, now, out);
            }
            (Stage::Joined, kind) => {
                peer.deadline_ms = now + init_ms;
                self.drop_peer(id, DropReason::Unexpected(kind), out);
            }
            (_, kind) => self.drop_peer(id, DropReason::Unexpected(kind), out),
        }
    }

    /// What a learner sends once it has acknowledged NEWLEADER.
    fn active_packet(&mut self, id: PeerId, packet: &Packet<'_>, now: i64, out: &mut Vec<Output>) {
        match packet.kind {
            PacketType::Ack => self.acked(id, packet.zxid, now, out),
            PacketType::Ping => self.pong(id, packet, now, out),
            PacketType::Request => self.request(id, packet, out),
            PacketType::Revalidate => self.revalidate(id, packet, out),
            // ZooKeeper 3.9 warns and reads on.
            _ => {}
        }
    }

    fn connected(&mut self, id: PeerId, now: i64, out: &mut Vec<Output>) {
        if self.peers.len() >= self.options.max_peers {
            out.push(Output::Drop { peer: id, reason: DropReason::TooManyPeers });
            return;
        }
        let deadline_ms = now + self.init_ms();
        let previous = self.peers.insert(id, Peer::new(deadline_ms, deadline_ms + self.sync_ms()));
        assert!(previous.is_none(), "connection {id:?} came twice");
    }

    fn drop_peer(&mut self, id: PeerId, reason: DropReason, out: &mut Vec<Output>) {
        if self.peers.remove(&id).is_some() {
            self.barriers.forget(id);
            out.push(Output::Drop { peer: id, reason });
        }
    }

    fn step_down(&mut self, reason: StepDown, out: &mut Vec<Output>) {
        self.phase = Phase::Over;
        for peer in std::mem::take(&mut self.peers).into_keys() {
            out.push(Output::Drop { peer, reason: DropReason::SteppedDown });
        }
        out.push(Output::StepDown(reason));
    }

    fn send(&self, to: PeerId, message: Message, out: &mut Vec<Output>) {
        out.push(Output::Send { to, message, after: After::Nothing });
    }

    /// Whether what this learner says counts for a quorum.
    fn counts(&self, peer: &Peer) -> bool {
        peer.kind == LearnerKind::Follower && self.config.is_voter(peer.server)
    }

    fn new_leader_zxid(&self) -> Zxid {
        first_zxid(self.epoch)
    }

    fn init_ms(&self) -> i64 {
        self.options.init_limit * self.options.tick_ms
    }

    fn sync_ms(&self) -> i64 {
        self.options.sync_limit * self.options.tick_ms
    }
}
