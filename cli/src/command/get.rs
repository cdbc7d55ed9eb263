//! `store get`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;
use store::extract::Extractor;
use store::unixfs::{Name, Piece};
use store_node::api::message::{Found, Kind, Request};

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
    let begun = Instant::now();
    let wanted = target::content(&args.target, Some(&args.wait), context)?;
    let path = output_path(args)?;
    // Before anything is fetched: a target that cannot be written is said at once.
    let mut extractor = Extractor::new(&path, args.force)?;
    let request = Request::Get(wanted);
    let mut conversation = Conversation::open(context, Some(&args.network), &request, "fetching")?;
    let (mut found, mut bytes) = (None, 0);
    while let Some(answer) = conversation.next()? {
        match answer {
            Answer::Found(what) => {
                conversation.display().total().set(what.size.unwrap_or(0));
                found = Some(what);
            }
            Answer::Piece(piece) => {
                if let Piece::Data(data) = &piece {
                    bytes += data.len() as u64;
                    conversation.display().received(bytes);
                }
                extractor.accept(piece)?;
            }
            Answer::Item(_) | Answer::Wanted(_) => {}
        }
    }
    extractor.finish()?;
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

/// Where to write: `-o`, into it where it ends in `/`, else the content's name here.
fn output_path(args: &Get) -> Result<PathBuf, Error> {
    let name = target::name_of(&args.target)?;
    Ok(match &args.output {
        None => Path::new(".").join(name),
        Some(path) if path.as_os_str().as_encoded_bytes().ends_with(b"/") => path.join(name),
        Some(path) => path.clone(),
    })
}
