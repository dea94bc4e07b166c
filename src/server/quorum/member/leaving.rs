//! The end of a role, in steps: clients are disconnected, no new requests are accepted, and the writes of log and
//! epochs under way are awaited. Only then this server looks for a leader again, or ends.

use super::roles::Role;
use super::{Effect, Member};
use crate::fatal::Reason;
use crate::ids::Zxid;
use crate::server::message::{Answer, Command, Response};
use crate::zab::election::{self, LogEnd};
use crate::zab::history::Txn;

impl Member {
    /// The role is over. First clients are disconnected; requests that were not proposed are dropped.
    pub(super) fn leave_role(&mut self) {
        let mut unanswered = vec![];
        self.core.drop_under_way();
        self.rest();
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
                // These are in the log, and will not be proposed any more.
                for (zxid, bytes) in self.core.proposals.take() {
                    history.push(Txn { zxid, bytes });
                }
                self.history = Some(history);
            }
            Role::Joining(_) => self.outbox.push(Effect::CloseLeader),
            Role::Leaving | Role::Looking | Role::Stopped => {}
        }
        self.core.end_to_lead();
        self.core.take_nothing(false);
        self.search.reads_only = false;
        // The next leader does not know these sessions, and this server does not keep them in another role.
        self.core.sessions.locals.clear();
        self.publish_role();
        // Servers that ask meanwhile must not hear that this server still has its role.
        self.elect(election::Input::RoleEnded);
        self.requests.clear();
        self.dismiss_clients(unanswered);
        self.left();
    }

    /// Looks for a leader, as soon as the log is at rest: then the log's end, which this server reports in the
    /// election, is the tree's state.
    pub(super) fn left(&mut self) {
        if !self.core.is_written() {
            return;
        }
        if !self.has_epochs_of(self.core.durable()) {
            return;
        }
        // The changes of these batches are still at the head, and are published when committed. The connections that
        // they would have answered wait for nothing any more; they are closed like the others, even those without a
        // session.
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
        let yield_ms = self.ticks_ms(self.options.settings.init_limit);
        let yield_until_ms = std::mem::take(&mut self.yields).then_some(now + yield_ms);
        let input = match self.records.designated.take() {
            Some((leader, zxid)) => election::Input::Designated { leader, zxid, log },
            None => election::Input::Look { log, yield_until_ms },
        };
        let verdict = self.elect(input);
        self.heed(verdict);
    }

    /// Closes every client's connection; sessions live on. `unanswered`: answers that will not be sent, whose
    /// connections are closed as well.
    pub(super) fn dismiss_clients(&mut self, unanswered: Vec<Answer>) {
        let close = |(shard, conn)| Answer { shard, conn, what: Response::Close };
        let mut known: Vec<_> = self.core.sessions.live.drain().map(|(_, live)| (live.shard, live.conn)).collect();
        known.sort_unstable_by_key(|(shard, conn)| (*shard, conn.slot));
        let unanswered = unanswered.into_iter().map(|Answer { shard, conn, what }| match what {
            // That connection is closed already, and its last requests are dropped now.
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

    /// Whether the epochs on disk fit a log that ends at `durable`, and no others are being written. A role may end
    /// when a leader's transactions are on disk and the acknowledgement of that leader is not: a start would correct
    /// this, and so it is corrected here.
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

    /// Observers come back later than the voters, which must find a leader first, and not all at once (ZooKeeper 3.9,
    /// `Observer.waitForObserverElectionDelay`: a random delay; here the delay comes from the server's id).
    fn rest(&mut self) {
        let delay_ms = self.options.settings.observer_delay_ms();
        if delay_ms > 0 && !self.election.config().is_voter(self.options.id) {
            let spread = (self.options.id.0 as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
            self.search.rests_until_ms = self.core.now_ms() + 1 + (spread % delay_ms as u64) as i64;
        }
    }
}
