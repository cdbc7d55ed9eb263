//! `store doctor`.

use store_node::api::message::{Ailment, Item, ReplicationRequest, Request};

use crate::backend::{Answer, Conversation};
use crate::context::Context;
use crate::exit::Error;

pub(crate) fn run(context: &mut Context) -> Result<(), Error> {
    let request = Request::Replication(ReplicationRequest::Doctor);
    let mut conversation = Conversation::open(context, None, &request, "looking")?;
    while let Some(answer) = conversation.next()? {
        if let Answer::Item(Item::Ailment(ailment)) = answer {
            context.output.result(&ailment, lines)?;
        }
    }
    Ok(())
}

/// What, and below it what to do about it.
fn lines(ailment: &Ailment) -> String {
    let mark = if ailment.serious { "!" } else { "-" };
    format!(
        "{mark} {}: {}\n  {}",
        ailment.kind,
        ailment.what.escape_debug(),
        ailment.advice
    )
}
