//! [`Data`]: the UnixFS message that a dag-pb node carries in its data (specs.ipfs.tech/unixfs).
//!
//! Decoding refuses what cannot be understood: malformed protobuf, a missing or unknown kind. It does
//! not judge whether the fields fit the node's links: readers do, for they know both. Encoding writes
//! exactly what Kubo writes, because each byte counts for the CID: fields in the order of their
//! numbers, `blocksizes` unpacked.
//!
//! ```text
//! 1 Type  2 Data  3 filesize  4 blocksizes*  5 hashType  6 fanout  7 mode  8 mtime{1 s, 2 ns}
//! ```

mod metadata;

use bytes::Bytes;
use prost::Message;

pub use metadata::{Metadata, Mtime};

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Bytes of a file, in the oldest DAGs; read like [`Kind::File`].
    Raw,
    /// A directory whose links are its entries.
    Directory,
    /// A file or a part of one.
    File,
    /// Metadata about another node, which nobody writes.
    Metadata,
    /// A symbolic link; its data is the target.
    Symlink,
    /// A part of a directory that is spread over many nodes by the hash of the names.
    HamtShard,
}

impl Kind {
    /// What it is, for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw | Self::File => "a file",
            Self::Directory => "a directory",
            Self::Metadata => "UnixFS metadata",
            Self::Symlink => "a symlink",
            Self::HamtShard => "a sharded directory",
        }
    }

    const fn code(self) -> i32 {
        match self {
            Self::Raw => 0,
            Self::Directory => 1,
            Self::File => 2,
            Self::Metadata => 3,
            Self::Symlink => 4,
            Self::HamtShard => 5,
        }
    }

    const fn of_code(code: i32) -> Option<Self> {
        Some(match code {
            0 => Self::Raw,
            1 => Self::Directory,
            2 => Self::File,
            3 => Self::Metadata,
            4 => Self::Symlink,
            5 => Self::HamtShard,
            _ => return None,
        })
    }
}

/// A decoded message. `None` means that the field is not there, which is not the same bytes as zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// What the node is.
    pub kind: Kind,
    /// Bytes of a file, the target of a symlink, the bitfield of a shard.
    pub data: Option<Bytes>,
    /// Bytes of the file below this node, its own data included.
    pub filesize: Option<u64>,
    /// For each link of a file's node, the bytes of the file below it.
    pub blocksizes: Vec<u64>,
    /// Hash of the names in a shard, as a multicodec code.
    pub hash_type: Option<u64>,
    /// Children that a shard can have.
    pub fanout: Option<u64>,
    /// Unix permissions.
    pub mode: Option<u32>,
    /// Time of last change.
    pub mtime: Option<Mtime>,
}

/// Why bytes are not a UnixFS message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A dag-pb node without data, which UnixFS does not have.
    #[error("no UnixFS data")]
    Missing,
    /// Malformed protobuf.
    #[error("malformed protobuf: {0}")]
    Malformed(String),
    /// The message does not say what the node is.
    #[error("no kind")]
    NoKind,
    /// A kind that is not in the specification.
    #[error("unknown kind {code}")]
    Kind {
        /// What it says.
        code: i32,
    },
    /// Nanoseconds of a whole second or more.
    #[error("{nanos} nanoseconds in a modification time")]
    Nanos {
        /// What it says.
        nanos: u32,
    },
}

impl Data {
    /// Decodes a message from exactly `bytes`. `data` is a slice of them, not a copy; all else takes
    /// memory in proportion to `bytes`, which are part of a block and so bounded.
    ///
    /// Unknown fields are passed over, as protobuf wants it.
    pub fn decode(bytes: &Bytes) -> Result<Self, DataError> {
        let raw = Raw::decode(bytes.clone()).map_err(|e| DataError::Malformed(e.to_string()))?;
        let code = raw.kind.ok_or(DataError::NoKind)?;
        let kind = Kind::of_code(code).ok_or(DataError::Kind { code })?;
        let mtime = raw.mtime.map(RawMtime::check).transpose()?;
        Ok(Self {
            kind,
            data: raw.data,
            filesize: raw.filesize,
            blocksizes: raw.blocksizes,
            hash_type: raw.hash_type,
            fanout: raw.fanout,
            mode: raw.mode,
            mtime,
        })
    }

    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let raw = Raw {
            kind: Some(self.kind.code()),
            data: self.data.clone(),
            filesize: self.filesize,
            blocksizes: self.blocksizes.clone(),
            hash_type: self.hash_type,
            fanout: self.fanout,
            mode: self.mode,
            mtime: self.mtime.map(|t| RawMtime {
                seconds: Some(t.seconds),
                nanos: t.nanos,
            }),
        };
        raw.encode_to_vec().into()
    }

    /// A message of this kind, and nothing else.
    #[must_use]
    pub const fn new(kind: Kind) -> Self {
        Self {
            kind,
            data: None,
            filesize: None,
            blocksizes: Vec::new(),
            hash_type: None,
            fanout: None,
            mode: None,
            mtime: None,
        }
    }

    /// A leaf of a file that is a dag-pb node, [`Kind::File`] or [`Kind::Raw`]. Kubo writes the size of
    /// an empty one, but not its data.
    #[must_use]
    pub fn leaf(kind: Kind, data: Bytes) -> Self {
        let filesize = Some(data.len() as u64);
        Self {
            data: (!data.is_empty()).then_some(data),
            filesize,
            ..Self::new(kind)
        }
    }

    /// An inner node of a file, whose links hold `blocksizes` bytes of it.
    #[must_use]
    pub fn file(blocksizes: Vec<u64>) -> Self {
        let filesize = Some(blocksizes.iter().sum());
        Self {
            filesize,
            blocksizes,
            ..Self::new(Kind::File)
        }
    }

    /// A symbolic link; Kubo writes no size.
    #[must_use]
    pub fn symlink(target: Bytes) -> Self {
        Self {
            data: Some(target),
            ..Self::new(Kind::Symlink)
        }
    }

    /// The same with this metadata, in place of what it had.
    #[must_use]
    pub const fn with(mut self, metadata: Metadata) -> Self {
        (self.mode, self.mtime) = (metadata.mode, metadata.mtime);
        self
    }

    /// Permissions and time of last change, where it has them.
    #[must_use]
    pub const fn metadata(&self) -> Metadata {
        Metadata {
            mode: self.mode,
            mtime: self.mtime,
        }
    }

    /// Where a symbolic link points; empty for every other kind of node.
    #[must_use]
    pub fn target(&self) -> Bytes {
        match self.kind {
            Kind::Symlink => self.data.clone().unwrap_or_default(),
            _ => Bytes::new(),
        }
    }
}

/// The message as protobuf has it. `kind` is optional here so that a missing one can be told from 0.
#[derive(Clone, PartialEq, Message)]
struct Raw {
    #[prost(int32, optional, tag = "1")]
    kind: Option<i32>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    data: Option<Bytes>,
    #[prost(uint64, optional, tag = "3")]
    filesize: Option<u64>,
    #[prost(uint64, repeated, packed = "false", tag = "4")]
    blocksizes: Vec<u64>,
    #[prost(uint64, optional, tag = "5")]
    hash_type: Option<u64>,
    #[prost(uint64, optional, tag = "6")]
    fanout: Option<u64>,
    #[prost(uint32, optional, tag = "7")]
    mode: Option<u32>,
    #[prost(message, optional, tag = "8")]
    mtime: Option<RawMtime>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct RawMtime {
    #[prost(int64, optional, tag = "1")]
    seconds: Option<i64>,
    #[prost(fixed32, optional, tag = "2")]
    nanos: Option<u32>,
}

impl RawMtime {
    fn check(self) -> Result<Mtime, DataError> {
        let seconds = self
            .seconds
            .ok_or_else(|| DataError::Malformed("a time without seconds".into()))?;
        match self.nanos {
            Some(nanos) if nanos >= 1_000_000_000 => Err(DataError::Nanos { nanos }),
            nanos => Ok(Mtime { seconds, nanos }),
        }
    }
}

#[cfg(test)]
mod tests;
