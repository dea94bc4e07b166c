//! What a server's disk has to do besides its log, as the server's threads do it: each does one thing after the other, in
//! the order it was asked for.

use super::Cluster;
use super::event::{Event, Place};
use super::member::Worker;
use crate::server::quorum::Record;

impl Cluster {
    /// What something on a server's disk takes that usually takes up to `usual_ms`.
    pub(super) fn disk_ms(&mut self, place: Place, usual_ms: usize) -> i64 {
        1 + self.members[place].disk_delay_ms + self.choices.pick(usual_ms) as i64
    }

    /// A server wants a record written.
    pub(super) fn write_record(&mut self, place: Place, record: Record) {
        let takes_ms = self.disk_ms(place, 6);
        let member = &mut self.members[place];
        member.records.push_back(record);
        let incarnation = member.incarnation;
        let delay_ms = member.recorder.schedule(self.now_ms, takes_ms);
        self.after(delay_ms, Event::Recorded { place, incarnation });
    }

    /// The oldest of its records is written.
    pub(super) fn recorded(&mut self, place: Place) {
        let member = &mut self.members[place];
        let record = member.records.pop_front().expect("one was under way");
        let input = record.written();
        member.keep(record);
        member.disk.fold();
        if let Some(input) = input {
            self.input(place, input);
        }
    }

    /// The machine of a server goes down. So many of its records are written that it does not know of yet; the one that
    /// is being written then is given back.
    pub(super) fn lose_records(&mut self, place: Place) -> Option<Record> {
        let done = self.choices.pick(self.members[place].records.len() + 1);
        let member = &mut self.members[place];
        member.recorder = Worker::default();
        let mut records = std::mem::take(&mut member.records).into_iter();
        records.by_ref().take(done).for_each(|record| member.keep(record));
        records.next()
    }
}
