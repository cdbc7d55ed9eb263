//! Content for a decentralized store: bytes become verified blocks, blocks become a Merkle DAG with
//! the CIDs that IPFS gives, and the DAG stays on disk. Synchronous; knows no network.

#[cfg(feature = "rocksdb")]
pub mod adds;
pub mod audit;
#[cfg(feature = "rocksdb")]
pub mod backup;
pub mod block;
pub mod blockstore;
#[cfg(feature = "rocksdb")]
pub mod cached;
pub mod car;
pub mod chunk;
pub mod cid;
pub mod dag;
pub mod extract;
#[cfg(feature = "rocksdb")]
pub mod gc;
#[cfg(feature = "rocksdb")]
pub mod keep;
pub mod kubo;
#[cfg(feature = "rocksdb")]
pub mod pin;
pub mod proof;
#[cfg(feature = "rocksdb")]
pub mod records;
#[cfg(feature = "rocksdb")]
pub mod repo;
#[cfg(feature = "rocksdb")]
pub mod scrub;
pub mod segment;
pub mod unixfs;
pub mod wire;

pub use block::Block;
pub use cid::Cid;
