//! A stopped Kubo repo, as a source of blocks: its flatfs datastore, read only.
//!
//! ```text
//! DIR/repo.lock         locked (fcntl) while Kubo uses the repo
//! DIR/blocks/SHARDING   /repo/flatfs/shard/v1/next-to-last/2
//! DIR/blocks/XX/KEY.data
//! ```
//!
//! `KEY` is a multihash in base32, upper case, no padding; before version 12 of the repo it was a CID.
//! Which shard a block is in does not matter here: all are read. The pins lie in a `LevelDB`, which no
//! well-kept library reads without writing to it: Kubo itself prints them
//! (`ipfs pin ls --type=recursive --names`), and [`Pins`] reads that.

mod flatfs;
mod pins;

use std::io;

use crate::blockstore::{Blockstore, StoreError};
use crate::car::{Checked, Section, check};
use crate::cid::{self, Cid, Codec, Key};
use crate::dag::pb::Node;
use crate::unixfs::output::Output;

pub use flatfs::Flatfs;
pub use pins::{PinLine, Pins};

/// Blocks that are looked for in the index together.
const LOOKED_AT: usize = 1024;

/// Bytes of blocks that are checked, and then put, together.
const BATCH_BYTES: usize = 16 << 20;

/// Why a Kubo repo could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KuboError {
    /// Not a directory of Kubo's, or not one that we can read.
    #[error("no Kubo repo with blocks in flatfs: {reason}")]
    NotARepo {
        /// What is wrong.
        reason: String,
    },
    /// Kubo runs.
    #[error("the Kubo repo is in use{}; stop the daemon first", .pid.map_or_else(String::new, |pid| format!(" by process {pid}")))]
    InUse {
        /// The process.
        pid: Option<i32>,
    },
    /// The operating system refused.
    #[error("cannot read `{path}` in the Kubo repo: {error}")]
    Io {
        /// The file, from the top of the repo.
        path: String,
        /// What it said.
        error: io::Error,
    },
    /// The list of pins is none.
    #[error("line {line} of the pins: {reason}")]
    Pins {
        /// Which line, from 1 on.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// Our store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Whoever asked for it went away.
    #[error("cancelled")]
    Cancelled,
}

/// What became of the blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Blocks that were copied.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blocks that were here already.
    pub present: u64,
    /// Blocks that are not what their names say, or whose hash cannot be computed: left out.
    pub refused: u64,
}

/// Copies every block of `from` that `store` has not got and whose hash is right. Neither commits nor
/// pins. Started again, it passes over what is here without reading it.
///
/// `refused` is told of each that is not, by its file and why; `progress` of all so far, and says
/// whether to go on.
pub fn copy(
    store: &dyn Blockstore,
    from: &Flatfs,
    refused: &mut dyn FnMut(&str, &str),
    progress: &dyn Fn(Copied) -> bool,
) -> Result<Copied, KuboError> {
    let mut copy = Copy {
        output: Output::new(Some(store)),
        copied: Copied::default(),
        batch: Vec::new(),
        bytes: 0,
        refused,
    };
    for shard in from.shards()? {
        let names = from.names(&shard)?;
        for names in names.chunks(LOOKED_AT) {
            copy.some(store, from, &shard, names)?;
            if !progress(copy.copied) {
                return Err(KuboError::Cancelled);
            }
        }
    }
    copy.flush()?;
    copy.output.finish()?;
    Ok(copy.copied)
}

struct Copy<'a> {
    output: Output<'a>,
    copied: Copied,
    /// What has been read and not been checked, with its file.
    batch: Vec<(String, Section)>,
    bytes: usize,
    refused: &'a mut dyn FnMut(&str, &str),
}

impl Copy<'_> {
    fn some(
        &mut self,
        store: &dyn Blockstore,
        from: &Flatfs,
        shard: &str,
        names: &[String],
    ) -> Result<(), KuboError> {
        let mut wanted = Vec::with_capacity(names.len());
        for name in names {
            let file = format!("blocks/{shard}/{name}");
            match flatfs::cid(name) {
                Some(cid) => wanted.push((file, cid)),
                None => self.refuse(&file, "its name is no block's"),
            }
        }
        let cids: Vec<Cid> = wanted.iter().map(|(_, cid)| *cid).collect();
        for ((file, cid), size) in wanted.into_iter().zip(store.sizes(&cids)?) {
            if size.is_some() {
                self.copied.present += 1;
                continue;
            }
            let data = match from.read(&file) {
                Ok(data) => data,
                Err(KuboError::Io { error, .. }) => {
                    self.refuse(&file, &format!("cannot be read: {error}"));
                    continue;
                }
                Err(error) => return Err(error),
            };
            self.bytes += data.len();
            // What its bytes mean is not written anywhere; where they are a node, its links are what
            // makes a DAG of it.
            let codec = match Node::decode(&data) {
                Ok(node) if !data.is_empty() && (!node.links.is_empty() || node.data.is_some()) => {
                    Codec::DagPb
                }
                _ => Codec::Raw,
            };
            let section = Section {
                cid: Cid::new_v1(codec.code(), *cid.hash()),
                data,
                offset: 0,
                data_offset: 0,
            };
            self.batch.push((file, section));
            if self.bytes >= BATCH_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), KuboError> {
        let (files, sections): (Vec<_>, Vec<_>) = self.batch.drain(..).unzip();
        self.bytes = 0;
        for (file, checked) in files.into_iter().zip(check(sections)) {
            match checked {
                Checked::Block(block) | Checked::Bytes { block, .. } => {
                    self.copied.blocks += 1;
                    self.copied.bytes += block.data().len() as u64;
                    self.output.put(block)?;
                }
                Checked::Unchecked(_) => self.refuse(&file, "its hash cannot be checked"),
                Checked::Wrong(error) => self.refuse(&file, &error.to_string()),
            }
        }
        Ok(())
    }

    fn refuse(&mut self, file: &str, why: &str) {
        self.copied.refused += 1;
        (self.refused)(file, why);
    }
}

/// The block that a key of the datastore names, as raw: a key has no codec.
fn block_of(key: &[u8]) -> Option<Cid> {
    let hash = match Key::from_bytes(key) {
        Some(_) => multihash::Multihash::from_bytes(key).ok()?,
        None => *cid::Cid::try_from(key).ok()?.hash(),
    };
    Some(Cid::new_v1(Codec::Raw.code(), hash))
}

#[cfg(test)]
mod tests;
