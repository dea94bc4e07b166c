//! The end of a role, in steps: clients are told to go, nothing new is taken, the writes of log and epochs under way are
//! awaited; only then does this server look for a leader again, or end.

use super::roles::Role;
use super::{Effect, Member};
use crate::fatal::Reason;
use crate::ids::Zxid;
use crate::server::message::{Answer, Command, Response};
use crate::zab::election::{self, LogEnd};
use crate::zab::history::Txn;

impl Member {
    /// The role is over. Clients go first; what was asked and not proposed is dropped.
    pub(super) fn leave_role(&mut self) {
        let mut unanswered = vec![];
        self.core.drop_under_way();
        self.rest(self.core.now_ms());
        match std::mem::replace(&mut self.role, Role::Leaving) {
            Role::Following(following) => {
                self.outbox.to_leader.clear();
                self.outbox.push(Effect::CloseLeader);
                self.search.masters_failed += usize::from(following.fails_behind_a_master());
                let (history, waiting) = following.into_parts();
                self.history = Some(history);
                let close = |(shard, conn)| Answer { shard, conn, what: Response::Close };
                unanswered = waiting.into_iter().map(close).collect();
            }
            Role::Leading(leading) => {
                let mut history = leading.into_history();
                // In the log, and no longer proposed.
                for (zxid, bytes) in self.core.proposals.take() {
                    history.push(Txn { zxid, bytes: bytes.into() });
                }
                self.history = Some(history);
            }
            Role::Joining(_) => self.outbox.push(Effect::CloseLeader),
            Role::Leaving | Role::Looking | Role::Stopped => {}
        }
        self.core.end_to_lead();
        self.core.take_nothing(false);
        self.search.reads_only = false;
        // Whoever leads next knows nothing of these, nor does this server in another place.
        self.core.sessions.locals.clear();
        self.publish_role();
        // Who asks meanwhile is not told that this server still has its place.
        self.elect(election::Input::RoleEnded, self.core.now_ms());
        self.requests.clear();
        self.dismiss_clients(unanswered);
        self.left();
    }

    /// Looks for a leader, as soon as the log is at rest: what this server then says of itself is what its tree holds.
    pub(super) fn left(&mut self) {
        if !self.core.is_written() {
            return;
        }
        if !self.has_epochs_of(self.core.durable()) {
            return;
        }
        // What these told of is still at the head, and is shown when it is committed. Whom they would have answered waits
        // for nothing any more, though no session may speak for it: it is sent away like the others.
        let unanswered = self.core.drop_unpublished();
        self.dismiss_clients(unanswered);
        if self.stopping {
            return self.stopped();
        }
        if self.core.now_ms() < self.search.rests_until_ms {
            return;
        }
        self.role = Role::Looking;
        self.search.since_ms = self.core.now_ms();
        let history = self.history.as_ref().expect("no role has it");
        assert_eq!(history.last(), self.core.durable(), "what is reported is what is on disk");
        let log = self.has_database.then_some(LogEnd { zxid: history.last(), epoch: self.epochs.current });
        let now = self.core.now_ms();
        let yield_ms = self.options.init_limit * self.options.tick_ms;
        let yield_until_ms = std::mem::take(&mut self.yields).then_some(now + yield_ms);
        let input = match self.records.designated.take() {
            Some((leader, zxid)) => election::Input::Designated { leader, zxid, log },
            None => election::Input::Look { log, yield_until_ms },
        };
        let verdict = self.elect(input, now);
        self.heed(verdict);
    }

    /// Closes every client's connection; sessions live on. `unanswered` is what would have been told to some, and is not.
    pub(super) fn dismiss_clients(&mut self, unanswered: Vec<Answer>) {
        let close = |(shard, conn)| Answer { shard, conn, what: Response::Close };
        let mut known: Vec<_> = self.core.sessions.live.drain().map(|(_, live)| (live.shard, live.conn)).collect();
        known.sort_unstable_by_key(|(shard, conn)| (*shard, conn.slot));
        let unanswered = unanswered.into_iter().map(|Answer { shard, conn, what }| match what {
            // It has ended before, and what it left behind is gone as well.
            Response::Gone => Answer { shard, conn, what },
            _ => close((shard, conn)),
        });
        let waiting = self.core.backlog.drain().flat_map(|inbound| {
            let asked = inbound.items.into_iter().filter(|item| !matches!(item.what, Command::Collected { .. }));
            asked.map(move |item| match item.what {
                Command::Disconnected { owed: true } => {
                    Answer { shard: inbound.shard, conn: item.conn, what: Response::Gone }
                }
                _ => close((inbound.shard, item.conn)),
            })
        });
        let answers: Vec<Answer> = known.into_iter().map(close).chain(unanswered).chain(waiting).collect();
        self.core.announce(answers);
    }
}

impl Member {
    /// Whether the epochs on disk are those of a log that ends at `durable`, and nothing else is being written. A role may
    /// end with a leader's transactions on disk and the acknowledgement of that leader not written yet: what a start would
    /// find and put right is put right here.
    fn has_epochs_of(&mut self, durable: Zxid) -> bool {
        if self.epochs != self.epochs_asked {
            return false;
        }
        match self.epochs.at_start(durable) {
            Ok(epochs) if epochs == self.epochs => true,
            Ok(epochs) => {
                self.write_epochs(epochs);
                false
            }
            Err(error) => {
                self.fail(Reason::EpochsLost, error.to_string());
                false
            }
        }
    }

    /// Observers come back after the voters, who have to find a leader first, and not all at a time (ZooKeeper 3.9,
    /// `Observer.waitForObserverElectionDelay`; where it draws a number, here a server's own number spreads them).
    fn rest(&mut self, now: i64) {
        let delay_ms = self.options.roles.settings.observer_delay_ms();
        if delay_ms > 0 && !self.election.config().is_voter(self.options.id) {
            let spread = (self.options.id.0 as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
            self.search.rests_until_ms = now + 1 + (spread % delay_ms as u64) as i64;
        }
    }
}
