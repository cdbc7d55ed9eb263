//! What an answer holds: blocks that are right and were asked for, and at most one lie.

use bytes::Bytes;
use store::block::{Block, BlockError, MAX_BLOCK_SIZE};
use store::blockstore::{Blockstore, StoreError};
use store::cid::Codec;
use store::wire::{Bits, Leaf, ManifestNode};
use store::{Cid, dag};

use crate::exchange::scheduler::{Child, Outcome, Stored};

use std::collections::HashSet;

/// An answer that came, still unverified.
#[derive(Debug)]
pub(super) enum Claims {
    Nodes {
        asked: Vec<Cid>,
        nodes: Vec<ManifestNode>,
        more: bool,
    },
    Leaves {
        asked: Vec<Cid>,
        leaves: Vec<Leaf>,
    },
}

/// What was good of an answer.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    /// Blocks, with the answerer's word on their children.
    pub(super) good: Vec<(Block, Bits)>,
    /// What was asked for and did not come.
    pub(super) missing: Vec<Outcome>,
    pub(super) more: bool,
    pub(super) lie: Option<String>,
}

impl Claims {
    /// The blocks to verify, in order.
    pub(super) fn items(&self) -> Vec<(Cid, Bytes)> {
        match self {
            Self::Nodes { nodes, .. } => nodes
                .iter()
                .map(|node| (node.cid, node.data.clone()))
                .collect(),
            Self::Leaves { asked, leaves } => {
                let item = |(cid, leaf): (&Cid, &Leaf)| match leaf {
                    Leaf::Have(data) => Some((*cid, data.clone())),
                    Leaf::NotFound | Leaf::Cut => None,
                };
                asked.iter().zip(leaves).filter_map(item).collect()
            }
        }
    }

    /// Sorts it out, given what the verification of [`Claims::items`] said.
    pub(super) fn sort(self, verified: Vec<Result<Block, BlockError>>) -> Sorted {
        match self {
            Self::Nodes { asked, nodes, more } => {
                let bits = nodes.into_iter().map(|node| node.leaves);
                sort_nodes(asked, bits.zip(verified), more)
            }
            Self::Leaves { asked, leaves } => sort_leaves(&asked, leaves, verified),
        }
    }
}

/// Each node must be one asked for, or a child of one before it, and comes once. The first that is
/// not ends it: what follows may hang on it.
fn sort_nodes(
    asked: Vec<Cid>,
    nodes: impl Iterator<Item = (Bits, Result<Block, BlockError>)>,
    more: bool,
) -> Sorted {
    let mut sorted = Sorted {
        more,
        ..Sorted::default()
    };
    let mut expected: HashSet<Cid> = asked.into_iter().collect();
    for (bits, block) in nodes {
        let block = match block {
            Ok(block) => block,
            Err(error) => {
                sorted.lie = Some(error.to_string());
                break;
            }
        };
        if !expected.remove(block.cid()) {
            sorted.lie = Some(format!("nobody asked for `{}`", block.cid()));
            break;
        }
        // What cannot be read is no lie: the content is broken, and whoever reads it is told.
        let children = dag::links(&block).unwrap_or_default();
        expected.extend(children.into_iter().map(|link| link.cid));
        sorted.good.push((block, bits));
    }
    sorted
}

fn sort_leaves(
    asked: &[Cid],
    leaves: Vec<Leaf>,
    verified: Vec<Result<Block, BlockError>>,
) -> Sorted {
    let mut sorted = Sorted::default();
    if leaves.len() != asked.len() {
        let count = leaves.len();
        sorted.lie = Some(format!(
            "it gave {count} leaves where {} were asked",
            asked.len()
        ));
    }
    let mut verified = verified.into_iter();
    for (cid, leaf) in asked.iter().zip(leaves) {
        match leaf {
            Leaf::NotFound => sorted.missing.push(Outcome::NotFound(*cid)),
            Leaf::Cut => sorted.missing.push(Outcome::Cut(*cid)),
            Leaf::Have(_) => match verified.next().expect("one result for each leaf that came") {
                Ok(block) => sorted.good.push((block, Bits::default())),
                Err(error) => sorted.lie = Some(error.to_string()),
            },
        }
    }
    sorted
}

/// What the scheduler must know of a block that is stored.
pub(super) fn describe(
    store: &dyn Blockstore,
    block: &Block,
    bits: &Bits,
) -> Result<Stored, StoreError> {
    let links = dag::links(block)?;
    let cids: Vec<Cid> = links.iter().map(|link| link.cid).collect();
    let here = store.sizes(&cids)?;
    let mut children = Vec::with_capacity(links.len());
    for (i, (link, size)) in links.iter().zip(here).enumerate() {
        let raw = link.cid.codec() == Codec::Raw.code();
        // What is here is known, whatever the answerer says.
        let leaf = match size {
            Some(_) if !raw => store
                .links(&link.cid)?
                .is_some_and(|links| links.is_empty()),
            _ => raw || bits.get(i),
        };
        let claimed = u32::try_from(link.tsize.min(MAX_BLOCK_SIZE as u64)).unwrap_or(u32::MAX);
        let size_hint = size.unwrap_or(claimed);
        let size_hint = if leaf { size_hint } else { 0 };
        children.push(Child {
            cid: link.cid,
            leaf,
            size: size_hint,
            here: size.is_some(),
        });
    }
    let size = u32::try_from(block.data().len()).expect("a block is at most 2 MiB");
    Ok(Stored {
        cid: *block.cid(),
        size,
        children,
    })
}

/// Bytes of a block and all below it, as its links claim.
pub(super) fn total(block: &Block) -> u64 {
    let links = dag::links(block).unwrap_or_default();
    let below = links
        .iter()
        .fold(0_u64, |sum, link| sum.saturating_add(link.tsize));
    below.saturating_add(block.data().len() as u64)
}
