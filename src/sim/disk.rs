//! A disk in memory that forgets what was not synced, tears writes, flips bits, fails and fills up.
//!
//! It keeps a history of every change. [`SimDisk::crash`] makes the disk a power loss at any point of it would
//! leave: what was synced is there; each write that was not may be lost, whole or torn by sectors; of the changes
//! to a directory's names that were not synced, the first few are there. Which of these happen is asked of a
//! [`Choices`], which can go through all of them, or draw them.

use crate::storage::disk::{Access, Disk, DiskError, DiskFile};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// What a disk writes at once or not at all, in bytes.
pub const SECTOR: usize = 512;

type Inode = usize;

/// A simulated disk. Clones are the same disk.
#[derive(Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Default)]
struct State {
    /// As programs see it.
    seen: Image,
    /// As it was, durably, when the history began.
    base: Image,
    history: Vec<Change>,
    locks: BTreeSet<PathBuf>,
    inodes: Inode,
    /// Calls that change something, so far, and the one that fails.
    calls: usize,
    failing: Option<(usize, i32)>,
    /// Bytes of all files may not exceed this.
    space: Option<usize>,
}

#[derive(Clone, Default)]
struct Image {
    names: BTreeMap<PathBuf, Inode>,
    files: BTreeMap<Inode, Vec<u8>>,
    dirs: BTreeSet<PathBuf>,
}

#[derive(Clone)]
enum Change {
    Write {
        inode: Inode,
        offset: usize,
        bytes: Vec<u8>,
    },
    Truncate(Inode),
    Sync(Inode),
    /// A failed sync: the pages count as clean now, whatever the disk holds.
    Forget(Inode),
    Name(NameChange),
    SyncDir(PathBuf),
}

#[derive(Clone)]
enum NameChange {
    Create { path: PathBuf, inode: Inode },
    Rename { from: PathBuf, to: PathBuf },
    Remove { path: PathBuf },
}

impl NameChange {
    fn dir(&self) -> &Path {
        let (NameChange::Create { path, .. } | NameChange::Rename { to: path, .. } | NameChange::Remove { path }) =
            self;
        path.parent().unwrap_or(Path::new(""))
    }
}

impl Image {
    fn write(&mut self, inode: Inode, offset: usize, bytes: &[u8]) {
        let file = self.files.entry(inode).or_default();
        if file.len() < offset + bytes.len() {
            file.resize(offset + bytes.len(), 0);
        }
        file[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    fn rename(&mut self, change: &NameChange) {
        match change {
            NameChange::Create { path, inode } => {
                self.names.insert(path.clone(), *inode);
                self.files.entry(*inode).or_default();
            }
            NameChange::Rename { from, to } => {
                if let Some(inode) = self.names.remove(from) {
                    self.names.insert(to.clone(), inode);
                }
            }
            NameChange::Remove { path } => _ = self.names.remove(path),
        }
    }
}

impl SimDisk {
    /// An empty disk.
    pub fn new() -> SimDisk {
        SimDisk::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test goes on after a panic")
    }

    /// How many changes there have been.
    pub fn changes(&self) -> usize {
        self.state().history.len()
    }

    /// How many calls there have been that change something.
    pub fn calls(&self) -> usize {
        self.state().calls
    }

    /// Takes everything as it is seen for durable, and begins the history anew.
    pub fn settle(&self) {
        let mut state = self.state();
        state.base = state.seen.clone();
        state.history.clear();
    }

    /// Forgets the part of the history that is durable by now. A crash leaves the same as before, but only one behind
    /// everything.
    pub fn fold(&self) {
        let mut guard = self.state();
        let state = &mut *guard;
        let mut pending: Vec<Change> = Vec::new();
        for change in std::mem::take(&mut state.history) {
            match change {
                Change::Truncate(inode) => {
                    pending.retain(|change| !matches!(change, Change::Write { inode: other, .. } if *other == inode));
                    state.base.files.insert(inode, Vec::new());
                }
                Change::Sync(inode) => {
                    let synced =
                        |change: &mut Change| matches!(change, Change::Write { inode: other, .. } if *other == inode);
                    for change in pending.extract_if(.., synced) {
                        if let Change::Write { inode, offset, bytes } = change {
                            state.base.write(inode, offset, &bytes);
                        }
                    }
                }
                Change::Forget(inode) => {
                    pending.retain(|change| !matches!(change, Change::Write { inode: other, .. } if *other == inode));
                }
                Change::SyncDir(dir) => {
                    let synced = |change: &mut Change| matches!(change, Change::Name(change) if change.dir() == dir);
                    for change in pending.extract_if(.., synced) {
                        if let Change::Name(change) = change {
                            state.base.rename(&change);
                        }
                    }
                }
                change => pending.push(change),
            }
        }
        state.history = pending;
    }

    /// A disk of its own with the same content, all of it durable.
    pub fn copy(&self) -> SimDisk {
        let copy = SimDisk::new();
        let state = self.state();
        *copy.state() =
            State { seen: state.seen.clone(), base: state.seen.clone(), inodes: state.inodes, ..State::default() };
        copy
    }

    /// The disk after a power loss behind the first `changes` changes.
    pub fn crash(&self, changes: usize, choices: &mut Choices) -> SimDisk {
        let state = self.state();
        let mut image = state.base.clone();
        image.dirs = state.seen.dirs.clone();
        let mut writes: Vec<(Inode, usize, &[u8])> = Vec::new();
        let mut names: Vec<&NameChange> = Vec::new();
        for change in &state.history[..changes] {
            match change {
                Change::Write { inode, offset, bytes } => writes.push((*inode, *offset, bytes)),
                Change::Truncate(inode) => {
                    writes.retain(|(other, ..)| other != inode);
                    image.files.insert(*inode, Vec::new());
                }
                Change::Sync(inode) => {
                    for (_, offset, bytes) in writes.extract_if(.., |(other, ..)| other == inode) {
                        image.write(*inode, offset, bytes);
                    }
                }
                Change::Forget(inode) => writes.retain(|(other, ..)| other != inode),
                Change::Name(change) => names.push(change),
                Change::SyncDir(dir) => {
                    for change in names.extract_if(.., |change| change.dir() == dir) {
                        image.rename(change);
                    }
                }
            }
        }
        // The names of a directory change in order, so what survives is a beginning.
        while let Some(dir) = names.first().map(|change| change.dir().to_path_buf()) {
            let pending: Vec<_> = names.extract_if(.., |change| change.dir() == dir).collect();
            let survive = choices.pick(pending.len() + 1);
            pending[..survive].iter().for_each(|change| image.rename(change));
        }
        for (inode, offset, bytes) in writes {
            tear(&mut image, inode, offset, bytes, choices);
        }
        let crashed = SimDisk::new();
        *crashed.state() = State { seen: image.clone(), base: image, inodes: state.inodes, ..State::default() };
        crashed
    }

    /// Lets the call number `call` of those that change something fail with the system's error `errno`.
    pub fn fail_at(&self, call: usize, errno: i32) {
        self.state().failing = Some((call, errno));
    }

    /// Limits the bytes of all files together.
    pub fn limit_space(&self, bytes: usize) {
        self.state().space = Some(bytes);
    }

    /// Changes a file's bytes as rot would: durably and unseen. False if there is no such file.
    pub fn rot(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut state = self.state();
        let Some(inode) = state.seen.names.get(path).copied() else { return false };
        let Some(file) = state.seen.files.get_mut(&inode) else { return false };
        change(file);
        let file = file.clone();
        state.base.files.insert(inode, file);
        true
    }

    /// A file's bytes.
    pub fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        state.seen.files.get(state.seen.names.get(path)?).cloned()
    }

    /// Writes and syncs, as the ring does with a frame.
    pub fn write_synced(&self, path: &Path, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let file = self.open(path, Access::Write)?;
        file.write_at(bytes, offset)?;
        file.sync()
    }

    /// Counts a call that changes something; the error if it is the one that fails.
    fn call(&self, operation: &'static str, path: &Path) -> Result<MutexGuard<'_, State>, DiskError> {
        let mut state = self.state();
        state.calls += 1;
        match state.failing {
            Some((call, errno)) if call + 1 == state.calls => {
                if let (true, Some(inode)) = (operation == "sync", state.seen.names.get(path).copied()) {
                    state.history.push(Change::Forget(inode));
                }
                Err(DiskError::new(operation, path, io::Error::from_raw_os_error(errno)))
            }
            _ => Ok(state),
        }
    }
}

/// Applies an unsynced write as a power loss would: not, wholly, up to or from a sector, all but one, only one.
fn tear(image: &mut Image, inode: Inode, offset: usize, bytes: &[u8], choices: &mut Choices) {
    let sectors = bytes.len().div_ceil(SECTOR);
    let kinds = if sectors > 1 { 2 + 4 * sectors } else { 2 };
    let pick = choices.pick(kinds);
    let survives: Box<dyn Fn(usize) -> bool> = match pick {
        0 => return,
        1 => Box::new(|_| true),
        _ => {
            let cut = (pick - 2) / 4;
            match (pick - 2) % 4 {
                0 => Box::new(move |sector| sector < cut),
                1 => Box::new(move |sector| sector >= cut),
                2 => Box::new(move |sector| sector != cut),
                _ => Box::new(move |sector| sector == cut),
            }
        }
    };
    for (sector, part) in bytes.chunks(SECTOR).enumerate() {
        if survives(sector) {
            image.write(inode, offset + sector * SECTOR, part);
        }
    }
}

impl Disk for SimDisk {
    fn list(&self, dir: &Path) -> Result<Vec<String>, DiskError> {
        let state = self.state();
        if !state.seen.dirs.contains(dir) {
            return Err(DiskError::new("list", dir, io::ErrorKind::NotFound.into()));
        }
        let inside = state.seen.names.keys().chain(&state.seen.dirs).filter(|path| path.parent() == Some(dir));
        let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
        let mut names: Vec<_> = inside.filter_map(name).collect();
        names.sort();
        Ok(names)
    }

    fn make_dir(&self, dir: &Path) -> Result<(), DiskError> {
        let mut state = self.state();
        for dir in dir.ancestors().filter(|dir| !dir.as_os_str().is_empty()) {
            state.seen.dirs.insert(dir.to_path_buf());
        }
        Ok(())
    }

    fn open(&self, path: &Path, access: Access) -> Result<Box<dyn DiskFile>, DiskError> {
        let found = self.state().seen.names.get(path).copied();
        let inode = match (access, found) {
            (Access::Create, found) => {
                let mut state = self.call("open", path)?;
                match found {
                    Some(inode) => {
                        state.seen.files.insert(inode, Vec::new());
                        state.history.push(Change::Truncate(inode));
                        inode
                    }
                    None => {
                        let inode = state.inodes;
                        state.inodes += 1;
                        let change = NameChange::Create { path: path.to_path_buf(), inode };
                        state.seen.rename(&change);
                        state.history.push(Change::Name(change));
                        inode
                    }
                }
            }
            (_, Some(inode)) => inode,
            (_, None) => return Err(DiskError::new("open", path, io::ErrorKind::NotFound.into())),
        };
        Ok(Box::new(SimFile { disk: self.clone(), inode, path: path.to_path_buf() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        let mut state = self.call("rename", from)?;
        if !state.seen.names.contains_key(from) {
            return Err(DiskError::new("rename", from, io::ErrorKind::NotFound.into()));
        }
        let change = NameChange::Rename { from: from.to_path_buf(), to: to.to_path_buf() };
        state.seen.rename(&change);
        state.history.push(Change::Name(change));
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        let mut state = self.call("remove", path)?;
        if !state.seen.names.contains_key(path) {
            return Err(DiskError::new("remove", path, io::ErrorKind::NotFound.into()));
        }
        let change = NameChange::Remove { path: path.to_path_buf() };
        state.seen.rename(&change);
        state.history.push(Change::Name(change));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        self.call("sync", dir)?.history.push(Change::SyncDir(dir.to_path_buf()));
        Ok(())
    }

    fn lock(&self, path: &Path) -> Result<Option<Box<dyn Send + Sync>>, DiskError> {
        let taken = self.state().locks.insert(path.to_path_buf());
        Ok(taken.then(|| Box::new(Lock { disk: self.clone(), path: path.to_path_buf() }) as Box<dyn Send + Sync>))
    }
}

struct Lock {
    disk: SimDisk,
    path: PathBuf,
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.disk.state().locks.remove(&self.path);
    }
}

struct SimFile {
    disk: SimDisk,
    inode: Inode,
    path: PathBuf,
}

impl DiskFile for SimFile {
    fn length(&self) -> Result<u64, DiskError> {
        Ok(self.disk.state().seen.files.get(&self.inode).map_or(0, |file| file.len() as u64))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, DiskError> {
        let state = self.disk.state();
        let file = state.seen.files.get(&self.inode).map_or(&[][..], |file| file);
        let rest = file.get(offset as usize..).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        let mut state = self.disk.call("write", &self.path)?;
        if let Some(space) = state.space {
            let length = state.seen.files.get(&self.inode).map_or(0, Vec::len);
            let grown = (offset as usize + bytes.len()).saturating_sub(length);
            // Files without a name count until the disk is made anew; none of the tests removes many.
            let used: usize =
                state.seen.names.values().filter_map(|inode| state.seen.files.get(inode)).map(Vec::len).sum();
            if grown > 0 && used + grown > space {
                return Err(DiskError::new("write", &self.path, io::Error::from_raw_os_error(28)));
            }
        }
        state.seen.write(self.inode, offset as usize, bytes);
        state.history.push(Change::Write { inode: self.inode, offset: offset as usize, bytes: bytes.to_vec() });
        Ok(())
    }

    fn sync(&self) -> Result<(), DiskError> {
        self.disk.call("sync", &self.path)?.history.push(Change::Sync(self.inode));
        Ok(())
    }
}

/// Decisions, made one after the other: all of them in turn, or drawn from a seed.
#[derive(Clone, Debug, Default)]
pub struct Choices {
    /// What was picked and out of how many, in the order asked.
    digits: Vec<(usize, usize)>,
    asked: usize,
    seed: Option<u64>,
}

impl Choices {
    /// The first of all combinations; [`Choices::advance`] goes on to the next.
    pub fn all() -> Choices {
        Choices::default()
    }

    /// Drawn ones, the same for the same seed.
    pub fn drawn(seed: u64) -> Choices {
        Choices { seed: Some(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1), ..Choices::default() }
    }

    /// A number below `count`.
    pub fn pick(&mut self, count: usize) -> usize {
        self.asked += 1;
        if let Some(seed) = &mut self.seed {
            // xorshift64*: good enough to spread.
            *seed ^= *seed >> 12;
            *seed ^= *seed << 25;
            *seed ^= *seed >> 27;
            return (seed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % count;
        }
        if self.digits.len() < self.asked {
            self.digits.push((0, count));
        }
        self.digits[self.asked - 1].0
    }

    /// Goes on to the next combination; false after the last.
    pub fn advance(&mut self) -> bool {
        self.digits.truncate(self.asked);
        self.asked = 0;
        while let Some((picked, count)) = self.digits.pop() {
            if picked + 1 < count {
                self.digits.push((picked + 1, count));
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_synced_survives_and_the_rest_may_not() {
        let (disk, dir) = (SimDisk::new(), Path::new("d"));
        disk.make_dir(dir).unwrap();
        let file = disk.open(&dir.join("a"), Access::Create).unwrap();
        file.write_at(&[1; 600], 0).unwrap();
        file.sync().unwrap();
        disk.sync_dir(dir).unwrap();
        file.write_at(&[2; 600], 0).unwrap();
        disk.rename(&dir.join("a"), &dir.join("b")).unwrap();
        let mut found = BTreeSet::new();
        let mut choices = Choices::all();
        loop {
            let crashed = disk.crash(disk.changes(), &mut choices);
            let names = crashed.list(dir).unwrap();
            assert_eq!(names.len(), 1);
            let bytes = crashed.bytes(&dir.join(&names[0])).unwrap();
            found.insert((names[0].clone(), bytes[0], bytes[599]));
            if !choices.advance() {
                break;
            }
        }
        let all = ["a", "b"]
            .into_iter()
            .flat_map(|name| [(1, 1), (1, 2), (2, 1), (2, 2)].map(|(first, last)| (name.to_string(), first, last)));
        assert_eq!(found, all.collect());
    }

    #[test]
    fn a_failed_sync_loses_what_the_next_one_calls_durable() {
        let (disk, path) = (SimDisk::new(), Path::new("d/a"));
        disk.make_dir(Path::new("d")).unwrap();
        let file = disk.open(path, Access::Create).unwrap();
        disk.sync_dir(Path::new("d")).unwrap();
        disk.fail_at(disk.calls() + 1, 5);
        file.write_at(b"gone", 0).unwrap();
        assert_eq!(file.sync().unwrap_err().source.raw_os_error(), Some(5));
        file.sync().unwrap();
        assert_eq!(disk.bytes(path).unwrap(), b"gone");
        assert_eq!(disk.crash(disk.changes(), &mut Choices::all()).bytes(path).unwrap(), b"");
    }

    #[test]
    fn a_folded_history_crashes_like_the_whole_one() {
        let dir = Path::new("d");
        let make = |fold: bool| {
            let disk = SimDisk::new();
            disk.make_dir(dir).unwrap();
            let file = disk.open(&dir.join("a"), Access::Create).unwrap();
            let fold = || {
                if fold {
                    disk.fold()
                }
            };
            file.write_at(&[1; 600], 0).unwrap();
            fold();
            file.sync().unwrap();
            fold();
            disk.sync_dir(dir).unwrap();
            file.write_at(&[2; 600], 0).unwrap();
            disk.open(&dir.join("b"), Access::Create).unwrap();
            fold();
            disk.rename(&dir.join("a"), &dir.join("c")).unwrap();
            fold();
            disk
        };
        let outcomes = |disk: &SimDisk| {
            let (mut choices, mut found) = (Choices::all(), BTreeSet::new());
            loop {
                let crashed = disk.crash(disk.changes(), &mut choices);
                let names = crashed.list(dir).unwrap();
                found.insert(names.into_iter().map(|name| (crashed.bytes(&dir.join(&name)), name)).collect::<Vec<_>>());
                if !choices.advance() {
                    return found;
                }
            }
        };
        let (whole, folded) = (make(false), make(true));
        assert!(folded.changes() < whole.changes());
        assert_eq!(outcomes(&folded), outcomes(&whole));
        assert!(outcomes(&whole).len() > 4);
    }

    #[test]
    fn choices_go_through_everything() {
        let mut choices = Choices::all();
        let mut seen = Vec::new();
        loop {
            let first = choices.pick(2);
            seen.push(if first == 0 { (0, choices.pick(3)) } else { (1, 9) });
            if !choices.advance() {
                break;
            }
        }
        assert_eq!(seen, [(0, 0), (0, 1), (0, 2), (1, 9)]);
    }
}
