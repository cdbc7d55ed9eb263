//! Settings that come as plain text, from the environment and from flags. The default value of a
//! setting says which type its text has.

use serde::Deserialize;
use toml::{Table, Value};

use super::{PREFIX, SHORT, file, table};
use crate::Config;
use crate::PATH_VARIABLE;

/// Names further apart than this are not what was meant.
const MAX_DISTANCE: usize = 3;

/// All keys, `section.key`, with their defaults.
fn keys() -> impl Iterator<Item = (String, Value)> {
    table(&Config::default())
        .into_iter()
        .flat_map(|(section, values)| {
            let values = if let Value::Table(values) = values {
                values
            } else {
                Table::new()
            };
            values
                .into_iter()
                .map(move |(key, value)| (format!("{section}.{key}"), value))
        })
}

fn variable_of_key(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "_").to_uppercase())
}

/// The key that an environment variable sets.
pub(super) fn key_of_variable(name: &str) -> Option<String> {
    if let Some((_, key)) = SHORT.iter().find(|(short, _)| *short == name) {
        return Some((*key).to_owned());
    }
    keys()
        .map(|(key, _)| key)
        .find(|key| variable_of_key(key) == name)
}

/// The variable that `name` is nearest to, if it is near.
pub(super) fn nearest_variable(name: &str) -> Option<String> {
    keys()
        .map(|(key, _)| variable_of_key(&key))
        .chain(SHORT.iter().map(|(short, _)| (*short).to_owned()))
        .chain([PATH_VARIABLE.to_owned()])
        .map(|variable| (distance(&variable, name), variable))
        .filter(|(distance, _)| *distance <= MAX_DISTANCE)
        .min()
        .map(|(_, variable)| variable)
}

/// Whether somebody meant a setting: it names a section, or is a slip of the pen away from one.
pub(super) fn looks_like_a_setting(name: &str) -> bool {
    let part = name.strip_prefix(PREFIX).unwrap_or(name);
    let section = |key: &str| key.split('.').next().unwrap_or_default().to_uppercase() + "_";
    keys().any(|(key, _)| part.starts_with(&section(&key)))
        || nearest_variable(name).is_some_and(|near| 2 * distance(&near, name) <= part.len())
}

/// Levenshtein's distance in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// A list, or a table, at its commas, anything else as it is.
pub(super) fn split(key: &str, value: &str) -> Vec<String> {
    let list =
        keys().any(|(known, default)| known == key && (default.is_array() || default.is_table()));
    if !list {
        return vec![value.to_owned()];
    }
    value
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

/// A table of this one setting, checked; or why not.
pub(super) fn parse(key: &str, values: &[String]) -> Result<Table, String> {
    let (_, default) = keys()
        .find(|(known, _)| known == key)
        .ok_or("no such setting")?;
    let text = values.first().map_or("", |value| value.trim());
    let value = match default {
        Value::Array(_) => Value::Array(values.iter().cloned().map(Value::String).collect()),
        Value::Table(_) => {
            let pairs = values.iter().map(|pair| {
                let (name, value) = pair.split_once('=').ok_or_else(|| {
                    format!("`{pair}` is no pair; expected one such as `zone=eu-1`")
                })?;
                Ok((
                    name.trim().to_owned(),
                    Value::String(value.trim().to_owned()),
                ))
            });
            Value::Table(pairs.collect::<Result<_, String>>()?)
        }
        Value::Boolean(_) => match text {
            "true" | "1" => Value::Boolean(true),
            "false" | "0" => Value::Boolean(false),
            _ => return Err(format!("`{text}` is neither `true` nor `false`")),
        },
        Value::Integer(_) => Value::Integer(
            text.parse()
                .map_err(|_| format!("`{text}` is no number; expected one such as `64`"))?,
        ),
        Value::Float(_) => Value::Float(
            text.parse()
                .map_err(|_| format!("`{text}` is no number; expected one such as `1.5`"))?,
        ),
        _ => Value::String(text.to_owned()),
    };
    let (section, name) = key.split_once('.').ok_or("no such setting")?;
    let layer = Table::from_iter([(
        section.to_owned(),
        Value::Table(Table::from_iter([(name.to_owned(), value)])),
    )]);
    Config::deserialize(layer.clone()).map_err(|error| file::reason(error.message()))?;
    Ok(layer)
}
