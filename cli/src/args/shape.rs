//! The flags of `add` that shape CIDs, named as in Kubo.

use clap::Args;
use store_node::api::message;

/// What shapes the CIDs; all else leaves them as they are.
#[derive(Debug, Args)]
#[command(next_help_heading = "What shapes the CIDs")]
pub(crate) struct Shape {
    /// How files become CIDs: unixfs-v1-2025, or unixfs-v0-2015 for the CIDs of old
    #[arg(long, value_name = "NAME", default_value = "unixfs-v1-2025")]
    pub(crate) profile: String,
    /// Where files are cut: size-N, rabin, rabin-AVG, rabin-MIN-AVG-MAX or buzhash
    #[arg(short = 's', long, value_name = "HOW")]
    pub(crate) chunker: Option<String>,
    /// The hash: sha2-256, sha2-512, sha3-256, blake2b-256 or blake3
    #[arg(long, value_name = "NAME")]
    pub(crate) hash: Option<String>,
    /// CIDs of this version: 0 or 1; 1 has raw leaves unless told otherwise
    #[arg(long, value_name = "N")]
    pub(crate) cid_version: Option<u8>,
    /// Whether leaves are the bytes alone, without a node around them
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true")]
    pub(crate) raw_leaves: Option<bool>,
    /// Lay files out to be read from the start: trickle instead of balanced trees
    #[arg(short, long)]
    pub(crate) trickle: bool,
    /// Carry small blocks in their CIDs
    #[arg(long)]
    pub(crate) inline: bool,
    /// Carry blocks of at most this many bytes, up to 128
    #[arg(long, value_name = "N", requires = "inline", default_value_t = 32)]
    pub(crate) inline_limit: u32,
    /// The most links in a node of a file
    #[arg(long, value_name = "N")]
    pub(crate) max_file_links: Option<u32>,
    /// The most links in a directory; with more it is sharded
    #[arg(long, value_name = "N")]
    pub(crate) max_directory_links: Option<u32>,
    /// The most links in a shard of a directory: a power of two, from 8 to 1024
    #[arg(long, value_name = "N")]
    pub(crate) max_hamt_fanout: Option<u32>,
}

impl Shape {
    /// The same for whoever holds the repo. `described` says whether entries say permissions or times.
    pub(crate) fn message(&self, described: bool) -> message::Shape {
        message::Shape {
            profile: self.profile.clone(),
            chunker: self.chunker.clone(),
            hash: self.hash.clone(),
            cid_version: self.cid_version,
            raw_leaves: self.raw_leaves,
            trickle: self.trickle,
            inline: self.inline.then_some(self.inline_limit),
            max_file_links: self.max_file_links,
            max_directory_links: self.max_directory_links,
            max_hamt_fanout: self.max_hamt_fanout,
            described,
        }
    }
}
