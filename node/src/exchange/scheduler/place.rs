//! [`Place`]: where in the DAG something stands, ordered as a depth-first reader meets it.

use std::cmp::Ordering;
use std::sync::Arc;

/// The way from the root to a node: which child, at each level.
pub(super) type Path = Arc<[u32]>;

/// Deeper than this, places are not told apart: the order only says what to fetch sooner, and paths
/// as long as a hostile DAG is deep would take memory by the square of its depth.
const LEVELS: usize = 64;

/// One child of the node at a path. Siblings share the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    parent: Option<Path>,
    index: u32,
}

impl Place {
    /// The root's place, and that of blocks whose place is not known: before all others.
    pub(super) const ROOT: Self = Self {
        parent: None,
        index: 0,
    };

    pub(super) fn child(parent: &Path, index: u32) -> Self {
        Self {
            parent: Some(Arc::clone(parent)),
            index,
        }
    }

    /// The path to what stands here, cut at [`LEVELS`].
    pub(super) fn path(&self) -> Path {
        self.steps().take(LEVELS).collect()
    }

    fn steps(&self) -> impl Iterator<Item = u32> + '_ {
        let parent = self.parent.as_deref();
        parent
            .into_iter()
            .flatten()
            .copied()
            .chain(parent.map(|_| self.index))
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        self.steps().cmp(other.steps())
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_in_depth_first_order() {
        let top: Path = Arc::new([]);
        let second = Place::child(&top, 1).path();
        let order = [
            Place::ROOT,
            Place::child(&top, 0),
            Place::child(&top, 1),
            Place::child(&second, 0),
            Place::child(&second, 7),
            Place::child(&top, 2),
        ];
        assert!(order.is_sorted());
        assert_eq!(order[4].path().as_ref(), [1, 7]);
        assert_eq!(Place::ROOT.path().as_ref(), [0; 0]);
    }
}
