//! [`Layout`]: a file's leaves become a tree while they come, from left to right.
//!
//! Two shapes: `balanced` by default, and `trickle`. Both keep in memory the links that have no
//! parent yet, at most as many as one node takes for each level, however large the file. Whatever node is
//! made before the end is not the root, so that only the root says what is said of the file.

mod balanced;
mod trickle;

use self::balanced::Balanced;
use self::trickle::Trickle;
use super::data::{Data, Metadata};
use super::output::{BuildError, Output};
use super::profile::{FileLayout, Profile};
use crate::cid::{Cid, Form};
use crate::dag::Link;
use crate::dag::pb::Node;
use crate::unixfs::name::Name;

/// A part of a file: a leaf, or a node and all below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its block.
    pub cid: Cid,
    /// Size of its block and all below it in bytes.
    pub tsize: u64,
    /// Bytes of the file in it.
    pub size: u64,
}

/// A tree that grows.
#[derive(Debug)]
pub struct Layout {
    tree: Tree,
}

#[derive(Debug)]
enum Tree {
    Balanced(Balanced),
    Trickle(Trickle),
}

impl Layout {
    /// The tree of a file without bytes so far.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        // A tree whose nodes have one child never ends.
        let (form, width) = (profile.form, profile.file_links.max(2));
        let tree = match profile.file_layout {
            FileLayout::Balanced => Tree::Balanced(Balanced::new(form, width)),
            FileLayout::Trickle => Tree::Trickle(Trickle::new(form, width)),
        };
        Self { tree }
    }

    /// Adds the next leaf, whose block is put already. Each node is put as soon as it is full.
    pub fn push(&mut self, leaf: Part, output: &mut Output<'_>) -> Result<(), BuildError> {
        match &mut self.tree {
            Tree::Balanced(tree) => tree.push(leaf, output),
            Tree::Trickle(tree) => tree.push(leaf, output),
        }
    }

    /// The whole file, whose root says `metadata`. Where a balanced tree has one leaf, that is the root
    /// as it is: the caller gave it what it says. `None` for a balanced tree that has none.
    pub fn finish(
        self,
        metadata: Metadata,
        output: &mut Output<'_>,
    ) -> Result<Option<Part>, BuildError> {
        match self.tree {
            Tree::Balanced(tree) => tree.finish(metadata, output),
            Tree::Trickle(tree) => tree.finish(metadata, output).map(Some),
        }
    }
}

/// Puts the node of a file that has these children and no bytes of its own.
fn node(
    form: Form,
    children: &[Part],
    metadata: Metadata,
    output: &mut Output<'_>,
) -> Result<Part, BuildError> {
    let data = Data::file(children.iter().map(|child| child.size).collect()).with(metadata);
    let size = data.filesize.unwrap_or_default();
    let links = children
        .iter()
        .map(|child| Link {
            cid: child.cid,
            name: Name::default(),
            tsize: child.tsize,
        })
        .collect();
    let node = Node {
        links,
        data: Some(data.encode()),
    };
    let link = output.node(form, &node)?;
    Ok(Part {
        cid: link.cid,
        tsize: link.tsize,
        size,
    })
}

/// What the tests of both shapes need.
#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::block::Block;
    use crate::blockstore::{Blockstore, MemoryStore};
    use crate::cid::{self, Codec, Version};

    pub(super) fn leaf(i: usize) -> Part {
        let data = Bytes::from(i.to_string());
        let size = data.len() as u64;
        let block = Block::hash(Version::V1, Codec::Raw, data).unwrap();
        Part {
            cid: *block.cid(),
            tsize: size,
            size,
        }
    }

    /// The root alone says what is said of the file, also where the last leaf filled its node.
    #[test]
    fn metadata_is_in_the_root_alone() {
        let metadata = Metadata {
            mode: Some(0o644),
            mtime: None,
        };
        let layouts = [FileLayout::Balanced, FileLayout::Trickle];
        for (count, file_layout) in [2, 3, 4, 9, 10, 27]
            .into_iter()
            .flat_map(|count| layouts.map(|layout| (count, layout)))
        {
            let store = MemoryStore::default();
            let mut output = Output::new(Some(&store));
            let mut layout = Layout::new(Profile {
                file_links: 3,
                file_layout,
                ..Profile::V1_2025
            });
            for i in 0..count {
                layout.push(leaf(i), &mut output).unwrap();
            }
            let root = layout.finish(metadata, &mut output).unwrap().unwrap();
            output.finish().unwrap();
            store
                .for_each(&mut |block| {
                    let digest = block.key.as_bytes()[2..].try_into().unwrap();
                    let cid = cid::from_digest(Version::V1, Codec::DagPb, &digest);
                    let node = Node::decode(&store.get(&cid).unwrap().unwrap()).unwrap();
                    let said = Data::decode(&node.data.unwrap()).unwrap().metadata();
                    assert_eq!(said == metadata, cid == root.cid, "{count} leaves");
                    true
                })
                .unwrap();
        }
    }

    #[test]
    fn every_node_is_put() {
        let store = MemoryStore::default();
        let mut output = Output::new(Some(&store));
        let mut layout = Layout::new(Profile {
            file_links: 2,
            ..Profile::V1_2025
        });
        for i in 0..8 {
            layout.push(leaf(i), &mut output).unwrap();
        }
        layout.finish(Metadata::NONE, &mut output).unwrap();
        output.finish().unwrap();
        assert_eq!(store.totals().unwrap().blocks, 4 + 2 + 1);
    }
}
