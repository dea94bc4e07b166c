//! The znodes a load works on: some under one root, made before and deleted after.

use crate::codec::{self, NODE_EXISTS};
use crate::connection::Connection;
use crate::failure::{Failure, Result};
use std::net::SocketAddr;

/// Everything a load makes is below this znode.
const ROOT: &str = "/corral-load";
/// Under how many parents the znodes of the workload `create` are made.
pub const PARENTS: usize = 16;
/// A session for setting up must outlive slow servers.
const TIMEOUT_MS: i32 = 30_000;

/// The path of key `i`.
pub fn key(i: usize) -> String {
    format!("{ROOT}/k{i:06}")
}

/// The znode that `watch` watches.
pub fn watched() -> String {
    format!("{ROOT}/watched")
}

/// The `n`th znode made by a worker; `tag` tells runs apart.
pub fn made(tag: &str, worker: usize, n: u64) -> String {
    format!("{ROOT}/p{:02}/{tag}-{worker}-{n}", n as usize % PARENTS)
}

/// A name for this run that no other run on the server has: its session's id.
pub fn tag(session: i64) -> String {
    format!("{session:x}")
}

/// Makes or refreshes `keys` znodes of `value`, the watched one and the parents. Returns the run's tag.
pub fn set_up(target: SocketAddr, keys: usize, value: &[u8]) -> Result<String> {
    let mut connection = Connection::open(target, TIMEOUT_MS)?;
    let parents = (0..PARENTS).map(|i| format!("{ROOT}/p{i:02}"));
    let mut paths: Vec<String> = vec![ROOT.into(), watched()];
    paths.extend(parents);
    let first_key = paths.len();
    paths.extend((0..keys).map(key));
    let mut there = vec![];
    let data = |i: usize| if i < first_key { &b""[..] } else { value };
    connection.call_all(
        paths.len(),
        |i, out, xid| codec::create(out, xid, &paths[i], data(i)),
        |i, error| match error {
            0 => Ok(()),
            NODE_EXISTS => {
                there.push(i);
                Ok(())
            }
            error => Err(Failure::new(format!("creating {}: error {error}", paths[i]))),
        },
    )?;
    there.retain(|i| *i >= first_key);
    connection.call_all(
        there.len(),
        |i, out, xid| codec::set(out, xid, &paths[there[i]], value),
        |i, error| match error {
            0 => Ok(()),
            error => Err(Failure::new(format!("setting {}: error {error}", paths[there[i]]))),
        },
    )?;
    let tag = tag(connection.session);
    connection.close()?;
    Ok(tag)
}

/// Deletes what the workers of a run have made: `made_by[worker]` znodes each.
pub fn clean_up(target: SocketAddr, run: &str, made_by: &[u64]) -> Result<()> {
    if made_by.iter().all(|count| *count == 0) {
        return Ok(());
    }
    let mut connection = Connection::open(target, TIMEOUT_MS)?;
    for (worker, count) in made_by.iter().enumerate() {
        // A create that failed leaves nothing to delete, which is no failure here.
        connection.call_all(
            *count as usize,
            |n, out, xid| codec::delete(out, xid, &made(run, worker, n as u64)),
            |_, _| Ok(()),
        )?;
    }
    connection.close()
}

/// A value of `bytes` bytes.
pub fn value(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| b'a' + (i % 26) as u8).collect()
}
