//! What happens by the clock: sessions expire, containers and TTL znodes go.

use super::{Authority, Core};
use crate::ids::SessionId;
use crate::jute::OpCode;
use crate::jute::request::Request;
use crate::server::facts::{CoreFacts, Question};

impl Core {
    /// Half a tick has passed.
    pub(in crate::server::quorum) fn tick(&mut self) {
        let now = self.clock.mono_ms;
        let stalled = now - self.last_tick_ms > self.options.tick_ms;
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

    /// When the search for what has outlived its time goes on, ms, if this server is who does that.
    pub(in crate::server::quorum) fn deadline_ms(&self) -> Option<i64> {
        self.decides().then_some(self.reaper.next_ms)
    }

    /// Whether this server decides what the next transaction is: it ends sessions and what has outlived its time.
    pub(in crate::server::quorum) fn decides(&self) -> bool {
        self.authority != Authority::Elsewhere
    }

    /// Begins to search, if it is time for that. One that is under way goes on instead.
    pub(in crate::server::quorum) fn begin_sweep(&mut self) -> bool {
        self.reaper.begin_sweep(self.clock.mono_ms)
    }

    /// Ends the sessions that no shard has heard of in time. Returns those whose end is on its way.
    pub(in crate::server::quorum) fn expire(&mut self) -> Vec<SessionId> {
        self.sessions.expire(self.clock.mono_ms);
        self.close_expired()
    }

    /// What the log has no room for now is closed in the next round; it is over already. Returns those whose end is on its
    /// way.
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

    /// Goes on with deleting containers that have lost their last child and TTL znodes that have outlived
    /// their time: a bounded number is looked at in each tick, and whenever it is time again, until all were.
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

    /// Deletes what was found. Something else may stand there by now.
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

    /// The core's part of what an administrator asks.
    pub(super) fn facts(&self, questions: &[Question]) -> CoreFacts {
        let mut facts = CoreFacts::default();
        for question in questions {
            match question {
                Question::Sessions => self.list_sessions(&mut facts),
                Question::Digests => facts.digests = self.state.digest_history(),
                // The shards'.
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
