//! Verbs that take care of the repo.

use std::path::PathBuf;

use clap::Args;

use super::content::Wait;
use super::swarm::Network;

/// Read and check what is stored: all of it, or one content
///
/// Tells what is rotten, missing, or not as it should be, with the pins and files that it hits. Exit
/// code 5 where something is wrong that was not mended.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// A CID, or CID/path/in/it [default: everything]
    #[arg(value_name = "CID")]
    pub(crate) target: Option<String>,
    /// Fetch what is rotten or missing from others, and mend what can be made anew
    #[arg(long)]
    pub(crate) repair: bool,
    /// Only say how far the scrub of the running node is
    #[arg(long, conflicts_with_all = ["target", "repair"])]
    pub(crate) status: bool,
    #[command(flatten)]
    pub(crate) wait: Wait,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// Copy the repo, while it is in use, to a directory of backups; further ones copy only what is new
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The directory
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Keep only the newest N backups there
    #[arg(long, value_name = "N")]
    pub(crate) keep: Option<std::num::NonZeroU32>,
    /// List the backups there
    #[arg(long, conflicts_with_all = ["keep", "verify"])]
    pub(crate) list: bool,
    /// Read the newest one there, or the one with `--number`, and check each file
    #[arg(long, conflicts_with = "keep")]
    pub(crate) verify: bool,
    /// Which one to check
    #[arg(long, value_name = "N", requires = "verify")]
    pub(crate) number: Option<u64>,
}

/// Make a repo from a backup; `--repo` says where, which must be new or empty
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The directory of backups
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Which one, as `store backup DIR --list` shows them [default: the newest]
    #[arg(long, value_name = "N")]
    pub(crate) number: Option<u64>,
    /// Take over the identity too: only where the node that was backed up will not run again
    #[arg(long)]
    pub(crate) same_identity: bool,
}
