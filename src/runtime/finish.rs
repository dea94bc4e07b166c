//! What becomes of what a helper thread has finished: the same on both edges.

use super::helpers::{Done, Helpers};
use super::log_ring::LogRing;
use super::peers::Peers;
use crate::fatal::Fatal;
use crate::server::quorum::{PeerInput, Quorum};
use crate::storage::log::writer::LogWriter;

/// Hands everything that is finished to the brain, and where it belongs else.
pub fn finish(
    helpers: &mut Helpers,
    quorum: &mut Quorum,
    log: &mut LogRing,
    peers: &mut Option<Peers>,
) -> Result<(), Fatal> {
    while let Some(done) = helpers.finished() {
        match done {
            // Made for a log that goes on elsewhere by now, it lies there until old files are removed.
            Done::Segment(segment) if !helpers.is_awaited(&segment) => {}
            Done::Segment(segment) => quorum.log().segment_ready(segment),
            Done::Snapshot { zxid, reader, took_ms } => {
                quorum.snapshot_done(zxid, reader, took_ms);
                if let Some(peers) = peers {
                    peers.snapshot_written(zxid);
                }
            }
            Done::Cut { zxid, log: Some(writer) } => {
                go_on_with(writer, helpers, quorum, log);
                quorum.peer(PeerInput::LogCut(zxid));
            }
            Done::Cut { zxid, log: None } => quorum.peer(PeerInput::LogCutFailed(zxid)),
            Done::Installed { zxid, log: writer } => {
                go_on_with(writer, helpers, quorum, log);
                quorum.peer(PeerInput::SnapshotInstalled(zxid));
            }
            Done::Recorded(record) => {
                if let Some(input) = record.written() {
                    quorum.peer(input);
                }
            }
            Done::LogRead { peer, part } => quorum.peer(PeerInput::LogRead { peer, part }),
            Done::Failed(fatal) => return Err(fatal),
        }
    }
    Ok(())
}

fn go_on_with(writer: LogWriter, helpers: &mut Helpers, quorum: &mut Quorum, log: &mut LogRing) {
    helpers.forget_segment();
    quorum.continue_log(writer);
    log.rebind(quorum.log());
}
