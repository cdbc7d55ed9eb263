//! The log, on stderr.

use std::io::IsTerminal;

use store_config::{Format, Log};
use tracing_subscriber::EnvFilter;

/// Starts the log. A node tells what it does, other commands only what goes wrong.
pub(crate) fn start(log: &Log, runs_on: bool) {
    let level = match (log.level.as_str(), runs_on) {
        ("auto", true) => "info",
        ("auto", false) => "warn",
        (level, _) => level,
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(level))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    // It fails only where a log has been started before.
    let _ = match log.format {
        Format::Text => lines.try_init(),
        Format::Json => lines.json().try_init(),
    };
}
