//! What a session has under way in an ensemble: so that its replies leave in the order of its requests.
//!
//! Most of what a session asks for is answered by a transaction, and transactions come in order. A sync, and on a follower
//! the list of a session's ephemerals or what concerns a session of this server alone, are not: the latter wait for the
//! writes before them, and behind a sync, or a session that is becoming a global one, everything waits.

use super::upgrade::makes_ephemeral;
use super::{Ensemble, Role, Syncing};
use crate::acl::Identities;
use crate::ids::{ConnId, SessionId};
use crate::jute::wire::{Reader, put_buffer};
use crate::jute::{OpCode, reply};
use crate::server::message::{Ask, Item, ShardId, Tell};
use crate::server::quorum::Quorum;
use std::collections::VecDeque;
use std::sync::Arc;

/// What a session waits for.
#[derive(Default)]
pub(super) struct Asked {
    /// Its writes that the leader has, in order.
    pub writes: VecDeque<Passed>,
    /// A sync is under way.
    syncing: bool,
    /// What waits for that, or for the writes.
    held: VecDeque<Held>,
}

/// A write that was passed on to the leader.
#[derive(Clone, Copy)]
pub(super) struct Passed {
    pub xid: i32,
    /// Whose request it is.
    pub conn: ConnId,
    /// What it comes to while it is under way.
    pub bytes: usize,
}

struct Held {
    shard: ShardId,
    conn: ConnId,
    xid: i32,
    what: Plain,
    body: Vec<u8>,
    /// Who its client was when it asked: what it says of itself later does not count for this.
    identities: Arc<Identities>,
}

/// A request of a session, without what only new sessions need.
#[derive(Clone, Copy)]
pub(super) enum Plain {
    Write(OpCode),
    Sync,
    Ephemerals { all: bool },
}

impl Plain {
    pub(super) fn of(ask: &Ask) -> Option<Plain> {
        match ask {
            Ask::Write(op) => Some(Plain::Write(*op)),
            Ask::Sync => Some(Plain::Sync),
            Ask::Ephemerals { all } => Some(Plain::Ephemerals { all: *all }),
            _ => None,
        }
    }

    fn ask(self) -> Ask {
        match self {
            Plain::Write(op) => Ask::Write(op),
            Plain::Sync => Ask::Sync,
            Plain::Ephemerals { all } => Ask::Ephemerals { all },
        }
    }
}

impl Quorum {
    /// A request of a session: carried out now, or when what it waits for has come.
    pub(super) fn ask(&mut self, ensemble: &mut Ensemble, shard: ShardId, item: &Item, what: Plain, body: &[u8]) {
        let is_own = self.is_answered_here(item.session, what, body);
        let asked = ensemble.asked.get(&item.session);
        let waits = asked.is_some_and(|asked| !asked.held.is_empty() || asked.must_wait(is_own));
        if waits || self.locals.is_upgrading(item.session) {
            let held = self.hold(shard, item, what, body);
            return ensemble.asked.entry(item.session).or_default().held.push_back(held);
        }
        self.carry_out_asked(ensemble, shard, item, what, body);
        if self.locals.opens() {
            // It may have become a global one, for what has only now to be done.
            self.ask_on(ensemble, item.session);
        }
    }

    fn hold(&self, shard: ShardId, item: &Item, what: Plain, body: &[u8]) -> Held {
        let identities = self.live.get(&item.session).map(|live| live.identities.clone()).unwrap_or_default();
        Held { shard, conn: item.conn, xid: item.xid, what, body: body.to_vec(), identities }
    }

    /// Whether a request is answered by this server, and not by a transaction.
    fn is_answered_here(&self, session: SessionId, what: Plain, body: &[u8]) -> bool {
        match what {
            Plain::Ephemerals { .. } => true,
            Plain::Write(op) => self.is_local_matter(session, op, body),
            Plain::Sync => false,
        }
    }

    /// Something that the session waited for has come.
    pub(super) fn ask_on(&mut self, ensemble: &mut Ensemble, session: SessionId) {
        while let Some(asked) = ensemble.asked.get(&session)
            && let Some(Held { what, body, .. }) = asked.held.front()
            && !self.locals.is_upgrading(session)
            && !asked.must_wait(self.is_answered_here(session, *what, body))
        {
            let makes_transaction = matches!((*what, &ensemble.role), (Plain::Write(_), Role::Leading(_)));
            // The list of a session's ephemerals is none while they are being deleted.
            let waits = self.under_way.is_some() || (makes_transaction && !self.has_room());
            if waits || !ensemble.leader_takes() {
                ensemble.crowded.insert(session);
                return;
            }
            let asked = ensemble.asked.get_mut(&session);
            let Some(held) = asked.and_then(|asked| asked.held.pop_front()) else { return };
            let Held { shard, conn, xid, what, body, identities } = held;
            let item = Item { conn, session, xid, what: what.ask(), body: 0..body.len() as u32 };
            let Some(live) = self.owner(shard, &item) else {
                self.tell(shard, conn, Tell::Close);
                continue;
            };
            let now = std::mem::replace(&mut live.identities, identities);
            self.carry_out_asked(ensemble, shard, &item, what, &body);
            if let Some(live) = self.owner(shard, &item) {
                live.identities = now;
            }
        }
        if ensemble.asked.get(&session).is_some_and(Asked::is_done) {
            ensemble.asked.remove(&session);
        }
    }

    /// Goes on with writes for which nothing but room in the log or at the leader, or a number, was lacking.
    pub(super) fn ask_on_crowded(&mut self, ensemble: &mut Ensemble) {
        while !ensemble.crowded.is_empty()
            && self.may_ask_on(ensemble)
            && let Some(session) = ensemble.crowded.pop_first()
        {
            self.ask_on(ensemble, session);
        }
    }

    fn may_ask_on(&self, ensemble: &Ensemble) -> bool {
        match &ensemble.role {
            Role::Leading(leading) => leading.serves() && self.has_room(),
            Role::Following(_) => self.under_way.is_none() && ensemble.leader_takes(),
            _ => false,
        }
    }

    /// A connection has ended: what it asked for and was not passed on is not carried out any more.
    pub(super) fn drop_held(&mut self, ensemble: &mut Ensemble, shard: ShardId, item: &Item) {
        if let Some(asked) = ensemble.asked.get_mut(&item.session) {
            asked.held.retain(|held| (held.shard, held.conn) != (shard, item.conn));
            self.ask_on(ensemble, item.session);
        }
    }

    fn carry_out_asked(&mut self, ensemble: &mut Ensemble, shard: ShardId, item: &Item, what: Plain, body: &[u8]) {
        if let Plain::Write(op) = what
            && self.locals.knows(item.session)
        {
            if self.is_local_matter(item.session, op, body) {
                return self.settle_local(shard, item, op, body);
            }
            if makes_ephemeral(op, body) {
                let held = self.hold(shard, item, what, body);
                match self.upgrade(ensemble, item.session) {
                    true => ensemble.asked.entry(item.session).or_default().held.push_front(held),
                    false => self.tell(shard, item.conn, Tell::Close),
                }
                return;
            }
        }
        match (what, &mut ensemble.role) {
            (Plain::Sync, role) => {
                let path = Reader::new(body).buffer().unwrap_or_default().map(<[u8]>::to_vec);
                let tag = ensemble.next_sync;
                let bytes = match role {
                    Role::Leading(leading) => {
                        leading.wants_sync(tag);
                        Some(0)
                    }
                    Role::Following(following) => {
                        let auth = self.auth_of(item.session);
                        following.sync(tag, item.session, item.xid, body, auth)
                    }
                    _ => None,
                };
                let Some(bytes) = bytes else { return self.tell(shard, item.conn, Tell::Close) };
                ensemble.next_sync += 1;
                let Item { session, conn, xid, .. } = *item;
                ensemble.syncs.insert(tag, Syncing { session, shard, conn, xid, path, bytes });
                ensemble.asked.entry(session).or_default().syncing = true;
            }
            (Plain::Write(op), Role::Following(following)) => {
                let auth = self.auth_of(item.session);
                let Some(bytes) = following.forward(item.session, item.xid, op, body, auth) else {
                    return self.tell(shard, item.conn, Tell::Close);
                };
                let passed = Passed { xid: item.xid, conn: item.conn, bytes };
                ensemble.asked.entry(item.session).or_default().writes.push_back(passed);
            }
            (Plain::Write(OpCode::Reconfig), Role::Leading(_)) => self.reconfigure_here(ensemble, shard, item, body),
            (what, _) => {
                let Item { session, conn, xid, .. } = *item;
                // Where the body lies among the bytes of a batch is no matter here.
                let item = Item { conn, session, xid, what: what.ask(), body: 0..body.len() as u32 };
                self.lone_item(shard, &item, body);
            }
        }
    }

    /// The sync of this tag has come through.
    pub(super) fn synced(&mut self, ensemble: &mut Ensemble, tag: u64) {
        let Some(Syncing { session, shard, conn, xid, path, bytes }) = ensemble.syncs.remove(&tag) else { return };
        if let Role::Following(following) = &mut ensemble.role {
            following.under_way.ended(bytes);
        }
        if let Some(asked) = ensemble.asked.get_mut(&session) {
            asked.syncing = false;
        }
        let zxid = self.zxid;
        self.reply(shard, conn, |out| reply::put_reply(out, xid, zxid, |out| put_buffer(out, path.as_deref())));
        self.ask_on(ensemble, session);
    }

    /// The sync of this tag was not taken.
    pub(super) fn sync_refused(&mut self, ensemble: &mut Ensemble, tag: u64) {
        if let Some(Syncing { session, shard, conn, .. }) = ensemble.syncs.remove(&tag) {
            ensemble.asked.remove(&session);
            self.tell(shard, conn, Tell::Close);
        }
    }
}

impl Asked {
    /// `is_own`: it is answered by this server.
    fn must_wait(&self, is_own: bool) -> bool {
        self.syncing || (is_own && !self.writes.is_empty())
    }

    fn is_done(&self) -> bool {
        self.writes.is_empty() && !self.syncing && self.held.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::bodies::{create, path_and};
    use crate::sim::cluster::Cluster;

    /// Several requests that come in one batch: each is carried out with its own body, by whomever it was sent to.
    #[test]
    fn requests_of_one_batch_keep_their_bodies() {
        let mut cluster = Cluster::new(3, 7);
        (0..3).for_each(|place| cluster.start(place));
        assert!(cluster.run(10_000, |cluster| (0..3).all(|place| cluster.serves(place))));
        for place in 0..3 {
            let server = cluster.server(place).unwrap();
            let conn = server.accept(SessionId::NONE, 2000, 0);
            cluster.act(place);
            assert!(cluster.run(2_000, |cluster| !cluster.server(place).unwrap().output(conn).is_empty()));
            let paths: Vec<String> = (0..4).map(|n| format!("/place-{place}-{}", "x".repeat(n * 9))).collect();
            let server = cluster.server(place).unwrap();
            for (n, path) in paths.iter().enumerate() {
                server.request(conn, 2 * n as i32, OpCode::Create, &create(path.as_bytes(), path.as_bytes(), 0));
                server.request(conn, 2 * n as i32 + 1, OpCode::GetData, &path_and(path.as_bytes(), false));
            }
            cluster.act(place);
            let mut frames = vec![];
            assert!(cluster.run(2_000, |cluster| {
                frames.extend(cluster.server(place).unwrap().frames(conn));
                frames.len() == 8
            }));
            for (n, (pair, path)) in frames.chunks(2).zip(&paths).enumerate() {
                let [(xid, _, created, name), (_, _, read, data)] = pair else { panic!("a pair") };
                assert_eq!((*xid, *created, *read), (2 * n as i32, 0, 0));
                assert!(name.ends_with(path.as_bytes()) && data[4..].starts_with(path.as_bytes()));
            }
        }
    }
}
