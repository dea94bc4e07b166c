//! The requests of this shard that the quorum core has: at most the shard's part of the limit for all shards.
//!
//! A connection that ends leaves its requests behind. They count until the core has taken them; otherwise clients that
//! connect, write and disconnect could fill the core's memory without a limit.

use super::Shard;
use super::conn::{Conn, Pending};
use crate::ids::ConnId;

impl Shard {
    /// The core was given a request of so many bytes.
    #[inline]
    pub(super) fn core_has_been_given(&mut self, bytes: usize) {
        self.credit.requests += 1;
        self.credit.bytes += bytes;
        self.stats().outstanding.set(self.credit.requests as u64);
    }

    /// The core has finished so many requests, of so many bytes.
    #[inline]
    pub(super) fn core_has_answered(&mut self, requests: usize, bytes: usize) {
        self.credit.requests -= requests;
        self.credit.bytes -= bytes;
        self.stats().outstanding.set(self.credit.requests as u64);
    }

    /// A connection has ended. Returns whether the core must report when it has taken the connection's requests.
    pub(super) fn leave_behind(&mut self, conn: &Conn) -> bool {
        let sizes = conn.pending.iter().filter_map(|pending| match pending {
            Pending::Core { bytes, .. } => Some(*bytes),
            Pending::Local { .. } => None,
        });
        let (requests, bytes) = sizes.fold((0, 0), |(requests, all), bytes| (requests + 1, all + bytes));
        if requests > 0 {
            self.credit.left_behind.insert(conn.id, (requests, bytes));
        }
        requests > 0
    }

    /// The core has taken all requests of a connection that has ended.
    pub(super) fn taken_up(&mut self, id: ConnId) {
        if let Some((requests, bytes)) = self.credit.left_behind.remove(&id) {
            self.core_has_answered(requests, bytes);
        }
    }
}
