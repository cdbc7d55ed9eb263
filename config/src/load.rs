//! Puts the settings together: defaults, file, environment, flags, later over earlier.

mod file;
mod text;

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::PathBuf;

use serde::Deserialize;
use toml::{Table, Value};

use crate::{CONFIG_FILE, Config, PATH_VARIABLE};

/// Every environment variable that begins so may be ours; one that looks like a setting and is none is refused.
const PREFIX: &str = "STORE_";

/// Short names: variable, key.
const SHORT: [(&str, &str); 1] = [("STORE_LOG", "log.level")];

/// Where settings may come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file named by `--config`; it must exist.
    pub file: Option<PathBuf>,
    /// The repo, whose `store.toml` is read when there is one and no other file is named.
    pub repo: Option<PathBuf>,
    /// The environment; what does not begin with `STORE_` is left alone.
    pub env: Vec<(String, String)>,
    /// Settings from the command line.
    pub flags: Vec<Flag>,
}

/// A setting from the command line.
#[derive(Clone, Debug)]
pub struct Flag {
    /// As it is typed, for messages: `--listen`.
    pub name: &'static str,
    /// The setting: `network.listen`.
    pub key: &'static str,
    /// Its value; several for a list.
    pub values: Vec<String>,
}

/// The settings in effect, and where each came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    origins: BTreeMap<String, Origin>,
}

/// Where a value came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said otherwise.
    #[default]
    Default,
    /// The config file.
    File(PathBuf),
    /// This environment variable.
    Environment(String),
    /// This flag.
    Flag(&'static str),
}

/// A setting that is none. Each names its place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read config file `{}`: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The file is no TOML, or has a key or value that it should not have.
    #[error("config file `{}`, line {line}: {}{reason}", path.display(), prefix(key.as_deref()))]
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key, where the file is TOML up to there.
        key: Option<String>,
        /// What is wrong, and what was expected.
        reason: String,
    },
    /// An environment variable that is no setting.
    #[error("environment variable `{name}` is no setting{}", meant(nearest.as_deref()))]
    UnknownVariable {
        /// Its name.
        name: String,
        /// The variable that was perhaps meant.
        nearest: Option<String>,
    },
    /// A value that the setting cannot have, from the environment or a flag.
    #[error("{origin}: {reason}")]
    Value {
        /// From where.
        origin: Origin,
        /// What is wrong, and what was expected.
        reason: String,
    },
}

fn prefix(key: Option<&str>) -> String {
    key.map(|key| format!("`{key}`: ")).unwrap_or_default()
}

fn meant(nearest: Option<&str>) -> String {
    nearest
        .map(|nearest| format!("; did you mean `{nearest}`?"))
        .unwrap_or_default()
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "config file `{}`", path.display()),
            Self::Environment(name) => write!(f, "environment variable `{name}`"),
            Self::Flag(name) => write!(f, "flag `{name}`"),
        }
    }
}

impl Loaded {
    /// Reads every source. The first setting that is none is an error; nothing is skipped.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let mut layers = Layers::default();
        let file = layers.file(sources)?;
        for (name, value) in &sources.env {
            if name.starts_with(PREFIX) && name != PATH_VARIABLE {
                layers.variable(name, value)?;
            }
        }
        for flag in &sources.flags {
            layers.text(Origin::Flag(flag.name), flag.key, &flag.values)?;
        }
        // Each layer was checked by itself, and no two settings depend on each other.
        let config = Config::deserialize(layers.values).map_err(|error| ConfigError::Value {
            origin: Origin::Default,
            reason: error.message().to_owned(),
        })?;
        Ok(Self {
            config,
            file,
            origins: layers.origins,
        })
    }

    /// Where the value of a key such as `network.name` came from.
    #[must_use]
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or_default()
    }

    /// The settings as TOML, each with its origin as a comment unless it is the default.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        for (section, values) in table(&self.config) {
            let gap = if text.is_empty() { "" } else { "\n" };
            let Value::Table(values) = values else {
                continue;
            };
            let _ = writeln!(text, "{gap}[{section}]");
            for (key, value) in values {
                let _ = match self.origin(&format!("{section}.{key}")) {
                    Origin::Default => writeln!(text, "{key} = {value}"),
                    origin => writeln!(text, "{key} = {value} # {origin}"),
                };
            }
        }
        text
    }
}

/// Settings as a table of sections.
fn table(config: &Config) -> Table {
    Table::try_from(config).expect("every setting has a form in TOML, which a test checks")
}

/// All layers read so far, merged.
#[derive(Default)]
struct Layers {
    values: Table,
    origins: BTreeMap<String, Origin>,
}

impl Layers {
    fn file(&mut self, sources: &Sources) -> Result<Option<PathBuf>, ConfigError> {
        let (path, required) = match (&sources.file, &sources.repo) {
            (Some(file), _) => (file.clone(), true),
            (None, Some(repo)) => (repo.join(CONFIG_FILE), false),
            (None, None) => return Ok(None),
        };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if !required && error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(error) => return Err(ConfigError::Read { path, error }),
        };
        self.merge(file::parse(&path, &text)?, &Origin::File(path.clone()));
        Ok(Some(path))
    }

    fn variable(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        let Some(key) = text::key_of_variable(name) else {
            // Others name their variables after us, too: `STORE_BIN` of a script is none of our business.
            if !text::looks_like_a_setting(name) {
                return Ok(());
            }
            return Err(ConfigError::UnknownVariable {
                name: name.into(),
                nearest: text::nearest_variable(name),
            });
        };
        let values = text::split(&key, value);
        self.text(Origin::Environment(name.into()), &key, &values)
    }

    fn text(&mut self, origin: Origin, key: &str, values: &[String]) -> Result<(), ConfigError> {
        match text::parse(key, values) {
            Ok(layer) => {
                self.merge(layer, &origin);
                Ok(())
            }
            Err(reason) => Err(ConfigError::Value { origin, reason }),
        }
    }

    fn merge(&mut self, layer: Table, origin: &Origin) {
        for (section, values) in layer {
            let Value::Table(values) = values else {
                continue;
            };
            let known = self
                .values
                .entry(section.clone())
                .or_insert_with(|| Table::new().into());
            let Value::Table(known) = known else { continue };
            for (key, value) in values {
                self.origins
                    .insert(format!("{section}.{key}"), origin.clone());
                known.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
