//! `store car export`.

use store::unixfs::Piece;
use store_node::api::message::{self, CarRequest, Request};

use super::super::sink::Sink;
use super::super::target;
use crate::args::CarExport;
use crate::backend::{Answer, Conversation};
use crate::context::Context;
use crate::exit::Error;

pub(super) fn run(args: &CarExport, context: &mut Context) -> Result<(), Error> {
    let output = args.output.as_deref();
    Sink::check(output, "a CAR file")?;
    let export = message::CarExport {
        content: target::content(&args.target, Some(&args.wait), context)?,
        scope: args.scope.clone(),
        range: args.range.clone(),
    };
    let unknown = |error: message::CarExportError| Error::Usage {
        message: error.to_string(),
        hint: None,
    };
    export.options().map_err(unknown)?;
    let mut sink = Sink::open(output, args.force)?;
    let request = Request::Car(CarRequest::Export(export));
    let mut conversation = Conversation::open(context, Some(&args.network), &request, "exporting")?;
    let mut bytes = 0;
    while let Some(answer) = conversation.next()? {
        let Answer::Piece(Piece::Data(data)) = answer else {
            continue;
        };
        bytes += data.len() as u64;
        conversation.display().received(bytes);
        sink.write(&data, &mut context.output)?;
    }
    sink.finish(&mut context.output)
}
