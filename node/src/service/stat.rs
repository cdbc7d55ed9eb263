//! `repo stat`, `block stat`.

use store::blockstore::Blockstore;
use store::repo::format;

use super::Service;
use crate::api::conversation::{Speaker, watch};
use crate::api::message::{BlockStat, Failure, Item, RepoStat, StatRequest};

impl Service {
    pub(super) fn stat(&self, request: &StatRequest, speaker: &Speaker) -> Result<(), Failure> {
        match *request {
            StatRequest::Repo { usage } => {
                speaker.item(Item::Repo(self.repo_stat(usage, speaker)?))?;
            }
            StatRequest::Block { cid } => {
                let sizes = self.repo.blocks().sizes(&[cid])?;
                let size = sizes.into_iter().next().flatten();
                speaker.item(Item::Block(BlockStat { cid, size }))?;
            }
        }
        Ok(())
    }

    fn repo_stat(&self, usage: bool, speaker: &Speaker) -> Result<RepoStat, Failure> {
        let collector = self.repo.collector();
        let usage = if usage {
            // Goes over the whole index: seconds, for millions of blocks.
            let count = || collector.usage(&|| !speaker.is_gone());
            watch(speaker, || None, || (), count)?.map(Into::into)
        } else {
            None
        };
        let totals = self.repo.blocks().totals()?;
        let space = collector.space()?;
        let clones = self.repo.blocks().clone_usage();
        Ok(RepoStat {
            path: self.repo.path().as_os_str().to_owned().into(),
            format: format::FORMAT,
            blocks: totals.blocks,
            bytes: totals.bytes,
            stored: space.live,
            referenced: totals.bytes.saturating_sub(space.live),
            clones: clones.files,
            clone_bytes: clones.bytes,
            quota: self.repo.blocks().quota(),
            disk: space.disk,
            amplification_permille: space.disk.saturating_mul(1000).checked_div(space.live),
            pins: self.repo.pins().count()?,
            usage,
        })
    }
}
