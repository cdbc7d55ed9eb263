//! [`import`]: the blocks of a CAR file go into a store.
//!
//! ```text
//! reader (the caller's thread)    check workers             writer
//! sections -> batches ----------> hash, sixteen at once --> order -> put
//!             ^                                               |
//!             '--------------- permits, one a batch <---------'
//! ```
//!
//! The shape is that of [`crate::unixfs::import::import`]: checking takes all cores, a slow disk makes the reader
//! wait. What came before an error is put; the error says where in the file that is.

use std::collections::BTreeMap;
use std::io::Read;
use std::thread;

use crossbeam_channel::{self as channel, Receiver, Sender};

use super::check::{Checked, check};
use super::{CarError, Reader, Section};
use crate::block::BlockError;
use crate::blockstore::{Blockstore, StoreError};
use crate::cid::{self, Cid};
use crate::unixfs::output::{Output, WRITE_BATCH};

/// Sections in a batch at most: enough of the smallest ones for the threads' talk not to count.
const BATCH_SECTIONS: usize = 1024;

/// Bytes in a batch, where there is memory for it: sixteen of the usual leaves.
const BATCH_BYTES: usize = 16 << 20;

/// CIDs that could not be checked are named up to this many.
const NAMED: usize = 16;

/// What has been read of a CAR file, and put.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Version of the file.
    pub version: u64,
    /// The roots in its header.
    pub roots: Vec<Cid>,
    /// Blocks that are in the store now; repeated ones count each time.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those of them whose codec we cannot read: kept as bytes.
    pub unreadable: u64,
    /// Blocks that were passed over, because we cannot compute their hash.
    pub unchecked: u64,
    /// The first of these.
    pub unchecked_cids: Vec<Cid>,
    /// Where the file has been read to, in bytes: behind the last block that counts.
    pub at: u64,
    /// The last block that was put.
    pub last: Option<Cid>,
}

/// Why a file could not be imported to its end. What [`Imported`] counts is in the store all the same.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file.
    #[error(transparent)]
    Car(#[from] CarError),
    /// A block whose bytes are others than its CID names.
    #[error("the block at byte {at} is corrupt: {error}")]
    Block {
        /// Where its section begins.
        at: u64,
        /// What the check said.
        error: BlockError,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Sections on their way; checked ones have come from the workers.
struct Batch<T> {
    number: u64,
    parts: Vec<T>,
}

/// Where a section is in the file.
#[derive(Clone, Copy)]
struct Place {
    begins: u64,
    ends: u64,
}

/// Puts every block of `file` whose hash is right into `store`, with some `memory` bytes in flight, until
/// the first one whose is not. Always says how far it came. It neither commits nor pins.
///
/// `progress` is told the bytes of the file that have been dealt with, from one thread.
pub fn import<R: Read>(
    store: &dyn Blockstore,
    file: R,
    memory: usize,
    progress: &(dyn Fn(u64) + Sync),
) -> (Imported, Result<(), ImportError>) {
    let mut reader = match Reader::open(file) {
        Ok(reader) => reader,
        Err(error) => return (Imported::default(), Err(error.into())),
    };
    let begun = Imported {
        version: reader.version(),
        at: reader.at(),
        ..Imported::default()
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let memory = memory.saturating_sub(WRITE_BATCH);
    let batch_bytes = (memory / (workers + 2)).clamp(1, BATCH_BYTES);
    // One for each worker, one that is read, one that is written; twice as many where there is memory.
    let batches = (memory / batch_bytes).clamp(2, 2 * (workers + 2));
    // Every channel has room for all batches that have a permit: only permits are waited for.
    let (permit, permits) = channel::bounded(batches);
    let (read, to_check) = channel::bounded::<Batch<Section>>(batches);
    let (checked, to_put) = channel::bounded(batches);
    for () in std::iter::repeat_n((), batches) {
        permit
            .send(())
            .expect("the receiver is here, and there is room");
    }
    thread::scope(|scope| {
        for _ in 0..workers {
            let (to_check, checked) = (to_check.clone(), checked.clone());
            scope.spawn(move || work(&to_check, &checked));
        }
        // Whoever is left alone ends: each end of a channel belongs to its threads only.
        drop((to_check, checked));
        let writer = Writer {
            output: Output::new(Some(store)),
            imported: begun.clone(),
            pending: begun,
            progress,
        };
        let writer = scope.spawn(move || writer.run(&to_put, &permit));
        let result = feed(&mut reader, batch_bytes, &permits, &read);
        drop(read);
        let (mut imported, put) = writer
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        imported.roots = reader.roots().to_vec();
        // What stopped the writer comes before what the reader saw.
        (imported, put.and(result.map_err(ImportError::from)))
    })
}

/// Reads the file to its end; stops early where nobody takes more.
fn feed<R: Read>(
    reader: &mut Reader<R>,
    batch_bytes: usize,
    permits: &Receiver<()>,
    batches: &Sender<Batch<Section>>,
) -> Result<(), CarError> {
    for number in 0.. {
        if permits.recv().is_err() {
            return Ok(());
        }
        let mut parts = Vec::new();
        let mut bytes = 0;
        let mut ended = None;
        while parts.len() < BATCH_SECTIONS && bytes < batch_bytes {
            match reader.next() {
                Ok(Some(section)) => {
                    bytes += section.data.len();
                    parts.push(section);
                }
                Ok(None) => {
                    ended = Some(Ok(()));
                    break;
                }
                Err(error) => {
                    ended = Some(Err(error));
                    break;
                }
            }
        }
        // What came before an error counts.
        if batches.send(Batch { number, parts }).is_err() {
            return Ok(());
        }
        if let Some(result) = ended {
            return result;
        }
    }
    Ok(())
}

fn work(batches: &Receiver<Batch<Section>>, done: &Sender<Batch<(Place, Checked)>>) {
    for Batch { number, parts } in batches {
        let place = |section: &Section| Place {
            begins: section.offset,
            ends: section.data_offset + section.data.len() as u64,
        };
        let places: Vec<Place> = parts.iter().map(place).collect();
        let parts = places.into_iter().zip(check(parts)).collect();
        if done.send(Batch { number, parts }).is_err() {
            return;
        }
    }
}

/// Puts blocks in the order of the file, so that it can be said what is there.
struct Writer<'a> {
    output: Output<'a>,
    /// What is in the store; its roots are filled in at the end.
    imported: Imported,
    /// The same with what the output may still hold.
    pending: Imported,
    progress: &'a (dyn Fn(u64) + Sync),
}

impl Writer<'_> {
    /// Until the end or the first error; then nobody gets a permit any more.
    fn run(
        mut self,
        batches: &Receiver<Batch<(Place, Checked)>>,
        permit: &Sender<()>,
    ) -> (Imported, Result<(), ImportError>) {
        let mut early = BTreeMap::new();
        let mut next = 0;
        for Batch { number, parts } in batches {
            early.insert(number, parts);
            while let Some(parts) = early.remove(&next) {
                if let Err(error) = self.batch(parts) {
                    return (self.imported, Err(error));
                }
                next += 1;
                // Nobody waits for it at the end.
                let _ = permit.send(());
            }
        }
        (self.imported, Ok(()))
    }

    /// What is wrong ends it, after what stands before it has been put.
    fn batch(&mut self, parts: Vec<(Place, Checked)>) -> Result<(), ImportError> {
        let mut result = Ok(());
        for (place, checked) in parts {
            result = self.put(place, checked);
            if result.is_err() {
                break;
            }
            self.pending.at = place.ends;
        }
        if !matches!(result, Err(ImportError::Store(_))) {
            self.output.finish()?;
            self.imported = self.pending.clone();
            (self.progress)(self.imported.at);
        }
        result
    }

    fn put(&mut self, place: Place, checked: Checked) -> Result<(), ImportError> {
        let pending = &mut self.pending;
        let (cid, block) = match checked {
            Checked::Block(block) => (*block.cid(), block),
            Checked::Bytes { cid, block } => {
                pending.unreadable += 1;
                (cid, block)
            }
            Checked::Unchecked(cid) => {
                pending.unchecked += 1;
                if pending.unchecked_cids.len() < NAMED {
                    pending.unchecked_cids.push(cid);
                }
                return Ok(());
            }
            Checked::Wrong(error) => {
                let at = place.begins;
                return Err(ImportError::Block { at, error });
            }
        };
        pending.blocks += 1;
        pending.bytes += block.data().len() as u64;
        pending.last = Some(cid);
        // What a CID carries is not stored beside it.
        if cid::identity_data(&cid).is_none() {
            self.output.put(block)?;
        }
        Ok(())
    }
}
