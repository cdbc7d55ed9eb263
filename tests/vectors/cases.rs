//! Kubo's CID vectors (tests/fixtures/cids.json): their inputs made on disk, and what comes back of them
//! compared. The library's tests and the program's share it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

/// An input, how it is added, and the CID that Kubo gives it.
#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    profile: String,
    /// Kubo's flags.
    pub(crate) args: Vec<String>,
    input: Vec<Input>,
    pub(crate) cid: String,
}

#[derive(Deserialize)]
struct Input {
    path: String,
    #[serde(flatten)]
    what: What,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum What {
    File {
        seed: String,
        size: u64,
    },
    Dir,
    Symlink {
        target: String,
    },
    Many {
        count: u64,
        name: String,
        seed: String,
        size: u64,
    },
}

/// All 99 of them.
pub(crate) fn cases() -> Vec<Case> {
    let text = include_str!("../fixtures/cids.json");
    let vectors: Vectors = serde_json::from_str(text).unwrap();
    assert_eq!(vectors.cases.len(), 99);
    vectors.cases
}

impl Case {
    /// The profile; a repo of Kubo's without one gives what the old profile gives.
    pub(crate) fn profile(&self) -> &str {
        match self.profile.as_str() {
            "default" => "unixfs-v0-2015",
            name => name,
        }
    }

    /// Bytes of the input's files.
    #[allow(dead_code, reason = "the program's tests have no use for it")]
    pub(crate) fn size(&self) -> u64 {
        let size = |input: &Input| match input.what {
            What::File { size, .. } => size,
            What::Many { count, size, .. } => count * size,
            What::Dir | What::Symlink { .. } => 0,
        };
        self.input.iter().map(size).sum()
    }

    /// The value of a flag, `true` for one that stands alone.
    pub(crate) fn flag(&self, name: &str) -> Option<&str> {
        let parts = |arg: &'_ String| -> Option<usize> {
            let rest = arg.strip_prefix(name)?;
            (rest.is_empty() || rest.starts_with('=')).then_some(arg.len() - rest.len())
        };
        let found = self.args.iter().find_map(|arg| Some((arg, parts(arg)?)));
        found.map(|(arg, at)| arg[at..].strip_prefix('=').unwrap_or("true"))
    }

    /// Makes the input in `place`, and says what is to be added.
    pub(crate) fn make(&self, place: &Path) -> PathBuf {
        let top = place.join("input");
        if let [only] = self.input.as_slice()
            && only.path.is_empty()
        {
            make(&top, &only.what);
            return top;
        }
        fs::create_dir(&top).unwrap();
        for input in &self.input {
            make(&top.join(&input.path), &input.what);
        }
        top
    }

    /// What differs between the input and what was written to `output`, if anything does.
    pub(crate) fn difference(&self, input: &Path, output: &Path) -> Option<String> {
        let output = match self.flag("--wrap-with-directory") {
            Some("true") => output.join("input"),
            _ => output.to_path_buf(),
        };
        self.compare(input, &output)
            .or_else(|| self.compare_metadata(&output))
    }

    fn is_on(&self, flag: &str) -> bool {
        self.flag(flag) == Some("true")
    }

    fn compare(&self, input: &Path, output: &Path) -> Option<String> {
        let expected = if self.is_on("--dereference-symlinks") {
            input.metadata().unwrap()
        } else {
            input.symlink_metadata().unwrap()
        };
        let Ok(found) = output.symlink_metadata() else {
            return Some(format!("`{}` did not come back", input.display()));
        };
        if expected.file_type() != found.file_type() {
            return Some(format!("`{}` is of another kind", input.display()));
        }
        if expected.is_symlink() {
            let (a, b) = (fs::read_link(input), fs::read_link(output));
            return (a.unwrap() != b.unwrap()).then(|| format!("`{}` leads on", input.display()));
        }
        if expected.is_file() {
            let same = expected.len() == found.len() && same_bytes(input, output);
            return (!same).then(|| format!("`{}` has other bytes", input.display()));
        }
        let names = self.entries(input);
        let mut came: Vec<OsString> = names_in(output);
        came.sort_unstable();
        if names != came {
            return Some(format!("`{}` has other entries", input.display()));
        }
        names
            .iter()
            .find_map(|name| self.compare(&input.join(name), &output.join(name)))
    }

    /// What is added of a directory, sorted.
    fn entries(&self, directory: &Path) -> Vec<OsString> {
        let mut names = names_in(directory);
        names.retain(|name| {
            let hidden = name.as_encoded_bytes().starts_with(b".");
            let path = directory.join(name);
            let empty = path.is_dir() && !path.is_symlink() && names_in(&path).is_empty();
            (!hidden || self.is_on("--hidden"))
                && (!empty || self.flag("--empty-dirs") != Some("false"))
        });
        names.sort_unstable();
        names
    }

    fn compare_metadata(&self, output: &Path) -> Option<String> {
        let found = output.symlink_metadata().unwrap();
        let number = |text: &str, radix| i64::from_str_radix(text, radix).unwrap();
        let told = [
            ("--mode", 8, i64::from(found.mode() & 0o777)),
            ("--mtime", 10, found.mtime()),
            ("--mtime-nsecs", 10, found.mtime_nsec()),
        ];
        told.into_iter().find_map(|(flag, radix, found)| {
            let expected = number(self.flag(flag)?, radix);
            (expected != found).then(|| format!("{flag} {expected} came back as {found}"))
        })
    }
}

fn names_in(directory: &Path) -> Vec<OsString> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name()).collect()
}

fn same_bytes(a: &Path, b: &Path) -> bool {
    let open = |path| File::open(path).unwrap();
    let (mut a, mut b) = (open(a), open(b));
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let count = a.read(&mut left).unwrap();
        if count == 0 {
            return true;
        }
        b.read_exact(&mut right[..count]).unwrap();
        if left[..count] != right[..count] {
            return false;
        }
    }
}

fn make(path: &Path, what: &What) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    match what {
        What::File { seed, size } => write(path, seed, *size),
        What::Dir => fs::create_dir_all(path).unwrap(),
        What::Symlink { target } => symlink(target, path).unwrap(),
        What::Many {
            count,
            name,
            seed,
            size,
        } => {
            fs::create_dir_all(path).unwrap();
            for i in 0..*count {
                let name = numbered(name, i);
                write(&path.join(name), &format!("{seed}-{i}"), *size);
            }
        }
    }
}

fn numbered(pattern: &str, i: u64) -> String {
    pattern
        .replace("{i:06}", &format!("{i:06}"))
        .replace("{i:05}", &format!("{i:05}"))
        .replace("{i}", &i.to_string())
}

/// A file of what the vectors call `content(seed, size)`.
fn write(path: &Path, seed: &str, size: u64) {
    let mut file = File::create(path).unwrap();
    if seed == "zero" {
        // A hole.
        return file.set_len(size).unwrap();
    }
    let digests = Digests {
        seed: seed.to_owned(),
        next: 0,
        digest: [0; 32],
        used: 32,
    };
    let buffer = usize::try_from(size.min(1 << 20)).unwrap();
    io::copy(
        &mut BufReader::with_capacity(buffer, digests.take(size)),
        &mut file,
    )
    .unwrap();
}

/// The digests of `seed:0`, `seed:1`, …, joined.
struct Digests {
    seed: String,
    next: u64,
    digest: [u8; 32],
    used: usize,
}

impl Read for Digests {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            if self.used == self.digest.len() {
                self.digest = Sha256::digest(format!("{}:{}", self.seed, self.next)).into();
                (self.next, self.used) = (self.next + 1, 0);
            }
            let length = (buf.len() - filled).min(self.digest.len() - self.used);
            let from = &self.digest[self.used..self.used + length];
            buf[filled..filled + length].copy_from_slice(from);
            filled += length;
            self.used += length;
        }
        Ok(filled)
    }
}
