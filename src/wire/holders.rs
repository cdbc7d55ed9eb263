//! Who holds what: the answers to Have and to Peers.

use bytes::Bytes;

use super::response::Bits;
use super::{
    MAX_ADDRESS_SIZE, MAX_HEADER_SIZE, MAX_HOLDER_ADDRESSES, MAX_HOLDERS, MAX_PAGES, WireError,
    at_most, proto,
};

/// Which children of one node the answerer holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Which node: its place in the question, from 0.
    pub node: u32,
    /// The page's version, to be named in the next question; never 0. It grows with each change and
    /// means nothing to anybody but the answerer.
    pub version: u64,
    /// Which children.
    pub held: Held,
}

/// Which children of a node are held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// Each of them.
    All,
    /// Those whose bits are set, in the order of the node's links.
    Some(Bits),
    /// None, or the node itself is not known.
    Nothing,
}

/// A peer that may have a content. What it says is hearsay: ids and addresses are checked by whoever
/// dials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The peer's id: the bytes of a multihash, at most [`MAX_ADDRESS_SIZE`] of them.
    pub peer: Bytes,
    /// Its addresses, as binary multiaddrs: at most [`MAX_HOLDER_ADDRESSES`], each of at most
    /// [`MAX_ADDRESS_SIZE`] bytes.
    pub addresses: Vec<Bytes>,
}

/// What all pages together may take.
pub(super) const PAGES: proto::Bound = proto::Bound {
    tag: 8,
    what: "pages",
    count: MAX_PAGES,
    bytes: MAX_HEADER_SIZE,
};

/// What all holders together may take: with each address its tag and length.
pub(super) const HOLDERS: proto::Bound = proto::Bound {
    tag: 9,
    what: "holders",
    count: MAX_HOLDERS,
    bytes: MAX_HOLDERS * ((MAX_HOLDER_ADDRESSES + 1) * (MAX_ADDRESS_SIZE + 3) + 3),
};

pub(super) fn pages_out(pages: Vec<Page>) -> Result<Vec<proto::Page>, WireError> {
    at_most("pages", pages.len(), MAX_PAGES)?;
    let page = |page: Page| {
        let (all, bits) = match page.held {
            Held::All => (true, Bytes::new()),
            Held::Some(bits) => (false, bits.as_bytes().clone()),
            Held::Nothing => (false, Bytes::new()),
        };
        proto::Page {
            node: page.node,
            version: page.version,
            all,
            bits,
        }
    };
    Ok(pages.into_iter().map(page).collect())
}

pub(super) fn pages_in(pages: Vec<proto::Page>) -> Result<Vec<Page>, WireError> {
    let page = |page: proto::Page| {
        at_most("place of a node", page.node as usize, MAX_PAGES - 1)?;
        let held = if page.all {
            Held::All
        } else if page.bits.is_empty() {
            Held::Nothing
        } else {
            Held::Some(Bits::of_bytes(page.bits))
        };
        Ok(Page {
            node: page.node,
            version: page.version,
            held,
        })
    };
    pages.into_iter().map(page).collect()
}

pub(super) fn holders_out(holders: Vec<Holder>) -> Result<Vec<proto::Holder>, WireError> {
    at_most("holders", holders.len(), MAX_HOLDERS)?;
    let holder = |holder: Holder| {
        check(&holder.peer, &holder.addresses)?;
        Ok(proto::Holder {
            peer: holder.peer,
            addresses: holder.addresses,
        })
    };
    holders.into_iter().map(holder).collect()
}

pub(super) fn holders_in(holders: Vec<proto::Holder>) -> Result<Vec<Holder>, WireError> {
    let holder = |holder: proto::Holder| {
        check(&holder.peer, &holder.addresses)?;
        Ok(Holder {
            peer: holder.peer,
            addresses: holder.addresses,
        })
    };
    holders.into_iter().map(holder).collect()
}

fn check(peer: &Bytes, addresses: &[Bytes]) -> Result<(), WireError> {
    if peer.is_empty() {
        return Err(WireError::Field("peer"));
    }
    at_most("addresses of a peer", addresses.len(), MAX_HOLDER_ADDRESSES)?;
    let mut sizes = addresses.iter().chain([peer]).map(Bytes::len);
    sizes.try_for_each(|size| at_most("bytes of an address", size, MAX_ADDRESS_SIZE))
}
