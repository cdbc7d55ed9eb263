//! The answer to one request, from one store: a plain function.

use std::collections::{HashMap, HashSet, VecDeque};

use bytes::Bytes;
use store::Cid;
use store::blockstore::{Blockstore, StoreError};
use store::cid::Codec;
use store::dag::Link;
use store::wire::{
    Extent, Leaf, MAX_HEADER_SIZE, MAX_NODES, ManifestNode, Request, Response, SMALL_CONTENT,
};

/// What a node takes in the header beside its CID and its bits: tags and lengths.
const NODE_OVERHEAD: usize = 16;
/// The header's bytes that nodes may take, with room for the one that passes it.
const NODES_SIZE: usize = MAX_HEADER_SIZE / 2;
/// Blocks of a content that is small, at most: the least useful ones have 40 bytes.
const SMALL_BLOCKS: usize = 2048;
const SMALL_STEP: usize = 32;

/// Answers `request`. A block that cannot be read counts as missing: another peer may have it whole.
///
/// # Errors
/// When the store as a whole failed.
pub(in crate::exchange) fn answer(
    store: &dyn Blockstore,
    request: &Request,
) -> Result<Response, StoreError> {
    match request {
        Request::Manifest { nodes, .. } => manifest(store, nodes, request.max_bytes()),
        Request::Get { extents, .. } => leaves(store, extents, request.max_bytes()),
        // `have` and `seekers` answer these.
        Request::Have { .. } | Request::Peers { .. } => Ok(Response::NotFound),
    }
}

/// The inner nodes under `roots`, from the top down, up to `max_bytes` of blocks; the first comes in
/// any case.
fn manifest(
    store: &dyn Blockstore,
    roots: &[Cid],
    max_bytes: usize,
) -> Result<Response, StoreError> {
    let mut queue: VecDeque<(Cid, bool)> = VecDeque::with_capacity(roots.len());
    for root in roots {
        queue.push_back((*root, is_small(store, root)?));
    }
    let mut seen: HashSet<Cid> = roots.iter().copied().collect();
    let mut nodes: Vec<ManifestNode> = Vec::new();
    let (mut bytes, mut header) = (0, 0);
    while let Some((cid, with_leaves)) = queue.pop_front() {
        let Some(links) = whole(store.links(&cid))? else {
            continue;
        };
        let Some(data) = block(store, &cid)? else {
            continue;
        };
        bytes += data.len();
        header += cid.encoded_len() + links.len() / 8 + NODE_OVERHEAD;
        let is_full = bytes > max_bytes || header > NODES_SIZE || nodes.len() == MAX_NODES;
        if is_full && !nodes.is_empty() {
            return Ok(Response::Manifest { nodes, more: true });
        }
        let mut is_leaf = Vec::with_capacity(links.len());
        for link in &links {
            let kind = kind_of(store, link)?;
            is_leaf.push(kind == Child::Leaf);
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
        return Ok(Response::NotFound);
    }
    Ok(Response::Manifest { nodes, more: false })
}

/// Whether all blocks below `root` are here and come to no more than [`SMALL_CONTENT`], so that they all
/// come with it.
fn is_small(store: &dyn Blockstore, root: &Cid) -> Result<bool, StoreError> {
    let mut left = SMALL_CONTENT;
    let mut seen = 0;
    let mut queue = vec![*root];
    while let Some(cid) = queue.pop() {
        let Some(links) = whole(store.links(&cid))? else {
            return Ok(false);
        };
        seen += links.len();
        if seen > SMALL_BLOCKS {
            return Ok(false);
        }
        let children: Vec<Cid> = links.iter().map(|link| link.cid).collect();
        // Some at a time: a node of a large file is known by its first children.
        for children in children.chunks(SMALL_STEP) {
            for size in store.sizes(children)? {
                let Some(rest) = size.and_then(|size| left.checked_sub(size.into())) else {
                    return Ok(false);
                };
                left = rest;
            }
        }
        let is_node = |cid: &Cid| cid.codec() != Codec::Raw.code();
        queue.extend(children.into_iter().filter(is_node));
    }
    Ok(true)
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

/// The children that the extents name, one entry for each, up to `max_bytes` of blocks; the first
/// comes in any case.
fn leaves(
    store: &dyn Blockstore,
    extents: &[Extent],
    max_bytes: usize,
) -> Result<Response, StoreError> {
    // Extents of one node mostly come together; what is kept is bounded by their number.
    let mut nodes: HashMap<Cid, Option<Vec<Link>>> = HashMap::new();
    let mut leaves = Vec::new();
    let mut bytes = 0;
    for extent in extents {
        let links = match nodes.entry(extent.node) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => {
                new.insert(whole(store.links(&extent.node))?)
            }
        };
        let links = links.as_deref().unwrap_or_default();
        for place in 0..extent.count {
            let place = u64::from(extent.first) + u64::from(place);
            let link = usize::try_from(place)
                .ok()
                .and_then(|place| links.get(place));
            leaves.push(match link {
                None => Leaf::NotFound,
                Some(link) => leaf(store, &link.cid, max_bytes, &mut bytes)?,
            });
        }
    }
    Ok(Response::Leaves(leaves))
}

/// One leaf, if the answer of `bytes` bytes so far has room for it.
fn leaf(
    store: &dyn Blockstore,
    cid: &Cid,
    max_bytes: usize,
    bytes: &mut usize,
) -> Result<Leaf, StoreError> {
    // The index knows sizes: what would not fit is not read. Once full, an answer stays full, so that
    // what comes is a prefix of what was asked for.
    if *bytes >= max_bytes {
        return Ok(Leaf::Cut);
    }
    let sizes = whole(store.sizes(std::slice::from_ref(cid)).map(Some))?;
    let Some(size) = sizes.and_then(|sizes| sizes.first().copied().flatten()) else {
        return Ok(Leaf::NotFound);
    };
    if *bytes > 0 && *bytes + size as usize > max_bytes {
        *bytes = max_bytes;
        return Ok(Leaf::Cut);
    }
    Ok(match block(store, cid)? {
        None => Leaf::NotFound,
        Some(data) => {
            *bytes += data.len();
            Leaf::Have(data)
        }
    })
}

fn block(store: &dyn Blockstore, cid: &Cid) -> Result<Option<Bytes>, StoreError> {
    whole(store.get(cid))
}

/// Takes a rotten block for a missing one (DESIGN §3).
pub(super) fn whole<T>(found: Result<Option<T>, StoreError>) -> Result<Option<T>, StoreError> {
    match found {
        Err(StoreError::Corrupt { cid, reason }) => {
            tracing::warn!(%cid, reason, "a rotten block is not served");
            Ok(None)
        }
        other => other,
    }
}
