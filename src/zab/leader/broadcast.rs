//! Broadcast: proposals go out, acknowledgements come in, commits follow in order.
//!
//! A proposal commits when a quorum of voters has it in its log, and its predecessor is committed. While a
//! reconfiguration is proposed, it and what follows need a quorum of both configurations. A follower's
//! acknowledgements come in the order of the proposals it was sent, so one zxid says what its log holds.

use super::peer::{LearnerKind, Peer, PeerId, Stage, Unacked};
use super::state::{HandedOver, Outstanding, Phase};
use super::{DropReason, Leader, Output, Proposal, ProposeError, StepDown};
use crate::ids::{SessionId, Zxid};
use crate::jute::OpCode;
use crate::jute::quorum::{ForwardedRequest, Packet, PacketType, put_revalidate_answer, revalidate_question};
use crate::jute::wire::Reader;
use crate::zab::history::Txn;
use crate::zab::message::{After, Auth, Data, Message};
use crate::zab::voters::{Config, ServerId, Voters};

impl Leader {
    /// Proposes a transaction: into the log and to the followers, at once and in parallel. Behind the epoch's last
    /// counter nothing is proposed before the next epoch has begun.
    pub(crate) fn propose(&mut self, proposal: Proposal, now: i64, out: &mut Vec<Output>) -> Result<(), ProposeError> {
        if !self.leads() {
            return Err(ProposeError::NotLeading);
        }
        if self.handed_over.is_some() {
            return Err(ProposeError::HandedOver);
        }
        if self.is_used_up() || self.roll_over.is_running {
            return Err(ProposeError::CounterExhausted);
        }
        let expected = self.next_zxid();
        if proposal.zxid != expected {
            return Err(ProposeError::NotNext { expected });
        }
        if self.proposals.outstanding.len() >= self.options.max_outstanding {
            return Err(ProposeError::TooManyOutstanding);
        }
        if proposal.config.is_some() && self.proposals.reconfig.is_some() {
            return Err(ProposeError::ReconfigInProgress);
        }
        if let Some(config) = &proposal.config {
            self.proposals.reconfig = Some(proposal.zxid);
            self.config = Config::new(self.config.current().clone(), Some(config.clone()));
        }
        self.proposals.last = proposal.zxid;
        let txn = Txn { zxid: proposal.zxid, bytes: proposal.bytes };
        for (id, peer) in &mut self.peers {
            if peer.is_live() && peer.kind == LearnerKind::Follower {
                peer.unacked.push_back(Unacked { zxid: txn.zxid, sent_ms: now });
                let message = Message::txn(PacketType::Proposal, txn.zxid, &txn.bytes);
                out.push(Output::Send { to: *id, message, after: After::Nothing });
            }
        }
        out.push(Output::Append(txn.clone()));
        self.proposals.outstanding.push_back(Outstanding { txn, config: proposal.config });
        Ok(())
    }

    /// This server's own log is its own acknowledgement.
    pub(super) fn log_durable(&mut self, zxid: Zxid, now: i64, out: &mut Vec<Output>) {
        assert!(zxid <= self.proposals.last, "{zxid} is durable and was never proposed");
        if zxid.epoch() == self.epoch && self.phase == Phase::Established {
            raise(&mut self.proposals.acked, self.options.id, zxid);
            self.commit(now, out);
        }
    }

    /// ACK of a proposal. Late acknowledgements of NEWLEADER and UPTODATE have no meaning, nor have those of observers.
    pub(super) fn acked(&mut self, id: PeerId, zxid: Zxid, now: i64, out: &mut Vec<Output>) {
        let last_proposed = self.proposals.last;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if zxid.counter() == 0 || peer.kind == LearnerKind::Observer {
            return;
        }
        match peer.unacked.front() {
            Some(next) if next.zxid == zxid => peer.unacked.pop_front(),
            Some(next) if zxid < next.zxid => return,
            None if zxid <= last_proposed => return,
            _ => return self.drop_peer(id, DropReason::AckOutOfOrder(zxid), out),
        };
        let server = peer.server;
        if self.config.is_voter(server) {
            raise(&mut self.proposals.acked, server, zxid);
            self.commit(now, out);
        }
    }

    /// Commits what can be, in order.
    fn commit(&mut self, now: i64, out: &mut Vec<Output>) {
        let mut told = self.proposals.committed;
        while self.handed_over.is_none() && self.first_is_agreed() {
            let Some(proposal) = self.proposals.outstanding.pop_front() else { break };
            assert!(
                proposal.txn.zxid == self.proposals.committed.next(),
                "{} after {}",
                proposal.txn.zxid,
                self.proposals.committed
            );
            self.proposals.committed = proposal.txn.zxid;
            let designated = proposal.config.map(|config| {
                told = self.proposals.committed;
                self.agreed_on(config, now, out)
            });
            self.announce_committed(&proposal.txn, designated, out);
            self.history.push(proposal.txn);
        }
        if self.proposals.committed > told {
            out.push(Output::Commit { upto: self.proposals.committed });
        }
        self.answer_syncs(now, out);
        self.roll_over_if_due(now, out);
    }

    fn first_is_agreed(&self) -> bool {
        let Some(first) = self.proposals.outstanding.front() else { return false };
        let zxid = first.txn.zxid;
        let has = |server: ServerId| self.proposals.acked.get(&server).is_some_and(|acked| *acked >= zxid);
        let both = self.proposals.reconfig.is_some_and(|reconfig| zxid >= reconfig);
        self.config.current().is_quorum_by(has)
            && (!both || self.config.pending().is_none_or(|pending| pending.is_quorum_by(has)))
    }

    /// A reconfiguration is committed. Returns who is to lead under it.
    fn agreed_on(&mut self, config: Voters, now: i64, out: &mut Vec<Output>) -> ServerId {
        let zxid = self.proposals.committed;
        let holds = |server| self.proposals.acked.get(&server).copied().filter(|acked| *acked >= zxid);
        let designated = self.designated(&config, holds);
        self.hand_over(designated, now);
        self.proposals.reconfig = None;
        self.config = Config::new(config.clone(), None);
        out.push(Output::Commit { upto: zxid });
        out.push(Output::Activate { config, designated, zxid });
        designated
    }

    /// If it is another one, this server's time is over.
    pub(super) fn hand_over(&mut self, designated: ServerId, now: i64) {
        if designated != self.options.id {
            self.handed_over = Some(HandedOver { to: designated, until_ms: now + self.sync_ms() });
        }
    }

    /// A leader that has handed over steps down when the servers that could follow the next leader have left, or after
    /// syncLimit.
    pub(super) fn make_room_for_successor(&mut self, now: i64, out: &mut Vec<Output>) {
        let Some(HandedOver { to, until_ms }) = self.handed_over else { return };
        // As followers or as observers: an observer may be a voter in the new configuration.
        let stays = |server: ServerId| self.peers.values().any(|peer| peer.server == server);
        if now >= until_ms || !self.config.voters().into_iter().any(stays) {
            self.step_down(StepDown::HandedOver { to }, out);
        }
    }

    /// The designated leader under a configuration: this server, if it is a voter there under its old address, otherwise the
    /// voter that is known to have the most transactions (ZooKeeper 3.9, `Leader.getDesignatedLeader`).
    pub(super) fn designated(&self, config: &Voters, has: impl Fn(ServerId) -> Option<Zxid>) -> ServerId {
        let me = self.options.id;
        if config.is_voter(me) && config.quorum_addresses(me) == self.config.current().quorum_addresses(me) {
            return me;
        }
        let others = config.voters().filter(|server| *server != me);
        let most = others.filter_map(|server| Some((has(server)?, std::cmp::Reverse(server)))).max();
        most.map_or(me, |(_, std::cmp::Reverse(server))| server)
    }

    /// COMMIT to followers, INFORM to observers, or their forms that name the designated leader. What a follower is to be
    /// told before its UPTODATE waits for it, see [`Leader::send_held`].
    fn announce_committed(&mut self, txn: &Txn, designated: Option<ServerId>, out: &mut Vec<Output>) {
        for (id, peer) in self.peers.iter_mut().filter(|(_, peer)| peer.is_live()) {
            let message = match (peer.kind, designated) {
                (LearnerKind::Follower, _) if peer.stage == Stage::Active => commit_of(txn.zxid, designated),
                (LearnerKind::Follower, designated) => {
                    peer.held_activations.extend(designated.map(|leader| (txn.zxid, leader)));
                    continue;
                }
                (LearnerKind::Observer, None) => Message::txn(PacketType::Inform, txn.zxid, &txn.bytes),
                (LearnerKind::Observer, Some(leader)) => Message {
                    data: Data::Designated(leader, txn.bytes.clone()),
                    ..Message::bare(PacketType::InformAndActivate, txn.zxid)
                },
            };
            out.push(Output::Send { to: *id, message, after: After::Nothing });
        }
    }

    /// After UPTODATE: the commits since a follower was sent NEWLEADER. A ZooKeeper that gets such a commit between the two
    /// may fail: 3.6.3 to 3.8.6, and 3.9.2, look for the proposal only among those after NEWLEADER, and fail if it is not
    /// there (ZOOKEEPER-4394). And no release activates a configuration there whose proposal is not the first one that it
    /// holds. Zxids of an epoch have no gaps, so only the first zxid and the designated leaders are kept.
    pub(super) fn send_held(&mut self, id: PeerId, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| peer.kind == LearnerKind::Follower) else { return };
        let activations = std::mem::take(&mut peer.held_activations);
        let mut zxid = peer.told;
        while zxid < self.proposals.committed {
            zxid = zxid.next();
            let designated = activations.iter().find(|(at, _)| *at == zxid).map(|(_, leader)| *leader);
            self.send(id, commit_of(zxid, designated), out);
        }
    }

    /// REQUEST: the caller's, also sync, which comes back as [`super::Input::LearnerSync`] in its turn.
    pub(super) fn request(&mut self, id: PeerId, packet: &Packet<'_>, out: &mut Vec<Output>) {
        let Ok(request) = ForwardedRequest::decode(packet.data.unwrap_or_default()) else {
            return self.drop_peer(id, DropReason::Malformed(packet.kind), out);
        };
        if !is_forwarded(&request) {
            return self.drop_peer(id, DropReason::NotForwarded { op: request.op }, out);
        }
        out.push(Output::Request {
            peer: id,
            session: request.session,
            cxid: request.cxid,
            op: request.op,
            body: request.body.to_vec(),
            auth: Auth::of(packet),
        });
    }

    /// REVALIDATE: the caller knows the sessions.
    pub(super) fn revalidate(&mut self, id: PeerId, packet: &Packet<'_>, out: &mut Vec<Output>) {
        match revalidate_question(packet.data.unwrap_or_default()) {
            Ok((session, timeout_ms)) => out.push(Output::Revalidate { peer: id, session, timeout_ms }),
            Err(_) => self.drop_peer(id, DropReason::Malformed(packet.kind), out),
        }
    }

    pub(super) fn revalidated(&mut self, id: PeerId, session: SessionId, valid: bool, out: &mut Vec<Output>) {
        if self.peers.get(&id).is_some_and(Peer::is_synced) {
            let mut data = vec![];
            put_revalidate_answer(&mut data, session, valid);
            self.send(id, Message::with(PacketType::Revalidate, Zxid(-1), data), out);
        }
    }
}

/// Whether a learner forwards such a request. Requests that only a leader makes have no session, and no learner forwards
/// them. deleteContainer is an exception: a following ZooKeeper forwards one that a client has made up, and the leader
/// refuses it. (ZooKeeper 3.9, `FollowerRequestProcessor`.)
fn is_forwarded(request: &ForwardedRequest<'_>) -> bool {
    let Some(op) = OpCode::from_wire(request.op).filter(|_| request.session != SessionId::NONE) else { return false };
    match op {
        OpCode::CreateSession => Reader::new(request.body).int().is_ok_and(|timeout_ms| timeout_ms > 0),
        OpCode::Check | OpCode::Sync => true,
        op => op.is_write(),
    }
}

fn commit_of(zxid: Zxid, designated: Option<ServerId>) -> Message {
    match designated {
        None => Message::bare(PacketType::Commit, zxid),
        Some(leader) => Message::with(PacketType::CommitAndActivate, zxid, leader.0.to_be_bytes().to_vec()),
    }
}

fn raise(acked: &mut std::collections::BTreeMap<ServerId, Zxid>, server: ServerId, zxid: Zxid) {
    let known = acked.entry(server).or_insert(zxid);
    *known = zxid.max(*known);
}
