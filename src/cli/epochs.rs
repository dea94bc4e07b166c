//! `corral epochs`: the epochs a stopped member has promised and acknowledged, and the way back from one that leaves none
//! above it (docs/epochs.md).

use super::output;
use crate::fatal::{Fatal, Reason};
use crate::runtime::disk::RealDisk;
use crate::storage::epochs::{self, EpochFile, KEPT};
use crate::storage::identity;
use std::path::PathBuf;
use std::process::ExitCode;

const LONG_ABOUT: &str = "\
Print the epochs that a stopped member of an ensemble has promised (accepted) and acknowledged (current), and where its
log ends.

With --set N they are set back to a promise of N. That is for an ensemble that can elect nobody any more because its
members have promised an epoch with none above it. Stop every member, choose one N that is not below the epoch of any
member's log, set all of them back to it, and only then start them. A member that is left out keeps the others from
having it among them. What is given up is the promise to follow no leader of an epoch between N and the one promised:
there must be none, which is why all are to be stopped. No transaction is lost. The file as it was is kept beside.";

/// The arguments of `corral epochs`.
#[derive(clap::Args)]
#[command(long_about = LONG_ABOUT)]
pub(crate) struct Arguments {
    /// The server's data directory
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The directory of the log, where dataLogDir is another one
    #[arg(long, value_name = "DIR")]
    log_dir: Option<PathBuf>,
    /// Set the epochs back to a promise of this one
    #[arg(long, value_name = "N")]
    set: Option<i64>,
}

/// Runs the subcommand.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match show_or_set(arguments) {
        Ok(text) => output::print(&text),
        Err(fatal) => output::failed(&fatal),
    }
}

fn show_or_set(arguments: &Arguments) -> Result<String, Fatal> {
    let dir = &arguments.dir;
    let log_dir = arguments.log_dir.as_ref().unwrap_or(dir);
    // Nobody serves from it meanwhile.
    let Some(locked) = identity::lock(&RealDisk, dir)? else {
        let what = format!("{}: not a data directory: it has no identity", dir.display());
        return Err(Fatal::new(Reason::WrongDataDirectory, what));
    };
    let identity = locked.identity;
    let found = EpochFile::open(&RealDisk, dir, identity.directory, None)?.epochs.record();
    let (_, _, recovered) = super::state::recover(dir, log_dir)?;
    let shown = format!("accepted {} current {} log {}\n", found.accepted, found.current, recovered.zxid);
    let Some(to) = arguments.set else { return Ok(shown) };
    let set = found.set_back(to, recovered.zxid);
    let set = set.map_err(|error| Fatal::new(Reason::BadConfig, format!("{}: {error}", dir.display())))?;
    epochs::replace(&RealDisk, dir, identity.directory, set)?;
    Ok(format!(
        "{shown}set back: accepted {} current {}\n\
         The file as it was is {}. Set every other member that is above {to} back to it, too, before any is started.\n",
        set.accepted,
        set.current,
        dir.join(KEPT).display()
    ))
}
