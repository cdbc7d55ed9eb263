//! `gc`.

use store::gc::{Collection, LEAST};

use super::Service;
use crate::api::conversation::{Speaker, watch};
use crate::api::message::{Collected, Event, Failure, Gc, Item, Phase};

/// A collection that somebody asked for gives space back when there are more bytes on disk than this
/// for each hundred that are stored.
const SETTLED: u64 = 108;

impl Service {
    pub(super) fn gc(&self, request: Gc, speaker: &Speaker) -> Result<(), Failure> {
        let collector = self.repo.collector();
        let disk_before = collector.space()?.disk;
        let collection = Collection {
            cache: !request.keep_cache,
            dry: request.dry_run,
            gentle: true,
            watch: &|_| !speaker.is_gone(),
        };
        let work = || {
            let collected = collector.collect(&collection)?;
            if !request.dry_run && !speaker.is_gone() {
                collector.reclaim(SETTLED, LEAST)?;
            }
            Ok::<_, Failure>(collected)
        };
        let collected = collecting(speaker, work)?;
        speaker.item(Item::Collected(Collected {
            dry_run: request.dry_run,
            blocks: collected.blocks,
            bytes: collected.bytes,
            disk_before,
            disk: collector.space()?.disk,
        }))?;
        Ok(())
    }
}

/// Does `work` while the client hears that something is collected.
pub(super) fn collecting<T>(speaker: &Speaker, work: impl FnOnce() -> T) -> T {
    let waiting = || {
        Some(Event::Waiting {
            phase: Phase::Collecting,
            detail: String::new(),
        })
    };
    watch(speaker, waiting, || (), work)
}
