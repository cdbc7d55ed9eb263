//! [`Manifests`]: the inner nodes below others, and the answers that were made of them lately.
//!
//! All who download a content ask for the same pages, and so does whoever means ill: a page is made once
//! and its blocks are shared by all whom it is sent to.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use store::Cid;
use store::blockstore::{Blockstore, StoreError};
use store::cid::Codec;
use store::dag::Link;
use store::wire::{MAX_HEADER_SIZE, MAX_NODES, ManifestNode, Response, SMALL_CONTENT};

use super::answer::whole;
use super::hot::ByBytes;

/// Bytes of answers kept: the inner nodes of 160 GiB by leaves of 1 MiB.
const LIMIT: usize = 8 << 20;
/// A larger answer is not kept: it is no page of inner nodes, as sessions ask for them, but blocks by name.
const LARGEST: usize = 2 << 20;
/// An answer that what comes later would change is made anew when it is older than this.
const STALE: Duration = Duration::from_millis(250);
/// What a node takes in the header beside its CID and its bits: tags and lengths.
const NODE_OVERHEAD: usize = 16;
/// The header's bytes that nodes may take, with room for the one that passes it.
const NODES_SIZE: usize = MAX_HEADER_SIZE / 2;
/// Blocks of a content that is small, at most: the least useful ones have 40 bytes.
const SMALL_BLOCKS: usize = 2048;
const SMALL_STEP: usize = 32;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Manifests(Mutex<ByBytes<Question, Page>>);

/// What a Manifest asks for.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Question {
    roots: Box<[Cid]>,
    max_bytes: usize,
}

#[derive(Debug)]
struct Page {
    answer: Response,
    made: Instant,
    /// The store's count of removals before it was made.
    removals: u64,
    /// Whether blocks that come later leave it as it is.
    settled: bool,
}

impl Default for Manifests {
    fn default() -> Self {
        Self(Mutex::new(ByBytes::new(LIMIT)))
    }
}

impl Manifests {
    /// The inner nodes under `roots`, from the top down, up to `max_bytes` of blocks; the first comes in
    /// any case.
    ///
    /// # Errors
    /// When the store as a whole failed.
    pub(super) fn answer(
        &self,
        store: &dyn Blockstore,
        roots: &[Cid],
        max_bytes: usize,
        now: Instant,
    ) -> Result<Response, StoreError> {
        // Before it is looked at what there is: what is removed meanwhile is noticed the next time.
        let removals = store.removals();
        let question = Question {
            roots: roots.into(),
            max_bytes,
        };
        if let Some(page) = self.kept().get(&question)
            && page.removals == removals
            && (page.settled || now < page.made + STALE)
        {
            return Ok(page.answer.clone());
        }
        let (answer, settled) = walk(store, roots, max_bytes)?;
        if let Response::Manifest { nodes, .. } = &answer {
            let bytes = answer.payload_size()
                + size_of_val(&nodes[..])
                + size_of_val(roots)
                + size_of::<Page>();
            if bytes <= LARGEST {
                let page = Page {
                    answer: answer.clone(),
                    made: now,
                    removals,
                    settled,
                };
                self.kept().put(question, page, bytes);
            }
        }
        Ok(answer)
    }

    fn kept(&self) -> MutexGuard<'_, ByBytes<Question, Page>> {
        // Each change leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.kept().bytes()
    }
}

/// The inner nodes under `roots`, from the top down, up to `max_bytes` of blocks; the first comes in
/// any case. And whether blocks that come later leave the answer as it is.
fn walk(
    store: &dyn Blockstore,
    roots: &[Cid],
    max_bytes: usize,
) -> Result<(Response, bool), StoreError> {
    let mut queue: VecDeque<(Cid, bool)> = VecDeque::with_capacity(roots.len());
    let mut seen: HashSet<Cid> = HashSet::with_capacity(roots.len());
    let mut settled = true;
    for root in roots.iter().filter(|root| seen.insert(**root)) {
        let small = is_small(store, root)?;
        settled &= small.is_some();
        queue.push_back((*root, small == Some(true)));
    }
    let mut nodes: Vec<ManifestNode> = Vec::new();
    let (mut bytes, mut header) = (0, 0);
    while let Some((cid, with_leaves)) = queue.pop_front() {
        let Some(links) = whole(store.links(&cid))? else {
            settled = false;
            continue;
        };
        let Some(data) = whole(store.get(&cid))? else {
            settled = false;
            continue;
        };
        bytes += data.len();
        header += cid.encoded_len() + links.len() / 8 + NODE_OVERHEAD;
        let is_full = bytes > max_bytes || header > NODES_SIZE || nodes.len() == MAX_NODES;
        if is_full && !nodes.is_empty() {
            return Ok((Response::Manifest { nodes, more: true }, settled));
        }
        let mut is_leaf = Vec::with_capacity(links.len());
        for link in &links {
            let kind = kind_of(store, link)?;
            is_leaf.push(kind == Child::Leaf);
            settled &= kind != Child::Unknown;
            let wanted = kind == Child::Inner || with_leaves;
            if wanted && seen.insert(link.cid) {
                queue.push_back((link.cid, with_leaves));
            }
        }
        nodes.push(ManifestNode {
            cid,
            data,
            leaves: is_leaf.into_iter().collect(),
        });
    }
    if nodes.is_empty() {
        return Ok((Response::NotFound, false));
    }
    let answer = Response::Manifest { nodes, more: false };
    Ok((answer, settled))
}

/// Whether all blocks below `root` are here and come to no more than [`SMALL_CONTENT`], so that they all
/// come with it. `None`: not as far as can be told without a block that is not here.
fn is_small(store: &dyn Blockstore, root: &Cid) -> Result<Option<bool>, StoreError> {
    let mut left = SMALL_CONTENT;
    let mut seen = 0;
    let mut queue = vec![*root];
    while let Some(cid) = queue.pop() {
        let Some(links) = whole(store.links(&cid))? else {
            return Ok(None);
        };
        seen += links.len();
        if seen > SMALL_BLOCKS {
            return Ok(Some(false));
        }
        let children: Vec<Cid> = links.iter().map(|link| link.cid).collect();
        // Some at a time: a node of a large file is known by its first children.
        for children in children.chunks(SMALL_STEP) {
            for size in store.sizes(children)? {
                let Some(size) = size else {
                    return Ok(None);
                };
                let Some(rest) = left.checked_sub(size.into()) else {
                    return Ok(Some(false));
                };
                left = rest;
            }
        }
        let is_node = |cid: &Cid| cid.codec() != Codec::Raw.code();
        queue.extend(children.into_iter().filter(is_node));
    }
    Ok(Some(true))
}

/// What we know of a child.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Child {
    /// Raw: a leaf for everybody, not worth a mark.
    Raw,
    /// A dag-pb block without links, which we have.
    Leaf,
    /// A dag-pb block with links, which we have.
    Inner,
    /// A dag-pb block that we do not have.
    Unknown,
}

fn kind_of(store: &dyn Blockstore, link: &Link) -> Result<Child, StoreError> {
    if Codec::of(&link.cid)? == Codec::Raw {
        return Ok(Child::Raw);
    }
    Ok(match whole(store.links(&link.cid))? {
        None => Child::Unknown,
        Some(links) if links.is_empty() => Child::Leaf,
        Some(_) => Child::Inner,
    })
}
