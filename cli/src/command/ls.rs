//! `store ls`.

use store_node::api::message::{self, DirEntry, Item, Kind, Request};

use super::target;
use crate::args::Ls;
use crate::backend::{Answer, Conversation};
use crate::context::Context;
use crate::exit::Error;
use crate::output;

pub(crate) fn run(args: &Ls, context: &mut Context) -> Result<(), Error> {
    let request = Request::Ls(message::Ls {
        content: target::content(&args.target, Some(&args.wait), context)?,
        resolve: args.long,
    });
    let mut conversation = Conversation::open(context, Some(&args.network), &request, "listing")?;
    while let Some(answer) = conversation.next()? {
        if let Answer::Item(Item::Entry(entry)) = answer {
            let line = if args.long { long } else { line };
            context.output.result(&entry, line)?;
        }
    }
    Ok(())
}

/// The same with permissions and time, where they are stored.
fn long(entry: &DirEntry) -> String {
    let mode = entry
        .metadata
        .mode
        .map_or_else(|| "-".into(), |mode| format!("{mode:04o}"));
    let mtime = entry
        .metadata
        .mtime
        .map_or_else(|| "-".into(), |mtime| output::time(mtime.seconds));
    format!("{mode:>4}  {mtime:>20}  {}", line(entry))
}

/// A directory's name ends in `/`, a symlink's in `@`, where the kind is known.
fn line(entry: &DirEntry) -> String {
    let size = output::size(entry.size.unwrap_or(entry.tsize));
    let mark = match entry.kind {
        Some(Kind::Directory) => "/",
        Some(Kind::Symlink) => "@",
        Some(Kind::File) | None => "",
    };
    format!("{}  {size:>9}  {}{mark}", entry.cid, entry.name)
}
