//! What a core does by the clock: sessions expire, empty containers and TTL znodes are deleted. Also the core's part of
//! an administrator's questions.

use super::{Authority, Core};
use crate::ids::SessionId;
use crate::jute::OpCode;
use crate::jute::request::Request;
use crate::server::facts::{CoreFacts, Question};

impl Core {
    /// Half a tick has passed.
    pub(in crate::server::quorum) fn tick(&mut self) {
        let now = self.clock.mono_ms;
        let stalled = now - self.last_tick_ms > self.options.config.tick_ms();
        if stalled {
            let away_ms = now - self.last_tick_ms;
            tracing::warn!(
                away_ms,
                "the quorum core was not run for some time: the machine stood still or is overloaded"
            );
            self.sessions.was_away(away_ms, now);
        }
        self.last_tick_ms = now;
        self.watchdog.look(self.groups.publisher.published(), &self.stats, now, stalled);
    }

    /// Memory that no reader needs any more is freed.
    pub(in crate::server::quorum) fn reclaim(&mut self) {
        self.state.reclaim();
    }

    /// When the next search for outlived znodes begins, monotonic ms; `None` if this server does not decide.
    pub(in crate::server::quorum) fn deadline_ms(&self) -> Option<i64> {
        self.decides().then_some(self.reaper.next_ms)
    }

    /// Whether this server decides what the next transaction is: then it also ends sessions and deletes outlived
    /// znodes.
    pub(in crate::server::quorum) fn decides(&self) -> bool {
        self.authority != Authority::Elsewhere
    }

    /// Begins to search for outlived znodes, if it is time. A search that is under way continues instead.
    pub(in crate::server::quorum) fn begin_sweep(&mut self) -> bool {
        self.reaper.begin_sweep(self.clock.mono_ms)
    }

    /// Ends the sessions that no shard has heard of in time. Returns the sessions whose closeSession was prepared.
    pub(in crate::server::quorum) fn expire(&mut self) -> Vec<SessionId> {
        if self.sessions.expire(self.clock.mono_ms) { self.close_expired() } else { vec![] }
    }

    /// Closes expired sessions as far as there is room; the others, which are over already, in the next round. Returns
    /// the sessions whose closeSession was prepared.
    pub(in crate::server::quorum) fn close_expired(&mut self) -> Vec<SessionId> {
        let mut closed = vec![];
        while !self.sessions.expired.is_empty()
            && self.has_room()
            && let Some(session) = self.sessions.expired.pop()
        {
            tracing::info!(%session, "session expired");
            self.stats.core.stale_sessions_expired.add(1);
            self.close_session(session, None);
            closed.push(session);
        }
        closed
    }

    /// Continues to delete containers that have lost their last child and TTL znodes that have outlived their time. In
    /// each tick, and when a search begins, a bounded number of znodes is looked at, until the search has seen all.
    pub(in crate::server::quorum) fn reap(&mut self) {
        if let Some(left) = self.reaper.left.filter(|_| self.reaper.found.is_empty()) {
            let mut paths = vec![];
            let is_over = self.state.reap(self.time_ms, left, &mut paths);
            let left = left.saturating_sub(paths.len());
            self.reaper.left = (!is_over && left > 0).then_some(left);
            self.reaper.found.extend(paths);
        }
        self.delete_reaped();
    }

    /// Deletes the znodes that were found. By now another znode may have the path, so each is checked again.
    pub(in crate::server::quorum) fn delete_reaped(&mut self) {
        while !self.reaper.found.is_empty()
            && self.has_room()
            && let Some(path) = self.reaper.found.pop_front()
        {
            if !self.state.is_outlived(&path, self.time_ms) {
                continue;
            }
            let request = Request::DeleteContainer { path: &path };
            let (changes, _) = self.transact(SessionId::NONE, 0, |state, context, out| {
                state.prepare(context, OpCode::DeleteContainer, &request, out);
            });
            self.step(changes, None);
        }
    }

    /// The core's part of the answer to an administrator's questions.
    pub(super) fn facts(&self, questions: &[Question]) -> CoreFacts {
        let mut facts = CoreFacts::default();
        for question in questions {
            match question {
                Question::Sessions => self.list_sessions(&mut facts),
                Question::Digests => facts.digests = self.state.digest_history(),
                // Answered by the shards.
                Question::Connections | Question::Watches | Question::ResetConnections | Question::ResetShards => {}
            }
        }
        facts
    }

    fn list_sessions(&self, facts: &mut CoreFacts) {
        let now = self.clock.mono_ms;
        if self.sessions.locals.opens() {
            let local = self.sessions.locals.buckets().map(|(at, sessions)| (at - now, sessions));
            facts.local = Some(local.collect());
        }
        if self.authority == Authority::Elsewhere {
            let mut global: Vec<_> = self.state.sessions().collect();
            global.sort_unstable();
            facts.global = Some(global);
        } else {
            facts.expiry = self.sessions.tracker.buckets().map(|(at, sessions)| (at - now, sessions)).collect();
        }
        facts.ephemerals = self.state.all_ephemerals();
    }
}
