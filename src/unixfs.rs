//! UnixFS: files, directories and symlinks as a DAG (specs.ipfs.tech/unixfs).

pub mod data;
pub mod entry;
pub mod name;

pub use entry::{Entry, Piece};
pub use name::Name;
