//! The trickle tree: what comes first stands near the root, so that reading can begin at once; each node has
//! its leaves first, then subtrees, four of each depth from one level up.
//!
//! The depth of a subtree says how many depths of subtrees it may have below it: one of depth 1 has
//! leaves only. The root's depth has no bound. It is a node even where the file has one leaf, or none.

use super::{Part, node};
use crate::cid::Form;
use crate::unixfs::data::Metadata;
use crate::unixfs::output::{BuildError, Output};

/// Subtrees of each depth in a node (boxo, `importer/trickle`).
const REPEAT: usize = 4;

#[derive(Debug)]
pub(super) struct Trickle {
    form: Form,
    width: usize,
    /// The nodes that are not complete, the root first; each is below the one before.
    open: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    /// Its depth; `None` for the root, whose depth has no bound.
    depth: Option<usize>,
    /// Leaves, at most `width`, then subtrees.
    children: Vec<Part>,
    /// Subtrees that were begun.
    subtrees: usize,
}

impl Open {
    const fn new(depth: Option<usize>) -> Self {
        Self {
            depth,
            children: Vec::new(),
            subtrees: 0,
        }
    }

    /// The depth of the next subtree; `None` where there is no room for one.
    fn next_depth(&self) -> Option<usize> {
        let depth = 1 + self.subtrees / REPEAT;
        self.depth
            .is_none_or(|bound| depth < bound)
            .then_some(depth)
    }
}

impl Trickle {
    pub(super) fn new(form: Form, width: usize) -> Self {
        Self {
            form,
            width,
            open: vec![Open::new(None)],
        }
    }

    pub(super) fn push(&mut self, leaf: Part, output: &mut Output<'_>) -> Result<(), BuildError> {
        loop {
            let last = self.open.last_mut().expect("the root stays open");
            if last.subtrees == 0 && last.children.len() < self.width {
                last.children.push(leaf);
                return Ok(());
            }
            match last.next_depth() {
                Some(depth) => {
                    last.subtrees += 1;
                    self.open.push(Open::new(Some(depth)));
                }
                None => self.close(output)?,
            }
        }
    }

    pub(super) fn finish(
        mut self,
        metadata: Metadata,
        output: &mut Output<'_>,
    ) -> Result<Part, BuildError> {
        while self.open.len() > 1 {
            self.close(output)?;
        }
        node(self.form, &self.open[0].children, metadata, output)
    }

    /// Makes a node of the innermost open one. Never the root: that has room for ever.
    fn close(&mut self, output: &mut Output<'_>) -> Result<(), BuildError> {
        let complete = self.open.pop().expect("called for a node below the root");
        let part = node(self.form, &complete.children, Metadata::NONE, output)?;
        let above = self.open.last_mut().expect("the root stays open");
        above.children.push(part);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::leaf;
    use super::*;

    /// The layout as it is specified: recursive, from all leaves at once.
    fn whole(
        leaves: &mut &[Part],
        depth: Option<usize>,
        width: usize,
        output: &mut Output<'_>,
    ) -> Part {
        let (own, rest) = leaves.split_at(width.min(leaves.len()));
        *leaves = rest;
        let mut children = own.to_vec();
        for below in 1.. {
            if leaves.is_empty() || depth.is_some_and(|depth| below >= depth) {
                break;
            }
            for _ in 0..REPEAT {
                if !leaves.is_empty() {
                    children.push(whole(leaves, Some(below), width, output));
                }
            }
        }
        node(Form::V1, &children, Metadata::NONE, output).unwrap()
    }

    #[test]
    fn the_tree_is_the_specified_one_whatever_the_number_of_leaves() {
        for count in (0..200).chain([1000, 2345]) {
            let leaves: Vec<Part> = (0..count).map(leaf).collect();
            let mut output = Output::new(None);
            let mut tree = Trickle::new(Form::V1, 3);
            for leaf in &leaves {
                tree.push(*leaf, &mut output).unwrap();
                assert!(tree.open.len() < 9, "{} levels", tree.open.len());
            }
            let root = tree.finish(Metadata::NONE, &mut output).unwrap();
            let expected = whole(&mut leaves.as_slice(), None, 3, &mut output);
            assert_eq!(root, expected, "{count} leaves");
        }
    }
}
