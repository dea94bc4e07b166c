//! Sessions that this server alone knows: no transaction opens or ends them, nobody else can take them up, and they are gone
//! when the server's place in its ensemble changes.
//!
//! Where an operator allows it (`localSessionsEnabled`) all new sessions are of this kind; on a member that serves reads
//! without a leader they always are. Such a session has no ephemerals: that would take a transaction to end it. One that
//! wants some becomes a session of the whole ensemble first (`localSessionsUpgradingEnabled`). (ZooKeeper 3.9:
//! `LocalSessionTracker`, `UpgradeableSessionTracker`, `LeaderSessionTracker.checkSession`.)

use crate::ids::SessionId;
use crate::session::{Tracker, has_secret};
use std::collections::BTreeMap;

/// What an operator allows, and what a leader goes by.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LocalRules {
    /// New sessions are local.
    pub opens: bool,
    /// One becomes global when it creates an ephemeral.
    pub upgrades: bool,
    /// What stands in the top byte of the ids that this server gives away.
    pub server: u8,
    /// So long a learner may still pass on requests of a session that has ended.
    pub echo_ms: i64,
}

/// The local sessions of this server.
pub(crate) struct LocalSessions {
    rules: LocalRules,
    tick_ms: i64,
    sessions: Tracker,
    /// Their createSession is with the leader, and they are of this server alone until it comes back; with their timeouts.
    upgrading: BTreeMap<SessionId, i32>,
    /// The first and the last that was given away since it knew of none, of each kind of ids.
    given: [Option<(SessionId, SessionId)>; 2],
    /// Global sessions that ended not long ago, and until when they are remembered.
    ended: BTreeMap<SessionId, i64>,
}

impl LocalSessions {
    /// None, and none are opened.
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

    /// Whether one becomes global when it creates an ephemeral.
    pub(crate) fn upgrades(&self) -> bool {
        self.rules.upgrades
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        *self = LocalSessions { rules: self.rules, ..LocalSessions::new(self.tick_ms) };
    }

    /// A new one.
    pub(crate) fn add(&mut self, session: SessionId, timeout_ms: i32, now_ms: i64) {
        self.sessions.add(session, timeout_ms, now_ms);
        let given = &mut self.given[usize::from(has_secret(session))];
        *given = Some((given.map_or(session, |(first, _)| first), session));
    }

    /// Whether this session is this server's, whatever else is known of it.
    pub(crate) fn knows(&self, session: SessionId) -> bool {
        self.sessions.contains(session) || self.is_upgrading(session)
    }

    /// Whether it was, since all were forgotten.
    pub(crate) fn gave(&self, session: SessionId) -> bool {
        self.given[usize::from(has_secret(session))].is_some_and(|(first, last)| (first..=last).contains(&session))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.sessions.len() + self.upgrading.len()
    }

    /// Whether a session that is not the ensemble's may ask for transactions: one of this server, or of another one that does
    /// not say so. A session that was the ensemble's and has just ended is not taken for such a one: what its last server
    /// had passed on would be done behind the end of its ephemerals.
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

    /// So long this server could not hear what learners have passed on.
    pub(crate) fn was_away(&mut self, ms: i64) {
        self.ended.values_mut().for_each(|until_ms| *until_ms += ms);
    }

    /// Those that ended long enough ago are forgotten.
    pub(crate) fn forget_ended(&mut self, now_ms: i64) {
        self.ended.retain(|_, until_ms| *until_ms > now_ms);
    }

    /// It is to become global: its timeout, if it is one that can.
    pub(crate) fn begin_upgrade(&mut self, session: SessionId) -> Option<i32> {
        let timeout_ms = self.sessions.timeout(session)?;
        self.sessions.remove(session);
        self.upgrading.insert(session, timeout_ms);
        Some(timeout_ms)
    }

    pub(crate) fn is_upgrading(&self, session: SessionId) -> bool {
        self.upgrading.contains_key(&session)
    }

    /// Its createSession has come: it is global from now on. False: it is not one of these.
    pub(crate) fn finish_upgrade(&mut self, session: SessionId) -> bool {
        self.upgrading.remove(&session).is_some()
    }

    /// The timeout that the leader was told, if it was.
    pub(crate) fn upgrading_timeout_ms(&self, session: SessionId) -> Option<i32> {
        self.upgrading.get(&session).copied()
    }

    /// A session is on another connection, with another timeout.
    pub(crate) fn resumed(&mut self, session: SessionId, timeout_ms: i32, now_ms: i64) {
        self.sessions.add(session, timeout_ms, now_ms);
    }

    /// It is over.
    pub(crate) fn remove(&mut self, session: SessionId) {
        self.sessions.remove(session);
    }

    /// Those that nobody has heard of in time: they are over.
    pub(crate) fn expired(&mut self, known_ms: i64) -> Vec<SessionId> {
        let mut expired = vec![];
        self.sessions.expired(known_ms, &mut expired);
        expired.iter().for_each(|session| self.remove(*session));
        expired
    }

    /// The moments of their ends, each with its sessions.
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
