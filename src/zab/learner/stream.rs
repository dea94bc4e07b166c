//! The order of transactions: what may follow what, and what a commit must match.
//!
//! A follower appends a proposal as it comes, an observer only what is committed. Nothing is taken that
//! does not follow the last transaction, be it the first after DIFF or TRUNC: a hole is never logged.

use super::{Learner, LeaveReason, Output, Pending, Stage};
use crate::ids::Zxid;
use crate::jute::OpCode;
use crate::jute::quorum::{Packet, PacketType, designated, txn_head};
use crate::jute::txn::{Txn as TxnRecord, read_entry};
use crate::zab::history::{Txn, follows};
use crate::zab::leader::LearnerKind;
use crate::zab::voters::{ServerId, Voters};

/// What each proposal counts for besides its bytes.
const PENDING_OVERHEAD: usize = 64;

/// Proposals that may wait for UPTODATE to be acknowledged.
const UNACKED_BEFORE_UPTODATE: usize = 1 << 20;

impl Learner {
    /// PROPOSAL.
    pub(super) fn proposal(&mut self, packet: &Packet<'_>, out: &mut Vec<Output>) -> Result<(), LeaveReason> {
        if self.options.kind == LearnerKind::Observer && self.stage == Stage::Active {
            return Ok(());
        }
        let (txn, config) = read_txn(packet, packet.data.unwrap_or_default())?;
        if self.is_in_snapshot(txn.zxid) {
            return Ok(());
        }
        self.take(txn, config, out)
    }

    /// COMMIT and COMMITANDACTIVATE.
    pub(super) fn commit(&mut self, packet: &Packet<'_>, out: &mut Vec<Output>) -> Result<(), LeaveReason> {
        if (self.options.kind == LearnerKind::Observer && self.stage == Stage::Active)
            || self.is_in_snapshot(packet.zxid)
        {
            return Ok(());
        }
        let leader = match packet.kind {
            PacketType::CommitAndActivate => Some(read_designated(packet)?.0),
            _ => None,
        };
        self.commit_oldest(packet, leader, out)
    }

    /// INFORM and INFORMANDACTIVATE: proposal and commit in one, for observers.
    pub(super) fn inform(&mut self, packet: &Packet<'_>, out: &mut Vec<Output>) -> Result<(), LeaveReason> {
        if self.options.kind != LearnerKind::Observer {
            return Err(LeaveReason::Unexpected(packet.kind));
        }
        let (leader, bytes) = match packet.kind {
            PacketType::InformAndActivate => {
                let (leader, bytes) = read_designated(packet)?;
                (Some(leader), bytes)
            }
            _ => (None, packet.data.unwrap_or_default()),
        };
        let (txn, config) = read_txn(packet, bytes)?;
        if self.is_in_snapshot(txn.zxid) {
            return Ok(());
        }
        if self.pending.is_empty() {
            self.take(txn, config, out)?;
        }
        self.commit_oldest(packet, leader, out)
    }

    /// The configuration that is proposed and not committed.
    pub(super) fn proposed_config(&self) -> Option<&Voters> {
        self.pending.iter().rev().find_map(|pending| pending.config.as_ref())
    }

    /// Takes in a proposal, if it is the next one.
    fn take(&mut self, txn: Txn, config: Option<Voters>, out: &mut Vec<Output>) -> Result<(), LeaveReason> {
        if txn.zxid.epoch() > self.epoch {
            return Err(LeaveReason::WrongEpoch(txn.zxid));
        }
        let last = self.tail();
        if !follows(last, txn.zxid) {
            return Err(LeaveReason::Hole { last, got: txn.zxid });
        }
        let bytes = txn.bytes.len() + PENDING_OVERHEAD;
        self.pending_bytes += bytes;
        if self.pending_bytes > self.options.max_pending_bytes || self.unacked.len() >= UNACKED_BEFORE_UPTODATE {
            return Err(LeaveReason::TooMuchPending);
        }
        if let Some(config) = &config {
            out.push(Output::ConfigSeen(config.clone()));
        }
        let zxid = txn.zxid;
        let follower = self.options.kind == LearnerKind::Follower;
        let txn = if follower && self.staged.is_none() {
            self.append(txn, out);
            None
        } else {
            Some(txn)
        };
        self.pending.push_back(Pending { zxid, config, txn, bytes });
        match self.stage {
            Stage::Active if follower => self.acknowledge(zxid, out),
            _ if follower => self.unacked.push_back(zxid),
            _ => {}
        }
        Ok(())
    }

    /// Commits the oldest proposal, which must be the one meant.
    fn commit_oldest(
        &mut self,
        packet: &Packet<'_>,
        leader: Option<ServerId>,
        out: &mut Vec<Output>,
    ) -> Result<(), LeaveReason> {
        let expected = self.pending.front().map(|oldest| oldest.zxid);
        let Some(oldest) = self.pending.pop_front().filter(|oldest| oldest.zxid == packet.zxid) else {
            return Err(LeaveReason::CommitMismatch { expected, got: packet.zxid });
        };
        self.pending_bytes -= oldest.bytes;
        // What is committed before NEWLEADER is not acknowledged by itself: that acknowledges NEWLEADER.
        if self.stage == Stage::Syncing && self.unacked.front() == Some(&oldest.zxid) {
            self.unacked.pop_front();
        }
        match (oldest.txn, self.staged) {
            (Some(txn), Some(_)) => {
                self.staged = Some(oldest.zxid);
                out.push(Output::Stage(txn));
            }
            (Some(txn), None) => self.append(txn, out),
            (None, _) => {}
        }
        // Before UPTODATE even the leader cannot know whether a quorum has the transactions that it calls committed.
        self.agreed = oldest.zxid;
        if self.stage == Stage::Active {
            self.committed = oldest.zxid;
            out.push(Output::Commit { upto: oldest.zxid });
        }
        if let Some(leader) = leader {
            let config = oldest.config.ok_or(LeaveReason::BadConfig(packet.kind))?;
            out.push(Output::Activate { config, designated: Some(leader) });
        }
        Ok(())
    }

    /// What was proposed while the state was held aside goes into the log that begins behind it.
    pub(super) fn append_pending(&mut self, out: &mut Vec<Output>) {
        let waiting: Vec<Txn> = self.pending.iter_mut().filter_map(|pending| pending.txn.take()).collect();
        for txn in waiting {
            self.append(txn, out);
        }
    }

    fn append(&mut self, txn: Txn, out: &mut Vec<Output>) {
        assert!(follows(self.history.last(), txn.zxid), "{} after {}", txn.zxid, self.history.last());
        out.push(Output::Append(txn.clone()));
        self.history.push(txn);
    }

    /// The last transaction taken in, wherever it is.
    pub(super) fn tail(&self) -> Zxid {
        let before = self.staged.unwrap_or(self.history.last());
        self.pending.back().map_or(before, |pending| pending.zxid)
    }

    /// A leader's snapshot is as new as the zxid it came with, or newer; what follows it may be older.
    fn is_in_snapshot(&self, zxid: Zxid) -> bool {
        self.snapshot.is_some_and(|snapshot| zxid <= snapshot)
    }
}

/// The transaction in a packet, and the configuration if it is a reconfiguration.
fn read_txn(packet: &Packet<'_>, bytes: &[u8]) -> Result<(Txn, Option<Voters>), LeaveReason> {
    let (zxid, op) = txn_head(bytes).map_err(|_| LeaveReason::Malformed(packet.kind))?;
    if zxid != packet.zxid {
        return Err(LeaveReason::Malformed(packet.kind));
    }
    let config = if op == OpCode::Reconfig.wire() {
        let text = match read_entry(bytes) {
            Ok((_, TxnRecord::SetData { data: Some(text), .. }, _)) => text,
            _ => return Err(LeaveReason::Malformed(packet.kind)),
        };
        Some(Voters::parse(text).map_err(|_| LeaveReason::BadConfig(packet.kind))?)
    } else {
        None
    };
    Ok((Txn { zxid, bytes: bytes.into() }, config))
}

fn read_designated<'a>(packet: &Packet<'a>) -> Result<(ServerId, &'a [u8]), LeaveReason> {
    let (leader, rest) =
        designated(packet.data.unwrap_or_default()).map_err(|_| LeaveReason::Malformed(packet.kind))?;
    Ok((ServerId(leader), rest))
}
