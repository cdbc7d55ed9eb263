//! `repo stat`, `block stat`.

use store::blockstore::Blockstore;
use store::repo::format;

use super::Service;
use crate::api::conversation::{Speaker, watch};
use crate::api::message::{BlockStat, Failure, Item, RepoStat, StatRequest};

impl Service {
    pub(super) fn stat(&self, request: &StatRequest, speaker: &Speaker) -> Result<(), Failure> {
        match *request {
            StatRequest::Repo => speaker.item(Item::Repo(self.repo_stat(speaker)?))?,
            StatRequest::Block { cid } => {
                let sizes = self.repo.blocks().sizes(&[cid])?;
                let size = sizes.into_iter().next().flatten();
                speaker.item(Item::Block(BlockStat { cid, size }))?;
            }
        }
        Ok(())
    }

    fn repo_stat(&self, speaker: &Speaker) -> Result<RepoStat, Failure> {
        // Walks the whole index: seconds, for millions of blocks.
        let (mut blocks, mut bytes) = (0, 0);
        let count = || {
            self.repo.blocks().for_each(&mut |block| {
                blocks += 1;
                bytes += u64::from(block.size);
                !speaker.is_gone()
            })
        };
        watch(speaker, || None, || (), count)?;
        Ok(RepoStat {
            path: self.repo.path().as_os_str().to_owned().into(),
            format: format::FORMAT,
            blocks,
            bytes,
            pins: self.repo.pins().list()?.len() as u64,
        })
    }
}
