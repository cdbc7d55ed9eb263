//! What a directory is: a repo, one that is not finished, or something else; and the file `format`.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

use super::{RepoError, write};

/// The format that this program makes: the layout of the directory, and the families, keys and values
/// in `db/`. A repo with a higher number is refused, one with a lower number is brought forward.
pub const FORMAT: u32 = 3;

const FILE: &str = "format";

/// What may be there before `format` is. Beside the settings, which somebody may write first, these
/// count only together with the lock file, which is always made first.
const UNFINISHED: [&str; 3] = ["repo.lock", "db", ".format.new"];
const SETTINGS: &str = "store.toml";

/// How far a directory is on its way to being a repo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Everything is there.
    Ready,
    /// Everything is there, as an older program wrote it.
    Older {
        /// In this format.
        from: u32,
    },
    /// Not there, empty, or begun and never finished.
    Unfinished,
}

/// Looks at `path` and touches nothing.
pub(super) fn inspect(path: &Path) -> Result<State, RepoError> {
    if let Some(found) = read(path)? {
        if found > FORMAT {
            return Err(RepoError::NewerFormat {
                path: path.into(),
                found,
                supported: FORMAT,
            });
        }
        return Ok(if found < FORMAT {
            State::Older { from: found }
        } else {
            State::Ready
        });
    }
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::Unfinished),
        Err(error) => return Err(RepoError::io("look into", path)(error)),
    };
    let names: Vec<OsString> = entries
        .map(|entry| Ok(entry?.file_name()))
        .collect::<Result<_, _>>()
        .map_err(RepoError::io("look into", path))?;
    let begun = names.iter().any(|name| name == "repo.lock");
    let ours = |name: &OsString| {
        name == SETTINGS || begun && UNFINISHED.iter().any(|expected| name == expected)
    };
    match names.iter().find(|name| !ours(name)) {
        Some(entry) => Err(RepoError::NotARepo {
            path: path.into(),
            entry: entry.into(),
        }),
        None => Ok(State::Unfinished),
    }
}

/// Declares that everything is there.
pub(super) fn finish(path: &Path) -> Result<(), RepoError> {
    declare(path, FORMAT)
}

/// Declares that everything is there, as `format` has it.
pub(crate) fn declare(path: &Path, format: u32) -> Result<(), RepoError> {
    write::replace(&path.join(FILE), format!("{format}\n").as_bytes())
}

/// The format of the repo in the directory `path`; `None` where there is none.
pub(super) fn number(path: &Path) -> Result<Option<u32>, RepoError> {
    read(path)
}

fn read(path: &Path) -> Result<Option<u32>, RepoError> {
    let file = path.join(FILE);
    match fs::read_to_string(&file) {
        Ok(text) => match text.trim_end().parse() {
            Ok(number) if number > 0 => Ok(Some(number)),
            _ => Err(RepoError::Format { path: file }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(RepoError::Format { path: file })
        }
        Err(error) => Err(RepoError::io("read", &file)(error)),
    }
}
