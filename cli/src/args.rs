//! What can be typed, exactly; the meaning is in `command`. One struct for each verb, in `args/`.

mod car;
mod care;
mod cid;
mod content;
mod described;
mod membership;
mod pin;
mod plumbing;
mod proof;
mod replication;
mod shape;
mod swarm;

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand};
use store_config::Flag;

pub(crate) use car::{Car, CarExport, CarImport, CarLs, ImportKubo};
pub(crate) use care::{Backup, Restore, Verify};
pub(crate) use cid::{CidFormat, CidVerb};
pub(crate) use content::{Add, Cat, Get, Ls, Share, Wait};
pub(crate) use membership::{Secret, Swarm, SwarmAccept};
pub(crate) use pin::{Marks, Pin, PinSet, PinType};
pub(crate) use plumbing::{
    Block, BlockGet, BlockPut, BlockRm, Completions, Config, Dag, DagGet, DagStat, Gc, Man, Repo,
};
pub(crate) use proof::{Proof, ProofMake, ProofVerb, ProofVerify};
pub(crate) use replication::{Copies, Doctor, Drain, Repair, Status};
pub(crate) use swarm::{Connect, Network, Peers, Providers, Run};

/// A content store without a centre: what goes in has the CID that IPFS gives it, and whoever has the
/// CID gets the bytes from all who hold them.
#[derive(Debug, Parser)]
#[command(name = "store", version, max_term_width = 100)]
#[command(after_help = "\
Exit codes: 0 done, 1 error, 2 usage, 3 not found, 4 stalled, 5 corrupt, 6 partial, 130 interrupted.
Settings: `store config show`; each is an environment variable, too (STORE_NETWORK_NAME).")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every verb.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The repo
    #[arg(help = "The repo [default: $STORE_PATH, else ~/.local/share/store]")]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) repo: Option<PathBuf>,
    /// The config file [default: store.toml in the repo, if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print results as JSON, one object a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Log more: -v says what is done, -vv why, -vvv everything
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// What to log
    #[arg(help = "What to log: error, warn, info, debug, trace, or info,store_node=debug")]
    #[arg(long, global = true, value_name = "LEVEL", conflicts_with = "verbose")]
    pub(crate) log: Option<String>,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Add(Add),
    Get(Get),
    Cat(Cat),
    Ls(Ls),
    Share(Share),
    #[command(subcommand)]
    Pin(Pin),
    // A node's flags take several values at once; nothing else follows them.
    #[command(mut_arg("listen", |arg| arg.num_args(1..)))]
    #[command(mut_arg("bootstrap", |arg| arg.num_args(1..)))]
    Run(Run),
    /// Who this node is, and where it listens
    Id,
    Peers(Peers),
    /// Print the members of the swarm: who is there, and what each offers
    Members,
    Status(Status),
    Doctor(Doctor),
    Repair(Repair),
    Drain(Drain),
    Connect(Connect),
    Providers(Providers),
    #[command(subcommand)]
    Swarm(Swarm),
    #[command(subcommand)]
    Repo(Repo),
    Gc(Gc),
    #[command(subcommand)]
    Block(Block),
    #[command(subcommand)]
    Car(Car),
    #[command(subcommand)]
    Dag(Dag),
    Proof(Proof),
    ImportKubo(ImportKubo),
    #[command(subcommand)]
    Cid(CidVerb),
    Verify(Verify),
    Backup(Backup),
    Restore(Restore),
    /// Make the repo now; every command does so at its first use
    Init,
    #[command(subcommand)]
    Config(Config),
    Completions(Completions),
    Man(Man),
}

impl Command {
    /// Whether it runs until it is told to end.
    pub(crate) fn is_long_running(&self) -> bool {
        matches!(self, Self::Run(_))
    }

    /// The settings among the verb's flags.
    pub(crate) fn settings(&self) -> Vec<Flag> {
        match self {
            Self::Get(args) => args.network.settings(),
            Self::Cat(args) => args.network.settings(),
            Self::Ls(args) => args.network.settings(),
            Self::Pin(Pin::Add(args)) => args.network.settings(),
            Self::Pin(Pin::Update(args)) => args.network.settings(),
            Self::Providers(args) => args.network.settings(),
            Self::Car(Car::Export(args)) => args.network.settings(),
            Self::Block(Block::Get(args)) => args.network.settings(),
            Self::Dag(Dag::Get(args)) => args.network.settings(),
            Self::Dag(Dag::Stat(args)) => args.network.settings(),
            Self::Proof(args) => args.make.network.settings(),
            Self::Verify(args) => args.network.settings(),
            Self::Run(args) => args.settings(),
            _ => Vec::new(),
        }
    }
}

impl Global {
    /// The settings among the global flags.
    pub(crate) fn settings(&self) -> Vec<Flag> {
        let level = match (self.verbose, &self.log) {
            (0, None) => return Vec::new(),
            (_, Some(level)) => level.clone(),
            (1, None) => "info".into(),
            (2, None) => "debug".into(),
            (_, None) => "trace".into(),
        };
        let name = if self.log.is_some() {
            "--log"
        } else {
            "--verbose"
        };
        vec![Flag {
            name,
            key: "log.level",
            values: vec![level],
        }]
    }
}

#[cfg(test)]
mod tests;
