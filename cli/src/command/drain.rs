//! `store drain`.

use store_node::api::message::{DrainChange, Drained, Item, ReplicationRequest, Request};

use crate::args::Drain;
use crate::backend::{Answer, Conversation};
use crate::context::Context;
use crate::exit::Error;
use crate::output;

pub(crate) fn run(args: &Drain, context: &mut Context) -> Result<(), Error> {
    let change = if args.cancel {
        DrainChange::Cancel
    } else if args.status {
        DrainChange::Show
    } else {
        DrainChange::Begin {
            timeout: args.wait_timeout.map(store_config::Duration::get),
        }
    };
    let request = Request::Replication(ReplicationRequest::Drain(change));
    let mut conversation = Conversation::open(context, None, &request, "draining")?;
    while let Some(answer) = conversation.next()? {
        if let Answer::Item(Item::Drained(told)) = answer {
            context.output.result(&*told, line)?;
        }
    }
    Ok(())
}

fn line(told: &Drained) -> String {
    if !told.draining {
        return "this node is not draining: it stays".to_owned();
    }
    let parts = output::count(told.held_segments as u64, "part");
    let held = format!("{parts}, {}", output::size(told.held_bytes));
    if told.complete {
        return format!(
            "drained: enough copies of all that it has ({held}) are elsewhere; this node can be stopped"
        );
    }
    let mut lines = vec![format!(
        "draining: {} of {held}, are still needed here; copies that are missing elsewhere: {}",
        told.needed_segments,
        output::size(told.needed_bytes)
    )];
    for content in &told.stuck {
        let parts = output::count(content.segments as u64, "part");
        lines.push(format!(
            "{}  {} of {} copies elsewhere, {parts}",
            content.cid, content.copies, content.wanted
        ));
    }
    for cid in &told.only_here_first {
        lines.push(format!("{cid}  pinned here, and wanted nowhere else"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_whether_the_node_can_be_stopped() {
        let mut told = Drained::default();
        assert!(line(&told).contains("it stays"));
        told.draining = true;
        told.held_segments = 1;
        told.held_bytes = 3 << 20;
        told.needed_segments = 1;
        told.needed_bytes = 3 << 20;
        let shown = line(&told);
        assert!(
            shown.starts_with("draining: 1 of 1 part, ") && shown.contains("still needed here"),
            "{shown}"
        );
        told.complete = true;
        assert!(line(&told).ends_with("this node can be stopped"));
    }
}
