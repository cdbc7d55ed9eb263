//! `store add`: walks the paths here and hands over open files, so that whoever holds the repo reads what
//! this user may read. Files that it knows already are not even opened.

mod feed;

use std::fs::File;
use std::io::{self, IsTerminal};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use store::unixfs::source::{self, Rules, SourceError, SourceOptions, Unopened};
use store::unixfs::{Entry, Name};
use store_node::api::client::{ClientError, Sender};
use store_node::api::message::{AddOptions, Added, CopiesWait, Item, Request, Shape, Step};

use self::feed::{Feed, FeedError, WINDOW};
use crate::args::Add;
use crate::backend::{Answer, Conversation};
use crate::context::Context;
use crate::exit::{Error, one_line};
use crate::progress::Total;

pub(crate) fn run(args: &Add, context: &mut Context) -> Result<(), Error> {
    let shape = shape(args)?;
    let input = input(args)?;
    if args.no_copy && !matches!(input, Input::Paths(_)) {
        return Err(Error::Usage {
            message: "`--no-copy` cannot leave standard input where it is: name a file".into(),
            hint: None,
        });
    }
    let options = SourceOptions {
        hidden: args.hidden,
        dereference_symlinks: args.dereference_symlinks,
        described: args.described.options()?,
        rules: Rules::new(args.ignore_rules_path.as_deref(), &args.ignore)?,
    };
    let add = AddOptions {
        shape,
        wrap: args.wrap,
        wrapper: options.described.of_nothing(),
        empty_dirs: args.empty_dirs,
        only_hash: args.only_hash,
        no_pin: args.no_pin,
        cache: !args.no_cache,
        no_copy: args.no_copy,
        reflink: args.reflink.map(Into::into),
        measure: None,
        pin: super::pin::marks(&args.marks),
        copies: super::replication::copies(&args.copies),
    };
    // With `--no-copy` the quota counts the nodes above the leaves only.
    if let Input::Paths(paths) = &input
        && context.config().storage.quota.bytes().is_some()
        && !(args.only_hash || args.no_copy)
    {
        let measure = AddOptions {
            measure: Some(source::scan(paths, &options).map(size).sum()),
            ..add.clone()
        };
        let input = Input::Paths(paths.clone());
        converse(measure, input, options.clone(), args.quiet, context)?;
    }
    converse(add, input, options, args.quiet, context)
}

/// Bytes of a file that would be added.
fn size(entry: Result<Entry<Unopened>, SourceError>) -> u64 {
    match entry {
        Ok(Entry::File {
            origin: Some(origin),
            ..
        }) => origin.identity.size,
        _ => 0,
    }
}

/// Sends what there is to add, and prints what it became.
fn converse(
    add: AddOptions,
    input: Input,
    options: SourceOptions,
    quiet: bool,
    context: &mut Context,
) -> Result<(), Error> {
    let stdin = input.stream().map_err(Error::io("read standard input"))?;
    let doing = if add.measure.is_some() {
        "measuring"
    } else {
        "adding"
    };
    let waits = add.copies.wait != CopiesWait::None;
    let request = Request::Add(add);
    let conversation = Conversation::open(context, None, &request, doing)?;
    let (want, wanted) = sync_channel(WINDOW);
    let send = move |sender, total: &Total| send(sender, input, &options, wanted, total);
    super::converse::converse(conversation, stdin, send, |conversation| {
        print(conversation, &want, (quiet, waits), context)
    })
}

/// What shapes the CIDs; refuses at once what no holder of a repo would take.
fn shape(args: &Add) -> Result<Shape, Error> {
    let shape = args.shape.message(args.described.options()?.is_some());
    match shape.profile() {
        Ok(_) => Ok(shape),
        Err(error) => Err(Error::Usage {
            message: error.to_string(),
            hint: None,
        }),
    }
}

/// What is added.
pub(super) enum Input {
    /// Standard input, by way of a socket: its reading end goes to whoever does the work, and can be
    /// shut when the command ends before its input does.
    Stdin {
        near: UnixStream,
        far: UnixStream,
    },
    /// Standard input where it is a file.
    File(File),
    Paths(Vec<PathBuf>),
}

impl Input {
    /// The socket that standard input goes through.
    pub(super) fn stream(&self) -> io::Result<Option<UnixStream>> {
        match self {
            Self::Stdin { near, .. } => near.try_clone().map(Some),
            Self::File(_) | Self::Paths(_) => Ok(None),
        }
    }
}

fn input(args: &Add) -> Result<Input, Error> {
    let stdin = io::stdin();
    match args.paths.as_slice() {
        [] if stdin.is_terminal() => {
            return Err(Error::Usage {
                message: "nothing to add: name a file or directory, or pipe something in".into(),
                hint: Some("`store add --help` shows how".into()),
            });
        }
        [] => {}
        [one] if one == Path::new("-") => {}
        several if several.iter().any(|path| path == Path::new("-")) => {
            return Err(Error::Usage {
                message: "`-` is standard input and stands alone".into(),
                hint: Some("a file of that name is `./-`".into()),
            });
        }
        paths => return Ok(Input::Paths(paths.to_vec())),
    }
    standard_input().map_err(Error::io("read standard input"))
}

pub(super) fn standard_input() -> io::Result<Input> {
    let stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    if stdin.metadata()?.is_file() {
        return Ok(Input::File(stdin));
    }
    let (near, far) = UnixStream::pair()?;
    Ok(Input::Stdin { near, far })
}

fn print(
    conversation: &mut Conversation,
    want: &SyncSender<Vec<u32>>,
    (quiet, waits): (bool, bool),
    context: &mut Context,
) -> Result<(), Error> {
    let mut roots = Vec::new();
    loop {
        let answer = match conversation.next() {
            Ok(Some(answer)) => answer,
            Ok(None) => return Ok(()),
            // The CIDs that were told are durable, and their copies wanted: whoever holds the repo next has
            // the rest made.
            Err(Error::Client(ClientError::Lost)) if waits => {
                return super::replication::lost(&roots, conversation.copies());
            }
            Err(error) => return Err(error),
        };
        match answer {
            Answer::Wanted(files) => {
                // There is room for all answers that can come. If nobody takes them any more, the
                // other side hears that from whoever did.
                let _ = want.send(files);
            }
            Answer::Item(Item::Added(added)) => {
                context.output.result(&added, |added| line(added, quiet))?;
                roots.push(added.cid);
            }
            Answer::Item(Item::Placed(placed)) => {
                super::replication::placed(&placed, context)?;
                if placed.complete {
                    roots.retain(|root| *root != placed.cid);
                }
            }
            Answer::Item(Item::Skipped(skipped)) => {
                if context.output.is_json() {
                    context.output.result(&skipped, |_| String::new())?;
                }
                eprintln!("not added: {}", one_line(&skipped.skipped));
            }
            _ => {}
        }
    }
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
fn send(
    mut sender: Sender,
    input: Input,
    options: &SourceOptions,
    wanted: Receiver<Vec<u32>>,
    total: &Total,
) -> Result<(), Error> {
    let sent = match input {
        Input::File(file) => sender.send_step(&nameless(options), Some(file.as_fd())),
        Input::Stdin { near, far } => match pass_on(&mut sender, &nameless(options), near, far) {
            Ok(sent) => sent,
            Err(error) => {
                let error = Error::io("read standard input")(error);
                refuse(&mut sender, &error);
                return Err(error);
            }
        },
        Input::Paths(paths) => {
            let mut scan = source::scan(&paths, options);
            match Feed::new(&mut sender, wanted).all(&mut scan, total) {
                Ok(()) => Ok(()),
                Err(FeedError::Client(error)) => Err(error),
                Err(FeedError::Source(error)) => {
                    let error = error.into();
                    refuse(&mut sender, &error);
                    return Err(error);
                }
            }
        }
    };
    match sent.and_then(|()| sender.send_step(&Step::Finish, None)) {
        Ok(()) | Err(ClientError::Ended) => Ok(()),
        Err(error) => {
            sender.close();
            Err(error.into())
        }
    }
}

/// A file of no name, which standard input is.
fn nameless(options: &SourceOptions) -> Step {
    Step::File {
        name: Name::default(),
        metadata: options.described.of_nothing(),
        identity: None,
    }
}

/// Sends the reading end, then all of standard input through it: nothing says that this is finished
/// before it is. The inner result is that of the conversation.
pub(super) fn pass_on(
    sender: &mut Sender,
    nameless: &Step,
    mut near: UnixStream,
    far: UnixStream,
) -> io::Result<Result<(), ClientError>> {
    if let Err(error) = sender.send_step(nameless, Some(far.as_fd())) {
        return Ok(Err(error));
    }
    drop(far);
    match io::copy(&mut io::stdin().lock(), &mut near) {
        // Whoever read it has stopped; the events say why.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            return Ok(Err(ClientError::Ended));
        }
        Err(error) => return Err(error),
        Ok(_) => near.shutdown(Shutdown::Write)?,
    }
    Ok(Ok(()))
}

/// Says that nothing is to be added, since not all of it can be read.
pub(super) fn refuse(sender: &mut Sender, error: &Error) {
    let message = error.to_string();
    if sender.send_step(&Step::Failed { message }, None).is_err() {
        // Where this cannot be said, an end without a finish says it.
        sender.close();
    }
}
