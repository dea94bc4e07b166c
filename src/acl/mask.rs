//! What getACL hides from callers who may not change the ACL.

use crate::jute::wire::put_int;
use crate::jute::{AclEntry, AclList};

/// Appends the list as a caller without ADMIN sees it: of each digest only the user, then `:x`.
pub(crate) fn mask_digests(list: AclList<'_>, out: &mut Vec<u8>) {
    put_int(out, list.len() as i32);
    let mut masked = Vec::new();
    for entry in list.iter() {
        match entry.id.iter().position(|&byte| byte == b':') {
            Some(colon) if entry.scheme == b"digest" => {
                masked.clear();
                masked.extend_from_slice(&entry.id[..colon]);
                masked.extend_from_slice(b":x");
                AclEntry { id: &masked, ..entry }.put(out);
            }
            _ => entry.put(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jute::Reader;

    #[test]
    fn only_the_hash_of_digests_is_hidden() {
        let mut wire = vec![];
        put_int(&mut wire, 4);
        for (scheme, id) in [("digest", "user:hash"), ("digest", "plain"), ("ip", "::1"), ("digest", ":a:b")] {
            AclEntry { perms: 3, scheme: scheme.as_bytes(), id: id.as_bytes() }.put(&mut wire);
        }
        let mut out = vec![];
        mask_digests(AclList::read(&mut Reader::new(&wire)).unwrap().unwrap(), &mut out);
        let masked = AclList::read(&mut Reader::new(&out)).unwrap().unwrap();
        let ids: Vec<_> = masked.iter().map(|entry| entry.id).collect();
        assert_eq!(ids, [&b"user:x"[..], b"plain", b"::1", b":x"]);
        assert!(masked.iter().all(|entry| entry.perms == 3));
    }
}
