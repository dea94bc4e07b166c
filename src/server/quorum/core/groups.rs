//! From the head of the tree to the state that readers see: transactions gather into groups, a group is one write of
//! the log, and a group that is on disk and committed is published as one [`Batch`].
//!
//! ```text
//!  prepared ──> gathering ──> in flight ──> waiting ──> published
//!               elements      one write     on disk     in the sequence
//! ```
//!
//! Zxids keep their order on the way: the last published zxid is at or below the last one on disk, and that one at or
//! below the head.

use crate::gather;
use crate::ids::Zxid;
use crate::server::message::{Answer, Batch, Element, Publisher};
use crate::storage::log::writer::{FrameWrite, LogWriter, Refused};
use crate::tree::state::Outcome;
use std::collections::VecDeque;
use std::ops::Range;

/// A transaction that did not fit the current frame, and the group before it. The transaction goes first into the next
/// frame; until then nothing more is prepared.
struct Held {
    group: Batch,
    zxid: Zxid,
    txn: Vec<u8>,
}

/// The groups on their way. See the module's text.
pub(super) struct Groups {
    pub(crate) log: LogWriter,
    pub(crate) publisher: Publisher,
    /// The last zxid given out.
    pub(crate) head: Zxid,
    /// Replies and changes of the gathering group.
    pub(crate) outcome: Outcome,
    elements: Vec<Element>,
    /// The group that is being written.
    in_flight: Option<Batch>,
    /// Groups that are on disk and not committed; on a standalone server there are none.
    waiting: VecDeque<Batch>,
    held: Option<Held>,
    /// Up to where transactions are known to be committed; a standalone server commits everything that is on disk.
    pub(crate) committed: Zxid,
    has_published: bool,
    write_since_ms: i64,
}

impl Groups {
    /// No group is on its way; everything up to `head` is durable.
    pub(crate) fn new(log: LogWriter, head: Zxid, committed: Zxid, outcome: Outcome) -> Groups {
        Groups {
            log,
            publisher: Publisher::new(),
            head,
            outcome,
            elements: vec![],
            in_flight: None,
            waiting: VecDeque::new(),
            held: None,
            committed,
            has_published: false,
            write_since_ms: 0,
        }
    }

    /// Adds a step: these changes of the gathering group, and what they mean for one connection.
    pub(crate) fn step(&mut self, changes: Range<usize>, answer: Option<Answer>) {
        let changes = changes.start as u32..changes.end as u32;
        self.elements.push(Element { zxid: self.head, changes, answer });
    }

    /// Hands the transaction in the outcome to the log. Its changes and its reply begin at `changes` and `reply`;
    /// returns where both are now.
    pub(crate) fn append(&mut self, zxid: Zxid, changes: usize, reply: usize) -> (Range<usize>, Range<u32>) {
        // The same zxid again: a request that a leading ZooKeeper could not decode.
        assert!(zxid >= self.head, "zxids go up: {zxid} behind {}", self.head);
        let before = std::mem::replace(&mut self.head, zxid);
        match self.log.append(zxid, &self.outcome.txn) {
            Ok(()) => (changes..self.outcome.changes.len(), reply as u32..self.outcome.reply.len() as u32),
            Err(Refused::Full) => {
                let (own_changes, own_reply) =
                    (self.outcome.changes.split_off(changes), self.outcome.reply.split_off(reply));
                // The part that was split off belongs to this transaction, the rest to the group: swap them.
                let group = Batch {
                    elements: std::mem::take(&mut self.elements),
                    changes: std::mem::replace(&mut self.outcome.changes, own_changes),
                    replies: std::mem::replace(&mut self.outcome.reply, own_reply),
                    last_zxid: before,
                };
                self.held = Some(Held { group, zxid, txn: std::mem::take(&mut self.outcome.txn) });
                (0..self.outcome.changes.len(), 0..self.outcome.reply.len() as u32)
            }
            Err(Refused::TooLong) => unreachable!("what is too long has been refused before"),
        }
    }

    /// The next write, if there is one and no other is in flight; and whether it carries a group. A write at the start
    /// of a segment is the segment's header and carries no transaction.
    pub(crate) fn next_write(&mut self, now_ms: i64) -> Option<(FrameWrite, bool)> {
        let write = self.log.next_write()?;
        self.write_since_ms = now_ms;
        let has_group = write.offset > 0;
        if has_group {
            assert!(self.in_flight.is_none(), "one group at a time");
            self.in_flight = Some(match self.held.take() {
                Some(Held { group, zxid, txn }) => {
                    self.log.append(zxid, &txn).expect("an empty frame holds any transaction");
                    group
                }
                None => self.take(),
            });
        }
        Some((write, has_group))
    }

    /// The write is on disk. Returns up to where the log is durable now; `None` if the write carried no group.
    pub(crate) fn written(&mut self) -> Option<Zxid> {
        let durable = self.log.written();
        let group = self.in_flight.take()?;
        assert!(group.last_zxid <= durable || self.committed < Zxid(i64::MAX), "nobody is told of what is not on disk");
        self.waiting.push_back(group);
        Some(durable)
    }

    /// For how long the present write has been in flight, ms; `None` if no write that carries a group is.
    pub(crate) fn write_takes_ms(&self, now_ms: i64) -> Option<i64> {
        self.in_flight.is_some().then(|| now_ms - self.write_since_ms)
    }

    /// For how long the last write was in flight, ms, if it ended now.
    pub(crate) fn write_took_ms(&self, now_ms: i64) -> i64 {
        now_ms - self.write_since_ms
    }

    /// The next group on disk that is committed.
    pub(crate) fn pop_committed(&mut self) -> Option<Batch> {
        self.waiting.pop_front_if(|group| group.last_zxid <= self.committed)
    }

    /// The gathered answers, if everything they depend on is durable. `shown` is the zxid that readers see.
    pub(crate) fn take_answers(&mut self, shown: Zxid) -> Option<Batch> {
        if self.is_empty() || !self.is_written() || !self.is_committed() {
            return None;
        }
        let mut batch = self.take();
        if self.head > self.committed {
            // The head is ahead of the visible zxid: this server has no role, or its role does not serve yet.
            batch.last_zxid = shown;
            batch.elements.iter_mut().for_each(|element| element.zxid = element.zxid.min(shown));
        }
        Some(batch)
    }

    fn take(&mut self) -> Batch {
        Batch {
            elements: gather::take(&mut self.elements),
            changes: self.outcome.changes.take(),
            replies: gather::take(&mut self.outcome.reply),
            last_zxid: self.head,
        }
    }

    /// Links a batch to the sequence.
    pub(crate) fn publish(&mut self, batch: Batch) {
        self.has_published = true;
        self.publisher.publish(batch);
    }

    /// Whether anything was published since the last call: shards have a new batch to read.
    pub(crate) fn take_published(&mut self) -> bool {
        std::mem::take(&mut self.has_published)
    }

    /// Whether a transaction waits for a frame.
    pub(crate) fn is_full(&self) -> bool {
        self.held.is_some()
    }

    /// Whether everything that was handed to the log is on disk.
    pub(crate) fn is_written(&self) -> bool {
        self.in_flight.is_none() && self.held.is_none() && self.log.is_idle()
    }

    /// Whether no group waits to be committed.
    pub(crate) fn is_committed(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether no step waits for a group.
    pub(crate) fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// Everything up to `shown` becomes visible without a batch of its own: steps up to there lose their changes, and
    /// steps without an answer are dropped. To be called while no client is served.
    pub(crate) fn show(&mut self, shown: Zxid) {
        let is_due = |element: &Element| element.zxid > shown || element.answer.is_some();
        let held = self.held.as_mut().map(|held| &mut held.group);
        let batches = self.waiting.iter_mut().chain(&mut self.in_flight).chain(held).map(|batch| &mut batch.elements);
        for elements in batches.chain([&mut self.elements]) {
            elements.retain(is_due);
            for element in elements.iter_mut().filter(|element| element.zxid <= shown) {
                (element.zxid, element.changes) = (shown, 0..0);
            }
        }
    }

    /// The transactions after `end` were taken back: answers that have gathered (to connections being closed) get no
    /// later zxid.
    pub(crate) fn take_back(&mut self, end: Zxid) {
        self.head = end;
        self.elements.iter_mut().for_each(|element| element.zxid = element.zxid.min(end));
    }

    /// Drops the changes and answers of groups that are on disk and not committed, and of the gathering group. Returns
    /// the answers, which no client gets.
    pub(crate) fn drop_unpublished(&mut self) -> Vec<Answer> {
        let waiting = self.waiting.drain(..).flat_map(|group| group.elements);
        let answers = waiting.chain(self.elements.drain(..)).filter_map(|element| element.answer);
        let unanswered = answers.collect();
        self.outcome.changes.truncate(0);
        self.outcome.reply.clear();
        unanswered
    }
}
