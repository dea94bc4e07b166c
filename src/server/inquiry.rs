//! Questions from threads that are neither a shard nor the quorum core.

use crate::ids::{ConnId, SessionId};
use crate::server::facts::{Asker, Collect, Facts, Question};
use crate::server::message::{Command, Inbound, Item};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

/// Asks the quorum core and the shards of one server, from any thread.
#[derive(Clone)]
pub struct Inquirer {
    shards: usize,
    inbox: Arc<dyn Fn(Inbound) + Send + Sync>,
}

impl Inquirer {
    /// For a server of `shards` shards. `inbox` puts a message into the quorum core's queue, where shards put theirs,
    /// and wakes the core.
    pub(crate) fn new(shards: usize, inbox: impl Fn(Inbound) + Send + Sync + 'static) -> Self {
        Inquirer { shards, inbox: Arc::new(inbox) }
    }

    /// Asks the questions. The facts come through the returned channel; see [`Asker::Channel`].
    pub fn ask(&self, questions: &'static [Question]) -> Receiver<Facts> {
        let (sender, receiver) = channel();
        let collect = Collect::new(questions, Asker::Channel(sender), self.shards);
        let what = Command::Collect(Arc::new(collect));
        let item = Item { conn: ConnId::NONE, session: SessionId::NONE, xid: 0, what, body: 0..0 };
        (self.inbox)(Inbound { items: vec![item], ..Inbound::default() });
        receiver
    }
}
