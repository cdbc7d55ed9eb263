//! [`Tree`]: the sums of a large set, so that comparing it reads few of its items.

use store::wire::reconcile::{FAN_OUT, Item, Prefix};

use super::fingerprint;

/// The sums of all places down to a depth: 16 bytes for each. With as many leaves as a sixteenth of the
/// items, below which a list is read anyway, that is 1.1 bytes an item: depth 4 and 1.1 MiB for a
/// million. Deeper places are summed from a list.
#[derive(Clone, Debug)]
pub struct Tree {
    /// By depth, from the root's one sum on.
    levels: Vec<Vec<u128>>,
}

impl Tree {
    /// Of an empty set that is to have about so many items.
    #[must_use]
    pub fn new(items: usize) -> Self {
        // Five levels are 18 MiB: the most that a set of ours is worth.
        let depth = (0..5)
            .find(|&depth| items <= 32 << (4 * depth))
            .unwrap_or(5);
        let level = |depth: u32| vec![0; FAN_OUT.pow(depth)];
        Self {
            levels: (0..=depth).map(level).collect(),
        }
    }

    /// What it takes in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let places: usize = self.levels.iter().map(Vec::len).sum();
        places * size_of::<u128>()
    }

    /// Counts an item in.
    pub fn insert(&mut self, item: &Item) {
        let print = fingerprint(item);
        self.each(item, |sum| *sum = sum.wrapping_add(print));
    }

    /// Counts an item out that was counted in.
    pub fn remove(&mut self, item: &Item) {
        let print = fingerprint(item);
        self.each(item, |sum| *sum = sum.wrapping_sub(print));
    }

    fn each(&mut self, item: &Item, change: impl Fn(&mut u128)) {
        for (level, depth) in self.levels.iter_mut().zip(0..) {
            change(&mut level[index(&item.key, depth)]);
        }
    }

    /// The sum below a place; `None` if it lies deeper than the tree, and has to be summed from its items.
    #[must_use]
    pub fn sum(&self, place: Prefix) -> Option<u128> {
        let level = self.levels.get(usize::from(place.nibbles()))?;
        Some(level[index(&place.first(), place.nibbles())])
    }
}

/// Which place of a level a key is below.
fn index(key: &[u8; 32], depth: u8) -> usize {
    let front = u32::from_be_bytes([key[0], key[1], key[2], key[3]]);
    // Depth 0 shifts by 32.
    front.checked_shr(32 - 4 * u32::from(depth)).unwrap_or(0) as usize
}
