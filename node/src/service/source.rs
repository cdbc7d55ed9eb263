//! [`Source`]: blocks of one command's content, from this machine.

use std::time::Duration;

use store::Cid;
use store::block::Block;
use store::dag::source::Local;
use store::dag::{BlockSource, SourceError};

use super::Service;
use super::target::Named;
use crate::api::conversation::{Speaker, watch};
use crate::api::message::Failure;

/// Where the blocks of one command's content come from.
pub(super) struct Source<'a> {
    service: &'a Service,
    speaker: &'a Speaker,
}

impl<'a> Source<'a> {
    /// For all of a content.
    pub(super) fn whole(
        service: &'a Service,
        speaker: &'a Speaker,
        _named: &Named,
        _stall: Duration,
    ) -> Self {
        Self { service, speaker }
    }

    /// For parts of a content: nothing is fetched that is not read.
    pub(super) fn on_demand(
        service: &'a Service,
        speaker: &'a Speaker,
        named: &Named,
        stall: Duration,
    ) -> Self {
        Self::whole(service, speaker, named, stall)
    }

    /// Does `work`, which reads from this source; ends it when the client goes.
    pub(super) fn watched<T>(
        &self,
        work: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        watch(self.speaker, || None, || (), work)
    }

    /// Whether anything was asked of others.
    #[allow(clippy::unused_self, reason = "the session comes next")]
    pub(super) fn has_fetched(&self) -> bool {
        false
    }
}

impl BlockSource for Source<'_> {
    fn blocks(&self, cids: &[Cid]) -> Result<Vec<Block>, SourceError> {
        if self.speaker.is_gone() {
            return Err(SourceError::Cancelled);
        }
        Local(self.service.repo.blocks().as_ref()).blocks(cids)
    }
}
