//! Verbs about this machine.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Network, Wait};

/// What is on this machine
#[derive(Debug, Subcommand)]
pub(crate) enum Repo {
    /// What is in the repo, what keeps it, and what it takes on disk
    Stat {
        /// Leave out what keeps it: no walk over all blocks
        #[arg(long)]
        quick: bool,
    },
    /// Check that its tables agree, after a crash or when in doubt; reads no block
    Check {
        /// Mend what can be made anew
        #[arg(long)]
        repair: bool,
    },
    /// Bring it to the newest format, as every command does that opens it
    Migrate {
        /// Only say what that would do; nothing changes
        #[arg(long)]
        dry_run: bool,
    },
}

/// Remove content that is not pinned, and give its space back
///
/// Others go on beside it, and what they use stays.
#[derive(Debug, Args)]
pub(crate) struct Gc {
    /// Only say what would be removed
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Remove only what no content needs: leave what is whole and usable in the cache
    #[arg(long)]
    pub(crate) keep_cache: bool,
}

/// Single blocks
#[derive(Debug, Subcommand)]
pub(crate) enum Block {
    Get(BlockGet),
    Put(BlockPut),
    /// The size of a block; exit code 3 where this machine does not have it
    Stat {
        /// The CID
        #[arg(value_name = "CID")]
        cid: String,
        /// Ask nobody else
        #[arg(long, required = true)]
        local: bool,
    },
    Rm(BlockRm),
}

/// Remove blocks from this machine
///
/// One that is pinned, or below a pin, stays: exit code 1, after the others were removed. Exit code 3 where
/// one is not here. What a removed block links to stays, until `store gc` finds that nothing keeps it.
#[derive(Debug, Args)]
pub(crate) struct BlockRm {
    /// CIDs
    #[arg(value_name = "CID", required = true)]
    pub(crate) cids: Vec<String>,
}

/// Print the bytes of a block
#[derive(Debug, Args)]
pub(crate) struct BlockGet {
    /// A CID, or CID/path/in/it
    #[arg(value_name = "CID|LINK")]
    pub(crate) target: String,
    #[command(flatten)]
    pub(crate) wait: Wait,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// Store a file as one block, of 2 MiB at most, and print its CID
#[derive(Debug, Args)]
pub(crate) struct BlockPut {
    /// The file; `-`, or none, is standard input
    #[arg(value_name = "FILE")]
    pub(crate) path: Option<PathBuf>,
    /// What its bytes mean: raw, dag-pb
    #[arg(long, value_name = "CODEC", default_value = "raw")]
    pub(crate) codec: String,
    /// The hash of its CID: sha2-256
    #[arg(long, value_name = "HASH", default_value = "sha2-256")]
    pub(crate) hash: String,
    /// Keep it, and all below it, which must be here
    #[arg(long)]
    pub(crate) pin: bool,
}

/// Whole DAGs
#[derive(Debug, Subcommand)]
pub(crate) enum Dag {
    Stat(DagStat),
    Get(DagGet),
}

/// Count blocks and bytes: of each DAG, and what several have in common
///
/// What is not on this machine is fetched from whoever has it.
#[derive(Debug, Args)]
pub(crate) struct DagStat {
    /// CIDs, CID/path/in/it, or links of `store share`
    #[arg(value_name = "CID|LINK", required = true)]
    pub(crate) targets: Vec<String>,
    #[command(flatten)]
    pub(crate) wait: Wait,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// Print a node as DAG-JSON: links and data
#[derive(Debug, Args)]
pub(crate) struct DagGet {
    /// A CID, CID/path/in/it, or a link of `store share`
    #[arg(value_name = "CID|LINK")]
    pub(crate) target: String,
    #[command(flatten)]
    pub(crate) wait: Wait,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// The settings
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Print the settings in effect, and where each comes from
    Show {
        /// Print the commented default file instead
        #[arg(long)]
        default: bool,
    },
    /// Print the path of the config file
    Path,
}

/// Print a completion script: bash, zsh, fish, elvish, powershell
#[derive(Debug, Args)]
#[command(hide = true)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

/// Write man pages
#[derive(Debug, Args)]
#[command(hide = true)]
pub(crate) struct Man {
    /// The directory to write them to
    pub(crate) dir: PathBuf,
}
