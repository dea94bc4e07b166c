//! Discovery: a quorum of voters comes, an epoch newer than any of theirs is taken and promised.
//!
//! Only a quorum that has promised the epoch makes it this leader's: from then on no leader of an older epoch can commit
//! anything. If one of these voters has more transactions than this server, this server should not have been elected, and
//! goes back to the election.
//!
//! What a learner says it has accepted counts here and nowhere else: a voter's, before the epoch is chosen, and within
//! [`crate::limits::EPOCH_JUMP`]. Nothing of it is written down before a quorum of voters has come.

use super::peer::{LearnerKind, PeerId, Stage};
use super::state::Phase;
use super::{DropReason, Leader, Output, StepDown};
use crate::ids::Zxid;
use crate::jute::quorum::{
    LearnerInfo, PROTOCOL_CORRAL, PROTOCOL_EPOCHS, PROTOCOL_SECRETS, Packet, PacketType, single_int,
};
use crate::zab::epochs::{Epochs, MAX_EPOCH, is_plausible};
use crate::zab::message::{After, Message};
use crate::zab::voters::ServerId;

/// What a learner says of itself.
struct Introduction {
    /// None is an observer without a number.
    server: Option<ServerId>,
    knows_roll_over: bool,
    knows_secrets: bool,
}

impl Leader {
    /// FOLLOWERINFO or OBSERVERINFO.
    pub(super) fn introduced(&mut self, id: PeerId, packet: &Packet<'_>, now: i64, out: &mut Vec<Output>) {
        let kind = match packet.kind {
            PacketType::ObserverInfo => LearnerKind::Observer,
            _ => LearnerKind::Follower,
        };
        let Introduction { server, knows_roll_over, knows_secrets } = match self.check_introduction(kind, packet) {
            Ok(introduction) => introduction,
            Err(reason) => return self.drop_peer(id, reason, out),
        };
        let server = server.unwrap_or_else(|| {
            self.next_anonymous -= 1;
            ServerId(self.next_anonymous + 1)
        });
        let accepted = packet.zxid.epoch();
        let older = self.peers.iter().find(|(other, peer)| **other != id && peer.server == server).map(|(id, _)| *id);
        if let Some(older) = older {
            // A learner that lost its connection may have promised a newer epoch since. It connects again when this server
            // has noticed the loss, too.
            if self.peers[&older].serves && accepted > self.epoch {
                return self.drop_peer(id, DropReason::ContradictsItself(accepted), out);
            }
            self.drop_peer(older, DropReason::Replaced, out);
        }
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.server = server;
        peer.kind = kind;
        peer.knows_roll_over = knows_roll_over;
        peer.knows_secrets = knows_secrets;
        peer.stage = Stage::Introduced { asked: false };
        peer.deadline_ms = i64::MAX;
        self.announced(server, knows_secrets, out);
        let votes = self.helps_to_establish(&self.peers[&id]);
        if self.phase != Phase::Gathering {
            if accepted > self.epoch && votes {
                // The voter has promised a newer epoch to a leader that failed: it could never follow this leader, and would
                // be missing permanently. A new election takes an epoch above both. (ZooKeeper 3.9 leaves such a voter out
                // until its leader ends.)
                return self.step_down(StepDown::VoterPromisedMore { voter: server, accepted }, out);
            }
            self.request_promise(id, now, out);
            return;
        }
        if votes {
            self.epoch = self.epoch.max(accepted);
            self.support.came.insert(server);
        }
        self.take_epoch(now, out);
    }

    /// What a learner says of itself, if it may follow here.
    fn check_introduction(&self, kind: LearnerKind, packet: &Packet<'_>) -> Result<Introduction, DropReason> {
        let accepted = packet.zxid.epoch();
        if accepted >= MAX_EPOCH {
            return Err(DropReason::EpochOutOfRange(accepted));
        }
        if !is_plausible(accepted, self.epochs.accepted) {
            return Err(DropReason::EpochImplausible { accepted, own: self.epochs.accepted });
        }
        let mut introduction = Introduction { server: None, knows_roll_over: false, knows_secrets: false };
        if let Some(data) = packet.data {
            let info = LearnerInfo::decode(data).map_err(|_| DropReason::BadIntroduction)?;
            if info.protocol < PROTOCOL_EPOCHS {
                return Err(DropReason::OldProtocol(info.protocol));
            }
            if info.config_version > self.config.current().version() {
                return Err(DropReason::ConfigAhead(info.config_version));
            }
            // Negative ids are assigned to observers without an id.
            introduction.server = Some(ServerId(info.server)).filter(|id| (0..i64::MAX).contains(&id.0));
            introduction.knows_roll_over = info.protocol >= PROTOCOL_CORRAL;
            introduction.knows_secrets = info.protocol >= PROTOCOL_SECRETS;
        }
        match introduction.server {
            None if kind == LearnerKind::Follower => Err(DropReason::BadIntroduction),
            Some(server) if server == self.options.id => Err(DropReason::SaysItIsMe),
            _ => Ok(introduction),
        }
    }

    /// With a quorum of voters here: takes the next epoch, writes it down and asks for promises.
    pub(super) fn take_epoch(&mut self, now: i64, out: &mut Vec<Output>) {
        if self.phase != Phase::Gathering || !self.config.is_quorum_in_all(&self.support.came) {
            return;
        }
        if self.epoch >= MAX_EPOCH {
            return self.step_down(StepDown::EpochsExhausted, out);
        }
        self.epoch += 1;
        self.name_configuration();
        self.begin_to_promise(now, out);
    }

    /// Promises the epoch, and asks those who are there to promise it, too.
    pub(super) fn begin_to_promise(&mut self, now: i64, out: &mut Vec<Output>) {
        self.phase = Phase::Promising;
        self.phase_deadline_ms = self.phase_until_ms(now);
        self.epochs = self.epochs.promised(self.epoch);
        out.push(Output::WriteEpochs { epochs: self.epochs, after: After::Nothing });
        let waiting: Vec<PeerId> = self.peers_at(|stage| stage != Stage::Silent);
        for id in waiting {
            self.request_promise(id, now, out);
        }
    }

    /// LEADERINFO, which leaves when this server's own promise is on disk.
    fn request_promise(&mut self, id: PeerId, now: i64, out: &mut Vec<Output>) {
        let (init_ms, sync_ms) = (self.init_ms(), self.sync_ms());
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.stage = Stage::Introduced { asked: true };
        peer.deadline_ms = now + if peer.serves { sync_ms } else { init_ms };
        let message =
            Message::with(PacketType::LeaderInfo, self.new_leader_zxid(), PROTOCOL_EPOCHS.to_be_bytes().to_vec());
        let promise = Epochs { accepted: self.epoch, current: self.summary.0 };
        out.push(Output::Send { to: id, message, after: After::Epochs(promise) });
    }

    /// ACKEPOCH: a promise; with -1, only the zxid of a learner that promised this epoch before.
    pub(super) fn ack_epoch(&mut self, id: PeerId, packet: &Packet<'_>, now: i64, out: &mut Vec<Output>) {
        let Ok(current) = single_int(packet.data) else {
            return self.drop_peer(id, DropReason::Malformed(packet.kind), out);
        };
        let current = i64::from(current);
        let last = packet.zxid;
        let serves = self.peers.get(&id).is_some_and(|peer| peer.serves);
        if serves && !self.stands_at_the_end(id, last, out) {
            return;
        }
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let server = peer.server;
        peer.stage = Stage::Promised { last };
        peer.deadline_ms = i64::MAX;
        if self.phase != Phase::Promising {
            return self.bring_up_to_date(id, last, now, out);
        }
        if current != -1 && self.helps_to_establish(&self.peers[&id]) {
            if (current, last) > self.summary {
                return self.step_down(StepDown::VoterIsAhead { voter: server, epoch: current, last }, out);
            }
            self.support.promised.insert(server);
        }
        self.begin_sync(now, out);
    }

    /// This server's own promise counts when it is on disk.
    pub(super) fn promise_of_my_own(&mut self, now: i64, out: &mut Vec<Output>) {
        if self.phase == Phase::Promising && self.epochs_durable.accepted >= self.epoch {
            self.support.promised.insert(self.options.id);
            self.begin_sync(now, out);
        }
    }

    /// With a quorum of promises: the epoch is this leader's.
    fn begin_sync(&mut self, now: i64, out: &mut Vec<Output>) {
        let mine = self.support.promised.contains(&self.options.id);
        if self.phase != Phase::Promising || !mine || !self.config.is_quorum_in_all(&self.support.promised) {
            return;
        }
        assert!(self.epochs_durable.accepted >= self.epoch, "this server's own promise is on disk");
        assert!(self.new_leader_zxid() > self.history.last(), "an epoch's zxids are above all before it");
        self.phase = Phase::Syncing;
        self.phase_deadline_ms = self.phase_until_ms(now);
        self.proposals.last = self.new_leader_zxid();
        self.epochs = self.epochs.established(self.epoch);
        out.extend(self.secrets.agreed.map(Output::Agreed));
        out.push(Output::WriteEpochs { epochs: self.epochs, after: After::Nothing });
        let promised: Vec<(PeerId, Zxid)> = self
            .peers
            .iter()
            .filter_map(|(id, peer)| match peer.stage {
                Stage::Promised { last } => Some((*id, last)),
                _ => None,
            })
            .collect();
        for (id, last) in promised {
            self.bring_up_to_date(id, last, now, out);
        }
    }

    pub(super) fn peers_at(&self, at: impl Fn(Stage) -> bool) -> Vec<PeerId> {
        self.peers.iter().filter(|(_, peer)| at(peer.stage)).map(|(id, _)| *id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Input, Options};
    use super::*;
    use crate::config::Settings;
    use crate::zab::history::{History, HistoryLimits};
    use crate::zab::voters::{Config, Voters};
    use std::sync::Arc;

    /// The ms after which a leader that nobody follows gives up, of those at which it is asked.
    fn waits_ms(gather_ms: Option<i64>) -> Option<i64> {
        let text = b"server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\n";
        let config = Config::new(Voters::parse(text).unwrap(), None);
        let settings = Arc::new(Settings { gather_ms, ..Settings::default() });
        let options = Options { settings, ..Options::new(ServerId(1), 100, 10, 5) };
        let history = History::new(HistoryLimits::default(), Zxid::ZERO);
        let mut leader = Leader::new(options, config, Epochs::default(), history, Zxid::ZERO, 0);
        (0..=2_000).step_by(50).find(|now| {
            let mut out = vec![];
            leader.step(Input::Tick, *now, &mut out);
            out.contains(&Output::StepDown(StepDown::NobodyCame))
        })
    }

    #[test]
    fn a_quorum_is_waited_for_as_long_as_was_said() {
        assert_eq!(waits_ms(None), Some(1_000));
        assert_eq!(waits_ms(Some(400)), Some(400));
        // A tick at least, and never longer than the rest may take.
        assert_eq!(waits_ms(Some(0)), Some(100));
        assert_eq!(waits_ms(Some(60_000)), Some(1_000));
    }
}
