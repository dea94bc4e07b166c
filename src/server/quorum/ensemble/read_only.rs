//! A member that finds no leader and serves reads, to clients that say that this is enough for them
//! (`readonlymode.enabled`).
//!
//! What it shows is what it knows to be committed, and stands still. Sessions are its own: no transaction opens them, nobody
//! else knows them, and they end with the search for a leader, when all connections are closed. (ZooKeeper 3.9:
//! `ReadOnlyZooKeeperServer`, `ReadOnlyRequestProcessor`; there a session can only be opened where local sessions are
//! enabled, and the end of the log is shown that may not be committed.)

use super::{Ensemble, Role};
use crate::ids::{SessionId, Zxid};
use crate::jute::wire::put_int;
use crate::jute::{ErrorCode, OpCode, reply};
use crate::server::message::{Ask, Item, ShardId, Tell};
use crate::server::quorum::{Live, Quorum};
use crate::session::Tracker;

/// The sessions of readers.
pub(super) struct ReadOnly {
    sessions: Tracker,
    /// The first and the last that was given away.
    given: Option<(SessionId, SessionId)>,
}

impl ReadOnly {
    fn gave(&self, session: SessionId) -> bool {
        self.given.is_some_and(|(first, last)| (first..=last).contains(&session))
    }
}

impl Quorum {
    /// Time has passed, and no leader was found: reads are served from a certain time on, sessions of readers expire.
    pub(super) fn tick_looking(&mut self, ensemble: &mut Ensemble) {
        let now = self.clock.mono_ms;
        let Some(reading) = &mut ensemble.read_only else { return self.begin_reading(ensemble) };
        if now < self.expiry_not_before_ms {
            return;
        }
        let known_ms = self.reported_ms.iter().copied().min().unwrap_or(now);
        let mut expired = vec![];
        reading.sessions.expired(known_ms.min(now), &mut expired);
        for session in expired {
            tracing::info!(%session, "a reader's session expired");
            reading.sessions.remove(session);
            if let Some(live) = self.live.remove(&session) {
                self.tell(live.shard, live.conn, Tell::Close);
            }
        }
    }

    fn begin_reading(&mut self, ensemble: &mut Ensemble) {
        let is_time = ensemble
            .options
            .roles
            .read_only_after_ms
            .is_some_and(|after_ms| self.clock.mono_ms - ensemble.looks_since_ms >= after_ms);
        let shown = self.state.store().published();
        // A server that knows of nothing committed has nothing to show: an empty tree would be a lie.
        if is_time && shown > Zxid::ZERO {
            tracing::warn!(zxid = %shown, "no leader is found: reads are served to clients that ask for no more");
            ensemble.read_only = Some(ReadOnly { sessions: Tracker::new(self.options.tick_ms), given: None });
            self.tell_place(ensemble);
        }
    }

    /// The search is over, and with it the sessions of readers.
    pub(super) fn end_reading(&mut self, ensemble: &mut Ensemble) {
        if ensemble.read_only.take().is_some() {
            self.dismiss_clients(vec![]);
        }
    }

    /// Shards have heard of these sessions.
    pub(super) fn touched_reading(&mut self, ensemble: &mut Ensemble, sessions: &[SessionId]) {
        if let Some(reading) = &mut ensemble.read_only {
            for session in sessions {
                reading.sessions.touch(*session, self.clock.mono_ms);
            }
        }
    }

    /// One item from a shard of a member that looks for a leader.
    pub(super) fn reading_item(&mut self, ensemble: &mut Ensemble, shard: ShardId, item: &Item) {
        let (conn, session, now) = (item.conn, item.session, self.clock.mono_ms);
        let is_owner = self.owner(shard, item).is_some();
        let (Role::Looking, Some(reading)) = (&ensemble.role, &mut ensemble.read_only) else {
            return self.tell(shard, conn, Tell::Close);
        };
        match &item.what {
            Ask::NewSession { timeout_ms, identities, or_read_only: true } => {
                let session = self.new_session();
                reading.sessions.add(session, *timeout_ms, now);
                reading.given = Some((reading.given.map_or(session, |(first, _)| first), session));
                let live = Live { shard, conn, identities: identities.clone() };
                self.speak_for(session, *timeout_ms, live, true);
            }
            // One of the ensemble's own is not judged by a server that may be behind: its client asks elsewhere, and has it
            // still when there is a leader again.
            Ask::Resume { timeout_ms, identities, or_read_only: true }
                if reading.gave(session) && self.state.session_timeout_ms(session).is_none() =>
            {
                if !reading.sessions.contains(session) {
                    return self.tell(shard, conn, Tell::Refused);
                }
                reading.sessions.add(session, *timeout_ms, now);
                let live = Live { shard, conn, identities: identities.clone() };
                self.speak_for(session, *timeout_ms, live, true);
            }
            Ask::Write(OpCode::CloseSession) if is_owner => {
                reading.sessions.remove(session);
                self.live.remove(&session);
                self.answer_reader(shard, item, true, |out, zxid| {
                    reply::put_bare(out, item.xid, zxid, ErrorCode::Ok);
                });
            }
            Ask::Write(_) | Ask::Sync if is_owner => self.answer_reader(shard, item, false, |out, zxid| {
                reply::put_bare(out, item.xid, zxid, ErrorCode::NotReadOnly);
            }),
            // It has none.
            Ask::Ephemerals { .. } if is_owner => self.answer_reader(shard, item, false, |out, zxid| {
                reply::put_reply(out, item.xid, zxid, |out| put_int(out, 0));
            }),
            _ => self.tell(shard, conn, Tell::Close),
        }
    }

    /// Tells a reader what `put` writes, at the zxid of what it sees.
    fn answer_reader(&mut self, shard: ShardId, item: &Item, close: bool, put: impl FnOnce(&mut Vec<u8>, Zxid)) {
        let start = self.outcome.reply.len() as u32;
        put(&mut self.outcome.reply, self.state.store().published());
        let frame = start..self.outcome.reply.len() as u32;
        self.tell(shard, item.conn, Tell::Reply { frame, close });
    }
}
