//! Four-letter words: a connection that begins with one wants text, not a session.

use super::Shard;
use super::conn::Phase;
use crate::ids::ConnId;
use crate::limits;
use crate::server::facts::{Collect, ConnStats, ConnectionFacts, Facts, ShardFacts};
use crate::server::message::Ask;
use std::sync::Arc;

/// A word that somebody has asked; the edge takes it to the admin plane.
pub struct Asked {
    pub conn: ConnId,
    pub word: [u8; 4],
    pub argument: Vec<u8>,
    /// There from the second time on, when the first answer was that facts are needed.
    pub facts: Option<Facts>,
}

impl Shard {
    /// A connection has begun with a word.
    pub(super) fn asked(&mut self, id: ConnId, word: [u8; 4], rest: &[u8]) {
        let now = self.clock.mono_ms;
        let Some(conn) = self.conns.find(id) else { return };
        conn.close(now);
        let argument = rest[..rest.len().min(limits::WORD_ARGUMENT)].to_vec();
        self.words.push(Asked { conn: id, word, argument, facts: None });
    }

    /// The words that are to be answered, each by [`Shard::answer_word`] or [`Shard::collect`].
    pub fn take_words(&mut self) -> Vec<Asked> {
        std::mem::take(&mut self.words)
    }

    /// The text for a connection that asked a word; it is closed behind it.
    pub fn answer_word(&mut self, id: ConnId, text: &[u8]) {
        let Some(conn) = self.conns.find(id) else { return };
        if text.is_empty() {
            return self.end(id);
        }
        conn.output.extend_from_slice(text);
        self.mark_dirty(id);
    }

    /// Asks the core and every shard for their facts; the word comes back with them.
    pub fn collect(&mut self, id: ConnId, word: [u8; 4]) {
        let question = Arc::new(Collect::new(word, self.options.shards));
        self.ask(id, crate::ids::SessionId::NONE, 0, Ask::Collect(question), &[]);
    }

    /// Adds this shard's part; whoever adds the last one says so to the core, which tells the asker.
    pub(super) fn deposit(&mut self, question: &Arc<Collect>, asker: (u16, ConnId)) {
        let facts = self.facts(question.word);
        if question.deposit(facts) {
            let what = Ask::Collected { question: question.clone(), shard: asker.0 };
            self.ask(asker.1, crate::ids::SessionId::NONE, 0, what, &[]);
        }
    }

    pub(super) fn collected(&mut self, id: ConnId, question: &Collect) {
        if self.conns.find(id).is_some() {
            self.words.push(Asked { conn: id, word: question.word, argument: vec![], facts: Some(question.take()) });
        }
    }

    fn facts(&mut self, word: [u8; 4]) -> ShardFacts {
        match &word {
            b"crst" => {
                for conn in self.conns.iter_mut() {
                    let stats = &mut conn.stats;
                    *stats = ConnStats::new(stats.established_wall_ms);
                }
            }
            b"srst" => self.stats().reset(),
            _ => {}
        }
        let mut data_watches = vec![];
        if matches!(&word, b"wchs" | b"wchc" | b"wchp") {
            let Shard { watches, conns, .. } = self;
            watches.for_each_data_watch(&mut |slot, path| {
                if let Some(conn) = conns.at(slot) {
                    data_watches.push((conn.session, path.to_vec()));
                }
            });
        }
        let now = self.clock.mono_ms;
        let connections = self.conns.iter_mut().map(|conn| ConnectionFacts {
            peer: conn.peer,
            session: conn.session,
            timeout_ms: conn.timeout_ms,
            queued: conn.pending.len(),
            reads: !conn.is_paused && conn.phase != Phase::Closing,
            writes: !conn.unsent().is_empty(),
            stats: conn.stats,
            age_ms: now - conn.since_ms,
        });
        ShardFacts { shard: self.options.shard, connections: connections.collect(), data_watches }
    }
}
