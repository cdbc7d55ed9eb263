//! [`SegmentLeaves`]: the leaves of a segment by their numbers.

use crate::blockstore::Blockstore;
use crate::cid::Cid;
use crate::dag::{DagError, Found, Leaves, SourceError};
use crate::segment::{Hold, SegmentId};

/// The leaves of one segment, in the order of the links, numbered from 0. Takes memory for the children of
/// one node, and no more.
pub struct SegmentLeaves<'a> {
    leaves: Leaves<'a>,
    /// Its children, and how many leaves there are up to and with each.
    children: Vec<(Cid, u64)>,
}

impl<'a> SegmentLeaves<'a> {
    /// Looks where the segment is said to be, and counts; reads links alone. `None` where another segment,
    /// or none, is there.
    ///
    /// # Errors
    /// A node at or in the segment that is not here, or that cannot be followed.
    pub fn open(
        store: &'a dyn Blockstore,
        segment: &SegmentId,
        hold: &Hold,
    ) -> Result<Option<Self>, SourceError> {
        let Some(node) = hold.path.last() else {
            return Ok(None);
        };
        let mut leaves = Leaves::of_store(store);
        let links = leaves.links(node)?;
        // A root without children is a segment by itself.
        let cids: Vec<Cid> = if hold.count == 0 && links.is_empty() {
            vec![*node]
        } else {
            let Some(children) = hold.extent(&links) else {
                return Ok(None);
            };
            children.iter().map(|link| link.cid).collect()
        };
        if SegmentId::of(&cids) != *segment {
            return Ok(None);
        }
        let mut total = 0_u64;
        let mut children = Vec::with_capacity(cids.len());
        for cid in cids {
            total = total.saturating_add(leaves.count(&cid)?);
            children.push((cid, total));
        }
        Ok(Some(Self { leaves, children }))
    }

    /// How many there are; [`u64::MAX`] for more than 64 bits count.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.children.last().map_or(0, |(_, total)| *total)
    }

    /// The leaf of this number; `None` where there are fewer.
    ///
    /// # Errors
    /// A node that is not here, or that cannot be followed.
    pub fn leaf(&mut self, number: u64) -> Result<Option<Cid>, SourceError> {
        let at = self.children.partition_point(|(_, end)| *end <= number);
        let Some((child, _)) = self.children.get(at) else {
            return Ok(None);
        };
        let before = at.checked_sub(1).map_or(0, |at| self.children[at].1);
        match self.leaves.find(child, number - before)? {
            Found::Path(path) => Ok(path.last().copied()),
            // It was counted a moment ago: the links are not what they were.
            Found::Beyond { .. } => Err(DagError::Inconsistent {
                cid: *child,
                reason: "its leaves changed while they were counted".into(),
            }
            .into()),
        }
    }
}
