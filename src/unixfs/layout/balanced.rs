//! The balanced tree: all leaves are equally deep.
//!
//! A level that is full becomes a node when the next link comes, and its link goes to the level above.

use super::{Part, node};
use crate::cid::Form;
use crate::unixfs::data::Metadata;
use crate::unixfs::output::{BuildError, Output};

#[derive(Debug)]
pub(super) struct Balanced {
    form: Form,
    width: usize,
    /// The links without a parent, those of leaves first.
    levels: Vec<Vec<Part>>,
}

impl Balanced {
    pub(super) const fn new(form: Form, width: usize) -> Self {
        Self {
            form,
            width,
            levels: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, leaf: Part, output: &mut Output<'_>) -> Result<(), BuildError> {
        self.place(0, leaf, output)
    }

    pub(super) fn finish(
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
            if self.levels[level].len() < self.width {
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
        node(self.form, &children, metadata, output)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::leaf;
    use super::*;

    /// The specified layout, made from all leaves at once.
    fn whole(parts: &[Part], width: usize, output: &mut Output<'_>) -> Part {
        if let [root] = parts {
            return *root;
        }
        let above: Vec<Part> = parts
            .chunks(width)
            .map(|children| node(Form::V1, children, Metadata::NONE, output).unwrap())
            .collect();
        whole(&above, width, output)
    }

    #[test]
    fn the_tree_is_balanced_whatever_the_number_of_leaves() {
        for count in 1..100 {
            let leaves: Vec<Part> = (0..count).map(leaf).collect();
            let mut output = Output::new(None);
            let mut tree = Balanced::new(Form::V1, 3);
            for leaf in &leaves {
                tree.push(*leaf, &mut output).unwrap();
                assert!(tree.levels.iter().all(|level| level.len() <= 3));
            }
            let root = tree.finish(Metadata::NONE, &mut output).unwrap();
            let expected = whole(&leaves, 3, &mut output);
            assert_eq!(root, Some(expected), "{count} leaves");
        }
        let empty = Balanced::new(Form::V1, 3);
        let finished = empty.finish(Metadata::NONE, &mut Output::new(None));
        assert_eq!(finished.unwrap(), None);
    }
}
