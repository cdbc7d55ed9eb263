//! The config file: TOML, with every refusal on its line.

use std::path::Path;

use toml::Table;

use super::ConfigError;
use crate::Config;

/// The file's settings, checked.
pub(super) fn parse(path: &Path, text: &str) -> Result<Table, ConfigError> {
    let located = |error: &toml::de::Error| {
        let offset = error.span().map_or(0, |span| span.start);
        ConfigError::File {
            path: path.into(),
            line: 1 + text
                .get(..offset)
                .map_or(0, |before| before.matches('\n').count()),
            key: None,
            reason: reason(error.message()),
        }
    };
    let table = text.parse::<Table>().map_err(|error| located(&error))?;
    match toml::from_str::<Config>(text) {
        Ok(_) => Ok(table),
        Err(error) => {
            let offset = error.span().map_or(0, |span| span.start);
            let mut located = located(&error);
            if let ConfigError::File { key, .. } = &mut located {
                *key = key_at(text, offset);
            }
            Err(located)
        }
    }
}

/// In our words, and on one line.
pub(super) fn reason(message: &str) -> String {
    message
        .replace("unknown field", "unknown key")
        .replace('\n', ", ")
}

/// The key whose name or value is at `offset`: the last line up to there that assigns one, in the
/// last section that begins before it.
fn key_at(text: &str, offset: usize) -> Option<String> {
    let end = text
        .get(offset..)?
        .find('\n')
        .map_or(text.len(), |length| offset + length);
    let mut lines = text.get(..end)?.lines().map(str::trim).rev();
    let mut key = None;
    let section = lines.find_map(|line| {
        if line.starts_with('[') && line.ends_with(']') {
            return Some(line.trim_matches(['[', ']']).trim());
        }
        if key.is_none() && !line.starts_with('#') {
            key = line.split_once('=').map(|(key, _)| key.trim());
        }
        None
    });
    match (section, key) {
        (Some(section), Some(key)) => Some(format!("{section}.{key}")),
        (one, other) => one.or(other).map(str::to_owned),
    }
}
