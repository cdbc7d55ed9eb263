//! `store add`: walks the paths here and hands over open files, so that whoever holds the repo reads what
//! this user may read.

use std::fs::{File, Metadata};
use std::io::IsTerminal;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread;

use store::unixfs::source::{self, SourceOptions};
use store::unixfs::{Entry, Name};
use store_node::api::client::{ClientError, Sender};
use store_node::api::message::{AddOptions, Added, Item, Request, Step};

use crate::args::Add;
use crate::backend::{Answer, Conversation};
use crate::context::Context;
use crate::exit::Error;

pub(crate) fn run(args: Add, context: &mut Context) -> Result<(), Error> {
    let inputs = inputs(&args)?;
    let options = SourceOptions {
        hidden: args.hidden,
        dereference_symlinks: args.dereference_symlinks,
    };
    let request = Request::Add(AddOptions {
        profile: args.profile,
        chunker: args.chunker,
        wrap: args.wrap,
        empty_dirs: args.empty_dirs,
        only_hash: args.only_hash,
        no_pin: args.no_pin,
        name: args.name,
    });
    let mut conversation = Conversation::open(context, None, &request, "adding")?;
    let sender = conversation.take_sender();
    thread::scope(|scope| {
        let sending = scope.spawn(move || send(sender, inputs, options));
        let answered = print(&mut conversation, args.quiet, context);
        if answered.is_err() {
            conversation.hang_up();
        }
        match sending.join().expect("the walk does not panic") {
            // What could not be read is the reason; the answer only repeats it.
            Err(unreadable) => Err(unreadable),
            Ok(()) => answered,
        }
    })
}

/// What is added.
enum Input {
    Stdin(OwnedFd),
    Paths(Vec<PathBuf>),
}

fn inputs(args: &Add) -> Result<Input, Error> {
    let stdin = std::io::stdin();
    let wanted = match args.paths.as_slice() {
        [] if stdin.is_terminal() => {
            return Err(Error::Usage {
                message: "nothing to add: name a file or directory, or pipe something in".into(),
                hint: Some("`store add --help` shows how".into()),
            });
        }
        [] => true,
        [one] => one == Path::new("-"),
        several if several.iter().any(|path| path == Path::new("-")) => {
            return Err(Error::Usage {
                message: "`-` is standard input and stands alone".into(),
                hint: Some("a file of that name is `./-`".into()),
            });
        }
        _ => false,
    };
    if wanted {
        let read = Error::io("read standard input");
        return stdin
            .as_fd()
            .try_clone_to_owned()
            .map(Input::Stdin)
            .map_err(read);
    }
    Ok(Input::Paths(args.paths.clone()))
}

fn print(conversation: &mut Conversation, quiet: bool, context: &mut Context) -> Result<(), Error> {
    while let Some(answer) = conversation.next()? {
        if let Answer::Item(Item::Added(added)) = answer {
            context.output.result(&added, |added| line(added, quiet))?;
        }
    }
    Ok(())
}

fn line(added: &Added, quiet: bool) -> String {
    if quiet || added.name.as_bytes().is_empty() {
        added.cid.to_string()
    } else {
        format!("{}  {}", added.cid, added.name)
    }
}

/// Sends all that is added. An error here is one of this side: what cannot be read. That the other side
/// takes no more is told by its events.
fn send(mut sender: Sender, inputs: Input, options: SourceOptions) -> Result<(), Error> {
    let sent = match inputs {
        Input::Stdin(stdin) => sender.send_step(
            &Step::File {
                name: Name::default(),
                size: None,
            },
            Some(stdin.as_fd()),
        ),
        Input::Paths(paths) => {
            let mut sent = Ok(());
            for entry in source::walk(&paths, &options) {
                let (step, file) = match entry {
                    Ok(entry) => step(entry),
                    Err(error) => {
                        let message = error.to_string();
                        // The conversation has ended where this cannot be said.
                        let _ = sender.send_step(&Step::Failed { message }, None);
                        return Err(error.into());
                    }
                };
                sent = sender.send_step(&step, file.as_ref().map(AsFd::as_fd));
                if sent.is_err() {
                    break;
                }
            }
            sent
        }
    };
    match sent.and_then(|()| sender.send_step(&Step::Finish, None)) {
        Ok(()) | Err(ClientError::Ended) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn step(entry: Entry<File>) -> (Step, Option<File>) {
    match entry {
        Entry::Dir { name } => (Step::Dir { name }, None),
        Entry::File { name, content } => {
            let size = content
                .metadata()
                .ok()
                .filter(Metadata::is_file)
                .map(|meta| meta.len());
            (Step::File { name, size }, Some(content))
        }
        Entry::Symlink { name, target } => (Step::Symlink { name, target }, None),
        Entry::End => (Step::End, None),
    }
}
