//! [`Steps`]: what the client sends, as the entries of an import.
//!
//! Files come in batches without their bytes. Those that are known are taken as they are, all others
//! are asked for; their open files follow, each in its turn. So the client looks at files, this side
//! looks them up, and the import hashes, all at once; and a file that is known costs no open, no
//! descriptor and no round trip of its own.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use store::adds::{Adds, Wanted};
use store::blockstore::{Lease, StoreError};
use store::unixfs::data::Metadata;
use store::unixfs::layout::Part;
use store::unixfs::origin::{Identity, Origin};
use store::unixfs::source::SourceError;
use store::unixfs::{Entry, Name};

use super::log::Log;
use super::stay::Stay;
use crate::api::conversation::{Conversation, Speaker, failure};
use crate::api::message::{Event, Failure, FailureKind, Step};

/// Entries that wait for a file before them. A client waits for answers before it has sent so many.
const QUEUED_MAX: usize = 1 << 16;

/// Files of this size may have been cut off in the middle.
const RESUMABLE_FROM: u64 = store::unixfs::import::STORED_EVERY;

/// What was added before.
pub(super) struct Known<'a> {
    pub(super) adds: &'a Adds,
    pub(super) lease: &'a Lease,
    /// Whether it may be used; else it is only written.
    pub(super) look: bool,
    /// Whether the chunks after an offset are the same wherever reading began.
    pub(super) resumable: bool,
}

/// The steps that the client sends, as entries.
pub(super) struct Steps<'a> {
    conversation: &'a mut Conversation,
    speaker: Speaker,
    known: Option<Known<'a>>,
    /// Where leaves are kept.
    stay: Stay<'a>,
    log: &'a Log<'a>,
    /// Entries in their order; at the front one that waits for its file, or none.
    queue: VecDeque<Next<'a>>,
    path: Path,
    /// Why there are no more, where the client is the reason.
    told: &'a Mutex<Option<Failure>>,
}

/// What comes next.
enum Next<'a> {
    Ready(Entry<Content<'a>>),
    /// A file that the client was asked for.
    Asked(Asked),
}

struct Asked {
    name: Name,
    metadata: Metadata,
    origin: Option<Origin>,
    /// Where it is.
    path: Option<Name>,
}

/// An open file of the client; ends with an error when the client goes.
pub(super) struct Content<'a> {
    file: File,
    /// What it was when it was opened, if its leaves are to stay in it, and it could change.
    stays: Option<Identity>,
    speaker: Speaker,
    log: &'a Log<'a>,
}

/// Where the walk is, as an absolute path.
#[derive(Default)]
struct Path {
    bytes: Vec<u8>,
    /// Where each of the open directories' names begins.
    starts: Vec<usize>,
}

impl Path {
    fn at(&mut self, dir: &Name) {
        self.bytes = dir.as_bytes().to_vec();
        self.starts.clear();
    }

    fn enter(&mut self, name: &Name) {
        self.starts.push(self.bytes.len());
        self.bytes = self.child(name);
    }

    fn leave(&mut self) {
        if let Some(start) = self.starts.pop() {
            self.bytes.truncate(start);
        }
    }

    fn child(&self, name: &Name) -> Vec<u8> {
        let slash: &[u8] = if self.bytes.ends_with(b"/") {
            b""
        } else {
            b"/"
        };
        [&self.bytes, slash, name.as_bytes()].concat()
    }
}

/// What a step of a batch becomes.
enum Of<'a> {
    Next(Next<'a>),
    Nothing,
    Nonsense,
}

impl<'a> Steps<'a> {
    pub(super) fn new(
        conversation: &'a mut Conversation,
        known: Option<Known<'a>>,
        log: &'a Log<'a>,
        told: &'a Mutex<Option<Failure>>,
    ) -> Self {
        let speaker = conversation.speaker().clone();
        Self {
            conversation,
            speaker,
            known,
            stay: Stay::Stored,
            log,
            queue: VecDeque::new(),
            path: Path::default(),
            told,
        }
    }

    /// Leaves are kept as `stay` says.
    pub(super) fn staying(mut self, stay: Stay<'a>) -> Self {
        self.stay = stay;
        self
    }

    fn refuse(&self, failure: Failure) -> SourceError {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
        SourceError::Cancelled
    }

    fn misuse(&self, what: &str) -> SourceError {
        self.refuse(failure(FailureKind::Usage, what))
    }

    fn broken(&self, error: StoreError) -> SourceError {
        self.refuse(error.into())
    }

    /// The next entry that is ready; `None` at the end.
    fn take(&mut self) -> Result<Option<Entry<Content<'a>>>, SourceError> {
        loop {
            match self.queue.pop_front() {
                Some(Next::Ready(entry)) => return Ok(Some(entry)),
                Some(asked) => self.queue.push_front(asked),
                None => {}
            }
            let (step, descriptor) = self.conversation.step().map_err(|error| {
                self.misuse(&format!("the command ended before all was added: {error}"))
            })?;
            match (step, descriptor) {
                (Step::Batch(steps), None) => self.batch(steps)?,
                (Step::Content, Some(descriptor)) => {
                    let asked = self.asked()?;
                    return self.opened(asked, descriptor).map(Some);
                }
                (Step::Unreadable(skipped), None) => {
                    self.asked()?;
                    self.log.skip(skipped);
                }
                (Step::Failed { message }, None) => {
                    return Err(self.refuse(failure(FailureKind::Error, message)));
                }
                (_, _) if !self.queue.is_empty() => {
                    return Err(self.misuse("a file that was asked for did not come"));
                }
                (Step::Finish, None) => return Ok(None),
                (Step::File { name, metadata, .. }, Some(descriptor)) => {
                    let asked = Asked {
                        name,
                        metadata,
                        origin: None,
                        path: None,
                    };
                    return self.opened(asked, descriptor).map(Some);
                }
                (Step::File { .. } | Step::Content, None) => {
                    return Err(self.misuse("a file was announced and not passed on"));
                }
                (_, Some(_)) => {
                    return Err(self.misuse("a file was passed on and not announced"));
                }
                (step, None) => match self.plain(step) {
                    Of::Next(next) => self.queue.push_back(next),
                    Of::Nothing => {}
                    Of::Nonsense => return Err(self.misuse("a step that makes no sense here")),
                },
            }
        }
    }

    /// What was asked for first.
    fn asked(&mut self) -> Result<Asked, SourceError> {
        match self.queue.pop_front() {
            Some(Next::Asked(asked)) => Ok(asked),
            _ => Err(self.misuse("a file came that was not asked for")),
        }
    }

    /// Takes a batch, and tells which of its files are needed.
    fn batch(&mut self, steps: Vec<Step>) -> Result<(), SourceError> {
        if self.queue.len() + steps.len() > QUEUED_MAX {
            return Err(self.misuse("more entries than can wait for their files"));
        }
        let mut files = Vec::new();
        let mut entries = Vec::with_capacity(steps.len());
        for step in steps {
            match step {
                Step::File {
                    name,
                    metadata,
                    identity,
                } => {
                    let path: Name = self.path.child(&name).into();
                    let is_asked = !matches!(self.stay, Stay::Stored);
                    let place = is_asked.then(|| path.clone());
                    let origin = identity.map(|identity| Origin { path, identity });
                    files.push(entries.len());
                    entries.push(Next::Asked(Asked {
                        name,
                        metadata,
                        origin,
                        path: place,
                    }));
                }
                step => match self.plain(step) {
                    Of::Next(next) => entries.push(next),
                    Of::Nothing => {}
                    Of::Nonsense => return Err(self.misuse("a step that makes no sense here")),
                },
            }
        }
        let known = self.look_up(&entries, &files)?;
        let mut wanted = Vec::new();
        for ((number, at), root) in (0..).zip(files).zip(known) {
            let Next::Asked(asked) = &mut entries[at] else {
                continue;
            };
            let Some(root) = root else {
                wanted.push(number);
                continue;
            };
            let name = std::mem::take(&mut asked.name);
            self.log.entry();
            entries[at] = Next::Ready(Entry::Known { name, root });
        }
        self.queue.extend(entries);
        self.speaker
            .send(&Event::Wanted { files: wanted })
            .map_err(|_| SourceError::Cancelled)
    }

    /// The roots of those files that are known.
    fn look_up(
        &self,
        entries: &[Next<'_>],
        files: &[usize],
    ) -> Result<Vec<Option<Part>>, SourceError> {
        let nothing = || vec![None; files.len()];
        let Some(known) = self.known.as_ref().filter(|known| known.look) else {
            return Ok(nothing());
        };
        let asked = files.iter().filter_map(|&at| match &entries[at] {
            Next::Asked(Asked {
                metadata,
                origin: Some(origin),
                ..
            }) => Some(Wanted {
                origin,
                metadata: *metadata,
            }),
            _ => None,
        });
        let asked: Vec<Wanted<'_>> = asked.collect();
        // Without an identity nothing is known, and a client gives all or none.
        if asked.len() != files.len() {
            return Ok(nothing());
        }
        known
            .adds
            .known(&asked, known.lease)
            .map_err(|error| self.broken(error))
    }

    /// A step that is an entry by itself, or changes what the next ones mean.
    fn plain(&mut self, step: Step) -> Of<'a> {
        let entry = match step {
            Step::At { dir } => {
                self.path.at(&dir);
                return Of::Nothing;
            }
            Step::Skipped(skipped) => {
                self.log.skip(skipped);
                return Of::Nothing;
            }
            Step::Dir { name, metadata } => {
                self.path.enter(&name);
                self.log.entry();
                Entry::Dir { name, metadata }
            }
            Step::Symlink {
                name,
                metadata,
                target,
            } => {
                self.log.entry();
                Entry::Symlink {
                    name,
                    metadata,
                    target,
                }
            }
            Step::End => {
                self.path.leave();
                Entry::End
            }
            _ => return Of::Nonsense,
        };
        Of::Next(Next::Ready(entry))
    }

    /// The file whose descriptor has come.
    fn opened(
        &mut self,
        asked: Asked,
        descriptor: OwnedFd,
    ) -> Result<Entry<Content<'a>>, SourceError> {
        let mut file = File::from(descriptor);
        // What was opened must be what was looked at.
        let identity = file.metadata().ok().map(|metadata| Identity::of(&metadata));
        let stays = self.stay.in_file(&mut file, asked.path.as_ref(), identity);
        let stays = stays.map_err(|failure| self.refuse(failure))?;
        let origin = asked
            .origin
            .filter(|origin| Some(origin.identity) == identity);
        let begun = match (&self.known, &origin) {
            (Some(known), Some(origin))
                if known.look && known.resumable && origin.identity.size >= RESUMABLE_FROM =>
            {
                let begun = known.adds.begun(origin);
                let begun = begun.map_err(|error| self.broken(error))?;
                after(&mut file, begun)
            }
            _ => Vec::new(),
        };
        self.log.entry();
        Ok(Entry::File {
            name: asked.name,
            metadata: asked.metadata,
            origin,
            begun,
            refer: stays.as_ref().map(|stays| stays.id),
            content: Content {
                file,
                stays: stays.and_then(|stays| stays.as_it_was),
                speaker: self.speaker.clone(),
                log: self.log,
            },
        })
    }
}

/// Goes on in `file` after the leaves that are there; where that fails, they are none.
fn after(file: &mut File, begun: Vec<Part>) -> Vec<Part> {
    let offset = begun.iter().map(|leaf| leaf.size).sum();
    if begun.is_empty() || file.seek(SeekFrom::Start(offset)).is_ok() {
        begun
    } else {
        Vec::new()
    }
}

impl<'a> Iterator for Steps<'a> {
    type Item = Result<Entry<Content<'a>>, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.take().transpose()
    }
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.speaker.is_gone() {
            let gone = "the command went away";
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, gone));
        }
        let read = self.file.read(buffer)?;
        if read == 0
            && let Some(before) = self.stays
            && Identity::of(&self.file.metadata()?) != before
        {
            return Err(io::Error::other("it changed while it was added"));
        }
        self.log.read(read);
        Ok(read)
    }
}
