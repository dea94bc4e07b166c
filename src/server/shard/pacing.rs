//! Which connections are read: a connection that asks for more than can be answered now is paused.
//!
//! A paused connection's bytes stay in its socket, which in the end stops the client. At the end of a turn, connections
//! that need not wait any more continue.

use super::conn::Phase;
use super::{Shard, request};
use crate::ids::ConnId;
use crate::limits;

impl Shard {
    /// Whether no further request of this connection may be accepted now.
    pub(super) fn must_pause(&mut self, id: ConnId) -> bool {
        let crowded = self.credit.requests >= self.credit.most_requests;
        if self.is_stopping || self.is_out_of_turn(id) {
            return true;
        }
        let (core_bytes, credit) = (self.credit.bytes, self.credit.most_bytes);
        let allowed = self.output_pause();
        let Shard { conns, budget, options, .. } = self;
        let Some(conn) = conns.find(id) else { return false };
        let lacks_room = || options.memory.requests.is_pressed() || options.memory.replies.is_pressed();
        budget.is_still_crossed_by(conn)
            || conn.phase == Phase::Opening
            || conn.stops.is_reading
            || (conn.stops.wants_room && lacks_room())
            || conn.stops.is_barred
            || conn.may_answer()
            || (conn.stops.wanted_credit > 0 && is_beyond(credit, core_bytes, conn.stops.wanted_credit))
            || conn.unsent().len() > allowed
            || conn.queued.waiting_bytes > limits::WAITING_BYTES
            || (crowded && !conn.pending.is_empty())
    }

    /// With more unsent bytes than this, a connection gets no further answers. While memory is short, a client that has
    /// not read its answers gets no further ones.
    fn output_pause(&self) -> usize {
        if self.options.memory.replies.is_pressed() { limits::SHORT_ANSWER } else { limits::OUTPUT_PAUSE }
    }

    pub(super) fn pause(&mut self, id: ConnId) {
        if self.stop_reading(id) {
            self.unread.paused.push(id);
        }
    }

    /// Pauses a connection until all watchers are told of the present long transaction.
    pub(super) fn pause_until_told(&mut self, id: ConnId) {
        if self.stop_reading(id) {
            self.unread.until_told.push(id);
        }
    }

    /// Stops reading a connection. Returns whether it was read until now.
    fn stop_reading(&mut self, id: ConnId) -> bool {
        let Some(conn) = self.conns.find(id) else { return false };
        let was_read = !std::mem::replace(&mut conn.listed.is_paused, true);
        if was_read {
            self.edge.interest.push(id);
        }
        was_read
    }

    /// Continues the connections that need not wait any longer.
    pub(super) fn unpause(&mut self) {
        let mut waiting = std::mem::take(&mut self.unread.paused);
        let mut served = vec![];
        waiting.retain(|id| {
            let id = *id;
            if self.conns.find(id).is_some_and(|conn| conn.may_answer()) {
                if self.sequence.taking.is_some() {
                    self.unread.until_told.push(id);
                    return false;
                }
                // Accepted requests come first, also when no more are accepted.
                if self.must_put_off(id) {
                    return true;
                }
                self.run_waiting(id);
                if self.must_pause(id) {
                    served.push(id);
                    return false;
                }
            } else if self.must_pause(id) {
                return true;
            }
            if let Some(conn) = self.conns.find(id) {
                conn.listed.is_paused = false;
                conn.stops.wanted_credit = 0;
                conn.stops.wants_room = false;
                conn.stops.wants_to_cross = false;
                self.edge.interest.push(id);
                self.continue_input(id);
            }
            false
        });
        // Connections that continued and must wait again come after those that have waited all the time.
        waiting.append(&mut served);
        waiting.append(&mut self.unread.paused);
        self.unread.paused = waiting;
    }

    /// Whether accepted requests that could be answered must wait: for another turn, for an earlier request, or until
    /// their client reads.
    pub(super) fn must_put_off(&mut self, id: ConnId) -> bool {
        let allowed = self.output_pause();
        let Some(conn) = self.conns.find(id) else { return false };
        conn.stops.is_reading || conn.unsent().len() > allowed || self.is_out_of_turn(id)
    }

    /// Whether a frame must wait because it is for the quorum core and exceeds the credit now.
    pub(super) fn lacks_credit(&mut self, id: ConnId, frame: &[u8]) -> bool {
        if !is_beyond(self.credit.most_bytes, self.credit.bytes, frame.len()) || !request::is_for_the_core(frame) {
            return false;
        }
        let Some(conn) = self.conns.find(id).filter(|conn| conn.phase == Phase::Open) else { return false };
        conn.stops.wanted_credit = frame.len();
        true
    }
}

/// Whether `more` bytes exceed the credit of a shard that has `has` bytes in the quorum core. With no bytes there any
/// request is allowed: the longest may be longer than the credit.
fn is_beyond(credit: usize, has: usize, more: usize) -> bool {
    has > 0 && has + more > credit
}
