//! Liveness: PINGs every half tick, silent learners are dropped, a leader without a quorum steps down.
//!
//! A round of PINGs is also what makes sync a barrier. A follower that answers a PING follows this leader
//! at that moment, so when a quorum has answered PINGs that were sent after a sync came in, no other
//! leader had been established by then: whatever any client had been told is committed here. Learners
//! answer each PING that follows UPTODATE, in order, and repeat its zxid: the n-th answer is to the n-th.

use super::peer::{Peer, PeerId, PingSent, Stage};
use super::state::{Phase, SyncFrom, Waiting};
use super::{DropReason, Leader, Output, StepDown};
use crate::ids::Zxid;
use crate::jute::quorum::{Packet, PacketType, touches};
use crate::zab::message::{After, Message};
use crate::zab::voters::ServerId;

/// PINGs that may be on their way to one voter for the sake of sync; those of every half tick come on top.
const PINGS_ON_THEIR_WAY: usize = 64;

impl Leader {
    pub(super) fn tick(&mut self, now: i64, out: &mut Vec<Output>) {
        // A server that alone is a quorum waits for no other server.
        self.take_epoch(now, out);
        if now >= self.phase_deadline_ms {
            let reason = match self.phase {
                Phase::Gathering => Some(StepDown::NobodyCame),
                Phase::Promising => Some(StepDown::NoPromises),
                Phase::Syncing => Some(StepDown::NotAcknowledged),
                Phase::Established | Phase::Over => None,
            };
            if let Some(reason) = reason {
                return self.step_down(reason, out);
            }
        }
        self.roll_over_if_due(now, out);
        self.drop_silent(now, out);
        self.make_room_for_successor(now, out);
        if self.phase == Phase::Over {
            return;
        }
        self.judge_secrets(out);
        if self.leads() && self.handed_over.is_none() && now >= self.next_check_ms {
            self.next_check_ms = now + self.options.tick_ms;
            let id = self.options.id;
            let synced = |server| {
                let lately = |peer: &Peer| peer.server == server && peer.synced_until_ms >= now;
                server == id || self.peers.values().any(|peer| self.counts(peer) && lately(peer))
            };
            if !self.config.is_quorum_in_all_by(synced) {
                return self.step_down(StepDown::LostQuorum, out);
            }
        }
        if now >= self.next_ping_ms {
            self.next_ping_ms = now + self.options.tick_ms / 2;
            self.ping(|peer| peer.serves || peer.is_live(), now, out);
            self.answer_syncs(now, out);
        }
    }

    fn drop_silent(&mut self, now: i64, out: &mut Vec<Output>) {
        let sync_ms = self.sync_ms();
        let mut late = vec![];
        for (id, peer) in &self.peers {
            let unanswered = peer.pings.front().is_some_and(|ping| now > ping.sent_ms + sync_ms);
            if now > peer.deadline_ms || unanswered {
                late.push((*id, DropReason::Silent));
            } else if let Some(oldest) = peer.unacked.front()
                && matches!(peer.stage, Stage::Synced | Stage::Active)
                && now > oldest.sent_ms.max(peer.synced_since_ms) + sync_ms
                && self.phase == Phase::Established
            {
                late.push((*id, DropReason::SlowToAcknowledge(oldest.zxid)));
            }
        }
        for (id, reason) in late {
            self.drop_peer(id, reason, out);
        }
    }

    /// A round of PINGs. Learners that were sent UPTODATE answer; to the others, which are synchronised or about to be, a
    /// PING is a sign of life.
    fn ping(&mut self, whom: impl Fn(&Peer) -> bool, now: i64, out: &mut Vec<Output>) {
        self.barriers.sent += 1;
        let ping = PingSent { round: self.barriers.sent, zxid: self.proposals.last, sent_ms: now };
        for (id, peer) in self.peers.iter_mut().filter(|(_, peer)| whom(peer)) {
            if peer.serves {
                peer.pings.push_back(ping);
            }
            let message = Message::bare(PacketType::Ping, ping.zxid);
            out.push(Output::Send { to: *id, message, after: After::Nothing });
        }
    }

    /// The answer to a PING: what its learner has heard of, and that it follows.
    pub(super) fn pong(&mut self, id: PeerId, packet: &Packet<'_>, now: i64, out: &mut Vec<Output>) {
        let touched = match touches(packet.data.unwrap_or_default()) {
            Ok(touched) => touched.collect(),
            Err(_) => return self.drop_peer(id, DropReason::Malformed(packet.kind), out),
        };
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let round = match peer.pings.pop_front() {
            Some(ping) if ping.zxid == packet.zxid => ping.round,
            _ => return self.drop_peer(id, DropReason::WrongPing(packet.zxid), out),
        };
        let server = peer.server;
        out.push(Output::Touched { peer: id, touches: touched });
        if self.counts(&self.peers[&id]) {
            let last = self.barriers.by_server.entry(server).or_default();
            *last = round.max(*last);
            self.answer_syncs(now, out);
        }
    }

    /// A sync waits for a round of PINGs that is sent after it: at once, unless a round is under way.
    pub(super) fn sync(&mut self, from: SyncFrom, now: i64, out: &mut Vec<Output>) {
        // Syncs of this server's clients do not count against learners: each learner has its own limit.
        let waiting = match from {
            SyncFrom::Client(_) => self.barriers.waiting.len(),
            SyncFrom::Learner(id) => self.peers.get(&id).map_or(0, |peer| peer.syncs_waiting),
        };
        let refused = !self.leads() || waiting >= self.options.max_syncs;
        match from {
            SyncFrom::Client(tag) if refused => return out.push(Output::SyncRefused { tag }),
            SyncFrom::Client(_) => {}
            SyncFrom::Learner(id) if refused => return self.drop_peer(id, DropReason::TooManySyncRequests, out),
            SyncFrom::Learner(id) => {
                if let Some(peer) = self.peers.get_mut(&id) {
                    peer.syncs_waiting += 1;
                }
            }
        }
        let round = self.barriers.sent + 1;
        self.barriers.waiting.push_back(Waiting { from, round, upto: self.proposals.last });
        self.answer_syncs(now, out);
    }

    /// Answers what need not wait any longer, and sends a round for the rest when none is on its way: to the
    /// voters, but for those who are behind with their answers.
    pub(super) fn answer_syncs(&mut self, now: i64, out: &mut Vec<Output>) {
        let Some(newest) = self.barriers.waiting.back().map(|last| last.round) else { return };
        self.count_answers();
        if self.barriers.sent == self.barriers.answered && newest > self.barriers.sent {
            let voters = self.config.voters();
            let in_time = |peer: &Peer| peer.serves && peer.pings.len() < PINGS_ON_THEIR_WAY;
            self.ping(|peer| in_time(peer) && voters.contains(&peer.server), now, out);
            self.count_answers();
        }
        while let Some(first) = self.barriers.waiting.front() {
            if first.round > self.barriers.answered || first.upto > self.proposals.committed {
                break;
            }
            let from = first.from;
            self.barriers.waiting.pop_front();
            match from {
                SyncFrom::Client(tag) => out.push(Output::Synced { tag }),
                SyncFrom::Learner(id) => self.sync_answered(id, out),
            }
        }
    }

    /// SYNC, after everything that was committed before. A learner in the middle of a roll-over has not got all of that yet,
    /// or shows it only at UPTODATE.
    fn sync_answered(&mut self, id: PeerId, out: &mut Vec<Output>) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.syncs_waiting -= 1;
        }
        match self.peers.get_mut(&id) {
            Some(peer) if peer.stage != Stage::Active => peer.syncs_due += 1,
            _ => self.send(id, Message::bare(PacketType::Sync, Zxid::ZERO), out),
        }
    }

    /// The newest round that a quorum answered, this server being one of them.
    fn count_answers(&mut self) {
        let id = self.options.id;
        let sent = self.barriers.sent;
        let answered = |server: &ServerId| {
            if *server == id { sent } else { self.barriers.by_server.get(server).copied().unwrap_or(0) }
        };
        let mut rounds: Vec<u64> = self.config.voters().iter().map(answered).collect();
        rounds.sort_unstable();
        let newest = rounds
            .into_iter()
            .rev()
            .find(|round| self.config.is_quorum_in_all_by(|server| answered(&server) >= *round));
        self.barriers.answered = self.barriers.answered.max(newest.unwrap_or(0));
    }
}
