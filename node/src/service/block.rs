//! `block get`, `block put`, `block rm`.

use std::io::Read;

use bytes::Bytes;
use store::block::{Block, MAX_BLOCK_SIZE};
use store::blockstore::{Blockstore, Write};
use store::cid::{Cid, Codec, Version};
use store::dag::path::resolve;
use store::dag::walk::missing;
use store::dag::{self, BlockSource};
use store::gc::Removal;
use store::unixfs::Piece;

use super::source::Source;
use super::{Service, passed, target};
use crate::api::conversation::{Conversation, Speaker, failure};
use crate::api::message::{
    BlockPut, BlockRequest, BlockStat, Content, Event, Failure, FailureKind, Holder, Item, PinMarks,
};

impl Service {
    pub(super) fn block(
        &self,
        request: &BlockRequest,
        conversation: &mut Conversation,
    ) -> Result<(), Failure> {
        match request {
            BlockRequest::Get(content) => self.block_get(content, conversation.speaker()),
            BlockRequest::Put(put) => self.block_put(put, conversation),
            BlockRequest::Rm { cids } => self.block_rm(cids, conversation.speaker()),
        }
    }

    fn block_get(&self, content: &Content, speaker: &Speaker) -> Result<(), Failure> {
        let named = target::parse(content)?;
        let source = Source::on_demand(self, speaker, &named, content.timeout);
        let block = source.watched(|| {
            let block = source.block(&resolve(&source, &named.target)?)?;
            source.note_use()?;
            Ok(block)
        })?;
        speaker.item(Item::Block(stat(&block)))?;
        let (_, data) = block.into_parts();
        speaker.send(&Event::Piece(Piece::Data(data)))?;
        self.keep_cached(&source)
    }

    fn block_put(&self, put: &BlockPut, conversation: &mut Conversation) -> Result<(), Failure> {
        let usage = |message: String| failure(FailureKind::Usage, message);
        let codec = match put.codec.as_str() {
            "raw" => Codec::Raw,
            "dag-pb" => Codec::DagPb,
            other => {
                return Err(usage(format!(
                    "`--codec`: `{other}` is none of raw and dag-pb"
                )));
            }
        };
        if put.hash != "sha2-256" {
            return Err(usage(format!("`--hash`: `{}` is not sha2-256", put.hash)));
        }
        let none = || usage("no block was passed on".into());
        let file = passed::next(conversation)?.ok_or_else(none)?;
        let mut data = Vec::new();
        // One byte more shows that it is too large.
        file.take(MAX_BLOCK_SIZE as u64 + 1)
            .read_to_end(&mut data)
            .map_err(|error| {
                failure(
                    FailureKind::Error,
                    format!("cannot read the block: {error}"),
                )
            })?;
        let too_large = |error: store::block::BlockError| {
            usage(error.to_string()).with_hint("`store add` makes a file of any size into blocks")
        };
        let block = Block::hash(Version::V1, codec, Bytes::from(data)).map_err(too_large)?;
        dag::links(&block)?;
        let _lease = self.repo.lease();
        let (store, cid) = (self.repo.blocks().as_ref(), *block.cid());
        store.put_many(std::slice::from_ref(&block), Write::Logged)?;
        if put.pin {
            if let Some(absent) = missing(store, &cid, 1)?.first() {
                store.commit()?;
                let message = format!("`{cid}` is stored and not pinned: `{absent}` is missing");
                return Err(failure(FailureKind::Partial, message)
                    .with_hint("`store pin add CID` fetches what is missing"));
            }
            self.keep(cid, &PinMarks::default())?;
        } else {
            store.commit()?;
            self.repo.cached().touch(&cid)?;
        }
        conversation.speaker().item(Item::Block(stat(&block)))?;
        Ok(())
    }

    /// Removes what can be removed, and names all the rest.
    fn block_rm(&self, cids: &[Cid], speaker: &Speaker) -> Result<(), Failure> {
        let (mut kept, mut not_here) = (Vec::new(), Vec::new());
        for cid in cids {
            match self.repo.collector().remove_block(cid)? {
                Removal::Removed(size) => {
                    let size = Some(size);
                    speaker.item(Item::Block(BlockStat { cid: *cid, size }))?;
                }
                Removal::Kept => {
                    let holders = self.repo.pins().holders(cid, 1)?.holders;
                    let holder = holders.into_iter().next();
                    if let Some(holder) = &holder {
                        let holder = Holder::new(*cid, holder.clone());
                        speaker.item(Item::Holder(holder.into()))?;
                    }
                    kept.push((cid, holder.and_then(|holder| holder.root().copied())));
                }
                Removal::NotHere => not_here.push(cid),
            }
        }
        // The removals are in the log; a command that says they are done must be right tomorrow too.
        self.repo.blocks().commit()?;
        if let Some((cid, root)) = kept.first() {
            let pinned = root.as_ref() == Some(*cid);
            let message = match root {
                _ if kept.len() > 1 => {
                    let (count, all) = (kept.len(), cids.len());
                    format!("{count} of {all} blocks are needed here and stay")
                }
                Some(_) if pinned => format!("`{cid}` is pinned: it stays"),
                Some(root) => format!("`{cid}` is kept as a part of `{root}`: it stays"),
                None => format!("`{cid}` is in use just now: it stays"),
            };
            let hint = match root {
                Some(_) if pinned => format!("`store pin rm {cid}` unpins it"),
                Some(_) => format!("`store pin why {cid}` names all that keeps it"),
                None => "an add or a get needs it; try again when that is done".into(),
            };
            return Err(failure(FailureKind::Error, message).with_hint(hint));
        }
        let Some(cid) = not_here.first() else {
            return Ok(());
        };
        let message = match not_here.len() {
            1 => format!("block `{cid}` is not on this machine"),
            count => format!(
                "block `{cid}` is not on this machine, nor are {} others",
                count - 1
            ),
        };
        Err(failure(FailureKind::NotFound, message))
    }
}

fn stat(block: &Block) -> BlockStat {
    BlockStat {
        cid: *block.cid(),
        size: u32::try_from(block.data().len()).ok(),
    }
}
