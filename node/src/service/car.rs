//! `car export` and `car import`.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use store::Cid;
use store::blockstore::Blockstore;
use store::car::{self, ExportOptions, ImportError, Imported};
use store::cid;
use store::dag::path::resolve;
use store::dag::walk::missing;
use store::unixfs::Piece;

use super::add::LOW_MEMORY;
use super::passed::{self, Passed};
use super::source::Source;
use super::{Service, target};
use crate::api::conversation::{Conversation, Speaker, failure, watch};
use crate::api::message::{
    CarExport, CarFile, CarImport, CarRequest, Event, Failure, FailureKind, ImportedRoot, Item,
    Phase, PinMarks, Progress,
};

/// Bytes of blocks in flight, as in an add.
const MEMORY: usize = 64 << 20;

impl Service {
    pub(super) fn car(
        &self,
        request: &CarRequest,
        conversation: &mut Conversation,
    ) -> Result<(), Failure> {
        match request {
            CarRequest::Export(export) => self.car_export(export, conversation.speaker()),
            CarRequest::Import(import) => self.car_import(import, conversation),
        }
    }

    fn car_export(&self, request: &CarExport, speaker: &Speaker) -> Result<(), Failure> {
        let options = request
            .options()
            .map_err(|error| failure(FailureKind::Usage, error.to_string()))?;
        let named = target::parse(&request.content)?;
        let whole = options == ExportOptions::default();
        let timeout = request.content.timeout;
        let source = if whole {
            Source::whole(self, speaker, &named, timeout)
        } else {
            Source::on_demand(self, speaker, &named, timeout)
        };
        let root = source.watched(|| {
            let root = resolve(&source, &named.target)?;
            source.note_use()?;
            car::export::<Failure>(&source, &root, &options, &mut |bytes| {
                Ok(speaker.send(&Event::Piece(Piece::Data(bytes)))?)
            })?;
            Ok(root)
        })?;
        self.keep_cached(&source)?;
        // Only what is whole here: others take our word for it.
        if whole && source.has_fetched() {
            self.note_whole(&root)?;
        }
        Ok(())
    }

    fn car_import(
        &self,
        request: &CarImport,
        conversation: &mut Conversation,
    ) -> Result<(), Failure> {
        // Until the roots are pinned, or in the cache.
        let _lease = self.repo.lease();
        let mut done = Done::default();
        let stopped = loop {
            match passed::next(conversation) {
                Ok(Some(file)) => {
                    if let Err(stopped) = self.car_file(file, &mut done, conversation.speaker()) {
                        break Some(stopped);
                    }
                }
                Ok(None) => break None,
                // What could be read before is kept.
                Err(unreadable) => break Some(unreadable),
            }
        };
        let speaker = conversation.speaker();
        speaker.offer(&Event::Waiting {
            phase: Phase::Committing,
            detail: String::new(),
        });
        let partial = self.keep_roots(request, &done, speaker)?;
        match stopped.or(partial) {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    /// Reads one file, and tells how far it came.
    fn car_file(&self, file: Passed, done: &mut Done, speaker: &Speaker) -> Result<(), Failure> {
        let memory = if self.config.storage.low_memory {
            LOW_MEMORY
        } else {
            MEMORY
        };
        let name = file.name.clone();
        let (before, at) = (done.bytes, AtomicU64::new(0));
        let tick = || {
            Some(Event::Progress(Progress {
                bytes: before + at.load(Ordering::Relaxed),
                ..Progress::default()
            }))
        };
        let note = |bytes| at.store(bytes, Ordering::Relaxed);
        let store = self.repo.blocks().as_ref();
        let (imported, result) = watch(
            speaker,
            tick,
            || (),
            || car::import(store, file, memory, &note),
        );
        done.bytes += imported.at;
        done.unchecked += imported.unchecked;
        speaker.item(Item::CarFile(CarFile::new(name.clone(), &imported)))?;
        let result = result.map_err(|error| stopped(&name.to_string(), &imported, error));
        done.roots.extend(imported.roots);
        result
    }

    /// Makes what was read durable, and pins the roots that are whole. What was only partly done.
    fn keep_roots(
        &self,
        request: &CarImport,
        done: &Done,
        speaker: &Speaker,
    ) -> Result<Option<Failure>, Failure> {
        self.repo.blocks().commit()?;
        let (mut seen, mut broken) = (HashSet::new(), 0_usize);
        for root in done.roots.iter().filter(|root| seen.insert(**root)) {
            let root = if request.no_pin {
                self.pass_by(root)?
            } else {
                self.keep_if_whole(root, request.name.clone())?
            };
            broken += usize::from(root.why.is_some());
            speaker.item(Item::Root(root))?;
        }
        let partial = |message: String, hint: &str| {
            Ok(Some(failure(FailureKind::Partial, message).with_hint(hint)))
        };
        match (broken, done.unchecked) {
            (0, 0) => Ok(None),
            (0, count) => partial(
                format!("{count} blocks were left out: their hashes cannot be checked"),
                "`store car ls` names them",
            ),
            (broken, _) => partial(not_whole(broken, seen.len()), NOT_WHOLE_HINT),
        }
    }

    /// A root that is not pinned stays as cache.
    fn pass_by(&self, root: &Cid) -> Result<ImportedRoot, Failure> {
        if cid::check(root).is_ok() {
            self.repo.cached().touch(root)?;
        }
        Ok(ImportedRoot {
            cid: *root,
            pinned: false,
            why: None,
        })
    }

    /// Pins a root if all that is below it is here.
    pub(super) fn keep_if_whole(
        &self,
        root: &Cid,
        name: Option<String>,
    ) -> Result<ImportedRoot, Failure> {
        let why = self.unwhole(root);
        if why.is_some() {
            let root = self.pass_by(root)?;
            return Ok(ImportedRoot { why, ..root });
        }
        let marks = PinMarks {
            name,
            ..PinMarks::default()
        };
        self.keep(*root, &marks)?;
        self.offer(*root)?;
        Ok(ImportedRoot {
            cid: *root,
            pinned: true,
            why: None,
        })
    }

    /// Why a root cannot be pinned.
    fn unwhole(&self, root: &Cid) -> Option<String> {
        if let Err(error) = cid::check(root) {
            return Some(error.to_string());
        }
        match missing(self.repo.blocks().as_ref(), root, 1) {
            Ok(cids) => cids.first().map(|cid| format!("block `{cid}` is missing")),
            Err(error) => Some(error.to_string()),
        }
    }
}

/// What is said of roots that are not whole.
pub(super) fn not_whole(broken: usize, roots: usize) -> String {
    format!("{broken} of {roots} roots are not whole, and not pinned")
}

/// What can be done about them.
pub(super) const NOT_WHOLE_HINT: &str =
    "their blocks are here as cache; `store pin add CID` fetches the rest";

/// What all files together brought.
#[derive(Default)]
struct Done {
    roots: Vec<Cid>,
    bytes: u64,
    unchecked: u64,
}

/// Says what is wrong with a file, and where reading it stands.
fn stopped(name: &str, imported: &Imported, error: ImportError) -> Failure {
    let name = if name.is_empty() {
        "standard input"
    } else {
        name
    };
    let message = format!("`{name}`: {error}");
    let kept = match (imported.blocks, imported.last) {
        (0, _) | (_, None) => "nothing of it was kept".into(),
        (blocks, Some(last)) => format!(
            "{blocks} blocks are kept, to byte {}; the last one is `{last}`",
            imported.at
        ),
    };
    match error {
        ImportError::Car(car::CarError::Io { .. }) => {
            failure(FailureKind::Error, message).with_hint(kept)
        }
        ImportError::Car(_) | ImportError::Block { .. } => {
            failure(FailureKind::Corrupt, message).with_hint(kept)
        }
        ImportError::Store(error) => {
            let mut failure = Failure::from(error);
            failure.message = format!("{}; {kept}", failure.message);
            failure
        }
        error => failure(FailureKind::Error, error.to_string()),
    }
}
