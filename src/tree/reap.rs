//! Which containers and TTL znodes have outlived their time (ZooKeeper 3.9, `ContainerManager`).
//!
//! The search is done in slices, so that a million containers do not delay a write; the deletion itself is a
//! deleteContainer request, which checks again.

use super::index::after;
use super::owner::Kind;
use super::state::State;
use super::work::Sweep;

/// Znodes looked at in one call: about a millisecond.
const SLICE: usize = 4096;

impl State {
    /// Appends at most `limit` paths that may be deleted as of `now_ms` (ms since 1970): containers that had children
    /// and have none now, and TTL znodes without children whose data was not set for their time to live. Continues
    /// where the last call ended; true when all were looked at, false when there is more to look at now.
    pub(crate) fn reap(&mut self, now_ms: i64, limit: usize, out: &mut Vec<Vec<u8>>) -> bool {
        let mut sweep = std::mem::take(&mut self.sweep);
        let mut found = 0;
        let mut looked = 0;
        loop {
            let paths = if sweep.ttls { self.index.ttls() } else { self.index.containers() };
            for path in after(paths, sweep.last.as_deref()) {
                if looked == SLICE || found == limit {
                    // The limit is reached: the path before this one was the last one looked at.
                    self.sweep = sweep;
                    return false;
                }
                looked += 1;
                if self.is_outlived(path, now_ms) {
                    found += 1;
                    out.push(path.to_vec());
                }
                if looked == SLICE || found == limit {
                    sweep.last = Some(path.into());
                }
            }
            let is_over = sweep.ttls;
            sweep = Sweep { ttls: !is_over, last: None };
            if is_over {
                self.sweep = sweep;
                return true;
            }
        }
    }

    /// Whether the znode may still be deleted as of `now_ms`: some turns may have passed since it was found.
    pub(crate) fn is_outlived(&self, path: &[u8], now_ms: i64) -> bool {
        let Some(znode) = self.find(path) else { return false };
        if znode.num_children() > 0 {
            return false;
        }
        let idle_ms = now_ms.saturating_sub(znode.stat().mtime);
        match self.owners.kind(znode.owner()) {
            Kind::Container if znode.stored_cversion() > 0 => true,
            Kind::Container => {
                let never_used_ms = i64::from(self.options.config.container_max_never_used_ms);
                never_used_ms > 0 && idle_ms > never_used_ms
            }
            Kind::Ttl { ms } => ms > 0 && idle_ms > ms,
            Kind::Persistent | Kind::Ephemeral(_) => false,
        }
    }
}
