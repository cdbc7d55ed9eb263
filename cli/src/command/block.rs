//! `store block get` and `store block put`.

use std::io::{IsTerminal, stdout};

use store::unixfs::Piece;
use store_node::api::message::{self, BlockRequest, Item, Request};

use super::{pass, target};
use crate::args::{BlockGet, BlockPut};
use crate::backend::{Answer, Conversation};
use crate::context::Context;
use crate::exit::Error;

pub(crate) fn get(args: &BlockGet, context: &mut Context) -> Result<(), Error> {
    if stdout().is_terminal() {
        return Err(Error::Usage {
            message: "a block's bytes are not for the terminal".into(),
            hint: Some(
                "`> FILE` writes them to a file; `store dag get` shows what is in it".into(),
            ),
        });
    }
    let wanted = target::content(&args.target, Some(&args.wait), context)?;
    let request = Request::Block(BlockRequest::Get(wanted));
    let mut conversation = Conversation::open(context, Some(&args.network), &request, "fetching")?;
    while let Some(answer) = conversation.next()? {
        if let Answer::Piece(Piece::Data(data)) = answer {
            context.output.bytes(&data)?;
        }
    }
    context.output.flush()
}

pub(crate) fn put(args: &BlockPut, context: &mut Context) -> Result<(), Error> {
    let request = Request::Block(BlockRequest::Put(message::BlockPut {
        codec: args.codec.clone(),
        hash: args.hash.clone(),
        pin: args.pin,
    }));
    let paths = args.path.iter().cloned().map(pass::Path::File).collect();
    pass::ask(&request, paths, context, |item, context| match item {
        Item::Block(stat) => context.output.result(&stat, |stat| stat.cid.to_string()),
        _ => Ok(()),
    })
}
