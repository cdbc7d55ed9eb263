//! How a command ends: one line that says what went wrong, one that says what to do about it, and the
//! exit code that scripts look at.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use store::cid::CidError;
use store::extract::ExtractError;
use store::unixfs::source::{RuleError, SourceError};
use store_config::{ConfigError, NoHome};
use store_node::api::client::ClientError;
use store_node::api::message::{Failure, FailureKind};
use store_node::node::{NodeError, ReachError};

/// Exit code of a command that was interrupted: 128 + SIGINT, as shells have it.
const INTERRUPTED: u8 = 130;

/// Why a command did not do what it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Whoever did the work says so.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The conversation with the holder of the repo broke.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A setting.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No place for the repo.
    #[error(transparent)]
    NoHome(#[from] NoHome),
    /// The repo cannot be come to.
    #[error(transparent)]
    Reach(#[from] ReachError),
    /// The node could not start, or not end in order.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The node's swarm ended, which nobody asked for.
    #[error("the swarm ended by itself; the log says why")]
    SwarmEnded,
    /// No CID where there should be one.
    #[error(transparent)]
    Cid(#[from] CidError),
    /// What should be added cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// What is to be left out of it cannot be understood.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// What was got cannot be written.
    #[error(transparent)]
    Extract(#[from] ExtractError),
    /// What was typed makes no sense.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What was perhaps meant.
        hint: Option<String>,
    },
    /// A second node on one repo.
    #[error("a node runs on repo `{}` already", .repo.display())]
    AlreadyRuns {
        /// The repo.
        repo: PathBuf,
    },
    /// This machine does not have it.
    #[error("block `{cid}` is not on this machine")]
    NotHere {
        /// The block.
        cid: String,
    },
    /// The operating system refused.
    #[error("cannot {action}: {error}")]
    Io {
        /// What was tried.
        action: String,
        /// What the system said.
        error: io::Error,
    },
    /// Standard output takes no more.
    #[error("cannot write to standard output: {0}")]
    Stdout(io::Error),
    /// Ctrl-C, or SIGTERM.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// The system refused to `action`.
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |error| Self::Io { action, error }
    }

    fn code(&self) -> u8 {
        match self {
            Self::Failed(failure) => failure.kind.exit_code(),
            Self::Usage { .. } | Self::Cid(_) | Self::Rule(_) => FailureKind::Usage.exit_code(),
            Self::NotHere { .. } => FailureKind::NotFound.exit_code(),
            Self::Interrupted => INTERRUPTED,
            Self::Stdout(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            _ => FailureKind::Error.exit_code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Failed(failure) => failure.hint.clone(),
            Self::Usage { hint, .. } => hint.clone(),
            Self::Cid(_) => Some("a CID looks like `bafybei…`, `bafkrei…` or `Qm…`".into()),
            Self::Extract(ExtractError::Exists { .. }) => {
                Some("`--force` replaces it, `-o PATH` writes elsewhere".into())
            }
            Self::AlreadyRuns { .. } => {
                Some("commands on this repo use it by themselves; another node needs its own `--repo DIR`".into())
            }
            Self::Config(_) => Some("`store config show --default` shows every setting".into()),
            _ => None,
        }
    }
}

/// Says why, if there is something to say, and gives the exit code.
pub(crate) fn code(result: Result<(), Error>) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    let code = error.code();
    // Whoever closed the pipe has seen enough; whoever pressed Ctrl-C knows.
    if code != 0 && code != INTERRUPTED {
        eprintln!("error: {}", one_line(&error.to_string()));
        if let Some(hint) = error.hint() {
            eprintln!("hint: {}", one_line(&hint));
        }
    }
    ExitCode::from(code)
}

/// Help and version are results; everything else that the parser says is about usage.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    // Nobody is left to be told that nobody reads.
    let _ = error.print();
    if error.use_stderr() {
        ExitCode::from(FailureKind::Usage.exit_code())
    } else {
        ExitCode::SUCCESS
    }
}

/// On one line, and without the number that the system has for an error.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    while let Some((before, after)) = line.split_once(" (os error ") {
        let Some((number, rest)) = after.split_once(')') else {
            break;
        };
        if number.parse::<u32>().is_err() {
            break;
        }
        line = format!("{before}{rest}");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(kind: FailureKind) -> Error {
        Failure {
            kind,
            message: "no".into(),
            hint: None,
        }
        .into()
    }

    #[test]
    fn exit_codes_are_those_of_the_design() {
        for (error, code) in [
            (failed(FailureKind::Error), 1),
            (failed(FailureKind::Usage), 2),
            (failed(FailureKind::NotFound), 3),
            (failed(FailureKind::Stalled), 4),
            (failed(FailureKind::Corrupt), 5),
            (failed(FailureKind::Partial), 6),
            (Error::Interrupted, 130),
            (Error::Stdout(io::ErrorKind::BrokenPipe.into()), 0),
            (Error::Stdout(io::ErrorKind::StorageFull.into()), 1),
            (store::cid::parse("hello").unwrap_err().into(), 2),
            (Error::NotHere { cid: "bafy".into() }, 3),
            (NoHome.into(), 1),
        ] {
            assert_eq!(error.code(), code, "{error}");
        }
    }

    #[test]
    fn a_message_is_one_line() {
        assert_eq!(one_line("a\n  b\tc "), "a b c");
        let system = io::Error::from_raw_os_error(2).to_string();
        assert_eq!(
            one_line(&format!("`x`: {system}; y")),
            "`x`: No such file or directory; y"
        );
    }
}
