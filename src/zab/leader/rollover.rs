//! The roll-over: an epoch has no further zxid, and the next one begins under the same leader, over the connections there
//! are. There is no election, and clients only wait for a round of discovery.
//!
//! | # | what happens | waits for |
//! |---|---|---|
//! | 1 | nothing more is proposed | all that was proposed is committed, and on this server's own disk |
//! | 2 | LEADERINFO of the next epoch, to everybody who is up to date | this server's own promise is on disk |
//! | 3 | ACKEPOCH | promises of a quorum, on disk |
//! | 4 | DIFF with nothing behind it, NEWLEADER | acknowledgements of a quorum, epochs on disk |
//! | 5 | UPTODATE; the first transaction of the new epoch may be proposed | |
//!
//! From step 2 on the leader is in the state after its election: the same phases and the same sets of promises and
//! acknowledgements, begun anew; `discovery` and `sync` do the work. So what holds for a leader that was elected holds here:
//!
//! - No second leader comes up in the new epoch. A leader needs a quorum of promises for the epoch, two quorums share a
//!   voter, and a voter promises an epoch once: its promise is on disk before ACKEPOCH leaves, and a voter that has promised
//!   before answers -1, which does not count. This server promises, too, before it asks for promises.
//! - A leader of another epoch has all committed transactions. Until step 3 is done no server's current epoch has changed,
//!   and an election follows the rules of the old epoch. From then on servers of the new epoch win over those of the old one,
//!   and each has the whole old epoch: step 1 saw to it that the old epoch has an end, its last transaction; a learner takes
//!   LEADERINFO only when everything it was sent is committed, and moves its current epoch only when its log is on disk up to
//!   there.
//! - Log, epoch, acknowledgement (I10): the log is durable up to the old epoch's end on this server before step 2, on a
//!   learner before it writes its epoch at NEWLEADER ([`After::Log`]), and its ACK leaves when that is on disk
//!   ([`After::Epochs`]).
//! - The new epoch's first transaction follows the old one's last: nothing is proposed in between, and a learner that is late
//!   with its promise gets the missing transactions before NEWLEADER, like a newly connected learner.
//!
//! A learner that serves goes on serving: it reads, passes requests on and answers PINGs all through the round, so a sync
//! that is under way is as good as ever; its SYNC comes behind UPTODATE, from which on the learner shows what was committed
//! meanwhile. A learner that is being synchronised in the old epoch is dropped and connects again; a learner that connects
//! meanwhile takes part in the round. A learner that has not announced support for roll-overs (a ZooKeeper) would leave at
//! step 2: with such a learner the role ends instead, as ZooKeeper's does (ZOOKEEPER-1277). The role also ends when the
//! roll-over takes longer than syncLimit.
//!
//! [`After::Log`]: crate::zab::message::After::Log
//! [`After::Epochs`]: crate::zab::message::After::Epochs

use super::peer::{Peer, PeerId, Stage};
use super::state::Phase;
use super::{DropReason, Leader, Output, StepDown};
use crate::ids::Zxid;
use crate::jute::quorum::PacketType;
use crate::zab::epochs::MAX_EPOCH;
use crate::zab::message::Message;

impl Leader {
    /// Whether the epoch's last zxid is proposed.
    pub(super) fn is_used_up(&self) -> bool {
        self.proposals.last.counter() >= self.options.last_counter
    }

    /// Begins the round if it is time; steps down if there cannot be one, or it takes too long.
    pub(super) fn roll_over_if_due(&mut self, now: i64, out: &mut Vec<Output>) {
        if self.roll_over.until_ms.is_some_and(|until_ms| now >= until_ms) && self.phase != Phase::Over {
            return self.step_down(StepDown::RollOverLate, out);
        }
        if self.phase != Phase::Established || self.handed_over.is_some() || !self.is_used_up() {
            return;
        }
        self.roll_over.until_ms.get_or_insert(now + self.options.sync_limit * self.options.tick_ms);
        let end = self.proposals.last;
        let is_durable = self.proposals.acked.get(&self.options.id).is_some_and(|acked| *acked >= end);
        if !self.proposals.outstanding.is_empty() || !is_durable {
            return;
        }
        if self.peers.values().any(|peer| peer.stage != Stage::Silent && !peer.knows_roll_over) {
            return self.step_down(StepDown::CounterExhausted, out);
        }
        if self.epoch >= MAX_EPOCH {
            return self.step_down(StepDown::EpochsExhausted, out);
        }
        let follows = |peer: &Peer| peer.stage == Stage::Active && self.counts(peer);
        let is_up = |server| {
            server == self.options.id || self.peers.values().any(|peer| peer.server == server && follows(peer))
        };
        if self.config.is_quorum_in_all_by(is_up) {
            self.roll_over(end, now, out);
        }
    }

    fn roll_over(&mut self, end: Zxid, now: i64, out: &mut Vec<Output>) {
        assert!(self.history.last() == end, "all that is proposed is committed");
        self.roll_over.is_running = true;
        self.roll_over.end = end;
        for id in self.peers_at(|stage| !matches!(stage, Stage::Silent | Stage::Active)) {
            self.drop_peer(id, DropReason::EpochIsOver, out);
        }
        self.epoch += 1;
        self.summary = (self.epochs.current, end);
        self.support.promised.clear();
        self.support.synced.clear();
        self.begin_to_promise(now, out);
    }

    /// ACKEPOCH of a learner that serves. It stands where the old epoch ended, and owes no acknowledgement; anything else
    /// is no answer to what it was sent. Whether it may be counted.
    pub(super) fn stands_at_the_end(&mut self, id: PeerId, last: Zxid, out: &mut Vec<Output>) -> bool {
        let does = self.peers.get(&id).is_some_and(|peer| last == self.roll_over.end && peer.unacked.is_empty());
        if !does {
            self.drop_peer(id, DropReason::OutOfStep(last), out);
        }
        does
    }

    /// A learner that serves has promised the new epoch. It lacks nothing, unless it is late.
    pub(super) fn go_over(&mut self, id: PeerId, now: i64, out: &mut Vec<Output>) {
        let end = self.roll_over.end;
        if end < self.history.floor() {
            return self.drop_peer(id, DropReason::RestMissing(end), out);
        }
        self.send(id, Message::bare(PacketType::Diff, self.history.last()), out);
        self.send_rest(id, end, now, out);
    }

    /// The new epoch is on the disks of a quorum.
    pub(super) fn rolled_over(&mut self, out: &mut Vec<Output>) {
        self.roll_over.is_running = false;
        self.roll_over.until_ms = None;
        out.push(Output::RolledOver { epoch: self.epoch });
    }
}
