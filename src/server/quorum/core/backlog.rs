//! The requests that shards sent and that are not executed yet, in order.

use crate::server::message::{Inbound, Item};
use std::collections::VecDeque;

/// What one shard sent in one turn, and how many of its items are executed.
pub(crate) struct Pending {
    pub inbound: Inbound,
    done: usize,
}

impl Pending {
    /// The next item to execute.
    pub(crate) fn item(&self) -> Option<&Item> {
        self.inbound.items.get(self.done)
    }

    /// That item is executed.
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
    /// Adds what a shard sent.
    pub(crate) fn push(&mut self, inbound: Inbound) {
        self.queue.push_back(Pending { inbound, done: 0 });
    }

    /// Takes what was sent first.
    pub(crate) fn pop(&mut self) -> Option<Pending> {
        self.queue.pop_front()
    }

    /// Puts it back at the front: there was no room for the rest.
    pub(crate) fn put_back(&mut self, pending: Pending) {
        self.queue.push_front(pending);
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes out everything that waits: none of it will be executed. The first one may be executed in part; its
    /// connections are told nevertheless.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Inbound> {
        self.queue.drain(..).map(|pending| pending.inbound)
    }

    /// Bytes of all waiting requests.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.queue.iter().map(|pending| pending.inbound.bytes.len()).sum()
    }
}
