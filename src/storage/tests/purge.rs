//! In which order a purge gives up names and bytes.

use super::*;
use crate::storage::disk::{ASIDE, Access, DiskFile};
use crate::storage::retention::{Retention, RetentionOptions};
use std::collections::BTreeSet;
use std::sync::Mutex;

/// A disk that notes what could lose bytes, and whether a name was durably given up by then.
struct Watched {
    disk: SimDisk,
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    /// Set aside, the directory not synced yet.
    renamed: BTreeSet<PathBuf>,
    /// Set aside for good.
    aside: BTreeSet<PathBuf>,
    removed: Vec<PathBuf>,
}

impl Disk for Watched {
    fn list(&self, dir: &Path) -> Result<Vec<String>, DiskError> {
        self.disk.list(dir)
    }
    fn make_dir(&self, dir: &Path) -> Result<(), DiskError> {
        self.disk.make_dir(dir)
    }
    fn open(&self, path: &Path, access: Access) -> Result<Box<dyn DiskFile>, DiskError> {
        self.disk.open(path, access)
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.notes.lock().unwrap().renamed.insert(to.to_path_buf());
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        panic!("{} is removed at once, beside a log that is being written", path.display());
    }
    fn remove_gradually(&self, path: &Path) -> Result<(), DiskError> {
        let mut notes = self.notes.lock().unwrap();
        assert!(notes.aside.contains(path), "{} goes while its name may still count", path.display());
        notes.removed.push(path.to_path_buf());
        self.disk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        self.disk.sync_dir(dir)?;
        let mut notes = self.notes.lock().unwrap();
        let durable: Vec<PathBuf> = notes.renamed.iter().filter(|path| path.parent() == Some(dir)).cloned().collect();
        notes.aside.extend(durable.into_iter().filter(|path| path.to_string_lossy().ends_with(ASIDE)));
        Ok(())
    }
    fn lock(&self, path: &Path) -> Result<Option<Box<dyn Send + Sync>>, DiskError> {
        self.disk.lock(path)
    }
}

#[test]
fn a_name_is_given_up_for_good_before_its_bytes_go() {
    let disk = SimDisk::new();
    let mut server = Server::start(&disk).unwrap();
    for _ in 0..3 {
        (0..4).for_each(|_| server.write(3).unwrap());
        server.snapshot().unwrap();
    }
    let watched = Watched { disk: disk.clone(), notes: Mutex::default() };
    let options = RetentionOptions { snapshots: 1, spares: SPARES, threads: 1 };
    let id = server.directory.identity.directory;
    let purged = Retention::default().purge(&watched, Path::new(DIR), Path::new(LOG_DIR), id, &options).unwrap();
    assert!(purged.snapshots.len() == 2 && purged.segments.len() > SPARES, "{purged:?}");
    let removed = watched.notes.into_inner().unwrap().removed;
    assert_eq!(removed.len(), purged.snapshots.len() + purged.segments.len() - SPARES, "{removed:?}");
    assert!(names(&disk).iter().all(|name| !name.ends_with(ASIDE)));
}
