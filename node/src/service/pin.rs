//! `pin add`, `pin rm`, `pin ls`.

use store::Cid;

use super::Service;
use crate::api::conversation::{Speaker, failure};
use crate::api::message::{Failure, FailureKind, Item, Pin, PinRequest};

impl Service {
    pub(super) fn pin(&self, request: PinRequest, speaker: &Speaker) -> Result<(), Failure> {
        match request {
            PinRequest::Add { .. } => {
                Err(failure(FailureKind::Error, "this command is not built yet"))
            }
            PinRequest::Rm { cid } => self.pin_rm(&cid, speaker),
            PinRequest::Ls => self.pin_ls(speaker),
        }
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
