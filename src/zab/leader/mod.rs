//! A leader: from the moment an election named it until it steps down.
//!
//! Phases are files. `discovery` waits for a quorum of voters to come, takes a new epoch and has it
//! promised; `sync` brings each learner to the leader's history (`decision` says how) and has NEWLEADER acknowledged by a quorum;
//! `broadcast` proposes, counts acknowledgements and commits; `liveness` sends PINGs, drops who is silent,
//! steps down without a quorum, and answers sync; `secrets` says who is told what passwords are made under; `rollover` goes over into the next epoch when one has no further
//! zxid. A learner that comes late goes through the same files, which no longer make it wait.
//!
//! All a leader does is in its [`Output`]s, to be done in their order. An output that has to wait carries
//! an [`After`]; a `Gate` keeps it. What the leader itself must know to be durable it is told by
//! [`Input::LogDurable`] and [`Input::EpochsDurable`]. (ZooKeeper 3.9: `Leader`, `LearnerHandler`.)

mod broadcast;
mod decision;
mod discovery;
mod interface;
mod liveness;
mod peer;
mod rollover;
mod secrets;
mod state;
mod sync;

pub(crate) use interface::{Census, DropReason, LogPart, Options, Proposal, ProposeError, StepDown};
pub(crate) use interface::{Input, Output};
pub(crate) use peer::LearnerKind;
pub use peer::PeerId;

use crate::ids::Zxid;
use crate::jute::quorum::{Packet, PacketType};
use crate::zab::epochs::{Epochs, first_zxid};
use crate::zab::history::History;
use crate::zab::message::{After, Message};
use crate::zab::voters::{Config, ServerId, Voters};
use peer::{Peer, Stage};
use state::{Barriers, HandedOver, Phase, Proposals, RollOver, Secrets, Support, SyncFrom};
use std::collections::{BTreeMap, BTreeSet};

/// A leader. See the module's text.
pub(crate) struct Leader {
    options: Options,
    config: Config,
    history: History,
    /// As they will be on disk when everything asked for has been written.
    epochs: Epochs,
    epochs_durable: Epochs,
    /// The current epoch and last zxid of this server at its election, or at the last roll-over; no server that voted for it
    /// had higher ones.
    summary: (i64, Zxid),
    phase: Phase,
    phase_deadline_ms: i64,
    was_established: bool,
    /// The largest accepted epoch heard of; the leader's own epoch once that is chosen.
    epoch: i64,
    support: Support,
    peers: BTreeMap<PeerId, Peer>,
    /// The number of the next observer that has none.
    next_anonymous: i64,
    proposals: Proposals,
    /// Another server is to lead under the configuration that was agreed on: nothing more is committed here.
    handed_over: Option<HandedOver>,
    roll_over: RollOver,
    secrets: Secrets,
    barriers: Barriers,
    next_ping_ms: i64,
    next_check_ms: i64,
}

impl Leader {
    /// A server that won an election. `history` ends where its log ends, all of it durable, as are `epochs`;
    /// everything up to `committed` is known to be committed. The first outputs are left to [`Leader::step`]: call it with [`Input::Tick`].
    pub(crate) fn new(
        options: Options,
        config: Config,
        epochs: Epochs,
        history: History,
        committed: Zxid,
        now: i64,
    ) -> Self {
        assert!(history.last().epoch() <= epochs.current && epochs.current <= epochs.accepted, "{epochs:?}");
        assert!(committed <= history.last(), "{committed} is not in the log");
        let init_ms = options.init_limit * options.tick_ms;
        let gather_ms = options.settings.gather_ms;
        let gather_ms = gather_ms.map_or(init_ms, |ms| ms.clamp(options.tick_ms, init_ms.max(options.tick_ms)));
        let secrets = Secrets::new(&options, &config);
        let mut leader = Leader {
            phase_deadline_ms: now + gather_ms,
            next_ping_ms: now + options.tick_ms / 2,
            next_check_ms: now + options.tick_ms,
            config,
            summary: (epochs.current, history.last()),
            epochs,
            epochs_durable: epochs,
            phase: Phase::Gathering,
            was_established: false,
            epoch: epochs.accepted.max(options.heard_epoch),
            support: Support::default(),
            peers: BTreeMap::new(),
            next_anonymous: -1,
            proposals: Proposals::behind(history.last(), committed),
            history,
            handed_over: None,
            roll_over: RollOver::default(),
            secrets,
            barriers: Barriers::default(),
            options,
        };
        leader.support.came.insert(leader.options.id);
        leader
    }

    /// Takes one input. `now` is monotonic, in milliseconds.
    pub(crate) fn step(&mut self, input: Input<'_>, now: i64, out: &mut Vec<Output>) {
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
        debug_assert!(self.is_sound(), "{:?} {:?} {:?}", self.phase, self.support, self.proposals);
    }

    /// What holds between two inputs: nothing is acknowledged that was not proposed, what is outstanding has no gap behind what
    /// is committed, and an established leader has its epoch on its own disk.
    fn is_sound(&self) -> bool {
        let Proposals { outstanding, last, committed, acked, .. } = &self.proposals;
        let is_without_gap = match (outstanding.front(), outstanding.back()) {
            (Some(first), Some(newest)) => {
                let length = newest.txn.zxid.counter() - first.txn.zxid.counter() + 1;
                first.txn.zxid == committed.next() && newest.txn.zxid == *last && length as usize == outstanding.len()
            }
            _ => committed <= last,
        };
        let sent = self.peers.values().filter_map(|peer| peer.unacked.back());
        let is_known = acked.values().chain(sent.map(|unacked| &unacked.zxid)).all(|zxid| zxid <= last);
        let is_mine = !self.is_established()
            || (self.epochs_durable.current >= self.epoch && self.support.synced.contains(&self.options.id));
        self.is_over() || (is_without_gap && is_known && is_mine)
    }

    /// The epoch of this leader, once it is chosen.
    pub(crate) fn epoch(&self) -> Option<i64> {
        (self.phase != Phase::Gathering).then_some(self.epoch)
    }

    /// Whether a quorum follows.
    pub(crate) fn is_established(&self) -> bool {
        self.phase == Phase::Established
    }

    /// The same, and also on the way from one epoch into the next.
    fn leads(&self) -> bool {
        self.is_established() || (self.roll_over.is_running && self.phase != Phase::Over)
    }

    /// Whether the role has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// The zxid the next proposal must have.
    pub(crate) fn next_zxid(&self) -> Zxid {
        self.proposals.last.next()
    }

    /// The last transaction that is known to be committed. Once established, the history holds no other.
    #[cfg(test)]
    pub(crate) fn committed(&self) -> Zxid {
        if self.was_established { self.history.last() } else { self.proposals.committed }
    }

    /// Proposals that are not committed.
    pub(crate) fn outstanding(&self) -> usize {
        self.proposals.outstanding.len()
    }

    /// Counts the connected learners by the state of their synchronisation.
    pub(crate) fn census(&self) -> Census {
        let mut census =
            Census { learners: self.peers.len(), pending_syncs: self.barriers.waiting(), ..Census::default() };
        for peer in self.peers.values().filter(|peer| peer.is_synced()) {
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
    pub(crate) fn successor(&self) -> Option<ServerId> {
        let is_up = |peer: &&Peer| peer.stage == Stage::Active && peer.unacked.is_empty() && self.counts(peer);
        self.peers.values().find(is_up).map(|peer| peer.server)
    }

    /// Whether there is no other voter.
    pub(crate) fn is_alone(&self) -> bool {
        self.config.voters().iter().all(|voter| *voter == self.options.id)
    }

    /// What counts now.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The epochs as they are on disk when everything asked for has been written.
    #[cfg(test)]
    pub(crate) fn epochs(&self) -> Epochs {
        self.epochs
    }

    /// Whether those that are connected are enough for an epoch to begin.
    pub(crate) fn may_be_established(&self) -> bool {
        let helping: BTreeSet<ServerId> =
            self.peers.values().filter(|peer| self.helps_to_establish(peer)).map(|peer| peer.server).collect();
        self.config.is_quorum_in_all_by(|server| server == self.options.id || helping.contains(&server))
    }

    /// Whether a quorum of these voters is connected and up to date: without one they would not get on as the
    /// configuration (ZooKeeper 3.9, `Leader.isQuorumSynced`).
    pub(crate) fn is_quorum_synced(&self, voters: &Voters, now: i64) -> bool {
        let follows = |peer: &Peer| {
            peer.kind == LearnerKind::Follower && peer.stage == Stage::Active && peer.synced_until_ms >= now
        };
        let synced: BTreeSet<ServerId> =
            self.peers.values().filter(|peer| follows(peer)).map(|peer| peer.server).collect();
        voters.is_quorum_by(|server| server == self.options.id || synced.contains(&server))
    }

    /// The learners that have been sent UPTODATE.
    #[cfg(test)]
    pub(crate) fn active(&self) -> impl Iterator<Item = (PeerId, ServerId, LearnerKind)> {
        let active = self.peers.iter().filter(|(_, peer)| peer.stage == Stage::Active);
        active.map(|(id, peer)| (*id, peer.server, peer.kind))
    }

    /// Ends the role and gives back the log's end, with what was proposed and not committed: it is in the log,
    /// all writes of which must have ended.
    pub(crate) fn into_history(mut self) -> History {
        for proposal in self.proposals.outstanding {
            self.history.push(proposal.txn);
        }
        self.history
    }

    fn packet(&mut self, id: PeerId, packet: &Packet<'_>, now: i64, out: &mut Vec<Output>) {
        let until_ms = now + self.sync_ms();
        let Some(peer) = self.peers.get_mut(&id) else { return };
        match (peer.stage, packet.kind) {
            (Stage::Silent, PacketType::FollowerInfo | PacketType::ObserverInfo) => {
                self.introduced(id, packet, now, out);
            }
            (Stage::Silent, _) => self.drop_peer(id, DropReason::BadIntroduction, out),
            (Stage::Introduced { asked: true }, PacketType::AckEpoch) => self.ack_epoch(id, packet, now, out),
            (Stage::Joined, PacketType::Ack) => {
                peer.deadline_ms = until_ms;
                peer.counts_until(until_ms);
                self.new_leader_acked(id, packet.zxid, now, out);
            }
            (Stage::Joined, PacketType::Agreed) => self.told_agreed(id, packet, out),
            (Stage::Synced | Stage::Active, _) => {
                peer.deadline_ms = until_ms;
                peer.counts_until(until_ms);
                self.active_packet(id, packet, now, out);
            }
            // It serves, and is on its way into the next epoch; for what it owes there it has its time.
            (
                _,
                PacketType::Ack | PacketType::Ping | PacketType::Request | PacketType::Revalidate | PacketType::Agreed,
            ) if peer.serves => {
                peer.counts_until(until_ms);
                self.active_packet(id, packet, now, out);
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
            PacketType::Agreed => self.told_agreed(id, packet, out),
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

    /// Whether a learner counts towards the quorum that establishes the leader. An observer in the agreed configuration that
    /// is a voter in the proposed one counts, too. It may not know the proposed configuration yet, but promises and
    /// acknowledges NEWLEADER like every learner; at UPTODATE it is a voter, and connects again as a voter. (ZooKeeper 3.9,
    /// `Leader.waitForNewLeaderAck`, goes by the number of a server alone.)
    fn helps_to_establish(&self, peer: &Peer) -> bool {
        let becomes_voter = |pending: &Voters| pending.is_voter(peer.server);
        let is_voter = self.config.current().is_voter(peer.server);
        self.counts(peer) || (!is_voter && self.config.pending().is_some_and(becomes_voter))
    }

    fn new_leader_zxid(&self) -> Zxid {
        first_zxid(self.epoch)
    }

    /// By when the phase that begins now is to be over. Of a roll-over the round as a whole has its time.
    fn phase_until_ms(&self, now: i64) -> i64 {
        if self.roll_over.is_running { i64::MAX } else { now + self.init_ms() }
    }

    fn init_ms(&self) -> i64 {
        self.options.init_limit * self.options.tick_ms
    }

    fn sync_ms(&self) -> i64 {
        self.options.sync_limit * self.options.tick_ms
    }
}
