//! Messages of a `get` into a file: the client owns the file, and whoever holds the repo writes into it.
//!
//! ```text
//! Request::Land ->
//!               <- Event::Found
//!               <- Event::Land      for a large file; else its pieces, as for Request::Get
//! LandStep::Part, descriptor ->
//!               <- Event::Landed    when all is in it; or its pieces: then the file is not needed
//! LandStep::Named ->
//!               <- Event::Done
//! ```

use serde::{Deserialize, Serialize};
use store::Cid;
use store::unixfs::Name;
use store::unixfs::data::Metadata;

use super::{Content, text};

/// The whole of a content, for a client that can offer a file to write into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Land {
    /// Which content.
    pub content: Content,
    /// Keep it: it is stored and pinned, and comes as pieces.
    pub pin: bool,
}

/// A file is wanted to write a content into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LandFile {
    /// The root of the file, which the name of its beginning should tell.
    #[serde(with = "text")]
    pub cid: Cid,
    /// Its size in bytes.
    pub size: u64,
    /// What its root says of it, for when it is complete.
    pub metadata: Metadata,
}

/// What the client does about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LandStep {
    /// The file, open for reading and writing: its descriptor comes with this frame.
    Part {
        /// Its absolute path.
        path: Name,
        /// The absolute path that it will have.
        target: Name,
        /// Whether it was made for this: else it may have bytes of the content already.
        is_new: bool,
    },
    /// It has its name.
    Named,
}
