//! `store get --stdin`: many contents, one a line.

use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use store::Cid;
use store::block::MAX_BLOCK_SIZE;
use store::extract::{Batch, ExtractError, Extractor};
use store::unixfs::data::Metadata;
use store::unixfs::{Name, Piece};
use store_node::api::client::{ClientError, Sender};
use store_node::api::message::{
    Failure, FailureKind, GetMany, MAX_TARGETS, Many, ManyStep, Request,
};

use super::target;
use crate::args::Get;
use crate::backend::{Answer, Conversation};
use crate::command::converse::converse;
use crate::context::Context;
use crate::exit::{Error, one_line};
use crate::output::count;

/// The longest line that is read: paths and links are shorter.
const MAX_LINE: u64 = 64 << 10;
/// Files that get their names together at most.
const TOGETHER: usize = 2048;
/// And no later than so long after the first of them came.
const SOON: Duration = Duration::from_millis(500);

/// A content that was written, for programs.
#[derive(Serialize)]
struct Got {
    target: String,
    cid: String,
    path: Name,
    bytes: u64,
}

/// One that was not.
#[derive(Serialize)]
struct NotGot {
    target: String,
    error: String,
}

pub(super) fn run(args: &Get, context: &mut Context) -> Result<(), Error> {
    let dir = args.output.clone().unwrap_or_else(|| PathBuf::from("."));
    if let Err(error) = std::fs::create_dir(&dir)
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        return Err(Error::io(format!("create `{}`", dir.display()))(error));
    }
    let mut files = Files {
        batch: Batch::open(&dir, args.force)?,
        dir,
        force: args.force,
        written: Vec::new(),
        since: None,
        got: 0,
        not_got: 0,
    };
    let request = Request::GetMany(GetMany {
        addresses: target::addresses(context),
        timeout: target::timeout(Some(&args.wait), context),
    });
    let mut conversation = Conversation::open(context, Some(&args.network), &request, "fetching")?;
    if context.output.is_json() {
        conversation.tell();
    }
    converse(
        conversation,
        None,
        |mut sender, _| {
            let sent = send(&mut sender);
            if sent.is_err() {
                sender.close();
            }
            sent
        },
        |conversation| files.write(conversation, context),
    )?;
    match (files.got, files.not_got) {
        (_, 0) => Ok(()),
        (got, not_got) => {
            let all = got + not_got;
            let message = format!("{not_got} of {} could not be had", count(all, "content"));
            Err(Failure {
                kind: FailureKind::Partial,
                message,
                hint: Some("they are named above; the others are written".into()),
            }
            .into())
        }
    }
}

/// Sends what is read from standard input, whenever there is nothing more to read at once.
fn send(sender: &mut Sender) -> Result<(), Error> {
    let mut input = BufReader::with_capacity(64 << 10, io::stdin().lock());
    let mut targets = Vec::new();
    loop {
        let mut line = Vec::new();
        let read = input
            .by_ref()
            .take(MAX_LINE)
            .read_until(b'\n', &mut line)
            .map_err(Error::io("read standard input"))?;
        if read as u64 == MAX_LINE {
            return Err(Error::Usage {
                message: format!("a line of {MAX_LINE} bytes or more names no content"),
                hint: Some("one CID, CID/path or link a line".into()),
            });
        }
        let text = String::from_utf8_lossy(&line);
        if !text.trim().is_empty() {
            targets.push(text.trim().to_owned());
        }
        let pauses = input.buffer().is_empty() || targets.len() == MAX_TARGETS;
        if !targets.is_empty() && (pauses || read == 0) {
            let step = ManyStep::Targets(std::mem::take(&mut targets));
            if !tell(sender, &step)? {
                return Ok(());
            }
        }
        if read == 0 {
            return tell(sender, &ManyStep::Finish).map(drop);
        }
    }
}

/// Whether the other side hears.
fn tell(sender: &mut Sender, step: &ManyStep) -> Result<bool, Error> {
    match sender.many(step) {
        Ok(()) => Ok(true),
        // The events tell why.
        Err(ClientError::Ended) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// What is written, and what became of it.
struct Files {
    dir: PathBuf,
    force: bool,
    batch: Batch,
    /// What is in the batch.
    written: Vec<Got>,
    /// Since when.
    since: Option<Instant>,
    got: u64,
    not_got: u64,
}

impl Files {
    fn write(
        &mut self,
        conversation: &mut Conversation,
        context: &mut Context,
    ) -> Result<(), Error> {
        while let Some(answer) = conversation.next()? {
            match answer {
                Answer::Many(Many::Next { target, cid }) => {
                    match self.content(&target, &cid, conversation)? {
                        Ok(Some(got)) => self.tell_got(&got, context)?,
                        Ok(None) => {}
                        Err(error) => self.tell_not_got(target, &error, context)?,
                    }
                    let is_old = self.since.is_some_and(|since| since.elapsed() >= SOON);
                    if is_old || self.batch.unnamed() == TOGETHER {
                        self.name(context)?;
                    }
                }
                Answer::Many(Many::Missing { target, failure }) => {
                    conversation.display().clear();
                    self.tell_not_got(target, &failure, context)?;
                }
                Answer::Many(Many::Pause) => self.name(context)?,
                Answer::Told(told) => context.output.result(&told, |_| String::new())?,
                _ => {}
            }
        }
        self.name(context)
    }

    /// Takes the pieces of one content. It is written now, or is in the batch; the inner error is about
    /// this one alone.
    fn content(
        &mut self,
        target: &str,
        cid: &Cid,
        conversation: &mut Conversation,
    ) -> Result<Result<Option<Got>, Error>, Error> {
        let name = target::name_of(target)?;
        let path = self.dir.join(&name);
        let mut sink = Ok(Sink::Nothing);
        let (mut depth, mut bytes) = (0_u32, 0);
        loop {
            let Some(answer) = conversation.next()? else {
                return Err(ClientError::Lost.into());
            };
            let Answer::Piece(piece) = answer else {
                continue;
            };
            match &piece {
                Piece::Dir { .. } | Piece::File { .. } => depth += 1,
                Piece::End => depth = depth.saturating_sub(1),
                Piece::Data(data) => bytes += data.len() as u64,
                Piece::Symlink { .. } => {}
            }
            // After an error the rest is heard and left out.
            sink = sink.and_then(|sink| sink.accept(piece, &path, self.force));
            if depth == 0 {
                break;
            }
        }
        let name = Name::from(name.into_os_string());
        let got = Got {
            target: target.to_owned(),
            cid: cid.to_string(),
            path: Name::from(path.into_os_string()),
            bytes,
        };
        Ok(self.finish(sink, &name, got).map_err(Error::from))
    }

    fn finish(
        &mut self,
        sink: Result<Sink, ExtractError>,
        name: &Name,
        got: Got,
    ) -> Result<Option<Got>, ExtractError> {
        match sink? {
            Sink::Small { metadata, bytes } => {
                self.batch.add(name, metadata, &bytes)?;
                self.written.push(got);
                self.since.get_or_insert_with(Instant::now);
                Ok(None)
            }
            Sink::Tree(tree) => {
                tree.finish()?;
                Ok(Some(got))
            }
            Sink::Nothing => Ok(None),
        }
    }

    /// Gives their names to those that have none yet, and says so.
    fn name(&mut self, context: &mut Context) -> Result<(), Error> {
        self.since = None;
        let named = self.batch.finish()?;
        for (got, named) in std::mem::take(&mut self.written).into_iter().zip(named) {
            match named {
                Ok(()) => self.tell_got(&got, context)?,
                Err(error) => self.tell_not_got(got.target, &error, context)?,
            }
        }
        Ok(())
    }

    fn tell_got(&mut self, got: &Got, context: &mut Context) -> Result<(), Error> {
        self.got += 1;
        context
            .output
            .result(got, |got| format!("{}  {}", got.cid, got.path))
    }

    fn tell_not_got(
        &mut self,
        target: String,
        error: &impl ToString,
        context: &mut Context,
    ) -> Result<(), Error> {
        self.not_got += 1;
        let error = one_line(&error.to_string());
        eprintln!("not got: {target}: {error}");
        if context.output.is_json() {
            let not_got = NotGot { target, error };
            context.output.result(&not_got, |_| String::new())?;
        }
        Ok(())
    }
}

/// Where one content goes.
enum Sink {
    /// Nothing has come yet.
    Nothing,
    /// A file that is kept in memory until all of it is there.
    Small { metadata: Metadata, bytes: Vec<u8> },
    /// All else.
    Tree(Box<Extractor>),
}

impl Sink {
    fn accept(self, piece: Piece, path: &Path, force: bool) -> Result<Self, ExtractError> {
        Ok(match (self, piece) {
            (Self::Nothing, Piece::File { metadata, size, .. })
                if size <= MAX_BLOCK_SIZE as u64 =>
            {
                Self::Small {
                    metadata,
                    bytes: Vec::new(),
                }
            }
            (Self::Nothing, piece) => {
                let mut tree = Extractor::new(path, force)?;
                tree.accept(piece)?;
                Self::Tree(Box::new(tree))
            }
            (
                Self::Small {
                    metadata,
                    mut bytes,
                },
                Piece::Data(data),
            ) => {
                bytes.extend_from_slice(&data);
                Self::Small { metadata, bytes }
            }
            (small @ Self::Small { .. }, _) => small,
            (Self::Tree(mut tree), piece) => {
                tree.accept(piece)?;
                Self::Tree(tree)
            }
        })
    }
}
