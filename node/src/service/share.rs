//! `share`.

use store::blockstore::Blockstore;

use super::{Service, target};
use crate::api::conversation::{Speaker, failure};
use crate::api::message::{self, Failure, FailureKind, Item, Share};
use crate::link::Link;

impl Service {
    pub(super) fn share(&self, share: &Share, speaker: &Speaker) -> Result<(), Failure> {
        let target = target::parse_text(&share.target)?.target;
        let Some(joined) = self.joining.current() else {
            return Err(failure(
                FailureKind::Error,
                "a link needs a node that others can reach",
            )
            .with_hint("start one with `store run`"));
        };
        if !self.repo.blocks().has(&target.cid)? {
            let message = format!("`{}` is not on this machine", target.cid);
            return Err(failure(FailureKind::NotFound, message)
                .with_hint("add or get it first: a link leads to this machine's copy"));
        }
        let link = Link::new(
            target.cid,
            target.path,
            joined.peer_id(),
            &joined.addresses(),
        );
        speaker.item(Item::Link(message::Link {
            link: link.to_string(),
        }))?;
        Ok(())
    }
}
