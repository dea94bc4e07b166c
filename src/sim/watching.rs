//! What a connection's watches must tell it, worked out from the committed transactions.
//!
//! A watch begins at the zxid of the reply that set it. From then on the transactions decide which events are due; they
//! must come in order, each once, and before any reply that shows what they tell of (I21).

use super::model::{Committed, Model, parent};
use crate::ids::Zxid;
use crate::jute::EventType;
use crate::tree::change::ChangeKind;
use std::collections::{BTreeSet, VecDeque};

/// The watches of one connection, in ZooKeeper's two tables.
#[derive(Default)]
pub struct Watching {
    data: BTreeSet<Vec<u8>>,
    child: BTreeSet<Vec<u8>>,
    persistent: BTreeSet<Vec<u8>>,
    recursive: BTreeSet<Vec<u8>>,
    /// Transactions up to here have been looked at.
    upto: Zxid,
    /// Events that have not come yet.
    due: VecDeque<Event>,
}

/// An event: of which transaction, what, where.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Event {
    /// The transaction that it tells of.
    pub zxid: Zxid,
    /// An [`EventType`] as its number on the wire.
    pub kind: i32,
    /// The watched path; of an event of the child table the parent's.
    pub path: Vec<u8>,
}

impl Watching {
    /// None, for a connection that has seen everything up to `zxid`.
    pub fn from(zxid: Zxid) -> Watching {
        Watching { upto: zxid, ..Watching::default() }
    }

    /// By exists and getData, with a reply of the zxid that was last shown.
    pub fn watch_data(&mut self, path: &[u8]) {
        self.data.insert(path.to_vec());
    }

    /// By getChildren.
    pub fn watch_children(&mut self, path: &[u8]) {
        self.child.insert(path.to_vec());
    }

    /// By addWatch.
    pub fn add(&mut self, path: &[u8], recursive: bool) {
        let set = if recursive { &mut self.recursive } else { &mut self.persistent };
        set.insert(path.to_vec());
    }

    /// A reply shows the state of `zxid`: every event up to there has come.
    pub fn shown(&mut self, model: &Model, zxid: Zxid) {
        self.advance(model, zxid);
        assert!(self.due.is_empty(), "{zxid} is shown before {:?}", self.due.front());
    }

    /// An event has come: it is the next one that is due.
    pub fn came(&mut self, model: &Model, event: &Event) {
        self.advance(model, event.zxid);
        let due = self.due.pop_front();
        assert_eq!(due.as_ref(), Some(event), "the event that is due, and the one that came");
    }

    fn advance(&mut self, model: &Model, zxid: Zxid) {
        if zxid <= self.upto {
            return;
        }
        for txn in model.between(self.upto, zxid) {
            self.fire(txn);
        }
        self.upto = zxid;
    }

    fn fire(&mut self, txn: &Committed) {
        for (kind, path) in &txn.changes {
            let event = match kind {
                ChangeKind::Created => EventType::NodeCreated,
                ChangeKind::Deleted => EventType::NodeDeleted,
                ChangeKind::DataChanged => EventType::NodeDataChanged,
            };
            let above = self.recursive.iter().any(|watched| is_at_or_above(watched, path));
            let mut told = self.data.remove(path);
            told |= self.persistent.contains(path) || above;
            if *kind == ChangeKind::Deleted {
                told |= self.child.remove(path);
            }
            if told {
                self.due.push_back(Event { zxid: txn.header.zxid, kind: event as i32, path: path.clone() });
            }
            if *kind != ChangeKind::DataChanged
                && let Some(parent) = parent(path)
            {
                let one_shot = self.child.remove(parent);
                if one_shot || self.persistent.contains(parent) {
                    let kind = EventType::NodeChildrenChanged as i32;
                    self.due.push_back(Event { zxid: txn.header.zxid, kind, path: parent.to_vec() });
                }
            }
        }
    }
}

fn is_at_or_above(watched: &[u8], path: &[u8]) -> bool {
    watched == b"/" || path == watched || (path.starts_with(watched) && path[watched.len()] == b'/')
}
