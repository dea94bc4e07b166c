//! The two epochs a server keeps on disk, and the rules by which they move.
//!
//! `accepted` is the newest epoch promised to a leader that asked (LEADERINFO): nothing older is followed
//! any more. `current` is the newest epoch whose NEWLEADER this server has acknowledged: its log is a
//! prefix of that leader's. Neither goes back, `current` never passes `accepted`, and both are durable
//! before anything that follows from them is sent. What a server finds at its start is judged by a table:
//!
//! | found | verdict |
//! |---|---|
//! | an epoch outside 0 … 2^31-1 | refused |
//! | accepted < current | refused: a promise is lost |
//! | epoch of the log's end > accepted | refused: a promise is lost |
//! | epoch of the log's end > current | current := that epoch, see below |
//! | anything else | as found |
//!
//! The repair: a learner that is brought up to date logs its leader's history before it acknowledges the leader (log durable,
//! then epoch durable). A crash between the two leaves a log that ends in an epoch above `current`. That log is a prefix of
//! the history of that epoch's leader (every log is a prefix of some leader's), so the server may report it. ZooKeeper
//! repairs the same state from the temporary file of its epoch if there is one, and otherwise refuses to start.

use crate::ids::Zxid;
use crate::limits;
use std::fmt;

/// The largest epoch: it must fit the upper half of a positive zxid.
pub(crate) const MAX_EPOCH: i64 = i32::MAX as i64;

/// What is on disk, or is to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Epochs {
    /// The newest epoch promised.
    pub accepted: i64,
    /// The newest epoch whose leader's history this server's log is a prefix of.
    pub current: i64,
}

/// Why the epochs found are not those of this server's log: it must not vote with them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum EpochError {
    OutOfRange(i64),
    AcceptedBehindCurrent(Epochs),
    AcceptedBehindLog {
        accepted: i64,
        last_logged: Zxid,
    },
    /// Asked to be set back to an epoch that is none, or not older than the one promised.
    NotBack {
        accepted: i64,
        to: i64,
    },
}

impl fmt::Display for EpochError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EpochError::OutOfRange(epoch) => write!(f, "epoch {epoch} is none"),
            EpochError::AcceptedBehindCurrent(Epochs { accepted, current }) => {
                write!(f, "the accepted epoch {accepted} is older than the current epoch {current}")
            }
            EpochError::AcceptedBehindLog { accepted, last_logged } => {
                write!(f, "the accepted epoch {accepted} is older than the log's last transaction {last_logged}")
            }
            EpochError::NotBack { accepted, to } => {
                write!(f, "epoch {to} is not one that the accepted epoch {accepted} can be set back to")
            }
        }
    }
}

impl std::error::Error for EpochError {}

impl Epochs {
    /// Judges what was found at the start beside a log that ends at `last_logged`. What is returned must be
    /// made durable before it is used, if it differs.
    pub(crate) fn at_start(self, last_logged: Zxid) -> Result<Epochs, EpochError> {
        for epoch in [self.accepted, self.current, last_logged.epoch()] {
            if !(0..=MAX_EPOCH).contains(&epoch) {
                return Err(EpochError::OutOfRange(epoch));
            }
        }
        if self.accepted < self.current {
            return Err(EpochError::AcceptedBehindCurrent(self));
        }
        if last_logged.epoch() > self.accepted {
            return Err(EpochError::AcceptedBehindLog { accepted: self.accepted, last_logged });
        }
        Ok(Epochs { current: self.current.max(last_logged.epoch()), ..self })
    }

    /// After `epoch` was promised. It is newer than any promised before.
    pub(crate) fn promised(self, epoch: i64) -> Epochs {
        assert!(epoch > self.accepted && epoch <= MAX_EPOCH, "epoch {epoch} promised after {self:?}");
        Epochs { accepted: epoch, ..self }
    }

    /// After the leader of the promised `epoch` was acknowledged.
    pub(crate) fn established(self, epoch: i64) -> Epochs {
        assert!(epoch == self.accepted && epoch >= self.current, "epoch {epoch} established in {self:?}");
        Epochs { current: epoch, ..self }
    }

    /// Set back by an operator's hand to a promise of `accepted`, beside a log that ends at `last_logged`: the way back for an
    /// ensemble that has no epochs left. Never below the log: its transactions are those of leaders that were followed.
    pub(crate) fn set_back(self, accepted: i64, last_logged: Zxid) -> Result<Epochs, EpochError> {
        if !(0..self.accepted).contains(&accepted) {
            return Err(EpochError::NotBack { accepted: self.accepted, to: accepted });
        }
        Epochs { accepted, current: self.current.min(accepted) }.at_start(last_logged)
    }

    /// Whether these are at least as far as `other`, in both.
    pub(crate) fn reach(self, other: Epochs) -> bool {
        self.accepted >= other.accepted && self.current >= other.current
    }
}

/// Whether a server that knows the epoch `known` may accept `claimed` as an epoch of the same ensemble. A false epoch on disk
/// could end all elections: no epoch might be left above it.
pub(crate) fn is_plausible(claimed: i64, known: i64) -> bool {
    claimed <= known.saturating_add(limits::EPOCH_JUMP)
}

/// The zxid of an epoch's NEWLEADER: no transaction has it.
pub(crate) fn first_zxid(epoch: i64) -> Zxid {
    Zxid(epoch << 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every row of the table at the top.
    #[test]
    fn what_is_found_at_a_start() {
        let zxid = |epoch: i64, counter: i64| Zxid(epoch << 32 | counter);
        let start = |accepted, current, last| Epochs { accepted, current }.at_start(last);
        assert_eq!(start(-1, 0, Zxid::ZERO), Err(EpochError::OutOfRange(-1)));
        assert_eq!(start(1 << 31, 0, Zxid::ZERO), Err(EpochError::OutOfRange(1 << 31)));
        assert_eq!(start(0, 0, Zxid(-1)), Err(EpochError::OutOfRange(0xffff_ffff)));
        let behind = Epochs { accepted: 1, current: 2 };
        assert_eq!(behind.at_start(Zxid::ZERO), Err(EpochError::AcceptedBehindCurrent(behind)));
        assert_eq!(
            start(2, 2, zxid(3, 1)),
            Err(EpochError::AcceptedBehindLog { accepted: 2, last_logged: zxid(3, 1) })
        );
        assert_eq!(start(3, 1, zxid(2, 7)), Ok(Epochs { accepted: 3, current: 2 }));
        assert_eq!(start(3, 3, zxid(2, 7)), Ok(Epochs { accepted: 3, current: 3 }));
        assert_eq!(start(0, 0, Zxid::ZERO), Ok(Epochs::default()));
    }

    #[test]
    fn epochs_are_set_back_as_far_as_the_log_goes() {
        let zxid = |epoch: i64, counter: i64| Zxid(epoch << 32 | counter);
        let ended = Epochs { accepted: MAX_EPOCH - 1, current: 7 };
        assert_eq!(ended.set_back(9, zxid(7, 3)), Ok(Epochs { accepted: 9, current: 7 }));
        assert_eq!(ended.set_back(7, zxid(7, 3)), Ok(Epochs { accepted: 7, current: 7 }));
        let both = Epochs { accepted: MAX_EPOCH, current: MAX_EPOCH };
        assert_eq!(both.set_back(8, zxid(7, 3)), Ok(Epochs { accepted: 8, current: 8 }));
        let behind = EpochError::AcceptedBehindLog { accepted: 6, last_logged: zxid(7, 3) };
        assert_eq!(both.set_back(6, zxid(7, 3)), Err(behind));
        for to in [-1, MAX_EPOCH, MAX_EPOCH + 1] {
            assert_eq!(both.set_back(to, zxid(7, 3)), Err(EpochError::NotBack { accepted: MAX_EPOCH, to }));
        }
    }

    #[test]
    fn epochs_move_forward_only() {
        let promised = Epochs { accepted: 1, current: 1 }.promised(4);
        assert_eq!(promised, Epochs { accepted: 4, current: 1 });
        let established = promised.established(4);
        assert_eq!(established, Epochs { accepted: 4, current: 4 });
        assert!(established.reach(promised) && !promised.reach(established));
        assert!(is_plausible(7 + limits::EPOCH_JUMP, 7) && !is_plausible(8 + limits::EPOCH_JUMP, 7));
        assert!(is_plausible(0, MAX_EPOCH) && is_plausible(i64::MAX, i64::MAX));
        assert_eq!(first_zxid(4), Zxid(0x4_0000_0000));
        assert!(std::panic::catch_unwind(|| established.promised(4)).is_err());
        assert!(std::panic::catch_unwind(|| promised.established(3)).is_err());
    }
}
