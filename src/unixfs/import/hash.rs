//! The hash workers: chunks become leaf blocks, all those of a batch together.

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender};

use super::batch::{Batch, Hashed, Leaf, Raw, Step};
use crate::block::{Block, BlockError};
use crate::cid::Codec;
use crate::dag::pb::Node;
use crate::unixfs::data::{Data, Kind};
use crate::unixfs::profile::{FileLayout, Profile};

/// Hashes batches until there are no more, or nobody wants them.
pub(super) fn work(profile: &Profile, batches: &Receiver<Raw>, hashed: &Sender<Hashed>) {
    for batch in batches {
        let batch = hash(profile, batch).expect("a chunker's chunks fit in blocks");
        if hashed.send(batch).is_err() {
            return;
        }
    }
}

fn hash(profile: &Profile, batch: Raw) -> Result<Hashed, BlockError> {
    let mut chunks = Vec::new();
    let mut sizes = Vec::new();
    // First the chunks are taken out of the steps, then their blocks are put in their places.
    let mut steps = Vec::with_capacity(batch.steps.len());
    for step in batch.steps {
        steps.push(match step {
            Step::Leaf(chunk) => {
                sizes.push(chunk.len() as u64);
                chunks.push(if profile.raw_leaves {
                    chunk
                } else {
                    wrapped(profile, chunk)
                });
                None
            }
            Step::Dir(name, metadata) => Some(Step::Dir(name, metadata)),
            Step::File(head) => Some(Step::File(head)),
            Step::Known(name, root) => Some(Step::Known(name, root)),
            Step::FileEnd => Some(Step::FileEnd),
            Step::FileLost => Some(Step::FileLost),
            Step::Symlink {
                name,
                metadata,
                target,
            } => Some(Step::Symlink {
                name,
                metadata,
                target,
            }),
            Step::End => Some(Step::End),
            Step::Done => Some(Step::Done),
        });
    }
    let codec = if profile.raw_leaves {
        Codec::Raw
    } else {
        Codec::DagPb
    };
    let blocks = Block::hash_many(profile.form, codec, chunks)?;
    let mut leaves = blocks
        .into_iter()
        .zip(sizes)
        .map(|(block, size)| Step::Leaf(Leaf { block, size }));
    let steps = steps
        .into_iter()
        .map(|step| step.unwrap_or_else(|| leaves.next().expect("one leaf for one chunk")))
        .collect();
    Ok(Batch {
        number: batch.number,
        steps,
    })
}

/// The dag-pb leaf of a chunk. Kubo's trickle trees have leaves of the older kind.
fn wrapped(profile: &Profile, chunk: Bytes) -> Bytes {
    let kind = match profile.file_layout {
        FileLayout::Balanced => Kind::File,
        FileLayout::Trickle => Kind::Raw,
    };
    Node {
        links: Vec::new(),
        data: Some(Data::leaf(kind, chunk).encode()),
    }
    .encode()
}
