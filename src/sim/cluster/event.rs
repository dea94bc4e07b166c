//! What happens in the run of an ensemble, and the sizes that its servers have.

use crate::ids::Zxid;
use crate::storage::log::writer::LogOptions;
use crate::zab::leader::{LogPart, PeerId};
use crate::zab::voters::ServerId;

/// Where members take in learners.
pub(super) const QUORUM_PORT: u16 = 2888;

/// Output a client may leave unread, bytes.
pub(super) const OUTPUT_LIMIT: usize = 16 << 20;

/// A log that is quick to begin.
pub(super) const LOG: LogOptions = LogOptions { max_txn: 8 << 10, buffer_bytes: 16 << 10, segment_bytes: 64 << 10 };

/// A server by its place in the list; its id is one more.
pub type Place = usize;

/// What happens at a moment of the run.
pub(super) enum Event {
    Bytes { wire: u64, to: usize, bytes: Vec<u8> },
    Closed { wire: u64, to: usize },
    Connected { wire: u64, to: usize },
    DialFailed { place: Place, incarnation: u64, peer: Option<ServerId> },
    LogWritten { place: Place, incarnation: u64 },
    CutLog { place: Place, incarnation: u64, zxid: Zxid },
    Recorded { place: Place, incarnation: u64 },
    LogRead { place: Place, incarnation: u64, peer: PeerId, part: LogPart },
    Tick { place: Place, incarnation: u64 },
    Deadline { place: Place, incarnation: u64 },
}
