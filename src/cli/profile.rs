//! `corral profile`: what the profiles set, why, and what they give up for it.

use super::{print, server};
use crate::config::Profile;
use clap::Subcommand;
use clap::builder::PossibleValuesParser;
use std::fmt::Write;
use std::process::ExitCode;

/// Longest line of an explanation, with its indentation.
const WIDTH: usize = 96;

/// The subcommands of `corral profile`.
#[derive(Subcommand)]
pub enum Command {
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
}

/// Prints what was asked for.
pub fn run(command: &Command) -> ExitCode {
    match command {
        Command::List => print(&list(server::cores())),
        Command::Show { name, cores } => {
            let profile = Profile::named(name).expect("the parser lets only names of profiles through");
            print(&show(profile, cores.map_or_else(server::cores, usize::from)))
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
    for setting in profile.settings(cores) {
        let _ = writeln!(out, "\n{} = {}", setting.key, setting.value);
        wrap(&mut out, "    does:   ", setting.does);
        wrap(&mut out, "    trades: ", setting.trade);
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
            for setting in profile.settings(8) {
                assert!(text.contains(&format!("\n{} = {}\n", setting.key, setting.value)), "{text}");
                assert!(!setting.does.is_empty() && !setting.trade.is_empty());
            }
            assert!(text.lines().all(|line| line.chars().count() <= WIDTH + 4), "{text}");
        }
        assert!(show(Profile::Throughput, 8).contains("\ncorral.groupCommitDelayMicros = 200\n"));
        assert!(show(Profile::Small, 1).contains("Values on 1 core."));
    }

    #[test]
    fn every_value_shown_is_a_key_of_the_configuration() {
        for profile in Profile::ALL {
            for setting in profile.settings(8) {
                assert!(crate::config::keys::find(setting.key).is_some(), "{}", setting.key);
            }
        }
    }
}
