//! `store import-kubo`.

use store_node::api::message::{Item, KuboCopied, Request};

use super::car::line_of_root;
use super::pass;
use crate::args::ImportKubo;
use crate::context::Context;
use crate::exit::Error;
use crate::output;

pub(crate) fn run(args: &ImportKubo, context: &mut Context) -> Result<(), Error> {
    let mut paths = vec![pass::Path::Directory(args.dir.clone())];
    paths.extend(args.pins.iter().cloned().map(pass::Path::File));
    let without_pins = args.pins.is_none();
    pass::ask(
        &Request::ImportKubo,
        paths,
        context,
        |item, context| match item {
            Item::Kubo(copied) => context
                .output
                .result(&copied, |copied| line_of_all(copied, without_pins)),
            Item::KuboRefused(refused) => context.output.result(&refused, |refused| {
                format!("{}  left out: {}", refused.file, refused.why)
            }),
            Item::Root(root) => context
                .output
                .result(&root, |root| line_of_root(root, false)),
            _ => Ok(()),
        },
    )
}

fn line_of_all(copied: &KuboCopied, without_pins: bool) -> String {
    let KuboCopied {
        blocks,
        bytes,
        present,
        refused,
        pins_passed_over,
    } = copied;
    let size = output::size(*bytes);
    let mut parts = vec![format!("{blocks} blocks copied, {size}")];
    if *present > 0 {
        parts.push(format!("{present} were here"));
    }
    if *refused > 0 {
        parts.push(format!("{refused} left out"));
    }
    if *pins_passed_over > 0 {
        parts.push(format!(
            "{pins_passed_over} pins that are not recursive passed over"
        ));
    }
    if without_pins {
        parts.push("nothing pinned: `--pins` tells what to pin".into());
    }
    parts.join("; ")
}
