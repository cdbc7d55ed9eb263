//! [`Names`]: the names in a directory, sorted, in two allocations: a million of them take 20 bytes
//! and their own each, not a hundred.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Names in the order of their bytes; each is given once.
#[derive(Debug)]
pub(super) struct Names {
    /// Each with a NUL at its end, which no name has.
    bytes: Vec<u8>,
    /// Where each begins, in order.
    starts: Vec<usize>,
    next: usize,
}

impl Names {
    /// The names in `dir` that are `wanted`.
    pub(super) fn read(dir: &Path, wanted: impl Fn(&OsStr) -> bool) -> io::Result<Self> {
        let (mut bytes, mut starts) = (Vec::new(), Vec::new());
        for entry in std::fs::read_dir(dir)? {
            let name = entry?.file_name();
            if wanted(&name) {
                starts.push(bytes.len());
                bytes.extend_from_slice(name.as_bytes());
                bytes.push(0);
            }
        }
        bytes.shrink_to_fit();
        starts.sort_unstable_by(|&a, &b| name_at(&bytes, a).cmp(name_at(&bytes, b)));
        Ok(Self {
            bytes,
            starts,
            next: 0,
        })
    }
}

impl Names {
    /// The next name.
    pub(super) fn next(&mut self) -> Option<&OsStr> {
        let start = *self.starts.get(self.next)?;
        self.next += 1;
        Some(OsStr::from_bytes(name_at(&self.bytes, start)))
    }
}

fn name_at(bytes: &[u8], start: usize) -> &[u8] {
    let rest = &bytes[start..];
    let end = rest.iter().position(|&byte| byte == 0);
    &rest[..end.unwrap_or(rest.len())]
}
