//! Connections whose handshakes are over, on their way from the thread that did them to the loop that accepted them.

use super::gate::Ticket;
use crate::runtime::transport::Transport;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// A connection, and its place among the clients.
pub(super) struct Arrived {
    pub(super) transport: Transport,
    pub(super) peer: SocketAddr,
    pub(super) ticket: Option<Ticket>,
}

/// Those that wait for one loop. To ask whether there are any, once a turn, costs a load.
#[derive(Default)]
pub(super) struct Arrivals {
    count: AtomicUsize,
    waiting: Mutex<Vec<Arrived>>,
}

impl Arrivals {
    /// The caller rings the loop's bell.
    pub(super) fn put(&self, arrived: Arrived) {
        self.waiting.lock().expect("no holder panics").push(arrived);
        self.count.fetch_add(1, SeqCst);
    }

    #[inline]
    pub(super) fn take(&self) -> Option<Arrived> {
        if self.count.load(SeqCst) == 0 {
            return None;
        }
        let arrived = self.waiting.lock().expect("no holder panics").pop()?;
        self.count.fetch_sub(1, SeqCst);
        Some(arrived)
    }
}
