//! The end of an epoch's counter, as the brain has it: it waits for numbers, and goes on with those of the next epoch.
//!
//! A leader whose last transaction has the epoch's last number prepares nothing more: what clients ask for stays in line,
//! as when the log has no room. `zab` sees to the next epoch, here and on the learners. When it has begun, the head moves to
//! its first zxid, and so does what is shown, in its turn: behind the answers and events of all that was before.

use super::Ensemble;
use crate::ids::Zxid;
use crate::server::quorum::Quorum;
use crate::zab::epochs::first_zxid;

impl Quorum {
    /// Whether the next transaction may be prepared: it has a zxid in this epoch. Who is on his own begins another one by
    /// himself ([`Quorum::next_zxid`]), and a learner is told.
    pub(in crate::server::quorum) fn has_number(&self) -> bool {
        !self.proposing || self.zxid.counter() < self.options.last_counter
    }

    /// The zxid of the next transaction. A server on its own is the quorum that promises and acknowledges its next epoch,
    /// and its log says so.
    pub(in crate::server::quorum) fn next_zxid(&self) -> Zxid {
        if self.is_member || self.zxid.counter() < self.options.last_counter {
            return self.zxid.next();
        }
        tracing::info!(zxid = %self.zxid, "the epoch has no further zxid: the next one begins");
        first_zxid(self.zxid.epoch() + 1).next()
    }

    /// The next epoch has begun, and this server still leads.
    pub(super) fn rolled_over(&mut self, ensemble: &mut Ensemble, epoch: i64) {
        tracing::info!(epoch, zxid = %self.zxid, "the epoch had no further zxid: leading in the next one");
        self.stats.quorum.roll_overs.add(1);
        self.go_over(ensemble, epoch);
    }

    /// A learner that serves is up to date in its leader's next epoch.
    pub(super) fn followed_over(&mut self, ensemble: &mut Ensemble, epoch: i64) {
        tracing::info!(epoch, zxid = %self.zxid, "following into the next epoch");
        self.go_over(ensemble, epoch);
    }

    fn go_over(&mut self, ensemble: &mut Ensemble, epoch: i64) {
        let first = first_zxid(epoch);
        // Of a learner that is late the head may be in the new epoch already.
        if self.zxid < first {
            self.zxid = first;
            self.step(0..0, None);
        }
        self.commit(first);
        ensemble.announce_epoch(epoch, self.clock.mono_ms);
    }
}
