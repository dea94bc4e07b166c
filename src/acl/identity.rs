//! What a connection has proved of itself, and whether an ACL lets it act.

use super::ip::{Address, Prefix, java_name};
use crate::cost::Cost;
use crate::ids::hash_state;
use crate::jute::{AclEntry, AclList};
use crate::limits;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// One thing a connection has proved: a scheme and who it is in that scheme's own terms.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// `ip`, `digest`, …
    pub scheme: Box<[u8]>,
    /// Who, in the scheme's own terms.
    pub id: Box<[u8]>,
    /// Of the scheme `ip`: the address, read once. `None` if it is none.
    address: Option<Address>,
}

impl Identity {
    /// Any identity; what a scheme's own rules say of the id is the caller's business.
    pub fn new(scheme: &[u8], id: &[u8]) -> Identity {
        let address = if scheme == b"ip" { Address::parse(id) } else { None };
        Identity { scheme: scheme.into(), id: id.into(), address }
    }

    /// What every connection starts with.
    pub(crate) fn ip(address: IpAddr) -> Identity {
        Identity::new(b"ip", java_name(address).as_bytes())
    }

    /// The one that no ACL stops.
    pub(crate) fn superuser() -> Identity {
        Identity::new(b"super", b"")
    }

    /// Who, as whoAmI and the audit log say it: without a digest's hash, and empty where the scheme has
    /// no provider (`super`). ZooKeeper 3.9, `AuthUtil.getUser`.
    pub(crate) fn user(&self) -> &[u8] {
        match &*self.scheme {
            b"digest" => self.id.split(|&byte| byte == b':').next().unwrap_or(b""),
            b"super" => b"",
            _ => &self.id,
        }
    }
}

impl fmt::Debug for Identity {
    /// Without what follows a colon: a digest is as good as its password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.scheme.escape_ascii(), self.user().escape_ascii())
    }
}

/// The identities of one connection, in the order they were added, each once.
///
/// How many they may be, and how long together, is bounded for a connection by [`Identities::fit`], and for a request that
/// another server has forwarded by what is taken from it ([`crate::limits::FORWARDED_IDENTITIES`]).
#[derive(Clone, Debug, Default)]
pub struct Identities {
    list: Vec<Identity>,
    /// Of each the hash of scheme and id: an entry is looked for among numbers, not among texts.
    keys: Vec<u64>,
    is_super: bool,
    /// ZooKeeper's `letAnySaslUserDoX`: whoever has a SASL identity passes for this one.
    any_sasl_user: Option<Arc<[u8]>>,
}

impl Identities {
    /// Of a connection that has just been made from that address. The default is nobody: what the server
    /// does on its own account.
    pub fn of(address: IpAddr) -> Identities {
        [Identity::ip(address)].into_iter().collect()
    }

    /// The same, and whoever has a SASL identity passes for `user` as well (`letAnySaslUserDoX`).
    #[cfg(test)]
    pub(crate) fn with_any_sasl_user(self, user: Option<Arc<[u8]>>) -> Identities {
        Identities { any_sasl_user: user, ..self }
    }

    /// Adds one; nothing happens if it is there already.
    pub fn add(&mut self, identity: Identity) {
        if !self.holds(&identity.scheme, &identity.id) {
            self.is_super |= &*identity.scheme == b"super";
            self.keys.push(key(&identity.scheme, &identity.id));
            self.list.push(identity);
        }
    }

    /// In the order they were added.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Identity> {
        self.list.iter()
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether a connection may have so many and so long ones.
    pub(crate) fn fit(&self) -> bool {
        let bytes: usize = self.list.iter().map(|identity| identity.scheme.len() + identity.id.len()).sum();
        self.list.len() <= limits::IDENTITIES && bytes <= limits::IDENTITY_BYTES
    }

    /// Whether one of them has that scheme.
    pub(crate) fn has_scheme(&self, scheme: &[u8]) -> bool {
        self.list.iter().any(|identity| &*identity.scheme == scheme)
    }

    /// Whether no ACL stops them.
    #[cfg(test)]
    pub(crate) fn is_super(&self) -> bool {
        self.is_super
    }

    /// Whether the list lets them do at least one of the `wanted` permissions. An empty list lets
    /// everybody do everything (ZooKeeper 3.9, `ZooKeeperServer.checkACL`). `skipACL` is the caller's.
    pub(crate) fn allows(&self, list: AclList<'_>, wanted: i32) -> bool {
        list.is_empty()
            || self.is_super
            || list.iter().any(|entry| entry.perms & wanted != 0 && self.match_entry(&entry))
    }

    fn match_entry(&self, entry: &AclEntry<'_>) -> bool {
        match entry.scheme {
            b"world" => entry.id == b"anyone",
            b"ip" => Prefix::parse(entry.id).is_some_and(|prefix| {
                self.list.iter().filter_map(|identity| identity.address).any(|address| prefix.covers(address))
            }),
            b"digest" | b"x509" => self.holds(entry.scheme, entry.id),
            b"sasl" => {
                self.holds(b"sasl", entry.id)
                    || self.holds(b"sasl", b"super")
                    || self.any_sasl_user.as_deref().is_some_and(|user| user == entry.id) && self.has_scheme(b"sasl")
            }
            // A scheme without a provider here: nobody matches it.
            _ => false,
        }
    }

    fn holds(&self, scheme: &[u8], id: &[u8]) -> bool {
        let key = key(scheme, id);
        let same = |(known, identity): (&u64, &Identity)| {
            *known == key && &*identity.scheme == scheme && equal(&identity.id, id)
        };
        self.keys.iter().zip(&self.list).any(same)
    }
}

/// What it costs at most to ask [`Identities::allows`] whether a list lets these identities do something. Whoever asks for a
/// client charges it; a list that is known by number to be open, and a server that asks nobody, costs nothing.
///
/// Every entry is taken apart and looked for among the keys of the identities, eight of which are compared in the time of
/// one unit.
pub(crate) fn check_cost(list: AclList<'_>, identities: &Identities) -> Cost {
    if list.is_empty() || identities.is_super {
        return Cost::NONE;
    }
    let keys = identities.keys.len().div_ceil(8);
    Cost::COMPARISON.times(list.len().saturating_mul(2 + keys)) + Cost::bytes(list.size())
}

fn key(scheme: &[u8], id: &[u8]) -> u64 {
    hash_state().hash_one((scheme, id))
}

impl FromIterator<Identity> for Identities {
    fn from_iter<T: IntoIterator<Item = Identity>>(identities: T) -> Self {
        let mut all = Identities::default();
        identities.into_iter().for_each(|identity| all.add(identity));
        all
    }
}

/// Equality that takes as long for a wrong guess as for a right one of the same length.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jute::Reader;
    use crate::jute::codes::perms;
    use crate::jute::wire::put_int;

    fn allows(identities: &Identities, entries: &[(i32, &str, &str)], wanted: i32) -> bool {
        let mut out = vec![];
        put_int(&mut out, entries.len() as i32);
        for (perms, scheme, id) in entries {
            AclEntry { perms: *perms, scheme: scheme.as_bytes(), id: id.as_bytes() }.put(&mut out);
        }
        identities.allows(AclList::read(&mut Reader::new(&out)).unwrap().unwrap(), wanted)
    }

    fn local() -> Identities {
        Identities::of("127.0.0.1".parse().unwrap())
    }

    #[test]
    fn the_rules_of_evaluation() {
        let mut user = local();
        user.add(Identity::new(b"digest", b"u:h"));
        let mut sasl = local();
        sasl.add(Identity::new(b"sasl", b"alice"));
        let mut sasl_super = local();
        sasl_super.add(Identity::new(b"sasl", b"super"));
        let mut root = local();
        root.add(Identity::superuser());
        let any = sasl.clone().with_any_sasl_user(Some(b"anybody"[..].into()));
        const READ: i32 = perms::READ;
        const ALL: i32 = perms::ALL;
        for (who, acl, wanted, expected) in [
            (&user, &[][..], READ, true),
            (&user, &[(READ, "world", "anyone")], READ, true),
            (&user, &[(READ, "world", "anyone")], perms::WRITE, false),
            (&user, &[(perms::ADMIN, "world", "anyone")], READ | perms::ADMIN, true),
            (&user, &[(ALL, "world", "nobody")], READ, false),
            (&user, &[(ALL, "digest", "u:h")], READ, true),
            (&user, &[(ALL, "digest", "u:i")], READ, false),
            (&user, &[(ALL, "digest", "u:hh")], READ, false),
            (&user, &[(ALL, "auth", "")], READ, false),
            (&user, &[(ALL, "x509", "u:h")], READ, false),
            (&user, &[(ALL, "ip", "127.0.0.0/8")], READ, true),
            (&user, &[(ALL, "ip", "128.0.0.0/8")], READ, false),
            (&user, &[(ALL, "ip", "nonsense")], READ, false),
            (&user, &[(READ, "digest", "u:i"), (READ, "digest", "u:h")], READ, true),
            (&user, &[(perms::WRITE, "digest", "u:h"), (READ, "digest", "u:i")], READ, false),
            (&root, &[(0, "nothing", "at all")], ALL, true),
            (&sasl, &[(ALL, "sasl", "alice")], READ, true),
            (&sasl, &[(ALL, "sasl", "bob")], READ, false),
            (&sasl_super, &[(ALL, "sasl", "bob")], READ, true),
            (&any, &[(ALL, "sasl", "anybody")], READ, true),
            (&any, &[(ALL, "sasl", "bob")], READ, false),
            (&Identities::default(), &[(ALL, "ip", "0.0.0.0/0")], READ, false),
        ] {
            assert_eq!(allows(who, acl, wanted), expected, "{who:?} {acl:?} {wanted}");
        }
        assert!(root.is_super() && !user.is_super());
    }

    #[test]
    fn a_check_costs_what_is_compared() {
        let cost = |entries: usize, who: &Identities| {
            let mut out = vec![];
            put_int(&mut out, entries as i32);
            (0..entries).for_each(|n| {
                let id = format!("user{n}:hash");
                AclEntry { perms: perms::READ, scheme: b"digest", id: id.as_bytes() }.put(&mut out);
            });
            check_cost(AclList::read(&mut Reader::new(&out)).unwrap().unwrap(), who)
        };
        let one = local();
        let many = (0..63).fold(local(), |mut many, n| {
            many.add(Identity::new(b"digest", format!("other{n}:hash").as_bytes()));
            many
        });
        assert!(cost(1000, &one) >= Cost::COMPARISON * 1000);
        assert!(cost(1000, &many) > cost(1000, &one) * 2);
        assert!(cost(2000, &one) >= cost(1000, &one) * 2);
        let mut root = local();
        root.add(Identity::superuser());
        assert_eq!((cost(0, &one), cost(1000, &root)), (Cost::NONE, Cost::NONE));
    }

    #[test]
    fn an_identity_is_held_once() {
        let mut user = local();
        for _ in 0..3 {
            user.add(Identity::new(b"digest", b"u:h"));
            user.add(Identity::ip("127.0.0.1".parse().unwrap()));
        }
        assert_eq!(user.iter().map(Identity::user).collect::<Vec<_>>(), [&b"127.0.0.1"[..], b"u"]);
        assert!(user.has_scheme(b"digest") && !user.has_scheme(b"sasl"));
        let peer: Identities =
            [Identity::new(b"super", b"cert"), Identity::new(b"super", b"cert")].into_iter().collect();
        assert!(peer.is_super() && peer.iter().count() == 1);
        assert_eq!(Identity::superuser().user(), b"");
        assert_eq!(format!("{:?}", Identity::new(b"digest", b"u:secret")), "digest:u");
    }
}
