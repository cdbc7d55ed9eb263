//! [`Place`]: where a block stands below a root; read from the nodes on the way down to it.

use super::Holder;
use super::climb::path_above;
use crate::block::Block;
use crate::blockstore::Blockstore;
use crate::cid::{Cid, Codec, Key};
use crate::dag::Link;
use crate::dag::pb::Node;
use crate::pin::Pins;
use crate::scrub::cid_of;
use crate::unixfs::data::{Data, Kind};

/// A place below a root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file or directory, by its names; empty for the root itself.
    pub path: String,
    /// The first of its bytes that are in the block or below it; only in files.
    pub offset: Option<u64>,
}

impl Pins {
    /// From the root of `holder` down to the block that is the first of `trail`, whose last is where the
    /// holder was met.
    pub(super) fn chain(&self, holder: &Holder, trail: &[Vec<u8>]) -> Vec<Cid> {
        match holder {
            Holder::Pin(pin) | Holder::Below(pin) => self.down(vec![pin.root], trail),
            Holder::Hold(hold) => {
                let Some(met) = trail.last() else {
                    return Vec::new();
                };
                // Its path goes through the block, or ends right above the last of the trail.
                let mut chain = path_above(hold, met);
                let on_path = hold.path.get(chain.len()).map(|cid| vec![*cid]);
                let child = || way(&self.links_of(&chain.last()?.hash().to_bytes()), met);
                let Some(below) = on_path.or_else(child) else {
                    return chain;
                };
                chain.extend(below);
                self.down(chain, trail)
            }
        }
    }

    /// Goes on from the last of `chain`, which is the last of `trail`, down to the first of `trail`.
    pub(super) fn down(&self, mut chain: Vec<Cid>, trail: &[Vec<u8>]) -> Vec<Cid> {
        for pair in trail.windows(2).rev() {
            let (child, node) = (&pair[0], &pair[1]);
            let links = self.links_of(node);
            let named = || Some(vec![cid_of(&Key::from_bytes(child)?, Codec::DagPb)?]);
            let Some(cids) = way(&links, child).or_else(named) else {
                break;
            };
            chain.extend(cids);
        }
        chain
    }

    /// As they were read when the node came, also of one that is rotten now. Where they cannot be read
    /// the chain goes on by the names that the index has.
    fn links_of(&self, node: &[u8]) -> Vec<Link> {
        self.store.stored_links(node).unwrap_or_default()
    }

    /// Where the last of `chain` stands below the first. What cannot be read on the way makes it end
    /// there.
    pub(super) fn place(&self, chain: &[Cid]) -> Place {
        let mut place = Place::default();
        for pair in chain.windows(2) {
            if self.step(&pair[0], &pair[1], &mut place).is_none() {
                place.offset = None;
                break;
            }
        }
        place
    }

    fn step(&self, parent: &Cid, child: &Cid, place: &mut Place) -> Option<()> {
        let block = match Block::inline(parent) {
            Some(block) => block,
            None => Block::verify(*parent, self.store.get(parent).ok()??).ok()?,
        };
        let node = Node::decode(block.data()).ok()?;
        let at = node
            .links
            .iter()
            .position(|link| link.cid.hash() == child.hash())?;
        let data = Data::decode(node.data.as_ref()?).ok()?;
        match data.kind {
            Kind::Directory => place.enter(node.links[at].name.as_bytes()),
            Kind::HamtShard => {
                let digits = format!("{:X}", data.fanout?.checked_sub(1)?).len();
                place.enter(node.links[at].name.as_bytes().get(digits..)?);
            }
            Kind::File | Kind::Raw => {
                let before = data.blocksizes.get(..at)?;
                let own = data.data.map_or(0, |data| data.len() as u64);
                let mut sizes = before.iter().chain([&own]);
                let offset = place.offset.unwrap_or(0);
                // Sizes are what the node's maker claimed.
                let offset = sizes.try_fold(offset, |sum, size| sum.checked_add(*size))?;
                place.offset = Some(offset);
            }
            Kind::Metadata | Kind::Symlink => return None,
        }
        Some(())
    }
}

impl Place {
    fn enter(&mut self, name: &[u8]) {
        if name.is_empty() {
            return;
        }
        if !self.path.is_empty() {
            self.path.push('/');
        }
        self.path.push_str(&String::from_utf8_lossy(name));
        // A leaf that is a whole file begins at its first byte.
        self.offset = None;
    }
}

/// The CIDs by which `links` lead to the block of this multihash: its own, after those of the nodes that
/// are carried in identity CIDs on the way.
pub(super) fn way(links: &[Link], child: &[u8]) -> Option<Vec<Cid>> {
    for link in links {
        let Some(block) = Block::inline(&link.cid) else {
            if Key::of(&link.cid).as_bytes() == child {
                return Some(vec![link.cid]);
            }
            continue;
        };
        // Ends soon: an identity CID carries less than its own length.
        let inner = crate::dag::links(&block).ok();
        if let Some(below) = inner.and_then(|links| way(&links, child)) {
            return Some([vec![link.cid], below].concat());
        }
    }
    None
}
