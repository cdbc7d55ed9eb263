//! `pin add`, `pin rm`, `pin ls`.

use std::time::{SystemTime, UNIX_EPOCH};

use store::Cid;
use store::dag::path::resolve;
use store::dag::{BlockSource, Walk};

use super::source::Source;
use super::{Service, target};
use crate::api::conversation::{Speaker, failure};
use crate::api::message::{Content, Failure, FailureKind, Item, Pin, PinRequest};

/// Blocks that a walk asks for at once: sixteen are hashed together.
const BATCH: usize = 16;

impl Service {
    pub(super) fn pin(&self, request: PinRequest, speaker: &Speaker) -> Result<(), Failure> {
        match request {
            PinRequest::Add { content, name } => self.pin_add(&content, name, speaker),
            PinRequest::Rm { cid } => self.pin_rm(&cid, speaker),
            PinRequest::Ls => self.pin_ls(speaker),
        }
    }

    fn pin_add(
        &self,
        content: &Content,
        name: Option<String>,
        speaker: &Speaker,
    ) -> Result<(), Failure> {
        let named = target::parse(content)?;
        let source = Source::whole(self, speaker, &named, content.timeout);
        let root = source.watched(|| -> Result<Cid, Failure> {
            let root = resolve(&source, &named.target)?;
            // Reads, and so checks, what is here as well: a pin promises the bytes.
            let mut walk = Walk::new(root);
            while !walk.is_done() {
                for block in source.blocks(&walk.wants(BATCH))? {
                    walk.supply(&block)?;
                }
            }
            Ok(root)
        })?;
        self.keep(root, name)?;
        self.offer(root)?;
        let pin = self.repo.pins().get(&root)?;
        pin.into_iter()
            .try_for_each(|pin| speaker.item(Item::Pin(pin.into())))?;
        Ok(())
    }

    /// Pins `root`, whose blocks have all been put: [`Pins::add`](store::pin::Pins::add) makes them
    /// durable before the pin, and the pin before it returns (I2, I3).
    pub(super) fn keep(&self, root: Cid, name: Option<String>) -> Result<(), Failure> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        self.repo.pins().add(&store::pin::Pin {
            root,
            name,
            created: now.as_secs(),
        })?;
        Ok(())
    }

    fn pin_rm(&self, cid: &Cid, speaker: &Speaker) -> Result<(), Failure> {
        let pin = self.repo.pins().get(cid)?;
        let pin = pin.ok_or_else(|| {
            failure(FailureKind::NotFound, format!("`{cid}` is not pinned"))
                .with_hint("`store pin ls` shows what is")
        })?;
        self.repo.pins().remove(cid)?;
        speaker.item(Item::Pin(pin.into()))?;
        Ok(())
    }

    fn pin_ls(&self, speaker: &Speaker) -> Result<(), Failure> {
        let mut pins = self.repo.pins().list()?;
        pins.sort_by_key(|pin| pin.created);
        for pin in pins {
            speaker.item(Item::Pin(pin.into()))?;
        }
        Ok(())
    }
}

impl From<store::pin::Pin> for Pin {
    fn from(pin: store::pin::Pin) -> Self {
        Self {
            cid: pin.root,
            name: pin.name,
            created: pin.created,
        }
    }
}
