//! What this member shows its clients when it begins to serve: the beginning of an epoch, and what is committed.

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
}
