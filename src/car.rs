//! CAR files, versions 1 and 2 (ipld.io/specs/transport/car): a header with roots, then blocks one after
//! another, each behind its CID.
//!
//! ```text
//! v1 =  varint(header) header  { varint(section) cid block }*
//! header = dag-cbor { "roots": [cid*], "version": 1 }
//! v2 =  varint(10) dag-cbor { "version": 2 }  characteristics[16]
//!       data offset u64le  data size u64le  index offset u64le   ...  v1 at its offset  ...  index
//! ```
//!
//! Reading trusts nothing: every length is checked before anything is allocated, and no block is given
//! on before its hash is right ([`import()`]). An index is passed over: it says nothing that the
//! blocks do not. Writing makes version 1, which can be written in one pass.

pub mod cbor;
mod check;
mod entity;
pub mod export;
pub mod import;
mod read;
mod v2;
mod write;

use crate::block::MAX_BLOCK_SIZE;
use crate::cid::{Cid, MAX_CID_SIZE};

pub use check::{Checked, check};
pub use export::{ExportOptions, Exported, Scope, export};
pub use import::{ImportError, Imported, import};
pub use read::{Reader, Section};
pub use write::{header, section_head};

/// The largest header that we read: some 6,000 roots. Each of them costs a walk when it is pinned.
pub const MAX_HEADER_SIZE: u64 = 256 << 10;

/// The largest section that we read: a block and its CID.
pub const MAX_SECTION_SIZE: u64 = (MAX_BLOCK_SIZE + MAX_CID_SIZE) as u64;

/// Why a CAR file could not be read on. `at` is a place in the file, in bytes from its beginning.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CarError {
    /// The operating system refused.
    #[error("cannot read on at byte {at}: {error}")]
    Io {
        /// Where.
        at: u64,
        /// What it said.
        error: std::io::Error,
    },
    /// Not the first bytes of a CAR, or a header that is not what the specification says.
    #[error("no CAR file: {reason}")]
    Header {
        /// What is wrong.
        reason: String,
    },
    /// A version that we do not know.
    #[error("a CAR file of version {version}; 1 and 2 can be read")]
    Version {
        /// Its version.
        version: u64,
    },
    /// A header of version 2 whose numbers cannot be.
    #[error("a bad header of CAR version 2: {reason}")]
    V2 {
        /// What is wrong.
        reason: String,
    },
    /// It ends inside of something.
    #[error("cut off at byte {at}: {missing} more bytes should follow")]
    Truncated {
        /// Where it ends.
        at: u64,
        /// What is missing at least.
        missing: u64,
    },
    /// A length that is no varint, or is written in more bytes than it needs.
    #[error("a malformed length at byte {at}")]
    Varint {
        /// Where.
        at: u64,
    },
    /// A section larger than any block.
    #[error("a section of {size} bytes at byte {at}; at most {MAX_SECTION_SIZE} are allowed")]
    TooLarge {
        /// Where.
        at: u64,
        /// Its size in bytes.
        size: u64,
    },
    /// A section that runs out of the data that the header of version 2 announces.
    #[error("the section at byte {at} ends behind the end of the data at byte {end}")]
    Beyond {
        /// Where it begins.
        at: u64,
        /// Where the data end.
        end: u64,
    },
    /// A section of no bytes. Some programs pad files with them.
    #[error(
        "a section of no bytes at byte {at}: if the rest is padding, cut the file there and read it again"
    )]
    Empty {
        /// Where.
        at: u64,
    },
    /// A section that does not begin with a CID.
    #[error("no CID at byte {at}: {reason}")]
    Cid {
        /// Where.
        at: u64,
        /// What the parser said.
        reason: String,
    },
}

/// Reads a CID of any codec and hash from the beginning of `bytes`; gives it and its length.
fn any_cid(bytes: &[u8]) -> Result<(Cid, usize), String> {
    let mut rest = bytes;
    let cid = Cid::read_bytes(&mut rest).map_err(|error| error.to_string())?;
    let size = bytes.len() - rest.len();
    if size > MAX_CID_SIZE {
        return Err(format!("{size} bytes long, at most {MAX_CID_SIZE} allowed"));
    }
    Ok((cid, size))
}

#[cfg(test)]
mod tests;
