//! Limits on client connections: in all, and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// Limits on client connections, per address and in all, counted over all shards.
pub(crate) struct Gate {
    per_address: Mutex<HashMap<IpAddr, u32>>,
    total: AtomicUsize,
    max_per_address: u32,
    max_total: usize,
}

impl Gate {
    /// 0 means no limit (`maxClientCnxns`, `maxCnxns`).
    pub(crate) fn new(max_per_address: u32, max_total: usize) -> Self {
        Gate { per_address: Mutex::default(), total: AtomicUsize::new(0), max_per_address, max_total }
    }

    /// How many clients there are.
    #[cfg(test)]
    pub(super) fn total(&self) -> usize {
        self.total.load(Relaxed)
    }

    /// Takes a place for a connection from there, if there is one.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Ticket> {
        if self.max_total > 0 && self.total.load(Relaxed) >= self.max_total {
            return None;
        }
        let mut per_address = self.per_address.lock().expect("no holder panics");
        let count = per_address.entry(address).or_default();
        if self.max_per_address > 0 && *count >= self.max_per_address {
            return None;
        }
        *count += 1;
        self.total.fetch_add(1, Relaxed);
        Some(Ticket { gate: self.clone(), address })
    }
}

/// One connection's place under the limits; given back when dropped.
pub(super) struct Ticket {
    gate: Arc<Gate>,
    address: IpAddr,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut per_address = self.gate.per_address.lock().expect("no holder panics");
        if let Some(count) = per_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                per_address.remove(&self.address);
            }
        }
        self.gate.total.fetch_sub(1, Relaxed);
    }
}
