//! What a server keeps on disk: the log, snapshots of the tree, and whose directory it is.
//!
//! Everything goes through the [`disk::Disk`] trait, except the log's own writes, which [`log::writer`]
//! describes and the runtime performs. A start is [`identity::open`], [`recovery::recover`],
//! [`recovery::begin_log`], [`identity::DataDirectory::mark_born`], in this order.

pub mod agreed;
pub mod disk;
pub mod dynamic;
pub mod epochs;
pub mod identity;
pub mod inspect;
pub mod java;
pub mod log;
pub mod rebase;
pub mod recovery;
pub mod replay;
pub mod retention;
pub mod snapshot;
pub mod standing;

#[cfg(test)]
mod tests;
