//! The beginning of an epoch, as a member shows it to its clients; and the end of an epoch's counter.
//!
//! A leader whose last transaction has the epoch's last number prepares nothing more: what clients ask for stays in line,
//! as when the log has no room. `zab` sees to the next epoch, here and on the learners. When it has begun, the head moves to
//! its first zxid, and so does what is shown, in its turn: behind the answers and events of all that was before.

use super::Member;
use crate::zab::epochs::first_zxid;

impl Member {
    /// This member begins to serve in an epoch: its first zxid is shown, all before that is committed, and what else is
    /// known to be committed by now.
    pub(super) fn begin_epoch(&mut self, epoch: i64) {
        self.use_agreed();
        self.passwords_said = true;
        let first = first_zxid(epoch);
        self.show_config(first);
        self.core.begin_epoch(epoch, false);
        self.core.show_committed(first);
    }

    /// The next epoch has begun, and this server goes on in its role: its first zxid is shown in its turn, behind the answers
    /// and events of all that was before.
    pub(super) fn go_over(&mut self, epoch: i64) {
        self.core.begin_epoch(epoch, true);
        self.announce_epoch(epoch, self.core.now_ms());
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
