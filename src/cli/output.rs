//! How a tool ends: what it says, and with which exit status.

use crate::fatal::Fatal;
use std::io::{self, Write};
use std::process::ExitCode;

/// Says why a tool ends, and with which exit status.
pub(super) fn failed(fatal: &Fatal) -> ExitCode {
    eprintln!("{fatal}");
    ExitCode::from(u8::try_from(fatal.reason.status()).unwrap_or(1))
}

/// Writes text to standard output. A reader that has seen enough (`| head`) is no failure.
pub(super) fn print(text: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    finish(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// The exit status of a tool that ended so while it wrote to standard output.
pub(super) fn finish(result: io::Result<()>) -> ExitCode {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("corral: standard output: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
