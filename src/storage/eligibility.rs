//! Whether a member of an ensemble may vote with what it found on its disk.
//!
//! A server that has lost what it acknowledged must not vote as if it had it: a quorum of such servers would
//! agree on less than was committed. What is missing cannot be seen on an empty disk, so being new has to be
//! said, by configuration or by a mark; and that something may be missing is remembered in the identity file,
//! until a leader has brought the server up to date.

use super::disk::{Disk, DiskError};
use super::identity::Identity;
use super::recovery::{MARKER, Plan, Recovered};
use crate::ids::Zxid;
use std::path::Path;

/// What a member of an ensemble knows of its own past. A table, the first row that fits:
///
/// | the identity says | recovered | may begin from nothing | standing |
/// |---|---|---|---|
/// | incomplete | anything | | Unknown |
/// | | a snapshot of its own, without the log behind it | | Unknown: a loss was accepted |
/// | not born | nothing | yes | New |
/// | not born | nothing | no | Unknown |
/// | | anything else | | Known |
///
/// (ZooKeeper 3.9, `FileTxnSnapLog.restore`: a server without a database, without `db.autocreate` and without the
/// mark has the zxid -1, and neither votes nor is voted for. There it is forgotten at the next start.)
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Eligibility {
    /// All it ever acknowledged is here: it votes with it.
    Known,
    /// It has never acknowledged anything: it votes, with zxid zero.
    New,
    /// What it acknowledged may be missing: it does not vote before a leader has brought it up to date. To be
    /// noted with [`super::identity::DataDirectory::mark_incomplete`] before the log is begun.
    Unknown,
}

impl Recovered {
    /// The table of [`Eligibility`]. `identity` is the directory's at the start, `autocreate` is db.autocreate.
    pub(crate) fn eligibility(&self, identity: &Identity, autocreate: bool) -> Eligibility {
        let own_without_log =
            self.plan == Plan::SnapshotOnly && self.snapshot.is_some_and(|snapshot| !snapshot.installed);
        let nothing = self.snapshot.is_none() && self.zxid == Zxid::ZERO;
        if !identity.complete || own_without_log {
            Eligibility::Unknown
        } else if nothing && !identity.born {
            if autocreate || self.marked_new { Eligibility::New } else { Eligibility::Unknown }
        } else {
            Eligibility::Known
        }
    }
}

/// Removes the operator's mark, if it is there: it holds for one start. After
/// [`super::identity::DataDirectory::mark_born`].
pub(crate) fn consume_marker(disk: &dyn Disk, log_dir: &Path) -> Result<(), DiskError> {
    match disk.remove(&log_dir.join(MARKER)) {
        Ok(()) => disk.sync_dir(log_dir),
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::SessionId;
    use crate::sim::disk::{Choices, SimDisk};
    use crate::storage::disk::Access;
    use crate::storage::identity::{self, Past, Starter};
    use crate::storage::log::frame::DirectoryId;
    use crate::storage::recovery::{self, RecoveryOptions};
    use crate::storage::replay::{Replay, ReplayError, ZnodeRecord};
    use crate::storage::snapshot::format::SnapshotHeader;

    /// Every row of the table, and what each would be without the one thing that decides it.
    #[test]
    fn who_may_vote() {
        use Eligibility::*;
        let nothing = (Plan::Fresh, None, 0);
        let begun = (Plan::LogOnly, None, 0);
        let log = (Plan::LogOnly, None, 5);
        let snapshot = |installed| Some(SnapshotHeader { zxid: Zxid(5), installed, ..SnapshotHeader::default() });
        #[rustfmt::skip]
        let table = [
            // recovered                                born   complete autocreate marked
            (nothing,                                   false, true,  true,  false, New),
            (nothing,                                   false, true,  false, true,  New),
            (nothing,                                   false, true,  false, false, Unknown),
            (nothing,                                   false, false, true,  true,  Unknown),
            // A log was begun, and the process ended before the identity said so.
            (begun,                                     false, true,  false, true,  New),
            (begun,                                     false, true,  false, false, Unknown),
            // A new server's log on which nothing was written yet.
            (begun,                                     true,  true,  false, false, Known),
            (begun,                                     true,  false, false, true,  Unknown),
            (log,                                       true,  true,  false, false, Known),
            (log,                                       true,  false, true,  false, Unknown),
            ((Plan::SnapshotAndLog, snapshot(false), 9), true, true,  false, false, Known),
            // Imported, or installed and ended before the log went on.
            ((Plan::SnapshotOnly, snapshot(true), 5),   false, true,  false, false, Known),
            ((Plan::SnapshotOnly, snapshot(true), 5),   true,  true,  false, false, Known),
            // The log behind it is gone, and the operator accepted that.
            ((Plan::SnapshotOnly, snapshot(false), 5),  true,  true,  true,  true,  Unknown),
        ];
        for (at, ((plan, snapshot, zxid), born, complete, autocreate, marked_new, expected)) in
            table.into_iter().enumerate()
        {
            let mut recovered = Recovered::of(plan, snapshot, Zxid(zxid));
            recovered.marked_new = marked_new;
            let identity =
                Identity { directory: DirectoryId::default(), server: 1, past: Past::Member, born, complete };
            assert_eq!(recovered.eligibility(&identity, autocreate), expected, "row {at}");
        }
    }

    #[test]
    fn what_may_be_missing_is_remembered_until_a_leader_brought_it() {
        let (disk, dir) = (SimDisk::new(), Path::new("data"));
        let open = || identity::open(&disk, dir, dir, Starter::Member(3), [5; 16]).unwrap();
        let mut directory = open();
        assert!(directory.identity.complete);
        directory.mark_incomplete(&disk).unwrap();
        directory.mark_born(&disk).unwrap();
        drop(directory);
        let mut directory = open();
        assert!(!directory.identity.complete && directory.identity.born);
        directory.mark_complete(&disk).unwrap();
        drop(directory);
        assert!(open().identity.complete && open_again(&disk, dir));
    }

    /// What a power loss now would leave says the same.
    fn open_again(disk: &SimDisk, dir: &Path) -> bool {
        let crashed = disk.crash(disk.changes(), &mut Choices::all());
        identity::open(&crashed, dir, dir, Starter::Member(3), [5; 16]).unwrap().identity.complete
    }

    #[test]
    fn the_mark_holds_for_one_start() {
        let (disk, dir) = (SimDisk::new(), Path::new("data"));
        let directory = identity::open(&disk, dir, dir, Starter::Member(3), [5; 16]).unwrap();
        let options = RecoveryOptions {
            snapshot_dir: dir,
            log_dir: dir,
            directory: directory.identity.directory,
            born: false,
            accept_log_loss: false,
            threads: 1,
        };
        let eligibility = || {
            let recovered = recovery::recover(&disk, &options, &mut Nothing).unwrap();
            recovered.eligibility(&directory.identity, false)
        };
        assert_eq!(eligibility(), Eligibility::Unknown);
        disk.open(&dir.join(MARKER), Access::Create).unwrap();
        assert_eq!(eligibility(), Eligibility::New);
        consume_marker(&disk, dir).unwrap();
        assert_eq!(eligibility(), Eligibility::Unknown);
        consume_marker(&disk, dir).unwrap();
    }

    /// A state into which nothing may come.
    struct Nothing;

    impl Replay for Nothing {
        fn restart(&mut self) {}
        fn snapshot(&mut self, _: &SnapshotHeader) -> Result<(), ReplayError> {
            unreachable!("nothing of the kind is there")
        }
        fn session(&mut self, _: SessionId, _: i32) -> Result<(), ReplayError> {
            unreachable!("nothing of the kind is there")
        }
        fn acl(&mut self, _: u32, _: &[u8]) -> Result<(), ReplayError> {
            unreachable!("nothing of the kind is there")
        }
        fn znode(&mut self, _: &ZnodeRecord<'_>) -> Result<(), ReplayError> {
            unreachable!("nothing of the kind is there")
        }
        fn snapshot_done(&mut self, _: &SnapshotHeader) -> Result<(), ReplayError> {
            unreachable!("nothing of the kind is there")
        }
        fn txn(&mut self, _: Zxid, _: &[u8]) -> Result<(), ReplayError> {
            unreachable!("nothing of the kind is there")
        }
    }
}
