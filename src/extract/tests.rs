use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;

use bytes::Bytes;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::unixfs::data::Mtime;

fn dir(name: &str) -> Piece {
    Piece::dir(name)
}

fn link(name: &str, target: &str) -> Piece {
    Piece::symlink(name, target)
}

/// A whole file.
fn file(name: &str, data: &'static str) -> [Piece; 3] {
    let size = data.len() as u64;
    [
        Piece::file(name, size),
        Piece::Data(Bytes::from_static(data.as_bytes())),
        Piece::End,
    ]
}

fn tree(parts: impl IntoIterator<Item = Vec<Piece>>) -> Vec<Piece> {
    let mut pieces = vec![dir("")];
    pieces.extend(parts.into_iter().flatten());
    pieces.push(Piece::End);
    pieces
}

fn extract(target: &Path, force: bool, pieces: Vec<Piece>) -> Result<(), ExtractError> {
    let mut extractor = Extractor::new(target, force)?;
    pieces
        .into_iter()
        .try_for_each(|piece| extractor.accept(piece))?;
    extractor.finish()
}

/// A directory to play in, with a victim outside of the target.
struct Yard {
    dir: TempDir,
}

impl Yard {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        fs::create_dir(dir.path().join("outside")).unwrap();
        fs::write(dir.path().join("outside/file"), "precious").unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        names(self.dir.path())
    }

    /// Nothing was written but below `out`.
    fn assert_unharmed(&self) {
        assert_eq!(names(&self.path("outside")), ["file"]);
        assert_eq!(
            fs::read_to_string(self.path("outside/file")).unwrap(),
            "precious"
        );
        assert!(
            self.names()
                .iter()
                .all(|name| name == "out" || name == "outside"),
            "{:?}",
            self.names()
        );
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_gets_its_name_when_it_is_whole() {
    let yard = Yard::new();
    let out = yard.path("out");
    let mut extractor = Extractor::new(&out, false).unwrap();
    for piece in file("", "hello") {
        extractor.accept(piece).unwrap();
        assert!(!out.exists());
    }
    extractor.finish().unwrap();
    assert_eq!(fs::read_to_string(&out).unwrap(), "hello");
    assert_eq!(yard.names(), ["out", "outside"]);
}

#[test]
fn a_tree_gets_its_name_when_it_is_whole() {
    let yard = Yard::new();
    let out = yard.path("out");
    let pieces = tree([
        file("a", "1").into(),
        vec![dir("empty"), Piece::End, dir("sub")],
        file("-rf \n ü", "").into(),
        vec![Piece::End, link("dangling", "../no/where")],
    ]);
    let mut extractor = Extractor::new(&out, false).unwrap();
    for piece in pieces {
        extractor.accept(piece).unwrap();
        assert!(!out.exists());
    }
    extractor.finish().unwrap();
    assert_eq!(names(&out), ["a", "dangling", "empty", "sub"]);
    assert_eq!(
        fs::read_link(out.join("dangling")).unwrap(),
        Path::new("../no/where")
    );
    assert_eq!(names(&out.join("sub")), ["-rf \n ü"]);
    yard.assert_unharmed();
}

#[test]
fn a_symlink_can_be_the_root() {
    let yard = Yard::new();
    extract(&yard.path("out"), false, vec![link("", "outside/file")]).unwrap();
    assert_eq!(
        fs::read_link(yard.path("out")).unwrap(),
        Path::new("outside/file")
    );
    extract(&yard.path("out"), true, vec![link("", "else")]).unwrap();
    assert_eq!(fs::read_link(yard.path("out")).unwrap(), Path::new("else"));
    yard.assert_unharmed();
}

#[test]
fn nothing_stays_behind_after_a_drop_or_an_error() {
    let yard = Yard::new();
    for cut in 1..6 {
        let pieces = tree([file("a", "data").into(), file("b", "data").into()]);
        let mut extractor = Extractor::new(&yard.path("out"), false).unwrap();
        pieces
            .into_iter()
            .take(cut)
            .for_each(|piece| extractor.accept(piece).unwrap());
        assert_eq!(yard.names().len(), 2, "one temporary beside `outside`");
        drop(extractor);
        assert_eq!(yard.names(), ["outside"]);
    }
    let mut extractor = Extractor::new(&yard.path("out"), false).unwrap();
    extractor.accept(file("", "data")[0].clone()).unwrap();
    extractor
        .accept(Piece::Data("too much".into()))
        .unwrap_err();
    assert_eq!(yard.names(), ["outside"], "already before the drop");
    assert!(matches!(
        extractor.accept(Piece::End),
        Err(ExtractError::Sequence { .. })
    ));
    assert!(matches!(
        extractor.finish(),
        Err(ExtractError::Sequence { .. })
    ));
}

#[test]
fn names_that_lead_out_are_refused() {
    let yard = Yard::new();
    for bad in [
        "..",
        ".",
        "",
        "/etc/passwd",
        "../outside/file",
        "a/b",
        "nul\0",
    ] {
        let symlink = vec![link(bad, "x")];
        for entry in [
            file(bad, "evil").into(),
            vec![dir(bad), Piece::End],
            symlink,
        ] {
            let error = extract(&yard.path("out"), false, tree([entry])).unwrap_err();
            assert!(
                matches!(error, ExtractError::Name { .. }),
                "{bad:?}: {error}"
            );
        }
    }
    assert_eq!(yard.names(), ["outside"]);
    yard.assert_unharmed();
}

#[test]
fn nothing_goes_through_a_symlink_of_the_same_tree() {
    let yard = Yard::new();
    for target in ["../outside", yard.path("outside").to_str().unwrap()] {
        let through = [
            vec![link("d", target), dir("d")],
            file("file", "evil").into(),
            vec![Piece::End],
        ];
        let over = [
            vec![link("f", "../outside/file")],
            file("f", "evil").into(),
            vec![],
        ];
        for parts in [through, over] {
            let error = extract(&yard.path("out"), false, tree(parts.clone())).unwrap_err();
            assert!(matches!(error, ExtractError::Duplicate { .. }), "{error}");
            yard.assert_unharmed();
            // Merged into an existing directory, the second may replace the first, but not follow it.
            fs::create_dir(yard.path("out")).unwrap();
            let _ = extract(&yard.path("out"), true, tree(parts));
            yard.assert_unharmed();
            fs::remove_dir_all(yard.path("out")).unwrap();
        }
    }
}

#[test]
fn nothing_goes_through_a_symlink_that_was_there() {
    let yard = Yard::new();
    fs::create_dir(yard.path("out")).unwrap();
    symlink("../outside", yard.path("out/d")).unwrap();
    symlink("../outside/file", yard.path("out/f")).unwrap();
    let into = tree([
        vec![dir("d")],
        file("file", "evil").into(),
        vec![Piece::End],
    ]);
    let error = extract(&yard.path("out"), true, into).unwrap_err();
    assert!(matches!(&error, ExtractError::NotADirectory { path } if path.ends_with("out/d")));
    extract(&yard.path("out"), true, tree([file("f", "new").into()])).unwrap();
    assert!(fs::symlink_metadata(yard.path("out/f")).unwrap().is_file());
    yard.assert_unharmed();
}

#[test]
fn the_target_itself_is_not_followed() {
    let yard = Yard::new();
    symlink("outside", yard.path("out")).unwrap();
    let error = extract(&yard.path("out"), true, tree([file("file", "evil").into()])).unwrap_err();
    assert!(matches!(error, ExtractError::NotADirectory { .. }));
    extract(&yard.path("out"), true, file("", "new").into()).unwrap();
    assert_eq!(fs::read_to_string(yard.path("out")).unwrap(), "new");
    yard.assert_unharmed();
}

#[test]
fn what_exists_is_replaced_by_force_only() {
    let yard = Yard::new();
    fs::write(yard.path("out"), "old").unwrap();
    let error = Extractor::new(&yard.path("out"), false).unwrap_err();
    assert!(matches!(error, ExtractError::Exists { .. }));
    extract(&yard.path("out"), true, file("", "new").into()).unwrap();
    assert_eq!(fs::read_to_string(yard.path("out")).unwrap(), "new");
    let error = extract(&yard.path("out"), true, tree([])).unwrap_err();
    assert!(matches!(error, ExtractError::NotADirectory { .. }));
    yard.assert_unharmed();
}

#[test]
fn what_appears_in_the_meantime_is_not_replaced() {
    let yard = Yard::new();
    for pieces in [Vec::from(file("", "new")), tree([]), vec![link("", "new")]] {
        let mut extractor = Extractor::new(&yard.path("out"), false).unwrap();
        for piece in pieces {
            extractor.accept(piece).unwrap();
        }
        fs::write(yard.path("out"), "old").unwrap();
        assert!(matches!(
            extractor.finish(),
            Err(ExtractError::Exists { .. })
        ));
        assert_eq!(fs::read_to_string(yard.path("out")).unwrap(), "old");
        assert_eq!(yard.names(), ["out", "outside"]);
        fs::remove_file(yard.path("out")).unwrap();
    }
}

#[test]
fn force_merges_into_a_directory() {
    let yard = Yard::new();
    let out = yard.path("out");
    fs::create_dir_all(out.join("sub")).unwrap();
    fs::write(out.join("kept"), "kept").unwrap();
    fs::write(out.join("sub/replaced"), "old").unwrap();
    fs::hard_link(out.join("sub/replaced"), yard.path("outside/second name")).unwrap();
    let sub = [
        vec![dir("sub")],
        file("replaced", "new").into(),
        vec![Piece::End, link("l", "kept")],
    ];
    extract(&out, true, tree(sub.clone())).unwrap();
    extract(&out, true, tree(sub)).unwrap();
    assert_eq!(names(&out), ["kept", "l", "sub"]);
    assert_eq!(names(&out.join("sub")), ["replaced"]);
    assert_eq!(fs::read_to_string(out.join("sub/replaced")).unwrap(), "new");
    // Replaced, not written over: whoever has the old file open or linked keeps it.
    assert_eq!(
        fs::read_to_string(yard.path("outside/second name")).unwrap(),
        "old"
    );
    let error = extract(&out, true, tree([file("sub", "x").into()])).unwrap_err();
    assert!(
        matches!(error, ExtractError::IsADirectory { .. }),
        "{error}"
    );
    let error = extract(&out, true, file("", "x").into()).unwrap_err();
    assert!(
        matches!(error, ExtractError::IsADirectory { .. }),
        "{error}"
    );
    assert_eq!(
        names(&out),
        ["kept", "l", "sub"],
        "no temporary file is left"
    );
}

#[test]
fn a_target_that_cannot_be_made_is_named_at_once() {
    let yard = Yard::new();
    let error = Extractor::new(&yard.path("no/where"), false).unwrap_err();
    assert!(
        matches!(&error, ExtractError::NoParent { path } if path.ends_with("no")),
        "{error}"
    );
    let error = Extractor::new(&yard.path("outside/file/x"), false).unwrap_err();
    assert!(
        matches!(&error, ExtractError::NotADirectory { .. }),
        "{error}"
    );
    for at in [".", "/", ".."] {
        let error = Extractor::new(Path::new(at), false).unwrap_err();
        assert!(matches!(&error, ExtractError::Exists { .. }), "{error}");
    }
}

#[test]
fn a_device_without_space_is_named() {
    // Every write to /dev/full fails as one to a full disk does.
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut file = OpenFile::named(full, "out/big".into(), 4);
    let error = file.write(b"data").unwrap_err();
    assert!(
        matches!(&error, ExtractError::NoSpace { path } if path.ends_with("big")),
        "{error}"
    );
    assert_eq!(error.to_string(), "no space left for `out/big`");
}

#[test]
fn more_directories_than_descriptors_can_be_inside_each_other() {
    let yard = Yard::new();
    let depth = 300;
    let mut pieces = vec![dir("")];
    pieces.extend((0..depth).map(|_| dir("d")));
    for _ in 0..depth {
        pieces.extend(file("f", "x"));
        pieces.push(Piece::End);
    }
    pieces.push(Piece::End);
    extract(&yard.path("out"), false, pieces).unwrap();
    let mut at = yard.path("out");
    for _ in 0..depth {
        at.push("d");
        assert_eq!(fs::metadata(at.join("f")).unwrap().size(), 1);
    }
    let mut extractor = Extractor::new(&yard.path("endless"), false).unwrap();
    let error = (0..=MAX_DEPTH + 1)
        .find_map(|_| extractor.accept(dir("d")).err())
        .unwrap();
    assert!(matches!(error, ExtractError::TooDeep { .. }), "{error}");
    assert_eq!(
        yard.names(),
        ["out", "outside"],
        "however deep, it is removed"
    );
}

#[test]
fn targets_that_no_symlink_can_have_are_refused() {
    let yard = Yard::new();
    for target in [String::new(), "a\0b".into(), "x".repeat(5000)] {
        let inside = tree([vec![link("l", &target)]]);
        for pieces in [inside, vec![link("", &target)]] {
            let error = extract(&yard.path("out"), false, pieces).unwrap_err();
            assert!(matches!(error, ExtractError::Target { .. }), "{error}");
        }
    }
    yard.assert_unharmed();
}

fn described(mode: u32, seconds: i64) -> Metadata {
    Metadata {
        mode: Some(mode),
        mtime: Some(Mtime::new(seconds, 500)),
    }
}

/// What is on disk: permissions, seconds and nanoseconds.
fn said(path: &Path) -> (u32, i64, i64) {
    let on_disk = fs::symlink_metadata(path).unwrap();
    (
        on_disk.mode() & 0o7777,
        on_disk.mtime(),
        on_disk.mtime_nsec(),
    )
}

/// A tree whose directories forbid to write in them, and are older than what is in them.
fn described_tree() -> Vec<Piece> {
    vec![
        Piece::Dir {
            name: "".into(),
            metadata: described(0o555, 1000),
        },
        Piece::Dir {
            name: "sub".into(),
            metadata: described(0o2500, -2000),
        },
        Piece::File {
            name: "file".into(),
            metadata: described(0o6751, 3000),
            size: 1,
        },
        Piece::Data("x".into()),
        Piece::End,
        Piece::Symlink {
            name: "link".into(),
            metadata: described(0o777, 4000),
            target: "/etc/passwd".into(),
        },
        Piece::End,
        Piece::End,
    ]
}

#[test]
fn permissions_and_times_are_restored_but_never_setuid() {
    let yard = Yard::new();
    let out = yard.path("out");
    let before = fs::metadata("/etc/passwd").unwrap().mtime();
    for force in [false, true] {
        extract(&out, force, described_tree()).unwrap();
        assert_eq!(said(&out), (0o555, 1000, 500), "force {force}");
        assert_eq!(said(&out.join("sub")), (0o500, -2000, 500));
        assert_eq!(said(&out.join("sub/file")), (0o751, 3000, 500));
        let (_, seconds, nanos) = said(&out.join("sub/link"));
        assert_eq!((seconds, nanos), (4000, 500));
        // To be merged into, and removed by whoever is not root.
        for dir in ["out", "out/sub"] {
            fs::set_permissions(yard.path(dir), fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
    assert_eq!(fs::metadata("/etc/passwd").unwrap().mtime(), before);
}

#[test]
fn a_single_file_and_a_symlink_get_theirs() {
    let yard = Yard::new();
    let pieces = vec![
        Piece::File {
            name: "".into(),
            metadata: described(0o4640, 7),
            size: 0,
        },
        Piece::End,
    ];
    extract(&yard.path("out"), false, pieces).unwrap();
    assert_eq!(said(&yard.path("out")), (0o640, 7, 500));
    let pieces = vec![Piece::Symlink {
        name: "".into(),
        metadata: described(0, 8),
        target: "outside/file".into(),
    }];
    extract(&yard.path("out"), true, pieces).unwrap();
    assert_eq!(said(&yard.path("out")).1, 8);
    assert_ne!(said(&yard.path("outside/file")).1, 8);
}

/// Also whoever is not root can remove what was begun.
#[test]
fn a_locked_tree_that_was_begun_goes_away() {
    let yard = Yard::new();
    let mut extractor = Extractor::new(&yard.path("out"), false).unwrap();
    let mut pieces = described_tree();
    pieces.pop();
    for piece in pieces {
        extractor.accept(piece).unwrap();
    }
    drop(extractor);
    assert_eq!(yard.names(), ["outside"]);
}

fn any_piece() -> impl Strategy<Value = Piece> {
    let name = || prop::sample::select(vec!["", "a", "b", "..", "a/b", "../outside"]);
    let target = prop::sample::select(vec!["../outside", "../outside/file", ".", "b", "/"]);
    prop_oneof![
        1 => name().prop_map(dir),
        1 => (name(), 0_u64..3).prop_map(|(name, size)| Piece::file(name, size)),
        1 => Just(Piece::Data("x".into())),
        1 => (name(), target).prop_map(|(name, target)| link(name, target)),
        3 => Just(Piece::End),
    ]
}

proptest! {
    /// Whatever comes in whatever order: no panic, nothing outside, no temporary left.
    #[test]
    fn random_pieces_write_nothing_outside(
        pieces in prop::collection::vec(any_piece(), 0..20),
        merged: bool,
    ) {
        let yard = Yard::new();
        if merged {
            fs::create_dir(yard.path("out")).unwrap();
            symlink("../outside", yard.path("out/b")).unwrap();
        }
        let mut all = vec![dir("")];
        all.extend(pieces);
        let _ = extract(&yard.path("out"), merged, all);
        yard.assert_unharmed();
    }
}
