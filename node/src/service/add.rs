//! `add`: imports what the client sends, entry by entry, from its open files. What was added before and
//! has not changed is not read again.
//!
//! Durable in this order (I2): the blocks, then the pin, then the answer. What is remembered of the
//! files that were added ([`store::adds`]) is written after the blocks that it speaks of, and before the pin,
//! whose sync makes it durable.

mod copies;
mod log;
mod measure;
mod stay;
mod steps;

use std::sync::{Mutex, PoisonError};

use store::adds::Shape;
use store::blockstore::{Blockstore, ClonesHeld, Lease, StoreError};
use store::chunk::Chunker;
use store::unixfs::import::{self, ImportError, ImportOptions, import_watched};
use store::unixfs::output::BuildError;

use self::copies::AddedCopies;
use self::log::Log;
use self::stay::{Cloning, Stay};
use self::steps::{Known, Steps};
use super::Service;
use crate::api::conversation::{Conversation, Speaker, failure, watch};
use crate::api::message::{
    AddOptions, Added, Event, Failure, FailureKind, Item, Kind, Phase, Reflink, ShapeError,
};

/// Bytes of chunks in flight with `storage.low_memory`; as few as the importer can do with.
pub(super) const LOW_MEMORY: usize = 16 << 20;

/// Why leaves cannot stay in files.
const NEEDS_RAW: &str =
    "needs raw leaves: others hold more than the file's bytes, and so must be stored";

impl Service {
    pub(super) fn add(
        &self,
        options: &AddOptions,
        conversation: &mut Conversation,
    ) -> Result<(), Failure> {
        let import_options = self.import_options(options)?;
        self.check_copies(options)?;
        if let Some(bytes) = options.measure {
            return self.check_room(options, &import_options, bytes, conversation);
        }
        // From before the first block until the pin, or what stands for it, is written.
        let lease = self.repo.lease();
        // Until the clones that are made, if any, are referred to and durably so.
        let held = self.repo.blocks().hold_clones();
        // What is remembered are files whose bytes are in the repo.
        let adds = if options.only_hash || options.no_copy {
            None
        } else {
            Some(self.repo.adds(shape(&import_options)?))
        };
        let log = Log::new(self.repo.blocks(), adds.as_ref());
        let speaker = conversation.speaker().clone();
        let store = (!options.only_hash).then_some(self.repo.blocks().as_ref() as &dyn Blockstore);
        let run = Run {
            options,
            import: &import_options,
            log: &log,
            lease: &lease,
            clones: &held,
            store,
        };
        let added = match self.import(&run, conversation) {
            Ok(added) => added,
            Err(stopped) => {
                if stopped.is_quota() {
                    drop(lease);
                    drop(held);
                    self.drop_unfinished(&speaker)?;
                }
                return Err(stopped.into());
            }
        };
        if let Some(failure) = log.nothing_added() {
            return Err(failure);
        }
        // Before the last sync: nothing is written after a CID has been told.
        if let Some(adds) = &adds {
            adds.prune()?;
        }
        if !options.only_hash {
            self.commit_added(&added, options, &log, &speaker)?;
        }
        let wants = !options.only_hash && !options.no_pin;
        let mut copies = AddedCopies::of(self, options)?;
        for added in added {
            if wants {
                // Without a node, the note for the next one is synced with the pin. A node is told
                // after it: what is not pinned is not announced for long.
                let alone = self.joining.node().is_none();
                if alone {
                    self.offer(added.cid)?;
                }
                self.keep(added.cid, &options.pin)?;
                if !alone {
                    self.offer(added.cid)?;
                }
                copies.want(&added)?;
            }
            speaker.item(Item::Added(answer(added, log.bytes_read())))?;
        }
        copies.end(&speaker)?;
        log.tell_skipped(&speaker)
    }

    /// Makes durable what was added, or leaves that to the pins, whose syncs come last: what is
    /// remembered is in the same log.
    fn commit_added(
        &self,
        roots: &[import::Added],
        options: &AddOptions,
        log: &Log<'_>,
        speaker: &Speaker,
    ) -> Result<(), Failure> {
        speaker.offer(&Event::Waiting {
            phase: Phase::Committing,
            detail: String::new(),
        });
        self.repo.blocks().commit_unlogged()?;
        log.write()?;
        if options.no_pin {
            for added in roots {
                self.note_whole(&added.cid)?;
            }
            self.repo.blocks().commit()?;
        }
        Ok(())
    }

    fn import_options(&self, options: &AddOptions) -> Result<ImportOptions, Failure> {
        let usage = |error: ShapeError| failure(FailureKind::Usage, error.to_string());
        let profile = options.shape.profile().map_err(usage)?;
        let needs_raw = match options.reflink {
            _ if options.no_copy => Some("--no-copy"),
            Some(Reflink::Always) => Some("--reflink=always"),
            Some(Reflink::Auto) | None => None,
        };
        if let Some(flag) = needs_raw.filter(|_| !profile.raw_leaves) {
            let message = format!("`{flag}` {NEEDS_RAW}");
            return Err(failure(FailureKind::Usage, message));
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

    /// Nothing stays of an add that did not fit: what it wrote would take the room of what does.
    fn drop_unfinished(&self, speaker: &Speaker) -> Result<(), Failure> {
        super::gc::collecting(speaker, || self.repo.collector().collect_orphans())?;
        Ok(())
    }

    fn import(
        &self,
        of: &Run<'_>,
        conversation: &mut Conversation,
    ) -> Result<Vec<import::Added>, Stopped> {
        let &Run {
            options,
            import,
            log,
            lease,
            clones,
            store,
        } = of;
        let speaker = conversation.speaker().clone();
        let told = Mutex::new(None);
        let known = log.adds().map(|adds| Known {
            adds,
            lease,
            look: options.cache,
            resumable: matches!(import.profile.chunker, Chunker::Fixed(_)),
        });
        let blocks = self.repo.blocks().as_ref();
        let stay = match options.reflink {
            _ if options.only_hash || options.measure.is_some() => Stay::Stored,
            _ if options.no_copy => Stay::InFiles(blocks),
            Some(when) if import.profile.raw_leaves => {
                Stay::InClones(Cloning::new(blocks, clones, when))
            }
            _ => Stay::Stored,
        };
        let steps = Steps::new(conversation, known, log, &told).staying(stay);
        let tick = || Some(Event::Progress(log.now()));
        let result = watch(
            &speaker,
            tick,
            || (),
            || import_watched(store, import, steps, log),
        );
        // What the client told, or did wrong, says more than the import that it ended.
        match told.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(failure) => Err(Stopped::Told(failure)),
            None => result.map_err(Stopped::Import),
        }
    }
}

/// One run over what the client sends.
struct Run<'a> {
    options: &'a AddOptions,
    import: &'a ImportOptions,
    log: &'a Log<'a>,
    lease: &'a Lease,
    clones: &'a ClonesHeld<'a>,
    store: Option<&'a dyn Blockstore>,
}

/// Why an import came to no end.
enum Stopped {
    /// What the client told, or did wrong.
    Told(Failure),
    /// What the import met.
    Import(ImportError),
}

impl Stopped {
    const fn is_quota(&self) -> bool {
        matches!(
            self,
            Self::Import(ImportError::Build(BuildError::Store(
                StoreError::Quota { .. }
            )))
        )
    }
}

impl From<Stopped> for Failure {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Told(failure) => failure,
            Stopped::Import(error) => error.into(),
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
