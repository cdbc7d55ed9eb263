//! [`Room`]: what may still be placed on this node.

use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use store::repo::Repo;

/// Between two counts of what is kept: some seconds of reading for each million blocks.
const AGAIN: Duration = Duration::from_secs(10 * 60);

/// What may be placed on a node: within its quota all that is not kept, as the cache gives way; without one,
/// what the disk has.
#[derive(Debug, Default)]
pub(crate) struct Room {
    counted: Mutex<Option<Counted>>,
}

/// What was kept, and what was stored in all, in bytes.
#[derive(Clone, Copy, Debug)]
struct Counted {
    kept: u64,
    live: u64,
    at: Instant,
}

impl Room {
    /// Bytes that this node can hold, and those that may still be placed on it. Cheap.
    pub(crate) fn look(&self, repo: &Repo) -> Result<(u64, u64), Box<dyn Error + Send + Sync>> {
        let disk = rustix::fs::statvfs(repo.path())?;
        let available = disk.f_bavail.saturating_mul(disk.f_frsize);
        let Some(quota) = repo.blocks().quota() else {
            return Ok((disk.f_blocks.saturating_mul(disk.f_frsize), available));
        };
        let live = repo.collector().space()?.live;
        let counted = *self.lock();
        let kept = counted.map_or(live, |it| it.kept_of(live));
        let available = available.saturating_add(live - kept);
        Ok((quota, quota.saturating_sub(kept).min(available)))
    }

    /// Counts what is kept anew, if that is long ago and there is so much that the cache matters.
    pub(crate) fn count(&self, repo: &Repo) -> Result<(), Box<dyn Error + Send + Sync>> {
        let Some(quota) = repo.blocks().quota() else {
            return Ok(());
        };
        let live = repo.collector().space()?.live;
        let is_fresh = self.lock().is_some_and(|it| it.at.elapsed() < AGAIN);
        if is_fresh || live < quota / 2 {
            return Ok(());
        }
        if let Some(usage) = repo.collector().usage(&|| true)? {
            let (kept, at) = (usage.pinned, Instant::now());
            *self.lock() = Some(Counted { kept, live, at });
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Counted>> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    /// What is kept now that so much is stored: what came since may all be kept.
    fn kept_of(&self, live: u64) -> u64 {
        self.kept
            .saturating_add(live.saturating_sub(self.live))
            .min(live)
    }
}

#[cfg(test)]
mod tests {
    use store::Block;
    use store::blockstore::{Blockstore, Write};
    use store::cid::{Codec, Version};
    use store::pin::{Wanted, now};
    use store::repo::RepoOptions;

    use super::*;

    #[test]
    fn the_cache_gives_way_to_what_is_placed() {
        let directory = tempfile::tempdir().unwrap();
        let options = RepoOptions {
            quota: Some(8 << 20),
            ..RepoOptions::default()
        };
        let repo = Repo::open(directory.path(), &options).unwrap();
        let put = |seed: u8| {
            let block = Block::hash(Version::V1, Codec::Raw, vec![seed; 1 << 20].into()).unwrap();
            let blocks = std::slice::from_ref(&block);
            repo.blocks().put_many(blocks, Write::Logged).unwrap();
            *block.cid()
        };
        let room = Room::default();
        for seed in 0..6 {
            let cid = put(seed);
            if seed == 0 {
                repo.pins().add(&Wanted::new(cid, now())).unwrap();
            } else {
                repo.cached().touch(&cid).unwrap();
            }
        }
        // Nobody has counted: all may be kept.
        assert_eq!(room.look(&repo).unwrap(), (8 << 20, 2 << 20));
        room.count(&repo).unwrap();
        assert_eq!(room.look(&repo).unwrap(), (8 << 20, 7 << 20));
        put(7);
        assert_eq!(
            room.look(&repo).unwrap(),
            (8 << 20, 6 << 20),
            "it may be kept"
        );
    }
}
