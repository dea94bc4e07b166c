//! `corral profile`: what the profiles set, why, and what they give up for it; and what one would change on this machine.

use super::output::print;
use super::server;
use crate::config::keys::of_profile;
use crate::config::{Config, Edge, Overrides, Profile};
use crate::runtime::advice::{Advice, advice};
use crate::runtime::machine::Machine;
use clap::Subcommand;
use clap::builder::PossibleValuesParser;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Longest line of an explanation, with its indentation.
const WIDTH: usize = 96;

/// The subcommands of `corral profile`.
#[derive(Subcommand)]
pub(super) enum Command {
    /// List the profiles
    List,
    /// Show every value of a profile, what it does and what it trades
    Show {
        /// latency, balanced, throughput or small
        #[arg(value_name = "NAME", hide_possible_values = true,
              value_parser = PossibleValuesParser::new(Profile::ALL.map(Profile::name)))]
        name: String,
        /// Show the values for a machine with so many cores [default: this machine's]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
        cores: Option<u16>,
    },
    /// Look at this machine as a server would, and say what one would change
    #[command(long_about = ADVISE_ABOUT)]
    Advise {
        /// The server's configuration file
        #[arg(short, long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Directory of snapshots and log, without a file or instead of the file's [key: dataDir]
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
    },
}

const ADVISE_ABOUT: &str = "\
Look at this machine as a server of that configuration would: its processors, memory, limits and disks. \
Print what was found and what one would change about machine or configuration, each with the key or the \
command. A running server logs the same when it has started.

The log's disk is measured for a tenth of a second, in a file without a name in the directory of the log, or in \
what there is of the path to it. Nothing else is written and nothing is changed.";

/// Prints what was asked for.
pub(super) fn run(command: &Command) -> ExitCode {
    match command {
        Command::List => print(&list(server::cores())),
        Command::Show { name, cores } => {
            let profile = Profile::named(name).expect("the parser lets only names of profiles through");
            print(&show(profile, cores.map_or_else(server::cores, usize::from)))
        }
        Command::Advise { config, data_dir } => {
            let overrides = Overrides { data_dir: data_dir.clone(), ..Overrides::default() };
            match server::resolve(config.as_deref(), &overrides) {
                Err(mistakes) => server::refuse(&mistakes),
                Ok((config, _)) => {
                    let mut machine = Machine::look(&config);
                    machine.measure();
                    print(&advise(&machine, &config))
                }
            }
        }
    }
}

fn list(cores: usize) -> String {
    let chosen = Profile::for_cores(cores);
    let mut out = String::new();
    for profile in Profile::ALL {
        let mark = if profile == chosen { '*' } else { ' ' };
        let _ = writeln!(out, "{mark} {:<11} {}", profile.name(), profile.summary());
    }
    let _ = writeln!(out, "* what this machine gets when no profile is named ({})", counted(cores));
    out
}

fn show(profile: Profile, cores: usize) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{profile}: {}", profile.summary());
    let _ = writeln!(out, "\nValues on {}. Each can be changed by its key in the configuration file.", counted(cores));
    for setting in of_profile(profile, cores) {
        let _ = writeln!(out, "\n{} = {}", setting.key, setting.value);
        wrap(&mut out, "    does:   ", setting.does);
        wrap(&mut out, "    trades: ", setting.trade);
    }
    out
}

fn advise(machine: &Machine, config: &Config) -> String {
    let mut out = String::from("This machine, as a server sees it:\n");
    for (name, words) in machine.facts() {
        let _ = writeln!(out, "    {name:<14} {words}");
    }
    let edge = match config.edge() {
        Edge::OneThread => "one thread for everything".to_owned(),
        Edge::Shards(1) => "a quorum core and 1 shard".to_owned(),
        Edge::Shards(shards) => format!("a quorum core and {shards} shards"),
    };
    let _ = writeln!(out, "\nThe server: profile {}, {edge}.", config.profile);
    let all = advice(machine, config);
    let _ = match all.len() {
        0 => writeln!(out, "\nThere is nothing to change."),
        1 => writeln!(out, "\nOne thing to change:"),
        several => writeln!(out, "\n{several} things to change, those at the top first:"),
    };
    for Advice { warning, finding, change, how } in &all {
        out.push('\n');
        wrap(&mut out, if *warning { "    warning: " } else { "    hint:    " }, finding);
        wrap(&mut out, "    change:  ", change);
        wrap(&mut out, "    how:     ", how);
    }
    out
}

fn counted(cores: usize) -> String {
    if cores == 1 { "1 core".into() } else { format!("{cores} cores") }
}

/// Words in lines of at most [`WIDTH`], the first after the label, the others under its end.
fn wrap(out: &mut String, label: &str, text: &str) {
    out.push_str(label);
    let mut column = label.len();
    for (index, word) in text.split(' ').enumerate() {
        if index > 0 && column + 1 + word.len() > WIDTH {
            let _ = write!(out, "\n{:indent$}", "", indent = label.len());
            column = label.len();
        } else if index > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += word.len();
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_names_all_and_marks_the_default() {
        let text = list(2);
        for profile in Profile::ALL {
            assert!(text.contains(&format!("{:<11} {}", profile.name(), profile.summary())), "{text}");
        }
        assert!(text.contains("\n* small ") && text.contains("(2 cores)"), "{text}");
        assert!(list(4).contains("\n* balanced "));
    }

    #[test]
    fn show_explains_every_value_in_short_lines() {
        for profile in Profile::ALL {
            let text = show(profile, 8);
            for setting in of_profile(profile, 8) {
                assert!(text.contains(&format!("\n{} = {}\n", setting.key, setting.value)), "{text}");
                assert!(!setting.does.is_empty() && !setting.trade.is_empty());
            }
            assert!(text.lines().all(|line| line.chars().count() <= WIDTH + 4), "{text}");
        }
        assert!(show(Profile::Throughput, 8).contains("\ncorral.groupCommitDelayMicros = 200\n"));
        assert!(show(Profile::Small, 1).contains("Values on 1 core."));
    }
}
