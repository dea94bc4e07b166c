//! What a server keeps on disk: the log, snapshots of the tree, and whose directory it is.
//!
//! Everything goes through the [`disk::Disk`] trait, except the log's own writes, which [`log::writer`]
//! describes and the runtime performs. A start is [`identity::open`], [`recovery::recover`],
//! [`recovery::begin_log`], [`identity::DataDirectory::mark_born`], in this order.

pub(crate) mod agreed;
pub mod disk;
pub(crate) mod dynamic;
pub(crate) mod eligibility;
pub(crate) mod epochs;
pub(crate) mod identity;
pub(crate) mod inspect;
pub mod java;
pub mod log;
pub(crate) mod rebase;
pub(crate) mod recovery;
pub mod replay;
mod replay_error;
pub(crate) mod retention;
pub mod snapshot;

#[cfg(test)]
mod tests;

/// The checksum of a record that has its own in the four bytes from 12 on: of all the others.
fn checksum_around(record: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&record[..12]), &record[16..])
}
