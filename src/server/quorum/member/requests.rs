//! Requests of this member's own clients while it leads or follows: each is executed now, or waits in its session's
//! queue (`session_queue`) for earlier requests.

use super::Member;
use super::forwarded_identities::auth_of;
use super::roles::Role;
use super::session_queue::{Held, Passed, Plain, SessionQueue, Syncing};
use super::upgrade::makes_ephemeral;
use crate::ids::SessionId;
use crate::jute::wire::{Reader, put_buffer};
use crate::jute::{OpCode, reply};
use crate::server::message::{Item, Response, ShardId};

impl Member {
    /// Executes a request of a session, or queues it behind the requests that it waits for.
    pub(super) fn submit(&mut self, shard: ShardId, item: &Item, what: Plain, body: &[u8]) {
        let is_own = self.is_answered_here(item.session, what, body);
        let asked = self.requests.queues.get(&item.session);
        let waits = asked.is_some_and(|asked| !asked.held.is_empty() || asked.must_wait(is_own));
        if waits || self.core.sessions.locals.is_upgrading(item.session) {
            let held = self.hold(shard, item, what, body);
            return self.requests.of(item.session).held.push_back(held);
        }
        self.execute(shard, item, what, body);
        if self.core.sessions.locals.opens() {
            // The session may have become global meanwhile, so that waiting requests can continue.
            self.resume_queue(item.session);
        }
    }

    fn hold(&self, shard: ShardId, item: &Item, what: Plain, body: &[u8]) -> Held {
        let identities = self.core.sessions.identities(item.session);
        Held { shard, conn: item.conn, xid: item.xid, what, body: body.to_vec(), identities }
    }

    /// Whether this server answers a request itself, without a transaction.
    fn is_answered_here(&self, session: SessionId, what: Plain, body: &[u8]) -> bool {
        match what {
            Plain::Ephemerals { .. } => true,
            Plain::Write(op) => self.is_local_matter(session, op, body),
            Plain::Sync => false,
        }
    }

    /// A request of the session was answered: continues those that waited for it.
    pub(super) fn resume_queue(&mut self, session: SessionId) {
        while let Some(asked) = self.requests.queues.get(&session)
            && let Some(Held { what, body, .. }) = asked.held.front()
            && !self.core.sessions.locals.is_upgrading(session)
            && !asked.must_wait(self.is_answered_here(session, *what, body))
        {
            let makes_transaction = matches!((*what, &self.role), (Plain::Write(_), Role::Leading(_)));
            // While a session's ephemerals are being deleted, they cannot be listed.
            let waits = self.core.is_under_way() || (makes_transaction && !self.core.has_room());
            if waits || !self.leader_takes() {
                self.requests.crowded.insert(session);
                return;
            }
            let asked = self.requests.queues.get_mut(&session);
            let Some(held) = asked.and_then(|asked| asked.held.pop_front()) else { return };
            let Held { shard, conn, xid, what, body, identities } = held;
            let item = Item { conn, session, xid, what: what.command(), body: 0..body.len() as u32 };
            let Some(live) = self.core.sessions.owner(shard, &item) else {
                self.core.respond(shard, conn, Response::Close);
                continue;
            };
            let now = std::mem::replace(&mut live.identities, identities);
            self.execute(shard, &item, what, &body);
            if let Some(live) = self.core.sessions.owner(shard, &item) {
                live.identities = now;
            }
        }
        if self.requests.queues.get(&session).is_some_and(SessionQueue::is_done) {
            self.requests.queues.remove(&session);
        }
    }

    /// Continues the requests that lacked only room: in the log, in the epoch, or at the leader.
    pub(super) fn resume_crowded(&mut self) {
        while !self.requests.crowded.is_empty()
            && self.may_resume()
            && let Some(session) = self.requests.crowded.pop_first()
        {
            self.resume_queue(session);
        }
    }

    fn may_resume(&self) -> bool {
        match &self.role {
            Role::Leading(leading) => leading.serves && self.core.has_room(),
            Role::Following(_) => !self.core.is_under_way() && self.leader_takes(),
            _ => false,
        }
    }

    /// A connection has ended: its queued requests are dropped.
    pub(super) fn drop_held(&mut self, shard: ShardId, item: &Item) {
        if let Some(asked) = self.requests.queues.get_mut(&item.session) {
            asked.held.retain(|held| (held.shard, held.conn) != (shard, item.conn));
            self.resume_queue(item.session);
        }
    }

    fn execute(&mut self, shard: ShardId, item: &Item, what: Plain, body: &[u8]) {
        if let Plain::Write(op) = what
            && self.core.sessions.locals.knows(item.session)
        {
            if self.is_local_matter(item.session, op, body) {
                return self.settle_local(shard, item, op, body);
            }
            if makes_ephemeral(op, body) {
                let held = self.hold(shard, item, what, body);
                match self.upgrade(item.session) {
                    true => self.requests.of(item.session).held.push_front(held),
                    false => self.core.respond(shard, item.conn, Response::Close),
                }
                return;
            }
        }
        match (what, &mut self.role) {
            (Plain::Sync, role) => {
                let path = Reader::new(body).buffer().unwrap_or_default().map(<[u8]>::to_vec);
                let tag = self.requests.next_sync;
                let bytes = match role {
                    Role::Leading(leading) => {
                        leading.syncs.push(tag);
                        Some(0)
                    }
                    Role::Following(following) => {
                        let auth = auth_of(&self.core.sessions, item.session);
                        following.sync(tag, item.session, item.xid, body, auth)
                    }
                    _ => None,
                };
                let Some(bytes) = bytes else { return self.core.respond(shard, item.conn, Response::Close) };
                self.requests.next_sync += 1;
                let Item { session, conn, xid, .. } = *item;
                self.requests.syncs.insert(tag, Syncing { session, shard, conn, xid, path, bytes });
                self.requests.of(session).syncing = true;
            }
            (Plain::Write(op), Role::Following(following)) => {
                let auth = auth_of(&self.core.sessions, item.session);
                let Some(bytes) = following.forward(item.session, item.xid, op, body, auth) else {
                    return self.core.respond(shard, item.conn, Response::Close);
                };
                let passed = Passed { xid: item.xid, conn: item.conn, bytes };
                self.requests.of(item.session).writes.push_back(passed);
            }
            (Plain::Write(OpCode::Reconfig), Role::Leading(_)) => self.reconfigure_here(shard, item, body),
            (what, _) => {
                let Item { session, conn, xid, .. } = *item;
                // `body` holds this request's bytes alone, so the range starts at 0.
                let item = Item { conn, session, xid, what: what.command(), body: 0..body.len() as u32 };
                self.core.execute(shard, &item, body);
            }
        }
    }

    /// The sync with this tag is complete.
    pub(super) fn synced(&mut self, tag: u64) {
        let Some(Syncing { session, shard, conn, xid, path, bytes }) = self.requests.syncs.remove(&tag) else { return };
        if let Role::Following(following) = &mut self.role {
            following.under_way.ended(bytes);
        }
        if let Some(asked) = self.requests.queues.get_mut(&session) {
            asked.syncing = false;
        }
        let zxid = self.core.head();
        self.core.reply(shard, conn, |out| reply::put_reply(out, xid, zxid, |out| put_buffer(out, path.as_deref())));
        self.resume_queue(session);
    }

    /// The sync with this tag was refused.
    pub(super) fn sync_refused(&mut self, tag: u64) {
        if let Some(Syncing { session, shard, conn, .. }) = self.requests.syncs.remove(&tag) {
            self.requests.queues.remove(&session);
            self.core.respond(shard, conn, Response::Close);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::bodies::{create, path_and};
    use crate::sim::cluster::Cluster;

    /// Several requests come in one batch: each is executed with its own body, on every server.
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
