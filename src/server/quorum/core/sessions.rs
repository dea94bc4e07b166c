//! The sessions of a server: which are alive, which connection each one has, and when each was last heard of.

use super::local::LocalSessions;
use crate::acl::Identities;
use crate::ids::{ConnId, SessionId};
use crate::server::message::{Item, ShardId};
use crate::session::{SessionIds, Tracker};
use crate::tree::state::State;
use hashbrown::HashMap;
use std::sync::Arc;

/// The connection of a session.
pub(crate) struct Live {
    pub shard: ShardId,
    pub conn: ConnId,
    pub identities: Arc<Identities>,
}

impl Live {
    /// A connection with these identities.
    pub(crate) fn of(shard: ShardId, conn: ConnId, identities: &Arc<Identities>) -> Live {
        Live { shard, conn, identities: identities.clone() }
    }
}

/// The sessions. See the module's text.
pub(crate) struct Sessions {
    tick_ms: i64,
    /// The sessions of the standalone server or of the whole ensemble. Only a server that decides when they expire
    /// keeps the tracker up to date.
    pub tracker: Tracker,
    /// The local sessions, which only this server knows.
    pub locals: LocalSessions,
    pub live: HashMap<SessionId, Live, ahash::RandomState>,
    ids: SessionIds,
    /// New sessions get secret passwords, and ids that say so.
    pub are_secret: bool,
    /// Up to when each shard has reported the sessions it heard of, monotonic ms.
    reported_ms: Vec<i64>,
    /// Sessions that are over and wait for their closeSession transaction.
    pub expired: Vec<SessionId>,
    expiry_not_before_ms: i64,
}

impl Sessions {
    /// The sessions of a recovered state, all just heard of. Sessions that own ephemerals but are in no session table
    /// are closed like expired ones.
    pub(crate) fn new(state: &State, ids: SessionIds, shards: usize, tick_ms: i64, now_ms: i64) -> Sessions {
        let mut sessions = Sessions {
            tick_ms,
            tracker: Tracker::new(tick_ms),
            locals: LocalSessions::new(tick_ms),
            live: HashMap::with_hasher(crate::ids::hash_state()),
            ids,
            are_secret: true,
            reported_ms: vec![now_ms; shards],
            expired: vec![],
            expiry_not_before_ms: now_ms,
        };
        sessions.track(state, now_ms);
        sessions
    }

    /// This server decides from now on which sessions expire: all sessions of the state count as just heard of.
    pub(crate) fn begin_tracking(&mut self, state: &State, now_ms: i64) {
        self.track(state, now_ms);
        self.expiry_not_before_ms = now_ms + self.tick_ms;
    }

    fn track(&mut self, state: &State, now_ms: i64) {
        self.tracker = Tracker::new(self.tick_ms);
        for (session, timeout_ms) in state.sessions() {
            self.tracker.add(session, timeout_ms, now_ms);
        }
        self.expired = state.orphaned_sessions();
    }

    /// A session id that no session has.
    pub(crate) fn new_id(&mut self, state: &State) -> SessionId {
        let mut session = self.ids.next(self.are_secret);
        while state.session_timeout_ms(session).is_some() {
            // The clock was set back across a restart: a living session has this id.
            session = self.ids.next(self.are_secret);
        }
        session
    }

    /// The live entry of the item's session, if the item comes from the session's connection. `None`: the session is
    /// over or has another connection by now, and the item's connection is to be closed.
    pub(crate) fn owner(&mut self, shard: ShardId, item: &Item) -> Option<&mut Live> {
        self.live.get_mut(&item.session).filter(|live| live.shard == shard && live.conn == item.conn)
    }

    /// The identities of a session's connection.
    pub(crate) fn identities(&self, session: SessionId) -> Arc<Identities> {
        self.live.get(&session).map(|live| live.identities.clone()).unwrap_or_default()
    }

    /// A session continues with another timeout, from now on. False: it is not alive.
    pub(crate) fn take_up(&mut self, session: SessionId, timeout_ms: i32, now_ms: i64) -> bool {
        let is_alive = self.tracker.contains(session);
        if is_alive {
            self.tracker.remove(session);
            self.tracker.add(session, timeout_ms, now_ms);
        }
        is_alive
    }

    /// A shard has heard of these sessions, and of no others up to `upto_ms`. A session that has ended meanwhile is
    /// ignored.
    pub(crate) fn touched(&mut self, shard: ShardId, sessions: &[SessionId], upto_ms: i64, now_ms: i64) {
        for session in sessions {
            self.locals.touch(*session, now_ms);
            self.tracker.touch(*session, now_ms);
        }
        self.reported_ms[shard as usize] = upto_ms;
    }

    /// The core did not run for `away_ms`, so it received no reports: no session expires before one full tick.
    pub(crate) fn was_away(&mut self, away_ms: i64, now_ms: i64) {
        self.expiry_not_before_ms = now_ms + self.tick_ms;
        self.locals.was_away(away_ms);
    }

    /// Up to this time the core knows which sessions were heard of: the last time that every shard has reported past,
    /// because a session's last sign of life may still be on its way from a shard. `None`: no session can be called
    /// silent.
    pub(crate) fn heard_upto_ms(&self, now_ms: i64) -> Option<i64> {
        let known_ms = self.reported_ms.iter().copied().min().unwrap_or(now_ms);
        (now_ms >= self.expiry_not_before_ms).then_some(known_ms.min(now_ms))
    }

    /// Notes the sessions that no shard has heard of in time as over. False: it is too early to say so of any session.
    pub(crate) fn expire(&mut self, now_ms: i64) -> bool {
        let Some(known_ms) = self.heard_upto_ms(now_ms) else { return false };
        self.tracker.expired(known_ms, &mut self.expired);
        true
    }
}
