//! The reader: takes entries one after the other, cuts files into chunks, and fills batches.

use std::io::Read;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender};

use super::batch::{Batch, Head, MAX_STEPS, Raw, Step};
use super::{ImportError, ImportOptions, MAX_DIRS, Plan, Watch};
use crate::chunk::Chunker;
use crate::unixfs::entry::Entry;
use crate::unixfs::name::Name;
use crate::unixfs::source::SourceError;

pub(super) struct Reader<'a> {
    chunker: Chunker,
    limit: usize,
    batches: Sender<Raw>,
    permits: Receiver<()>,
    /// The batch that is being filled, and the bytes in it. It has its permit.
    batch: Option<Raw>,
    bytes: usize,
    number: u64,
    /// The open directories.
    path: Vec<Name>,
    watch: &'a dyn Watch,
}

/// Nobody collects any more: the collector knows why.
struct Stopped;

impl<'a> Reader<'a> {
    pub(super) fn new(
        plan: &Plan,
        options: &ImportOptions,
        batches: Sender<Raw>,
        permits: Receiver<()>,
        watch: &'a dyn Watch,
    ) -> Self {
        Self {
            chunker: options.profile.chunker,
            limit: plan.batch,
            batches,
            permits,
            batch: None,
            bytes: 0,
            number: 0,
            path: Vec::new(),
            watch,
        }
    }

    /// Reads everything. No error if the collector stopped, for it has one.
    pub(super) fn run<R: Read>(
        mut self,
        entries: impl Iterator<Item = Result<Entry<R>, SourceError>>,
    ) -> Result<(), ImportError> {
        for entry in entries {
            if !self.entry(entry?)? {
                return Ok(());
            }
        }
        if !self.path.is_empty() {
            return Err(ImportError::Unbalanced);
        }
        let _ = self.push(Step::Done).and_then(|()| self.flush());
        Ok(())
    }

    /// Whether to go on.
    fn entry<R: Read>(&mut self, entry: Entry<R>) -> Result<bool, ImportError> {
        let pushed = match entry {
            Entry::Dir { name, metadata } => {
                self.check(&name)?;
                if self.path.len() >= MAX_DIRS {
                    return Err(ImportError::TooDeep);
                }
                self.path.push(name.clone());
                self.push(Step::Dir(name, metadata))
            }
            Entry::File {
                name,
                metadata,
                origin,
                begun,
                refer,
                content,
            } => {
                self.check(&name)?;
                let head = Head {
                    name,
                    metadata,
                    origin,
                    begun,
                    refer,
                };
                return self.file(head, content);
            }
            Entry::Known { name, root } => {
                self.check(&name)?;
                self.push(Step::Known(name, root))
            }
            Entry::Symlink {
                name,
                metadata,
                target,
            } => {
                self.check(&name)?;
                self.push(Step::Symlink {
                    name,
                    metadata,
                    target,
                })
            }
            Entry::End => {
                self.path.pop().ok_or(ImportError::Unbalanced)?;
                self.push(Step::End)
            }
        };
        Ok(pushed.is_ok())
    }

    /// Names must be such that they can be written out again. Only at the top there may be none.
    fn check(&self, name: &Name) -> Result<(), ImportError> {
        if self.path.is_empty() && name.as_bytes().is_empty() {
            return Ok(());
        }
        Ok(name.check()?)
    }

    fn file<R: Read>(&mut self, head: Head, content: R) -> Result<bool, ImportError> {
        let name = head.name.clone();
        // A file without bytes has one leaf, too.
        let mut is_first = head.begun.is_empty();
        if self.push(Step::File(Box::new(head))).is_err() {
            return Ok(false);
        }
        let mut chunks = self.chunker.chunks(content);
        loop {
            let chunk = match chunks.next_chunk() {
                Ok(None) if is_first => Bytes::new(),
                Ok(None) => return Ok(self.push(Step::FileEnd).is_ok()),
                Ok(Some(chunk)) => chunk,
                Err(error) => {
                    let path = super::joined(self.path.iter().chain([&name]));
                    self.watch.unreadable(path, error)?;
                    return Ok(self.push(Step::FileLost).is_ok());
                }
            };
            is_first = false;
            if self.push_chunk(chunk).is_err() {
                return Ok(false);
            }
        }
    }

    fn push_chunk(&mut self, chunk: Bytes) -> Result<(), Stopped> {
        let length = chunk.len();
        self.push(Step::Leaf(chunk))?;
        self.bytes += length;
        // The next chunk is read before it is known how long it is.
        if self.bytes + self.chunker.max_size() > self.limit {
            self.flush()?;
        }
        Ok(())
    }

    fn push(&mut self, step: Step<Bytes>) -> Result<(), Stopped> {
        if self.batch.is_none() {
            self.permits.recv().map_err(|_| Stopped)?;
            self.batch = Some(Batch {
                number: self.number,
                steps: Vec::new(),
            });
            self.number += 1;
        }
        let batch = self.batch.as_mut().expect("made above");
        batch.steps.push(step);
        if batch.steps.len() >= MAX_STEPS {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), Stopped> {
        self.bytes = 0;
        match self.batch.take() {
            Some(batch) => self.batches.send(batch).map_err(|_| Stopped),
            None => Ok(()),
        }
    }
}
