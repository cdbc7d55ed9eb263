//! `repo check`, `backup`: taking care of the repo.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use store::backup::BackupError;

use super::Service;
use super::verify::Report;
use crate::api::conversation::{Speaker, failure, watch};
use crate::api::message::{
    Backup, CareItem, CareRequest, Event, Failure, FailureKind, Item, Progress,
};

impl Service {
    pub(super) fn care(&self, request: CareRequest, speaker: &Speaker) -> Result<(), Failure> {
        match request {
            CareRequest::Verify(verify) => self.verify(&verify, speaker),
            CareRequest::ScrubStatus => self.scrub_status(speaker),
            CareRequest::Check { repair } => self.check(repair, speaker),
            CareRequest::Backup { dir, keep } => self.backup(&dir, keep, speaker),
        }
    }

    fn check(&self, repair: bool, speaker: &Speaker) -> Result<(), Failure> {
        self.check_identity()?;
        let check = || self.repo.check(repair, &|| !speaker.is_gone());
        let checked = watch(speaker, || None, || (), check)?;
        Report::of_check(self, speaker, repair, &checked)
    }

    fn backup(&self, dir: &Path, keep: Option<usize>, speaker: &Speaker) -> Result<(), Failure> {
        let (done, total) = (AtomicU64::new(0), AtomicU64::new(0));
        let tick = || {
            Some(Event::Progress(Progress {
                bytes: done.load(Ordering::Relaxed),
                total: Some(total.load(Ordering::Relaxed)).filter(|total| *total > 0),
                ..Progress::default()
            }))
        };
        let progress = |bytes, of| {
            done.store(bytes, Ordering::Relaxed);
            total.store(of, Ordering::Relaxed);
            !speaker.is_gone()
        };
        let backed = watch(
            speaker,
            tick,
            || (),
            || self.repo.backup(dir, keep, &progress),
        )?;
        let backup = Backup {
            copied: Some(backed.copied_bytes),
            ..Backup::of(dir.to_owned(), &backed.generation)
        };
        speaker.item(Item::Care(CareItem::Backup(backup)))?;
        Ok(())
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        let message = error.to_string();
        match error {
            BackupError::Repo(error) => error.into(),
            BackupError::Store(error) => error.into(),
            BackupError::Damaged { .. } => failure(FailureKind::Corrupt, message)
                .with_hint("`store backup DIR --list` shows the others, `--number N` takes one"),
            BackupError::None { .. } => failure(FailureKind::NotFound, message),
            _ => failure(FailureKind::Error, message),
        }
    }
}
