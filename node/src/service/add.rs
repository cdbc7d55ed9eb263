//! `add`: imports what the client sends, entry by entry, from its open files. What was added before and
//! has not changed is not read again.
//!
//! Durable in this order (I2): the blocks, then the pin, then the answer. What is remembered of the
//! files that were added ([`store::adds`]) is written after the blocks that it speaks of.

mod log;
mod steps;

use std::sync::{Mutex, PoisonError};

use store::adds::Shape;
use store::blockstore::{Blockstore, Lease};
use store::chunk::Chunker;
use store::unixfs::import::{self, ImportOptions, import_watched};

use self::log::Log;
use self::steps::{Known, Steps};
use super::Service;
use crate::api::conversation::{Conversation, failure, watch};
use crate::api::message::{
    AddOptions, Added, Event, Failure, FailureKind, Item, Kind, Phase, ShapeError,
};

/// Bytes of chunks in flight with `storage.low_memory`; as few as the importer can do with.
pub(super) const LOW_MEMORY: usize = 16 << 20;

/// Why leaves cannot stay where they are.
const NO_COPY_NEEDS_RAW: &str =
    "`--no-copy` needs raw leaves: others hold more than the file's bytes, and so must be stored";

impl Service {
    pub(super) fn add(
        &self,
        options: &AddOptions,
        conversation: &mut Conversation,
    ) -> Result<(), Failure> {
        let import_options = self.import_options(options)?;
        // From before the first block until the pin, or what stands for it, is written.
        let lease = self.repo.lease();
        // What is remembered are files whose bytes are stored.
        let adds = if options.only_hash || options.no_copy {
            None
        } else {
            Some(self.repo.adds(shape(&import_options)?))
        };
        let log = Log::new(self.repo.blocks(), adds.as_ref());
        let speaker = conversation.speaker().clone();
        let added = self.import(options, &import_options, &log, &lease, conversation)?;
        if let Some(failure) = log.nothing_added() {
            return Err(failure);
        }
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
                self.keep(added.cid, &options.pin)?;
            }
            speaker.item(Item::Added(answer(added, log.bytes_read())))?;
        }
        // All blocks are durable by now.
        log.write()?;
        if let Some(adds) = &adds {
            adds.prune()?;
        }
        log.tell_skipped(&speaker)
    }

    fn import_options(&self, options: &AddOptions) -> Result<ImportOptions, Failure> {
        let usage = |error: ShapeError| failure(FailureKind::Usage, error.to_string());
        let profile = options.shape.profile().map_err(usage)?;
        if options.no_copy && !profile.raw_leaves {
            return Err(failure(FailureKind::Usage, NO_COPY_NEEDS_RAW));
        }
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
        options: &AddOptions,
        import: &ImportOptions,
        log: &Log<'_>,
        lease: &Lease,
        conversation: &mut Conversation,
    ) -> Result<Vec<import::Added>, Failure> {
        let speaker = conversation.speaker().clone();
        let told = Mutex::new(None);
        let store = (!options.only_hash).then_some(self.repo.blocks().as_ref() as &dyn Blockstore);
        let known = log.adds().map(|adds| Known {
            adds,
            lease,
            look: options.cache,
            resumable: matches!(import.profile.chunker, Chunker::Fixed(_)),
        });
        let refer = (options.no_copy && !options.only_hash).then(|| self.repo.blocks().as_ref());
        let steps = Steps::new(conversation, known, log, &told).referring(refer);
        let tick = || Some(Event::Progress(log.now()));
        let result = watch(
            &speaker,
            tick,
            || (),
            || import_watched(store, import, steps, log),
        );
        // What the client told, or did wrong, says more than the import that it ended.
        match told.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(failure) => Err(failure),
            None => result.map_err(Failure::from),
        }
    }
}

/// What makes the CIDs of files, but for what each file says of itself.
fn shape(import: &ImportOptions) -> Result<Shape, Failure> {
    Shape::of(&import.profile).map_err(|error| failure(FailureKind::Error, error.to_string()))
}

fn answer(added: import::Added, bytes_read: u64) -> Added {
    let import::Added {
        name,
        cid,
        size,
        kind,
    } = added;
    let kind = Kind::of(kind).expect("an import makes no metadata");
    Added {
        name,
        cid,
        size,
        kind,
        bytes_read,
    }
}
