//! Superseded versions that pins keep: they are looked at again when their pin is dropped, see [`super::reclaim`].
//!
//! The pointers name linked versions; dereferencing them is `unsafe`, by the rules of [`super::writer`].

use super::block::Block;
use super::kids::{ChildStat, Kids};
use super::queue::Queue;

/// The versions that one pinned zxid keeps.
pub(super) struct Held {
    pub(super) zxid: i64,
    pub(super) waiting: Queue<Waiting>,
}

/// A superseded version that a pin needs.
#[derive(Clone, Copy)]
pub(super) enum Waiting {
    Version { block: *mut Block, hash: u64 },
    Numbers { kids: *mut Kids, stat: *mut ChildStat },
}
