//! The znodes a load works on: made before, and what it has made itself deleted after. All are below one root.

use crate::codec::{self, NO_NODE, NODE_EXISTS, flags};
use crate::connection::Connection;
use crate::engine::Left;
use crate::failure::{Failure, Result};
use crate::workload::distribution::Pool;
use crate::workload::{ROOT, Workload};
use fastrand::Rng;
use std::collections::BTreeSet;
use std::net::SocketAddr;

/// A session for setting up must outlive slow servers.
const TIMEOUT_MS: i32 = 30_000;

/// A znode that scenarios watch or read.
pub fn single(name: &str) -> String {
    format!("{ROOT}/{name}")
}

/// A name for this run that no other run on the server has: its first session's id.
pub fn tag(session: i64) -> String {
    format!("{session:x}")
}

/// Makes the znodes of a workload, or refreshes the values of those that stand.
pub fn plant(target: SocketAddr, workload: &Workload) -> Result<()> {
    let longest = workload.initial_znodes.iter().map(|znode| znode.value.largest()).max().unwrap_or(0);
    let pool = Pool::new(longest);
    let mut random = Rng::with_seed(u64::MAX);
    let lengths: Vec<usize> = workload.initial_znodes.iter().map(|znode| znode.value.draw(&mut random)).collect();
    let paths: Vec<&str> = workload.initial_znodes.iter().map(|znode| znode.path.as_str()).collect();
    plant_values(target, &paths, |i| pool.value(lengths[i], &mut Rng::with_seed(i as u64)))
}

/// Makes znodes with empty values, parents before their children.
pub fn plant_empty(target: SocketAddr, paths: &[&str]) -> Result<()> {
    plant_values(target, paths, |_| b"")
}

fn plant_values<'v>(target: SocketAddr, paths: &[&str], value: impl Fn(usize) -> &'v [u8]) -> Result<()> {
    let mut connection = Connection::open(target, TIMEOUT_MS)?;
    let mut there = vec![];
    connection.call_all(
        paths.len(),
        |i, out, xid| codec::create(out, xid, paths[i], value(i), flags::PERSISTENT),
        |i, error| match error {
            0 => Ok(()),
            NODE_EXISTS => {
                // What is empty holds others, or is only watched.
                if !value(i).is_empty() {
                    there.push(i);
                }
                Ok(())
            }
            error => Err(Failure::new(format!("creating {}: error {error}", paths[i]))),
        },
    )?;
    connection.call_all(
        there.len(),
        |i, out, xid| codec::set(out, xid, paths[there[i]], value(there[i])),
        |i, error| match error {
            0 => Ok(()),
            error => Err(Failure::new(format!("setting {}: error {error}", paths[there[i]]))),
        },
    )?;
    connection.close()
}

/// Deletes what the workers of a run have made, on the first of the servers that answers.
pub fn clean_up(targets: &[SocketAddr], tag: &str, left: &[&Left]) -> Result<()> {
    if left.iter().all(|left| !left.is_sequential() && left.count() == 0) {
        return Ok(());
    }
    let mut connection = open_any(targets)?;
    let mut parents = BTreeSet::new();
    for left in left {
        if left.is_sequential() {
            parents.extend((0..left.create.parents.len()).map(|i| left.create.parents.get(i)));
            continue;
        }
        // A create that failed leaves nothing to delete, which is no failure here.
        connection.call_all(
            left.count(),
            |number, out, xid| codec::delete(out, xid, &left.path(tag, number)),
            |_, _| Ok(()),
        )?;
    }
    let prefix = format!("{tag}-");
    for parent in parents {
        let names: Vec<String> = connection.children(parent)?.into_iter().filter(|n| n.starts_with(&prefix)).collect();
        connection.call_all(
            names.len(),
            |i, out, xid| codec::delete(out, xid, &format!("{parent}/{}", names[i])),
            |_, _| Ok(()),
        )?;
    }
    connection.close()
}

fn open_any(targets: &[SocketAddr]) -> Result<Connection> {
    let mut last = Err(Failure::new("no server"));
    for target in targets {
        last = Connection::open(*target, TIMEOUT_MS);
        if last.is_ok() {
            break;
        }
    }
    last
}

/// Deletes a znode of this tool and everything below it; returns how many were deleted.
pub fn delete_tree(target: SocketAddr, path: &str) -> Result<usize> {
    assert!(path.starts_with(ROOT), "only what is this tool's own");
    let mut connection = Connection::open(target, TIMEOUT_MS)?;
    // Parents before their children; deleted the other way round.
    let mut all = vec![path.to_owned()];
    let mut next = 0;
    while next < all.len() {
        let parent = all[next].clone();
        all.extend(connection.children(&parent)?.into_iter().map(|name| format!("{parent}/{name}")));
        next += 1;
    }
    let mut deleted = 0;
    let last = all.len() - 1;
    connection.call_all(
        all.len(),
        |i, out, xid| codec::delete(out, xid, &all[last - i]),
        |i, error| match error {
            0 => {
                deleted += 1;
                Ok(())
            }
            NO_NODE => Ok(()),
            error => Err(Failure::new(format!("deleting {}: error {error}", all[last - i]))),
        },
    )?;
    connection.close()?;
    Ok(deleted)
}
