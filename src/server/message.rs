//! What shards and the quorum core say to each other.
//!
//! Requests flow one way in [`Inbound`]s, one per turn of a shard's loop. Answers flow the other way as
//! one shared, append-only sequence of [`Batch`]es: publishing is setting the link of the last one, and
//! a [`Cursor`] holds a shard's place. Nothing is freed before every cursor has moved past it.

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
    /// Monotonic, milliseconds from an arbitrary start. Sessions live by it.
    pub mono_ms: i64,
    /// Milliseconds since 1970. Only ctime and mtime show it.
    pub wall_ms: i64,
}

/// What one shard has for the quorum core after one turn.
#[derive(Debug, Default)]
pub struct Inbound {
    pub shard: ShardId,
    /// The bodies of all items, one after another.
    pub bytes: Vec<u8>,
    pub items: Vec<Item>,
    /// Sessions that were heard of, when this turn reports them.
    pub touched: Option<Touched>,
}

impl Inbound {
    /// Nothing to send.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty() && self.touched.is_none()
    }
}

/// A shard's report of which of its sessions were heard of since the last one.
#[derive(Debug)]
pub struct Touched {
    /// Everything up to this moment of the shard's monotonic clock is covered.
    pub upto_ms: i64,
    pub sessions: Vec<SessionId>,
}

/// One request for the quorum core.
#[derive(Debug)]
pub struct Item {
    pub conn: ConnId,
    pub session: SessionId,
    pub xid: i32,
    pub what: Command,
    /// Where in [`Inbound::bytes`] the request's body lies.
    pub body: Range<u32>,
}

/// What is asked of the quorum core.
#[derive(Debug)]
pub enum Command {
    /// A write; its body has been decoded once by the shard and is well formed.
    Write(OpCode),
    /// Answered in order, once everything prepared before it is durable. The body is the path to echo.
    Sync,
    /// The session's ephemerals under a prefix (the body; a null prefix means all).
    Ephemerals { all: bool },
    /// A new session for this connection; `or_read_only`: one that reads is enough for it.
    NewSession { timeout_ms: i32, identities: Arc<Identities>, or_read_only: bool },
    /// This session again, the password has been found right.
    Resume { timeout_ms: i32, identities: Arc<Identities>, or_read_only: bool },
    /// The session again, and the password has been found wrong, by the rules of this number. A member that does not serve yet
    /// may not have heard what is right.
    WrongPassword { passwords: u64 },
    /// The connection's identities have grown.
    Identities(Arc<Identities>),
    /// The connection has ended; its session lives on until it expires. `owed`: it has asked for what was not answered, and
    /// the shard is to be told when that is taken up ([`Response::Gone`]).
    Disconnected { owed: bool },
    /// Every shard shall put its part into this, in step with the sequence.
    Collect(Arc<Collect>),
    /// Every part is there: the connection that asked, on that shard, may be answered.
    Collected { question: Arc<Collect>, shard: ShardId },
}

/// What the quorum core publishes: what happened, in order, since the last batch.
#[derive(Debug, Default)]
pub struct Batch {
    pub elements: Vec<Element>,
    pub changes: Changes,
    /// Reply frames, complete; elements say whose.
    pub replies: Vec<u8>,
    /// The last transaction in it, or of an earlier batch if it has none.
    pub last_zxid: Zxid,
}

/// One step of the sequence.
#[derive(Debug)]
pub struct Element {
    /// The state the server is in once this step is taken: the transaction's own zxid, or the last one's.
    pub zxid: Zxid,
    /// Which of [`Batch::changes`] it made.
    pub changes: Range<u32>,
    pub answer: Option<Answer>,
}

/// What a step means for one connection.
#[derive(Debug)]
pub struct Answer {
    pub shard: ShardId,
    pub conn: ConnId,
    pub what: Response,
}

impl Answer {
    /// For a shard itself, and none of its connections.
    pub(crate) fn to_shard(shard: ShardId, what: Response) -> Answer {
        Answer { shard, conn: ConnId { slot: u32::MAX, generation: 0 }, what }
    }
}

/// What the quorum core tells a connection.
#[derive(Debug)]
pub enum Response {
    /// The reply frame of the oldest request it awaits, in [`Batch::replies`]; after the reply to a
    /// closeSession the connection is closed.
    Reply { frame: Range<u32>, close: bool },
    /// The session has more ephemerals than the core lists by itself: the shard looks for those with this prefix, in
    /// [`Batch::replies`], in the state of this step.
    Ephemerals { prefix: Range<u32> },
    /// The session is established; `read_only`: for reads, as long as this server finds no leader.
    Opened { session: SessionId, timeout_ms: i32, read_only: bool },
    /// No such session.
    Refused,
    /// The session is over or lives elsewhere: close without a word.
    Close,
    /// All that a connection had asked for when it ended has been taken up.
    Gone,
    /// Deposit a part. Goes to every shard.
    Collect(Arc<Collect>),
    /// All parts are in.
    Collected(Arc<Collect>),
    /// The server's state has been replaced by another one; every connection was closed before.
    Adopt(Adoption),
    /// How passwords of sessions are made and checked from here on, for the `number`th time. Goes to every shard.
    Passwords { number: u64, passwords: Passwords },
}

/// Another state for a shard to read, to be taken once.
pub struct Adoption(Mutex<Option<Adopted>>);

/// What a shard reads.
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

    /// Takes it.
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
    /// A shard that fell far behind may be the last holder of a long chain: taken apart in a loop, as
    /// dropping it link within link would need a stack as deep as the chain is long.
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
pub struct Cursor {
    at: Arc<Link>,
}

/// A batch taken from the sequence, kept alive while it is looked at.
pub struct Taken(Arc<Link>);

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

    /// A place at the end of the sequence: it will see every batch published from now on.
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

    /// How many batches there were.
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
    pub fn advance(&mut self, published: Zxid) -> Option<Taken> {
        let next = self.at.next.get()?;
        if next.batch.last_zxid > published {
            return None;
        }
        let next = next.clone();
        self.at = next.clone();
        Some(Taken(next))
    }

    /// Whether there is a batch not taken in yet.
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
