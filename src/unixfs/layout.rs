//! [`Layout`]: a file's leaves become a balanced tree while they come, level by level.
//!
//! Each level holds the links that have no parent yet, at most as many as one node takes. A full
//! level becomes a node, whose link goes to the level above. So memory is a few hundred links for
//! each level, however large the file.

use super::data::Data;
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

    /// Adds the next leaf, whose block is put already. Each node is put as soon as it is full.
    pub fn push(&mut self, leaf: Part, output: &mut Output<'_>) -> Result<(), BuildError> {
        let mut part = leaf;
        for level in 0.. {
            if level == self.levels.len() {
                self.levels.push(Vec::new());
            }
            self.levels[level].push(part);
            if self.levels[level].len() < self.profile.file_links {
                break;
            }
            part = self.close(level, output)?;
        }
        Ok(())
    }

    /// The whole file; `None` if it has no leaf.
    pub fn finish(mut self, output: &mut Output<'_>) -> Result<Option<Part>, BuildError> {
        for level in 0..self.levels.len() {
            let is_top = level + 1 == self.levels.len();
            match *self.levels[level].as_slice() {
                // Every leaf is below this one.
                [root] if is_top => return Ok(Some(root)),
                [] => {}
                _ if is_top => return self.close(level, output).map(Some),
                _ => {
                    let part = self.close(level, output)?;
                    self.levels[level + 1].push(part);
                }
            }
        }
        Ok(None)
    }

    /// Makes a node of all links of a level.
    fn close(&mut self, level: usize, output: &mut Output<'_>) -> Result<Part, BuildError> {
        let children = std::mem::take(&mut self.levels[level]);
        let data = Data::file(children.iter().map(|child| child.size).collect());
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
    use crate::cid::{Codec, Version};

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
                layout.close(0, output).unwrap()
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
                assert!(layout.levels.iter().all(|level| level.len() < 3));
            }
            let root = layout.finish(&mut output).unwrap().unwrap();
            assert_eq!(root, whole(&leaves, profile, &mut output), "{count} leaves");
        }
        assert_eq!(
            Layout::new(profile).finish(&mut Output::new(None)).unwrap(),
            None
        );
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
        layout.finish(&mut output).unwrap();
        output.finish().unwrap();
        assert_eq!(store.totals().unwrap().blocks, 4 + 2 + 1);
    }
}
