//! Carries out what the quorum brain asks for and passes the results back, in the same way on both edges.

use super::helpers::{Done, Helpers};
use super::log_ring::LogRing;
use super::peers::Peers;
use crate::fatal::Fatal;
use crate::server::quorum::{Input, PeerInput, Quorum, Work};
use crate::storage::log::writer::LogWriter;

/// The quorum brain's means: its log's ring, the connections to other members, the threads that help.
pub(crate) struct Outside {
    pub log: LogRing,
    /// Of a member of an ensemble.
    pub peers: Option<Peers>,
    pub helpers: Helpers,
}

impl Outside {
    /// Does what there is to do now, and what that leads to. `may_write`: false lets more gather for the log's next write.
    /// `publish` is called when shards have something to see.
    pub(crate) fn perform(
        &mut self,
        quorum: &mut Quorum,
        may_write: bool,
        mut publish: impl FnMut(),
    ) -> Result<(), Fatal> {
        loop {
            // Before the work is taken: a snapshot that can be written at once is part of it.
            if self.peers.as_ref().is_some_and(Peers::wants_snapshot) {
                quorum.step(Input::WantSnapshot);
            }
            let Work { write, segment, snapshot, effects, published } = quorum.ready(may_write);
            if let Some(write) = write {
                self.log.submit(write)?;
            }
            if let Some(request) = segment {
                self.helpers.want_segment(request);
            }
            self.helpers.run_ahead_of(quorum.state().store().fresh_memory());
            if let Some(job) = snapshot {
                self.helpers.write_snapshot(job);
            }
            if published {
                publish();
            }
            // What is done for the peers may put something into the log, and commit what waited.
            let Some(peers) = &mut self.peers else { return Ok(()) };
            if !peers.perform(effects, quorum, &mut self.helpers)? {
                return Ok(());
            }
        }
    }

    /// Hands everything that helper threads have finished to the brain, and where it belongs else.
    pub(crate) fn finish(&mut self, quorum: &mut Quorum) -> Result<(), Fatal> {
        while let Some(done) = self.helpers.finished() {
            match done {
                // The segment was made for a log that has been cut or replaced; its file stays until old files are removed.
                Done::Segment(segment) if !self.helpers.is_awaited(&segment) => {}
                Done::Segment(segment) => quorum.step(Input::Segment(segment)),
                Done::Snapshot { zxid, reader, took_ms } => {
                    quorum.step(Input::Snapshot { zxid, reader, took_ms });
                    if let Some(peers) = &mut self.peers {
                        peers.snapshot_written(zxid);
                    }
                }
                Done::Cut { zxid, log: Some(writer) } => {
                    self.replace_log(writer, quorum);
                    quorum.step(Input::Peer(PeerInput::LogCut(zxid)));
                }
                Done::Cut { zxid, log: None } => quorum.step(Input::Peer(PeerInput::LogCutFailed(zxid))),
                Done::Installed { zxid, log: writer } => {
                    self.replace_log(writer, quorum);
                    quorum.step(Input::Peer(PeerInput::SnapshotInstalled(zxid)));
                }
                Done::Recorded(record) => {
                    if let Some(input) = record.written() {
                        quorum.step(Input::Peer(input));
                    }
                }
                Done::LogRead { peer, part } => quorum.step(Input::Peer(PeerInput::LogRead { peer, part })),
                Done::Failed(fatal) => return Err(fatal),
            }
        }
        Ok(())
    }

    fn replace_log(&mut self, writer: LogWriter, quorum: &mut Quorum) {
        self.helpers.forget_segment();
        quorum.step(Input::Log(writer));
        self.log.rebind(quorum.log());
    }

    /// Ends: the log is closed as one that was stopped in order.
    pub(crate) fn end(self, mut quorum: Quorum) {
        let Outside { log, helpers, .. } = self;
        let end = quorum.log().closing().map(|end| (end, quorum.log().highest()));
        // The ring writes from the brain's buffers.
        drop(log);
        drop(quorum);
        helpers.stop(end);
    }
}
