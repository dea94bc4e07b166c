//! The messages between shards and the quorum core.
//!
//! Requests flow one way in [`Inbound`]s, one per turn of a shard's loop. Answers flow the other way as one shared,
//! append-only sequence of [`Batch`]es: a batch is published by setting the link of the last one, and a [`Cursor`] is a
//! shard's place in the sequence. A batch is freed only after every cursor has moved past it.

use crate::acl::{AclTable, Identities};
pub(crate) use crate::ids::ShardId;
use crate::ids::{ConnId, SessionId, Zxid};
use crate::jute::OpCode;
use crate::server::facts::Collect;
use crate::session::Passwords;
use crate::tree::change::Changes;
use crate::tree::store::{Reader, Store};
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock};

/// The time, as the edge reads it once per turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// Monotonic, milliseconds from an arbitrary start: the time for sessions and deadlines.
    pub mono_ms: i64,
    /// Milliseconds since 1970: the time for ctime and mtime only.
    pub wall_ms: i64,
}

/// The requests and reports of one shard for the quorum core, after one turn.
#[derive(Debug, Default)]
pub struct Inbound {
    pub(crate) shard: ShardId,
    /// The bodies of all items, one after another.
    pub(crate) bytes: Vec<u8>,
    pub(crate) items: Vec<Item>,
    /// The sessions that were heard of, if this turn reports them.
    pub(crate) touched: Option<Touched>,
}

impl Inbound {
    /// Whether there is nothing to send.
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.touched.is_none()
    }
}

/// A shard's report of which of its sessions were heard of since the last one.
#[derive(Debug)]
pub(crate) struct Touched {
    /// Everything up to this moment of the shard's monotonic clock is covered.
    pub upto_ms: i64,
    pub sessions: Vec<SessionId>,
}

/// One request for the quorum core.
#[derive(Debug)]
pub(crate) struct Item {
    pub conn: ConnId,
    pub session: SessionId,
    pub xid: i32,
    pub what: Command,
    /// Where in [`Inbound::bytes`] the request's body is.
    pub body: Range<u32>,
}

/// The kind of a request for the quorum core.
#[derive(Debug)]
pub(crate) enum Command {
    /// A write; its body has been decoded once by the shard and is well formed.
    Write(OpCode),
    /// Answered in order, once everything prepared before it is durable. The body is the path to echo.
    Sync,
    /// The session's ephemerals under a prefix (the body; a null prefix means all).
    Ephemerals { all: bool },
    /// A new session for this connection; `or_read_only`: the client accepts a read-only server.
    NewSession { timeout_ms: i32, identities: Arc<Identities>, or_read_only: bool },
    /// Resume this session; the password is right.
    Resume { timeout_ms: i32, identities: Arc<Identities>, or_read_only: bool },
    /// Resume this session; the password is wrong by the rules of this number. A member that does not serve yet may
    /// have old rules.
    WrongPassword { passwords: u64 },
    /// The connection's identities have grown.
    Identities(Arc<Identities>),
    /// The connection has ended; its session lives until it expires. `owed`: the connection had unanswered requests,
    /// and the shard is told when the core has taken them ([`Response::Gone`]).
    Disconnected { owed: bool },
    /// Every shard is to add its part to this, at one step of the sequence.
    Collect(Arc<Collect>),
    /// All parts are in: the connection of that shard that asked may be answered.
    Collected { question: Arc<Collect>, shard: ShardId },
}

/// The quorum core's output since the last batch, in order.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub elements: Vec<Element>,
    pub changes: Changes,
    /// Complete reply frames; elements say which connection gets which.
    pub replies: Vec<u8>,
    /// The last transaction in the batch, or in an earlier one if this batch has none.
    pub last_zxid: Zxid,
}

/// One step of the sequence.
#[derive(Debug)]
pub(crate) struct Element {
    /// The state after this step: the zxid of its transaction, or of the last one before it.
    pub zxid: Zxid,
    /// Which of [`Batch::changes`] belong to this step.
    pub changes: Range<u32>,
    pub answer: Option<Answer>,
}

/// The part of a step that concerns one connection.
#[derive(Debug)]
pub(crate) struct Answer {
    pub shard: ShardId,
    pub conn: ConnId,
    pub what: Response,
}

impl Answer {
    /// For a shard itself, not for one of its connections.
    pub(crate) fn to_shard(shard: ShardId, what: Response) -> Answer {
        Answer { shard, conn: ConnId::NONE, what }
    }
}

/// The kind of an answer of the quorum core.
#[derive(Debug)]
pub(crate) enum Response {
    /// The reply frame, in [`Batch::replies`], for the connection's oldest request that is in the core; after the reply
    /// to a closeSession the connection is closed.
    Reply { frame: Range<u32>, close: bool },
    /// The session has more ephemerals than the core lists: the shard searches for those with this prefix, in the state
    /// of this step. The prefix is in [`Batch::replies`].
    Ephemerals { prefix: Range<u32> },
    /// The session is open; `read_only`: only for reads, while this server finds no leader.
    Opened { session: SessionId, timeout_ms: i32, read_only: bool },
    /// There is no such session, or its password is wrong.
    Refused,
    /// The session is over or is at another connection or server: close without an answer.
    Close,
    /// The core has taken all requests of a connection that has ended.
    Gone,
    /// Add this shard's part. Goes to every shard.
    Collect(Arc<Collect>),
    /// All parts are in.
    Collected(Arc<Collect>),
    /// The server's state has been replaced by another one; every connection was closed before.
    Adopt(Adoption),
    /// How session passwords are made and checked from now on: the rules of this number. Goes to every shard.
    Passwords { number: u64, passwords: Passwords },
}

/// A new state for a shard to read, to be taken once.
pub(crate) struct Adoption(Mutex<Option<Adopted>>);

/// The parts of a state that a shard reads.
pub(crate) struct Adopted {
    pub reader: Reader,
    pub store: Store,
    pub acls: Arc<AclTable>,
}

impl Adoption {
    /// For one shard.
    pub(crate) fn new(adopted: Adopted) -> Self {
        Adoption(Mutex::new(Some(adopted)))
    }

    /// Takes the state.
    pub(crate) fn take(&self) -> Option<Adopted> {
        self.0.lock().expect("no holder panics").take()
    }
}

impl std::fmt::Debug for Adoption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Adoption")
    }
}

/// One batch in the shared sequence, linked to the next when that is published.
#[derive(Debug, Default)]
struct Link {
    batch: Batch,
    next: OnceLock<Arc<Link>>,
}

impl Drop for Link {
    /// A shard that is far behind may be the last owner of a long chain. The chain is dropped in a loop: a recursive
    /// drop would need a stack as deep as the chain is long.
    fn drop(&mut self) {
        let mut next = self.next.take();
        while let Some(link) = next {
            match Arc::try_unwrap(link) {
                Ok(mut link) => next = link.next.take(),
                Err(_) => return,
            }
        }
    }
}

/// The writing end of the sequence: the quorum core's.
pub(crate) struct Publisher {
    last: Arc<Link>,
    published: u64,
}

/// A shard's place in the sequence.
pub(crate) struct Cursor {
    at: Arc<Link>,
}

/// A batch taken from the sequence, kept alive while the shard uses it.
pub(crate) struct Taken(Arc<Link>);

impl std::ops::Deref for Taken {
    type Target = Batch;

    fn deref(&self) -> &Batch {
        &self.0.batch
    }
}

impl Publisher {
    /// A sequence with nothing in it.
    pub(crate) fn new() -> Self {
        Publisher { last: Arc::default(), published: 0 }
    }

    /// A cursor at the end of the sequence: it will see every batch published from now on.
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor { at: self.last.clone() }
    }

    /// Appends a batch; every shard that looks from now on sees it.
    pub(crate) fn publish(&mut self, batch: Batch) {
        let link = Arc::new(Link { batch, next: OnceLock::new() });
        assert!(self.last.next.set(link.clone()).is_ok(), "one publisher");
        self.last = link;
        self.published += 1;
    }

    /// How many batches were published.
    pub(crate) fn published(&self) -> u64 {
        self.published
    }
}

impl Default for Publisher {
    fn default() -> Self {
        Self::new()
    }
}

impl Cursor {
    /// Moves to the next batch and returns it, if there is one and it ends at or before `published`: a batch is
    /// linked a moment before the tree may be read at its zxid.
    pub(crate) fn advance(&mut self, published: Zxid) -> Option<Taken> {
        let next = self.at.next.get()?;
        if next.batch.last_zxid > published {
            return None;
        }
        let next = next.clone();
        self.at = next.clone();
        Some(Taken(next))
    }

    /// Whether there is a batch that is not taken in yet.
    pub(crate) fn is_behind(&self) -> bool {
        self.at.next.get().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cursor_sees_every_batch_once() {
        let mut publisher = Publisher::new();
        let mut early = publisher.cursor();
        for zxid in 1..=3 {
            publisher.publish(Batch { last_zxid: Zxid(zxid), ..Batch::default() });
        }
        let mut late = publisher.cursor();
        publisher.publish(Batch { last_zxid: Zxid(4), ..Batch::default() });
        let walk = |cursor: &mut Cursor| {
            let mut seen = vec![];
            while let Some(batch) = cursor.advance(Zxid(4)) {
                seen.push(batch.last_zxid.0);
            }
            seen
        };
        assert_eq!(walk(&mut early), [1, 2, 3, 4]);
        assert_eq!(walk(&mut late), [4]);
        assert!(!early.is_behind());
        publisher.publish(Batch { last_zxid: Zxid(5), ..Batch::default() });
        assert!(early.is_behind() && early.advance(Zxid(4)).is_none() && early.advance(Zxid(5)).is_some());
    }

    #[test]
    fn a_long_chain_is_dropped_without_recursion() {
        let mut publisher = Publisher::new();
        let laggard = publisher.cursor();
        for _ in 0..1_000_000 {
            publisher.publish(Batch::default());
        }
        drop(laggard);
    }
}
