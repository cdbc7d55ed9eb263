//! The answer to one request, from one store: a plain function.

use std::collections::{HashMap, HashSet, VecDeque};

use bytes::Bytes;
use store::Cid;
use store::blockstore::{Blockstore, StoreError};
use store::cid::Codec;
use store::dag::Link;
use store::wire::{Extent, Leaf, MAX_HEADER_SIZE, MAX_NODES, ManifestNode, Request, Response};

/// What a node takes in the header beside its CID and its bits: tags and lengths.
const NODE_OVERHEAD: usize = 16;
/// The header's bytes that nodes may take, with room for the one that passes it.
const NODES_SIZE: usize = MAX_HEADER_SIZE / 2;

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
        // Nothing is said of what others hold yet: who asks finds out by asking for it.
        Request::Have { .. } => Ok(Response::Have(Vec::new())),
        Request::Peers { .. } => Ok(Response::Peers(Vec::new())),
    }
}

/// The inner nodes under `roots`, from the top down, up to `max_bytes` of blocks; the first comes in
/// any case.
fn manifest(
    store: &dyn Blockstore,
    roots: &[Cid],
    max_bytes: usize,
) -> Result<Response, StoreError> {
    let mut queue: VecDeque<Cid> = roots.iter().copied().collect();
    let mut seen: HashSet<Cid> = queue.iter().copied().collect();
    let mut nodes: Vec<ManifestNode> = Vec::new();
    let (mut bytes, mut header) = (0, 0);
    while let Some(cid) = queue.pop_front() {
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
            if kind == Child::Inner && seen.insert(link.cid) {
                queue.push_back(link.cid);
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
fn whole<T>(found: Result<Option<T>, StoreError>) -> Result<Option<T>, StoreError> {
    match found {
        Err(StoreError::Corrupt { cid, reason }) => {
            tracing::warn!(%cid, reason, "a rotten block is not served");
            Ok(None)
        }
        other => other,
    }
}
