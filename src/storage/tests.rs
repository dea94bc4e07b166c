//! Storage as a whole on the simulated disk: crashes at every point, damage at every byte.
//!
//! The state is the simplest one that can show a mistake: all transactions ever applied, by zxid. A snapshot holds
//! one znode per transaction. After whatever happened the state must be a beginning of what was written, with
//! at least everything that was acknowledged, or the start must be refused by name.

mod crash;
mod damage;
mod files;
mod purge;
mod rebase;
mod seek;
mod stream;

use super::disk::{Disk, DiskError};
use super::identity;
use super::log::chain::LogError;
use super::log::frame::follows;
use super::log::segment::{self, SegmentId};
use super::log::writer::{LogOptions, LogWriter};
use super::recovery::{self, Recovered, RecoveryOptions};
use super::replay::{Replay, ReplayError, ZnodeRecord};
use super::retention::{Purged, Retention, RetentionOptions};
use super::snapshot::format::SnapshotHeader;
use super::snapshot::write::SnapshotWriter;
use crate::fatal::Fatal;
use crate::ids::{SessionId, Zxid};
use crate::jute::StatPersisted;
use crate::sim::disk::SimDisk;
use crate::tree::ApplyError;
use std::path::{Path, PathBuf};

/// Two directories, so that the sync of one does not make up for a missing sync of the other.
const DIR: &str = "data";
const LOG_DIR: &str = "log";

/// Small enough that segments fill up after a few frames.
const LOG: LogOptions = LogOptions { max_txn: 3000, buffer_bytes: 4096, segment_bytes: 5 * 4096 };
const SPARES: usize = 1;

/// The transaction with this zxid.
fn txn(zxid: Zxid) -> Vec<u8> {
    let length = [3, 700, 0, 2900][zxid.0 as usize % 4];
    vec![zxid.0 as u8 ^ (zxid.epoch() as u8) << 4; length]
}

/// A state: the transactions applied.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Model {
    applied: Vec<Zxid>,
    sessions: usize,
    acls: usize,
}

impl Model {
    fn last(&self) -> Zxid {
        self.applied.last().copied().unwrap_or_default()
    }

    fn apply(&mut self, zxid: Zxid, content: &[u8]) -> Result<(), ReplayError> {
        if !follows(self.last(), zxid) {
            return Err(ApplyError::Order { zxid, head: self.last() }.into());
        }
        assert_eq!(content, txn(zxid), "content of {zxid}");
        self.applied.push(zxid);
        Ok(())
    }
}

impl Replay for Model {
    fn restart(&mut self) {
        *self = Model::default();
    }

    fn snapshot(&mut self, _: &SnapshotHeader) -> Result<(), ReplayError> {
        assert!(self.applied.is_empty());
        Ok(())
    }

    fn session(&mut self, id: SessionId, timeout_ms: i32) -> Result<(), ReplayError> {
        assert_eq!((id, timeout_ms), (SessionId(7), 3000));
        self.sessions += 1;
        Ok(())
    }

    fn acl(&mut self, id: u32, list: &[u8]) -> Result<(), ReplayError> {
        assert_eq!((id, list), (1, &b"a list"[..]));
        self.acls += 1;
        Ok(())
    }

    fn znode(&mut self, record: &ZnodeRecord<'_>) -> Result<(), ReplayError> {
        let zxid = Zxid(record.stat.mzxid);
        assert_eq!(record.path, format!("/{zxid}").as_bytes());
        self.apply(zxid, record.data.unwrap_or_default())
    }

    fn snapshot_done(&mut self, header: &SnapshotHeader) -> Result<(), ReplayError> {
        assert_eq!((self.last(), self.sessions, self.acls), (header.zxid, 1, 1));
        Ok(())
    }

    fn txn(&mut self, zxid: Zxid, txn: &[u8]) -> Result<(), ReplayError> {
        self.apply(zxid, txn)
    }
}

/// Where the file of this name is.
fn path(name: &str) -> PathBuf {
    Path::new(if segment::named(name).is_some() { LOG_DIR } else { DIR }).join(name)
}

/// All files, those of the log first.
fn names(disk: &SimDisk) -> Vec<String> {
    let list = |dir| disk.list(Path::new(dir)).unwrap();
    [list(LOG_DIR), list(DIR)].concat()
}

fn options(directory: &identity::DataDirectory) -> RecoveryOptions<'static> {
    RecoveryOptions {
        snapshot_dir: Path::new(DIR),
        log_dir: Path::new(LOG_DIR),
        directory: directory.identity.directory,
        born: directory.identity.born,
        accept_log_loss: false,
        threads: 1,
    }
}

/// A server's storage, and what it has promised.
struct Server {
    disk: SimDisk,
    directory: identity::DataDirectory,
    log: LogWriter,
    recovered: Recovered,
    state: Model,
    /// Of the transactions to come.
    epoch: i64,
    /// After how many changes of the disk which transaction had been acknowledged, and which had been written.
    promises: Vec<(usize, Zxid, Zxid)>,
}

impl Server {
    /// Removes what is not needed any more, but for so many snapshots.
    fn purge(&self, retention: &mut Retention, snapshots: usize) -> Result<Purged, LogError> {
        let options = RetentionOptions { snapshots, spares: SPARES, threads: 1 };
        let (dir, id) = (Path::new(DIR), self.directory.identity.directory);
        retention.purge(&self.disk, dir, Path::new(LOG_DIR), id, &options)
    }

    /// Starts on what the disk holds.
    fn start(disk: &SimDisk) -> Result<Server, Fatal> {
        Server::start_with(disk, false)
    }

    fn start_with(disk: &SimDisk, accept_log_loss: bool) -> Result<Server, Fatal> {
        let (dir, log_dir) = (Path::new(DIR), Path::new(LOG_DIR));
        let mut directory = identity::open(disk, dir, log_dir, identity::Starter::Alone(None), [5; 16])?;
        let mut state = Model::default();
        let options = RecoveryOptions { accept_log_loss, ..options(&directory) };
        let recovered = recovery::recover(disk, &options, &mut state)?;
        let opened = recovery::begin_log(disk, &options, &recovered, &LOG, SPARES)?;
        directory.mark_born(disk)?;
        assert_eq!((recovered.zxid, opened.zxid), (state.last(), state.last()));
        let log = LogWriter::new(&opened, LOG).expect("the options fit");
        let epoch = state.last().epoch();
        let mut server = Server { disk: disk.clone(), directory, log, recovered, state, epoch, promises: Vec::new() };
        server.promise();
        Ok(server)
    }

    fn promise(&mut self) {
        self.promises.push((self.disk.changes(), self.log.durable(), self.state.last()));
    }

    /// Appends `count` transactions and writes them as one group, unless they do not fit into one.
    fn write(&mut self, count: usize) -> Result<(), DiskError> {
        for _ in 0..count {
            let last = self.state.last();
            let zxid = if self.epoch > last.epoch() { Zxid(self.epoch << 32 | 1) } else { last.next() };
            while self.log.append(zxid, &txn(zxid)).is_err() {
                self.flush()?;
            }
            self.state.applied.push(zxid);
        }
        self.promise();
        while !self.log.is_idle() {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        let write = match self.log.next_write() {
            Some(write) => write,
            None => {
                // As late as possible: nothing else syncs the directory between this and the first frame.
                let request = self.log.needs_segment().expect("only space is missing");
                let ready = segment::prepare(&self.disk, Path::new(LOG_DIR), request.id, request.capacity)?;
                self.log.segment_ready(ready);
                self.log.next_write().expect("something to write")
            }
        };
        let path = path(&write.segment.file_name());
        self.disk.write_synced(&path, write.offset, self.log.bytes(&write))?;
        self.log.written();
        self.promise();
        Ok(())
    }

    /// Stops in order.
    fn stop(self) -> Result<SimDisk, LogError> {
        if let Some(end) = self.log.closing() {
            super::rebase::close(&self.disk, &options(&self.directory), end, self.log.highest())?;
        }
        Ok(self.disk)
    }

    fn snapshot(&self) -> Result<String, DiskError> {
        self.snapshot_of(&self.state, false, SegmentId(0))
    }

    fn snapshot_at(&self, zxid: Zxid, installed: bool) -> Result<String, DiskError> {
        let state = Model { applied: (1..=zxid.0).map(Zxid).collect(), ..Model::default() };
        self.snapshot_of(&state, installed, SegmentId(0))
    }

    fn snapshot_of(&self, state: &Model, installed: bool, log_from: SegmentId) -> Result<String, DiskError> {
        let (zxid, directory) = (state.last(), self.directory.identity.directory);
        let digest = Some(1);
        let header = SnapshotHeader { zxid, digest, installed, log_from, directory, ..SnapshotHeader::default() };
        let mut writer = SnapshotWriter::create(&self.disk, Path::new(DIR), header)?;
        writer.push_session(SessionId(7), 3000)?;
        writer.push_acl(1, b"a list")?;
        for zxid in &state.applied {
            let (path, data) = (format!("/{zxid}"), txn(*zxid));
            let stat = StatPersisted { mzxid: zxid.0, ..Default::default() };
            let record = ZnodeRecord { path: path.as_bytes(), data: Some(&data), acl: 0, stat };
            writer.push_znode(&record)?;
        }
        Ok(writer.finish()?.name)
    }
}
