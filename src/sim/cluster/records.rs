//! What a server's disk has to do besides its log, as the server's threads do it: each does one thing after the other, in
//! the order it was asked for.

use super::member::Member;
use super::{Cluster, Event, Place};
use crate::server::quorum::Record;

/// A thread that blocks on the disk.
#[derive(Clone, Copy, Default)]
pub(super) struct Worker {
    /// When it has done all it was asked for.
    until_ms: i64,
}

impl Worker {
    /// It is asked for something that takes so long. How long until that is done.
    pub(super) fn ask(&mut self, now_ms: i64, takes_ms: i64) -> i64 {
        self.until_ms = self.until_ms.max(now_ms) + takes_ms;
        self.until_ms - now_ms
    }
}

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
        let delay_ms = member.recorder.ask(self.now_ms, takes_ms);
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

impl Member {
    /// A record becomes durable.
    fn keep(&mut self, record: Record) {
        let server = self.server.as_mut().expect("it runs");
        match record {
            Record::Epochs(epochs) => {
                assert!(epochs.reach(self.epochs), "{epochs:?} after {:?}", self.epochs);
                self.epochs = epochs;
                server.write_epochs(epochs);
            }
            Record::Agreed(held) => server.write_agreed(&held),
            Record::Complete => {
                server.mark_complete();
                self.is_empty = false;
            }
            Record::Config { config, .. } => self.config = config,
        }
    }

    /// A record is being written, and any part of it may be there.
    pub(super) fn begin_record(&mut self, record: Record) {
        let server = self.server.as_mut().expect("it runs");
        match record {
            Record::Epochs(epochs) => server.write_epochs(epochs),
            Record::Agreed(held) => server.write_agreed(&held),
            Record::Complete => server.mark_complete(),
            // Renamed into its place: it is there or it is not.
            Record::Config { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two epochs of one server overtook each other when its disk became quick between them.
    #[test]
    fn a_worker_does_one_thing_after_the_other() {
        let mut worker = Worker::default();
        assert_eq!(worker.ask(0, 300), 300);
        assert_eq!(worker.ask(10, 2), 292, "behind the first");
        assert_eq!(worker.ask(400, 2), 2, "it has nothing else to do");
    }
}
