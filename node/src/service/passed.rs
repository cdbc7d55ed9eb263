//! Files that the client passes on, one after another, where they are no tree to add.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use store::unixfs::Name;

use crate::api::conversation::{Conversation, Speaker, failure};
use crate::api::message::{Failure, FailureKind, Step};

/// An open file of the client; ends with an error when the client goes.
#[derive(Debug)]
pub(super) struct Passed {
    /// What the client calls it.
    pub(super) name: Name,
    file: File,
    speaker: Speaker,
}

/// The next file; `None` after the last.
pub(super) fn next(conversation: &mut Conversation) -> Result<Option<Passed>, Failure> {
    let usage = |message: String| failure(FailureKind::Usage, message);
    let (step, descriptor) = conversation
        .step()
        .map_err(|error| usage(format!("the command ended before its last file: {error}")))?;
    match (step, descriptor) {
        (Step::Finish, None) => Ok(None),
        (Step::Failed { message }, None) => Err(failure(FailureKind::Error, message)),
        (Step::File { name, .. }, Some(descriptor)) => Ok(Some(Passed {
            name,
            file: descriptor.into(),
            speaker: conversation.speaker().clone(),
        })),
        _ => Err(usage("something else was passed on than a file".into())),
    }
}

impl From<Passed> for OwnedFd {
    fn from(passed: Passed) -> Self {
        passed.file.into()
    }
}

impl Read for Passed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.speaker.is_gone() {
            return Err(io::Error::other("the command went away"));
        }
        self.file.read(buffer)
    }
}
