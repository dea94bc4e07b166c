//! The stored `ephemeralOwner`: one number that says which kind of znode this is (ZooKeeper 3.9,
//! `EphemeralType`, `EphemeralTypeEmulate353`).
//!
//! Two settings decide which numbers mean a time to live. So the rules are a value, and all code that shows a Stat has
//! a copy.

use crate::config::Config;
use crate::ids::SessionId;
use crate::jute::Stat;

/// The owner of every container.
pub(crate) const CONTAINER: i64 = i64::MIN;
/// The longest time to live: 40 bits of milliseconds.
pub(crate) const TTL_MAX_MS: i64 = 0xff_ffff_ffff;

const EXTENDED: i64 = 0xff << 56;
const FEATURE: i64 = 0xffff << 40;
const VALUE_353: i64 = 0x0fff_ffff_ffff_ffff;

/// The kind of a znode, by its owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Stays until it is deleted.
    Persistent,
    /// Deleted after its last child was deleted.
    Container,
    /// Deleted when it has no children and its data was not set for so many milliseconds.
    Ttl { ms: i64 },
    /// Deleted with its session; can have no children.
    Ephemeral(SessionId),
}

/// How owners are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OwnerRules {
    /// `zookeeper.extendedTypesEnabled`: an owner with a top byte of 0xff is a time to live.
    pub extended_types: bool,
    /// `zookeeper.emulate353TTLNodes`, together with the other setting: any negative owner is a time to live.
    pub emulate_353_ttl: bool,
}

impl OwnerRules {
    /// The rules of a server with this configuration.
    pub(crate) fn of(config: &Config) -> OwnerRules {
        OwnerRules { extended_types: config.extended_types, emulate_353_ttl: config.emulate_353_ttl }
    }

    /// The kind of an owner. A 0xff owner with an unknown feature number, which ZooKeeper cannot read at all, counts as
    /// a session.
    pub(crate) fn kind(self, owner: i64) -> Kind {
        if owner == 0 {
            return Kind::Persistent;
        }
        if owner == CONTAINER {
            return Kind::Container;
        }
        if self.extended_types {
            let extended = owner & EXTENDED == EXTENDED;
            if extended && (self.emulate_353_ttl || owner & FEATURE == 0) {
                return Kind::Ttl { ms: owner & TTL_MAX_MS };
            }
            if self.emulate_353_ttl && owner < 0 {
                return Kind::Ttl { ms: owner & VALUE_353 };
            }
        }
        Kind::Ephemeral(SessionId(owner))
    }

    /// Whether the owner is a session.
    pub(crate) fn is_ephemeral(self, owner: i64) -> bool {
        owner != 0 && matches!(self.kind(owner), Kind::Ephemeral(_))
    }

    /// `stat` as a client may see it: the owner is shown for the znodes of sessions only.
    pub fn shown(self, owner: i64, mut stat: Stat) -> Stat {
        stat.ephemeral_owner = if self.is_ephemeral(owner) { owner } else { 0 };
        stat
    }
}

/// The owner of a znode that lives `ms` milliseconds; `None` outside 1 … [`TTL_MAX_MS`].
pub(crate) fn ttl_owner(ms: i64) -> Option<i64> {
    (1..=TTL_MAX_MS).contains(&ms).then_some(EXTENDED | ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_by_settings() {
        let plain = OwnerRules::default();
        let extended = OwnerRules { extended_types: true, emulate_353_ttl: false };
        let emulated = OwnerRules { extended_types: true, emulate_353_ttl: true };
        let ttl = ttl_owner(100_000).unwrap();
        assert_eq!(ttl as u64, 0xff00_0000_0001_86a0);
        assert_eq!(plain.kind(ttl), Kind::Ephemeral(SessionId(ttl)));
        assert_eq!(extended.kind(ttl), Kind::Ttl { ms: 100_000 });
        let unknown_feature = ttl | 1 << 40;
        assert_eq!(extended.kind(unknown_feature), Kind::Ephemeral(SessionId(unknown_feature)));
        let old = i64::MIN | 5;
        assert_eq!(extended.kind(old), Kind::Ephemeral(SessionId(old)));
        assert_eq!(emulated.kind(old), Kind::Ttl { ms: 5 });
        for rules in [plain, extended, emulated] {
            assert_eq!(rules.kind(CONTAINER), Kind::Container);
            assert_eq!(rules.kind(0), Kind::Persistent);
            assert_eq!(rules.kind(7), Kind::Ephemeral(SessionId(7)));
        }
    }

    #[test]
    fn ttl_bounds() {
        assert_eq!(ttl_owner(0), None);
        assert_eq!(ttl_owner(TTL_MAX_MS + 1), None);
        assert_eq!(ttl_owner(TTL_MAX_MS).map(|owner| owner as u64), Some(0xff00_00ff_ffff_ffff));
    }

    #[test]
    fn only_sessions_are_shown_as_owners() {
        let rules = OwnerRules { extended_types: true, emulate_353_ttl: false };
        assert_eq!(rules.shown(9, Stat::default()).ephemeral_owner, 9);
        assert_eq!(rules.shown(CONTAINER, Stat::default()).ephemeral_owner, 0);
        assert_eq!(rules.shown(ttl_owner(1).unwrap(), Stat::default()).ephemeral_owner, 0);
    }
}
