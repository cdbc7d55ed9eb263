//! `store restore` and `store repo migrate`: they need no service, since there is no repo yet that could be
//! opened.

use serde::Serialize;
use store::backup::{BackupError, restore};
use store::repo::{self, Repo};
use store_node::api::message::Failure;
use store_node::node::{NodeError, repo_options};

use crate::args::Restore;
use crate::context::Context;
use crate::exit::Error;
use crate::interrupt;
use crate::output;

/// The new repo, for programs.
#[derive(Serialize)]
struct Made {
    path: String,
    number: u64,
    blocks: u64,
    bytes: u64,
    same_identity: bool,
}

pub(crate) fn run(args: &Restore, context: &mut Context) -> Result<(), Error> {
    interrupt::on_signal(|_| ())?;
    let going_on = |_, _| interrupt::came().is_none();
    let restored = restore(
        &args.dir,
        args.number,
        &context.repo,
        args.same_identity,
        &going_on,
    );
    let restored = match restored {
        Err(BackupError::Interrupted) => return Err(Error::Interrupted),
        other => other.map_err(Failure::from)?,
    };
    let options = repo_options(context.config());
    let repo = Repo::open(&restored.path, &options).map_err(NodeError::from)?;
    let checked = repo.check(false, &|| interrupt::came().is_none());
    let checked = checked.map_err(Failure::from)?;
    repo.close().map_err(NodeError::from)?;
    for finding in &checked.findings {
        eprintln!("{finding}");
    }
    let made = Made {
        path: restored.path.display().to_string(),
        number: restored.generation.number,
        blocks: restored.generation.blocks,
        bytes: restored.generation.bytes,
        same_identity: restored.same_identity,
    };
    context.output.result(&made, |made| {
        format!(
            "repo {} is restored from backup {}: {} blocks, {}",
            made.path,
            made.number,
            made.blocks,
            output::size(made.bytes)
        )
    })
}

/// What became of the format, for programs.
#[derive(Serialize)]
struct Migrated {
    from: u32,
    to: u32,
    dry_run: bool,
    nodes: u64,
    parents: u64,
}

pub(crate) fn migrate(dry_run: bool, context: &mut Context) -> Result<(), Error> {
    let options = repo_options(context.config());
    let migration = repo::migrate(&context.repo, &options, dry_run).map_err(Failure::from)?;
    let upgrade = migration.upgrade.unwrap_or_default();
    let migrated = Migrated {
        from: migration.from,
        to: migration.to,
        dry_run,
        nodes: upgrade.nodes,
        parents: upgrade.parents,
    };
    context.output.result(&migrated, |migrated| {
        let Migrated { from, to, .. } = migrated;
        if from == to {
            return format!("the repo has the newest format, {to}");
        }
        let done = if dry_run { "would be" } else { "was" };
        let head = format!("format {from} {done} brought to {to}");
        // Only format 1 lacked them.
        if *from > 1 {
            return head;
        }
        format!(
            "{head}: {} nodes looked at, {} rows of parents written",
            migrated.nodes, migrated.parents
        )
    })
}
