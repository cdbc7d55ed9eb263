//! The slow lane: what is more than a block, or hard to find, one session for each.

use std::sync::Mutex;
use std::sync::mpsc::Receiver;

use store::dag::path::resolve;
use store::dag::walk::missing;
use store::dag::{BlockSource as _, Walk};

use super::{Many, Wanted, locked};
use crate::api::message::Failure;
use crate::service::source::Source;

/// Blocks that a walk asks for at once: sixteen are hashed together.
const BATCH: usize = 16;

impl Many<'_> {
    /// One of those that work in the lane; runs until nothing more is put off.
    pub(super) fn slow_lane(&self, queue: &Mutex<Receiver<Wanted>>) {
        loop {
            // Who waits holds the lock; the others wait for it instead, which comes to the same.
            let Ok(wanted) = locked(queue).recv() else {
                return;
            };
            // Taken to the end also then: the fast lane must not wait for room.
            if self.is_stopped() {
                continue;
            }
            let done = self.fetch(&wanted);
            if self.is_stopped() {
                continue;
            }
            match done {
                Ok(()) => self.pause(),
                Err(failure) => drop(self.missing(wanted.text, failure)),
            }
        }
    }

    fn fetch(&self, wanted: &Wanted) -> Result<(), Failure> {
        let Wanted { named, .. } = wanted;
        let source = Source::whole(self.service, self.speaker, named, self.request.timeout);
        source.attended(|| {
            let root = resolve(&source, &named.target)?;
            source.block(&root)?;
            source.note_use()?;
            // All of it before the first piece: the client hears of nothing else until its last.
            let store = self.service.repo.blocks().as_ref();
            if !missing(store, &root, 1)?.is_empty() {
                let mut walk = Walk::new(root);
                while !walk.is_done() {
                    for block in source.blocks(&walk.wants(BATCH))? {
                        walk.supply(&block)?;
                    }
                }
            }
            self.send(wanted, &root, &source)
        })?;
        self.service.keep_fetched(&source, named)
    }
}
