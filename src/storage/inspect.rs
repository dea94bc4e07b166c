//! Looking into files without a server: what `corral log` and `corral snapshot` print.
//!
//! Reads only, and needs no lock: a running server's files may be looked at, its last frames may then still be
//! on their way. Every function hands lines to `line` and says at the end whether all was well.

use super::disk::{Disk, DiskError};
use super::log::chain::{Chain, LogError};
use super::log::frame::{BLOCK, Claim, DirectoryId};
use super::log::reader::{Probe, SegmentReader};
use super::log::segment::SegmentId;
use super::replay::{Replay, ReplayError, ZnodeRecord};
use super::snapshot::format::SnapshotHeader;
use super::snapshot::load::{self, Snapshot};
use crate::ids::{SessionId, Zxid};
use std::path::Path;

/// Describes a transaction in one line.
pub(crate) type Describe<'a> = &'a dyn Fn(&[u8]) -> String;

/// Checks the log in `dir` as a start would: every frame of every segment. True if it is whole.
pub(crate) fn verify_log(
    disk: &dyn Disk,
    dir: &Path,
    directory: DirectoryId,
    line: &mut dyn FnMut(String),
) -> Result<bool, DiskError> {
    let chain = match Chain::discover(disk, dir, directory) {
        Ok(chain) => chain,
        Err(LogError::Disk(error)) => return Err(error),
        Err(error) => {
            line(format!("damaged: {error}"));
            return Ok(false);
        }
    };
    for segment in &chain.segments {
        let header = &segment.header;
        line(format!(
            "{}: {} bytes, goes on after {} ({} byte {})",
            header.id.file_name(),
            header.capacity,
            header.after.zxid,
            header.after.segment,
            header.after.end
        ));
    }
    for id in &chain.dead {
        line(format!("{}: not part of the log", id.file_name()));
    }
    if let Some(id) = chain.broken {
        line(format!("{}: the header is damaged; the log cannot be followed further back", id.file_name()));
    }
    let Some(from) = chain.starts_after() else {
        line("no log".to_string());
        return Ok(chain.broken.is_none());
    };
    let mut count = 0u64;
    let tail = chain.replay(disk, dir, from, &mut |_, _| {
        count += 1;
        Ok(())
    });
    match tail {
        Ok(tail) => {
            if let Some(torn) = tail.torn {
                line(format!("unfinished: {torn}"));
            }
            line(format!("whole: {count} transactions after {from}, the last is {}", tail.position.zxid));
            Ok(chain.broken.is_none())
        }
        Err(LogError::Disk(error)) => Err(error),
        Err(error) => {
            line(format!("damaged: {error}"));
            Ok(false)
        }
    }
}

/// Prints one segment frame by frame, with every transaction if `describe` is there. Goes on behind damage.
/// True if there was none before the last whole frame.
pub(crate) fn dump_segment(
    disk: &dyn Disk,
    dir: &Path,
    id: SegmentId,
    describe: Option<Describe<'_>>,
    line: &mut dyn FnMut(String),
) -> Result<bool, DiskError> {
    let mut reader = SegmentReader::open(disk, dir, id)?;
    let header = match reader.header()? {
        Ok(Some((header, _))) => header,
        Ok(None) => {
            // Which of the two it is needs the whole log, and is for `verify_log` to say.
            line(format!("{}: no header: prepared and never begun, or damaged", id.file_name()));
            return Ok(true);
        }
        Err(version) => {
            line(format!("{}: format version {}", id.file_name(), version.0));
            return Ok(false);
        }
    };
    let recycled = if header.recycled { ", recycled" } else { "" };
    line(format!(
        "{}: directory {}, {} bytes{recycled}, goes on after {} ({} byte {})",
        id.file_name(),
        header.directory,
        header.capacity,
        header.after.zxid,
        header.after.segment,
        header.after.end
    ));
    let (mut offset, mut whole) = (BLOCK as u64, true);
    let end = reader.length();
    while offset < end {
        let claim = match reader.probe(offset, header.directory)? {
            Probe::Frame(frame, txns) => {
                line(format!(
                    "  frame at {offset}: {} bytes, {} transactions {}..{}, durable up to {}",
                    frame.length, frame.count, frame.first, frame.last, frame.durable_upto
                ));
                if let Some(describe) = describe {
                    for (zxid, txn) in txns {
                        line(format!("    {zxid}: {} bytes: {}", txn.len(), describe(txn)));
                    }
                }
                offset += frame.size() as u64;
                continue;
            }
            Probe::None(claim) => claim,
        };
        let next = reader.find(offset + BLOCK as u64, end, header.directory)?;
        let what = match claim {
            Claim::Zeros => "never written",
            Claim::Foreign => "content of an earlier life of the file",
            Claim::Frame(_) => "a damaged frame",
            Claim::Other => "no frame",
        };
        line(format!("  at {offset}: {what}"));
        let Some(frame) = next else { break };
        whole = false;
        offset = frame.offset;
    }
    Ok(whole)
}

/// Prints every segment in `dir` with [`dump_segment`], oldest number first.
pub(crate) fn dump_log(
    disk: &dyn Disk,
    dir: &Path,
    describe: Option<Describe<'_>>,
    line: &mut dyn FnMut(String),
) -> Result<bool, DiskError> {
    let mut whole = true;
    for name in disk.list(dir)? {
        if let Some(super::log::segment::Named::Segment(id)) = super::log::segment::named(&name) {
            whole &= dump_segment(disk, dir, id, describe, line)?;
        }
    }
    Ok(whole)
}

/// Checks every snapshot in `dir`. True if all are whole.
pub(crate) fn verify_snapshots(disk: &dyn Disk, dir: &Path, line: &mut dyn FnMut(String)) -> Result<bool, DiskError> {
    let mut whole = true;
    for (_, name) in load::list(disk, dir)? {
        whole &= report(
            &name,
            Snapshot::open(disk, dir, &name).and_then(|snapshot| {
                snapshot.verify(1)?;
                Ok(describe_snapshot(&snapshot))
            }),
            line,
        )?;
    }
    Ok(whole)
}

/// Prints everything in the snapshot called `name`; `acl` describes an ACL list's bytes.
pub(crate) fn dump_snapshot(
    disk: &dyn Disk,
    dir: &Path,
    name: &str,
    acl: Describe<'_>,
    line: &mut dyn FnMut(String),
) -> Result<bool, DiskError> {
    let loaded = Snapshot::open(disk, dir, name).and_then(|snapshot| {
        let loaded = snapshot.load(1, &mut Dump { acl, line })?;
        // The dump takes everything it is handed.
        Ok(loaded.map_or_else(|refused| refused.to_string(), |()| describe_snapshot(&snapshot)))
    });
    report(name, loaded, line)
}

fn report(
    name: &str,
    found: Result<String, load::SnapshotError>,
    line: &mut dyn FnMut(String),
) -> Result<bool, DiskError> {
    match found {
        Ok(what) => {
            line(format!("{name}: whole: {what}"));
            Ok(true)
        }
        Err(load::SnapshotError::Disk(error)) => Err(error),
        Err(error) => {
            line(format!("{name}: damaged: {error}"));
            Ok(false)
        }
    }
}

fn describe_snapshot(snapshot: &Snapshot) -> String {
    let SnapshotHeader { zxid, digest, installed, server, directory, created_ms, .. } = *snapshot.header();
    let records: u64 = snapshot.entries().iter().map(|entry| u64::from(entry.records)).sum();
    let digest = digest.map_or("none".to_string(), |digest| format!("{digest:#x}"));
    let chunks = snapshot.entries().len();
    let origin = if installed { "installed" } else { "taken" };
    format!(
        "{origin} at {zxid}, digest {digest}, server {server}, directory {directory}, created {created_ms} ms, \
         {records} records in {chunks} chunks"
    )
}

/// Prints what a snapshot hands over.
struct Dump<'a> {
    acl: Describe<'a>,
    line: &'a mut dyn FnMut(String),
}

impl Replay for Dump<'_> {
    fn restart(&mut self) {}

    fn snapshot(&mut self, _: &SnapshotHeader) -> Result<(), ReplayError> {
        Ok(())
    }

    fn session(&mut self, id: SessionId, timeout_ms: i32) -> Result<(), ReplayError> {
        (self.line)(format!("session {id} timeout {timeout_ms} ms"));
        Ok(())
    }

    fn acl(&mut self, id: u32, list: &[u8]) -> Result<(), ReplayError> {
        (self.line)(format!("acl {id}: {}", (self.acl)(list)));
        Ok(())
    }

    fn znode(&mut self, record: &ZnodeRecord<'_>) -> Result<(), ReplayError> {
        let data = record.data.map_or("null".to_string(), |data| format!("{} bytes", data.len()));
        (self.line)(format!(
            "{} data {data} acl {} owner {:#x} czxid {} mzxid {} pzxid {} ctime {} mtime {} version {} cversion {} \
             aversion {}",
            record.path.escape_ascii(),
            record.acl,
            record.stat.owner,
            Zxid(record.stat.czxid),
            Zxid(record.stat.mzxid),
            Zxid(record.stat.pzxid),
            record.stat.ctime,
            record.stat.mtime,
            record.stat.version,
            record.stat.cversion,
            record.stat.aversion
        ));
        Ok(())
    }

    fn snapshot_done(&mut self, _: &SnapshotHeader) -> Result<(), ReplayError> {
        Ok(())
    }

    fn txn(&mut self, _: Zxid, _: &[u8]) -> Result<(), ReplayError> {
        Ok(())
    }
}
