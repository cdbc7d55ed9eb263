//! `store share`.

use store_node::api::message::{self, Item, Request};

use super::target;
use crate::args::Share;
use crate::backend::{Answer, Conversation};
use crate::context::Context;
use crate::exit::Error;

pub(crate) fn run(args: &Share, context: &mut Context) -> Result<(), Error> {
    target::name_of(&args.target)?;
    let request = Request::Share(message::Share {
        target: args.target.clone(),
    });
    let mut conversation = Conversation::open(context, None, &request, "sharing")?;
    while let Some(answer) = conversation.next()? {
        if let Answer::Item(Item::Link(link)) = answer {
            context.output.result(&link, |link| link.link.clone())?;
        }
    }
    Ok(())
}
