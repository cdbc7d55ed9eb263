//! `store gc`.

use store_node::api::message::{self, Collected, Item, Request};

use crate::args::Gc;
use crate::backend::{Answer, Conversation};
use crate::context::Context;
use crate::exit::Error;
use crate::output;

pub(crate) fn run(args: &Gc, context: &mut Context) -> Result<(), Error> {
    let request = Request::Gc(message::Gc {
        dry_run: args.dry_run,
        keep_cache: args.keep_cache,
    });
    let mut conversation = Conversation::open(context, None, &request, "collecting")?;
    while let Some(answer) = conversation.next()? {
        if let Answer::Item(Item::Collected(collected)) = answer {
            context.output.result(&collected, line)?;
        }
    }
    Ok(())
}

fn line(collected: &Collected) -> String {
    let Collected { blocks, bytes, .. } = *collected;
    let what = format!(
        "{}, {}",
        output::count(blocks, "block"),
        output::size(bytes)
    );
    if collected.dry_run {
        return format!("would remove {what}");
    }
    format!(
        "removed {what}; {} on disk before, {} now",
        output::size(collected.disk_before),
        output::size(collected.disk)
    )
}
