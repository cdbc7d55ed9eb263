//! What is walked, in which order, and what is refused.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;

use tempfile::TempDir;

use super::*;
use crate::unixfs::data::{Metadata, Mtime};

fn write(dir: &TempDir, path: &str) {
    let path = dir.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "x").unwrap();
}

/// What a walk gives, in one line: `dir(`, `file`, `link>target`, `)`.
fn shown(paths: &[PathBuf], options: &SourceOptions) -> Result<String, SourceError> {
    let mut words = Vec::new();
    for entry in walk(paths, options) {
        words.push(match entry? {
            Entry::Dir { name, .. } => format!("{name}("),
            Entry::File { name, .. } => name.to_string(),
            Entry::Symlink { name, target, .. } => format!("{name}>{target}"),
            Entry::End => ")".to_owned(),
            Entry::Known { .. } => unreachable!("a walk knows nothing"),
        });
    }
    Ok(words.join(" "))
}

static PLAIN: SourceOptions = SourceOptions {
    hidden: false,
    dereference_symlinks: false,
    described: Described {
        preserve_mode: false,
        preserve_mtime: false,
        given: Metadata::NONE,
    },
    rules: None,
};

fn follow() -> SourceOptions {
    SourceOptions {
        dereference_symlinks: true,
        ..SourceOptions::default()
    }
}

#[test]
fn names_come_in_the_order_of_their_bytes_without_the_hidden() {
    let dir = TempDir::with_prefix("walk").unwrap();
    for path in [
        "t/b/x",
        "t/a b",
        "t/a",
        "t/B",
        "t/.hidden",
        "t/b/.git/config",
        "t/ü",
    ] {
        write(&dir, path);
    }
    fs::create_dir(dir.path().join("t/empty")).unwrap();
    let tree = [dir.path().join("t")];
    assert_eq!(
        shown(&tree, &PLAIN).unwrap(),
        "t( B a a b b( x ) empty( ) ü )"
    );
    let all = SourceOptions {
        hidden: true,
        ..PLAIN.clone()
    };
    let expected = "t( .hidden B a a b b( .git( config ) x ) empty( ) ü )";
    assert_eq!(shown(&tree, &all).unwrap(), expected);
    let named = [dir.path().join("t/.hidden"), dir.path().join("t/b/.git")];
    assert_eq!(shown(&named, &PLAIN).unwrap(), ".hidden .git( config )");
}

#[test]
fn a_path_is_named_by_its_last_component() {
    let dir = TempDir::with_prefix("walk").unwrap();
    write(&dir, "t/sub/file");
    let sub = dir.path().join("t/sub");
    for path in [
        "t/sub/",
        "t/sub/.",
        "t/./sub",
        "t/sub/../sub",
        "t/sub/../../t/sub",
    ] {
        assert_eq!(
            shown(&[dir.path().join(path)], &PLAIN).unwrap(),
            "sub( file )",
            "{path}"
        );
    }
    assert_eq!(
        shown(&[sub.join("..")], &PLAIN).unwrap(),
        "t( sub( file ) )"
    );
    assert_eq!(
        shown(&[sub.clone(), sub.join("")], &PLAIN).unwrap(),
        "sub( file )"
    );
    write(&dir, "other/sub");
    let error = shown(&[sub, dir.path().join("other/sub")], &PLAIN).unwrap_err();
    assert!(matches!(error, SourceError::SameName { .. }), "{error}");
}

#[test]
fn symlinks_are_kept_or_followed() {
    let dir = TempDir::with_prefix("walk").unwrap();
    write(&dir, "t/dir/file");
    symlink("dir", dir.path().join("t/link")).unwrap();
    let tree = [dir.path().join("t")];
    assert_eq!(shown(&tree, &PLAIN).unwrap(), "t( dir( file ) link>dir )");
    assert_eq!(
        shown(&tree, &follow()).unwrap(),
        "t( dir( file ) link( file ) )"
    );
    let link = dir.path().join("t/link");
    assert_eq!(shown(&[link.join("")], &PLAIN).unwrap(), "link>dir");
    assert_eq!(shown(&[link], &follow()).unwrap(), "dir( file )");
}

#[test]
fn a_symlink_into_itself_or_into_nothing_is_an_error_only_when_followed() {
    let dir = TempDir::with_prefix("walk").unwrap();
    write(&dir, "t/a/file");
    symlink("..", dir.path().join("t/a/up")).unwrap();
    let tree = [dir.path().join("t")];
    assert_eq!(shown(&tree, &PLAIN).unwrap(), "t( a( file up>.. ) )");
    let error = shown(&tree, &follow()).unwrap_err();
    assert!(
        matches!(&error, SourceError::Loop { path } if path.ends_with("t/a/up")),
        "{error}"
    );

    fs::remove_file(dir.path().join("t/a/up")).unwrap();
    symlink("nowhere", dir.path().join("t/a/gone")).unwrap();
    let error = shown(&tree, &follow()).unwrap_err();
    assert!(
        matches!(&error, SourceError::Io { path, .. } if path.ends_with("gone")),
        "{error}"
    );
}

#[test]
fn what_cannot_be_added_is_named() {
    let dir = TempDir::with_prefix("walk").unwrap();
    let _socket = UnixListener::bind(dir.path().join("socket")).unwrap();
    let error = shown(&[dir.path().to_owned()], &PLAIN).unwrap_err();
    assert!(
        error.to_string().contains("/socket` is a socket"),
        "{error}"
    );
    let null = [PathBuf::from("/dev/null")];
    let error = shown(&null, &PLAIN).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("`/dev/null` is a character device"),
        "{error}"
    );
    let error = shown(&[dir.path().join("missing")], &PLAIN).unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
}

/// The walk looks and then opens: between the two a pipe may have come in.
#[test]
fn a_pipe_in_a_files_place_does_not_hang_the_walk() {
    let dir = TempDir::with_prefix("walk").unwrap();
    let path = dir.path().join("pipe");
    let mode = rustix::fs::Mode::RUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let error = open::file(&path, false).unwrap_err();
    assert!(
        matches!(
            error,
            SourceError::Special {
                what: "a named pipe",
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_walk_ends_after_an_error() {
    let paths = [PathBuf::from("/missing/a"), PathBuf::from("/missing/b")];
    let mut walk = walk(&paths, &PLAIN);
    assert!(walk.next().unwrap().is_err());
    assert!(walk.next().is_none());
}

/// What each entry says, in the order of the walk.
fn said(path: &Path, described: Described) -> Vec<Metadata> {
    let options = SourceOptions {
        described,
        ..PLAIN.clone()
    };
    let entries = walk(&[path.to_owned()], &options).map(Result::unwrap);
    entries
        .filter_map(|entry| match entry {
            Entry::Dir { metadata, .. }
            | Entry::File { metadata, .. }
            | Entry::Symlink { metadata, .. } => Some(metadata),
            Entry::End | Entry::Known { .. } => None,
        })
        .collect()
}

#[test]
fn permissions_and_times_are_told_when_asked_for() {
    let dir = TempDir::with_prefix("walk").unwrap();
    write(&dir, "t/file");
    symlink("file", dir.path().join("t/link")).unwrap();
    let tree = dir.path().join("t");
    let file = fs::File::open(tree.join("file")).unwrap();
    file.set_permissions(fs::Permissions::from_mode(0o2640))
        .unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(said(&tree, Described::default()), [Metadata::NONE; 3]);

    let given = Metadata {
        mode: Some(0o600),
        mtime: Some(Mtime::new(5, 0)),
    };
    let all = Described {
        given,
        ..Described::default()
    };
    let link = Metadata {
        mode: None,
        ..given
    };
    assert_eq!(said(&tree, all), [given, given, link]);
    assert_eq!(all.of_nothing(), given);

    // Their own instead of what is given, and nothing for what is not on disk.
    let own = Described {
        preserve_mode: true,
        preserve_mtime: true,
        given,
    };
    let said = said(&tree, own);
    let mode = fs::metadata(&tree).unwrap().permissions().mode() & 0o7777;
    assert_eq!(said[0].mode, Some(mode));
    let file = Metadata {
        mode: Some(0o2640),
        mtime: Some(Mtime::new(0, 0)),
    };
    assert_eq!(said[1], file);
    assert_eq!(said[2].mode, None, "nobody looks at a symlink's");
    assert!(said[2].mtime.is_some());
    assert_eq!(own.of_nothing(), Metadata::NONE);
}
