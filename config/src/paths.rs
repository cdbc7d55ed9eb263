//! Where the repo and its config file are.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Name of the config file in a repo.
pub const CONFIG_FILE: &str = "store.toml";

/// The environment variable that names the repo.
pub const PATH_VARIABLE: &str = "STORE_PATH";

/// Nothing says where the repo is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no place for the repo: neither `--repo`, `STORE_PATH`, `XDG_DATA_HOME` nor `HOME` is set")]
pub struct NoHome;

/// The repo: `flag`, else `$STORE_PATH`, else `$XDG_DATA_HOME/store`, else `~/.local/share/store`.
pub fn repo_path(
    flag: Option<&Path>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<PathBuf, NoHome> {
    let set = |name: &str| {
        variable(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(path) = flag {
        return Ok(path.into());
    }
    if let Some(path) = set(PATH_VARIABLE) {
        return Ok(path);
    }
    // The XDG specification has relative paths ignored.
    if let Some(data) = set("XDG_DATA_HOME").filter(|path| path.is_absolute()) {
        return Ok(data.join("store"));
    }
    set("HOME")
        .map(|home| home.join(".local/share/store"))
        .ok_or(NoHome)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<'a>(set: &'a [(&str, &str)]) -> impl Fn(&str) -> Option<OsString> + 'a {
        move |name| {
            set.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| OsString::from(value))
        }
    }

    #[test]
    fn the_nearest_word_wins() {
        let all = [
            ("STORE_PATH", "/s"),
            ("XDG_DATA_HOME", "/x"),
            ("HOME", "/h"),
        ];
        assert_eq!(repo_path(Some(Path::new("f")), with(&all)), Ok("f".into()));
        assert_eq!(repo_path(None, with(&all)), Ok("/s".into()));
        assert_eq!(repo_path(None, with(&all[1..])), Ok("/x/store".into()));
        assert_eq!(
            repo_path(None, with(&all[2..])),
            Ok("/h/.local/share/store".into())
        );
        assert_eq!(repo_path(None, with(&[])), Err(NoHome));
    }
}
