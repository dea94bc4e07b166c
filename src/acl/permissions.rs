//! One table: which operation needs which permission, and on whose ACL. And what getACL hides from
//! callers who may not change the ACL.

use crate::jute::codes::perms;
use crate::jute::wire::put_int;
use crate::jute::{AclEntry, AclList, OpCode};

/// Whose ACL decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose {
    /// The znode's the request names.
    Node,
    /// Its parent's.
    Parent,
    /// That of `/zookeeper/config`.
    Config,
}

/// What an operation needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Needed {
    /// Whose ACL decides.
    pub whose: Whose,
    /// One of these permission bits is enough.
    pub perms: i32,
}

/// What the operation needs; `None` where no ACL is asked (ZooKeeper 3.9, `PrepRequestProcessor` and
/// `FinalRequestProcessor`). deleteContainer has none in ZooKeeper either: the server's own reaper sends
/// it, and whether a client may is decided elsewhere.
pub const fn needed(op: OpCode) -> Option<Needed> {
    let (whose, perms) = match op {
        OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
            (Whose::Parent, perms::CREATE)
        }
        OpCode::Delete => (Whose::Parent, perms::DELETE),
        OpCode::SetData => (Whose::Node, perms::WRITE),
        OpCode::SetAcl => (Whose::Node, perms::ADMIN),
        OpCode::Reconfig => (Whose::Config, perms::WRITE),
        OpCode::Check
        | OpCode::Exists
        | OpCode::GetData
        | OpCode::GetChildren
        | OpCode::GetChildren2
        | OpCode::GetAllChildrenNumber => (Whose::Node, perms::READ),
        OpCode::GetAcl => (Whose::Node, perms::READ | perms::ADMIN),
        OpCode::Sync
        | OpCode::Ping
        | OpCode::Multi
        | OpCode::MultiRead
        | OpCode::CheckWatches
        | OpCode::RemoveWatches
        | OpCode::DeleteContainer
        | OpCode::Auth
        | OpCode::SetWatches
        | OpCode::SetWatches2
        | OpCode::AddWatch
        | OpCode::Sasl
        | OpCode::GetEphemerals
        | OpCode::WhoAmI
        | OpCode::CreateSession
        | OpCode::CloseSession
        | OpCode::Error => return None,
    };
    Some(Needed { whose, perms })
}

/// Appends the list as a caller without ADMIN sees it: of each digest only the user, then `:x`.
pub fn mask_digests(list: AclList<'_>, out: &mut Vec<u8>) {
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
    fn the_table_says_what_the_protocol_says() {
        let needs = |op, whose, perms| assert_eq!(needed(op), Some(Needed { whose, perms }), "{op:?}");
        for op in [OpCode::Create, OpCode::Create2, OpCode::CreateContainer, OpCode::CreateTtl] {
            needs(op, Whose::Parent, 4);
        }
        needs(OpCode::Delete, Whose::Parent, 8);
        needs(OpCode::SetData, Whose::Node, 2);
        needs(OpCode::SetAcl, Whose::Node, 16);
        needs(OpCode::Reconfig, Whose::Config, 2);
        needs(OpCode::GetAcl, Whose::Node, 17);
        for op in [OpCode::Check, OpCode::Exists, OpCode::GetData, OpCode::GetChildren, OpCode::GetAllChildrenNumber] {
            needs(op, Whose::Node, 1);
        }
        for op in [OpCode::AddWatch, OpCode::SetWatches, OpCode::GetEphemerals, OpCode::Sync, OpCode::WhoAmI] {
            assert_eq!(needed(op), None);
        }
    }

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
