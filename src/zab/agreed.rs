//! What the members of an ensemble agree on beside its transactions: the secret that session passwords are made under, and
//! whether every member checks passwords by it.
//!
//! A leader tells its learners just before NEWLEADER, and again when the second of the two changes; a learner writes it down
//! before it acknowledges. So the secret follows the rules of the epochs: a server that can be elected after an established
//! leader has acknowledged that leader, and has its secret. The first secret is that of the first leader's data directory.
//! The secret of a leader that was never established must not survive that leader. So each secret is stored with its epoch,
//! beside the last acknowledged one; the valid one is the newest whose epoch is not above the current epoch.
//!
//! A secret that sessions use must not be replaced by an unused one: the leader may have started with an empty disk, behind a
//! leader without support for secrets. So each secret is stored with whether it was ever used. If a learner has a used secret
//! and the leader sends an unused one, the learner keeps its own and reports it; the leader adopts the learner's secret and
//! distributes it. A secret comes into use when every member has acknowledged a leader that sent it, so every member could
//! report its own. It comes into use on a standalone server, too, whose sessions get passwords under it: when an ensemble
//! grows from that server, the ensemble has these sessions.
//!
//! Only learners that announced support ([`crate::jute::quorum::PROTOCOL_SECRETS`]) are told. A ZooKeeper knows only its own
//! passwords, so while a member is a ZooKeeper, or may be one, new sessions get ZooKeeper's passwords.

use crate::jute::wire::Reader;
use crate::session::SessionSecret;

/// The agreement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Agreed {
    pub secret: SessionSecret,
    /// Every member is known to have it: new sessions get passwords under it.
    pub everywhere: bool,
    /// New sessions got secret passwords at some time, so sessions may have such passwords.
    pub used: bool,
}

/// Bits of the first byte.
const EVERYWHERE: u8 = 1;
const USED: u8 = 2;

/// Bytes of one, on the wire and on disk.
pub(crate) const AGREED_LEN: usize = 33;

impl Agreed {
    /// Appends it.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.push(if self.everywhere { EVERYWHERE } else { 0 } | if self.used { USED } else { 0 });
        out.extend_from_slice(&self.secret.0);
    }

    /// Reads it; what follows is for versions to come.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Agreed> {
        let mut r = Reader::new(bytes);
        let bits = r.bytes(1).ok()?[0];
        let secret = r.bytes(32).ok()?.try_into().ok()?;
        let everywhere = bits & EVERYWHERE != 0;
        Some(Agreed { secret: SessionSecret(secret), everywhere, used: everywhere || bits & USED != 0 })
    }
}

/// What a member has of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    /// One or two, with their epochs, which rise.
    entries: Vec<(i64, Agreed)>,
}

impl Held {
    /// A member that was told nothing yet has this secret of its own. `used`: sessions may be under it, from when its server was
    /// on its own.
    pub(crate) fn own(secret: SessionSecret, used: bool) -> Held {
        Held { entries: vec![(0, Agreed { secret, everywhere: false, used })] }
    }

    /// The same for a member that became a standalone server, with a log that ends in the epoch `current`: the secret valid
    /// there is in use. Nothing is known about servers that may join later.
    pub(crate) fn left_alone(&self, current: i64) -> Held {
        let (epoch, agreed) = self.entry(current);
        let later = self.entries.iter().copied().filter(|(other, _)| *other > epoch);
        let own = (epoch, Agreed { everywhere: false, used: true, ..agreed });
        Held { entries: std::iter::once(own).chain(later).collect() }
    }

    /// As it was written down; `None` if it cannot have been.
    pub(crate) fn of(entries: Vec<(i64, Agreed)>) -> Option<Held> {
        let rises = entries.windows(2).all(|pair| pair[0].0 < pair[1].0);
        (rises && matches!(entries.len(), 1 | 2) && entries[0].0 >= 0).then_some(Held { entries })
    }

    /// To be written down.
    pub(crate) fn entries(&self) -> &[(i64, Agreed)] {
        &self.entries
    }

    /// What counts for a member that has acknowledged the leader of this epoch, and of none since.
    pub(crate) fn at(&self, current: i64) -> Agreed {
        self.entry(current).1
    }

    fn entry(&self, current: i64) -> (i64, Agreed) {
        *self.entries.iter().rev().find(|(epoch, _)| *epoch <= current).unwrap_or(&self.entries[0])
    }

    /// The last that was heard.
    pub(crate) fn newest(&self) -> Agreed {
        self.entries[self.entries.len() - 1].1
    }

    /// The leader of `epoch` says this, and that of `current` is the last one acknowledged. Whether it is to be written down.
    pub(crate) fn agree(&mut self, epoch: i64, agreed: Agreed, current: i64) -> bool {
        // Epochs may have been set back by an operator's hand: what is noted for a later one would not count.
        let last = self.entries[self.entries.len() - 1];
        if last.1 == agreed && last.0 <= epoch {
            return false;
        }
        let kept = self.entry(current);
        self.entries = if kept.0 < epoch { vec![kept, (epoch, agreed)] } else { vec![(kept.0, agreed)] };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreed(secret: u8, everywhere: bool) -> Agreed {
        Agreed { secret: SessionSecret([secret; 32]), everywhere, used: everywhere }
    }

    #[test]
    fn it_comes_back_as_it_went() {
        for sent in [agreed(3, true), agreed(4, false), Agreed { used: true, ..agreed(5, false) }] {
            let mut bytes = vec![];
            sent.put(&mut bytes);
            assert_eq!(bytes.len(), AGREED_LEN);
            assert_eq!(Agreed::decode(&bytes), Some(sent));
            bytes.push(1);
            assert_eq!(Agreed::decode(&bytes), Some(sent), "with what a later version adds");
            assert_eq!(Agreed::decode(&bytes[..32]), None);
        }
    }

    #[test]
    fn what_a_leader_said_counts_when_it_is_acknowledged() {
        let mut held = Held::own(SessionSecret([1; 32]), false);
        assert!(held.agree(3, agreed(2, false), 0));
        assert_eq!((held.at(0), held.at(3)), (agreed(1, false), agreed(2, false)));
        assert!(!held.agree(3, agreed(2, false), 0), "it is written down");
        assert!(held.agree(3, agreed(2, true), 3));
        assert_eq!((held.at(3), held.entries().len()), (agreed(2, true), 1));
        // The leader of epoch 5 comes to nothing: the secret of 3 is what the ensemble has.
        assert!(held.agree(5, agreed(9, false), 3));
        assert_eq!(held.at(3), agreed(2, true));
        assert!(held.agree(6, agreed(2, true), 3), "it must not come back with epoch 6");
        assert_eq!((held.at(3), held.at(6)), (agreed(2, true), agreed(2, true)));
        // Set back to 4, and the leader of 5 says what the one of 6 did.
        assert!(held.agree(5, agreed(2, true), 4));
        assert_eq!(held.at(5), agreed(2, true));
    }

    #[test]
    fn what_nobody_wrote_is_refused() {
        let one = agreed(1, true);
        assert_eq!(Held::of(vec![(0, one)]), Some(Held { entries: vec![(0, one)] }));
        assert!(Held::of(vec![(1, one), (4, agreed(2, true))]).is_some());
        for entries in [vec![], vec![(-1, one)], vec![(4, one), (4, one)], vec![(1, one), (2, one), (3, one)]] {
            assert_eq!(Held::of(entries), None);
        }
    }
}
