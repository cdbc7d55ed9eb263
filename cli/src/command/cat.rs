//! `store cat`.

use store::unixfs::Piece;
use store_node::api::message::{self, Request};

use super::target;
use crate::args::Cat;
use crate::backend::{Answer, Conversation};
use crate::context::Context;
use crate::exit::Error;

pub(crate) fn run(args: &Cat, context: &mut Context) -> Result<(), Error> {
    let request = Request::Cat(message::Cat {
        content: target::content(&args.target, Some(&args.wait), context)?,
        offset: args.offset.bytes(),
        length: args.length.map(store_config::ByteSize::bytes),
    });
    let mut conversation = Conversation::open(context, Some(&args.network), &request, "fetching")?;
    while let Some(answer) = conversation.next()? {
        if let Answer::Piece(Piece::Data(data)) = answer {
            // Who reads this, reads it here or in a pager: a bar would be in the way.
            conversation.display().hide();
            context.output.bytes(&data)?;
        }
    }
    context.output.flush()
}
