//! `corral server`: configuration, logging, then the server itself.

use super::logging;
use crate::admin::{plane, word};
use crate::config::{self, Config, Mistake, Notice, Origin, Overrides, Source};
use crate::fatal::Reason;
use crate::limits;
use crate::runtime;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const CONFIG_FILE_LIMIT: u64 = limits::CONFIG_FILE as u64;

/// What `corral server --help` begins with.
pub(crate) const LONG_ABOUT: &str = "\
Run a server in the foreground until SIGTERM or SIGINT.

Without arguments it serves 127.0.0.1:2181 and keeps its data in ./corral-data. A file has the syntax \
and the keys of ZooKeeper's zoo.cfg; Corral's own keys start with `corral.`. Arguments come before the \
file, the file before the profile. Every mistake in file and arguments is reported at once, and nothing \
is started or written then.

The server is ready when it answers on its client port. It logs to standard error; RUST_LOG sets the \
level.";

/// The arguments of `corral server`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Configuration file in the syntax of zoo.cfg (also taken without the flag)
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The same as --config FILE
    #[arg(value_name = "FILE", conflicts_with = "config")]
    file: Option<PathBuf>,
    /// Directory of snapshots and log [key: dataDir]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Port on which clients are served [key: clientPort, default: 2181]
    #[arg(long, value_name = "PORT", allow_hyphen_values = true)]
    client_port: Option<String>,
    /// Address or host name on which clients are served; 0.0.0.0 for all [key: clientPortAddress]
    #[arg(long, value_name = "ADDRESS")]
    client_address: Option<String>,
    /// latency, balanced, throughput or small; see `corral profile list` [key: corral.profile]
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Threads that own client connections, 0: one thread does everything [key: corral.shards]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    shards: Option<String>,
    /// Shape of the log lines: text or json [key: corral.logFormat]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl Arguments {
    fn overrides(&self) -> Overrides {
        Overrides {
            data_dir: self.data_dir.clone(),
            client_port: self.client_port.clone(),
            client_address: self.client_address.clone(),
            profile: self.profile.clone(),
            shards: self.shards.clone(),
            log_format: self.log_format.clone(),
        }
    }
}

/// Runs a server until it is told to stop or cannot go on.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let (config, notices) = match configure(arguments) {
        Ok(configured) => configured,
        Err(mistakes) => {
            return refuse(&mistakes);
        }
    };
    logging::start(config.log_format);
    logging::abort_on_panic();
    for notice in notices {
        if notice.warning {
            tracing::warn!("{notice}");
        } else {
            tracing::info!("{notice}");
        }
    }
    match runtime::run(config, word::is_word, plane::for_server) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fatal) => {
            tracing::error!(reason = fatal.reason.name(), "{fatal}");
            status(fatal.reason)
        }
    }
}

fn configure(arguments: &Arguments) -> Result<(Config, Vec<Notice>), Vec<Mistake>> {
    resolve(arguments.config.as_deref().or(arguments.file.as_deref()), &arguments.overrides())
}

/// What a server with this file and these arguments would run with. Its directories are absolute.
pub(super) fn resolve(path: Option<&Path>, overrides: &Overrides) -> Result<(Config, Vec<Notice>), Vec<Mistake>> {
    let bytes = path.map(read).transpose().map_err(|mistake| vec![mistake])?;
    let name = path.map(|path| path.display().to_string()).unwrap_or_default();
    let source = bytes.as_deref().map(|bytes| Source { name: &name, bytes });
    let (mut config, notices) = config::resolve(source.as_ref(), overrides, cores(), &read_file)?;
    for directory in [&mut config.data_dir, &mut config.data_log_dir] {
        // As `conf` shows it; a working directory that is gone leaves the path as it was written.
        if let Ok(absolute) = std::path::absolute(&*directory) {
            *directory = absolute;
        }
    }
    Ok((config, notices))
}

/// How many cores this process may use.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn read(path: &Path) -> Result<Vec<u8>, Mistake> {
    let problem = match read_file(path) {
        Ok(Some(bytes)) => return Ok(bytes),
        Ok(None) => "there is no such file".to_owned(),
        Err(problem) => format!("cannot be read: {problem}"),
    };
    Err(Mistake {
        place: Origin::File { name: path.display().to_string(), line: 0 },
        key: String::new(),
        value: None,
        problem,
    })
}

/// The bytes of a file that is part of a configuration; `None` if it does not exist.
fn read_file(path: &Path) -> Result<Option<Vec<u8>>, String> {
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(path);
    match opened.and_then(|file| file.take(CONFIG_FILE_LIMIT + 1).read_to_end(&mut bytes)) {
        Ok(_) if bytes.len() as u64 > CONFIG_FILE_LIMIT => {
            Err(format!("longer than {CONFIG_FILE_LIMIT} bytes, which is no configuration"))
        }
        Ok(_) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// Says what is wrong with a configuration.
pub(super) fn refuse(mistakes: &[Mistake]) -> ExitCode {
    eprint!("{}", refusal(mistakes));
    status(Reason::BadConfig)
}

fn refusal(mistakes: &[Mistake]) -> String {
    let count = match mistakes.len() {
        1 => "a mistake".to_owned(),
        several => format!("{several} mistakes"),
    };
    let mut text = format!("corral: {count} in the configuration; nothing was started\n");
    for mistake in mistakes {
        text += &format!("  {mistake}\n");
    }
    text
}

fn status(reason: Reason) -> ExitCode {
    // Every status is below 126.
    ExitCode::from(u8::try_from(reason.status()).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parse(arguments: &[&str]) -> Result<Arguments, clap::Error> {
        Only::try_parse_from(std::iter::once(&"corral").chain(arguments)).map(|only| only.arguments)
    }

    #[test]
    fn arguments_reach_the_configuration() {
        let arguments = parse(&[
            "--data-dir",
            "/srv/x",
            "--client-port",
            "2999",
            "--client-address",
            "0.0.0.0",
            "--profile",
            "small",
            "--shards",
            "4",
            "--log-format",
            "json",
        ]);
        let (config, notices) = configure(&arguments.unwrap()).unwrap();
        assert_eq!(notices, []);
        assert_eq!((config.data_dir.to_str(), config.data_log_dir.to_str()), (Some("/srv/x"), Some("/srv/x")));
        assert_eq!((config.client_port, config.edge()), (2999, config::Edge::Shards(4)));
        assert_eq!(config.profile, config::Profile::Small);
        assert_eq!(config.log_format, config::LogFormat::Json);
    }

    #[test]
    fn the_default_directory_is_made_absolute() {
        let (config, _) = configure(&parse(&[]).unwrap()).unwrap();
        assert_eq!(config.data_dir, std::env::current_dir().unwrap().join("corral-data"));
    }

    #[test]
    fn a_file_by_flag_or_alone_but_not_both() {
        assert!(parse(&["--config", "a"]).unwrap().config.is_some());
        assert!(parse(&["a"]).unwrap().file.is_some());
        assert!(parse(&["--config", "a", "b"]).is_err());
    }

    #[test]
    fn mistakes_of_arguments_come_together() {
        let arguments = parse(&["--client-port", "-1", "--shards", "many", "--profile", "fast"]).unwrap();
        let text = refusal(&configure(&arguments).unwrap_err());
        assert_eq!(
            text,
            "corral: 3 mistakes in the configuration; nothing was started\n\
             \x20 command line: --client-port = \"-1\": expected a whole number from 1 to 65535\n\
             \x20 command line: --profile = \"fast\": expected latency, balanced, throughput or small\n\
             \x20 command line: --shards = \"many\": expected a whole number from 0 to 64\n"
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_is_a_mistake() {
        let missing = parse(&["/nowhere/zoo.cfg"]).unwrap();
        let text = refusal(&configure(&missing).unwrap_err());
        assert!(text.starts_with("corral: a mistake in the configuration; nothing was started\n  /nowhere/zoo.cfg: "));
        let endless = parse(&["/dev/zero"]).unwrap();
        assert!(
            refusal(&configure(&endless).unwrap_err()).contains("/dev/zero: cannot be read: longer than 1048576 bytes")
        );
    }
}
