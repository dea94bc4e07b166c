//! What a shard does when memory for clients is short, see [`crate::server::memory`].
//!
//! No requests are accepted from a client that has not read its answers; a long answer is refused as throttled; a long
//! request waits in its socket. At every tick, connections that hold scarce memory without progress are closed, the
//! largest first. Clients that ask for little are served as usual.

use super::Shard;
use crate::ids::ConnId;
use crate::limits;

impl Shard {
    /// The most unsent bytes an output may have before more is added: `corral.outputLimit`, or, while the share for
    /// replies is used up, an equal part of that share.
    #[inline]
    pub(super) fn output_limit(&self) -> usize {
        let replies = &self.options.memory.replies;
        if replies.room() > 0 { self.rules.output_limit } else { self.equal_part(replies.share()) }
    }

    #[cold]
    fn equal_part(&self, share: usize) -> usize {
        let connections: u64 = self.stats.shards.iter().map(|shard| shard.connections.value()).sum();
        (share / (connections as usize).max(1)).max(limits::SHORT_ANSWER).min(self.rules.output_limit)
    }

    /// Closes a connection whose client does not read.
    #[cold]
    pub(super) fn end_of_unread(&mut self, id: ConnId) {
        let limit = self.output_limit();
        let Some(conn) = self.conns.find(id) else { return };
        let unsent = conn.unsent().len();
        tracing::warn!(
            peer = %conn.peer, session = %conn.session, unsent, limit,
            "connection ended: the client does not read (corral.outputLimit, corral.memoryLimit)"
        );
        self.stats().unread_ended.add(1);
        self.end(id);
    }

    /// How many bytes may be read from a connection's socket now; 0: it is not read.
    #[inline]
    pub(crate) fn wants_bytes(&mut self, id: ConnId) -> usize {
        let is_pressed = self.options.memory.requests.is_pressed();
        match self.conns.find(id) {
            Some(conn) if conn.listed.is_paused => 0,
            Some(conn) if is_pressed && conn.input.len() <= limits::SHORT_ANSWER || !conn.is_open() => {
                limits::GREETING_BYTES
            }
            Some(_) => limits::READ_CHUNK,
            None => 0,
        }
    }

    /// Whether a frame of `length` bytes, of which a part has come, must wait for memory: the rest stays in the socket.
    pub(super) fn lacks_room(&mut self, id: ConnId, length: usize) -> bool {
        if length <= limits::SHORT_ANSWER || !self.options.memory.requests.is_pressed() {
            return false;
        }
        let is_full = self.options.memory.requests.room() == 0;
        let Some(conn) = self.conns.find(id) else { return false };
        // A request that has begun may be completed, from a reserve.
        conn.stops.wants_room = is_full || conn.input.len() <= limits::SHORT_ANSWER;
        conn.stops.wants_room
    }

    /// Whether a whole frame must wait because its answer may be as long as itself (a sync echoes its path, a multi
    /// names what it created), and there is little memory for answers.
    #[inline]
    pub(super) fn lacks_answers(&mut self, id: ConnId, frame: &[u8]) -> bool {
        if frame.len() <= limits::SHORT_ANSWER || !self.options.memory.replies.is_pressed() {
            return false;
        }
        let Some(conn) = self.conns.find(id) else { return false };
        conn.stops.wants_room = true;
        true
    }

    /// Writes one log line for all requests that were refused since the last tick.
    pub(super) fn log_refusals(&mut self) {
        let refused = self.stats().throttled.value();
        if refused != self.pressure.refusals_told {
            let memory = &self.options.memory;
            tracing::warn!(
                refused = refused - self.pressure.refusals_told,
                is_tree_full = self.pressure.is_tree_full,
                replies = memory.replies.used(),
                requests = memory.requests.used(),
                "requests refused as throttled: there is no memory for their answers, for watches, or for a larger tree \
                 (corral.memoryLimit, corral.maxWatches, corral.maxWatchBytes)"
            );
            self.pressure.refusals_told = refused;
        }
    }

    /// Half a tick has passed: while memory is short, connections that hold much of it without progress are closed.
    pub(super) fn make_room(&mut self) {
        let memory = self.options.memory.clone();
        let is_short = || memory.replies.is_pressed() || memory.requests.is_pressed();
        let was_short = is_short();
        let mut slow = vec![];
        for conn in self.conns.iter_mut() {
            let held = conn.sending.replies.bytes() + conn.queued.requests.bytes();
            let moved = std::mem::take(&mut conn.pace.moved);
            if moved >= limits::MOVED_PER_HALF_TICK || held <= limits::SHORT_ANSWER || conn.waits_for_us() {
                conn.pace.slow_ticks = 0;
                continue;
            }
            conn.pace.slow_ticks = conn.pace.slow_ticks.saturating_add(1);
            // One slow tick is not enough: the client may have got its answer a moment ago.
            if was_short && conn.pace.slow_ticks > 1 {
                slow.push((held, conn.id));
            }
        }
        slow.sort_unstable_by_key(|(held, id)| (std::cmp::Reverse(*held), id.slot));
        let mut ended = 0_u64;
        for (_, id) in slow {
            if !is_short() {
                break;
            }
            self.end(id);
            ended += 1;
        }
        if ended > 0 {
            self.stats().unread_ended.add(ended);
            tracing::warn!(
                ended,
                replies = memory.replies.used(),
                requests = memory.requests.used(),
                "connections ended: memory is short, and their clients neither read nor go on (corral.memoryLimit)"
            );
        }
    }
}
