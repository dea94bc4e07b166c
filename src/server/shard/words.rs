//! Four-letter words, and this shard's part of the answers to administrators' questions.

use super::Shard;
use super::conn::Phase;
use crate::ids::{ConnId, SessionId};
use crate::limits;
use crate::server::facts::{Asker, Collect, ConnStats, ConnectionFacts, Facts, Question, ShardFacts, WordRequest};
use crate::server::message::Command;
use std::sync::Arc;

impl Shard {
    /// A connection has begun with a four-letter word: it wants a text, not a session.
    pub(super) fn take_word(&mut self, id: ConnId, word: [u8; 4], rest: &[u8]) {
        let now = self.clock.mono_ms;
        let Some(conn) = self.conns.find(id) else { return };
        conn.close(now);
        let argument = rest[..rest.len().min(limits::WORD_ARGUMENT)].to_vec();
        self.words.push((WordRequest { conn: id, word, argument }, None));
    }

    /// Takes the words to answer, each with [`Shard::answer_word`] or [`Shard::collect`]; after the latter the word
    /// comes a second time, with the facts.
    pub(crate) fn take_words(&mut self) -> Vec<(WordRequest, Option<Facts>)> {
        std::mem::take(&mut self.words)
    }

    /// Sends the text to a connection that sent a word, and closes the connection after it.
    pub(crate) fn answer_word(&mut self, id: ConnId, text: &[u8]) {
        let Some(conn) = self.conns.find(id) else { return };
        if text.is_empty() {
            return self.end(id);
        }
        conn.output.extend_from_slice(text);
        self.mark_dirty(id);
    }

    /// Asks the core and every shard the questions of a word.
    pub(crate) fn collect(&mut self, request: WordRequest, questions: &'static [Question]) {
        let conn = request.conn;
        let asker = Asker::Connection { shard: self.options.shard, request };
        let collect = Arc::new(Collect::new(questions, asker, self.options.shards));
        self.submit(conn, SessionId::NONE, 0, Command::Collect(collect), &[]);
    }

    /// Adds this shard's part. After the last part a message goes through the core to the shard of the connection that
    /// asked.
    pub(super) fn deposit(&mut self, collect: &Arc<Collect>) {
        let facts = self.facts(collect.questions());
        if let Some((shard, conn)) = collect.deposit(facts) {
            self.submit(conn, SessionId::NONE, 0, Command::Collected { question: collect.clone(), shard }, &[]);
        }
    }

    /// All facts for a connection of this shard are in.
    pub(super) fn collected(&mut self, id: ConnId, collect: &Collect) {
        if self.conns.find(id).is_some()
            && let Some((request, facts)) = collect.answer()
        {
            self.words.push((request, Some(facts)));
        }
    }

    fn facts(&mut self, questions: &[Question]) -> ShardFacts {
        let mut facts = ShardFacts { shard: self.options.shard, connections: vec![], data_watches: vec![] };
        for question in questions {
            match question {
                Question::Connections => facts.connections = self.connections(),
                Question::Watches => facts.data_watches = self.data_watches(),
                Question::ResetConnections => {
                    for conn in self.conns.iter_mut() {
                        conn.stats = ConnStats::new(conn.stats.established_wall_ms);
                    }
                }
                Question::ResetShards => self.stats().reset(),
                // Answered by the core.
                Question::Sessions | Question::Digests => {}
            }
        }
        facts
    }

    fn connections(&mut self) -> Vec<ConnectionFacts> {
        let now = self.clock.mono_ms;
        let connections = self.conns.iter_mut().map(|conn| ConnectionFacts {
            peer: conn.peer,
            session: conn.session,
            timeout_ms: conn.timeout_ms,
            queued: conn.pending.len(),
            read_interest: !conn.listed.is_paused && conn.phase != Phase::Closing,
            write_interest: !conn.unsent().is_empty(),
            stats: conn.stats,
            age_ms: now - conn.since_ms,
        });
        connections.collect()
    }

    fn data_watches(&mut self) -> Vec<(SessionId, Vec<u8>)> {
        let Shard { watches, conns, .. } = self;
        let mut found = vec![];
        watches.for_each_data_watch(&mut |slot, path| {
            if let Some(conn) = conns.at(slot) {
                found.push((conn.session, path.to_vec()));
            }
        });
        found
    }
}
