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
        let crowded = self.in_core >= self.options.outstanding_limit;
        if self.walked > limits::WALK_PER_TURN {
            self.has_left_over = true;
            return true;
        }
        let is_stopping = self.is_stopping;
        let memory = &self.options.memory;
        let lacks_room = memory.requests.is_pressed() || memory.replies.is_pressed();
        let (core_bytes, credit) = (self.in_core_bytes, self.core_credit);
        // While memory is short, whoever has not taken what it was given asks for no more.
        let is_pressed = self.options.memory.replies.is_pressed();
        let allowed = if is_pressed { limits::SHORT_ANSWER } else { limits::OUTPUT_PAUSE };
        let Some(conn) = self.conns.find(id) else { return false };
        is_stopping
            || conn.phase == Phase::Opening
            || conn.is_reading
            || (conn.wants_room && lacks_room)
            || (conn.wanted_credit > 0 && is_beyond(credit, core_bytes, conn.wanted_credit))
            || conn.unsent().len() > allowed
            || conn.waiting_bytes > limits::WAITING_BYTES
            || (crowded && !conn.pending.is_empty())
    }

    pub(super) fn pause(&mut self, id: ConnId) {
        let Some(conn) = self.conns.find(id) else { return };
        if !conn.is_paused {
            conn.is_paused = true;
            self.paused.push(id);
            self.interest.push(id);
        }
    }

    /// Takes up again whatever need not wait any longer.
    pub(super) fn unpause(&mut self) {
        for id in std::mem::take(&mut self.paused) {
            if self.must_pause(id) {
                self.paused.push(id);
                continue;
            }
            let Some(conn) = self.conns.find(id) else { continue };
            conn.is_paused = false;
            conn.wanted_credit = 0;
            conn.wants_room = false;
            self.interest.push(id);
            self.continue_input(id);
        }
    }

    /// Whether a frame must wait because it is for the quorum core and too long for it now.
    pub(super) fn lacks_credit(&mut self, id: ConnId, frame: &[u8]) -> bool {
        if !is_beyond(self.core_credit, self.in_core_bytes, frame.len()) || !request::is_for_the_core(frame) {
            return false;
        }
        let Some(conn) = self.conns.find(id).filter(|conn| conn.phase == Phase::Open) else { return false };
        conn.wanted_credit = frame.len();
        true
    }
}

/// Whether the quorum core, which has so many bytes of a shard's requests, must not be given so many more. It takes any
/// request if it has none: the longest may be longer than a shard's part.
fn is_beyond(credit: usize, has: usize, more: usize) -> bool {
    has > 0 && has + more > credit
}
