//! [`Holders`]: what a block is a part of: the pins above it, and where it stands below them.

use std::collections::{HashMap, VecDeque};

use super::finding::cid_of;
use crate::block::Block;
use crate::blockstore::{Blockstore, StoreError, schema};
use crate::cid::{Cid, Codec, Key};
use crate::dag::Link;
use crate::keep::Keep;
use crate::pin::Pin;
use crate::repo::Repo;
use crate::unixfs::data::{Data, Kind};

/// Nodes above a block that are looked at, so that one in a million directories is told soon too.
const NODES: usize = 1 << 16;
/// Pins that are named; more help nobody.
const PINS: usize = 16;

/// What a block is a part of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holders {
    /// The pins above it, sixteen of them at most.
    pub holders: Vec<Holder>,
    /// From a root, pinned if there is such a one, down to the block: all that somebody has to be asked
    /// for who has the root and perhaps not this block. It has at least the block.
    pub chain: Vec<Cid>,
}

/// A pin, and where the block stands in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The pin.
    pub pin: Pin,
    /// Where the block was met first below it, as far as that can be read.
    pub place: Place,
}

/// A place below a root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file or directory, by its names; empty for the root itself.
    pub path: String,
    /// The first of its bytes that are in the block or below it; only in files.
    pub offset: Option<u64>,
}

impl Holders {
    /// Looks upwards from the block `key`, by the rows that say who links to it.
    pub fn of(repo: &Repo, key: &Key) -> Result<Self, StoreError> {
        let store = repo.blocks();
        // Each node above, and the one below it from which it was come to.
        let mut from: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
        let mut queue = VecDeque::from([key.as_bytes().to_vec()]);
        let mut found = Self::default();
        let mut top = key.as_bytes().to_vec();
        while let Some(node) = queue.pop_front() {
            if let Some(pin) = pinned(repo, &node, node == key.as_bytes())?
                && found.holders.len() < PINS
            {
                let chain = chain(repo, pin.root, &node, &from);
                let place = place(repo, &chain);
                if found.chain.is_empty() {
                    found.chain = chain;
                }
                found.holders.push(Holder { pin, place });
            }
            let before = queue.len();
            store.parents(&node, None, &mut |parent| {
                let known = parent == key.as_bytes() || from.contains_key(parent);
                if !known && from.len() < NODES {
                    from.insert(parent.to_vec(), node.clone());
                    queue.push_back(parent.to_vec());
                }
                from.len() < NODES
            })?;
            if queue.len() == before {
                top = node;
            }
        }
        if found.chain.is_empty() {
            let codec = if top == key.as_bytes() {
                codec_of(repo, &top)?
            } else {
                Codec::DagPb
            };
            let root = Key::from_bytes(&top).and_then(|key| cid_of(&key, codec));
            let chained = root.map(|root| chain(repo, root, &top, &from));
            found.chain = chained.unwrap_or_default();
        }
        Ok(found)
    }
}

/// The pin of this block: with all that is below it, or, of the block `itself`, alone too.
fn pinned(repo: &Repo, key: &[u8], itself: bool) -> Result<Option<Pin>, StoreError> {
    let keep: Keep = repo.keep();
    let kept = keep.is_pinned(key)? || itself && keep.is_kept_alone(key)?;
    if !kept {
        return Ok(None);
    }
    let Some(key) = Key::from_bytes(key) else {
        return Ok(None);
    };
    for codec in [Codec::DagPb, Codec::Raw] {
        let cid = cid_of(&key, codec);
        let pin = cid.map(|cid| repo.pins().get(&cid)).transpose()?.flatten();
        if pin.is_some() {
            return Ok(pin);
        }
    }
    Ok(None)
}

/// How a block without anything above it is read.
fn codec_of(repo: &Repo, key: &[u8]) -> Result<Codec, StoreError> {
    let entry = repo.blocks().raw_entries(&[key])?.pop().flatten();
    let node = entry.is_some_and(|entry| entry.children == schema::Children::Stored);
    Ok(if node { Codec::DagPb } else { Codec::Raw })
}

/// From `root`, whose multihash is `top`, down to where `from` leads.
fn chain(repo: &Repo, root: Cid, top: &[u8], from: &HashMap<Vec<u8>, Vec<u8>>) -> Vec<Cid> {
    let mut chain = vec![root];
    let mut node = top;
    while let Some(child) = from.get(node) {
        let link = links(repo, node)
            .into_iter()
            .find(|link| link.cid.hash().to_bytes() == *child);
        let named = Key::from_bytes(child).and_then(|key| cid_of(&key, Codec::DagPb));
        // Below an identity CID it has no link of its own; what it is below that, nobody asks.
        let Some(cid) = link.map(|link| link.cid).or(named) else {
            break;
        };
        chain.push(cid);
        node = child;
    }
    chain
}

fn links(repo: &Repo, node: &[u8]) -> Vec<Link> {
    let row = repo.blocks().table_get(schema::LINKS, node).ok().flatten();
    row.and_then(|row| schema::decode_links(&row))
        .unwrap_or_default()
}

/// Where the last of `chain` stands below the first. What cannot be read on the way makes it end
/// there.
fn place(repo: &Repo, chain: &[Cid]) -> Place {
    let mut place = Place::default();
    for pair in chain.windows(2) {
        if step(repo, &pair[0], &pair[1], &mut place).is_none() {
            place.offset = None;
            break;
        }
    }
    place
}

fn step(repo: &Repo, parent: &Cid, child: &Cid, place: &mut Place) -> Option<()> {
    let data = repo.blocks().get(parent).ok()??;
    let block = Block::verify(*parent, data).ok()?;
    let node = crate::dag::pb::Node::decode(block.data()).ok()?;
    let at = node
        .links
        .iter()
        .position(|link| link.cid.hash() == child.hash())?;
    let data = Data::decode(node.data.as_ref()?).ok()?;
    match data.kind {
        Kind::Directory => push(place, node.links[at].name.as_bytes()),
        Kind::HamtShard => {
            let digits = format!("{:X}", data.fanout?.checked_sub(1)?).len();
            push(place, node.links[at].name.as_bytes().get(digits..)?);
        }
        Kind::File | Kind::Raw => {
            let before = data.blocksizes.get(..at)?.iter().sum::<u64>();
            let own = data.data.map_or(0, |data| data.len() as u64);
            place.offset = Some(place.offset.unwrap_or(0) + own + before);
        }
        Kind::Metadata | Kind::Symlink => return None,
    }
    Some(())
}

fn push(place: &mut Place, name: &[u8]) {
    if name.is_empty() {
        return;
    }
    if !place.path.is_empty() {
        place.path.push('/');
    }
    place.path.push_str(&String::from_utf8_lossy(name));
    // A leaf that is a whole file begins at its first byte.
    place.offset = None;
}
