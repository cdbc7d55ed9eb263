//! [`Feed`]: what a scan finds goes to whoever holds the repo in batches; of those files that it asks
//! for, the open descriptors follow.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::mpsc::Receiver;

use store::unixfs::source::{Scan, SourceError, Unopened};
use store::unixfs::{Entry, Name};
use store_node::api::client::{ClientError, Sender};
use store_node::api::message::{Skipped, Step};

use crate::progress::Total;

/// Batches that wait for an answer at most.
pub(super) const WINDOW: usize = 16;

/// The most steps in a batch.
const BATCH_STEPS: usize = 512;

/// The most bytes of names in a batch: as JSON each may take six.
const BATCH_BYTES: usize = 64 << 10;

/// Sends entries.
pub(super) struct Feed<'a> {
    sender: &'a mut Sender,
    /// The answers to batches, in their order.
    wanted: Receiver<Vec<u32>>,
    batch: Vec<Step>,
    /// Bytes of names in the batch.
    bytes: usize,
    /// The files in the batch.
    files: Vec<Unopened>,
    /// The files of batches that were sent and not answered.
    sent: VecDeque<Vec<Unopened>>,
}

/// Why not all could be sent.
pub(super) enum FeedError {
    /// The other side.
    Client(ClientError),
    /// There is no saying what to add.
    Source(SourceError),
}

impl From<ClientError> for FeedError {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl<'a> Feed<'a> {
    pub(super) const fn new(sender: &'a mut Sender, wanted: Receiver<Vec<u32>>) -> Self {
        Self {
            sender,
            wanted,
            batch: Vec::new(),
            bytes: 0,
            files: Vec::new(),
            sent: VecDeque::new(),
        }
    }

    /// Sends all that `scan` finds, and every file that is asked for. `total` learns how many bytes
    /// all files have.
    pub(super) fn all(&mut self, scan: &mut Scan, total: &Total) -> Result<(), FeedError> {
        let (mut depth, mut bytes) = (0_usize, 0_u64);
        while let Some(entry) = scan.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) if error.is_of_one_entry() => {
                    self.push(Step::Skipped(skipped(&error)))?;
                    continue;
                }
                Err(error) => return Err(FeedError::Source(error)),
            };
            if depth == 0 {
                let dir = scan.top().parent().unwrap_or(Path::new("/"));
                let dir = Name::from(dir.as_os_str().to_owned());
                self.push(Step::At { dir })?;
            }
            match &entry {
                Entry::Dir { .. } => depth += 1,
                Entry::End => depth -= 1,
                Entry::File {
                    origin: Some(origin),
                    ..
                } => bytes = bytes.saturating_add(origin.identity.size),
                _ => {}
            }
            let step = self.step(entry);
            self.push(step)?;
        }
        total.set(bytes);
        self.flush()?;
        while !self.sent.is_empty() {
            self.wait()?;
        }
        Ok(())
    }

    fn step(&mut self, entry: Entry<Unopened>) -> Step {
        match entry {
            Entry::Dir { name, metadata } => Step::Dir { name, metadata },
            Entry::File {
                name,
                metadata,
                origin,
                content,
                ..
            } => {
                self.files.push(content);
                Step::File {
                    name,
                    metadata,
                    identity: origin.map(|origin| origin.identity),
                }
            }
            Entry::Symlink {
                name,
                metadata,
                target,
            } => Step::Symlink {
                name,
                metadata,
                target,
            },
            Entry::End => Step::End,
            Entry::Known { .. } => unreachable!("a scan knows nothing of what was added"),
        }
    }

    fn push(&mut self, step: Step) -> Result<(), ClientError> {
        self.bytes += match &step {
            Step::Dir { name, .. } | Step::File { name, .. } | Step::At { dir: name } => {
                name.as_bytes().len()
            }
            Step::Symlink { name, target, .. } => name.as_bytes().len() + target.as_bytes().len(),
            Step::Skipped(Skipped { path, skipped }) => path.as_bytes().len() + skipped.len(),
            _ => 0,
        };
        self.batch.push(step);
        if self.batch.len() >= BATCH_STEPS || self.bytes >= BATCH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ClientError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = Step::Batch(std::mem::take(&mut self.batch));
        self.sender.send_step(&batch, None)?;
        self.sent.push_back(std::mem::take(&mut self.files));
        self.bytes = 0;
        while let Ok(wanted) = self.wanted.try_recv() {
            self.open(&wanted)?;
        }
        if self.sent.len() >= WINDOW {
            self.wait()?;
        }
        Ok(())
    }

    /// Waits for the next answer, and sends what it asks for.
    fn wait(&mut self) -> Result<(), ClientError> {
        let wanted = self.wanted.recv().map_err(|_| ClientError::Ended)?;
        self.open(&wanted)
    }

    /// Sends the files of the first batch that was not answered yet.
    fn open(&mut self, wanted: &[u32]) -> Result<(), ClientError> {
        let files = self.sent.pop_front().unwrap_or_default();
        for &number in wanted {
            let file = files.get(number as usize).ok_or(ClientError::Ended)?;
            match file.open() {
                Ok(open) => self.sender.send_step(&Step::Content, Some(open.as_fd()))?,
                Err(error) => {
                    let step = Step::Unreadable(skipped(&error));
                    self.sender.send_step(&step, None)?;
                }
            }
        }
        Ok(())
    }
}

fn skipped(error: &SourceError) -> Skipped {
    let path = error.path().unwrap_or(Path::new(""));
    Skipped {
        path: path.as_os_str().to_owned().into(),
        skipped: error.to_string(),
    }
}
