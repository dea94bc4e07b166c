//! What a server finds in its data directory at its start, and what its helper threads do there afterwards.

use super::clock::Clocks;
use super::disk::RealDisk;
use super::helpers::{Rebase, Work};
use super::memory::Growing;
use crate::config::{Config, Ensemble, Settings};
use crate::fatal::{Fatal, Reason};
use crate::ids::Zxid;
use crate::limits;
use crate::server::quorum::{MemberSecrets, Record};
use crate::server::read_back;
use crate::server::rebuild::Rebuild;
use crate::server::snapshot::{SnapshotJob, write_snapshot};
use crate::session::{Passwords, SessionSecret};
use crate::storage::agreed;
use crate::storage::disk::Disk;
use crate::storage::dynamic;
use crate::storage::eligibility::{Eligibility, consume_marker};
use crate::storage::epochs::EpochFile;
use crate::storage::identity::{self, DataDirectory, Identity, Past, Starter};
use crate::storage::log::frame::DirectoryId;
use crate::storage::log::seek::Stretch;
use crate::storage::log::segment::{self, OpenSegment, Position, SegmentId};
use crate::storage::log::writer::{LogOptions, LogWriter, SegmentRequest};
use crate::storage::rebase;
use crate::storage::recovery::{self, Plan, Recovered, RecoveryError, RecoveryOptions};
use crate::storage::retention::{Retention, RetentionOptions};
use crate::storage::snapshot::format::file_name;
use crate::tree::state::{State, StateOptions};
use crate::zab::agreed::Held;
use crate::zab::epochs::Epochs;
use crate::zab::history::{History, HistoryLimits};
use crate::zab::voters::ServerId;
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Log files kept to be used again.
const SPARES: usize = 2;

/// What was recovered from the data directory.
pub(super) struct Data {
    pub(crate) state: State,
    pub(crate) log: LogWriter,
    pub(crate) zxid: Zxid,
    /// How the passwords of sessions are made and checked.
    pub(crate) passwords: Passwords,
    /// The server's id; 0 if none is configured.
    pub(crate) server: i64,
    /// Transactions of the log behind the snapshot loaded.
    pub(crate) replayed: u64,
    /// The newest whole snapshot, which was loaded.
    snapshot: Option<Zxid>,
    keeper: Keeper,
    member: Option<MemberData>,
}

/// What only a member of an ensemble has.
pub(crate) struct MemberData {
    pub epochs: Epochs,
    /// The end of the log.
    pub history: History,
    /// False: what this server acknowledged may be missing.
    pub has_database: bool,
    pub secrets: MemberSecrets,
}

/// Writes the small records, and holds the lock on the data directory.
struct Keeper {
    dir: PathBuf,
    directory: DataDirectory,
    epochs: Option<EpochFile>,
    /// The configuration file of a member, and which of the servers it is.
    configured: Option<(PathBuf, ServerId)>,
}

/// Where the files are and how they are made.
#[derive(Clone)]
struct Places {
    dir: PathBuf,
    log_dir: PathBuf,
    directory: DirectoryId,
    born: bool,
    accept_log_loss: bool,
    threads: usize,
    log: LogOptions,
}

impl Places {
    fn recovery(&self) -> RecoveryOptions<'_> {
        RecoveryOptions {
            snapshot_dir: &self.dir,
            log_dir: &self.log_dir,
            directory: self.directory,
            born: self.born,
            accept_log_loss: self.accept_log_loss,
            threads: self.threads,
        }
    }

    fn writer(&self, opened: &OpenSegment) -> Result<LogWriter, Fatal> {
        LogWriter::new(opened, self.log)
            .map_err(|error| Fatal::new(Reason::BadConfig, format!("preAllocSize: {error}")))
    }
}

/// The longest transaction, in bytes.
pub(super) fn max_txn(config: &Config) -> usize {
    limits::max_txn(config.max_buffer as usize)
}

fn log_options(config: &Config) -> LogOptions {
    LogOptions { max_txn: max_txn(config), segment_bytes: config.log_segment_bytes, ..LogOptions::default() }
}

fn places(config: &Config, directory: &DataDirectory) -> Places {
    Places {
        dir: config.data_dir.clone(),
        log_dir: config.data_log_dir.clone(),
        directory: directory.identity.directory,
        born: directory.identity.born,
        accept_log_loss: config.accept_log_loss,
        threads: usize::from(config.load_threads),
        log: log_options(config),
    }
}

impl Data {
    /// Brings back what the directory holds, and begins the log's next segment.
    pub(crate) fn recover(config: &Arc<Config>) -> Result<Data, Fatal> {
        let disk = RealDisk;
        let begun = Instant::now();
        let (dir, log_dir) = (&config.data_dir, &config.data_log_dir);
        let log_options = log_options(config);
        log_options.check().map_err(|error| Fatal::new(Reason::BadConfig, format!("preAllocSize: {error}")))?;
        if let Some(missing) = [dir, log_dir].into_iter().find(|dir| !config.create_data_dir && !dir.is_dir()) {
            let what = format!("{} does not exist and datadir.autocreate is false", missing.display());
            return Err(Fatal::new(Reason::DataDirectoryUnusable, what));
        }
        let starter = match &config.ensemble {
            Some(ensemble) => Starter::Member(ensemble.id.0),
            None => Starter::Alone(config.lone_id.map(|id| id.0)),
        };
        let mut directory = identity::open(&disk, dir, log_dir, starter, entropy()?)?;
        let own = SessionSecret(directory.session_secret(&disk, entropy()?)?);
        let heard = agreed::read(&disk, dir, directory.identity.directory)?;
        let places = places(config, &directory);
        let options = StateOptions { config: config.clone(), standalone: config.ensemble.is_none() };
        let mut rebuild = match &config.ensemble {
            Some(ensemble) => Rebuild::for_member(options, history_limits(config, &ensemble.settings)),
            None => Rebuild::new(options),
        };
        let growing = &mut Growing::new(&mut rebuild, config.memory_ahead);
        let recovered = recovery::recover(&disk, &places.recovery(), growing)?;
        if config.ensemble.is_none() && recovered.plan == Plan::Fresh && !config.create_database {
            let what = format!("{} is empty and db.autocreate is false", dir.display());
            return Err(Fatal::new(Reason::WrongDataDirectory, what));
        }
        for note in &recovered.notes {
            tracing::warn!("recovery: {note}");
        }
        if directory.identity.past == Past::LeftAlone && config.ensemble.is_none() {
            log_left_alone(&directory.identity, recovered.zxid);
        }
        let place = (&disk as &dyn Disk, dir.as_path(), &directory.identity);
        // Before the log is begun: it must be recorded that transactions may be missing, whatever happens afterwards.
        let (passwords, member) = match &config.ensemble {
            Some(ensemble) => {
                let secrets = secrets(ensemble, agreed::of_member(place, own, heard, recovered.zxid)?);
                let (file, epochs, has_database) = judge(config, &mut directory, &recovered)?;
                (secrets.passwords_at(epochs.current), Some((file, epochs, has_database, secrets)))
            }
            None => (agreed::of_lone(place, own, heard, recovered.zxid)?, None),
        };
        let opened = recovery::begin_log(&disk, &places.recovery(), &recovered, &log_options, SPARES)?;
        directory.mark_born(&disk)?;
        if member.is_some() {
            directory.mark_member(&disk)?;
            consume_marker(&disk, log_dir)?;
        }
        let log = places.writer(&opened)?;
        let (state, history, mismatches) = match member {
            Some(_) => {
                let (state, history, mismatches) = rebuild.finish_member();
                (state, Some(history), mismatches)
            }
            None => {
                let (state, mismatches) = rebuild.finish();
                (state, None, mismatches)
            }
        };
        tracing::info!(
            plan = ?recovered.plan, zxid = %recovered.zxid, replayed = recovered.replayed, mismatches,
            znodes = state.store().znodes(), sessions = state.sessions().count(),
            took_ms = begun.elapsed().as_millis() as u64, "recovered"
        );
        let snapshot = recovered.snapshot.map(|header| header.zxid);
        let (epochs, member) = match (member, history) {
            (Some((file, epochs, has_database, secrets)), Some(history)) => {
                (Some(file), Some(MemberData { epochs, history, has_database, secrets }))
            }
            _ => (None, None),
        };
        let configured = config.ensemble.as_ref().map(|ensemble| {
            // Whatever the working directory will be: the file says where its companion is.
            let file = std::path::absolute(&ensemble.config_file).unwrap_or(ensemble.config_file.clone());
            (file, ensemble.id)
        });
        let keeper = Keeper { dir: dir.clone(), directory, epochs, configured };
        let Recovered { zxid, replayed, .. } = recovered;
        let server = keeper.directory.identity.server;
        Ok(Data { state, log, zxid, server, replayed, passwords, snapshot, keeper, member })
    }

    /// The parts: the state, its log, how passwords are made, what only a member has, and what the helper threads do.
    pub(crate) fn into_parts(self, config: &Arc<Config>) -> (State, LogWriter, Passwords, Option<MemberData>, Work) {
        let Data { state, log, passwords, snapshot, keeper, member, .. } = self;
        (state, log, passwords, member, work(config, snapshot, keeper))
    }
}

/// The secrets of a member's passwords: a client sends the same password after it has moved to another member.
fn secrets(ensemble: &Ensemble, held: Held) -> MemberSecrets {
    let given = ensemble.settings.session_secret.as_ref();
    MemberSecrets {
        held,
        given: given.map(|secret| SessionSecret(Sha256::digest(secret.reveal().as_bytes()).into())),
        zookeeper: ensemble.settings.zookeeper_passwords,
    }
}

pub(super) fn history_limits(config: &Config, settings: &Settings) -> HistoryLimits {
    let count = HistoryLimits::default().count.max(settings.commit_log_count as usize);
    HistoryLimits { count, bytes: limits::history(max_txn(config)) }
}

/// Whether this member may vote with what was recovered, and its epochs, as they count from now on.
fn judge(
    config: &Config,
    directory: &mut DataDirectory,
    recovered: &Recovered,
) -> Result<(EpochFile, Epochs, bool), Fatal> {
    let disk = RealDisk;
    let eligibility = recovered.eligibility(&directory.identity, config.create_database);
    if eligibility == Eligibility::Unknown {
        tracing::warn!(
            data = %config.data_dir.display(),
            "what this server acknowledged may be missing: it does not vote before a leader has brought it up to date"
        );
        directory.mark_incomplete(&disk)?;
    }
    let epoch = recovered.zxid.epoch();
    let Identity { born, past, .. } = directory.identity;
    // A server that was always standalone has promised only the epochs of its log.
    let is_first = !born || eligibility == Eligibility::Unknown || past == Past::Alone;
    let first = is_first.then_some(Epochs { accepted: epoch, current: epoch });
    let opened = EpochFile::open(&disk, &config.data_dir, directory.identity.directory, first)?;
    if let Some(note) = opened.note {
        tracing::warn!("recovery: {note}");
    }
    let mut file = opened.epochs;
    if past != Past::Member && born {
        tracing::warn!(
            zxid = %recovered.zxid,
            "a server that was on its own becomes a member: what it has counts as its vote, and its session secret is the \
             ensemble's if it is the first to lead; if another one is, clients of sessions from before are told that they have \
             expired"
        );
        // A standalone server has promised itself the epochs that it began.
        let Epochs { accepted, current } = file.record();
        file.update(Epochs { accepted: accepted.max(epoch), current: current.max(epoch) })?;
    }
    let epochs = file
        .record()
        .at_start(recovered.zxid)
        .map_err(|error| Fatal::new(Reason::EpochsLost, format!("{}: {error}", config.data_dir.display())))?;
    file.update(epochs)?;
    Ok((file, epochs, eligibility != Eligibility::Unknown))
}

/// The directory is a member's, but the configuration has no ensemble. The operator thereby says that no other member
/// continues with the common data; the consequences are logged at every such start.
fn log_left_alone(identity: &Identity, zxid: Zxid) {
    let missing = if identity.complete { "" } else { "; what it had acknowledged to them may be missing" };
    tracing::warn!(
        server = identity.server,
        %zxid,
        "this directory was a member's, and its server is on its own now{missing}: what its log has counts as committed, whether a \
         quorum had it or not; what only others have is lost; its epochs and votes mean nothing; sessions with ZooKeeper's \
         passwords expire. Others that join it again must do so with empty directories"
    );
}

/// What the helper threads do: segments, snapshots, and tidying up after a snapshot; the log cut or begun anew; records.
fn work(config: &Arc<Config>, snapshot: Option<Zxid>, keeper: Keeper) -> Work {
    let places = places(config, &keeper.directory);
    let log_dir = places.log_dir.clone();
    let segment = move |request: SegmentRequest| {
        segment::prepare(&RealDisk, &log_dir, request.id, request.capacity).map_err(Fatal::from)
    };
    let mut retention = Retention::default();
    if let Some(zxid) = snapshot {
        retention.is_whole(&file_name(zxid));
    }
    let (config, its_places) = (config.clone(), places.clone());
    let snapshot = move |job: &mut SnapshotJob| {
        let name = save(&its_places, &config, job)?;
        retention.is_whole(&name);
        tidy(&its_places, &config, &mut retention);
        Ok(())
    };
    let (read_places, close_places) = (places.clone(), places.clone());
    let read_log = move |stretch: &Stretch| read_back::read_log(&RealDisk, &read_places.recovery(), stretch);
    let close_log = move |end: Position, above: SegmentId| {
        if let Err(error) = rebase::close(&RealDisk, &close_places.recovery(), end, above) {
            tracing::warn!(%error, "the log is not marked as closed: a next start takes what is damaged at its end for an unfinished write");
        }
    };
    let rebase = move |job: &mut Rebase| rebase_log(&places, job);
    let mut keeper = keeper;
    let record = move |record: &Record| keeper.write(record);
    Work {
        segment: Box::new(segment),
        snapshot: Box::new(snapshot),
        rebase: Box::new(rebase),
        record: Box::new(record),
        read_log: Box::new(read_log),
        close_log: Box::new(close_log),
    }
}

/// Writes a snapshot at the pace that the configuration allows; returns its name.
fn save(places: &Places, config: &Config, job: &mut SnapshotJob) -> Result<String, Fatal> {
    let begun = Instant::now();
    let created_ms = Clocks::start().now().wall_ms;
    let megabytes_per_s = config.snapshot_mb_per_s;
    let mut pace = |bytes: u64| {
        if megabytes_per_s > 0 {
            let due = Duration::from_secs_f64(bytes as f64 / (f64::from(megabytes_per_s) * 1e6));
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
        }
    };
    let written = write_snapshot(&RealDisk, &places.dir, places.directory, created_ms, job, &mut pace)?;
    let took_ms = begun.elapsed().as_millis() as u64;
    tracing::info!(file = %written.name, bytes = written.bytes, records = written.records, took_ms, "snapshot written");
    Ok(written.name)
}

fn tidy(places: &Places, config: &Config, retention: &mut Retention) {
    let Some(keep) = config.snap_retain else { return };
    let options = RetentionOptions { snapshots: keep as usize, spares: SPARES, threads: 1 };
    match retention.purge(&RealDisk, &places.dir, &places.log_dir, places.directory, &options) {
        Ok(purged) if purged.snapshots.is_empty() && purged.segments.is_empty() => {}
        Ok(purged) => {
            tracing::info!(snapshots = purged.snapshots.len(), segments = purged.segments.len(), "old files removed")
        }
        // What is kept too long does no harm; what is damaged must be seen.
        Err(error) => tracing::error!(%error, "old files were not removed"),
    }
}

/// Lets the log go on from elsewhere; `None` if it cannot be cut there, and is as it was.
fn rebase_log(places: &Places, job: &mut Rebase) -> Result<Option<LogWriter>, Fatal> {
    let disk = RealDisk;
    let options = places.recovery();
    let opened = match job {
        Rebase::Cut { zxid, above } => match rebase::truncate(&disk, &options, *zxid, *above, &places.log, SPARES) {
            Ok(opened) => {
                tracing::info!(%zxid, "the log was cut: what follows was never committed");
                opened
            }
            Err(error) => {
                let why = error.to_string();
                return match error.fatal() {
                    Some(fatal) => Err(fatal),
                    None => {
                        tracing::warn!(%zxid, "the log cannot be cut: {why}");
                        Ok(None)
                    }
                };
            }
        },
        Rebase::Install { job, above } => {
            let log_from = rebase::next_segment(&disk, &options, *above).map_err(RecoveryError::from)?;
            job.log_from = Some(log_from);
            let created_ms = Clocks::start().now().wall_ms;
            let written = write_snapshot(&disk, &places.dir, places.directory, created_ms, job, &mut |_| {})?;
            tracing::info!(file = %written.name, bytes = written.bytes, "the leader's snapshot is written down");
            rebase::begin_behind(&disk, &options, job.zxid, log_from, &places.log, SPARES)?
        }
    };
    places.writer(&opened).map(Some)
}

impl Keeper {
    fn write(&mut self, record: &Record) -> Result<(), Fatal> {
        match record {
            Record::Epochs(epochs) => {
                self.epochs.as_mut().expect("only a member has epochs").update(*epochs)?;
            }
            Record::Agreed(held) => {
                agreed::write(&RealDisk, &self.dir, self.directory.identity.directory, held)?;
            }
            Record::Complete => self.directory.mark_complete(&RealDisk)?,
            Record::Config { config, .. } => {
                let (file, id) = self.configured.as_ref().expect("only a member has a configuration");
                // As in ZooKeeper the ensemble goes on: a directory of configuration may be meant to be read only.
                if let Err(error) = dynamic::write(&RealDisk, file, *id, config) {
                    tracing::error!(%error, "the configuration is not written down: a restart finds the one of before");
                }
            }
        }
        Ok(())
    }
}

/// Gives this process secret hash keys; see [`crate::ids::key_hashes`].
///
/// # Errors
/// If the system has no randomness.
pub(crate) fn key_hashes() -> Result<(), Fatal> {
    let bytes: [u8; 32] = entropy()?;
    let (keys, _) = bytes.as_chunks::<8>();
    crate::ids::key_hashes(std::array::from_fn(|at| u64::from_ne_bytes(keys[at])));
    Ok(())
}

fn entropy<const N: usize>() -> Result<[u8; N], Fatal> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())
            .map_err(|error| Fatal::new(Reason::System, format!("getrandom: {error}")))?;
    }
    Ok(bytes)
}
