//! Which connections are read: whoever asks for more than can be answered now is left alone until it can.
//!
//! A paused connection's bytes stay in its socket, which in the end stops the client. Everything that may go on does
//! so at the end of a turn.

use super::conn::Phase;
use super::{Shard, request};
use crate::ids::ConnId;
use crate::limits;

impl Shard {
    /// Whether no further request of this connection may be taken now.
    pub(super) fn must_pause(&mut self, id: ConnId) -> bool {
        let crowded = self.credit.requests >= self.options.outstanding_limit;
        if self.is_stopping || self.is_out_of_turn(id) {
            return true;
        }
        let (core_bytes, credit) = (self.credit.bytes, self.credit.limit);
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

    /// Unsent bytes above which a connection is answered nothing more. While memory is short, whoever has not taken what it was
    /// given asks for no more.
    fn output_pause(&self) -> usize {
        if self.options.memory.replies.is_pressed() { limits::SHORT_ANSWER } else { limits::OUTPUT_PAUSE }
    }

    pub(super) fn pause(&mut self, id: ConnId) {
        if self.stop_reading(id) {
            self.unread.paused.push(id);
        }
    }

    /// The same, until all are told of the transaction that is being told.
    pub(super) fn pause_until_told(&mut self, id: ConnId) {
        if self.stop_reading(id) {
            self.unread.until_told.push(id);
        }
    }

    /// Whether it was read until now.
    fn stop_reading(&mut self, id: ConnId) -> bool {
        let Some(conn) = self.conns.find(id) else { return false };
        let was_read = !std::mem::replace(&mut conn.listed.is_paused, true);
        if was_read {
            self.edge.interest.push(id);
        }
        was_read
    }

    /// Takes up again whatever need not wait any longer.
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
                // What has been taken comes first, also when nothing more is.
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
        // Whoever has gone on and must wait again stands behind those who have waited all along.
        waiting.append(&mut served);
        waiting.append(&mut self.unread.paused);
        self.unread.paused = waiting;
    }

    /// Whether requests that were taken and may be answered must wait: for another turn, for the one before them, or until
    /// their client reads.
    pub(super) fn must_put_off(&mut self, id: ConnId) -> bool {
        let allowed = self.output_pause();
        let Some(conn) = self.conns.find(id) else { return false };
        conn.stops.is_reading || conn.unsent().len() > allowed || self.is_out_of_turn(id)
    }

    /// Whether a frame must wait because it is for the quorum core and too long for it now.
    pub(super) fn lacks_credit(&mut self, id: ConnId, frame: &[u8]) -> bool {
        if !is_beyond(self.credit.limit, self.credit.bytes, frame.len()) || !request::is_for_the_core(frame) {
            return false;
        }
        let Some(conn) = self.conns.find(id).filter(|conn| conn.phase == Phase::Open) else { return false };
        conn.stops.wanted_credit = frame.len();
        true
    }
}

/// Whether the quorum core, which has so many bytes of a shard's requests, must not be given so many more. It takes any
/// request if it has none: the longest may be longer than a shard's part.
fn is_beyond(credit: usize, has: usize, more: usize) -> bool {
    has > 0 && has + more > credit
}
