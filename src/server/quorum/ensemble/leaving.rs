//! The end of a role, in steps: clients are told to go, nothing new is taken, the writes of log and epochs under way are
//! awaited; only then does this server look for a leader again, or end.

use super::{Effect, Ensemble, Role};
use crate::fatal::Reason;
use crate::ids::Zxid;
use crate::server::message::{Answer, Ask, Batch, Element, Tell};
use crate::server::quorum::Quorum;
use crate::zab::election::{self, LogEnd};
use crate::zab::history::Txn;

impl Quorum {
    /// The role is over. Clients go first; what was asked and not proposed is dropped.
    pub(super) fn leave_role(&mut self, ensemble: &mut Ensemble) {
        let mut unanswered = vec![];
        self.drop_under_way();
        ensemble.rest(self.clock.mono_ms);
        match std::mem::replace(&mut ensemble.role, Role::Leaving) {
            Role::Following(following) => {
                ensemble.to_leader.clear();
                ensemble.effects.push(Effect::CloseLeader);
                ensemble.masters_failed += usize::from(following.fails_behind_a_master());
                let (history, waiting) = following.into_parts();
                ensemble.history = Some(history);
                let close = |(shard, conn)| Answer { shard, conn, what: Tell::Close };
                unanswered = waiting.into_iter().map(close).collect();
            }
            Role::Leading(leading) => {
                let mut history = leading.into_history();
                // In the log, and no longer proposed.
                for (zxid, bytes) in self.proposals.drain(..) {
                    history.push(Txn { zxid, bytes: bytes.into() });
                }
                ensemble.history = Some(history);
            }
            Role::Joining(_) => ensemble.effects.push(Effect::CloseLeader),
            Role::Leaving | Role::Looking | Role::Stopped => {}
        }
        self.proposing = false;
        self.uncommitted.clear();
        self.takes_nothing = false;
        ensemble.reads_only = false;
        // Whoever leads next knows nothing of these, nor does this server in another place.
        self.locals.clear();
        self.tell_place(ensemble);
        // Who asks meanwhile is not told that this server still has its place.
        ensemble.elect(election::Input::RoleEnded, self.clock.mono_ms);
        ensemble.asked.clear();
        ensemble.crowded.clear();
        ensemble.syncs.clear();
        self.dismiss_clients(unanswered);
        self.left(ensemble);
    }

    /// Looks for a leader, as soon as the log is at rest: what this server then says of itself is what its tree holds.
    pub(super) fn left(&mut self, ensemble: &mut Ensemble) {
        if self.in_flight.is_some() || self.held.is_some() || !self.log.is_idle() {
            return;
        }
        if !ensemble.has_epochs_of(self.log.durable()) {
            return;
        }
        // What these told of is still at the head, and is shown when it is committed. Whom they would have answered waits
        // for nothing any more, though no session may speak for it: it is sent away like the others.
        let waiting = self.waiting.drain(..).flat_map(|batch| batch.elements);
        let answers = waiting.chain(self.elements.drain(..)).filter_map(|element| element.answer);
        let unanswered = answers.collect();
        self.outcome.changes.truncate(0);
        self.outcome.reply.clear();
        // A snapshot that waited until these are shown is of the head as it is now. They may never be shown without it, where
        // this server has to bring the others up to date first; and a leader may yet take them back.
        self.plan.published(self.zxid);
        self.dismiss_clients(unanswered);
        if ensemble.stopping {
            return self.stopped(ensemble);
        }
        if self.clock.mono_ms < ensemble.rests_until_ms {
            return;
        }
        ensemble.role = Role::Looking;
        ensemble.looks_since_ms = self.clock.mono_ms;
        let history = ensemble.history.as_ref().expect("no role has it");
        assert_eq!(history.last(), self.log.durable(), "what is reported is what is on disk");
        let log = ensemble.has_database.then_some(LogEnd { zxid: history.last(), epoch: ensemble.epochs.current });
        let now = self.clock.mono_ms;
        let yield_ms = ensemble.options.init_limit * ensemble.options.tick_ms;
        let yield_until_ms = std::mem::take(&mut ensemble.yields).then_some(now + yield_ms);
        let input = match ensemble.records.designated.take() {
            Some((leader, zxid)) => election::Input::Designated { leader, zxid, log },
            None => election::Input::Look { log, yield_until_ms },
        };
        let verdict = ensemble.elect(input, now);
        self.heed(ensemble, verdict);
    }

    /// Closes every client's connection; sessions live on. `unanswered` is what would have been told to some, and is not.
    pub(super) fn dismiss_clients(&mut self, unanswered: Vec<Answer>) {
        let close = |(shard, conn)| Answer { shard, conn, what: Tell::Close };
        let mut known: Vec<_> = self.live.drain().map(|(_, live)| (live.shard, live.conn)).collect();
        known.sort_unstable_by_key(|(shard, conn)| (*shard, conn.slot));
        let unanswered = unanswered.into_iter().map(|Answer { shard, conn, what }| match what {
            // It has ended before, and what it left behind is gone as well.
            Tell::Gone => Answer { shard, conn, what },
            _ => close((shard, conn)),
        });
        let waiting = self.backlog.drain(..).flat_map(|inbound| {
            let asked = inbound.items.into_iter().filter(|item| !matches!(item.what, Ask::Collected { .. }));
            asked.map(move |item| match item.what {
                Ask::Disconnected { owed: true } => Answer { shard: inbound.shard, conn: item.conn, what: Tell::Gone },
                _ => close((inbound.shard, item.conn)),
            })
        });
        let last_zxid = self.state.store().published();
        let element = |answer| Element { zxid: last_zxid, changes: 0..0, answer: Some(answer) };
        let elements = known.into_iter().map(close).chain(unanswered).chain(waiting).map(element).collect();
        self.backlog_done = 0;
        self.has_published = true;
        self.publisher.publish(Batch { elements, last_zxid, ..Batch::default() });
    }
}

impl Ensemble {
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
            self.rests_until_ms = now + 1 + (spread % delay_ms as u64) as i64;
        }
    }
}
