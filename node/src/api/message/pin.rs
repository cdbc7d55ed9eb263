//! Messages of `pin`: what is kept, by whom, and whether it is whole. Times are in seconds since 1970.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use store::Cid;
use store::keep::Hold;
use store::pin;

use super::{Content, text, texts};

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PinRequest {
    /// Fetch what is missing, then keep it. Answered by [`super::Item::Pin`].
    Add {
        /// What to keep.
        content: Content,
        /// Keep the root's block alone.
        direct: bool,
        /// What is said of the pin.
        marks: PinMarks,
    },
    /// Keep them no longer. Answered by [`super::Item::Pin`]s, the pins that were.
    Rm {
        /// The roots; none: those that the filter means, which must mean some.
        #[serde(with = "texts")]
        cids: Vec<Cid>,
        /// Which pins; the name must be the whole name.
        filter: PinFilter,
    },
    /// Pins. Answered by [`super::Item::Pin`]s, and for blocks that are kept below others by
    /// [`super::Item::Holder`]s.
    Ls {
        /// These blocks; none: all pins.
        #[serde(with = "texts")]
        cids: Vec<Cid>,
        /// Which pins; the name may be a part of the name.
        filter: PinFilter,
        /// How they are kept.
        kind: PinType,
    },
    /// Fetch what `new` has and `old` has not, and keep it in the place of `old`. Answered by
    /// [`super::Item::Updated`].
    Update {
        /// A root that is pinned.
        #[serde(with = "text")]
        old: Cid,
        /// What takes its place.
        new: Content,
        /// Keep the old one, too.
        keep_old: bool,
    },
    /// Who keeps a block. Answered by [`super::Item::Holder`]s.
    Why {
        /// The block.
        #[serde(with = "text")]
        cid: Cid,
        /// How many at most; no limit without it.
        limit: Option<usize>,
    },
    /// Read and check all that pins keep; nobody else is asked. Answered by
    /// [`CareItem::Finding`](super::CareItem::Finding)s and a [`super::Item::PinVerified`] for each pin.
    Verify {
        /// These pins; none: all.
        #[serde(with = "texts")]
        cids: Vec<Cid>,
    },
}

/// What is said of a pin; what is not said stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinMarks {
    /// Its name.
    pub name: Option<String>,
    /// Labels to set; an empty value takes one away.
    pub labels: Vec<(String, String)>,
    /// Until when it is kept.
    pub expiry: PinExpiry,
}

/// Until when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PinExpiry {
    /// Nothing is said.
    #[default]
    Unsaid,
    /// For good.
    Never,
    /// Until then.
    At(u64),
}

/// Which pins; the default: all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinFilter {
    /// Of this name.
    pub name: Option<String>,
    /// With all of these labels.
    pub labels: Vec<(String, String)>,
}

/// How a block is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PinType {
    /// As the root of a recursive pin.
    Recursive,
    /// By itself.
    Direct,
    /// Below a recursive pin, or in a part that is held.
    Indirect,
    /// In any of these ways.
    #[default]
    All,
}

/// A pin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The root of what is kept.
    #[serde(with = "text")]
    pub cid: Cid,
    /// [`PinType::Recursive`] or [`PinType::Direct`].
    #[serde(rename = "type")]
    pub kind: PinType,
    /// Its name.
    pub name: Option<String>,
    /// What else is said of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// When it was pinned.
    pub created: u64,
    /// When it stops to be kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
}

/// Why a block is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The block.
    #[serde(with = "text")]
    pub cid: Cid,
    /// How.
    #[serde(rename = "type")]
    pub kind: PinType,
    /// The root of what is kept.
    #[serde(with = "text")]
    pub root: Cid,
    /// The pin; `None`: a part of `root` is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Pin>,
    /// The children of the last node of a hold's path that are held: the first, and how many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<(u64, u64)>,
}

/// What an update did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Updated {
    /// The pin as it is now.
    pub pin: Pin,
    /// The root that was pinned before.
    #[serde(with = "text")]
    pub old: Cid,
    /// Blocks that were read, since the old content does not have them.
    pub read: u64,
}

/// A pin that was read through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinVerified {
    /// The pin.
    #[serde(flatten)]
    pub pin: Pin,
    /// Blocks that it keeps, as far as that is known: what is below a missing one is not.
    pub blocks: u64,
    /// Bytes of those that could be read.
    pub bytes: u64,
    /// What of it is not as it should be: 0 where it is whole.
    pub damaged: u64,
}

impl From<pin::PinKind> for PinType {
    fn from(kind: pin::PinKind) -> Self {
        match kind {
            pin::PinKind::Recursive => Self::Recursive,
            pin::PinKind::Direct => Self::Direct,
        }
    }
}

impl From<pin::Pin> for Pin {
    fn from(pin: pin::Pin) -> Self {
        Self {
            cid: pin.root,
            kind: pin.kind.into(),
            name: pin.name,
            labels: pin.labels,
            created: pin.created,
            expires: pin.expires,
        }
    }
}

impl Holder {
    /// The block `cid` is kept by `holder`.
    #[must_use]
    pub fn new(cid: Cid, holder: pin::Holder) -> Self {
        let root = holder.root().copied().unwrap_or(cid);
        let (kind, pin, held) = match holder {
            pin::Holder::Pin(pin) => (pin.kind.into(), Some(pin.into()), None),
            pin::Holder::Below(pin) => (PinType::Indirect, Some(pin.into()), None),
            pin::Holder::Hold(Hold { first, count, .. }) => {
                (PinType::Indirect, None, Some((first, count)))
            }
        };
        Self {
            cid,
            kind,
            root,
            pin,
            held,
        }
    }
}
