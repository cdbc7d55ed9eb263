//! UnixFS: files, directories and symlinks as a DAG (specs.ipfs.tech/unixfs).

pub mod data;
pub mod dir;
pub mod entry;
pub mod export;
pub mod hamt;
pub mod import;
pub mod layout;
pub mod links;
pub mod list;
pub mod name;
pub(crate) mod node;
pub mod origin;
pub mod output;
pub mod profile;
pub mod read;
pub mod source;

pub use entry::{Entry, Piece};
pub use name::Name;
