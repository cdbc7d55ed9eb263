//! [`Origin`]: where a file's bytes lie on this machine, and by what a change of them shows.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::Stat;
use serde::{Deserialize, Serialize};

use super::name::Name;

/// A file on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Its absolute path.
    pub path: Name,
    /// Which file it was when it was looked at.
    pub identity: Identity,
}

/// What tells a file from any other, and from itself after a change: no write leaves all of it as it
/// was, as long as the clock goes on (see [`Identity::is_settled`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The file system's number.
    pub device: u64,
    /// The file's number in it.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// Time of the last change of its bytes, in nanoseconds since 1970; what lies before 1677 or
    /// after 2262 counts as then.
    pub mtime: i64,
    /// Time of the last change of anything of it, likewise. Users cannot set it.
    pub ctime: i64,
}

impl Identity {
    /// A file whose times are nearer to the clock than this may change again without a change of
    /// its times: file systems count in ticks of up to 10 ms, some in seconds (2 s on FAT).
    pub const SETTLES_WITHIN: i64 = 2_000_000_000;

    /// Of a file that was just looked at.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            mtime: nanos(metadata.mtime(), metadata.mtime_nsec()),
            ctime: nanos(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// The same of what the system call says.
    #[must_use]
    pub fn of_stat(stat: &Stat) -> Self {
        let nanos_of = |nanos: u64| i64::try_from(nanos).unwrap_or_default();
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            mtime: nanos(stat.st_mtime, nanos_of(stat.st_mtime_nsec)),
            ctime: nanos(stat.st_ctime, nanos_of(stat.st_ctime_nsec)),
        }
    }

    /// Whether a change after `now`, in nanoseconds since 1970, is sure to show: both times lie at
    /// least two seconds back. Git calls the others racily clean.
    #[must_use]
    pub const fn is_settled(&self, now: i64) -> bool {
        let newest = if self.mtime > self.ctime {
            self.mtime
        } else {
            self.ctime
        };
        now.saturating_sub(newest) >= Self::SETTLES_WITHIN
    }
}

const fn nanos(seconds: i64, nanos: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// The clock, in nanoseconds since 1970.
#[must_use]
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_just_now_is_not_settled() {
        let file = |mtime, ctime| Identity {
            device: 1,
            inode: 2,
            size: 3,
            mtime,
            ctime,
        };
        let now = 1_700_000_000_000_000_000;
        assert!(file(now - 2_000_000_000, now - 2_000_000_000).is_settled(now));
        assert!(!file(now - 1_999_999_999, 0).is_settled(now));
        assert!(!file(0, now - 1).is_settled(now));
        assert!(!file(now + 1, 0).is_settled(now), "from the future");
    }

    #[test]
    fn a_write_makes_another_identity() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let first = Identity::of(&file.path().metadata().unwrap());
        std::fs::write(file.path(), "x").unwrap();
        let second = Identity::of(&file.path().metadata().unwrap());
        let stat = rustix::fs::stat(file.path()).unwrap();
        assert_eq!(Identity::of_stat(&stat), second);
        assert_ne!(first, second);
        assert_eq!((second.size, second.inode), (1, first.inode));
    }
}
