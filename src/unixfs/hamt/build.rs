//! Writing a sharded directory: all entries are known, so that each shard is made once, children
//! first.

use bytes::Bytes;

use super::{Fanout, HASH_BITS, MURMUR3, hash};
use crate::block::Block;
use crate::cid::{Codec, Form};
use crate::dag::Link;
use crate::dag::pb::Node;
use crate::unixfs::data::{Data, Kind, Metadata};
use crate::unixfs::links::Links;
use crate::unixfs::output::{BuildError, Output, tsize};
use crate::unixfs::profile::Profile;

/// Makes a directory of `links`, whose names are distinct, and puts its shards. The link that comes
/// back leads to the root shard, which says `metadata`, and has no name.
pub fn build(
    output: &mut Output<'_>,
    profile: &Profile,
    metadata: Metadata,
    links: &Links,
) -> Result<Link, BuildError> {
    let mut entries: Vec<Entry> = links
        .iter()
        .enumerate()
        .map(|(index, link)| Entry {
            hash: hash(&link.name),
            index,
        })
        .collect();
    // The order of the hashes is the order of the trie: whatever shares a prefix stands together.
    entries.sort_unstable_by_key(|entry| entry.hash);
    let node = Builder {
        output,
        form: profile.form,
        links,
        fanout: profile.hamt_fanout,
    }
    .shard(0, metadata, &entries)?;
    output.node(profile.form, &node)
}

/// An entry: the link itself is looked at when its shard is made.
struct Entry {
    hash: u64,
    index: usize,
}

struct Builder<'a, 'store> {
    output: &'a mut Output<'store>,
    form: Form,
    links: &'a Links,
    fanout: Fanout,
}

impl Builder<'_, '_> {
    /// The shard of `entries`, which are sorted, and whose hashes share their first `used` bits. The
    /// shards below it are put already.
    fn shard(
        &mut self,
        used: u32,
        metadata: Metadata,
        entries: &[Entry],
    ) -> Result<Node, BuildError> {
        let fanout = self.fanout;
        let index = |entry: &Entry| fanout.index(entry.hash, used);
        let mut bitfield = vec![0_u8; fanout.bytes()];
        let mut links = Vec::new();
        let mut below = Vec::new();
        for group in entries.chunk_by(|a, b| index(a) == index(b)) {
            let at = index(&group[0]);
            bitfield[fanout.bytes() - 1 - at / 8] |= 1 << (at % 8);
            let mut name = format!("{at:0width$X}", width = fanout.digits()).into_bytes();
            if let [entry] = group {
                let link = self.links.get(entry.index);
                name.extend_from_slice(link.name.as_bytes());
                links.push(Link {
                    name: name.into(),
                    ..link
                });
            } else {
                let used = used + fanout.bits;
                if used + fanout.bits > HASH_BITS {
                    let [a, b] = [0, 1].map(|i| self.links.get(group[i].index).name);
                    return Err(BuildError::Collision { a, b });
                }
                below.push((links.len(), self.shard(used, Metadata::NONE, group)?));
                // Its CID comes when all shards of this level are hashed together.
                links.push(Link {
                    name: name.into(),
                    ..self.links.get(group[0].index)
                });
            }
        }
        self.put(below, &mut links)?;
        Ok(Node {
            links,
            data: Some(shard_data(fanout, &bitfield, metadata)),
        })
    }

    /// Hashes and puts the shards `below`, and completes the links at their places.
    fn put(&mut self, below: Vec<(usize, Node)>, links: &mut [Link]) -> Result<(), BuildError> {
        let messages = below.iter().map(|(_, node)| node.encode()).collect();
        let blocks = Block::hash_many(self.form, Codec::DagPb, messages)?;
        for ((at, node), block) in below.into_iter().zip(blocks) {
            links[at].cid = *block.cid();
            links[at].tsize = tsize(&node, &block);
            self.output.put(block)?;
        }
        Ok(())
    }
}

fn shard_data(fanout: Fanout, bitfield: &[u8], metadata: Metadata) -> Bytes {
    let zeros = bitfield.iter().take_while(|&&byte| byte == 0).count();
    let bitfield = Bytes::copy_from_slice(&bitfield[zeros..]);
    Data {
        data: (!bitfield.is_empty()).then_some(bitfield),
        hash_type: Some(MURMUR3),
        fanout: Some(fanout.children() as u64),
        ..Data::new(Kind::HamtShard)
    }
    .with(metadata)
    .encode()
}
