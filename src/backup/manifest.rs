//! [`Generation`]: one backup, and the text that says what is in it.
//!
//! ```text
//! store backup 1
//! created 1795273962
//! format 2
//! blocks 20
//! bytes 69939
//! file SIZE MTIME HASH PATH
//! …
//! end HASH
//! ```
//!
//! `MTIME` is the source's, in nanoseconds since 1970. A file's `HASH` is the SHA-256, in hex, of the
//! SHA-256 digests of its pieces of 1 MiB; the last line's is the SHA-256 of all the lines before it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use data_encoding::HEXLOWER;

use super::BackupError;

const HEAD: &str = "store backup 1";
/// A path in a repo is never longer: `db/` and a file of RocksDB's.
const MAX_PATH: usize = 255;

/// One backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Counts up from 1.
    pub number: u64,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// The repo's format.
    pub format: u32,
    /// Blocks in the repo.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Its files.
    pub members: Vec<Member>,
}

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Where it is in a repo.
    pub path: String,
    /// Its bytes.
    pub size: u64,
    /// When the file that was copied was last written, in nanoseconds since 1970.
    pub mtime: u128,
    /// What is in it.
    pub hash: [u8; 32],
}

impl Member {
    pub(super) const fn content(&self) -> (u64, [u8; 32]) {
        (self.size, self.hash)
    }

    /// Its name among the backups' files.
    pub(super) fn stored_name(&self) -> String {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        format!("{}-{name}", HEXLOWER.encode(&self.hash[..16]))
    }
}

impl Generation {
    /// Bytes of all its files.
    #[must_use]
    pub fn size(&self) -> u64 {
        let sizes = self.members.iter().map(|member| member.size);
        sizes.fold(0, u64::saturating_add)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut text = format!(
            "{HEAD}\ncreated {}\nformat {}\nblocks {}\nbytes {}\n",
            self.created, self.format, self.blocks, self.bytes
        );
        for member in &self.members {
            let hash = HEXLOWER.encode(&member.hash);
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "file {} {} {hash} {}",
                member.size, member.mtime, member.path
            );
        }
        let end = HEXLOWER.encode(&sha256(text.as_bytes()));
        let _ = writeln!(text, "end {end}");
        text.into_bytes()
    }

    pub(super) fn read(path: &Path, number: u64) -> Result<Self, BackupError> {
        let bytes = fs::read(path).map_err(BackupError::io("read", path))?;
        Self::decode(&bytes, number).ok_or_else(|| BackupError::Damaged {
            path: path.to_owned(),
            reason: "it is no list of files".into(),
        })
    }

    /// `None` where it is not exactly what [`Generation::encode`] made.
    pub(super) fn decode(bytes: &[u8], number: u64) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (body, end) = text.split_at_checked(text.len().checked_sub(4 + 64 + 1)?)?;
        let end = end.strip_prefix("end ")?.strip_suffix('\n')?;
        if HEXLOWER.decode(end.as_bytes()).ok()? != sha256(body.as_bytes()) {
            return None;
        }
        let mut lines = body.lines();
        if lines.next()? != HEAD {
            return None;
        }
        let mut number_of = |name: &str| -> Option<u64> {
            let line = lines.next()?;
            line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok()
        };
        let (created, format) = (number_of("created")?, number_of("format")?);
        let (blocks, bytes) = (number_of("blocks")?, number_of("bytes")?);
        let members = lines.map(member).collect::<Option<Vec<_>>>()?;
        Some(Self {
            number,
            created,
            format: format.try_into().ok()?,
            blocks,
            bytes,
            members,
        })
    }
}

fn member(line: &str) -> Option<Member> {
    let mut words = line.strip_prefix("file ")?.splitn(4, ' ');
    let (size, mtime) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let hash = HEXLOWER.decode(words.next()?.as_bytes()).ok()?;
    let path = words.next()?;
    // A backup may come from anywhere: none of its names leads out of the repo.
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    let safe =
        path.len() <= MAX_PATH && path.split('/').all(plain) && path.matches('/').count() < 2;
    safe.then_some(Member {
        path: path.to_owned(),
        size,
        mtime,
        hash: hash.try_into().ok()?,
    })
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut digest = [[0; 32]];
    tape_sha256::hash_many(&[bytes], &mut digest);
    digest[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generation() -> Generation {
        let member = |path: &str| Member {
            path: path.into(),
            size: 7,
            mtime: 1 << 90,
            hash: [9; 32],
        };
        Generation {
            number: 3,
            created: 1,
            format: 2,
            blocks: 5,
            bytes: 6,
            members: vec![member("db/000012.blob"), member("identity.key")],
        }
    }

    #[test]
    fn it_comes_back_and_no_bit_of_it_can_change() {
        let generation = generation();
        let text = generation.encode();
        assert_eq!(Generation::decode(&text, 3), Some(generation));
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut other = text.clone();
                other[at] ^= 1 << bit;
                assert_eq!(Generation::decode(&other, 3), None, "byte {at}, bit {bit}");
            }
            assert_eq!(Generation::decode(&text[..at], 3), None);
        }
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_refused() {
        for path in ["../x", "/x", "db/../x", "db//x", "a/b/c", ""] {
            let mut generation = generation();
            generation.members[0].path = path.into();
            assert_eq!(Generation::decode(&generation.encode(), 3), None, "{path}");
        }
    }
}
