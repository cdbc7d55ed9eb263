//! [`Target`]: a CID and a path inside of it, as people write them, and what they lead to.

use std::fmt;
use std::str::FromStr;

use super::{BlockSource, DagError, SourceError, fetch_one};
use crate::block::Block;
use crate::cid::{self, Cid, CidError};
use crate::unixfs::Name;
use crate::unixfs::data::Kind;
use crate::unixfs::hamt::{Child, Place, Shard};
use crate::unixfs::node::Node;

/// `CID/path/in/dir`, also behind `/ipfs/` or `ipfs://`.
///
/// Empty segments are ignored, so that `CID/` is `CID`. `%XX` is an escape behind `ipfs://` only:
/// elsewhere names stand as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where the path begins.
    pub cid: Cid,
    /// The names to follow, from the outermost one.
    pub path: Vec<Name>,
}

/// Why a text is not a [`Target`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// It does not begin with a CID.
    #[error(transparent)]
    Cid(#[from] CidError),
    /// `.` or `..`, which mean nothing inside of a DAG.
    #[error("`{segment}` in a path inside of a CID leads nowhere")]
    Dots {
        /// The segment.
        segment: Name,
    },
    /// A `%` that no two hexadecimal digits follow.
    #[error("`{segment}` has a `%` that is no escape")]
    Escape {
        /// The segment, as written.
        segment: String,
    },
}

/// Why a [`Target`] leads nowhere.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The directory has no such entry.
    #[error("no entry `{segment}` in directory `{cid}`")]
    NoEntry {
        /// The name.
        segment: Name,
        /// The directory.
        cid: Cid,
    },
    /// The path goes on where there is no directory.
    #[error("`{cid}` is {found}: there is no `{segment}` in it")]
    NotADirectory {
        /// The name that comes next.
        segment: Name,
        /// What is there instead.
        found: &'static str,
        /// Its CID.
        cid: Cid,
    },
    /// A block on the way did not come, or is no node.
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl From<DagError> for ResolveError {
    fn from(error: DagError) -> Self {
        Self::Source(error.into())
    }
}

impl From<Cid> for Target {
    fn from(cid: Cid) -> Self {
        Self {
            cid,
            path: Vec::new(),
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let uri = text.strip_prefix("ipfs://");
        let bare = uri.or_else(|| text.strip_prefix("/ipfs/")).unwrap_or(text);
        let (cid, path) = bare.split_once('/').unwrap_or((bare, ""));
        let cid = cid::parse(cid)?;
        let segments = path.split('/').filter(|segment| !segment.is_empty());
        let name = |segment: &str| {
            let name = if uri.is_some() {
                unescape(segment)?
            } else {
                segment.into()
            };
            if matches!(name.as_bytes(), b"." | b"..") {
                return Err(TargetError::Dots { segment: name });
            }
            Ok(name)
        };
        Ok(Self {
            cid,
            path: segments.map(name).collect::<Result<_, _>>()?,
        })
    }
}

/// As people write it; what is not UTF-8 in a name is escaped beyond repair.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cid)?;
        self.path.iter().try_for_each(|name| write!(f, "/{name}"))
    }
}

/// Undoes `%XX`. An escaped `/` is part of a name, which no directory has.
fn unescape(segment: &str) -> Result<Name, TargetError> {
    let error = || TargetError::Escape {
        segment: segment.into(),
    };
    let mut parts = segment.as_bytes().split(|&byte| byte == b'%');
    let mut name = parts.next().unwrap_or_default().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).ok_or_else(error)?;
        let byte = data_encoding::HEXLOWER_PERMISSIVE
            .decode(digits)
            .map_err(|_| error())?;
        name.extend(byte);
        name.extend_from_slice(rest);
    }
    Ok(name.into())
}

/// Follows the path, through plain and sharded directories; only the nodes on the way are asked for.
pub fn resolve(source: &dyn BlockSource, target: &Target) -> Result<Cid, ResolveError> {
    let mut cid = target.cid;
    for segment in &target.path {
        cid = entry(source, &cid, segment)?;
    }
    Ok(cid)
}

/// The entry of a directory.
fn entry(source: &dyn BlockSource, cid: &Cid, segment: &Name) -> Result<Cid, ResolveError> {
    let block = fetch_one(source, cid)?;
    let no_entry = || ResolveError::NoEntry {
        segment: segment.clone(),
        cid: *cid,
    };
    match Node::decode(&block)? {
        Node::Pb { node, data } if data.kind == Kind::Directory => {
            let mut found = node.links.iter().filter(|link| link.name == *segment);
            let link = found.next().ok_or_else(no_entry)?;
            if found.next().is_some() {
                let reason = format!("two entries are called `{segment}`");
                return Err(DagError::Inconsistent { cid: *cid, reason }.into());
            }
            Ok(link.cid)
        }
        node if node.kind() == Kind::HamtShard => {
            entry_of_shards(source, block, segment)?.ok_or_else(no_entry)
        }
        node => Err(ResolveError::NotADirectory {
            segment: segment.clone(),
            found: node.kind().name(),
            cid: *cid,
        }),
    }
}

/// The entry of a sharded directory. The hash of the name has 64 bits, and each shard uses some:
/// this ends.
fn entry_of_shards(
    source: &dyn BlockSource,
    root: Block,
    segment: &Name,
) -> Result<Option<Cid>, SourceError> {
    let (mut block, mut place) = (root, Place::ROOT);
    loop {
        let cid = block.cid();
        let shard = match Node::decode(&block)? {
            Node::Pb { node, data } => Shard::decode(cid, &node, &data, place)?,
            raw @ Node::Raw(_) => return Err(raw.unexpected(cid, "a sharded directory").into()),
        };
        match shard.find(segment) {
            None => return Ok(None),
            Some(Child::Entry(link)) => return Ok(Some(link.cid)),
            Some(Child::Shard { link, place: below }) => {
                block = fetch_one(source, &link.cid)?;
                place = *below;
            }
        }
    }
}

#[cfg(test)]
mod tests;
