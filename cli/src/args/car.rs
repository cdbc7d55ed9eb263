//! Verbs about CAR files.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::content::Wait;
use super::swarm::Network;

/// CAR files: content as one file, with its blocks and CIDs
#[derive(Debug, Subcommand)]
pub(crate) enum Car {
    Export(CarExport),
    Import(CarImport),
    Ls(CarLs),
}

/// Write content into a CAR file
///
/// The same content gives the same bytes each time: version 1, blocks depth-first, each once. What is
/// not on this machine is fetched from whoever has it.
#[derive(Debug, Args)]
pub(crate) struct CarExport {
    /// A CID, CID/path/in/it, or a link of `store share`
    #[arg(value_name = "CID|LINK")]
    pub(crate) target: String,
    /// The file to write; it appears when it is complete [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Replace the file if there is one
    #[arg(short, long, requires = "output")]
    pub(crate) force: bool,
    /// How much: all; entity (a file, or what lists a directory, without its entries); block
    #[arg(long, value_name = "SCOPE", default_value = "all")]
    pub(crate) scope: String,
    /// Only what holds these bytes of a file: 0:1048575, 1048576:*, -1024:* (both ends included)
    #[arg(long, value_name = "FROM:TO", allow_hyphen_values = true)]
    pub(crate) range: Option<String>,
    #[command(flatten)]
    pub(crate) wait: Wait,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// Store the blocks of CAR files, and pin their roots
///
/// Every block is checked against its CID. What comes before an error is kept. A root is pinned if all
/// of its DAG is here; if not, exit code 6.
#[derive(Debug, Args)]
pub(crate) struct CarImport {
    /// CAR files of version 1 or 2; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// Store without pinning, whether the roots are whole or not
    #[arg(long)]
    pub(crate) no_pin: bool,
    /// A name for the pins
    #[arg(long, value_name = "TEXT", conflicts_with = "no_pin")]
    pub(crate) name: Option<String>,
    /// Print the CIDs of the roots alone
    #[arg(short, long, conflicts_with = "json")]
    pub(crate) quiet: bool,
}

/// Copy the blocks and pins of a stopped Kubo
///
/// Every block is checked; those that are wrong are named and left out. Started again, it passes over
/// what is here. Nothing is written to Kubo's repo.
#[derive(Debug, Args)]
pub(crate) struct ImportKubo {
    /// Kubo's repo: ~/.ipfs
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// What to pin: the output of `ipfs pin ls --type=recursive --names`; without it all is cache
    #[arg(long, value_name = "FILE")]
    pub(crate) pins: Option<PathBuf>,
}

/// List what is in a CAR file: version, roots, blocks. Needs no repo
#[derive(Debug, Args)]
pub(crate) struct CarLs {
    /// A CAR file of version 1 or 2; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) path: PathBuf,
    /// Check each block against its CID; exit code 5 if one is wrong, 6 if one cannot be checked
    #[arg(long)]
    pub(crate) verify: bool,
}
