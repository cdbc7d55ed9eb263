//! UnixFS: files, directories and symlinks as a DAG (specs.ipfs.tech/unixfs).

pub mod data;
pub mod entry;
pub mod export;
pub mod hamt;
pub mod list;
pub mod name;
pub(crate) mod node;
pub mod output;
pub mod read;

pub use entry::{Entry, Piece};
pub use name::Name;
