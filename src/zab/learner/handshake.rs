//! From the introduction to UPTODATE: the promise, what is lacking, and the acknowledgement of NEWLEADER.
//!
//! | the leader sends | with it | the log before NEWLEADER |
//! |---|---|---|
//! | DIFF | what follows this server's log | followers append each proposal as it comes |
//! | TRUNC | a place in this server's log, and what follows it | is cut, then as with DIFF |
//! | SNAP | a state, and what follows it | is left alone: the state is held aside, and what is committed is applied to it there |
//!
//! At NEWLEADER a state that was held aside becomes a durable snapshot, which the log goes on from, and
//! what was proposed after it is appended. So in every case the log is durable first (and the secret that is agreed on), then the epoch,
//! then the acknowledgement leaves; a crash at any point leaves a prefix of the leader's history, or what
//! was there before.

use super::{Learner, LeaveReason, Output, Stage};
use crate::ids::Zxid;
use crate::jute::quorum::{PROTOCOL_EPOCHS, Packet, PacketType, single_int};
use crate::zab::epochs::{MAX_EPOCH, first_zxid, is_plausible};
use crate::zab::leader::LearnerKind;
use crate::zab::message::{After, Message};
use crate::zab::voters::Voters;

impl Learner {
    /// LEADERINFO: the epoch to be promised. A server that has promised the epoch before answers with -1, and its promise
    /// does not count.
    pub(super) fn leader_info(&mut self, packet: &Packet<'_>, out: &mut Vec<Output>) -> Result<(), LeaveReason> {
        let protocol = single_int(packet.data).map_err(|_| LeaveReason::Malformed(packet.kind))?;
        if protocol < PROTOCOL_EPOCHS {
            return Err(LeaveReason::OldProtocol(protocol));
        }
        let epoch = packet.zxid.epoch();
        if !(1..=MAX_EPOCH).contains(&epoch) {
            return Err(LeaveReason::EpochOutOfRange(epoch));
        }
        let accepted = self.epochs.accepted;
        if epoch < accepted {
            return Err(LeaveReason::EpochBehind { leader: epoch, accepted });
        }
        // A new server has no promise to break, and may join an ensemble of any epoch.
        let is_new = accepted == 0 && self.history.last() == Zxid::ZERO;
        if !is_new && !is_plausible(epoch, accepted) {
            return Err(LeaveReason::EpochImplausible { leader: epoch, accepted });
        }
        let (current, after) = if epoch > accepted {
            let current = self.epochs.current as i32;
            self.epochs = self.epochs.promised(epoch);
            out.push(Output::WriteEpochs { epochs: self.epochs, after: After::Nothing });
            (current, After::Epochs(self.epochs))
        } else {
            (-1, After::Nothing)
        };
        self.epoch = epoch;
        self.stage = Stage::Promised;
        let message = Message::with(PacketType::AckEpoch, self.history.last(), current.to_be_bytes().to_vec());
        self.send(message, after, out);
        Ok(())
    }

    /// DIFF, TRUNC or SNAP.
    pub(super) fn sync_begins(&mut self, packet: &Packet<'_>, out: &mut Vec<Output>) -> Result<(), LeaveReason> {
        let zxid = packet.zxid;
        let last = self.history.last();
        if self.serves && packet.kind != PacketType::Diff {
            return Err(LeaveReason::Unexpected(packet.kind));
        }
        if zxid.epoch() > self.epoch {
            return Err(LeaveReason::WrongEpoch(zxid));
        }
        self.agreed = if packet.kind == PacketType::Diff { last } else { zxid };
        self.stage = match packet.kind {
            PacketType::Trunc => {
                self.keeps_committed(zxid)?;
                if zxid > last {
                    return Err(LeaveReason::NothingToTruncate { last, to: zxid });
                }
                let known = self.history.at_or_before(zxid).is_none_or(|known| known == zxid);
                if !known && zxid.counter() != 0 {
                    return Err(LeaveReason::CannotTruncate(zxid));
                }
                self.history.truncate(zxid);
                out.push(Output::Truncate { to: zxid });
                Stage::Syncing
            }
            PacketType::Snap => {
                out.push(Output::ReceiveSnapshot { zxid });
                Stage::Receiving { zxid }
            }
            _ => Stage::Syncing,
        };
        Ok(())
    }

    pub(super) fn snapshot_received(&mut self) {
        if let Stage::Receiving { zxid } = self.stage {
            self.staged = Some(zxid);
            self.snapshot = Some(zxid);
            self.stage = Stage::Syncing;
        }
    }

    /// NEWLEADER: everything before it is made durable, then the epoch, then it is acknowledged.
    pub(super) fn new_leader(
        &mut self,
        packet: &Packet<'_>,
        now: i64,
        out: &mut Vec<Output>,
    ) -> Result<(), LeaveReason> {
        if packet.zxid != first_zxid(self.epoch) {
            return Err(LeaveReason::WrongEpoch(packet.zxid));
        }
        // One byte or none is no configuration, as in ZooKeeper.
        if let Some(text) = packet.data.filter(|text| text.len() > 1) {
            let config = Voters::parse(text).map_err(|_| LeaveReason::BadConfig(packet.kind))?;
            let proposed = self.proposed_config().filter(|proposed| proposed.version() >= config.version()).cloned();
            // A configuration that is only proposed may come with NEWLEADER, too: its commit activates it, not UPTODATE.
            // (ZooKeeper 3.9 takes it for agreed, though the leader may still fail to commit it.)
            let is_proposed = proposed.as_ref().is_some_and(|proposed| proposed.version() == config.version());
            self.new_config = (!is_proposed).then(|| config.clone());
            out.push(Output::ConfigSeen(proposed.unwrap_or(config)));
        }
        if let Some(zxid) = self.staged.take() {
            // The snapshot may be older than this server's state, but together with the transactions behind it the state must
            // not be.
            self.keeps_committed(zxid)?;
            out.push(Output::PersistSnapshot { zxid });
            self.history.reset(zxid);
            if self.options.kind == LearnerKind::Follower {
                self.append_pending(out);
            }
        }
        if self.knows_secrets() && !std::mem::take(&mut self.is_told) {
            out.push(Output::Agreed(None));
        }
        self.epochs = self.epochs.established(self.epoch);
        out.push(Output::WriteEpochs { epochs: self.epochs, after: After::Log(self.history.last()) });
        self.send(Message::bare(PacketType::Ack, packet.zxid), After::Epochs(self.epochs), out);
        self.stage = Stage::Acknowledged;
        self.heard(now);
        Ok(())
    }

    /// UPTODATE: a quorum has acknowledged the leader. Acknowledgements of proposals may leave from here on.
    pub(super) fn up_to_date(&mut self, out: &mut Vec<Output>) -> Result<(), LeaveReason> {
        self.stage = Stage::Active;
        self.serves = true;
        if let Some(config) = self.new_config.take() {
            out.push(Output::Activate { config, designated: None });
        }
        if self.options.kind == LearnerKind::Observer {
            // Leaders of older versions send observers uncommitted transactions, and send them again when they are committed.
            self.pending.clear();
            self.pending_bytes = 0;
        }
        let established = After::Epochs(self.epochs);
        self.send(Message::bare(PacketType::Ack, first_zxid(self.epoch)), established, out);
        if self.agreed > self.committed {
            out.push(Output::Commit { upto: self.agreed });
            // The zxid of a snapshot may be an epoch's first: no transaction of that epoch is known by it.
            if self.agreed.counter() != 0 {
                self.committed = self.agreed;
            }
        }
        out.push(Output::Serve { epoch: self.epoch, after: established });
        for zxid in std::mem::take(&mut self.unacked) {
            self.acknowledge(zxid, out);
        }
        Ok(())
    }

    /// Whether a log that ends at `end` has all that is known to be committed.
    fn keeps_committed(&self, end: Zxid) -> Result<(), LeaveReason> {
        if end < self.committed {
            return Err(LeaveReason::BehindCommitted { committed: self.committed, to: end });
        }
        Ok(())
    }

    /// ACK of a proposal, when the log has it.
    pub(super) fn acknowledge(&self, zxid: Zxid, out: &mut Vec<Output>) {
        self.send(Message::bare(PacketType::Ack, zxid), After::Log(zxid), out);
    }
}
