//! [`Layout`]: a file's leaves become a balanced tree while they come, level by level.
//!
//! Each level holds the links that have no parent yet, at most as many as one node takes. A full
//! level becomes a node when the next link comes, and its link goes to the level above. So memory is
//! a few hundred links for each level, however large the file, and whatever node is made before the
//! end is not the root.

use super::data::{Data, Metadata};
use super::output::{BuildError, Output};
use super::profile::Profile;
use crate::cid::Cid;
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

/// A tree that grows from left to right.
#[derive(Debug)]
pub struct Layout {
    profile: Profile,
    /// Leaves first.
    levels: Vec<Vec<Part>>,
}

impl Layout {
    /// The tree of a file without bytes so far.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        // A tree whose nodes have one child never ends.
        let file_links = profile.file_links.max(2);
        Self {
            profile: Profile {
                file_links,
                ..profile
            },
            levels: Vec::new(),
        }
    }

    /// Whether it has no leaf so far.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    /// Adds the next leaf, whose block is put already. Each node is put as soon as it is full.
    pub fn push(&mut self, leaf: Part, output: &mut Output<'_>) -> Result<(), BuildError> {
        self.place(0, leaf, output)
    }

    /// The whole file, whose root says `metadata`; `None` if it has no leaf. A leaf that is alone is
    /// the root as it is: the caller gave it what it says.
    pub fn finish(
        mut self,
        metadata: Metadata,
        output: &mut Output<'_>,
    ) -> Result<Option<Part>, BuildError> {
        let mut level = 0;
        while level < self.levels.len() {
            let is_top = level + 1 == self.levels.len();
            match *self.levels[level].as_slice() {
                // Every leaf is below this one.
                [root] if is_top => return Ok(Some(root)),
                _ if is_top => return self.close(level, metadata, output).map(Some),
                _ => {
                    let part = self.close(level, Metadata::NONE, output)?;
                    self.place(level + 1, part, output)?;
                }
            }
            level += 1;
        }
        Ok(None)
    }

    /// Adds a part to a level; where that is full, all of it goes below a node of the next one.
    fn place(
        &mut self,
        mut level: usize,
        mut part: Part,
        output: &mut Output<'_>,
    ) -> Result<(), BuildError> {
        loop {
            if level == self.levels.len() {
                self.levels.push(Vec::new());
            }
            if self.levels[level].len() < self.profile.file_links {
                self.levels[level].push(part);
                return Ok(());
            }
            let full = self.close(level, Metadata::NONE, output)?;
            self.levels[level].push(part);
            (level, part) = (level + 1, full);
        }
    }

    /// Makes a node of all links of a level.
    fn close(
        &mut self,
        level: usize,
        metadata: Metadata,
        output: &mut Output<'_>,
    ) -> Result<Part, BuildError> {
        let children = std::mem::take(&mut self.levels[level]);
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
        let link = output.node(self.profile.version, &node)?;
        Ok(Part {
            cid: link.cid,
            tsize: link.tsize,
            size,
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::block::Block;
    use crate::blockstore::{Blockstore, MemoryStore};
    use crate::cid::{self, Codec, Version};

    fn leaf(i: usize) -> Part {
        let data = Bytes::from(i.to_string());
        let size = data.len() as u64;
        let block = Block::hash(Version::V1, Codec::Raw, data).unwrap();
        Part {
            cid: *block.cid(),
            tsize: size,
            size,
        }
    }

    /// The specified layout, made from all leaves at once.
    fn whole(parts: &[Part], profile: Profile, output: &mut Output<'_>) -> Part {
        if let [root] = parts {
            return *root;
        }
        let above: Vec<Part> = parts
            .chunks(profile.file_links)
            .map(|children| {
                let mut layout = Layout {
                    profile,
                    levels: vec![children.to_vec()],
                };
                layout.close(0, Metadata::NONE, output).unwrap()
            })
            .collect();
        whole(&above, profile, output)
    }

    #[test]
    fn the_tree_is_balanced_whatever_the_number_of_leaves() {
        let profile = Profile {
            file_links: 3,
            ..Profile::V1_2025
        };
        for count in 1..100 {
            let leaves: Vec<Part> = (0..count).map(leaf).collect();
            let mut output = Output::new(None);
            let mut layout = Layout::new(profile);
            for leaf in &leaves {
                layout.push(*leaf, &mut output).unwrap();
                assert!(layout.levels.iter().all(|level| level.len() <= 3));
            }
            let root = layout.finish(Metadata::NONE, &mut output).unwrap();
            let expected = whole(&leaves, profile, &mut output);
            assert_eq!(root, Some(expected), "{count} leaves");
        }
        let empty = Layout::new(profile);
        let finished = empty.finish(Metadata::NONE, &mut Output::new(None));
        assert_eq!(finished.unwrap(), None);
    }

    /// The root alone says what is said of the file, also where the last leaf filled its node.
    #[test]
    fn metadata_is_in_the_root_alone() {
        let metadata = Metadata {
            mode: Some(0o644),
            mtime: None,
        };
        for count in [2, 3, 4, 9, 10, 27] {
            let store = MemoryStore::default();
            let mut output = Output::new(Some(&store));
            let mut layout = Layout::new(Profile {
                file_links: 3,
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
