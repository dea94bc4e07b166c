//! What pins hold back: superseded versions that are looked at again when their pin has gone, see [`super::reclaim`].
//!
//! The pointers name linked versions, and are `unsafe` to look at by the rules of [`super::writer`].

use super::block::Block;
use super::kids::{ChildStat, Kids};
use super::queue::Queue;

/// What one pinned zxid holds back.
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
