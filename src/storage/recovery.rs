//! What a start goes on from: which snapshot, which part of the log, or nothing at all because it cannot be
//! known.
//!
//! Two questions, each a table. First, from the snapshots that are whole and where the log begins, what to
//! load:
//!
//! ```text
//!   snapshots             | no log                | log from birth | log begins at or | log begins
//!                         |                       |                | before snapshot  | behind it
//!  -----------------------+-----------------------+----------------+------------------+-----------------
//!   none                  | Fresh [1]             | LogOnly        | (cannot be)      | SnapshotMissing
//!   only damaged          | SnapshotDamaged       | LogOnly        | (cannot be)      | SnapshotDamaged
//!   whole                 | LogMissing [2]        | SnapshotAndLog | SnapshotAndLog   | LogMissing [2]
//!   whole, newer damaged  | SnapshotDamaged       | OlderSnapshot  | OlderSnapshot    | SnapshotDamaged
//! ```
//! [1] LogMissing if this directory has had a log before.
//! [2] SnapshotOnly if the snapshot was installed from elsewhere (sync, restore, import), or if the operator
//! accepted the loss. A log older than an installed snapshot that replaced it counts as none.
//!
//! Then, when the log has been read to its end, whether that end can be true. A snapshot, even a damaged one, is
//! a witness that the log had been durable up to its zxid, unless it was installed:
//!
//! ```text
//!   the log ends ...      at or behind every snapshot         -> Serve
//!                         before the snapshot loaded, which   -> SnapshotOnly
//!                           was installed, or loss accepted
//!                         before a snapshot otherwise         -> LogShort
//! ```
//! Damage within the log is decided where it is found, see [`super::log::chain`], and what is damaged at its end by whether the
//! server was stopped in order, which leaves the header of a segment behind it ([`super::log::segment::close`]):
//!
//! ```text
//!   the last frame is ... | stopped in order      | killed, or without power, since it was begun
//!  -----------------------+-----------------------+----------------------------------------------
//!   whole                 | Serve                 | Serve
//!   damaged, or zeros     | corrupt [3]           | an unfinished write: dropped, and said
//! ```
//! [3] Unless a snapshot holds all of the log: it is not read then. A mark whose own header is damaged is none.
//!
//! Nothing on the disk is changed here; the log goes on with [`begin_log`].

use super::disk::{Disk, DiskError};
use super::log::chain::{Chain, LogError};
use super::log::frame::{BLOCK, DirectoryId};
use super::log::segment::{self, OpenSegment, Position, SegmentId};
use super::log::writer::LogOptions;
use super::replay::Replay;
use super::snapshot::format::{self, SnapshotHeader};
use super::snapshot::load::{self, Snapshot, SnapshotError};
use crate::fatal::{Fatal, Reason};
use crate::ids::Zxid;
use std::fmt;
use std::path::Path;

/// The file by which an operator says that a server with nothing on its disk is a new one, in the directory of
/// the log (ZooKeeper's zkServer-initialize.sh makes it).
pub(super) const MARKER: &str = "initialize";

/// Where to recover from, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecoveryOptions<'a> {
    pub snapshot_dir: &'a Path,
    /// May be the same.
    pub log_dir: &'a Path,
    pub directory: DirectoryId,
    /// This directory has had a log before: none at all is a loss, not a beginning.
    pub born: bool,
    /// Go on from a whole snapshot when the log behind it is missing. For one start, by the operator.
    pub accept_log_loss: bool,
    /// Threads that read and check a snapshot.
    pub threads: usize,
}

/// What was recovered, and where the log goes on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Recovered {
    pub plan: Plan,
    /// The last transaction of the state.
    pub zxid: Zxid,
    /// The snapshot loaded.
    pub snapshot: Option<SnapshotHeader>,
    /// Transactions replayed from the log.
    pub replayed: u64,
    /// What an operator should know: what was dropped, skipped or passed over, one line each.
    pub notes: Vec<String>,
    /// The log was closed by an orderly stop: its last frame is known to be the last.
    pub was_closed: bool,
    /// The operator's mark that a server with nothing here is a new one lies in the log's directory.
    pub marked_new: bool,
    position: Position,
    next: SegmentId,
    /// Names in the log's directory that are of no use once the log goes on.
    dead: Vec<SegmentId>,
    aside: Vec<String>,
}

/// What the snapshots are like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Snapshots {
    None,
    OnlyDamaged,
    Whole { zxid: Zxid, installed: bool, newer_damaged: bool },
}

/// Where the log begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Log {
    None,
    FromBirth,
    /// With the transaction after this one.
    After(Zxid),
}

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Plan {
    /// A new server: the empty state.
    Fresh,
    /// The empty state, then the whole log.
    LogOnly,
    /// The newest snapshot, then the log behind it.
    SnapshotAndLog,
    /// As before, with an older snapshot because newer ones are damaged.
    OlderSnapshot,
    /// The snapshot and nothing else; a new log begins behind it.
    SnapshotOnly,
    Refuse(Refusal),
}

/// Why a start is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// The log begins in the middle and there is no snapshot.
    SnapshotMissing,
    /// The snapshots that would be needed are damaged.
    SnapshotDamaged,
    /// The log between the snapshot and the present is not there.
    LogMissing,
    /// The log ends before a snapshot that was made from it.
    LogShort,
}

/// The first table.
pub(crate) fn plan(snapshots: Snapshots, log: Log, born: bool, accept_log_loss: bool) -> Plan {
    use Plan::*;
    use Refusal::*;
    match (snapshots, log) {
        (Snapshots::None, Log::None) if born => Refuse(LogMissing),
        (Snapshots::None, Log::None) => Fresh,
        (Snapshots::None, Log::FromBirth) => LogOnly,
        (Snapshots::None, Log::After(_)) => Refuse(SnapshotMissing),
        (Snapshots::OnlyDamaged, Log::FromBirth) => LogOnly,
        (Snapshots::OnlyDamaged, Log::None | Log::After(_)) => Refuse(SnapshotDamaged),
        (Snapshots::Whole { newer_damaged: false, .. }, Log::FromBirth) => SnapshotAndLog,
        (Snapshots::Whole { newer_damaged: true, .. }, Log::FromBirth) => OlderSnapshot,
        (Snapshots::Whole { zxid, newer_damaged, .. }, Log::After(after)) if after <= zxid => {
            if newer_damaged {
                OlderSnapshot
            } else {
                SnapshotAndLog
            }
        }
        (Snapshots::Whole { newer_damaged: true, .. }, Log::None | Log::After(_)) => Refuse(SnapshotDamaged),
        (Snapshots::Whole { installed, .. }, Log::None | Log::After(_)) => {
            if installed || accept_log_loss {
                SnapshotOnly
            } else {
                Refuse(LogMissing)
            }
        }
    }
}

/// The second table: whether a log that ends with `last` can be the whole log. `witness` is the largest zxid
/// any snapshot has.
pub(crate) fn finish(plan: Plan, snapshots: Snapshots, last: Zxid, witness: Zxid, accept_log_loss: bool) -> Plan {
    match snapshots {
        _ if last >= witness => plan,
        Snapshots::Whole { zxid, installed, .. } if zxid == witness && (installed || accept_log_loss) => {
            Plan::SnapshotOnly
        }
        _ => Plan::Refuse(Refusal::LogShort),
    }
}

/// Why nothing was recovered.
#[derive(Debug)]
pub(crate) enum RecoveryError {
    Disk(DiskError),
    Log(LogError),
    /// One of the tables says no; the line has what was found.
    Refused {
        refusal: Refusal,
        found: String,
    },
    /// A file of another directory, or of a later version.
    WrongDirectory(String),
}

impl From<DiskError> for RecoveryError {
    fn from(error: DiskError) -> RecoveryError {
        RecoveryError::Disk(error)
    }
}

impl From<LogError> for RecoveryError {
    fn from(error: LogError) -> RecoveryError {
        match error {
            LogError::Disk(error) => RecoveryError::Disk(error),
            LogError::Foreign { .. } | LogError::UnknownVersion { .. } => {
                RecoveryError::WrongDirectory(error.to_string())
            }
            _ => RecoveryError::Log(error),
        }
    }
}

impl fmt::Display for RecoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecoveryError::Disk(error) => error.fmt(f),
            RecoveryError::Log(error) => error.fmt(f),
            RecoveryError::WrongDirectory(what) => f.write_str(what),
            RecoveryError::Refused { refusal, found } => {
                f.write_str(match refusal {
                    Refusal::SnapshotMissing => "the log begins in the middle and there is no snapshot to begin from",
                    Refusal::SnapshotDamaged => {
                        "the snapshot needed is damaged and the log does not reach back behind it"
                    }
                    Refusal::LogMissing => "the log that followed the snapshot is not there",
                    Refusal::LogShort => "the log ends before a snapshot that was made from it",
                })?;
                write!(f, ": {found}")
            }
        }
    }
}

impl std::error::Error for RecoveryError {}

impl From<RecoveryError> for Fatal {
    fn from(error: RecoveryError) -> Fatal {
        let reason = match &error {
            RecoveryError::Disk(_) => None,
            RecoveryError::Log(LogError::Refused { .. }) => Some(Reason::ReplayFailed),
            RecoveryError::Log(LogError::Gap { .. }) => Some(Reason::LogMissing),
            RecoveryError::Log(_) => Some(Reason::LogCorrupt),
            RecoveryError::WrongDirectory(_) => Some(Reason::WrongDataDirectory),
            RecoveryError::Refused { refusal: Refusal::LogMissing | Refusal::LogShort, .. } => Some(Reason::LogMissing),
            RecoveryError::Refused { .. } => Some(Reason::SnapshotCorrupt),
        };
        match (reason, error) {
            (None, RecoveryError::Disk(error)) => error.into(),
            (reason, error) => Fatal::new(reason.unwrap_or(Reason::DiskIo), error.to_string()),
        }
    }
}

/// Recovers the state into `replay`. Reads only.
pub(crate) fn recover(
    disk: &dyn Disk,
    options: &RecoveryOptions<'_>,
    replay: &mut dyn Replay,
) -> Result<Recovered, RecoveryError> {
    let chain = Chain::discover(disk, options.log_dir, options.directory)?;
    let log = match chain.starts_after() {
        None => Log::None,
        Some(_) if chain.starts_at_birth() => Log::FromBirth,
        Some(zxid) => Log::After(zxid),
    };
    // Files prepared for a log show that there was one, even if the header of its only segment is gone.
    let born = options.born || chain.highest > SegmentId(0);
    let marked_new = disk.list(options.log_dir)?.iter().any(|name| name == MARKER);
    let names = load::list(disk, options.snapshot_dir)?;
    let newest = names.first().map(|(zxid, _)| *zxid);
    let decide = |snapshots, header: Option<&SnapshotHeader>| {
        let log = if header.is_some_and(|header| is_superseded(&chain, header)) { Log::None } else { log };
        plan(snapshots, log, born, options.accept_log_loss)
    };
    let Loaded { plan, snapshots, snapshot, notes } = load_newest(disk, options, &names, &decide, replay)?;
    let refuse = |refusal, last| {
        Err(RecoveryError::Refused { refusal, found: found(options.log_dir, newest, snapshots, log, last) })
    };
    let from = snapshot.map_or(Zxid::ZERO, |header| header.zxid);
    let mut recovered = Recovered {
        notes,
        was_closed: chain.segments.last().is_some_and(|head| head.header.is_mark()),
        marked_new,
        next: chain.highest.next().max(snapshot.map_or(SegmentId(0), |header| header.log_from)),
        dead: chain.dead.clone(),
        aside: chain.aside.clone(),
        ..Recovered::of(plan, snapshot, from)
    };
    match recovered.plan {
        Plan::Fresh => return Ok(recovered),
        Plan::Refuse(refusal) => return refuse(refusal, None),
        Plan::SnapshotOnly => return Ok(recovered.without_log(&chain)),
        Plan::LogOnly | Plan::SnapshotAndLog | Plan::OlderSnapshot => {}
    }
    let replayed = &mut recovered.replayed;
    let tail = chain.replay(disk, options.log_dir, from, &mut |zxid, txn| {
        *replayed += 1;
        replay.txn(zxid, txn)
    })?;
    let last = tail.position.zxid;
    recovered.notes.extend(tail.skipped.iter().map(|skipped| skipped.to_string()));
    recovered.notes.extend(tail.torn.iter().map(|torn| torn.to_string()));
    match finish(recovered.plan, snapshots, last, newest.unwrap_or_default(), options.accept_log_loss) {
        Plan::Refuse(refusal) => return refuse(refusal, Some(last)),
        Plan::SnapshotOnly => return Ok(recovered.without_log(&chain)),
        _ => {}
    }
    recovered.zxid = last;
    recovered.position = tail.position;
    let head = chain.segments.last().expect("the log was read");
    if tail.position.end == BLOCK as u64 && tail.torn.is_none() {
        // Nothing was ever written to the head: the log goes on from where the head would have.
        recovered.position = head.header.after;
        recovered.dead.push(head.header.id);
    }
    assert_eq!(recovered.position.zxid, recovered.zxid, "the log goes on behind what was recovered");
    assert!(recovered.dead.iter().all(|id| *id < recovered.next), "no number is given twice");
    Ok(recovered)
}

/// Whether the whole log is of a history that an installed snapshot has replaced: the process ended before the
/// log was begun anew.
fn is_superseded(chain: &Chain, snapshot: &SnapshotHeader) -> bool {
    let head = chain.segments.last().map(|segment| segment.header.id);
    snapshot.installed && head.is_some_and(|head| head < snapshot.log_from)
}

impl Recovered {
    /// What was loaded, before any of the log.
    pub(super) fn of(plan: Plan, snapshot: Option<SnapshotHeader>, zxid: Zxid) -> Recovered {
        Recovered {
            plan,
            zxid,
            snapshot,
            replayed: 0,
            notes: Vec::new(),
            was_closed: false,
            marked_new: false,
            position: Position { zxid, ..Position::default() },
            next: SegmentId(0),
            dead: Vec::new(),
            aside: Vec::new(),
        }
    }

    /// The log ends before the snapshot or is not there: a new one begins behind the snapshot.
    fn without_log(mut self, chain: &Chain) -> Recovered {
        let zxid = self.zxid;
        self.plan = Plan::SnapshotOnly;
        self.notes.push(format!("there is no log behind the snapshot at {zxid}: a new one begins there"));
        self.dead.extend(chain.segments.iter().map(|segment| segment.header.id));
        self
    }
}

/// What a start begins with.
struct Loaded {
    plan: Plan,
    snapshots: Snapshots,
    /// The snapshot loaded.
    snapshot: Option<SnapshotHeader>,
    notes: Vec<String>,
}

/// Loads the newest snapshot that is whole, unless the table has no use for it; says what was passed over.
fn load_newest(
    disk: &dyn Disk,
    options: &RecoveryOptions<'_>,
    names: &[(Zxid, String)],
    decide: &dyn Fn(Snapshots, Option<&SnapshotHeader>) -> Plan,
    replay: &mut dyn Replay,
) -> Result<Loaded, RecoveryError> {
    let mut notes = Vec::new();
    for (zxid, name) in names {
        replay.restart();
        let damage = match Snapshot::open(disk, options.snapshot_dir, name) {
            Ok(snapshot) if snapshot.header().directory != options.directory => {
                let whose = snapshot.header().directory;
                return Err(RecoveryError::WrongDirectory(format!("{name} belongs to the data directory {whose}")));
            }
            Ok(snapshot) => {
                let header = *snapshot.header();
                let newer_damaged = !notes.is_empty();
                let snapshots = Snapshots::Whole { zxid: *zxid, installed: header.installed, newer_damaged };
                let plan = decide(snapshots, Some(&header));
                if matches!(plan, Plan::Refuse(_)) {
                    return Ok(Loaded { plan, snapshots, snapshot: None, notes });
                }
                match snapshot.load(options.threads, replay) {
                    Ok(Ok(())) => return Ok(Loaded { plan, snapshots, snapshot: Some(header), notes }),
                    Ok(Err(refused)) => SnapshotError::Damaged(format!("it does not load: {refused}")),
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        match damage {
            SnapshotError::Disk(error) => return Err(error.into()),
            SnapshotError::UnknownVersion(_) => {
                return Err(RecoveryError::WrongDirectory(format!("{name}: {damage}")));
            }
            SnapshotError::Damaged(_) => notes.push(format!("{name} is damaged and was passed over: {damage}")),
        }
    }
    replay.restart();
    let snapshots = if names.is_empty() { Snapshots::None } else { Snapshots::OnlyDamaged };
    Ok(Loaded { plan: decide(snapshots, None), snapshots, snapshot: None, notes })
}

/// What a refusal rests on, in words.
fn found(log_dir: &Path, newest: Option<Zxid>, snapshots: Snapshots, log: Log, last: Option<Zxid>) -> String {
    let snapshots = match (snapshots, newest) {
        (Snapshots::OnlyDamaged, Some(newest)) => format!("snapshots up to {newest}, all damaged"),
        (Snapshots::Whole { zxid, newer_damaged: true, .. }, Some(newest)) => {
            format!("snapshots up to {newest}, damaged down to the one at {zxid}")
        }
        (Snapshots::Whole { zxid, .. }, _) => format!("the newest snapshot is at {zxid}"),
        _ => "no snapshot".to_string(),
    };
    let dir = log_dir.display();
    let log = match (log, last) {
        (Log::None, _) => format!("no log in {dir}"),
        (_, Some(last)) => format!("the log in {dir} ends at {last}"),
        (Log::FromBirth, None) => format!("the log in {dir} is there from its beginning"),
        (Log::After(after), None) => format!("the log in {dir} begins after {after}"),
    };
    format!("{snapshots}; {log}")
}

/// Lets the log go on behind what was recovered: begins its next segment, and only then disposes of the files
/// that are no part of it. At most `spares` files are kept to be used again.
pub(crate) fn begin_log(
    disk: &dyn Disk,
    options: &RecoveryOptions<'_>,
    recovered: &Recovered,
    log: &LogOptions,
    spares: usize,
) -> Result<OpenSegment, DiskError> {
    let Recovered { position, next, .. } = *recovered;
    let dir = options.log_dir;
    remove_abandoned(disk, options, recovered)?;
    let opened = segment::begin(disk, dir, options.directory, next, log.first_segment_bytes(), position, &[])?;
    for name in disk.list(options.snapshot_dir)?.iter().filter(|name| format::is_aside(name)) {
        disk.remove(&options.snapshot_dir.join(name))?;
    }
    for name in &recovered.aside {
        match disk.remove(&dir.join(name)) {
            // It may be the one just begun: made anew, and renamed.
            Err(error) if error.is_not_found() => {}
            done => done?,
        }
    }
    super::retention::dispose(disk, dir, &recovered.dead, spares)?;
    Ok(opened)
}

/// Removes snapshots whose installation was not finished: another one is in force, so the log that would go on
/// from them is not going to be begun, and the next segment would pass for it.
fn remove_abandoned(disk: &dyn Disk, options: &RecoveryOptions<'_>, recovered: &Recovered) -> Result<(), DiskError> {
    let mut removed = false;
    let in_force = recovered.snapshot.map(|header| header.zxid);
    for (zxid, name) in load::list(disk, options.snapshot_dir)? {
        let abandoned = match Snapshot::open(disk, options.snapshot_dir, &name) {
            Ok(snapshot) => in_force != Some(zxid) && snapshot.header().log_from >= recovered.next,
            Err(SnapshotError::Disk(error)) => return Err(error),
            Err(_) => false,
        };
        if abandoned {
            disk.remove(&options.snapshot_dir.join(name))?;
            removed = true;
        }
    }
    if removed { disk.sync_dir(options.snapshot_dir) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every cell of the first table, with the snapshot at 10.
    #[test]
    fn the_first_table_is_complete() {
        use Plan::*;
        use Refusal::*;
        let whole = |installed, newer_damaged| Snapshots::Whole { zxid: Zxid(10), installed, newer_damaged };
        let logs = [Log::None, Log::FromBirth, Log::After(Zxid(9)), Log::After(Zxid(10)), Log::After(Zxid(11))];
        let no = Refuse;
        #[rustfmt::skip]
        let table = [
            // snapshots            born   accepted   no log               from birth      after 9              after 10             after 11
            (Snapshots::None,        false, false, [Fresh,               LogOnly,        no(SnapshotMissing), no(SnapshotMissing), no(SnapshotMissing)]),
            (Snapshots::None,        true,  false, [no(LogMissing),      LogOnly,        no(SnapshotMissing), no(SnapshotMissing), no(SnapshotMissing)]),
            (Snapshots::None,        true,  true,  [no(LogMissing),      LogOnly,        no(SnapshotMissing), no(SnapshotMissing), no(SnapshotMissing)]),
            (Snapshots::OnlyDamaged, true,  false, [no(SnapshotDamaged), LogOnly,        no(SnapshotDamaged), no(SnapshotDamaged), no(SnapshotDamaged)]),
            (Snapshots::OnlyDamaged, true,  true,  [no(SnapshotDamaged), LogOnly,        no(SnapshotDamaged), no(SnapshotDamaged), no(SnapshotDamaged)]),
            (whole(false, false),    true,  false, [no(LogMissing),      SnapshotAndLog, SnapshotAndLog,      SnapshotAndLog,      no(LogMissing)]),
            (whole(true,  false),    true,  false, [SnapshotOnly,        SnapshotAndLog, SnapshotAndLog,      SnapshotAndLog,      SnapshotOnly]),
            (whole(false, false),    true,  true,  [SnapshotOnly,        SnapshotAndLog, SnapshotAndLog,      SnapshotAndLog,      SnapshotOnly]),
            (whole(false, true),     true,  false, [no(SnapshotDamaged), OlderSnapshot,  OlderSnapshot,       OlderSnapshot,       no(SnapshotDamaged)]),
            (whole(true,  true),     true,  false, [no(SnapshotDamaged), OlderSnapshot,  OlderSnapshot,       OlderSnapshot,       no(SnapshotDamaged)]),
            (whole(false, true),     true,  true,  [no(SnapshotDamaged), OlderSnapshot,  OlderSnapshot,       OlderSnapshot,       no(SnapshotDamaged)]),
        ];
        for (snapshots, born, accepted, row) in table {
            for (log, expected) in logs.into_iter().zip(row) {
                assert_eq!(plan(snapshots, log, born, accepted), expected, "{snapshots:?} {log:?} {born} {accepted}");
            }
        }
    }

    #[test]
    fn the_second_table_is_complete() {
        let whole = |installed, newer_damaged| Snapshots::Whole { zxid: Zxid(10), installed, newer_damaged };
        let (served, short) = (Plan::SnapshotAndLog, Plan::Refuse(Refusal::LogShort));
        #[rustfmt::skip]
        let table = [
            // snapshots             last witness accepted
            (whole(false, false),      10, 10, false, served),
            (whole(false, false),      11, 10, false, served),
            (whole(false, false),       9, 10, false, short),
            (whole(false, false),       9, 10, true,  Plan::SnapshotOnly),
            (whole(true,  false),       9, 10, false, Plan::SnapshotOnly),
            (whole(true,  true),       11, 12, false, short),
            (whole(false, true),       11, 12, true,  short),
            (whole(false, true),       12, 12, false, served),
            (Snapshots::OnlyDamaged,   11, 12, true,  short),
            (Snapshots::OnlyDamaged,   12, 12, false, served),
            (Snapshots::None,           0,  0, false, served),
        ];
        for (snapshots, last, witness, accepted, expected) in table {
            let found = finish(Plan::SnapshotAndLog, snapshots, Zxid(last), Zxid(witness), accepted);
            assert_eq!(found, expected, "{snapshots:?} {last} {witness} {accepted}");
        }
    }
}
