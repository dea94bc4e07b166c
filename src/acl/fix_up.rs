//! From the ACL a client sends with create or setACL to the one that is stored: checked, without
//! duplicates, `auth` replaced by who the caller is.
//!
//! ZooKeeper 3.9, `PrepRequestProcessor.fixupACL` and the `isValid` of each provider. Permission bits are
//! not checked there, nor here: they are stored and shown as they were sent, and what is beyond the five grants nothing. How many
//! lists they make different does no harm, as each goes with its last znode. Duplicates are dropped before `auth` is expanded, not after, so that a
//! list reads back as ZooKeeper would show it.

use super::identity::Identities;
use super::scheme::{Scheme, Schemes};
use crate::ids::hash_state;
use crate::jute::wire::put_int;
use crate::jute::{AclEntry, AclList, ErrorCode};
use crate::limits;
use hashbrown::HashSet;

/// Appends the list that is to be stored: count and entries, as [`super::Interner::intern`] takes it.
/// `None` is a null list. Nothing is appended with an error.
///
/// # Errors
/// [`ErrorCode::InvalidAcl`], also beyond [`limits::ACL_ENTRIES`] and [`limits::ACL_BYTES`]; and
/// [`ErrorCode::MarshallingError`] for a null id that ZooKeeper's check of that scheme stumbles over.
pub(crate) fn fix_up(
    acl: Option<AclList<'_>>,
    identities: &Identities,
    schemes: Schemes,
    out: &mut Vec<u8>,
) -> Result<(), ErrorCode> {
    let start = out.len();
    let fixed = fix_entries(acl, identities, schemes, out);
    if fixed.is_err() {
        out.truncate(start);
    }
    fixed
}

fn fix_entries(
    acl: Option<AclList<'_>>,
    identities: &Identities,
    schemes: Schemes,
    out: &mut Vec<u8>,
) -> Result<(), ErrorCode> {
    let sent = |list: &AclList<'_>| !list.is_empty() && list.len() <= limits::ACL_ENTRIES;
    let list = acl.filter(sent).ok_or(ErrorCode::InvalidAcl)?;
    let start = out.len();
    let mut count = 0;
    put_int(out, count);
    let mut put = |entry: AclEntry<'_>, out: &mut Vec<u8>| {
        let bytes = out.len() - start + 12 + entry.scheme.len() + entry.id.len();
        if count as usize == limits::ACL_ENTRIES || bytes > limits::ACL_BYTES {
            return Err(ErrorCode::InvalidAcl);
        }
        count += 1;
        entry.put(out);
        Ok(())
    };
    let mut seen = HashSet::with_hasher(hash_state());
    for (perms, scheme, id) in list.iter_sent() {
        // Nearly all lists have one entry: no set is made for them.
        if list.len() > 1 && !seen.insert((perms, scheme, id)) {
            continue;
        }
        let name = scheme.ok_or(ErrorCode::InvalidAcl)?;
        match (name, id) {
            (b"world", Some(b"anyone")) => put(AclEntry { perms, scheme: b"world", id: b"anyone" }, out)?,
            (b"world", None) => return Err(ErrorCode::MarshallingError),
            (b"auth", _) => {
                let mut callers = identities
                    .iter()
                    .filter(|identity| schemes.find(&identity.scheme).is_some_and(Scheme::is_authenticated))
                    .peekable();
                if callers.peek().is_none() {
                    return Err(ErrorCode::InvalidAcl);
                }
                for caller in callers {
                    put(AclEntry { perms, scheme: &caller.scheme, id: &caller.id }, out)?;
                }
            }
            (name, id) => {
                let scheme = schemes.find(name).ok_or(ErrorCode::InvalidAcl)?;
                let id = match id {
                    Some(id) => id,
                    None if scheme == Scheme::Ensemble => b"", // refused whatever it is
                    None => return Err(ErrorCode::MarshallingError),
                };
                if !is_valid(scheme, id) {
                    return Err(ErrorCode::InvalidAcl);
                }
                put(AclEntry { perms, scheme: name, id }, out)?;
            }
        }
    }
    out[start..start + 4].copy_from_slice(&i32::to_be_bytes(count));
    Ok(())
}

/// Whether the id is one its scheme could ever match.
fn is_valid(scheme: Scheme, id: &[u8]) -> bool {
    match scheme {
        Scheme::Digest => is_digest(id),
        Scheme::Ip => super::ip::Prefix::parse(id).is_some(),
        Scheme::Sasl => is_kerberos_name(id),
        Scheme::X509 => std::str::from_utf8(id).is_ok_and(is_distinguished_name),
        Scheme::Ensemble => false,
    }
}

/// `user:hash`. Java splits without trailing empty parts, so `a:b:` passes and `a:` does not.
fn is_digest(id: &[u8]) -> bool {
    let end = id.iter().rposition(|&byte| byte != b':').map_or(0, |last| last + 1);
    id[..end].iter().filter(|&&byte| byte == b':').count() == 1
}

/// Anything without an `@`, or `service[/host]@REALM` (Hadoop's `KerberosName`, which the provider asks).
fn is_kerberos_name(id: &[u8]) -> bool {
    let mut parts = id.split(|&byte| byte == b'@');
    let name = parts.next().unwrap_or(b"");
    match (parts.next(), parts.next()) {
        (None, _) => true,
        (Some(realm), None) => !realm.contains(&b'/') && name.iter().filter(|&&byte| byte == b'/').count() <= 1,
        _ => false,
    }
}

/// The attribute names that a distinguished name may spell out (those of Java's `X500Principal`).
const ATTRIBUTES: [&str; 20] = [
    "CN",
    "C",
    "L",
    "S",
    "ST",
    "O",
    "OU",
    "T",
    "IP",
    "STREET",
    "DC",
    "DNQUALIFIER",
    "DNQ",
    "SURNAME",
    "GIVENNAME",
    "INITIALS",
    "GENERATION",
    "EMAILADDRESS",
    "UID",
    "SERIALNUMBER",
];

/// `CN=a+OU=b, O="c, d"` as RFC 2253 and RFC 1779 write it; the empty name is one too.
fn is_distinguished_name(name: &str) -> bool {
    name.trim().is_empty() || split_unquoted(name, &[',', ';', '+']).is_some_and(|mut parts| parts.all(is_attribute))
}

fn is_attribute(text: &str) -> bool {
    let Some((kind, value)) = text.split_once('=') else { return false };
    let kind = kind.trim();
    let oid = kind.strip_prefix("OID.").or_else(|| kind.strip_prefix("oid.")).unwrap_or(kind);
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let known = ATTRIBUTES.iter().any(|attribute| attribute.eq_ignore_ascii_case(kind))
        || oid.contains('.') && oid.split('.').all(is_number);
    known && is_attribute_value(value.trim())
}

fn is_attribute_value(value: &str) -> bool {
    if let Some(hex) = value.strip_prefix('#') {
        return !hex.is_empty() && hex.len() % 2 == 0 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    }
    if let Some(quoted) = value.strip_prefix('"') {
        // The closing quote is the first that no backslash protects, and the last character.
        let mut escaped = false;
        let end = quoted.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        return end.is_some_and(|end| end + 1 == quoted.len());
    }
    // Separators cannot be here any more; what is left of the special characters must be escaped.
    let mut escaped = false;
    let clean = value.chars().all(|c| {
        let bad = !escaped && matches!(c, '"' | '<' | '>' | '=');
        escaped = c == '\\' && !escaped;
        !bad
    });
    clean && !escaped
}

/// The parts between separators that are neither quoted nor escaped; `None` where a quote stays open.
fn split_unquoted<'a>(text: &'a str, separators: &'static [char]) -> Option<impl Iterator<Item = &'a str>> {
    let (mut quoted, mut escaped) = (false, false);
    let mut cuts = vec![];
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == '"' {
            quoted = !quoted;
        } else if !quoted && separators.contains(&c) {
            cuts.push(at);
        }
    }
    cuts.push(text.len());
    let mut start = 0;
    (!quoted).then(|| {
        cuts.into_iter().map(move |cut| {
            let part = &text[start..cut];
            start = cut + 1;
            part
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::{AclTable, Identity};
    use crate::jute::Reader;
    use crate::jute::wire::put_buffer;
    use proptest::prelude::*;

    type Entry<'a> = (i32, &'a str, &'a str);

    fn wire(entries: &[Entry<'_>]) -> Vec<u8> {
        let mut out = vec![];
        put_int(&mut out, entries.len() as i32);
        for &(perms, scheme, id) in entries {
            AclEntry { perms, scheme: scheme.as_bytes(), id: id.as_bytes() }.put(&mut out);
        }
        out
    }

    fn fix(entries: &[Entry<'_>], identities: &Identities, schemes: Schemes) -> Result<Vec<u8>, ErrorCode> {
        let wire = wire(entries);
        let list = AclList::read(&mut Reader::new(&wire)).unwrap();
        let mut out = vec![7];
        let result = fix_up(list, identities, schemes, &mut out);
        assert_eq!(out[0], 7, "what was there stays");
        assert!(result.is_ok() || out.len() == 1, "nothing is appended with an error");
        result.map(|()| out.split_off(1))
    }

    fn caller(ids: &[(&str, &str)]) -> Identities {
        let mut identities = Identities::of("10.0.0.1".parse().unwrap());
        ids.iter().for_each(|(scheme, id)| identities.add(Identity::new(scheme.as_bytes(), id.as_bytes())));
        identities
    }

    #[test]
    fn duplicates_go_and_order_stays() {
        let nobody = caller(&[]);
        let sent =
            [(1, "world", "anyone"), (2, "ip", "::1"), (1, "world", "anyone"), (3, "ip", "::1"), (2, "ip", "::1")];
        let kept = [(1, "world", "anyone"), (2, "ip", "::1"), (3, "ip", "::1")];
        assert_eq!(fix(&sent, &nobody, Schemes::default()), Ok(wire(&kept)));
    }

    #[test]
    fn auth_becomes_the_caller() {
        let user = caller(&[("digest", "a:1"), ("super", ""), ("digest", "b:2")]);
        let sent = [(1, "auth", "ignored"), (31, "world", "anyone"), (2, "auth", "")];
        let kept = [
            (1, "digest", "a:1"),
            (1, "digest", "b:2"),
            (31, "world", "anyone"),
            (2, "digest", "a:1"),
            (2, "digest", "b:2"),
        ];
        assert_eq!(fix(&sent, &user, Schemes::default()), Ok(wire(&kept)));
        // An address alone is no authentication, nor is a scheme that is switched off.
        assert_eq!(fix(&sent, &caller(&[]), Schemes::default()), Err(ErrorCode::InvalidAcl));
        let sasl = caller(&[("sasl", "alice")]);
        assert_eq!(fix(&[(1, "auth", "")], &sasl, Schemes::default()), Err(ErrorCode::InvalidAcl));
        assert_eq!(fix(&[(1, "auth", "")], &sasl, Schemes::ALL), Ok(wire(&[(1, "sasl", "alice")])));
    }

    #[test]
    fn what_is_refused() {
        let nobody = caller(&[]);
        let mut out = vec![];
        assert_eq!(fix_up(None, &nobody, Schemes::ALL, &mut out), Err(ErrorCode::InvalidAcl));
        assert_eq!(fix(&[], &nobody, Schemes::ALL), Err(ErrorCode::InvalidAcl));
        for (scheme, id, valid) in [
            ("world", "anyone", true),
            ("world", "someone", false),
            ("", "", false),
            ("super", "", false),
            ("ensemble", "x", false),
            ("unheard-of", "x", false),
            ("digest", "user:hash", true),
            ("digest", ":hash", true),
            ("digest", "a:b::", true),
            ("digest", "user:", false),
            ("digest", "user", false),
            ("digest", "a:b:c", false),
            ("digest", ":", false),
            ("digest", "", false),
            ("ip", "10.0.0.0/8", true),
            ("ip", "10.0.0.0/33", false),
            ("ip", "", false),
            ("sasl", "alice", true),
            ("sasl", "a/b/c", true),
            ("sasl", "zk/host@REALM", true),
            ("sasl", "zk/host/more@REALM", false),
            ("sasl", "zk@REALM/x", false),
            ("sasl", "zk@A@B", false),
            ("x509", "CN=client,OU=zk,O=apache", true),
            ("x509", "cn=a+ou=b; o=\"c, d\"", true),
            ("x509", "1.2.840.113549.1.9.1=#1603abcd", true),
            ("x509", "OID.1.2.3=x", true),
            ("x509", "CN=a\\,b", true),
            ("x509", "", true),
            ("x509", "client", false),
            ("x509", "CN=a,", false),
            ("x509", "CN=\"a", false),
            ("x509", "CN=a\\", false),
            ("x509", "CN=a=b", false),
            ("x509", "XYZ=a", false),
            ("x509", "CN=#1", false),
        ] {
            let fixed = fix(&[(1, scheme, id)], &nobody, Schemes::ALL);
            assert_eq!(fixed.is_ok(), valid, "{scheme}:{id}");
            let among_good = fix(&[(1, "world", "anyone"), (1, scheme, id)], &nobody, Schemes::ALL);
            assert_eq!(among_good.is_ok(), valid, "{scheme}:{id}");
        }
        assert_eq!(fix(&[(1, "sasl", "alice")], &nobody, Schemes::default()), Err(ErrorCode::InvalidAcl));
    }

    #[test]
    fn expansion_is_bounded() {
        let many = caller(&[]);
        let many = (0..63).fold(many, |mut many, n| {
            many.add(Identity::new(b"digest", format!("user{n}:hash").as_bytes()));
            many
        });
        let entries: Vec<Entry<'_>> = (0..1000).map(|perms| (perms, "auth", "")).collect();
        assert_eq!(fix(&entries, &many, Schemes::default()), Err(ErrorCode::InvalidAcl));
        let most = limits::ACL_ENTRIES / 63;
        assert!(fix(&entries[..most], &many, Schemes::default()).is_ok());
        assert_eq!(fix(&entries[..most + 1], &many, Schemes::default()), Err(ErrorCode::InvalidAcl));
        // The longest identity a connection can have, and no more copies of it than fit.
        let long = caller(&[("digest", &format!("{}:hash", "u".repeat(limits::IDENTITY_BYTES - 50)))]);
        assert!(long.fit());
        let copies = |n: usize| fix(&entries[..n], &long, Schemes::default()).map(|list| list.len());
        assert!(copies(16).is_ok_and(|bytes| bytes <= limits::ACL_BYTES));
        assert_eq!(copies(17), Err(ErrorCode::InvalidAcl));
    }

    #[test]
    fn a_list_is_bounded_by_its_entries() {
        let sent: Vec<Entry<'_>> = (0..=limits::ACL_ENTRIES as i32).map(|perms| (perms, "world", "anyone")).collect();
        assert!(fix(&sent[1..], &caller(&[]), Schemes::default()).is_ok());
        assert_eq!(fix(&sent, &caller(&[]), Schemes::default()), Err(ErrorCode::InvalidAcl));
    }

    #[test]
    fn a_null_scheme_is_invalid_and_a_null_id_is_no_id() {
        let null = |scheme: Option<&[u8]>, id: Option<&[u8]>| {
            let mut wire = vec![];
            put_int(&mut wire, 1);
            put_int(&mut wire, 1);
            put_buffer(&mut wire, scheme);
            put_buffer(&mut wire, id);
            let list = AclList::read(&mut Reader::new(&wire)).unwrap();
            fix_up(list, &caller(&[("digest", "a:1")]), Schemes::ALL, &mut vec![]).err()
        };
        assert_eq!(null(None, Some(b"anyone")), Some(ErrorCode::InvalidAcl));
        assert_eq!(null(None, None), Some(ErrorCode::InvalidAcl));
        for scheme in [&b"world"[..], b"digest", b"ip", b"sasl", b"x509"] {
            assert_eq!(null(Some(scheme), None), Some(ErrorCode::MarshallingError), "{}", scheme.escape_ascii());
        }
        for scheme in [&b"ensemble"[..], b"nonsense", b""] {
            assert_eq!(null(Some(scheme), None), Some(ErrorCode::InvalidAcl), "{}", scheme.escape_ascii());
        }
        assert_eq!(null(Some(b"auth"), None), None, "whose id nobody reads");
    }

    proptest! {
        #[test]
        fn a_fixed_list_can_be_interned_and_is_its_own_fix(
            entries in prop::collection::vec(
                (0..40i32, prop::sample::select(vec!["world", "auth", "digest", "ip", "sasl", "x509"]),
                    prop::sample::select(vec!["anyone", "a:b", "u:1", "1.2.3.4", "::/3", "CN=x"])), 0..12),
        ) {
            let user = caller(&[("digest", "u:1"), ("x509", "CN=x")]);
            let model: Result<Vec<Entry<'_>>, ()> = (|| {
                let mut unique = vec![];
                entries.iter().for_each(|entry| if !unique.contains(entry) { unique.push(*entry) });
                if unique.is_empty() { return Err(()) }
                let mut out = vec![];
                for (perms, scheme, id) in unique {
                    match (scheme, id) {
                        ("auth", _) => out.extend([(perms, "digest", "u:1"), (perms, "x509", "CN=x")]),
                        ("world", "anyone") | ("digest", "a:b" | "u:1") | ("ip", "1.2.3.4" | "::/3")
                        | ("sasl", _) | ("x509", "CN=x") => out.push((perms, scheme, id)),
                        _ => return Err(()),
                    }
                }
                Ok(out)
            })();
            let fixed = fix(&entries, &user, Schemes::ALL);
            let expected = model.map(|entries| wire(&entries));
            prop_assert_eq!(fixed.as_deref().ok(), expected.as_deref().ok());
            if let Ok(fixed) = fixed {
                let (table, mut interner) = AclTable::new();
                let id = interner.intern(&fixed);
                prop_assert_eq!(table.bytes(id), &fixed[..]);
            }
        }

        #[test]
        fn no_id_panics(id: Vec<u8>, near in "[A-Za-z0-9.=,;+\"\\\\#@/: ]{0,24}") {
            for scheme in [Scheme::Digest, Scheme::Ip, Scheme::Sasl, Scheme::X509] {
                let _ = (is_valid(scheme, &id), is_valid(scheme, near.as_bytes()));
            }
        }
    }
}
