//! The end of an epoch's counter, as the brain has it: it waits for numbers, and goes on with those of the next epoch.
//!
//! A leader whose last transaction has the epoch's last number prepares nothing more: what clients ask for stays in line,
//! as when the log has no room. `zab` sees to the next epoch, here and on the learners. When it has begun, the head moves to
//! its first zxid, and so does what is shown, in its turn: behind the answers and events of all that was before.

use super::Member;

impl Member {
    /// The next epoch has begun, and this server still leads.
    pub(super) fn rolled_over(&mut self, epoch: i64) {
        tracing::info!(epoch, zxid = %self.core.head(), "the epoch had no further zxid: leading in the next one");
        self.core.stats().quorum.roll_overs.add(1);
        self.go_over(epoch);
    }

    /// A learner that serves is up to date in its leader's next epoch.
    pub(super) fn followed_over(&mut self, epoch: i64) {
        tracing::info!(epoch, zxid = %self.core.head(), "following into the next epoch");
        self.go_over(epoch);
    }
}
