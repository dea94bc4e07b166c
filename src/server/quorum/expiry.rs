//! What happens by the clock: sessions expire, containers and TTL znodes go.

use super::Quorum;
use crate::ids::SessionId;
use crate::jute::OpCode;
use crate::jute::request::Request;
use crate::server::facts::CoreFacts;

impl Quorum {
    /// Periodic work, every half tick.
    pub fn tick(&mut self) {
        let now = self.clock.mono_ms;
        let stalled = now - self.last_tick_ms > self.options.tick_ms;
        if stalled {
            let away_ms = now - self.last_tick_ms;
            tracing::warn!(
                away_ms,
                "the quorum core was not run for some time: the machine stood still or is overloaded"
            );
            // Whoever could not run could not hear either: one full round first.
            self.expiry_not_before_ms = now + self.options.tick_ms;
            self.locals.was_away(away_ms);
        }
        self.last_tick_ms = now;
        self.watchdog.look(self.publisher.published(), &self.stats, now, stalled);
        if self.is_member {
            self.expire_local();
            self.tick_ensemble();
            if !self.proposing {
                self.state.reclaim();
                return self.work();
            }
        }
        self.expire();
        self.begin_sweep();
        self.reap();
        self.state.reclaim();
        if self.is_member {
            self.work();
        }
    }

    /// The latest time by which [`Quorum::elapse`] must be called, ms: elections, redials, and the search for what has
    /// outlived its time are finer than ticks.
    #[inline]
    pub fn deadline_ms(&self) -> Option<i64> {
        let reaps = self.reaps().then_some(self.next_reap_ms);
        if !self.is_member { reaps } else { self.ensemble_deadline_ms().into_iter().chain(reaps).min() }
    }

    /// The time of [`Quorum::deadline_ms`] has come.
    pub fn elapse(&mut self) {
        if self.is_member {
            self.tick_ensemble();
        }
        if self.reaps() && self.begin_sweep() {
            self.reap();
        }
        self.work();
    }

    /// Whether it is this server that ends what has outlived its time.
    pub(super) fn reaps(&self) -> bool {
        self.proposing || !self.is_member
    }

    /// Begins to search, if it is time for that. One that is under way goes on instead.
    fn begin_sweep(&mut self) -> bool {
        let now = self.clock.mono_ms;
        let is_due = now >= self.next_reap_ms;
        if is_due {
            let interval_ms = self.options.reap_interval_ms;
            self.next_reap_ms = now + interval_ms;
            let limit = self.options.reap_per_minute.saturating_mul(interval_ms as usize).div_ceil(60_000);
            self.reap_left.get_or_insert(limit);
        }
        is_due
    }

    /// Up to when it is known which sessions were heard of: one's last sign of life may still be on its way from a shard,
    /// so only what every shard has reported past counts. `None`: nobody can be said to be silent.
    pub(super) fn heard_upto_ms(&self) -> Option<i64> {
        let now = self.clock.mono_ms;
        let known_ms = self.reported_ms.iter().copied().min().unwrap_or(now);
        (now >= self.expiry_not_before_ms).then_some(known_ms.min(now))
    }

    /// Ends the sessions that no shard has heard of in time.
    fn expire(&mut self) {
        let Some(known_ms) = self.heard_upto_ms() else { return };
        self.tracker.expired(known_ms, &mut self.expired);
        self.close_expired();
    }

    /// What the log has no room for now is closed in the next round; it is over already.
    pub(super) fn close_expired(&mut self) {
        while !self.expired.is_empty()
            && self.has_room()
            && let Some(session) = self.expired.pop()
        {
            tracing::info!(%session, "session expired");
            self.stats.core.stale_sessions_expired.add(1);
            self.close_session(session, None);
            self.in_ensemble(|_, ensemble| ensemble.disown(session));
        }
    }

    /// Goes on with deleting containers that have lost their last child and TTL znodes that have outlived
    /// their time: a bounded number is looked at in each tick, and whenever it is time again, until all were.
    fn reap(&mut self) {
        if let Some(left) = self.reap_left.filter(|_| self.reaped.is_empty()) {
            let mut paths = vec![];
            let is_over = self.state.reap(self.time_ms, left, &mut paths);
            let left = left.saturating_sub(paths.len());
            self.reap_left = (!is_over && left > 0).then_some(left);
            self.reaped.extend(paths);
        }
        self.delete_reaped();
    }

    /// Deletes what was found. Something else may stand there by now.
    pub(super) fn delete_reaped(&mut self) {
        while !self.reaped.is_empty()
            && self.has_room()
            && let Some(path) = self.reaped.pop_front()
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

    /// The core's part of an administrator's question.
    pub(super) fn facts(&self, word: [u8; 4]) -> CoreFacts {
        let mut facts = CoreFacts::default();
        match &word {
            b"dump" => {
                let now = self.clock.mono_ms;
                if self.locals.opens() {
                    let local = self.locals.buckets().map(|(at, sessions)| (at - now, sessions));
                    facts.local = Some(local.collect());
                }
                if self.is_member && !self.proposing {
                    let mut global: Vec<_> = self.state.sessions().collect();
                    global.sort_unstable();
                    facts.global = Some(global);
                } else {
                    facts.expiry = self.tracker.buckets().map(|(at, sessions)| (at - now, sessions)).collect();
                }
                facts.ephemerals = self.state.all_ephemerals();
            }
            b"hash" => facts.digests = self.state.digest_history(),
            _ => {}
        }
        facts
    }
}
