//! Synchronisation: a learner is brought to the leader's history and joins the live stream.
//!
//! `decision` says what a learner is sent first, by where it stands.
//!
//! After that come the proposals that are not committed, for followers, then NEWLEADER, and in the same
//! step the learner joins the live stream: no gap, no duplicate. A snapshot comes from a file and may take
//! long; meanwhile nothing is kept for its receiver, and what it lacks afterwards comes from memory or disk.
//! The log on disk is read in parts, each when the one before has left, until what is in memory is reached.

use super::decision::{Decision, decide, decide_with_log, is_stretch, joins};
use super::peer::{LearnerKind, PeerId, Stage, Unacked};
use super::state::{Outstanding, Phase};
use super::{DropReason, Leader, LogPart, Output};
use crate::ids::Zxid;
use crate::jute::quorum::PacketType;
use crate::zab::epochs::first_zxid;
use crate::zab::history::Txn;
use crate::zab::message::{After, Message};
use crate::zab::voters::Config;

impl Leader {
    /// Sends a learner that stands at `last` what it lacks, or begins to.
    pub(super) fn bring_up_to_date(&mut self, id: PeerId, last: Zxid, now: i64, out: &mut Vec<Output>) {
        if self.peers[&id].serves {
            return self.go_over(id, now, out);
        }
        let shown = self.shown();
        let decision = match decide(&self.history, shown, last, self.options.settings.force_snapshot) {
            Decision::ReadLog if self.options.settings.snapshot_size_factor.is_none() => Decision::Snap,
            decision => decision,
        };
        let server = self.peers[&id].server;
        // The learner may have to truncate acknowledged transactions: from here on only its new acknowledgements count.
        self.proposals.acked.remove(&server);
        let syncs = self.peers.values().filter(|peer| peer.is_syncing()).count();
        let is_voter = self.helps_to_establish(&self.peers[&id]);
        if decision != Decision::Snap && syncs >= self.options.settings.max_diff_syncs as usize && !is_voter {
            return self.drop_peer(id, DropReason::TooManySyncs, out);
        }
        if decision == Decision::ReadLog {
            let upto = self.history.floor();
            self.set_stage(id, Stage::ReadingLog { last, upto }, i64::MAX);
            out.push(Output::ReadLog { peer: id, after: last, upto });
        } else {
            self.perform(id, decision, None, now, out);
        }
    }

    /// What the log on disk had.
    pub(super) fn log_read(&mut self, id: PeerId, part: &LogPart, now: i64, out: &mut Vec<Output>) {
        match self.peers.get(&id).map(|peer| peer.stage) {
            Some(Stage::ReadingLog { last, upto }) => {
                let factor = self.options.settings.snapshot_size_factor.unwrap_or_default();
                let decision = decide_with_log(part, upto, &self.history, last, factor);
                self.perform(id, decision, Some((part, upto)), now, out);
            }
            Some(Stage::ReadingRest { sent, upto }) if is_stretch(&part.txns, sent) => {
                self.send_part(id, sent, part, upto, now, out);
            }
            Some(Stage::ReadingRest { sent, .. }) => self.drop_peer(id, DropReason::RestMissing(sent), out),
            _ => {}
        }
    }

    fn perform(
        &mut self,
        id: PeerId,
        decision: Decision,
        from_disk: Option<(&LogPart, Zxid)>,
        now: i64,
        out: &mut Vec<Output>,
    ) {
        match decision {
            Decision::Diff { zxid: at, after } | Decision::Trunc { to: at @ after } => {
                let kind = if matches!(decision, Decision::Diff { .. }) { PacketType::Diff } else { PacketType::Trunc };
                self.send(id, Message::bare(kind, at), out);
                match from_disk {
                    Some((part, upto)) => self.send_part(id, after, part, upto, now, out),
                    None => self.send_rest(id, after, now, out),
                }
            }
            Decision::Snap | Decision::ReadLog => {
                let syncs = self.peers.values().filter(|peer| peer.by_snapshot).count();
                if syncs >= self.options.settings.max_snapshot_syncs as usize
                    && !self.helps_to_establish(&self.peers[&id])
                {
                    return self.drop_peer(id, DropReason::TooManySyncs, out);
                }
                self.set_stage(id, Stage::Streaming, now + self.init_ms());
                if let Some(peer) = self.peers.get_mut(&id) {
                    peer.by_snapshot = true;
                }
                out.push(Output::StreamSnapshot { to: id, at_least: self.history.floor() });
            }
        }
    }

    /// A snapshot of `zxid` is on its way: what follows it goes behind it.
    pub(super) fn snapshot_sent(&mut self, id: PeerId, zxid: Zxid, now: i64, out: &mut Vec<Output>) {
        if self.peers.get(&id).is_none_or(|peer| peer.stage != Stage::Streaming) {
            return;
        }
        if zxid > self.shown() {
            self.drop_peer(id, DropReason::SnapshotUnusable(zxid), out);
        } else if zxid >= self.history.floor() {
            self.send_rest(id, zxid, now, out);
        } else {
            self.read_rest(id, zxid, now, out);
        }
    }

    /// The next part of the log, after what was sent.
    fn read_rest(&mut self, id: PeerId, sent: Zxid, now: i64, out: &mut Vec<Output>) {
        let upto = self.history.floor();
        // The learner must also read: the bytes sent before have to leave first.
        self.set_stage(id, Stage::ReadingRest { sent, upto }, now + self.init_ms());
        out.push(Output::ReadLog { peer: id, after: sent, upto });
    }

    /// Sends the committed transactions of the part, then those in memory, or reads the next part.
    fn send_part(&mut self, id: PeerId, after: Zxid, part: &LogPart, upto: Zxid, now: i64, out: &mut Vec<Output>) {
        let mut last = after;
        for txn in part.txns.iter().filter(|txn| txn.zxid > after && txn.zxid <= self.history.last()) {
            last = self.send_committed(id, txn, last, out);
        }
        if joins(part, last, upto, &self.history) {
            self.send_rest(id, last, now, out);
        } else if last > after {
            self.read_rest(id, last, now, out);
        } else {
            self.drop_peer(id, DropReason::RestMissing(after), out);
        }
    }

    /// Every committed transaction after `after`, all of them in memory, and the learner joins.
    pub(super) fn send_rest(&mut self, id: PeerId, after: Zxid, now: i64, out: &mut Vec<Output>) {
        let mut last = after;
        for txn in self.history.after(after) {
            last = self.send_committed(id, txn, last, out);
        }
        self.join(id, now, out);
    }

    fn send_committed(&self, id: PeerId, txn: &Txn, last: Zxid, out: &mut Vec<Output>) -> Zxid {
        assert!(txn.zxid > last, "{} sent after {last}", txn.zxid);
        self.send(id, Message::txn(PacketType::Proposal, txn.zxid, &txn.bytes), out);
        self.send(id, Message::bare(PacketType::Commit, txn.zxid), out);
        txn.zxid
    }

    /// Sends the outstanding proposals, the agreement and NEWLEADER. From here on the learner gets the live stream, except
    /// commits: a follower gets these after UPTODATE.
    fn join(&mut self, id: PeerId, now: i64, out: &mut Vec<Output>) {
        self.set_stage(id, Stage::Joined, now + self.init_ms());
        let told = self.proposals.committed.max(self.new_leader_zxid());
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.told = told;
        let observes = peer.kind == LearnerKind::Observer;
        if !observes {
            for Outstanding { txn, .. } in &self.proposals.outstanding {
                peer.unacked.push_back(Unacked { zxid: txn.zxid, sent_ms: now });
                let message = Message::txn(PacketType::Proposal, txn.zxid, &txn.bytes);
                out.push(Output::Send { to: id, message, after: After::Nothing });
            }
        }
        // An observer was not sent the proposal, and would take the configuration for agreed.
        let proposed = self.config.pending().filter(|_| self.proposals.reconfig.is_none() || !observes);
        let config = proposed.unwrap_or(self.config.current()).to_string();
        self.send_agreed(id, out);
        self.send(id, Message::with(PacketType::NewLeader, self.new_leader_zxid(), config.into_bytes()), out);
    }

    /// A learner's first ACK: its log and its epoch are on disk.
    pub(super) fn new_leader_acked(&mut self, id: PeerId, zxid: Zxid, now: i64, out: &mut Vec<Output>) {
        if zxid != self.new_leader_zxid() {
            return self.drop_peer(id, DropReason::WrongNewLeader(zxid), out);
        }
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.stage = Stage::Synced;
        peer.by_snapshot = false;
        peer.synced_since_ms = now;
        let server = peer.server;
        if self.phase == Phase::Established {
            return self.send_up_to_date(id, out);
        }
        if self.helps_to_establish(&self.peers[&id]) {
            self.support.synced.insert(server);
        }
        self.establish(now, out);
    }

    /// This server's own acknowledgement of its NEWLEADER counts when its epoch is on disk; its log was.
    pub(super) fn acknowledge_myself(&mut self, now: i64, out: &mut Vec<Output>) {
        if self.phase == Phase::Syncing && self.epochs_durable.current >= self.epoch {
            self.support.synced.insert(self.options.id);
            self.establish(now, out);
        }
    }

    /// With a quorum of acknowledgements: what the leader's log held at its election is committed.
    fn establish(&mut self, now: i64, out: &mut Vec<Output>) {
        let mine = self.support.synced.contains(&self.options.id);
        if self.phase != Phase::Syncing || !mine || !self.config.is_quorum_in_all(&self.support.synced) {
            return;
        }
        assert!(self.epochs_durable.current >= self.epoch, "this server's own acknowledgement is on disk");
        assert!(self.proposals.outstanding.is_empty(), "nothing is proposed before the epoch is established");
        self.phase = Phase::Established;
        self.was_established = true;
        self.proposals.committed = self.new_leader_zxid();
        self.next_check_ms = now + self.options.tick_ms;
        self.judge_secrets(out);
        if self.roll_over.is_running {
            self.rolled_over(out);
        } else {
            out.push(Output::Established { epoch: self.epoch });
        }
        if let Some(config) = self.config.pending().cloned() {
            let designated = self.designated(&config, |server| {
                self.support.synced.contains(&server).then_some(self.proposals.committed)
            });
            self.hand_over(designated, now);
            self.config = Config::new(config.clone(), None);
            out.push(Output::Activate { config, designated, zxid: self.new_leader_zxid() });
        }
        for id in self.peers_at(|stage| stage == Stage::Synced) {
            self.send_up_to_date(id, out);
        }
        self.answer_syncs(now, out);
    }

    fn send_up_to_date(&mut self, id: PeerId, out: &mut Vec<Output>) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.stage = Stage::Active;
            peer.serves = true;
            let syncs = std::mem::take(&mut peer.syncs_due);
            self.send(id, Message::bare(PacketType::UpToDate, Zxid(-1)), out);
            self.send_held(id, out);
            (0..syncs).for_each(|_| self.send(id, Message::bare(PacketType::Sync, Zxid::ZERO), out));
        }
    }

    /// The configuration of the files gets this epoch as its version, so that it is newer than the files of a
    /// server that is yet to join: NEWLEADER proposes it, UPTODATE activates it.
    pub(super) fn name_configuration(&mut self) {
        let current = self.config.current();
        if self.options.reconfig_enabled && current.version() == 0 && self.config.pending().is_none() {
            let named = current.clone().with_version(self.new_leader_zxid().0);
            self.config = Config::new(current.clone(), Some(named));
        }
    }

    /// The zxid a learner that is fully up to date may stand at.
    fn shown(&self) -> Zxid {
        let established = self.phase == Phase::Established && self.history.last().epoch() < self.epoch;
        if established { first_zxid(self.epoch) } else { self.history.last() }
    }

    fn set_stage(&mut self, id: PeerId, stage: Stage, deadline_ms: i64) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.stage = stage;
            peer.deadline_ms = deadline_ms;
        }
    }
}
