//! `store car export`.

use std::io::{IsTerminal, stdout};

use store::extract::NewFile;
use store::unixfs::Piece;
use store_node::api::message::{self, CarRequest, Request};

use super::super::target;
use crate::args::CarExport;
use crate::backend::{Answer, Conversation};
use crate::context::Context;
use crate::exit::Error;

pub(super) fn run(args: &CarExport, context: &mut Context) -> Result<(), Error> {
    let usage = |message: String, hint: Option<&str>| Error::Usage {
        message,
        hint: hint.map(Into::into),
    };
    if args.output.is_none() && stdout().is_terminal() {
        return Err(usage(
            "a CAR file is not for the terminal".into(),
            Some("`-o FILE` writes it to a file, `| COMMAND` passes it on"),
        ));
    }
    let export = message::CarExport {
        content: target::content(&args.target, Some(&args.wait), context)?,
        scope: args.scope.clone(),
        range: args.range.clone(),
    };
    let unknown = |error: message::CarExportError| usage(error.to_string(), None);
    export.options().map_err(unknown)?;
    // Before anything is fetched: a target that cannot be written is said at once.
    let mut file = match &args.output {
        Some(path) => Some(NewFile::create(path, args.force)?),
        None => None,
    };
    let request = Request::Car(CarRequest::Export(export));
    let mut conversation = Conversation::open(context, Some(&args.network), &request, "exporting")?;
    let mut bytes = 0;
    while let Some(answer) = conversation.next()? {
        let Answer::Piece(Piece::Data(data)) = answer else {
            continue;
        };
        bytes += data.len() as u64;
        conversation.display().received(bytes);
        match &mut file {
            Some(file) => file.write(&data)?,
            None => context.output.bytes(&data)?,
        }
    }
    if let Some(file) = file {
        file.finish()?;
    }
    context.output.flush()
}
