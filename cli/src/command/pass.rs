//! Files that a command passes on to whoever holds the repo, open, one after another.

use std::fs::File;
use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::thread;

use store::unixfs::Name;
use store::unixfs::data::Metadata;
use store_node::api::client::{ClientError, Sender};
use store_node::api::message::{Item, Request, Step};

use super::add::{Input, pass_on, refuse, standard_input};
use crate::backend::{Answer, Conversation};
use crate::context::Context;
use crate::exit::Error;
use crate::progress::Total;

/// Asks for `request`, which reads `paths`; `-` alone, or none, is standard input. Gives `each` the answers.
pub(super) fn ask(
    request: &Request,
    paths: &[PathBuf],
    context: &mut Context,
    each: impl Fn(Item, &mut Context) -> Result<(), Error>,
) -> Result<(), Error> {
    let input = input(paths)?;
    let stdin = input.stream().map_err(Error::io("read standard input"))?;
    let mut conversation = Conversation::open(context, None, request, "reading")?;
    let sender = conversation.take_sender();
    let total = conversation.display().total();
    let (report, reported) = sync_channel(1);
    // Not waited for where the command fails: it may be waiting for standard input.
    thread::spawn(move || {
        let sent = send(sender, input, &total);
        // Nobody asks where all went well.
        let _ = report.send(sent);
    });
    let answered = (|| {
        while let Some(answer) = conversation.next()? {
            if let Answer::Item(item) = answer {
                each(item, context)?;
            }
        }
        Ok(())
    })();
    if answered.is_err() {
        conversation.hang_up();
        if let Some(stdin) = stdin {
            // Whoever reads it stops waiting.
            let _ = stdin.shutdown(Shutdown::Both);
        }
        // What could not be read is the reason; the answer only repeats it.
        if let Ok(Err(unreadable)) = reported.try_recv() {
            return Err(unreadable);
        }
    }
    answered
}

fn input(paths: &[PathBuf]) -> Result<Input, Error> {
    let is_stdin = |path: &Path| path == Path::new("-");
    match paths {
        [] => {}
        [one] if is_stdin(one) => {}
        several if several.iter().any(|path| is_stdin(path)) => {
            return Err(Error::Usage {
                message: "`-` is standard input and stands alone".into(),
                hint: Some("a file of that name is `./-`".into()),
            });
        }
        paths => return Ok(Input::Paths(paths.to_vec())),
    }
    if io::IsTerminal::is_terminal(&io::stdin()) {
        return Err(Error::Usage {
            message: "nothing to read: name a file, or pipe something in".into(),
            hint: None,
        });
    }
    standard_input().map_err(Error::io("read standard input"))
}

fn send(mut sender: Sender, input: Input, total: &Total) -> Result<(), Error> {
    let sent = match input {
        Input::File(file) => {
            total.set(file.metadata().map_or(0, |meta| meta.len()));
            sender.send_step(&step("", None), Some(file.as_fd()))
        }
        Input::Stdin { near, far } => match pass_on(&mut sender, &step("", None), near, far) {
            Ok(sent) => sent,
            Err(error) => {
                let error = Error::io("read standard input")(error);
                refuse(&mut sender, &error);
                return Err(error);
            }
        },
        Input::Paths(paths) => {
            let (mut sent, mut bytes) = (Ok(()), 0);
            for path in paths {
                let (file, size) = match open(&path) {
                    Ok(opened) => opened,
                    Err(error) => {
                        refuse(&mut sender, &error);
                        return Err(error);
                    }
                };
                let step = step(path.into_os_string(), size);
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

fn step(name: impl Into<std::ffi::OsString>, size: Option<u64>) -> Step {
    Step::File {
        name: Name::from(name.into()),
        metadata: Metadata::NONE,
        size,
    }
}

/// Opens a file, and says how large it is, where that is known.
fn open(path: &Path) -> Result<(File, Option<u64>), Error> {
    let read = || {
        let file = File::open(path)?;
        let meta = file.metadata()?;
        if meta.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let size = meta.is_file().then_some(meta.len());
        Ok((file, size))
    };
    read().map_err(Error::io(format!("read `{}`", path.display())))
}
