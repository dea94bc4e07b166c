//! Transactions as ZooKeeper logs them and sends them to peers: header, record, optional digest.
//!
//! The bytes made here go unchanged into the log and, in an ensemble, onto the wire (ZooKeeper 3.9,
//! `SerializeUtils`, `FileTxnLog`).

use super::codes::{ErrorCode, OpCode};
use super::records::AclList;
use super::wire::{
    DecodeError, Reader, Strings, halves, put_bool, put_buffer, put_bytes, put_int, put_long, put_words,
};
use crate::ids::{SessionId, Zxid};
use std::fmt;

/// Who did it, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TxnHeader {
    /// The session that asked; [`SessionId::NONE`] when the server did.
    pub session: SessionId,
    /// The client's xid.
    pub cxid: i32,
    /// Above that of every transaction before; in ZooKeeper's logs an error may repeat the last one.
    pub zxid: Zxid,
    /// Milliseconds since 1970 at the leader.
    pub time_ms: i64,
    /// The operation; decides the record.
    pub op: OpCode,
}

impl TxnHeader {
    /// Appends the header.
    pub fn put(&self, out: &mut Vec<u8>) {
        let [s0, s1] = halves(self.session.0);
        let [z0, z1] = halves(self.zxid.0);
        let [t0, t1] = halves(self.time_ms);
        put_words(out, [s0, s1, self.cxid as u32, z0, z1, t0, t1, self.op.wire() as u32]);
    }

    /// Reads the header.
    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(TxnHeader {
            session: SessionId(r.long()?),
            cxid: r.int()?,
            zxid: Zxid(r.long()?),
            time_ms: r.long()?,
            op: OpCode::from_wire(r.int()?).ok_or(DecodeError::Invalid)?,
        })
    }
}

/// A create of any kind, as it was decided: the name is final.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CreateTxn<'a> {
    /// The whole path, a sequential one's number included.
    pub path: &'a [u8],
    /// `None` is null, which is not the same as empty.
    pub data: Option<&'a [u8]>,
    /// Never null in what this server writes; a null list of an old log means open.
    pub acl: Option<AclList<'a>>,
    /// Only operations 1 and 15 have it on the wire; the owner is the header's session.
    pub ephemeral: bool,
    /// The parent's stored cversion after this create; -1 in old logs: one more than it was.
    pub parent_cversion: i32,
    /// Milliseconds, createTTL only.
    pub ttl: i64,
}

/// The record of a transaction.
#[derive(Clone, Copy, Debug)]
pub enum Txn<'a> {
    /// A session of the whole ensemble begins.
    CreateSession {
        /// Negotiated: how long the session lives without a sign of its client.
        timeout_ms: i32,
    },
    /// Old logs do not list the paths.
    CloseSession {
        /// The session's ephemerals, which go with it.
        paths: Option<Strings<'a>>,
    },
    /// A request that failed, and changes nothing; also a member of a multi that failed.
    Error {
        /// An [`ErrorCode`] by its number, or one that this server does not know.
        code: i32,
    },
    /// A create of any kind; the header's operation says which.
    Create(CreateTxn<'a>),
    /// A delete, or the end of a container or TTL znode.
    Delete {
        /// Which znode; none has children below.
        path: &'a [u8],
    },
    /// A setData, or a reconfiguration, which sets the data of `/zookeeper/config`.
    SetData {
        /// Which znode.
        path: &'a [u8],
        /// All of the new data. `None` is null, which is not the same as empty.
        data: Option<&'a [u8]>,
        /// The version behind it.
        version: i32,
    },
    /// A setACL.
    SetAcl {
        /// Which znode.
        path: &'a [u8],
        /// The list to be stored; a null list of an old log means open.
        acl: Option<AclList<'a>>,
        /// The aversion behind it.
        version: i32,
    },
    /// A check of a multi, which held: nothing to do.
    Check,
    /// A multi: the records of its members, all of which are carried out or, if one is an error, none.
    Multi(MultiTxn<'a>),
}

impl<'a> Txn<'a> {
    /// Reads the record of operation `op`.
    pub(crate) fn read(op: OpCode, r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(match op {
            OpCode::CreateSession => Txn::CreateSession { timeout_ms: r.int()? },
            OpCode::CloseSession => {
                Txn::CloseSession { paths: if r.rest().is_empty() { None } else { Some(r.strings()?) } }
            }
            OpCode::Error => Txn::Error { code: r.int()? },
            OpCode::Create | OpCode::Create2 => Txn::Create(CreateTxn {
                path: r.string()?,
                data: r.buffer()?,
                acl: AclList::read(r)?,
                ephemeral: r.bool()?,
                parent_cversion: if r.rest().len() < 4 { -1 } else { r.int()? },
                ttl: 0,
            }),
            OpCode::CreateContainer | OpCode::CreateTtl => Txn::Create(CreateTxn {
                path: r.string()?,
                data: r.buffer()?,
                acl: AclList::read(r)?,
                ephemeral: false,
                parent_cversion: r.int()?,
                ttl: if op == OpCode::CreateTtl { r.long()? } else { 0 },
            }),
            OpCode::Delete | OpCode::DeleteContainer => Txn::Delete { path: r.string()? },
            OpCode::SetData | OpCode::Reconfig => {
                Txn::SetData { path: r.string()?, data: r.buffer()?, version: r.int()? }
            }
            OpCode::SetAcl => Txn::SetAcl { path: r.string()?, acl: AclList::read(r)?, version: r.int()? },
            OpCode::Check => {
                r.string()?;
                r.int()?;
                Txn::Check
            }
            OpCode::Multi => Txn::Multi(MultiTxn::read(r)?),
            _ => return Err(DecodeError::Invalid),
        })
    }
}

/// The record in one line for people, as it goes behind its operation's name. Of data the length only.
impl fmt::Display for Txn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = |data: Option<&[u8]>| data.map_or("null".into(), |data| format!("{} bytes", data.len()));
        let list = |acl: Option<AclList<'_>>| acl.map_or("null".into(), |list| list.to_string());
        match self {
            Txn::CreateSession { timeout_ms } => write!(f, " timeout {timeout_ms} ms"),
            Txn::CloseSession { paths: None } => Ok(()),
            Txn::CloseSession { paths: Some(paths) } => {
                paths.iter().try_for_each(|deleted| write!(f, " {}", deleted.escape_ascii()))
            }
            Txn::Error { code } => match ErrorCode::from_wire(*code) {
                Some(name) => write!(f, " {name:?}"),
                None => write!(f, " {code}"),
            },
            Txn::Create(create) => {
                let CreateTxn { path, data, acl, ephemeral, ttl, .. } = *create;
                let kind = if ephemeral { " ephemeral" } else { "" };
                let ttl = if ttl == 0 { String::new() } else { format!(" ttl {ttl} ms") };
                write!(f, " {} data {} acl {}{kind}{ttl}", path.escape_ascii(), length(data), list(acl))
            }
            Txn::Delete { path } => write!(f, " {}", path.escape_ascii()),
            Txn::SetData { path, data, version } => {
                write!(f, " {} data {} version {version}", path.escape_ascii(), length(*data))
            }
            Txn::SetAcl { path, acl, version } => {
                write!(f, " {} acl {} version {version}", path.escape_ascii(), list(*acl))
            }
            Txn::Check => Ok(()),
            Txn::Multi(members) => members.iter().enumerate().try_for_each(|(index, (op, member))| {
                let before = if index == 0 { ": " } else { "; " };
                write!(f, "{before}{op:?}{member}")
            }),
        }
    }
}

/// The members of a multi, checked once.
#[derive(Clone, Copy, Debug)]
pub struct MultiTxn<'a> {
    bytes: &'a [u8],
}

impl<'a> MultiTxn<'a> {
    fn read(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let count = r.count()?.unwrap_or(0);
        let start = r.rest();
        for _ in 0..count {
            Self::member(r)?;
        }
        Ok(MultiTxn { bytes: &start[..start.len() - r.rest().len()] })
    }

    fn member(r: &mut Reader<'a>) -> Result<(OpCode, Txn<'a>), DecodeError> {
        let op = OpCode::from_wire(r.int()?).ok_or(DecodeError::Invalid)?;
        if op == OpCode::Multi {
            return Err(DecodeError::Invalid); // no nesting: bounds the recursion
        }
        let record = r.buffer()?.ok_or(DecodeError::Null)?;
        Ok((op, Txn::read(op, &mut Reader::new(record))?))
    }

    /// The members in order, each with its operation.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (OpCode, Txn<'a>)> + use<'a> {
        let mut reader = Reader::new(self.bytes);
        std::iter::from_fn(move || Self::member(&mut reader).ok())
    }
}

/// The tree's digest after a transaction, as carried behind its record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TxnDigest {
    pub(crate) version: i32,
    pub(crate) tree_digest: i64,
}

/// The digest version this server writes and understands.
pub(crate) const DIGEST_VERSION: i32 = 2;

/// Reads a whole log entry body: header, record, digest if there is one.
pub fn read_entry(bytes: &[u8]) -> Result<(TxnHeader, Txn<'_>, Option<TxnDigest>), DecodeError> {
    let mut r = Reader::new(bytes);
    let header = TxnHeader::read(&mut r)?;
    // A close without a list of paths ends right here or is followed by nothing else of its own.
    let txn = Txn::read(header.op, &mut r)?;
    let digest = if r.rest().is_empty() { None } else { Some(TxnDigest { version: r.int()?, tree_digest: r.long()? }) };
    Ok((header, txn, digest))
}

/// Appends the digest that follows a record.
pub(crate) fn put_digest(out: &mut Vec<u8>, tree_digest: u64) {
    put_int(out, DIGEST_VERSION);
    put_long(out, tree_digest as i64);
}

/// Appends the record of a create of operation `op`.
pub fn put_create(out: &mut Vec<u8>, op: OpCode, create: &CreateTxn<'_>) {
    put_bytes(out, create.path);
    put_buffer(out, create.data);
    match create.acl {
        Some(acl) => acl.put(out),
        None => put_int(out, -1),
    }
    if matches!(op, OpCode::Create | OpCode::Create2) {
        put_bool(out, create.ephemeral);
    }
    put_int(out, create.parent_cversion);
    if op == OpCode::CreateTtl {
        put_long(out, create.ttl);
    }
}

/// Appends the record of a delete or deleteContainer.
pub(crate) fn put_delete(out: &mut Vec<u8>, path: &[u8]) {
    put_bytes(out, path);
}

/// Appends the record of a setData; `version` is the new one.
pub(crate) fn put_set_data(out: &mut Vec<u8>, path: &[u8], data: Option<&[u8]>, version: i32) {
    put_bytes(out, path);
    put_buffer(out, data);
    put_int(out, version);
}

/// Appends the record of a setACL; `version` is the new aversion.
pub(crate) fn put_set_acl(out: &mut Vec<u8>, path: &[u8], acl: AclList<'_>, version: i32) {
    put_bytes(out, path);
    acl.put(out);
    put_int(out, version);
}

/// Appends the record of a check.
pub(crate) fn put_check(out: &mut Vec<u8>, path: &[u8], version: i32) {
    put_bytes(out, path);
    put_int(out, version);
}

/// Appends the record of an error.
pub(crate) fn put_error(out: &mut Vec<u8>, code: ErrorCode) {
    put_int(out, code.wire());
}

/// Appends one member of a multi; `record` appends the member's own record.
pub(crate) fn put_member(out: &mut Vec<u8>, op: OpCode, record: impl FnOnce(&mut Vec<u8>)) {
    put_int(out, op.wire());
    super::wire::put_frame(out, record);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first transaction of a real ZooKeeper's log.
    #[test]
    fn golden_create_session_entry() {
        let bytes = hex(
            "0100001d52e50000 00000000 0000000000000001 000001a1fe03eecd fffffff6 00002710 00000002 0000000051c6d660",
        );
        let (header, txn, digest) = read_entry(&bytes).unwrap();
        assert_eq!((header.session, header.zxid), (SessionId(0x0100001d52e50000), Zxid(1)));
        assert!(matches!(txn, Txn::CreateSession { timeout_ms: 10_000 }));
        assert_eq!(digest, Some(TxnDigest { version: 2, tree_digest: 0x51c6d660 }));
        let mut again = vec![];
        header.put(&mut again);
        put_int(&mut again, 10_000);
        put_digest(&mut again, 0x51c6d660);
        assert_eq!(again, bytes);
    }

    #[test]
    fn create_of_every_kind_survives() {
        let mut acl = vec![];
        put_int(&mut acl, 0);
        let acl = AclList::read(&mut Reader::new(&acl)).unwrap();
        for op in [OpCode::Create, OpCode::Create2, OpCode::CreateContainer, OpCode::CreateTtl] {
            let create = CreateTxn {
                path: b"/a",
                data: None,
                acl,
                ephemeral: op == OpCode::Create,
                parent_cversion: 7,
                ttl: if op == OpCode::CreateTtl { 99 } else { 0 },
            };
            let mut out = vec![];
            put_create(&mut out, op, &create);
            let Ok(Txn::Create(read)) = Txn::read(op, &mut Reader::new(&out)) else { panic!("{op:?}") };
            assert_eq!(read, create);
        }
    }

    #[test]
    fn multi_members_come_back_in_order() {
        let mut out = vec![];
        put_int(&mut out, 2);
        put_member(&mut out, OpCode::Delete, |out| put_delete(out, b"/a"));
        put_member(&mut out, OpCode::Error, |out| put_error(out, ErrorCode::NoNode));
        let Ok(Txn::Multi(multi)) = Txn::read(OpCode::Multi, &mut Reader::new(&out)) else { panic!() };
        let ops: Vec<_> = multi.iter().map(|(op, _)| op).collect();
        assert_eq!(ops, [OpCode::Delete, OpCode::Error]);
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> =
            text.bytes().filter(|b| *b != b' ').map(|b| (b as char).to_digit(16).unwrap() as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }
}
