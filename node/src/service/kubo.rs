//! `import-kubo`.

use std::sync::{Mutex, PoisonError};

use store::blockstore::Blockstore;
use store::kubo::{Copied, Flatfs, KuboError, PinLine, Pins, copy};

use super::car::{NOT_WHOLE_HINT, not_whole};
use super::{Service, passed};
use crate::api::conversation::{Conversation, Speaker, failure, watch};
use crate::api::message::{
    Event, Failure, FailureKind, Item, KuboCopied, KuboRefused, Phase, Progress,
};

impl Service {
    pub(super) fn import_kubo(&self, conversation: &mut Conversation) -> Result<(), Failure> {
        let none = || failure(FailureKind::Usage, "no Kubo repo was passed on");
        let root = passed::next(conversation)?.ok_or_else(none)?;
        let pins = passed::next(conversation)?;
        let from = Flatfs::open(root.into())?;
        // All of it before the blocks: a mistake in the list is told at once.
        let mut roots = Vec::new();
        let mut passed_over = 0;
        if let Some(file) = pins {
            let mut pins = Pins::new(file);
            while let Some(pin) = pins.next()? {
                roots.push(pin);
            }
            passed_over = pins.passed_over();
        }
        let _lease = self.repo.lease();
        let speaker = conversation.speaker();
        let copied = self.copy_kubo(&from, speaker)?;
        speaker.offer(&Event::Waiting {
            phase: Phase::Committing,
            detail: String::new(),
        });
        self.repo.blocks().commit()?;
        speaker.item(Item::Kubo(KuboCopied {
            blocks: copied.blocks,
            bytes: copied.bytes,
            present: copied.present,
            refused: copied.refused,
            pins_passed_over: passed_over,
        }))?;
        self.keep_kubo(roots, copied, speaker)
    }

    fn copy_kubo(&self, from: &Flatfs, speaker: &Speaker) -> Result<Copied, Failure> {
        let so_far = Mutex::new(Copied::default());
        let tick = || {
            let copied = *so_far.lock().unwrap_or_else(PoisonError::into_inner);
            Some(Event::Progress(Progress {
                bytes: copied.bytes,
                files: copied.blocks + copied.present,
                ..Progress::default()
            }))
        };
        let note = |copied| {
            *so_far.lock().unwrap_or_else(PoisonError::into_inner) = copied;
            !speaker.is_gone()
        };
        let mut refused = |file: &str, why: &str| {
            // Who has gone is seen by `note`.
            let _ = speaker.item(Item::KuboRefused(KuboRefused {
                file: file.to_owned(),
                why: why.to_owned(),
            }));
        };
        let store = self.repo.blocks().as_ref();
        let copied = watch(
            speaker,
            tick,
            || (),
            || copy(store, from, &mut refused, &note),
        );
        Ok(copied?)
    }

    /// Pins the roots that are whole; says what was only partly done.
    fn keep_kubo(
        &self,
        pins: Vec<PinLine>,
        copied: Copied,
        speaker: &Speaker,
    ) -> Result<(), Failure> {
        let (count, mut broken) = (pins.len(), 0);
        for PinLine { root, name } in pins {
            let root = self.keep_if_whole(&root, name)?;
            broken += usize::from(root.why.is_some());
            speaker.item(Item::Root(root))?;
        }
        let partial = |message: String, hint: &str| {
            Err(failure(FailureKind::Partial, message).with_hint(hint))
        };
        match (broken, copied.refused) {
            (0, 0) => Ok(()),
            (0, count) => partial(
                format!("{count} blocks were left out: they are not what their names say"),
                "all pins are whole without them",
            ),
            (broken, _) => partial(not_whole(broken, count), NOT_WHOLE_HINT),
        }
    }
}

impl From<KuboError> for Failure {
    fn from(error: KuboError) -> Self {
        let kind = match error {
            KuboError::Store(error) => return error.into(),
            KuboError::NotARepo { .. } | KuboError::Pins { .. } => FailureKind::Usage,
            _ => FailureKind::Error,
        };
        failure(kind, error.to_string())
    }
}
