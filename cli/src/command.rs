//! One verb, one file: asks, and prints the answers.

mod add;
mod block;
mod car;
mod care;
mod cat;
mod cid;
mod config;
mod converse;
mod dag;
mod doctor;
mod drain;
mod gc;
mod get;
mod import_kubo;
mod init;
mod ls;
mod man;
mod members;
mod membership;
mod pass;
mod pin;
mod proof;
mod repair;
mod replication;
mod restore;
mod run;
mod share;
mod sink;
mod stat;
mod status;
mod swarm;
mod target;

use crate::args::{Block, Command, Dag, Doctor, Repo};
use crate::context::Context;
use crate::exit::Error;

impl Command {
    /// Runs the verb.
    pub(crate) fn run(self, context: &mut Context) -> Result<(), Error> {
        match self {
            Self::Add(args) => add::run(&args, context),
            Self::Get(args) => get::run(&args, context),
            Self::Cat(args) => cat::run(&args, context),
            Self::Ls(args) => ls::run(&args, context),
            Self::Share(args) => share::run(&args, context),
            Self::Pin(args) => pin::run(&args, context),
            Self::Run(_) => run::run(context),
            Self::Id => swarm::id(context),
            Self::Peers(args) => swarm::peers(&args, context),
            Self::Members => members::run(context),
            Self::Status(args) => status::run(&args, context),
            Self::Doctor(Doctor {}) => doctor::run(context),
            Self::Drain(args) => drain::run(&args, context),
            Self::Repair(args) => repair::run(&args, context),
            Self::Connect(args) => swarm::connect(&args, context),
            Self::Swarm(args) => membership::run(args, context),
            Self::Providers(args) => swarm::providers(&args, context),
            Self::Repo(Repo::Stat { quick }) => stat::repo(quick, context),
            Self::Gc(args) => gc::run(&args, context),
            Self::Repo(Repo::Check { repair }) => care::check(repair, context),
            Self::Repo(Repo::Migrate { dry_run }) => restore::migrate(dry_run, context),
            Self::Verify(args) => care::verify(&args, context),
            Self::Backup(args) => care::backup(&args, context),
            Self::Restore(args) => restore::run(&args, context),
            Self::Block(Block::Stat { cid, local: _ }) => stat::block(&cid, context),
            Self::Block(Block::Get(args)) => block::get(&args, context),
            Self::Block(Block::Put(args)) => block::put(&args, context),
            Self::Block(Block::Rm(args)) => block::rm(&args, context),
            Self::Car(args) => car::run(&args, context),
            Self::Dag(Dag::Stat(args)) => dag::stat(&args, context),
            Self::Dag(Dag::Get(args)) => dag::get(&args, context),
            Self::Proof(args) => proof::run(&args, context),
            Self::ImportKubo(args) => import_kubo::run(&args, context),
            Self::Cid(args) => cid::run(&args, context),
            Self::Init => init::run(context),
            Self::Config(args) => config::run(&args, context),
            Self::Completions(args) => man::completions(&args, context),
            Self::Man(args) => man::pages(&args),
        }
    }
}
