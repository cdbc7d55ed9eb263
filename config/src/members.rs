//! Section `[members]`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use store::wire::member::{BadTag, Tags};

/// What this node tells the other members of its swarm.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Members {
    /// What tells this node from others: failure domains (`host`, `rack`, `zone`) and whatever else a
    /// policy may ask for. `host` is the peer id unless it is set.
    pub tags: MemberTags,
}

/// Names and values; see [`Tags`] for what they may be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    try_from = "BTreeMap<String, String>",
    into = "BTreeMap<String, String>"
)]
pub struct MemberTags(pub Tags);

impl TryFrom<BTreeMap<String, String>> for MemberTags {
    type Error = BadTag;

    fn try_from(tags: BTreeMap<String, String>) -> Result<Self, BadTag> {
        Tags::new(tags).map(Self)
    }
}

impl From<MemberTags> for BTreeMap<String, String> {
    fn from(MemberTags(tags): MemberTags) -> Self {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        tags.iter().map(owned).collect()
    }
}

impl std::fmt::Display for MemberTags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (n, (name, value)) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_char(' ')?;
            }
            write!(f, "{name}={value}")?;
        }
        Ok(())
    }
}
