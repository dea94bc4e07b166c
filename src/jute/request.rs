//! Requests as clients send them: header, then a record that depends on the operation.
//!
//! [`Request::decode`] checks the whole body, so that whoever handles the request later cannot fail on
//! its shape. Bytes left over after the record are ignored, as ZooKeeper does.

use super::codes::{CreateMode, OpCode, PartOf};
use super::records::AclList;
use super::wire::{DecodeError, Reader, Strings};

/// The first eight bytes of every request but the first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RequestHeader {
    /// The client's number for this request; echoed in the reply.
    pub xid: i32,
    /// The operation; may be a number nobody knows.
    pub op: i32,
}

impl RequestHeader {
    /// Reads the header.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(RequestHeader { xid: reader.int()?, op: reader.int()? })
    }
}

/// Any of the four creates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Create<'a> {
    /// Which of the four: it decides the kind of znode and the shape of the reply.
    pub op: OpCode,
    /// Where; with flags that say sequential a number is appended. Checked when it is carried out.
    pub path: &'a [u8],
    /// `None` is null, which is not the same as empty.
    pub data: Option<&'a [u8]>,
    /// As sent: with `auth` entries, which stand for the client's identities. Null is refused.
    pub acl: Option<AclList<'a>>,
    /// As sent; see [`CreateMode`].
    pub flags: i32,
    /// Milliseconds; only createTTL has one.
    pub ttl: Option<i64>,
}

/// Watches to set up again after a reconnection.
#[derive(Clone, Copy, Debug, Default)]
pub struct SetWatches<'a> {
    /// The last zxid the client has seen.
    pub relative_zxid: i64,
    /// Paths whose data the client has read.
    pub data: Strings<'a>,
    /// Paths that did not exist when the client looked.
    pub exist: Strings<'a>,
    /// Paths whose children the client has read.
    pub child: Strings<'a>,
    /// Paths that addWatch was asked for; empty in the older form.
    pub persistent: Strings<'a>,
    /// Paths that addWatch was asked for with everything below; empty in the older form.
    pub persistent_recursive: Strings<'a>,
}

impl SetWatches<'_> {
    /// Where in the body the vectors of paths begin, one after another in the order of these numbers.
    pub(crate) const VECTORS_AT: usize = 8;
    pub(crate) const DATA: usize = 0;
    pub(crate) const EXIST: usize = 1;
    pub(crate) const CHILD: usize = 2;
    pub(crate) const PERSISTENT: usize = 3;
    /// How many there are; the older form of the request ends after the first three.
    pub(crate) const VECTORS: usize = 5;
}

/// Which servers the ensemble is to have: those it has with some more and some less or, if `new_members` is there, these
/// and no others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reconfig<'a> {
    /// `server.N=…` separated by commas.
    pub joining: Option<&'a [u8]>,
    /// Ids separated by commas.
    pub leaving: Option<&'a [u8]>,
    /// A whole configuration, its lines separated by line ends or commas.
    pub new_members: Option<&'a [u8]>,
    /// The version it is meant to change; -1: whichever there is.
    pub current_config: i64,
}

/// A decoded request body, borrowing from the frame.
#[derive(Clone, Copy, Debug)]
pub enum Request<'a> {
    /// create, create2, createContainer or createTTL.
    Create(Create<'a>),
    /// A znode without children goes.
    Delete {
        /// Which znode.
        path: &'a [u8],
        /// The version it must have; -1: any.
        version: i32,
    },
    /// A znode gets other data.
    SetData {
        /// Which znode.
        path: &'a [u8],
        /// All of the new data. `None` is null, which is not the same as empty.
        data: Option<&'a [u8]>,
        /// The version it must have before; -1: any.
        version: i32,
    },
    /// A znode gets another ACL.
    SetAcl {
        /// Which znode.
        path: &'a [u8],
        /// As in [`Create::acl`].
        acl: Option<AclList<'a>>,
        /// The ACL's version (aversion) before; -1: any.
        version: i32,
    },
    /// Inside a multi only.
    Check {
        /// Which znode.
        path: &'a [u8],
        /// The version it must have; -1: any.
        version: i32,
    },
    /// Writes of which all happen or none.
    Multi(MultiOps<'a>),
    /// Reads, each with a result of its own.
    MultiRead(MultiOps<'a>),
    /// An empty container or a TTL znode goes: what the server's reaper asks for.
    DeleteContainer {
        /// Which znode.
        path: &'a [u8],
    },
    /// The ensemble is to have other members.
    Reconfig(Reconfig<'a>),
    /// The client's session ends.
    CloseSession,
    /// Only shown in the answer, null or not.
    Sync {
        /// As sent; nothing is looked up.
        path: Option<&'a [u8]>,
    },
    /// A sign of life, without a body.
    Ping,
    /// The Stat of a znode.
    Exists {
        /// Which znode; the watch is set if it is not there, too.
        path: &'a [u8],
        /// Whether a watch is wanted, which fires once.
        watch: bool,
    },
    /// Data and Stat of a znode.
    GetData {
        /// Which znode.
        path: &'a [u8],
        /// Whether a watch is wanted, which fires once.
        watch: bool,
    },
    /// The names of a znode's children.
    GetChildren {
        /// Which znode.
        path: &'a [u8],
        /// Whether a watch is wanted, which fires once.
        watch: bool,
    },
    /// The names of a znode's children, and its Stat.
    GetChildren2 {
        /// Which znode.
        path: &'a [u8],
        /// Whether a watch is wanted, which fires once.
        watch: bool,
    },
    /// ACL and Stat of a znode.
    GetAcl {
        /// Which znode.
        path: &'a [u8],
    },
    /// How many znodes are below one.
    GetAllChildrenNumber {
        /// Which znode; it is not counted itself.
        path: &'a [u8],
    },
    /// A null prefix means all.
    GetEphemerals {
        /// With what the paths of the session's ephemerals begin.
        prefix: Option<&'a [u8]>,
    },
    /// Both forms of setWatches.
    SetWatches(SetWatches<'a>),
    /// The mode as sent; see [`super::AddWatchMode`].
    AddWatch {
        /// Which znode, there or not.
        path: &'a [u8],
        /// With everything below or without.
        mode: i32,
    },
    /// The kind as sent; see [`super::WatcherType`].
    CheckWatches {
        /// Where the watch is.
        path: &'a [u8],
        /// Which of the watches of that path.
        kind: i32,
    },
    /// The connection's watches of a kind on a path go. The kind as sent; see [`super::WatcherType`].
    RemoveWatches {
        /// Where the watches are.
        path: &'a [u8],
        /// Which of the watches of that path.
        kind: i32,
    },
    /// The identities of the connection, without a body.
    WhoAmI,
    /// One more identity.
    Auth {
        /// Which scheme; a null one reads as an empty one.
        scheme: &'a [u8],
        /// What proves the identity, in the scheme's own form: of `digest` user and password in plain text.
        auth: &'a [u8],
    },
    /// A SASL token, which nobody looks at.
    Sasl,
}

impl<'a> Request<'a> {
    /// Decodes the body of a top-level request of operation `op`.
    pub fn decode(op: OpCode, body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        Self::read(op, &mut reader)
    }

    /// The request of a body that [`Request::decode`] has accepted: where the bytes of a request cross to another thread, the
    /// receiver takes its fields from them, and does not check the operations of a multi again.
    pub(crate) fn of_checked(op: OpCode, body: &'a [u8]) -> Self {
        match op {
            OpCode::Multi => Request::Multi(MultiOps::of_checked(body)),
            _ => Self::decode(op, body).expect("the body has been decoded before"),
        }
    }

    fn read(op: OpCode, r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(match op {
            OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => Request::Create(Create {
                op,
                path: r.string()?,
                data: r.buffer()?,
                acl: AclList::read(r)?,
                flags: r.int()?,
                ttl: if op == OpCode::CreateTtl { Some(r.long()?) } else { None },
            }),
            OpCode::Delete => Request::Delete { path: r.string()?, version: r.int()? },
            OpCode::SetData => Request::SetData { path: r.string()?, data: r.buffer()?, version: r.int()? },
            OpCode::SetAcl => Request::SetAcl { path: r.string()?, acl: AclList::read(r)?, version: r.int()? },
            OpCode::Check => Request::Check { path: r.string()?, version: r.int()? },
            OpCode::Multi => Request::Multi(MultiOps::read(r, PartOf::Multi)?),
            OpCode::MultiRead => Request::MultiRead(MultiOps::read(r, PartOf::MultiRead)?),
            OpCode::DeleteContainer => Request::DeleteContainer { path: r.string()? },
            OpCode::Reconfig => Request::Reconfig(Reconfig {
                joining: r.buffer()?,
                leaving: r.buffer()?,
                new_members: r.buffer()?,
                current_config: r.long()?,
            }),
            OpCode::CloseSession => Request::CloseSession,
            OpCode::Sync => Request::Sync { path: r.buffer()? },
            OpCode::Ping => Request::Ping,
            OpCode::Exists => Request::Exists { path: r.string()?, watch: r.bool()? },
            OpCode::GetData => Request::GetData { path: r.string()?, watch: r.bool()? },
            OpCode::GetChildren => Request::GetChildren { path: r.string()?, watch: r.bool()? },
            OpCode::GetChildren2 => Request::GetChildren2 { path: r.string()?, watch: r.bool()? },
            OpCode::GetAcl => Request::GetAcl { path: r.string()? },
            OpCode::GetAllChildrenNumber => Request::GetAllChildrenNumber { path: r.string()? },
            OpCode::GetEphemerals => Request::GetEphemerals { prefix: r.buffer()? },
            OpCode::SetWatches | OpCode::SetWatches2 => {
                let mut watches = SetWatches {
                    relative_zxid: r.long()?,
                    data: r.strings()?,
                    exist: r.strings()?,
                    child: r.strings()?,
                    ..SetWatches::default()
                };
                if op == OpCode::SetWatches2 {
                    watches.persistent = r.strings()?;
                    watches.persistent_recursive = r.strings()?;
                }
                Request::SetWatches(watches)
            }
            OpCode::AddWatch => Request::AddWatch { path: r.string()?, mode: r.int()? },
            OpCode::CheckWatches => Request::CheckWatches { path: r.string()?, kind: r.int()? },
            OpCode::RemoveWatches => Request::RemoveWatches { path: r.string()?, kind: r.int()? },
            OpCode::WhoAmI => Request::WhoAmI,
            OpCode::Auth => {
                r.int()?; // a type that no server reads
                Request::Auth { scheme: r.buffer()?.unwrap_or_default(), auth: r.buffer()?.unwrap_or_default() }
            }
            OpCode::Sasl => {
                r.buffer()?;
                Request::Sasl
            }
            OpCode::CreateSession | OpCode::Error => return Err(DecodeError::Invalid),
        })
    }
}

impl<'a> Request<'a> {
    /// The operation it was decoded as; of both forms of setWatches the older one.
    pub(crate) fn op(&self) -> OpCode {
        match self {
            Request::Create(create) => create.op,
            Request::Delete { .. } => OpCode::Delete,
            Request::SetData { .. } => OpCode::SetData,
            Request::SetAcl { .. } => OpCode::SetAcl,
            Request::Check { .. } => OpCode::Check,
            Request::Multi(_) => OpCode::Multi,
            Request::MultiRead(_) => OpCode::MultiRead,
            Request::DeleteContainer { .. } => OpCode::DeleteContainer,
            Request::Reconfig(_) => OpCode::Reconfig,
            Request::CloseSession => OpCode::CloseSession,
            Request::Sync { .. } => OpCode::Sync,
            Request::Ping => OpCode::Ping,
            Request::Exists { .. } => OpCode::Exists,
            Request::GetData { .. } => OpCode::GetData,
            Request::GetChildren { .. } => OpCode::GetChildren,
            Request::GetChildren2 { .. } => OpCode::GetChildren2,
            Request::GetAcl { .. } => OpCode::GetAcl,
            Request::GetAllChildrenNumber { .. } => OpCode::GetAllChildrenNumber,
            Request::GetEphemerals { .. } => OpCode::GetEphemerals,
            Request::SetWatches(_) => OpCode::SetWatches,
            Request::AddWatch { .. } => OpCode::AddWatch,
            Request::CheckWatches { .. } => OpCode::CheckWatches,
            Request::RemoveWatches { .. } => OpCode::RemoveWatches,
            Request::WhoAmI => OpCode::WhoAmI,
            Request::Auth { .. } => OpCode::Auth,
            Request::Sasl => OpCode::Sasl,
        }
    }

    /// The path of the one znode it is about, as sent; `None` where it names none, or several, or only shows it.
    pub(crate) fn path(&self) -> Option<&'a [u8]> {
        match *self {
            Request::Create(Create { path, .. })
            | Request::Delete { path, .. }
            | Request::SetData { path, .. }
            | Request::SetAcl { path, .. }
            | Request::Check { path, .. }
            | Request::DeleteContainer { path }
            | Request::Exists { path, .. }
            | Request::GetData { path, .. }
            | Request::GetChildren { path, .. }
            | Request::GetChildren2 { path, .. }
            | Request::GetAcl { path }
            | Request::GetAllChildrenNumber { path }
            | Request::AddWatch { path, .. }
            | Request::CheckWatches { path, .. }
            | Request::RemoveWatches { path, .. } => Some(path),
            Request::Multi(_)
            | Request::MultiRead(_)
            | Request::Reconfig(_)
            | Request::CloseSession
            | Request::Sync { .. }
            | Request::Ping
            | Request::GetEphemerals { .. }
            | Request::SetWatches(_)
            | Request::WhoAmI
            | Request::Auth { .. }
            | Request::Sasl => None,
        }
    }
}

/// One operation of a multi.
pub(crate) type MultiOp<'a> = Request<'a>;

/// The operations of a multi or multiRead: checked once, decoded again while they are carried out.
#[derive(Clone, Copy, Debug)]
pub struct MultiOps<'a> {
    bytes: &'a [u8],
}

impl<'a> MultiOps<'a> {
    fn read(reader: &mut Reader<'a>, part_of: PartOf) -> Result<Self, DecodeError> {
        let start = reader.rest();
        while Self::next(reader, Some(part_of))?.is_some() {}
        Ok(MultiOps { bytes: &start[..start.len() - reader.rest().len()] })
    }

    /// The operations of a body that has been decoded once.
    pub(crate) fn of_checked(bytes: &'a [u8]) -> Self {
        MultiOps { bytes }
    }

    /// The operation that begins `at` this place, which is moved behind it; `None` at the end.
    pub(crate) fn next_at(&self, at: &mut usize) -> Option<MultiOp<'a>> {
        let mut reader = Reader::new(self.bytes.get(*at..)?);
        let op = Self::next(&mut reader, None).ok().flatten();
        *at = self.bytes.len() - reader.rest().len();
        op
    }

    /// The operations in order. A create whose flags say container has that operation's code, as ZooKeeper
    /// decodes it (inside a multi only).
    pub fn iter(&self) -> impl Iterator<Item = MultiOp<'a>> + use<'a> {
        let mut reader = Reader::new(self.bytes);
        std::iter::from_fn(move || Self::next(&mut reader, None).ok().flatten())
    }

    /// The next operation, or `None` at the terminator. `part_of` is what it stands in, if that is still to be checked.
    fn next(reader: &mut Reader<'a>, part_of: Option<PartOf>) -> Result<Option<MultiOp<'a>>, DecodeError> {
        let op = reader.int()?;
        let done = reader.bool()?;
        reader.int()?; // an error code that only replies use
        if done {
            return Ok(None);
        }
        let op = OpCode::from_wire(op).ok_or(DecodeError::Invalid)?;
        if op.part_of() == PartOf::Nothing || part_of.is_some_and(|part_of| part_of != op.part_of()) {
            return Err(DecodeError::Invalid);
        }
        let mut request = Request::read(op, reader)?;
        if let Request::Create(create) = &mut request {
            let mode = CreateMode::from_wire(create.flags).ok_or(DecodeError::Invalid)?;
            if create.op != OpCode::CreateTtl {
                // What ZooKeeper's decoder makes of these are objects that refuse both.
                create.acl.ok_or(DecodeError::Null)?;
                if mode.is_ttl() {
                    return Err(DecodeError::Invalid);
                }
            }
            if mode == CreateMode::Container {
                create.op = OpCode::CreateContainer;
            }
        }
        Ok(Some(request))
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::{put_bool, put_bytes, put_int, put_long};
    use super::*;

    fn multi_header(out: &mut Vec<u8>, op: i32, done: bool) {
        put_int(out, op);
        put_bool(out, done);
        put_int(out, -1);
    }

    #[test]
    fn multi_is_checked_as_a_whole() {
        let mut body = vec![];
        multi_header(&mut body, 2, false);
        put_bytes(&mut body, b"/a");
        put_int(&mut body, -1);
        let unfinished = body.clone();
        multi_header(&mut body, -1, true);
        let Request::Multi(ops) = Request::decode(OpCode::Multi, &body).unwrap() else { panic!() };
        assert_eq!(ops.iter().count(), 1);
        assert!(Request::decode(OpCode::MultiRead, &body).is_err(), "a write in a multiRead");
        assert!(Request::decode(OpCode::Multi, &unfinished).is_err(), "no terminator");
    }

    #[test]
    fn a_checked_multi_has_the_same_operations_without_another_check() {
        let mut body = vec![];
        for path in [&b"/a"[..], b"/b"] {
            multi_header(&mut body, 2, false);
            put_bytes(&mut body, path);
            put_int(&mut body, -1);
        }
        multi_header(&mut body, -1, true);
        // Ignored, as behind every record; read as a further operation it would be a delete of /c.
        multi_header(&mut body, 2, false);
        put_bytes(&mut body, b"/c");
        put_int(&mut body, -1);
        let Request::Multi(ops) = Request::of_checked(OpCode::Multi, &body) else { panic!() };
        let paths: Vec<_> = ops.iter().filter_map(|op| op.path()).collect();
        assert_eq!(paths, [&b"/a"[..], b"/b"]);
    }

    #[test]
    fn container_flag_changes_the_operation_inside_a_multi_only() {
        let mut create = vec![];
        put_bytes(&mut create, b"/c");
        put_int(&mut create, -1);
        put_int(&mut create, 0);
        put_int(&mut create, 4);
        let flags_at = create.len() - 1;
        let Request::Create(alone) = Request::decode(OpCode::Create, &create).unwrap() else { panic!() };
        assert_eq!(alone.op, OpCode::Create);
        let mut body = vec![];
        multi_header(&mut body, 1, false);
        body.extend(&create);
        multi_header(&mut body, -1, true);
        let Request::Multi(ops) = Request::decode(OpCode::Multi, &body).unwrap() else { panic!() };
        let Some(Request::Create(inner)) = ops.iter().next() else { panic!() };
        assert_eq!(inner.op, OpCode::CreateContainer);
        // A time to live without a number is refused with the whole multi.
        let flags_in_body = 9 + flags_at;
        body[flags_in_body] = 5;
        assert!(Request::decode(OpCode::Multi, &body).is_err());
    }

    #[test]
    fn every_prefix_of_a_request_is_refused_without_panic() {
        let mut body = vec![];
        put_bytes(&mut body, b"/a");
        put_bytes(&mut body, b"data");
        put_int(&mut body, 1);
        put_int(&mut body, 31);
        put_bytes(&mut body, b"world");
        put_bytes(&mut body, b"anyone");
        put_int(&mut body, 0);
        put_long(&mut body, 5);
        for end in 0..body.len() {
            assert!(Request::decode(OpCode::CreateTtl, &body[..end]).is_err(), "{end}");
        }
        assert!(Request::decode(OpCode::CreateTtl, &body).is_ok());
    }

    #[test]
    fn null_path_is_an_error() {
        assert_eq!(Request::decode(OpCode::GetData, &[0xff; 5]).unwrap_err(), DecodeError::Null);
    }
}
