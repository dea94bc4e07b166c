//! How a member's clients see the beginning of an epoch; and what happens when an epoch has no number left.
//!
//! A leader whose last transaction has the epoch's last number prepares nothing more: requests wait in order, as when
//! the log has no room. `zab` begins the next epoch, here and on the learners. Then the head moves to the new epoch's
//! first zxid; the visible zxid follows in order, after the answers and events of everything before.

use super::Member;
use crate::zab::epochs::first_zxid;

impl Member {
    /// This member begins to serve in an epoch. Visible become: everything before the epoch's first zxid, which is
    /// committed now; that zxid itself; and later transactions that are known to be committed.
    pub(super) fn begin_epoch(&mut self, epoch: i64) {
        self.use_agreed();
        self.passwords_said = true;
        let first = first_zxid(epoch);
        self.show_config(first);
        self.core.begin_epoch(epoch, false);
        self.core.show_committed(first);
    }

    /// The next epoch has begun, and this server stays in its role: the epoch's first zxid becomes visible in order,
    /// after the answers and events of everything before.
    pub(super) fn go_over(&mut self, epoch: i64) {
        self.core.begin_epoch(epoch, true);
        self.announce_epoch(epoch);
    }

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
