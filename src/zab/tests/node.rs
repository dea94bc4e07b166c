//! A server of the simulated ensemble: its role, its disk, and the connections between servers.

use crate::ids::Zxid;
use crate::zab::epochs::Epochs;
use crate::zab::history::{History, HistoryLimits, Txn};
use crate::zab::leader::{self, Leader, LearnerKind};
use crate::zab::learner::{self, Learner};
use crate::zab::message::Gate;
use crate::zab::voters::{ServerId, Voters};
use std::collections::VecDeque;

#[derive(Clone, Debug)]
pub enum LogWrite {
    Append(Txn),
    Truncate(Zxid),
    Install(Zxid, Vec<Txn>),
}

pub enum Role {
    Looking,
    Leader(Box<Leader>, Gate<leader::Output>),
    Learner(Box<Learner>, Gate<learner::Output>, u64),
}

pub struct Node {
    pub id: ServerId,
    pub kind: LearnerKind,
    pub up: bool,
    pub role: Role,
    /// `None` while a role has it.
    pub history: Option<History>,
    pub committed: Zxid,
    /// On disk: every transaction of snapshot and log, the zxid where it ends, and where the log begins.
    pub durable: Vec<Txn>,
    pub durable_end: Zxid,
    pub log_floor: Zxid,
    pub epochs: Epochs,
    /// As it will be when all writes are done.
    pub view: Vec<Txn>,
    pub log_queue: VecDeque<LogWrite>,
    pub epoch_queue: VecDeque<Epochs>,
    pub queued: u64,
    pub completed: u64,
    /// How many log writes were asked for before the epoch that is to be written after them.
    pub epoch_mark: u64,
    pub staged: Option<(Zxid, Vec<Txn>)>,
    /// How much of the one sequence its clients may have seen.
    pub shown: usize,
}

pub enum Wire {
    Packet(Vec<u8>),
    Snapshot(Zxid, Vec<Txn>),
}

pub struct Conn {
    pub learner: usize,
    pub leader: usize,
    pub to_leader: VecDeque<Wire>,
    pub to_learner: VecDeque<Wire>,
    pub learner_gone: bool,
    pub leader_gone: bool,
}

pub fn voters(count: usize) -> Voters {
    let mut text = String::new();
    for id in 1..=count {
        text += &format!("server.{id}=127.0.0.1:{}:{}:participant\n", 2000 + id, 3000 + id);
    }
    Voters::parse(format!("{text}version=0").as_bytes()).unwrap()
}

pub fn txn(zxid: Zxid, content: u64) -> Txn {
    let mut bytes = vec![0; 12];
    bytes.extend(zxid.0.to_be_bytes());
    bytes.extend([0; 8]);
    bytes.extend(1i32.to_be_bytes());
    bytes.extend(content.to_be_bytes());
    Txn { zxid, bytes: bytes.into() }
}

pub fn upto(txns: &[Txn], zxid: Zxid) -> usize {
    txns.partition_point(|txn| txn.zxid <= zxid)
}

impl Node {
    pub fn new(id: usize, kind: LearnerKind) -> Self {
        Node {
            id: ServerId(id as i64),
            kind,
            up: true,
            role: Role::Looking,
            history: Some(History::new(HistoryLimits { count: 6, bytes: 1 << 20 }, Zxid::ZERO)),
            committed: Zxid::ZERO,
            durable: vec![],
            durable_end: Zxid::ZERO,
            log_floor: Zxid::ZERO,
            epochs: Epochs::default(),
            view: vec![],
            log_queue: VecDeque::new(),
            epoch_queue: VecDeque::new(),
            queued: 0,
            completed: 0,
            epoch_mark: 0,
            staged: None,
            shown: 0,
        }
    }

    pub fn queue(&mut self, write: LogWrite) {
        self.queued += 1;
        self.log_queue.push_back(write);
    }

    /// Finishes the oldest log write.
    pub fn write_log(&mut self) {
        match self.log_queue.pop_front() {
            Some(LogWrite::Append(txn)) => {
                self.durable_end = txn.zxid;
                self.durable.push(txn);
            }
            Some(LogWrite::Truncate(to)) => {
                self.durable.truncate(upto(&self.durable, to));
                self.durable_end = to;
                self.log_floor = self.log_floor.min(to);
            }
            Some(LogWrite::Install(zxid, txns)) => {
                self.durable = txns;
                self.durable_end = zxid;
                self.log_floor = zxid;
            }
            None => return,
        }
        self.completed += 1;
    }

    /// Finishes the oldest write of epochs.
    pub fn write_epochs(&mut self) {
        if let Some(epochs) = self.epoch_queue.pop_front() {
            assert!(epochs.reach(self.epochs), "epochs of {} went from {:?} to {epochs:?}", self.id, self.epochs);
            assert!(epochs.accepted >= epochs.current);
            self.epochs = epochs;
        }
    }

    pub fn server_state(&self) -> (i64, Zxid) {
        let last = self.history.as_ref().unwrap().last();
        (self.epochs.at_start(last).unwrap().current, last)
    }
}

/// The end of a log as a server keeps it in memory after a start.
pub fn refill(txns: &[Txn], keep: usize, end: Zxid) -> History {
    let from = txns.len().saturating_sub(keep);
    let floor = match from.checked_sub(1) {
        Some(before) => txns[before].zxid,
        None => Zxid::ZERO,
    };
    let mut history = History::new(HistoryLimits { count: 6, bytes: 1 << 20 }, floor);
    for txn in &txns[from..] {
        history.push(txn.clone());
    }
    if end > history.last() {
        history.reset(end);
    }
    history
}
