//! Log lines to standard error, as text or as JSON.

use crate::config::LogFormat;
use std::io::IsTerminal;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// Starts logging for the whole process. The level is info unless `RUST_LOG` says otherwise; a part of it
/// that cannot be understood is reported and left out. A second call changes nothing.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        LogFormat::Text => lines.with_ansi(wants_color()).try_init(),
    };
    // It fails only when logging was started before, as a program that embeds the server may do.
    drop(started);
}

/// Colours for people at a terminal who have not asked for none (no-color.org).
fn wants_color() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
