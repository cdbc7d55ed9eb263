//! `store car`.

mod export;
mod ls;

use store_node::api::message::{self, CarFile, CarRequest, ImportedRoot, Item, Request};

use super::pass;
use crate::args::{Car, CarImport};
use crate::context::Context;
use crate::exit::Error;
use crate::output;

pub(crate) fn run(args: &Car, context: &mut Context) -> Result<(), Error> {
    match args {
        Car::Export(args) => export::run(args, context),
        Car::Import(args) => import(args, context),
        Car::Ls(args) => ls::run(args, context),
    }
}

fn import(args: &CarImport, context: &mut Context) -> Result<(), Error> {
    let request = Request::Car(CarRequest::Import(message::CarImport {
        no_pin: args.no_pin,
        name: args.name.clone(),
    }));
    let paths = args.paths.iter().cloned().map(pass::Path::File).collect();
    pass::ask(&request, paths, context, |item, context| match item {
        Item::CarFile(file) if context.output.is_json() => {
            context.output.result(&file, |_| String::new())
        }
        Item::CarFile(file) if !args.quiet && file.version > 0 => {
            // Not a result: who scripts this reads the roots.
            eprintln!("{}", line_of_file(&file));
            Ok(())
        }
        Item::Root(root) => context.output.result(&root, |root| {
            if args.quiet {
                root.cid.to_string()
            } else {
                line_of_root(root, args.no_pin)
            }
        }),
        _ => Ok(()),
    })
}

fn line_of_file(file: &CarFile) -> String {
    let name = if file.name.as_bytes().is_empty() {
        "standard input".into()
    } else {
        file.name.to_string()
    };
    let (blocks, size) = (file.blocks, output::size(file.bytes));
    let version = file.version;
    let mut parts = vec![format!(
        "{name}: CAR version {version}, {blocks} blocks, {size}"
    )];
    if file.unreadable > 0 {
        let count = file.unreadable;
        parts.push(format!(
            "{count} of other codecs than raw and dag-pb, kept as raw blocks"
        ));
    }
    if file.unchecked > 0 {
        let cids = file.unchecked_cids.join(", ");
        let count = file.unchecked;
        parts.push(format!(
            "{count} left out, whose hashes cannot be checked: {cids}"
        ));
    }
    parts.join("; ")
}

pub(super) fn line_of_root(root: &ImportedRoot, no_pin: bool) -> String {
    let cid = root.cid;
    match &root.why {
        Some(why) => format!("{cid}  not pinned: {why}"),
        None if no_pin => cid.to_string(),
        None => format!("{cid}  pinned"),
    }
}
