//! `add`: imports what the client sends, entry by entry, from its open files.
//!
//! Durable in this order (I2): the blocks, then the pin, then the answer.

use std::fs::File;
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};

use store::blockstore::Blockstore;
use store::unixfs::Entry;
use store::unixfs::import::{self, ImportOptions, import};
use store::unixfs::source::SourceError;

use super::Service;
use crate::api::conversation::{Conversation, Speaker, failure, watch};
use crate::api::message::{
    AddOptions, Added, Event, Failure, FailureKind, Item, Kind, Phase, Progress, ShapeError, Step,
};

/// Bytes of chunks in flight with `storage.low_memory`; as few as the importer can do with.
const LOW_MEMORY: usize = 16 << 20;

impl Service {
    pub(super) fn add(
        &self,
        options: &AddOptions,
        conversation: &mut Conversation,
    ) -> Result<(), Failure> {
        let import_options = self.import_options(options)?;
        // From before the first block until the pin, or what stands for it, is written.
        let _lease = self.repo.lease();
        let added = self.import(options.only_hash, &import_options, conversation)?;
        let speaker = conversation.speaker();
        if !options.only_hash {
            speaker.offer(&Event::Waiting {
                phase: Phase::Committing,
                detail: String::new(),
            });
        }
        for added in added {
            // What comes last is what makes all before it durable: the root's record is in the same
            // log as the pin.
            if !options.only_hash {
                self.offer(added.cid)?;
            }
            if !options.only_hash && options.no_pin {
                self.repo.cached().touch(&added.cid)?;
                self.repo.blocks().commit()?;
            } else if !options.only_hash {
                self.keep(added.cid, options.name.clone())?;
            }
            speaker.item(Item::Added(added.into()))?;
        }
        Ok(())
    }

    fn import_options(&self, options: &AddOptions) -> Result<ImportOptions, Failure> {
        let usage = |error: ShapeError| failure(FailureKind::Usage, error.to_string());
        let profile = options.shape.profile().map_err(usage)?;
        let mut import = ImportOptions {
            profile,
            wrap: options.wrap,
            wrapper: options.wrapper,
            empty_dirs: options.empty_dirs,
            ..ImportOptions::default()
        };
        if self.config.storage.low_memory {
            import.memory = LOW_MEMORY;
        }
        Ok(import)
    }

    fn import(
        &self,
        only_hash: bool,
        options: &ImportOptions,
        conversation: &mut Conversation,
    ) -> Result<Vec<import::Added>, Failure> {
        let speaker = conversation.speaker().clone();
        let progress = Mutex::new(Progress::default());
        let told = Mutex::new(None);
        let store = (!only_hash).then_some(self.repo.blocks().as_ref() as &dyn Blockstore);
        let steps = Steps {
            conversation,
            told: &told,
            speaker: &speaker,
        };
        let note = |now: import::Progress| {
            let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
            (progress.bytes, progress.files) = (now.bytes, now.files);
        };
        let tick = || {
            let progress = *progress.lock().unwrap_or_else(PoisonError::into_inner);
            Some(Event::Progress(progress))
        };
        let result = watch(
            &speaker,
            tick,
            || (),
            || import(store, options, steps, &note),
        );
        // What the client told, or did wrong, says more than the import that it ended.
        match told.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(failure) => Err(failure),
            None => result.map_err(Failure::from),
        }
    }
}

/// The steps that the client sends, as entries.
struct Steps<'a> {
    conversation: &'a mut Conversation,
    speaker: &'a Speaker,
    /// Why there are no more, where the client is the reason.
    told: &'a Mutex<Option<Failure>>,
}

/// An open file of the client; ends with an error when the client goes.
#[derive(Debug)]
struct Content {
    file: File,
    speaker: Speaker,
}

impl Steps<'_> {
    fn refuse(&self, failure: Failure) -> SourceError {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
        SourceError::Cancelled
    }

    fn misuse(&self, what: &str) -> SourceError {
        self.refuse(failure(FailureKind::Usage, what))
    }
}

impl Iterator for Steps<'_> {
    type Item = Result<Entry<Content>, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (step, descriptor) = match self.conversation.step() {
            Ok(step) => step,
            Err(error) => {
                let message = format!("the command ended before all was added: {error}");
                return Some(Err(self.misuse(&message)));
            }
        };
        let entry = match (step, descriptor) {
            (Step::Finish, None) => return None,
            (Step::Failed { message }, None) => {
                return Some(Err(self.refuse(failure(FailureKind::Error, message))));
            }
            (Step::File { name, metadata, .. }, Some(descriptor)) => {
                let content = Content {
                    file: descriptor.into(),
                    speaker: self.speaker.clone(),
                };
                Entry::File {
                    name,
                    metadata,
                    origin: None,
                    content,
                }
            }
            (Step::File { .. }, None) => {
                return Some(Err(self.misuse("a file was announced and not passed on")));
            }
            (_, Some(_)) => {
                return Some(Err(self.misuse("a file was passed on and not announced")));
            }
            (Step::Dir { name, metadata }, None) => Entry::Dir { name, metadata },
            (
                Step::Symlink {
                    name,
                    metadata,
                    target,
                },
                None,
            ) => Entry::Symlink {
                name,
                metadata,
                target,
            },
            (Step::End, None) => Entry::End,
        };
        Some(Ok(entry))
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.speaker.is_gone() {
            return Err(io::Error::other("the command went away"));
        }
        self.file.read(buffer)
    }
}

impl From<import::Added> for Added {
    fn from(added: import::Added) -> Self {
        let import::Added {
            name,
            cid,
            size,
            kind,
        } = added;
        let kind = Kind::of(kind).expect("an import makes no metadata");
        Self {
            name,
            cid,
            size,
            kind,
        }
    }
}
