//! `store verify`, `store repo check`, `store backup`.

use std::time::Duration;

use store::backup::Backups;
use store_node::api::message::{
    self, CareFound, CareItem, CareRequest, Failure, Item, Request, ScrubStatus, Verified,
};

use super::target;
use crate::args::{Backup, Verify};
use crate::backend::{Answer, Conversation};
use crate::context::Context;
use crate::exit::Error;
use crate::output;

pub(crate) fn verify(args: &Verify, context: &mut Context) -> Result<(), Error> {
    if args.status {
        return run(CareRequest::ScrubStatus, None, "looking", context);
    }
    if let Some(target) = &args.target {
        target::name_of(target)?;
    }
    let timeout = args.wait.timeout.map_or_else(
        || context.config().exchange.stall_timeout.get(),
        store_config::Duration::get,
    );
    let request = CareRequest::Verify(message::Verify {
        target: args.target.clone(),
        repair: args.repair,
        timeout,
    });
    run(request, Some(&args.network), "verifying", context)
}

pub(crate) fn check(repair: bool, context: &mut Context) -> Result<(), Error> {
    run(CareRequest::Check { repair }, None, "checking", context)
}

pub(crate) fn backup(args: &Backup, context: &mut Context) -> Result<(), Error> {
    let dir = std::path::absolute(&args.dir).map_err(Error::io("find the directory"))?;
    if args.list {
        let backups = Backups::open(&dir).map_err(Failure::from)?;
        for (number, generation) in backups.list().map_err(Failure::from)? {
            match generation {
                Ok(generation) => {
                    let backup = message::Backup::of(dir.clone(), &generation);
                    context.output.result(&backup, backup_line)?;
                }
                Err(error) => eprintln!("backup {number}: {error}"),
            }
        }
        return Ok(());
    }
    if args.verify {
        let backups = Backups::open(&dir).map_err(Failure::from)?;
        let generation = backups.find(args.number).map_err(Failure::from)?;
        let going_on = |_, _| crate::interrupt::came().is_none();
        let damaged = backups.verify(&generation, &going_on);
        let mut damaged = damaged.map_err(Failure::from)?;
        let last = damaged.pop();
        for error in damaged {
            eprintln!("{error}");
        }
        if let Some(error) = last {
            return Err(Failure::from(error).into());
        }
        let backup = message::Backup::of(dir, &generation);
        return context.output.result(&backup, |backup| {
            format!("backup {} is whole", backup.number)
        });
    }
    let keep = args.keep.map(|keep| keep.get() as usize);
    run(CareRequest::Backup { dir, keep }, None, "copying", context)
}

fn run(
    request: CareRequest,
    network: Option<&crate::args::Network>,
    doing: &'static str,
    context: &mut Context,
) -> Result<(), Error> {
    let request = Request::Care(request);
    let mut conversation = Conversation::open(context, network, &request, doing)?;
    while let Some(answer) = conversation.next()? {
        let Answer::Item(Item::Care(item)) = answer else {
            continue;
        };
        match item {
            CareItem::Finding(found) => context.output.result(&found, found_line)?,
            CareItem::Scrub(status) => context.output.result(&status, status_table)?,
            CareItem::Backup(backup) => context.output.result(&backup, backup_line)?,
            CareItem::Verified(verified) => {
                eprintln!("{}", summary(&verified));
            }
        }
    }
    Ok(())
}

/// One line: what, which block, why, and each pin that it hits, with the place in it.
pub(super) fn found_line(found: &CareFound) -> String {
    let cid = found.cid.map_or_else(String::new, |cid| format!(" {cid}"));
    let mut parts = vec![format!("{}{cid}: {}", found.kind, found.reason)];
    for hit in &found.pins {
        let name = hit.name.as_ref();
        let name = name.map_or_else(String::new, |name| format!(" `{}`", name.escape_debug()));
        let path = match hit.path.as_str() {
            "" => String::new(),
            path => format!(" in `{}`", path.escape_debug()),
        };
        let offset = hit
            .offset
            .map_or_else(String::new, |at| format!(" at byte {at}"));
        parts.push(format!("pin {}{name}{path}{offset}", hit.root));
    }
    parts.extend(match (found.repaired, &found.failure) {
        (Some(true), _) => Some("repaired".to_owned()),
        (Some(false), Some(why)) => Some(format!("not repaired: {why}")),
        (Some(false), None) => Some("not repaired".to_owned()),
        (None, _) => None,
    });
    parts.join("; ")
}

fn summary(verified: &Verified) -> String {
    let read = if verified.bytes > 0 {
        format!(
            "{}, {}",
            output::count(verified.blocks, "block"),
            output::size(verified.bytes)
        )
    } else {
        output::count(verified.blocks, "row")
    };
    match (verified.found, verified.repaired) {
        (0, _) => format!("{read}: all is well"),
        (found, 0) => format!("{read}: {found} found"),
        (found, repaired) => format!("{read}: {found} found, {repaired} repaired"),
    }
}

fn backup_line(backup: &message::Backup) -> String {
    let copied = backup.copied.map_or_else(String::new, |copied| {
        format!(", {} of it copied", output::size(copied))
    });
    format!(
        "backup {}: {} ago, {}, {}, files of {}{copied}",
        backup.number,
        ago(backup.created),
        output::count(backup.blocks, "block"),
        output::size(backup.bytes),
        output::size(backup.size),
    )
}

fn status_table(status: &ScrubStatus) -> String {
    let when = |time| match time {
        0 => "never".to_owned(),
        time => format!("{} ago", ago(time)),
    };
    let interval = status.interval.map(Duration::from_secs);
    let interval = interval.map(|interval| store_config::Duration(interval).to_string());
    output::table(&[
        ("interval", interval.unwrap_or_else(|| "off".into())),
        ("begun", when(status.started)),
        (
            "read",
            format!(
                "{} of {}",
                output::size(status.bytes),
                output::size(status.total)
            ),
        ),
        ("blocks", status.blocks.to_string()),
        ("found", status.found.to_string()),
        ("last ended", when(status.finished)),
    ])
}

/// How long ago a time in seconds since 1970 was, to the second.
fn ago(time: u64) -> store_config::Duration {
    store_config::Duration::from_secs(store::pin::now().saturating_sub(time))
}
