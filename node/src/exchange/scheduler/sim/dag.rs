//! [`Dag`]: a content of names and sizes; no bytes are needed.

use std::collections::HashSet;

use rand::Rng;
use rand::rngs::StdRng;
use store::Cid;
use store::cid::{Codec, Version, from_digest};

use super::super::{Child, Stored};

/// Number of a block.
pub(in super::super) type Block = u32;

#[derive(Debug, Default)]
pub(in super::super) struct Dag {
    pub(in super::super) root: Option<Cid>,
    /// In the order in which they were made, for choices by chance.
    pub(in super::super) order: Vec<Cid>,
    sizes: Vec<u32>,
    children: Vec<Vec<Cid>>,
}

impl Dag {
    pub(in super::super) fn add(&mut self, codec: Codec, size: u32, children: Vec<Cid>) -> Cid {
        let mut digest = [0; 32];
        // Numbers are read back from the digest; the rest is as even as a hash.
        let number = self.order.len() as u64;
        digest[24..].copy_from_slice(&number.to_be_bytes());
        let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        digest[..8].copy_from_slice(&mixed.to_le_bytes());
        let cid = from_digest(Version::V1, codec, &digest);
        self.order.push(cid);
        self.sizes.push(size);
        self.children.push(children);
        self.root = Some(cid);
        cid
    }

    /// A file as it is imported: leaves of `size`, nodes of `fanout`, a root.
    pub(in super::super) fn file(leaves: usize, size: u32, fanout: usize) -> Self {
        let mut dag = Self::default();
        let leaves: Vec<_> = (0..leaves)
            .map(|_| dag.add(Codec::Raw, size, Vec::new()))
            .collect();
        let nodes: Vec<_> = leaves
            .chunks(fanout)
            .map(|children| dag.add(Codec::DagPb, 50 * children.len() as u32, children.to_vec()))
            .collect();
        dag.add(Codec::DagPb, 50 * nodes.len() as u32, nodes);
        dag
    }

    /// A tree of `leaves` leaves of about `size`, with repeated leaves, dag-pb leaves, and shared
    /// subtrees.
    pub(in super::super) fn random(rng: &mut StdRng, leaves: usize, size: u32) -> Self {
        let mut dag = Self::default();
        let fanout = rng.random_range(2..60);
        let mut level: Vec<Cid> = Vec::new();
        for _ in 0..leaves {
            if !level.is_empty() && rng.random_bool(0.05) {
                level.push(level[rng.random_range(0..level.len())]);
                continue;
            }
            let codec = if rng.random_bool(0.2) {
                Codec::DagPb
            } else {
                Codec::Raw
            };
            let size = rng.random_range(1..2 * size);
            level.push(dag.add(codec, size, Vec::new()));
        }
        while level.len() > 1 {
            let nodes: Vec<Cid> = level
                .chunks(fanout)
                .map(|children| {
                    dag.add(Codec::DagPb, 40 * children.len() as u32, children.to_vec())
                })
                .collect();
            level = nodes;
        }
        dag.root = level.first().copied();
        dag
    }

    pub(in super::super) fn number(cid: &Cid) -> Block {
        let digest = cid.hash().digest();
        u32::from_be_bytes([digest[28], digest[29], digest[30], digest[31]])
    }

    pub(in super::super) fn size(&self, block: Block) -> u32 {
        self.sizes[block as usize]
    }

    pub(in super::super) fn links(&self, cid: &Cid) -> &[Cid] {
        &self.children[Self::number(cid) as usize]
    }

    pub(in super::super) fn is_leaf(&self, cid: &Cid) -> bool {
        self.links(cid).is_empty()
    }

    /// Bytes of all blocks.
    pub(in super::super) fn bytes(&self) -> u64 {
        self.sizes.iter().map(|size| u64::from(*size)).sum()
    }

    /// The blocks with their bytes, leaves only.
    pub(in super::super) fn leaves(&self) -> impl Iterator<Item = (Block, u64)> + '_ {
        let leaf = |block: &usize| self.children[*block].is_empty();
        let blocks = (0..self.order.len()).filter(leaf);
        blocks.map(|block| (block as u32, u64::from(self.sizes[block])))
    }

    /// What a receiver that has `here` knows of a block that `teller` gave.
    pub(in super::super) fn stored(
        &self,
        cid: &Cid,
        here: impl Fn(&Cid) -> bool,
        teller: impl Fn(&Cid) -> bool,
    ) -> Stored {
        let child = |cid: &Cid| Child {
            cid: *cid,
            leaf: cid.codec() == Codec::Raw.code()
                || (self.is_leaf(cid) && (teller(cid) || here(cid))),
            size: self.size(Self::number(cid)),
            here: here(cid),
        };
        Stored {
            cid: *cid,
            size: self.size(Self::number(cid)),
            children: self.links(cid).iter().map(child).collect(),
        }
    }

    pub(in super::super) fn all(&self) -> HashSet<Cid> {
        self.order.iter().copied().collect()
    }
}
