//! Section `[replication]`.

use std::fmt;
use std::str::FromStr;

use globset::{GlobBuilder, GlobMatcher};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::rate::RateLimit;
use crate::replicas::{PlaceTag, Replicas};
use crate::units::ByteSize;

/// Copies on other members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Replication {
    /// Copies of what is added here, where nothing else is said.
    pub replicas: Replicas,
    /// Bytes per second that this member offers others for repairs.
    pub rate: RateLimit,
    /// Divides every wait of replication, for tests.
    pub time_scale: TimeScale,
    /// Copies of what is added here by its name; the first that matches holds.
    pub defaults: Vec<NamedCopies>,
}

impl Default for Replication {
    fn default() -> Self {
        Self {
            replicas: Replicas::default(),
            rate: RateLimit(Some(ByteSize::mebibytes(32))),
            time_scale: TimeScale::default(),
            defaults: Vec::new(),
        }
    }
}

impl Replication {
    /// The first of the defaults by name that is meant by `name`.
    #[must_use]
    pub fn named(&self, name: &std::path::Path) -> Option<&NamedCopies> {
        let mut defaults = self.defaults.iter();
        defaults.find(|it| it.pattern.0.is_match(name))
    }
}

/// How many copies of what has a name like this, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamedCopies {
    /// The name of what is added: a file, or the directory at the top.
    pub pattern: Pattern,
    /// How many.
    pub replicas: Replicas,
    /// For each key that is named, one of its values.
    #[serde(rename = "where", skip_serializing_if = "Vec::is_empty")]
    pub wanted: Vec<PlaceTag>,
    /// None of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub avoid: Vec<PlaceTag>,
    /// Higher ones are repaired first among those that are equally urgent.
    #[serde(skip_serializing_if = "is_zero")]
    pub priority: u8,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(priority: &u8) -> bool {
    *priority == 0
}

/// A table in the file; in the environment `PATTERN=REPLICAS`, since there is only text.
impl<'de> Deserialize<'de> for NamedCopies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            pattern: Pattern,
            #[serde(default)]
            replicas: Replicas,
            #[serde(default, rename = "where")]
            wanted: Vec<PlaceTag>,
            #[serde(default)]
            avoid: Vec<PlaceTag>,
            #[serde(default)]
            priority: u8,
        }

        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = NamedCopies;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a table such as { pattern = \"*.iso\", replicas = \"1/2/3\" }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<NamedCopies, E> {
                let pair = text.rsplit_once('=');
                let (pattern, replicas) = pair.ok_or_else(|| {
                    E::custom(format!(
                        "`{text}` is no default; expected one such as `*.iso=1/2/3`"
                    ))
                })?;
                Ok(NamedCopies {
                    pattern: pattern.trim().parse().map_err(E::custom)?,
                    replicas: replicas.trim().parse().map_err(E::custom)?,
                    wanted: Vec::new(),
                    avoid: Vec::new(),
                    priority: 0,
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<NamedCopies, A::Error> {
                let fields = Fields::deserialize(MapAccessDeserializer::new(map))?;
                Ok(NamedCopies {
                    pattern: fields.pattern,
                    replicas: fields.replicas,
                    wanted: fields.wanted,
                    avoid: fields.avoid,
                    priority: fields.priority,
                })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// A pattern for names, as shells have it: `*.iso`, `backup-[0-9]*`, `{photos,films}`.
#[derive(Clone, Debug)]
pub struct Pattern(GlobMatcher);

/// Not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no pattern for names: {reason}; expected one such as `*.iso`")]
pub struct InvalidPattern {
    text: String,
    reason: String,
}

impl Pattern {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.glob().glob()
    }
}

impl FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let invalid = |reason: String| InvalidPattern {
            text: text.into(),
            reason,
        };
        if text.is_empty() {
            return Err(invalid("it is empty".into()));
        }
        let glob = GlobBuilder::new(text).build();
        let glob = glob.map_err(|error| invalid(error.kind().to_string()))?;
        Ok(Self(glob.compile_matcher()))
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// How much shorter all waits are: 1 to 3,600.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct TimeScale(f64);

/// At most: an hour in a second. Jitter and timers are not finer.
const MAX_SCALE: f64 = 3600.0;

/// Not a scale.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("`{0}` is no scale of times; expected a number from 1 to {MAX_SCALE}")]
pub struct InvalidScale(f64);

/// It is a number.
impl Eq for TimeScale {}

impl Default for TimeScale {
    fn default() -> Self {
        Self(1.0)
    }
}

impl TimeScale {
    /// The number that waits are divided by.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for TimeScale {
    type Error = InvalidScale;

    fn try_from(scale: f64) -> Result<Self, InvalidScale> {
        if (1.0..=MAX_SCALE).contains(&scale) {
            Ok(Self(scale))
        } else {
            Err(InvalidScale(scale))
        }
    }
}

impl Serialize for TimeScale {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0)
    }
}

impl<'de> Deserialize<'de> for TimeScale {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Takes `60` as well as `60.0`.
        let scale = f64::deserialize(deserializer)?;
        scale.try_into().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn of(text: &str) -> Result<Replication, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn the_first_pattern_that_matches_a_name_holds() {
        let section = of(
            "[[defaults]]\npattern = \"*.iso\"\nreplicas = 2\nwhere = [\"zone=eu\"]\n\
             [[defaults]]\npattern = \"tmp*\"\nreplicas = 0\n\
             [[defaults]]\npattern = \"{photos,films}\"\nreplicas = \"everywhere\"\npriority = 7\n\
             [[defaults]]\npattern = \"tmp.iso\"\nreplicas = 9\n",
        );
        let section = section.unwrap();
        let named = |name: &str| section.named(Path::new(name)).map(|it| it.replicas);
        let two = "2".parse().unwrap();
        assert_eq!(named("debian.iso"), Some(two));
        assert_eq!(named("tmp.iso"), Some(two));
        assert_eq!(named("tmp-1"), Some(Replicas::None));
        assert_eq!(named("films"), Some(Replicas::Everywhere));
        assert_eq!(named("film"), None);
        assert_eq!(named(""), None);
        assert_eq!(section.defaults[0].wanted, ["zone=eu".parse().unwrap()]);
        assert_eq!(section.defaults[2].priority, 7);
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_says_why() {
        for (text, reason) in [
            ("time_scale = 0.5", "`0.5` is no scale of times"),
            ("time_scale = nan", "is no scale of times"),
            ("time_scale = 1e9", "is no scale of times"),
            ("replicas = 65", "`65` is no number of copies"),
            ("replicas = \"3/2/5\"", "`3/2/5` is no number of copies"),
            ("rate = \"fast\"", "`fast` is no rate"),
            ("defaults = [{ replicas = 2 }]", "missing field `pattern`"),
            ("defaults = [{ pattern = \"\" }]", "it is empty"),
            ("defaults = [{ pattern = \"a[\" }]", "`a[` is no pattern"),
            ("defaults = [{ pattern = \"*\", wher = [] }]", "`wher`"),
            (
                "defaults = [{ pattern = \"*\", where = [\"eu\"] }]",
                "`eu` is no tag",
            ),
            ("defaults = [2]", "expected a table such as"),
        ] {
            let error = of(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
        assert_eq!(of("time_scale = 60").unwrap().time_scale, TimeScale(60.0));
    }
}
