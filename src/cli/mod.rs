//! The command line: arguments in, exit status out.
//!
//! Each subcommand is a file; what they do is done elsewhere. Exit statuses: 0 for success, 1 for a tool
//! that found something wrong, 2 for a wrong configuration or command line, and those of [`crate::fatal`]
//! for a server that cannot go on.

mod describe;
mod epochs;
mod files;
mod log_lines;
mod logging;
mod output;
mod profile;
mod server;
mod state;

use crate::runtime;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

const ABOUT: &str = "A coordination server that ZooKeeper's clients take for ZooKeeper";

const EXAMPLES: &str = "\
Examples:
  corral server                                   serve 127.0.0.1:2181, data in ./corral-data
  corral server zoo.cfg                           serve as ZooKeeper's zoo.cfg says
  corral server --data-dir /srv/zk --client-port 2281 --profile latency
  corral profile show balanced                    what a profile sets, and what it trades
  corral log verify ./corral-data                 look for damage in a stopped server's log

Exit status: 0 success, 1 a tool found something wrong, 2 wrong arguments or configuration; a server
that cannot go on ends with a status of its own for each reason and names it.";

#[derive(Parser)]
#[command(name = "corral", version, about = ABOUT, after_help = EXAMPLES, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a server in the foreground until SIGTERM or SIGINT
    #[command(long_about = server::LONG_ABOUT)]
    Server(server::Arguments),
    /// List the profiles, or show what one sets and what it trades
    #[command(subcommand)]
    Profile(profile::Command),
    /// Look into the transaction log of a stopped server
    #[command(subcommand)]
    Log(files::LogCommand),
    /// Print what a start would recover from a data directory
    State(state::Arguments),
    /// Show a stopped member's epochs, or set them back
    Epochs(epochs::Arguments),
    /// Look into the snapshots of a server
    #[command(subcommand)]
    Snapshot(files::SnapshotCommand),
}

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Before anything is hashed, by the tools too: they read what clients have named.
    if let Err(fatal) = runtime::key_hashes() {
        return output::failed(&fatal);
    }
    match arguments.command {
        Command::Server(arguments) => server::run(&arguments),
        Command::Profile(command) => profile::run(&command),
        Command::Log(command) => files::log(&command),
        Command::State(arguments) => state::run(&arguments),
        Command::Epochs(arguments) => epochs::run(&arguments),
        Command::Snapshot(command) => files::snapshot(&command),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_argument_and_subcommand_is_explained() {
        fn explained(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
            }
            command.get_subcommands().for_each(explained);
        }
        explained(&Arguments::command());
    }
}
