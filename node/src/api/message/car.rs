//! Messages of `car`.

use serde::{Deserialize, Serialize};
use store::Cid;
use store::car::export::{RangeError, UnknownScope};
use store::car::{self, ExportOptions};
use store::unixfs::Name;

use super::{Content, text};

/// CAR files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CarRequest {
    /// Write one. Answered by data.
    Export(CarExport),
    /// Read the files that the client passes on, as [`Step::File`](super::Step::File)s. Answered by
    /// [`Item::CarFile`](super::Item::CarFile)s and [`Item::Root`](super::Item::Root)s, also where it fails.
    Import(CarImport),
}

/// What to write into a CAR file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarExport {
    /// The root.
    pub content: Content,
    /// How much of it: `block`, `entity` or `all`.
    pub scope: String,
    /// Which bytes of a file: `FROM:TO`.
    pub range: Option<String>,
}

/// What is wrong with a [`CarExport`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CarExportError {
    /// No such scope.
    #[error("`--scope`: {0}")]
    Scope(#[from] UnknownScope),
    /// No range.
    #[error("`--range`: {0}")]
    Range(#[from] RangeError),
}

impl CarExport {
    /// What an export takes. This is the only place that says what the flags mean.
    pub fn options(&self) -> Result<ExportOptions, CarExportError> {
        let range = self.range.as_deref().map(str::parse).transpose()?;
        Ok(ExportOptions {
            scope: self.scope.parse()?,
            range,
        })
    }
}

/// What to do with what is read from CAR files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarImport {
    /// Store without pinning the roots, whole or not.
    pub no_pin: bool,
    /// A name for the pins.
    pub name: Option<String>,
}

/// A CAR file that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarFile {
    /// What the client called it.
    pub name: Name,
    /// Version of the format; 0 where its header could not be read.
    pub version: u64,
    /// Blocks that are here now, as often as they are in the file.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those of them whose codec we cannot read; they are kept as raw bytes.
    pub unreadable: u64,
    /// Blocks that were passed over: their hash is none that we can compute.
    pub unchecked: u64,
    /// The first of these.
    pub unchecked_cids: Vec<String>,
    /// Where in the file all this ends.
    pub at: u64,
    /// The last block that counts.
    pub last: Option<String>,
}

impl CarFile {
    /// For people and programs.
    #[must_use]
    pub fn new(name: Name, imported: &car::Imported) -> Self {
        let texts = |cids: &[Cid]| cids.iter().map(Cid::to_string).collect();
        Self {
            name,
            version: imported.version,
            blocks: imported.blocks,
            bytes: imported.bytes,
            unreadable: imported.unreadable,
            unchecked: imported.unchecked,
            unchecked_cids: texts(&imported.unchecked_cids),
            at: imported.at,
            last: imported.last.as_ref().map(Cid::to_string),
        }
    }
}

/// A root of what was imported: of CAR files, or a pin of Kubo's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedRoot {
    /// The root.
    #[serde(with = "text")]
    pub cid: Cid,
    /// Whether it is kept from now on.
    pub pinned: bool,
    /// Why it is not, where it should be.
    pub why: Option<String>,
}
