//! What shards have sent and is not carried out yet, in order.

use crate::server::message::{Inbound, Item};
use std::collections::VecDeque;

/// What one shard sent in one turn, and how far it is carried out.
pub(crate) struct Pending {
    pub inbound: Inbound,
    done: usize,
}

impl Pending {
    /// The next item that is not carried out.
    pub(crate) fn item(&self) -> Option<&Item> {
        self.inbound.items.get(self.done)
    }

    /// That one is.
    pub(crate) fn done(&mut self) {
        self.done += 1;
    }
}

/// The queue.
#[derive(Default)]
pub(crate) struct Backlog {
    queue: VecDeque<Pending>,
}

impl Backlog {
    /// A shard has sent this.
    pub(crate) fn push(&mut self, inbound: Inbound) {
        self.queue.push_back(Pending { inbound, done: 0 });
    }

    /// What was sent first.
    pub(crate) fn pop(&mut self) -> Option<Pending> {
        self.queue.pop_front()
    }

    /// There was no room for the rest of it.
    pub(crate) fn put_back(&mut self, pending: Pending) {
        self.queue.push_front(pending);
    }

    /// Nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Nothing of what waits is carried out any more. What had been taken up of the first one is among it: its connections are
    /// told once more.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Inbound> {
        self.queue.drain(..).map(|pending| pending.inbound)
    }

    /// Bytes of all that waits.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.queue.iter().map(|pending| pending.inbound.bytes.len()).sum()
    }
}
