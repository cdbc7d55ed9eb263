//! What a root is made of on this machine.

use store::Cid;
use store::blockstore::{Blockstore, StoreError};
use store::dag::DagError;
use store::segment::{Segment, Segments};

/// Segments of one root at most: 64 TiB in segments of the largest size, and 100 MiB of books.
const SEGMENTS_MAX: usize = 1 << 20;

/// Why a root is not cut.
#[derive(Debug, thiserror::Error)]
pub(super) enum CutError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Dag(#[from] DagError),
    #[error("it has more than {SEGMENTS_MAX} segments")]
    TooMany,
}

/// The segments of `root` in their order; `None` where a node that is needed for it is not here. Reads links
/// alone, and blocks its caller.
pub(super) fn cut(store: &dyn Blockstore, root: &Cid) -> Result<Option<Vec<Segment>>, CutError> {
    let mut segments = Segments::new(*root);
    let mut found = Vec::new();
    while let Some(node) = segments.wants(1).pop() {
        let size = store.sizes(&[node])?.pop().flatten();
        let (Some(size), Some(links)) = (size, store.links(&node)?) else {
            return Ok(None);
        };
        found.extend(segments.supply(&node, size.into(), &links)?);
        if found.len() > SEGMENTS_MAX {
            return Err(CutError::TooMany);
        }
    }
    // By their places: nodes are taken apart the last first.
    found.sort_by_key(order);
    Ok(Some(found))
}

fn order(segment: &Segment) -> (usize, u64) {
    (segment.hold.path.len(), segment.hold.first)
}
