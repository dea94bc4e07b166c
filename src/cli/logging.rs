//! Log lines to standard error, as text or as JSON; a panic's among them.

use super::log_lines::{Form, Lines};
use crate::config::LogFormat;
use std::any::Any;
use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// Starts logging for the whole process. The level is info unless `RUST_LOG` says otherwise; a part of it
/// that cannot be understood is reported and left out. A second call changes nothing.
pub(super) fn start(format: LogFormat) {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    // A line that cannot be written, to a full disk or to nobody, is lost. To say so where it failed would be a panic.
    let form = match format {
        LogFormat::Json => Form::Json,
        LogFormat::Text if wants_color() => Form::Colored,
        LogFormat::Text => Form::Text,
    };
    let out = Lines::new(form, std::io::stderr);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(out).log_internal_errors(false);
    let started = match form {
        Form::Json => lines.json().flatten_event(true).try_init(),
        Form::Text | Form::Colored => lines.with_ansi(form == Form::Colored).try_init(),
    };
    // It fails only when logging was started before, as a program that embeds the server may do.
    drop(started);
}

/// From here on a panic in any thread is a line of the log and the end of the whole process, with SIGABRT: no half of a server
/// goes on. So it is whatever the build does with panics.
pub(crate) fn abort_on_panic() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("without a name");
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(reason = "panic", thread, at, "a fault of the server: {}", message(panic));
        usual(panic);
        std::process::abort();
    }));
}

fn message<'a>(panic: &'a PanicHookInfo<'_>) -> &'a str {
    let payload: &dyn Any = panic.payload();
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without words")
}

/// Colours for people at a terminal who have not asked for none (no-color.org).
fn wants_color() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fatal::{Fatal, Reason};
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};

    /// Set in the process that a test begins for itself.
    const CHILD: &str = "CORRAL_TEST_CHILD";

    /// One of these tests once more, in a process of its own.
    fn again(test: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([&format!("cli::logging::tests::{test}"), "--exact", "--nocapture"]);
        command.env(CHILD, "yes").env_remove("RUST_LOG");
        command
    }

    /// Standard error is a pipe that nobody reads any more.
    #[test]
    fn a_line_that_nobody_takes_ends_nothing() {
        if std::env::var_os(CHILD).is_some() {
            start(LogFormat::Text);
            abort_on_panic();
            tracing::error!("to nobody");
            crate::fatal::exit(&Fatal::new(Reason::DiskFull, "the reason is still told"));
        }
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = again("a_line_that_nobody_takes_ends_nothing");
        let status = command.stdout(Stdio::null()).stderr(writer).status().unwrap();
        assert_eq!(status.code(), Some(Reason::DiskFull.status()), "{status:?}");
    }

    #[test]
    fn a_panic_of_any_thread_is_logged_and_ends_the_process() {
        if std::env::var_os(CHILD).is_some() {
            start(LogFormat::Json);
            abort_on_panic();
            let thread = std::thread::Builder::new().name("shard-7".into());
            let ended = thread.spawn(|| panic!("one and {}", "two")).unwrap().join();
            unreachable!("after a panic: {ended:?}");
        }
        let output = again("a_panic_of_any_thread_is_logged_and_ends_the_process").output().unwrap();
        const SIGABRT: i32 = 6;
        assert_eq!(output.status.signal(), Some(SIGABRT), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        let line = said.lines().find(|line| line.contains(r#""reason":"panic""#)).expect(&said);
        for part in [r#""level":"ERROR""#, r#""thread":"shard-7""#, "logging.rs", "one and two"] {
            assert!(line.contains(part), "{part} in {line}");
        }
    }
}
