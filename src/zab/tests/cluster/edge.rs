//! What leaders and learners ask for is done here: sent, written when its turn comes, and checked.

use super::super::node::{LogWrite, Role, Wire, upto};
use super::Cluster;
use crate::ids::{SessionId, Zxid};
use crate::jute::OpCode;
use crate::jute::quorum::PacketType;
use crate::zab::leader;
use crate::zab::learner;
use crate::zab::message::Message;

impl Cluster {
    pub(super) fn lead(&mut self, at: usize, input: leader::Input<'_>) {
        let Role::Leader(leader, _) = &mut self.nodes[at].role else { return };
        let mut out = vec![];
        leader.step(input, self.now, &mut out);
        self.perform_leader(at, out);
    }

    pub(super) fn learn(&mut self, at: usize, input: learner::Input<'_>) {
        let Role::Learner(learner, ..) = &mut self.nodes[at].role else { return };
        let mut out = vec![];
        learner.step(input, self.now, &mut out);
        self.perform_learner(at, out);
    }

    pub(super) fn perform_leader(&mut self, at: usize, outputs: Vec<leader::Output>) {
        for output in outputs {
            let Role::Leader(_, gate) = &mut self.nodes[at].role else { return };
            if let Some(output) = gate.pass(output) {
                self.do_leader(at, output);
            }
        }
    }

    pub(super) fn perform_learner(&mut self, at: usize, outputs: Vec<learner::Output>) {
        for output in outputs {
            let node = &mut self.nodes[at];
            if matches!(output, learner::Output::WriteEpochs { epochs, .. } if epochs.current > node.epochs.current) {
                node.epoch_mark = node.queued;
            }
            let Role::Learner(_, gate, _) = &mut node.role else { return };
            if let Some(output) = gate.pass(output) {
                self.do_learner(at, output);
            }
        }
    }

    pub(super) fn release(&mut self, at: usize) {
        loop {
            match &mut self.nodes[at].role {
                Role::Leader(_, gate) => match gate.next() {
                    Some(output) => self.do_leader(at, output),
                    None => return,
                },
                Role::Learner(_, gate, _) => match gate.next() {
                    Some(output) => self.do_learner(at, output),
                    None => return,
                },
                Role::Looking => return,
            }
        }
    }

    pub(super) fn do_leader(&mut self, at: usize, output: leader::Output) {
        use leader::Output;
        match output {
            Output::Send { to, message, .. } => self.post(to.0, at, &message),
            Output::Drop { peer, .. } => {
                self.saw("dropped");
                if let Some(conn) = self.conns.get_mut(&peer.0) {
                    conn.leader_gone = true;
                }
            }
            Output::WriteEpochs { epochs, .. } => {
                let id = self.nodes[at].id;
                let is_durable = self.nodes[at].log_queue.is_empty();
                assert!(
                    epochs.current == self.nodes[at].epochs.current || is_durable,
                    "{id}: its epoch before its log"
                );
                if epochs.current == epochs.accepted && epochs.current > self.nodes[at].epochs.current {
                    let first = *self.leaders.entry(epochs.current).or_insert(id);
                    assert_eq!(first, id, "two leaders of epoch {}", epochs.current);
                }
                self.nodes[at].epoch_queue.push_back(epochs);
            }
            Output::Agreed(_) => panic!("nobody here knows of secrets"),
            Output::Append(txn) => {
                self.nodes[at].view.push(txn.clone());
                self.nodes[at].queue(LogWrite::Append(txn));
            }
            Output::StreamSnapshot { to, at_least } => {
                let Role::Leader(leader, _) = &self.nodes[at].role else { return };
                // What is committed, or was the leader's at its election.
                let epoch = leader.epoch().unwrap();
                let last = if leader.is_established() { leader.committed() } else { Zxid(epoch << 32) };
                let end = upto(&self.nodes[at].view, last);
                let oldest = upto(&self.nodes[at].view, at_least).min(end);
                let from = if self.random.u8(..100) < 30 { oldest / 2 } else { oldest };
                let count = from + self.random.usize(..end - from + 1);
                let txns = self.nodes[at].view[..count].to_vec();
                let zxid = txns.last().map_or(Zxid::ZERO, |txn| txn.zxid);
                self.post(to.0, at, &Message::bare(PacketType::Snap, zxid));
                if let Some(conn) = self.conns.get_mut(&to.0) {
                    conn.to_learner.push_back(Wire::Snapshot(zxid, txns));
                }
                self.saw("snapshot");
                self.lead(at, leader::Input::SnapshotSent(to, zxid));
            }
            Output::ReadLog { peer, after, upto: end } => {
                let node = &self.nodes[at];
                let from = upto(&node.view, after);
                let mut part = leader::LogPart { whole: true, ..leader::LogPart::default() };
                if from > 0 && after >= node.log_floor && self.random.u8(..100) >= 20 {
                    assert!(end > after);
                    let upto = upto(&node.view, end);
                    let most = 2 + self.random.usize(..4);
                    part.whole = upto - (from - 1) <= most;
                    part.txns = node.view[from - 1..upto.min(from - 1 + most)].to_vec();
                }
                self.saw(match (part.txns.is_empty(), part.whole) {
                    (true, _) => "log read in vain",
                    (false, true) => "log read",
                    (false, false) => "log read in parts",
                });
                self.lead(at, leader::Input::LogRead(peer, part));
            }
            Output::Established { .. } => {
                self.saw("established");
                let view = self.nodes[at].view.clone();
                assert!(view.len() >= self.committed.len(), "leader {} lacks what is committed", self.nodes[at].id);
                self.commit(at, &view);
            }
            Output::RolledOver { epoch } => {
                self.saw("rolled over");
                let node = &self.nodes[at];
                assert!(
                    node.view.len() == self.committed.len() && node.durable == self.committed,
                    "all before it is agreed on"
                );
                assert!(node.epochs.current == epoch);
            }
            Output::Commit { upto: zxid } => {
                let view = self.nodes[at].view[..upto(&self.nodes[at].view, zxid)].to_vec();
                self.commit(at, &view);
            }
            Output::Synced { tag } => self.synced(at, tag),
            Output::StepDown(reason) => {
                self.saw(match reason {
                    leader::StepDown::VoterIsAhead { .. } => "stepped down for a voter",
                    leader::StepDown::VoterPromisedMore { .. } => "made way for a promise",
                    _ => "stepped down",
                });
                self.end_role(at);
            }
            // What it asked for before was proposed, as nothing is forwarded here but syncs.
            Output::Request { peer, op, .. } if op == OpCode::Sync.wire() => {
                self.lead(at, leader::Input::LearnerSync(peer));
            }
            Output::Activate { .. } | Output::Request { .. } | Output::Revalidate { .. } => panic!("{output:?}"),
            Output::Touched { .. } | Output::SyncRefused { .. } => {}
        }
    }

    pub(super) fn do_learner(&mut self, at: usize, output: learner::Output) {
        use learner::Output;
        match output {
            Output::Send { message, .. } => {
                self.check_ack(at, &message);
                if let Role::Learner(_, _, conn) = self.nodes[at].role {
                    self.post(conn, at, &message);
                }
            }
            Output::Agreed(_) => panic!("nobody here knows of secrets"),
            Output::WriteEpochs { epochs, .. } => {
                let node = &mut self.nodes[at];
                assert!(
                    epochs.current == node.epochs.current || node.completed >= node.epoch_mark,
                    "{} writes its epoch before its log",
                    node.id
                );
                node.epoch_queue.push_back(epochs);
            }
            Output::Truncate { to } => {
                self.saw("truncation");
                let Role::Learner(learner, ..) = &self.nodes[at].role else { return };
                let epoch = learner.epochs().accepted;
                let node = &mut self.nodes[at];
                let keep = upto(&node.view, to);
                let same = node.view.iter().zip(&self.committed).take_while(|(a, b)| a == b).count();
                // A leader's own proposal may be cut off and sent again: it is not counted until it is acknowledged
                // again, and may be committed by others meanwhile.
                let lost = self.committed.get(keep..same).unwrap_or_default();
                assert!(lost.iter().all(|txn| txn.zxid.epoch() == epoch), "{} cuts off what is committed", node.id);
                node.view.truncate(keep);
                node.queue(LogWrite::Truncate(to));
            }
            Output::Append(txn) => {
                self.nodes[at].view.push(txn.clone());
                self.nodes[at].queue(LogWrite::Append(txn));
            }
            Output::ReceiveSnapshot { .. } => {}
            Output::Stage(txn) => {
                let (zxid, txns) = self.nodes[at].staged.as_mut().unwrap();
                *zxid = txn.zxid;
                txns.push(txn);
            }
            Output::PersistSnapshot { zxid } => {
                let (staged, txns) = self.nodes[at].staged.take().unwrap();
                assert_eq!(staged, zxid);
                self.nodes[at].view = txns.clone();
                self.nodes[at].queue(LogWrite::Install(zxid, txns));
            }
            Output::Commit { upto: zxid } => {
                let node = &mut self.nodes[at];
                let count = upto(&node.view, zxid);
                assert!(count <= self.committed.len(), "{} commits what no leader has", node.id);
                assert!(node.view[..count] == self.committed[..count], "{} commits something else", node.id);
                assert!(count >= node.shown, "{} goes back", node.id);
                node.shown = count;
            }
            Output::Serve { epoch, .. } => {
                self.saw("serves");
                assert!(self.nodes[at].epochs.current == epoch);
            }
            Output::CollectTouches { ping } => {
                let Role::Learner(learner, ..) = &mut self.nodes[at].role else { return };
                let mut out = vec![];
                learner.touched(ping, [(SessionId(7), 4000)], &mut out);
                self.perform_learner(at, out);
            }
            Output::Synced { tag } => self.synced(at, tag),
            Output::Leave(reason) => {
                self.saw(match reason {
                    learner::LeaveReason::Closed | learner::LeaveReason::Silent => "left",
                    learner::LeaveReason::EpochBehind { .. } => "left a leader of old",
                    learner::LeaveReason::BadSnapshot(_) => "left for a bad snapshot",
                    other => panic!("a well-behaved leader was left: {other}"),
                });
                self.end_role(at);
            }
            Output::ConfigSeen(config) => assert_eq!(config.version(), 0),
            Output::Activate { config, .. } => assert!(config.same_but_version(self.config.current())),
            Output::Revalidated { .. } => panic!("{output:?}"),
        }
    }

    /// Writes under way end, what was held back does not happen.
    pub(super) fn end_role(&mut self, at: usize) {
        self.hang_up(at);
        let node = &mut self.nodes[at];
        let history = match std::mem::replace(&mut node.role, Role::Looking) {
            Role::Leader(leader, _) => {
                node.committed = leader.committed();
                leader.into_history()
            }
            Role::Learner(learner, ..) => {
                node.committed = learner.committed();
                learner.into_history()
            }
            Role::Looking => return,
        };
        while !node.log_queue.is_empty() {
            node.write_log();
        }
        while !node.epoch_queue.is_empty() {
            node.write_epochs();
        }
        node.staged = None;
        assert_eq!(history.last(), node.durable_end, "{}: history and log differ", node.id);
        assert!(node.view == node.durable);
        node.history = Some(history);
    }

    pub(super) fn hang_up(&mut self, at: usize) {
        for conn in self.conns.values_mut() {
            conn.learner_gone |= conn.learner == at && !matches!(self.nodes[at].role, Role::Leader(..));
            conn.leader_gone |= conn.leader == at && matches!(self.nodes[at].role, Role::Leader(..));
        }
    }

    pub(super) fn post(&mut self, id: u64, from: usize, message: &Message) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let mut bytes = vec![];
        message.put(&mut bytes);
        if conn.learner == from {
            conn.to_leader.push_back(Wire::Packet(bytes));
        } else if !conn.leader_gone {
            conn.to_learner.push_back(Wire::Packet(bytes));
        }
    }

    pub(super) fn pick_conn(&mut self) -> Option<u64> {
        let ids: Vec<u64> = self.conns.keys().copied().collect();
        if ids.is_empty() { None } else { Some(ids[self.random.usize(..ids.len())]) }
    }

    pub(super) fn is_looking(&self, at: usize) -> bool {
        self.nodes[at].up && matches!(self.nodes[at].role, Role::Looking)
    }
}
