//! `corral state`: what a start would recover from a data directory, without a start.

use super::output;
use crate::config::Config;
use crate::fatal::Fatal;
use crate::runtime::disk::RealDisk;
use crate::server::rebuild::Rebuild;
use crate::storage::identity::{self, Identity, Past};
use crate::storage::recovery::Recovered;
use crate::storage::recovery::{self, RecoveryOptions};
use crate::tree::state::State;
use crate::tree::store::{Cursor, Znode};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const LONG_ABOUT: &str = "\
Recover a stopped server's data as its next start would, and print the state: its zxid, the sessions, and
every znode with its data in hex. Nothing is changed.

What had to be dropped or passed over is said on standard error. If a start would refuse the data, the
reason is given there, and the exit status is the one the server would end with.";

/// The arguments of `corral state`.
#[derive(clap::Args)]
#[command(long_about = LONG_ABOUT)]
pub(crate) struct Arguments {
    /// The server's data directory
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The directory of the log, where dataLogDir is another one
    #[arg(long, value_name = "DIR")]
    log_dir: Option<PathBuf>,
    /// Only check: print one line instead of the znodes
    #[arg(short, long)]
    quiet: bool,
}

/// Runs the subcommand.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let log_dir = arguments.log_dir.as_deref().unwrap_or(&arguments.dir);
    match recover(&arguments.dir, log_dir) {
        Ok((identity, state, recovered)) => {
            eprintln!("{}", whose(&identity));
            for note in &recovered.notes {
                eprintln!("{note}");
            }
            let how = if recovered.was_closed { "closed by an orderly stop" } else { "not closed: no orderly stop" };
            eprintln!("the log was {how}");
            output::print(&describe(state, &recovered, arguments.quiet))
        }
        Err(fatal) => output::failed(&fatal),
    }
}

/// Who may go on with this directory.
fn whose(identity: &Identity) -> String {
    let Identity { server, past, complete, .. } = identity;
    let whose = match past {
        Past::Alone if *server == 0 => "of a server on its own, which may become a member of any id".to_owned(),
        Past::Alone => format!("of server {server} on its own, which may become a member of any id"),
        Past::Member => format!("of server {server}, a member of an ensemble"),
        Past::LeftAlone => format!("of server {server}, once a member of an ensemble and on its own since"),
    };
    let missing =
        if *complete { "" } else { "; what it has acknowledged may be missing, and it does not vote with it" };
    format!("the directory is that {whose}{missing}")
}

pub(super) fn recover(dir: &Path, log_dir: &Path) -> Result<(Identity, State, Recovered), Fatal> {
    let Some(identity) = identity::read(&RealDisk, dir)? else {
        let what = format!("{}: not a data directory: it has no identity", dir.display());
        return Err(Fatal::new(crate::fatal::Reason::WrongDataDirectory, what));
    };
    let options = RecoveryOptions {
        snapshot_dir: dir,
        log_dir,
        directory: identity.directory,
        born: identity.born,
        accept_log_loss: false,
        threads: super::server::cores(),
    };
    // Which owners are times to live does not matter for what is printed, but for what is counted.
    let mut rebuild = Rebuild::new(Config { extended_types: true, ..Config::default() }.into());
    let recovered = recovery::recover(&RealDisk, &options, &mut rebuild)?;
    let (mut state, mismatches) = rebuild.finish();
    if mismatches > 0 {
        eprintln!("{mismatches} transactions left another digest than the one they carry");
    }
    state.publish(recovered.zxid);
    Ok((identity, state, recovered))
}

fn describe(state: State, recovered: &Recovered, quiet: bool) -> String {
    let mut text = format!(
        "zxid {} digest {:#x} sessions {} znodes {}\n",
        recovered.zxid,
        state.digest(),
        state.sessions().count(),
        state.store().znodes()
    );
    if quiet {
        return text;
    }
    for (session, timeout_ms) in state.sessions() {
        writeln!(text, "session {session} timeout {timeout_ms}").expect("a string takes everything");
    }
    let mut lines = vec![];
    let mut cursor = Cursor::default();
    let acls = state.acls();
    let head = state.store().head();
    let mut show = |znode: Znode<'_>| {
        let acl = super::describe::acl(acls.bytes(znode.acl()));
        lines.push(line(&znode, &acl));
    };
    while head.scan(&mut cursor, 1024, &mut show) {}
    lines.sort();
    text.push_str(&lines.concat());
    text
}

fn line(znode: &Znode<'_>, acl: &str) -> String {
    let data = match znode.data() {
        None => "null".to_owned(),
        Some(data) => data.iter().fold("0x".to_owned(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a string takes everything");
            hex
        }),
    };
    let kept = znode.persisted();
    format!(
        "{} data {data} acl {acl} owner {:#x} czxid {:#x} mzxid {:#x} pzxid {:#x} ctime {} mtime {} version {} cversion {} aversion {}\n",
        String::from_utf8_lossy(znode.path()),
        kept.owner,
        kept.czxid,
        kept.mzxid,
        kept.pzxid,
        kept.ctime,
        kept.mtime,
        kept.version,
        kept.cversion,
        kept.aversion,
    )
}
