//! `store get`.

mod many;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;
use store::extract::{Extractor, Part};
use store::unixfs::data::Metadata;
use store::unixfs::{Name, Piece};
use store_node::api::message::{Found, Kind, Land, LandFile, LandStep, Request};

use super::target;
use crate::args::Get;
use crate::backend::{Answer, Conversation};
use crate::context::Context;
use crate::exit::Error;
use crate::output;

/// What was written, for programs.
#[derive(Serialize)]
struct Got {
    #[serde(flatten)]
    found: Found,
    path: Name,
    bytes: u64,
    elapsed_ms: u64,
}

pub(crate) fn run(args: &Get, context: &mut Context) -> Result<(), Error> {
    let Some(target) = &args.target else {
        return many::run(args, context);
    };
    let begun = Instant::now();
    let wanted = target::content(target, Some(&args.wait), context)?;
    let path = output_path(target, args)?;
    // Before anything is fetched: a target that cannot be written is said at once.
    let extractor = Extractor::new(&path, args.force)?;
    let request = Request::Land(Land {
        content: wanted,
        pin: args.pin,
    });
    let mut conversation = Conversation::open(context, Some(&args.network), &request, "fetching")?;
    let mut output = Output {
        extractor,
        part: None,
        landed: false,
        bytes: 0,
    };
    if context.output.is_json() {
        conversation.tell();
    }
    let written = output.write(&mut conversation, context);
    if let Some((part, _)) = output.part.take() {
        // Whatever ended it: a later run goes on with it.
        part.keep();
    }
    let found = written?;
    let bytes = output.bytes;
    if !output.landed {
        output.extractor.finish()?;
    }
    drop(conversation);
    let Some(found) = found else { return Ok(()) };
    let elapsed = begun.elapsed();
    if !context.output.is_json() {
        // Not a result: whoever scripts this named the path, or knows it.
        if std::io::stderr().is_terminal() {
            let what = if found.kind == Kind::Directory {
                "tree"
            } else {
                "file"
            };
            eprintln!(
                "{what} of {} in {} → {}",
                output::size(bytes),
                target::seconds(elapsed),
                path.display()
            );
        }
        return Ok(());
    }
    let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    let path = Name::from(path.into_os_string());
    context.output.result(
        &Got {
            found,
            path,
            bytes,
            elapsed_ms,
        },
        |_| String::new(),
    )
}

/// What is written.
struct Output {
    extractor: Extractor,
    /// A file that whoever holds the repo writes into, and what will be said of it.
    part: Option<(Part, Metadata)>,
    landed: bool,
    bytes: u64,
}

impl Output {
    /// Writes all that comes. What it is, if it was found.
    fn write(
        &mut self,
        conversation: &mut Conversation,
        context: &mut Context,
    ) -> Result<Option<Found>, Error> {
        let mut found = None;
        while let Some(answer) = conversation.next()? {
            match answer {
                Answer::Found(what) => {
                    conversation.display().total().set(what.size.unwrap_or(0));
                    found = Some(what);
                }
                Answer::Piece(piece) => {
                    if let Some((part, _)) = self.part.take() {
                        self.bytes = 0;
                        part.discard();
                    }
                    if let Piece::Data(data) = &piece {
                        self.bytes += data.len() as u64;
                        conversation.display().received(self.bytes);
                    }
                    self.extractor.accept(piece)?;
                }
                Answer::Land(wanted) => self.offer(&wanted, conversation)?,
                Answer::Landed => {
                    if let Some((part, metadata)) = self.part.take() {
                        self.extractor.finish_part(part, metadata)?;
                        self.landed = true;
                        conversation.land(&LandStep::Named, None)?;
                    }
                }
                Answer::Told(told) => context.output.result(&told, |_| String::new())?,
                Answer::Item(_) | Answer::Wanted(_) | Answer::Many(_) => {}
            }
        }
        Ok(found)
    }

    fn offer(&mut self, wanted: &LandFile, conversation: &mut Conversation) -> Result<(), Error> {
        let part = self.extractor.part(&wanted.cid)?;
        let step = LandStep::Part {
            path: Name::from(part.path().as_os_str().to_owned()),
            target: Name::from(part.target().as_os_str().to_owned()),
            is_new: part.is_new(),
        };
        conversation.land(&step, Some(part.file()))?;
        self.bytes = wanted.size;
        self.part = Some((part, wanted.metadata));
        Ok(())
    }
}

/// Where to write: `-o`, into it where it ends in `/`, else the content's name here.
fn output_path(target: &str, args: &Get) -> Result<PathBuf, Error> {
    let name = target::name_of(target)?;
    Ok(match &args.output {
        None => Path::new(".").join(name),
        Some(path) if path.as_os_str().as_encoded_bytes().ends_with(b"/") => path.join(name),
        Some(path) => path.clone(),
    })
}
