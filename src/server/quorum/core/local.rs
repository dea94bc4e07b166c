//! Local sessions: only this server knows them. No transaction opens or ends them, no other server can resume them, and
//! they end when the server's role changes.
//!
//! Where an operator allows it (`localSessionsEnabled`) all new sessions are of this kind; on a member that serves
//! reads without a leader they always are. A local session has no ephemerals: ending it would then need a transaction.
//! A local session that creates an ephemeral becomes a session of the whole ensemble first
//! (`localSessionsUpgradingEnabled`). (ZooKeeper 3.9: `LocalSessionTracker`, `UpgradeableSessionTracker`,
//! `LeaderSessionTracker.checkSession`.)

use crate::ids::SessionId;
use crate::session::{Tracker, has_secret};
use std::collections::BTreeMap;

/// The operator's rules for local sessions, and what a leader needs to recognise those of other servers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LocalRules {
    /// New sessions are local.
    pub opens: bool,
    /// A local session becomes global when it creates an ephemeral.
    pub upgrades: bool,
    /// The top byte of the session ids that this server gives out.
    pub server: u8,
    /// How long a learner may still forward requests of an ended session, ms.
    pub echo_ms: i64,
}

/// The local sessions of this server.
pub(crate) struct LocalSessions {
    rules: LocalRules,
    tick_ms: i64,
    sessions: Tracker,
    /// Sessions whose createSession is at the leader, with their timeouts. They stay local until the createSession
    /// comes back.
    upgrading: BTreeMap<SessionId, i32>,
    /// For each kind of id, the first and the last id given out since the table was last empty.
    given: [Option<(SessionId, SessionId)>; 2],
    /// Global sessions that ended a short time ago, and until when each is remembered, monotonic ms.
    ended: BTreeMap<SessionId, i64>,
}

impl LocalSessions {
    /// An empty table; no local sessions are opened until [`LocalSessions::set_rules`] allows it.
    pub(crate) fn new(tick_ms: i64) -> LocalSessions {
        LocalSessions {
            rules: LocalRules::default(),
            tick_ms,
            sessions: Tracker::new(tick_ms),
            upgrading: BTreeMap::new(),
            given: [None; 2],
            ended: BTreeMap::new(),
        }
    }

    pub(crate) fn set_rules(&mut self, rules: LocalRules) {
        self.rules = rules;
    }

    /// Whether new sessions are local.
    pub(crate) fn opens(&self) -> bool {
        self.rules.opens
    }

    /// Whether a local session becomes global when it creates an ephemeral.
    pub(crate) fn upgrades(&self) -> bool {
        self.rules.upgrades
    }

    /// Forgets all sessions; the rules stay.
    pub(crate) fn clear(&mut self) {
        *self = LocalSessions { rules: self.rules, ..LocalSessions::new(self.tick_ms) };
    }

    /// Adds a new local session.
    pub(crate) fn add(&mut self, session: SessionId, timeout_ms: i32, now_ms: i64) {
        self.sessions.add(session, timeout_ms, now_ms);
        let given = &mut self.given[usize::from(has_secret(session))];
        *given = Some((given.map_or(session, |(first, _)| first), session));
    }

    /// Whether this is a local session of this server, upgrading or not.
    pub(crate) fn knows(&self, session: SessionId) -> bool {
        self.sessions.contains(session) || self.is_upgrading(session)
    }

    /// Whether this server gave out the id since it last forgot all sessions.
    pub(crate) fn gave(&self, session: SessionId) -> bool {
        self.given[usize::from(has_secret(session))].is_some_and(|(first, last)| (first..=last).contains(&session))
    }

    /// How many local sessions there are.
    pub(crate) fn len(&self) -> usize {
        self.sessions.len() + self.upgrading.len()
    }

    /// Whether a session that the ensemble does not know may ask for transactions: a local session of this server, or,
    /// it is assumed, of another one. A session of the ensemble that has just ended may not: a request forwarded by its
    /// last server would be executed after its ephemerals were deleted.
    pub(crate) fn may_ask(&self, session: SessionId) -> bool {
        let is_of_another = (session.0 as u64 >> 56) as u8 != self.rules.server && !self.ended.contains_key(&session);
        self.rules.opens && (is_of_another || self.sessions.contains(session))
    }

    /// A session of the ensemble is over.
    pub(crate) fn ended(&mut self, session: SessionId, now_ms: i64) {
        if self.rules.opens {
            self.ended.insert(session, now_ms + self.rules.echo_ms);
        }
    }

    /// For `ms` this server did not run, and could not receive what learners forwarded.
    pub(crate) fn was_away(&mut self, ms: i64) {
        self.ended.values_mut().for_each(|until_ms| *until_ms += ms);
    }

    /// Forgets sessions that ended long enough ago.
    pub(crate) fn forget_ended(&mut self, now_ms: i64) {
        self.ended.retain(|_, until_ms| *until_ms > now_ms);
    }

    /// Begins to make a session global. Returns its timeout, ms; `None` if it is no local session, or is upgrading
    /// already.
    pub(crate) fn begin_upgrade(&mut self, session: SessionId) -> Option<i32> {
        let timeout_ms = self.sessions.timeout(session)?;
        self.sessions.remove(session);
        self.upgrading.insert(session, timeout_ms);
        Some(timeout_ms)
    }

    pub(crate) fn is_upgrading(&self, session: SessionId) -> bool {
        self.upgrading.contains_key(&session)
    }

    /// The session's createSession has come: it is global from now on. False: it was not upgrading.
    pub(crate) fn finish_upgrade(&mut self, session: SessionId) -> bool {
        self.upgrading.remove(&session).is_some()
    }

    /// The timeout in an upgrading session's createSession, ms; `None` if it is not upgrading.
    pub(crate) fn upgrading_timeout_ms(&self, session: SessionId) -> Option<i32> {
        self.upgrading.get(&session).copied()
    }

    /// A session is on another connection, with another timeout.
    pub(crate) fn resumed(&mut self, session: SessionId, timeout_ms: i32, now_ms: i64) {
        self.sessions.add(session, timeout_ms, now_ms);
    }

    /// The session is over.
    pub(crate) fn remove(&mut self, session: SessionId) {
        self.sessions.remove(session);
    }

    /// Removes and returns the sessions that no shard has heard of in time.
    pub(crate) fn expired(&mut self, known_ms: i64) -> Vec<SessionId> {
        let mut expired = vec![];
        self.sessions.expired(known_ms, &mut expired);
        expired.iter().for_each(|session| self.remove(*session));
        expired
    }

    /// The times at which sessions expire, each with its sessions.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (i64, Vec<SessionId>)> {
        self.sessions.buckets()
    }

    pub(crate) fn touch(&mut self, session: SessionId, now_ms: i64) {
        self.sessions.touch(session, now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions(rules: LocalRules) -> LocalSessions {
        let mut sessions = LocalSessions::new(100);
        sessions.set_rules(rules);
        sessions
    }

    fn of_server(server: i64) -> SessionId {
        SessionId(server << 56 | 7)
    }

    /// Ids of the two kinds come from one counter, and one kind lies below the other.
    #[test]
    fn what_was_given_away_is_known_of_both_kinds() {
        let (secret, other) = (SessionId(0x0140_0000_0000_0007), SessionId(0x0180_0000_0000_0008));
        let mut sessions = sessions(LocalRules { opens: true, ..LocalRules::default() });
        sessions.add(other, 1000, 0);
        sessions.add(secret, 1000, 0);
        assert!(sessions.gave(secret) && sessions.gave(other));
        assert!(!sessions.gave(SessionId(other.0 - 1)) && !sessions.gave(SessionId(secret.0 + 1)));
    }

    #[test]
    fn a_leader_takes_a_session_it_does_not_know_for_another_servers() {
        let rules = LocalRules { opens: true, server: 0x83, echo_ms: 1000, ..LocalRules::default() };
        let mut sessions = sessions(rules);
        assert!(sessions.may_ask(of_server(1)) && sessions.may_ask(of_server(0x84)));
        assert!(!sessions.may_ask(of_server(0x83)), "one of its own it would know");
        sessions.add(of_server(0x83), 1000, 0);
        assert!(sessions.may_ask(of_server(0x83)));
        assert!(!LocalSessions::new(100).may_ask(of_server(1)), "where there are none");
    }

    #[test]
    fn a_session_that_was_global_is_no_local_one_right_behind_its_end() {
        let mut sessions = sessions(LocalRules { opens: true, server: 1, echo_ms: 1000, ..LocalRules::default() });
        sessions.ended(of_server(2), 500);
        sessions.forget_ended(1499);
        assert!(!sessions.may_ask(of_server(2)) && sessions.may_ask(of_server(3)));
        sessions.was_away(700);
        sessions.forget_ended(2199);
        assert!(!sessions.may_ask(of_server(2)));
        sessions.forget_ended(2200);
        assert!(sessions.may_ask(of_server(2)) && sessions.ended.is_empty());
        let mut off = LocalSessions::new(100);
        off.ended(of_server(2), 0);
        assert!(off.ended.is_empty(), "nothing is remembered for nothing");
    }

    #[test]
    fn a_session_is_upgraded_once_and_known_meanwhile() {
        let mut sessions = sessions(LocalRules { opens: true, upgrades: true, ..LocalRules::default() });
        let session = of_server(1);
        sessions.add(session, 700, 0);
        assert_eq!((sessions.begin_upgrade(session), sessions.begin_upgrade(session)), (Some(700), None));
        assert!(sessions.knows(session) && sessions.is_upgrading(session) && sessions.gave(session));
        let mut expired = vec![];
        sessions.sessions.expired(10_000, &mut expired);
        assert_eq!((expired.len(), sessions.len()), (0, 1), "who is to be global does not end here");
        assert!(sessions.finish_upgrade(session) && !sessions.finish_upgrade(session));
        assert!(!sessions.knows(session));
        sessions.add(session, 700, 0);
        sessions.clear();
        assert!(!sessions.knows(session) && !sessions.gave(session) && sessions.opens());
    }
}
