//! The log, on stderr.

use std::io::IsTerminal;

use store_config::{Format, Log};
use tracing_subscriber::EnvFilter;

/// What other people's code says that is no news here: with levels that are plain words.
const QUIET: &str = "libp2p=warn,libp2p_kad=error";

/// Starts the log. A node tells what it does, other commands only what goes wrong.
pub(crate) fn start(log: &Log, runs_on: bool) {
    let level = match (log.level.as_str(), runs_on) {
        ("auto", true) => "info",
        ("auto", false) => "warn",
        (level, _) => level,
    };
    let directives = match level {
        // What goes wrong on disk is the command's error already.
        "warn" => format!("{level},{QUIET},store::blockstore::rocks::options=off"),
        "info" => format!("{level},{QUIET}"),
        _ => level.to_owned(),
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(directives))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    // It fails only where a log has been started before.
    let _ = match log.format {
        Format::Text => lines.try_init(),
        Format::Json => lines.json().try_init(),
    };
}
