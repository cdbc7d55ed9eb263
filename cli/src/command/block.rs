//! `store block get`, `store block put` and `store block rm`.

use std::io::{IsTerminal, stdout};

use store::unixfs::Piece;
use store_node::api::message::{self, BlockRequest, Item, Request};

use super::{pass, pin, target};
use crate::args::{BlockGet, BlockPut, BlockRm};
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

pub(crate) fn rm(args: &BlockRm, context: &mut Context) -> Result<(), Error> {
    let cids = args.cids.iter().map(|text| target::bare(text));
    let cids = cids.collect::<Result<_, _>>()?;
    let request = Request::Block(BlockRequest::Rm { cids });
    let mut conversation = Conversation::open(context, None, &request, "removing")?;
    while let Some(answer) = conversation.next()? {
        match answer {
            Answer::Item(Item::Block(stat)) => {
                context.output.result(&stat, |stat| stat.cid.to_string())?;
            }
            // Of one alone the failure says it all.
            Answer::Item(Item::Holder(holder)) if args.cids.len() > 1 => {
                eprintln!("kept: {}", pin::holder_line(&holder));
            }
            _ => {}
        }
    }
    Ok(())
}
