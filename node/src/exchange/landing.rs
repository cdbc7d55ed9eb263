//! [`Landing`]: a download into the file that is asked for, instead of into the store.
//!
//! Verified raw leaves are written at their offsets and referred to; nodes are stored. Offsets become
//! known from the root downwards, as nodes come; a leaf whose offset is not known, or that is in the
//! file more than once, is stored or written when the rest is there ([`Landing::fill`]).
//!
//! Invariants: only bytes of blocks are written. [`Landing::fill`] ends well only if each byte of the
//! file was written, or read and verified, by this landing.

mod paper;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use store::Cid;
use store::block::Block;
use store::blockstore::{Blockstore, FileId, StoreError, Write};
use store::cid::{self, Codec};
use store::dag::{BlockSource, DagError, SourceError, fetch};
use store::unixfs::read::{FileNode, MAX_DEPTH, check_claim};

use self::paper::Paper;

/// Leaves whose offsets are remembered at most, about 150 bytes each: 1 TiB in leaves of 1 MiB. What is
/// beyond is stored first and copied at the end.
const LEAVES_MAX: usize = 1 << 20;
/// Nodes and leaves that wait for their turn when gaps are filled.
const PENDING_MAX: usize = 1 << 18;
/// Blocks that are read and verified together.
const TOGETHER: usize = 16;

/// Where the leaves of one download go.
#[derive(Debug, Default)]
pub struct Landing {
    state: Mutex<State>,
    decided: Condvar,
}

#[derive(Debug, Default)]
enum State {
    /// Nobody knows yet what the content is.
    #[default]
    Undecided,
    /// Into the store, as ever.
    Declined,
    /// Into a file.
    Open(Box<Output>),
}

/// The file, and what is known of it.
#[derive(Debug)]
struct Output {
    file: Arc<Paper>,
    id: FileId,
    /// It may have bytes of the content from an earlier run.
    resumes: bool,
    /// Nodes that are still to come, each with its place.
    nodes: HashMap<Cid, Place>,
    /// Leaves that are still to come, and where they begin.
    leaves: HashMap<Cid, u64>,
    /// Where there are leaves that were written or verified.
    landed: HashSet<u64>,
    /// Nodes whose children are known.
    expanded: HashSet<Cid>,
}

/// A part of the file.
#[derive(Clone, Copy, Debug)]
struct Place {
    start: u64,
    /// Bytes, as the parent claims.
    size: u64,
    depth: usize,
}

/// Declines when it is dropped, unless something was decided before: nobody waits for ever.
#[derive(Debug)]
pub struct Undecided(Arc<Landing>);

impl Drop for Undecided {
    fn drop(&mut self) {
        self.0.decline();
    }
}

impl Landing {
    /// A guard that declines.
    #[must_use]
    pub fn declines_when_dropped(self: &Arc<Self>) -> Undecided {
        Undecided(Arc::clone(self))
    }

    /// Leaves go to the store.
    pub fn decline(&self) {
        let mut state = self.lock();
        if matches!(*state, State::Undecided) {
            *state = State::Declined;
        }
        self.decided.notify_all();
    }

    /// Leaves below `root` go to `file`, which the store knows by `id`. With `resumes`, what is in it
    /// already is verified and taken.
    ///
    /// # Errors
    /// Where the root is no file, or the store fails.
    pub fn open(
        &self,
        store: &dyn Blockstore,
        file: Arc<File>,
        id: FileId,
        root: &Block,
        resumes: bool,
    ) -> Result<(), SourceError> {
        let size = FileNode::decode(root)?.size;
        let mut output = Output {
            file: Arc::new(Paper::new(file, size)),
            id,
            resumes,
            nodes: HashMap::new(),
            leaves: HashMap::new(),
            landed: HashSet::new(),
            expanded: HashSet::new(),
        };
        let place = Place {
            start: 0,
            size,
            depth: 0,
        };
        output.expand(store, root, place)?;
        *self.lock() = State::Open(Box::new(output));
        self.decided.notify_all();
        Ok(())
    }

    /// Waits until it is decided where leaves go.
    pub(super) fn wait_for_decision(&self) {
        let mut state = self.lock();
        while matches!(*state, State::Undecided) {
            state = self
                .decided
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes verified blocks: leaves with a place into the file, all others into `store`. Whether
    /// there is a file.
    pub(super) fn put(&self, store: &dyn Blockstore, blocks: &[Block]) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let State::Open(output) = &mut *state else {
            drop(state);
            store.put_many(blocks, Write::Bulk)?;
            return Ok(false);
        };
        let (mut leaves, mut others) = (Vec::new(), Vec::new());
        for block in blocks {
            match output.leaves.remove(block.cid()) {
                Some(offset) => {
                    output.write(block.data(), offset)?;
                    leaves.push((block.clone(), offset));
                }
                // It came twice, from two peers.
                None if is_raw(block.cid()) && store.has(block.cid())? => {}
                None => others.push(block.clone()),
            }
        }
        store.put_referenced(output.id, &leaves, Write::Bulk)?;
        output
            .landed
            .extend(leaves.iter().map(|(_, offset)| *offset));
        store.put_many(&others, Write::Bulk)?;
        for block in &others {
            let Some(place) = output.nodes.remove(block.cid()) else {
                continue;
            };
            output.expand(store, block, place)?;
        }
        Ok(true)
    }

    /// Makes what was written durable.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        let file = match &*self.lock() {
            State::Open(output) => Arc::clone(&output.file),
            _ => return Ok(()),
        };
        file.sync().map_err(|error| unwritable(&error))
    }

    /// Writes all that is not in the file yet, from `source`, and gives the file its length. To be
    /// called when the download is over.
    ///
    /// # Errors
    /// Where `source` fails, the nodes contradict each other, or the file cannot be written.
    pub fn fill(&self, source: &dyn BlockSource, root: &Block) -> Result<(), SourceError> {
        let (file, landed) = match &mut *self.lock() {
            State::Open(output) => (Arc::clone(&output.file), std::mem::take(&mut output.landed)),
            _ => return Ok(()),
        };
        let mut filler = Filler {
            source,
            file: &file,
            landed,
            pending: Vec::new(),
            leaves: Vec::new(),
        };
        let size = filler.run(root)?;
        file.set_len(size).map_err(|error| unwritable(&error))?;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Output {
    fn write(&self, bytes: &[u8], offset: u64) -> Result<(), StoreError> {
        self.file
            .write_all_at(bytes, offset)
            .map_err(|error| unwritable(&error))
    }

    /// Finds the places of all that is below a node, as far as its nodes are here.
    fn expand(
        &mut self,
        store: &dyn Blockstore,
        root: &Block,
        place: Place,
    ) -> Result<(), StoreError> {
        let mut nodes = vec![(root.clone(), place)];
        while let Some((block, place)) = nodes.pop() {
            if !self.expanded.insert(*block.cid()) {
                continue;
            }
            let node = FileNode::decode(&block)?;
            check_claim(block.cid(), node.size, place.size)?;
            if place.depth > MAX_DEPTH {
                return Err(DagError::TooDeep {
                    cid: *block.cid(),
                    limit: MAX_DEPTH,
                }
                .into());
            }
            let mut leaves = Vec::new();
            let mut start = place.start + node.data.len() as u64;
            for (cid, size) in node.children {
                let child = Place {
                    start,
                    size,
                    depth: place.depth + 1,
                };
                start += size;
                if size == 0 || cid::identity_data(&cid).is_some() {
                    continue;
                }
                if is_raw(&cid) {
                    leaves.push((cid, child));
                    continue;
                }
                match here(store, &cid)? {
                    Some(block) => nodes.push((block, child)),
                    None => drop(self.nodes.insert(cid, child)),
                }
            }
            for some in leaves.chunks(TOGETHER) {
                self.expect(store, some)?;
            }
        }
        Ok(())
    }

    /// Notes where leaves belong, and takes those that are there.
    fn expect(
        &mut self,
        store: &dyn Blockstore,
        leaves: &[(Cid, Place)],
    ) -> Result<(), StoreError> {
        let there = if self.resumes {
            self.verify(leaves)
        } else {
            Vec::new()
        };
        store.put_referenced(self.id, &there, Write::Bulk)?;
        self.landed.extend(there.iter().map(|(_, offset)| *offset));
        for (cid, place) in leaves {
            if self.landed.contains(&place.start) {
                continue;
            }
            // An index that still says that they are in this file is set right by a read.
            if self.resumes && store.has(cid)? {
                here(store, cid)?;
            }
            if self.leaves.len() < LEAVES_MAX {
                self.leaves.entry(*cid).or_insert(place.start);
            }
        }
        Ok(())
    }

    /// The leaves that are at their places.
    fn verify(&self, leaves: &[(Cid, Place)]) -> Vec<(Block, u64)> {
        let mut items = Vec::with_capacity(leaves.len());
        let mut offsets = Vec::with_capacity(leaves.len());
        for (cid, place) in leaves {
            let Some(size) = usize::try_from(place.size)
                .ok()
                .filter(|&size| size <= store::block::MAX_BLOCK_SIZE)
            else {
                continue;
            };
            let mut bytes = vec![0; size];
            // What is not there, or cannot be read, is fetched.
            if self.file.read_exact_at(&mut bytes, place.start).is_ok() {
                items.push((*cid, Bytes::from(bytes)));
                offsets.push(place.start);
            }
        }
        let verified = Block::verify_many(items).into_iter().zip(offsets);
        verified
            .filter_map(|(block, offset)| Some((block.ok()?, offset)))
            .collect()
    }
}

/// Goes through a file and writes what is missing.
struct Filler<'a> {
    source: &'a dyn BlockSource,
    file: &'a Paper,
    landed: HashSet<u64>,
    pending: Vec<(Cid, Place)>,
    /// Leaves that are to be written.
    leaves: Vec<(Cid, Place)>,
}

impl Filler<'_> {
    /// The file's size.
    fn run(&mut self, root: &Block) -> Result<u64, SourceError> {
        let node = FileNode::decode(root)?;
        let size = node.size;
        let whole = Place {
            start: 0,
            size,
            depth: 0,
        };
        self.node(root.cid(), node, whole)?;
        while let Some((cid, place)) = self.pending.pop() {
            if Codec::of(&cid).map_err(DagError::from)? == Codec::Raw {
                if !self.landed.contains(&place.start) {
                    self.leaves.push((cid, place));
                    if self.leaves.len() == TOGETHER {
                        self.write()?;
                    }
                }
                continue;
            }
            let block = fetch(self.source, &[cid])?.remove(0);
            let node = FileNode::decode(&block)?;
            self.node(&cid, node, place)?;
        }
        self.write()?;
        Ok(size)
    }

    fn node(&mut self, cid: &Cid, node: FileNode, place: Place) -> Result<(), SourceError> {
        check_claim(cid, node.size, place.size)?;
        if place.depth > MAX_DEPTH {
            let limit = MAX_DEPTH;
            return Err(DagError::TooDeep { cid: *cid, limit }.into());
        }
        let data = self.file.write_all_at(&node.data, place.start);
        data.map_err(|error| unwritable(&error))?;
        let first = self.pending.len();
        let mut start = place.start + node.data.len() as u64;
        for (cid, size) in node.children {
            if size > 0 {
                let depth = place.depth + 1;
                self.pending.push((cid, Place { start, size, depth }));
            }
            start += size;
        }
        self.pending[first..].reverse();
        if self.pending.len() > PENDING_MAX {
            let reason = format!("more than {PENDING_MAX} parts of one file wait for their turn");
            return Err(DagError::Inconsistent { cid: *cid, reason }.into());
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), SourceError> {
        let leaves = std::mem::take(&mut self.leaves);
        let cids: Vec<Cid> = leaves.iter().map(|(cid, _)| *cid).collect();
        for ((cid, place), block) in leaves.into_iter().zip(fetch(self.source, &cids)?) {
            check_claim(&cid, block.data().len() as u64, place.size)?;
            let written = self.file.write_all_at(block.data(), place.start);
            written.map_err(|error| unwritable(&error))?;
        }
        Ok(())
    }
}

fn is_raw(cid: &Cid) -> bool {
    Codec::of(cid) == Ok(Codec::Raw)
}

/// A block that is here and right; a rotten one counts as missing.
pub(crate) fn here(store: &dyn Blockstore, cid: &Cid) -> Result<Option<Block>, StoreError> {
    match store.get(cid) {
        Ok(data) => Ok(data.and_then(|data| Block::verify(*cid, data).ok())),
        Err(StoreError::Corrupt { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The file cannot be written.
fn unwritable(error: &io::Error) -> StoreError {
    let reason = format!("the output file cannot be written: {error}");
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full { reason },
        _ => StoreError::Reference { reason },
    }
}
