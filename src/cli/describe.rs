//! Transactions and ACLs in one line of text, for people who look into a log or a snapshot.

use crate::jute::records::AclList;
use crate::jute::txn::{self, TxnHeader};
use crate::jute::wire::Reader;
use std::fmt::Write;

/// A log entry: who did what. Data is given by its length only.
pub(crate) fn transaction(entry: &[u8]) -> String {
    match txn::read_entry(entry) {
        Err(error) => format!("not a transaction: {error}"),
        Ok((header, record, digest)) => {
            let TxnHeader { session, cxid, time_ms, op, .. } = header;
            let mut text = format!("session {session} cxid {cxid:#x} time {time_ms} {op:?}{record}");
            if let Some(digest) = digest {
                let _ = write!(text, " digest {:#x}", digest.tree_digest);
            }
            text
        }
    }
}

/// An ACL list from its wire form.
pub(super) fn acl(bytes: &[u8]) -> String {
    match AclList::read(&mut Reader::new(bytes)) {
        Ok(Some(list)) => list.to_string(),
        Ok(None) => "null".into(),
        Err(error) => format!("not an ACL: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{SessionId, Zxid};
    use crate::jute::OpCode;
    use crate::jute::codes::perms;
    use crate::jute::records::AclEntry;
    use crate::jute::txn::CreateTxn;
    use crate::jute::wire::put_int;

    fn entry(op: OpCode, record: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        TxnHeader { session: SessionId(7), cxid: 3, zxid: Zxid(9), time_ms: 1000, op }.put(&mut out);
        record(&mut out);
        out
    }

    fn open_acl() -> Vec<u8> {
        let mut bytes = Vec::new();
        put_int(&mut bytes, 2);
        AclEntry { perms: perms::ALL, scheme: b"world", id: b"anyone" }.put(&mut bytes);
        AclEntry { perms: perms::READ | perms::CREATE, scheme: b"ip", id: b"10.0.0.1" }.put(&mut bytes);
        bytes
    }

    #[test]
    fn lists() {
        assert_eq!(acl(&open_acl()), "world:anyone:cdrwa,ip:10.0.0.1:cr");
        assert!(acl(&[0, 0, 0, 9]).starts_with("not an ACL: "));
    }

    #[test]
    fn transactions() {
        let delete = entry(OpCode::Delete, |out| txn::put_delete(out, b"/a\n"));
        assert_eq!(transaction(&delete), "session 0x7 cxid 0x3 time 1000 Delete /a\\n");
        let open = open_acl();
        let list = AclList::read(&mut Reader::new(&open)).unwrap();
        let create =
            CreateTxn { path: b"/e", data: Some(b"1234"), acl: list, ephemeral: true, parent_cversion: 1, ttl: 0 };
        let create = entry(OpCode::Create, |out| {
            txn::put_create(out, OpCode::Create, &create);
            txn::put_digest(out, 0x1f);
        });
        assert_eq!(
            transaction(&create),
            "session 0x7 cxid 0x3 time 1000 Create /e data 4 bytes acl world:anyone:cdrwa,ip:10.0.0.1:cr ephemeral \
             digest 0x1f"
        );
        let multi = entry(OpCode::Multi, |out| {
            put_int(out, 2);
            txn::put_member(out, OpCode::Delete, |out| txn::put_delete(out, b"/x"));
            txn::put_member(out, OpCode::SetData, |out| txn::put_set_data(out, b"/y", None, 4));
        });
        assert_eq!(
            transaction(&multi),
            "session 0x7 cxid 0x3 time 1000 Multi: Delete /x; SetData /y data null version 4"
        );
        assert!(transaction(&delete[..10]).starts_with("not a transaction: "));
    }
}
