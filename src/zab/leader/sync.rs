//! Synchronisation: a learner is brought to the leader's history and joins the live stream.
//!
//! What a learner that stands at P is sent, with the history's floor F and end E, and Z the zxid the leader
//! shows (E, or its epoch's first zxid once it is established and nothing was committed since):
//!
//! | # | where P is | sent |
//! |---|---|---|
//! | 1 | anywhere, and snapshots are forced | SNAP |
//! | 2 | P = Z | DIFF(P), nothing more |
//! | 3 | P > E, not bare | TRUNC(E); SNAP if E is 0 |
//! | 4 | P > E, bare | SNAP |
//! | 5 | F ≤ P ≤ E, and known or bare | DIFF(E) and all after P |
//! | 6 | F ≤ P ≤ E, unknown, next transaction of P's epoch | TRUNC(the one before) and all after that |
//! | 7 | F ≤ P ≤ E, unknown, next transaction of another epoch | SNAP |
//! | 8 | P < F, and the log on disk reaches back to P | as 5, 6, 7, from there |
//! | 9 | P < F otherwise | SNAP |
//!
//! A bare zxid is an epoch's first, which no transaction has: a learner that was brought up to date by
//! that epoch's leader may say it stands there. TRUNC never crosses an epoch: a learner would refuse.
//! (ZooKeeper 3.9, `LearnerHandler.syncFollower`; its minimum is the first entry it keeps, the floor here
//! is the one before, so a learner that stands there needs no disk.)
//!
//! After that come the proposals that are not committed, for followers, then NEWLEADER, and in the same
//! step the learner joins the live stream: no gap, no duplicate. A snapshot comes from a file and may take
//! long; meanwhile nothing is kept for its receiver, and what it lacks afterwards comes from memory or disk.

use super::peer::{LearnerKind, PeerId, Stage, Unacked};
use super::{DropReason, Leader, Output, Phase};
use crate::ids::Zxid;
use crate::jute::quorum::PacketType;
use crate::zab::epochs::first_zxid;
use crate::zab::history::{History, Txn, follows};
use crate::zab::leader::broadcast::Outstanding;
use crate::zab::message::{After, Message};
use crate::zab::voters::Config;

/// What a learner is sent first. See the table above.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// DIFF with this zxid, then every transaction after `after`.
    Diff {
        zxid: Zxid,
        after: Zxid,
    },
    /// TRUNC with this zxid, then every transaction after it.
    Trunc {
        to: Zxid,
    },
    Snap,
    /// The log on disk must be asked first.
    ReadLog,
}

/// The table, for what is in memory. `shown` is the zxid the leader shows.
pub fn decide(history: &History, shown: Zxid, peer: Zxid, force_snapshot: bool) -> Decision {
    let bare = peer.counter() == 0;
    if force_snapshot {
        Decision::Snap
    } else if peer == shown {
        Decision::Diff { zxid: peer, after: history.last() }
    } else if peer > history.last() {
        if bare || history.last() == Zxid::ZERO { Decision::Snap } else { Decision::Trunc { to: history.last() } }
    } else if peer >= history.floor() {
        let next = history.after(peer).next().map(|txn| txn.zxid);
        walk(history.at_or_before(peer), next, peer, history.last())
    } else {
        Decision::ReadLog
    }
}

/// Rows 5 to 7: `before` is the last known zxid at or below the peer's, `next` the first above it.
fn walk(before: Option<Zxid>, next: Option<Zxid>, peer: Zxid, end: Zxid) -> Decision {
    if before == Some(peer) || peer.counter() == 0 {
        return Decision::Diff { zxid: end, after: peer };
    }
    match (before, next) {
        (Some(before), Some(next)) if next.epoch() == peer.epoch() && before > Zxid::ZERO => {
            Decision::Trunc { to: before }
        }
        _ => Decision::Snap,
    }
}

/// Row 8: what was read from disk, if it is whole and reaches what is in memory.
fn decide_with_log(txns: &[Txn], history: &History, peer: Zxid) -> Decision {
    if !is_whole(txns, history, peer) {
        return Decision::Snap;
    }
    let before = txns.iter().map(|txn| txn.zxid).take_while(|zxid| *zxid <= peer).last();
    let next = txns.iter().map(|txn| txn.zxid).find(|zxid| *zxid > peer);
    let next = next.or_else(|| history.after(peer).next().map(|txn| txn.zxid));
    walk(before, next, peer, history.last())
}

/// Whether these start at or below `from`, have no gap, and reach what is in memory.
fn is_whole(txns: &[Txn], history: &History, from: Zxid) -> bool {
    let (Some(first), Some(last)) = (txns.first(), txns.last()) else { return false };
    first.zxid <= from
        && last.zxid >= history.floor()
        && last.zxid <= history.last()
        && txns.windows(2).all(|pair| follows(pair[0].zxid, pair[1].zxid))
}

impl Leader {
    /// Sends a learner that stands at `last` what it lacks, or begins to.
    pub(super) fn bring_up_to_date(&mut self, id: PeerId, last: Zxid, now: i64, out: &mut Vec<Output>) {
        let shown = self.shown();
        let decision = decide(&self.history, shown, last, self.options.force_snapshot);
        let server = self.peers[&id].server;
        // It may be told to cut off what it had acknowledged: from here on its log holds what it says anew.
        self.acked.remove(&server);
        let (syncs, limit) = match decision {
            Decision::Snap => {
                (self.peers.values().filter(|peer| peer.by_snapshot).count(), self.options.max_snapshot_syncs)
            }
            _ => (self.peers.values().filter(|peer| peer.is_syncing()).count(), self.options.max_diff_syncs),
        };
        if syncs >= limit && !self.counts(&self.peers[&id]) {
            return self.drop_peer(id, DropReason::TooManySyncs, out);
        }
        if decision == Decision::ReadLog {
            self.set_stage(id, Stage::ReadingLog { last }, i64::MAX);
            out.push(Output::ReadLog { peer: id, after: last, upto: self.history.floor() });
        } else {
            self.carry_out(id, decision, &[], now, out);
        }
    }

    /// What the log on disk had.
    pub(super) fn log_read(&mut self, id: PeerId, txns: &[Txn], now: i64, out: &mut Vec<Output>) {
        // The log may hold proposals that are not committed: they are sent as such.
        let committed = txns.partition_point(|txn| txn.zxid <= self.history.last());
        let txns = &txns[..committed];
        match self.peers.get(&id).map(|peer| peer.stage) {
            Some(Stage::ReadingLog { last }) => {
                let decision = decide_with_log(txns, &self.history, last);
                self.carry_out(id, decision, txns, now, out);
            }
            Some(Stage::ReadingRest { snapshot }) => {
                if !is_whole(txns, &self.history, snapshot) {
                    return self.drop_peer(id, DropReason::SnapshotUnusable(snapshot), out);
                }
                self.send_after(id, snapshot, txns, out);
                self.join(id, now, out);
            }
            _ => {}
        }
    }

    fn carry_out(&mut self, id: PeerId, decision: Decision, from_disk: &[Txn], now: i64, out: &mut Vec<Output>) {
        match decision {
            Decision::Diff { zxid, after } => {
                self.send(id, Message::bare(PacketType::Diff, zxid), out);
                self.send_after(id, after, from_disk, out);
                self.join(id, now, out);
            }
            Decision::Trunc { to } => {
                self.send(id, Message::bare(PacketType::Trunc, to), out);
                self.send_after(id, to, from_disk, out);
                self.join(id, now, out);
            }
            Decision::Snap | Decision::ReadLog => {
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
            self.send_after(id, zxid, &[], out);
            self.join(id, now, out);
        } else {
            self.set_stage(id, Stage::ReadingRest { snapshot: zxid }, i64::MAX);
            out.push(Output::ReadLog { peer: id, after: zxid, upto: self.history.floor() });
        }
    }

    /// Every committed transaction after `after`, from what was read from disk and then from memory.
    fn send_after(&self, id: PeerId, after: Zxid, from_disk: &[Txn], out: &mut Vec<Output>) {
        let mut last = after;
        let from_disk = from_disk.iter().filter(|txn| txn.zxid > after);
        let joint = from_disk.clone().next_back().map_or(after, |txn| txn.zxid);
        for txn in from_disk.chain(self.history.after(joint)) {
            assert!(txn.zxid > last, "{} sent after {last}", txn.zxid);
            last = txn.zxid;
            self.send(id, Message::txn(PacketType::Proposal, txn.zxid, &txn.bytes), out);
            self.send(id, Message::bare(PacketType::Commit, txn.zxid), out);
        }
    }

    /// Outstanding proposals, NEWLEADER, and from here on everything as it happens.
    fn join(&mut self, id: PeerId, now: i64, out: &mut Vec<Output>) {
        self.set_stage(id, Stage::Joined, now + self.init_ms());
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let observes = peer.kind == LearnerKind::Observer;
        if !observes {
            for Outstanding { txn, .. } in &self.outstanding {
                peer.unacked.push_back(Unacked { zxid: txn.zxid, sent_ms: now });
                let message = Message::txn(PacketType::Proposal, txn.zxid, &txn.bytes);
                out.push(Output::Send { to: id, message, after: After::Nothing });
            }
        }
        // An observer has not been sent the proposal it would take it from, and would think it agreed on.
        let proposed = self.config.pending().filter(|_| self.reconfig.is_none() || !observes);
        let config = proposed.unwrap_or(self.config.current()).to_string();
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
        if self.counts(&self.peers[&id]) {
            self.synced.insert(server);
        }
        self.establish(now, out);
    }

    /// This server's own acknowledgement of its NEWLEADER counts when its epoch is on disk; its log was.
    pub(super) fn acknowledge_myself(&mut self, now: i64, out: &mut Vec<Output>) {
        if self.phase == Phase::Syncing && self.epochs_durable.current >= self.epoch {
            self.synced.insert(self.options.id);
            self.establish(now, out);
        }
    }

    /// With a quorum of acknowledgements: what the leader's log held at its election is committed.
    fn establish(&mut self, now: i64, out: &mut Vec<Output>) {
        let mine = self.synced.contains(&self.options.id);
        if self.phase != Phase::Syncing || !mine || !self.config.is_quorum_in_all(&self.synced) {
            return;
        }
        self.phase = Phase::Established;
        self.was_established = true;
        self.committed = self.new_leader_zxid();
        self.next_check_ms = now + self.options.tick_ms;
        out.push(Output::Established { epoch: self.epoch });
        if let Some(config) = self.config.pending().cloned() {
            let designated = self.designated(&config, |server| self.synced.contains(&server).then_some(self.committed));
            self.hand_over(designated, now);
            self.config = Config::new(config.clone(), None);
            out.push(Output::Activate { config, designated, zxid: self.new_leader_zxid() });
        }
        for id in self.peers_at(|stage| stage == Stage::Synced) {
            self.send_up_to_date(id, out);
        }
    }

    fn send_up_to_date(&mut self, id: PeerId, out: &mut Vec<Output>) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.stage = Stage::Active;
            self.send(id, Message::bare(PacketType::UpToDate, Zxid(-1)), out);
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
