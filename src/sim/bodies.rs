//! Bodies of requests, as the clients of simulated servers send them.

use crate::jute::wire::{put_bool, put_bytes, put_int, put_long};
use crate::jute::{AclEntry, OpCode};

/// The body of a create with the open ACL.
pub fn create(path: &[u8], data: &[u8], flags: i32) -> Vec<u8> {
    let mut body = Vec::with_capacity(64 + path.len() + data.len());
    put_bytes(&mut body, path);
    put_bytes(&mut body, data);
    put_int(&mut body, 1);
    AclEntry { perms: 31, scheme: b"world", id: b"anyone" }.put(&mut body);
    put_int(&mut body, flags);
    body
}

/// The body of a create with the open ACL, of a znode that lives so long.
pub fn create_ttl(path: &[u8], ttl_ms: i64) -> Vec<u8> {
    let mut body = create(path, b"", 5);
    put_long(&mut body, ttl_ms);
    body
}

/// The body of a create with the list of whoever its client is.
pub fn create_of_ones_own(path: &[u8]) -> Vec<u8> {
    let mut body = vec![];
    put_bytes(&mut body, path);
    put_bytes(&mut body, b"");
    put_int(&mut body, 1);
    AclEntry { perms: 31, scheme: b"auth", id: b"" }.put(&mut body);
    put_int(&mut body, 0);
    body
}

/// The body of a setData without data, whatever the version.
pub fn set_data(path: &[u8]) -> Vec<u8> {
    let mut body = vec![];
    put_bytes(&mut body, path);
    put_bytes(&mut body, b"");
    put_int(&mut body, -1);
    body
}

/// The body of a create with a list of so many entries, the last of which lets everybody read and none of the others names a
/// client.
pub fn create_guarded(path: &[u8], entries: usize) -> Vec<u8> {
    let mut body = vec![];
    put_bytes(&mut body, path);
    put_bytes(&mut body, b"");
    put_int(&mut body, entries as i32);
    for n in 0..entries - 1 {
        AclEntry { perms: 1, scheme: b"digest", id: format!("u{n}:h").as_bytes() }.put(&mut body);
    }
    AclEntry { perms: 1, scheme: b"world", id: b"anyone" }.put(&mut body);
    put_int(&mut body, 0);
    body
}

/// The body of an auth packet: who its client is.
pub fn auth() -> Vec<u8> {
    let mut body = vec![];
    put_int(&mut body, 0);
    put_bytes(&mut body, b"digest");
    put_bytes(&mut body, b"me:secret");
    body
}

/// The body of exists, getData and getChildren.
pub fn path_and(path: &[u8], watch: bool) -> Vec<u8> {
    let mut body = Vec::with_capacity(8 + path.len());
    put_bytes(&mut body, path);
    put_bool(&mut body, watch);
    body
}

/// The body of sync, getEphemerals and whatever else takes a path alone.
pub fn path_alone(path: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(4 + path.len());
    put_bytes(&mut body, path);
    body
}

/// The operations of a multi, or of a multiRead.
pub fn multi(ops: &[(OpCode, Vec<u8>)]) -> Vec<u8> {
    let mut body = vec![];
    let header = |body: &mut Vec<u8>, op: i32, is_end: bool| {
        put_int(body, op);
        put_bool(body, is_end);
        put_int(body, -1);
    };
    for (op, part) in ops {
        header(&mut body, op.wire(), false);
        body.extend_from_slice(part);
    }
    header(&mut body, -1, true);
    body
}
