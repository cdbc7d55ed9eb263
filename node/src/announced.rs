//! What a node announces of its cache: contents that are whole here and that nobody keeps, for a time
//! after their last use.
//!
//! The roots that are announced stand in the family `roots`, and when cached ones were used last in
//! `cache`; so both outlive a restart. A pinned root is announced as long as it is pinned,
//! and one of which a part is held for as long as that is.

use std::collections::HashMap;
use std::sync::Weak;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use store::Cid;
use store::blockstore::StoreError;
use store::records::Family;
use store::repo::Repo;

use crate::network::Network;

/// Cached roots that are announced at most, the last used: each costs the DHT a lookup, and twenty
/// records, each 12 h.
const MAX: usize = 10_000;
/// Parts of its lifetime after which it is looked whether one is over.
const LOOKS: u32 = 12;
/// And no more often, or seldom, than that: a look goes over all roots.
const OFTEN: Duration = Duration::from_secs(1);
const SELDOM: Duration = Duration::from_secs(300);

/// The announced roots that should be so no longer. `now` in milliseconds since 1970; without a
/// lifetime nothing is announced that is not pinned.
pub(crate) fn stale(
    repo: &Repo,
    lifetime: Option<Duration>,
    now: u64,
) -> Result<Vec<Cid>, StoreError> {
    let used: HashMap<Cid, u64> = {
        let cached = repo.cached().oldest_first()?.into_iter();
        cached.map(|cached| (cached.root, cached.used)).collect()
    };
    let mut announced = Vec::new();
    repo.records(Family::Roots).for_each(&mut |key, _| {
        announced.extend(store::cid::from_bytes(key));
        true
    })?;
    let lifetime = lifetime.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    let (mut stale, mut fresh) = (Vec::new(), Vec::new());
    for root in announced {
        if repo.pins().get(&root)?.is_some() || repo.keep().holds_of(&root)? {
            continue;
        }
        // What is in the cache no longer has been removed, or is about to be.
        let until = used
            .get(&root)
            .zip(lifetime)
            .map(|(used, lifetime)| used.saturating_add(lifetime));
        match until {
            Some(until) if until > now => fresh.push((until, root)),
            _ => stale.push(root),
        }
    }
    if fresh.len() > MAX {
        fresh.sort_unstable();
        let over = fresh.len() - MAX;
        stale.extend(fresh.drain(..over).map(|(_, root)| root));
    }
    Ok(stale)
}

/// Forgets what became stale while no node ran, before one announces it.
pub(crate) fn forget_stale(repo: &Repo, lifetime: Option<Duration>) -> Result<(), StoreError> {
    let changes: Vec<_> = stale(repo, lifetime, now())?
        .into_iter()
        .map(|root| (root.to_bytes(), None))
        .collect();
    repo.records(Family::Roots).write_batch(&changes)
}

/// Stops announcing what becomes stale, until the swarm ends.
pub(crate) async fn watch(network: Network, repo: Weak<Repo>, lifetime: Option<Duration>) {
    let pause = lifetime.map_or(SELDOM, |time| (time / LOOKS).clamp(OFTEN, SELDOM));
    loop {
        tokio::select! {
            () = network.closed() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let Some(repo) = repo.upgrade() else {
            return;
        };
        let look = tokio::task::spawn_blocking(move || stale(&repo, lifetime, now()));
        match look.await {
            Ok(Ok(roots)) => {
                for root in roots {
                    tracing::debug!(%root, "announced no longer");
                    network.stop_providing(root).await;
                }
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "cannot look what is announced; it is tried again");
            }
            // The runtime is ending.
            Err(_) => return,
        }
    }
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use store::blockstore::{Blockstore as _, Write};
    use store::cid::{Codec, Version};
    use store::pin::{Wanted, now as seconds};
    use store::repo::RepoOptions;
    use store::{Block, cid};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn block(n: u32) -> Block {
        let bytes = n.to_be_bytes().to_vec();
        Block::hash(Version::V1, Codec::Raw, bytes.into()).unwrap()
    }

    fn announce(repo: &Repo, root: &Cid) {
        let roots = repo.records(Family::Roots);
        roots.put(&root.to_bytes(), &[]).unwrap();
    }

    fn repo(dir: &tempfile::TempDir) -> Repo {
        Repo::open(dir.path(), &RepoOptions::default()).unwrap()
    }

    #[test]
    fn what_is_not_pinned_is_announced_for_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let repo = repo(&dir);
        let [pinned, cached, gone] = [1, 2, 3].map(block);
        let blocks = [pinned.clone(), cached.clone(), gone.clone()];
        repo.blocks().put_many(&blocks, Write::Logged).unwrap();
        repo.pins()
            .add(&Wanted::new(*pinned.cid(), seconds()))
            .unwrap();
        repo.cached().touch(cached.cid()).unwrap();
        for block in [&pinned, &cached, &gone] {
            announce(&repo, block.cid());
        }
        let later = now() + 3_599_000;
        assert_eq!(stale(&repo, Some(HOUR), later).unwrap(), [*gone.cid()]);
        let over = |lifetime, at| {
            let mut stale = stale(&repo, lifetime, at).unwrap();
            stale.sort();
            stale
        };
        let mut both = [*cached.cid(), *gone.cid()];
        both.sort();
        assert_eq!(over(Some(HOUR), now() + 3_601_000), both);
        assert_eq!(over(None, now()), both, "off");

        // After a restart it is the same: what is stale is forgotten, and the rest is not.
        forget_stale(&repo, Some(HOUR)).unwrap();
        let mut left = Vec::new();
        let roots = repo.records(Family::Roots);
        roots
            .for_each(&mut |key, _| {
                left.extend(cid::from_bytes(key));
                true
            })
            .unwrap();
        left.sort();
        let mut kept = [*pinned.cid(), *cached.cid()];
        kept.sort();
        assert_eq!(left, kept);
    }

    #[test]
    fn of_too_many_the_last_used_are_announced() {
        let dir = tempfile::tempdir().unwrap();
        let repo = repo(&dir);
        let first = block(0);
        repo.cached().touch(first.cid()).unwrap();
        announce(&repo, first.cid());
        let begun = now();
        while now() == begun {
            std::thread::yield_now();
        }
        for n in 1..=u32::try_from(MAX).unwrap() {
            let root = *block(n).cid();
            repo.cached().touch(&root).unwrap();
            announce(&repo, &root);
        }
        assert_eq!(stale(&repo, Some(HOUR), now()).unwrap(), [*first.cid()]);
    }
}
