//! Section `[log]`.

use serde::{Deserialize, Serialize};

/// What is written to stderr.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,store_node=debug`.
    /// `auto` is `info` for `store run` and `warn` for every other command.
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
