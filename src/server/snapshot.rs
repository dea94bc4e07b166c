//! From a state to a snapshot file.
//!
//! [`write_snapshot`] walks the tree at a pinned zxid, parents before children, in slices: between slices memory that
//! was retired meanwhile may be freed, and the writer may wait to keep its pace.

use crate::acl::AllAcls;
use crate::ids::{SessionId, Zxid};
use crate::limits;
use crate::storage::disk::{Disk, DiskError};
use crate::storage::log::frame::DirectoryId;
use crate::storage::log::segment::SegmentId;
use crate::storage::replay::ZnodeRecord;
use crate::storage::snapshot::format::SnapshotHeader;
use crate::storage::snapshot::write::{SnapshotWriter, Written};
use crate::tree::path;
use crate::tree::store::{Pin, Reader, Znode};
use crate::tree::walk::Walk;
use std::path::Path;

/// Everything that the writer of a snapshot needs.
pub struct SnapshotJob {
    pub(crate) zxid: Zxid,
    pub(crate) sessions: Vec<(SessionId, i32)>,
    /// The state's digest; `None` if the server keeps none.
    pub(crate) digest: Option<u64>,
    /// The ACL lists that the znodes use, and perhaps others; `None` when they are written.
    pub(crate) acls: Option<AllAcls>,
    pub(crate) reader: Reader,
    pub(crate) pin: Pin,
    /// `Some` if the state came from another server: the log continues after it in this segment or a later one; earlier
    /// segments do not count.
    pub(crate) log_from: Option<SegmentId>,
}

/// Writes the snapshot of `job`. Between slices `pace` is called with the bytes written so far; it may wait.
pub(crate) fn write_snapshot(
    disk: &dyn Disk,
    dir: &Path,
    directory: DirectoryId,
    created_ms: i64,
    job: &mut SnapshotJob,
    pace: &mut dyn FnMut(u64),
) -> Result<Written, DiskError> {
    let header = SnapshotHeader {
        zxid: job.zxid,
        digest: job.digest.map(|digest| digest as i64),
        installed: job.log_from.is_some(),
        log_from: job.log_from.unwrap_or_default(),
        server: 0,
        directory,
        created_ms,
    };
    let mut writer = SnapshotWriter::create(disk, dir, header)?;
    for (session, timeout_ms) in &job.sessions {
        writer.push_session(*session, *timeout_ms)?;
    }
    // Lists made since the pin are written, too: they do no harm, and the next start drops them. All lists that pinned
    // znodes use are there, so after this the table may free lists again.
    let acls = job.acls.take().expect("a snapshot is written once");
    for (id, list) in acls.iter() {
        writer.push_acl(id.0, list)?;
    }
    drop(acls);
    job.reader.resume();
    let mut error = None;
    let view = job.reader.view_pinned(&job.pin);
    if let Some(root) = view.get(path::ROOT, path::hash(path::ROOT)) {
        error = push(&mut writer, &root).err();
    }
    let mut walk = Walk::below(path::ROOT);
    loop {
        let view = job.reader.view_pinned(&job.pin);
        let more = walk.slice(&view, limits::SLICE_COST, &mut |znode| {
            if error.is_none() {
                error = push(&mut writer, znode).err();
            }
        });
        if let Some(error) = error.take() {
            job.reader.park(false);
            return Err(error);
        }
        job.reader.quiesce();
        if !more {
            break;
        }
        job.reader.park(false);
        pace(writer.bytes());
        job.reader.resume();
    }
    job.reader.park(false);
    writer.finish()
}

fn push(writer: &mut SnapshotWriter<'_>, znode: &Znode<'_>) -> Result<(), DiskError> {
    writer.push_znode(&ZnodeRecord {
        path: znode.path(),
        data: znode.data(),
        acl: znode.acl().0,
        stat: znode.persisted(),
    })
}
