//! A learner's part in a roll-over: its leader goes over into the next epoch, and it goes along without leaving.
//!
//! LEADERINFO from a leader that is followed already asks for a promise as a new leader's does, and from there on all is as
//! in `handshake`: the promise is on disk before ACKEPOCH leaves, at NEWLEADER the log is on disk before the epoch and the
//! epoch before the ACK, and UPTODATE says that a quorum has come as far. This module checks only the conditions that are
//! special to a roll-over:
//!
//! - this server has announced that it takes part; a leader that does not know of this sends no such thing;
//! - the epoch is newer than any promised: an answer of -1, for one promised before, would be a new connection's;
//! - everything that was proposed is committed, so that its log is the whole old epoch and no more;
//! - DIFF alone follows: what is served is neither cut nor replaced.
//!
//! Meanwhile it serves: it reads, passes its clients' requests on and answers PINGs, because it follows this leader as
//! before. If the connection is lost on the way it leaves like any other learner, with what is on its disk; why that is
//! safe at every step is said in `zab::leader`'s `rollover`.

use super::{Learner, LeaveReason, Output, Stage};
use crate::jute::quorum::{PROTOCOL_CORRAL, Packet, PacketType};

impl Learner {
    /// LEADERINFO of a leader that is followed.
    pub(super) fn rolls_over(&mut self, packet: &Packet<'_>, out: &mut Vec<Output>) -> Result<(), LeaveReason> {
        if self.options.protocol < PROTOCOL_CORRAL || !self.pending.is_empty() {
            return Err(LeaveReason::Unexpected(packet.kind));
        }
        let (epoch, accepted) = (packet.zxid.epoch(), self.epochs.accepted);
        if epoch <= accepted {
            return Err(LeaveReason::EpochBehind { leader: epoch, accepted });
        }
        self.leader_info(packet, out)
    }

    /// A packet that is not allowed at this stage; a learner that serves allows PING and REVALIDATE.
    pub(super) fn out_of_place(&mut self, packet: &Packet<'_>, out: &mut Vec<Output>) -> Result<(), LeaveReason> {
        match packet.kind {
            PacketType::Ping | PacketType::Revalidate if self.serves => self.answered(packet, out),
            kind => Err(LeaveReason::Unexpected(kind)),
        }
    }

    /// Whether the leader takes what this server's clients ask for: from its first UPTODATE on.
    pub(super) fn may_ask(&self) -> bool {
        self.serves && self.stage != Stage::Over
    }
}
