//! The tree's store: every znode a chain of immutable versions, keyed by zxid.
//!
//! One [`Writer`] adds versions at the head, each stamped with the transaction that made it; a delete is a tombstone
//! version. Any number of [`Reader`]s, on other threads, look at the tree *at a zxid* and never wait. So prepare can
//! work above the commit watermark, where no reader looks; a commit is one store instruction; a multi is seen whole or
//! not at all; and a snapshot pins a zxid and walks the tree.
//!
//! ```text
//!  table (extendible, by path hash)             "/a"'s chain, newest first
//!  ┌────┬────┬────┬────┐   slot: hash, head ──► block zxid 9 ──► block zxid 7 ──► block zxid 3
//!  │seg │seg │seg │seg │                          │ header │ path │ data │
//!  └────┴────┴────┴────┘                          └─► kids: set of child hashes (extendible)
//!                                                           numbers: zxid 8 ──► zxid 7
//! ```
//!
//! Three rules hold it together:
//! * *Visible*: a reader at z sees, of each chain, the first version stamped at or below z.
//! * *Unlinked* ([`reclaim`]): a version may leave its chain when no point lies in [its stamp, its successor's).
//! * *Freed* ([`limbo`]): after that, once every online reader has passed a quiescent point.

mod block;
mod held;
mod kids;
mod ledger;
mod limbo;
mod names;
mod path_slot;
mod queue;
mod reader;
mod reclaim;
mod segment;
mod shared;
mod spare;
mod stamps;
mod sync;
mod table;
mod view;
mod writer;

#[cfg(test)]
pub(super) mod tests;

pub(crate) use reader::Pin;
pub use reader::Reader;
pub use shared::Store;
pub(crate) use shared::StoreFull;
#[cfg(test)]
pub(crate) use shared::{MAX_PINS, MAX_READERS};
pub use view::Cursor;
pub(crate) use view::{View, Znode};
pub(crate) use writer::Undone;
pub use writer::{NewZnode, Writer};
