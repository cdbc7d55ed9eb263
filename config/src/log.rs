//! Section `[log]`.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// What is written to stderr.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,store_node=debug`.
    /// `auto` is `info` for `store run` and `warn` for every other command.
    #[serde(deserialize_with = "level")]
    pub level: String,
    /// How a line looks.
    pub format: Format,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "auto".into(),
            format: Format::default(),
        }
    }
}

/// A level, or directives: a lone word that is no level would be taken for a part of the program, and
/// silence all others.
fn level<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    const LEVELS: [&str; 7] = ["auto", "off", "error", "warn", "info", "debug", "trace"];
    let text = String::deserialize(deserializer)?;
    let plain = |part: &str| LEVELS.contains(&part.trim());
    if text
        .split(',')
        .all(|part| plain(part) || part.contains('='))
    {
        return Ok(text);
    }
    Err(D::Error::custom(format!(
        "`{text}` is no level; expected `error`, `warn`, `info`, `debug`, `trace`, or directives such as \
         `info,store_node=debug`"
    )))
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}
