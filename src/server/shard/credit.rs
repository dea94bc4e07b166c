//! What of this shard's requests the quorum core has: a part of what all shards may have there, and no more is given away.
//!
//! A connection that ends leaves its requests behind. They count until the core has taken them up: else clients that come,
//! write and go would have as much in the core as they care to send.

use super::Shard;
use super::conn::{Conn, Pending};
use crate::ids::{ConnId, hash_state};
use hashbrown::HashMap;

/// Requests of connections that have ended, and their bytes.
#[derive(Debug)]
pub(super) struct LeftBehind(HashMap<ConnId, (usize, usize), ahash::RandomState>);

impl Default for LeftBehind {
    fn default() -> Self {
        LeftBehind(HashMap::with_hasher(hash_state()))
    }
}

impl Shard {
    /// The core has been given a request of so many bytes.
    #[inline]
    pub(super) fn core_has_been_given(&mut self, bytes: usize) {
        self.in_core += 1;
        self.in_core_bytes += bytes;
        self.stats().outstanding.set(self.in_core as u64);
    }

    /// The core has so many requests less, of so many bytes.
    #[inline]
    pub(super) fn core_has_answered(&mut self, requests: usize, bytes: usize) {
        self.in_core -= requests;
        self.in_core_bytes -= bytes;
        self.stats().outstanding.set(self.in_core as u64);
    }

    /// A connection has ended. Whether the core is to say when it has taken up what it asked for.
    pub(super) fn leave_behind(&mut self, conn: &Conn) -> bool {
        let sizes = conn.pending.iter().filter_map(|pending| match pending {
            Pending::Core { bytes, .. } => Some(*bytes),
            Pending::Local { .. } => None,
        });
        let (requests, bytes) = sizes.fold((0, 0), |(requests, all), bytes| (requests + 1, all + bytes));
        if requests > 0 {
            self.left_behind.0.insert(conn.id, (requests, bytes));
        }
        requests > 0
    }

    /// The core has taken up what a connection that has ended had asked for.
    pub(super) fn taken_up(&mut self, id: ConnId) {
        if let Some((requests, bytes)) = self.left_behind.0.remove(&id) {
            self.core_has_answered(requests, bytes);
        }
    }
}
