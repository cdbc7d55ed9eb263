//! [`Filter`]: which pins are meant, and [`Label`] as people write it.

use std::fmt;
use std::str::FromStr;

use super::{Pin, PinError, PinKind};

/// `key=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// What stands before the first `=`; never empty.
    pub key: String,
    /// What stands behind it.
    pub value: String,
}

impl FromStr for Label {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        let refuse = |reason| PinError::Label {
            text: text.chars().take(128).collect(),
            reason,
        };
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| refuse("it should be KEY=VALUE"))?;
        if key.is_empty() {
            return Err(refuse("it has no key"));
        }
        Ok(Self {
            key: key.into(),
            value: value.into(),
        })
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

/// Which pins; the default: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those of this kind.
    pub kind: Option<PinKind>,
    /// Those of this name.
    pub name: Option<NameFilter>,
    /// Those that have all of these labels.
    pub labels: Vec<Label>,
}

/// Which names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameFilter {
    /// Exactly this one.
    Is(String),
    /// Those that have this text in them.
    Contains(String),
}

impl Filter {
    /// Whether `pin` is meant.
    #[must_use]
    pub fn matches(&self, pin: &Pin) -> bool {
        let name = match (&self.name, pin.name.as_deref()) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(NameFilter::Is(text)), Some(name)) => text == name,
            (Some(NameFilter::Contains(text)), Some(name)) => name.contains(text),
        };
        let has = |label: &Label| pin.labels.get(&label.key) == Some(&label.value);
        name && self.kind.is_none_or(|kind| kind == pin.kind) && self.labels.iter().all(has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cid::{Codec, Version, from_digest};

    #[test]
    fn labels_are_keys_and_values() {
        let label: Label = "team=a=b".parse().unwrap();
        assert_eq!((label.key.as_str(), label.value.as_str()), ("team", "a=b"));
        assert_eq!(label.to_string(), "team=a=b");
        assert!("team".parse::<Label>().is_err() && "=x".parse::<Label>().is_err());
    }

    #[test]
    fn a_filter_takes_what_has_all() {
        let mut pin = Pin::new(from_digest(Version::V1, Codec::DagPb, &[1; 32]), 1);
        pin.name = Some("backup of May".into());
        pin.labels.insert("a".into(), "1".into());
        let label = |text: &str| vec![text.parse::<Label>().unwrap()];
        let named = |name| Filter {
            name: Some(name),
            ..Filter::default()
        };
        let labelled = |text| Filter {
            labels: label(text),
            ..Filter::default()
        };
        assert!(Filter::default().matches(&pin));
        assert!(named(NameFilter::Contains("May".into())).matches(&pin));
        assert!(!named(NameFilter::Is("May".into())).matches(&pin));
        assert!(labelled("a=1").matches(&pin));
        assert!(!labelled("a=2").matches(&pin) && !labelled("b=1").matches(&pin));
        let direct = Filter {
            kind: Some(PinKind::Direct),
            ..labelled("a=1")
        };
        assert!(!direct.matches(&pin));
        pin.name = None;
        assert!(!named(NameFilter::Contains(String::new())).matches(&pin));
    }
}
