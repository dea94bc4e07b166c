//! The owner of a standalone server's core: it executes the requests of its clients in order. Whatever is on its disk
//! is committed.

use super::core::Core;
use crate::server::message::Inbound;

/// A core outside any ensemble.
pub struct Lone {
    pub(super) core: Core,
}

impl Lone {
    pub(super) fn new(core: Core) -> Lone {
        Lone { core }
    }

    /// Takes the requests that a shard sent.
    pub(super) fn handle(&mut self, inbound: Inbound) {
        self.core.backlog.push(inbound);
        self.work();
    }

    /// Executes waiting requests, as far as there is room ([`Core::has_room`]).
    pub(super) fn work(&mut self) {
        self.resume();
        while let Some(mut pending) = self.core.next_pending() {
            while let Some(item) = pending.item() {
                if !self.core.has_room() {
                    return self.core.backlog.put_back(pending);
                }
                self.core.charge_request(item.body.len());
                self.core.execute(pending.inbound.shard, item, &pending.inbound.bytes);
                pending.done();
            }
        }
    }

    fn resume(&mut self) {
        let applied = self.core.resume();
        assert!(applied.is_none(), "no leader decides here");
    }

    /// The write of the log is on disk.
    pub(super) fn written(&mut self) {
        if self.core.written().is_some() {
            self.work();
        }
    }

    /// Half a tick has passed.
    pub(super) fn tick(&mut self) {
        self.core.tick();
        self.core.expire();
        self.core.begin_sweep();
        self.core.reap();
        self.core.reclaim();
    }

    /// The time of [`Core::deadline_ms`] has come.
    pub(super) fn elapse(&mut self) {
        if self.core.begin_sweep() {
            self.core.reap();
        }
        self.work();
    }

    /// Continues the work that the last turn left over.
    pub(super) fn carry_on(&mut self) {
        if self.core.goes_on() {
            self.resume();
            self.core.close_expired();
            self.core.delete_reaped();
            self.work();
        }
    }
}
