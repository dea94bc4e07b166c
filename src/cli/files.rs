//! `corral log` and `corral snapshot`: looking into a data directory without a server.
//!
//! They only read. A running server's files may be looked at too; its last writes may be on their way then.

use super::describe;
use super::output::finish;
use crate::fatal::Fatal;
use crate::runtime::disk::RealDisk;
use crate::storage::disk::DiskError;
use crate::storage::{identity, inspect, snapshot};
use clap::Subcommand;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The subcommands of `corral log`.
#[derive(Subcommand)]
pub(crate) enum LogCommand {
    /// Check every frame of the log, as a start of the server would
    Verify {
        /// The server's data directory
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// The directory of the log, where dataLogDir is another one
        #[arg(long, value_name = "DIR")]
        log_dir: Option<PathBuf>,
    },
    /// Print what the log holds, frame by frame
    Dump {
        /// The directory of the log
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// Print every transaction
        #[arg(short, long)]
        transactions: bool,
    },
}

/// The subcommands of `corral snapshot`.
#[derive(Subcommand)]
pub(crate) enum SnapshotCommand {
    /// Check every snapshot
    Verify {
        /// The server's data directory
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
    /// Print the sessions, ACLs and znodes of a snapshot
    Dump {
        /// The server's data directory
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// The snapshot's file name [default: the newest]
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
}

/// Runs a subcommand of `corral log`.
pub(super) fn log(command: &LogCommand) -> ExitCode {
    match command {
        LogCommand::Verify { dir, log_dir } => verify_log(dir, log_dir.as_deref().unwrap_or(dir)),
        LogCommand::Dump { dir, transactions } => dump_log(dir, *transactions),
    }
}

/// Runs a subcommand of `corral snapshot`.
pub(super) fn snapshot(command: &SnapshotCommand) -> ExitCode {
    match command {
        SnapshotCommand::Verify { dir } => verify_snapshots(dir),
        SnapshotCommand::Dump { dir, name } => dump_snapshot(dir, name.as_deref()),
    }
}

fn verify_log(dir: &Path, log_dir: &Path) -> ExitCode {
    tool(|line| match identity::read(&RealDisk, dir)? {
        Some(identity) => Ok(inspect::verify_log(&RealDisk, log_dir, identity.directory, line)?),
        None => {
            line(format!("{}: not a data directory: it has no identity", dir.display()));
            Ok(false)
        }
    })
}

fn dump_log(dir: &Path, transactions: bool) -> ExitCode {
    let describe: Option<inspect::Describe<'_>> = if transactions { Some(&describe::transaction) } else { None };
    tool(|line| Ok(inspect::dump_log(&RealDisk, dir, describe, line)?))
}

fn verify_snapshots(dir: &Path) -> ExitCode {
    tool(|line| Ok(inspect::verify_snapshots(&RealDisk, dir, line)?))
}

fn dump_snapshot(dir: &Path, name: Option<&str>) -> ExitCode {
    tool(|line| {
        let newest = match name {
            Some(_) => None,
            None => snapshot::load::list(&RealDisk, dir)?.into_iter().next().map(|(_, name)| name),
        };
        match name.or(newest.as_deref()) {
            Some(name) => Ok(inspect::dump_snapshot(&RealDisk, dir, name, &describe::acl, line)?),
            None => {
                line(format!("{}: no snapshot", dir.display()));
                Ok(false)
            }
        }
    })
}

/// Why a tool could not look.
struct Trouble(String);

impl From<DiskError> for Trouble {
    fn from(error: DiskError) -> Trouble {
        Trouble(error.to_string())
    }
}

impl From<Fatal> for Trouble {
    fn from(fatal: Fatal) -> Trouble {
        Trouble(fatal.detail)
    }
}

/// Runs a tool that prints lines and finds all well or not: status 0 or 1.
fn tool(run: impl FnOnce(&mut dyn FnMut(String)) -> Result<bool, Trouble>) -> ExitCode {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut written = Ok(());
    let found = run(&mut |line| {
        // After a failure the rest is of no use to anybody.
        if written.is_ok() {
            written = writeln!(out, "{line}");
        }
    });
    let printed = finish(written.and_then(|()| out.flush()));
    match found {
        Ok(true) => printed,
        Ok(false) => ExitCode::FAILURE,
        Err(Trouble(what)) => {
            eprintln!("corral: {what}");
            ExitCode::FAILURE
        }
    }
}
