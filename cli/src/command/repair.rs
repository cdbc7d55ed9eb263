//! `store repair`.

use store_node::api::message::{Item, RepairChange, ReplicationRequest, Request};

use super::status::rate;
use crate::args::Repair;
use crate::backend::{Answer, Conversation};
use crate::context::Context;
use crate::exit::Error;

pub(crate) fn run(args: &Repair, context: &mut Context) -> Result<(), Error> {
    let change = match (args.rate, args.pause, args.resume) {
        (Some(rate), ..) => RepairChange::Rate(rate.bytes_per_second()),
        (None, true, _) => RepairChange::Pause,
        (None, false, true) => RepairChange::Resume,
        (None, false, false) => RepairChange::Show,
    };
    let request = Request::Replication(ReplicationRequest::Repair(change));
    let mut conversation = Conversation::open(context, None, &request, "asking")?;
    while let Some(answer) = conversation.next()? {
        if let Answer::Item(Item::Rate(told)) = answer {
            context.output.result(&told, rate)?;
        }
    }
    Ok(())
}
