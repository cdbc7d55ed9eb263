//! `proof`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::content::Wait;
use super::swarm::Network;

/// Prove that a block belongs to a content, to whoever knows the CID alone
///
/// A proof is a CAR file of version 1: the root, the nodes on the way, and the leaf. Leaves are counted
/// from 0, in the order of the content. What is not on this machine is fetched, and no other leaf.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Proof {
    #[command(subcommand)]
    pub(crate) verify: Option<ProofVerb>,
    #[command(flatten)]
    pub(crate) make: ProofMake,
}

/// Which leaf, and where its proof goes. What is required is there unless there is a verb.
#[derive(Debug, Args)]
pub(crate) struct ProofMake {
    /// A CID, CID/path/in/it, or a link of `store share`
    #[arg(value_name = "CID|LINK", required = true)]
    pub(crate) target: Option<String>,
    /// The number of the leaf
    #[arg(long, value_name = "N", required = true)]
    pub(crate) leaf: Option<u64>,
    /// The file to write; it appears when it is complete [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Replace the file if there is one
    #[arg(short, long, requires = "output")]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) wait: Wait,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// What is done with a proof.
#[derive(Debug, Subcommand)]
pub(crate) enum ProofVerb {
    Verify(ProofVerify),
}

/// Check a proof, and say what it proves. Needs no repo
///
/// Every block must be what its CID says, and be linked to by the one before; the last one must be a leaf.
/// Exit code 5 where anything is wrong.
#[derive(Debug, Args)]
pub(crate) struct ProofVerify {
    /// The proof; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) path: PathBuf,
    /// The root that it must be about; without it, any
    #[arg(value_name = "CID")]
    pub(crate) cid: Option<String>,
}
