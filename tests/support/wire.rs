//! Requests of the ZooKeeper client protocol, written down by hand: opcodes, error codes, records and one builder per
//! operation. The encoder here is deliberately not the server's.

/// Operation codes a client sends.
pub mod op {
    pub const CREATE: i32 = 1;
    pub const DELETE: i32 = 2;
    pub const EXISTS: i32 = 3;
    pub const GET_DATA: i32 = 4;
    pub const SET_DATA: i32 = 5;
    pub const GET_ACL: i32 = 6;
    pub const SET_ACL: i32 = 7;
    pub const GET_CHILDREN: i32 = 8;
    pub const SYNC: i32 = 9;
    pub const PING: i32 = 11;
    pub const GET_CHILDREN2: i32 = 12;
    pub const CHECK: i32 = 13;
    pub const MULTI: i32 = 14;
    pub const CREATE2: i32 = 15;
    pub const RECONFIG: i32 = 16;
    pub const CHECK_WATCHES: i32 = 17;
    pub const REMOVE_WATCHES: i32 = 18;
    pub const CREATE_CONTAINER: i32 = 19;
    pub const CREATE_TTL: i32 = 21;
    pub const MULTI_READ: i32 = 22;
    pub const AUTH: i32 = 100;
    pub const SET_WATCHES: i32 = 101;
    pub const SASL: i32 = 102;
    pub const GET_EPHEMERALS: i32 = 103;
    pub const GET_ALL_CHILDREN_NUMBER: i32 = 104;
    pub const SET_WATCHES2: i32 = 105;
    pub const ADD_WATCH: i32 = 106;
    pub const WHO_AM_I: i32 = 107;
    pub const CLOSE_SESSION: i32 = -11;
}

/// Transaction ids with a meaning of their own.
pub mod xid {
    pub const NOTIFICATION: i32 = -1;
    pub const PING: i32 = -2;
    pub const AUTH: i32 = -4;
    pub const SET_WATCHES: i32 = -8;
}

/// Error codes in reply headers.
pub mod code {
    pub const OK: i32 = 0;
    pub const MARSHALLING: i32 = -5;
    pub const UNIMPLEMENTED: i32 = -6;
    pub const NO_NODE: i32 = -101;
    pub const NO_AUTH: i32 = -102;
    pub const BAD_VERSION: i32 = -103;
    pub const NODE_EXISTS: i32 = -110;
    pub const AUTH_FAILED: i32 = -115;
    pub const EPHEMERAL_ON_LOCAL_SESSION: i32 = -120;
}

/// Create flags.
pub mod flag {
    pub const PERSISTENT: i32 = 0;
    pub const EPHEMERAL: i32 = 1;
    pub const SEQUENTIAL: i32 = 2;
    pub const EPHEMERAL_SEQUENTIAL: i32 = 3;
    pub const CONTAINER: i32 = 4;
    pub const TTL: i32 = 5;
    pub const TTL_SEQUENTIAL: i32 = 6;
}

/// One entry of an access control list; permissions are READ 1, WRITE 2, CREATE 4, DELETE 8, ADMIN 16.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl {
    pub perms: i32,
    pub scheme: String,
    pub id: String,
}

impl Acl {
    pub fn new(perms: i32, scheme: &str, id: &str) -> Acl {
        Acl { perms, scheme: scheme.to_string(), id: id.to_string() }
    }

    /// The list every client library calls "open": anyone may do anything.
    pub fn open() -> Vec<Acl> {
        vec![Acl::new(31, "world", "anyone")]
    }
}

/// A byte writer for the encoding: big-endian integers, length-prefixed strings and buffers.
#[derive(Default)]
pub struct Out(pub Vec<u8>);

impl Out {
    pub fn new() -> Out {
        Out(Vec::with_capacity(64))
    }

    pub fn int(mut self, value: i32) -> Out {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub fn long(mut self, value: i64) -> Out {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub fn boolean(mut self, value: bool) -> Out {
        self.0.push(u8::from(value));
        self
    }

    /// A buffer or string; None is the null of the encoding (length -1).
    pub fn buffer(self, value: Option<&[u8]>) -> Out {
        match value {
            None => self.int(-1),
            Some(bytes) => {
                let mut out = self.int(bytes.len() as i32);
                out.0.extend_from_slice(bytes);
                out
            }
        }
    }

    pub fn string(self, value: &str) -> Out {
        self.buffer(Some(value.as_bytes()))
    }

    pub fn strings(self, values: &[String]) -> Out {
        let mut out = self.int(values.len() as i32);
        for value in values {
            out = out.string(value);
        }
        out
    }

    /// An access control list; None is the null vector (count -1).
    pub fn acls(self, list: Option<&[Acl]>) -> Out {
        let Some(list) = list else {
            return self.int(-1);
        };
        let mut out = self.int(list.len() as i32);
        for acl in list {
            out = out.int(acl.perms).string(&acl.scheme).string(&acl.id);
        }
        out
    }

    pub fn raw(mut self, bytes: &[u8]) -> Out {
        self.0.extend_from_slice(bytes);
        self
    }
}

/// A request without its xid: the operation code and the record's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub opcode: i32,
    pub body: Vec<u8>,
}

/// Any operation code with any bytes behind it, for the hostile ones.
pub fn raw(opcode: i32, body: Vec<u8>) -> Request {
    Request { opcode, body }
}

fn built(opcode: i32, out: Out) -> Request {
    Request { opcode, body: out.0 }
}

/// create, create2 or createContainer by `opcode`: they share one record.
pub fn create_as(opcode: i32, path: &str, data: Option<&[u8]>, acls: Option<&[Acl]>, flags: i32) -> Request {
    built(opcode, Out::new().string(path).buffer(data).acls(acls).int(flags))
}

/// create with an open list.
pub fn create(path: &str, data: &[u8], flags: i32) -> Request {
    create_as(op::CREATE, path, Some(data), Some(&Acl::open()), flags)
}

/// create2 with an open list.
pub fn create2(path: &str, data: &[u8], flags: i32) -> Request {
    create_as(op::CREATE2, path, Some(data), Some(&Acl::open()), flags)
}

/// createContainer with an open list.
pub fn create_container(path: &str, data: &[u8]) -> Request {
    create_as(op::CREATE_CONTAINER, path, Some(data), Some(&Acl::open()), flag::CONTAINER)
}

/// createTTL; `ttl` in milliseconds.
pub fn create_ttl(path: &str, data: Option<&[u8]>, acls: Option<&[Acl]>, flags: i32, ttl: i64) -> Request {
    let base = create_as(op::CREATE_TTL, path, data, acls, flags);
    built(op::CREATE_TTL, Out(base.body).long(ttl))
}

pub fn delete(path: &str, version: i32) -> Request {
    built(op::DELETE, Out::new().string(path).int(version))
}

pub fn set_data(path: &str, data: Option<&[u8]>, version: i32) -> Request {
    built(op::SET_DATA, Out::new().string(path).buffer(data).int(version))
}

pub fn set_acl(path: &str, acls: Option<&[Acl]>, version: i32) -> Request {
    built(op::SET_ACL, Out::new().string(path).acls(acls).int(version))
}

pub fn check(path: &str, version: i32) -> Request {
    built(op::CHECK, Out::new().string(path).int(version))
}

/// exists, getData, getChildren or getChildren2 by `opcode`: they share one record.
pub fn read_as(opcode: i32, path: &str, watch: bool) -> Request {
    built(opcode, Out::new().string(path).boolean(watch))
}

pub fn exists(path: &str, watch: bool) -> Request {
    read_as(op::EXISTS, path, watch)
}

pub fn get_data(path: &str, watch: bool) -> Request {
    read_as(op::GET_DATA, path, watch)
}

pub fn get_children(path: &str, watch: bool) -> Request {
    read_as(op::GET_CHILDREN, path, watch)
}

pub fn get_children2(path: &str, watch: bool) -> Request {
    read_as(op::GET_CHILDREN2, path, watch)
}

/// getACL, sync, getEphemerals, getAllChildrenNumber by `opcode`: a path and nothing else.
pub fn path_only(opcode: i32, path: Option<&str>) -> Request {
    built(opcode, Out::new().buffer(path.map(str::as_bytes)))
}

pub fn get_acl(path: &str) -> Request {
    path_only(op::GET_ACL, Some(path))
}

pub fn sync(path: &str) -> Request {
    path_only(op::SYNC, Some(path))
}

pub fn get_ephemerals(prefix: &str) -> Request {
    path_only(op::GET_EPHEMERALS, Some(prefix))
}

pub fn get_all_children_number(path: &str) -> Request {
    path_only(op::GET_ALL_CHILDREN_NUMBER, Some(path))
}

/// addWatch (mode 0 persistent, 1 recursive), checkWatches and removeWatches (type 1 to 5) share one record.
pub fn watch_as(opcode: i32, path: &str, mode: i32) -> Request {
    built(opcode, Out::new().string(path).int(mode))
}

pub fn add_watch(path: &str, mode: i32) -> Request {
    watch_as(op::ADD_WATCH, path, mode)
}

/// setWatches: `lists` are the data, exist and child watches.
pub fn set_watches(relative_zxid: i64, lists: &[Vec<String>; 3]) -> Request {
    let mut out = Out::new().long(relative_zxid);
    for list in lists {
        out = out.strings(list);
    }
    built(op::SET_WATCHES, out)
}

/// setWatches2: `lists` are the data, exist, child, persistent and recursive watches.
pub fn set_watches2(relative_zxid: i64, lists: &[Vec<String>; 5]) -> Request {
    let mut out = Out::new().long(relative_zxid);
    for list in lists {
        out = out.strings(list);
    }
    built(op::SET_WATCHES2, out)
}

/// auth; sent with [`xid::AUTH`].
pub fn auth(scheme: &str, credential: &[u8]) -> Request {
    built(op::AUTH, Out::new().int(0).string(scheme).buffer(Some(credential)))
}

pub fn sasl(token: &[u8]) -> Request {
    built(op::SASL, Out::new().buffer(Some(token)))
}

pub fn who_am_i() -> Request {
    built(op::WHO_AM_I, Out::new())
}

pub fn ping() -> Request {
    built(op::PING, Out::new())
}

pub fn close_session() -> Request {
    built(op::CLOSE_SESSION, Out::new())
}

pub fn reconfig(joining: Option<&str>, leaving: Option<&str>, members: Option<&str>, config: i64) -> Request {
    let out = Out::new()
        .buffer(joining.map(str::as_bytes))
        .buffer(leaving.map(str::as_bytes))
        .buffer(members.map(str::as_bytes))
        .long(config);
    built(op::RECONFIG, out)
}

/// multi or multiRead by `opcode`, made of the given requests.
pub fn multi_as(opcode: i32, parts: &[Request]) -> Request {
    let mut out = Out::new();
    for part in parts {
        out = out.int(part.opcode).boolean(false).int(-1).raw(&part.body);
    }
    built(opcode, out.int(-1).boolean(true).int(-1))
}

pub fn multi(parts: &[Request]) -> Request {
    multi_as(op::MULTI, parts)
}

pub fn multi_read(parts: &[Request]) -> Request {
    multi_as(op::MULTI_READ, parts)
}

/// A whole frame: length, xid, operation code, record.
pub fn frame(xid: i32, request: &Request) -> Vec<u8> {
    Out::new().int(8 + request.body.len() as i32).int(xid).int(request.opcode).raw(&request.body).0
}
