//! UnixFS: files, directories and symlinks as a DAG (specs.ipfs.tech/unixfs).

pub mod data;
pub mod entry;
pub mod hamt;
pub mod name;
pub mod output;

pub use entry::{Entry, Piece};
pub use name::Name;
