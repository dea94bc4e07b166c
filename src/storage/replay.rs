//! What recovery hands to whoever builds the state: a snapshot's records, then the log's transactions.

pub(crate) use super::replay_error::ReplayError;

use super::log::frame::DirectoryId;
use super::log::segment::SegmentId;
use crate::ids::{SessionId, Zxid};
use crate::jute::StatPersisted;

/// What a snapshot says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SnapshotHeader {
    /// The last transaction it contains.
    pub zxid: Zxid,
    /// The tree's digest at that zxid, if the server keeps one.
    pub digest: Option<i64>,
    /// It did not come from this server's own log (sync from a leader, restore, import): the log goes on from
    /// it, and need not reach it.
    pub installed: bool,
    /// For an installed one: only segments with this number or a larger one go on from it. Those before belong
    /// to another history, even if their transactions have larger zxids. Zero if there was no log.
    pub log_from: SegmentId,
    /// Which server took it: its number in the ensemble, 0 for a standalone server.
    pub server: i64,
    /// The data directory it was written in; a start in another one refuses it.
    pub directory: DirectoryId,
    /// Milliseconds since 1970.
    pub created_ms: i64,
}

/// A znode as a snapshot holds it. Path and data borrow from the chunk they were read in, or from the tree
/// while a snapshot is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ZnodeRecord<'a> {
    /// The root is `/`.
    pub(crate) path: &'a [u8],
    /// `None` for null, which is not the same as empty.
    pub(crate) data: Option<&'a [u8]>,
    /// The number of an ACL list of the same snapshot; zero is world:anyone with all permissions.
    pub(crate) acl: u32,
    pub(crate) stat: StatPersisted,
}

/// Builds the state. After an error the state is of no use, except for [`Replay::restart`].
pub trait Replay {
    /// Forgets everything: the state is that of a new server again. Called first, and again when a snapshot
    /// turned out to be damaged after some of it had been handed over.
    fn restart(&mut self);
    /// A snapshot begins: its header.
    fn snapshot(&mut self, header: &SnapshotHeader) -> Result<(), ReplayError>;
    /// A session and its timeout in milliseconds.
    fn session(&mut self, id: SessionId, timeout_ms: i32) -> Result<(), ReplayError>;
    /// An ACL list in its canonical bytes, under a number that holds for this snapshot only. All lists come
    /// before the first znode.
    fn acl(&mut self, id: u32, list: &[u8]) -> Result<(), ReplayError>;
    /// A znode with this path comes a little later: time to fetch what it needs from memory. No promise; it may be left out.
    fn soon(&mut self, _path: &[u8]) {}
    /// A znode, in any order: a child may come before its parent.
    fn znode(&mut self, record: &ZnodeRecord<'_>) -> Result<(), ReplayError>;
    /// The snapshot is complete. The place to compare digests.
    fn snapshot_done(&mut self, header: &SnapshotHeader) -> Result<(), ReplayError>;
    /// The next transaction of the log, after the snapshot's zxid.
    fn txn(&mut self, zxid: Zxid, txn: &[u8]) -> Result<(), ReplayError>;
}
