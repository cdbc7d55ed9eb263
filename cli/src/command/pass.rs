//! Files that a command passes on to whoever holds the repo, open, one after another.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

use store_node::api::client::{ClientError, Sender};
use store_node::api::message::{Item, Request, Step};

use super::add::{Input, pass_on, refuse, standard_input};
use super::converse::converse;
use crate::backend::{Answer, Conversation};
use crate::context::Context;
use crate::exit::Error;
use crate::progress::Total;

/// What is passed on.
pub(super) enum Path {
    /// Something to read; `-` alone is standard input.
    File(PathBuf),
    /// A directory, to read what is in it.
    Directory(PathBuf),
}

/// Asks for `request`, which reads `paths`; none at all is standard input. Gives `each` the answers.
pub(super) fn ask(
    request: &Request,
    paths: Vec<Path>,
    context: &mut Context,
    each: impl Fn(Item, &mut Context) -> Result<(), Error>,
) -> Result<(), Error> {
    let input = input(paths)?;
    let stdin = match &input {
        From::Stdin(input) => input.stream().map_err(Error::io("read standard input"))?,
        From::Paths(_) => None,
    };
    let conversation = Conversation::open(context, None, request, "reading")?;
    let send = move |sender, total: &Total| send(sender, input, total);
    converse(conversation, stdin, send, |conversation| {
        while let Some(answer) = conversation.next()? {
            if let Answer::Item(item) = answer {
                each(item, context)?;
            }
        }
        Ok(())
    })
}

/// Where it is read from.
enum From {
    Stdin(Input),
    Paths(Vec<Path>),
}

fn input(paths: Vec<Path>) -> Result<From, Error> {
    let is_stdin = |path: &Path| matches!(path, Path::File(path) if path.as_os_str() == "-");
    match paths.as_slice() {
        [] => {}
        [one] if is_stdin(one) => {}
        several if several.iter().any(is_stdin) => {
            return Err(Error::Usage {
                message: "`-` is standard input and stands alone".into(),
                hint: Some("a file of that name is `./-`".into()),
            });
        }
        _ => return Ok(From::Paths(paths)),
    }
    if io::IsTerminal::is_terminal(&io::stdin()) {
        return Err(Error::Usage {
            message: "nothing to read: name a file, or pipe something in".into(),
            hint: None,
        });
    }
    let input = standard_input().map_err(Error::io("read standard input"))?;
    Ok(From::Stdin(input))
}

fn send(mut sender: Sender, input: From, total: &Total) -> Result<(), Error> {
    let sent = match input {
        From::Stdin(Input::File(file)) => {
            total.set(file.metadata().map_or(0, |meta| meta.len()));
            sender.send_step(&Step::file(""), Some(file.as_fd()))
        }
        From::Stdin(Input::Stdin { near, far }) => {
            match pass_on(&mut sender, &Step::file(""), near, far) {
                Ok(sent) => sent,
                Err(error) => {
                    let error = Error::io("read standard input")(error);
                    refuse(&mut sender, &error);
                    return Err(error);
                }
            }
        }
        From::Stdin(Input::Paths(_)) => Ok(()),
        From::Paths(paths) => {
            let (mut sent, mut bytes) = (Ok(()), 0);
            for path in paths {
                let (file, size) = match open(&path) {
                    Ok(opened) => opened,
                    Err(error) => {
                        refuse(&mut sender, &error);
                        return Err(error);
                    }
                };
                let (Path::File(name) | Path::Directory(name)) = path;
                let step = Step::file(name.into_os_string());
                sent = sender.send_step(&step, Some(file.as_fd()));
                if sent.is_err() {
                    break;
                }
                bytes += size.unwrap_or(0);
                total.set(bytes);
            }
            sent
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

/// Opens a file, and says how large it is, where that is known.
fn open(path: &Path) -> Result<(File, Option<u64>), Error> {
    let (Path::File(name) | Path::Directory(name)) = path;
    let read = || {
        let file = File::open(name)?;
        let meta = file.metadata()?;
        match (path, meta.is_dir()) {
            (Path::File(_), true) => return Err(io::ErrorKind::IsADirectory.into()),
            (Path::Directory(_), false) => return Err(io::ErrorKind::NotADirectory.into()),
            _ => {}
        }
        let size = meta.is_file().then_some(meta.len());
        Ok((file, size))
    };
    read().map_err(Error::io(format!("read `{}`", name.display())))
}
