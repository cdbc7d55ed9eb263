//! [`Shard`]: one node of a sharded directory, decoded strictly: whoever lies about where a name
//! stands could hide it from some readers and show it to others.

use super::{Fanout, MURMUR3, Place, hash};
use crate::cid::Cid;
use crate::dag::pb::Node;
use crate::dag::{DagError, Link};
use crate::unixfs::data::{Data, Kind};
use crate::unixfs::name::Name;

/// A shard whose bitfield, links and names agree with each other and with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    place: Place,
    fanout: Fanout,
    /// By index, ascending.
    children: Vec<(usize, Child)>,
}

/// What a link of a shard leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Child {
    /// An entry of the directory; the link has the entry's own name.
    Entry(Link),
    /// A shard with more entries.
    Shard {
        /// The link to it, without a name.
        link: Link,
        /// Where it stands, as [`Shard::decode`] wants it.
        place: Place,
    },
}

/// Why a node is not a shard of a directory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShardError {
    /// Another kind of node.
    #[error("{0} where a shard of a directory was expected")]
    Kind(&'static str),
    /// Another hash than murmur3, or none.
    #[error("names hashed by {0:#x}; only murmur3 (0x22) is known")]
    Hash(u64),
    /// No power of two between 8 and 1024.
    #[error("a fanout of {0}, which is no power of two between 8 and 1024")]
    Fanout(u64),
    /// More bytes than the fanout has bits for.
    #[error("a bitfield of {0} bytes, longer than its fanout")]
    Bitfield(usize),
    /// The bitfield announces another number of children than there are.
    #[error("{bits} children in its bitfield, but {links} links")]
    Count {
        /// Bits that are set.
        bits: usize,
        /// Links that are there.
        links: usize,
    },
    /// A link that does not begin with the index that the bitfield has for it.
    #[error("a link `{name}` at index {index:#x}")]
    Prefix {
        /// The link's name.
        name: Name,
        /// What the bitfield says.
        index: usize,
    },
    /// A name that does not belong where it stands.
    #[error("an entry `{0}` whose hash belongs elsewhere")]
    Misplaced(Name),
    /// Deeper than the names' hashes have bits.
    #[error("more shards below each other than a hash has bits")]
    TooDeep,
}

impl Shard {
    /// Decodes the block `cid`, whose node and UnixFS data are given, as the shard that stands at
    /// `place`. Checks everything but the children's blocks.
    pub fn decode(cid: &Cid, node: &Node, data: &Data, place: Place) -> Result<Self, DagError> {
        parse(node, data, place).map_err(|error| DagError::Inconsistent {
            cid: *cid,
            reason: error.to_string(),
        })
    }

    /// Its children, by the hash of their names.
    #[must_use]
    pub fn children(&self) -> impl ExactSizeIterator<Item = &Child> + DoubleEndedIterator {
        self.children.iter().map(|(_, child)| child)
    }

    /// The entry of this name, or the shard where it would be; `None` if the directory has no such
    /// entry.
    #[must_use]
    pub fn find(&self, name: &Name) -> Option<&Child> {
        let index = self.place.index(self.fanout, hash(name))?;
        let at = self
            .children
            .binary_search_by_key(&index, |(index, _)| *index)
            .ok()?;
        match &self.children[at].1 {
            Child::Entry(link) if link.name != *name => None,
            child => Some(child),
        }
    }
}

pub(super) fn parse(node: &Node, data: &Data, place: Place) -> Result<Shard, ShardError> {
    if data.kind != Kind::HamtShard {
        return Err(ShardError::Kind(data.kind.name()));
    }
    let hash_type = data.hash_type.unwrap_or_default();
    if hash_type != MURMUR3 {
        return Err(ShardError::Hash(hash_type));
    }
    let children = data.fanout.unwrap_or_default();
    let fanout = Fanout::new(children).ok_or(ShardError::Fanout(children))?;
    let indexes = indexes(fanout, data.data.as_deref().unwrap_or_default())?;
    if indexes.len() != node.links.len() {
        let (bits, links) = (indexes.len(), node.links.len());
        return Err(ShardError::Count { bits, links });
    }
    let children = indexes
        .into_iter()
        .zip(&node.links)
        .map(|(index, link)| Ok((index, child(place, fanout, index, link)?)))
        .collect::<Result<_, ShardError>>()?;
    Ok(Shard {
        place,
        fanout,
        children,
    })
}

/// The bits that are set, ascending.
fn indexes(fanout: Fanout, bitfield: &[u8]) -> Result<Vec<usize>, ShardError> {
    if bitfield.len() > fanout.bytes() {
        return Err(ShardError::Bitfield(bitfield.len()));
    }
    let bytes = bitfield.iter().rev().enumerate();
    Ok(bytes
        .flat_map(|(at, byte)| {
            (0..8)
                .filter(move |bit| byte >> bit & 1 == 1)
                .map(move |bit| at * 8 + bit)
        })
        .collect())
}

fn child(place: Place, fanout: Fanout, index: usize, link: &Link) -> Result<Child, ShardError> {
    let prefix = format!("{index:0width$X}", width = fanout.digits());
    let Some(name) = link.name.as_bytes().strip_prefix(prefix.as_bytes()) else {
        return Err(ShardError::Prefix {
            name: link.name.clone(),
            index,
        });
    };
    let name = Name::from(name.to_vec());
    let below = place.child(fanout, index).ok_or(ShardError::TooDeep)?;
    let is_shard = name.as_bytes().is_empty();
    if !is_shard && !below.holds(hash(&name)) {
        return Err(ShardError::Misplaced(name));
    }
    let link = Link {
        name,
        ..link.clone()
    };
    Ok(if is_shard {
        Child::Shard { link, place: below }
    } else {
        Child::Entry(link)
    })
}
