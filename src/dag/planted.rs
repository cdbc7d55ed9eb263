//! Small DAGs in a store in memory, for tests.

use bytes::Bytes;

use super::Link;
use super::pb::Node;
use crate::block::Block;
use crate::blockstore::{Blockstore, MemoryStore, Write};
use crate::cid::{Cid, Codec, Form};

/// Puts a block into the store.
pub(crate) fn put(store: &MemoryStore, form: Form, codec: Codec, data: impl Into<Bytes>) -> Cid {
    let block = Block::hash(form, codec, data.into()).unwrap();
    let cid = *block.cid();
    store.put_many(&[block], Write::Logged).unwrap();
    cid
}

/// Puts a leaf.
pub(crate) fn raw(store: &MemoryStore, data: impl AsRef<[u8]>) -> Cid {
    put(store, Form::V1, Codec::Raw, data.as_ref().to_vec())
}

/// Puts a node that is nothing but links without names.
pub(crate) fn node(store: &MemoryStore, children: &[Cid]) -> Cid {
    let link = |cid: &Cid| Link {
        cid: *cid,
        name: "".into(),
        tsize: 1,
    };
    let links = children.iter().map(link).collect();
    let node = Node { links, data: None };
    put(store, Form::V1, Codec::DagPb, node.encode())
}
