//! [`Pages`]: which children of which nodes we hold, kept for those who ask again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use store::Cid;
use store::blockstore::{Blockstore, StoreError};
use store::wire::{Bits, Held, Known, Page};

use super::hot::ByBytes;
use super::nodes::Nodes;

/// Bytes of pages kept: those of some ten thousand nodes.
const LIMIT: usize = 4 << 20;
/// A page that was not full is computed anew when it is older than this.
const STALE: Duration = Duration::from_millis(250);

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Pages {
    kept: Mutex<Kept>,
    nodes: Arc<Nodes>,
}

#[derive(Debug)]
struct Kept {
    pages: ByBytes<Cid, One>,
    /// The last version given out. Begins with the time, so that no version of an earlier run is given
    /// to another page.
    version: u64,
}

#[derive(Clone, Debug)]
struct One {
    held: Held,
    version: u64,
    computed: Instant,
    /// The store's count of removals before it was computed.
    removals: u64,
}

impl Pages {
    pub(super) fn new(nodes: Arc<Nodes>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let micros = now.unwrap_or_default().as_micros();
        Self {
            kept: Mutex::new(Kept {
                pages: ByBytes::new(LIMIT),
                version: u64::try_from(micros).unwrap_or(1).max(1),
            }),
            nodes,
        }
    }

    /// The pages that are not what the asker knows.
    ///
    /// # Errors
    /// When the store as a whole failed.
    pub(super) fn answer(
        &self,
        store: &dyn Blockstore,
        asked: &[Known],
        now: Instant,
    ) -> Result<Vec<Page>, StoreError> {
        let mut pages = Vec::new();
        for (place, known) in (0..).zip(asked) {
            let (held, version) = self.page(store, &known.node, now)?;
            if version != known.version {
                pages.push(Page {
                    node: place,
                    version,
                    held,
                });
            }
        }
        Ok(pages)
    }

    fn page(
        &self,
        store: &dyn Blockstore,
        node: &Cid,
        now: Instant,
    ) -> Result<(Held, u64), StoreError> {
        // Before it is looked at what there is: what is removed meanwhile is noticed the next time.
        let removals = store.removals();
        let before = self.kept().pages.get(node).cloned();
        if let Some(one) = &before
            && one.removals == removals
            && (one.held == Held::All || now < one.computed + STALE)
        {
            return Ok((one.held.clone(), one.version));
        }
        let held = self.look(store, node)?;
        let mut kept = self.kept();
        let version = match before {
            Some(one) if one.held == held => one.version,
            _ => {
                kept.version += 1;
                kept.version
            }
        };
        let bits = match &held {
            Held::Some(bits) => bits.as_bytes().len(),
            Held::All | Held::Nothing => 0,
        };
        let one = One {
            held: held.clone(),
            version,
            computed: now,
            removals,
        };
        let bytes = bits + size_of::<Cid>() + size_of::<One>();
        kept.pages.put(*node, one, bytes);
        Ok((held, version))
    }

    fn look(&self, store: &dyn Blockstore, node: &Cid) -> Result<Held, StoreError> {
        let Some(children) = self.nodes.children(store, node)? else {
            return Ok(Held::Nothing);
        };
        let sizes = store.sizes(&children)?;
        let held = sizes.iter().filter(|size| size.is_some()).count();
        Ok(if held == 0 {
            Held::Nothing
        } else if held == children.len() {
            Held::All
        } else {
            Held::Some(sizes.iter().map(Option::is_some).collect::<Bits>())
        })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Each change leaves it whole.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
