//! When each session expires unless it is heard of.
//!
//! Expiry is by ticks (ZooKeeper 3.9, `ExpiryQueue`): a session's instant is the next multiple of the tick
//! strictly after now + timeout, and all sessions of an instant expire together. So hearing of a session
//! again within a tick changes nothing, and hearing of it later moves it from one list to another: sessions
//! that do nothing but stay alive cost a look-up per touch, whatever their number.

use crate::ids::{SessionId, hash_state};
use hashbrown::HashMap;
use std::collections::BTreeMap;

/// The end of a list.
const NIL: u32 = u32::MAX;

/// A session in the list of its instant.
#[derive(Clone, Debug)]
struct Entry {
    id: SessionId,
    timeout_ms: i32,
    /// The instant at which it expires, ms; meaningless once it has.
    at_ms: i64,
    prev: u32,
    next: u32,
    /// It has expired, or its end has begun: nothing brings it back.
    is_closing: bool,
}

/// Every session and its instant. Times are ms of a clock that never goes back; they may start anywhere.
#[derive(Clone, Debug)]
pub(crate) struct Tracker {
    tick_ms: i64,
    index: HashMap<SessionId, u32, ahash::RandomState>,
    entries: Vec<Entry>,
    free: Vec<u32>,
    /// The first session of each instant; no instant without a session.
    instants: BTreeMap<i64, u32>,
}

impl Tracker {
    /// Knows of no session. Instants are multiples of `tick_ms`.
    ///
    /// # Panics
    /// If the tick is not positive.
    pub(crate) fn new(tick_ms: i64) -> Tracker {
        assert!(tick_ms > 0, "a tick takes time");
        Tracker {
            tick_ms,
            index: HashMap::with_hasher(hash_state()),
            entries: Vec::new(),
            free: Vec::new(),
            instants: BTreeMap::new(),
        }
    }

    /// Starts to track a session, with its full timeout from now. One that is known gets the new timeout; one
    /// that has expired and was not removed stays expired.
    pub(crate) fn add(&mut self, id: SessionId, timeout_ms: i32, now_ms: i64) {
        if let Some(&at) = self.index.get(&id) {
            self.entries[at as usize].timeout_ms = timeout_ms;
            self.touch(id, now_ms);
            return;
        }
        let at_ms = self.instant(now_ms, timeout_ms);
        let entry = Entry { id, timeout_ms, at_ms, prev: NIL, next: NIL, is_closing: false };
        let at = match self.free.pop() {
            Some(at) => {
                self.entries[at as usize] = entry;
                at
            }
            None => {
                let at = u32::try_from(self.entries.len()).ok().filter(|&at| at != NIL);
                self.entries.push(entry);
                at.expect("fewer than 2^32 sessions")
            }
        };
        self.index.insert(id, at);
        self.link(at);
    }

    /// The session was heard of. False if there is no such session, or no more.
    pub(crate) fn touch(&mut self, id: SessionId, now_ms: i64) -> bool {
        let Some(&at) = self.index.get(&id) else { return false };
        let entry = &self.entries[at as usize];
        if entry.is_closing {
            return false;
        }
        let at_ms = self.instant(now_ms, entry.timeout_ms);
        if at_ms != entry.at_ms {
            self.unlink(at);
            self.entries[at as usize].at_ms = at_ms;
            self.link(at);
        }
        true
    }

    /// The session's end has begun: it will not expire any more, nor can it be touched. False if there is
    /// no such session, or its end had begun before.
    #[cfg(test)]
    pub(crate) fn close(&mut self, id: SessionId) -> bool {
        match self.index.get(&id) {
            Some(&at) if !self.entries[at as usize].is_closing => {
                self.unlink(at);
                self.entries[at as usize].is_closing = true;
                true
            }
            _ => false,
        }
    }

    /// Forgets the session. False if there is none.
    pub(crate) fn remove(&mut self, id: SessionId) -> bool {
        let Some(at) = self.index.remove(&id) else { return false };
        if !self.entries[at as usize].is_closing {
            self.unlink(at);
        }
        self.free.push(at);
        true
    }

    /// Whether the session is alive: known, and its end has not begun.
    pub(crate) fn contains(&self, id: SessionId) -> bool {
        self.timeout(id).is_some()
    }

    /// The timeout of a session that is alive, ms.
    pub(crate) fn timeout(&self, id: SessionId) -> Option<i32> {
        let entry = &self.entries[*self.index.get(&id)? as usize];
        (!entry.is_closing).then_some(entry.timeout_ms)
    }

    /// Appends the sessions whose instant has come, by instant, then by id. They are closing from now on and
    /// are reported only once; [`Tracker::remove`] forgets them.
    pub(crate) fn expired(&mut self, now_ms: i64, out: &mut Vec<SessionId>) {
        while let Some(first) = self.instants.first_entry()
            && *first.key() <= now_ms
        {
            let start = out.len();
            let mut at = first.remove();
            while at != NIL {
                let entry = &mut self.entries[at as usize];
                entry.is_closing = true;
                out.push(entry.id);
                at = entry.next;
            }
            out[start..].sort_unstable();
        }
    }

    /// The next instant at which something expires, ms.
    #[cfg(test)]
    pub(crate) fn next_ms(&self) -> Option<i64> {
        self.instants.first_key_value().map(|(&at_ms, _)| at_ms)
    }

    /// How many sessions are known, those included whose end has begun.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// No session at all.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The instants in order, each with its sessions by id: what `dump` shows.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (i64, Vec<SessionId>)> {
        self.instants.iter().map(|(&at_ms, &first)| {
            let mut sessions = Vec::new();
            let mut at = first;
            while at != NIL {
                let entry = &self.entries[at as usize];
                sessions.push(entry.id);
                at = entry.next;
            }
            sessions.sort_unstable();
            (at_ms, sessions)
        })
    }

    fn instant(&self, now_ms: i64, timeout_ms: i32) -> i64 {
        (now_ms.saturating_add(i64::from(timeout_ms)).div_euclid(self.tick_ms) + 1).saturating_mul(self.tick_ms)
    }

    /// Puts an entry in front of the list of its instant.
    fn link(&mut self, at: u32) {
        let head = self.instants.entry(self.entries[at as usize].at_ms).or_insert(NIL);
        let next = std::mem::replace(head, at);
        (self.entries[at as usize].prev, self.entries[at as usize].next) = (NIL, next);
        if next != NIL {
            self.entries[next as usize].prev = at;
        }
    }

    fn unlink(&mut self, at: u32) {
        let Entry { prev, next, at_ms, .. } = self.entries[at as usize];
        if next != NIL {
            self.entries[next as usize].prev = prev;
        }
        if prev != NIL {
            self.entries[prev as usize].next = next;
        } else if next != NIL {
            *self.instants.get_mut(&at_ms).expect("a linked entry's instant is there") = next;
        } else {
            self.instants.remove(&at_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn expired(tracker: &mut Tracker, now_ms: i64) -> Vec<i64> {
        let mut out = vec![];
        tracker.expired(now_ms, &mut out);
        out.iter().map(|id| id.0).collect()
    }

    #[test]
    fn an_instant_is_the_next_tick_strictly_after_the_timeout() {
        let mut tracker = Tracker::new(100);
        tracker.add(SessionId(1), 300, 0); // exactly a tick: the next one
        tracker.add(SessionId(2), 250, 0);
        tracker.add(SessionId(3), 399, 0);
        assert_eq!(tracker.next_ms(), Some(300));
        assert_eq!(expired(&mut tracker, 299), Vec::<i64>::new());
        assert_eq!(expired(&mut tracker, 300), [2]);
        assert_eq!(expired(&mut tracker, 400), [1, 3]);
        assert_eq!(expired(&mut tracker, 4000), Vec::<i64>::new());
    }

    #[test]
    fn who_is_heard_of_lives_on() {
        let mut tracker = Tracker::new(100);
        tracker.add(SessionId(1), 300, 0);
        for now in (0..10_000).step_by(250) {
            assert!(tracker.touch(SessionId(1), now));
            assert_eq!(expired(&mut tracker, now), Vec::<i64>::new());
        }
        assert_eq!(expired(&mut tracker, 10_100), [1]);
    }

    #[test]
    fn the_dead_stay_dead() {
        let mut tracker = Tracker::new(10);
        tracker.add(SessionId(1), 10, 0);
        assert_eq!(tracker.timeout(SessionId(1)), Some(10));
        assert_eq!(expired(&mut tracker, 20), [1]);
        assert!(!tracker.touch(SessionId(1), 20));
        tracker.add(SessionId(1), 10, 20);
        assert!(!tracker.contains(SessionId(1)));
        assert_eq!((tracker.len(), tracker.timeout(SessionId(1))), (1, None));
        assert!(tracker.remove(SessionId(1)) && !tracker.remove(SessionId(1)));
        tracker.add(SessionId(1), 10, 20);
        assert!(tracker.close(SessionId(1)) && !tracker.close(SessionId(1)));
        assert_eq!(expired(&mut tracker, 100), Vec::<i64>::new());
        assert!(tracker.remove(SessionId(1)) && tracker.is_empty());
        assert!(!tracker.close(SessionId(1)) && !tracker.touch(SessionId(1), 0));
    }

    #[test]
    fn times_may_be_anywhere() {
        let mut tracker = Tracker::new(2000);
        tracker.add(SessionId(1), i32::MAX, i64::MAX - 5);
        tracker.add(SessionId(2), 1, -10_002);
        assert_eq!(tracker.next_ms(), Some(-10_000));
        assert_eq!(expired(&mut tracker, 0), [2]);
        assert_eq!(tracker.len(), 2);
    }

    /// What the tracker should be, as plainly as can be said: a list of sessions and deadlines.
    #[derive(Default)]
    struct Model {
        sessions: Vec<(i64, i32, Option<i64>)>,
    }

    impl Model {
        fn alive(&mut self, id: i64) -> Option<&mut (i64, i32, Option<i64>)> {
            self.sessions.iter_mut().find(|session| session.0 == id && session.2.is_some())
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Add(i64, i32),
        Touch(i64),
        Close(i64),
        Remove(i64),
        Pass(i64),
        Expire,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => (0..12i64, 0..500i32).prop_map(|(id, timeout)| Step::Add(id, timeout)),
            6 => (0..12i64).prop_map(Step::Touch),
            1 => (0..12i64).prop_map(Step::Close),
            1 => (0..12i64).prop_map(Step::Remove),
            4 => (0..150i64).prop_map(Step::Pass),
            3 => Just(Step::Expire),
        ];
        prop::collection::vec(step, 0..120)
    }

    proptest! {
        #[test]
        fn agrees_with_a_list_of_deadlines(steps in steps(), tick in 1..120i64) {
            let mut tracker = Tracker::new(tick);
            let mut model = Model::default();
            let mut now = -300;
            let deadline = |now: i64, timeout: i32| (now + i64::from(timeout)).div_euclid(tick) * tick + tick;
            for step in steps {
                match step {
                    Step::Add(id, timeout) => {
                        tracker.add(SessionId(id), timeout, now);
                        if let Some(session) = model.alive(id) {
                            *session = (id, timeout, Some(deadline(now, timeout)));
                        } else if model.sessions.iter().all(|session| session.0 != id) {
                            model.sessions.push((id, timeout, Some(deadline(now, timeout))));
                        }
                    }
                    Step::Touch(id) => {
                        let touched = model.alive(id).map(|session| session.2 = Some(deadline(now, session.1)));
                        prop_assert_eq!(tracker.touch(SessionId(id), now), touched.is_some());
                    }
                    Step::Close(id) => {
                        let closed = model.alive(id).map(|session| session.2 = None);
                        prop_assert_eq!(tracker.close(SessionId(id)), closed.is_some());
                    }
                    Step::Remove(id) => {
                        let before = model.sessions.len();
                        model.sessions.retain(|session| session.0 != id);
                        prop_assert_eq!(tracker.remove(SessionId(id)), model.sessions.len() < before);
                    }
                    Step::Pass(ms) => now += ms,
                    Step::Expire => {
                        let mut due: Vec<_> = model.sessions.iter_mut().filter(|s| s.2.is_some_and(|at| at <= now)).collect();
                        due.sort_by_key(|session| (session.2, session.0));
                        let due: Vec<i64> = due.into_iter().map(|session| { session.2 = None; session.0 }).collect();
                        prop_assert_eq!(expired(&mut tracker, now), due);
                    }
                }
                let mut buckets: BTreeMap<i64, Vec<SessionId>> = BTreeMap::new();
                for &(id, timeout, at) in &model.sessions {
                    prop_assert_eq!(tracker.timeout(SessionId(id)), at.map(|_| timeout));
                    if let Some(at) = at {
                        buckets.entry(at).or_default().push(SessionId(id));
                    }
                }
                buckets.values_mut().for_each(|sessions| sessions.sort());
                prop_assert_eq!(tracker.next_ms(), buckets.keys().next().copied());
                prop_assert_eq!(tracker.buckets().collect::<Vec<_>>(), buckets.into_iter().collect::<Vec<_>>());
                prop_assert_eq!(tracker.len(), model.sessions.len());
            }
        }
    }
}
