//! [`Name`]: the name of a directory entry, or the target of a symlink: bytes, as on Unix.

use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Bytes that name an entry. Mostly UTF-8, which nobody promises: Unix allows every byte but `/` and
/// NUL, and Kubo stores what it finds.
///
/// In JSON it is a string where it is UTF-8, else `{"base64": "…"}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(from = "Text", into = "Text")]
pub struct Name(Vec<u8>);

/// Why a name is not one that we would write to disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entry name `{name}` is {why}")]
pub struct UnsafeName {
    /// The name.
    pub name: Name,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Name {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As a path of one component; only after [`Name::check`], or for the target of a symlink.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(std::ffi::OsStr::from_bytes(&self.0))
    }

    /// Refuses every name that could lead out of the directory that it is in (DESIGN §7).
    pub fn check(&self) -> Result<(), UnsafeName> {
        let why = match self.0.as_slice() {
            b"" => "empty",
            b"." | b".." => "a way to another directory",
            name if name.contains(&b'/') => "a path, not a name",
            name if name.contains(&0) => "not a name: it has a NUL byte",
            name if name.len() > 255 => "longer than 255 bytes",
            _ => return Ok(()),
        };
        Err(UnsafeName {
            name: self.clone(),
            why,
        })
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<Vec<u8>> for Name {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<std::ffi::OsString> for Name {
    fn from(name: std::ffi::OsString) -> Self {
        Self(name.into_vec())
    }
}

/// For people: what is not UTF-8, or could act on a terminal, is escaped.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c.is_control() {
                    write!(f, "{}", c.escape_default())?;
                } else {
                    write!(f, "{c}")?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Text {
    Utf8(String),
    Other { base64: String },
}

impl From<Name> for Text {
    fn from(name: Name) -> Self {
        String::from_utf8(name.0).map_or_else(
            |error| Self::Other {
                base64: data_encoding::BASE64.encode(error.as_bytes()),
            },
            Self::Utf8,
        )
    }
}

impl From<Text> for Name {
    fn from(text: Text) -> Self {
        match text {
            Text::Utf8(text) => Self(text.into_bytes()),
            // Not base64 after all: a name of no bytes, which `check` refuses.
            Text::Other { base64 } => Self(
                data_encoding::BASE64
                    .decode(base64.as_bytes())
                    .unwrap_or_default(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_out_are_refused() {
        for bad in ["", ".", "..", "/etc/passwd", "a/b", "a\0b"] {
            assert!(Name::from(bad).check().is_err(), "{bad:?}");
        }
        for good in ["a", "...", ".hidden", "ünï-код-漢字", " ", "-rf", "a\nb"] {
            assert!(Name::from(good).check().is_ok(), "{good:?}");
        }
        assert!(Name::from(vec![b'x'; 256]).check().is_err());
    }

    #[test]
    fn json_keeps_every_byte() {
        for bytes in [&b"plain"[..], b"\xff\xfe odd", b"new\nline"] {
            let name = Name::from(bytes.to_vec());
            let json = serde_json::to_string(&name).unwrap();
            assert_eq!(serde_json::from_str::<Name>(&json).unwrap(), name);
        }
    }

    #[test]
    fn display_is_harmless() {
        assert_eq!(
            Name::from(b"a\x1b[2J\xff".to_vec()).to_string(),
            "a\\u{1b}[2J\\xff"
        );
    }
}
