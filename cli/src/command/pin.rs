//! `store pin`.

use store_node::api::message::{self, Item, PinRequest, Request};

use super::target;
use crate::args::Pin;
use crate::backend::{Answer, Conversation};
use crate::context::Context;
use crate::exit::Error;

pub(crate) fn run(args: &Pin, context: &mut Context) -> Result<(), Error> {
    let (request, network, doing) = match args {
        Pin::Add(add) => {
            let wanted = target::content(&add.target, Some(&add.wait), context)?;
            let request = PinRequest::Add {
                content: wanted,
                name: add.name.clone(),
            };
            (request, Some(&add.network), "fetching")
        }
        Pin::Rm { cid } => (
            PinRequest::Rm {
                cid: target::bare(cid)?,
            },
            None,
            "unpinning",
        ),
        Pin::Ls => (PinRequest::Ls, None, "listing"),
    };
    let mut conversation = Conversation::open(context, network, &Request::Pin(request), doing)?;
    while let Some(answer) = conversation.next()? {
        if let Answer::Item(Item::Pin(pin)) = answer {
            context.output.result(&pin, line)?;
        }
    }
    Ok(())
}

fn line(pin: &message::Pin) -> String {
    match &pin.name {
        Some(name) => format!("{}  {}", pin.cid, name.escape_debug()),
        None => pin.cid.to_string(),
    }
}
