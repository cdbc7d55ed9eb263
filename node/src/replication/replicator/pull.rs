//! Fetching a segment that this member is to keep: by the normal downloader, from whoever has it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use store::Cid;
use store::blockstore::Blockstore;
use store::cid::Key;
use store::dag::{self, BlockSource, DagError, SourceError};
use store::repo::Repo;
use store::segment::{Hold, SegmentId};
use store::wire::{Urgency, replica::Offer};

use super::context::Context;
use crate::exchange::{Mode, SessionOptions};

/// Blocks that are asked for at once: enough for several peers, few enough to forget.
const AT_ONCE: usize = 64;
/// Given up after so long without anything new.
const STALL: Duration = Duration::from_secs(60);
/// A holder's blocks may be larger than its nodes claim by so much, for each block: what rounding Tsize by
/// other programs was seen to come to.
const SLACK: u64 = 64;

/// Why a segment cannot be kept.
#[derive(Debug, thiserror::Error)]
pub(super) enum PullError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Dag(#[from] DagError),
    #[error(transparent)]
    Store(#[from] store::blockstore::StoreError),
    #[error("the path of the segment does not lead from `{0}` to the next of its nodes")]
    Path(Cid),
    #[error("other children are there than those of the segment")]
    Other,
    #[error("it is larger than the {0} bytes that it claims")]
    TooLarge(u64),
    #[error("the node is ending")]
    Ending,
}

/// Fetches what is missing of a segment and holds it, durably.
pub(super) async fn pull(context: &Context, offer: &Offer) -> Result<(), PullError> {
    let root = *offer.hold.root().ok_or(PullError::Other)?;
    let holders = offer.holders.iter().filter_map(crate::members::peer_of);
    let addresses = context.network.addresses_of(holders.collect()).await;
    let with_peer = addresses.into_iter().flat_map(|(peer, addresses)| {
        let named = move |address: libp2p::Multiaddr| address.with_p2p(peer).ok();
        addresses.into_iter().filter_map(named)
    });
    let options = SessionOptions {
        addresses: with_peer.collect(),
        mode: Mode::OnDemand,
        urgency: Urgency::Repair,
        stall: STALL,
        landing: None,
    };
    let repo = context.repo.upgrade().ok_or(PullError::Ending)?;
    // Before anything is fetched: what is here already, and kept by nothing, stays too.
    let lease = repo.lease();
    lease.root(&root);
    let session = context.exchange.open(root, options);
    let source = session.source();
    let (hold, segment, bytes) = (offer.hold.clone(), offer.segment, offer.bytes);
    let work = move || -> Result<(), PullError> {
        fetch(&source, &hold, &segment, bytes)?;
        keep(&repo, &hold)?;
        drop(lease);
        Ok(())
    };
    let done = tokio::task::spawn_blocking(work).await;
    drop(session);
    done.map_err(|_| PullError::Ending)?
}

fn keep(repo: &Arc<Repo>, hold: &Hold) -> Result<(), PullError> {
    repo.blocks().commit()?;
    repo.keep().hold(hold)?;
    Ok(())
}

/// Reads the path to a segment, and all that is in it; the source keeps what it fetches.
pub(super) fn fetch(
    source: &dyn BlockSource,
    hold: &Hold,
    segment: &SegmentId,
    bytes: u64,
) -> Result<(), PullError> {
    let mut links = Vec::new();
    let mut before: Option<Cid> = None;
    let mut node_size = 0;
    for node in &hold.path {
        let leads = |link: &dag::Link| link.cid == *node;
        if let Some(before) = before
            && !links.iter().any(leads)
        {
            return Err(PullError::Path(before));
        }
        let block = source.block(node)?;
        links = dag::links(&block)?;
        node_size = block.data().len() as u64;
        before = Some(*node);
    }
    let node = before.ok_or(PullError::Other)?;
    if hold.count == 0 && links.is_empty() {
        let is_it = SegmentId::of([&node]) == *segment;
        return match node_size <= bytes.saturating_add(SLACK) {
            true if is_it => Ok(()),
            true => Err(PullError::Other),
            false => Err(PullError::TooLarge(bytes)),
        };
    }
    let children = hold.extent(&links).ok_or(PullError::Other)?;
    if SegmentId::of(children.iter().map(|link| &link.cid)) != *segment {
        return Err(PullError::Other);
    }
    read_below(source, children, bytes)
}

/// Reads all that is below these children, in order, and themselves.
fn read_below(
    source: &dyn BlockSource,
    children: &[dag::Link],
    bytes: u64,
) -> Result<(), PullError> {
    let mut met: HashSet<Key> = HashSet::new();
    let mut pending: Vec<Cid> = children.iter().rev().map(|link| link.cid).collect();
    let mut read = 0_u64;
    let mut limit = bytes;
    while !pending.is_empty() {
        let mut batch = Vec::with_capacity(AT_ONCE);
        while batch.len() < AT_ONCE
            && let Some(cid) = pending.pop()
        {
            if met.insert(Key::of(&cid)) {
                batch.push(cid);
            }
        }
        for block in source.blocks(&batch)? {
            read = read.saturating_add(block.data().len() as u64);
            limit = limit.saturating_add(SLACK);
            if read > limit {
                return Err(PullError::TooLarge(bytes));
            }
            let links = dag::links(&block)?;
            pending.extend(links.iter().rev().map(|link| link.cid));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use store::Block;
    use store::blockstore::{MemoryStore, Write};
    use store::cid::{Codec, Version};
    use store::dag::source::Local;
    use store::dag::{Link, pb};
    use store::unixfs::Name;
    use store::unixfs::data::{Data, Kind};

    use super::*;

    struct Content {
        store: MemoryStore,
        root: Cid,
        children: Vec<Cid>,
    }

    fn content() -> Content {
        let store = MemoryStore::default();
        let put = |block: Block| {
            store
                .put_many(std::slice::from_ref(&block), Write::Logged)
                .unwrap();
            *block.cid()
        };
        let leaf = |i: u8| Block::hash(Version::V1, Codec::Raw, vec![i; 100].into()).unwrap();
        let children: Vec<Cid> = (0..8).map(|i| put(leaf(i))).collect();
        let link = |cid: &Cid| Link {
            cid: *cid,
            name: Name::default(),
            tsize: 100,
        };
        let node = pb::Node {
            links: children.iter().map(link).collect(),
            data: Some(Data::new(Kind::File).encode()),
        };
        let root = put(Block::hash(Version::V1, Codec::DagPb, node.encode()).unwrap());
        Content {
            store,
            root,
            children,
        }
    }

    #[test]
    fn only_what_was_offered_is_kept() {
        let Content {
            store,
            root,
            children,
        } = content();
        let source = Local(&store);
        let hold = |first, count| Hold {
            path: vec![root],
            first,
            count,
        };
        let id = SegmentId::of(&children[2..5]);
        fetch(&source, &hold(2, 3), &id, 300).unwrap();
        let fails = |hold: &Hold, bytes| fetch(&source, hold, &id, bytes).unwrap_err();
        assert!(matches!(fails(&hold(2, 3), 100), PullError::TooLarge(100)));
        assert!(matches!(fails(&hold(2, 4), 300), PullError::Other));
        assert!(matches!(fails(&hold(7, 3), 300), PullError::Other));
        assert!(matches!(fails(&hold(u64::MAX, 3), 300), PullError::Other));
        let elsewhere = Hold {
            path: vec![root, root],
            ..hold(2, 3)
        };
        assert!(matches!(fails(&elsewhere, 300), PullError::Path(at) if at == root));
        let nowhere = Hold {
            path: Vec::new(),
            ..hold(2, 3)
        };
        assert!(matches!(fails(&nowhere, 300), PullError::Other));
        let alone = Hold {
            path: vec![children[0]],
            first: 0,
            count: 0,
        };
        let leaf = SegmentId::of(&children[..1]);
        fetch(&source, &alone, &leaf, 100).unwrap();
    }
}
